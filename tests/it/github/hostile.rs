//! A broken GitHub: wrong answers, and a deploy that works anyway.

use crate::support::github_standin::{GithubStandin, REPOSITORY};
use crate::support::recording_clock::host_in;
use crate::support::scripted_server::{Delivery, Reply, ScriptedServer};
use crate::support::small_project::write_project;
use crate::support::standin::Standin;
use crate::support::step::{Step, pull_request};
use pexpress::github::comment::StickyComment;
use pexpress::github::{Github, GithubError, commit, deployments, pull_request as pulls};
use pexpress::net::{Agent, Secret};
use serde_json::{Value, json};
use std::path::Path;

const MARKER: &str = "<!-- m -->";

fn github(server: &ScriptedServer, dir: &Path) -> Github {
    let (host, _, _) = host_in(dir, &[]);
    Github::new(&server.url(""), Secret::new("ghs_word"), &Agent::new(&host), &host)
}

fn upsert(github: &Github) -> Result<(), GithubError> {
    let mut comment = StickyComment::new(github, REPOSITORY, 7, MARKER);
    comment.upsert(&mut |_| Some(format!("{MARKER}\ntext")), Some(&|body| body.contains("text"))).map(|_| ())
}

#[test]
fn malformed_answers_are_errors_and_never_a_panic() {
    let deep = "[".repeat(100_000);
    let bodies = [
        "",
        "null",
        "{}",
        "[null, 5, \"x\", [], {}]",
        "{\"id\": -1}",
        "{\"id\": 1e400}",
        "{\"id\": 18446744073709551616}",
        "[{\"id\": \"7\", \"user\": 5, \"body\": {}}]",
        "{\"number\": 7, \"state\": 5, \"head\": null}",
        "<html>",
        "\u{0}\u{ffff}",
        deep.as_str(),
    ];
    let statuses = [201, 202, 204, 300, 304, 400, 418, 451, 599].map(|status| (status, "{}"));
    for (status, body) in bodies.map(|body| (200, body)).into_iter().chain(statuses) {
        let dir = tempfile::tempdir().unwrap();
        let text = body.to_string();
        let server = ScriptedServer::answering(move |_| Reply::new(status, text.as_str()));
        let github = github(&server, dir.path());
        let new = deployments::NewDeployment {
            sha: "a".into(),
            environment: "e".into(),
            description: String::new(),
            transient: false,
            production: false,
        };
        let shown: String = body.chars().take(20).collect();
        assert!(upsert(&github).is_err(), "{status} {shown}");
        assert!(pulls::fetch(&github, REPOSITORY, 7).is_err(), "{status} {shown}");
        assert!(commit::fetch(&github, REPOSITORY, "a").is_err(), "{status} {shown}");
        assert!(deployments::create(&github, REPOSITORY, &new).is_err(), "{status} {shown}");
        assert!(server.requests().len() < 50, "{} requests", server.requests().len());
    }
}

#[test]
fn a_list_that_never_ends_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let server = ScriptedServer::answering(|request| {
        let host = request.header("host").unwrap_or_default().to_string();
        Reply::new(200, "[]").header("Link", format!("<http://{host}{}>; rel=\"next\"", request.target))
    });
    assert!(upsert(&github(&server, dir.path())).is_err());
    let pages = server.requests().iter().filter(|request| request.method == "GET").count();
    assert!(pages < 10, "{pages} pages");
}

#[test]
fn silence_and_cuts_are_errors() {
    for delivery in [Delivery::ResetAtOnce, Delivery::Truncated(1), Delivery::Reset(1)] {
        let dir = tempfile::tempdir().unwrap();
        let server = ScriptedServer::answering(move |_| Reply::new(200, "[]").delivered(delivery));
        let error = upsert(&github(&server, dir.path())).unwrap_err();
        assert!(matches!(error, GithubError::Network { attempts: 4, .. }), "{error}");
    }
}

/// What breaks, and whether the comment exists in the end.
fn accidents() -> Vec<(Value, bool)> {
    let forbidden = json!({"message": "Resource not accessible by integration"}).to_string();
    vec![
        (json!({"operation": "*", "times": 0, "status": 401}), false),
        (json!({"operation": "*", "times": 0, "status": 403, "body": forbidden}), false),
        (json!({"operation": "*", "times": 0, "status": 429, "headers": {"Retry-After": "3600"}}), false),
        (json!({"operation": "*", "times": 0, "status": 503}), false),
        (json!({"operation": "*", "times": 0, "html": true}), false),
        (json!({"operation": "*", "times": 0, "reset": true}), false),
        (json!({"operation": "*", "times": 0, "delay_seconds": 0.7}), true),
        (json!({"operation": "*", "times": 2, "status": 502}), true),
        // Longer than the first comment is attempted, and over when the last one is written.
        (json!({"operation": "*", "times": 6, "status": 502}), true),
        (json!({"operation": "issues/create-comment", "reset": true, "apply": true}), true),
        (json!({"operation": "issues/create-comment", "truncate": true}), true),
        (json!({"operation": "issues/create-comment", "status": 502}), true),
        (json!({"operation": "issues/update-comment", "reset": true, "apply": true}), true),
        (json!({"operation": "issues/update-comment", "status": 404, "body": "{}"}), true),
    ]
}

#[test]
fn any_failure_of_github_leaves_the_deploy_done_and_is_reported() {
    std::thread::scope(|scope| {
        for (accident, arrives) in accidents() {
            scope.spawn(move || {
                let dir = tempfile::tempdir().unwrap();
                write_project(dir.path(), &[("one", "")]);
                let dagster = Standin::start(json!({}));
                let github = GithubStandin::start(json!({"faults": [accident]}));
                let step = Step::new(dir.path(), &dagster, &github);
                let ran = step.event("pull_request", &pull_request("opened")).run();
                assert_eq!((ran.code, ran.output("result")), (Some(0), "success"), "{accident}: {}", ran.log);
                let marked: Vec<_> =
                    github.bodies().into_iter().filter(|body| body.starts_with("<!-- pexpress:")).collect();
                let done = marked.iter().filter(|body| body.contains("Deployed 1 code location")).count();
                assert_eq!(
                    (marked.len(), done),
                    (usize::from(arrives), usize::from(arrives)),
                    "{accident}: {}",
                    ran.log
                );
                let is_noted = ran.log.contains("::notice title=Not reported::");
                assert_eq!(is_noted, !arrives, "{accident}: {}", ran.log);
                github.journal().assert_clean();
            });
        }
    });
}

/// GitHub documents `gravatar_id` and others as nullable. A model that requires them took a written comment for a failed
/// one, and wrote it again and again.
#[test]
fn answers_with_only_what_is_used_are_enough() {
    let dir = tempfile::tempdir().unwrap();
    let comment = json!({
        "id": 5, "body": format!("{MARKER}\ntext"), "user": {"id": 7, "type": "Bot", "gravatar_id": null},
    });
    let is_there = std::sync::atomic::AtomicBool::new(false);
    let server = ScriptedServer::answering(move |request| {
        use std::sync::atomic::Ordering;
        match (request.method.as_str(), request.target.as_str()) {
            ("POST", target) if target.ends_with("/comments") => {
                is_there.store(true, Ordering::SeqCst);
                Reply::new(201, comment.to_string())
            }
            ("POST", target) if target.ends_with("/deployments") => Reply::new(201, "{\"id\": 9}"),
            ("POST", _) => Reply::new(201, "{}"),
            (_, target) if target.contains("/deployments") => Reply::new(200, "[{\"id\": 9}]"),
            (_, target) if target.ends_with("/comments/5") => Reply::new(200, comment.to_string()),
            _ if is_there.load(Ordering::SeqCst) => Reply::new(200, json!([comment]).to_string()),
            _ => Reply::new(200, "[]"),
        }
    });
    let github = github(&server, dir.path());
    upsert(&github).unwrap();
    let new = deployments::NewDeployment {
        sha: "a".into(),
        environment: "e".into(),
        description: String::new(),
        transient: false,
        production: false,
    };
    assert_eq!(deployments::create(&github, REPOSITORY, &new).unwrap(), 9);
    assert_eq!(deployments::deactivate(&github, REPOSITORY, "e").unwrap(), 1);
    let status = deployments::CommitStatus {
        sha: "a".into(),
        state: deployments::CommitState::Success,
        context: "c".into(),
        description: String::new(),
        target_url: None,
    };
    deployments::set_commit_status(&github, REPOSITORY, &status).unwrap();
    let sent: Vec<String> =
        server.requests().iter().map(|request| format!("{} {}", request.method, request.target)).collect();
    let created =
        |end: &str| sent.iter().filter(|call| call.starts_with("POST") && call.ends_with(end)).count();
    assert_eq!((created("/comments"), created("/deployments")), (1, 1), "{sent:#?}");
}
