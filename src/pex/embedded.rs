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
    let mut records = Vec::new();
    let reader = LzmaReader::new_mem_limit(packed, MEMORY_KIB, None)?;
    reader.take(LIMIT_BYTES).read_to_end(&mut records)?;
    let mut rest = records.as_slice();
    let mut files = Vec::new();
    while !rest.is_empty() {
        let path = String::from_utf8(field(&mut rest)?.to_vec()).map_err(|_| damaged())?;
        files.push((path, field(&mut rest)?.to_vec()));
    }
    Ok(files)
}

/// The next path or content.
fn field<'a>(rest: &mut &'a [u8]) -> io::Result<&'a [u8]> {
    let (length, after) = rest.split_first_chunk::<4>().ok_or_else(damaged)?;
    let length = usize::try_from(u32::from_le_bytes(*length)).map_err(|_| damaged())?;
    let (field, after) = after.split_at_checked(length).ok_or_else(damaged)?;
    *rest = after;
    Ok(field)
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
