//! Where cached files live, and how one is put there: written beside its final name, then renamed.
//!
//! Layout below the cache directory. Nothing is used before it was compared with a SHA-256 in this very run (the fetched
//! uv with its CRC-32): that in its path, that in its first line ([`records`]), or the pinned one.
//!
//! ```text
//! wheels/SHA256[0..2]/SHA256/NAME.whl    wheels as downloaded or built
//! built/KEY                              which wheel was built from what: archive, commit or local package
//! building/…                             scratch space of such builds
//! fingerprints/…                         chroot fingerprints by wheel digest
//! uv/VERSION/uv                          the fetched uv
//! environments/…                         managed Python environments
//! resolutions/…                          answers of uv's that still hold
//! ```
//!
//! What is not finished has a name that begins with `.partial-`, in the directory of what it will be.

mod records;

use crate::env_vars;
use crate::error::{Explain, Fault};
use crate::host::Host;
use crate::scratch::{self, Scratch};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use tempfile::NamedTempFile;

/// The cache directory of this user.
#[derive(Debug, Clone)]
pub struct Cache {
    root: PathBuf,
}

/// The cache cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("could not {action} `{path}`")]
pub struct CacheError {
    /// What was being done: `create`, `write`, `rename`.
    pub action: &'static str,
    /// To which file.
    pub path: PathBuf,
    /// Why it failed.
    #[source]
    pub source: io::Error,
}

impl Explain for CacheError {
    fn fault(&self) -> Fault {
        Fault::Tool
    }
    fn hint(&self) -> Option<String> {
        Some(format!("set {} to a directory that can be written and has room", env_vars::PEXPRESS_CACHE_DIR))
    }
}

impl Cache {
    /// The cache that the environment names; nothing is created yet.
    pub fn new(host: &Host) -> Cache {
        let root = host
            .path_var(env_vars::PEXPRESS_CACHE_DIR)
            .map(|dir| host.absolute(&dir))
            .or_else(|| {
                host.path_var(env_vars::XDG_CACHE_HOME)
                    .filter(|dir| dir.is_absolute())
                    .map(|dir| dir.join("pexpress"))
            })
            .or_else(|| host.path_var(env_vars::HOME).map(|home| home.join(".cache/pexpress")))
            .unwrap_or_else(|| std::env::temp_dir().join("pexpress-cache"));
        Cache { root }
    }

    /// The cache directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A directory below the cache, created if missing.
    ///
    /// # Errors
    /// When it cannot be created.
    pub fn dir(&self, relative: impl AsRef<Path>) -> Result<PathBuf, CacheError> {
        let path = self.root.join(relative);
        std::fs::create_dir_all(&path).map_err(|source| CacheError {
            action: "create",
            path: path.clone(),
            source,
        })?;
        Ok(path)
    }

    /// A temporary directory below a directory of the cache, which is created if missing.
    ///
    /// # Errors
    /// When it cannot be created.
    pub fn scratch(&self, relative: impl AsRef<Path>) -> Result<Scratch, CacheError> {
        let parent = self.dir(relative)?;
        Scratch::below(&parent).map_err(|source| CacheError { action: "create", path: parent, source })
    }

    /// Remove what killed runs left in the cache ([`scratch::sweep`]).
    pub fn sweep(&self, now: SystemTime) {
        let below = |dir: &Path| {
            let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
            entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect::<Vec<_>>()
        };
        for dir in below(&self.root).into_iter().chain(below(&self.root.join("uv"))) {
            scratch::sweep(&dir, now);
        }
    }

    /// Where a wheel is or will be kept, by its SHA-256 ([`is_sha256`]) and name ([`is_file_name`]).
    pub fn wheel_path(&self, sha256: &str, file_name: &str) -> PathBuf {
        self.root.join("wheels").join(sha256.get(..2).unwrap_or_default()).join(sha256).join(file_name)
    }
}

/// Whether a text is a SHA-256 as lower-case hex, and so does as the name of a directory.
pub fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Whether a text can be nothing but the name of a file in a directory.
pub fn is_file_name(text: &str) -> bool {
    !matches!(text, "" | "." | "..")
        && !text.contains(|each: char| matches!(each, '/' | '\\') || each.is_control())
}

/// Write a file so that its final name only ever shows the whole of it.
///
/// `write` fills a temporary file beside `path`, which is then renamed. On any failure the temporary file is removed.
///
/// # Errors
/// Those of the file system, and `write`'s own.
pub fn write_atomically<E: From<CacheError>>(
    path: &Path,
    write: impl FnOnce(&mut std::fs::File) -> Result<(), E>,
) -> Result<(), E> {
    let mut file = temporary_in(path.parent().unwrap_or(Path::new(".")))?;
    write(file.as_file_mut())?;
    Ok(persist(file, path)?)
}

/// A temporary file in `dir`, which is created if missing. It vanishes when dropped.
///
/// # Errors
/// Those of the file system.
pub fn temporary_in(dir: &Path) -> Result<NamedTempFile, CacheError> {
    let fail = |action| move |source| CacheError { action, path: dir.to_path_buf(), source };
    std::fs::create_dir_all(dir).map_err(fail("create"))?;
    scratch::file_in(dir).map_err(fail("write to"))
}

/// Give a finished temporary file its final name, on the same file system. Replaces a file of that name.
///
/// # Errors
/// Those of the file system.
pub fn persist(file: NamedTempFile, path: &Path) -> Result<(), CacheError> {
    let fail = |action| move |source| CacheError { action, path: path.to_path_buf(), source };
    std::fs::create_dir_all(path.parent().unwrap_or(Path::new("."))).map_err(fail("create"))?;
    set_default_mode(file.as_file()).map_err(fail("write"))?;
    file.persist(path).map_err(|error| fail("rename")(error.error))?;
    Ok(())
}

/// Temporary files are private (0600); a finished file is for all who may read the directory.
#[cfg(unix)]
fn set_default_mode(file: &std::fs::File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let mode = file.metadata()?.permissions().mode() & 0o7777;
    file.set_permissions(std::fs::Permissions::from_mode(mode | 0o644))
}

#[cfg(not(unix))]
fn set_default_mode(_: &std::fs::File) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_neither_file_nor_temporary() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sub/x.bin");
        let failed = write_atomically(&path, |_| {
            Err(CacheError { action: "write", path: "x".into(), source: io::Error::other("full") })
        });
        assert!(failed.is_err());
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 0);
    }
}
