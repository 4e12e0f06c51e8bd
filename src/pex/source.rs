//! The source PEX: the user's code, without distributions.

use super::runtime::Runtime;
use super::writer::{NewMember, Payload, Written, write_pex};
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

/// Size of one read.
const BUFFER_BYTES: usize = 128 * 1024;

/// One file of the user's code.
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
    /// In memory.
    Bytes(Vec<u8>),
    /// A member of a wheel, copied without decompressing it.
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
    /// Decide everything about the file. All content is read and hashed once. The order of `entries` does not matter.
    ///
    /// # Errors
    /// When a file cannot be read, or a path occurs twice, is reserved, or is not allowed in an archive.
    pub fn plan(mut entries: Vec<SourceEntry>, target: &Target) -> Result<SourcePex, PexError> {
        // The walk order of a file system must not change the hash.
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

    /// Write the file. `out` must be at its start, and needs no buffer of its own.
    ///
    /// # Errors
    /// When a file cannot be read or has changed since planning, or `out` cannot be written. What was written so far is
    /// then useless.
    pub fn write(&self, out: &mut (impl Write + Seek), runtime: &Runtime) -> Result<Written, PexError> {
        let entries = || {
            self.files.iter().map(|PlannedFile { entry, seen: (size_bytes, crc32) }| NewMember {
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

/// Refuse paths that an agent would misplace. `entries` must be sorted.
fn check_paths(entries: &[SourceEntry]) -> Result<(), PexError> {
    for (place, SourceEntry { path, .. }) in entries.iter().enumerate() {
        let inside = format!("{path}/");
        let after = &entries[place + 1..];
        // `a-b` sorts between `a` and `a/b`, so the first path inside `a` need not be the next one.
        let first_inside = after.partition_point(|other| other.path < inside);
        let reason = path_fault(path)
            .or_else(|| is_reserved(path).then_some("has a name that the PEX format reserves"))
            .or_else(|| after.first().is_some_and(|next| next.path == *path).then_some("occurs twice"))
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

/// Top-level names that agents treat as parts of the format. They match some of them as prefixes.
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
    /// Hash one file. Returns its size and CRC-32.
    ///
    /// Our `code_hash` differs from pex's: it covers dot files, modes and the borders between files, because an agent
    /// never downloads a file again if it has one of that name.
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
                    // Members of one wheel mostly follow each other; keep it open.
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
        // Only the execute bit counts: other bits depend on the umask of the checkout.
        let mode = if entry.executable { "0755" } else { "0644" };
        code.update(format!("{}\0{mode}\0", entry.path));
        code.update(content.finalize());
        Ok((size, crc.sum()))
    }
}

#[cfg(test)]
mod tests;
