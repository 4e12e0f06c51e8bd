//! From a path that the user names to its code locations.

use super::collect::{self, CollectError};
use super::error::{ProjectError, ProjectErrors};
use super::python_version::{self, PythonVersionError};
use super::reading::{Reading, directory_of};
use super::{Location, Project, Warning, Workspaces, code_source, dg, not_found, workspace};
use crate::error::{Explain, Place};
use crate::host::Host;
use crate::target::{PythonVersion, Target};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// File names of the YAML form, in search order.
pub(super) const YAML_FILES: [&str; 2] = ["dagster_cloud.yaml", "dagster_cloud.yml"];

impl Project {
    /// Read the code locations of `path`: a `dagster_cloud.yaml` of any name, a `dg.toml` or `pyproject.toml` of a dg
    /// project or workspace, or a directory with one of them.
    ///
    /// # Errors
    /// All errors in the files, or that `path` has none.
    pub fn read(path: &Path, host: &Host) -> Result<Project, ProjectErrors> {
        Project::inspect(path, host).into_project()
    }

    /// Like [`Project::read`], but returns everything that could be read together with the errors.
    pub fn inspect(path: &Path, host: &Host) -> Reading {
        let path = host.absolute(path);
        let mut reading = Reading { file: path.clone(), ..Reading::default() };
        if path.is_dir() {
            inspect_directory(&path, host, &mut reading);
        } else if !path.exists() {
            reading.errors.push(not_found::path_error(path, host));
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
    /// Find everything that would make a build fail and can be seen without running or downloading anything. Errors in
    /// requirements that do not depend on the command line are errors, and so are conflicting Python versions. Files that
    /// requirements name and that are missing are warnings, because an earlier step of the workflow may write them.
    /// `images` are the build directories that are built into images only.
    pub fn examine(&mut self, images: &BTreeSet<PathBuf>, host: &Host) {
        let root = directory_of(&self.file);
        let directories: BTreeSet<PathBuf> = self
            .locations
            .iter()
            .map(|location| location.directory.clone())
            .filter(|path| path.is_dir())
            .collect();
        let python = self.python(&root, &directories);
        let target = Target { python, platform: python.serverless_platform() };
        let workspaces = Workspaces::default();
        for directory in &directories {
            self.warnings.extend(collect::contradicting_pythons(directory));
            let is_taken = |location: &Location| names_image(location) && !images.contains(directory);
            let mut here = self.locations.iter().filter(|location| location.directory == *directory);
            if here.all(is_taken) {
                continue;
            }
            match collect::foresee(directory, target, &workspaces, images.contains(directory), host) {
                Ok(mut foreseen) => {
                    self.warnings.append(&mut foreseen.requirements.warnings);
                    self.foreseen.insert(directory.clone(), foreseen);
                }
                Err(error) => self.add_fault(error, directory),
            }
        }
        self.warnings.extend(code_source::look(&self.locations));
    }

    /// The Python version to build for, as known from files.
    fn python(&mut self, root: &Path, directories: &BTreeSet<PathBuf>) -> PythonVersion {
        let directories: Vec<&Path> = directories.iter().map(PathBuf::as_path).collect();
        match python_version::infer(root, &directories) {
            Ok(python) => {
                self.warnings.extend(python.warnings);
                return python.version;
            }
            // An error in the file, which is already in `errors` or is found again when collecting.
            Err(PythonVersionError::Collect(_)) => {}
            Err(error @ PythonVersionError::Disagree { .. }) => {
                self.errors.push(ProjectError::Python(Box::new(error)));
            }
            Err(error) => self.warnings.push(to_warning(&error)),
        }
        PythonVersion::DEFAULT
    }

    /// Add the error of collecting `directory`.
    fn add_fault(&mut self, mut error: CollectError, directory: &Path) {
        if let CollectError::NoRequirementFile { asked_by: None, location, .. } = &mut error {
            let here = self.locations.iter().find(|location| location.directory == directory);
            let is_yaml = |place: &Place| place.file.extension().is_some_and(|ending| ending != "toml");
            *location = here.map(|location| location.place.clone()).filter(is_yaml);
        }
        if matches!(error, CollectError::NoSuchPath { .. }) {
            return self.warnings.push(to_warning(&error));
        }
        let is_known = |known: &ProjectError| known.place() == error.place() && error.place().is_some();
        if !self.errors.iter().any(is_known) {
            self.errors.push(ProjectError::Collect(Box::new(error)));
        }
    }

    /// The project, if there are no errors.
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

/// The same error as a warning.
fn to_warning(error: &impl Explain) -> Warning {
    let hint = error.hint().map(|hint| format!("; {hint}")).unwrap_or_default();
    Warning { message: format!("{error}{hint}"), place: error.place() }
}

/// Whether the entry names an image, which may be deployed as it is.
fn names_image(location: &Location) -> bool {
    location.document.contains_key("image")
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
