//! Checks on the text outside the grammar: size, encoding, characters, tabs.

use super::{MAX_FILE_BYTES, Mark, YamlError};
use std::borrow::Cow;
use std::ops::Range;

/// The text of a file, without a byte order mark, with line feeds as line ends.
///
/// # Errors
/// When it is too large, not UTF-8, or has characters that YAML does not allow.
pub fn checked_text(bytes: &[u8]) -> Result<Cow<'_, str>, YamlError> {
    let start = Mark { line: 1, column: 1 };
    let refuse =
        |problem: String, hint: &str, mark| YamlError { problem, hint: Some(hint.to_string()), mark };
    if bytes.len() > MAX_FILE_BYTES {
        let problem = format!("the file has more than {MAX_FILE_BYTES} bytes");
        return Err(refuse(problem, "check that this is the file you meant", start));
    }
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        let problem = "the file is UTF-16, not UTF-8".to_string();
        return Err(refuse(problem, "save it as UTF-8", start));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let valid = String::from_utf8_lossy(bytes.get(..error.valid_up_to()).unwrap_or_default());
        let byte = bytes.get(error.valid_up_to()).copied().unwrap_or_default();
        let problem = format!("the file is not UTF-8: byte 0x{byte:02x} does not belong here");
        refuse(problem, "save it as UTF-8", mark_at(&valid, valid.len()))
    })?;
    // PyYAML ignores a byte order mark too.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    match text.char_indices().find(|(_, character)| !allowed(*character)) {
        // Python's text mode does the same before PyYAML sees the text.
        None if text.contains('\r') => Ok(text.replace("\r\n", "\n").replace('\r', "\n").into()),
        None => Ok(text.into()),
        Some((at, character)) => {
            let problem = format!("the character U+{:04X} is not allowed in YAML", u32::from(character));
            Err(refuse(problem, "remove it, or write it as an escape in double quotes", mark_at(text, at)))
        }
    }
}

/// Source: YAML 1.1, production 1 (`c-printable`); without the byte order mark, and without three line breaks that YAML
/// 1.2 dropped and no editor shows: U+0085, U+2028, U+2029.
fn allowed(character: char) -> bool {
    matches!(character, '\t' | '\n' | '\r' | ' '..='~' | '\u{a0}'..='\u{fffd}' | '\u{10000}'..)
        && !matches!(character, '\u{feff}' | '\u{2028}' | '\u{2029}')
}

/// Find a tab that PyYAML refuses: anywhere except in comments and in quoted and block scalars.
///
/// The parser accepts them, as YAML 1.2 does. `scalars` are byte ranges in order, each with a flag for plain scalars.
pub fn misplaced_tab(text: &str, scalars: &[(Range<usize>, bool)]) -> Option<YamlError> {
    let mut from = 0;
    let mut found = None;
    for (range, plain) in scalars {
        let gap = from..range.start.max(from);
        found = tab_in_gap(text, gap).or_else(|| plain.then(|| tab_in(text, range.clone())).flatten());
        if found.is_some() {
            break;
        }
        from = range.end.max(from);
    }
    let at = found.or_else(|| tab_in_gap(text, from..text.len()))?;
    Some(tab_error(mark_at(text, at)))
}

/// The error for a tab at `mark`.
pub fn tab_error(mark: Mark) -> YamlError {
    YamlError {
        problem: "a tab character where YAML allows only spaces".to_string(),
        hint: Some("replace it with spaces".to_string()),
        mark,
    }
}

/// The first tab that indents a line, from line `from` on.
pub fn tab_in_indentation(text: &str, from: usize) -> Option<Mark> {
    text.lines().enumerate().skip(from - 1).find_map(|(index, line)| {
        let indentation = &line[..line.len() - line.trim_start().len()];
        let column = indentation.find('\t')? + 1;
        Some(Mark { line: index + 1, column })
    })
}

fn tab_in(text: &str, range: Range<usize>) -> Option<usize> {
    Some(range.start + text.get(range)?.find('\t')?)
}

/// The first tab before a comment on its line.
fn tab_in_gap(text: &str, gap: Range<usize>) -> Option<usize> {
    let mut at = gap.start;
    for line in text.get(gap)?.split_inclusive('\n') {
        let code = line.split('#').next().unwrap_or(line);
        if let Some(tab) = code.find('\t') {
            return Some(at + tab);
        }
        at += line.len();
    }
    None
}

/// Line and column of a byte offset.
pub fn mark_at(text: &str, offset: usize) -> Mark {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
    Mark { line: before.matches('\n').count() + 1, column }
}
