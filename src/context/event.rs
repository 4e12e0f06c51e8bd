//! The event that started this run: GitHub's payload and `GITHUB_*` variables, read once.
//!
//! Only decides what the event *is*. A pull request with an unreadable payload is an error, and never treated as
//! another event: such a run must not reach a full deployment. Source of names and shapes: GitHub's documentation of
//! default variables and webhook payloads.

mod after_workflow;

use super::ContextError;
use crate::github::commit::epoch_seconds;
use crate::host::Host;
use crate::{bounded_file, env_vars, foreign_json};
use serde_json::Value;

/// The event that started this run.
#[derive(Debug, Clone, PartialEq)]
pub enum Trigger {
    /// A pull request was opened, pushed to, reopened …
    PullRequest(PullRequest),
    /// A pull request was closed or merged.
    PullRequestClosed(PullRequest),
    /// A commit on a branch or tag: push, release, schedule, manual dispatch.
    Commit(CommitEvent),
    /// A pull request with code from others, in a run with the secrets of this repository.
    Untrusted(Untrusted),
    /// Nothing is deployed, for this reason.
    Nothing(String),
    /// A CI system without a known event.
    OtherCi,
    /// A person's shell.
    Person,
}

impl Trigger {
    /// Number of the run's pull request.
    pub fn pull_request_number(&self) -> Option<u64> {
        match self {
            Trigger::PullRequest(request) | Trigger::PullRequestClosed(request) => Some(request.number),
            Trigger::Untrusted(Untrusted { request: PullRequestRef::Known(request), .. }) => {
                Some(request.number)
            }
            Trigger::Untrusted(Untrusted { request: PullRequestRef::Number { number, .. }, .. }) => {
                Some(*number)
            }
            _ => None,
        }
    }
}

/// Code that anyone may have written, in a run with secrets.
#[derive(Debug, Clone, PartialEq)]
pub struct Untrusted {
    /// `pull_request_target`, `workflow_run` or `issue_comment`.
    pub event: String,
    /// What is known about the pull request.
    pub request: PullRequestRef,
}

/// A pull request, or what is needed to ask GitHub about it.
#[derive(Debug, Clone, PartialEq)]
pub enum PullRequestRef {
    /// The payload has it.
    Known(PullRequest),
    /// The payload only has its number.
    Number {
        /// `owner/name` of the repository that the pull request is for.
        repository: String,
        /// `number`.
        number: u64,
    },
    /// The payload only has the branch and commit of a fork.
    Commit {
        /// `owner/name` of the repository that the pull request is for.
        repository: String,
        /// `owner:branch` of the fork.
        head: String,
        /// The commit of the other workflow's run.
        sha: String,
    },
    /// The payload does not identify it.
    Unknown,
}

/// A pull request, from its event.
#[derive(Debug, Clone, PartialEq)]
pub struct PullRequest {
    /// `number`.
    pub number: u64,
    /// `head.ref`: the branch.
    pub branch: String,
    /// `head.sha`: the commit that users see, not the temporary merge that the runner checks out.
    pub head_sha: String,
    /// `repository.full_name`: `owner/name` of the repository that the pull request is for.
    pub repository: String,
    /// `head.repo.full_name`: the repository of the branch; `None` when that fork was deleted.
    pub head_repository: Option<String>,
    /// `html_url`.
    pub url: Option<String>,
    /// `base.ref`.
    pub base_branch: Option<String>,
    /// `merged`.
    pub merged: bool,
    /// `state` is not `closed`.
    pub open: bool,
    /// `user.login`: who opened it; `None` when the account was deleted.
    pub author: Option<String>,
    /// `user.avatar_url`.
    pub avatar_url: Option<String>,
}

impl PullRequest {
    /// Whether the branch is in another repository than its base. Names are case-insensitive, and a deleted fork counts
    /// as a fork.
    pub fn from_fork(&self) -> bool {
        !self.head_repository.as_ref().is_some_and(|head| head.eq_ignore_ascii_case(&self.repository))
    }
}

/// A commit on a branch or tag.
#[derive(Debug, Clone, PartialEq)]
pub struct CommitEvent {
    /// `push`, `workflow_dispatch` …
    pub event: String,
    /// `GITHUB_SHA`; after another workflow, the commit of that workflow's run.
    pub sha: Option<String>,
    /// `owner/name`.
    pub repository: Option<String>,
    /// Branch, if it is one.
    pub branch: Option<String>,
    /// Tag, if it is one.
    pub tag: Option<String>,
    /// `repository.default_branch` of the payload.
    pub default_branch: Option<String>,
    /// Number of the pull request in a `repository_dispatch`, as slash commands send it.
    pub about_pull_request: Option<u64>,
    /// The commit in the payload of a push.
    pub head: Option<HeadCommit>,
}

impl CommitEvent {
    /// Whether the run follows the run of another workflow.
    pub fn follows_a_workflow(&self) -> bool {
        self.event == AFTER_WORKFLOW
    }

    /// Whether the user has to choose the deployment, because the run may be for any branch: it was started manually or
    /// after another workflow, and its branch is not known to be the default one.
    pub fn needs_choice(&self) -> bool {
        let on_default = self.branch.is_some() && self.branch == self.default_branch;
        match self.event.as_str() {
            "workflow_dispatch" => self.tag.is_none() && !on_default,
            event => event == AFTER_WORKFLOW && !on_default,
        }
    }
}

/// `head_commit` of a push.
#[derive(Debug, Clone, PartialEq)]
pub struct HeadCommit {
    /// `timestamp`, seconds since the epoch.
    pub timestamp: f64,
    /// First line of `message`.
    pub subject: String,
    /// `author.name`.
    pub author_name: String,
    /// `author.email`.
    pub author_email: String,
    /// `sender.avatar_url` of the push, if its author sent it.
    pub avatar_url: Option<String>,
}

/// GitHub's own payloads have at most 25 MB. Source: "Webhook events and payloads".
const MAX_PAYLOAD_BYTES: u64 = 64 << 20;

/// Events that deploy their commit to the full deployment.
const COMMIT_EVENTS: [&str; 3] = ["workflow_dispatch", "schedule", "repository_dispatch"];
/// The event of a run that follows the run of another workflow.
const AFTER_WORKFLOW: &str = "workflow_run";
/// `state` of a closed pull request. Any other value, including unknown ones, means open.
const CLOSED: &str = "closed";
/// Why a merge queue deploys nothing.
const MERGE_QUEUE: &str = "a merge queue entry is not deployed; its merge will be";
/// Actions when a release is published. It can be edited and deleted years later, when its commit is old.
const PUBLISHING_ACTIONS: [&str; 4] = ["created", "published", "released", "prereleased"];

/// The event that started this run.
///
/// # Errors
/// When the payload of a pull request event is missing, unreadable or incomplete, or an event does not identify the
/// checked-out code (such as GitLab merge requests).
pub fn read(host: &Host) -> Result<Trigger, ContextError> {
    let Some(name) = host.var(env_vars::GITHUB_EVENT_NAME) else {
        return outside_github(host);
    };
    from_payload(name, payload(name, host), host)
}

/// The trigger for an event with this name and payload.
fn from_payload(
    name: &str,
    payload: Result<Value, ContextError>,
    host: &Host,
) -> Result<Trigger, ContextError> {
    match name {
        "pull_request" | "pull_request_target" => pull_request(name, &payload?),
        // The payload is not read: no merge queue entry is deployed, whatever it contains.
        "merge_group" => Ok(Trigger::Nothing(MERGE_QUEUE.into())),
        "issue_comment" => Ok(issue_comment(&payload?)),
        AFTER_WORKFLOW => after_workflow::read(&payload?, host),
        // An unreadable payload is not an error here: `GITHUB_*` variables identify the commit.
        "push" => Ok(push(&payload.unwrap_or_default(), host)),
        "release" => Ok(release(&payload.unwrap_or_default(), host)),
        name if COMMIT_EVENTS.contains(&name) => Ok(commit(name, &payload.unwrap_or_default(), host)),
        other => Err(ContextError::EventNotDeployable { event: other.to_string() }),
    }
}

fn outside_github(host: &Host) -> Result<Trigger, ContextError> {
    // A runner without an event must not be treated as a person's shell.
    if host.on_runner() {
        return Err(ContextError::EventUnreadable {
            event: "unknown".into(),
            what: format!("{} is not set", env_vars::GITHUB_EVENT_NAME),
            source: None,
        });
    }
    if host.var(env_vars::CI_MERGE_REQUEST_IID).is_some() {
        return Err(ContextError::EventNotDeployable { event: "GitLab merge request".into() });
    }
    Ok(if host.in_ci() { Trigger::OtherCi } else { Trigger::Person })
}

fn payload(event: &str, host: &Host) -> Result<Value, ContextError> {
    let unreadable = |what: String, source: Option<Box<dyn std::error::Error + Send + Sync>>| {
        ContextError::EventUnreadable { event: event.to_string(), what, source }
    };
    let path = host
        .path_var(env_vars::GITHUB_EVENT_PATH)
        .ok_or_else(|| unreadable(format!("{} is not set", env_vars::GITHUB_EVENT_PATH), None))?;
    let path = host.absolute(&path);
    let text = bounded_file::read(&path, MAX_PAYLOAD_BYTES)
        .map_err(|error| unreadable(format!("`{}` cannot be read", path.display()), Some(error.into())))?;
    foreign_json::read(&text).map_err(|error| {
        unreadable(format!("`{}` is not an event payload", path.display()), Some(error.into()))
    })
}

/// For [`crate::fuzzing`].
#[cfg(any(test, fuzzing))]
pub(crate) fn fuzzing(name: &str, payload: &[u8], host: &Host) {
    if let Ok(payload) = foreign_json::read(payload) {
        let _ = from_payload(name, Ok(payload), host);
    }
}

fn pull_request(event: &str, payload: &Value) -> Result<Trigger, ContextError> {
    let missing = |member: &str| ContextError::EventUnreadable {
        event: event.to_string(),
        what: format!("the payload has no `{member}`"),
        source: None,
    };
    let text = |pointer: &str| text_at(payload, pointer);
    let request = PullRequest {
        number: payload
            .pointer("/pull_request/number")
            .and_then(Value::as_u64)
            .ok_or_else(|| missing("pull_request.number"))?,
        branch: text("/pull_request/head/ref").ok_or_else(|| missing("pull_request.head.ref"))?,
        head_sha: text("/pull_request/head/sha").ok_or_else(|| missing("pull_request.head.sha"))?,
        repository: text("/repository/full_name").ok_or_else(|| missing("repository.full_name"))?,
        head_repository: text("/pull_request/head/repo/full_name"),
        url: text("/pull_request/html_url"),
        base_branch: text("/pull_request/base/ref"),
        merged: payload.pointer("/pull_request/merged").and_then(Value::as_bool) == Some(true),
        open: text("/pull_request/state").is_none_or(|state| state != CLOSED),
        author: text("/pull_request/user/login"),
        avatar_url: text("/pull_request/user/avatar_url"),
    };
    if text("/action").as_deref() == Some("closed") {
        return Ok(Trigger::PullRequestClosed(request));
    }
    // A label or an edit of a closed pull request would create its branch deployment again.
    if !request.open || request.merged {
        return Ok(Trigger::Nothing(format!("pull request {} is closed already", request.number)));
    }
    if event == "pull_request_target" {
        // The head may be anyone's code, and by default the base is checked out.
        return Ok(Trigger::Untrusted(Untrusted {
            event: event.to_string(),
            request: PullRequestRef::Known(request),
        }));
    }
    Ok(Trigger::PullRequest(request))
}

fn push(payload: &Value, host: &Host) -> Trigger {
    if payload.get("deleted").and_then(Value::as_bool) == Some(true) {
        return Trigger::Nothing("the push deleted a branch or tag".into());
    }
    commit("push", payload, host)
}

fn release(payload: &Value, host: &Host) -> Trigger {
    match text_at(payload, "/action") {
        Some(action) if !PUBLISHING_ACTIONS.contains(&action.as_str()) => {
            Trigger::Nothing(format!("a release was {}", crate::foreign_text::neutral(&action)))
        }
        _ => commit("release", payload, host),
    }
}

/// A comment on a pull request. Its payload does not describe the code.
fn issue_comment(payload: &Value) -> Trigger {
    if payload.pointer("/issue/pull_request").is_none_or(Value::is_null) {
        return Trigger::Nothing("the comment is not on a pull request".into());
    }
    Trigger::Untrusted(Untrusted {
        event: "issue_comment".into(),
        request: numbered(payload, "/issue/number"),
    })
}

fn numbered(payload: &Value, pointer: &str) -> PullRequestRef {
    let number = payload.pointer(pointer).and_then(Value::as_u64);
    match text_at(payload, "/repository/full_name").zip(number) {
        Some((repository, number)) => PullRequestRef::Number { repository, number },
        None => PullRequestRef::Unknown,
    }
}

fn commit(event: &str, payload: &Value, host: &Host) -> Trigger {
    // Such a reference belongs to a pull request, whatever the event's name.
    if let Some(number) = host.var(env_vars::GITHUB_REF).and_then(|name| name.strip_prefix("refs/pull/")) {
        let number = number.split('/').next().and_then(|number| number.parse().ok());
        let repository = host.var(env_vars::GITHUB_REPOSITORY).map(String::from);
        let request = match repository.zip(number) {
            Some((repository, number)) => PullRequestRef::Number { repository, number },
            None => PullRequestRef::Unknown,
        };
        return Trigger::Untrusted(Untrusted { event: event.to_string(), request });
    }
    let of_kind = |kind: &str| {
        let name = host.var(env_vars::GITHUB_REF).and_then(|name| name.strip_prefix(kind));
        name.map(String::from)
    };
    if of_kind("refs/heads/").is_some_and(|branch| is_merge_queue(&branch)) {
        return Trigger::Nothing(MERGE_QUEUE.into());
    }
    Trigger::Commit(CommitEvent {
        event: event.to_string(),
        head: head_commit(payload),
        sha: host.var(env_vars::GITHUB_SHA).map(String::from),
        repository: host
            .var(env_vars::GITHUB_REPOSITORY)
            .map(String::from)
            .or_else(|| text_at(payload, "/repository/full_name")),
        branch: of_kind("refs/heads/"),
        tag: of_kind("refs/tags/"),
        default_branch: text_at(payload, "/repository/default_branch"),
        about_pull_request: payload.pointer("/client_payload/pull_request/number").and_then(Value::as_u64),
    })
}

/// Whether GitHub made this branch for an entry of a merge queue. Source: "Managing a merge queue" (GitHub's manual).
fn is_merge_queue(branch: &str) -> bool {
    branch.starts_with("gh-readonly-queue/")
}

/// `head_commit` of a push, only if it is complete.
fn head_commit(payload: &Value) -> Option<HeadCommit> {
    let login = text_at(payload, "/head_commit/author/username");
    // The payload has the sender's picture only, so it is used if the sender is the author.
    let sent_by_author = login.is_some() && login == text_at(payload, "/sender/login");
    Some(HeadCommit {
        timestamp: epoch_seconds(&text_at(payload, "/head_commit/timestamp")?)?,
        subject: text_at(payload, "/head_commit/message")?.lines().next().unwrap_or_default().to_string(),
        author_name: text_at(payload, "/head_commit/author/name")?,
        author_email: text_at(payload, "/head_commit/author/email")?,
        avatar_url: text_at(payload, "/sender/avatar_url").filter(|_| sent_by_author),
    })
}

/// A non-empty string in a payload, in which members may be null or missing.
fn text_at(payload: &Value, pointer: &str) -> Option<String> {
    payload.pointer(pointer).and_then(Value::as_str).filter(|text| !text.trim().is_empty()).map(String::from)
}

#[cfg(test)]
mod tests;
