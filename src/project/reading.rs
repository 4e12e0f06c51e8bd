//! What was read of a project so far. The reader of each kind of file adds to it.

use super::collect::Foreseen;
use super::error::ProjectError;
use super::{Location, Warning};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Everything that could be read, and all errors.
#[derive(Debug, Default)]
pub struct Reading {
    /// The file that lists the locations, or the given path if there is none. Absolute.
    pub file: PathBuf,
    /// Locations that could be read. Names are unique. A missing build directory is in `errors`.
    pub locations: Vec<Location>,
    /// Errors, in the order of files and lines.
    pub errors: Vec<ProjectError>,
    /// Problems that do not stop a run.
    pub warnings: Vec<Warning>,
    /// The requirements of each build directory as known from files, except for code in a Docker image. See
    /// [`Reading::examine`].
    pub foreseen: BTreeMap<PathBuf, Foreseen>,
}

/// The directory of a file.
pub(super) fn directory_of(file: &Path) -> PathBuf {
    file.parent().map(Path::to_path_buf).unwrap_or_default()
}
