//! `pyproject.toml`, as far as it says what a project asks for and how it is built.
//!
//! Sources: the PyPA specifications "pyproject.toml" and "Dependency Groups"; Flit's documentation for
//! `[tool.flit.metadata]`; setuptools' for `[tool.setuptools.dynamic]`; uv's for `dev-dependencies` and `package`.

use super::error::CollectError;
use super::poetry;
use super::poetry_constraint;
use super::toml_file::{Node, TomlFile};
use super::uv_sources::Sources;
use crate::error::Place;
use crate::project::{Index, PackageBuild, Warning};
use crate::target::{PythonVersion, Target};
use pep440_rs::{Version, VersionSpecifiers};
use pep508_rs::{ExtraName, PackageName};
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
    /// What the project always asks for.
    pub(super) requires: Vec<Raw>,
    /// What its extras ask for besides.
    pub(super) extras: BTreeMap<ExtraName, Vec<Raw>>,
    /// Dependency groups.
    pub(super) groups: BTreeMap<ExtraName, Group>,
    /// Pythons that it runs on.
    pub(super) requires_python: Option<RequiresPython>,
    /// Poetry's `python`, where `[project]` has a `requires-python` that comes first.
    pub(super) poetry_python: Option<RequiresPython>,
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
    /// Whether another table (Poetry's, Flit's) stands in for `[project]`.
    pub(super) has_tool_metadata: bool,
    /// `tool.poetry.package-mode`.
    pub(super) package_mode: Option<bool>,
    /// `tool.uv.package`.
    pub(super) uv_package: Option<bool>,
    /// Whether `[tool.setuptools]` says what to package.
    pub(super) has_setuptools: bool,
    /// `[build-system]`.
    pub(super) build_system: Option<BuildSystem>,
    /// Lines that stand in for those of `[project]` with the same name (Poetry's enrichment).
    pub(super) replacements: BTreeMap<PackageName, Vec<Raw>>,
    /// Package → index, from Poetry's `source`.
    pub(super) index_pins: BTreeMap<String, String>,
    /// Poetry's primary source.
    pub(super) default_index: Option<Index>,
    /// Poetry's other sources.
    pub(super) indexes: Vec<Index>,
    /// `[tool.uv.sources]`.
    pub(super) sources: Sources,
    /// What the user should know.
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
        project.read_groups(&groups)?;
    }
    let Some(tool) = root.get("tool") else { return Ok(project) };
    if let Some(table) = tool.get("poetry").filter(Node::is_table) {
        project.has_tool_metadata |= table.get("name").is_some() && !project.has_project;
        poetry::read(&table, &mut project)?;
        if project.dynamic_dependencies && table.get("dependencies").is_some() {
            project.dynamic_dependencies = false;
        }
    }
    if let Some(metadata) = tool.at(&["flit", "metadata"]).filter(|_| !project.has_project) {
        project.read_flit(&metadata)?;
    }
    if let Some(uv) = tool.get("uv") {
        project.read_uv(&uv)?;
    }
    if let Some(groups) = tool.at(&["pdm", "dev-dependencies"]) {
        for (name, lines) in groups.table()? {
            // PDM: `-e file:///${PROJECT_ROOT}/path#egg=name` for what is to be installed editable.
            let requires = raws(&lines)?.into_iter().map(|raw| {
                let text = raw.text.strip_prefix("-e ").map(|text| text.trim().to_string());
                Raw { text: text.unwrap_or(raw.text), ..raw }
            });
            project.group(group_name(name, &lines)?).requires.extend(requires);
        }
    }
    project.has_setuptools = tool.get("setuptools").is_some();
    Ok(project)
}

/// A list of requirement strings.
fn raws(node: &Node<'_>) -> Result<Vec<Raw>, CollectError> {
    node.list()?
        .iter()
        .map(|item| Ok(Raw { text: item.string()?.to_string(), place: item.place() }))
        .collect()
}

fn not_specifiers(python: &Node<'_>) -> CollectError {
    let text = python.as_str().unwrap_or_default();
    CollectError::invalid_with(
        python.place(),
        format!("`{}`: `{text}` is not a version specifier", python.name),
        "write a range such as `>=3.9,<4`",
    )
}

fn group_name(name: &str, node: &Node<'_>) -> Result<ExtraName, CollectError> {
    ExtraName::new(name.to_string()).map_err(|error| node.invalid(error))
}

impl PyProject {
    /// The group of that name, made if it is new.
    pub(super) fn group(&mut self, name: ExtraName) -> &mut Group {
        self.groups.entry(name).or_default()
    }

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
        if let Some(python) = table.get("requires-python") {
            let specifiers =
                VersionSpecifiers::from_str(python.string()?).map_err(|_| not_specifiers(&python))?;
            self.requires_python = Some(RequiresPython {
                setting: format!("requires-python = \"{}\"", python.string()?),
                place: python.place(),
                alternatives: vec![specifiers],
            });
        }
        let dynamic = table.get("dynamic").map(|dynamic| dynamic.strings()).transpose()?.unwrap_or_default();
        match table.get("dependencies") {
            Some(dependencies) => self.requires = raws(&dependencies)?,
            None if dynamic.contains(&"dependencies") => self.read_dynamic_dependencies(root)?,
            None => self.says_no_dependencies = true,
        }
        self.static_dependencies = table.get("dependencies").is_some() || !dynamic.contains(&"dependencies");
        match table.get("optional-dependencies") {
            Some(extras) => {
                for (name, lines) in extras.table()? {
                    self.extras.insert(group_name(name, &lines)?, raws(&lines)?);
                }
            }
            None => self.dynamic_extras = dynamic.contains(&"optional-dependencies"),
        }
        Ok(())
    }

    /// `tool.setuptools.dynamic.dependencies = {file = […]}` can be read without running anything; the rest cannot.
    fn read_dynamic_dependencies(&mut self, root: &Node<'_>) -> Result<(), CollectError> {
        let files = root.at(&["tool", "setuptools", "dynamic", "dependencies", "file"]);
        let Some(files) = files.filter(|_| self.uses_setuptools()) else {
            self.dynamic_dependencies = true;
            return Ok(());
        };
        let directory = root.file().parent().unwrap_or(Path::new("."));
        for file in files.one_or_more_strings()? {
            let path = directory.join(file);
            let text = crate::bounded_file::read_text(&path, crate::bounded_file::TEXT_LIMIT_BYTES).map_err(
                |source| {
                    if path.exists() {
                        CollectError::Read { file: path.clone(), source }
                    } else {
                        files.invalid(format!("`{file}` does not exist"))
                    }
                },
            )?;
            self.requires.extend(setuptools_lines(&text, &path)?);
        }
        Ok(())
    }

    /// Whether setuptools builds it, by its declaration or for want of one.
    pub(super) fn uses_setuptools(&self) -> bool {
        let backend = self.build_system.as_ref().and_then(|system| system.backend.as_deref());
        backend.is_none_or(|backend| backend.starts_with("setuptools."))
    }

    /// PEP 735: strings, and tables `{include-group = "name"}`.
    fn read_groups(&mut self, groups: &Node<'_>) -> Result<(), CollectError> {
        for (name, items) in groups.table()? {
            let mut group = Group::default();
            for item in items.list()? {
                match item.get("include-group") {
                    Some(include) => {
                        let name = group_name(include.string()?, &include)?;
                        group.includes.push((name, include.place()));
                    }
                    None => {
                        group.requires.push(Raw { text: item.string()?.to_string(), place: item.place() })
                    }
                }
            }
            *self.group(group_name(name, &items)?) = group;
        }
        Ok(())
    }

    fn read_flit(&mut self, metadata: &Node<'_>) -> Result<(), CollectError> {
        self.has_tool_metadata = true;
        let name = metadata.get("dist-name").or_else(|| metadata.get("module"));
        if let Some(name) = name {
            self.name = PackageName::new(name.string()?.to_string()).ok();
        }
        if let Some(requires) = metadata.get("requires") {
            self.requires.extend(raws(&requires)?);
        }
        if let Some(extras) = metadata.get("requires-extra") {
            for (name, lines) in extras.table()? {
                self.extras.insert(group_name(name, &lines)?, raws(&lines)?);
            }
        }
        if let Some(python) = metadata.get("requires-python") {
            let specifiers =
                VersionSpecifiers::from_str(python.string()?).map_err(|_| not_specifiers(&python))?;
            self.requires_python = Some(RequiresPython {
                setting: format!("requires-python = \"{}\"", python.string()?),
                place: python.place(),
                alternatives: vec![specifiers],
            });
        }
        Ok(())
    }

    fn read_uv(&mut self, uv: &Node<'_>) -> Result<(), CollectError> {
        self.uv_package = uv.get("package").and_then(|package| package.as_bool());
        if let Some(lines) = uv.get("dev-dependencies") {
            let requires = raws(&lines)?;
            self.group(group_name("dev", &lines)?).requires.extend(requires);
        }
        if let Some(sources) = uv.get("sources") {
            self.sources = Sources::read(&sources)?;
        }
        Ok(())
    }

    /// Poetry's `python = "^3.9"`; `[project]` comes first.
    pub(super) fn poetry_python(&mut self, node: &Node<'_>) -> Result<(), CollectError> {
        let Some(text) = node.as_str() else { return Ok(()) };
        let read = poetry_constraint::python_specifiers(text).map(|alternatives| RequiresPython {
            setting: format!("python = \"{text}\""),
            place: node.place(),
            alternatives,
        });
        match self.requires_python {
            // It decides nothing here, so that it may be what it likes.
            Some(_) => self.poetry_python = read.ok(),
            None => self.requires_python = Some(read.map_err(|problem| node.invalid(problem))?),
        }
        Ok(())
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
            || self.package_mode == Some(false)
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

/// The lines of a file named in `tool.setuptools.dynamic`: one requirement a line, comment lines dropped.
fn setuptools_lines(text: &str, path: &Path) -> Result<Vec<Raw>, CollectError> {
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
    lines
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(number, line)| {
            let place = Place { file: path.to_path_buf(), line: Some(number), column: None };
            if line.starts_with('-') {
                return Err(CollectError::invalid_with(
                    place,
                    format!("`{line}`: setuptools takes no options in a file of dynamic dependencies"),
                    "write its requirements out in this file",
                ));
            }
            Ok(Raw { text: line.split(" #").next().unwrap_or(line).trim().to_string(), place })
        })
        .collect()
}

impl RequiresPython {
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
