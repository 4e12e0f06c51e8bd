//! The source PEX: the user's code, no distributions.

use super::runtime::Runtime;
use super::writer::{Entry, Payload, Written, write_pex};
use super::{PexError, PexInfo, info};
use crate::hex::hex;
use crate::target::Target;
use crate::wheel::archive::path_fault;
use crate::wheel::{Member, Reader};
use flate2::Crc;
use sha1::{Digest, Sha1};
use std::borrow::Cow;
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::path::PathBuf;

/// Read from a file at once.
const BUFFER_BYTES: usize = 128 * 1024;

/// One file of the user's.
#[derive(Debug, Clone)]
pub struct SourceEntry {
    /// Path in the PEX, with `/`: `working_directory/root/…`, or a package at the top.
    pub path: String,
    /// Mode 0755 or 0644.
    pub executable: bool,
    /// Its content.
    pub content: Content,
}

/// Where the content of a source file comes from.
#[derive(Debug, Clone)]
pub enum Content {
    /// A file; links are followed.
    File(PathBuf),
    /// Given here.
    Bytes(Vec<u8>),
    /// A member of a wheel, copied as it is compressed.
    Member {
        /// The wheel.
        wheel: PathBuf,
        /// The member.
        member: Member,
    },
}

/// A source PEX that can be written.
#[derive(Debug)]
pub struct SourcePex {
    files: Vec<PlannedFile>,
    target: Target,
    info: PexInfo,
}

#[derive(Debug)]
struct PlannedFile {
    entry: SourceEntry,
    /// Size and CRC-32 at the time of planning.
    seen: (u64, u32),
}

impl SourcePex {
    /// Decide everything about the file: reads and hashes all content once. The order of `entries` does not matter.
    ///
    /// # Errors
    /// When a file cannot be read, or a path is there twice, reserved, or unfit for an archive.
    pub fn plan(mut entries: Vec<SourceEntry>, target: &Target) -> Result<SourcePex, PexError> {
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        check_paths(&entries)?;
        let mut code = Sha1::new();
        let mut scanner = Scanner { reader: None, buffer: vec![0; BUFFER_BYTES] };
        let mut files = Vec::with_capacity(entries.len());
        for entry in entries {
            let seen = scanner.scan(&entry, &mut code)?;
            files.push(PlannedFile { entry, seen });
        }
        let code_hash = hex(code.finalize());
        let info = PexInfo::new(info::Parts { code_hash, ..info::Parts::default() }, target);
        Ok(SourcePex { files, target: *target, info })
    }

    /// `source-HASH.pex`.
    pub fn file_name(&self) -> String {
        format!("source-{}.pex", self.info.pex_hash())
    }

    /// PEX-INFO.
    pub fn info(&self) -> &PexInfo {
        &self.info
    }

    /// The user's files, sorted by path.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.files.iter().map(|file| file.entry.path.as_str())
    }

    /// Write the file. `out` must be at its beginning; it is buffered here.
    ///
    /// # Errors
    /// When a file cannot be read or is no more what it was when planned, or `out` cannot be written; what was written
    /// is then useless.
    pub fn write(&self, out: &mut (impl Write + Seek), runtime: &Runtime) -> Result<Written, PexError> {
        let entries = || {
            self.files.iter().map(|PlannedFile { entry, seen: (size_bytes, crc32) }| Entry {
                path: Cow::Borrowed(&entry.path),
                executable: entry.executable,
                payload: match &entry.content {
                    Content::File(path) => Payload::File { path, size_bytes: *size_bytes, crc32: *crc32 },
                    Content::Bytes(bytes) => Payload::Bytes(Cow::Borrowed(bytes)),
                    Content::Member { wheel, member } => Payload::Member { wheel, data: &member.data },
                },
            })
        };
        write_pex(out, runtime, &self.target, &self.info, entries)
    }
}

/// Refuse what an agent would misplace. Entries are sorted.
fn check_paths(entries: &[SourceEntry]) -> Result<(), PexError> {
    for (place, SourceEntry { path, .. }) in entries.iter().enumerate() {
        let inside = format!("{path}/");
        let after = &entries[place + 1..];
        let first_inside = after.partition_point(|other| other.path < inside);
        let reason = path_fault(path)
            .or_else(|| is_reserved(path).then_some("has a name that the PEX format reserves"))
            .or_else(|| after.first().is_some_and(|next| next.path == *path).then_some("is there twice"))
            .or_else(|| {
                let inside = after.get(first_inside).is_some_and(|next| next.path.starts_with(&inside));
                inside.then_some("is both a file and a directory")
            });
        if let Some(reason) = reason {
            return Err(PexError::SourcePath { path: path.escape_debug().to_string(), reason });
        }
    }
    Ok(())
}

/// Names at the top that agents take for parts of the format; some they match as prefixes.
fn is_reserved(path: &str) -> bool {
    let top = path.split('/').next().unwrap_or(path);
    matches!(top, "__main__.py" | "PEX-INFO" | "PEX-LAYOUT" | "pex" | "__pycache__")
        || ["__pex__", ".bootstrap", ".deps"].iter().any(|prefix| top.starts_with(prefix))
}

/// Reads contents into the code hash.
struct Scanner {
    reader: Option<Reader>,
    buffer: Vec<u8>,
}

impl Scanner {
    /// Hash one file; its size and CRC-32.
    ///
    /// `code_hash` is ours: unlike pex's it takes dot files, modes and the borders between files into account, because
    /// an agent never fetches a file again whose name it holds.
    fn scan(&mut self, entry: &SourceEntry, code: &mut Sha1) -> Result<(u64, u32), PexError> {
        let (mut crc, mut size) = (Crc::new(), 0_u64);
        let mut content = Sha1::new();
        let mut take = |piece: &[u8]| {
            crc.update(piece);
            content.update(piece);
            size += piece.len() as u64;
        };
        match &entry.content {
            Content::Bytes(bytes) => take(bytes),
            Content::File(path) => {
                let read_error = |source| PexError::Read { path: path.clone(), source };
                let mut file = File::open(path).map_err(read_error)?;
                loop {
                    match file.read(&mut self.buffer).map_err(read_error)? {
                        0 => break,
                        read => take(&self.buffer[..read]),
                    }
                }
            }
            Content::Member { wheel, member } => {
                let mut reader = match self.reader.take() {
                    Some(reader) if reader.reads(wheel) => reader,
                    _ => Reader::open(wheel)?,
                };
                reader.content::<PexError>(&member.name, &member.data, |piece| {
                    take(piece);
                    Ok(())
                })?;
                self.reader = Some(reader);
            }
        }
        let mode = if entry.executable { "0755" } else { "0644" };
        code.update(format!("{}\0{mode}\0", entry.path));
        code.update(content.finalize());
        Ok((size, crc.sum()))
    }
}

#[cfg(test)]
mod tests;
