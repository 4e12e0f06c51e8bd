//! Reads and writes objects of the PEX registry, in the object store behind presigned URLs.
//!
//! The store gets no token and no `Content-Type`: a token would leak, and a `Content-Type` would break the signature.
//! Source: the requests of dagster-cloud-cli 1.13.27, and the statuses on which it repeats an upload.

use super::client::{Client, again};
use super::error::{DagsterError, STORE};
use super::operations::{Method, PresignedUrl};
use super::session::Kind;
use crate::hex::hex;
use crate::net::retry::{self, Again, Backoff};
use crate::net::{self, Activity, Progress, Request, Response};
use md5::{Digest, Md5};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Longer text objects are not read. Recipes are the longest.
const TEXT_LIMIT_BYTES: u64 = 1 << 20;
/// Transient statuses. An upload may be repeated, because it overwrites.
const TRANSIENT: [u16; 7] = [408, 409, 429, 500, 502, 503, 504];
/// How often to ask for a new URL after one was refused: it may have expired, or have been used by an attempt with a
/// lost answer.
const FRESH_URLS: u32 = 2;
/// Bytes read from the end of an object to check that it is a complete ZIP archive.
const TAIL_BYTES: u64 = 1024;
/// Signature of a ZIP archive's end record. Source: PKWARE APPNOTE, 4.3.16.
const ZIP_END: &[u8] = b"PK\x05\x06";

/// What the registry has under a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// Nothing, or nothing readable.
    Absent,
    /// An object that does not end like a PEX file: truncated, or another file.
    Broken,
    /// A complete archive, with its size if the store reports it.
    Whole {
        /// Bytes.
        size_bytes: Option<u64>,
    },
}

/// Bytes to upload. Each attempt reads them from the start.
#[derive(Debug, Clone, Copy)]
pub enum Content<'a> {
    /// A file, streamed.
    File(&'a Path),
    /// A short text.
    Text(&'a str),
}

impl<'a> Content<'a> {
    /// A reader at the start, and the number of bytes.
    fn open(self) -> Result<(Box<dyn Read + 'a>, u64), DagsterError> {
        match self {
            Content::Text(text) => Ok((Box::new(text.as_bytes()), text.len() as u64)),
            Content::File(path) => {
                let unreadable = |source| DagsterError::ReadFile { path: path.to_path_buf(), source };
                let file = File::open(path).map_err(unreadable)?;
                let size_bytes = file.metadata().map_err(unreadable)?.len();
                Ok((Box::new(file), size_bytes))
            }
        }
    }
}

/// What the store said about an upload that it accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// Whether it proves that the store has exactly the bytes that were sent.
    pub proves_content: bool,
}

/// A reader that reports progress, and hashes what it reads.
struct Counted<'a> {
    source: &'a mut dyn Read,
    name: &'a str,
    progress: &'a dyn Progress,
    md5: Md5,
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let bytes = self.source.read(buffer)?;
        self.progress.advance(self.name, bytes as u64);
        self.md5.update(&buffer[..bytes]);
        Ok(bytes)
    }
}

impl Client {
    /// Write an object through `url`, or through a new URL if that is refused. `progress` receives the bytes of each
    /// attempt.
    ///
    /// # Errors
    /// When the store refuses, or cannot be reached within the retries.
    pub fn upload(
        &self,
        name: &str,
        content: Content<'_>,
        url: PresignedUrl,
        progress: &dyn Progress,
    ) -> Result<Receipt, DagsterError> {
        let mut url = url;
        let mut fresh = 0;
        loop {
            let put = retry::run(&Backoff::UPLOAD, self.host().clock.as_ref(), |number| {
                self.put(name, content, &url, number, progress)
            });
            match put.map_err(|failed| failed.error) {
                // Retrying with the same URL cannot help after 403, as its signature will not become valid.
                Err(DagsterError::Status { status: 403, .. }) if fresh < FRESH_URLS => {
                    fresh += 1;
                    self.host().detail(format!("the upload URL of {name} was refused; asking for another"));
                    url = self.presigned_url(name, Method::Put)?;
                }
                outcome => {
                    progress.finish(name);
                    return outcome;
                }
            }
        }
    }

    fn put(
        &self,
        name: &str,
        content: Content<'_>,
        url: &PresignedUrl,
        number: u32,
        progress: &dyn Progress,
    ) -> Result<Receipt, Again<DagsterError>> {
        let doing = || format!("upload `{name}`");
        // Opened for each attempt: a failed one has consumed the content.
        let (mut source, size_bytes) = content.open().map_err(Again::No)?;
        progress.start(Activity::Upload, name, Some(size_bytes));
        let mut body = Counted { source: source.as_mut(), name, progress, md5: Md5::new() };
        // The query of a presigned URL is a credential, so it must not appear in errors.
        let request = Request::put(&url.0, &mut body, size_bytes).confidential();
        let response = self.send(request, Kind::Upload(name), &doing(), number)?;
        if is_page(&response) {
            return Err(Again::After { error: page(doing(), response.status, number), retry_after: None });
        }
        if (200..300).contains(&response.status) {
            // Recorded at once: an interrupt from now on must report the file as uploaded.
            self.session().uploaded(name);
            let proves_content = is_of_content(response.header("ETag"), &hex(body.md5.finalize()));
            return Ok(Receipt { proves_content });
        }
        Err(self.refusal(doing(), &response, number))
    }

    /// A short text object; `None` if it does not exist.
    ///
    /// # Errors
    /// When the store answers with another status, or cannot be reached within the retries.
    pub fn download_text(&self, name: &str, url: &PresignedUrl) -> Result<Option<String>, DagsterError> {
        let got = retry::run(&Backoff::API, self.host().clock.as_ref(), |number| {
            let doing = format!("read `{name}`");
            let lost = |error| again(&doing, number, error);
            let request = Request::get(&url.0).confidential();
            let response = self.send(request, Kind::Question, &doing, number)?;
            match response.status {
                // Only 404 means that there is no entry.
                404 => Ok(None),
                200 => response.into_bytes(TEXT_LIMIT_BYTES).map(Some).map_err(lost),
                _ => Err(self.refusal(doing, &response, number)),
            }
        });
        let bytes = got.map_err(|failed| failed.error)?;
        Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// Whether a PEX file is stored completely. Reads only its end, because the presigned URL does not allow `HEAD`.
    ///
    /// # Errors
    /// When the store cannot be reached within the retries. A 403 counts as absent: some stores answer it for missing
    /// objects.
    pub fn stored(&self, name: &str, url: &PresignedUrl) -> Result<Stored, DagsterError> {
        let got = retry::run(&Backoff::API, self.host().clock.as_ref(), |number| {
            let doing = format!("look for `{name}`");
            let lost = |error| again(&doing, number, error);
            let range = format!("bytes=-{TAIL_BYTES}");
            let request = Request::get(&url.0).confidential().header("Range", &range);
            let response = self.send(request, Kind::Question, &doing, number)?;
            match response.status {
                200 if is_page(&response) => {
                    Err(Again::After { error: page(doing, 200, number), retry_after: None })
                }
                // The end of a PEX file holds the ZIP directory's end record, which a cut file lacks.
                206 => read_tail(response).map_err(lost),
                // The store does not support ranges, and reading the whole object would take too long.
                200 => Ok(Stored::Whole { size_bytes: response.content_length() }),
                403 | 404 | 416 => {
                    let status = response.status;
                    // Read the body only so that the connection can be reused.
                    drop(response.into_bytes(TAIL_BYTES));
                    Ok(if status == 416 { Stored::Broken } else { Stored::Absent })
                }
                _ => Err(self.refusal(doing, &response, number)),
            }
        });
        got.map_err(|failed| failed.error)
    }

    /// Bytes of an object from `start` on, or from its end; and the size of the whole object.
    ///
    /// # Errors
    /// When the store refuses, does not support ranges, or cannot be reached within the retries.
    pub fn piece(
        &self,
        name: &str,
        url: &PresignedUrl,
        start: Option<u64>,
        bytes: u64,
    ) -> Result<(Vec<u8>, u64), DagsterError> {
        // A range includes both ends. Source: RFC 9110, 14.1.2.
        let range = match start {
            Some(start) => format!("bytes={start}-{}", start.saturating_add(bytes).saturating_sub(1)),
            None => format!("bytes=-{bytes}"),
        };
        let got = retry::run(&Backoff::API, self.host().clock.as_ref(), |number| {
            let doing = format!("read a part of `{name}`");
            let lost = |error| again(&doing, number, error);
            let request = Request::get(&url.0).confidential().header("Range", &range);
            let response = self.send(request, Kind::Question, &doing, number)?;
            match (response.status, whole_size(&response)) {
                (206, Some(size)) => response.into_bytes(bytes).map(|part| (part, size)).map_err(lost),
                // Without `Content-Range` it is not known which bytes these are.
                (200 | 206, _) => {
                    Err(Again::No(DagsterError::Unexpected { doing, what: "its range".into() }))
                }
                _ => Err(self.refusal(doing, &response, number)),
            }
        });
        got.map_err(|failed| failed.error)
    }

    /// One presigned URL.
    ///
    /// # Errors
    /// Those of the call.
    pub fn presigned_url(&self, name: &str, method: Method) -> Result<PresignedUrl, DagsterError> {
        let urls = self.presigned_urls(&[name], method)?;
        urls.into_iter().next().ok_or_else(|| DagsterError::Unexpected {
            doing: format!("reach `{name}`"),
            what: "its URL".into(),
        })
    }

    fn refusal(&self, doing: String, response: &Response, attempts: u32) -> Again<DagsterError> {
        let retry_after = response.retry_after(self.host().clock.now());
        let status = response.status;
        let error = DagsterError::Status { doing, whom: STORE, status, attempts, body: String::new() };
        if TRANSIENT.contains(&status) { Again::After { error, retry_after } } else { Again::No(error) }
    }
}

/// `Content-Range: bytes A-B/SIZE` has the size of the whole. Source: RFC 9110, 14.4.
fn whole_size(response: &Response) -> Option<u64> {
    let (_, size) = response.header("Content-Range")?.rsplit_once('/')?;
    size.trim().parse().ok()
}

/// Whether a proxy or a sign-in page answered instead of the store, with a successful status. The store's own answers
/// are never HTML.
fn is_page(response: &Response) -> bool {
    (200..300).contains(&response.status)
        && response.header("Content-Type").is_some_and(|kind| kind.trim_start().starts_with("text/html"))
}

fn page(doing: String, status: u16, attempts: u32) -> DagsterError {
    DagsterError::Status { doing, whom: STORE, status, attempts, body: "a web page".into() }
}

/// Whether an entity tag is the MD5 of what was sent. Stores that encrypt with keys of their own answer with another one.
/// Source: Amazon S3, "Common Response Headers", `ETag`.
fn is_of_content(tag: Option<&str>, md5: &str) -> bool {
    tag.is_some_and(|tag| tag.trim().trim_matches('"').eq_ignore_ascii_case(md5))
}

/// Check the end of an object.
fn read_tail(response: Response) -> Result<Stored, net::Error> {
    let size_bytes = whole_size(&response);
    let tail = response.into_bytes(TAIL_BYTES)?;
    let whole = tail.windows(ZIP_END.len()).any(|window| window == ZIP_END);
    Ok(if whole { Stored::Whole { size_bytes } } else { Stored::Broken })
}
