//! Errors of calls to GitHub.

use crate::error::{Explain, Fault};
use crate::net;
use std::time::Duration;

/// A failed call to GitHub.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum GithubError {
    #[error("could not {doing}{}", tries(*attempts))]
    Network {
        doing: String,
        attempts: u32,
        #[source]
        source: net::Error,
    },
    #[error("could not {doing}: GitHub refused the token (401 Unauthorized)")]
    BadToken { doing: String },
    #[error("could not {doing}: the token has invalid characters (spaces, line breaks or non-ASCII ones)")]
    MalformedToken { doing: String },
    /// `accepted` is what the header `X-Accepted-GitHub-Permissions` says, as lines of a workflow's `permissions:`.
    #[error("could not {doing}: the token lacks the permission for it{}", said(message))]
    Forbidden { doing: String, accepted: Vec<String>, message: String },
    #[error("could not {doing}: it does not exist, or this token may not see it (404 Not Found)")]
    NotFound { doing: String },
    #[error("could not {doing}: it is gone (410 Gone){}", said(message))]
    Gone { doing: String, message: String },
    #[error("could not {doing}: the conversation is locked")]
    Locked { doing: String },
    #[error("could not {doing}: GitHub rejected it as invalid ({status}){}", said(message))]
    Invalid { doing: String, status: u16, message: String },
    #[error("could not {doing}: GitHub's rate limit is reached{}", wait.map(|wait| format!("; it asks to wait {} s", wait.as_secs())).unwrap_or_default())]
    RateLimited { doing: String, wait: Option<Duration> },
    #[error("could not {doing}: GitHub answered {status}{}{}", tries(*attempts), said(message))]
    Status { doing: String, status: u16, attempts: u32, message: String },
    #[error("could not {doing}: the answer is not {what}")]
    Answer { doing: String, what: &'static str },
    #[error("could not {doing}: `{url}` is not the address of GitHub's API")]
    BadUrl { doing: String, url: String },
    #[error("could not {doing}: `{repository}` is not the name of a repository")]
    BadRepository { doing: String, repository: String },
    #[error(
        "could not {doing}: GitHub redirects to another server, `{location}`, which must not get the token"
    )]
    MovedAway { doing: String, location: net::SafeUrl },
    #[error("could not {doing}: other jobs kept overwriting it, {rounds} times")]
    Contended { doing: String, rounds: u32 },
    #[error("could not {doing}: the client for GitHub's API stopped")]
    Client {
        doing: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

fn tries(attempts: u32) -> String {
    if attempts > 1 { format!(" after {attempts} attempts") } else { String::new() }
}

fn said(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(": {message}") }
}

impl GithubError {
    /// Whether the request may have taken effect anyway, so that one that creates something must not simply be
    /// repeated.
    pub fn is_uncertain(&self) -> bool {
        matches!(self, GithubError::Network { .. } | GithubError::Answer { .. })
            || matches!(self, GithubError::Status { status, .. } if *status >= 500)
    }
}

impl GithubError {
    /// Whether the same may work some minutes later: GitHub was out of reach, broken or busy.
    pub fn is_transient(&self) -> bool {
        self.is_uncertain() || matches!(self, GithubError::RateLimited { .. } | GithubError::Contended { .. })
    }
}

impl Explain for GithubError {
    fn fault(&self) -> Fault {
        match self {
            GithubError::Client { .. } => Fault::Tool,
            GithubError::BadUrl { .. }
            | GithubError::BadRepository { .. }
            | GithubError::MalformedToken { .. } => Fault::Usage,
            _ => Fault::Remote,
        }
    }

    fn hint(&self) -> Option<String> {
        let text = match self {
            GithubError::Network { source, .. } => return network_hint(source),
            GithubError::BadToken { .. } | GithubError::MalformedToken { .. } => {
                "check the token of this step; the job's own is `${{ github.token }}`, which expires with the job".into()
            }
            GithubError::Forbidden { accepted, .. } => match accepted.first() {
                Some(permission) => {
                    format!("add `{permission}` to the `permissions:` of the job; runs of forks and of Dependabot always get a read-only token")
                }
                None => "check the `permissions:` of the job; runs of forks and of Dependabot always get a read-only token".into(),
            },
            GithubError::NotFound { .. } => {
                "check the repository, and that the job's `permissions:` let the token see it".into()
            }
            GithubError::Locked { .. } => "unlock the conversation of the pull request to see reports there".into(),
            GithubError::RateLimited { .. } => "run the job again later, or use a separate token, which has its own limit".into(),
            GithubError::Status { .. } => "this may be temporary: run the job again later".into(),
            GithubError::BadUrl { .. } => "GITHUB_API_URL is set by the runner, such as https://HOST/api/v3".into(),
            GithubError::Contended { .. } => {
                "give the jobs of one pull request a `concurrency:` group".into()
            }
            GithubError::Gone { .. }
            | GithubError::Invalid { .. }
            | GithubError::Answer { .. }
            | GithubError::BadRepository { .. }
            | GithubError::MovedAway { .. }
            | GithubError::Client { .. } => return None,
        };
        Some(text)
    }
}

/// The network's hints for an error status are about package indexes, so they do not fit here.
fn network_hint(source: &net::Error) -> Option<String> {
    match source {
        net::Error::Status { .. } => None,
        net::Error::Unencrypted { .. } => Some("the address of GitHub's API must begin with https://".into()),
        other => other.hint(),
    }
}
