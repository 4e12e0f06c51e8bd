//! Where a requirements file lies, and its bytes.

use crate::bounded_file::{self, TEXT_LIMIT_BYTES};
use crate::host::Host;
use crate::net::{Agent, Request, SafeUrl};
use crate::project::collect::error::CollectError;
use std::path::PathBuf;
use url::Url;

/// The longest requirements file that is fetched, in bytes.
const REMOTE_LIMIT_BYTES: u64 = 8 * 1024 * 1024;

/// Where a requirements file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    File(PathBuf),
    Remote(Url),
}

impl Source {
    /// For messages; without credentials.
    pub(super) fn shown(&self) -> PathBuf {
        match self {
            Source::File(path) => path.clone(),
            Source::Remote(url) => PathBuf::from(SafeUrl::from(url).to_string()),
        }
    }

    /// All of it.
    ///
    /// # Errors
    /// When it cannot be read or fetched, or is too long to be a requirements file.
    pub(super) fn bytes(&self, host: &Host) -> Result<Vec<u8>, CollectError> {
        match self {
            Source::File(path) => {
                bounded_file::read(path, TEXT_LIMIT_BYTES).map_err(CollectError::read(path))
            }
            Source::Remote(url) => fetch(url, host)
                .map_err(|source| CollectError::Fetch { url: SafeUrl::from(url), source: Box::new(source) }),
        }
    }
}

fn fetch(url: &Url, host: &Host) -> Result<Vec<u8>, crate::net::Error> {
    let response = Agent::new(host).send(Request::get(url))?;
    match response.status {
        200 => response.into_bytes(REMOTE_LIMIT_BYTES),
        _ => Err(response.status_error(host.clock.now())),
    }
}
