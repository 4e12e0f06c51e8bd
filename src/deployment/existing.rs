//! The deployment of a command that deploys nothing: it has to exist already.

use super::args::BranchArgs;
use super::{
    Act, Branch, Choice, DEFAULT_DEPLOYMENT, DeploymentError, Destination, Question, instead_of,
    is_branch_name,
};
use crate::context::Context;
use crate::context::event::Trigger;
use crate::dagster::operations::BranchData;
use crate::dagster::{Client, DagsterError};
use crate::foreign_text::neutral;

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

/// A change in a deployment that exists.
pub struct Change<'a> {
    /// What is done.
    pub act: Act<'a>,
    /// Whether a flag names the deployment.
    pub named_by_flag: bool,
    /// Whether nothing is asked.
    pub yes: bool,
}

/// The same for a command that changes something there. A person's command goes where a deploy from here would go, and
/// asks before it changes a full deployment.
///
/// # Errors
/// Also if no deployment is named and none follows from the run or the work tree, or the user answers no.
pub fn to_change<T>(
    change: &Change<'_>,
    context: &Context,
    client: &Client,
    ask: impl Fn(&Client) -> Result<T, DagsterError>,
) -> Result<(Client, T), DeploymentError> {
    check_named(context)?;
    let host = client.host();
    // Without a work tree nothing but the question says that a full deployment is meant.
    let follows = match context.trigger {
        Trigger::Person => !change.named_by_flag && context.work_tree.exists(),
        Trigger::OtherCi => true,
        _ => false,
    };
    if follows
        && let Choice::Deploy(Destination::Branch(branch)) =
            super::decide(context, None, &BranchArgs::default(), change.named_by_flag, host)?
    {
        return of_branch(&branch, client, ask);
    }
    let (client, answer) = existing(context, client, ask)?;
    let name = client.deployment().unwrap_or_default();
    if matches!(context.trigger, Trigger::Person) && !is_branch_name(name) {
        let question = Question {
            act: change.act,
            name,
            organization_url: &context.endpoint.organization_url,
            work_tree: context.work_tree.state(),
            ..Question::default()
        };
        // A script that names the deployment has made the choice.
        match super::confirm(&question, change.yes, host) {
            Err(DeploymentError::NoConfirmation { .. }) if change.named_by_flag => {}
            answer => answer?,
        }
    }
    Ok((client, answer))
}

/// A client at the branch deployment of `branch`, and what `ask` answers there.
///
/// # Errors
/// If it was not created yet, or Dagster+ refuses.
pub fn of_branch<T>(
    branch: &Branch,
    client: &Client,
    ask: impl Fn(&Client) -> Result<T, DagsterError>,
) -> Result<(Client, T), DeploymentError> {
    let BranchData { repo_name, branch_name, .. } = &branch.data;
    let name = client.branch_deployment_name(repo_name, branch_name)?;
    let client = client.at(&name);
    match ask(&client) {
        Ok(answer) => Ok((client, answer)),
        // The organization itself may not exist.
        Err(error @ DagsterError::NotFound { .. }) => match client.full_deployments() {
            Ok(_) => Err(DeploymentError::NotYet { branch: neutral(branch_name) }),
            Err(_) => Err(error.into()),
        },
        Err(error) => Err(error.into()),
    }
}

/// An error for a run that changes something in a deployment and that code of others started, if it names no deployment:
/// the default one is not meant.
fn check_named(context: &Context) -> Result<(), DeploymentError> {
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
