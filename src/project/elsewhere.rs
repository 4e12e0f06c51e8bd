//! The other project files of a repository, which may share a deployment with the one at hand.

use super::{Project, find};
use crate::host::Host;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Names of files that can make a directory a project.
pub const PROJECT_FILES: [&str; 4] = ["dagster_cloud.yaml", "dagster_cloud.yml", "dg.toml", "pyproject.toml"];

/// The code locations that project files among `files` name, apart from the project `own`.
///
/// # Errors
/// A file that is not there, or cannot be read without an error: it may name more code locations.
pub fn named_elsewhere(files: &[PathBuf], own: &Path, host: &Host) -> Result<BTreeSet<String>, PathBuf> {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    let own = real(&Project::inspect(own, host).file);
    let mut names = BTreeSet::new();
    for file in files.iter().filter(|file| real(file) != own) {
        if !file.is_file() {
            return Err(file.clone());
        }
        let is_project =
            file.parent().is_some_and(|directory| find::file_in(directory).as_ref() == Some(file));
        if !is_project {
            continue;
        }
        let reading = Project::inspect(file, host);
        if !reading.errors.is_empty() {
            return Err(file.clone());
        }
        names.extend(reading.locations.into_iter().map(|location| location.name));
    }
    Ok(names)
}
