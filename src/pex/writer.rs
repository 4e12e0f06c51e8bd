//! Writes a PEX: shebang line, ZIP members in order, central directory.
//!
//! Everything that could differ between two runs is fixed: order, timestamps, modes, versions. ZIP64 records are
//! written only where nothing else fits, because Python before 3.13 does not start a file with them. Source:
//! APPNOTE.TXT 6.3; modes and timestamps as pex 2.59.5 writes them.

use super::runtime::{BOOTSTRAP_DIR, Runtime, shebang};
use super::{PexError, PexInfo};
use crate::target::Target;
use crate::wheel::archive::Method;
use crate::wheel::{RawData, Reader};
use flate2::{Compress, Compression, Crc, FlushCompress, Status};
use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

mod output;
mod zip_records;

use output::Output;
use zip_records::{Record, end_records};

/// Size of one read, and of the buffer for its compressed form.
const BUFFER_BYTES: usize = 64 * 1024;
/// From this number of entries on, a plain end record cannot count them.
const ZIP64_ENTRIES: u64 = 0xffff;

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// Size of the file.
    pub size_bytes: u64,
    /// Entries in the archive, directories included.
    pub entries: u64,
    /// Whether it needs ZIP64 records. The agent reads such a file, but Python before 3.13 cannot run it directly.
    pub zip64: bool,
}

/// A member to write.
pub(super) struct NewMember<'a> {
    /// Path in the PEX.
    pub(super) path: Cow<'a, str>,
    /// Mode 0755 or 0644.
    pub(super) executable: bool,
    /// Its content.
    pub(super) payload: Payload<'a>,
}

/// Content of a member to write.
pub(super) enum Payload<'a> {
    /// Copied from a wheel without decompressing it.
    Member {
        /// The wheel.
        wheel: &'a Path,
        /// The member.
        data: &'a RawData,
    },
    /// Compressed from memory.
    Bytes(Cow<'a, [u8]>),
    /// Compressed from a file, which must not have changed since planning.
    File {
        /// The file.
        path: &'a Path,
        /// Planned size.
        size_bytes: u64,
        /// Planned CRC-32.
        crc32: u32,
    },
}

/// Write a PEX: `entries` and the members that every PEX has. `entries` must be sorted by path, and return the same
/// members on each call.
pub(super) fn write_pex<'a, I: Iterator<Item = NewMember<'a>>>(
    out: &mut (impl Write + Seek),
    runtime: &'a Runtime,
    target: &Target,
    info: &PexInfo,
    entries: impl Fn() -> I,
) -> Result<Written, PexError> {
    let all = || merged(own_entries(runtime, target, info), entries());
    let (files, directories) = count(all());
    let mut zip = ZipWriter::new(out, &shebang(target.python))?;
    // Directory entries are optional. Without them a large PEX may not need ZIP64.
    zip.with_directories = files >= ZIP64_ENTRIES || files + directories < ZIP64_ENTRIES;
    for entry in all() {
        zip.entry(&entry)?;
    }
    zip.finish()
}

/// Write a plain ZIP archive. `entries` must be sorted by path.
fn write_archive<'a>(
    out: &mut (impl Write + Seek),
    entries: impl Iterator<Item = NewMember<'a>>,
) -> Result<Written, PexError> {
    let mut zip = ZipWriter::new(out, "")?;
    zip.with_directories = false;
    for entry in entries {
        zip.entry(&entry)?;
    }
    zip.finish()
}

/// Write files as a plain ZIP archive. They must be sorted by path, and each is needed only while it is written.
///
/// # Errors
/// When it cannot be written.
pub fn write_files(
    out: &mut (impl Write + Seek),
    files: impl Iterator<Item = (String, Vec<u8>)>,
) -> Result<Written, PexError> {
    write_archive(
        out,
        files.map(|(path, content)| NewMember {
            path: Cow::Owned(path),
            executable: false,
            payload: Payload::Bytes(Cow::Owned(content)),
        }),
    )
}

/// A file to write into a wheel.
pub struct WheelFile<'a> {
    /// Path in the wheel.
    pub path: &'a str,
    /// Mode 0755 or 0644.
    pub executable: bool,
    /// Its content.
    pub content: WheelContent<'a>,
}

/// Content of a file of a wheel.
pub enum WheelContent<'a> {
    /// In memory.
    Text(&'a str),
    /// A file, which must not have changed since it was read.
    File {
        /// The file.
        path: PathBuf,
        /// Its size.
        size_bytes: u64,
        /// Its CRC-32.
        crc32: u32,
    },
}

/// Write the archive of a wheel. `files` must be sorted by path.
///
/// # Errors
/// When a file cannot be read or has changed, or `out` cannot be written.
pub fn write_wheel<'w>(
    out: &mut (impl Write + Seek),
    files: &'w [WheelFile<'w>],
) -> Result<Written, PexError> {
    let member = |file: &'w WheelFile<'w>| {
        let WheelFile { path, executable, content } = file;
        let payload = match content {
            WheelContent::Text(text) => Payload::Bytes(Cow::Borrowed(text.as_bytes())),
            WheelContent::File { path, size_bytes, crc32 } => {
                Payload::File { path, size_bytes: *size_bytes, crc32: *crc32 }
            }
        };
        NewMember { path: Cow::Borrowed(path), executable: *executable, payload }
    };
    write_archive(out, files.iter().map(member))
}

/// The members that every PEX has, sorted by path.
fn own_entries<'a>(runtime: &'a Runtime, target: &Target, info: &PexInfo) -> Vec<NewMember<'a>> {
    let bootstrap = runtime.files().iter().map(|file| NewMember {
        path: Cow::Owned(format!("{BOOTSTRAP_DIR}/{}", file.path)),
        executable: false,
        payload: match &file.member {
            Some(member) => Payload::Member { wheel: runtime.path(), data: &member.data },
            None => Payload::Bytes(Cow::Borrowed(&[])),
        },
    });
    let text = |path: &'static str, executable, text: String| NewMember {
        path: Cow::Borrowed(path),
        executable,
        payload: Payload::Bytes(Cow::Owned(text.into_bytes())),
    };
    let (main, package) =
        (runtime.main_text(target.python, info.pex_hash()), runtime.package_text(info.pex_hash()));
    bootstrap
        .chain([
            text("PEX-INFO", false, info.text()),
            text("__main__.py", true, main),
            text("__pex__/__init__.py", false, package),
        ])
        .collect()
}

/// Two sorted sequences as one.
fn merged<'a>(
    own: Vec<NewMember<'a>>,
    others: impl Iterator<Item = NewMember<'a>>,
) -> impl Iterator<Item = NewMember<'a>> {
    let (mut own, mut others) = (own.into_iter().peekable(), others.peekable());
    std::iter::from_fn(move || match (own.peek(), others.peek()) {
        // With an equal path the own entry comes first, and `entry` then refuses the other one.
        (Some(a), Some(b)) if a.path <= b.path => own.next(),
        (Some(_), None) => own.next(),
        _ => others.next(),
    })
}

/// How many files and directories there are.
fn count<'a>(entries: impl Iterator<Item = NewMember<'a>>) -> (u64, u64) {
    let (mut files, mut directories, mut previous) = (0, 0, String::new());
    for entry in entries {
        files += 1;
        directories += new_directories(&previous, &entry.path).count() as u64;
        previous.clear();
        previous.push_str(&entry.path);
    }
    (files, directories)
}

/// The directories above `path` (ending in `/`) that are not above `previous`, the path before it in sorted order.
fn new_directories<'a>(previous: &'a str, path: &'a str) -> impl Iterator<Item = &'a str> {
    path.match_indices('/')
        .map(|(at, _)| &path[..=at])
        .filter(move |directory| !previous.starts_with(directory))
}

struct ZipWriter<'w, W> {
    out: Output<'w, W>,
    with_directories: bool,
    previous: String,
    directory: Vec<u8>,
    entries: u64,
    reader: Option<Reader>,
    compress: Compress,
    buffers: (Box<[u8]>, Box<[u8]>),
}

impl<'w, W: Write + Seek> ZipWriter<'w, W> {
    fn new(out: &'w mut W, first_line: &str) -> Result<Self, PexError> {
        let buffer = || vec![0; BUFFER_BYTES].into_boxed_slice();
        let mut zip = ZipWriter {
            out: Output::new(out),
            with_directories: true,
            previous: String::new(),
            directory: Vec::new(),
            entries: 0,
            reader: None,
            compress: Compress::new(Compression::default(), false),
            buffers: (buffer(), buffer()),
        };
        zip.out.write(first_line.as_bytes()).map_err(PexError::Write)?;
        Ok(zip)
    }

    fn entry(&mut self, entry: &NewMember<'_>) -> Result<(), PexError> {
        // Directory entries are derived from the previous path, which needs sorted paths; equal paths would be
        // duplicates.
        if *entry.path <= *self.previous {
            return Err(PexError::Order { path: entry.path.to_string() });
        }
        if self.with_directories {
            let previous = std::mem::take(&mut self.previous);
            for directory in new_directories(&previous, &entry.path) {
                let record = Record::new(directory, true, Method::Stored, self.out.position());
                self.out.write(&record.local()).map_err(PexError::Write)?;
                self.list(&record);
            }
            self.previous = previous;
        }
        self.previous.clear();
        self.previous.push_str(&entry.path);
        match &entry.payload {
            Payload::Member { wheel, data } => self.copy(entry, wheel, data),
            Payload::Bytes(bytes) => {
                self.deflate(entry, bytes.len() as u64, &**bytes, Path::new("")).map(|_| ())
            }
            Payload::File { path, size_bytes, crc32 } => {
                let read_error = |source| PexError::Read { path: path.to_path_buf(), source };
                let file = File::open(path).map_err(read_error)?;
                // One byte more than planned is enough to see that the file grew.
                let written =
                    self.deflate(entry, *size_bytes, file.take(size_bytes.saturating_add(1)), path)?;
                let unchanged = written == (*size_bytes, *crc32);
                if unchanged { Ok(()) } else { Err(PexError::Changed { path: path.to_path_buf() }) }
            }
        }
    }

    fn copy(&mut self, entry: &NewMember<'_>, wheel: &Path, data: &RawData) -> Result<(), PexError> {
        // Compressed bytes are copied as they are: recompressing a large set of wheels would take most of the time.
        let mut record = Record::new(&entry.path, entry.executable, data.method, self.out.position());
        record.set_content(data.crc32, data.compressed_bytes, data.size_bytes);
        self.out.write(&record.local()).map_err(PexError::Write)?;
        let mut reader = match self.reader.take() {
            // Members of one wheel follow each other; keep it open.
            Some(reader) if reader.reads(wheel) => reader,
            _ => Reader::open(wheel)?,
        };
        reader.raw(&entry.path, data, |piece| self.out.write(piece).map_err(PexError::Write))?;
        self.reader = Some(reader);
        self.list(&record);
        Ok(())
    }

    /// Compress `content`, about `expected_bytes` long. Returns its size and CRC-32.
    fn deflate(
        &mut self,
        entry: &NewMember<'_>,
        expected_bytes: u64,
        mut content: impl Read,
        path: &Path,
    ) -> Result<(u64, u32), PexError> {
        let mut record = Record::new(&entry.path, entry.executable, Method::Deflated, self.out.position());
        // The header is written first and patched later, so its length has to be right already.
        record.reserve(expected_bytes);
        self.out.write(&record.local()).map_err(PexError::Write)?;
        let start = self.out.position();
        let (input, compressed) = (&mut self.buffers.0, &mut self.buffers.1);
        let mut crc = Crc::new();
        self.compress.reset();
        loop {
            let filled = fill(&mut content, input)
                .map_err(|source| PexError::Read { path: path.to_path_buf(), source })?;
            crc.update(&input[..filled]);
            let last = filled < input.len();
            // No intermediate flush: it would end a DEFLATE block and make the output larger.
            let flush = if last { FlushCompress::Finish } else { FlushCompress::None };
            let mut rest = &input[..filled];
            loop {
                let (taken, given) = (self.compress.total_in(), self.compress.total_out());
                let status = self.compress.compress(rest, compressed, flush);
                let status = status.map_err(|error| PexError::Write(io::Error::other(error)))?;
                rest = &rest[(self.compress.total_in() - taken) as usize..];
                let given = (self.compress.total_out() - given) as usize;
                self.out.write(&compressed[..given]).map_err(PexError::Write)?;
                if status == Status::StreamEnd || (!last && rest.is_empty()) {
                    break;
                }
            }
            if last {
                break;
            }
        }
        let size = self.compress.total_in();
        record.set_content(crc.sum(), self.out.position() - start, size);
        self.out.patch(record.header_offset(), &record.local()).map_err(PexError::Write)?;
        self.list(&record);
        Ok((size, crc.sum()))
    }

    fn list(&mut self, record: &Record<'_>) {
        self.directory.extend(record.central());
        self.entries += 1;
    }

    fn finish(mut self) -> Result<Written, PexError> {
        let offset = self.out.position();
        let (records, zip64) = end_records(self.entries, self.directory.len() as u64, offset);
        self.out.write(&self.directory).map_err(PexError::Write)?;
        self.out.write(&records).map_err(PexError::Write)?;
        self.out.flush().map_err(PexError::Write)?;
        Ok(Written { size_bytes: self.out.position(), entries: self.entries, zip64 })
    }
}

/// Fill the buffer as far as there is content.
fn fill(content: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    // The compressed bytes depend on how the input is cut, and short reads differ between machines.
    while filled < buffer.len() {
        match content.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests;
