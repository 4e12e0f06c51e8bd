//! A commit's metadata from the REST API: the avatar, and the rest where the clone does not have the commit.
//!
//! Source: GitHub REST API, "Get a commit".

use super::api::{Call, Github};
use super::error::GithubError;
use serde_json::Value;
use ureq::http::Method;

/// A commit as GitHub tells of it.
#[derive(Debug, Clone, PartialEq)]
pub struct GithubCommit {
    /// Committer date, seconds since the epoch.
    pub timestamp: f64,
    /// First line of the message.
    pub subject: String,
    /// Author's name.
    pub author_name: String,
    /// Author's address.
    pub author_email: String,
    /// Picture of the author, where the author has an account.
    pub avatar_url: Option<String>,
}

/// Ask for a commit of `repository` (`owner/name`).
///
/// # Errors
/// When there is no answer, or not a commit in it.
pub fn fetch(github: &Github, repository: &str, sha: &str) -> Result<GithubCommit, GithubError> {
    let doing = format!("ask GitHub for the commit {sha}");
    let url = github.repository_url(&doing, repository, &["commits", sha], &[])?;
    let permission = "contents: read";
    // Tried once: nothing depends on it.
    let call = Call { doing: &doing, permission, idempotent: true, method: Method::GET, url, body: None };
    let answer: Value = github.call_once(&call)?.parse(&doing, "JSON")?;
    parse(&answer).ok_or(GithubError::Answer { doing, what: "a commit" })
}

fn parse(answer: &Value) -> Option<GithubCommit> {
    let text = |pointer: &str| answer.pointer(pointer).and_then(Value::as_str);
    let message = text("/commit/message")?;
    Some(GithubCommit {
        timestamp: epoch_seconds(text("/commit/committer/date")?)?,
        subject: message.lines().next().unwrap_or_default().to_string(),
        author_name: text("/commit/author/name").unwrap_or_default().to_string(),
        author_email: text("/commit/author/email").unwrap_or_default().to_string(),
        avatar_url: text("/author/avatar_url").map(String::from),
    })
}

/// Seconds since the epoch of an RFC 3339 time: `2024-05-06T07:08:09Z` from the REST API, with an offset in webhooks.
pub fn epoch_seconds(text: &str) -> Option<f64> {
    let time: toml::value::Datetime = text.parse().ok()?;
    let (date, clock) = (time.date?, time.time?);
    let offset_minutes = match time.offset? {
        toml::value::Offset::Z => 0,
        toml::value::Offset::Custom { minutes } => i64::from(minutes),
    };
    // Days since the epoch, counting years from March so that the leap day comes last.
    let (year, month) = (i64::from(date.year) - i64::from(date.month < 3), i64::from(date.month));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + i64::from(date.day) - 1;
    let days = 365 * year + year / 4 - year / 100 + year / 400 + day_of_year - 719_468;
    let minutes = i64::from(clock.hour) * 60 + i64::from(clock.minute) - offset_minutes;
    #[allow(clippy::cast_precision_loss)]
    Some((days * 86_400 + minutes * 60 + i64::from(clock.second.unwrap_or(0))) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn times_count_from_the_epoch() {
        for (text, want) in [
            ("1970-01-01T00:00:00Z", Some(0.0)),
            ("2024-02-29T12:34:56Z", Some(1_709_210_096.0)),
            ("2023-11-14T22:13:20Z", Some(1_700_000_000.0)),
            ("2000-03-01T00:00:00Z", Some(951_868_800.0)),
            ("2023-11-14T17:13:20-05:00", Some(1_700_000_000.0)),
            ("2023-11-14T22:13:20", None),
            ("2024-02-29", None),
            ("yesterday", None),
        ] {
            assert_eq!(epoch_seconds(text), want, "{text}");
        }
    }

    #[test]
    fn an_author_without_an_account_has_no_picture() {
        let answer = json!({
            "sha": "aa", "author": null,
            "commit": {
                "message": "Subject\n\nbody", "author": {"name": "Ann", "email": "a@example.test"},
                "committer": {"date": "2023-11-14T22:13:20Z"},
            },
        });
        let parsed = parse(&answer).unwrap();
        assert_eq!((parsed.subject.as_str(), parsed.avatar_url), ("Subject", None));
        assert_eq!(parse(&json!({"message": "Not Found"})), None);
    }
}
