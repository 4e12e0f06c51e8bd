//! The pull request behind a run that has secrets, for users who allow its code to be built there.
//!
//! Such events check out the default branch by default, and some name only the pull request's number. So GitHub is
//! asked for what is missing, and the work tree has to hold the code that the deployment would be said to run.

use super::DeploymentError;
use crate::context::Context;
use crate::context::event::{PullRequest, PullRequestRef, Trigger, Untrusted};
use crate::foreign_text::neutral;
use crate::github::{Github, pull_request};

/// Treat the run as one of its pull request.
///
/// # Errors
/// If its pull request is unknown to the event and to GitHub, or other code is checked out.
pub fn admit(code: &Untrusted, context: &Context) -> Result<Trigger, DeploymentError> {
    let request = match &code.request {
        PullRequestRef::Known(request) => request.clone(),
        PullRequestRef::Number { repository, number } => from_github(
            pull_request::fetch(needed(context.github.as_ref())?, repository, *number)?,
            repository,
        ),
        PullRequestRef::Commit { repository, head, sha } => {
            match open_at(repository, head, sha, needed(context.github.as_ref())?)? {
                Some(request) => request,
                None => {
                    return Ok(Trigger::Nothing(format!(
                        "no open pull request of `{}` is at commit {}",
                        neutral(head),
                        neutral(sha)
                    )));
                }
            }
        }
        PullRequestRef::Unknown => {
            return Err(DeploymentError::NoBranch { why: "the event does not identify its pull request" });
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

/// The trigger with its pull request, if the event has only branch and commit and GitHub knows it. It decides where the
/// run reports to, before it is known whether the run may continue.
pub fn with_request(trigger: Trigger, github: Option<&Github>) -> Trigger {
    let Trigger::Untrusted(Untrusted { event, request: PullRequestRef::Commit { repository, head, sha } }) =
        &trigger
    else {
        return trigger;
    };
    match github.map(|github| open_at(repository, head, sha, github)) {
        Some(Ok(Some(request))) => {
            Trigger::Untrusted(Untrusted { event: event.clone(), request: PullRequestRef::Known(request) })
        }
        // The run itself asks again, and fails with the error then.
        Some(Ok(None) | Err(_)) | None => trigger,
    }
}

/// The open pull request of `head` (`owner:branch`) whose newest commit is `sha`.
fn open_at(
    repository: &str,
    head: &str,
    sha: &str,
    github: &Github,
) -> Result<Option<PullRequest>, DeploymentError> {
    let open = pull_request::open_of(github, repository, head)?;
    let found = open.into_iter().find(|request| request.head_sha == sha);
    Ok(found.map(|found| from_github(found, repository)))
}

fn needed(github: Option<&Github>) -> Result<&Github, DeploymentError> {
    github.ok_or(DeploymentError::NoBranch {
        why: "the pull request cannot be looked up on GitHub without GITHUB_API_URL and GITHUB_TOKEN",
    })
}

fn from_github(found: pull_request::PullRequest, repository: &str) -> PullRequest {
    PullRequest {
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
    }
}
