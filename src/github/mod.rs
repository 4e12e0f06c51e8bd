//! What is said to GitHub: its REST API, and the runner that this process may be a step of.
//!
//! A failure here never fails a deployment: callers warn and go on without.

pub mod api;
pub mod comment;
pub mod commit;
pub mod deployments;
mod error;
pub mod pull_request;
pub mod runner;
mod transport;

pub use api::Github;
pub use error::GithubError;
pub use runner::Runner;
