//! What can be wrong with a project's requirements.

use crate::error::{Explain, Fault, Place};
use crate::near_names::closest_path;
use crate::net::{self, SafeUrl};
use crate::paths::relative;
use crate::target::PythonVersion;
use crate::tools;
use std::path::{Path, PathBuf};

/// Why requirements could not be collected.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// The build directory does not exist, or is not a directory.
    #[error("the build directory `{}` {problem}", .directory.display())]
    NoDirectory {
        /// As absolute path.
        directory: PathBuf,
        /// `does not exist`, or `is a file`.
        problem: &'static str,
    },
    /// A directory without any file that can contain requirements.
    #[error("`{}` has no requirements.txt, setup.py or pyproject.toml", .directory.display())]
    NoRequirementFile {
        /// As absolute path.
        directory: PathBuf,
        /// The line that named it; none for the build directory.
        asked_by: Option<Place>,
        /// The code location of a dagster_cloud.yaml whose build directory it is.
        location: Option<Place>,
    },
    /// A requirement names a path that does not exist.
    #[error("`{requirement}` names a path that does not exist: `{}`", .path.display())]
    NoSuchPath {
        /// The requirement as written.
        requirement: String,
        /// The resolved path.
        path: PathBuf,
        /// Where it is required.
        place: Place,
    },
    /// A file could not be read.
    #[error("could not read `{}`", .file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A requirements file could not be fetched.
    #[error("could not fetch the requirements file {url}")]
    Fetch {
        /// Its address, without credentials.
        url: SafeUrl,
        /// Why.
        #[source]
        source: Box<net::Error>,
    },
    /// Something in a file is invalid.
    #[error("{problem}")]
    Invalid {
        /// What is wrong.
        problem: String,
        /// Where.
        place: Place,
        /// What to do about it.
        hint: Option<String>,
    },
    /// The project allows no Python that Dagster+ runs.
    #[error("`{setting}` allows none of the versions of Python that Dagster+ runs")]
    PythonUnsupported {
        /// The setting as written.
        setting: String,
        /// Where it is written.
        place: Place,
    },
    /// The project allows nothing.
    #[error("`{setting}` allows no version of Python at all")]
    NoPython {
        /// The setting as written.
        setting: String,
        /// Where it is written.
        place: Place,
    },
    /// The project excludes the target Python.
    #[error("`{setting}` excludes Python {target}, the version to build for")]
    PythonExcluded {
        /// The setting as written.
        setting: String,
        /// The version to build for.
        target: PythonVersion,
        /// Versions (`X.Y`) that it allows.
        allowed: Vec<String>,
        /// Where it is written.
        place: Place,
    },
    /// Something that has to be run (setup.py, a build backend) failed.
    #[error("{what} of `{}` failed:\n{output}", .directory.display())]
    Python {
        /// What was run, for people.
        what: String,
        /// In which directory.
        directory: PathBuf,
        /// The last lines it printed.
        output: String,
        /// The file to look at.
        file: PathBuf,
    },
    /// uv or a Python is not available, or uv failed.
    #[error(transparent)]
    Tool(Box<tools::Error>),
    /// uv cannot read its lock file.
    #[error("the lock file cannot be used")]
    Lock {
        /// The lock file.
        file: PathBuf,
        /// What uv said.
        #[source]
        source: Box<tools::Error>,
    },
    /// `--locked` and no lock file.
    #[error("--locked was given, but `{}` has no uv.lock, pylock.toml or poetry.lock", .directory.display())]
    NoLock {
        /// The build directory.
        directory: PathBuf,
    },
    /// `--locked` and a lock file that does not fit the project any more.
    #[error("the lock file is out of date: {reason}")]
    StaleLock {
        /// The lock file.
        file: PathBuf,
        /// In what way.
        reason: String,
        /// The command that brings it up to date.
        remedy: String,
    },
}

impl CollectError {
    /// Something in a file is invalid.
    pub(super) fn invalid(place: Place, problem: impl Into<String>) -> CollectError {
        CollectError::Invalid { place, problem: problem.into(), hint: None }
    }

    /// Something in a file is invalid, and what to do about it.
    pub(super) fn invalid_with(
        place: Place,
        problem: impl Into<String>,
        hint: impl Into<String>,
    ) -> CollectError {
        CollectError::Invalid { place, problem: problem.into(), hint: Some(hint.into()) }
    }

    /// For `map_err` on the system's error about `file`.
    pub(super) fn read(file: &Path) -> impl FnOnce(std::io::Error) -> CollectError + '_ {
        move |source| CollectError::Read { file: file.to_path_buf(), source }
    }
}

/// A file as a whole.
pub(super) fn whole(file: &Path) -> Place {
    Place { file: file.to_path_buf(), line: None, column: None }
}

/// A file with requirements in the parent directory, as in projects with `src` as their build directory.
fn file_above(directory: &Path) -> Option<PathBuf> {
    let parent = directory.parent()?;
    let files = ["requirements.txt", "setup.py", "pyproject.toml"].map(|name| parent.join(name));
    files.into_iter().find(|file| file.is_file())
}

/// Requirement files of other tools, and how to convert them to a file that is read here.
const FOREIGN_FILES: [(&str, &str); 8] = [
    ("Pipfile.lock", "write `pipenv requirements > requirements.txt`"),
    ("Pipfile", "write `pipenv requirements > requirements.txt`"),
    ("environment.yml", "list what comes from PyPI in a requirements.txt"),
    ("environment.yaml", "list what comes from PyPI in a requirements.txt"),
    ("conda.yml", "list what comes from PyPI in a requirements.txt"),
    ("conda.yaml", "list what comes from PyPI in a requirements.txt"),
    ("pixi.toml", "list what is under [pypi-dependencies] in a requirements.txt or pyproject.toml"),
    ("setup.cfg", "add a setup.py with `import setuptools; setuptools.setup()`, or a pyproject.toml"),
];

fn foreign_file(directory: &Path) -> Option<&'static (&'static str, &'static str)> {
    FOREIGN_FILES.iter().find(|(name, _)| directory.join(name).is_file())
}

/// What to do about a build directory without requirements.
fn where_requirements_are(directory: &Path, location: Option<&Place>) -> String {
    if let Some((name, way)) = foreign_file(directory) {
        return format!("pexpress does not read `{name}`: {way}");
    }
    match (file_above(directory), location) {
        (Some(file), Some(location)) => {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            let root = location.file.parent().unwrap_or(Path::new(""));
            let directory = relative(file.parent().unwrap_or(Path::new("")), root);
            let dot = if directory.starts_with(".") || directory.starts_with("..") { "" } else { "./" };
            let directory = directory.display();
            format!("`{name}` is one directory up: write `directory: {dot}{directory}` below `build` of the code location")
        }
        (Some(file), None) => format!("`{}` is one directory up: use that directory", file.display()),
        (None, Some(_)) => {
            "add one that names dagster and dagster-cloud, or set `build.directory` to the directory that has it".into()
        }
        (None, None) => "add one that names dagster and dagster-cloud, or use the directory that has it".into(),
    }
}

impl Explain for CollectError {
    fn fault(&self) -> Fault {
        match self {
            CollectError::Tool(error) => error.fault(),
            CollectError::Fetch { source, .. } => source.fault(),
            _ => Fault::Project,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            CollectError::NoDirectory { directory, .. } => {
                Some(match closest_path(directory, Path::is_dir) {
                    Some(near) => format!("did you mean `{}`?", near.display()),
                    None => {
                        "name a directory that exists; in dagster_cloud.yaml it is `build.directory`".into()
                    }
                })
            }
            CollectError::NoRequirementFile { asked_by: None, directory, location } => {
                Some(where_requirements_are(directory, location.as_ref()))
            }
            CollectError::NoRequirementFile { asked_by: Some(_), .. } => {
                Some("add a pyproject.toml to it, or correct the path".into())
            }
            CollectError::NoSuchPath { requirement, .. } if requirement.starts_with('-') => {
                Some("correct the path: it is relative to the file that names it".into())
            }
            CollectError::NoSuchPath { .. } => Some(
                "correct the path: it is relative to the directory of the project that asks for it".into(),
            ),
            CollectError::Read { .. } => None,
            CollectError::Invalid { hint, .. } => hint.clone(),
            CollectError::PythonExcluded { allowed, .. } => {
                Some(format!("build with --python-version {}, or widen it", allowed.join(" or ")))
            }
            CollectError::PythonUnsupported { .. } => {
                let minors = PythonVersion::MINORS;
                Some(format!("Dagster+ runs Python 3.{} to 3.{}: widen it", minors.start(), minors.end()))
            }
            CollectError::NoPython { .. } => {
                Some("its limits exclude each other: correct one of them".into())
            }
            CollectError::Python { .. } => {
                Some("run it by hand in that directory; it has to work without the project installed".into())
            }
            CollectError::Tool(error) => error.hint(),
            CollectError::Fetch { .. } => {
                Some("download it next to the file that names it, and refer to it by its path".into())
            }
            CollectError::Lock { .. } => {
                Some("regenerate it with `uv lock`, or build with --no-locked".into())
            }
            CollectError::NoLock { .. } => {
                Some("commit a lock file (`uv lock` writes one), or leave --locked out".into())
            }
            CollectError::StaleLock { remedy, .. } => {
                Some(format!("run `{remedy}` and commit the lock file, or leave --locked out"))
            }
        }
    }

    fn place(&self) -> Option<Place> {
        match self {
            CollectError::NoRequirementFile { asked_by, location, .. } => {
                asked_by.clone().or_else(|| location.clone())
            }
            CollectError::NoSuchPath { place, .. }
            | CollectError::Invalid { place, .. }
            | CollectError::PythonUnsupported { place, .. }
            | CollectError::NoPython { place, .. }
            | CollectError::PythonExcluded { place, .. } => Some(place.clone()),
            CollectError::Python { file, .. }
            | CollectError::Lock { file, .. }
            | CollectError::StaleLock { file, .. } => Some(whole(file)),
            CollectError::Tool(error) => error.place(),
            CollectError::NoDirectory { .. }
            | CollectError::Read { .. }
            | CollectError::Fetch { .. }
            | CollectError::NoLock { .. } => None,
        }
    }
}
