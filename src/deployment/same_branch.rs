//! Pull requests of one head branch share its branch deployment, so it stays open while one of them is open.

use crate::context::event::{PullRequest, Trigger};
use crate::github::{Github, pull_request};

/// Why the branch deployment of a closed pull request stays: another one of the same branch is open. Also `None` if
/// GitHub cannot be asked.
pub fn reason_to_stay(trigger: &Trigger, github: Option<&Github>) -> Option<String> {
    let Trigger::PullRequestClosed(request) = trigger else { return None };
    let open = open_requests(request, github?)?;
    let other = open.into_iter().find(|other| other.number != request.number)?;
    Some(format!(
        "pull request {} of the same branch is open, and the branch deployment is closed with the last of them",
        other.number
    ))
}

fn open_requests(request: &PullRequest, github: &Github) -> Option<Vec<pull_request::PullRequest>> {
    let (owner, _) = request.head_repository.as_deref().unwrap_or(&request.repository).split_once('/')?;
    let head = format!("{owner}:{}", request.branch);
    pull_request::open_of(github, &request.repository, &head)
        .map_err(|error| {
            let so = "its branch deployment is closed as if it were the only one";
            github.host().detail(format!("{error}; {so}"));
        })
        .ok()
}
