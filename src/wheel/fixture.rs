//! Wheels for tests, written byte by byte so that any field can be wrong on purpose.

use flate2::{Compression, Crc, write::DeflateEncoder};
use std::io::Write;
use std::path::{Path, PathBuf};

/// One member of a test wheel. The defaults are valid.
#[derive(Clone)]
pub(crate) struct TestMember {
    pub(crate) name: Vec<u8>,
    pub(crate) content: Vec<u8>,
    pub(crate) mode: u32,
    pub(crate) flags: u16,
    pub(crate) method: u16,
    pub(crate) crc32: Option<u32>,
    pub(crate) size: Option<u32>,
    /// Offset of the local header; `None` for the true one.
    pub(crate) header_offset: Option<u32>,
}

pub(crate) fn file(name: &str, content: &str) -> TestMember {
    TestMember {
        name: name.into(),
        content: content.into(),
        mode: 0o100_644,
        flags: 0,
        method: 8,
        crc32: None,
        size: None,
        header_offset: None,
    }
}

pub(crate) fn executable(name: &str, content: &str) -> TestMember {
    TestMember { mode: 0o100_755, ..file(name, content) }
}

/// A ZIP archive of these members. Local headers have zeros for sizes and an extra field, as streaming writers make
/// them.
pub(crate) fn zip_bytes(members: &[TestMember]) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for member in members {
        let data = match member.method {
            8 => {
                let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
                encoder.write_all(&member.content).unwrap();
                encoder.finish().unwrap()
            }
            _ => member.content.clone(),
        };
        let mut crc = Crc::new();
        crc.update(&member.content);
        let offset = member.header_offset.unwrap_or(out.len() as u32);
        let fields = |crc: u32, compressed: u32, size: u32| {
            let mut bytes = Vec::new();
            for value in [20, member.flags | 8, member.method, 0, 0x21] {
                bytes.extend(value.to_le_bytes());
            }
            for value in [crc, compressed, size] {
                bytes.extend(value.to_le_bytes());
            }
            bytes.extend((member.name.len() as u16).to_le_bytes());
            bytes
        };
        out.extend(b"PK\x03\x04");
        out.extend(fields(0, 0, 0));
        out.extend(4_u16.to_le_bytes());
        out.extend(&member.name);
        out.extend([0xfe, 0xca, 0, 0]);
        out.extend(&data);
        directory.extend(b"PK\x01\x02\x14\x03");
        let size = member.size.unwrap_or(member.content.len() as u32);
        directory.extend(fields(member.crc32.unwrap_or(crc.sum()), data.len() as u32, size));
        directory.extend([0; 8]);
        directory.extend((member.mode << 16).to_le_bytes());
        directory.extend(offset.to_le_bytes());
        directory.extend(&member.name);
    }
    let (offset, count) = (out.len() as u32, members.len() as u16);
    out.extend(&directory);
    out.extend(b"PK\x05\x06\0\0\0\0");
    out.extend(count.to_le_bytes());
    out.extend(count.to_le_bytes());
    out.extend((directory.len() as u32).to_le_bytes());
    out.extend(offset.to_le_bytes());
    out.extend([0, 0]);
    out
}

/// Write a ZIP archive of these members.
pub(crate) fn write_zip(dir: &Path, file_name: &str, members: &[TestMember]) -> PathBuf {
    let path = dir.join(file_name);
    std::fs::write(&path, zip_bytes(members)).unwrap();
    path
}

/// The dist-info files that every wheel has, with these additional METADATA lines.
pub(crate) fn dist_info(stem: &str, name: &str, version: &str, headers: &str) -> Vec<TestMember> {
    let metadata =
        format!("Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{headers}\nText: not a header\n");
    vec![
        file(&format!("{stem}.dist-info/METADATA"), &metadata),
        file(
            &format!("{stem}.dist-info/WHEEL"),
            "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        ),
        file(&format!("{stem}.dist-info/RECORD"), "x,,\n"),
    ]
}
