//! The files of one layer, by path, and how they are written.

use super::ImageError;
use super::place::{DAGSTER, VENV};
use crate::image::tar::Owner;
use crate::image::{LayerError, LayerWriter, Packing, Written};
use crate::wheel::archive::Method;
use crate::wheel::{Piece, RawData, Reader, WheelError};
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The owner of everything but the code location's own files.
pub const ROOT: Owner = Owner { uid: 0, gid: 0 };
/// What the name of a file begins with that removes another.
const WHITEOUT: &str = ".wh.";
const BUFFER_BYTES: usize = 128 * 1024;

/// What a layer holds.
#[derive(Debug, Default)]
pub struct LayerFiles {
    entries: BTreeMap<String, Entry>,
}

#[derive(Debug)]
struct Entry {
    owner: Owner,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Directory,
    Link(String),
    File { executable: bool, content: Content },
}

/// Where the content of a file comes from.
#[derive(Debug, Clone)]
pub enum Content {
    /// In memory.
    Bytes(Vec<u8>),
    /// A file of this size; links are followed.
    File {
        /// Where it is.
        path: PathBuf,
        /// Its size when the layer was planned.
        size_bytes: u64,
    },
    /// A member of a wheel, or of another archive.
    Member {
        /// The archive.
        archive: Arc<Path>,
        /// Its name there.
        name: String,
        /// Where its bytes are.
        data: RawData,
    },
}

impl LayerFiles {
    /// Add a file. A file that is there already is replaced.
    pub fn file(&mut self, path: String, executable: bool, owner: Owner, content: Content) {
        self.entries.insert(path, Entry { owner, kind: Kind::File { executable, content } });
    }

    /// Add a file that is in memory.
    pub fn bytes(&mut self, path: String, executable: bool, owner: Owner, content: Vec<u8>) {
        self.file(path, executable, owner, Content::Bytes(content));
    }

    /// Add a symbolic link.
    pub fn link(&mut self, path: String, target: &str) {
        self.entries.insert(path, Entry { owner: ROOT, kind: Kind::Link(target.to_string()) });
    }

    /// Add a directory, which may be empty.
    pub fn directory(&mut self, path: String, owner: Owner) {
        self.entries.entry(path).or_insert(Entry { owner, kind: Kind::Directory });
    }

    /// Remove a file of this path from here and from all layers below, if there is one. Source: OCI image specification,
    /// layer.md, "Whiteouts".
    pub fn removed(&mut self, path: &str) {
        self.entries.remove(path);
        let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
        self.bytes(format!("{directory}/{WHITEOUT}{name}"), false, ROOT, Vec::new());
    }

    /// Do not remove it from the layers below any more, as there is one here.
    pub fn kept(&mut self, path: &str) {
        let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
        self.entries.remove(&format!("{directory}/{WHITEOUT}{name}"));
    }

    /// Whether a file or link of this path is there.
    pub fn has(&self, path: &str) -> bool {
        self.entries.contains_key(path)
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// All paths, sorted.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// Add the files of another layer. Returns the paths of files that were replaced by different ones.
    pub fn extend(&mut self, other: LayerFiles) -> Vec<String> {
        let mut replaced = Vec::new();
        for (path, entry) in other.entries {
            if let Some(before) = self.entries.insert(path.clone(), entry)
                && !is_same(&before, &self.entries[&path])
            {
                replaced.push(path);
            }
        }
        replaced
    }

    /// Write the layer.
    ///
    /// # Errors
    /// When a file cannot be read or has changed, a path is a file and a directory, or the output fails.
    pub fn write(mut self, output: impl Write, packing: Packing) -> Result<Written, ImageError> {
        self.add_directories()?;
        let mut writer = LayerWriter::new(output, packing);
        let mut readers = HashMap::new();
        for (path, Entry { owner, kind }) in &self.entries {
            match kind {
                Kind::Directory => writer.directory(path, *owner)?,
                Kind::Link(target) => writer.link(path, target, *owner)?,
                Kind::File { executable, content } => {
                    let place = Place { path, executable: *executable, owner: *owner };
                    place.write(content, &mut writer, &mut readers)?;
                }
            }
        }
        Ok(writer.finish()?)
    }

    /// Entries for the directories above each file, but only for those that are ours: an entry for `bin/` would replace
    /// the link of a base whose `bin` is `usr/bin`. Runtimes make missing ones.
    fn add_directories(&mut self) -> Result<(), ImageError> {
        let mut directories = BTreeMap::new();
        for (path, entry) in &self.entries {
            let ours = [VENV, DAGSTER].into_iter().find(|top| is_below(path, top));
            let Some(top) = ours else { continue };
            let ends = path.match_indices('/').map(|(at, _)| at).filter(|at| *at >= top.len());
            for end in ends {
                directories.entry(path[..end].to_string()).or_insert(entry.owner);
            }
        }
        for (path, owner) in directories {
            match self.entries.get(&path) {
                Some(Entry { kind: Kind::Directory, .. }) => {}
                Some(_) => return Err(ImageError::FileAndDirectory { path }),
                None => drop(self.entries.insert(path, Entry { owner, kind: Kind::Directory })),
            }
        }
        Ok(())
    }
}

fn is_below(path: &str, top: &str) -> bool {
    path.strip_prefix(top).is_some_and(|rest| rest.starts_with('/'))
}

fn is_same(one: &Entry, other: &Entry) -> bool {
    match (&one.kind, &other.kind) {
        (Kind::File { content: one, .. }, Kind::File { content: other, .. }) => match (one, other) {
            (Content::Member { data: one, .. }, Content::Member { data: other, .. }) => {
                (one.crc32, one.size_bytes) == (other.crc32, other.size_bytes)
            }
            (Content::Bytes(one), Content::Bytes(other)) => one == other,
            _ => false,
        },
        (Kind::Link(one), Kind::Link(other)) => one == other,
        (Kind::Directory, Kind::Directory) => true,
        _ => false,
    }
}

/// One file in the image.
struct Place<'a> {
    path: &'a str,
    executable: bool,
    owner: Owner,
}

/// An error of the output or of a wheel, while a file is copied.
enum CopyError {
    Layer(LayerError),
    Wheel(WheelError),
    Read(std::io::Error),
}

impl Place<'_> {
    fn write<W: Write>(
        &self,
        content: &Content,
        writer: &mut LayerWriter<W>,
        readers: &mut HashMap<Arc<Path>, Reader>,
    ) -> Result<(), ImageError> {
        let Place { path, executable, owner } = *self;
        match content {
            Content::Bytes(bytes) => {
                let copy = |to: &mut crate::image::layer::Content<'_, W>| to.content(bytes);
                Ok(writer.file::<LayerError>(path, executable, owner, bytes.len() as u64, copy)?)
            }
            Content::File { path: source, size_bytes } => {
                let failed = |error| match error {
                    CopyError::Layer(error) => error.into(),
                    CopyError::Wheel(error) => error.into(),
                    CopyError::Read(error) => ImageError::Read { path: source.clone(), source: error },
                };
                writer
                    .file::<CopyError>(path, executable, owner, *size_bytes, |to| {
                        copy_file(source, *size_bytes, to)
                    })
                    .map_err(failed)
            }
            Content::Member { archive, name, data } => {
                if !readers.contains_key(archive) {
                    readers.insert(Arc::clone(archive), Reader::open(archive)?);
                }
                let Some(reader) = readers.get_mut(archive) else { return Ok(()) };
                copy_member(self, (name, data), reader, writer).map_err(|error| match error {
                    CopyError::Layer(error) => error.into(),
                    CopyError::Wheel(error) => error.into(),
                    CopyError::Read(source) => ImageError::Read { path: archive.to_path_buf(), source },
                })
            }
        }
    }
}

fn copy_member<W: Write>(
    place: &Place<'_>,
    (name, data): (&str, &RawData),
    reader: &mut Reader,
    writer: &mut LayerWriter<W>,
) -> Result<(), CopyError> {
    let Place { path, executable, owner } = *place;
    match data.method {
        Method::Stored => writer.file(path, executable, owner, data.size_bytes, |to| {
            reader.content(name, data, |piece| to.content(piece).map_err(CopyError::Layer))
        }),
        Method::Deflated => {
            let promised = (data.size_bytes, data.crc32);
            writer.deflated_file(path, executable, owner, promised, |to| {
                reader.both(name, data, |piece| {
                    let passed = match piece {
                        Piece::Raw(piece) => to.deflated(piece),
                        Piece::Content(piece) => to.content(piece),
                    };
                    passed.map_err(CopyError::Layer)
                })
            })
        }
    }
}

fn copy_file<W: Write>(
    source: &Path,
    size_bytes: u64,
    to: &mut crate::image::layer::Content<'_, W>,
) -> Result<(), CopyError> {
    // One more byte, so that a file that grew is noticed.
    let mut file = File::open(source).map_err(CopyError::Read)?.take(size_bytes.saturating_add(1));
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        match file.read(&mut buffer).map_err(CopyError::Read)? {
            0 => return Ok(()),
            read => to.content(&buffer[..read]).map_err(CopyError::Layer)?,
        }
    }
}

impl From<LayerError> for CopyError {
    fn from(error: LayerError) -> CopyError {
        CopyError::Layer(error)
    }
}

impl From<WheelError> for CopyError {
    fn from(error: WheelError) -> CopyError {
        CopyError::Wheel(error)
    }
}
