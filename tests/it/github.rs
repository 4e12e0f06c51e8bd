//! The REST client against the strict stand-in: every request is one that GitHub's own description allows.

use crate::support::github_standin::{GithubStandin, PERSON, READONLY, REPOSITORY, WRITE};
use crate::support::recording_clock::host_in;
use crate::support::scripted_server::{Reply, ScriptedServer};
use pexpress::error::Explain;
use pexpress::github::comment::{StickyComment, Written};
use pexpress::github::deployments::{
    CommitState, CommitStatus, DeploymentDetails, DeploymentState, NewDeployment, create, deactivate,
    set_commit_status, set_state,
};
use pexpress::github::{Github, GithubError, commit, pull_request};
use pexpress::host::SystemClock;
use pexpress::net::{Agent, Secret};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

const MARKER: &str = "<!-- pexpress:status:acme/prod -->";
const CREATE: &str = "issues/create-comment";
const LIST: &str = "issues/list-comments";
const READ: &str = "issues/get-comment";
const EDIT: &str = "issues/update-comment";

fn comment_of(kind: &str, login: &str, body: &str) -> Value {
    json!({"body": body, "user": {"login": login, "id": login.len(), "type": kind}})
}

fn ours(id: u64, body: &str) -> Value {
    let mut comment = comment_of("Bot", "github-actions[bot]", &format!("{MARKER}\n{body}"));
    comment["id"] = json!(id);
    comment["user"]["id"] = json!(41_898_282);
    comment
}

/// A new connection that adds the line `row` to the comment, keeping what is there, as the jobs of a matrix do.
fn add_row(github: &Github, row: &str) -> Result<Written, GithubError> {
    add_row_in(&mut StickyComment::new(github, REPOSITORY, 7, MARKER), row)
}

fn add_row_in(comment: &mut StickyComment<'_>, row: &str) -> Result<Written, GithubError> {
    let has_row = |body: &str| body.lines().any(|line| line == row);
    let mut compose = |old: Option<&str>| {
        let old = old.unwrap_or(MARKER);
        Some(if has_row(old) { old.to_string() } else { format!("{}\n{row}", old.trim_end()) })
    };
    comment.upsert(&mut compose, Some(&has_row)).map(|written| written.expect("something was to be written"))
}

fn hint(error: &GithubError) -> String {
    error.hint().unwrap_or_default()
}

#[test]
#[ignore = "jsonschema and GitHub's description of its API come from package indexes"]
fn a_comment_is_created_once_and_then_edited_in_place() {
    let standin = GithubStandin::start(json!({}));
    let (github, _) = standin.connect(WRITE);
    let mut comment = StickyComment::new(&github, REPOSITORY, 7, MARKER);
    let first = comment.upsert(&mut |_| Some(format!("{MARKER}\nbuilding")), None).unwrap();
    let edit = |old: Option<&str>| old.map(|old| old.replace("building", "done"));
    assert_eq!(comment.upsert(&mut edit.clone(), None).unwrap(), first);
    assert_eq!(standin.bodies(), [format!("{MARKER}\ndone")]);
    let journal = standin.journal();
    journal.assert_clean();
    assert_eq!(journal.operations(), [LIST, CREATE, LIST, READ, EDIT]);
    // The same again changes nothing, and asks for nothing to be changed.
    assert_eq!(comment.upsert(&mut edit.clone(), None).unwrap(), first);
    assert_eq!(comment.upsert(&mut |_| None, None).unwrap(), first);
    assert_eq!(standin.journal().operations()[5..], [READ, READ]);
    // A person deletes it.
    standin.control("delete-comment", &json!(first.unwrap().id));
    assert_eq!(comment.upsert(&mut |_| None, None).unwrap(), None);
}

#[test]
#[ignore = "jsonschema and GitHub's description of its API come from package indexes"]
fn nothing_is_written_where_nothing_is_wanted() {
    let standin = GithubStandin::start(json!({}));
    let (github, _) = standin.connect(WRITE);
    let written = StickyComment::new(&github, REPOSITORY, 7, MARKER).upsert(&mut |_| None, None).unwrap();
    assert_eq!((written, standin.journal().operations()), (None, vec![LIST.to_string()]));
}

#[test]
#[ignore = "jsonschema and GitHub's description of its API come from package indexes"]
fn ours_is_found_among_many_and_forged_ones_are_left_alone() {
    let forged = format!("{MARKER}\nforged");
    let mut comments = vec![
        comment_of("User", "mallory", &forged),
        json!({"body": forged, "user": null}),
        comment_of("Bot", "other[bot]", &format!("quoting\n{MARKER}\n")),
        comment_of("Bot", "other[bot]", "<!-- pexpress:status:acme/prod2 -->\nx"),
    ];
    comments.extend((0..130).map(|number| comment_of("User", "bob", &format!("number {number}"))));
    comments.push(ours(9_900_000_000, "first"));
    comments.extend((0..130).map(|number| comment_of("User", "bob", &format!("late {number}"))));
    let standin = GithubStandin::start(json!({"comments": comments}));
    let before = standin.bodies();
    let (github, _) = standin.connect(WRITE);
    assert_eq!(add_row(&github, "second").unwrap().id, 9_900_000_000);
    let changed: Vec<_> = standin.bodies().into_iter().filter(|body| !before.contains(body)).collect();
    assert_eq!(changed, [format!("{MARKER}\nfirst\nsecond")]);
    let journal = standin.journal();
    journal.assert_clean();
    // The highest id comes last: found on the third page, over links that name the repository by its id.
    assert_eq!(journal.operations(), [LIST, LIST, LIST, EDIT, READ]);
    assert_eq!(journal.requests()[1]["path"], "/repositories/5000000001/issues/7/comments");
}

#[test]
#[ignore = "jsonschema and GitHub's description of its API come from package indexes"]
fn pages_after_ours_are_not_asked_for() {
    let mut comments = vec![ours(1, "first")];
    comments.extend((0..300).map(|number| comment_of("User", "bob", &format!("number {number}"))));
    let standin = GithubStandin::start(json!({"comments": comments}));
    add_row(&standin.connect(WRITE).0, "second").unwrap();
    assert_eq!(standin.journal().operations(), [LIST, EDIT, READ]);
}

#[test]
#[ignore = "jsonschema and GitHub's description of its API come from package indexes"]
fn another_bot_s_comment_is_not_taken_for_a_second_one_of_ours() {
    let mut other = comment_of("Bot", "other[bot]", &format!("{MARKER}\nother"));
    other["id"] = json!(9_900_000_000_u64);
    let standin =
        GithubStandin::start(json!({"faults": [{"operation": CREATE, "before": {"comment": other}}]}));
    add_row(&standin.connect(WRITE).0, "mine").unwrap();
    assert_eq!(standin.bodies(), [format!("{MARKER}\nmine"), format!("{MARKER}\nother")]);
}

#[test]
#[ignore = "jsonschema and GitHub's description of its API come from package indexes"]
fn who_begins_together_with_others_looks_twice_before_creating() {
    let standin = GithubStandin::start(json!({
        "faults": [{"operation": LIST, "call": 2, "before": {"comment": ours(1, "other")}}],
    }));
    let (github, _) = standin.connect(WRITE);
    let mut comment = StickyComment::new(&github, REPOSITORY, 7, MARKER).hesitant();
    assert_eq!(add_row_in(&mut comment, "mine").unwrap().id, 1);
    assert_eq!(standin.journal().operations(), [LIST, LIST, EDIT, READ]);
    assert_eq!(standin.bodies(), [format!("{MARKER}\nother\nmine")]);
}

#[test]
#[ignore = "jsonschema and GitHub's description of its API come from package indexes"]
fn of_two_comments_made_at_once_the_older_stays_with_the_rows_of_both() {
    let standin = GithubStandin::start(
        json!({"faults": [{"operation": CREATE, "before": {"comment": ours(1, "other")}}]}),
    );
    let (github, _) = standin.connect(WRITE);
    assert_eq!(add_row(&github, "mine").unwrap().id, 1);
    assert_eq!(standin.bodies(), [format!("{MARKER}\nother\nmine")]);
    standin.journal().assert_clean();
}

#[test]
#[ignore = "jsonschema and GitHub's description of its API come from package indexes"]
fn rows_that_another_job_overwrote_are_written_again() {
    let overwritten = json!({"id": 1, "body": format!("{MARKER}\nother")});
    let standin = GithubStandin::start(json!({
        "comments": [ours(1, "first")],
        "faults": [{"operation": READ, "before": {"edit-comment": overwritten}}],
    }));
    let (github, clock) = standin.connect(WRITE);
    add_row(&github, "mine").unwrap();
    assert_eq!(standin.bodies(), [format!("{MARKER}\nother\nmine")]);
    assert_eq!(standin.journal().operations(), [LIST, EDIT, READ, READ, EDIT, READ]);
    assert!(clock.slept().iter().all(|pause| (0.5..1.5).contains(pause)), "{:?}", clock.slept());
}

#[test]
#[ignore = "jsonschema and GitHub's description of its API come from package indexes"]
fn a_late_look_finds_rows_that_another_job_overwrote() {
    let overwritten = json!({"id": 1, "body": format!("{MARKER}\nother")});
    let standin = GithubStandin::start(json!({
        "comments": [ours(1, "first")],
        "faults": [{"operation": READ, "before": {"edit-comment": overwritten}}],
    }));
    let (github, _) = standin.connect(WRITE);
    let mut comment = StickyComment::new(&github, REPOSITORY, 7, MARKER);
    let mut compose =
        |old: Option<&str>| Some(format!("{}\nmine", old.unwrap_or(MARKER).replace("\nmine", "")));
    let settled = |body: &str| body.ends_with("\nmine");
    comment.upsert(&mut compose, None).unwrap();
    for _ in 0..2 {
        comment.settle(&mut compose, &settled).unwrap();
        assert_eq!(standin.bodies(), [format!("{MARKER}\nother\nmine")]);
    }
    // The second look found nothing to do.
    assert_eq!(standin.journal().operations(), [LIST, EDIT, READ, READ, EDIT, READ, READ]);
}

#[test]
#[ignore = "jsonschema and GitHub's description of its API come from package indexes"]
fn a_comment_that_is_overwritten_for_ever_is_given_up() {
    let overwritten = json!({"id": 1, "body": format!("{MARKER}\nother")});
    let standin = GithubStandin::start(json!({
        "comments": [ours(1, "first")],
        "faults": [{"operation": READ, "times": 0, "before": {"edit-comment": overwritten}}],
    }));
    let error = add_row(&standin.connect(WRITE).0, "mine").unwrap_err();
    assert!(matches!(error, GithubError::Contended { .. }), "{error}");
    assert!(hint(&error).contains("concurrency"), "{}", hint(&error));
}

#[test]
#[ignore = "jsonschema and GitHub's description of its API come from package indexes"]
fn jobs_that_write_at_the_same_time_lose_no_row() {
    let standin = GithubStandin::start(json!({"latency_seconds": 0.01}));
    let rows: Vec<String> = (0..8).map(|number| format!("row {number}")).collect();
    std::thread::scope(|scope| {
        for row in &rows {
            let github = standin.client(WRITE, Arc::new(SystemClock));
            scope.spawn(move || {
                let comment = StickyComment::new(&github, REPOSITORY, 7, MARKER);
                add_row_in(&mut comment.settling(Duration::from_millis(400)), row).unwrap()
            });
        }
    });
    let bodies = standin.bodies();
    assert_eq!(bodies.len(), 1, "{bodies:#?}");
    let mut lines: Vec<&str> = bodies[0].lines().skip(1).collect();
    lines.sort_unstable();
    assert_eq!(lines, rows);
    standin.journal().assert_clean();
}

#[test]
#[ignore = "jsonschema and GitHub's description of its API come from package indexes"]
fn a_comment_deleted_meanwhile_is_made_anew() {
    let standin = GithubStandin::start(json!({
        "comments": [ours(1, "first")],
        "faults": [{"operation": EDIT, "before": {"delete-comment": 1}}],
    }));
    let written = add_row(&standin.connect(WRITE).0, "mine").unwrap();
    assert_ne!(written.id, 1);
    assert_eq!(standin.bodies(), [format!("{MARKER}\nmine")]);
}

#[test]
#[ignore = "jsonschema and GitHub's description of its API come from package indexes"]
fn a_lost_answer_makes_no_second_comment() {
    for (fault, stored) in [
        (json!({"status": 502, "apply": true}), true),
        (json!({"reset": true, "apply": true}), true),
        (json!({"truncate": true}), true),
        (json!({"html": true, "apply": true}), true),
        (json!({"status": 502}), false),
        (json!({"reset": true}), false),
    ] {
        let mut rule = fault.clone();
        rule["operation"] = json!(CREATE);
        let standin = GithubStandin::start(json!({"faults": [rule]}));
        add_row(&standin.connect(WRITE).0, "mine").unwrap();
        assert_eq!(standin.bodies(), [format!("{MARKER}\nmine")], "{fault}");
        let posts = standin.journal().sent(CREATE).len();
        assert_eq!(posts, if stored { 1 } else { 2 }, "{fault}");
    }
}

#[test]
#[ignore = "jsonschema and GitHub's description of its API come from package indexes"]
fn an_edit_that_failed_starts_from_what_is_there_now() {
    let overwritten = json!({"id": 1, "body": format!("{MARKER}\nother")});
    let standin = GithubStandin::start(json!({
        "comments": [ours(1, "first")],
        "faults": [
            {"operation": EDIT, "status": 503},
            {"operation": READ, "before": {"edit-comment": overwritten}},
        ],
    }));
    add_row(&standin.connect(WRITE).0, "mine").unwrap();
    assert_eq!(standin.bodies(), [format!("{MARKER}\nother\nmine")]);
}

#[test]
#[ignore = "jsonschema and GitHub's description of its API come from package indexes"]
fn reading_is_tried_four_times_within_a_minute() {
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
#[ignore = "jsonschema and GitHub's description of its API come from package indexes"]
fn a_missing_permission_is_named() {
    let standin = GithubStandin::start(json!({}));
    let error = add_row(&standin.connect(READONLY).0, "mine").unwrap_err();
    assert_eq!(
        error.to_string(),
        "could not comment on pull request 7: the token lacks the permission for it: Resource not accessible by integration"
    );
    assert!(hint(&error).contains("add `pull-requests: write` to the `permissions:`"), "{}", hint(&error));
    let status = CommitStatus {
        sha: "aa".into(),
        state: CommitState::Success,
        context: "pexpress".into(),
        description: String::new(),
        target_url: None,
    };
    let error = set_commit_status(&standin.connect("ghs_comments").0, REPOSITORY, &status).unwrap_err();
    assert!(hint(&error).contains("`statuses: write`"), "{}", hint(&error));
    assert_eq!(standin.journal().operations().len(), 3);
}

#[test]
#[ignore = "jsonschema and GitHub's description of its API come from package indexes"]
fn refusals_are_told_apart_and_not_tried_again() {
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
            "could not list the comments of pull request 10: GitHub has no such thing, or hides it from this token (404 Not Found)",
        ),
    ] {
        assert_eq!(write(token, number, body.into()), want);
    }
    assert_eq!(
        write(WRITE, 9, "x".repeat(65_537)),
        "could not comment on pull request 9: GitHub takes it for invalid (422): Validation Failed; Body is too long (maximum is 65536 characters)"
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
#[ignore = "jsonschema and GitHub's description of its API come from package indexes"]
fn rate_limits_are_waited_for_if_that_is_short() {
    let limited = r#"{"message": "You have exceeded a secondary rate limit."}"#;
    // The clock of the test begins at 1700000000.
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
#[ignore = "jsonschema and GitHub's description of its API come from package indexes"]
fn a_refused_creation_is_repeated_where_github_did_nothing() {
    let standin = GithubStandin::start(json!({
        "faults": [{"operation": CREATE, "status": 429, "headers": {"Retry-After": "1"}, "body": "{}"}],
    }));
    add_row(&standin.connect(WRITE).0, "mine").unwrap();
    assert_eq!(standin.bodies(), [format!("{MARKER}\nmine")]);
}

#[test]
#[ignore = "jsonschema and GitHub's description of its API come from package indexes"]
fn a_person_s_token_edits_that_person_s_comment_only() {
    let mut hers = comment_of("User", "ann", &format!("{MARKER}\nhers"));
    hers["user"]["id"] = json!(583_231);
    let standin = GithubStandin::start(json!({
        "comments": [ours(1, "bot's"), comment_of("User", "bob", &format!("{MARKER}\nhis")), hers],
    }));
    let (github, _) = standin.connect(PERSON);
    add_row(&github, "mine").unwrap();
    let expected: Vec<_> =
        ["bot's", "his", "hers\nmine"].iter().map(|text| format!("{MARKER}\n{text}")).collect();
    assert_eq!(standin.bodies(), expected);
    let journal = standin.journal();
    journal.assert_clean();
    assert_eq!(journal.operations(), ["users/get-authenticated", LIST, EDIT, READ]);
}

/// Tokens of older servers do not tell by their first letters whose they are.
#[test]
#[ignore = "jsonschema and GitHub's description of its API come from package indexes"]
fn a_token_that_may_not_ask_whose_it_is_is_a_bot_s() {
    let bot = json!({"login": "github-actions[bot]", "id": 5, "type": "Bot", "permissions": "write-all"});
    let standin = GithubStandin::start(json!({
        "comments": [ours(1, "first"), comment_of("User", "bob", &format!("{MARKER}\nhis"))],
        "tokens": {"v1.0123456789abcdef": bot},
    }));
    assert_eq!(add_row(&standin.connect("v1.0123456789abcdef").0, "mine").unwrap().id, 1);
    assert_eq!(standin.journal().operations(), ["users/get-authenticated", LIST, EDIT, READ]);
}

#[test]
#[ignore = "jsonschema and GitHub's description of its API come from package indexes"]
fn a_comment_that_never_arrives_is_given_up_within_a_minute() {
    let standin = GithubStandin::start(json!({
        "faults": [{"operation": CREATE, "times": 0, "status": 502}, {"operation": LIST, "times": 0, "call": 2, "status": 503}],
    }));
    let (github, clock) = standin.connect(WRITE);
    let error = add_row(&github, "mine").unwrap_err();
    assert!(error.to_string().contains("GitHub answered 503 after 4 attempts"), "{error}");
    assert!(clock.slept().iter().sum::<f64>() < 60.0, "{:?}", clock.slept());
}

#[test]
#[ignore = "jsonschema and GitHub's description of its API come from package indexes"]
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
fn a_token_with_a_line_in_it_is_named_as_such_and_one_at_its_end_is_no_matter() {
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
        ("github.example", "`github.example` is no address of GitHub's API"),
    ] {
        let github = Github::new(url, Secret::new("ghs_word"), &Agent::new(&host), &host);
        let error = add_row(&github, "mine").unwrap_err();
        assert!(error.to_string().contains(want), "{error}");
        assert!(hint(&error).contains("https://"), "{}", hint(&error));
    }
}

/// Enterprise Servers lag behind; the oldest that GitHub still describes has to take the same requests.
#[test]
#[ignore = "jsonschema and GitHub's description of its API come from package indexes"]
fn an_enterprise_server_takes_the_same_requests() {
    let standin = GithubStandin::start(json!({"openapi": "ghes-3.17.json", "prefix": "/api/v3"}));
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

#[test]
#[ignore = "jsonschema and GitHub's description of its API come from package indexes"]
fn deployments_are_announced_without_merging_and_set_inactive_on_close() {
    let standin = GithubStandin::start(json!({}));
    let (github, _) = standin.connect(WRITE);
    let new = |environment: &str, transient| NewDeployment {
        sha: "a".repeat(40),
        environment: environment.into(),
        description: "x".repeat(300),
        transient,
        production: !transient,
    };
    let production = create(&github, REPOSITORY, &new("prod", false)).unwrap();
    let branch = create(&github, REPOSITORY, &new("pr/7 ä&b", true)).unwrap();
    let details = DeploymentDetails {
        environment_url: Some("https://acme.example/prod".into()),
        log_url: Some("https://github.example/acme/proj/actions/runs/1".into()),
        description: "loaded".into(),
    };
    set_state(&github, REPOSITORY, production, DeploymentState::InProgress, &details).unwrap();
    set_state(&github, REPOSITORY, production, DeploymentState::Success, &details).unwrap();
    assert_eq!(deactivate(&github, REPOSITORY, "pr/7 ä&b").unwrap(), 1);
    let journal = standin.journal();
    journal.assert_clean();
    for body in journal.sent("repos/create-deployment") {
        assert_eq!((&body["auto_merge"], &body["required_contexts"]), (&json!(false), &json!([])));
    }
    let state = standin.state();
    let states = |id: u64| {
        let deployments = state["deployments"].as_array().unwrap();
        let found = deployments.iter().find(|deployment| deployment["id"] == id).unwrap();
        found["states"].as_array().unwrap().iter().map(|state| state["state"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(
        (states(production), states(branch)),
        (vec![json!("in_progress"), json!("success")], vec![json!("inactive")])
    );
}

#[test]
#[ignore = "jsonschema and GitHub's description of its API come from package indexes"]
fn a_deployment_whose_answer_was_lost_is_not_created_twice() {
    for (stored, posts) in [(true, 1), (false, 2)] {
        let fault = json!({"operation": "repos/create-deployment", "status": 502, "apply": stored});
        let standin = GithubStandin::start(json!({"faults": [fault]}));
        let new = NewDeployment {
            sha: "a".repeat(40),
            environment: "prod".into(),
            description: String::new(),
            transient: false,
            production: true,
        };
        let id = create(&standin.connect(WRITE).0, REPOSITORY, &new).unwrap();
        let present = &standin.state()["deployments"];
        assert_eq!((present.as_array().unwrap().len(), &present[0]["id"]), (1, &json!(id)));
        let journal = standin.journal();
        assert_eq!(journal.sent("repos/create-deployment").len(), posts);
        journal.assert_clean();
    }
}

#[test]
#[ignore = "jsonschema and GitHub's description of its API come from package indexes"]
fn a_commit_status_keeps_the_limit() {
    let standin =
        GithubStandin::start(json!({"faults": [{"operation": "repos/create-commit-status", "status": 502}]}));
    let (github, _) = standin.connect(WRITE);
    let status = CommitStatus {
        sha: "a".repeat(40),
        state: CommitState::Failure,
        context: "pexpress / prod".into(),
        description: "one of the code locations failed to load ".repeat(10),
        target_url: Some("https://github.example/acme/proj/actions/runs/1".into()),
    };
    set_commit_status(&github, REPOSITORY, &status).unwrap();
    standin.journal().assert_clean();
    let sent = &standin.state()["statuses"][0];
    assert_eq!((&sent["state"], &sent["context"]), (&json!("failure"), &json!("pexpress / prod")));
    assert_eq!(sent["description"].as_str().unwrap().chars().count(), 140);
}

#[test]
#[ignore = "jsonschema and GitHub's description of its API come from package indexes"]
fn a_pull_request_and_a_commit_are_read_with_members_missing() {
    let standin = GithubStandin::start(json!({
        "pulls": [{
            "number": 7, "state": "closed", "merged": true, "user": null,
            "head": {"ref": "feature/x", "sha": "aaaa", "repo": null}, "base": {"ref": "main"},
        }],
        "commits": [{"sha": "aaaa", "author": null, "commit": {"message": "Subject\n\nbody"}}],
    }));
    let (github, _) = standin.connect(WRITE);
    let pull = pull_request::fetch(&github, REPOSITORY, 7).unwrap();
    assert_eq!(
        (pull.head_sha.as_str(), pull.head_ref.as_str(), pull.base_ref.as_str()),
        ("aaaa", "feature/x", "main")
    );
    assert_eq!((pull.head_repository, pull.open, pull.merged), (None, false, true));
    let commit = commit::fetch(&github, REPOSITORY, "aaaa").unwrap();
    assert_eq!((commit.subject.as_str(), commit.avatar_url), ("Subject", None));
    assert!(commit::fetch(&github, REPOSITORY, "bbbb").is_err());
    standin.journal().assert_clean();
}
