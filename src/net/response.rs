//! The answer of a server: headers at once, the body on demand, and errors while reading it.

use super::retry::retry_after;
use super::{Error, SafeUrl, Secret};
use std::io::{self, Read};
use std::time::{Duration, Instant, SystemTime};
use ureq::Body;
use ureq::http::HeaderMap;
use ureq::http::header::{CONTENT_LENGTH, RETRY_AFTER};
use url::Url;

/// Time limit for a whole answer, as a multiple of the allowed silence.
pub(super) const LONGEST_ANSWER: u32 = 5;

/// An answer with its headers read, and its body not read yet.
#[derive(Debug)]
pub struct Response {
    /// Where the answer came from, after redirects.
    pub url: Url,
    /// HTTP status; a redirect only for requests that change something.
    pub status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Body,
    /// How long nothing may arrive while the body is read.
    pub(super) silence: Duration,
    /// The secrets of the request, which a server may repeat.
    pub(super) sent_secrets: Vec<Secret>,
}

impl Response {
    /// A header's value, if it is there and is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// All headers.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Length of the body in bytes, if the server says.
    pub fn content_length(&self) -> Option<u64> {
        self.header(CONTENT_LENGTH.as_str())?.parse().ok()
    }

    /// The pause that the server asks for.
    pub fn retry_after(&self, now: SystemTime) -> Option<Duration> {
        retry_after(self.header(RETRY_AFTER.as_str())?, now)
    }

    /// This answer as an error about its status.
    pub fn status_error(&self, now: SystemTime) -> Error {
        Error::Status {
            url: SafeUrl::from(&self.url),
            status: self.status,
            retry_after: self.retry_after(now),
        }
    }

    /// The body, to be read piece by piece. A body shorter than announced ends in an error, not in silence.
    pub fn into_reader(self) -> impl Read {
        self.body.into_with_config().limit(u64::MAX).reader()
    }

    /// The whole body, of at most `limit` bytes, without the credentials of the request: pages of proxies and servers
    /// repeat them, and their text ends up in messages and comments. A body that only trickles is given up after five
    /// times the allowed silence.
    ///
    /// # Errors
    /// If it is longer, is cut short, or does not end.
    pub fn into_bytes(self, limit: u64) -> Result<Vec<u8>, Error> {
        let url = SafeUrl::from(&self.url);
        let silence = self.silence;
        let sent_secrets = self.sent_secrets.clone();
        let mut bytes = Vec::new();
        let limited = self.into_reader().take(limit.saturating_add(1));
        let patience = silence.saturating_mul(LONGEST_ANSWER);
        match (Hasty { source: limited, began: Instant::now(), patience }).read_to_end(&mut bytes) {
            Ok(_) if bytes.len() as u64 > limit => Err(Error::TooLong { url, limit }),
            Ok(_) => Ok(sent_secrets.iter().fold(bytes, |bytes, secret| secret.erased_from(bytes))),
            Err(source) if source.kind() == io::ErrorKind::TimedOut && source.get_ref().is_none() => {
                Err(Error::TimedOut { url, waited: patience })
            }
            Err(source) => Err(body_failure(url, silence, source)),
        }
    }

    /// How to report a failure while reading the body.
    pub fn failure(&self) -> impl FnOnce(io::Error) -> Error + use<> {
        let (url, silence) = (SafeUrl::from(&self.url), self.silence);
        move |source| body_failure(url, silence, source)
    }
}

/// A source that ends in [`io::ErrorKind::TimedOut`] once its time is over.
struct Hasty<R> {
    source: R,
    began: Instant,
    patience: Duration,
}

impl<R: Read> Read for Hasty<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.began.elapsed() > self.patience {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.source.read(buffer)
    }
}

fn body_failure(url: SafeUrl, silence: Duration, source: io::Error) -> Error {
    let timed_out = source
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<ureq::Error>())
        .is_some_and(|inner| matches!(inner, ureq::Error::Timeout(_)));
    if timed_out { Error::TimedOut { url, waited: silence } } else { Error::Interrupted { url, source } }
}
