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

/// All packages in the file, a version each; a package may have several.
///
/// # Errors
/// The file is not TOML, or cannot be read.
pub(super) fn packages(path: &Path) -> Result<Vec<Pin>, CollectError> {
    let file = TomlFile::read(path)?;
    let document = file.parse().map_err(|error| {
        let place = error.place().unwrap_or_else(|| whole(path));
        let hint = "regenerate it with `uv lock`, or build with --no-locked";
        CollectError::invalid_with(place, format!("the lock file cannot be used: {error}"), hint)
    })?;
    let root = Node::root(&file, &document);
    let packages = root.get("package").and_then(|list| list.as_list()).unwrap_or_default();
    let pin = |package: &Node<'_>| {
        let text = |key: &str| package.get(key).and_then(|value| value.as_str());
        Some(Pin {
            name: PackageName::from_str(text("name")?).ok()?,
            version: text("version").map(String::from),
            what: Pinned::Version,
            hashes: Vec::new(),
            index: None,
        })
    };
    Ok(packages.iter().filter_map(pin).collect())
}
