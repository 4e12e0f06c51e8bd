//! A comment with one line per job, as the tests of the GitHub client write it.

use super::github_standin::REPOSITORY;
use pexpress::github::comment::{StickyComment, Written};
use pexpress::github::{Github, GithubError};
use serde_json::{Value, json};

pub const MARKER: &str = "<!-- pexpress:status:acme/prod -->";
pub const CREATE: &str = "issues/create-comment";
pub const LIST: &str = "issues/list-comments";
pub const READ: &str = "issues/get-comment";
pub const EDIT: &str = "issues/update-comment";

pub fn comment_of(kind: &str, login: &str, body: &str) -> Value {
    json!({"body": body, "user": {"login": login, "id": login.len(), "type": kind}})
}

pub fn ours(id: u64, body: &str) -> Value {
    let mut comment = comment_of("Bot", "github-actions[bot]", &format!("{MARKER}\n{body}"));
    comment["id"] = json!(id);
    comment["user"]["id"] = json!(41_898_282);
    comment
}

/// A new connection that adds the line `row` to the comment, keeping what is there, as the jobs of a matrix do.
pub fn add_row(github: &Github, row: &str) -> Result<Written, GithubError> {
    add_row_in(&mut StickyComment::new(github, REPOSITORY, 7, MARKER), row)
}

pub fn add_row_in(comment: &mut StickyComment<'_>, row: &str) -> Result<Written, GithubError> {
    let has_row = |body: &str| body.lines().any(|line| line == row);
    let mut compose = |old: Option<&str>| {
        let old = old.unwrap_or(MARKER);
        Some(if has_row(old) { old.to_string() } else { format!("{}\n{row}", old.trim_end()) })
    };
    comment.upsert(&mut compose, Some(&has_row)).map(|written| written.expect("something was to be written"))
}
