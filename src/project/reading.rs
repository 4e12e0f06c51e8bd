//! From a path that the user names to the code locations it stands for.

use super::collect::toml_file::TomlFile;
use super::error::{ProjectError, ProjectErrors};
use super::python_version::{self, PythonVersionError};
use super::{Location, Project, Warning, code_source, dg, not_found, workspace};
use crate::error::Explain;
use crate::host::Host;
use std::collections::BTreeSet;
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
        Project::inspect(path, host).into_project()
    }

    /// Like [`Project::read`], and look at what the locations name too: see [`Reading::examine`].
    ///
    /// # Errors
    /// All that is wrong.
    pub fn read_closely(path: &Path, host: &Host) -> Result<Project, ProjectErrors> {
        let mut reading = Project::inspect(path, host);
        reading.examine();
        reading.into_project()
    }

    /// Like [`Project::read`], but keep what could be read beside what is wrong.
    pub fn inspect(path: &Path, host: &Host) -> Reading {
        let path = host.absolute(path);
        let mut reading = Reading { file: path.clone(), ..Reading::default() };
        if path.is_dir() {
            inspect_directory(&path, host, &mut reading);
        } else if !path.exists() {
            reading.errors.push(not_found::nothing_there(path, host));
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

impl Reading {
    /// Look at all that a deploy would stumble over and that can be seen without running anything: a pyproject.toml that
    /// is not TOML is an error; paths and modules that are not there, and versions of Python that contradict each other,
    /// are warnings.
    pub fn examine(&mut self) {
        let root = directory_of(&self.file);
        let directories: BTreeSet<&Path> =
            self.locations.iter().map(|location| &*location.directory).filter(|path| path.is_dir()).collect();
        for directory in &directories {
            let file = directory.join("pyproject.toml");
            if file.is_file()
                && let Err(error) = TomlFile::read(&file).and_then(|toml| toml.parse().map(drop))
                && !self.errors.iter().any(|known| known.place() == error.place())
            {
                self.errors.push(ProjectError::Collect(Box::new(error)));
            }
        }
        match python_version::infer(&root, &Vec::from_iter(directories)) {
            Ok(python) => self.warnings.extend(python.warnings),
            // An error of the file, which is in `errors` already or is told when it is collected.
            Err(PythonVersionError::Collect(_)) => {}
            Err(error) => {
                let message = format!("{error}; {}", error.hint().unwrap_or_default());
                self.warnings.push(Warning { message, place: error.place() });
            }
        }
        self.warnings.extend(code_source::look(&self.locations));
    }

    /// The project, if nothing is wrong.
    fn into_project(self) -> Result<Project, ProjectErrors> {
        match ProjectErrors::new(self.errors) {
            Some(errors) => Err(errors),
            None => Ok(Project {
                root: directory_of(&self.file),
                file: self.file,
                locations: self.locations,
                warnings: self.warnings,
            }),
        }
    }
}

fn inspect_directory(directory: &Path, host: &Host, reading: &mut Reading) {
    let yaml = YAML_FILES.iter().map(|name| directory.join(name)).find(|file| file.is_file());
    if let Some(file) = yaml {
        reading.file.clone_from(&file);
        workspace::inspect(&file, reading);
    } else if let Some(file) = dg::config_file(directory, reading) {
        reading.file.clone_from(&file);
        dg::inspect(&file, reading);
    } else if reading.errors.is_empty() {
        reading.errors.push(not_found::no_project(directory, host));
    }
}

/// The directory that a file is in.
pub(super) fn directory_of(file: &Path) -> PathBuf {
    file.parent().map(Path::to_path_buf).unwrap_or_default()
}
