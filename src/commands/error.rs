//! Anything that can end a run.

use super::action;
use super::init::InitError;
use crate::builder::BuildError;
use crate::cache::CacheError;
use crate::cli::action::InputError;
use crate::context::ContextError;
use crate::dagster::DagsterError;
use crate::defs_state::DefsStateError;
use crate::deployment::DeploymentError;
use crate::error::{Explain, Fault, Place};
use crate::github::runner::RunnerError;
use crate::launch::LaunchError;
use crate::plan::images::ImagesError;
use crate::plan::strategy::StrategyError;
use crate::project::dockerfile::RecipeError;
use crate::project::{CollectError, ProjectErrors, PythonVersionError};
use crate::publish::images::PushError;
use crate::publish::named_images::NamedImageError;
use crate::publish::registry_login::RegistryLoginError;
use crate::tools;
use crate::update::ConnectError;
use crate::update::prune::PruneError;
use crate::update::redeploy::RedeployError;
use crate::verify::VerifyError;
use std::path::PathBuf;
use std::sync::Arc;

/// Anything that can end a run.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // the messages say what the fields are
pub enum Error {
    #[error(transparent)]
    Cache(#[from] CacheError),
    #[error(transparent)]
    Project(#[from] ProjectErrors),
    #[error(transparent)]
    Images(#[from] ImagesError),
    #[error(transparent)]
    Collect(#[from] CollectError),
    #[error(transparent)]
    Dockerfile(#[from] RecipeError),
    #[error(transparent)]
    PythonVersion(#[from] PythonVersionError),
    #[error(transparent)]
    Context(#[from] ContextError),
    #[error(transparent)]
    Deployment(#[from] DeploymentError),
    #[error(transparent)]
    Dagster(#[from] DagsterError),
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error(transparent)]
    Build(#[from] BuildError),
    #[error(transparent)]
    PushImage(#[from] PushError),
    #[error(transparent)]
    NamedImage(#[from] NamedImageError),
    #[error(transparent)]
    RegistryLogin(#[from] RegistryLoginError),
    #[error(transparent)]
    Strategy(#[from] StrategyError),
    /// The name of the default base image is not one.
    #[error("the base image cannot be named: {0}")]
    BaseName(String),
    #[error(transparent)]
    Verify(#[from] VerifyError),
    #[error(transparent)]
    DefsState(#[from] DefsStateError),
    #[error(transparent)]
    Launch(#[from] LaunchError),
    #[error(transparent)]
    Prune(#[from] PruneError),
    #[error(transparent)]
    Redeploy(#[from] RedeployError),
    #[error(transparent)]
    Input(#[from] InputError),
    #[error(transparent)]
    PermissionDenied(action::PermissionDenied),
    #[error(transparent)]
    Runner(#[from] RunnerError),
    /// `--location` names a code location that does not exist.
    #[error("`{}` has no code location `{name}`; it has {}", file.display(), known.join(", "))]
    UnknownLocation { name: String, file: PathBuf, known: Vec<String> },
    /// `cache clean` while another run may read it.
    #[error("the cache `{}` is in use by another run of pexpress", dir.display())]
    CacheInUse { dir: PathBuf },
    /// Some code locations were not built; the causes were printed already.
    #[error("{} of {total} code locations could not be built: {}", failed.len(), failed.join(", "))]
    NotBuilt { failed: Vec<String>, total: usize, fault: Fault },
    /// Some code locations do not load; the tracebacks were printed already.
    #[error("{} of {total} code locations could not be loaded: {}", failed.len(), failed.join("; "))]
    NotLoaded { failed: Vec<String>, total: usize, hint: Option<String> },
    /// Some code locations were not deployed; the causes were printed already.
    #[error("{} of {total} code locations could not be deployed: {}", failed.len(), failed.join(", "))]
    NotDeployed { failed: Vec<String>, total: usize, fault: Fault },
    /// An error from Dagster+ that ended a run and that several threads have seen.
    #[error(transparent)]
    Ended(Arc<DagsterError>),
    #[error(transparent)]
    Init(#[from] InitError),
    /// Temporary files could not be created.
    #[error("could not create a temporary directory")]
    Temporary(#[source] std::io::Error),
    #[error(transparent)]
    Tools(#[from] tools::Error),
    /// The Python of a managed environment does not start.
    #[error("could not start `{python}`")]
    Module {
        python: PathBuf,
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
            Error::Images(error) => Some(error),
            Error::Collect(error) => Some(error),
            Error::Dockerfile(error) => Some(error),
            Error::PythonVersion(error) => Some(error),
            Error::Context(error) => Some(error),
            Error::Deployment(error) => Some(error),
            Error::Dagster(error) => Some(error),
            Error::Ended(error) => Some(error.as_ref()),
            Error::Connect(error) => Some(error),
            Error::Build(error) => Some(error),
            Error::PushImage(error) => Some(error),
            Error::NamedImage(error) => Some(error),
            Error::RegistryLogin(error) => Some(error),
            Error::Strategy(error) => Some(error),
            Error::Verify(error) => Some(error),
            Error::DefsState(error) => Some(error),
            Error::Launch(error) => Some(error),
            Error::Input(error) => Some(error),
            Error::Redeploy(error) => Some(error),
            Error::Prune(error) => Some(error),
            Error::PermissionDenied(error) => Some(error),
            Error::Runner(error) => Some(error),
            Error::Init(error) => Some(error),
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
            Error::BaseName(_) => Fault::Bug,
            _ => self.inner().map_or(Fault::Tool, Explain::fault),
        }
    }
    fn hint(&self) -> Option<String> {
        match self {
            Error::Temporary(_) => Some("set TMPDIR to a writable directory with free space".to_string()),
            Error::CacheInUse { .. } => Some(
                "wait for it; or use `pexpress cache prune`, which removes only what is not in use"
                    .to_string(),
            ),
            Error::NotLoaded { hint, .. } => hint.clone(),
            _ => self.inner().and_then(Explain::hint),
        }
    }
    fn place(&self) -> Option<Place> {
        self.inner().and_then(Explain::place)
    }
}
