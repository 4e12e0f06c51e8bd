//! Why nothing can be deployed to a deployment.

use crate::dagster::DagsterError;
use crate::deployment::DeploymentError;
use crate::error::{Explain, Fault, Place};
use crate::plan::strategy::StrategyError;
use std::path::PathBuf;

/// Nothing can be deployed there, or it cannot be determined what to deploy.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // the messages say what the fields are
pub enum ConnectError {
    #[error(transparent)]
    Dagster(#[from] DagsterError),
    #[error(transparent)]
    Deployment(#[from] DeploymentError),
    #[error(transparent)]
    Strategy(#[from] StrategyError),
    /// The registry decides between PEX files and images.
    #[error("it is not known whether PEX files can run there")]
    Registry(#[source] DagsterError),
    /// A base image tag without a registry.
    #[error(
        "the base image `{tag}` cannot be used: Dagster+ did not return the address of the organization's registry"
    )]
    NoRegistry { tag: String },
    /// `--defs-state-info` does not name a JSON file.
    #[error("could not read `{path}` (--defs-state-info) as JSON")]
    DefsStateInfo {
        path: PathBuf,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Explain for ConnectError {
    fn fault(&self) -> Fault {
        match self {
            ConnectError::Dagster(error) => error.fault(),
            ConnectError::Deployment(error) => error.fault(),
            ConnectError::Strategy(error) => error.fault(),
            ConnectError::Registry(error) => error.fault(),
            ConnectError::NoRegistry { .. } => Fault::Remote,
            ConnectError::DefsStateInfo { .. } => Fault::Usage,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            ConnectError::Dagster(error) => error.hint(),
            ConnectError::Deployment(error) => error.hint(),
            ConnectError::Strategy(error) => error.hint(),
            ConnectError::Registry(_) => {
                Some("run again; with `pex` as --strategy, PEX files are deployed without this answer".into())
            }
            ConnectError::NoRegistry { .. } => Some("set the full image with --image".to_string()),
            ConnectError::DefsStateInfo { .. } => None,
        }
    }

    fn place(&self) -> Option<Place> {
        match self {
            ConnectError::Strategy(error) => error.place(),
            _ => None,
        }
    }
}
