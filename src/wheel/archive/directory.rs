//! Reads the central directory, and refuses what must not be unpacked.

use super::{LOCAL_HEADER_BYTES, Member, Method, RawData, file_name};
use crate::wheel::WheelError;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

/// Larger central directories are refused. It is enough for about 300 000 members, far above any wheel.
const MAX_DIRECTORY_BYTES: u64 = 32 * 1024 * 1024;
/// A wheel may unpack to this many times its own size, beyond [`UNPACKED_FREE_BYTES`]. Wheels on PyPI stay below 20;
/// DEFLATE reaches 1032.
const MAX_RATIO: u64 = 200;
/// Up to this size the ratio does not matter: unpacking takes seconds.
const UNPACKED_FREE_BYTES: u64 = 512 << 20;
const END_SIGNATURE: &[u8] = b"PK\x05\x06";
const END_BYTES: usize = 22;
const ZIP64_LOCATOR_SIGNATURE: &[u8] = b"PK\x06\x07";
const ZIP64_LOCATOR_BYTES: u64 = 20;
const ZIP64_END_SIGNATURE: &[u8] = b"PK\x06\x06";
const ZIP64_END_BYTES: usize = 56;
const ENTRY_SIGNATURE: &[u8] = b"PK\x01\x02";
const ENTRY_BYTES: usize = 46;
const ZIP64_EXTRA_ID: u16 = 1;
/// Bits 0 (encrypted), 5 (patch data), 6 (strong encryption) and 13 (masked headers). Source: APPNOTE 4.4.4.
const FLAGS_REFUSED: u16 = 0x2061;
const MODE_TYPE: u32 = 0o170_000;
const MODE_REGULAR: u32 = 0o100_000;
const MODE_LINK: u32 = 0o120_000;

/// Where the central directory is.
struct Directory {
    entries: u64,
    offset: u64,
    size: u64,
}

/// Read all members, sorted by name.
pub(super) fn read(path: &Path) -> Result<Vec<Member>, WheelError> {
    let wheel = file_name(path);
    let damaged = |reason: String| WheelError::Damaged { path: path.to_path_buf(), reason };
    let read_error = |source| WheelError::Read { path: path.to_path_buf(), source };
    let mut file = File::open(path).map_err(read_error)?;
    let directory = find(&mut file).map_err(read_error)?.map_err(|reason| damaged(reason.to_string()))?;
    if directory.size > MAX_DIRECTORY_BYTES {
        return Err(damaged(format!("its central directory has {} bytes", directory.size)));
    }
    file.seek(SeekFrom::Start(directory.offset)).map_err(read_error)?;
    let mut bytes = BufReader::new(file).take(directory.size);
    let mut members = Vec::new();
    for _ in 0..directory.entries {
        match entry(&mut bytes) {
            // Directory entries carry no content.
            Ok(DirectoryEntry { name, .. }) if name.ends_with(b"/") => {}
            Ok(entry) => members.push(entry.judge(&wheel)?),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(damaged("its central directory is cut short".to_string()));
            }
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                return Err(damaged(error.to_string()));
            }
            // The disk failed, and the wheel may be fine.
            Err(error) => return Err(read_error(error)),
        }
    }
    if bytes.limit() > 0 {
        return Err(damaged("its central directory has more entries than it says".to_string()));
    }
    refuse_bombs(&wheel, &members, directory.offset)?;
    refuse_overlaps(&wheel, &mut members, directory.offset)?;
    let members = distinct(&wheel, members)?;
    refuse_case_twins(&wheel, &members)?;
    Ok(members)
}

/// Find the central directory through the end record. The inner error says why there is none.
fn find(file: &mut File) -> io::Result<Result<Directory, &'static str>> {
    let length = file.seek(SeekFrom::End(0))?;
    let tail_bytes = length.min(END_BYTES as u64 + u64::from(u16::MAX));
    let mut tail = Vec::new();
    file.seek(SeekFrom::Start(length - tail_bytes))?;
    file.take(tail_bytes).read_to_end(&mut tail)?;
    // The comment that follows the record has to reach exactly to the end of the file.
    let is_end = |at: &usize| {
        let record = &tail[*at..];
        record.len() >= END_BYTES
            && record.starts_with(END_SIGNATURE)
            && record.len() == END_BYTES + usize::from(u16_at(record, 20))
    };
    // From the end, as other readers do. The comment may contain the signature too.
    let Some(at) = (0..tail.len()).rev().find(is_end) else {
        return Ok(Err("it is not a zip archive, or it is cut short: the end record is missing"));
    };
    let record = &tail[at..];
    let end_offset = length - tail_bytes + at as u64;
    // Number of this disk and the disk of the directory; entries on this disk and in total.
    if u16_at(record, 4) != u16_at(record, 6) || u16_at(record, 8) != u16_at(record, 10) {
        return Ok(Err("it is one part of a split archive"));
    }
    let directory = Directory {
        entries: u64::from(u16_at(record, 10)),
        size: u64::from(u32_at(record, 12)),
        offset: u64::from(u32_at(record, 16)),
    };
    let (directory, limit) = match zip64_end(file, end_offset)? {
        Some((directory, record_offset)) => (directory, record_offset),
        None => (directory, end_offset),
    };
    // Readers that search from the end and readers that follow offsets must see the same directory.
    if directory.offset.checked_add(directory.size) != Some(limit) {
        return Ok(Err("its central directory is not where its end record says"));
    }
    Ok(Ok(directory))
}

/// The ZIP64 end record that a locator right before the plain one points to, and where it is.
fn zip64_end(file: &mut File, end_offset: u64) -> io::Result<Option<(Directory, u64)>> {
    let Some(locator_offset) = end_offset.checked_sub(ZIP64_LOCATOR_BYTES) else { return Ok(None) };
    let mut locator = [0; ZIP64_LOCATOR_BYTES as usize];
    file.seek(SeekFrom::Start(locator_offset))?;
    file.read_exact(&mut locator)?;
    let record_offset = u64_at(&locator, 8);
    if !locator.starts_with(ZIP64_LOCATOR_SIGNATURE)
        || record_offset.checked_add(ZIP64_END_BYTES as u64).is_none_or(|end| end > locator_offset)
    {
        return Ok(None);
    }
    let mut record = [0; ZIP64_END_BYTES];
    file.seek(SeekFrom::Start(record_offset))?;
    file.read_exact(&mut record)?;
    if !record.starts_with(ZIP64_END_SIGNATURE) {
        return Ok(None);
    }
    let directory =
        Directory { entries: u64_at(&record, 32), size: u64_at(&record, 40), offset: u64_at(&record, 48) };
    Ok(Some((directory, record_offset)))
}

/// One entry of the central directory, as stored.
struct DirectoryEntry {
    name: Vec<u8>,
    flags: u16,
    method: u16,
    mode: u32,
    crc32: u32,
    compressed_bytes: u64,
    size_bytes: u64,
    header_offset: u64,
}

/// Source: APPNOTE 4.3.12.
fn entry(bytes: &mut impl Read) -> io::Result<DirectoryEntry> {
    let mut fixed = [0; ENTRY_BYTES];
    bytes.read_exact(&mut fixed)?;
    if !fixed.starts_with(ENTRY_SIGNATURE) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "its central directory has a malformed entry",
        ));
    }
    let mut name = vec![0; usize::from(u16_at(&fixed, 28))];
    bytes.read_exact(&mut name)?;
    let mut extra = vec![0; usize::from(u16_at(&fixed, 30))];
    bytes.read_exact(&mut extra)?;
    let comment_bytes = u64::from(u16_at(&fixed, 32));
    if io::copy(&mut bytes.take(comment_bytes), &mut io::sink())? != comment_bytes {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let mut large = zip64_extra(&extra);
    // Only values that do not fit (all ones) are in the ZIP64 field.
    let mut wide = |value: u32| match value {
        u32::MAX => large.next().unwrap_or(u64::from(u32::MAX)),
        value => u64::from(value),
    };
    // The order in which the ZIP64 field lists what did not fit: size, compressed size, offset.
    let size_bytes = wide(u32_at(&fixed, 24));
    let compressed_bytes = wide(u32_at(&fixed, 20));
    let header_offset = wide(u32_at(&fixed, 42));
    Ok(DirectoryEntry {
        name,
        flags: u16_at(&fixed, 8),
        method: u16_at(&fixed, 10),
        mode: u32_at(&fixed, 38) >> 16,
        crc32: u32_at(&fixed, 16),
        compressed_bytes,
        size_bytes,
        header_offset,
    })
}

/// The 8-byte values of the ZIP64 extra field, if there is one.
fn zip64_extra(extra: &[u8]) -> impl Iterator<Item = u64> {
    let mut rest = extra;
    let mut field: &[u8] = &[];
    while let [id_low, id_high, size_low, size_high, data @ ..] = rest {
        let size = usize::from(u16::from_le_bytes([*size_low, *size_high])).min(data.len());
        let (data, after) = data.split_at(size);
        if u16::from_le_bytes([*id_low, *id_high]) == ZIP64_EXTRA_ID {
            field = data;
            break;
        }
        rest = after;
    }
    field.chunks_exact(8).map(|chunk| u64_at(chunk, 0))
}

impl DirectoryEntry {
    /// Refuse what must not be unpacked.
    fn judge(self, wheel: &str) -> Result<Member, WheelError> {
        let refuse = |name: &str, reason: &str| Err(WheelError::member(wheel, name, reason));
        let name = match String::from_utf8(self.name) {
            Ok(name) => name,
            Err(error) => {
                return refuse(&String::from_utf8_lossy(error.as_bytes()), "has a name that is not UTF-8");
            }
        };
        if let Some(reason) = path_fault(&name).or_else(|| foreign_path_fault(&name)) {
            return refuse(&name, reason);
        }
        if self.flags & FLAGS_REFUSED != 0 {
            return refuse(&name, "is encrypted");
        }
        match self.mode & MODE_TYPE {
            // Writers on Windows leave the mode empty.
            0 | MODE_REGULAR => {}
            MODE_LINK => return refuse(&name, "is a symbolic link, which wheels may not have"),
            _ => return refuse(&name, "is neither a file nor a directory"),
        }
        let method = match self.method {
            0 => Method::Stored,
            8 => Method::Deflated,
            other => return refuse(&name, &format!("is compressed with method {other}; wheels use DEFLATE")),
        };
        // Which of the two applies would depend on the reader.
        if method == Method::Stored && self.compressed_bytes != self.size_bytes {
            return refuse(&name, "is stored with two different sizes");
        }
        Ok(Member {
            name,
            // pip also looks at the execute bits only.
            executable: self.mode & 0o100 != 0,
            data: RawData {
                method,
                crc32: self.crc32,
                compressed_bytes: self.compressed_bytes,
                size_bytes: self.size_bytes,
                header_offset: self.header_offset,
            },
        })
    }
}

/// Why a relative path with `/` must not be a member of an archive; `None` if it may. Completes "the member `x` …".
///
/// When unpacked, such a path would name a file outside the directory, or a different one than it seems to.
pub fn path_fault(path: &str) -> Option<&'static str> {
    if path.starts_with('/') {
        return Some("has an absolute path");
    }
    if path.contains('\0') {
        return Some("has a null character in its name");
    }
    if path.len() > usize::from(u16::MAX) {
        return Some("has a name longer than a zip archive can hold");
    }
    path.split('/').find_map(|part| match part {
        ".." => Some("has a path that leaves the directory it is unpacked to"),
        "" | "." => Some("has a path with an empty or `.` component"),
        _ => None,
    })
}

/// What else is refused in a wheel, because wheels are unpacked on any system.
fn foreign_path_fault(path: &str) -> Option<&'static str> {
    if path.contains('\\') {
        return Some("has a backslash in its path");
    }
    if path.chars().any(char::is_control) {
        return Some("has a control character in its name");
    }
    // `C:x` is absolute on Windows.
    let drive = path.as_bytes().get(1) == Some(&b':') && path.starts_with(|c: char| c.is_ascii_alphabetic());
    drive.then_some("has an absolute path")
}

/// Refuse a wheel that unpacks to many times its size: it would keep this program, and later the agent, busy for hours.
fn refuse_bombs(wheel: &str, members: &[Member], archive_bytes: u64) -> Result<(), WheelError> {
    let unpacked = members.iter().fold(0_u64, |sum, member| sum.saturating_add(member.data.size_bytes));
    if unpacked <= UNPACKED_FREE_BYTES || unpacked / archive_bytes.max(1) <= MAX_RATIO {
        return Ok(());
    }
    Err(WheelError::Bomb { wheel: wheel.to_string(), unpacked_bytes: unpacked, archive_bytes })
}

/// Refuse members that share bytes: a small archive can unpack to a huge one with them.
fn refuse_overlaps(wheel: &str, members: &mut [Member], directory_offset: u64) -> Result<(), WheelError> {
    // From the last to the first: each member has to end before the next one starts.
    members.sort_unstable_by_key(|member| member.data.header_offset);
    let mut next = directory_offset;
    for Member { name, data, .. } in members.iter().rev() {
        let end = (data.header_offset)
            .checked_add(LOCAL_HEADER_BYTES + name.len() as u64)
            .and_then(|start| start.checked_add(data.compressed_bytes));
        if end.is_none_or(|end| end > next) {
            return Err(WheelError::member(wheel, name, "shares bytes with another part of the archive"));
        }
        next = data.header_offset;
    }
    Ok(())
}

/// Sort by name and merge equal members. Two contents under one name are refused.
fn distinct(wheel: &str, mut members: Vec<Member>) -> Result<Vec<Member>, WheelError> {
    members.sort_by(|a, b| a.name.cmp(&b.name));
    let clash =
        members.windows(2).find(|pair| pair[0].name == pair[1].name && !same_content(&pair[0], &pair[1]));
    if let Some(pair) = clash {
        return Err(WheelError::member(wheel, &pair[0].name, "occurs twice, with different contents"));
    }
    // Some build tools write a file twice. Equal copies do no harm.
    members.dedup_by(|a, b| a.name == b.name);
    let inside_file = members.iter().find(|member| {
        let inside = format!("{}/", member.name);
        let first = members.partition_point(|other| other.name < inside);
        members.get(first).is_some_and(|other| other.name.starts_with(&inside))
    });
    match inside_file {
        Some(member) => Err(WheelError::member(wheel, &member.name, "is both a file and a directory")),
        None => Ok(members),
    }
}

/// Refuse names that differ only in case: on some systems they are one file, and one of the two would replace the
/// other.
///
/// Only files that Python looks up are checked: modules, `.pth` files, metadata. Data files may have such names, which
/// the target's file system keeps apart; wheels with Linux headers have them (`xt_MARK.h`, `xt_mark.h`).
fn refuse_case_twins(wheel: &str, members: &[Member]) -> Result<(), WheelError> {
    let mut seen: HashMap<String, &str> = HashMap::new();
    for Member { name, .. } in members.iter().filter(|member| is_looked_for(&member.name)) {
        if let Some(twin) = seen.insert(name.to_lowercase(), name) {
            let reason = format!("differs only in case from `{}`", twin.escape_debug());
            return Err(WheelError::member(wheel, name, reason));
        }
    }
    Ok(())
}

fn is_looked_for(name: &str) -> bool {
    let lower = name.to_lowercase();
    [".py", ".so", ".pth"].iter().any(|suffix| lower.ends_with(suffix)) || lower.contains(".dist-info/")
}

fn same_content(a: &Member, b: &Member) -> bool {
    (a.data.crc32, a.data.size_bytes, a.executable) == (b.data.crc32, b.data.size_bytes, b.executable)
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..at + 2).and_then(|field| field.try_into().ok()).map_or(0, u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|field| field.try_into().ok()).map_or(0, u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|field| field.try_into().ok()).map_or(0, u64::from_le_bytes)
}
