//! What `pexpress init` knows of a repository: everything that it decides from.

use super::workflow::TextFile;
use std::collections::BTreeMap;

/// All facts. Paths are relative to the top of the repository, with `/`.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// The action, as in `uses:`.
    pub action: String,
    /// The file to write, below `.github/workflows/`.
    pub workflow_name: String,
    /// All workflows.
    pub workflows: Vec<TextFile>,
    /// The project that is there.
    pub project: Option<FoundProject>,
    /// The directory to look for a project in; `.` for the top.
    pub directory: String,
    /// Modules that may have the definitions, if there is no project.
    pub candidates: Vec<Candidate>,
    /// Project files in their directories.
    pub own_files: Vec<String>,
    /// Python version that the project asks for, and the file that says so.
    pub python: Option<(String, String)>,
    /// The default branch.
    pub default_branch: Option<String>,
    /// Host of the remote `origin`.
    pub remote_host: Option<String>,
    /// From the command line: wins over old workflows.
    pub organization: Option<String>,
    /// The same.
    pub url: Option<String>,
    /// From the environment: used if nothing else says it.
    pub known_organization: Option<String>,
    /// The same.
    pub known_url: Option<String>,
    /// From the command line.
    pub deployment: Option<String>,
    /// Whether old workflows are moved.
    pub replace: bool,
    /// Files that are there under names that may be written, and their text.
    pub present: BTreeMap<String, String>,
    /// What the Dockerfiles of code locations do that PEX files cannot, a sentence each.
    pub docker: Vec<String>,
    /// What the Dockerfiles of code locations do that an image of pexpress would lack, a sentence each.
    pub image_obstacles: Vec<String>,
    /// Whether Dockerfiles are not read, as `ignore_dockerfile` says.
    pub ignores_dockerfiles: bool,
    /// Files other than workflows that mention Dagster+'s tools.
    pub elsewhere: Vec<String>,
    /// What is wrong with the project, a sentence each.
    pub problems: Vec<String>,
    /// Files that look like secrets, by the build directory that they would be shipped from.
    pub secrets: BTreeMap<String, Vec<String>>,
}

/// The project of a repository.
#[derive(Debug, Clone, Default)]
pub struct FoundProject {
    /// `dagster_cloud.yaml`, `dg.toml` or `pyproject.toml`.
    pub file: String,
    /// Its code locations.
    pub locations: Vec<FoundLocation>,
}

/// One code location.
#[derive(Debug, Clone, Default)]
pub struct FoundLocation {
    /// Its name.
    pub name: String,
    /// Its build directory.
    pub directory: String,
    /// `build.registry`.
    pub registry: Option<String>,
}

/// A module that may have the definitions of a code location.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Name for the code location.
    pub name: String,
    /// The build directory.
    pub directory: String,
    /// The key of `code_source`: `module_name` or `python_file`.
    pub key: &'static str,
    /// Its value.
    pub value: String,
    /// The file, for the reader.
    pub file: String,
    /// The attribute, if it has to be named.
    pub attribute: Option<String>,
}
