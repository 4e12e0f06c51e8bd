use super::*;
use serde_json::from_value;

const MARKER: &str = "<!-- pexpress:status:a -->";

/// A comment by account `id`, as the API gives it.
fn comment(body: &str, id: u64, kind: &str) -> Value {
    let mut user =
        json!({"login": "x", "id": id, "node_id": "x", "gravatar_id": "", "type": kind, "site_admin": false});
    for member in
        ["avatar", "html", "followers", "following", "gists", "starred", "subscriptions", "organizations"]
    {
        user[format!("{member}_url")] = json!("https://h/x");
    }
    for member in ["url", "repos_url", "events_url", "received_events_url"] {
        user[member] = json!("https://h/x");
    }
    let url = "https://h/x";
    let at = "2023-11-14T22:13:20Z";
    json!({"id": 1, "node_id": "x", "url": url, "html_url": url, "created_at": at, "body": body, "user": user})
}

#[test]
fn a_comment_is_ours_by_author_and_first_line() {
    let body = format!("{MARKER}\r\ntext");
    for (comment, bot, person) in [
        (comment(&body, 5, "Bot"), true, true),
        (comment(&body, 5, "User"), false, true),
        (comment(&body, 6, "User"), false, false),
        (comment(&format!(" {MARKER}"), 5, "Bot"), false, false),
        (comment(&format!("> {MARKER}"), 5, "Bot"), false, false),
        (comment(&format!("{MARKER}{MARKER}"), 5, "Bot"), false, false),
        (comment("", 5, "Bot"), false, false),
    ] {
        let parsed: Comment = from_value(comment.clone()).unwrap();
        let found = (is_ours(&parsed, Author::Bot, MARKER), is_ours(&parsed, Author::Account(5), MARKER));
        assert_eq!(found, (bot, person), "{comment}");
    }
}

#[test]
fn bodies_that_differ_in_line_ends_alone_are_the_same() {
    assert!(same_text("a\r\nb  \n", "a\nb"));
    assert!(!same_text("a\nb", "a\n\nb"));
    assert!(!same_text("a", "a\nb"));
}
