//! `[tool.uv]` of a project, as far as it affects its requirements. The settings of uv's resolver are read by
//! `uv_settings`.
//!
//! Source: uv's documentation, "Settings", for `dev-dependencies`, `package` and `sources`.

use super::super::error::CollectError;
use super::super::toml_file::Node;
use super::super::uv_sources::Sources;
use super::{Asks, Group, group_name, raws};

/// What `[tool.uv]` says.
pub(super) struct Uv {
    /// Whether the project is to be packaged.
    pub(super) package: Option<bool>,
    /// `dev-dependencies`, as the group `dev`.
    pub(super) asks: Asks,
    /// Where dependencies come from.
    pub(super) sources: Sources,
}

/// Read `[tool.uv]`.
///
/// # Errors
/// An invalid list or source.
pub(super) fn read(table: &Node<'_>) -> Result<Uv, CollectError> {
    let mut asks = Asks::default();
    if let Some(lines) = table.get("dev-dependencies") {
        let group = Group { requires: raws(&lines)?, ..Group::default() };
        asks.groups.insert(group_name("dev", &lines)?, group);
    }
    let sources = table.get("sources").map(|sources| Sources::read(&sources)).transpose()?;
    let package = table.get("package").and_then(|package| package.as_bool());
    Ok(Uv { package, asks, sources: sources.unwrap_or_default() })
}
