//! The program from outside: its command line, and its files in the hands of their real consumers.
//!
//! Tests that need a package index or minutes are `#[ignore]`d with the reason; `scripts/test` runs them too.

// Tests may panic and print, which is denied elsewhere.
#![allow(clippy::unwrap_used, clippy::print_stderr, missing_docs)]

mod action;
mod cli;
mod cloud_login;
mod dagster;
mod deploy;
mod github;
mod host;
mod image;
mod messages;
mod pex;
mod project;
mod registry;
mod reliability;
mod repository;
mod resolve;
mod support;
