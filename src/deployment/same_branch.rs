//! Pull requests of one head branch: they share its branch deployment, so that it stays while one of them is open.

use crate::context::event::{PullRequest, Trigger};
use crate::env_vars;
use crate::github::{Github, pull_request};
use crate::host::Host;
use crate::net::{Agent, Secret};

/// Why the branch deployment of a closed pull request stays: another one of the same branch is open. `None` too where
/// GitHub cannot be asked.
pub fn reason_to_stay(trigger: &Trigger, agent: &Agent, host: &Host) -> Option<String> {
    let Trigger::PullRequestClosed(request) = trigger else { return None };
    let other =
        open_requests(request, agent, host)?.into_iter().find(|other| other.number != request.number)?;
    Some(format!(
        "pull request {} of the same branch is open, and the branch deployment is closed with the last of them",
        other.number
    ))
}

fn open_requests(
    request: &PullRequest,
    agent: &Agent,
    host: &Host,
) -> Option<Vec<pull_request::PullRequest>> {
    let token = Secret::new(host.var(env_vars::GITHUB_TOKEN)?);
    let github = Github::new(host.var(env_vars::GITHUB_API_URL)?, token, agent, host);
    let (owner, _) = request.head_repository.as_deref().unwrap_or(&request.repository).split_once('/')?;
    let head = format!("{owner}:{}", request.branch);
    pull_request::open_of(&github, &request.repository, &head)
        .map_err(|error| {
            host.detail(format!("{error}; its branch deployment is closed as if it were the only one"))
        })
        .ok()
}
