//! Calls of GitHub's REST API: addresses, retries, rate limits, and what each refusal means.
//!
//! Reads and edits are repeated after transient failures, for less than a minute in total. A call that creates
//! something is repeated only if GitHub says that it did nothing; otherwise the caller looks first. Source: GitHub's
//! REST API documentation, "Best practices", "Rate limits" and "Troubleshooting".

use super::error::GithubError;
use super::transport::{Client, Failure};
use crate::env_vars;
use crate::foreign_text::neutral;
use crate::host::Host;
use crate::net::agent::Timeouts;
use crate::net::retry::{self, Again, Backoff};
use crate::net::{Agent, Secret, Transience};
use octocrab::{GitHubError, Octocrab};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use ureq::http::HeaderMap;

/// How long to wait for GitHub: shorter than for a deployment, since it is only a report.
pub const TIMEOUTS: Timeouts =
    Timeouts { connect: Duration::from_secs(10), silence: Duration::from_secs(15) };
/// No attempt starts later than this after the first.
const LAST_TRY_AFTER: Duration = Duration::from_secs(40);
/// A pause that GitHub asks for is kept if it is no longer than this.
const LONGEST_PAUSE: Duration = Duration::from_secs(20);
/// A segment of a path. Source: RFC 3986, "unreserved".
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A connection to GitHub's REST API, with one client of octocrab's for all calls. Cheap to clone.
#[derive(Clone)]
pub struct Github {
    api_url: String,
    token: Secret,
    client: Arc<Client>,
    host: Host,
    backoff: Backoff,
}

/// How errors describe a call, and when to retry it.
pub(super) struct Call<'a> {
    /// `could not …`: a verb and its object.
    pub doing: &'a str,
    /// The line of `permissions:` that it needs, for answers that do not say.
    pub permission: &'static str,
    /// What a valid answer is.
    pub wanted: &'static str,
    pub repeat: Repeat,
}

/// After which failures to retry a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeat {
    /// After none: its basis has to be read again first, or nothing depends on it.
    Never,
    /// Only if GitHub says that it did nothing: the call creates something.
    IfRefused,
    /// After every transient failure: the call is idempotent.
    Always,
}

impl Github {
    /// A connection to the API at `api_url` (`GITHUB_API_URL`), with this token. Nothing is sent yet.
    pub fn new(api_url: &str, token: Secret, agent: &Agent, host: &Host) -> Github {
        let api_url = api_url.trim_end_matches('/').to_string();
        // Secrets are often pasted with a line end.
        let token = Secret::new(token.reveal().trim());
        let client = Arc::new(Client::new(&api_url, token.clone(), agent));
        let backoff = Backoff { longest_pause: LONGEST_PAUSE, ..Backoff::API };
        Github { api_url, token, client, host: host.clone(), backoff }
    }

    /// A connection from the variables of a workflow: `GITHUB_API_URL` and `GITHUB_TOKEN`. `None` if one is missing.
    pub fn of_run(host: &Host) -> Option<Github> {
        let (api_url, token) = host.var(env_vars::GITHUB_API_URL).zip(host.var(env_vars::GITHUB_TOKEN))?;
        Some(Github::new(api_url, Secret::new(token), &Agent::with_timeouts(host, TIMEOUTS), host))
    }

    /// The host it runs on.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Whether the token certainly belongs to a job or an App, not a person. For other tokens GitHub has to be asked.
    /// Source: GitHub's blog, "Behind GitHub's new authentication token formats".
    pub(super) fn is_of_an_app(&self) -> bool {
        self.token.reveal().starts_with("ghs_")
    }

    /// Call octocrab, with the retries for this call.
    ///
    /// # Errors
    /// If the answer is not a success, or there is no answer.
    pub(super) fn call<T>(
        &self,
        call: &Call<'_>,
        ask: impl AsyncFn(&Octocrab) -> octocrab::Result<T>,
    ) -> Result<T, GithubError> {
        // Such a token cannot be a header's value, and the HTTP error would not say which setting is wrong.
        if !self.token.reveal().bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(GithubError::MalformedToken { doing: call.doing.into() });
        }
        let began = self.host.clock.now();
        let retries = if call.repeat == Repeat::Never { 0 } else { self.backoff.retries };
        let backoff = Backoff { retries, ..self.backoff };
        let outcome = retry::run(&backoff, self.host.clock.as_ref(), |number| {
            let answer = self.client.wait(&ask);
            answer.map_err(|error| self.unless_too_late(self.explained(error, call, number), began))
        });
        outcome.map_err(|failed| failed.error)
    }

    fn unless_too_late(&self, again: Again<GithubError>, began: SystemTime) -> Again<GithubError> {
        let Again::After { error, retry_after } = again else { return again };
        let waited = self.host.clock.now().duration_since(began).unwrap_or_default();
        match waited + retry_after.unwrap_or_default() > LAST_TRY_AFTER {
            true => Again::No(error),
            false => Again::After { error, retry_after },
        }
    }

    /// What octocrab's error means for `call`.
    fn explained(&self, error: octocrab::Error, call: &Call<'_>, attempts: u32) -> Again<GithubError> {
        let doing = call.doing.to_string();
        let failure = match error {
            octocrab::Error::GitHub { source, .. } => {
                return refusal(call, attempts, &source, self.host.clock.now());
            }
            octocrab::Error::Service { source, .. } => source.downcast::<Failure>(),
            // A body or a link that cannot be read.
            _ => return Again::No(GithubError::Answer { doing, what: call.wanted }),
        };
        Again::No(match failure.map(|failure| *failure) {
            Ok(Failure::Network(source)) => {
                let passes = source.transience() != Transience::Lasting;
                let error = GithubError::Network { doing, attempts, source };
                return again_if(passes && call.repeat == Repeat::Always, error, None);
            }
            Ok(Failure::BadUrl) => GithubError::BadUrl { doing, url: self.api_url.clone() },
            Ok(Failure::MovedAway(location)) => GithubError::MovedAway { doing, location },
            Ok(Failure::TooManyRedirects) => GithubError::Answer { doing, what: "an end of redirects" },
            Err(source) => GithubError::Client { doing, source },
        })
    }
}

fn again_if<E>(again: bool, error: E, retry_after: Option<Duration>) -> Again<E> {
    if again { Again::After { error, retry_after } } else { Again::No(error) }
}

/// Owner and name of `repository`.
///
/// # Errors
/// If it is not `owner/name` in the characters of GitHub's names: octocrab puts them into paths unescaped.
pub(super) fn owner_and_name<'a>(
    doing: &str,
    repository: &'a str,
) -> Result<(&'a str, &'a str), GithubError> {
    let is_name = |part: &str| {
        let mut bytes = part.bytes();
        !matches!(part, "" | "." | "..")
            && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    let parts = repository.split_once('/').filter(|(owner, name)| is_name(owner) && is_name(name));
    parts.ok_or_else(|| GithubError::BadRepository { doing: doing.into(), repository: repository.into() })
}

/// `text` as one segment of a path.
pub(super) fn segment(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT).to_string()
}

/// What an error status means, and whether to retry.
fn refusal(call: &Call<'_>, attempts: u32, answer: &GitHubError, now: SystemTime) -> Again<GithubError> {
    let doing = call.doing.to_string();
    let message = message_of(answer);
    let status = answer.status_code.as_u16();
    let headers = answer.headers.clone().unwrap_or_default();
    Again::No(match status {
        401 => GithubError::BadToken { doing },
        403 | 429 if is_rate_limit(status, &headers, &message) => {
            return rate_limited(doing, &headers, now);
        }
        // Only the message tells a locked conversation from a missing permission.
        403 if message.contains("locked") => GithubError::Locked { doing },
        403 => GithubError::Forbidden {
            doing,
            accepted: accepted_permissions(&headers, call.permission),
            message,
        },
        404 => GithubError::NotFound { doing },
        410 => GithubError::Gone { doing, message },
        400 | 409 | 422 => GithubError::Invalid { doing, status, message },
        _ => {
            let passes = (status >= 500 || status == 408) && call.repeat == Repeat::Always;
            let error = GithubError::Status { doing, status, attempts, message };
            return again_if(passes, error, seconds(&headers, "retry-after"));
        }
    })
}

fn is_rate_limit(status: u16, headers: &HeaderMap, message: &str) -> bool {
    status == 429
        || headers.contains_key("retry-after")
        || seconds(headers, "x-ratelimit-remaining") == Some(Duration::ZERO)
        // Secondary limits may come with nothing but this message. Source: "Rate limits for the REST API".
        || message.contains("rate limit")
}

/// Wait as long as GitHub asks, if that is not too long for a report. Such a refusal had no effect, so any call may be
/// retried.
fn rate_limited(doing: String, headers: &HeaderMap, now: SystemTime) -> Again<GithubError> {
    let exhausted = seconds(headers, "x-ratelimit-remaining") == Some(Duration::ZERO);
    let reset = || {
        let at = SystemTime::UNIX_EPOCH + seconds(headers, "x-ratelimit-reset").filter(|_| exhausted)?;
        // Its clock and ours may differ by a second.
        Some(at.duration_since(now).unwrap_or_default() + Duration::from_secs(1))
    };
    let wait = retry_after(headers, now).or_else(reset);
    let error = GithubError::RateLimited { doing, wait };
    match wait {
        Some(wait) if wait > LONGEST_PAUSE => Again::No(error),
        wait => Again::After { error, retry_after: wait },
    }
}

fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    retry::retry_after(headers.get("retry-after")?.to_str().ok()?, now)
}

fn seconds(headers: &HeaderMap, name: &str) -> Option<Duration> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

/// `issues=write; pull_requests=write` (each of them is enough) as lines of `permissions:`, that of pull requests first
/// since it is the narrower one; two that are needed together stay together.
fn accepted_permissions(headers: &HeaderMap, needed: &'static str) -> Vec<String> {
    let given = headers.get("x-accepted-github-permissions").and_then(|value| value.to_str().ok());
    let alternative = |text: &str| {
        let lines = text.split(',').filter_map(|one| one.trim().split_once('='));
        lines
            .map(|(name, access)| format!("{}: {access}", name.replace('_', "-")))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let mut lines: Vec<String> =
        given.unwrap_or_default().split(';').map(alternative).filter(|line| !line.is_empty()).collect();
    lines.sort_by_key(|line| line != needed);
    if lines.is_empty() { vec![needed.to_string()] } else { lines }
}

/// GitHub's message for an error and its parts; for an answer that is not JSON, its beginning, as octocrab returns it.
fn message_of(answer: &GitHubError) -> String {
    // octocrab's own text for an answer without a message.
    let own = Some(answer.message.as_str()).filter(|own| answer.status_code.canonical_reason() != Some(own));
    let parts = answer.errors.iter().flatten();
    let parts = parts.filter_map(|error| error.as_str().or_else(|| error.get("message")?.as_str()));
    shortened(&own.into_iter().chain(parts).collect::<Vec<_>>().join("; "))
}

fn shortened(text: &str) -> String {
    let beginning: String = text.chars().take(400).collect();
    let line = neutral(&beginning).split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().take(200).collect()
}

#[cfg(test)]
mod tests;
