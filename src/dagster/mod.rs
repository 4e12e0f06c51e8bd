//! The Dagster+ API: what can be asked, and what an answer may be. Knows nothing of wheels or of what is deployed.
//!
//! `client.rs` speaks the envelope (headers, retries, maintenance), `operations.rs` has a function for each GraphQL
//! document in `queries/`, `values.rs` the types that go in and come out, `artifacts.rs` moves files to and from the object store behind presigned URLs, and
//! `session.rs` is asked before each request whether it may begin.

pub mod artifacts;
pub mod client;
pub mod error;
pub mod operations;
pub mod session;
mod values;

pub use client::{Client, Settings};
pub use error::DagsterError;
pub use session::Session;
