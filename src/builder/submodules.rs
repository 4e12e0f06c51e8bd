//! Finds Git submodules that were not checked out: their directories exist and are empty.
//!
//! Source: gitmodules(5); `path` is relative to the top of the repository.

use crate::bounded_file::{TEXT_LIMIT_BYTES, read_text};
use std::path::{Path, PathBuf};

/// Warnings about empty submodules in (or around) any of these directories.
pub fn warnings<'a>(directories: impl Iterator<Item = &'a Path>) -> Vec<String> {
    let mut warnings = Vec::new();
    for directory in directories {
        for (file, path) in in_repository(directory) {
            let concerns = path.starts_with(directory) || directory.starts_with(&path);
            let warning = format!(
                "`{}` is empty: it is a submodule ({}) that was not checked out; set `submodules: true` for actions/checkout, or run `git submodule update --init`",
                path.display(),
                file.display()
            );
            if concerns && is_empty(&path) && !warnings.contains(&warning) {
                warnings.push(warning);
            }
        }
    }
    warnings
}

/// The submodules of the repository that contains a directory: the `.gitmodules` file and the path of each.
fn in_repository(directory: &Path) -> Vec<(PathBuf, PathBuf)> {
    for above in directory.ancestors() {
        let file = above.join(".gitmodules");
        if let Ok(text) = read_text(&file, TEXT_LIMIT_BYTES) {
            return text.lines().filter_map(path).map(|path| (file.clone(), above.join(path))).collect();
        }
        // The top of the repository: files above it belong to another one.
        if above.join(".git").exists() {
            break;
        }
    }
    Vec::new()
}

/// The value of a line `path = x`.
fn path(line: &str) -> Option<&str> {
    let (key, value) = line.split_once('=')?;
    (key.trim() == "path").then(|| value.trim().trim_matches('"'))
}

fn is_empty(directory: &Path) -> bool {
    match directory.read_dir() {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_submodules_of_what_is_shipped_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for name in ["app/full", "app/empty", "docs/theme", "lib"] {
            std::fs::create_dir_all(at(name)).unwrap();
        }
        std::fs::write(at("app/full/x"), "").unwrap();
        let module =
            |path: &str| format!("[submodule \"{path}\"]\n\tpath = {path}\n\turl = https://e.example/x\n");
        let text: String = ["app/full", "app/empty", "app/gone", "docs/theme", "lib"]
            .iter()
            .map(|path| module(path))
            .collect();
        std::fs::write(at(".gitmodules"), text).unwrap();
        let (app, lib) = (at("app"), at("lib"));
        let said = warnings([app.as_path(), lib.as_path(), app.as_path()].into_iter()).join("\n");
        let said = said.replace(&dir.path().display().to_string(), "[DIR]");
        insta::assert_snapshot!(said, @"
        `[DIR]/app/empty` is empty: it is a submodule ([DIR]/.gitmodules) that was not checked out; set `submodules: true` for actions/checkout, or run `git submodule update --init`
        `[DIR]/app/gone` is empty: it is a submodule ([DIR]/.gitmodules) that was not checked out; set `submodules: true` for actions/checkout, or run `git submodule update --init`
        `[DIR]/lib` is empty: it is a submodule ([DIR]/.gitmodules) that was not checked out; set `submodules: true` for actions/checkout, or run `git submodule update --init`
        ");
    }
}
