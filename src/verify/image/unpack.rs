//! Unpacks layers into a directory. The layers may be anybody's: nothing is written outside of the directory.
//!
//! Source: OCI image specification, layer.md, "Applying Changesets" and "Whiteouts".

use crate::executable::make_executable;
use crate::image::tar::{Entries, Found, FoundKind, TarError};
use crate::image::unpacked::unpacked;
use sha2::{Digest as _, Sha256};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

const WHITEOUT: &str = ".wh.";
const OPAQUE: &str = ".wh..wh..opq";
const BUFFER_BYTES: usize = 128 * 1024;
/// How many links are followed for one path, as by Linux.
const MOST_LINKS: usize = 40;
/// More entries than any image has.
const MOST_ENTRIES: u64 = 4_000_000;
/// Larger images are refused.
const MOST_BYTES: u64 = 64 << 30;
/// Layers may unpack to this many times their own size, beyond [`FREE_BYTES`]. Those of real images stay below 20; gzip
/// reaches 1032.
const MOST_RATIO: u64 = 200;
/// Up to this size the ratio does not matter: unpacking takes seconds.
const FREE_BYTES: u64 = 1 << 30;

/// Why a layer cannot be unpacked.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // the messages say what the fields are
pub enum UnpackError {
    #[error(transparent)]
    Tar(#[from] TarError),
    #[error("`{path}` would be written outside of the image")]
    Outside { path: String },
    #[error("`{path}` cannot be followed: it has too many links")]
    Links { path: String },
    #[error("the layers of the image have more than {MOST_ENTRIES} files")]
    Files,
    #[error("the layers so far have {} MB, and unpack to more than {} MB", packed_bytes >> 20, most_bytes >> 20)]
    Huge { packed_bytes: u64, most_bytes: u64 },
    #[error("could not write `{path}`")]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// Where a path of the image goes, relative to the directory; `None` for what is not needed.
pub type Place<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// A directory that layers are unpacked into, from the lowest to the highest.
pub struct Root<'a> {
    directory: PathBuf,
    place: &'a Place<'a>,
    entries: u64,
    /// Bytes of the layers so far, as they are stored.
    packed_bytes: u64,
    /// The same without compression, less what is still to come of the layer that is read.
    bytes: u64,
    free_bytes: u64,
}

impl<'a> Root<'a> {
    /// An existing, empty directory.
    pub fn new(directory: &Path, place: &'a Place<'a>) -> Root<'a> {
        let directory = directory.to_path_buf();
        Root { directory, place, entries: 0, packed_bytes: 0, bytes: 0, free_bytes: FREE_BYTES }
    }

    /// Unpack a layer that is stored in `packed_bytes`. Returns the SHA-256 of the archive without compression, hex.
    ///
    /// # Errors
    /// When it is damaged or hostile, or the directory cannot be written.
    pub fn layer(&mut self, layer: impl Read, packed_bytes: u64) -> Result<Sha256, UnpackError> {
        self.packed_bytes = self.packed_bytes.saturating_add(packed_bytes);
        let by_ratio = self.packed_bytes.saturating_mul(MOST_RATIO).saturating_add(self.free_bytes);
        let most_bytes = by_ratio.min(MOST_BYTES);
        let left = most_bytes.saturating_sub(self.bytes);
        let archive = unpacked(layer).map_err(TarError::from)?;
        let mut hashed = Hashed { inner: archive, hash: Sha256::new(), bytes: 0, most_bytes: left };
        let outcome = self.archive(&mut hashed);
        self.bytes = self.bytes.saturating_add(hashed.bytes);
        match outcome {
            Ok(true) if hashed.bytes <= left => Ok(hashed.hash),
            Err(error) if hashed.bytes <= left => Err(error),
            _ => Err(UnpackError::Huge { packed_bytes: self.packed_bytes, most_bytes }),
        }
    }

    /// Unpack an archive; `false` if an entry says that it is larger than may be read.
    fn archive(&mut self, archive: &mut Hashed<impl Read>) -> Result<bool, UnpackError> {
        let most_bytes = archive.most_bytes;
        let mut entries = Entries::new(&mut *archive);
        while let Some(entry) = entries.next()? {
            self.entries += 1;
            if self.entries > MOST_ENTRIES {
                return Err(UnpackError::Files);
            }
            // Before anything of it is written.
            if entry.size_bytes > most_bytes {
                return Ok(false);
            }
            self.entry(&entry, &mut entries)?;
        }
        // Padding after the end of the archive counts for its digest.
        io::copy(archive, &mut io::sink()).map_err(TarError::from)?;
        Ok(true)
    }

    fn entry(&mut self, entry: &Found, entries: &mut Entries<impl Read>) -> Result<(), UnpackError> {
        if entry.path.split('/').any(|part| part == "..") {
            return Err(UnpackError::Outside { path: entry.path.clone() });
        }
        let (directory, name) = entry.path.rsplit_once('/').unwrap_or(("", &entry.path));
        if name == OPAQUE {
            return self.empty(directory);
        }
        if let Some(removed) = name.strip_prefix(WHITEOUT) {
            let path =
                if directory.is_empty() { removed.to_string() } else { format!("{directory}/{removed}") };
            return match self.existing(&path)? {
                Some(path) => remove(&path),
                None => Ok(()),
            };
        }
        let Some(relative) = (self.place)(&entry.path).filter(|relative| !relative.is_empty()) else {
            return Ok(());
        };
        let path = self.with_parents(&relative)?;
        self.write(entry, &path, entries)
    }

    fn write(&self, entry: &Found, path: &Path, entries: &mut Entries<impl Read>) -> Result<(), UnpackError> {
        let fail = |source| UnpackError::Write { path: path.to_path_buf(), source };
        let is_directory = |path: &Path| path.symlink_metadata().is_ok_and(|data| data.is_dir());
        if entry.kind == FoundKind::Directory {
            if is_directory(path) {
                return Ok(());
            }
            remove(path)?;
            return fs::create_dir(path).map_err(fail);
        }
        // The source of a hard link may be what it replaces.
        let linked = match &entry.kind {
            FoundKind::HardLink(target) => match self.existing(target)? {
                Some(target) if target == path => return Ok(()),
                Some(target) if target.symlink_metadata().is_ok_and(|data| data.is_file()) => Some(target),
                _ => return Err(UnpackError::Outside { path: target.clone() }),
            },
            _ => None,
        };
        remove(path)?;
        match &entry.kind {
            FoundKind::Link(target) => symlink(target, path).map_err(fail),
            FoundKind::HardLink(_) => match linked {
                Some(target) => fs::hard_link(target, path).map_err(fail),
                None => Ok(()),
            },
            FoundKind::File => {
                let mut file = OpenOptions::new().write(true).create_new(true).open(path).map_err(fail)?;
                let mut buffer = vec![0; BUFFER_BYTES];
                let mut left = entry.size_bytes;
                while left > 0 {
                    let read = entries.content(&mut buffer).map_err(TarError::from)?;
                    file.write_all(&buffer[..read]).map_err(fail)?;
                    left -= read as u64;
                }
                if entry.mode & 0o111 != 0 { make_executable(&file).map_err(fail) } else { Ok(()) }
            }
            FoundKind::Directory | FoundKind::Other => Ok(()),
        }
    }

    /// The path below the directory, with its parents made. Links in the middle are followed as in the image.
    fn with_parents(&self, relative: &str) -> Result<PathBuf, UnpackError> {
        let (parent, name) = relative.rsplit_once('/').unwrap_or(("", relative));
        let parent = self.resolved(parent, true)?;
        let path = parent.unwrap_or_else(|| self.directory.clone()).join(name);
        Ok(path)
    }

    /// The path of something that exists, its last part not followed.
    fn existing(&self, path: &str) -> Result<Option<PathBuf>, UnpackError> {
        if path.split('/').any(|part| part == "..") {
            return Err(UnpackError::Outside { path: path.to_string() });
        }
        let Some(relative) = (self.place)(path).filter(|relative| !relative.is_empty()) else {
            return Ok(None);
        };
        let (parent, name) = relative.rsplit_once('/').unwrap_or(("", &relative));
        let found = self.resolved(parent, false)?.map(|parent| parent.join(name));
        Ok(found.filter(|path| path.symlink_metadata().is_ok()))
    }

    /// A directory of the image by its path, links followed within the image. `makes` creates what is missing.
    fn resolved(&self, path: &str, makes: bool) -> Result<Option<PathBuf>, UnpackError> {
        let mut todo: Vec<String> = path.split('/').rev().map(String::from).collect();
        let mut found: Vec<String> = Vec::new();
        let mut links = 0;
        while let Some(part) = todo.pop() {
            match part.as_str() {
                "" | "." => continue,
                ".." => {
                    found.pop();
                    continue;
                }
                _ => {}
            }
            let here = self.directory.join(found.join("/")).join(&part);
            match here.symlink_metadata() {
                Ok(data) if data.is_symlink() => {
                    links += 1;
                    if links > MOST_LINKS {
                        return Err(UnpackError::Links { path: path.to_string() });
                    }
                    let fail = |source| UnpackError::Write { path: here.clone(), source };
                    let target = fs::read_link(&here).map_err(fail)?;
                    let target = target.to_string_lossy().into_owned();
                    if target.starts_with('/') {
                        found.clear();
                    }
                    todo.extend(target.split('/').rev().map(String::from));
                    continue;
                }
                Ok(data) if data.is_dir() => {}
                // A file in the way is replaced, as a later layer may do.
                Ok(_) if makes => {
                    remove(&here)?;
                    make_directory(&here)?;
                }
                Err(_) if makes => make_directory(&here)?,
                _ => return Ok(None),
            }
            found.push(part);
        }
        Ok(Some(self.directory.join(found.join("/"))))
    }

    fn empty(&self, directory: &str) -> Result<(), UnpackError> {
        let found = match directory {
            "" => Some(self.directory.clone()),
            directory => self.existing(directory)?,
        };
        let is_directory = |path: &PathBuf| path.symlink_metadata().is_ok_and(|data| data.is_dir());
        let Some(path) = found.filter(is_directory) else { return Ok(()) };
        for entry in fs::read_dir(&path).into_iter().flatten().flatten() {
            remove(&entry.path())?;
        }
        Ok(())
    }
}

fn make_directory(path: &Path) -> Result<(), UnpackError> {
    fs::create_dir(path).map_err(|source| UnpackError::Write { path: path.to_path_buf(), source })
}

/// Remove whatever is at a path. Links are not followed.
fn remove(path: &Path) -> Result<(), UnpackError> {
    let removed = match path.symlink_metadata() {
        Ok(data) if data.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(_) => Ok(()),
    };
    removed.map_err(|source| UnpackError::Write { path: path.to_path_buf(), source })
}

#[cfg(unix)]
fn symlink(target: &str, path: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, path)
}

#[cfg(not(unix))]
fn symlink(_: &str, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// A stream with its digest that ends with an error after `most_bytes`.
struct Hashed<R> {
    inner: R,
    hash: Sha256,
    bytes: u64,
    most_bytes: u64,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.bytes += read as u64;
        if self.bytes > self.most_bytes {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.hash.update(&buffer[..read]);
        Ok(read)
    }
}

/// Open a file for reading. Fails for anything but a regular file: opening a pipe would wait for ever.
pub fn open(path: &Path) -> io::Result<File> {
    match path.metadata()?.is_file() {
        true => File::open(path),
        false => Err(io::ErrorKind::InvalidInput.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::tar::{BLOCK_BYTES, Kind, Owner, padding, write_header};

    #[derive(Clone, Copy)]
    enum Item<'a> {
        File(&'a str, &'a str),
        Directory(&'a str),
        Link(&'a str, &'a str),
        Hard(&'a str, &'a str),
    }
    use Item::{Directory, File as Text, Hard, Link};

    fn archive(items: &[Item<'_>]) -> Vec<u8> {
        let mut out = Vec::new();
        for item in items {
            let at = out.len();
            match *item {
                Text(path, text) => {
                    let size_bytes = text.len() as u64;
                    write_header(
                        &mut out,
                        path,
                        Kind::File { size_bytes, executable: false },
                        Owner::default(),
                    );
                    out.extend(text.bytes());
                    out.extend(padding(size_bytes));
                }
                Directory(path) => write_header(&mut out, path, Kind::Directory, Owner::default()),
                Link(path, target) => write_header(&mut out, path, Kind::Link { target }, Owner::default()),
                Hard(path, target) => {
                    write_header(&mut out, path, Kind::Link { target }, Owner::default());
                    out[at + 156] = b'1';
                    out[at + 148..at + 156].fill(b' ');
                    let sum: u32 = out[at..at + BLOCK_BYTES].iter().map(|byte| u32::from(*byte)).sum();
                    out[at + 148..at + 156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
                }
            }
        }
        out.extend([0; 2 * BLOCK_BYTES]);
        out
    }

    /// The files of an image as `path=text`, links as `path->target`, sorted; or the error.
    fn unpacked(layers: &[&[Item<'_>]]) -> Result<Vec<String>, String> {
        let dir = tempfile::tempdir().unwrap();
        let (inside, outside) = (dir.path().join("inside"), dir.path().join("outside"));
        fs::create_dir(&inside).unwrap();
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("kept"), "kept").unwrap();
        let place = |path: &str| Some(path.to_string());
        let mut root = Root::new(&inside, &place);
        let outcome = layers.iter().try_for_each(|layer| root.layer(&archive(layer)[..], 1).map(drop));
        let kept: Vec<_> = fs::read_dir(&outside).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(kept, ["kept"], "something was written outside");
        assert_eq!(fs::read_to_string(outside.join("kept")).unwrap(), "kept");
        outcome.map_err(|error| error.to_string())?;
        let mut found = Vec::new();
        list(&inside, &inside, &mut found);
        found.sort();
        Ok(found)
    }

    fn list(root: &Path, directory: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(root).unwrap().display().to_string();
            let data = path.symlink_metadata().unwrap();
            if data.is_symlink() {
                found.push(format!("{name}->{}", fs::read_link(&path).unwrap().display()));
            } else if data.is_dir() {
                list(root, &path, found);
            } else {
                found.push(format!("{name}={}", fs::read_to_string(&path).unwrap()));
            }
        }
    }

    #[test]
    fn later_layers_replace_and_remove() {
        for (layers, want) in [
            (&[&[Directory("a"), Text("a/b", "1")][..], &[Text("a/b", "2")]][..], &["a/b=2"][..]),
            (&[&[Text("a/b", "1"), Text("a/c", "1")], &[Text("a/.wh.b", "")]], &["a/c=1"]),
            (&[&[Text("a/b", "1")], &[Text("a/.wh..wh..opq", ""), Text("a/c", "2")]], &["a/c=2"]),
            (&[&[Text("a/b", "1")], &[Text(".wh.a", "")]], &[]),
            (&[&[Text("a/b", "1")], &[Text("a", "2")]], &["a=2"]),
            (&[&[Text("a", "1")], &[Text("a/b", "2")]], &["a/b=2"]),
            (&[&[Link("a", "b")], &[Text("a", "2")]], &["a=2"]),
            (
                &[&[Text("usr/bin/x", "1"), Link("bin", "usr/bin")], &[Text("bin/y", "2")]],
                &["bin->usr/bin", "usr/bin/x=1", "usr/bin/y=2"],
            ),
            (&[&[Text("a", "1"), Hard("b", "a")]], &["a=1", "b=1"]),
            (&[&[Text("a", "1"), Hard("a", "a")]], &["a=1"]),
            (&[&[Text("./a//b", "1")]], &["a/b=1"]),
        ] {
            assert_eq!(unpacked(layers).unwrap(), want);
        }
    }

    #[test]
    fn nothing_leaves_the_directory() {
        for (layers, want) in [
            (
                &[&[Text("../outside/x", "1")][..]][..],
                Err("`../outside/x` would be written outside of the image"),
            ),
            (
                &[&[Text("a/../../outside/x", "1")]],
                Err("`a/../../outside/x` would be written outside of the image"),
            ),
            (
                &[&[Hard("a", "../outside/kept")]],
                Err("`../outside/kept` would be written outside of the image"),
            ),
            (&[&[Hard("a", "missing")]], Err("`missing` would be written outside of the image")),
            (
                &[&[Link("a", "b"), Link("b", "a"), Text("a/c", "1")]],
                Err("`a` cannot be followed: it has too many links"),
            ),
            // Links that lead outside are followed within the image.
            (&[&[Link("a", "../outside"), Text("a/x", "1")]], Ok(&["a->../outside", "outside/x=1"][..])),
            (&[&[Link("a", "/outside"), Text("a/x", "1")]], Ok(&["a->/outside", "outside/x=1"])),
            (&[&[Link("a", "../outside/kept"), Text("a", "1")]], Ok(&["a=1"])),
            (&[&[Link("a", "../outside"), Text("a/.wh.kept", "")]], Ok(&["a->../outside"])),
            (&[&[Link("a", "../outside"), Text("a/.wh..wh..opq", "")]], Ok(&["a->../outside"])),
            (
                &[&[Link("a", "../outside"), Hard("b", "a/kept")]],
                Err("`a/kept` would be written outside of the image"),
            ),
            (&[&[Text("/etc/x", "1")]], Ok(&["etc/x=1"])),
        ] {
            let want = want.map(|paths: &[&str]| paths.iter().map(ToString::to_string).collect::<Vec<_>>());
            assert_eq!(unpacked(layers), want.map_err(String::from));
        }
    }

    #[test]
    fn the_digest_is_that_of_the_whole_archive() {
        let dir = tempfile::tempdir().unwrap();
        let mut bytes = archive(&[Text("a", "1")]);
        bytes.extend([0; 4096]);
        let place = |_: &str| None;
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(&bytes).unwrap();
        let packed = packed.finish().unwrap();
        for layer in [&bytes, &packed] {
            let found = Root::new(dir.path(), &place).layer(&layer[..], 1).unwrap();
            assert_eq!(found.finalize(), Sha256::digest(&bytes));
        }
        assert!(Root::new(dir.path(), &place).layer(&[0x28, 0xb5, 0x2f, 0xfd, 0][..], 1).is_err());
        assert!(Root::new(dir.path(), &place).layer(&packed[..packed.len() / 2], 1).is_err());
    }

    /// A layer of kilobytes filled the disk with what it unpacks to.
    #[test]
    fn a_layer_that_unpacks_to_far_too_much_is_refused() {
        let large = "0".repeat(300_000);
        let padded = |mut archive: Vec<u8>| {
            archive.extend([0; 300_000]);
            archive
        };
        let mut claims = archive(&[Text("a", "1")]);
        claims[124..136].copy_from_slice(b"00100000000\0");
        claims[148..156].fill(b' ');
        let sum: u32 = claims[..BLOCK_BYTES].iter().map(|byte| u32::from(*byte)).sum();
        claims[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        for (what, layer, is_written) in [
            ("content", archive(&[Text("a", &large)]), false),
            ("padding", padded(archive(&[Text("a", "1")])), true),
            ("a size that is not there", claims, false),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let place = |path: &str| Some(path.to_string());
            let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
            packed.write_all(&layer).unwrap();
            let packed = packed.finish().unwrap();
            let mut root = Root { free_bytes: 10_000, ..Root::new(dir.path(), &place) };
            let error = root.layer(&packed[..], 100).unwrap_err();
            assert!(
                matches!(error, UnpackError::Huge { packed_bytes: 100, most_bytes: 30_000 }),
                "{what}: {error}"
            );
            assert_eq!(dir.path().join("a").exists(), is_written, "{what}");
            // Layers below that are usual do not make room without end.
            let mut root = Root { free_bytes: 10_000, ..Root::new(dir.path(), &place) };
            root.layer(&archive(&[Text("b", &"1".repeat(20_000))])[..], 100).unwrap();
            assert!(root.layer(&archive(&[Text("c", &"1".repeat(40_000))])[..], 100).is_err());
        }
    }
}
