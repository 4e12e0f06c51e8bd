//! dg projects and workspaces: code locations from `dg.toml`, or `[tool.dg]` of `pyproject.toml`.

use super::error::ProjectError;
use super::reading::{Reading, directory_of};
use std::path::{Path, PathBuf};

/// The file of `directory` that configures dg, if there is one.
pub(super) fn config_file(_directory: &Path, _reading: &mut Reading) -> Option<PathBuf> {
    None
}

/// Read `file` into `reading`.
pub(super) fn inspect(file: &Path, reading: &mut Reading) {
    reading.errors.push(ProjectError::NoProject(directory_of(file)));
}
