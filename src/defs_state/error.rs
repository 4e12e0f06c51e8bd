//! Why the state of definitions could not be refreshed, and what to do.

use crate::dagster::DagsterError;
use crate::error::{Explain, Fault};
use crate::tools::ProcessError;
use std::path::PathBuf;

/// The state of definitions could not be refreshed.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // the messages say what the fields are
pub enum DefsStateError {
    #[error(transparent)]
    Dagster(#[from] DagsterError),
    #[error("none of the code locations is a dg project, and only those have state-backed components")]
    NoProjects { by_flag: bool },
    #[error(
        "the state of the definitions of `{location}` cannot be refreshed on this machine: its packages are for {platform}"
    )]
    OtherPlatform { location: String, platform: String },
    #[error("the components of `{location}` could not be loaded: {error}{traceback}")]
    NotLoaded { location: String, error: String, traceback: String },
    #[error("the state of `{key}` in `{location}` could not be refreshed: {error}{traceback}")]
    Component { key: String, location: String, error: String, traceback: String },
    #[error("the process that refreshes the state of `{location}` ended without a result")]
    NoResult {
        location: String,
        #[source]
        source: ProcessError,
    },
    #[error("could not write `{path}`")]
    File {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
}

impl Explain for DefsStateError {
    fn fault(&self) -> Fault {
        match self {
            DefsStateError::Dagster(error) => error.fault(),
            DefsStateError::NoProjects { .. } => Fault::Usage,
            DefsStateError::OtherPlatform { .. } | DefsStateError::File { .. } => Fault::Tool,
            _ => Fault::Project,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            DefsStateError::Dagster(error) => error.hint(),
            DefsStateError::NoProjects { by_flag: false } => Some("name the dg project or workspace".into()),
            DefsStateError::NoProjects { by_flag: true } => Some("leave --refresh-defs-state out, or name the dg project or workspace".into()),
            DefsStateError::OtherPlatform { .. } => {
                Some("run it on Linux with the same processor, for example on the runner".into())
            }
            DefsStateError::NotLoaded { .. } | DefsStateError::Component { .. } => Some(
                "the code runs here with the environment variables of Dagster+ and of this run; nothing of this project was sent".into(),
            ),
            DefsStateError::NoResult { .. } | DefsStateError::File { .. } => None,
        }
    }
}
