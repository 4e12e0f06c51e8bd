//! Where cached files are, and how they are written: to a temporary file in the same directory, which is then renamed.
//!
//! Layout below the cache directory. Every file is checked in each run before it is used: against the SHA-256 in its
//! path, the one in its first line ([`records`]) or a pinned one; the downloaded uv against its CRC-32.
//!
//! ```text
//! wheels/SHA256[0..2]/SHA256/NAME.whl    wheels as downloaded or built
//! bytecode/KEY/…                         bytecode of wheels for images
//! layers/KEY[0..2]/KEY/layer.tar.gz     layers of images, by what they follow from
//! blobs/DIGEST[0..2]/DIGEST              layers of base images
//! bases/DIGEST                           what is known of base images
//! built/KEY                              which wheel was built from what archive or commit; recipes of local packages
//! building/…                             scratch space of such builds
//! fingerprints/…                         chroot fingerprints by wheel digest
//! uv/VERSION/uv                          the fetched uv
//! environments/…                         managed Python environments
//! builds/PROJECT-HASH                    PEX files of deploys that name no directory for them
//! resolutions/…                          answers of uv's that still hold
//! ```
//!
//! Unfinished files have names that start with `.partial-`, in the directory of the finished file.

mod claims;
pub mod contents;
pub mod prune;
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
    /// The failed operation: `create`, `write`, `rename`, `lock`.
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
        Some(format!("set {} to a writable directory with free space", env_vars::PEXPRESS_CACHE_DIR))
    }
}

impl Cache {
    /// The cache directory according to the environment. Nothing is created yet.
    pub fn new(host: &Host) -> Cache {
        let root = host
            .path_var(env_vars::PEXPRESS_CACHE_DIR)
            .map(|dir| host.absolute(&dir))
            .or_else(|| {
                host.path_var(env_vars::XDG_CACHE_HOME)
                    // A relative value is invalid and must be ignored. Source: XDG Base Directory Specification.
                    .filter(|dir| dir.is_absolute())
                    .map(|dir| dir.join("pexpress"))
            })
            .or_else(|| host.path_var(env_vars::HOME).map(|home| home.join(".cache/pexpress")))
            .unwrap_or_else(|| host.temp_dir().join("pexpress-cache"));
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
        self.mark_in_use();
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

    /// Remove leftovers of killed runs ([`scratch::sweep`]).
    pub fn sweep(&self, now: SystemTime) {
        let below = |dir: &Path| {
            let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
            entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect::<Vec<_>>()
        };
        // The downloaded uv is one level deeper than everything else.
        for dir in below(&self.root).into_iter().chain(below(&self.root.join("uv"))) {
            scratch::sweep(&dir, now);
        }
    }

    /// Path of a wheel by its SHA-256 ([`is_sha256`]) and name ([`is_file_name`]), whether it exists or not. If it does,
    /// it is claimed ([`Cache::claim`]).
    pub fn wheel_path(&self, sha256: &str, file_name: &str) -> PathBuf {
        let entry = self.root.join("wheels").join(sha256.get(..2).unwrap_or_default()).join(sha256);
        self.claim(&entry);
        entry.join(file_name)
    }
}

/// Whether a text is a SHA-256 in lower-case hex, and therefore safe as a directory name.
pub fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Whether a text is a plain file name, without a path.
pub fn is_file_name(text: &str) -> bool {
    !matches!(text, "" | "." | "..")
        && !text.contains(|each: char| matches!(each, '/' | '\\') || each.is_control())
}

/// Write a file so that its final name never shows a part of it.
///
/// `write` fills a temporary file next to `path`, which is then renamed. On any failure the temporary file is removed.
///
/// # Errors
/// Those of the file system, and `write`'s own.
pub fn write_atomically<E: From<CacheError>>(
    path: &Path,
    write: impl FnOnce(&mut std::fs::File) -> Result<(), E>,
) -> Result<(), E> {
    write_by_way_of(path.parent().unwrap_or(Path::new(".")), path, write)
}

/// The same by way of a temporary file in another directory of the same file system, one that is swept.
///
/// # Errors
/// As for [`write_atomically`].
pub fn write_by_way_of<E: From<CacheError>>(
    dir: &Path,
    path: &Path,
    write: impl FnOnce(&mut std::fs::File) -> Result<(), E>,
) -> Result<(), E> {
    let mut file = temporary_in(dir)?;
    write(file.as_file_mut())?;
    Ok(persist(file, path)?)
}

/// A temporary file in `dir`, which is created if missing. It is deleted when dropped.
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
    // Another process may have removed the directory since the temporary file was made elsewhere.
    std::fs::create_dir_all(path.parent().unwrap_or(Path::new("."))).map_err(fail("create"))?;
    // tempfile creates files that only their owner can read, and other users may share the cache.
    set_default_mode(file.as_file()).map_err(fail("write"))?;
    file.persist(path).map_err(|error| fail("rename")(error.error))?;
    Ok(())
}

/// Temporary files are private (0600). A finished file may be read by everyone who can read the directory.
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
