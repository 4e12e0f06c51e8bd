//! A dependency of Poetry's as it stands in its pyproject.toml, and what to write there instead, for messages.

use super::toml_file::{Node, TomlFile};
use crate::error::Place;
use std::path::Path;

/// The dependency whose value is at `place`, and the same with exactly `version`; `None` if `[tool.poetry]` has none
/// there.
pub fn poetry_line(place: &Place, version: &str) -> Option<(String, String)> {
    place.file.ends_with("pyproject.toml").then_some(())?;
    let file = TomlFile::read(&place.file).ok()?;
    let document = file.parse().ok()?;
    let poetry = Node::root(&file, &document).at(&["tool", "poetry"])?;
    let groups = poetry.get("group").and_then(|groups| groups.table().ok()).unwrap_or_default();
    let groups = groups.into_iter().filter_map(|(_, group)| group.get("dependencies"));
    let tables = ["dependencies", "dev-dependencies"].into_iter().filter_map(|key| poetry.get(key));
    for (key, value) in tables.chain(groups).filter_map(|table| table.table().ok()).flatten() {
        match value.as_list() {
            Some(items) => {
                let item = items.iter().find(|item| item.place() == *place);
                if let Some(item) = item {
                    return with_version(item, version);
                }
            }
            None if value.place() == *place => {
                let (written, instead) = with_version(&value, version)?;
                // The table of a header has nothing before it.
                let is_whole = value.as_str().is_some() || written.starts_with('{');
                let key = if is_whole { format!("{key} = ") } else { String::new() };
                return Some((format!("{key}{written}"), format!("{key}{instead}")));
            }
            None => {}
        }
    }
    None
}

/// Whether the dependencies of a project are those of `[tool.poetry.dependencies]`.
pub fn lists_for_poetry(file: &Path) -> bool {
    let read = || {
        let toml = TomlFile::read(file).ok()?;
        let document = toml.parse().ok()?;
        let root = Node::root(&toml, &document);
        Some(
            root.at(&["tool", "poetry", "dependencies"]).is_some()
                && root.at(&["project", "dependencies"]).is_none(),
        )
    };
    file.ends_with("pyproject.toml") && read().unwrap_or(false)
}

/// A constraint or table as it is written, and the same with this version.
fn with_version(value: &Node<'_>, version: &str) -> Option<(String, String)> {
    let source = value.source();
    if value.as_str().is_some() {
        return Some((source.to_string(), format!("\"{version}\"")));
    }
    let constraint = value.get("version").map(|constraint| constraint.source());
    let exact = format!("version = \"{version}\"");
    match (source.strip_prefix('{'), constraint) {
        (Some(_), Some(constraint)) => {
            Some((source.to_string(), source.replacen(constraint, &format!("\"{version}\""), 1)))
        }
        (Some(rest), None) => Some((source.to_string(), format!("{{ {exact},{rest}"))),
        (None, Some(constraint)) => Some((format!("version = {constraint}"), exact)),
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The advice for the dependency with its value at this line and column.
    fn said(text: &str, line: usize, column: usize) -> Option<(String, String)> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pyproject.toml");
        std::fs::write(&file, text).unwrap();
        poetry_line(&Place { file, line: Some(line), column: Some(column) }, "1.13.27")
    }

    #[test]
    fn advice_for_poetry_uses_its_own_format() {
        for (value, want) in [
            ("\"1.13.29\"", "\"1.13.27\""),
            ("'^1.13'", "\"1.13.27\""),
            ("{ version = \">=1.13.28\", extras = [\"x\"] }", "{ version = \"1.13.27\", extras = [\"x\"] }"),
            ("{extras = [\"x\"], version = '*'}", "{extras = [\"x\"], version = \"1.13.27\"}"),
            ("{extras = [\"x\"]}", "{ version = \"1.13.27\",extras = [\"x\"]}"),
        ] {
            for table in ["dependencies", "dev-dependencies", "group.dev.dependencies"] {
                let text = format!("[tool.poetry.{table}]\ndagster = {value}\n");
                let want = (format!("dagster = {value}"), format!("dagster = {want}"));
                assert_eq!(said(&text, 2, 11), Some(want), "{text}");
            }
        }
        assert_eq!(said("[project]\ndependencies = ['dagster==1.13.29']\n", 2, 17), None);
    }

    #[test]
    fn a_table_of_its_own_and_a_list_are_found_too() {
        let list =
            "[tool.poetry.dependencies]\ndagster = [{version = '1', python = '<3.9'}, {version = '2'}]\n";
        let column = list.lines().nth(1).unwrap().find("{version = '2'").unwrap() + 1;
        let want = ("{version = '2'}".to_string(), "{version = \"1.13.27\"}".to_string());
        assert_eq!(said(list, 2, column), Some(want));
        let text = "[tool.poetry.dependencies]\n[tool.poetry.dependencies.dagster]\nversion = '^1'\n";
        let want = ("version = '^1'".to_string(), "version = \"1.13.27\"".to_string());
        assert_eq!(said(text, 2, 1), Some(want));
    }
}
