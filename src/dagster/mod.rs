//! The Dagster+ API: what can be asked, and what an answer may be. Knows nothing of wheels or of what is deployed.
//!
//! `client.rs` speaks the envelope (headers, retries, maintenance), `operations.rs` has a function for each GraphQL
//! document in `queries/`, and `artifacts.rs` moves files to and from the object store behind presigned URLs.

pub mod artifacts;
pub mod client;
pub mod error;
pub mod operations;

pub use client::Client;
pub use error::DagsterError;
