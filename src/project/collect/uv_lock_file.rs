//! The text of a uv.lock: which packages it has, for messages that do not need uv.
//!
//! Source: files written by uv 0.4 to 0.13; a package is a table of the list `package` with `name`, `source` and, where
//! it is static, `version`.

use super::error::{CollectError, whole};
use super::pin::{Pin, Pinned};
use super::toml_file::{Node, TomlFile};
use crate::error::Explain;
use pep508_rs::PackageName;
use std::path::Path;
use std::str::FromStr;
use toml::{Table, Value};

/// The document.
///
/// # Errors
/// The file is not TOML, or cannot be read.
pub(super) fn read(path: &Path) -> Result<Table, CollectError> {
    let file = TomlFile::read(path)?;
    // A document whose values know their lines takes several times the memory; only an error needs it.
    if let Some(table) = in_pieces(file.text()).or_else(|| file.text().parse().ok()) {
        return Ok(table);
    }
    let document = file.parse().map_err(|error| {
        let place = error.place().unwrap_or_else(|| whole(path));
        let hint = "regenerate it with `uv lock`, or build with --no-locked";
        CollectError::invalid_with(place, format!("the lock file cannot be used: {error}"), hint)
    })?;
    match Node::root(&file, &document).plain() {
        Value::Table(table) => Ok(table),
        _ => Ok(Table::new()),
    }
}

/// The document, read package by package, since parsing takes several times the memory of its result; `None` if it is
/// not the header and then packages alone, as uv writes it.
fn in_pieces(text: &str) -> Option<Table> {
    let mut starts: Vec<usize> = text.match_indices("\n[[package]]").map(|(at, _)| at + 1).collect();
    let mut table: Table = text[..*starts.first()?].parse().ok()?;
    starts.push(text.len());
    let package = |piece: &[usize]| {
        let mut table: Table = text[piece[0]..piece[1]].parse().ok()?;
        match (table.remove("package")?, table.is_empty()) {
            (Value::Array(packages), true) if packages.len() == 1 => packages.into_iter().next(),
            _ => None,
        }
    };
    let packages: Option<Vec<Value>> = starts.windows(2).map(package).collect();
    table.insert("package".into(), packages?.into()).is_none().then_some(table)
}

/// All packages in a document, a version each; a package may have several.
pub(super) fn packages(document: &Table) -> Vec<Pin> {
    let packages = document.get("package").and_then(Value::as_array).into_iter().flatten();
    let pin = |package: &Value| {
        let text = |key: &str| package.get(key).and_then(Value::as_str);
        Some(Pin {
            name: PackageName::from_str(text("name")?).ok()?,
            version: text("version").map(String::from),
            what: Pinned::Version,
            hashes: Vec::new(),
            index: None,
        })
    };
    packages.filter_map(pin).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_in_pieces_gives_the_same_document() {
        let package = "[[package]]\nname = \"a\"\n[package.metadata]\nx = [{y = 1}]\n";
        let header = "version = 1\n[manifest]\nmembers = []\n\n";
        for (text, is_read) in [
            (format!("{header}{package}\n{package}"), true),
            (format!("{header}{package}\n{package}").replace('\n', "\r\n"), true),
            (header.to_string(), false),
            (format!("{package}\n{package}"), false),
            (format!("{header}{package}[options]\nx = 1\n"), false),
            (format!("{header}{package}[[package.x]]\ny = 1\n\n{package}"), true),
            (format!("x = \"\"\"\n[[package]]\n\"\"\"\n{package}"), false),
            (format!("package = 1\n{package}"), false),
            (format!("{header}{package}name = "), false),
        ] {
            let pieces = in_pieces(&text);
            assert_eq!(pieces.is_some(), is_read, "{text}");
            assert!(pieces.is_none() || pieces == text.parse().ok(), "{text}");
        }
    }
}
