//! Why nothing can be deployed to a deployment.

use crate::dagster::DagsterError;
use crate::deployment::DeploymentError;
use crate::env_vars;
use crate::error::{Explain, Fault};
use std::path::PathBuf;

/// Nothing can be deployed there, or it cannot be determined what to deploy.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // the messages say what the fields are
pub enum ConnectError {
    #[error(transparent)]
    Dagster(#[from] DagsterError),
    #[error(transparent)]
    Deployment(#[from] DeploymentError),
    /// The organization is on Serverless on Kubernetes.
    #[error(
        "this organization runs code locations from images (its registry is Harbor), where PEX files cannot run"
    )]
    NoPexRuntime,
    /// The deployment is not a Serverless one.
    #[error(
        "{} is a Hybrid deployment, and PEX files only run in Dagster+ Serverless", deployment.as_ref().map_or("the default deployment of this organization".to_string(), |name| format!("`{name}`"))
    )]
    Hybrid { deployment: Option<String> },
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
            ConnectError::NoPexRuntime | ConnectError::Hybrid { .. } => Fault::Project,
            ConnectError::NoRegistry { .. } => Fault::Remote,
            ConnectError::DefsStateInfo { .. } => Fault::Usage,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            ConnectError::Dagster(error) => error.hint(),
            ConnectError::Deployment(error) => error.hint(),
            ConnectError::NoPexRuntime => Some(format!(
                "deploy images with `dagster-cloud serverless deploy`, or set {}=1 if PEX files do run there",
                env_vars::DAGSTER_CLOUD_DISABLE_PEX_DOCKER_REDIRECT
            )),
            ConnectError::Hybrid { .. } => Some(
                "Hybrid agents run code locations from images: build and push them in a step before, and name them with --image-of, or a tag for all of them with --image-tag; nothing was built or changed".into(),
            ),
            ConnectError::NoRegistry { .. } => Some("set the full image with --image".to_string()),
            ConnectError::DefsStateInfo { .. } => None,
        }
    }
}
