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
    for action in ["opened", "synchronize", "reopened", "ready_for_review", "labeled", "from-the-future"] {
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
fn code_of_others_in_a_run_with_secrets_is_untrusted() {
    let of_fork = || PullRequestRef::Commit {
        repository: "acme/proj".into(),
        head: "someone:fix".into(),
        sha: "aaaa".into(),
    };
    let number = |number| PullRequestRef::Number { repository: "acme/proj".into(), number };
    let target = read_event("pull_request_target", &payload("opened", |_| {})).unwrap();
    assert!(
        matches!(&target, Trigger::Untrusted(Untrusted { request: PullRequestRef::Known(known), .. }) if known.number > 7)
    );
    let comment = |request: Value| {
        let event = json!({"issue": {"number": 9, "pull_request": request}, "repository": {"full_name": "acme/proj"}});
        read_event("issue_comment", &event).unwrap()
    };
    assert!(matches!(comment(json!({"url": "x"})), Trigger::Untrusted(code) if code.request == number(9)));
    assert!(matches!(comment(Value::Null), Trigger::Nothing(_)));
    let run = |event: &str, head: &str, requests: Value| {
        let run = json!({
            "event": event, "head_repository": {"full_name": head}, "pull_requests": requests, "head_sha": "aaaa",
            "head_branch": "fix",
            "conclusion": "success",
        });
        let repository = json!({"full_name": "acme/proj"});
        let payload = json!({"action": "completed", "workflow_run": run, "repository": repository});
        read_event("workflow_run", &payload).unwrap()
    };
    assert!(matches!(run("push", "acme/proj", json!([])), Trigger::Commit(_)));
    for (event, head, requests, want) in [
        ("push", "someone/proj", json!([]), of_fork()),
        ("pull_request", "someone/proj", json!([]), of_fork()),
        ("pull_request", "someone/proj", json!([{"number": 3}]), number(3)),
        ("pull_request", "acme/proj", json!([{"number": 3}]), number(3)),
        ("from-the-future", "someone", json!([]), PullRequestRef::Unknown),
    ] {
        let got = run(event, head, requests);
        assert!(matches!(&got, Trigger::Untrusted(code) if code.request == want), "{event}: {got:?}");
    }
}

/// The payload of another workflow's run, with one member changed.
fn after_workflow(pointer: &str, value: Value) -> Value {
    let mut payload = json!({
        "action": "completed",
        "repository": {"full_name": "acme/proj", "default_branch": "main"},
        "workflow_run": {
            "name": "CI", "event": "push", "head_branch": "main", "head_sha": "aaaa", "conclusion": "success",
            "head_repository": {"full_name": "Acme/Proj"}, "pull_requests": [],
        },
    });
    if let Some(place) = payload.pointer_mut(pointer) {
        *place = value;
    }
    payload
}

#[test]
fn after_another_workflow_the_payload_decides_what_is_deployed() {
    let read = |pointer: &str, value: Value| read_event("workflow_run", &after_workflow(pointer, value));
    let Trigger::Commit(commit) = read("/nowhere", Value::Null).unwrap() else { panic!() };
    assert_eq!((commit.sha.as_deref(), commit.branch.as_deref()), (Some("aaaa"), Some("main")));
    assert!(!commit.needs_choice());
    for (pointer, value) in [
        ("/workflow_run/head_branch", json!("feature/x")),
        ("/workflow_run/head_branch", json!("v1.0")),
        ("/workflow_run/head_branch", json!("Main")),
        ("/workflow_run/head_branch", Value::Null),
        ("/repository/default_branch", Value::Null),
    ] {
        let Trigger::Commit(commit) = read(pointer, value.clone()).unwrap() else { panic!("{pointer}") };
        assert!(commit.needs_choice(), "{pointer} = {value}");
    }
    for conclusion in
        ["failure", "cancelled", "skipped", "neutral", "timed_out", "action_required", "stale", "future", ""]
    {
        let got = read("/workflow_run/conclusion", json!(conclusion)).unwrap();
        assert!(matches!(got, Trigger::Nothing(_)), "{conclusion}: {got:?}");
    }
    for (pointer, value) in [
        ("/workflow_run/conclusion", Value::Null),
        ("/action", json!("requested")),
        ("/action", json!("in_progress")),
        ("/action", Value::Null),
        ("/workflow_run/event", json!("merge_group")),
        ("/workflow_run", Value::Null),
    ] {
        let got = read(pointer, value.clone()).unwrap();
        assert!(matches!(got, Trigger::Nothing(_)), "{pointer} = {value}: {got:?}");
    }
    for (pointer, value) in [
        ("/workflow_run/event", Value::Null),
        ("/workflow_run/event", json!("workflow_run")),
        ("/workflow_run/head_repository", Value::Null),
        ("/repository/full_name", Value::Null),
    ] {
        let got = read(pointer, value.clone()).unwrap();
        assert!(matches!(got, Trigger::Untrusted(_)), "{pointer} = {value}: {got:?}");
    }
    assert!(read("/workflow_run/head_sha", Value::Null).is_err());
}

#[test]
fn a_run_by_hand_needs_a_choice_unless_it_is_on_the_default_branch_or_a_tag() {
    let manual = |reference: &str, payload: Value| {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("event.json");
        std::fs::write(&path, payload.to_string()).unwrap();
        let variables = [
            ("GITHUB_EVENT_NAME", "workflow_dispatch"),
            ("GITHUB_EVENT_PATH", path.to_str().unwrap()),
            ("GITHUB_REF", reference),
        ];
        let Trigger::Commit(commit) = read(&host(&variables)).unwrap() else { panic!() };
        commit
    };
    let known = json!({"repository": {"default_branch": "main"}});
    for (reference, payload, needs) in [
        ("refs/heads/main", known.clone(), false),
        ("refs/heads/feature/x", known.clone(), true),
        ("refs/heads/main", json!({}), true),
        ("refs/other", known.clone(), true),
        ("refs/tags/v1", known, false),
    ] {
        let commit = manual(reference, payload);
        assert_eq!(commit.needs_choice(), needs, "{reference}");
        assert_eq!(commit.tag.as_deref(), reference.strip_prefix("refs/tags/"));
    }
}

#[test]
fn a_reference_of_a_pull_request_is_never_a_branch() {
    for name in ["push", "workflow_dispatch", "schedule", "repository_dispatch"] {
        let host = host(&[
            ("GITHUB_EVENT_NAME", name),
            ("GITHUB_REF", "refs/pull/7/merge"),
            ("GITHUB_REPOSITORY", "acme/proj"),
        ]);
        let request = PullRequestRef::Number { repository: "acme/proj".into(), number: 7 };
        assert_eq!(read(&host).unwrap(), Trigger::Untrusted(Untrusted { event: name.into(), request }));
    }
}

#[test]
fn a_push_has_its_commit() {
    let event = json!({
        "head_commit": {"message": "Subject\n\nbody", "timestamp": "2023-11-14T23:13:20+01:00", "author": {"name": "Ann", "email": "a@b.test", "username": "ann"}},
        "sender": {"login": "ann", "avatar_url": "https://h/ann.png"},
    });
    let Trigger::Commit(commit) = read_event("push", &event).unwrap() else { panic!() };
    let head = commit.head.unwrap();
    assert_eq!((head.subject.as_str(), head.avatar_url.as_deref()), ("Subject", Some("https://h/ann.png")));
}

#[test]
fn commits_are_known_by_the_variables() {
    for name in ["push", "workflow_dispatch", "schedule", "release"] {
        let Trigger::Commit(commit) = read_event(name, &json!({"inputs": null})).unwrap() else {
            panic!("{name}")
        };
        assert_eq!((commit.sha.as_deref(), commit.branch.as_deref()), (Some("mergecommit"), Some("main")));
    }
    let deleted = read_event("push", &json!({"deleted": true, "head_commit": null})).unwrap();
    assert!(matches!(deleted, Trigger::Nothing(_)));
    assert!(matches!(read_event("merge_group", &json!({})).unwrap(), Trigger::Nothing(_)));
}

#[test]
fn outside_github_a_ci_system_is_not_a_person() {
    for name in [
        "CI",
        "GITLAB_CI",
        "TF_BUILD",
        "SYSTEM_TEAMFOUNDATIONCOLLECTIONURI",
        "JENKINS_URL",
        "CODEBUILD_BUILD_ID",
        "TEAMCITY_VERSION",
        "BITBUCKET_BUILD_NUMBER",
        "CIRCLECI",
        "BUILDKITE",
        "TRAVIS",
        "DRONE",
        "APPVEYOR",
        "bamboo_buildKey",
        "GO_PIPELINE_NAME",
        "BUILD_NUMBER",
    ] {
        let host = host(&[(name, "True")]);
        assert_eq!(read(&host).unwrap(), Trigger::OtherCi, "{name}");
        assert!(host.in_ci() && host.ask("Deploy?").is_none(), "{name}");
    }
    for value in ["false", "0", "", "False"] {
        assert_eq!(read(&host(&[("CI", value)])).unwrap(), Trigger::Person, "{value}");
    }
    assert_eq!(read(&host(&[])).unwrap(), Trigger::Person);
}
