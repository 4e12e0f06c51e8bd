//! Requirements of a build directory and, in turn, of the local packages that it names.
//!
//! In each directory the order is requirements.txt, setup.py, pyproject.toml; what several of them say is all asked
//! for. Nothing here asks an index what exists; only `setup.py` and build backends with dynamic fields are run.

mod compiled;
mod core_metadata;
mod environment;
mod error;
mod foresee;
mod foreseen;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod locked;
mod locks;
mod options;
mod package;
mod pin;
mod poetry_constraint;
mod poetry_lock;
mod poetry_lock_export;
#[cfg(test)]
mod poetry_lock_oracle;
mod poetry_written;
mod pylock;
mod pyproject;
mod python_metadata;
mod requirement;
mod requirements_txt;
mod settings;
mod text_encoding;
pub(super) mod toml_file;
mod unread;
mod uv_lock_export;
mod uv_lock_file;
mod uv_lock_graph;
mod uv_lock_marker;
#[cfg(test)]
mod uv_lock_oracle;
mod uv_lock_reach;
mod uv_settings;
mod uv_sources;
mod uv_workspace;
mod walk;

pub use compiled::{Compiled, compiled_file};
pub use error::CollectError;
pub use foresee::foresee;
pub use foreseen::{Foreseen, ForeseenLock};
pub use poetry_written::{lists_for_poetry, poetry_line};
pub(super) use requirement::file_url;
pub use uv_workspace::Workspaces;

use crate::error::Place;
use crate::host::Host;
use crate::project::{CollectOptions, LockUse, Requirements, Warning};
use crate::target::PythonVersion;
use crate::tools::Tools;
use std::path::{Path, PathBuf};

/// Collect the requirements of the project in `directory`.
///
/// # Errors
/// The directory has none of the three files, one of them cannot be understood, a local package is missing, the
/// target Python is excluded, or what has to be run fails.
pub fn collect(
    directory: &Path,
    options: &CollectOptions,
    tools: &Tools,
    host: &Host,
) -> Result<Requirements, CollectError> {
    let directory = host.absolute(directory);
    if !directory.is_dir() {
        let problem = if directory.exists() { "is a file" } else { "does not exist" };
        return Err(CollectError::NoDirectory { directory, problem });
    }
    let mut requirements = walk::walk(&directory, options, tools, host)?;
    if requirements.lock.is_none() && options.lock_use == LockUse::Automatic {
        requirements.warnings.extend(unread::locks(&directory));
    }
    if !options.reads_dockerfiles {
        let docker = unread::of_docker(&directory);
        requirements.warnings.extend(docker.warnings);
        if docker.has_idle_dockerfile {
            let file = directory.join("Dockerfile");
            let file = file.strip_prefix(host.cwd()).unwrap_or(&file).display();
            host.note(format!("`{file}` is not used for PEX files, which run on Dagster's own image"));
        }
    }
    for line in &requirements.left_out {
        host.note(line);
    }
    Ok(requirements)
}

/// What the Docker build of a build directory does that PEX files cannot.
pub fn only_with_docker(directory: &Path) -> Vec<Warning> {
    unread::of_docker(directory).warnings
}

/// The root of the uv workspace that the project in `directory` is in, if there is one and it can be read.
pub(super) fn workspace_root(directory: &Path, workspaces: &Workspaces) -> Option<PathBuf> {
    Some(workspaces.find(directory).ok()??.root.clone())
}

/// The Python versions that a pyproject.toml allows.
#[derive(Debug)]
pub(super) struct AllowedPythons {
    /// `requires-python = ">=3.9"`, as written.
    pub(super) setting: String,
    /// Where.
    pub(super) place: Place,
    /// The versions of Dagster+ that it allows, ascending.
    pub(super) allowed: Vec<PythonVersion>,
}

/// Two settings of the pyproject.toml of `directory` that allow no version in common, in a sentence.
pub(super) fn contradicting_pythons(directory: &Path) -> Option<Warning> {
    let project = pyproject::read(&directory.join("pyproject.toml")).ok()?;
    let (own, poetrys) = (project.requires_python?, project.poetry.asks.requires_python?);
    let (allowed, poetrys_allowed) = (own.allowed(), poetrys.allowed());
    let contradict = !allowed.is_empty()
        && !poetrys_allowed.is_empty()
        && !allowed.iter().any(|version| poetrys_allowed.contains(version));
    contradict.then(|| Warning {
        message: format!(
            "`{}` and Poetry's `{}` have no version of Python in common; the former is used",
            own.setting, poetrys.setting
        ),
        place: Some(poetrys.place),
    })
}

/// The Python versions that pyproject.toml of `directory` allows; `None` if it does not exist or does not say.
///
/// # Errors
/// The file cannot be understood.
pub(super) fn requires_python(directory: &Path) -> Result<Option<AllowedPythons>, CollectError> {
    let file = directory.join("pyproject.toml");
    if !file.is_file() {
        return Ok(None);
    }
    Ok(pyproject::read(&file)?.requires_python.map(|python| AllowedPythons {
        allowed: python.allowed(),
        setting: python.setting,
        place: python.place,
    }))
}
