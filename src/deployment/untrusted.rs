//! The pull request behind a run that has secrets, for users who allow its code to be built there.
//!
//! Such events check out the default branch unless told otherwise, and some name only the pull request's number. So
//! GitHub is asked for what is missing, and the work tree has to hold the code that the deployment would be said to run.

use super::DeploymentError;
use crate::context::Context;
use crate::context::event::{Asked, PullRequest, Trigger, Untrusted};
use crate::env_vars;
use crate::github::{Github, pull_request};
use crate::host::Host;
use crate::net::{Agent, Secret};

/// The run as that of its pull request.
///
/// # Errors
/// When it does not say which pull request it is of, GitHub does not tell, or other code is checked out.
pub fn admit(
    code: &Untrusted,
    context: &Context,
    agent: &Agent,
    host: &Host,
) -> Result<Trigger, DeploymentError> {
    let request = match &code.request {
        Asked::Known(request) => request.clone(),
        Asked::Number { repository, number } => fetch(repository, *number, agent, host)?,
        Asked::Nowhere => {
            return Err(DeploymentError::NoBranch {
                why: "the event does not say which pull request it is of",
            });
        }
    };
    if !request.open || request.merged {
        return Ok(Trigger::Nothing(format!("pull request {} is closed already", request.number)));
    }
    if !context.work_tree.holds(&request.head_sha) {
        return Err(DeploymentError::OtherCheckedOut { number: request.number, head: request.head_sha });
    }
    Ok(Trigger::PullRequest(request))
}

fn fetch(repository: &str, number: u64, agent: &Agent, host: &Host) -> Result<PullRequest, DeploymentError> {
    let variables = host.var(env_vars::GITHUB_API_URL).zip(host.var(env_vars::GITHUB_TOKEN));
    let (api_url, token) = variables.ok_or(DeploymentError::NoBranch {
        why: "without GITHUB_API_URL and GITHUB_TOKEN GitHub cannot be asked for the pull request",
    })?;
    let found =
        pull_request::fetch(&Github::new(api_url, Secret::new(token), agent, host), repository, number)?;
    Ok(PullRequest {
        number: found.number,
        branch: found.head_ref,
        head_sha: found.head_sha,
        repository: repository.to_string(),
        head_repository: found.head_repository,
        url: found.url,
        base_branch: Some(found.base_ref),
        merged: found.merged,
        open: found.open,
        author: None,
        avatar_url: None,
    })
}
