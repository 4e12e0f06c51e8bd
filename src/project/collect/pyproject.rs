//! `pyproject.toml`, as far as it describes the requirements of a project and how it is built.
//!
//! The tables of tools have files of their own, which give a value that is added here.
//! Sources: the PyPA specifications "pyproject.toml" and "Dependency Groups".

mod flit;
mod pdm;
mod poetry;
mod setuptools;
mod uv_table;

pub(super) use setuptools::ignored as ignored_by_setuptools;

use super::error::CollectError;
use super::toml_file::{Node, TomlFile};
use super::uv_sources::Sources;
use crate::error::Place;
use crate::project::{PackageBuild, Warning};
use crate::target::{PythonVersion, Target};
use pep440_rs::{Version, VersionSpecifiers};
use pep508_rs::{ExtraName, PackageName};
use poetry::Poetry;
use std::collections::BTreeMap;
use std::path::Path;
use std::str::FromStr;

/// A requirement as written, not read yet.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Raw {
    /// Its text.
    pub(super) text: String,
    /// Where it is written.
    pub(super) place: Place,
}

/// A dependency group.
#[derive(Debug, Clone, Default)]
pub(super) struct Group {
    /// Its requirements.
    pub(super) requires: Vec<Raw>,
    /// Names of further groups that belong to it, and where they are named.
    pub(super) includes: Vec<(ExtraName, Place)>,
}

/// The requirements in a table, whichever tool it is for.
#[derive(Debug, Clone, Default)]
pub(super) struct Asks {
    /// The project's name.
    pub(super) name: Option<PackageName>,
    /// Requirements of the project itself.
    pub(super) requires: Vec<Raw>,
    /// Additional requirements of its extras.
    pub(super) extras: BTreeMap<ExtraName, Vec<Raw>>,
    /// Groups.
    pub(super) groups: BTreeMap<ExtraName, Group>,
    /// Pythons that it runs on.
    pub(super) requires_python: Option<RequiresPython>,
}

/// `requires-python`.
#[derive(Debug, Clone)]
pub(super) struct RequiresPython {
    /// `requires-python = ">=3.9"`, as written.
    pub(super) setting: String,
    /// Where.
    pub(super) place: Place,
    /// One of them has to hold.
    pub(super) alternatives: Vec<VersionSpecifiers>,
}

/// `[build-system]`.
#[derive(Debug, Clone, Default)]
pub(super) struct BuildSystem {
    /// `requires`.
    pub(super) requires: Vec<String>,
    /// `build-backend`.
    pub(super) backend: Option<String>,
    /// `backend-path`.
    pub(super) backend_path: Vec<String>,
}

/// What a pyproject.toml says.
#[derive(Debug, Clone, Default)]
pub(super) struct PyProject {
    /// The project's name, from whichever table has it.
    pub(super) name: Option<PackageName>,
    /// Requirements of the project itself.
    pub(super) requires: Vec<Raw>,
    /// Additional requirements of its extras.
    pub(super) extras: BTreeMap<ExtraName, Vec<Raw>>,
    /// Dependency groups.
    pub(super) groups: BTreeMap<ExtraName, Group>,
    /// Pythons that it runs on.
    pub(super) requires_python: Option<RequiresPython>,
    /// Whether `[project]` is there.
    pub(super) has_project: bool,
    /// Whether `[project]` decides the dependencies: it is there, and they are not dynamic.
    pub(super) static_dependencies: bool,
    /// Whether `[project]` neither lists dependencies nor calls them dynamic.
    pub(super) says_no_dependencies: bool,
    /// Whether only the build backend can tell the dependencies.
    pub(super) dynamic_dependencies: bool,
    /// Whether only the build backend can tell the extras.
    pub(super) dynamic_extras: bool,
    /// Whether another table (Poetry's, Flit's) replaces `[project]`.
    pub(super) has_tool_metadata: bool,
    /// `[tool.poetry]`, less what was added to the fields above: its `python` stays where `requires-python` comes
    /// first.
    pub(super) poetry: Poetry,
    /// `tool.uv.package`.
    pub(super) uv_package: Option<bool>,
    /// Whether `[tool.setuptools]` says what to package.
    pub(super) has_setuptools: bool,
    /// `[build-system]`.
    pub(super) build_system: Option<BuildSystem>,
    /// `[tool.uv.sources]`.
    pub(super) sources: Sources,
    /// Warnings.
    pub(super) warnings: Vec<Warning>,
}

/// Read a pyproject.toml.
///
/// # Errors
/// It is not TOML, or a table of it is not as its specification says.
pub(super) fn read(path: &Path) -> Result<PyProject, CollectError> {
    let file = TomlFile::read(path)?;
    let document = file.parse()?;
    let root = Node::root(&file, &document);
    let mut project = PyProject::default();
    project.read_build_system(&root)?;
    if let Some(table) = root.get("project") {
        project.read_project(&table, &root)?;
    }
    if let Some(groups) = root.get("dependency-groups") {
        project.groups = dependency_groups(&groups)?;
    }
    let Some(tool) = root.get("tool") else { return Ok(project) };
    if let Some(table) = tool.get("poetry").filter(Node::is_table) {
        project.has_tool_metadata |= table.get("name").is_some() && !project.has_project;
        let poetry = poetry::read(&table, &project)?;
        project.take_poetry(poetry);
    }
    if let Some(metadata) = tool.at(&["flit", "metadata"]).filter(|_| !project.has_project) {
        project.has_tool_metadata = true;
        project.take(flit::read(&metadata)?);
    }
    if let Some(table) = tool.get("uv") {
        let uv = uv_table::read(&table)?;
        project.uv_package = uv.package;
        project.sources = uv.sources;
        project.take(uv.asks);
    }
    if let Some(groups) = tool.at(&["pdm", "dev-dependencies"]) {
        project.take(pdm::read(&groups)?);
    }
    project.has_setuptools = tool.get("setuptools").is_some();
    Ok(project)
}

/// A list of requirement strings.
pub(super) fn raws(node: &Node<'_>) -> Result<Vec<Raw>, CollectError> {
    node.list()?
        .iter()
        .map(|item| Ok(Raw { text: item.string()?.to_string(), place: item.place() }))
        .collect()
}

/// A table of lists of requirement strings, by the name of an extra or group.
pub(super) fn lists(node: &Node<'_>) -> Result<BTreeMap<ExtraName, Vec<Raw>>, CollectError> {
    let table = node.table()?.into_iter();
    table.map(|(name, lines)| Ok((group_name(name, &lines)?, raws(&lines)?))).collect()
}

/// The name of an extra or group.
pub(super) fn group_name(name: &str, node: &Node<'_>) -> Result<ExtraName, CollectError> {
    ExtraName::new(name.to_string()).map_err(|error| node.invalid(error))
}

/// PEP 735: strings, and tables `{include-group = "name"}`.
fn dependency_groups(groups: &Node<'_>) -> Result<BTreeMap<ExtraName, Group>, CollectError> {
    let mut read = BTreeMap::new();
    for (name, items) in groups.table()? {
        let mut group = Group::default();
        for item in items.list()? {
            match item.get("include-group") {
                Some(include) => {
                    let name = group_name(include.string()?, &include)?;
                    group.includes.push((name, include.place()));
                }
                None => group.requires.push(Raw { text: item.string()?.to_string(), place: item.place() }),
            }
        }
        read.insert(group_name(name, &items)?, group);
    }
    Ok(read)
}

impl PyProject {
    fn read_build_system(&mut self, root: &Node<'_>) -> Result<(), CollectError> {
        let Some(table) = root.get("build-system") else { return Ok(()) };
        let requires = table.get("requires").map(|requires| requires.strings()).transpose()?;
        let backend = table.get("build-backend").map(|backend| backend.string()).transpose()?;
        let path = table.get("backend-path").map(|path| path.strings()).transpose()?;
        let owned = |texts: Option<Vec<&str>>| texts.into_iter().flatten().map(str::to_string).collect();
        self.build_system = Some(BuildSystem {
            requires: owned(requires),
            backend: backend.map(str::to_string),
            backend_path: owned(path),
        });
        Ok(())
    }

    fn read_project(&mut self, table: &Node<'_>, root: &Node<'_>) -> Result<(), CollectError> {
        if !table.is_table() {
            return Err(table.expected("a table"));
        }
        self.has_project = true;
        match table.get("name") {
            Some(name) => {
                let given = PackageName::new(name.string()?.to_string());
                self.name = Some(given.map_err(|error| name.invalid(error))?);
            }
            None => self.warnings.push(Warning {
                message: "[project] has no `name`: its dependencies are taken, but no tool can build it"
                    .into(),
                place: Some(table.place()),
            }),
        }
        self.requires_python =
            table.get("requires-python").map(|python| RequiresPython::read(&python)).transpose()?;
        let dynamic = table.get("dynamic").map(|dynamic| dynamic.strings()).transpose()?.unwrap_or_default();
        match table.get("dependencies") {
            Some(dependencies) => self.requires = raws(&dependencies)?,
            None if dynamic.contains(&"dependencies") => {
                let listed = match self.uses_setuptools() {
                    true => setuptools::dynamic_dependencies(root)?,
                    false => None,
                };
                self.dynamic_dependencies = listed.is_none();
                self.requires = listed.unwrap_or_default();
            }
            None => self.says_no_dependencies = true,
        }
        self.static_dependencies = table.get("dependencies").is_some() || !dynamic.contains(&"dependencies");
        match table.get("optional-dependencies") {
            Some(extras) => self.extras = lists(&extras)?,
            None => self.dynamic_extras = dynamic.contains(&"optional-dependencies"),
        }
        Ok(())
    }

    /// Whether setuptools builds it, by its declaration or by default.
    pub(super) fn uses_setuptools(&self) -> bool {
        let backend = self.build_system.as_ref().and_then(|system| system.backend.as_deref());
        backend.is_none_or(|backend| backend.starts_with("setuptools."))
    }

    fn take_poetry(&mut self, mut poetry: Poetry) {
        self.dynamic_dependencies &= !poetry.has_dependencies;
        self.warnings.append(&mut poetry.warnings);
        let mut asks = std::mem::take(&mut poetry.asks);
        if self.requires_python.is_some() {
            poetry.asks.requires_python = asks.requires_python.take();
        }
        self.take(asks);
        self.poetry = poetry;
    }

    /// Add the requirements from the table of a tool.
    fn take(&mut self, asks: Asks) {
        self.name = asks.name.or(self.name.take());
        self.requires_python = asks.requires_python.or(self.requires_python.take());
        self.requires.extend(asks.requires);
        for (extra, lines) in asks.extras {
            self.extras.entry(extra).or_default().extend(lines);
        }
        for (name, group) in asks.groups {
            let known = self.groups.entry(name).or_default();
            known.requires.extend(group.requires);
            known.includes.extend(group.includes);
        }
    }

    /// How the importable packages of the project in `directory` are made.
    ///
    /// A table that only configures tools makes no package. Neither does the build directory's own `[project]`
    /// without `[build-system]` (uv's rule for the project at hand), unless `src/`, `[tool.setuptools]` or
    /// `tool.uv.package` show that it is meant as one; a dependency without `[build-system]` is built by
    /// setuptools (uv's rule for path dependencies, and pip's).
    pub(super) fn build(&self, directory: &Path, is_dependency: bool) -> PackageBuild {
        let is_set_up_by_script = directory.join("setup.py").is_file();
        let is_nameless = self.has_project && self.name.is_none();
        if is_nameless
            || self.poetry.package_mode == Some(false)
            || (self.uv_package == Some(false) && !is_set_up_by_script)
        {
            return PackageBuild::None;
        }
        let system = self.build_system.clone().unwrap_or_default();
        if is_set_up_by_script && self.uses_setuptools() {
            return PackageBuild::SetupPy { build_requires: system.requires };
        }
        let has_metadata =
            self.has_project || self.has_tool_metadata || directory.join("setup.cfg").is_file();
        let is_meant = is_dependency
            || self.build_system.is_some()
            || self.uv_package == Some(true)
            || self.has_setuptools
            || !self.has_project
            || directory.join("src").is_dir();
        if !(has_metadata && is_meant) {
            return PackageBuild::None;
        }
        let backend = system.backend.unwrap_or_else(|| DEFAULT_BACKEND.to_string());
        PackageBuild::Backend { backend }
    }
}

/// The build backend where none is named. Source: PyPA specification "pyproject.toml", table `[build-system]`.
const DEFAULT_BACKEND: &str = "setuptools.build_meta:__legacy__";

impl RequiresPython {
    /// `requires-python` of `[project]` or Flit.
    pub(super) fn read(node: &Node<'_>) -> Result<RequiresPython, CollectError> {
        let text = node.string()?;
        let specifiers = VersionSpecifiers::from_str(text).map_err(|_| {
            CollectError::invalid_with(
                node.place(),
                format!("`{}`: `{text}` is not a version specifier", node.name),
                "write a range such as `>=3.9,<4`",
            )
        })?;
        let setting = format!("requires-python = \"{text}\"");
        Ok(RequiresPython { setting, place: node.place(), alternatives: vec![specifiers] })
    }

    /// Whether it allows a Python version of Dagster+.
    ///
    /// `<=3.11` is taken to allow 3.11, though strictly it does not allow 3.11.1: people write it so.
    fn allows(&self, python: PythonVersion) -> bool {
        let versions = [python.full().to_string(), python.to_string()];
        let versions: Vec<Version> =
            versions.iter().filter_map(|text| Version::from_str(text).ok()).collect();
        self.alternatives.iter().any(|specifiers| versions.iter().any(|version| specifiers.contains(version)))
    }

    /// The versions of Dagster+ that it allows, ascending.
    pub(super) fn allowed(&self) -> Vec<PythonVersion> {
        PythonVersion::all().filter(|python| self.allows(*python)).collect()
    }

    /// Whether there can be a Python that it allows.
    fn allows_any(&self) -> bool {
        let versions = (2..=4_u64).flat_map(|major| (0..=60_u64).map(move |minor| (major, minor)));
        let mut versions = versions
            .flat_map(|(major, minor)| (0..=40_u64).map(move |patch| Version::new([major, minor, patch])));
        versions.any(|version| self.alternatives.iter().any(|specifiers| specifiers.contains(&version)))
    }

    /// Refuse what no target can meet.
    pub(super) fn check_any(&self) -> Result<(), CollectError> {
        if !self.allowed().is_empty() {
            return Ok(());
        }
        let (setting, place) = (self.setting.clone(), self.place.clone());
        Err(match self.allows_any() {
            true => CollectError::PythonUnsupported { setting, place },
            false => CollectError::NoPython { setting, place },
        })
    }

    /// Refuse a target that it excludes.
    pub(super) fn check(&self, target: &Target) -> Result<(), CollectError> {
        if self.allows(target.python) {
            return Ok(());
        }
        self.check_any()?;
        let allowed = self.allowed().into_iter().map(|python| python.to_string());
        Err(CollectError::PythonExcluded {
            setting: self.setting.clone(),
            target: target.python,
            allowed: allowed.collect(),
            place: self.place.clone(),
        })
    }
}
