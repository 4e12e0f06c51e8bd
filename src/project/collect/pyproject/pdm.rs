//! `[tool.pdm.dev-dependencies]`: groups from before there were `[dependency-groups]`.
//!
//! Source: PDM's documentation, "Manage dependencies", "Add development only dependencies".

use super::super::error::CollectError;
use super::super::toml_file::Node;
use super::{Asks, Group, Raw, lists};

/// Read the groups. A line for what is to be installed editable is `-e file:///${PROJECT_ROOT}/path#egg=name`.
///
/// # Errors
/// A group that is not a list of texts.
pub(super) fn read(groups: &Node<'_>) -> Result<Asks, CollectError> {
    let plain = |raw: Raw| match raw.text.strip_prefix("-e ") {
        Some(text) => Raw { text: text.trim().to_string(), place: raw.place },
        None => raw,
    };
    let groups = lists(groups)?.into_iter().map(|(name, lines)| {
        (name, Group { requires: lines.into_iter().map(plain).collect(), ..Group::default() })
    });
    Ok(Asks { groups: groups.collect(), ..Asks::default() })
}
