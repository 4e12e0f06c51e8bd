//! The records of a ZIP archive. Source: APPNOTE.TXT 6.3, sections 4.3 and 4.5.3.

use crate::wheel::archive::Method;

const UNIX: u8 = 3;
const VERSION_PLAIN: u16 = 20;
const VERSION_ZIP64: u16 = 45;
const FLAG_UTF8: u16 = 0x800;
/// 1980-01-01 00:00, the first date that the format can express, as pex writes it.
const DATE: u16 = 0x21;
const TIME: u16 = 0;
const DOS_DIRECTORY: u32 = 0x10;
const MODE_EXECUTABLE: u32 = 0o755;
const MODE_PLAIN: u32 = 0o644;
/// Marks a 4-byte field with its value in the ZIP64 field. This value itself therefore does not fit either.
const IN_ZIP64: u32 = u32::MAX;
/// From this size on, space for ZIP64 sizes is reserved before compressing, because DEFLATE may make its input a little
/// longer.
const RESERVE_ZIP64_BYTES: u64 = 0xf000_0000;

/// One entry, as the local header and the central directory describe it.
pub(super) struct Record<'a> {
    path: &'a str,
    executable: bool,
    method: Method,
    header_offset: u64,
    crc32: u32,
    compressed_bytes: u64,
    size_bytes: u64,
    wide_sizes: bool,
}

impl<'a> Record<'a> {
    /// An empty entry; a directory if the path ends in `/`.
    pub(super) fn new(path: &'a str, executable: bool, method: Method, header_offset: u64) -> Record<'a> {
        let (crc32, compressed_bytes, size_bytes, wide_sizes) = (0, 0, 0, false);
        Record { path, executable, method, header_offset, crc32, compressed_bytes, size_bytes, wide_sizes }
    }

    pub(super) fn header_offset(&self) -> u64 {
        self.header_offset
    }

    /// Make sure that content of about this size can be set later without changing the length of the header.
    pub(super) fn reserve(&mut self, expected_bytes: u64) {
        self.wide_sizes |= expected_bytes >= RESERVE_ZIP64_BYTES;
    }

    pub(super) fn set_content(&mut self, crc32: u32, compressed_bytes: u64, size_bytes: u64) {
        (self.crc32, self.compressed_bytes, self.size_bytes) = (crc32, compressed_bytes, size_bytes);
        self.wide_sizes |= is_wide(compressed_bytes) || is_wide(size_bytes);
    }

    /// The local header with the path.
    pub(super) fn local(&self) -> Vec<u8> {
        let wide = if self.wide_sizes { vec![self.size_bytes, self.compressed_bytes] } else { Vec::new() };
        let extra = zip64_extra(&wide);
        let mut bytes = b"PK\x03\x04".to_vec();
        self.common(&mut bytes, self.wide_sizes, self.wide_sizes);
        bytes.extend((extra.len() as u16).to_le_bytes());
        bytes.extend(self.path.as_bytes());
        bytes.extend(extra);
        bytes
    }

    /// The entry of the central directory.
    pub(super) fn central(&self) -> Vec<u8> {
        let mut wide =
            if self.wide_sizes { vec![self.size_bytes, self.compressed_bytes] } else { Vec::new() };
        if is_wide(self.header_offset) {
            wide.push(self.header_offset);
        }
        let extra = zip64_extra(&wide);
        let mut bytes = b"PK\x01\x02".to_vec();
        bytes.extend([VERSION_PLAIN as u8, UNIX]);
        // The field of the central directory lists only values that do not fit: sizes, then the offset (APPNOTE 4.5.3).
        self.common(&mut bytes, self.wide_sizes, !wide.is_empty());
        bytes.extend((extra.len() as u16).to_le_bytes());
        // No comment, first disk, no internal attributes.
        bytes.extend([0; 6]);
        bytes.extend(self.attributes().to_le_bytes());
        bytes.extend(narrow(self.header_offset).to_le_bytes());
        bytes.extend(self.path.as_bytes());
        bytes.extend(extra);
        bytes
    }

    /// The fields that both headers have, from the version needed to the length of the path.
    fn common(&self, bytes: &mut Vec<u8>, wide_sizes: bool, needs_zip64: bool) {
        let method: u16 = match self.method {
            Method::Stored => 0,
            Method::Deflated => 8,
        };
        // Without the flag readers decode the name as CP437. pex sets it only for names outside ASCII.
        let flags = if self.path.is_ascii() { 0 } else { FLAG_UTF8 };
        let version = if needs_zip64 { VERSION_ZIP64 } else { VERSION_PLAIN };
        for field in [version, flags, method, TIME, DATE] {
            bytes.extend(field.to_le_bytes());
        }
        bytes.extend(self.crc32.to_le_bytes());
        for size in [self.compressed_bytes, self.size_bytes] {
            bytes.extend(if wide_sizes { IN_ZIP64 } else { narrow(size) }.to_le_bytes());
        }
        bytes.extend((self.path.len() as u16).to_le_bytes());
    }

    fn attributes(&self) -> u32 {
        if self.path.ends_with('/') {
            return MODE_EXECUTABLE << 16 | DOS_DIRECTORY;
        }
        (if self.executable { MODE_EXECUTABLE } else { MODE_PLAIN }) << 16
    }
}

fn is_wide(value: u64) -> bool {
    value >= u64::from(IN_ZIP64)
}

fn narrow(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(IN_ZIP64)
}

fn zip64_extra(values: &[u64]) -> Vec<u8> {
    let mut bytes = Vec::new();
    if !values.is_empty() {
        bytes.extend(1_u16.to_le_bytes());
        bytes.extend((8 * values.len() as u16).to_le_bytes());
        bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    }
    bytes
}

/// The records at the end of the archive, and whether they include ZIP64 records.
pub(super) fn end_records(entries: u64, directory_bytes: u64, directory_offset: u64) -> (Vec<u8>, bool) {
    let zip64 = entries >= u64::from(u16::MAX) || is_wide(directory_bytes) || is_wide(directory_offset);
    let mut bytes = Vec::new();
    if zip64 {
        bytes.extend(b"PK\x06\x06");
        // Length of the rest of this record.
        bytes.extend(44_u64.to_le_bytes());
        bytes.extend([VERSION_ZIP64 as u8, UNIX]);
        bytes.extend(VERSION_ZIP64.to_le_bytes());
        bytes.extend([0; 8]);
        for field in [entries, entries, directory_bytes, directory_offset] {
            bytes.extend(field.to_le_bytes());
        }
        // The locator: where the ZIP64 end record is, on the first of one disks.
        bytes.extend(b"PK\x06\x07\0\0\0\0");
        bytes.extend((directory_offset + directory_bytes).to_le_bytes());
        bytes.extend(1_u32.to_le_bytes());
    }
    bytes.extend(b"PK\x05\x06\0\0\0\0");
    let count = u16::try_from(entries).unwrap_or(u16::MAX);
    bytes.extend(count.to_le_bytes());
    bytes.extend(count.to_le_bytes());
    bytes.extend(narrow(directory_bytes).to_le_bytes());
    bytes.extend(narrow(directory_offset).to_le_bytes());
    bytes.extend([0, 0]);
    (bytes, zip64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn u32_at(bytes: &[u8], at: usize) -> u32 {
        u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
    }

    #[test]
    fn an_offset_past_4_gib_goes_to_the_zip64_field() {
        for (offset, is_wide) in [(0xffff_fffe_u64, false), (0xffff_ffff, true), (0x1_2345_6789, true)] {
            let record = Record::new("a", false, Method::Stored, offset);
            let central = record.central();
            let extra = &central[46 + 1..];
            if is_wide {
                assert_eq!(u32_at(&central, 42), u32::MAX);
                assert_eq!(extra[..4], [1, 0, 8, 0]);
                assert_eq!(extra[4..], offset.to_le_bytes());
            } else {
                assert_eq!((u32_at(&central, 42), extra), (offset as u32, &[][..]));
            }
            assert_eq!(central[6], if is_wide { 45 } else { 20 });
            assert_eq!(record.local().len(), 31, "the local header has no offset");
        }
    }

    #[test]
    fn a_size_past_4_gib_goes_to_the_zip64_fields_of_both_headers() {
        let mut record = Record::new("a", false, Method::Deflated, 0);
        record.set_content(7, 10, 0x1_0000_0000);
        for (bytes, sizes_at, fixed) in [(record.local(), 18, 30), (record.central(), 20, 46)] {
            assert_eq!((u32_at(&bytes, sizes_at), u32_at(&bytes, sizes_at + 4)), (u32::MAX, u32::MAX));
            let extra = &bytes[fixed + 1..];
            assert_eq!(extra[..4], [1, 0, 16, 0]);
            assert_eq!(extra[4..12], 0x1_0000_0000_u64.to_le_bytes());
            assert_eq!(extra[12..], 10_u64.to_le_bytes());
        }
    }

    #[test]
    fn a_reserved_header_keeps_its_length() {
        let mut record = Record::new("a", false, Method::Deflated, 0);
        record.reserve(0xf800_0000);
        let reserved = record.local().len();
        record.set_content(7, 0x1_0000_0000, 0xf800_0000);
        assert_eq!(record.local().len(), reserved);
    }

    #[test]
    fn zip64_end_records_are_written_only_when_needed() {
        for (entries, size, offset, want) in [
            (65534, 1, 0xffff_fffe, false),
            (65535, 1, 1, true),
            (1, 1, 0xffff_ffff, true),
            (1, 0xffff_ffff, 1, true),
        ] {
            let (bytes, zip64) = end_records(entries, size, offset);
            assert_eq!((zip64, bytes.len()), (want, if want { 56 + 20 + 22 } else { 22 }));
        }
    }
}
