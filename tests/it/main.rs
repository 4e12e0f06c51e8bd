//! The program from outside: its command line, and its files in the hands of their real consumers.
//!
//! Tests that need a package index or minutes are `#[ignore]`d with the reason; `scripts/test` runs them too.

// A test ends with a panic; `unwrap` is denied elsewhere.
#![allow(clippy::unwrap_used, missing_docs)]

mod agent;
mod pex_tools;
mod support;
mod tools;
