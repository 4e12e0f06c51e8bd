//! Calls of GitHub's REST API: addresses, retries, rate limits, and what each refusal means.
//!
//! What is repeated: reads and edits, after failures that pass by themselves, for less than a minute in total. What
//! creates something is repeated only where GitHub says that it did nothing; its caller looks first otherwise.
//! Source: GitHub's REST API documentation, "Best practices", "Rate limits" and "Troubleshooting".

use super::error::GithubError;
use super::transport::{self, Answered, Failure};
use crate::env_vars;
use crate::foreign_text::neutral;
use crate::host::Host;
use crate::net::agent::Timeouts;
use crate::net::retry::{self, Again, Backoff};
use crate::net::{Agent, SafeUrl, Secret, Transience};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::time::{Duration, SystemTime};
use ureq::http::{HeaderMap, Method};
use url::Url;

/// How long to wait for GitHub: a report is not worth the minutes that a deployment is.
pub const TIMEOUTS: Timeouts =
    Timeouts { connect: Duration::from_secs(10), silence: Duration::from_secs(15) };
/// No try begins later than this after the first.
const LAST_TRY_AFTER: Duration = Duration::from_secs(40);
/// A pause that GitHub asks for is kept if it is no longer than this.
const LONGEST_PAUSE: Duration = Duration::from_secs(20);
const MOST_REDIRECTS: usize = 3;
/// A segment of a path. Source: RFC 3986, "unreserved".
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A connection to GitHub's REST API. Cheap to clone.
#[derive(Clone)]
pub struct Github {
    api_url: String,
    token: Secret,
    agent: Agent,
    host: Host,
    backoff: Backoff,
}

/// What to ask, and what errors say of it.
pub(super) struct Call<'a> {
    /// `could not …`: a verb and its object.
    pub doing: &'a str,
    /// The line of `permissions:` that it needs, for an answer that does not say.
    pub permission: &'static str,
    /// Whether doing it twice leaves what doing it once leaves.
    pub idempotent: bool,
    pub method: Method,
    pub url: Url,
    pub body: Option<Value>,
}

/// What GitHub answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub status: u16,
    /// `rel="next"` of `Link`, as it came.
    pub next: Option<Url>,
    body: Vec<u8>,
}

impl Answer {
    /// The body as a `T`; `what` names it in the error.
    pub(super) fn parse<T: DeserializeOwned>(
        &self,
        doing: &str,
        what: &'static str,
    ) -> Result<T, GithubError> {
        serde_json::from_slice(&self.body).map_err(|_| GithubError::Answer { doing: doing.into(), what })
    }
}

impl Github {
    /// A connection to the API at `api_url` (`GITHUB_API_URL`), with this token. Nothing is sent yet.
    pub fn new(api_url: &str, token: Secret, agent: &Agent, host: &Host) -> Github {
        let api_url = api_url.trim_end_matches('/').to_string();
        // Secrets are often pasted with a line end.
        let token = Secret::new(token.reveal().trim());
        let backoff = Backoff { longest_pause: LONGEST_PAUSE, ..Backoff::API };
        Github { api_url, token, agent: agent.clone(), host: host.clone(), backoff }
    }

    /// What the variables of a workflow give access to: `GITHUB_API_URL` with the token in `GITHUB_TOKEN`. `None` where
    /// one of them is missing.
    pub fn of_run(host: &Host) -> Option<Github> {
        let (api_url, token) = host.var(env_vars::GITHUB_API_URL).zip(host.var(env_vars::GITHUB_TOKEN))?;
        Some(Github::new(api_url, Secret::new(token), &Agent::with_timeouts(host, TIMEOUTS), host))
    }

    /// The host it runs on.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Whether the token is surely that of a job or an App, and not a person's. Others have to be asked about.
    /// Source: GitHub's blog, "Behind GitHub's new authentication token formats".
    pub(super) fn is_of_an_app(&self) -> bool {
        self.token.reveal().starts_with("ghs_")
    }

    /// The address of `segments`, each encoded, below `repos/OWNER/NAME`.
    ///
    /// # Errors
    /// When `repository` is not `owner/name`, or the API's own address is none.
    pub(super) fn repository_url(
        &self,
        doing: &str,
        repository: &str,
        segments: &[&str],
        query: &[(&str, &str)],
    ) -> Result<Url, GithubError> {
        let bad = || GithubError::BadRepository { doing: doing.into(), repository: repository.into() };
        let (owner, name) = repository.split_once('/').ok_or_else(bad)?;
        let is_name = |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains('/');
        if !is_name(owner) || !is_name(name) {
            return Err(bad());
        }
        let path: Vec<&str> = ["repos", owner, name].iter().chain(segments).copied().collect();
        self.url(doing, &path, query)
    }

    /// The address of `segments` below the API's. Appended: joining would drop the `/api/v3` of an Enterprise Server.
    pub(super) fn url(
        &self,
        doing: &str,
        segments: &[&str],
        query: &[(&str, &str)],
    ) -> Result<Url, GithubError> {
        let path: String =
            segments.iter().map(|segment| format!("/{}", utf8_percent_encode(segment, SEGMENT))).collect();
        let mut url = Url::parse(&format!("{}{path}", self.api_url))
            .ok()
            .filter(|url| url.host_str().is_some())
            .ok_or_else(|| GithubError::BadUrl { doing: doing.into(), url: self.api_url.clone() })?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Ok(url)
    }

    /// Make a call, again where that is right.
    ///
    /// # Errors
    /// Any answer but success, and none.
    pub(super) fn call(&self, call: &Call<'_>) -> Result<Answer, GithubError> {
        if !self.token.reveal().bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(GithubError::MalformedToken { doing: call.doing.into() });
        }
        let began = self.host.clock.now();
        let outcome = retry::run(&self.backoff, self.host.clock.as_ref(), |number| {
            self.attempt(call, number).map_err(|again| self.unless_too_late(again, began))
        });
        outcome.map_err(|failed| failed.error)
    }

    /// The same without another try after an uncertain outcome: for edits whose basis has to be read again.
    pub(super) fn call_once(&self, call: &Call<'_>) -> Result<Answer, GithubError> {
        let Github { backoff, .. } = self.clone();
        let once = Github { backoff: Backoff { retries: 0, ..backoff }, ..self.clone() };
        once.call(call)
    }

    fn unless_too_late(&self, again: Again<GithubError>, began: SystemTime) -> Again<GithubError> {
        let Again::After { error, retry_after } = again else { return again };
        let waited = self.host.clock.now().duration_since(began).unwrap_or_default();
        match waited + retry_after.unwrap_or_default() > LAST_TRY_AFTER {
            true => Again::No(error),
            false => Again::After { error, retry_after },
        }
    }

    fn attempt(&self, call: &Call<'_>, number: u32) -> Result<Answer, Again<GithubError>> {
        let answered = self.send(call, number)?;
        match answered.status {
            200..=299 => Ok(Answer {
                status: answered.status,
                next: next_page(&answered.headers),
                body: answered.body,
            }),
            _ => Err(refusal(call, number, &answered, self.host.clock.now())),
        }
    }

    /// Send, and go where a moved repository is now: with the same method and body, and the token only at GitHub itself.
    fn send(&self, call: &Call<'_>, number: u32) -> Result<Answered, Again<GithubError>> {
        let mut url = call.url.clone();
        for _ in 0..=MOST_REDIRECTS {
            let token = Some(&self.token).filter(|_| self.is_ours(&url));
            let answered = transport::send(&self.agent, token, &call.method, &url, call.body.as_ref())
                .map_err(|failure| failed(call, number, failure))?;
            let location = answered.headers.get("location").and_then(|value| value.to_str().ok());
            let (301 | 302 | 307 | 308, Some(location)) = (answered.status, location) else {
                return Ok(answered);
            };
            let next = url.join(location).ok().filter(|next| self.is_ours(next));
            let moved =
                || GithubError::MovedAway { doing: call.doing.into(), location: SafeUrl::parse(location) };
            url = next.ok_or_else(|| Again::No(moved()))?;
        }
        Err(Again::No(GithubError::Answer { doing: call.doing.into(), what: "an end of redirects" }))
    }

    fn is_ours(&self, url: &Url) -> bool {
        Url::parse(&self.api_url).is_ok_and(|api| api.origin() == url.origin())
    }
}

fn failed(call: &Call<'_>, number: u32, failure: Failure) -> Again<GithubError> {
    let passes = match &failure {
        Failure::Network(error) => error.transience() != Transience::Lasting,
        Failure::Client(_) | Failure::Runtime(_) => false,
    };
    let error = failure.explained(call.doing, number);
    match passes && call.idempotent {
        true => Again::After { error, retry_after: None },
        false => Again::No(error),
    }
}

/// What a status that is no success means, and whether to try again.
fn refusal(call: &Call<'_>, attempts: u32, answered: &Answered, now: SystemTime) -> Again<GithubError> {
    let doing = call.doing.to_string();
    let message = message_of(&answered.body);
    let status = answered.status;
    Again::No(match status {
        401 => GithubError::BadToken { doing },
        403 | 429 if is_rate_limit(answered, &message) => return rate_limited(doing, answered, now),
        403 if message.contains("locked") => GithubError::Locked { doing },
        403 => GithubError::Forbidden {
            doing,
            accepted: accepted_permissions(answered, call.permission),
            message,
        },
        404 => GithubError::NotFound { doing },
        410 => GithubError::Gone { doing, message },
        400 | 409 | 422 => GithubError::Invalid { doing, status, message },
        _ => {
            let error = GithubError::Status { doing, status, attempts, message };
            return match (status >= 500 || status == 408) && call.idempotent {
                true => Again::After { error, retry_after: seconds(&answered.headers, "retry-after") },
                false => Again::No(error),
            };
        }
    })
}

fn is_rate_limit(answered: &Answered, message: &str) -> bool {
    answered.status == 429
        || answered.headers.contains_key("retry-after")
        || seconds(&answered.headers, "x-ratelimit-remaining") == Some(Duration::ZERO)
        || message.contains("rate limit")
}

/// Wait as long as GitHub asks, if that is not too long for a report. Such a refusal did nothing, so that any call may
/// be made again.
fn rate_limited(doing: String, answered: &Answered, now: SystemTime) -> Again<GithubError> {
    let exhausted = seconds(&answered.headers, "x-ratelimit-remaining") == Some(Duration::ZERO);
    let reset = || {
        let at =
            SystemTime::UNIX_EPOCH + seconds(&answered.headers, "x-ratelimit-reset").filter(|_| exhausted)?;
        // Its clock and ours may differ by a second.
        Some(at.duration_since(now).unwrap_or_default() + Duration::from_secs(1))
    };
    let wait = retry_after(&answered.headers, now).or_else(reset);
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
fn accepted_permissions(answered: &Answered, needed: &'static str) -> Vec<String> {
    let given = answered.headers.get("x-accepted-github-permissions").and_then(|value| value.to_str().ok());
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

/// `message` of an error, and the messages below `errors`; the beginning of what is not JSON.
fn message_of(body: &[u8]) -> String {
    let Ok(answer) = serde_json::from_slice::<Value>(body) else {
        let text = String::from_utf8_lossy(&body[..body.len().min(400)]);
        return shortened(&text);
    };
    let own = answer.get("message").and_then(Value::as_str).unwrap_or_default();
    let further = answer.get("errors").and_then(Value::as_array).into_iter().flatten();
    let further = further.filter_map(|error| error.as_str().or_else(|| error.get("message")?.as_str()));
    shortened(&[own].into_iter().chain(further).collect::<Vec<_>>().join("; "))
}

fn shortened(text: &str) -> String {
    let line = neutral(text).split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().take(200).collect()
}

/// The address with `rel="next"` in `Link`. Source: RFC 8288; GitHub's own point at `/repositories/ID/…`.
fn next_page(headers: &HeaderMap) -> Option<Url> {
    let links = headers.get("link")?.to_str().ok()?;
    links.split(',').find_map(|link| {
        let (address, parameters) = link.split_once(';')?;
        let is_next =
            parameters.split(';').any(|parameter| matches!(parameter.trim(), "rel=\"next\"" | "rel=next"));
        let address = address.trim().strip_prefix('<')?.strip_suffix('>')?;
        Url::parse(address).ok().filter(|_| is_next)
    })
}

#[cfg(test)]
mod tests;
