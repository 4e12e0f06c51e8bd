//! Decodes the text of a requirements file.
//!
//! Source: pip 25 (`pip._internal.utils.encoding`, behaviour): a byte order mark decides; else a declaration
//! `# -*- coding: NAME -*-` (PEP 263) in the first two lines; else UTF-8; else the locale's encoding, for which
//! Windows-1252 stands here on every machine.

use super::error::CollectError;
use crate::error::Place;
use encoding_rs::{Encoding, UTF_16BE, UTF_16LE, WINDOWS_1252};
use std::path::Path;

/// A decoded file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Decoded {
    /// Its text.
    pub(super) text: String,
    /// The first line that is not UTF-8, in a file that says nothing of its encoding: Windows-1252 was assumed.
    pub(super) assumed_at: Option<usize>,
}

impl From<String> for Decoded {
    fn from(text: String) -> Decoded {
        Decoded { text, assumed_at: None }
    }
}

/// Decode a requirements file.
///
/// # Errors
/// Bytes that are invalid in the encoding, or an unknown declared encoding; with the line.
pub(super) fn decode(bytes: &[u8], file: &Path) -> Result<Decoded, CollectError> {
    let place = |line: usize| Place { file: file.to_path_buf(), line: Some(line), column: None };
    let marked = match bytes {
        [0xEF, 0xBB, 0xBF, rest @ ..] => return utf8(rest, file).map(Decoded::from),
        [0xFF, 0xFE, 0, 0, rest @ ..] => utf32(rest, u32::from_le_bytes),
        [0, 0, 0xFE, 0xFF, rest @ ..] => utf32(rest, u32::from_be_bytes),
        [0xFF, 0xFE, rest @ ..] => whole(UTF_16LE, rest),
        [0xFE, 0xFF, rest @ ..] => whole(UTF_16BE, rest),
        _ => return declared(bytes, file),
    };
    marked.map(Decoded::from).ok_or_else(|| {
        CollectError::invalid_with(
            place(1),
            "begins with the mark of UTF-16 or UTF-32, but is not valid as such",
            "save it as UTF-8",
        )
    })
}

fn declared(bytes: &[u8], file: &Path) -> Result<Decoded, CollectError> {
    let lines = bytes.split(|byte| *byte == b'\n').take(2);
    let declaration = lines.enumerate().find_map(|(index, line)| Some((index + 1, coding(line)?)));
    let Some((line, name)) = declaration else { return undeclared(bytes, file) };
    let name_in_table = name.to_ascii_lowercase().replace('_', "-");
    let text = match name_in_table.as_str() {
        "utf-8" | "utf8" | "utf-8-sig" => return utf8(bytes, file).map(Decoded::from),
        // Browsers take these for Windows-1252, and so does the table of their names.
        "latin-1" | "latin1" | "iso-8859-1" | "iso8859-1" | "l1" | "cp819" => {
            Some(encoding_rs::mem::decode_latin1(bytes).into_owned())
        }
        "ascii" | "us-ascii" => bytes.is_ascii().then(|| String::from_utf8_lossy(bytes).into_owned()),
        other => Encoding::for_label(other.as_bytes())
            .filter(|encoding| encoding.is_ascii_compatible())
            .and_then(|encoding| whole(encoding, bytes)),
    };
    text.map(Decoded::from).ok_or_else(|| {
        CollectError::invalid_with(
            Place { file: file.to_path_buf(), line: Some(line), column: None },
            format!("the encoding `{name}` is not known here, or the text is not in it"),
            "save it as UTF-8",
        )
    })
}

/// UTF-8, else what an editor on Windows saves: comments are where such letters are, and they decide nothing.
fn undeclared(bytes: &[u8], file: &Path) -> Result<Decoded, CollectError> {
    refuse_zero_bytes(bytes, file)?;
    Ok(match std::str::from_utf8(bytes) {
        Ok(text) => text.to_string().into(),
        Err(error) => Decoded {
            text: WINDOWS_1252.decode_without_bom_handling(bytes).0.into_owned(),
            assumed_at: Some(line_of(bytes, error.valid_up_to())),
        },
    })
}

fn line_of(bytes: &[u8], offset: usize) -> usize {
    bytes.iter().take(offset).filter(|byte| **byte == b'\n').count() + 1
}

fn refuse_zero_bytes(bytes: &[u8], file: &Path) -> Result<(), CollectError> {
    let Some(offset) = bytes.iter().position(|byte| *byte == 0) else { return Ok(()) };
    Err(CollectError::invalid_with(
        Place { file: file.to_path_buf(), line: Some(line_of(bytes, offset)), column: None },
        "a zero byte: this is not text, or it is UTF-16 without its byte order mark",
        "save it as UTF-8",
    ))
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
    refuse_zero_bytes(bytes, file)?;
    String::from_utf8(bytes.to_vec()).map_err(|error| {
        let line = line_of(bytes, error.utf8_error().valid_up_to());
        CollectError::invalid_with(
            Place { file: file.to_path_buf(), line: Some(line), column: None },
            "a byte that is not UTF-8, though the file says that it is",
            "save it as UTF-8, or declare its encoding in the first line: `# -*- coding: latin-1 -*-`",
        )
    })
}

/// The text, if all of it is in `encoding`.
fn whole(encoding: &'static Encoding, bytes: &[u8]) -> Option<String> {
    encoding.decode_without_bom_handling_and_without_replacement(bytes).map(String::from)
}

fn utf32(bytes: &[u8], read: fn([u8; 4]) -> u32) -> Option<String> {
    if !bytes.len().is_multiple_of(4) {
        return None;
    }
    bytes.chunks_exact(4).map(|four| char::from_u32(read([four[0], four[1], four[2], four[3]]))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_and_declarations_are_used() {
        let utf16: Vec<u8> = "\u{feff}a>=1 # é\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
        for (bytes, want) in [
            (b"a\n".as_slice(), "a\n"),
            (b"\xEF\xBB\xBFa\n", "a\n"),
            (utf16.as_slice(), "a>=1 # é\n"),
            (b"\xFE\xFF\0a", "a"),
            (b"# -*- coding: latin-1 -*-\na # \xE9", "# -*- coding: latin-1 -*-\na # é"),
            (b"# coding: latin-1\n# \x80", "# coding: latin-1\n# \u{80}"),
            (b"# coding: iso8859_15\n# \xA4", "# coding: iso8859_15\n# €"),
            (b"# coding: shift_jis\n# \x93\xFA", "# coding: shift_jis\n# 日"),
            (b"\n# vim: set fileencoding=cp1252 :\n# \x80", "\n# vim: set fileencoding=cp1252 :\n# €"),
        ] {
            assert_eq!(decode(bytes, Path::new("r.txt")).unwrap(), want.to_string().into());
        }
    }

    #[test]
    fn what_neither_is_utf8_nor_says_so_is_taken_for_windows_1252() {
        let decoded = decode(b"a\n# caf\xE9 \x96\nb\n", Path::new("r.txt")).unwrap();
        assert_eq!(decoded, Decoded { text: "a\n# café –\nb\n".into(), assumed_at: Some(2) });
    }

    #[test]
    fn what_is_no_text_is_refused_with_its_line() {
        for (bytes, line) in [
            (b"\xEF\xBB\xBFa\nb \xE9\n".as_slice(), 2),
            (b"a\0b\0", 1),
            (b"# coding: klingon\n", 1),
            (b"# coding: ascii\n# \xE9", 1),
            (b"# coding: utf-16\n#", 1),
            (b"# coding: shift_jis\n# \xFF", 1),
            (b"\xFF\xFEa", 1),
        ] {
            let Err(CollectError::Invalid { place, .. }) = decode(bytes, Path::new("r.txt")) else {
                panic!("{bytes:?} was taken")
            };
            assert_eq!(place.line, Some(line), "{bytes:?}");
        }
    }
}
