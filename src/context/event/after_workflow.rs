//! The event `workflow_run`: another workflow has started or ended.
//!
//! Such a run always has the default branch in `GITHUB_REF` and `GITHUB_SHA`, and the secrets of the repository. Only
//! the payload says what it is about. Only a successful run is followed by a deployment, and only of its own commit.
//! Source: "Events that trigger workflows" and "Webhook events and payloads" (GitHub's manual).

use super::{
    AFTER_WORKFLOW, CommitEvent, PullRequestRef, Trigger, Untrusted, head_commit, numbered, text_at,
};
use crate::context::ContextError;
use crate::env_vars;
use crate::foreign_text::neutral;
use crate::host::Host;
use serde_json::Value;

/// Events that run with this repository's own code.
const OWN: [&str; 5] = ["push", "schedule", "workflow_dispatch", "release", "repository_dispatch"];

/// The trigger after a run of another workflow.
///
/// # Errors
/// When the payload does not have the commit of that run.
pub fn read(payload: &Value, host: &Host) -> Result<Trigger, ContextError> {
    let text = |pointer: &str| text_at(payload, pointer);
    let event = text("/workflow_run/event");
    if let Some(reason) = not_followed(payload) {
        return Ok(Trigger::Nothing(reason));
    }
    let is_queued = text("/workflow_run/head_branch").is_some_and(|branch| super::is_merge_queue(&branch));
    if is_queued || event.as_deref() == Some("merge_group") {
        return Ok(Trigger::Nothing(super::MERGE_QUEUE.into()));
    }
    let (ours, theirs) = (text("/repository/full_name"), text("/workflow_run/head_repository/full_name"));
    let own = ours.as_ref().zip(theirs).is_some_and(|(ours, theirs)| ours.eq_ignore_ascii_case(&theirs));
    // Code of a pull request or a fork may be anyone's.
    if !own || !event.is_some_and(|event| OWN.contains(&event.as_str())) {
        return Ok(Trigger::Untrusted(Untrusted {
            event: AFTER_WORKFLOW.into(),
            request: pull_request(payload),
        }));
    }
    let sha = text("/workflow_run/head_sha").ok_or_else(|| ContextError::EventUnreadable {
        event: AFTER_WORKFLOW.into(),
        what: "the payload has no `workflow_run.head_sha`".into(),
        source: None,
    })?;
    Ok(Trigger::Commit(CommitEvent {
        event: AFTER_WORKFLOW.into(),
        sha: Some(sha),
        repository: ours.or_else(|| host.var(env_vars::GITHUB_REPOSITORY).map(String::from)),
        branch: text("/workflow_run/head_branch"),
        // The payload has the name of a tag as `head_branch`, so a tag looks like a branch.
        tag: None,
        default_branch: text("/repository/default_branch"),
        about_pull_request: None,
        head: payload.get("workflow_run").and_then(head_commit),
    }))
}

/// The pull request of a run. If it comes from a fork, the payload's list is empty.
fn pull_request(payload: &Value) -> PullRequestRef {
    let text = |pointer: &str| text_at(payload, pointer);
    let known = numbered(payload, "/workflow_run/pull_requests/0/number");
    let by_commit = || {
        let repository = text("/repository/full_name")?;
        let fork = text("/workflow_run/head_repository/full_name")?;
        let (owner, _) = fork.split_once('/')?;
        let head = format!("{owner}:{}", text("/workflow_run/head_branch")?);
        Some(PullRequestRef::Commit { repository, head, sha: text("/workflow_run/head_sha")? })
    };
    match known {
        PullRequestRef::Unknown => by_commit().unwrap_or(PullRequestRef::Unknown),
        known => known,
    }
}

/// Why nothing is deployed after that run: it has not ended, or was not successful.
fn not_followed(payload: &Value) -> Option<String> {
    let text = |pointer: &str| text_at(payload, pointer).map(|text| neutral(&text));
    let which = match text("/workflow_run/name") {
        Some(name) => format!("the run of the workflow `{name}` that started this one"),
        None => "the workflow run that started this one".to_string(),
    };
    match (text("/action").as_deref(), text("/workflow_run/conclusion").as_deref()) {
        (Some("completed"), Some("success")) => None,
        (Some("completed"), Some(conclusion)) => {
            Some(format!("{which} ended with `{conclusion}`, and only successful runs are deployed"))
        }
        (Some("completed"), None) => Some(format!("{which} ended without a conclusion")),
        (Some(action), _) => Some(format!("{which} is not completed (`{action}`)")),
        (None, _) => Some(format!("the payload does not say whether {which} is completed")),
    }
}
