//! From a path that the user names to the code locations it stands for.

use super::error::{ProjectError, ProjectErrors};
use super::{Location, Project, Warning, dg, workspace};
use crate::error::Explain;
use crate::host::Host;
use std::path::{Path, PathBuf};

/// File names of the YAML form, in the order in which they are looked for.
const YAML_FILES: [&str; 2] = ["dagster_cloud.yaml", "dagster_cloud.yml"];

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
}

impl Project {
    /// Read the code locations of `path`: a `dagster_cloud.yaml` of any name, a `dg.toml` or `pyproject.toml` of a dg
    /// project or workspace, or a directory with one of them.
    ///
    /// # Errors
    /// All that is wrong with the files; also when `path` names none.
    pub fn read(path: &Path, host: &Host) -> Result<Project, ProjectErrors> {
        let reading = Project::inspect(path, host);
        match ProjectErrors::new(reading.errors) {
            Some(errors) => Err(errors),
            None => Ok(Project {
                root: directory_of(&reading.file),
                file: reading.file,
                locations: reading.locations,
                warnings: reading.warnings,
            }),
        }
    }

    /// Like [`Project::read`], but keep what could be read beside what is wrong.
    pub fn inspect(path: &Path, host: &Host) -> Reading {
        let path = host.absolute(path);
        let mut reading = Reading { file: path.clone(), ..Reading::default() };
        if path.is_dir() {
            inspect_directory(&path, &mut reading);
        } else if !path.exists() {
            reading.errors.push(ProjectError::NotFound(path));
        } else if path.extension().is_some_and(|extension| extension == "toml") {
            dg::inspect(&path, &mut reading);
        } else {
            workspace::inspect(&path, &mut reading);
        }
        let position =
            |error: &ProjectError| error.place().map(|place| (place.file, place.line, place.column));
        reading.errors.sort_by_cached_key(position);
        reading
    }
}

fn inspect_directory(directory: &Path, reading: &mut Reading) {
    let yaml = YAML_FILES.iter().map(|name| directory.join(name)).find(|file| file.is_file());
    if let Some(file) = yaml {
        reading.file.clone_from(&file);
        workspace::inspect(&file, reading);
    } else if let Some(file) = dg::config_file(directory, reading) {
        reading.file.clone_from(&file);
        dg::inspect(&file, reading);
    } else if reading.errors.is_empty() {
        reading.errors.push(ProjectError::NoProject(directory.to_path_buf()));
    }
}

/// The directory that a file is in.
pub(super) fn directory_of(file: &Path) -> PathBuf {
    file.parent().map(Path::to_path_buf).unwrap_or_default()
}
