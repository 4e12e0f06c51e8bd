use super::*;
use serde_json::from_value;

const MARKER: &str = "<!-- pexpress:status:a -->";

#[test]
fn a_comment_is_ours_by_author_and_first_line() {
    let body = format!("{MARKER}\r\ntext");
    for (comment, bot, person) in [
        (json!({"id": 1, "body": body, "user": {"id": 5, "type": "Bot"}}), true, true),
        (json!({"id": 1, "body": body, "user": {"id": 5, "type": "User"}}), false, true),
        (json!({"id": 1, "body": body, "user": {"id": 6, "type": "User"}}), false, false),
        (json!({"id": 1, "body": body, "user": {"id": 5}}), false, true),
        (json!({"id": 1, "body": body, "user": null}), false, false),
        (json!({"id": 1, "body": null, "user": {"id": 5, "type": "Bot"}}), false, false),
        (json!({"id": 1, "body": format!(" {MARKER}"), "user": {"id": 5, "type": "Bot"}}), false, false),
        (json!({"id": 1, "body": format!("> {MARKER}"), "user": {"id": 5, "type": "Bot"}}), false, false),
        (
            json!({"id": 1, "body": format!("{MARKER}{MARKER}"), "user": {"id": 5, "type": "Bot"}}),
            false,
            false,
        ),
    ] {
        let parsed: Comment = from_value(comment.clone()).unwrap();
        let found = (parsed.is_ours(Author::Bot, MARKER), parsed.is_ours(Author::Account(5), MARKER));
        assert_eq!(found, (bot, person), "{comment}");
    }
}

#[test]
fn bodies_that_differ_in_line_ends_alone_are_the_same() {
    assert!(same_text("a\r\nb  \n", "a\nb"));
    assert!(!same_text("a\nb", "a\n\nb"));
    assert!(!same_text("a", "a\nb"));
}
