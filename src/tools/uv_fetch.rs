//! Fetches the pinned uv: its wheel from a package index, the executable in it into the cache.
//!
//! Our own client asks the sources in [`PackageSources`]. pip downloads the wheel only where that fails. Whoever fetched
//! it, its SHA-256 has to be the pinned one.

use super::Error;
use super::package_sources::PackageSources;
use super::uv_by_pip::{self, Failure};
use super::uv_pins::{self, Pin};
use crate::cache::{Cache, CacheError, write_atomically};
use crate::error::{Explain, Fault, error_text};
use crate::executable::make_executable;
use crate::host::Host;
use crate::net::download::{DownloadError, Downloader, Wanted, sha256_of_file};
use crate::net::{Agent, Credentials, SafeUrl, Silent};
use crate::simple_index::{IndexError, IndexFile, SimpleIndex};
use flate2::Crc;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use url::Url;

const BUFFER_BYTES: usize = 128 * 1024;

/// Our own client could not get uv's wheel.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // the field names say it
pub enum UvFetchError {
    #[error(transparent)]
    Index(#[from] IndexError),
    #[error(transparent)]
    Download(#[from] DownloadError),
    /// A setting names an index by something that our client cannot ask.
    #[error("{variable} is not the http or https URL of a package index")]
    Setting { variable: &'static str },
    /// The index was read, and does not have the pinned file.
    #[error("{index} has no uv {} for {platform} with the pinned SHA-256 {sha256}", uv_pins::VERSION)]
    NotOffered { index: SafeUrl, platform: &'static str, sha256: &'static str },
}

impl Explain for UvFetchError {
    fn fault(&self) -> Fault {
        match self {
            UvFetchError::Index(error) => error.fault(),
            UvFetchError::Download(error) => error.fault(),
            UvFetchError::Setting { .. } => Fault::Usage,
            UvFetchError::NotOffered { .. } => Fault::Remote,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            UvFetchError::Index(error) => error.hint(),
            UvFetchError::Download(error) => error.hint(),
            UvFetchError::Setting { .. } => {
                Some("write the whole URL, such as https://HOST/simple; or install uv".into())
            }
            UvFetchError::NotOffered { .. } => None,
        }
    }
}

/// Fetch uv to `path`.
pub(super) fn fetch(host: &Host, cache: &Cache, pin: &'static Pin, path: &Path) -> Result<(), Error> {
    host.note(format!("fetching uv {}", uv_pins::VERSION));
    let own = match by_ourselves(host, pin) {
        Ok(Some(wheel)) => return unpack(wheel.as_file(), pin, path),
        // Another way would bring the same file, or hide that someone changed it.
        Err(UvFetchError::Download(DownloadError::Digest { file_name, got, .. })) => {
            return Err(Error::Checksum { file: file_name, want: pin.wheel_sha256, got });
        }
        Ok(None) => None,
        Err(error) => Some(error),
    };
    if let Some(error) = &own {
        host.detail(format!("trying pip: {}", error_text(error, false)));
    }
    let temporary = cache.scratch("uv")?;
    let wheel = match (uv_by_pip::download(host, pin, temporary.path()), own) {
        (Ok(wheel), _) => wheel,
        (Err(_), Some(source)) => {
            return Err(Error::FetchUv { version: uv_pins::VERSION, source: Box::new(source) });
        }
        (Err(Failure::NoPip), None) => return Err(Error::NoUv),
        (Err(Failure::Failed(source)), None) => {
            return Err(Error::Fetch { version: uv_pins::VERSION, source });
        }
    };
    let fail = |source| CacheError { action: "read", path: wheel.clone(), source };
    let got = sha256_of_file(&wheel).map_err(fail)?;
    // pip may use an index of the user, so its digest check proves nothing.
    if got != pin.wheel_sha256 {
        let file = wheel.file_name().unwrap_or_default().to_string_lossy().into_owned();
        return Err(Error::Checksum { file, want: pin.wheel_sha256, got });
    }
    unpack(&File::open(&wheel).map_err(fail)?, pin, path)
}

/// The wheel, verified; `None` if no source is known. The error is that of the first source that failed.
fn by_ourselves(host: &Host, pin: &'static Pin) -> Result<Option<tempfile::NamedTempFile>, UvFetchError> {
    let sources = PackageSources::read(host);
    let agent = Agent::new(&sources.host);
    let credentials = sources.credentials();
    let index = SimpleIndex::new(&sources.host, &agent, credentials.clone());
    let client = Client { downloader: Downloader::new(&sources.host, &agent), credentials, index, pin };
    for directory in sources.directories() {
        if let Some(wheel) = client.in_directory(&directory)? {
            return Ok(Some(wheel));
        }
    }
    let default = || sources.default_index().into_iter();
    // The default index is only looked up when the settings' own pages and indexes come after it.
    let indexes = default().chain(sources.further_indexes()).map(|url| (url, true));
    let mut first_error = None;
    for (url, is_index) in indexes.chain(sources.pages().map(|url| (url, false))) {
        match client.on_page(&url, is_index) {
            Ok(wheel) => return Ok(Some(wheel)),
            Err(error @ UvFetchError::Download(DownloadError::Digest { .. })) => return Err(error),
            Err(error) => drop(first_error.get_or_insert(error)),
        }
    }
    let unusable = || sources.unusable_default().map(|variable| UvFetchError::Setting { variable });
    first_error.or_else(unusable).map_or(Ok(None), Err)
}

struct Client {
    downloader: Downloader,
    credentials: Credentials,
    index: SimpleIndex,
    pin: &'static Pin,
}

impl Client {
    /// The wheel from an index, or a page with links.
    fn on_page(&self, url: &Url, is_index: bool) -> Result<tempfile::NamedTempFile, UvFetchError> {
        let is_wanted = |name: &str| self.pin.names(name);
        let files = match is_index {
            true => self.index.files(url, "uv", &is_wanted)?,
            false => self.index.page(url, "uv", &is_wanted)?,
        };
        // A file whose digest the index does not say is checked when it is here.
        let fits =
            |file: &&IndexFile| file.sha256.as_deref().is_none_or(|digest| digest == self.pin.wheel_sha256);
        let Some(file) = files.iter().find(fits) else {
            return Err(UvFetchError::NotOffered {
                index: SafeUrl::from(url),
                platform: self.pin.platform_tag,
                sha256: self.pin.wheel_sha256,
            });
        };
        self.get(&file.file_name, &file.url, file.size_bytes)
    }

    /// The wheel from a directory that has it.
    fn in_directory(&self, directory: &Path) -> Result<Option<tempfile::NamedTempFile>, UvFetchError> {
        let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
        let mut names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        let Some(name) = names.find(|name| self.pin.names(name)) else { return Ok(None) };
        match Url::from_file_path(directory.join(&name)) {
            Ok(url) => self.get(&name, url.as_str(), None).map(Some),
            Err(()) => Ok(None),
        }
    }

    fn get(
        &self,
        file_name: &str,
        url: &str,
        size: Option<u64>,
    ) -> Result<tempfile::NamedTempFile, UvFetchError> {
        // The wheel is a compressed executable and a few texts: an endless answer ends here and not on a full disk.
        let most = self.pin.uv_size_bytes;
        let size_bytes = Some(size.map_or(most, |size| size.min(most)));
        let wanted = Wanted { file_name, url, sha256: Some(self.pin.wheel_sha256), size_bytes };
        Ok(self.downloader.get_once(&wanted, &self.credentials, &Silent)?)
    }
}

/// Store the executable in a verified wheel at `path`. It is never in memory as a whole.
fn unpack(wheel: &File, pin: &Pin, path: &Path) -> Result<(), Error> {
    let fail = |action| move |source| CacheError { action, path: path.into(), source };
    let mut archive = zip::ZipArchive::new(wheel).map_err(|error| fail("unpack")(io::Error::other(error)))?;
    let name = format!("uv-{}.data/scripts/uv", uv_pins::VERSION);
    let mut member = archive.by_name(&name).map_err(|error| fail("unpack")(io::Error::other(error)))?;
    write_atomically(path, |file| {
        let copied = copy(&mut member, file).map_err(fail("unpack"))?;
        if copied != (pin.uv_crc32, pin.uv_size_bytes) {
            return Err(Error::PinBroken);
        }
        make_executable(file).map_err(fail("write"))?;
        Ok(())
    })
}

/// Copy all of `source`; its CRC-32 and length.
fn copy(source: &mut impl Read, target: &mut impl Write) -> io::Result<(u32, u64)> {
    let mut buffer = vec![0; BUFFER_BYTES];
    let (mut crc, mut length) = (Crc::new(), 0);
    loop {
        match source.read(&mut buffer)? {
            0 => return Ok((crc.sum(), length)),
            count => {
                crc.update(&buffer[..count]);
                target.write_all(&buffer[..count])?;
                length += count as u64;
            }
        }
    }
}
