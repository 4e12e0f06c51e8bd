//! Communication with GitHub: its REST API, and the runner if this process is a step.
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
