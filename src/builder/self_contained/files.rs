//! All directories, files and links of a package's directory, with the digests of files.
//!
//! Contents are read, not only sizes and times: a checkout, a restored cache or `cp -p` can change contents without
//! changing these. This is fast because files are hashed on all processors, and because a directory with more than
//! [`MOST_FILES`] or [`MOST_BYTES`] (such as a large environment) is not read: building is faster then.

use crate::builder::in_parallel;
use crate::builder::left_out::is_never_shipped;
use crate::builder::package_files::Fingerprint;
use crate::builder::parallelism;
use crate::executable::is_executable;
use crate::pex::is_bytecode;
use flate2::Crc;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet, HashMap};
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

pub(in crate::builder) type Sha256Digest = [u8; 32];

/// What is in a directory. Links to files are files too.
#[derive(Debug, Clone)]
pub(in crate::builder) struct Files {
    files: BTreeMap<PathBuf, Seen>,
    /// Backends look for packages by directories, even empty ones.
    directories: BTreeSet<PathBuf>,
}

/// A file or link.
#[derive(Debug, Clone)]
pub(in crate::builder) struct Seen {
    /// The target as written in a link; `None` for a file.
    link: Option<PathBuf>,
    /// Whether it is a link to a directory, which has no content of its own.
    is_dir: bool,
    /// Whether it may be executed.
    pub(super) executable: bool,
    /// Digest of the content; zeros for a link to a directory.
    pub(in crate::builder) digest: Sha256Digest,
    /// Size and CRC-32 of the content.
    pub(in crate::builder) fingerprint: Fingerprint,
}

impl Files {
    /// Read all files below `root`, which must be canonical. `None` when one cannot be read, is neither a file nor a
    /// directory, or is a link that is broken or leads out of `root`, and when there are too many.
    pub(super) fn read(root: &Path) -> Option<Files> {
        let mut listing = Listing { root, bytes: 0, found: Vec::new(), directories: BTreeSet::new() };
        listing.directory(root)?;
        let contents = in_parallel(&listing.found, parallelism(), |found| match found.is_dir {
            true => Some((Sha256Digest::default(), (0, 0))),
            false => content(&found.path),
        });
        let files = listing.found.into_iter().zip(contents).map(|(found, content)| {
            let path = found.path.strip_prefix(root).ok()?.to_path_buf();
            let Found { link, executable, is_dir, .. } = found;
            let (digest, fingerprint) = content?;
            Some((path, Seen { link, is_dir, executable, digest, fingerprint }))
        });
        Some(Files { files: files.collect::<Option<_>>()?, directories: listing.directories })
    }

    /// Add names, modes, links and contents to a digest; of files for which `is_free` returns true, not the content.
    /// Directories of bytecode are added only `with_caches`.
    pub(super) fn update(
        &self,
        digest: &mut Sha256,
        with_caches: bool,
        is_free: impl Fn(&Path, &Seen) -> bool,
    ) {
        for (path, seen) in &self.files {
            digest.update(path.as_os_str().as_encoded_bytes());
            // The zero byte ends the path, so that two different trees never give the same input.
            digest.update([0, u8::from(seen.executable), u8::from(seen.link.is_some())]);
            if let Some(link) = &seen.link {
                digest.update(link.as_os_str().as_encoded_bytes());
                digest.update([0]);
            }
            let is_free = is_free(path, seen);
            digest.update([u8::from(is_free)]);
            if !is_free {
                digest.update(seen.digest);
            }
        }
        for path in self.directories.iter().filter(|path| with_caches || !path.ends_with("__pycache__")) {
            digest.update(path.as_os_str().as_encoded_bytes());
            digest.update([0]);
        }
    }

    /// The file with this path, with `/`.
    pub(in crate::builder) fn get(&self, path: &str) -> Option<&Seen> {
        // A path with `//` or `.` in it is equal to another one as a path.
        self.files
            .get_key_value(Path::new(path))
            .filter(|(own, seen)| is_text(own, path) && !seen.is_dir)
            .map(|(_, seen)| seen)
    }

    /// The paths of all files by content, those that are text and have `/` between names.
    pub(in crate::builder) fn by_content(&self) -> HashMap<Sha256Digest, Vec<&str>> {
        let mut found: HashMap<_, Vec<&str>> = HashMap::new();
        for (path, seen) in self.files.iter().filter(|(_, seen)| !seen.is_dir) {
            if let Some(path) = path.to_str() {
                found.entry(seen.digest).or_default().push(path);
            }
        }
        found
    }
}

fn is_text(path: &Path, text: &str) -> bool {
    path.to_str() == Some(text)
}

struct Listing<'a> {
    root: &'a Path,
    bytes: u64,
    found: Vec<Found>,
    directories: BTreeSet<PathBuf>,
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
            // Bytecode changes whenever the package is imported, and credentials that Google's login action leaves in the
            // checkout have another name in each job.
            // Some backends ship whatever else is there.
            if kind.is_dir() && name == "__pycache__" && !has_bytecode_alone(&path) {
                return None;
            }
            if is_bytecode(&name) || NOT_READ.contains(&&*name) || (!kind.is_dir() && is_never_shipped(&name))
            {
                continue;
            }
            if kind.is_dir() {
                self.directories.insert(path.strip_prefix(self.root).ok()?.to_path_buf());
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

fn has_bytecode_alone(directory: &Path) -> bool {
    let mut entries = fs::read_dir(directory).into_iter().flatten();
    entries.all(|entry| entry.is_ok_and(|entry| is_bytecode(&entry.file_name().to_string_lossy())))
}

fn content(path: &Path) -> Option<(Sha256Digest, Fingerprint)> {
    let mut file = File::open(path).ok()?;
    let (mut digest, mut crc, mut buffer) = (Sha256::new(), Crc::new(), vec![0; 64 * 1024]);
    let mut size_bytes = 0;
    loop {
        match file.read(&mut buffer).ok()? {
            0 => return Some((digest.finalize().into(), (size_bytes, crc.sum()))),
            count => {
                size_bytes += count as u64;
                digest.update(&buffer[..count]);
                crc.update(&buffer[..count]);
            }
        }
    }
}
