//! pexpress builds the two PEX files of a Dagster+ Serverless code location and deploys them.
//!
//! Data goes one way; each arrow is a type that the next stage takes and nothing hands back:
//!
//! ```text
//! argv, INPUT_* ─► Invocation ─► Project ─► Requirements ─► Plan ─► Resolution ─► Built ─► Published ─► Updated ─► Report
//! strings            typed       locations   what each       each     exact wheels   PEX      names at     code locations   comment,
//!                                and data    asks for        once     and sdists     files    Dagster+     loaded or failed summary …
//! ```
//!
//! Imports point down this list: commands, stages, speakers, ground floor.

// commands
pub mod cli;
pub mod commands;
pub mod display;
pub mod render;
// stages
pub mod build;
pub mod context;
pub mod dependencies;
pub mod deployment;
pub mod plan;
pub mod project;
pub mod publish;
pub mod report;
pub mod resolve;
pub mod update;
pub mod verify;
// speakers
pub mod dagster;
pub mod github;
pub mod tools;
// ground floor
pub mod bounded_file;
pub mod cache;
pub mod child_env;
pub mod env_vars;
pub mod error;
pub mod foreign_json;
pub mod foreign_text;
pub mod host;
pub mod input_names;
pub mod net;
pub mod pex;
pub mod scratch;
pub mod target;
pub mod threads;
pub mod wheel;
pub mod yaml;
// for tests and tests/fuzz alone
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
