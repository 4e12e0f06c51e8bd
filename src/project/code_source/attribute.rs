//! Whether a Python file can define a name, judged by its text.

use crate::bounded_file::{TEXT_LIMIT_BYTES, read_text};
use std::path::Path;

/// Code that may define a name that is not in the text.
const DYNAMIC: [&str; 9] =
    ["import *", "globals(", "exec(", "setattr(", "locals(", "vars(", "__getattr__", "__dict__", "modules["];

/// Whether `file` may define `attribute`. It cannot if the word is not in its code.
pub(super) fn may_define(file: &Path, attribute: &str) -> bool {
    let Ok(text) = read_text(file, TEXT_LIMIT_BYTES) else { return true };
    let is_package = file.file_name().is_some_and(|name| name == "__init__.py");
    let is_submodule = is_package
        && (file.with_file_name(attribute).exists()
            || file.with_file_name(format!("{attribute}.py")).exists());
    let code = without_comments(&text);
    let mut words = code.split(|each: char| !(each.is_alphanumeric() || each == '_'));
    is_submodule || DYNAMIC.iter().any(|word| code.contains(word)) || words.any(|word| word == attribute)
}

/// Python code without comments. A `#` in a string is not a comment. Strings are kept: `globals()["defs"]` may define a
/// name.
fn without_comments(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['#', '"', '\'']) {
        let (code, from) = rest.split_at(at);
        kept.push_str(code);
        let end = if from.starts_with('#') { 0 } else { string_length(from) };
        kept.push_str(&from[..end]);
        rest = match end {
            0 => &from[from.find('\n').unwrap_or(from.len())..],
            _ => &from[end..],
        };
    }
    kept + rest
}

/// The length of the Python string at the start of `text`; the whole text if the string does not end.
fn string_length(text: &str) -> usize {
    let quote = &text[..1];
    let triple = quote.repeat(3);
    let quote = if text.starts_with(&triple) { triple.as_str() } else { quote };
    let mut at = quote.len();
    while let Some(next) = text[at..].chars().next() {
        match next {
            _ if text[at..].starts_with(quote) => return at + quote.len(),
            // An escaped character does not end the string.
            '\\' => at += 1 + text[at + 1..].chars().next().map_or(0, char::len_utf8),
            '\n' if quote.len() == 1 => return at,
            next => at += next.len_utf8(),
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_comments_are_taken_out() {
        for (text, want) in [
            ("# defs\na = 1  # defs\n", "\na = 1  \n"),
            ("a = '#'  # b", "a = '#'  "),
            ("a = \"\\\"#\" # b", "a = \"\\\"#\" "),
            ("'''a\n'\n# b\n'''# c\n", "'''a\n'\n# b\n'''\n"),
            ("a = '' # b\n'c'", "a = '' \n'c'"),
            ("a = 'unclosed\nb # c", "a = 'unclosed\nb "),
            ("'ä\\ä' # ö", "'ä\\ä' "),
            ("'\\", "'\\"),
            ("\"\"\"#", "\"\"\"#"),
        ] {
            assert_eq!(without_comments(text), want, "{text}");
        }
    }
}
