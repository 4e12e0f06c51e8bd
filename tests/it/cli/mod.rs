//! Commands that need no deployment.

mod cache;
mod commands_doc;
mod here;
mod module;
mod plan;
mod selftest;
mod version;
