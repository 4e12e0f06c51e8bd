//! All files and links of a package's directory, with their digests.
//!
//! Contents are read, not only sizes and times: a checkout, a restored cache or `cp -p` can change contents without
//! changing these. This is fast because files are hashed on all processors, and because a directory with more than
//! [`MOST_FILES`] or [`MOST_BYTES`] (such as a large environment) is not read: building is faster then.

use crate::builder::in_parallel;
use crate::builder::parallelism;
use crate::executable::is_executable;
use crate::pex::is_bytecode;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

/// More files are not read.
const MOST_FILES: usize = 30_000;
/// More bytes are not read.
const MOST_BYTES: u64 = 400 << 20;
/// Directories of repositories. Backends take no files from them; a wheel with such a file is not cached, because each
/// member must come from a file that was read.
const NOT_READ: [&str; 2] = [".git", ".hg"];

type Sha256Digest = [u8; 32];

/// The files of a directory, including links to files.
#[derive(Debug)]
pub(super) struct Files(BTreeMap<PathBuf, Seen>);

#[derive(Debug)]
struct Seen {
    /// The target as written in a link; `None` for a file.
    link: Option<PathBuf>,
    executable: bool,
    /// Digest of the content; zeros for a link to a directory.
    digest: Sha256Digest,
}

impl Files {
    /// Read all files below `root`, which must be canonical. `None` when one cannot be read, is neither a file nor a
    /// directory, or is a link that is broken or leads out of `root`, and when there are too many.
    pub(super) fn read(root: &Path) -> Option<Files> {
        let mut listing = Listing { root, bytes: 0, found: Vec::new() };
        listing.directory(root)?;
        let digests = in_parallel(&listing.found, parallelism(), |found| match found.is_dir {
            true => Some(Sha256Digest::default()),
            false => digest(&found.path),
        });
        let files = listing.found.into_iter().zip(digests).map(|(found, digest)| {
            let path = found.path.strip_prefix(root).ok()?.to_path_buf();
            Some((path, Seen { link: found.link, executable: found.executable, digest: digest? }))
        });
        files.collect::<Option<_>>().map(Files)
    }

    /// Add names, modes, links and contents to a digest.
    pub(super) fn update(&self, digest: &mut Sha256) {
        for (path, seen) in &self.0 {
            digest.update(path.as_os_str().as_encoded_bytes());
            // The zero byte ends the path, so that two different trees never give the same input.
            digest.update([0, u8::from(seen.executable), u8::from(seen.link.is_some())]);
            if let Some(link) = &seen.link {
                digest.update(link.as_os_str().as_encoded_bytes());
                digest.update([0]);
            }
            digest.update(seen.digest);
        }
    }

    /// Whether there is a file with this content and with a path that is, or ends with, `path` (with `/`).
    pub(super) fn have(&self, path: &str, digest: &Sha256Digest) -> bool {
        self.0.iter().any(|(own, seen)| seen.digest == *digest && own.ends_with(path))
    }
}

struct Listing<'a> {
    root: &'a Path,
    bytes: u64,
    found: Vec<Found>,
}

struct Found {
    path: PathBuf,
    link: Option<PathBuf>,
    executable: bool,
    is_dir: bool,
}

impl Listing<'_> {
    fn directory(&mut self, directory: &Path) -> Option<()> {
        for entry in fs::read_dir(directory).ok()? {
            let entry = entry.ok()?;
            let (name, path, kind) = (entry.file_name(), entry.path(), entry.file_type().ok()?);
            let name = name.to_string_lossy();
            // Bytecode changes whenever the package is imported.
            if is_bytecode(&name) || NOT_READ.contains(&&*name) {
                continue;
            }
            if kind.is_dir() {
                self.directory(&path)?;
            } else {
                self.file(path, kind.is_symlink())?;
            }
        }
        Some(())
    }

    fn file(&mut self, path: PathBuf, is_link: bool) -> Option<()> {
        let link = match is_link {
            true => Some(self.link_inside(&path)?),
            false => None,
        };
        let metadata = fs::metadata(&path).ok()?;
        if !(metadata.is_file() || is_link && metadata.is_dir()) {
            return None;
        }
        if metadata.is_file() {
            self.bytes += metadata.len();
        }
        let (executable, is_dir) = (is_executable(&metadata), metadata.is_dir());
        self.found.push(Found { path, link, executable, is_dir });
        (self.found.len() <= MOST_FILES && self.bytes <= MOST_BYTES).then_some(())
    }

    /// The target as written in a link that leads to a path inside the directory, where it is read anyway.
    fn link_inside(&self, path: &Path) -> Option<PathBuf> {
        path.canonicalize().ok().filter(|target| target.starts_with(self.root))?;
        fs::read_link(path).ok()
    }
}

fn digest(path: &Path) -> Option<Sha256Digest> {
    let mut file = File::open(path).ok()?;
    let (mut digest, mut buffer) = (Sha256::new(), vec![0; 64 * 1024]);
    loop {
        match file.read(&mut buffer).ok()? {
            0 => return Some(digest.finalize().into()),
            count => digest.update(&buffer[..count]),
        }
    }
}
