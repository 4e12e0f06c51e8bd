//! The sticky comment against the strict stand-in: GitHub's own API description allows every request.

use crate::support::github_rows::{CREATE, EDIT, LIST, MARKER, READ, add_row, add_row_in, comment_of, ours};
use crate::support::github_standin::{GithubStandin, PERSON, REPOSITORY, WRITE};
use pexpress::error::Explain;
use pexpress::github::GithubError;
use pexpress::github::comment::StickyComment;
use pexpress::host::SystemClock;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

#[test]
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
    // The same again changes nothing and sends no changes.
    assert_eq!(comment.upsert(&mut edit.clone(), None).unwrap(), first);
    assert_eq!(comment.upsert(&mut |_| None, None).unwrap(), first);
    assert_eq!(standin.journal().operations()[5..], [READ, READ]);
    // A person deletes it.
    standin.control("delete-comment", &json!(first.unwrap().id));
    assert_eq!(comment.upsert(&mut |_| None, None).unwrap(), None);
}

#[test]
fn nothing_is_written_without_a_reason() {
    let standin = GithubStandin::start(json!({}));
    let (github, _) = standin.connect(WRITE);
    let written = StickyComment::new(&github, REPOSITORY, 7, MARKER).upsert(&mut |_| None, None).unwrap();
    assert_eq!((written, standin.journal().operations()), (None, vec![LIST.to_string()]));
}

#[test]
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
    // The highest id comes last: on the third page, with links that have the repository's id.
    assert_eq!(journal.operations(), [LIST, LIST, LIST, EDIT, READ]);
    assert_eq!(journal.requests()[1]["path"], "/repositories/5000000001/issues/7/comments");
}

#[test]
fn pages_after_ours_are_not_asked_for() {
    let mut comments = vec![ours(1, "first")];
    comments.extend((0..300).map(|number| comment_of("User", "bob", &format!("number {number}"))));
    let standin = GithubStandin::start(json!({"comments": comments}));
    add_row(&standin.connect(WRITE).0, "second").unwrap();
    assert_eq!(standin.journal().operations(), [LIST, EDIT, READ]);
}

#[test]
fn another_bot_s_comment_is_not_taken_for_a_second_one_of_ours() {
    let mut other = comment_of("Bot", "other[bot]", &format!("{MARKER}\nother"));
    other["id"] = json!(9_900_000_000_u64);
    let standin =
        GithubStandin::start(json!({"faults": [{"operation": CREATE, "before": {"comment": other}}]}));
    add_row(&standin.connect(WRITE).0, "mine").unwrap();
    assert_eq!(standin.bodies(), [format!("{MARKER}\nmine"), format!("{MARKER}\nother")]);
}

#[test]
fn parallel_jobs_look_twice_before_creating() {
    let standin = GithubStandin::start(json!({
        "faults": [{"operation": LIST, "call": 2, "before": {"comment": ours(1, "other")}}],
    }));
    let (github, _) = standin.connect(WRITE);
    let mut comment = StickyComment::new(&github, REPOSITORY, 7, MARKER).confirm_absence_before_create();
    assert_eq!(add_row_in(&mut comment, "mine").unwrap().id, 1);
    assert_eq!(standin.journal().operations(), [LIST, LIST, EDIT, READ]);
    assert_eq!(standin.bodies(), [format!("{MARKER}\nother\nmine")]);
}

#[test]
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
fn a_second_comment_with_a_lost_answer_does_not_stay() {
    let standin = GithubStandin::start(json!({
        "faults": [{"operation": CREATE, "before": {"comment": ours(1, "other")}, "status": 502, "apply": true}],
    }));
    assert_eq!(add_row(&standin.connect(WRITE).0, "mine").unwrap().id, 1);
    assert_eq!(standin.bodies(), [format!("{MARKER}\nother\nmine")]);
}

#[test]
fn a_failed_cleanup_does_not_undo_the_comment() {
    for fault in [
        json!({"operation": "issues/delete-comment", "times": 0, "status": 403, "body": "{}"}),
        json!({"operation": READ, "times": 0, "status": 503}),
    ] {
        let standin = GithubStandin::start(json!({
            "faults": [{"operation": CREATE, "before": {"comment": ours(9_900_000_000, "other")}}, fault],
        }));
        add_row(&standin.connect(WRITE).0, "mine").unwrap();
        assert_eq!(standin.bodies()[0], format!("{MARKER}\nmine"), "{fault}");
    }
}

#[test]
fn a_comment_that_can_be_read_and_not_edited_is_an_error_soon() {
    let standin = GithubStandin::start(json!({
        "comments": [ours(1, "first")],
        "faults": [{"operation": EDIT, "times": 0, "status": 404, "body": "{}"}],
    }));
    let error = add_row(&standin.connect(WRITE).0, "mine").unwrap_err();
    assert!(error.to_string().starts_with("could not edit the comment of pull request 7"), "{error}");
    assert_eq!(standin.journal().operations(), [LIST, EDIT, LIST, EDIT]);
}

#[test]
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
    // The second check found nothing to do.
    assert_eq!(standin.journal().operations(), [LIST, EDIT, READ, READ, EDIT, READ, READ]);
}

#[test]
fn a_comment_that_is_overwritten_for_ever_is_given_up() {
    let overwritten = json!({"id": 1, "body": format!("{MARKER}\nother")});
    let standin = GithubStandin::start(json!({
        "comments": [ours(1, "first")],
        "faults": [{"operation": READ, "times": 0, "before": {"edit-comment": overwritten}}],
    }));
    let error = add_row(&standin.connect(WRITE).0, "mine").unwrap_err();
    assert!(matches!(error, GithubError::Contended { .. }), "{error}");
    assert!(error.hint().unwrap_or_default().contains("concurrency"), "{}", error.hint().unwrap_or_default());
}

#[test]
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
fn a_comment_deleted_meanwhile_is_created_again() {
    let standin = GithubStandin::start(json!({
        "comments": [ours(1, "first")],
        "faults": [{"operation": EDIT, "before": {"delete-comment": 1}}],
    }));
    let written = add_row(&standin.connect(WRITE).0, "mine").unwrap();
    assert_ne!(written.id, 1);
    assert_eq!(standin.bodies(), [format!("{MARKER}\nmine")]);
}

#[test]
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

/// Tokens of older servers have no prefix that shows their owner.
#[test]
fn a_token_without_a_known_owner_is_a_bots() {
    let bot = json!({"login": "github-actions[bot]", "id": 5, "type": "Bot", "permissions": "write-all"});
    let standin = GithubStandin::start(json!({
        "comments": [ours(1, "first"), comment_of("User", "bob", &format!("{MARKER}\nhis"))],
        "tokens": {"v1.0123456789abcdef": bot},
    }));
    assert_eq!(add_row(&standin.connect("v1.0123456789abcdef").0, "mine").unwrap().id, 1);
    assert_eq!(standin.journal().operations(), ["users/get-authenticated", LIST, EDIT, READ]);
}

#[test]
fn a_comment_that_never_arrives_is_given_up_within_a_minute() {
    let standin = GithubStandin::start(json!({
        "faults": [{"operation": CREATE, "times": 0, "status": 502}, {"operation": LIST, "times": 0, "call": 2, "status": 503}],
    }));
    let (github, clock) = standin.connect(WRITE);
    let error = add_row(&github, "mine").unwrap_err();
    insta::assert_snapshot!(error.to_string(), @"could not list the comments of pull request 7: GitHub answered 503 after 4 attempts");
    assert!(clock.slept().iter().sum::<f64>() < 60.0, "{:?}", clock.slept());
}
