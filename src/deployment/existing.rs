//! The deployment of a command that deploys nothing: it has to exist already.

use super::{DEFAULT_DEPLOYMENT, DeploymentError, instead_of};
use crate::context::Context;
use crate::context::event::Trigger;
use crate::dagster::{Client, DagsterError};

/// A client at the deployment that a command is about, and what `ask` answers there: the named deployment, else in a
/// pull request its branch deployment, else the default one.
///
/// # Errors
/// If there is no such deployment, or Dagster+ refuses.
pub fn existing<T>(
    context: &Context,
    client: &Client,
    ask: impl Fn(&Client) -> Result<T, DagsterError>,
) -> Result<(Client, T), DeploymentError> {
    let (name, is_default) = name(context, client)?;
    let client = client.at(&name);
    match ask(&client) {
        Ok(answer) => Ok((client, answer)),
        Err(error) => {
            let client = client.at(&instead_of(&name, is_default, error, &client, context.by_inputs)?);
            let answer = ask(&client)?;
            Ok((client, answer))
        }
    }
}

/// An error for a run that changes something in a deployment and that code of others started, if it names no deployment:
/// the default one is not meant.
///
/// # Errors
/// The event names no branch deployment.
pub fn check_named(context: &Context) -> Result<(), DeploymentError> {
    if context.endpoint.deployment.is_some() || !matches!(context.trigger, Trigger::Untrusted(_)) {
        return Ok(());
    }
    let why = "the event does not name the pull request whose branch deployment is meant".into();
    Err(DeploymentError::NotNamed { why })
}

/// Its name, and whether that is only the default.
fn name(context: &Context, client: &Client) -> Result<(String, bool), DeploymentError> {
    match (&context.endpoint.deployment, &context.trigger) {
        (Some(name), _) => Ok((name.clone(), false)),
        (None, Trigger::PullRequest(request) | Trigger::PullRequestClosed(request)) => {
            Ok((client.branch_deployment_name(&request.repository, &request.branch)?, false))
        }
        (None, _) => Ok((DEFAULT_DEPLOYMENT.into(), true)),
    }
}
