//! Refusals of GitHub, and where the token may go: against the strict stand-in and scripted servers.

use crate::support::github_rows::{CREATE, LIST, MARKER, add_row, add_row_in, ours};
use crate::support::github_standin::{GithubStandin, READONLY, REPOSITORY, WRITE};
use crate::support::recording_clock::host_in;
use crate::support::scripted_server::{Reply, ScriptedServer};
use pexpress::error::Explain;
use pexpress::github::comment::StickyComment;
use pexpress::github::deployments::{
    CommitState, CommitStatus, DeploymentDetails, DeploymentState, NewDeployment, create, deactivate,
    set_commit_status, set_state,
};
use pexpress::github::{Github, GithubError, pull_request};
use pexpress::net::{Agent, Secret};
use serde_json::json;

fn hint(error: &GithubError) -> String {
    error.hint().unwrap_or_default()
}

#[test]
fn reading_is_attempted_four_times_within_a_minute() {
    let standin = GithubStandin::start(json!({"faults": [{"operation": LIST, "status": 503, "times": 0}]}));
    let (github, clock) = standin.connect(WRITE);
    let error = add_row(&github, "mine").unwrap_err();
    assert_eq!(
        error.to_string(),
        "could not list the comments of pull request 7: GitHub answered 503 after 4 attempts"
    );
    assert!(clock.slept().iter().sum::<f64>() < 10.0, "{:?}", clock.slept());
}

#[test]
fn a_missing_permission_is_named() {
    let standin = GithubStandin::start(json!({}));
    let error = add_row(&standin.connect(READONLY).0, "mine").unwrap_err();
    assert_eq!(
        error.to_string(),
        "could not comment on pull request 7: the token lacks the permission for it: Resource not accessible by integration"
    );
    insta::assert_snapshot!(hint(&error), @"add `pull-requests: write` to the `permissions:` of the job; runs of forks and of Dependabot always get a read-only token");
    let status = CommitStatus {
        sha: "aa".into(),
        state: CommitState::Success,
        context: "pexpress".into(),
        description: String::new(),
        target_url: None,
    };
    let error = set_commit_status(&standin.connect("ghs_comments").0, REPOSITORY, &status).unwrap_err();
    insta::assert_snapshot!(hint(&error), @"add `statuses: write` to the `permissions:` of the job; runs of forks and of Dependabot always get a read-only token");
    assert_eq!(standin.journal().operations().len(), 3);
}

#[test]
fn refusals_are_distinguished_and_not_retried() {
    let standin = GithubStandin::start(json!({
        "pulls": [{"number": 7, "locked": true}, {"number": 8, "deleted": true}, {"number": 9}],
    }));
    let write = |token: &str, number, body: String| {
        let (github, clock) = standin.connect(token);
        let error = StickyComment::new(&github, REPOSITORY, number, MARKER)
            .upsert(&mut |_| Some(body.clone()), None)
            .unwrap_err();
        assert!(clock.slept().is_empty(), "{error}");
        error.to_string()
    };
    for (token, number, body, want) in [
        (
            "ghs_expired",
            7,
            "x",
            "could not list the comments of pull request 7: GitHub refused the token (401 Unauthorized)",
        ),
        (WRITE, 7, "x", "could not comment on pull request 7: the conversation is locked"),
        (
            WRITE,
            8,
            "x",
            "could not list the comments of pull request 8: it is gone (410 Gone): This issue was deleted",
        ),
        (
            WRITE,
            10,
            "x",
            "could not list the comments of pull request 10: it does not exist, or this token may not see it (404 Not Found)",
        ),
    ] {
        assert_eq!(write(token, number, body.into()), want);
    }
    assert_eq!(
        write(WRITE, 9, "x".repeat(65_537)),
        "could not comment on pull request 9: GitHub rejected it as invalid (422): Validation Failed; Body is too long (maximum is 65536 characters)"
    );
    assert_eq!(
        StickyComment::new(&standin.connect(WRITE).0, "acme", 7, MARKER)
            .upsert(&mut |_| None, None)
            .unwrap_err()
            .to_string(),
        "could not list the comments of pull request 7: `acme` is not the name of a repository"
    );
}

#[test]
fn rate_limits_are_waited_for_if_that_is_short() {
    let limited = r#"{"message": "You have exceeded a secondary rate limit."}"#;
    // The clock of the test starts at 1700000000.
    let exhausted =
        |reset: u64| json!({"x-ratelimit-remaining": "0", "x-ratelimit-reset": reset.to_string()});
    for (status, headers, pause) in [
        (429, json!({"Retry-After": "7"}), Some(7.0)),
        (403, json!({"Retry-After": "5"}), Some(5.0)),
        (403, exhausted(1_700_000_009), Some(10.0)),
        (403, json!({"Retry-After": "300"}), None),
        (403, exhausted(1_700_003_600), None),
    ] {
        let standin = GithubStandin::start(json!({
            "comments": [ours(1, "first")],
            "faults": [{"operation": LIST, "status": status, "headers": headers, "body": limited}],
        }));
        let (github, clock) = standin.connect(WRITE);
        let outcome = add_row(&github, "mine");
        match pause {
            Some(pause) => {
                outcome.unwrap();
                assert!((clock.slept()[0] - pause).abs() < 1e-9, "{headers}: {:?}", clock.slept());
            }
            None => {
                assert!(
                    matches!(outcome, Err(GithubError::RateLimited { wait: Some(_), .. })),
                    "{outcome:?}"
                );
                assert!(clock.slept().is_empty());
            }
        }
    }
}

#[test]
fn a_refused_creation_is_repeated_where_github_did_nothing() {
    let standin = GithubStandin::start(json!({
        "faults": [{"operation": CREATE, "status": 429, "headers": {"Retry-After": "1"}, "body": "{}"}],
    }));
    add_row(&standin.connect(WRITE).0, "mine").unwrap();
    assert_eq!(standin.bodies(), [format!("{MARKER}\nmine")]);
}

#[test]
fn a_moved_repository_is_found_and_an_enterprise_server_has_a_prefix() {
    let standin = GithubStandin::start(json!({"former_names": ["acme/old"], "prefix": "/api/v3"}));
    assert!(standin.url.ends_with("/api/v3"), "{}", standin.url);
    let (github, _) = standin.connect(WRITE);
    let mut comment = StickyComment::new(&github, "acme/old", 7, MARKER);
    add_row_in(&mut comment, "one").unwrap();
    add_row_in(&mut comment, "two").unwrap();
    assert_eq!(standin.bodies(), [format!("{MARKER}\none\ntwo")]);
    let journal = standin.journal();
    journal.assert_clean();
    assert_eq!(journal.operations()[..4], ["moved", LIST, "moved", CREATE]);
}

#[test]
fn the_token_stays_with_the_server_it_was_given_for() {
    let elsewhere = ScriptedServer::new([(200, "[]"), (200, "[]")]);
    let target = elsewhere.url("/repositories/1/issues/7/comments");
    let at_home = ScriptedServer::answering(move |request| {
        let status = if request.method == "GET" { 301 } else { 307 };
        Reply::new(status, "{}").header("Location", target.clone())
    });
    let dir = tempfile::tempdir().unwrap();
    let (host, _, _) = host_in(dir.path(), &[]);
    let github = Github::new(&at_home.url(""), Secret::new("ghs_word"), &Agent::new(&host), &host);
    let error = add_row(&github, "mine").unwrap_err();
    assert!(matches!(error, GithubError::MovedAway { .. }), "{error}");
    assert!(
        at_home.requests().iter().all(|request| request.header("authorization") == Some("Bearer ghs_word"))
    );
    let heard = elsewhere.requests();
    assert_eq!(heard.len(), 1, "the reading was led there, the writing was not");
    assert_eq!(heard[0].header("authorization"), None);
}

#[test]
fn a_token_with_a_line_break_inside_is_refused() {
    let server = ScriptedServer::answering(|_| Reply::new(401, "{}"));
    let dir = tempfile::tempdir().unwrap();
    let (host, _, _) = host_in(dir.path(), &[]);
    let fail = |token: &str| {
        let github = Github::new(&server.url(""), Secret::new(token), &Agent::new(&host), &host);
        add_row(&github, "mine").unwrap_err()
    };
    let error = fail("ghs_wo\nrd");
    assert!(matches!(error, GithubError::MalformedToken { .. }), "{error}");
    assert!(server.requests().is_empty());
    assert!(matches!(fail("ghs_word\n"), GithubError::BadToken { .. }));
    assert_eq!(server.requests()[0].header("authorization"), Some("Bearer ghs_word"));
}

#[test]
fn a_token_is_not_sent_unencrypted_over_a_network() {
    let dir = tempfile::tempdir().unwrap();
    let (host, _, _) = host_in(dir.path(), &[]);
    for (url, want) in [
        ("http://github.example/api/v3", "could not list the comments of pull request 7"),
        ("github.example", "`github.example` is not the address of GitHub's API"),
    ] {
        let github = Github::new(url, Secret::new("ghs_word"), &Agent::new(&host), &host);
        let error = add_row(&github, "mine").unwrap_err();
        assert!(error.to_string().contains(want), "{error}");
        assert!(hint(&error).contains("https://"), "{}", hint(&error));
    }
}

/// Enterprise Servers are older; the oldest with a description by GitHub has to accept the same requests.
#[test]
#[ignore = "jsonschema and GitHub's description of its API come from package indexes"]
fn an_enterprise_server_takes_the_same_requests() {
    let standin = GithubStandin::start_with("ghes-3.17.json", json!({"prefix": "/api/v3"}));
    let (github, _) = standin.connect(WRITE);
    let mut comment = StickyComment::new(&github, REPOSITORY, 7, MARKER);
    add_row_in(&mut comment, "one").unwrap();
    add_row_in(&mut comment, "two").unwrap();
    let new = NewDeployment {
        sha: "a".repeat(40),
        environment: "prod".into(),
        description: "Dagster+".into(),
        transient: true,
        production: false,
    };
    let id = create(&github, REPOSITORY, &new).unwrap();
    set_state(&github, REPOSITORY, id, DeploymentState::Success, &DeploymentDetails::default()).unwrap();
    deactivate(&github, REPOSITORY, "prod").unwrap();
    let status = CommitStatus {
        sha: new.sha,
        state: CommitState::Pending,
        context: "pexpress".into(),
        description: "under way".into(),
        target_url: None,
    };
    set_commit_status(&github, REPOSITORY, &status).unwrap();
    pull_request::fetch(&github, REPOSITORY, 7).unwrap();
    standin.journal().assert_clean();
}
