//! A commit's metadata from the REST API: the avatar, and the rest where the clone does not have the commit.
//!
//! Source: GitHub REST API, "Get a commit".

use super::api::{Call, Github, Repeat, owner_and_name, segment};
use super::error::GithubError;
use chrono::DateTime;
use octocrab::models::repos::CommitAuthor;
use serde::Deserialize;

/// A commit as GitHub describes it.
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
    /// Picture of the author, if the author has an account.
    pub avatar_url: Option<String>,
}

/// The fields that are read. octocrab's own model also reads every file of the commit, and would fail on a file that
/// lacks a member, as those in GitHub's examples do.
#[derive(Deserialize)]
struct Raw {
    commit: Written,
    author: Option<Account>,
}

#[derive(Deserialize)]
struct Written {
    message: String,
    author: Option<CommitAuthor>,
    committer: Option<CommitAuthor>,
}

#[derive(Deserialize)]
struct Account {
    avatar_url: Option<String>,
}

/// Ask for a commit of `repository` (`owner/name`).
///
/// # Errors
/// If there is no answer, or it does not hold a commit.
pub fn fetch(github: &Github, repository: &str, sha: &str) -> Result<GithubCommit, GithubError> {
    let doing = format!("ask GitHub for the commit {sha}");
    let (owner, name) = owner_and_name(&doing, repository)?;
    let wanted = "a commit";
    // Tried once: nothing depends on it.
    let call = Call { doing: &doing, permission: "contents: read", wanted, repeat: Repeat::Never };
    let route = format!("/repos/{owner}/{name}/commits/{}", segment(sha));
    let raw: Raw = github.call(&call, async |crab| crab.get(&route, None::<&()>).await)?;
    GithubCommit::from_answer(raw).ok_or(GithubError::Answer { doing, what: wanted })
}

impl GithubCommit {
    fn from_answer(answer: Raw) -> Option<GithubCommit> {
        let author = answer.commit.author;
        Some(GithubCommit {
            timestamp: seconds(answer.commit.committer?.date?.timestamp()),
            subject: answer.commit.message.lines().next().unwrap_or_default().to_string(),
            author_name: author.as_ref().map(|author| author.name.clone()).unwrap_or_default(),
            author_email: author.and_then(|author| author.email).unwrap_or_default(),
            avatar_url: answer.author.and_then(|account| account.avatar_url),
        })
    }
}

/// Seconds since the epoch of an RFC 3339 time: `2024-05-06T07:08:09Z` from the REST API, with an offset in webhooks.
pub fn epoch_seconds(text: &str) -> Option<f64> {
    DateTime::parse_from_rfc3339(text).ok().map(|time| seconds(time.timestamp()))
}

#[allow(clippy::cast_precision_loss)]
fn seconds(whole: i64) -> f64 {
    whole as f64
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
                "committer": {"name": "Ann", "date": "2023-11-14T22:13:20Z"},
            },
        });
        let commit = GithubCommit::from_answer(serde_json::from_value(answer).unwrap()).unwrap();
        assert_eq!((commit.timestamp, commit.subject.as_str()), (1_700_000_000.0, "Subject"));
        assert_eq!((commit.author_name.as_str(), commit.avatar_url), ("Ann", None));
    }
}
