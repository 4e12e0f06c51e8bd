//! The files of the PEX runtime inside this program, so that a fresh machine needs no package index for them.
//!
//! `scripts/build-dist` puts them there: `scripts/dist/runtime` reads them from the pinned wheel. A program that cargo
//! builds has none, and fetches the wheel.
//!
//! Format: `.lzma` of records, each a path and a content, both with their length before them as four bytes, least
//! significant first.

use lzma_rust2::LzmaReader;
use std::io::{self, Read};

#[cfg(embedded_runtime)]
const PACKED: Option<&[u8]> = Some(include_bytes!(env!("PEXPRESS_PEX_RUNTIME")));
#[cfg(not(embedded_runtime))]
const PACKED: Option<&[u8]> = None;

/// Memory that unpacking may use, in KiB.
const MEMORY_KIB: u32 = 16 * 1024;
/// Bytes of all files that are accepted.
const LIMIT_BYTES: u64 = 32 * 1024 * 1024;

/// Paths and contents.
pub(super) type Files = Vec<(String, Vec<u8>)>;

/// Whether this program has them.
pub(super) fn is_there() -> bool {
    PACKED.is_some()
}

/// The files; `None` if this program has none.
pub(super) fn files() -> Option<io::Result<Files>> {
    Some(unpack(PACKED?))
}

fn unpack(packed: &[u8]) -> io::Result<Files> {
    // As a stream: at this moment, other threads have lock files in memory.
    let mut reader = LzmaReader::new_mem_limit(packed, MEMORY_KIB, None)?.take(LIMIT_BYTES);
    let mut files = Vec::new();
    while let Some(path) = field(&mut reader)? {
        let path = String::from_utf8(path).map_err(|_| damaged())?;
        files.push((path, field(&mut reader)?.ok_or_else(damaged)?));
    }
    Ok(files)
}

/// The next path or content; `None` at the end.
fn field(reader: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut length = Vec::with_capacity(4);
    reader.take(4).read_to_end(&mut length)?;
    if length.is_empty() {
        return Ok(None);
    }
    let length: [u8; 4] = length.try_into().map_err(|_| damaged())?;
    let length = u64::from(u32::from_le_bytes(length));
    let capacity = usize::try_from(length.min(LIMIT_BYTES)).map_err(|_| damaged())?;
    let mut field = Vec::with_capacity(capacity);
    reader.take(length).read_to_end(&mut field)?;
    if field.len() as u64 == length { Ok(Some(field)) } else { Err(damaged()) }
}

fn damaged() -> io::Error {
    io::ErrorKind::InvalidData.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `a.py` with `x = 1` and `b/c.py` with nothing, as Python's `lzma` packs them.
    const SAMPLE: &[u8] = &[
        93, 0, 0, 64, 0, 255, 255, 255, 255, 255, 255, 255, 255, 0, 2, 0, 54, 205, 22, 10, 119, 120, 248,
        138, 152, 111, 127, 59, 250, 224, 72, 177, 196, 118, 90, 199, 216, 170, 195, 178, 20, 102, 167, 255,
        255, 222, 50, 0, 0,
    ];

    #[test]
    fn files_are_unpacked_and_damage_is_an_error() {
        let files = unpack(SAMPLE).unwrap();
        assert_eq!(files, [("a.py".to_string(), b"x = 1\n".to_vec()), ("b/c.py".to_string(), Vec::new())]);
        assert!(unpack(&SAMPLE[..SAMPLE.len() - 6]).is_err());
        assert!(unpack(b"PK\x03\x04").is_err());
    }
}
