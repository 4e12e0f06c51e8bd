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
const MOST_BYTES: u64 = 128 << 30;

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
    #[error("the image would unpack to more than {MOST_BYTES} bytes or {MOST_ENTRIES} files")]
    Huge,
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
    bytes: u64,
}

impl<'a> Root<'a> {
    /// An existing, empty directory.
    pub fn new(directory: &Path, place: &'a Place<'a>) -> Root<'a> {
        Root { directory: directory.to_path_buf(), place, entries: 0, bytes: 0 }
    }

    /// Unpack a layer. Returns the SHA-256 of the archive without compression, hex.
    ///
    /// # Errors
    /// When it is damaged or hostile, or the directory cannot be written.
    pub fn layer(&mut self, layer: impl Read) -> Result<Sha256, UnpackError> {
        self.archive(unpacked(layer).map_err(TarError::from)?)
    }

    fn archive(&mut self, archive: impl Read) -> Result<Sha256, UnpackError> {
        let mut hashed = Hashed { inner: archive.take(MOST_BYTES), hash: Sha256::new() };
        let mut entries = Entries::new(&mut hashed);
        while let Some(entry) = entries.next()? {
            self.entries += 1;
            self.bytes = self.bytes.saturating_add(entry.size_bytes);
            if self.entries > MOST_ENTRIES || self.bytes > MOST_BYTES {
                return Err(UnpackError::Huge);
            }
            self.entry(&entry, &mut entries)?;
        }
        // Padding after the end of the archive counts for its digest.
        io::copy(&mut hashed, &mut io::sink()).map_err(TarError::from)?;
        Ok(hashed.hash)
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

struct Hashed<R> {
    inner: R,
    hash: Sha256,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
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
        let outcome = layers.iter().try_for_each(|layer| root.layer(&archive(layer)[..]).map(drop));
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
            let found = Root::new(dir.path(), &place).layer(&layer[..]).unwrap();
            assert_eq!(found.finalize(), Sha256::digest(&bytes));
        }
        assert!(Root::new(dir.path(), &place).layer(&[0x28, 0xb5, 0x2f, 0xfd, 0][..]).is_err());
        assert!(Root::new(dir.path(), &place).layer(&packed[..packed.len() / 2]).is_err());
    }
}
