//! The user's project: code locations with their requirements and local packages.
//!
//! This stage reads the user's files, and runs Python only where nothing else can know (`setup.py`, build backends). It
//! resolves nothing and asks no index.

pub mod build_directory;
pub mod candidates;
pub mod code_source;
pub mod collect;
mod defaults;
mod dg;
pub mod dockerfile;
mod elsewhere;
mod error;
mod find;
mod not_found;
pub mod python_version;
mod inspect;
mod reading;
pub mod setup_py;
mod unknown_key;
mod workspace;

pub use collect::{CollectError, Foreseen, Workspaces, collect};
pub use elsewhere::{PROJECT_FILES, named_elsewhere};
pub use error::{ProjectError, ProjectErrors};
pub use find::find;
pub use python_version::{PythonVersionError, TargetPython};
pub use reading::Reading;

use crate::error::Place;
use crate::target::Target;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// The code locations of a `dagster_cloud.yaml`, or of a dg project or workspace.
#[derive(Debug, Clone)]
pub struct Project {
    /// Its file: `dagster_cloud.yaml`, `dg.toml` or `pyproject.toml`. Absolute.
    pub file: PathBuf,
    /// Directory of that file. Absolute.
    pub root: PathBuf,
    /// In the order of the file; never empty, names unique.
    pub locations: Vec<Location>,
    /// Problems that do not stop a run.
    pub warnings: Vec<Warning>,
}

/// One code location.
#[derive(Debug, Clone)]
pub struct Location {
    /// `location_name`.
    pub name: String,
    /// The build directory. Absolute; exists.
    pub directory: PathBuf,
    /// The location document with `defaults` merged in, `build` still there.
    pub document: serde_json::Map<String, serde_json::Value>,
    /// The dg project that it is, if it is one.
    pub dg: Option<DgProject>,
    /// Where the location starts in the file.
    pub place: Place,
    /// The places of keys that say which code to load, if known.
    pub places: BTreeMap<&'static str, Place>,
}

/// A dg project, which is one code location.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DgProject {
    /// Its directory. Absolute.
    pub root: PathBuf,
    /// The directory or file with its definitions, if it exists. Absolute.
    pub defs_path: Option<PathBuf>,
}

impl Location {
    /// The place of a key's value, or of the location if that is not known.
    pub fn place_of(&self, key: &str) -> Place {
        self.places.get(key).unwrap_or(&self.place).clone()
    }

    /// The file that `build.dockerfile` names. As Docker's context may be the build directory or one above it, the path is
    /// looked for there, and then next to the file that names it.
    pub fn dockerfile(&self) -> Option<PathBuf> {
        let given =
            self.document.get("build")?.get("dockerfile")?.as_str().filter(|text| !text.is_empty())?;
        let height = self.directory.ancestors().position(|above| above.join(".git").exists()).unwrap_or(0);
        let contexts = self.directory.ancestors().take(height + 1);
        let project = self.dg.as_ref().map(|dg| dg.root.as_path());
        let here = project.or_else(|| self.place.file.parent());
        let mut files =
            contexts.chain(here).map(|context| crate::paths::lexically_normal(&context.join(given)));
        let first = files.clone().next();
        files.find(|file| file.is_file()).or(first)
    }
}

/// A problem that does not stop a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Warning {
    /// One or two sentences.
    pub message: String,
    /// Its place, if it is in a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
}

impl Warning {
    /// A warning about nothing in a file.
    pub fn without_place(message: String) -> Warning {
        Warning { message, place: None }
    }
}

/// What to collect, from the command line.
#[derive(Debug, Clone)]
pub struct CollectOptions {
    /// Target Python and platform.
    pub target: Target,
    /// How lock files are used.
    pub lock_use: LockUse,
    /// Requested extras of the project in the build directory.
    pub extras: Vec<String>,
    /// Whether all extras are requested.
    pub all_extras: bool,
    /// Requested PEP 735 dependency groups.
    pub groups: Vec<String>,
    /// Whether files of Docker builds are read by [`dockerfile`], and not reported as ignored.
    pub reads_dockerfiles: bool,
    /// The uv workspaces that were read for other build directories.
    pub workspaces: Workspaces,
}

/// How lock files are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockUse {
    /// If there is one, it is used.
    Automatic,
    /// One must exist and be up to date.
    Required,
    /// They are not used.
    Ignored,
}

/// All requirements of one build directory and its local packages.
#[derive(Debug, Clone, Default)]
pub struct Requirements {
    /// Third-party requirements, sorted, unique. With a lock these are its exact pins.
    pub lines: Vec<RequirementLine>,
    /// Directories that are built into the source PEX: first the build directory itself, then those named in
    /// requirements.
    pub local_packages: Vec<LocalPackage>,
    /// Wheels and sdists named by path; they go into the deps PEX.
    pub local_distributions: Vec<LocalDistribution>,
    /// `sha256:HEX` digests that the user listed for a requirement, by normalised name.
    pub hashes: BTreeMap<String, Vec<String>>,
    /// How to resolve: constraints, overrides, indexes.
    pub settings: ResolveSettings,
    /// The lock file that decides the versions, if there is one.
    pub lock: Option<Lock>,
    /// Warnings.
    pub warnings: Vec<Warning>,
    /// Extras and dependency groups that exist and were not requested, one sentence each.
    pub left_out: Vec<String>,
    /// The same, with their packages.
    pub not_taken: Vec<NotTaken>,
}

/// An extra or dependency group of the project that was not requested.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotTaken {
    /// `extra`, `dependency group`.
    pub kind: &'static str,
    /// The flag to request it.
    pub flag: &'static str,
    /// Its name.
    pub name: String,
    /// Normalised names of the distributions in it.
    pub packages: BTreeSet<String>,
}

impl Requirements {
    /// The text of each of [`Requirements::lines`].
    pub fn texts(&self) -> Vec<String> {
        self.lines.iter().map(|line| line.text.clone()).collect()
    }

    /// Normalised names of everything that is required by name, including local packages and distributions.
    pub fn names(&self) -> BTreeSet<String> {
        let lines = self.lines.iter().filter_map(|line| line.name.clone());
        let packages = self.local_packages.iter().filter_map(|package| package.name.clone());
        let distributions = self.local_distributions.iter().filter_map(|file| file.name.clone());
        lines.chain(packages).chain(distributions).collect()
    }
}

/// One third-party requirement, for the resolver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequirementLine {
    /// A PEP 508 line (`name[extra]>=1 ; marker`, `name @ url`), or a bare URL. Never a local directory, never an
    /// option, no `--hash`.
    pub text: String,
    /// The normalised name of its distribution, if the line has it.
    pub name: Option<String>,
    /// Whether it is a URL or repository, and not a version on an index.
    pub is_link: bool,
    /// Where it is written; the lock file for pins of a lock.
    pub places: Vec<Place>,
}

impl RequirementLine {
    /// A line with only a name and no place.
    pub fn bare(name: &str) -> RequirementLine {
        RequirementLine { text: name.into(), name: Some(name.into()), is_link: false, places: Vec::new() }
    }
}

/// A local wheel or sdist, named by path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LocalDistribution {
    /// Absolute path; exists.
    pub path: PathBuf,
    /// Normalised name of the distribution, if the requirement or the file name has it.
    pub name: Option<String>,
    /// Requested extras.
    pub extras: Vec<String>,
}

impl LocalDistribution {
    /// Its requirement line: `name[extra] @ file:///PATH`, or its path if the name is not known.
    pub fn line(&self) -> String {
        let extras =
            if self.extras.is_empty() { String::new() } else { format!("[{}]", self.extras.join(",")) };
        match &self.name {
            Some(name) => format!("{name}{extras} @ {}", collect::file_url(&self.path)),
            None => format!("{}{extras}", self.path.display()),
        }
    }
}

/// The user's settings for resolving: everything that is not a requirement itself.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct ResolveSettings {
    /// PEP 508 lines that only limit versions (`-c` files, `tool.uv.constraint-dependencies`).
    pub constraints: Vec<String>,
    /// PEP 508 lines that replace requirements of packages (`tool.uv.override-dependencies`).
    pub overrides: Vec<String>,
    /// PEP 508 lines that limit versions for builds of sdists (`tool.uv.build-constraint-dependencies`).
    pub build_constraints: Vec<String>,
    /// Names of packages that are never installed (`tool.uv.exclude-dependencies`).
    pub excludes: Vec<String>,
    /// `--index-url`, or the `[[tool.uv.index]]` with `default = true`. May contain credentials.
    pub default_index: Option<String>,
    /// Its name, for `UV_INDEX_NAME_USERNAME`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_index_name: Option<String>,
    /// `--extra-index-url` and the other `[[tool.uv.index]]`, in order of priority. May contain credentials.
    pub indexes: Vec<Index>,
    /// Normalised package name → name of the index it must come from (`tool.uv.sources`, Poetry `source`).
    pub index_pins: BTreeMap<String, String>,
    /// `--find-links`: URLs, or absolute paths.
    pub find_links: Vec<String>,
    /// `--no-index`.
    pub no_index: bool,
    /// `--no-binary` values: names or `:all:`.
    pub no_binary: Vec<String>,
    /// `--only-binary` values: names or `:all:`.
    pub only_binary: Vec<String>,
    /// `--pre` (`allow`) or `tool.uv.prerelease`.
    pub prerelease: Option<String>,
    /// `tool.uv.exclude-newer`.
    pub exclude_newer: Option<String>,
    /// `tool.uv.index-strategy`.
    pub index_strategy: Option<String>,
    /// `tool.uv.resolution`.
    pub resolution: Option<String>,
    /// Other keys of `[tool.uv]` that affect resolving or building, passed to uv unchanged.
    pub uv: toml::Table,
    /// Places of lines that are not in [`Requirements::lines`]: constraints, overrides, files named by path.
    #[serde(skip)]
    pub origins: Vec<Origin>,
}

/// The place of a line that the resolver may name in an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// As written.
    pub text: String,
    /// The normalised name of its distribution.
    pub name: String,
    /// `constraint`, `override`; empty for requirements.
    pub kind: &'static str,
    /// Where.
    pub place: Place,
}

/// One named or unnamed package index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Index {
    /// Its name, for [`ResolveSettings::index_pins`] and `UV_INDEX_NAME_USERNAME`.
    pub name: Option<String>,
    /// Its URL. May contain credentials.
    pub url: String,
    /// Used only for packages pinned to it.
    pub explicit: bool,
}

/// A local directory that is built into the source PEX.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalPackage {
    /// Absolute path; exists.
    pub directory: PathBuf,
    /// Normalised name of the distribution, if known.
    pub name: Option<String>,
    /// How it is built.
    pub build: PackageBuild,
}

/// How the packages of a local directory are built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PackageBuild {
    /// Nothing to build: only the working directory is shipped (requirements.txt alone, `package = false`, …).
    None,
    /// `setup.py`, run by the target Python in its own directory.
    SetupPy {
        /// `build-system.requires` of its pyproject.toml, if there is one.
        build_requires: Vec<String>,
    },
    /// A PEP 517 build backend.
    Backend {
        /// `build-system.build-backend`, or setuptools' default.
        backend: String,
    },
}

/// A lock file that decides versions.
#[derive(Debug, Clone)]
pub struct Lock {
    /// Absolute path.
    pub file: PathBuf,
    /// Its content.
    pub content: LockContent,
    /// The command that brings it up to date.
    pub remedy: String,
}

impl Lock {
    /// Whether the command accepts a version for a package.
    pub fn takes_versions(&self) -> bool {
        ["uv ", "pip-compile"].iter().any(|tool| self.remedy.starts_with(tool))
    }

    /// The command that updates these packages (`name`, or `name==version` if it accepts that) and, if possible, no
    /// others.
    pub fn update_command(&self, packages: &[String]) -> String {
        let upgrade: String =
            packages.iter().map(|package| format!(" --upgrade-package {package}")).collect();
        match self.remedy.as_str() {
            remedy if packages.is_empty() => remedy.to_string(),
            "poetry lock" => format!("poetry update {}", packages.join(" ")),
            remedy if remedy.starts_with("uv export") => format!("uv lock{upgrade} && {remedy}"),
            remedy if self.takes_versions() => format!("{remedy}{upgrade}"),
            remedy => remedy.to_string(),
        }
    }
}

/// The content of a lock file that replaces resolving.
#[derive(Debug, Clone)]
pub enum LockContent {
    /// A `pylock.toml` document (PEP 751): the lock itself, or a uv.lock in the form that uv exports. It may contain local directories, which are skipped. `complete` is false when [`Requirements::lines`] has lines that it
    /// does not cover.
    Pylock {
        /// TOML text.
        text: String,
        /// Whether it covers every line.
        complete: bool,
    },
    /// Exact versions, as constraints in [`ResolveSettings::constraints`]; digests in [`Requirements::hashes`]
    /// (poetry.lock has no URLs).
    Constraints,
}
