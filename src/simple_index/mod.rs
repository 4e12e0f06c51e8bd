//! Package indexes, asked by our own client: which files a project has there.
//!
//! Source: the PyPA specification "Simple repository API" (PEP 503, PEP 592, PEP 629, PEP 691). JSON is preferred, HTML
//! is read too. Pages are read as a stream, and of the files only those that the caller wants are kept: the page of a
//! large project has several megabytes.

#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod html;
mod json;

use crate::error::{Explain, Fault};
use crate::host::Host;
use crate::net::download::is_transient;
use crate::net::retry::{self, Again, Backoff, Failed};
use crate::net::{Agent, Credentials, Error, Request, Response, SafeUrl};
use crate::wheel::filename::normalized_name;
use flate2::read::MultiGzDecoder;
use std::io::{self, BufReader, Read};
use std::time::{Duration, Instant};
use ureq::http::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE};
use url::Url;

/// Start of what stands for the URL of a file whose name and digest are known, and which is looked for on an index when it
/// is needed. The URL of that index follows, or nothing for the default of the machine.
pub const ON_INDEX: &str = "index:";
/// The formats that are read, best first. Source: PEP 691, "Version + Format Selection".
const FORMATS: &str =
    "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1";
/// Limit of a page. The largest of the public index has some 30 MB.
const MOST_BYTES: u64 = 64 << 20;
/// Limit of the time in which a page arrives: a few bytes now and then would otherwise keep a run for ever.
const MOST_TIME: Duration = Duration::from_secs(120);
const BUFFER_BYTES: usize = 32 * 1024;

/// A file of a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexFile {
    /// Its name, from the JSON, or from the URL of an HTML page.
    pub file_name: String,
    /// Absolute URL without fragment. It may hold credentials.
    pub url: String,
    /// Lower-case hex SHA-256, if the index says it.
    pub sha256: Option<String>,
    /// Size in bytes, if the index says it.
    pub size_bytes: Option<u64>,
    /// Whether it was withdrawn (PEP 592): it may only be used by who pinned it.
    pub is_yanked: bool,
}

/// A page of an index is not available.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// The server or the network failed.
    #[error("could not read the files of `{project}` on the package index{}", if *attempts > 1 { format!(" after {attempts} attempts") } else { String::new() })]
    Net {
        /// The project.
        project: String,
        /// Number of attempts, including the first.
        attempts: u32,
        /// Why it failed.
        #[source]
        source: Error,
    },
    /// The answer is not a page of an index.
    #[error("{url} is not a page of a package index: {problem}")]
    Page {
        /// Where it came from.
        url: SafeUrl,
        /// What is wrong with it.
        problem: String,
    },
}

impl Explain for IndexError {
    fn fault(&self) -> Fault {
        match self {
            IndexError::Net { source, .. } => source.fault(),
            IndexError::Page { .. } => Fault::Remote,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            IndexError::Net { source, .. } => source.hint(),
            IndexError::Page { .. } => Some("check the URL of the index: it mostly ends in `/simple`".into()),
        }
    }
}

/// Reads pages of indexes. Threads may share it.
pub struct SimpleIndex {
    agent: Agent,
    host: Host,
    credentials: Credentials,
    backoff: Backoff,
}

/// Why one attempt failed.
enum TryFailure {
    Net(Error),
    Page(IndexError),
}

impl SimpleIndex {
    /// A client with these credentials.
    pub fn new(host: &Host, agent: &Agent, credentials: Credentials) -> SimpleIndex {
        SimpleIndex { agent: agent.clone(), host: host.clone(), credentials, backoff: Backoff::DOWNLOAD }
    }

    /// The files of `project` on the index at `index` (`https://HOST/simple`) whose name is wanted.
    ///
    /// # Errors
    /// When the page is not available, or is not one.
    pub fn files(
        &self,
        index: &Url,
        project: &str,
        is_wanted: &dyn Fn(&str) -> bool,
    ) -> Result<Vec<IndexFile>, IndexError> {
        self.page(&project_url(index, project), project, is_wanted)
    }

    /// The same of a page with links (`--find-links`).
    ///
    /// # Errors
    /// As for [`SimpleIndex::files`].
    pub fn page(
        &self,
        page: &Url,
        project: &str,
        is_wanted: &dyn Fn(&str) -> bool,
    ) -> Result<Vec<IndexFile>, IndexError> {
        let read = |_| self.read(page, is_wanted).map_err(again);
        retry::run(&self.backoff, &*self.host.clock, read).map_err(|Failed { attempts, error }| match error {
            TryFailure::Net(source) => IndexError::Net { project: project.to_string(), attempts, source },
            TryFailure::Page(error) => error,
        })
    }

    fn read(&self, page: &Url, is_wanted: &dyn Fn(&str) -> bool) -> Result<Vec<IndexFile>, TryFailure> {
        let mut request =
            Request::get(page).header(ACCEPT.as_str(), FORMATS).header(ACCEPT_ENCODING.as_str(), "gzip");
        if let Some(login) = self.credentials.for_url(page) {
            request = request.secret_header(AUTHORIZATION.as_str(), login.header());
        }
        let response = self.agent.send(request).map_err(TryFailure::Net)?;
        if response.status != 200 {
            return Err(TryFailure::Net(response.status_error(self.host.clock.now())));
        }
        parse(response, is_wanted)
    }
}

fn again(failure: TryFailure) -> Again<TryFailure> {
    match failure {
        TryFailure::Net(error) if is_transient(&error) => {
            let retry_after = error.retry_after();
            Again::After { error: TryFailure::Net(error), retry_after }
        }
        failure => Again::No(failure),
    }
}

fn parse(response: Response, is_wanted: &dyn Fn(&str) -> bool) -> Result<Vec<IndexFile>, TryFailure> {
    let base = response.url.clone();
    let is_json = response.header(CONTENT_TYPE.as_str()).is_some_and(|kind| kind.contains("json"));
    let is_gzip = response.header(CONTENT_ENCODING.as_str()) == Some("gzip");
    let broken = response.failure();
    let body = response.into_reader();
    // A limit on both sides of the compression: a few bytes can become very many.
    let body = Timed { body, end: Instant::now() + MOST_TIME };
    let body = BufReader::with_capacity(BUFFER_BYTES, body.take(MOST_BYTES));
    let body: Box<dyn Read + '_> = if is_gzip { Box::new(MultiGzDecoder::new(body)) } else { Box::new(body) };
    let body = BufReader::with_capacity(BUFFER_BYTES, body.take(MOST_BYTES));
    let read = if is_json { json::read(body, &base, is_wanted) } else { html::read(body, &base, is_wanted) };
    read.map_err(|problem| match problem {
        Problem::Read(source) => TryFailure::Net(broken(source)),
        Problem::Format(problem) => TryFailure::Page(IndexError::Page { url: SafeUrl::from(&base), problem }),
    })
}

/// A body that has to arrive by a time.
struct Timed<R> {
    body: R,
    end: Instant,
}

impl<R: Read> Read for Timed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if Instant::now() > self.end {
            let text = format!("the page did not arrive within {} seconds", MOST_TIME.as_secs());
            return Err(io::Error::new(io::ErrorKind::TimedOut, text));
        }
        self.body.read(buffer)
    }
}

/// Why a page could not be read.
#[derive(Debug)]
enum Problem {
    /// It did not arrive whole.
    Read(io::Error),
    /// Its content is not that of a page.
    Format(String),
}

/// `INDEX/NAME/`, with the normalised name, and without what follows the path of the index.
fn project_url(index: &Url, project: &str) -> Url {
    let mut url = index.clone();
    let path = format!("{}/{}/", index.path().trim_end_matches('/'), normalized_name(project));
    url.set_path(&path);
    url
}

/// A URL of a page as an absolute one, without its fragment; and the SHA-256 in that (`#sha256=HEX`).
fn resolve(base: &Url, url: &str) -> Option<(Url, Option<String>)> {
    let mut url = base.join(url).ok()?;
    let parts = url.fragment().unwrap_or_default().split('&');
    let digest = parts.filter_map(|part| part.strip_prefix("sha256=")).next().map(str::to_lowercase);
    url.set_fragment(None);
    Some((url, digest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_that_takes_too_long_is_an_error() {
        let now = Instant::now();
        let mut body = Timed { body: &b"abc"[..], end: now + MOST_TIME };
        assert_eq!(body.read(&mut [0; 2]).unwrap(), 2);
        let Some(before) = now.checked_sub(Duration::from_millis(1)) else { return };
        body.end = before;
        assert_eq!(body.read(&mut [0; 2]).unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn the_page_of_a_project_is_below_the_index() {
        for (index, project, want) in [
            ("https://h.example/simple", "Six", "https://h.example/simple/six/"),
            ("https://u:p@h.example/simple/", "a_b.c", "https://u:p@h.example/simple/a-b-c/"),
            ("https://h.example", "six", "https://h.example/six/"),
            ("https://h.example/s?token=1", "six", "https://h.example/s/six/?token=1"),
        ] {
            assert_eq!(project_url(&Url::parse(index).unwrap(), project).as_str(), want);
        }
    }
}
