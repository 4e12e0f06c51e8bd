//! Commands that need no deployment.

mod cache;
mod commands_doc;
mod here;
mod init;
mod module;
mod plan;
mod selftest;
mod variables_doc;
mod version;
