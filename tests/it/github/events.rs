//! Every payload in GitHub's own collection, and damaged ones, through `context::event`.
//!
//! The important property: only a closed pull request closes anything, and no pull request becomes a commit for a full
//! deployment, whatever is missing in its payload.

use crate::support::hosts::host_with;
use crate::support::npm;
use pexpress::context::ContextError;
use pexpress::context::event::{self, Trigger};
use serde_json::{Value, json};

/// Name and payloads of each event.
fn examples() -> Vec<(String, Vec<Value>)> {
    let path = npm::package(npm::WEBHOOKS).join("api.github.com/index.json");
    let events: Vec<Value> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let name = |event: &Value| event["name"].as_str().unwrap().to_string();
    events.iter().map(|event| (name(event), event["examples"].as_array().unwrap().clone())).collect()
}

fn payloads_of(name: &str) -> Vec<Value> {
    let found = examples().into_iter().find(|(other, _)| other == name).unwrap().1;
    assert!(!found.is_empty(), "{name}");
    found
}

fn read(name: &str, payload: &Value) -> Result<Trigger, ContextError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("event.json");
    std::fs::write(&path, payload.to_string()).unwrap();
    let variables = [
        ("GITHUB_ACTIONS", "true"),
        ("GITHUB_EVENT_NAME", name),
        ("GITHUB_EVENT_PATH", path.to_str().unwrap()),
        ("GITHUB_SHA", "0123abc"),
        ("GITHUB_REF", "refs/heads/main"),
        ("GITHUB_REPOSITORY", "Codertocat/Hello-World"),
    ];
    event::read(&host_with(dir.path(), &variables))
}

#[test]
#[ignore = "GitHub's example payloads come from a package index"]
fn pull_requests_are_known_by_head_and_action() {
    for payload in payloads_of("pull_request") {
        let (action, given) = (payload["action"].as_str().unwrap(), &payload["pull_request"]);
        let request = match (action, read("pull_request", &payload).unwrap()) {
            ("closed", Trigger::PullRequestClosed(request)) => request,
            (other, Trigger::PullRequest(request)) if other != "closed" => request,
            (other, trigger) => panic!("{other}: {trigger:?}"),
        };
        assert_eq!(given["head"]["sha"], json!(request.head_sha));
        assert_eq!(given["head"]["ref"], json!(request.branch));
        assert_eq!(given["base"]["ref"], json!(request.base_branch));
        assert_eq!(given["number"], json!(request.number));
        assert_eq!(given["html_url"], json!(request.url));
        assert!(!request.from_fork(), "{request:?}");
    }
}

#[test]
#[ignore = "GitHub's example payloads come from a package index"]
fn pushes_deploy_unless_they_delete() {
    for payload in payloads_of("push") {
        match read("push", &payload).unwrap() {
            Trigger::Nothing(_) => assert_eq!(payload["deleted"], true),
            Trigger::Commit(commit) => {
                assert_eq!(payload["deleted"], false);
                assert_eq!(commit.sha.as_deref(), Some("0123abc"));
                assert_eq!(json!(commit.default_branch), payload["repository"]["default_branch"]);
            }
            trigger => panic!("{trigger:?}"),
        }
    }
}

/// A corrected typo in the notes of an old release must not bring that release back.
#[test]
#[ignore = "GitHub's example payloads come from a package index"]
fn a_release_deploys_when_it_comes_out_and_not_when_it_is_edited_or_deleted() {
    for payload in payloads_of("release") {
        let action = payload["action"].as_str().unwrap();
        let deploys = match read("release", &payload).unwrap() {
            Trigger::Commit(_) => true,
            Trigger::Nothing(_) => false,
            trigger => panic!("{trigger:?}"),
        };
        assert_eq!(
            deploys,
            ["created", "published", "released", "prereleased"].contains(&action),
            "{action}"
        );
    }
}

#[test]
#[ignore = "GitHub's example payloads come from a package index"]
fn a_merge_queue_deploys_nothing() {
    for payload in payloads_of("merge_group") {
        assert!(matches!(read("merge_group", &payload), Ok(Trigger::Nothing(_))));
    }
}

#[test]
#[ignore = "GitHub's example payloads come from a package index"]
fn commits_are_deployed_by_hand_and_by_other_programs() {
    for name in ["workflow_dispatch", "repository_dispatch"] {
        for payload in payloads_of(name) {
            let Trigger::Commit(commit) = read(name, &payload).unwrap() else { panic!("{name}") };
            assert_eq!(commit.repository.as_deref(), Some("Codertocat/Hello-World"));
        }
    }
}

#[test]
#[ignore = "GitHub's example payloads come from a package index"]
fn no_event_but_a_closed_pull_request_closes_anything() {
    for (name, payloads) in examples() {
        for payload in payloads {
            let closes = matches!(read(&name, &payload), Ok(Trigger::PullRequestClosed(_)));
            assert_eq!(closes, name == "pull_request" && payload["action"] == "closed", "{name}");
        }
    }
}

#[test]
#[ignore = "GitHub's example payloads come from a package index"]
fn a_pull_request_that_lacks_any_member_is_never_a_commit_of_a_full_deployment() {
    for payload in payloads_of("pull_request") {
        let closed = payload["action"] == "closed";
        for pointer in pointers(&payload) {
            for value in [Value::Null, json!({}), json!([]), json!(""), json!(-1), json!("closed\u{0}")] {
                let mut hostile = payload.clone();
                *hostile.pointer_mut(&pointer).unwrap() = value.clone();
                let trigger = read("pull_request", &hostile);
                let harmless = match &trigger {
                    Err(ContextError::EventUnreadable { .. }) | Ok(Trigger::Nothing(_)) => true,
                    Ok(Trigger::PullRequest(_)) => !closed || pointer == "/action",
                    Ok(Trigger::PullRequestClosed(_)) => closed,
                    _ => false,
                };
                assert!(harmless, "{pointer} = {value}: {trigger:?}");
            }
        }
    }
}

/// The members that are read: those of the payload, and those that identify the pull request.
fn pointers(payload: &Value) -> Vec<String> {
    let mut found: Vec<String> = payload.as_object().unwrap().keys().map(|key| format!("/{key}")).collect();
    for below in [
        "number",
        "state",
        "merged",
        "html_url",
        "user",
        "head",
        "base",
        "head/ref",
        "head/sha",
        "head/repo",
        "base/ref",
    ] {
        found.push(format!("/pull_request/{below}"));
    }
    found.push("/repository/full_name".into());
    found.retain(|pointer| payload.pointer(pointer).is_some());
    found
}

#[test]
#[ignore = "GitHub's example payloads come from a package index"]
fn forks_numbers_and_actions_of_the_future_are_understood() {
    let mut payload = payloads_of("pull_request").swap_remove(0);
    payload["action"] = json!("from-the-future");
    payload["number"] = json!(9_007_199_254_740_993_u64);
    payload["pull_request"]["number"] = json!(9_007_199_254_740_993_u64);
    payload["pull_request"]["user"] = Value::Null;
    payload["pull_request"]["head"]["user"] = Value::Null;
    for repository in [Value::Null, json!({"full_name": "mallory/Hello-World", "fork": true})] {
        payload["pull_request"]["head"]["repo"] = repository;
        let Trigger::PullRequest(request) = read("pull_request", &payload).unwrap() else { panic!() };
        assert_eq!((request.from_fork(), request.number), (true, 9_007_199_254_740_993));
    }
    payload["pull_request"]["head"]["repo"] = json!({"full_name": "codertocat/hello-WORLD"});
    let Trigger::PullRequest(request) = read("pull_request", &payload).unwrap() else { panic!() };
    assert!(!request.from_fork(), "names compare without regard to case");
}
