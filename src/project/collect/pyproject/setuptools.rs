//! Features of setuptools: files with dynamic dependencies, and a setup.py next to `[project]`.
//!
//! Source: setuptools' documentation, "Configuring setuptools using pyproject.toml files", "Dynamic Metadata".

use super::super::error::{CollectError, whole};
use super::super::requirement::leading_name;
use super::super::toml_file::Node;
use super::{PyProject, Raw};
use crate::bounded_file::{self, TEXT_LIMIT_BYTES};
use crate::error::Place;
use crate::project::Warning;
use std::path::Path;

/// `tool.setuptools.dynamic.dependencies = {file = […]}`: the requirements in the files. `None` if only a run of
/// setuptools can find them.
///
/// # Errors
/// A file cannot be read, or has an option of pip's in it.
pub(super) fn dynamic_dependencies(root: &Node<'_>) -> Result<Option<Vec<Raw>>, CollectError> {
    let Some(files) = root.at(&["tool", "setuptools", "dynamic", "dependencies", "file"]) else {
        return Ok(None);
    };
    let directory = root.file().parent().unwrap_or(Path::new("."));
    let mut requires = Vec::new();
    for file in files.one_or_more_strings()? {
        let path = directory.join(file);
        let text =
            bounded_file::read_text(&path, TEXT_LIMIT_BYTES).map_err(|source| match path.exists() {
                true => CollectError::Read { file: path.clone(), source },
                false => files.invalid(format!("`{file}` does not exist")),
            })?;
        requires.extend(lines(&text, &path)?);
    }
    Ok(Some(requires))
}

/// The lines of a file named in `tool.setuptools.dynamic`: one requirement a line, comment lines dropped.
fn lines(text: &str, path: &Path) -> Result<Vec<Raw>, CollectError> {
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
    lines
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(number, line)| {
            let place = Place { file: path.to_path_buf(), line: Some(number), column: None };
            if line.starts_with('-') {
                return Err(CollectError::invalid_with(
                    place,
                    format!("`{line}`: setuptools takes no options in a file of dynamic dependencies"),
                    "write its requirements out in this file",
                ));
            }
            Ok(Raw { text: line.split(" #").next().unwrap_or(line).trim().to_string(), place })
        })
        .collect()
}

/// setup.py may list dependencies that newer releases of setuptools ignore: `[project]` does not call them dynamic.
pub fn ignored(directory: &Path, project: &PyProject) -> Option<Warning> {
    let is_ignored = project.has_project && project.static_dependencies && project.uses_setuptools();
    if !is_ignored {
        return None;
    }
    let script = directory.join("setup.py");
    let text = bounded_file::read_text(&script, TEXT_LIMIT_BYTES).ok()?;
    let (_, value) = text.split_once("install_requires")?;
    let rule = "setuptools ignores install_requires next to a [project] that does not list \"dependencies\" in dynamic";
    let message = match listed_names(value) {
        None => rule.to_string(),
        Some(names) => {
            let is_there =
                |name: &String| project.requires.iter().any(|raw| leading_name(&raw.text) == *name);
            let missing: Vec<String> =
                names.iter().filter(|name| !is_there(name)).map(|name| format!("`{name}`")).collect();
            if missing.is_empty() {
                return None;
            }
            format!("{rule}: add {} to the dependencies of [project]", missing.join(", "))
        }
    };
    Some(Warning { message, place: Some(whole(&script)) })
}

/// The distributions in the list of literals that `text` (`=[...]`) begins with; `None` if it is anything else.
fn listed_names(text: &str) -> Option<Vec<String>> {
    let mut rest = text.trim_start().strip_prefix('=')?.trim_start().strip_prefix('[')?;
    let mut names = Vec::new();
    loop {
        rest = rest.trim_start_matches(|each: char| each.is_whitespace() || each == ',');
        let quote = rest.chars().next()?;
        match quote {
            ']' => return rest.get(1..)?.trim_start().starts_with([',', ')']).then_some(names),
            '#' => rest = rest.split_once('\n')?.1,
            '"' | '\'' => {
                let (line, after) = rest.get(1..)?.split_once(quote)?;
                names.push(leading_name(line));
                rest = after;
            }
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::read;
    use super::*;

    #[test]
    fn only_what_project_lacks_is_warned_of_in_setup_py() {
        let said = |value: &str| {
            let dir = tempfile::tempdir().unwrap();
            std::fs::write(dir.path().join("setup.py"), format!("setup(install_requires={value})\n"))
                .unwrap();
            let path = dir.path().join("pyproject.toml");
            let text = "[project]\nname = 'a'\ndependencies = ['dagster>=1', 'dagster-cloud']\n[build-system]\nrequires = ['setuptools']\n";
            std::fs::write(&path, text).unwrap();
            ignored(dir.path(), &read(&path).unwrap()).map(|warning| warning.message)
        };
        let rule = "setuptools ignores install_requires next to a [project] that does not list \"dependencies\" in dynamic";
        assert_eq!(said("['dagster', \"Dagster_Cloud==1\", # why\n]"), None);
        assert_eq!(said("[]"), None);
        assert_eq!(
            said("['dagster', 'pandas[x]>2', 'polars']").unwrap(),
            format!("{rule}: add `pandas`, `polars` to the dependencies of [project]")
        );
        for value in ["REQUIRES", "['dagster'] + MORE", "[f'dagster']"] {
            assert_eq!(said(value).as_deref(), Some(rule), "{value}");
        }
    }
}
