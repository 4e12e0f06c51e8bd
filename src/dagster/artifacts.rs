//! Objects of the PEX registry, to and from the object store behind presigned URLs.
//!
//! The store gets no token and no `Content-Type`: either would break the signature or leak a credential.
//! Source: what dagster-cloud-cli 1.13.27 sends; which statuses it repeats an upload on.

use super::client::{Client, again};
use super::error::{DagsterError, STORE};
use super::operations::{Method, PresignedUrl};
use super::session::Kind;
use crate::net::retry::{self, Again, Backoff};
use crate::net::{self, Activity, Progress, Request, Response};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Statuses that pass by themselves. An upload may be repeated: it overwrites.
const PASSING: [u16; 7] = [408, 409, 429, 500, 502, 503, 504];
/// Times that a new URL is asked for when one is refused: it may have expired, or been used by a try whose answer was
/// lost.
const FRESH_URLS: u32 = 2;
/// So much of an object's end is read to see that it is a whole ZIP archive.
const TAIL_BYTES: u64 = 1024;
/// Signature of a ZIP archive's end record. Source: PKWARE APPNOTE, 4.3.16.
const ZIP_END: &[u8] = b"PK\x05\x06";

/// What the registry holds under a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// Nothing, or nothing that can be read.
    Absent,
    /// Something that does not end as a PEX file ends: cut short, or something else.
    Broken,
    /// A whole archive of this size, where the store says it.
    Whole {
        /// Bytes.
        size_bytes: Option<u64>,
    },
}

/// Bytes to upload; each try reads them from the start.
#[derive(Debug, Clone, Copy)]
pub enum Content<'a> {
    /// A file, streamed.
    File(&'a Path),
    /// A short text.
    Text(&'a str),
}

impl<'a> Content<'a> {
    /// The bytes from the start, and how many there are.
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

/// Bytes that are told of while they are read.
struct Counted<'a> {
    source: &'a mut dyn Read,
    name: &'a str,
    progress: &'a dyn Progress,
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let bytes = self.source.read(buffer)?;
        self.progress.advance(self.name, bytes as u64);
        Ok(bytes)
    }
}

impl Client {
    /// Write an object, through `url` and, should that be refused, through a fresh one. Gives the size in bytes.
    /// `progress` hears of the bytes of each try.
    ///
    /// # Errors
    /// When the store refuses, or is not reached within the retries.
    pub fn upload(
        &self,
        name: &str,
        content: Content<'_>,
        url: PresignedUrl,
        progress: &dyn Progress,
    ) -> Result<u64, DagsterError> {
        let mut url = url;
        let mut fresh = 0;
        loop {
            let put = retry::run(&Backoff::UPLOAD, self.host().clock.as_ref(), |number| {
                self.put(name, content, &url, number, progress)
            });
            match put.map_err(|failed| failed.error) {
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
    ) -> Result<u64, Again<DagsterError>> {
        let doing = || format!("upload `{name}`");
        let (mut source, size_bytes) = content.open().map_err(Again::No)?;
        progress.start(Activity::Upload, name, Some(size_bytes));
        let mut body = Counted { source: source.as_mut(), name, progress };
        let request = Request::put(&url.0, &mut body, size_bytes).confidential();
        let response = self.send(request, Kind::Upload(name), &doing(), number)?;
        if is_page(&response) {
            return Err(Again::After { error: page(doing(), response.status, number), retry_after: None });
        }
        if (200..300).contains(&response.status) {
            self.session().uploaded(name);
            return Ok(size_bytes);
        }
        Err(self.refusal(doing(), &response, number))
    }

    /// A short text object; `None` if there is none.
    ///
    /// # Errors
    /// When the store answers otherwise, or is not reached within the retries.
    pub fn download_text(&self, name: &str, url: &PresignedUrl) -> Result<Option<String>, DagsterError> {
        let got = retry::run(&Backoff::API, self.host().clock.as_ref(), |number| {
            let doing = format!("read `{name}`");
            let lost = |error| again(&doing, number, error);
            let request = Request::get(&url.0).confidential();
            let response = self.send(request, Kind::Question, &doing, number)?;
            match response.status {
                404 => Ok(None),
                200 => response.into_bytes(64 << 10).map(Some).map_err(lost),
                _ => Err(self.refusal(doing, &response, number)),
            }
        });
        let bytes = got.map_err(|failed| failed.error)?;
        Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// Whether a PEX file is stored, and to its end. Only the end is read; the presigned URL does not allow `HEAD`.
    ///
    /// # Errors
    /// When the store is not reached within the retries. A refusal (403, which some stores answer for what is missing)
    /// means that it is absent.
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
                206 => read_tail(response).map_err(lost),
                // The store knows no ranges; its whole answer is not worth reading.
                200 => Ok(Stored::Whole { size_bytes: response.content_length() }),
                403 | 404 | 416 => {
                    let status = response.status;
                    // Read, so that the connection can be used again; what it says does not matter.
                    drop(response.into_bytes(TAIL_BYTES));
                    Ok(if status == 416 { Stored::Broken } else { Stored::Absent })
                }
                _ => Err(self.refusal(doing, &response, number)),
            }
        });
        got.map_err(|failed| failed.error)
    }

    /// So many bytes of an object from `start` on, or at its end; and the size of the whole.
    ///
    /// # Errors
    /// When the store refuses, knows no ranges, or is not reached within the retries.
    pub fn piece(
        &self,
        name: &str,
        url: &PresignedUrl,
        start: Option<u64>,
        bytes: u64,
    ) -> Result<(Vec<u8>, u64), DagsterError> {
        // Both ends are part of a range. Source: RFC 9110, 14.1.2.
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
        if PASSING.contains(&status) { Again::After { error, retry_after } } else { Again::No(error) }
    }
}

/// `Content-Range: bytes A-B/SIZE` has the size of the whole. Source: RFC 9110, 14.4.
fn whole_size(response: &Response) -> Option<u64> {
    let (_, size) = response.header("Content-Range")?.rsplit_once('/')?;
    size.trim().parse().ok()
}

/// Whether a proxy or a sign-in page answered in the store's place, with a status as if all were well. The store itself
/// answers an upload with nothing, and a PEX file is no page.
fn is_page(response: &Response) -> bool {
    (200..300).contains(&response.status)
        && response.header("Content-Type").is_some_and(|kind| kind.trim_start().starts_with("text/html"))
}

fn page(doing: String, status: u16, attempts: u32) -> DagsterError {
    DagsterError::Status { doing, whom: STORE, status, attempts, body: "a web page".into() }
}

/// What the end of an object tells.
fn read_tail(response: Response) -> Result<Stored, net::Error> {
    let size_bytes = whole_size(&response);
    let tail = response.into_bytes(TAIL_BYTES)?;
    let whole = tail.windows(ZIP_END.len()).any(|window| window == ZIP_END);
    Ok(if whole { Stored::Whole { size_bytes } } else { Stored::Broken })
}
