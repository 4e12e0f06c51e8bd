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
    if let Ok(table) = file.text().parse() {
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
