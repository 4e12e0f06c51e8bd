//! Sending blobs: only what is not there, in one request each.
//!
//! Source: OCI distribution specification, "Pushing blobs" and "Mounting a blob from another repository".

use super::access::Access;
use super::call::{Body, Call, Method, Open, Session, Upload};
use super::client::Registries;
use super::error::RegistryError;
use super::location;
use crate::image::{Descriptor, Repository};
use crate::net::Response;
use crate::net::retry::Again;
use crate::threads::{into_inner, joined, lock};
use std::fs::File;
use std::io::Cursor;
use std::path::Path;
use std::sync::{Arc, Mutex};
use url::Url;

/// Statuses of a PUT that say that the body is too much for one request. GHCR and old Artifactory servers, and proxies.
const TOO_LARGE: [u16; 2] = [413, 416];
/// Threads of [`Registries::push_all`].
pub(super) const THREADS: usize = 6;

/// How a blob came to be in a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Pushed {
    /// It was there.
    Existing,
    /// The registry took it from another of its repositories.
    Mounted,
    /// It was sent.
    Sent,
}

/// A blob to send.
pub struct Blob<'a> {
    /// What it is.
    pub descriptor: Descriptor,
    /// Its content.
    pub open: Box<Open<'a>>,
}

impl Blob<'_> {
    /// Content in memory.
    pub fn of_bytes(media_type: &str, content: impl Into<Arc<[u8]>>) -> Blob<'static> {
        let content = content.into();
        let descriptor = Descriptor::of(media_type, &content);
        Blob { descriptor, open: Box::new(move || Ok(Box::new(Cursor::new(Arc::clone(&content))))) }
    }

    /// The content of a file.
    pub fn of_file(descriptor: Descriptor, path: &Path) -> Blob<'static> {
        let path = path.to_path_buf();
        Blob { descriptor, open: Box::new(move || Ok(Box::new(File::open(&path)?))) }
    }
}

/// The outcome of asking for an upload.
enum Asked {
    /// Nothing is left to do.
    Mounted,
    /// Where to send the content.
    Session(Session),
}

impl Registries {
    /// Bring a blob into a repository: nothing is sent if it is there, or in another repository of the registry from
    /// which it can be mounted. At most six are sent at a time; more wait.
    ///
    /// # Errors
    /// When the registry refuses or cannot be reached within the retries, or the content cannot be read, or is not
    /// what the descriptor says.
    pub fn push_blob(
        &self,
        repository: &Repository,
        descriptor: &Descriptor,
        open: &Open<'_>,
        mount_from: &[Repository],
    ) -> Result<Pushed, RegistryError> {
        let _slot = self.slots().take(repository, descriptor.digest);
        let access = Access::push(repository).with_sources(mount_from);
        if self.has_blob_with(&access, descriptor)? {
            return Ok(Pushed::Existing);
        }
        let doing = format!("send {} to `{repository}`", descriptor.digest);
        let upload = Upload { access: &access, descriptor, open, doing: &doing };
        let source = self.source(repository, descriptor, mount_from)?;
        let pushed = match self.ask_for_upload(&upload, source.as_ref())? {
            Asked::Mounted => Pushed::Mounted,
            Asked::Session(session) => self.upload(&upload, session)?,
        };
        self.add_home(repository, descriptor.digest);
        Ok(pushed)
    }

    /// Bring blobs into a repository, six at a time. The iterator may wait for blobs that are still being made; it is
    /// asked by one thread at a time. Results are in the same order. The first error ends it, after the uploads that
    /// are under way.
    ///
    /// # Errors
    /// Those of [`Registries::push_blob`].
    pub fn push_all<'a, B>(
        &self,
        repository: &Repository,
        blobs: B,
        mount_from: &[Repository],
    ) -> Result<Vec<Pushed>, RegistryError>
    where
        B: IntoIterator<Item = Blob<'a>>,
        B::IntoIter: Send,
    {
        let blobs = Mutex::new(Some(blobs.into_iter().enumerate()));
        let (pushed, failure) = (Mutex::new(Vec::new()), Mutex::new(None));
        let work = || {
            loop {
                // The guard is dropped before the upload.
                let next = lock(&blobs).as_mut().and_then(Iterator::next);
                let Some((number, blob)) = next else { return };
                match self.push_blob(repository, &blob.descriptor, &*blob.open, mount_from) {
                    Ok(outcome) => lock(&pushed).push((number, outcome)),
                    Err(error) => {
                        *lock(&blobs) = None;
                        lock(&failure).get_or_insert(error);
                    }
                }
            }
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
            threads.into_iter().for_each(joined);
        });
        if let Some(error) = into_inner(failure) {
            return Err(error);
        }
        let mut pushed = into_inner(pushed);
        pushed.sort_unstable_by_key(|(number, _)| *number);
        Ok(pushed.into_iter().map(|(_, outcome)| outcome).collect())
    }

    /// Bring a blob from one repository into another. On one registry it is mounted if that is possible, otherwise its
    /// content is passed on, checked on the way, and never stored.
    ///
    /// # Errors
    /// As for [`Registries::push_blob`] and [`Registries::blob`].
    pub fn copy_blob(
        &self,
        from: &Repository,
        to: &Repository,
        descriptor: &Descriptor,
    ) -> Result<Pushed, RegistryError> {
        self.push_blob(to, descriptor, &*self.content_of(from, descriptor), std::slice::from_ref(from))
    }

    /// The content of a blob of a repository, to be opened when it is needed.
    pub fn content_of(&self, from: &Repository, descriptor: &Descriptor) -> Box<Open<'static>> {
        let (client, from, descriptor) = (self.clone(), from.clone(), descriptor.clone());
        Box::new(move || match client.blob(&from, &descriptor) {
            Ok(reader) => Ok(Box::new(reader.named(&from, &descriptor))),
            Err(error) => Err(std::io::Error::other(error)),
        })
    }

    /// The repository to mount a blob from: one that is known to have it, the only one that is named, or the first
    /// named one that has it.
    fn source(
        &self,
        repository: &Repository,
        descriptor: &Descriptor,
        mount_from: &[Repository],
    ) -> Result<Option<Repository>, RegistryError> {
        let here = |source: &&Repository| source.host == repository.host && source.path != repository.path;
        let named: Vec<&Repository> = mount_from.iter().filter(here).collect();
        let homes = self.homes(&repository.host, descriptor.digest);
        if let Some(known) = named.iter().find(|source| homes.contains(&source.path)) {
            return Ok(Some((*known).clone()));
        }
        match named[..] {
            [] => {}
            [only] => return Ok(Some(only.clone())),
            _ => {
                for source in named {
                    match self.has_blob(source, descriptor) {
                        Ok(true) => return Ok(Some(source.clone())),
                        // No right to read it is no reason to fail: the blob is sent then.
                        Ok(false) | Err(RegistryError::Denied { .. }) => {}
                        Err(error) => return Err(error),
                    }
                }
            }
        }
        let path = homes.into_iter().find(|path| *path != repository.path);
        Ok(path.map(|path| Repository { host: repository.host.clone(), path }))
    }

    /// Ask for an upload, or for the blob of another repository.
    fn ask_for_upload(
        &self,
        upload: &Upload<'_>,
        source: Option<&Repository>,
    ) -> Result<Asked, RegistryError> {
        let repository = upload.access.repository();
        let url = self.url(&repository, "blobs/uploads/")?;
        let Some(source) = source else { return self.new_session(upload, url) };
        let mut mount = url.clone();
        mount
            .query_pairs_mut()
            .append_pair("mount", &upload.descriptor.digest.to_string())
            .append_pair("from", &source.path);
        let access = upload.access.clone().with_sources(std::slice::from_ref(source));
        let call = Call::new(Method::Post, mount, &access, upload.doing);
        let response = self.send(&call)?;
        match response.status {
            201 => Ok(Asked::Mounted),
            // Not there, or not allowed: this is an upload then.
            202 => self.session(&call, &response).map(Asked::Session),
            // Registries without mounting, or without the right to read the source.
            400..=499 => {
                drop(response.into_bytes(64 << 10));
                self.new_session(upload, url)
            }
            _ => Err(self.refused(&call, response, 1)),
        }
    }

    fn new_session(&self, upload: &Upload<'_>, url: Url) -> Result<Asked, RegistryError> {
        let call = Call::new(Method::Post, url, upload.access, upload.doing);
        let response = self.send(&call)?;
        match response.status {
            202 => self.session(&call, &response).map(Asked::Session),
            // A registry that finds the blob by itself.
            201 => Ok(Asked::Mounted),
            _ => Err(self.refused(&call, response, 1)),
        }
    }

    /// Send the content. Each attempt has a session of its own and starts at the first byte.
    fn upload(&self, upload: &Upload<'_>, first: Session) -> Result<Pushed, RegistryError> {
        let mut session = Some(first);
        self.retried(|number| {
            let repository = upload.access.repository();
            let session = match session.take() {
                Some(session) => session,
                None => {
                    // The answer of the attempt before may have got lost.
                    if self.has_blob_with(upload.access, upload.descriptor).map_err(Again::No)? {
                        return Ok(Pushed::Sent);
                    }
                    let url = self.url(&repository, "blobs/uploads/").map_err(Again::No)?;
                    match self.new_session(upload, url).map_err(Again::No)? {
                        Asked::Mounted => return Ok(Pushed::Mounted),
                        Asked::Session(session) => session,
                    }
                }
            };
            let endpoint = self.endpoint(&repository.host).map_err(Again::No)?;
            if !endpoint.wants_chunks(upload.descriptor.size) {
                match self.put_whole(upload, &session.url, number)? {
                    true => return Ok(Pushed::Sent),
                    false => endpoint.refused_whole(upload.descriptor.size),
                }
                let url = self.url(&repository, "blobs/uploads/").map_err(Again::No)?;
                return match self.new_session(upload, url).map_err(Again::No)? {
                    Asked::Mounted => Ok(Pushed::Mounted),
                    Asked::Session(session) => self.put_chunks(upload, session),
                };
            }
            self.put_chunks(upload, session)
        })
    }

    /// Send the content in one request. `false` if that is too much for one.
    fn put_whole(
        &self,
        upload: &Upload<'_>,
        session: &Url,
        number: u32,
    ) -> Result<bool, Again<RegistryError>> {
        let url = location::with_parameter(session, "digest", &upload.descriptor.digest.to_string());
        let mut call = Call::new(Method::Put, url, upload.access, upload.doing)
            .header("Content-Type", "application/octet-stream")
            .body(Body::Content(upload.descriptor, upload.open));
        if number > 1 {
            // The attempt before may have been refused by a server that closed the connection while the content was
            // sent, so that its answer got lost. This way it answers first.
            call = call.header("Expect", "100-continue");
        }
        let response = self.judged(&call, number)?;
        match response.status {
            201 => self.stored(upload, &response).map(|()| true).map_err(Again::No),
            status if TOO_LARGE.contains(&status) => {
                drop(self.said(response));
                Ok(false)
            }
            _ => self.unstored(&call, response, number),
        }
    }

    /// A PUT that did not work.
    fn unstored(
        &self,
        call: &Call<'_>,
        response: Response,
        number: u32,
    ) -> Result<bool, Again<RegistryError>> {
        let status = response.status;
        let error = self.refused(call, response, number);
        let said = match &error {
            RegistryError::Refused { said, .. } => said.to_lowercase(),
            _ => String::new(),
        };
        match status {
            400 if said.contains("size invalid") || said.contains("size_invalid") => Ok(false),
            // The session is over: a restarted registry, or an answer that got lost. Source: OCI distribution
            // specification, "Error codes".
            404 if !said.contains("name_unknown") => Err(Again::After { error, retry_after: None }),
            _ => Err(Again::No(error)),
        }
    }
}
