//! The client: authentication, retries, counters. What is asked for is in the other files.

use super::access::Access;
use super::call::{Body, Call, Counted, Failure, Method};
use super::challenge::{self, Challenge};
use super::checked::Checked;
use super::credential::Credential;
use super::credentials::{Credentials, Lookup};
use super::endpoint::Endpoint;
use super::error::{RegistryError, Tried};
use super::slots::Slots;
use crate::foreign_json;
use crate::foreign_text::neutral;
use crate::host::Host;
use crate::image::{Digest, Reference, Repository};
use crate::net::retry::{self, Again, Backoff};
use crate::net::{Agent, Request, Response, SafeUrl, Secret, Transience};
use crate::redact;
use crate::threads::lock;
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD as STANDARD, BASE64_STANDARD_NO_PAD as STANDARD_NO_PAD};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use ureq::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};

/// Transient statuses. Every request here may be repeated: an upload starts again, and a manifest says what a tag is.
const TRANSIENT: [u16; 6] = [408, 429, 500, 502, 503, 504];
/// Limit for the text of a refusal.
const REFUSAL_LIMIT_BYTES: u64 = 64 << 10;
/// What percent-encoding leaves as it is. Source: RFC 3986, section 2.3.
const UNRESERVED: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// Characters of a registry's own words that are shown.
const SHOWN_CHARS: usize = 400;

/// The registries of this run. Cheap to clone; clones share connections, tokens and counters.
#[derive(Clone)]
pub struct Registries {
    inner: Arc<Inner>,
    counts: Arc<Counts>,
    backoff: Backoff,
}

#[derive(Default)]
struct Counts {
    requests: AtomicU64,
    sent_bytes: AtomicU64,
}

struct Inner {
    host: Host,
    agent: Agent,
    credentials: Credentials,
    endpoints: Mutex<BTreeMap<String, Arc<Endpoint>>>,
    lookups: Mutex<BTreeMap<Repository, Arc<Lookup>>>,
    /// Where blobs are, by host and digest: paths of repositories.
    known: Mutex<BTreeMap<(String, Digest), BTreeSet<String>>>,
    /// What tags meant when they were read.
    read: Mutex<BTreeMap<Reference, Digest>>,
    /// Never shown, even if a registry repeats them.
    secrets: Mutex<Vec<Secret>>,
    slots: Slots,
}

impl Registries {
    /// A client with these credentials.
    pub fn new(host: &Host, agent: &Agent, credentials: Credentials) -> Registries {
        Registries::with_backoff(host, agent, credentials, Backoff::UPLOAD)
    }

    /// The same with other retries.
    pub fn with_backoff(
        host: &Host,
        agent: &Agent,
        credentials: Credentials,
        backoff: Backoff,
    ) -> Registries {
        let inner = Inner {
            host: host.clone(),
            agent: agent.clone(),
            credentials,
            endpoints: Mutex::default(),
            lookups: Mutex::default(),
            known: Mutex::default(),
            read: Mutex::default(),
            secrets: Mutex::default(),
            slots: Slots::default(),
        };
        Registries { inner: Arc::new(inner), counts: Arc::default(), backoff }
    }

    /// The same registries, with counters of its own that begin at zero.
    #[must_use]
    pub fn counted_apart(&self) -> Registries {
        Registries { counts: Arc::default(), ..self.clone() }
    }

    /// The same registries, for what a run can do without: it waits for no second answer for long.
    pub(super) fn hurried(&self) -> Registries {
        Registries { backoff: Backoff::QUESTION, ..self.clone() }
    }

    /// Number of requests so far, to registries and their token servers. Redirects count with the request that they
    /// answer.
    pub fn requests(&self) -> u64 {
        self.counts.requests.load(Ordering::Relaxed)
    }

    /// Bytes of request bodies so far, those of failed attempts included.
    pub fn sent_bytes(&self) -> u64 {
        self.counts.sent_bytes.load(Ordering::Relaxed)
    }

    pub(super) fn host(&self) -> &Host {
        &self.inner.host
    }

    pub(super) fn slots(&self) -> &Slots {
        &self.inner.slots
    }

    pub(super) fn endpoint(&self, host: &str) -> Result<Arc<Endpoint>, RegistryError> {
        let mut endpoints = lock(&self.inner.endpoints);
        if let Some(known) = endpoints.get(host) {
            return Ok(Arc::clone(known));
        }
        // Names of hosts were checked when the reference was read, so this does not happen.
        let endpoint = Endpoint::new(host).map_err(|_| RegistryError::Answer {
            doing: "reach the registry".into(),
            host: host.into(),
            problem: "cannot be asked for: its name is not one of a host",
        })?;
        let endpoint = Arc::new(endpoint);
        endpoints.insert(host.to_string(), Arc::clone(&endpoint));
        Ok(endpoint)
    }

    /// The address of `rest` in a repository: `manifests/TAG`, `blobs/DIGEST`.
    pub(super) fn url(&self, repository: &Repository, rest: &str) -> Result<url::Url, RegistryError> {
        let endpoint = self.endpoint(&repository.host)?;
        let path = format!("v2/{}/{rest}", repository.path);
        endpoint.base.join(&path).map_err(|_| RegistryError::Answer {
            doing: format!("address `{repository}`"),
            host: repository.host.clone(),
            problem: "cannot be asked for: the name is not part of an address",
        })
    }

    /// The credentials for a repository, searched once.
    pub(super) fn lookup(&self, repository: &Repository) -> Result<Arc<Lookup>, RegistryError> {
        if let Some(known) = lock(&self.inner.lookups).get(repository) {
            return Ok(Arc::clone(known));
        }
        let lookup = Arc::new(self.inner.credentials.find(repository)?);
        match &lookup.found {
            Some((credential, origin)) => {
                self.inner.host.detail(format!("credentials for {}: {origin}", repository.host));
                match credential {
                    Credential::Login(login) => self.hide(login.password.clone()),
                    Credential::IdentityToken(token) | Credential::RegistryToken(token) => {
                        self.hide(token.clone());
                    }
                }
            }
            None => self.inner.host.detail(format!("no credentials for {} were found", repository.host)),
        }
        lock(&self.inner.lookups).insert(repository.clone(), Arc::clone(&lookup));
        Ok(lookup)
    }

    /// Never show this, nor the forms in which a server may repeat it.
    pub(super) fn hide(&self, secret: Secret) {
        let plain = secret.reveal().as_bytes();
        let in_query = percent_encode(plain, &UNRESERVED).to_string();
        let in_path = in_query.replace("%2F", "/");
        let forms = [STANDARD.encode(plain), STANDARD_NO_PAD.encode(plain), in_query, in_path];
        let mut secrets = lock(&self.inner.secrets);
        secrets.extend(forms.map(Secret::new));
        secrets.push(secret);
    }

    /// Text of a server, safe to print.
    pub(super) fn shown(&self, text: &str) -> String {
        let text = redact::without(&lock(&self.inner.secrets), text);
        let text = neutral(text.trim());
        match text.char_indices().nth(SHOWN_CHARS) {
            Some((end, _)) => format!("{}…", &text[..end]),
            None => text,
        }
    }

    /// Repositories on a host that are known to have a blob.
    pub(super) fn homes(&self, host: &str, digest: Digest) -> BTreeSet<String> {
        lock(&self.inner.known).get(&(host.to_string(), digest)).cloned().unwrap_or_default()
    }

    pub(super) fn add_home(&self, repository: &Repository, digest: Digest) {
        let mut known = lock(&self.inner.known);
        known.entry((repository.host.clone(), digest)).or_default().insert(repository.path.clone());
    }

    /// What a tag meant when it was read in this run.
    pub(super) fn meant(&self, reference: &Reference) -> Option<Digest> {
        lock(&self.inner.read).get(reference).copied()
    }

    pub(super) fn set_meant(&self, reference: &Reference, digest: Digest) {
        lock(&self.inner.read).insert(reference.clone(), digest);
    }

    /// Send a request, again after transient failures. Other statuses are returned.
    pub(super) fn send(&self, call: &Call<'_>) -> Result<Response, RegistryError> {
        self.retried(|number| self.judged(call, number))
    }

    /// Call `attempt` until it succeeds or no retry is left.
    pub(super) fn retried<T>(
        &self,
        attempt: impl FnMut(u32) -> Result<T, Again<RegistryError>>,
    ) -> Result<T, RegistryError> {
        let outcome = retry::run(&self.backoff, &*self.inner.host.clock, attempt);
        outcome.map_err(|failed| failed.error)
    }

    /// One attempt, and whether to try again.
    pub(super) fn judged(&self, call: &Call<'_>, number: u32) -> Result<Response, Again<RegistryError>> {
        match self.attempt(call) {
            Ok(response) if TRANSIENT.contains(&response.status) => {
                let retry_after = response.retry_after(self.inner.host.clock.now());
                Err(Again::After { error: self.refused(call, response, number), retry_after })
            }
            Ok(response) => Ok(response),
            Err(failure) => Err(self.again(call, failure, number)),
        }
    }

    /// Whether a failure is worth another attempt.
    pub(super) fn again(&self, call: &Call<'_>, failure: Failure, attempts: u32) -> Again<RegistryError> {
        match failure {
            Failure::Final(error) => Again::No(error),
            Failure::Content(source) => Again::No(unreadable(call, source)),
            Failure::Net(source) => {
                let is_transient = source.transience() != Transience::Lasting;
                let error = RegistryError::Net { doing: call.doing.to_string(), attempts, source };
                if is_transient { Again::After { error, retry_after: None } } else { Again::No(error) }
            }
        }
    }

    /// Send a request with what the registry wants for authentication. A 401 leads to one more try with a new token.
    fn attempt(&self, call: &Call<'_>) -> Result<Response, Failure> {
        let endpoint = self.endpoint(&call.access.host)?;
        // An upload may go on at another host, which gets no credentials.
        let is_own = call.url.origin() == endpoint.base.origin();
        let mut may_refresh = is_own;
        loop {
            // A long upload is never the first request, and others must not wait for its end.
            let is_short = !matches!(call.body, Body::Content(..));
            let turn = if is_own && is_short { endpoint.first_turn() } else { None };
            let authorization = if is_own { self.authorization(&endpoint, call.access)? } else { None };
            let response = self.exchange(call, authorization.as_ref())?;
            let is_challenge = response.status == 401 && response.url.origin() == endpoint.base.origin();
            let again = may_refresh
                && is_challenge
                && self.learn(&endpoint, call.access, &response, authorization.as_ref())?;
            if turn.is_some() {
                endpoint.answered();
            }
            drop(turn);
            if !again {
                return Ok(response);
            }
            may_refresh = false;
            // Read so that the connection can be used again; what it says is in the header.
            drop(response.into_bytes(REFUSAL_LIMIT_BYTES));
        }
    }

    /// The value of `Authorization` for these rights, as far as it is known that the registry wants one.
    fn authorization(&self, endpoint: &Endpoint, access: &Access) -> Result<Option<Secret>, RegistryError> {
        let Some(challenge) = endpoint.challenge() else { return Ok(None) };
        let lookup = self.lookup(&access.repository())?;
        let credential = lookup.found.as_ref().map(|(credential, _)| credential);
        match (&challenge, credential) {
            (_, Some(Credential::RegistryToken(token))) => {
                Ok(Some(Secret::new(format!("Bearer {}", token.reveal()))))
            }
            (Challenge::Basic, Some(Credential::Login(login))) => Ok(Some(login.header())),
            (Challenge::Basic, _) => Ok(None),
            (Challenge::Bearer { .. }, _) => self.token(endpoint, &challenge, access, &lookup).map(Some),
        }
    }

    /// Learn from a 401 how the registry wants to be asked. Returns whether to ask again.
    fn learn(
        &self,
        endpoint: &Endpoint,
        access: &Access,
        response: &Response,
        sent: Option<&Secret>,
    ) -> Result<bool, RegistryError> {
        let values = response.headers().get_all(WWW_AUTHENTICATE);
        let values: Vec<&str> = values.iter().filter_map(|value| value.to_str().ok()).collect();
        let Some(challenge) = challenge::choose(values.iter().copied()) else {
            if values.is_empty() {
                return Ok(false);
            }
            let offered = self.shown(&values.join(", "));
            return Err(RegistryError::Challenge { host: access.host.clone(), offered });
        };
        let lookup = self.lookup(&access.repository())?;
        let credential = lookup.found.as_ref().map(|(credential, _)| credential);
        let again = match (&challenge, credential) {
            // There is no other than the one that was refused.
            (_, Some(Credential::RegistryToken(_))) => sent.is_none(),
            (Challenge::Basic, Some(Credential::Login(login))) => sent != Some(&login.header()),
            (Challenge::Basic, _) => false,
            (Challenge::Bearer { .. }, _) => true,
        };
        endpoint.set_challenge(challenge.for_all(&access.scopes()));
        if let Some(sent) = sent {
            endpoint.forget(sent);
        }
        Ok(again)
    }

    /// Send a request once.
    fn exchange(&self, call: &Call<'_>, authorization: Option<&Secret>) -> Result<Response, Failure> {
        let count = &self.counts.sent_bytes;
        let (source, length): (Box<dyn Read + '_>, u64) = match call.body {
            Body::None => (Box::new(io::empty()), 0),
            Body::Bytes(bytes) => (Box::new(bytes), bytes.len() as u64),
            Body::Content(descriptor, open) => {
                let source = open().map_err(Failure::Content)?;
                (Box::new(Checked::new(source, descriptor)), descriptor.size)
            }
        };
        let mut body = Counted::new(source, count);
        let request = match call.method {
            Method::Get => Request::get(&call.url),
            Method::Head => Request::head(&call.url),
            Method::Post => Request::post(&call.url, &[]),
            Method::Put => Request::put(&call.url, &mut body, length),
            Method::Patch => Request::patch_from(&call.url, &mut body, length),
        };
        let request = call.headers.iter().fold(request, |request, (name, value)| request.header(name, value));
        let request = match authorization {
            Some(value) => request.secret_header(AUTHORIZATION.as_str(), value.clone()),
            None => request,
        };
        let answer = self.counted(request);
        // An error of the content is reported by the network too, as one of sending.
        match (answer, body.failure) {
            (Err(_), Some(failure)) => Err(Failure::Content(failure)),
            (answer, _) => answer.map_err(Failure::Net),
        }
    }

    /// Send a request once, counted.
    pub(super) fn counted(&self, request: Request<'_>) -> Result<Response, crate::net::Error> {
        self.counts.requests.fetch_add(1, Ordering::Relaxed);
        self.inner.agent.send(request)
    }

    /// Bytes of a body that was sent by [`Registries::counted`].
    pub(super) fn add_sent(&self, bytes: u64) {
        self.counts.sent_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// An answer that says no, as an error.
    pub(super) fn refused(&self, call: &Call<'_>, response: Response, attempts: u32) -> RegistryError {
        let status = response.status;
        let host = authority(&response.url);
        let doing = call.doing.to_string();
        let said = self.said(response);
        if !matches!(status, 401 | 403) {
            return RegistryError::Refused { doing, host, status, said, attempts };
        }
        let repository = call.access.repository();
        match self.tried(&repository) {
            Ok(tried) => RegistryError::Denied { doing, repository, host, status, said, tried },
            Err(error) => error,
        }
    }

    /// With which credentials a repository was asked.
    pub(super) fn tried(&self, repository: &Repository) -> Result<Tried, RegistryError> {
        let lookup = self.lookup(repository)?;
        let origin = lookup.found.as_ref().map(|(_, origin)| origin.clone());
        Ok(Tried { origin, looked: lookup.looked.clone() })
    }

    /// The registry's own words in an answer, safe to print; empty if it has none.
    pub(super) fn said(&self, response: Response) -> String {
        let is_text = response.header("Content-Type").is_some_and(|kind| kind.starts_with("text/plain"));
        // The answer is an error already; that its text cannot be read adds nothing.
        let bytes = response.into_bytes(REFUSAL_LIMIT_BYTES).unwrap_or_default();
        let words = said_in(&bytes);
        match words {
            Some(words) => self.shown(&words),
            None if is_text => self.shown(String::from_utf8_lossy(&bytes).lines().next().unwrap_or_default()),
            None => String::new(),
        }
    }
}

/// `CODE: message` of each error. Source: OCI distribution specification, "Error codes".
fn said_in(bytes: &[u8]) -> Option<String> {
    let value = foreign_json::read(bytes).ok()?;
    let errors = value["errors"].as_array()?.iter().take(3).map(|error| {
        let text = |name: &str| error[name].as_str().unwrap_or_default().trim();
        match (text("code"), text("message")) {
            (code, "") => code.to_string(),
            ("", message) => message.to_string(),
            (code, message) => format!("{code}: {message}"),
        }
    });
    let errors: Vec<String> = errors.filter(|error| !error.is_empty()).collect();
    (!errors.is_empty()).then(|| errors.join("; "))
}

/// An error of the content that was to be sent. One of the registry that it comes from is that error.
fn unreadable(call: &Call<'_>, source: io::Error) -> RegistryError {
    // Bytes in memory can always be read.
    let digest =
        if let Body::Content(descriptor, _) = call.body { descriptor.digest } else { Digest::of([]) };
    match source.downcast::<RegistryError>() {
        Ok(error) => error,
        Err(source) => RegistryError::Content { digest, source },
    }
}

/// `host:port` for messages.
pub(super) fn authority(url: &url::Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_string(), |port| format!("{host}:{port}"))
}

/// A URL for messages.
pub(super) fn safe(url: &url::Url) -> SafeUrl {
    SafeUrl::from(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_a_registry_are_code_and_message() {
        for (body, want) in [
            (
                r#"{"errors":[{"code":"NAME_UNKNOWN","message":"repository name not known"}]}"#,
                Some("NAME_UNKNOWN: repository name not known"),
            ),
            (r#"{"errors":[{"code":"A"},{"message":"b"},{}]}"#, Some("A; b")),
            (r#"{"errors":[]}"#, None),
            (r#"{"errors":"x"}"#, None),
            ("<html>", None),
        ] {
            assert_eq!(said_in(body.as_bytes()).as_deref(), want, "{body}");
        }
    }
}
