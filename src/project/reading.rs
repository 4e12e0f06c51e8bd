//! What was read of a project so far: filled by the readers of each kind of file.

use super::collect::Foreseen;
use super::error::ProjectError;
use super::{Location, Warning};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// All that could be read, and all that is wrong.
#[derive(Debug, Default)]
pub struct Reading {
    /// The file that names the locations, or the path asked for when there is none. Absolute.
    pub file: PathBuf,
    /// Locations that could be read. Names are unique; a build directory may be missing, which is then in `errors`.
    pub locations: Vec<Location>,
    /// What is wrong, in the order of files and lines.
    pub errors: Vec<ProjectError>,
    /// What the user should know though nothing is wrong enough to stop.
    pub warnings: Vec<Warning>,
    /// What each build directory asks for, as far as files tell; of those whose code is not in a Docker image. See
    /// [`Reading::examine`].
    pub foreseen: BTreeMap<PathBuf, Foreseen>,
}

/// The directory that a file is in.
pub(super) fn directory_of(file: &Path) -> PathBuf {
    file.parent().map(Path::to_path_buf).unwrap_or_default()
}
