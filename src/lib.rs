//! pexpress builds what a Dagster+ code location runs from, its two PEX files or its image, and deploys it.
//!
//! Data goes one way. Each arrow is a type that the next stage takes:
//!
//! ```text
//! argv, INPUT_* ─► Invocation ─► Project ─► Requirements ─► Plan ─► Resolution ─► Built ─► Published ─► Updated ─► Report
//! strings            typed       locations   what each       each     exact wheels   PEX      names at     code locations   comment,
//!                                and data    asks for        once     and sdists     files    Dagster+     loaded or failed summary …
//! ```
//!
//! Imports point down this list, from commands to stages, speakers and the ground floor. A stage may use the stages
//! before it, and speakers never use each other. `tests/it/repository/rooms.rs` checks this.

// commands
pub mod commands;
pub mod cli;
pub mod render;
// stages, in the order of the data
pub mod context;
pub mod deployment;
pub mod project;
pub mod plan;
pub mod resolve;
pub mod builder;
pub mod dependencies;
pub mod verify;
pub mod defs_state;
pub mod publish;
pub mod update;
pub mod launch;
pub mod report;
pub mod init;
// speakers
pub mod cloud_login;
pub mod dagster;
pub mod github;
pub mod registry;
pub mod tools;
// ground floor
pub mod display;
pub mod simple_index;
pub mod net;
pub mod image;
pub mod cache;
pub mod child_env;
pub mod host;
pub mod pex;
pub mod wheel;
pub mod error;
pub mod bounded_file;
pub mod env_vars;
pub mod foreign_json;
pub mod executable;
pub mod foreign_text;
pub mod hex;
pub mod input_names;
pub mod near_names;
pub mod paths;
pub mod redact;
pub mod scratch;
pub mod file_lock;
pub mod target;
pub mod threads;
pub mod yaml;
// for tests and tests/fuzz alone
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
