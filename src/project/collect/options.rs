//! The options of a requirements file's line.
//!
//! Source: pip's documentation, "Requirements file format", section on supported options. Like pip, an option may be
//! cut short where it stays unambiguous, and its value joined with `=` or (short options) with nothing.

use super::error::CollectError;
use crate::error::Place;
use pep508_rs::MarkerTree;
use std::str::FromStr;

/// One option.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub(super) enum Opt {
    Requirement(String),
    Constraint(String),
    Editable(String),
    IndexUrl(String),
    ExtraIndexUrl(String),
    FindLinks(String),
    NoIndex,
    NoBinary(String),
    OnlyBinary(String),
    Pre,
    RequireHashes,
    TrustedHost(String),
    Hash(String),
    /// `--config-settings KEY=VALUE` of the requirement on the same line.
    ConfigSetting(String),
    /// Known to pip, of no effect here.
    Ignored(String),
}

/// A line of a requirements file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    /// What is before the first option; may be empty.
    pub(super) requirement: String,
    /// The options, in order.
    pub(super) options: Vec<Opt>,
}

/// Short and long names, and whether a value follows.
const KNOWN: &[(&str, &str, bool)] = &[
    ("-r", "--requirement", true),
    ("-c", "--constraint", true),
    ("-e", "--editable", true),
    ("-i", "--index-url", true),
    ("", "--pypi-url", true),
    ("", "--extra-index-url", true),
    ("-f", "--find-links", true),
    ("", "--no-index", false),
    ("", "--no-binary", true),
    ("", "--only-binary", true),
    ("", "--prefer-binary", false),
    ("", "--pre", false),
    ("", "--require-hashes", false),
    ("", "--trusted-host", true),
    ("", "--use-feature", true),
    ("", "--hash", true),
    ("", "--global-option", true),
    ("", "--install-option", true),
    ("-C", "--config-settings", true),
    ("", "--all-releases", true),
    ("", "--only-final", true),
];

/// Split a line into its requirement and its options.
///
/// # Errors
/// An option that pip does not know in such a file, or that lacks its value.
pub(super) fn split(text: &str, place: &Place) -> Result<Line, CollectError> {
    let start = option_start(text);
    let requirement = text[..start].trim().to_string();
    let (text_of_options, marker) = split_marker(&text[start..]);
    let mut words = words(text_of_options, place)?.into_iter();
    let mut options = Vec::new();
    while let Some(word) = words.next() {
        if !word.starts_with('-') {
            return Err(CollectError::invalid_with(
                place.clone(),
                format!("`{word}` is not an option"),
                "write one requirement or option per line",
            ));
        }
        let (name, takes_value, joined) = recognise(&word, place)?;
        let value = match joined {
            Some(value) => value,
            None if takes_value => words.next().ok_or_else(|| {
                CollectError::invalid(place.clone(), format!("the option `{word}` needs a value"))
            })?,
            None => String::new(),
        };
        options.push(option(name, value));
    }
    if let (Some(marker), Some(Opt::Editable(path))) = (marker, options.first_mut()) {
        path.push_str(&format!(" ; {marker}"));
    }
    if !requirement.is_empty() {
        let misplaced = options
            .iter()
            .any(|option| !matches!(option, Opt::Hash(_) | Opt::ConfigSetting(_) | Opt::Ignored(_)));
        if misplaced {
            return Err(CollectError::invalid_with(
                place.clone(),
                format!("`{text}`: this option cannot follow a requirement"),
                "put it on a line of its own",
            ));
        }
    }
    Ok(Line { requirement, options })
}

/// The marker behind `-e PATH`, as `uv export` writes it: its quotes are not those of a shell.
fn split_marker(text: &str) -> (&str, Option<&str>) {
    let is_editable = text.starts_with("-e") || text.starts_with("--e");
    let parts = text.split_once(';').filter(|_| is_editable);
    match parts.map(|(path, marker)| (path, marker.trim())) {
        Some((path, marker)) if MarkerTree::from_str(marker).is_ok() => (path, Some(marker)),
        _ => (text, None),
    }
}

/// Where the first word that begins with `-` starts.
fn option_start(text: &str) -> usize {
    let mut before_is_space = true;
    for (at, each) in text.char_indices() {
        if each == '-' && before_is_space {
            return at;
        }
        before_is_space = each.is_whitespace();
    }
    text.len()
}

/// The long name of the option that a word names, whether it takes a value, and the value if joined.
fn recognise(word: &str, place: &Place) -> Result<(&'static str, bool, Option<String>), CollectError> {
    let unknown = || {
        CollectError::invalid_with(
            place.clone(),
            format!("pip knows no option `{word}` in a requirements file"),
            "see \"Requirements file format\" in pip's documentation",
        )
    };
    if let Some(long) = word.strip_prefix("--") {
        let (long, value) = match long.split_once('=') {
            Some((long, value)) => (long, Some(value.to_string())),
            None => (long, None),
        };
        let exact = KNOWN.iter().find(|(_, known, _)| known[2..] == *long);
        let mut beginnings =
            KNOWN.iter().filter(|(_, known, _)| !long.is_empty() && known[2..].starts_with(long));
        let found = exact.or_else(|| beginnings.next().filter(|_| beginnings.next().is_none()));
        let (_, name, takes_value) = found.ok_or_else(unknown)?;
        return Ok((name, *takes_value, value));
    }
    let short = word.get(..2).ok_or_else(unknown)?;
    let (_, name, takes_value) = KNOWN.iter().find(|(known, _, _)| *known == short).ok_or_else(unknown)?;
    let value = word[2..].strip_prefix('=').unwrap_or(&word[2..]);
    Ok((name, *takes_value, (!value.is_empty()).then(|| value.to_string())))
}

fn option(name: &str, value: String) -> Opt {
    match name {
        "--requirement" => Opt::Requirement(value),
        "--constraint" => Opt::Constraint(value),
        "--editable" => Opt::Editable(value),
        "--index-url" | "--pypi-url" => Opt::IndexUrl(value),
        "--extra-index-url" => Opt::ExtraIndexUrl(value),
        "--find-links" => Opt::FindLinks(value),
        "--no-index" => Opt::NoIndex,
        "--no-binary" => Opt::NoBinary(value),
        "--only-binary" => Opt::OnlyBinary(value),
        "--pre" => Opt::Pre,
        "--require-hashes" => Opt::RequireHashes,
        "--trusted-host" => Opt::TrustedHost(value),
        "--hash" => Opt::Hash(value),
        "--config-settings" => Opt::ConfigSetting(value),
        other => Opt::Ignored(other.to_string()),
    }
}

/// Split into words as a POSIX shell does: quotes and backslashes.
fn words(text: &str, place: &Place) -> Result<Vec<String>, CollectError> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    let mut characters = text.chars();
    while let Some(each) = characters.next() {
        match (quote, each) {
            (Some(open), each) if each == open => quote = None,
            (Some('"') | None, '\\') => {
                let next = characters.next();
                word.get_or_insert_default().extend(next);
            }
            (Some(_), each) => word.get_or_insert_default().push(each),
            (None, '"' | '\'') => {
                quote = Some(each);
                word.get_or_insert_default();
            }
            (None, each) if each.is_whitespace() => words.extend(word.take()),
            (None, each) => word.get_or_insert_default().push(each),
        }
    }
    if quote.is_some() {
        return Err(CollectError::invalid(place.clone(), format!("`{text}` has a quote that is not closed")));
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Place {
        Place { file: "r.txt".into(), line: Some(1), column: None }
    }

    #[test]
    fn options_are_read_in_each_spelling() {
        let text = |value: &str| value.to_string();
        for (line, requirement, options) in [
            (
                "a==1 --hash=sha256:x --hash sha256:y",
                "a==1",
                vec![Opt::Hash(text("sha256:x")), Opt::Hash(text("sha256:y"))],
            ),
            ("-r base.txt", "", vec![Opt::Requirement(text("base.txt"))]),
            ("-rbase.txt", "", vec![Opt::Requirement(text("base.txt"))]),
            ("--requirement=base.txt", "", vec![Opt::Requirement(text("base.txt"))]),
            ("-e '.[a b]'", "", vec![Opt::Editable(text(".[a b]"))]),
            ("-e ./a ; os_name == 'x y'", "", vec![Opt::Editable(text("./a ; os_name == 'x y'"))]),
            ("--editable=./a[b];os_name!='x'", "", vec![Opt::Editable(text("./a[b] ; os_name!='x'"))]),
            ("-e ./a;b", "", vec![Opt::Editable(text("./a;b"))]),
            ("--extra-index u", "", vec![Opt::ExtraIndexUrl(text("u"))]),
            ("-i u --pre", "", vec![Opt::IndexUrl(text("u")), Opt::Pre]),
            ("--prefer-binary", "", vec![Opt::Ignored(text("--prefer-binary"))]),
            ("a-b>=1 ; x == '-'", "a-b>=1 ; x == '-'", vec![]),
        ] {
            let want = Line { requirement: requirement.into(), options };
            assert_eq!(split(line, &place()).unwrap(), want, "{line}");
        }
    }

    #[test]
    fn unknown_and_incomplete_options_are_errors() {
        for line in ["--upgrade", "-x", "-r", "--index-url", "a --pre", "--no", "-r 'x", "--pre a"] {
            assert!(split(line, &place()).is_err(), "{line}");
        }
    }
}
