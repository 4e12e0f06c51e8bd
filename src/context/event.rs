//! What made this run happen: GitHub's event payload and `GITHUB_*` variables, read once.
//!
//! Decides nothing but what the event *is*. A pull request whose payload cannot be read is an error, never some other
//! event: a run that cannot tell must not reach a full deployment.
//! Source of names and shapes: GitHub's documentation of default variables and webhook payloads.

use super::ContextError;
use crate::env_vars;
use crate::host::Host;
use serde_json::Value;

/// What made this run happen.
#[derive(Debug, Clone, PartialEq)]
pub enum Trigger {
    /// A pull request was opened, pushed to, reopened …
    PullRequest(PullRequest),
    /// A pull request was closed or merged.
    PullRequestClosed(PullRequest),
    /// A commit of a branch or tag: push, release, schedule, manual dispatch.
    Commit(CommitEvent),
    /// Nothing is to be deployed, for this reason.
    Nothing(String),
    /// A CI system of which no event is known.
    OtherCi,
    /// A person's shell.
    Person,
}

/// A pull request, as its event tells of it.
#[derive(Debug, Clone, PartialEq)]
pub struct PullRequest {
    /// `number`.
    pub number: u64,
    /// `head.ref`: the branch.
    pub branch: String,
    /// `head.sha`: the commit that people see, not the merge of it that the runner checked out.
    pub head_sha: String,
    /// `repository.full_name`: `owner/name` of the repository that the pull request is for.
    pub repository: String,
    /// `head.repo.full_name`: where the branch lives; `None` when that fork was deleted.
    pub head_repository: Option<String>,
    /// `html_url`.
    pub url: Option<String>,
    /// `base.ref`.
    pub base_branch: Option<String>,
    /// `merged`.
    pub merged: bool,
    /// `state` is `open`.
    pub open: bool,
}

impl PullRequest {
    /// Whether the branch lives in another repository than the one it is to be merged into. Names compare without
    /// regard to case; a deleted fork is a fork.
    pub fn from_fork(&self) -> bool {
        !self.head_repository.as_ref().is_some_and(|head| head.eq_ignore_ascii_case(&self.repository))
    }
}

/// A commit on a branch or tag.
#[derive(Debug, Clone, PartialEq)]
pub struct CommitEvent {
    /// `GITHUB_SHA`.
    pub sha: Option<String>,
    /// `owner/name`.
    pub repository: Option<String>,
    /// Branch, if it is one.
    pub branch: Option<String>,
    /// `repository.default_branch` of the payload.
    pub default_branch: Option<String>,
}

/// Events whose commit deploys the full deployment.
const COMMIT_EVENTS: [&str; 6] =
    ["push", "workflow_dispatch", "schedule", "release", "repository_dispatch", "workflow_run"];

/// What made this run happen.
///
/// # Errors
/// A pull request event whose payload is missing, unreadable or incomplete; an event that says nothing certain about
/// the code that was checked out (`issue_comment`, `pull_request_target`, GitLab merge requests).
pub fn read(host: &Host) -> Result<Trigger, ContextError> {
    let Some(name) = host.var(env_vars::GITHUB_EVENT_NAME) else {
        return outside_github(host);
    };
    let payload = payload(name, host);
    match name {
        "pull_request" | "pull_request_target" => pull_request(name, &payload?),
        "merge_group" => {
            Ok(Trigger::Nothing("a merge queue entry is not deployed; its merge will be".into()))
        }
        "push" => Ok(push(&payload.unwrap_or_default(), host)),
        name if COMMIT_EVENTS.contains(&name) => Ok(commit(&payload.unwrap_or_default(), host)),
        other => Err(ContextError::EventNotDeployable { event: other.to_string() }),
    }
}

fn outside_github(host: &Host) -> Result<Trigger, ContextError> {
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
    let text = std::fs::read(&path)
        .map_err(|error| unreadable(format!("`{}` cannot be read", path.display()), Some(error.into())))?;
    serde_json::from_slice(&text)
        .map_err(|error| unreadable(format!("`{}` is not JSON", path.display()), Some(error.into())))
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
        open: text("/pull_request/state").is_none_or(|state| state == "open"),
    };
    if text("/action").as_deref() == Some("closed") {
        return Ok(Trigger::PullRequestClosed(request));
    }
    if !request.open || request.merged {
        return Ok(Trigger::Nothing(format!("pull request {} is closed already", request.number)));
    }
    if event == "pull_request_target" {
        // The head is someone else's code and the base is what is checked out: building either here is wrong.
        return Err(ContextError::EventNotDeployable { event: event.to_string() });
    }
    Ok(Trigger::PullRequest(request))
}

fn push(payload: &Value, host: &Host) -> Trigger {
    if payload.get("deleted").and_then(Value::as_bool) == Some(true) {
        return Trigger::Nothing("the push deleted a branch or tag".into());
    }
    commit(payload, host)
}

fn commit(payload: &Value, host: &Host) -> Trigger {
    let reference = host.var(env_vars::GITHUB_REF);
    Trigger::Commit(CommitEvent {
        sha: host.var(env_vars::GITHUB_SHA).map(String::from),
        repository: host
            .var(env_vars::GITHUB_REPOSITORY)
            .map(String::from)
            .or_else(|| text_at(payload, "/repository/full_name")),
        branch: reference.and_then(|name| name.strip_prefix("refs/heads/")).map(String::from),
        default_branch: text_at(payload, "/repository/default_branch"),
    })
}

/// A non-blank string in a payload, where members may be null or missing.
fn text_at(payload: &Value, pointer: &str) -> Option<String> {
    payload.pointer(pointer).and_then(Value::as_str).filter(|text| !text.trim().is_empty()).map(String::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::tests::host;
    use serde_json::json;

    fn payload(action: &str, change: impl FnOnce(&mut Value)) -> Value {
        let mut payload = json!({
            "action": action,
            "repository": {"full_name": "acme/proj", "default_branch": "main"},
            "pull_request": {
                "number": 7_000_000_000_u64, "state": "open", "merged": false, "html_url": "https://h/acme/proj/pull/7",
                "head": {"ref": "feature/x", "sha": "aaaa", "repo": {"full_name": "Acme/Proj"}},
                "base": {"ref": "main"}, "user": null,
            },
        });
        change(&mut payload);
        payload
    }

    fn read_event(name: &str, payload: &Value) -> Result<Trigger, ContextError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("event.json");
        std::fs::write(&path, payload.to_string()).unwrap();
        read(&host(&[
            ("GITHUB_ACTIONS", "true"),
            ("GITHUB_EVENT_NAME", name),
            ("GITHUB_EVENT_PATH", path.to_str().unwrap()),
            ("GITHUB_SHA", "mergecommit"),
            ("GITHUB_REF", "refs/heads/main"),
            ("GITHUB_REPOSITORY", "acme/proj"),
        ]))
    }

    #[test]
    fn a_pull_request_is_known_by_its_head_commit() {
        for action in ["opened", "synchronize", "reopened", "ready_for_review", "labeled", "from-the-future"]
        {
            let Trigger::PullRequest(request) = read_event("pull_request", &payload(action, |_| {})).unwrap()
            else {
                panic!("{action}")
            };
            assert_eq!((request.head_sha.as_str(), request.number), ("aaaa", 7_000_000_000));
            assert!(!request.from_fork());
        }
    }

    #[test]
    fn only_the_action_closed_closes() {
        let closed = payload("closed", |p| p["pull_request"]["state"] = json!("closed"));
        assert!(
            matches!(read_event("pull_request", &closed).unwrap(), Trigger::PullRequestClosed(r) if !r.merged)
        );
        assert!(matches!(read_event("pull_request_target", &closed).unwrap(), Trigger::PullRequestClosed(_)));
        let merged = payload("closed", |p| p["pull_request"]["merged"] = json!(true));
        assert!(
            matches!(read_event("pull_request", &merged).unwrap(), Trigger::PullRequestClosed(r) if r.merged)
        );
        let labeled = payload("labeled", |p| p["pull_request"]["state"] = json!("closed"));
        assert!(matches!(read_event("pull_request", &labeled).unwrap(), Trigger::Nothing(_)));
    }

    #[test]
    fn a_fork_is_known_by_its_repository() {
        for (repo, fork) in [
            (json!({"full_name": "someone/proj"}), true),
            (Value::Null, true),
            (json!({"full_name": "ACME/proj"}), false),
        ] {
            let event = payload("opened", |p| p["pull_request"]["head"]["repo"] = repo.clone());
            let Trigger::PullRequest(request) = read_event("pull_request", &event).unwrap() else { panic!() };
            assert_eq!(request.from_fork(), fork, "{repo}");
        }
    }

    #[test]
    fn a_pull_request_that_cannot_be_read_is_an_error() {
        for pointer in ["number", "head"] {
            let event = payload("opened", |p| p["pull_request"][pointer] = Value::Null);
            assert!(matches!(read_event("pull_request", &event), Err(ContextError::EventUnreadable { .. })));
        }
        for env in [
            &[("GITHUB_EVENT_NAME", "pull_request")][..],
            &[("GITHUB_EVENT_NAME", "pull_request"), ("GITHUB_EVENT_PATH", "/nowhere/event.json")],
            &[("GITHUB_ACTIONS", "true")],
            &[("CI_MERGE_REQUEST_IID", "3"), ("CI", "true")],
            &[("GITHUB_EVENT_NAME", "issue_comment")],
        ] {
            assert!(read(&host(env)).is_err(), "{env:?}");
        }
        assert!(read_event("pull_request_target", &payload("opened", |_| {})).is_err());
    }

    #[test]
    fn commits_are_known_by_the_variables() {
        for name in ["push", "workflow_dispatch", "schedule", "release"] {
            let Trigger::Commit(commit) = read_event(name, &json!({"inputs": null})).unwrap() else {
                panic!("{name}")
            };
            assert_eq!(
                (commit.sha.as_deref(), commit.branch.as_deref()),
                (Some("mergecommit"), Some("main"))
            );
        }
        let deleted = read_event("push", &json!({"deleted": true, "head_commit": null})).unwrap();
        assert!(matches!(deleted, Trigger::Nothing(_)));
        assert!(matches!(read_event("merge_group", &json!({})).unwrap(), Trigger::Nothing(_)));
    }

    #[test]
    fn outside_github_a_ci_system_is_told_from_a_person() {
        assert_eq!(read(&host(&[("CI", "true")])).unwrap(), Trigger::OtherCi);
        assert_eq!(read(&host(&[])).unwrap(), Trigger::Person);
    }
}
