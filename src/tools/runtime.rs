//! The PEX runtime: the pinned wheel of pex. Its modules go into `.bootstrap/` of every PEX.
//!
//! uv finds the URL of the wheel, so that it comes from the user's own index; our downloader downloads and verifies it.
//! If the wheel is in the cache, no index is asked.

use super::environment::EnvironmentRequest;
use super::uv::Settings;
use super::{CompileRequest, Error, Tools};
use crate::cache::{CacheError, write_atomically};
use crate::hex::hex;
use crate::host::Host;
use crate::net::download::{DownloadError, Downloader, Wanted, sha256_of_file};
use crate::net::{Agent, Credentials, Silent};
use crate::pex::{self, PEX_VERSION, PexError, WHEEL_FILE_NAME, WHEEL_SHA256};
use crate::target::{PythonVersion, Target};
use crate::threads::lock;
use sha2::{Digest, Sha256};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Mutex;
use std::thread::JoinHandle;
use toml::{Table, Value};
use url::Url;

/// The PEX runtime is not available.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// The index does not have the release, or has a different file.
    #[error("the package index offers no `{WHEEL_FILE_NAME}` with the pinned SHA-256 {WHEEL_SHA256}")]
    NotOffered,
    /// It could not be fetched.
    #[error("could not fetch the PEX runtime")]
    Download(#[source] DownloadError),
    /// Its files could not be read from where they come from.
    #[error("could not unpack the PEX runtime")]
    Unpack(#[source] PexError),
    /// The index could not be read.
    #[error("could not find the PEX runtime, pex {PEX_VERSION}, on the package index")]
    Find(#[source] super::UvError),
}

/// Held while the archive is made, which takes some tenths of a second: whoever comes second finds it in the cache.
static MAKING: Mutex<()> = Mutex::new(());

/// The archive of the PEX runtime, made in another thread from the files that this program brings along. The end of
/// this value waits for it, so that no file is left half-written.
pub struct EarlyRuntime(Option<JoinHandle<()>>);

impl EarlyRuntime {
    /// Begin. A program without these files waits until the runtime is needed.
    pub fn make(host: &Host) -> EarlyRuntime {
        let host = host.clone();
        let make = move || {
            // Whoever needs it gets the same error.
            let tell = |error: Error| host.detail(format!("{error}; trying again when it is needed"));
            Tools::new(&host).pex_runtime_archive().map_or_else(tell, drop);
        };
        EarlyRuntime(pex::is_embedded().then(|| std::thread::spawn(make)))
    }
}

impl Drop for EarlyRuntime {
    fn drop(&mut self) {
        // A panic there was reported when it happened.
        self.0.take().map(JoinHandle::join);
    }
}

impl Tools {
    /// The files of the PEX runtime as one archive in the cache, with their digest checked. They are those that this
    /// program brings along, or else those of the wheel.
    ///
    /// # Errors
    /// Those of [`Tools::pex_runtime`], and of writing to the cache.
    pub fn pex_runtime_archive(&self) -> Result<PathBuf, Error> {
        let _one_at_a_time = lock(&MAKING);
        // The number changes when the same files lead to other bytes.
        let name = format!("runtime/pex-{PEX_VERSION}-1");
        let path = self.cache().root().join(format!("{name}.zip"));
        let known = self.cache().recall(&name);
        if known.is_some_and(|digest| sha256_of_file(&path).is_ok_and(|found| found == digest)) {
            return Ok(path);
        }
        let archive = match pex::archive_of_embedded() {
            Some(archive) => archive,
            None => pex::archive_of_wheel(&self.pex_runtime()?),
        };
        let archive = archive.map_err(RuntimeError::Unpack)?;
        write_atomically::<CacheError>(&path, |file| {
            file.write_all(&archive).map_err(|source| CacheError {
                action: "write",
                path: path.clone(),
                source,
            })
        })?;
        self.cache().keep(&name, &hex(Sha256::digest(&archive)))?;
        Ok(path)
    }

    /// The verified wheel of pex in the cache, downloaded at first use.
    ///
    /// # Errors
    /// When it is not in the cache and cannot be downloaded, or its digest is not the pinned one.
    pub fn pex_runtime(&self) -> Result<PathBuf, Error> {
        let path = self.cache().wheel_path(WHEEL_SHA256, WHEEL_FILE_NAME);
        match sha256_of_file(&path) {
            Ok(found) if found == WHEEL_SHA256 => return Ok(path),
            Ok(_) => self.host().note(format!("`{}` is damaged; fetching it again", path.display())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(CacheError { action: "read", path, source }.into()),
        }
        let url = self.pex_url()?;
        let downloader = Downloader::new(self.host(), &Agent::new(self.host()));
        // The index may be a private mirror.
        let credentials = Credentials::new(self.host(), &self.uv()?.pip_config().index_urls());
        let wanted =
            Wanted { file_name: WHEEL_FILE_NAME, url: &url, sha256: Some(WHEEL_SHA256), size_bytes: None };
        let stored = downloader.get(&wanted, &credentials, &Silent).map_err(RuntimeError::Download)?;
        Ok(stored.path)
    }

    /// The interpreter of an environment with the pinned pex. Its `pex.tools` unpack a PEX like an agent.
    ///
    /// # Errors
    /// When there is no such Python, or pex cannot be installed.
    pub fn pex_tools(&self, python: PythonVersion) -> Result<PathBuf, Error> {
        let wheel = self.pex_runtime()?;
        let address =
            url::Url::from_file_path(&wheel).map_or_else(|()| wheel.display().to_string(), String::from);
        let request = EnvironmentRequest {
            name: "pex-tools".to_string(),
            requirements: vec![format!("pex @ {address}")],
        };
        self.environment(&request, Some(python))
    }

    fn pex_url(&self) -> Result<String, Error> {
        let target = Target::serverless(PythonVersion::DEFAULT);
        let mut request = CompileRequest::new(vec![format!("pex=={PEX_VERSION}")], target);
        // pex has no dependencies, so nothing else is needed from the index.
        request.no_dependencies = true;
        request.only_binary = vec!["pex".into()];
        let lock = self.uv()?.compile_with(&request, Settings::IndexOnly).map_err(RuntimeError::Find)?;
        Ok(pinned_url(&lock).ok_or(RuntimeError::NotOffered)?)
    }
}

/// The URL of the wheel with the pinned digest in a `pylock.toml`.
fn pinned_url(lock: &str) -> Option<String> {
    let lock: Table = lock.parse().ok()?;
    let wheels = lock.get("packages")?.get(0)?.get("wheels")?.as_array()?;
    let pinned = |wheel: &&Value| {
        wheel.get("hashes").and_then(|hashes| hashes.get("sha256")).and_then(Value::as_str)
            == Some(WHEEL_SHA256)
    };
    let wheel = wheels.iter().find(pinned)?;
    let text = |key: &str| wheel.get(key).and_then(Value::as_str);
    // A wheel from `find-links` has a path instead of a URL.
    let path = || Url::from_file_path(text("path")?).ok().map(String::from);
    text("url").map(String::from).or_else(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_wheel_with_the_pinned_digest_is_taken() {
        let lock = |wheels: &str| pinned_url(&format!("[[packages]]\nname = \"pex\"\nwheels = [{wheels}]\n"));
        let pinned = format!("hashes = {{ sha256 = \"{WHEEL_SHA256}\" }}");
        for (wheels, want) in [
            (format!("{{ url = \"https://h/a.whl\", {pinned} }}"), Some("https://h/a.whl")),
            (
                format!(
                    "{{ url = \"https://h/b.whl\", hashes = {{}} }}, {{ path = \"/w/a.whl\", {pinned} }}"
                ),
                Some("file:///w/a.whl"),
            ),
            ("{ url = \"https://h/a.whl\", hashes = { sha256 = \"00\" } }".into(), None),
            ("{ url = \"https://h/a.whl\" }".into(), None),
        ] {
            assert_eq!(lock(&wheels).as_deref(), want, "{wheels}");
        }
        assert_eq!(pinned_url("lock-version = '1.0'"), None);
    }
}
