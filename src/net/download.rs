//! Downloads files into the content-addressed cache.
//!
//! A download goes to a temporary file in the cache, is hashed while it streams, compared, and only then renamed.
//!
//! A file that is already there is hashed again once per run before it is used. SHA-256 with processor instructions
//! does 1.6 GB/s per core (measured on a 2-core x86-64 runner), which is 45 ms for the 70 MB of a typical deps PEX, in
//! parallel with other work. In return, a flipped bit on disk or a cache restored from a broken archive is found here
//! and not on the Dagster+ agent. Comparing size and time would find neither.

use super::SafeUrl;
use super::retry::{self, Again, Backoff, Failed};
use super::{Activity, Agent, Credentials, Error, Progress, Request, Transience};
use crate::cache::{self, Cache, CacheError};
use crate::error::{Explain, Fault};
use crate::hex::hex;
use crate::host::Host;
use crate::threads::lock;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use tempfile::NamedTempFile;
use ureq::http::header::AUTHORIZATION;
use url::Url;

const BUFFER_BYTES: usize = 128 * 1024;
/// Limit for files of unknown size: an endless answer would fill the disk.
const MAX_BYTES: u64 = 16 << 30;
/// Transient statuses. A GET may always be repeated.
const TRANSIENT: [u16; 6] = [408, 429, 500, 502, 503, 504];

/// A file to get into the cache.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// Its name in the cache, and for people.
    pub file_name: &'a str,
    /// `https:`, `http:` or `file:` URL.
    pub url: &'a str,
    /// Lower-case hex SHA-256, if known.
    pub sha256: Option<&'a str>,
    /// Size, if known. A longer file is an error.
    pub size_bytes: Option<u64>,
}

/// A file in the cache whose digest was checked in this run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Where it is.
    pub path: PathBuf,
    /// Lower-case hex SHA-256.
    pub sha256: String,
    /// Whether it was there before this call.
    pub was_cached: bool,
}

/// Downloads files into the cache. Threads may share it; two that need the same file wait for one download.
pub struct Downloader {
    agent: Agent,
    host: Host,
    cache: Cache,
    backoff: Backoff,
    /// By path in the cache: whether the file was checked in this run. Each lock is held during the download.
    checked: Mutex<HashMap<PathBuf, Arc<Mutex<bool>>>>,
}

/// A file is not available.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    /// The server or the network failed.
    #[error("could not download `{file_name}`{}", if *attempts > 1 { format!(" after {attempts} attempts") } else { String::new() })]
    Net {
        /// The file.
        file_name: String,
        /// Number of attempts, including the first.
        attempts: u32,
        /// Why it failed.
        #[source]
        source: Error,
    },
    /// The file does not have the digest in the index or the lock file.
    #[error("`{file_name}` from {url} has the SHA-256 {got} and should have {want}")]
    Digest {
        /// The file.
        file_name: String,
        /// Its URL.
        url: SafeUrl,
        /// Expected digest.
        want: String,
        /// Actual digest.
        got: String,
    },
    /// A local file cannot be read.
    #[error("could not read `{path}`")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// Not a URL, or one with an unsupported scheme.
    #[error("`{file_name}` has no URL that can be downloaded: `{url}`")]
    Url {
        /// The file.
        file_name: String,
        /// The URL, or the text in its place.
        url: SafeUrl,
    },
    /// A name or digest that would lead out of the cache.
    #[error("`{file_name}` cannot be cached: its name or its SHA-256 is not valid")]
    Name {
        /// The file, with control characters escaped.
        file_name: String,
    },
    #[error(transparent)]
    #[allow(missing_docs)]
    Cache(#[from] CacheError),
}

impl Explain for DownloadError {
    fn fault(&self) -> Fault {
        match self {
            DownloadError::Net { source, .. } => source.fault(),
            DownloadError::Digest { .. } => Fault::Remote,
            DownloadError::Read { .. } | DownloadError::Url { .. } | DownloadError::Name { .. } => {
                Fault::Project
            }
            DownloadError::Cache(error) => error.fault(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            DownloadError::Net { source, .. } => source.hint(),
            DownloadError::Digest { .. } => Some(
                "the file changed since it was locked or listed: lock again, or find out who changed it"
                    .into(),
            ),
            DownloadError::Read { .. } => Some("check the path in the requirement that names it".into()),
            DownloadError::Url { .. } => Some("URLs are written like `https://…` or `file:///…`".into()),
            DownloadError::Name { .. } => {
                Some("lock again, or check the index or lock file that lists it".into())
            }
            DownloadError::Cache(error) => error.hint(),
        }
    }
}

impl Downloader {
    /// A downloader into the cache of `host`.
    pub fn new(host: &Host, agent: &Agent) -> Downloader {
        Downloader {
            agent: agent.clone(),
            host: host.clone(),
            cache: Cache::new(host),
            backoff: Backoff::DOWNLOAD,
            checked: Mutex::default(),
        }
    }

    /// The same with other pauses between attempts.
    pub fn with_backoff(mut self, backoff: Backoff) -> Downloader {
        self.backoff = backoff;
        self
    }

    /// Get a file into the cache, and check its digest.
    ///
    /// # Errors
    /// When it is not available or has a wrong digest. The cache does not change then.
    pub fn get(
        &self,
        wanted: &Wanted<'_>,
        credentials: &Credentials,
        progress: &dyn Progress,
    ) -> Result<Stored, DownloadError> {
        let sha256 = wanted.sha256.map(str::to_ascii_lowercase);
        if !cache::is_file_name(wanted.file_name)
            || sha256.as_deref().is_some_and(|digest| !cache::is_sha256(digest))
        {
            return Err(DownloadError::Name { file_name: wanted.file_name.escape_debug().to_string() });
        }
        // Without a digest nothing in the cache can be the file: its path has the digest.
        let Some(sha256) = sha256 else { return self.fetch(wanted, credentials, progress) };
        let wanted = Wanted { sha256: Some(&sha256), ..*wanted };
        let path = self.cache.wheel_path(&sha256, wanted.file_name);
        let entry = self.entry(&path);
        let mut checked = lock(&entry);
        if *checked || self.has(&path, &sha256)? {
            *checked = true;
            return Ok(Stored { path, sha256, was_cached: true });
        }
        let stored = self.fetch(&wanted, credentials, progress)?;
        *checked = true;
        Ok(stored)
    }

    /// Get a file that is read once: it does not get into the cache, and is deleted when dropped.
    ///
    /// # Errors
    /// When it is not available or has a wrong digest.
    pub fn get_once(
        &self,
        wanted: &Wanted<'_>,
        credentials: &Credentials,
        progress: &dyn Progress,
    ) -> Result<NamedTempFile, DownloadError> {
        let (file, sha256) = self.transfer(wanted, credentials, progress)?;
        check_digest(wanted, &sha256)?;
        Ok(file)
    }

    /// The file of this name and digest, if the cache has it undamaged.
    ///
    /// # Errors
    /// When it exists and cannot be read, or is damaged and cannot be removed.
    pub fn find(&self, file_name: &str, sha256: &str) -> Result<Option<Stored>, DownloadError> {
        if !cache::is_file_name(file_name) || !cache::is_sha256(sha256) {
            return Ok(None);
        }
        let path = self.cache.wheel_path(sha256, file_name);
        let entry = self.entry(&path);
        let mut checked = lock(&entry);
        *checked = *checked || self.has(&path, sha256)?;
        Ok(checked.then(|| Stored { path, sha256: sha256.to_string(), was_cached: true }))
    }

    fn entry(&self, path: &Path) -> Arc<Mutex<bool>> {
        let mut checked = lock(&self.checked);
        Arc::clone(checked.entry(path.to_path_buf()).or_default())
    }

    /// Whether the cache has a file at `path` with this digest. One with another digest is removed.
    fn has(&self, path: &Path, sha256: &str) -> Result<bool, DownloadError> {
        match sha256_of_file(path) {
            Ok(found) if found == sha256 => Ok(true),
            Ok(_) => {
                self.host.say(&format!("warning: `{}` is damaged and is downloaded again", path.display()));
                remove(path)?;
                Ok(false)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(source) => Err(CacheError { action: "read", path: path.to_path_buf(), source }.into()),
        }
    }

    fn fetch(
        &self,
        wanted: &Wanted<'_>,
        credentials: &Credentials,
        progress: &dyn Progress,
    ) -> Result<Stored, DownloadError> {
        let (file, sha256) = self.transfer(wanted, credentials, progress)?;
        check_digest(wanted, &sha256)?;
        let path = self.cache.wheel_path(&sha256, wanted.file_name);
        cache::persist(file, &path)?;
        Ok(Stored { path, sha256, was_cached: false })
    }

    /// A temporary file with what the URL leads to, and its SHA-256.
    fn transfer(
        &self,
        wanted: &Wanted<'_>,
        credentials: &Credentials,
        progress: &dyn Progress,
    ) -> Result<(NamedTempFile, String), DownloadError> {
        let refuse = || DownloadError::Url {
            file_name: wanted.file_name.to_string(),
            url: SafeUrl::parse(wanted.url),
        };
        let url = Url::parse(wanted.url).map_err(|_| refuse())?;
        let fetched = match url.scheme() {
            "file" => self.copy(&url.to_file_path().map_err(|()| refuse())?, wanted, progress),
            "http" | "https" => self.download(&url, wanted, credentials, progress),
            _ => Err(refuse()),
        };
        // Also after a failure: a bar that is never finished would stay on the screen.
        progress.finish(wanted.file_name);
        fetched
    }

    fn copy(
        &self,
        path: &Path,
        wanted: &Wanted<'_>,
        progress: &dyn Progress,
    ) -> Result<(NamedTempFile, String), DownloadError> {
        let read_failure = |source| DownloadError::Read { path: path.to_path_buf(), source };
        let source = File::open(path).map_err(read_failure)?;
        progress.start(Activity::Download, wanted.file_name, source.metadata().ok().map(|data| data.len()));
        // One byte more than allowed shows that the file is too long.
        let mut source = source.take(MAX_BYTES + 1);
        let mut target = self.temporary()?;
        let sha256 =
            pump(&mut source, target.as_file_mut(), |bytes| progress.advance(wanted.file_name, bytes))
                .map_err(|failure| match failure {
                    Pump::Read(source) => read_failure(source),
                    Pump::Write(source) => write_failure(target.path(), source).into(),
                })?;
        if source.limit() == 0 {
            return Err(read_failure(io::Error::from(io::ErrorKind::FileTooLarge)));
        }
        Ok((target, sha256))
    }

    fn download(
        &self,
        url: &Url,
        wanted: &Wanted<'_>,
        credentials: &Credentials,
        progress: &dyn Progress,
    ) -> Result<(NamedTempFile, String), DownloadError> {
        retry::run(&self.backoff, &*self.host.clock, |_| {
            self.try_download(url, wanted, credentials, progress).map_err(again)
        })
        .map_err(|Failed { attempts, error }| match error {
            TryFailure::Net(source) => {
                DownloadError::Net { file_name: wanted.file_name.to_string(), attempts, source }
            }
            TryFailure::Cache(error) => DownloadError::Cache(error),
        })
    }

    fn try_download(
        &self,
        url: &Url,
        wanted: &Wanted<'_>,
        credentials: &Credentials,
        progress: &dyn Progress,
    ) -> Result<(NamedTempFile, String), TryFailure> {
        let mut request = Request::get(url);
        // Looked up for each attempt. The agent drops the header when a redirect leads to another host.
        if let Some(login) = credentials.for_url(url) {
            request = request.secret_header(AUTHORIZATION.as_str(), login.header());
        }
        let response = self.agent.send(request)?;
        if response.status != 200 {
            return Err(response.status_error(self.host.clock.now()).into());
        }
        progress.start(Activity::Download, wanted.file_name, wanted.size_bytes.or(response.content_length()));
        let mut target = self.temporary()?;
        let broken = response.failure();
        // The size in the index is a limit only. The digest decides whether the content is right.
        let limit = wanted.size_bytes.unwrap_or(MAX_BYTES);
        let mut body = response.into_reader().take(limit.saturating_add(1));
        let mut length = 0;
        let sha256 = pump(&mut body, target.as_file_mut(), |bytes| {
            length += bytes;
            progress.advance(wanted.file_name, bytes);
        })
        .map_err(|failure| match failure {
            Pump::Read(source) => TryFailure::Net(broken(source)),
            Pump::Write(source) => write_failure(target.path(), source).into(),
        })?;
        if length > limit {
            return Err(Error::TooLong { url: SafeUrl::from(url), limit }.into());
        }
        Ok((target, sha256))
    }

    /// A temporary file on the file system of the cached files. It is deleted when dropped.
    fn temporary(&self) -> Result<NamedTempFile, CacheError> {
        cache::temporary_in(&self.cache.dir("wheels")?)
    }
}

/// Why one attempt failed.
#[derive(Debug)]
enum TryFailure {
    Net(Error),
    Cache(CacheError),
}

impl From<Error> for TryFailure {
    fn from(error: Error) -> Self {
        TryFailure::Net(error)
    }
}

impl From<CacheError> for TryFailure {
    fn from(error: CacheError) -> Self {
        TryFailure::Cache(error)
    }
}

/// Whether to retry. Downloads are idempotent, so every transient failure is retried.
fn again(failure: TryFailure) -> Again<TryFailure> {
    match failure {
        TryFailure::Net(error) if is_transient(&error) => {
            let retry_after = error.retry_after();
            Again::After { error: TryFailure::Net(error), retry_after }
        }
        failure => Again::No(failure),
    }
}

/// Whether a failed `GET` of a package index may succeed if it is repeated.
pub fn is_transient(error: &Error) -> bool {
    match error.transience() {
        Transience::Lasting => false,
        Transience::Unanswered | Transience::Ambiguous => true,
        Transience::Status(status) => TRANSIENT.contains(&status),
    }
}

/// Compare with the expected digest, if there is one.
fn check_digest(wanted: &Wanted<'_>, got: &str) -> Result<(), DownloadError> {
    match wanted.sha256.filter(|want| *want != got) {
        None => Ok(()),
        Some(want) => Err(DownloadError::Digest {
            file_name: wanted.file_name.to_string(),
            url: SafeUrl::parse(wanted.url),
            want: want.to_string(),
            got: got.to_string(),
        }),
    }
}

fn remove(path: &Path) -> Result<(), CacheError> {
    std::fs::remove_file(path).map_err(|source| CacheError {
        action: "remove",
        path: path.to_path_buf(),
        source,
    })
}

fn write_failure(path: &Path, source: io::Error) -> CacheError {
    CacheError { action: "write", path: path.to_path_buf(), source }
}

/// Which side of a copy failed.
enum Pump {
    Read(io::Error),
    Write(io::Error),
}

/// Copy all of `source` to `target`. Returns its SHA-256, lower-case hex. `moved` is called with the length of each
/// part.
fn pump(source: &mut impl Read, target: &mut impl Write, mut moved: impl FnMut(u64)) -> Result<String, Pump> {
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut hasher = Sha256::new();
    loop {
        let length = match source.read(&mut buffer) {
            Ok(0) => return Ok(hex(hasher.finalize())),
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Pump::Read(error)),
        };
        let part = &buffer[..length];
        hasher.update(part);
        target.write_all(part).map_err(Pump::Write)?;
        moved(length as u64);
    }
}

/// The SHA-256 of a file, lower-case hex.
///
/// # Errors
/// When it cannot be read.
pub fn sha256_of_file(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    pump(&mut file, &mut io::sink(), |_| ()).map_err(|failure| match failure {
        Pump::Read(error) | Pump::Write(error) => error,
    })
}
