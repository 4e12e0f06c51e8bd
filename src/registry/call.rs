//! One request to a registry, with what is needed to send it again.

use super::access::Access;
use super::error::RegistryError;
use crate::image::Descriptor;
use crate::net;
use std::io::{self, Read};
use std::sync::atomic::{AtomicU64, Ordering};
use url::Url;

/// Bytes of a chunk: GHCR takes less than 4 MiB. Source: rust-oci-client, issues 35 and 37.
pub const CHUNK_BYTES: usize = (4 << 20) - (64 << 10);

/// Opens some content from its start. Called again for each attempt.
pub type Open<'a> = dyn Fn() -> io::Result<Box<dyn Read + Send>> + Send + Sync + 'a;

/// A request.
pub struct Call<'a> {
    pub method: Method,
    pub url: Url,
    pub headers: Vec<(&'static str, String)>,
    pub body: Body<'a>,
    /// Its rights.
    pub access: &'a Access,
    /// `push …`, for messages.
    pub doing: &'a str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Patch,
}

/// What is sent.
#[derive(Clone, Copy)]
pub enum Body<'a> {
    None,
    Bytes(&'a [u8]),
    /// Streamed, and checked on the way.
    Content(&'a Descriptor, &'a Open<'a>),
}

impl<'a> Call<'a> {
    /// A request without headers and body.
    pub fn new(method: Method, url: Url, access: &'a Access, doing: &'a str) -> Call<'a> {
        Call { method, url, headers: Vec::new(), body: Body::None, access, doing }
    }

    /// The same with one more header.
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Call<'a> {
        self.headers.push((name, value.into()));
        self
    }

    /// The same with a body.
    pub fn body(mut self, body: Body<'a>) -> Call<'a> {
        self.body = body;
        self
    }
}

/// A blob on its way to a repository.
pub struct Upload<'a> {
    /// The destination, and the repositories that it may be mounted from.
    pub access: &'a Access,
    pub descriptor: &'a Descriptor,
    pub open: &'a Open<'a>,
    /// `send …`, for messages.
    pub doing: &'a str,
}

/// Where an upload goes on.
pub struct Session {
    pub url: Url,
    /// The registry wants no smaller chunks than this but for the last. Source: OCI distribution specification,
    /// "Pushing a blob in chunks", `OCI-Chunk-Min-Length`.
    pub least_chunk_bytes: usize,
}

/// Why a request has no answer.
#[derive(Debug)]
pub enum Failure {
    /// The network or the server.
    Net(net::Error),
    /// The content that was to be sent.
    Content(io::Error),
    /// Anything that another attempt would not change.
    Final(RegistryError),
}

impl From<RegistryError> for Failure {
    fn from(error: RegistryError) -> Failure {
        Failure::Final(error)
    }
}

/// A reader that counts what is read from it, and keeps its error: the client only reports that sending failed.
pub struct Counted<'a> {
    source: Box<dyn Read + 'a>,
    count: &'a AtomicU64,
    /// The error of the source.
    pub failure: Option<io::Error>,
}

impl<'a> Counted<'a> {
    /// `source`, counted in `count`.
    pub fn new(source: Box<dyn Read + 'a>, count: &'a AtomicU64) -> Counted<'a> {
        Counted { source, count, failure: None }
    }
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.source.read(buffer) {
            Ok(length) => {
                self.count.fetch_add(length as u64, Ordering::Relaxed);
                Ok(length)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => {
                self.failure = Some(error);
                Err(io::Error::other("the content cannot be read"))
            }
        }
    }
}
