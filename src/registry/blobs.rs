//! Reading blobs: streamed, continued where a connection broke, and checked.

use super::access::Access;
use super::call::{Call, Method};
use super::checked::{Checked, ContentError};
use super::client::Registries;
use super::error::RegistryError;
use crate::image::{Config, Descriptor, Manifest, Repository};
use crate::net::Response;
use crate::net::retry::{self, Again, Backoff};
use std::io::{self, Read};

/// How often a broken answer is continued before a byte more came.
const CONTINUATIONS: Backoff = Backoff::UPLOAD;
/// Limit for content that is read into memory, such as a config.
pub const MEMORY_LIMIT_BYTES: u64 = 8 << 20;

/// The content of a blob. Reading ends in an error unless all of it came, with the right digest.
pub struct BlobReader {
    checked: Checked<Continued>,
}

/// A blob's bytes, over as many answers as it takes.
struct Continued {
    client: Registries,
    repository: Repository,
    wanted: Descriptor,
    body: Option<Box<dyn Read + Send>>,
    position: u64,
}

impl Registries {
    /// The content of a blob, to be read piece by piece.
    ///
    /// # Errors
    /// When the registry does not have it, refuses, or cannot be reached.
    pub fn blob(&self, repository: &Repository, wanted: &Descriptor) -> Result<BlobReader, RegistryError> {
        let body = self.body(repository, wanted, 0)?;
        let continued = Continued {
            client: self.clone(),
            repository: repository.clone(),
            wanted: wanted.clone(),
            body: Some(body),
            position: 0,
        };
        Ok(BlobReader { checked: Checked::new(continued, wanted) })
    }

    /// A small blob, in memory.
    ///
    /// # Errors
    /// When it is larger than 8 MiB, and as for [`Registries::blob`].
    pub fn small_blob(&self, repository: &Repository, wanted: &Descriptor) -> Result<Vec<u8>, RegistryError> {
        if wanted.size > MEMORY_LIMIT_BYTES {
            return Err(RegistryError::Answer {
                doing: format!("read {} of `{repository}`", wanted.digest),
                host: repository.host.clone(),
                problem: "would be larger than 8 MiB",
            });
        }
        let mut bytes = Vec::new();
        let read = self.blob(repository, wanted)?.read_to_end(&mut bytes);
        read.map_err(|source| broken(repository, wanted, source))?;
        Ok(bytes)
    }

    /// The config of an image, as its bytes and parsed.
    ///
    /// # Errors
    /// As for [`Registries::small_blob`], and when it is not one.
    pub fn config(
        &self,
        repository: &Repository,
        manifest: &Manifest,
    ) -> Result<(Vec<u8>, Config), RegistryError> {
        let bytes = self.small_blob(repository, &manifest.config)?;
        match Config::parse(&bytes) {
            Ok(config) => Ok((bytes, config)),
            Err(source) => {
                let (repository, digest) = (repository.clone(), manifest.config.digest);
                Err(RegistryError::Config { repository, digest, source })
            }
        }
    }

    /// Whether a repository has a blob.
    ///
    /// # Errors
    /// When the registry refuses or cannot be reached.
    pub fn has_blob(&self, repository: &Repository, wanted: &Descriptor) -> Result<bool, RegistryError> {
        self.has_blob_with(&Access::pull(repository), wanted)
    }

    /// The same with other rights, so that one token does for all of an upload.
    pub(super) fn has_blob_with(&self, access: &Access, wanted: &Descriptor) -> Result<bool, RegistryError> {
        let repository = access.repository();
        if self.homes(&repository.host, wanted.digest).contains(&repository.path) {
            return Ok(true);
        }
        let doing = format!("look for {} in `{repository}`", wanted.digest);
        let url = self.url(&repository, &format!("blobs/{}", wanted.digest))?;
        let mut call = Call::new(Method::Head, url.clone(), access, &doing);
        let mut response = self.send(&call)?;
        if matches!(response.status, 405 | 501) {
            // No HEAD here. The body of the GET is not read.
            call = Call::new(Method::Get, url, access, &doing);
            response = self.send(&call)?;
        }
        match response.status {
            200 if is_whole(&response, wanted) => {
                self.add_home(&repository, wanted.digest);
                Ok(true)
            }
            // Another length: damaged, and to be sent again.
            200 | 404 => Ok(false),
            _ => Err(self.refused(&call, response, 1)),
        }
    }

    /// An answer with the content of a blob from `position` on.
    fn body(
        &self,
        repository: &Repository,
        wanted: &Descriptor,
        position: u64,
    ) -> Result<Box<dyn Read + Send>, RegistryError> {
        let access = Access::pull(repository);
        let doing = format!("read {} of `{repository}`", wanted.digest);
        let url = self.url(repository, &format!("blobs/{}", wanted.digest))?;
        let mut call = Call::new(Method::Get, url, &access, &doing);
        if position > 0 {
            call = call.header("Range", format!("bytes={position}-"));
        }
        let response = self.send(&call)?;
        match (response.status, position) {
            (200, 0) => Ok(Box::new(response.into_reader())),
            (206, _) if starts_at(&response, position) => Ok(Box::new(response.into_reader())),
            // A server without ranges begins at the start.
            (200, _) => {
                let mut body = response.into_reader();
                let skipped = io::copy(&mut body.by_ref().take(position), &mut io::sink());
                skipped.map_err(|source| broken(repository, wanted, source))?;
                Ok(Box::new(body))
            }
            (206, _) => Err(RegistryError::Answer {
                doing,
                host: repository.host.clone(),
                problem: "has another part than the one asked for",
            }),
            _ => Err(self.refused(&call, response, 1)),
        }
    }
}

/// Whether the length in an answer to HEAD, if it has one, is that of the blob.
fn is_whole(response: &Response, wanted: &Descriptor) -> bool {
    // Some servers say 0 for an answer without a body.
    response.content_length().is_none_or(|length| length == 0 || length == wanted.size)
}

/// Whether an answer begins at this byte. Source: RFC 9110, section 14.4.
fn starts_at(response: &Response, position: u64) -> bool {
    let range = response.header("Content-Range").and_then(|range| range.trim().strip_prefix("bytes "));
    range.and_then(|range| range.split('-').next()?.parse::<u64>().ok()) == Some(position)
}

/// A failure while reading a blob: damaged, or the network.
fn broken(repository: &Repository, wanted: &Descriptor, source: io::Error) -> RegistryError {
    let digest = wanted.digest;
    match source.downcast::<ContentError>() {
        Ok(source) => RegistryError::Damaged { digest, repository: repository.clone(), source },
        Err(source) => match source.downcast::<RegistryError>() {
            Ok(error) => error,
            Err(source) => RegistryError::Content { digest, source },
        },
    }
}

impl Read for Continued {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let clock = std::sync::Arc::clone(&self.client.host().clock);
        let read = retry::run(&CONTINUATIONS, &*clock, |_| self.read_once(buffer));
        let length = read.map_err(|failed| failed.error)?;
        self.position += length as u64;
        Ok(length)
    }
}

impl Continued {
    fn read_once(&mut self, buffer: &mut [u8]) -> Result<usize, Again<io::Error>> {
        let body = match &mut self.body {
            Some(body) => body,
            None => {
                let opened = self.client.body(&self.repository, &self.wanted, self.position);
                self.body.insert(opened.map_err(|error| match error {
                    // Broken again on the way to this byte, by a registry that sends all from the start.
                    RegistryError::Content { source, .. } => {
                        Again::After { error: source, retry_after: None }
                    }
                    // Its own retries are over.
                    error => Again::No(io::Error::other(error)),
                })?)
            }
        };
        match body.read(buffer) {
            // An answer without a length that is cut looks like one that ends.
            Ok(0) if self.position < self.wanted.size && !buffer.is_empty() => {
                self.body = None;
                Err(Again::After { error: io::ErrorKind::UnexpectedEof.into(), retry_after: None })
            }
            Ok(length) => Ok(length),
            Err(error) => {
                self.body = None;
                Err(Again::After { error, retry_after: None })
            }
        }
    }
}

impl Read for BlobReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.checked.read(buffer)
    }
}

impl BlobReader {
    /// The same with errors that name where it is read from: whoever passes it on speaks of another repository.
    pub(super) fn named(self, repository: &Repository, descriptor: &Descriptor) -> impl Read + Send + use<> {
        Named { reader: self, repository: repository.clone(), descriptor: descriptor.clone() }
    }
}

struct Named {
    reader: BlobReader,
    repository: Repository,
    descriptor: Descriptor,
}

impl Read for Named {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reader.read(buffer).map_err(|source| match broken(&self.repository, &self.descriptor, source) {
            RegistryError::Content { source, .. } => {
                io::Error::new(source.kind(), format!("`{}` broke off: {source}", self.repository))
            }
            error => io::Error::other(error),
        })
    }
}
