//! Why a run has no deployment, and what to do.

use crate::context::ContextError;
use crate::dagster::DagsterError;
use crate::error::{Explain, Fault};
use crate::github::GithubError;

/// The deployment is not known.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum DeploymentError {
    #[error(transparent)]
    Context(#[from] ContextError),
    #[error(transparent)]
    Dagster(#[from] DagsterError),
    #[error("no deployment is named for this run, and {why}")]
    NotNamed { why: String },
    #[error("no branch deployment can be named: {why}")]
    NoBranch { why: &'static str },
    #[error(transparent)]
    Github(#[from] GithubError),
    #[error("there is no deployment `{name}`{}", known_deployments(known))]
    Unknown { name: String, known: Vec<String>, by_inputs: bool },
    #[error("there is no branch deployment `{name}`")]
    NoBranchDeployment { name: String, by_inputs: bool },
    #[error("this run is for the full deployment `{name}`, which is not a branch deployment")]
    Full { name: String },
    #[error("the branch `{branch}` has no branch deployment that could be closed")]
    NeverThere { branch: String },
    #[error("--deployment names `{flag}`, and --code-location-details `{details}`")]
    Contradiction { flag: String, details: String },
    #[error("the work tree does not hold the commit {head}, the head of pull request {number}")]
    OtherCheckedOut { number: u64, head: String },
    #[error(
        "the work tree holds the commit {held}, and the workflow run that started this one was of {head}"
    )]
    Untested { head: String, held: String },
    #[error("this run is for the tag `{tag}`, and only a branch can have a branch deployment")]
    Tag { tag: String },
    #[error("{what} the full deployment `{name}` needs a confirmation, and there is no terminal to ask in")]
    NoConfirmation { what: &'static str, name: String },
    #[error("cancelled: you answered no, and nothing was {what} `{name}`")]
    Declined { what: &'static str, name: String },
    #[error("the branch `{branch}` has no branch deployment yet: nothing was deployed for it")]
    NotYet { branch: String },
}

fn known_deployments(known: &[String]) -> String {
    let names: Vec<String> = known.iter().take(20).map(|name| format!("`{name}`")).collect();
    match names.is_empty() {
        true => String::new(),
        false => format!("; the full deployments of this organization are {}", names.join(", ")),
    }
}

impl Explain for DeploymentError {
    fn fault(&self) -> Fault {
        match self {
            DeploymentError::Context(error) => error.fault(),
            DeploymentError::Dagster(error) => error.fault(),
            DeploymentError::Github(error) => error.fault(),
            _ => Fault::Usage,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            DeploymentError::Context(error) => error.hint(),
            DeploymentError::Dagster(error) => error.hint(),
            DeploymentError::Github(error) => error.hint(),
            DeploymentError::OtherCheckedOut { number, .. } => {
                Some(format!("in the checkout step, set `ref: refs/pull/{number}/head`"))
            }
            DeploymentError::Untested { .. } => Some(
                "nothing was deployed because the checked-out code was not tested; in the checkout step, set `ref: ${{ github.event.workflow_run.head_sha }}`".into(),
            ),
            DeploymentError::Tag { .. } => Some(
                "use --full-deployment for the full deployment, or start the run on a branch".into(),
            ),
            DeploymentError::NotNamed { .. } => Some(
                "name the full deployment with --deployment NAME (DAGSTER_CLOUD_DEPLOYMENT), or pass --deployment-for-branch for the branch deployment of the branch that is checked out".into(),
            ),
            DeploymentError::Unknown { by_inputs: true, .. } => {
                Some("name one with the input `deployment`; for a branch deployment's base it is `base_deployment`".into())
            }
            DeploymentError::Unknown { by_inputs: false, .. } => {
                Some("name one with --deployment; for a branch deployment's base it is --base-deployment".into())
            }
            DeploymentError::NoBranchDeployment { by_inputs: true, .. } => Some(
                "deploy the branch first, or create its deployment in a step before with `command: branch-deployment` and `create: true`; for another deployment use the input `deployment`".into(),
            ),
            DeploymentError::NoBranchDeployment { by_inputs: false, .. } => Some(
                "deploy the branch first, or create its deployment with `pexpress branch-deployment --create`".into(),
            ),
            DeploymentError::Full { .. } => Some(
                "pass --deployment-for-branch for the branch deployment of the branch that is checked out".into(),
            ),
            DeploymentError::Contradiction { .. } => Some("leave one of them out".into()),
            DeploymentError::NoBranch { .. } => Some(
                "run this in a git checkout of a branch with a remote `origin`, or in a pull request's workflow; or name a deployment with --deployment NAME".into(),
            ),
            DeploymentError::NoConfirmation { .. } => Some("pass --yes to go on without confirmation".into()),
            DeploymentError::NotYet { .. } => Some(
                "`pexpress deploy --upload --update` deploys it, and `pexpress branch-deployment --create` creates an empty one; --deployment NAME names another deployment".into(),
            ),
            DeploymentError::Declined { .. } | DeploymentError::NeverThere { .. } => None,
        }
    }
}
