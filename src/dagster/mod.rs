//! The Dagster+ API: its calls and their answers. Knows nothing about wheels or about what is deployed.
//!
//! `client.rs` sends requests (headers, retries, maintenance), `operations.rs` has a function for each GraphQL document
//! in `queries/` (those about runs are in `runs.rs`, those about the state of definitions in `defs_state.rs`), `together.rs`
//! asks several of these questions with one document, `values.rs` has
//! their types, `artifacts.rs` moves files to and from the object store behind presigned URLs, and `session.rs` decides
//! before each request whether it may start.

pub mod artifacts;
pub mod client;
pub mod defs_state;
pub mod error;
pub mod image_registry;
pub mod operations;
mod removal;
pub mod runs;
pub mod session;
pub mod together;
mod values;

pub use client::{Client, Settings};
pub use error::DagsterError;
pub use session::Session;
