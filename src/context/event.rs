//! What made this run happen: GitHub's event payload and `GITHUB_*` variables, read once.
//!
//! Decides nothing but what the event *is*. A pull request whose payload cannot be read is an error, never some other
//! event: a run that cannot tell must not reach a full deployment.
//! Source of names and shapes: GitHub's documentation of default variables and webhook payloads.

use super::ContextError;
use crate::github::commit::epoch_seconds;
use crate::host::Host;
use crate::{bounded_file, env_vars, foreign_json};
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
    /// A pull request whose code is someone else's, in a run that has the secrets of this repository.
    Untrusted(Untrusted),
    /// Nothing is to be deployed, for this reason.
    Nothing(String),
    /// A CI system of which no event is known.
    OtherCi,
    /// A person's shell.
    Person,
}

impl Trigger {
    /// Number of the pull request that the run is of.
    pub fn pull_request_number(&self) -> Option<u64> {
        match self {
            Trigger::PullRequest(request) | Trigger::PullRequestClosed(request) => Some(request.number),
            Trigger::Untrusted(Untrusted { request: Asked::Known(request), .. }) => Some(request.number),
            Trigger::Untrusted(Untrusted { request: Asked::Number { number, .. }, .. }) => Some(*number),
            _ => None,
        }
    }
}

/// Code that anyone may have written, in a run that has secrets.
#[derive(Debug, Clone, PartialEq)]
pub struct Untrusted {
    /// `pull_request_target`, `workflow_run` or `issue_comment`.
    pub event: String,
    /// What is known of the pull request.
    pub request: Asked,
}

/// A pull request that is known, or one that GitHub has to be asked about.
#[derive(Debug, Clone, PartialEq)]
pub enum Asked {
    /// The payload has it.
    Known(PullRequest),
    /// The payload only names it.
    Number {
        /// `owner/name` of the repository that the pull request is for.
        repository: String,
        /// `number`.
        number: u64,
    },
    /// The payload does not say which it is.
    Nowhere,
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
    /// `user.login`: who opened it; `None` when the account is gone.
    pub author: Option<String>,
    /// `user.avatar_url`.
    pub avatar_url: Option<String>,
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
    /// `push`, `workflow_dispatch` …
    pub event: String,
    /// `GITHUB_SHA`.
    pub sha: Option<String>,
    /// `owner/name`.
    pub repository: Option<String>,
    /// Branch, if it is one.
    pub branch: Option<String>,
    /// `repository.default_branch` of the payload.
    pub default_branch: Option<String>,
    /// What the payload of a push tells of the commit.
    pub head: Option<HeadCommit>,
}

impl CommitEvent {
    /// Whether somebody started the run by hand on another branch than the default one.
    pub fn by_hand_elsewhere(&self) -> bool {
        let elsewhere =
            self.branch.is_some() && self.default_branch.is_some() && self.branch != self.default_branch;
        self.event == "workflow_dispatch" && elsewhere
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
    /// `sender.avatar_url` of the push, where its author sent it.
    pub avatar_url: Option<String>,
}

/// GitHub's own payloads have at most 25 MB. Source: "Webhook events and payloads".
const MAX_PAYLOAD_BYTES: u64 = 64 << 20;

/// Events whose commit deploys the full deployment.
const COMMIT_EVENTS: [&str; 3] = ["workflow_dispatch", "schedule", "repository_dispatch"];
/// What happens to a release when it comes out. It can be edited and deleted years later, and its commit is old then.
const COMES_OUT: [&str; 4] = ["created", "published", "released", "prereleased"];

/// What made this run happen.
///
/// # Errors
/// A pull request event whose payload is missing, unreadable or incomplete; an event that says nothing certain about
/// the code that was checked out (such as GitLab merge requests).
pub fn read(host: &Host) -> Result<Trigger, ContextError> {
    let Some(name) = host.var(env_vars::GITHUB_EVENT_NAME) else {
        return outside_github(host);
    };
    of_payload(name, payload(name, host), host)
}

/// What an event of this name and payload is.
fn of_payload(
    name: &str,
    payload: Result<Value, ContextError>,
    host: &Host,
) -> Result<Trigger, ContextError> {
    match name {
        "pull_request" | "pull_request_target" => pull_request(name, &payload?),
        "merge_group" => {
            Ok(Trigger::Nothing("a merge queue entry is not deployed; its merge will be".into()))
        }
        "issue_comment" => Ok(issue_comment(&payload?)),
        "workflow_run" => Ok(workflow_run(&payload?, host)),
        "push" => Ok(push(&payload.unwrap_or_default(), host)),
        "release" => Ok(release(&payload.unwrap_or_default(), host)),
        name if COMMIT_EVENTS.contains(&name) => Ok(commit(name, &payload.unwrap_or_default(), host)),
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
        let _ = of_payload(name, Ok(payload), host);
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
        open: text("/pull_request/state").is_none_or(|state| state == "open"),
        author: text("/pull_request/user/login"),
        avatar_url: text("/pull_request/user/avatar_url"),
    };
    if text("/action").as_deref() == Some("closed") {
        return Ok(Trigger::PullRequestClosed(request));
    }
    if !request.open || request.merged {
        return Ok(Trigger::Nothing(format!("pull request {} is closed already", request.number)));
    }
    if event == "pull_request_target" {
        // The head is someone else's code and the base is what is checked out by default.
        return Ok(Trigger::Untrusted(Untrusted {
            event: event.to_string(),
            request: Asked::Known(request),
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
        Some(action) if !COMES_OUT.contains(&action.as_str()) => {
            Trigger::Nothing(format!("a release was {}", crate::foreign_text::neutral(&action)))
        }
        _ => commit("release", payload, host),
    }
}

/// A comment on a pull request; its payload tells nothing of the code.
fn issue_comment(payload: &Value) -> Trigger {
    if payload.pointer("/issue/pull_request").is_none_or(Value::is_null) {
        return Trigger::Nothing("the comment is not one on a pull request".into());
    }
    Trigger::Untrusted(Untrusted {
        event: "issue_comment".into(),
        request: numbered(payload, "/issue/number"),
    })
}

/// A run that another one started. What a pull request started may build its code with secrets; anything else of this
/// repository is its own.
fn workflow_run(payload: &Value, host: &Host) -> Trigger {
    let text = |pointer: &str| text_at(payload, pointer);
    let (ours, theirs) = (text("/repository/full_name"), text("/workflow_run/head_repository/full_name"));
    let own = ours.zip(theirs).is_some_and(|(ours, theirs)| ours.eq_ignore_ascii_case(&theirs));
    let event = text("/workflow_run/event");
    match event.as_deref() {
        Some("push" | "schedule" | "workflow_dispatch" | "release" | "repository_dispatch") if own => {
            commit("workflow_run", payload, host)
        }
        _ => Trigger::Untrusted(Untrusted {
            event: "workflow_run".into(),
            request: numbered(payload, "/workflow_run/pull_requests/0/number"),
        }),
    }
}

fn numbered(payload: &Value, pointer: &str) -> Asked {
    let number = payload.pointer(pointer).and_then(Value::as_u64);
    match text_at(payload, "/repository/full_name").zip(number) {
        Some((repository, number)) => Asked::Number { repository, number },
        None => Asked::Nowhere,
    }
}

fn commit(event: &str, payload: &Value, host: &Host) -> Trigger {
    let reference = host.var(env_vars::GITHUB_REF);
    Trigger::Commit(CommitEvent {
        event: event.to_string(),
        head: head_commit(payload),
        sha: host.var(env_vars::GITHUB_SHA).map(String::from),
        repository: host
            .var(env_vars::GITHUB_REPOSITORY)
            .map(String::from)
            .or_else(|| text_at(payload, "/repository/full_name")),
        branch: reference.and_then(|name| name.strip_prefix("refs/heads/")).map(String::from),
        default_branch: text_at(payload, "/repository/default_branch"),
    })
}

/// `head_commit` of a push, whole or not at all.
fn head_commit(payload: &Value) -> Option<HeadCommit> {
    let login = text_at(payload, "/head_commit/author/username");
    let sent_by_author = login.is_some() && login == text_at(payload, "/sender/login");
    Some(HeadCommit {
        timestamp: epoch_seconds(&text_at(payload, "/head_commit/timestamp")?)?,
        subject: text_at(payload, "/head_commit/message")?.lines().next().unwrap_or_default().to_string(),
        author_name: text_at(payload, "/head_commit/author/name")?,
        author_email: text_at(payload, "/head_commit/author/email")?,
        avatar_url: text_at(payload, "/sender/avatar_url").filter(|_| sent_by_author),
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
            &[("GITHUB_EVENT_NAME", "discussion")],
        ] {
            assert!(read(&host(env)).is_err(), "{env:?}");
        }
    }

    #[test]
    fn other_peoples_code_in_a_run_with_secrets_is_told_from_our_own() {
        let number = |number| Asked::Number { repository: "acme/proj".into(), number };
        let target = read_event("pull_request_target", &payload("opened", |_| {})).unwrap();
        assert!(
            matches!(&target, Trigger::Untrusted(Untrusted { request: Asked::Known(known), .. }) if known.number > 7)
        );
        let comment = |request: Value| {
            let event = json!({"issue": {"number": 9, "pull_request": request}, "repository": {"full_name": "acme/proj"}});
            read_event("issue_comment", &event).unwrap()
        };
        assert!(
            matches!(comment(json!({"url": "x"})), Trigger::Untrusted(code) if code.request == number(9))
        );
        assert!(matches!(comment(Value::Null), Trigger::Nothing(_)));
        let run = |event: &str, head: &str, requests: Value| {
            let run =
                json!({"event": event, "head_repository": {"full_name": head}, "pull_requests": requests});
            read_event(
                "workflow_run",
                &json!({"workflow_run": run, "repository": {"full_name": "acme/proj"}}),
            )
            .unwrap()
        };
        assert!(matches!(run("push", "acme/proj", json!([])), Trigger::Commit(_)));
        for (event, head, requests, want) in [
            ("push", "someone/proj", json!([]), Asked::Nowhere),
            ("pull_request", "acme/proj", json!([{"number": 3}]), number(3)),
            ("from-the-future", "acme/proj", json!([]), Asked::Nowhere),
        ] {
            let got = run(event, head, requests);
            assert!(matches!(&got, Trigger::Untrusted(code) if code.request == want), "{event}: {got:?}");
        }
    }

    #[test]
    fn a_push_tells_of_its_commit() {
        let event = json!({
            "head_commit": {"message": "Subject\n\nbody", "timestamp": "2023-11-14T23:13:20+01:00", "author": {"name": "Ann", "email": "a@b.test", "username": "ann"}},
            "sender": {"login": "ann", "avatar_url": "https://h/ann.png"},
        });
        let Trigger::Commit(commit) = read_event("push", &event).unwrap() else { panic!() };
        let head = commit.head.unwrap();
        assert_eq!(
            (head.subject.as_str(), head.avatar_url.as_deref()),
            ("Subject", Some("https://h/ann.png"))
        );
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
