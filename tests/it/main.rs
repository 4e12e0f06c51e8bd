//! The program from outside: its command line, and its files in the hands of their real consumers.
//!
//! Tests that need a package index or minutes are `#[ignore]`d with the reason; `scripts/test` runs them too.

// A test ends with a panic and may say what it left out; both are denied elsewhere.
#![allow(clippy::unwrap_used, clippy::print_stderr, missing_docs)]

mod action_commit;
mod action_runs;
mod action_step;
mod action_wrapper;
mod action_yml;
mod agent;
mod bad_input;
mod branch_deployments;
mod build_settings;
mod cancelled;
mod check;
mod collect;
mod commands_doc;
mod compiled;
mod credentials;
mod dagster_answers;
mod dagster_calls;
mod dagster_publish;
mod dagster_update;
mod deploy;
mod dg_oracle;
mod dist;
mod fetch;
mod github_comment;
mod github_deployments;
mod github_events;
mod github_hostile;
mod github_refusals;
mod hostile;
mod http;
mod interop;
mod interruptions;
mod laws;
mod local_packages;
mod locked_releases;
mod module;
mod other_client;
mod pex_oracle;
mod pex_tools;
mod plan;
mod python_version;
mod releases;
mod reliability;
mod resolving;
mod rooms;
mod selftest;
mod side_by_side;
mod support;
mod tls;
mod tools;
mod uv_find;
mod uv_project;
mod verify;
mod verify_auto;
mod version;
mod workspace_oracle;
mod yaml_oracle;
