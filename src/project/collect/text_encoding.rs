//! The text of a requirements file, whatever it is encoded in.
//!
//! Source: pip 25 (`pip._internal.utils.encoding`, behaviour): a byte order mark decides; else a declaration
//! `# -*- coding: NAME -*-` (PEP 263) in the first two lines; else UTF-8.

use super::error::CollectError;
use crate::error::Place;
use std::path::Path;

/// Decode a requirements file.
///
/// # Errors
/// Bytes that are no text in the encoding, or an encoding declared that is not known here; with the line.
pub(super) fn decode(bytes: &[u8], file: &Path) -> Result<String, CollectError> {
    let place = |line: usize| Place { file: file.to_path_buf(), line: Some(line), column: None };
    let marked = match bytes {
        [0xEF, 0xBB, 0xBF, rest @ ..] => return utf8(rest, file),
        [0xFF, 0xFE, 0, 0, rest @ ..] => utf32(rest, u32::from_le_bytes),
        [0, 0, 0xFE, 0xFF, rest @ ..] => utf32(rest, u32::from_be_bytes),
        [0xFF, 0xFE, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xFE, 0xFF, rest @ ..] => utf16(rest, u16::from_be_bytes),
        _ => return declared(bytes, file),
    };
    marked.ok_or_else(|| {
        CollectError::invalid_with(
            place(1),
            "begins with the mark of UTF-16 or UTF-32, but is not such text",
            "save it as UTF-8",
        )
    })
}

fn declared(bytes: &[u8], file: &Path) -> Result<String, CollectError> {
    let lines = bytes.split(|byte| *byte == b'\n').take(2);
    let declaration = lines.enumerate().find_map(|(index, line)| Some((index + 1, coding(line)?)));
    let Some((line, name)) = declaration else { return utf8(bytes, file) };
    match name.to_ascii_lowercase().replace('_', "-").as_str() {
        "utf-8" | "utf8" | "utf-8-sig" => utf8(bytes, file),
        "latin-1" | "latin1" | "iso-8859-1" | "iso8859-1" | "l1" | "cp819" => {
            Ok(bytes.iter().map(|byte| char::from(*byte)).collect())
        }
        "cp1252" | "windows-1252" => Ok(bytes.iter().map(|byte| cp1252(*byte)).collect()),
        "ascii" | "us-ascii" if bytes.is_ascii() => utf8(bytes, file),
        _ => Err(CollectError::invalid_with(
            Place { file: file.to_path_buf(), line: Some(line), column: None },
            format!("the encoding `{name}` is not known here, or the text is not in it"),
            "save it as UTF-8",
        )),
    }
}

/// The name in `# … coding: NAME` or `coding=NAME`.
fn coding(line: &[u8]) -> Option<String> {
    let line = String::from_utf8_lossy(line);
    let comment = line.strip_prefix('#')?;
    let rest = comment.split_once("coding").map(|(_, rest)| rest)?;
    let rest = rest.strip_prefix([':', '='])?.trim_start();
    let name: String =
        rest.chars().take_while(|each| each.is_ascii_alphanumeric() || "-_.".contains(*each)).collect();
    (!name.is_empty()).then_some(name)
}

fn utf8(bytes: &[u8], file: &Path) -> Result<String, CollectError> {
    let refuse = |valid: usize| {
        let line = bytes[..valid].iter().filter(|byte| **byte == b'\n').count() + 1;
        CollectError::invalid_with(
            Place { file: file.to_path_buf(), line: Some(line), column: None },
            "a byte that is not UTF-8",
            "save it as UTF-8, or declare its encoding in the first line: `# -*- coding: latin-1 -*-`",
        )
    };
    if let Some(nul) = bytes.iter().position(|byte| *byte == 0) {
        return Err(refuse(nul));
    }
    String::from_utf8(bytes.to_vec()).map_err(|error| refuse(error.utf8_error().valid_up_to()))
}

fn utf16(bytes: &[u8], read: fn([u8; 2]) -> u16) -> Option<String> {
    if !bytes.len().is_multiple_of(2) {
        return None;
    }
    let units = bytes.chunks_exact(2).map(|pair| read([pair[0], pair[1]]));
    char::decode_utf16(units).collect::<Result<_, _>>().ok()
}

fn utf32(bytes: &[u8], read: fn([u8; 4]) -> u32) -> Option<String> {
    if !bytes.len().is_multiple_of(4) {
        return None;
    }
    bytes.chunks_exact(4).map(|four| char::from_u32(read([four[0], four[1], four[2], four[3]]))).collect()
}

/// Windows-1252 differs from Latin-1 in 0x80 to 0x9F. Source: Unicode's mapping table CP1252.
fn cp1252(byte: u8) -> char {
    const HIGH: [char; 32] = [
        '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}',
        '\u{90}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
    ];
    match byte {
        0x80..=0x9F => HIGH[usize::from(byte - 0x80)],
        other => char::from(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_and_declarations_are_heeded() {
        let utf16: Vec<u8> = "\u{feff}a>=1 # é\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
        for (bytes, want) in [
            (b"a\n".as_slice(), "a\n"),
            (b"\xEF\xBB\xBFa\n", "a\n"),
            (utf16.as_slice(), "a>=1 # é\n"),
            (b"\xFE\xFF\0a", "a"),
            (b"# -*- coding: latin-1 -*-\na # \xE9", "# -*- coding: latin-1 -*-\na # é"),
            (b"\n# vim: set fileencoding=cp1252 :\n# \x80", "\n# vim: set fileencoding=cp1252 :\n# €"),
        ] {
            assert_eq!(decode(bytes, Path::new("r.txt")).unwrap(), want);
        }
    }

    #[test]
    fn what_is_no_text_is_refused_with_its_line() {
        for (bytes, line) in
            [(b"a\nb \xE9\n".as_slice(), 2), (b"a\0b\0", 1), (b"# coding: klingon\n", 1), (b"\xFF\xFEa", 1)]
        {
            let Err(CollectError::Invalid { place, .. }) = decode(bytes, Path::new("r.txt")) else {
                panic!("{bytes:?} was taken")
            };
            assert_eq!(place.line, Some(line), "{bytes:?}");
        }
    }
}
