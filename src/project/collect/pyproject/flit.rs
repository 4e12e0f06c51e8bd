//! `[tool.flit.metadata]`, which older projects have instead of `[project]`.
//!
//! Source: Flit's documentation, "The pyproject.toml config file", "Old style metadata".

use super::super::error::CollectError;
use super::super::toml_file::Node;
use super::{Asks, RequiresPython, lists, raws};
use pep508_rs::PackageName;

/// Read `[tool.flit.metadata]`.
///
/// # Errors
/// An invalid list or version specifier.
pub(super) fn read(metadata: &Node<'_>) -> Result<Asks, CollectError> {
    let name = metadata.get("dist-name").or_else(|| metadata.get("module"));
    let name = name.map(|name| name.string()).transpose()?;
    Ok(Asks {
        name: name.and_then(|name| PackageName::new(name.to_string()).ok()),
        requires: metadata.get("requires").map(|lines| raws(&lines)).transpose()?.unwrap_or_default(),
        extras: metadata.get("requires-extra").map(|extras| lists(&extras)).transpose()?.unwrap_or_default(),
        requires_python: metadata
            .get("requires-python")
            .map(|python| RequiresPython::read(&python))
            .transpose()?,
        ..Asks::default()
    })
}
