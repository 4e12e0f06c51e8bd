//! Anything that can end a run.

use super::action;
use crate::build::BuildError;
use crate::cache::CacheError;
use crate::context::ContextError;
use crate::dagster::DagsterError;
use crate::deployment::DeploymentError;
use crate::error::{Explain, Fault, Place};
use crate::github::runner::RunnerError;
use crate::project::{CollectError, ProjectErrors, PythonVersionError};
use crate::tools;
use crate::update::ConnectError;
use crate::verify::VerifyError;
use std::path::PathBuf;
use std::sync::Arc;

/// Anything that can end a run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    #[allow(missing_docs)]
    Cache(#[from] CacheError),
    #[error(transparent)]
    #[allow(missing_docs)]
    Project(#[from] ProjectErrors),
    #[error(transparent)]
    #[allow(missing_docs)]
    Collect(#[from] CollectError),
    #[error(transparent)]
    #[allow(missing_docs)]
    PythonVersion(#[from] PythonVersionError),
    #[error(transparent)]
    #[allow(missing_docs)]
    Context(#[from] ContextError),
    #[error(transparent)]
    #[allow(missing_docs)]
    Deployment(#[from] DeploymentError),
    #[error(transparent)]
    #[allow(missing_docs)]
    Dagster(#[from] DagsterError),
    #[error(transparent)]
    #[allow(missing_docs)]
    Connect(#[from] ConnectError),
    #[error(transparent)]
    #[allow(missing_docs)]
    Build(#[from] BuildError),
    #[error(transparent)]
    #[allow(missing_docs)]
    Verify(#[from] VerifyError),
    #[error(transparent)]
    #[allow(missing_docs)]
    PermissionDenied(action::PermissionDenied),
    #[error(transparent)]
    #[allow(missing_docs)]
    Runner(#[from] RunnerError),
    /// `--location` names none that there is.
    #[error("`{}` has no code location `{name}`; it has {}", file.display(), known.join(", "))]
    UnknownLocation {
        /// As given.
        name: String,
        /// The file or directory looked in.
        file: PathBuf,
        /// The names that there are.
        known: Vec<String>,
    },
    /// Some code locations were not built; why was said already.
    #[error("{} of {total} code locations could not be built: {}", failed.len(), failed.join(", "))]
    NotBuilt {
        /// Their names.
        failed: Vec<String>,
        /// How many there are in all.
        total: usize,
        /// Whose fault the last failure was.
        fault: Fault,
    },
    /// Some code locations do not load; the tracebacks were printed already.
    #[error("{} of {total} code locations could not be loaded: {}", failed.len(), failed.join("; "))]
    NotLoaded {
        /// Name and exception of each.
        failed: Vec<String>,
        /// How many there are in all.
        total: usize,
        /// What to do about the only one.
        hint: Option<String>,
    },
    /// Some code locations were not deployed; why was said already.
    #[error("{} of {total} code locations could not be deployed: {}", failed.len(), failed.join(", "))]
    NotDeployed {
        /// Their names.
        failed: Vec<String>,
        /// How many there are in all.
        total: usize,
        /// Whose fault the worst failure was.
        fault: Fault,
    },
    /// What ended a run at Dagster+, and was met more than once.
    #[error(transparent)]
    Ended(Arc<DagsterError>),
    /// No room for temporary files.
    #[error("could not make a temporary directory")]
    Temporary(#[source] std::io::Error),
    #[error(transparent)]
    #[allow(missing_docs)]
    Tools(#[from] tools::Error),
    /// The Python of a managed environment does not start.
    #[error("could not start `{python}`")]
    Module {
        /// The interpreter.
        python: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// stdout is closed or full.
    #[error("could not write to standard output")]
    Stdout(#[source] std::io::Error),
}

impl Error {
    fn inner(&self) -> Option<&dyn Explain> {
        match self {
            Error::Cache(error) => Some(error),
            Error::Tools(error) => Some(error),
            Error::Project(error) => Some(error),
            Error::Collect(error) => Some(error),
            Error::PythonVersion(error) => Some(error),
            Error::Context(error) => Some(error),
            Error::Deployment(error) => Some(error),
            Error::Dagster(error) => Some(error),
            Error::Ended(error) => Some(error.as_ref()),
            Error::Connect(error) => Some(error),
            Error::Build(error) => Some(error),
            Error::Verify(error) => Some(error),
            Error::PermissionDenied(error) => Some(error),
            Error::Runner(error) => Some(error),
            _ => None,
        }
    }
}

impl Explain for Error {
    fn fault(&self) -> Fault {
        match self {
            Error::UnknownLocation { .. } => Fault::Usage,
            Error::NotBuilt { fault, .. } | Error::NotDeployed { fault, .. } => *fault,
            Error::NotLoaded { .. } => Fault::Project,
            _ => self.inner().map_or(Fault::Tool, Explain::fault),
        }
    }
    fn hint(&self) -> Option<String> {
        match self {
            Error::Temporary(_) => {
                Some("set TMPDIR to a directory that can be written and has room".to_string())
            }
            Error::NotLoaded { hint, .. } => hint.clone(),
            _ => self.inner().and_then(Explain::hint),
        }
    }
    fn place(&self) -> Option<Place> {
        self.inner().and_then(Explain::place)
    }
}
