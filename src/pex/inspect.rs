//! List the distributions of a PEX file from a few kilobytes of it: the end of the archive, then the member `PEX-INFO`.
//!
//! The file may be remote and hundreds of megabytes long, so only spans of bounded size are read. Nothing in it is
//! trusted: lengths are checked, and the content by its CRC-32. Source: APPNOTE.TXT 6.3, sections 4.3.7, 4.3.12, 4.3.14
//! to 4.3.16.

use crate::wheel::WheelName;
use flate2::Crc;
use flate2::bufread::DeflateDecoder;
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::collections::BTreeMap;
use std::io::Read;

/// Enough for the end records and, in files that we wrote, the directory entry of PEX-INFO.
const TAIL_BYTES: u64 = 64 << 10;
/// About 300 000 members.
const MOST_DIRECTORY_BYTES: u64 = 32 << 20;
/// PEX-INFO of a thousand distributions has about 150 kB.
const MOST_INFO_BYTES: u64 = 4 << 20;
const END: (&[u8], usize) = (b"PK\x05\x06", 22);
const ZIP64_LOCATOR: (&[u8], usize) = (b"PK\x06\x07", 20);
const ZIP64_END: (&[u8], usize) = (b"PK\x06\x06", 56);
const ENTRY: (&[u8], usize) = (b"PK\x01\x02", 46);
const LOCAL_HEADER: (&[u8], usize) = (b"PK\x03\x04", 30);
/// Room for the extra field of a local header.
const EXTRA_BYTES: u64 = 1 << 10;
const NAME: &[u8] = b"PEX-INFO";

/// A range of bytes of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Span {
    /// The last bytes, or all of them if the file is shorter.
    Last(u64),
    /// Bytes from a position on, or fewer at the end of the file.
    At {
        /// Where they begin.
        start: u64,
        /// How many.
        bytes: u64,
    },
}

/// The distributions of a PEX file cannot be listed.
#[derive(Debug, thiserror::Error)]
pub enum InspectError<E: std::error::Error + 'static> {
    /// A span cannot be read.
    #[error(transparent)]
    Read(#[from] E),
    /// It is not a PEX file that we understand.
    #[error("it is not a PEX file as expected: {0}")]
    Malformed(&'static str),
}

/// Names (normalised) and versions of the distributions in a PEX file. `read` returns the bytes of a span and the size
/// of the whole file. It is called twice, or three times when the directory is ordered differently from ours.
///
/// # Errors
/// Those of `read`, and a file that is not a ZIP archive or has no PEX-INFO.
pub fn distributions<E: std::error::Error + 'static>(
    mut read: impl FnMut(Span) -> Result<(Vec<u8>, u64), E>,
) -> Result<BTreeMap<String, String>, InspectError<E>> {
    let (tail, size) = read(Span::Last(TAIL_BYTES))?;
    let tail_start = size.checked_sub(tail.len() as u64).ok_or(malformed("its size is wrong"))?;
    let directory = directory(&tail, tail_start).ok_or(malformed("it has no directory"))?;
    // Our writer sorts members by path, so PEX-INFO is among the last entries of its directory and mostly within the
    // tail already.
    let seen = directory.start.max(tail_start).saturating_sub(tail_start);
    let seen = tail.get(usize::try_from(seen).unwrap_or(usize::MAX)..).unwrap_or_default();
    let entry = match find_entry(seen) {
        Some(entry) => entry,
        None if directory.start >= tail_start => return Err(malformed("it has no PEX-INFO")),
        None if directory.bytes > MOST_DIRECTORY_BYTES => return Err(malformed("its directory is too long")),
        None => {
            let (bytes, _) = read(Span::At { start: directory.start, bytes: directory.bytes })?;
            find_entry(&bytes).ok_or(malformed("it has no PEX-INFO"))?
        }
    };
    if entry.compressed_bytes > MOST_INFO_BYTES || entry.size_bytes > MOST_INFO_BYTES {
        return Err(malformed("its PEX-INFO is too long"));
    }
    // The local extra field may differ from the one in the directory, so its length is not known yet.
    let header = (LOCAL_HEADER.1 + NAME.len()) as u64;
    let bytes = header + EXTRA_BYTES + entry.compressed_bytes;
    let (member, _) = read(Span::At { start: entry.start, bytes })?;
    let text = content(&member, entry).ok_or(malformed("its PEX-INFO is damaged"))?;
    parse(&text).ok_or(malformed("its PEX-INFO cannot be read"))
}

fn malformed<E: std::error::Error + 'static>(what: &'static str) -> InspectError<E> {
    InspectError::Malformed(what)
}

/// The central directory.
struct Directory {
    start: u64,
    bytes: u64,
}

/// Find it through the end record, or the ZIP64 record before that.
fn directory(tail: &[u8], tail_start: u64) -> Option<Directory> {
    let is_end = |at: &usize| {
        let record = &tail[*at..];
        record.starts_with(END.0)
            && record.len() >= END.1
            // The signature may occur in a comment; only a comment that ends exactly at the end of the file makes it
            // the end record.
            && number(record, 20, 2) == Some((record.len() - END.1) as u64)
    };
    let at = (0..tail.len()).rev().find(is_end)?;
    let plain = Directory { bytes: number(tail, at + 12, 4)?, start: number(tail, at + 16, 4)? };
    let locator = at.checked_sub(ZIP64_LOCATOR.1).and_then(|from| tail.get(from..at));
    let Some(locator) = locator.filter(|locator| locator.starts_with(ZIP64_LOCATOR.0)) else {
        return Some(plain);
    };
    let record = usize::try_from(number(locator, 8, 8)?.checked_sub(tail_start)?).ok()?;
    let record = tail.get(record..)?;
    let whole = record.starts_with(ZIP64_END.0) && record.len() >= ZIP64_END.1;
    whole.then_some(Directory { bytes: number(record, 40, 8)?, start: number(record, 48, 8)? })
}

/// The directory entry of PEX-INFO.
#[derive(Clone, Copy)]
struct InfoEntry {
    start: u64,
    compressed_bytes: u64,
    size_bytes: u64,
    crc32: u64,
    method: u64,
}

/// Its entry in (a part of) the central directory. Bytes that only look like an entry are caught by the local header
/// and CRC-32.
fn find_entry(directory: &[u8]) -> Option<InfoEntry> {
    let name_end = ENTRY.1 + NAME.len();
    let is_it = |record: &&[u8]| {
        record.starts_with(ENTRY.0)
            && number(record, 28, 2) == Some(NAME.len() as u64)
            && record.get(ENTRY.1..name_end) == Some(NAME)
    };
    // From the end, since our writer puts PEX-INFO among the last.
    let record = (0..directory.len()).rev().map(|at| &directory[at..]).find(is_it)?;
    // A value of all ones is in a ZIP64 field: beyond 4 GiB, which no code location has.
    let value = |at: usize| number(record, at, 4).filter(|value| *value != u64::from(u32::MAX));
    Some(InfoEntry {
        method: number(record, 10, 2)?,
        crc32: number(record, 16, 4)?,
        compressed_bytes: value(20)?,
        size_bytes: value(24)?,
        start: value(42)?,
    })
}

/// The content of the member, if it matches its entry.
fn content(member: &[u8], entry: InfoEntry) -> Option<Vec<u8>> {
    let start = LOCAL_HEADER.1 + usize::try_from(number(member, 26, 2)? + number(member, 28, 2)?).ok()?;
    let end = start.checked_add(usize::try_from(entry.compressed_bytes).ok()?)?;
    let stored = member.starts_with(LOCAL_HEADER.0).then(|| member.get(start..end)).flatten()?;
    let mut content = Vec::new();
    match entry.method {
        0 => content.extend_from_slice(stored),
        8 => {
            // One byte more than promised is enough to see that the entry lied about its size.
            let read = DeflateDecoder::new(stored).take(entry.size_bytes + 1).read_to_end(&mut content);
            read.ok()?;
        }
        _ => return None,
    }
    let mut crc = Crc::new();
    crc.update(&content);
    (content.len() as u64 == entry.size_bytes && u64::from(crc.sum()) == entry.crc32).then_some(content)
}

/// The part of PEX-INFO about distributions: wheel file names and their fingerprints.
#[derive(Deserialize)]
struct Info {
    distributions: BTreeMap<String, IgnoredAny>,
}

fn parse(text: &[u8]) -> Option<BTreeMap<String, String>> {
    let info: Info = serde_json::from_slice(text).ok()?;
    let named = |file: String| file.parse::<WheelName>().ok().map(|it| (it.name(), it.version().to_string()));
    Some(info.distributions.into_keys().filter_map(named).collect())
}

/// A little-endian number of 2, 4 or 8 bytes.
fn number(bytes: &[u8], at: usize, length: usize) -> Option<u64> {
    let field = bytes.get(at..at.checked_add(length)?)?;
    Some(field.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::convert::Infallible;
    use std::io::Write;
    use zip::CompressionMethod;
    use zip::write::SimpleFileOptions;

    const INFO: &str = r#"{"distributions": {"a_B-1.0-py3-none-any.whl": "f", "c-2.1.post1-cp311-cp311-linux_x86_64.whl": "f", "odd": "f"}}"#;

    fn archive(members: &[(&str, &[u8])], method: CompressionMethod) -> Vec<u8> {
        let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        for (name, text) in members {
            archive.start_file(*name, SimpleFileOptions::default().compression_method(method)).unwrap();
            archive.write_all(text).unwrap();
        }
        archive.finish().unwrap().into_inner()
    }

    /// What it holds, and how many bytes were read for it in how many spans.
    fn inspect(file: &[u8]) -> (Result<BTreeMap<String, String>, String>, Vec<usize>) {
        let mut spans = Vec::new();
        let read = |span| {
            let size = file.len() as u64;
            let (start, end) = match span {
                Span::Last(bytes) => (size.saturating_sub(bytes), size),
                Span::At { start, bytes } => (start.min(size), start.saturating_add(bytes).min(size)),
            };
            let piece = file[start as usize..end as usize].to_vec();
            spans.push(piece.len());
            Ok::<_, Infallible>((piece, size))
        };
        let result = distributions(read).map_err(|error| error.to_string());
        (result, spans)
    }

    fn want() -> BTreeMap<String, String> {
        [("a-b", "1.0"), ("c", "2.1.post1")].map(|(name, version)| (name.into(), version.into())).into()
    }

    #[test]
    fn distributions_are_found_whatever_the_order_of_members() {
        let noise: Vec<u8> =
            (0..200_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()).collect();
        let names: Vec<String> = (0..2_000).map(|n| format!(".deps/a-rather-long-name/{n}.py")).collect();
        let many: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), &b"x"[..])).collect();
        let info = ("PEX-INFO", INFO.as_bytes());
        let large = ("large", noise.as_slice());
        let last = [&[large][..], &many, &[info, ("__main__.py", b"")]].concat();
        let first = [&[info, large][..], &many].concat();
        for method in [CompressionMethod::Stored, CompressionMethod::Deflated] {
            for (members, spans) in [(&last, 2), (&first, 3)] {
                let file = archive(members, method);
                assert!(file.len() > 10 * TAIL_BYTES as usize);
                let (got, read) = inspect(&file);
                assert_eq!((got, read.len()), (Ok(want()), spans), "{method:?}");
                assert!(read.iter().sum::<usize>() < file.len() / 2, "{read:?}");
            }
        }
        assert_eq!(inspect(&archive(&[info], CompressionMethod::Deflated)).0, Ok(want()));
    }

    #[test]
    fn a_file_that_is_not_a_pex_is_refused() {
        let info = ("PEX-INFO", INFO.as_bytes());
        let good = archive(&[info], CompressionMethod::Stored);
        let mut damaged = good.clone();
        let at = good.windows(4).position(|window| window == b"a_B-").unwrap();
        damaged[at] = b'x';
        for (file, says) in [
            (Vec::new(), "no directory"),
            (b"<html>".to_vec(), "no directory"),
            (good[..good.len() - 1].to_vec(), "no directory"),
            (archive(&[("other", b"")], CompressionMethod::Stored), "no PEX-INFO"),
            (damaged, "PEX-INFO is damaged"),
            (archive(&[("PEX-INFO", b"[]")], CompressionMethod::Stored), "PEX-INFO cannot be read"),
        ] {
            let error = inspect(&file).0.unwrap_err();
            assert!(error.contains(says), "{says}: {error}");
        }
    }

    proptest! {
        #[test]
        fn damage_is_an_error_or_harmless_and_never_a_panic(at in 0_usize..600, byte in any::<u8>(), cut in 0_usize..600) {
            let mut file = archive(&[("a", b"x"), ("PEX-INFO", INFO.as_bytes())], CompressionMethod::Deflated);
            let at = at % file.len();
            file[at] = byte;
            file.truncate(file.len().saturating_sub(cut % 40));
            if let (Ok(found), _) = inspect(&file) {
                prop_assert_eq!(found, want());
            }
        }
    }
}
