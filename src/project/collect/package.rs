//! Reads the files of one directory, without following what they name.

use super::core_metadata::{self, CoreMetadata};
use super::error::{CollectError, whole};
use super::pyproject::{self, BuildSystem, Group, PyProject, Raw, RequiresPython};
use super::python_metadata;
use super::requirement::{ParsedRequirement, Scope};
use super::requirements_txt;
use super::uv_sources::Sources;
use super::uv_workspace::{Workspace, Workspaces};
use crate::bounded_file::{self, TEXT_LIMIT_BYTES};
use crate::error::Place;
use crate::host::Host;
use crate::project::setup_py::SetupPy;
use crate::project::{Index, PackageBuild, ResolveSettings, Warning};
use crate::target::Target;
use crate::tools::Tools;
use pep508_rs::{ExtraName, PackageName};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

/// A directory, read.
#[derive(Debug, Default)]
pub(super) struct Package {
    /// Name of the distribution.
    pub(super) name: Option<PackageName>,
    /// Whether pyproject.toml has a `[project]`.
    pub(super) has_project: bool,
    /// Requirements of requirements.txt, read.
    pub(super) asked: Vec<ParsedRequirement>,
    /// Requirements of setup.py and pyproject.toml.
    pub(super) requires: Vec<Raw>,
    /// Additional requirements of extras.
    pub(super) extras: BTreeMap<ExtraName, Vec<Raw>>,
    /// Dependency groups.
    pub(super) groups: BTreeMap<ExtraName, Group>,
    /// How it is built.
    pub(super) build: Option<PackageBuild>,
    /// Resolver settings of requirements.txt and Poetry.
    pub(super) settings: ResolveSettings,
    /// `tool.uv.sources`, those of the workspace root included.
    pub(super) sources: Sources,
    /// The workspace that it is in.
    pub(super) workspace: Option<Arc<Workspace>>,
    /// Lines that replace others of the same name.
    pub(super) replacements: BTreeMap<PackageName, Vec<Raw>>,
    /// Warnings.
    pub(super) warnings: Vec<Warning>,
    /// Whether something is left out that only a script, a server or a variable knows.
    pub(super) is_partial: bool,
}

/// What [`read`] has to know besides the files.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request<'a> {
    /// The build target.
    pub(super) target: &'a Target,
    /// Those that are known.
    pub(super) workspaces: &'a Workspaces,
    /// The line that named the directory; none for the build directory.
    pub(super) asked_by: Option<&'a Place>,
    /// Whether extras are requested.
    pub(super) with_extras: bool,
    /// Whether nothing may be run or fetched: requirements that only Python or a server knows are left out.
    pub(super) is_static: bool,
}

/// Read the files of the directory in `scope`.
pub(super) fn read(
    scope: Scope<'_>,
    request: Request<'_>,
    tools: &Tools,
    host: &Host,
) -> Result<Package, CollectError> {
    let directory = scope.directory;
    // A dangling link counts as a file too, so that reading it reports the error.
    let file = |name: &str| Some(directory.join(name)).filter(|path| path.is_file() || path.is_symlink());
    let (requirements_txt, setup_py, pyproject_toml) =
        (file("requirements.txt"), file("setup.py"), file("pyproject.toml"));
    if requirements_txt.is_none() && setup_py.is_none() && pyproject_toml.is_none() {
        return Err(CollectError::NoRequirementFile {
            directory: directory.to_path_buf(),
            asked_by: request.asked_by.cloned(),
            location: None,
        });
    }
    let mut package = Package::default();
    if pyproject_toml.is_some() {
        package.workspace = request.workspaces.find(directory)?;
    }
    let project = pyproject_toml.as_deref().map(pyproject::read).transpose()?;
    check_python(project.as_ref().and_then(|project| project.requires_python.as_ref()), request)?;
    if let Some(path) = requirements_txt {
        let root = package.workspace.as_ref().map(|workspace| workspace.root.as_path());
        let contents = requirements_txt::read(&path, Scope { root, ..scope }, host, request.is_static)?;
        package.asked = contents.asked;
        package.settings = contents.settings;
        package.warnings = contents.warnings;
        package.is_partial = contents.is_partial;
    }
    let project = project.unwrap_or_default();
    let source = metadata_source(directory, &project, request);
    let needs_run = source.as_ref().is_some_and(|source| !matches!(source, MetadataSource::Written(_)));
    package.is_partial |= request.is_static && needs_run;
    if let Some(source) = source.filter(|_| !(request.is_static && needs_run)) {
        let metadata = source.read(directory, request, tools)?;
        check_python(metadata.requires_python.as_ref(), request)?;
        package.name = metadata.name;
        package.requires = metadata.requires;
        package.extras = metadata.extras;
    }
    let is_dependency = request.asked_by.is_some();
    package.build = Some(if pyproject_toml.is_some() {
        project.build(directory, is_dependency)
    } else if setup_py.is_some() {
        PackageBuild::SetupPy { build_requires: Vec::new() }
    } else {
        PackageBuild::None
    });
    if let Some(path) = pyproject_toml.as_deref() {
        package.warnings.extend(check_byte_order_mark(path, package.build.as_ref())?);
    }
    package.warnings.extend(pyproject::ignored_by_setuptools(directory, &project));
    package.take(project);
    if let Some(workspace) = &package.workspace {
        package.sources.inherit(&workspace.sources);
    }
    Ok(package)
}

/// Build backends refuse a pyproject.toml that begins with a byte order mark, each in words of its own. uv and pexpress
/// read it.
fn check_byte_order_mark(path: &Path, build: Option<&PackageBuild>) -> Result<Option<Warning>, CollectError> {
    let bytes = bounded_file::read(path, TEXT_LIMIT_BYTES).map_err(CollectError::read(path))?;
    if !bytes.starts_with("\u{feff}".as_bytes()) {
        return Ok(None);
    }
    let place = Place { file: path.to_path_buf(), line: Some(1), column: None };
    let problem = "the file begins with a byte order mark, which build backends refuse";
    match build {
        None | Some(PackageBuild::None) => {
            let message = format!("{problem}: save it as UTF-8 without one");
            Ok(Some(Warning { message, place: Some(place) }))
        }
        Some(_) => Err(CollectError::invalid_with(place, problem, "save it as UTF-8 without one")),
    }
}

/// Called twice: before anything is run, which would fail less clearly, and again for what only a setup.py says.
fn check_python(python: Option<&RequiresPython>, request: Request<'_>) -> Result<(), CollectError> {
    python.map_or(Ok(()), |python| match request.is_static {
        // The target may be chosen on the command line.
        true => python.check_any(),
        false => python.check(request.target),
    })
}

/// Where the requirements of a directory come from, unless its pyproject.toml has them.
enum MetadataSource {
    /// Core metadata of a setup.py that does not have to be run.
    Written(String),
    /// setup.py, with what has to be installed for it.
    SetupPy(Vec<String>),
    /// The build backend.
    Backend(BuildSystem),
}

impl MetadataSource {
    fn read(
        self,
        directory: &Path,
        request: Request<'_>,
        tools: &Tools,
    ) -> Result<CoreMetadata, CollectError> {
        match self {
            Self::Written(text) => {
                let environment = request.target.marker_environment();
                core_metadata::read(text.as_bytes(), &directory.join("setup.py"), &environment)
            }
            Self::SetupPy(requires) => {
                python_metadata::of_setup_py(directory, &requires, request.target, tools)
            }
            Self::Backend(system) => python_metadata::of_backend(directory, &system, request.target, tools),
        }
    }
}

/// The requirements that only Python knows, or a setup.py.
///
/// A `[project]` with dependencies needs no run of setup.py: setuptools itself takes them from the table then. Without
/// any, releases of setuptools differ on whether setup.py counts, so the installed one is asked. Next to another
/// backend's table (Poetry's, Flit's) the script is run too, and its requirements are added.
fn metadata_source(directory: &Path, project: &PyProject, request: Request<'_>) -> Option<MetadataSource> {
    let system = project.build_system.clone().unwrap_or_default();
    let needs_extras = request.with_extras && project.dynamic_extras;
    let has_script = directory.join("setup.py").is_file();
    let asks_script = project.says_no_dependencies && has_script && project.uses_setuptools();
    if project.has_project && !project.dynamic_dependencies && !needs_extras && !asks_script {
        return None;
    }
    if has_script && (project.uses_setuptools() || !project.has_project) {
        let requires = if project.uses_setuptools() { system.requires } else { Vec::new() };
        let written = SetupPy::read(directory).and_then(|setup| setup.metadata());
        return Some(written.map_or(MetadataSource::SetupPy(requires), MetadataSource::Written));
    }
    let is_setup_cfg = !project.has_project
        && !project.has_tool_metadata
        && project.uses_setuptools()
        && directory.join("pyproject.toml").is_file()
        && directory.join("setup.cfg").is_file();
    (project.dynamic_dependencies || needs_extras || is_setup_cfg)
        .then(|| MetadataSource::Backend(BuildSystem { requires: or_setuptools(&system), ..system }))
}

fn or_setuptools(system: &BuildSystem) -> Vec<String> {
    match (&system.backend, system.requires.as_slice()) {
        // The default for a pyproject.toml without `[build-system]`. Source: PEP 518, `wheel` included.
        (None, []) => vec!["setuptools".into(), "wheel".into()],
        _ => system.requires.clone(),
    }
}

impl Package {
    /// Add what pyproject.toml says.
    fn take(&mut self, project: PyProject) {
        // A name in the file comes before the one that a script printed.
        self.name = project.name.or(self.name.take());
        self.has_project = project.has_project;
        self.requires.extend(project.requires);
        for (extra, lines) in project.extras {
            self.extras.entry(extra).or_default().extend(lines);
        }
        self.groups = project.groups;
        self.sources = project.sources;
        let poetry = project.poetry;
        self.replacements = poetry.replacements;
        self.warnings.extend(project.warnings);
        let mut settings = ResolveSettings { index_pins: poetry.index_pins, ..ResolveSettings::default() };
        if let Some(index) = poetry.default_index {
            if settings.index_pins.values().any(|pin| Some(pin) == index.name.as_ref()) {
                settings.add_index(Index { explicit: true, ..index.clone() });
            }
            settings.default_index = Some(index.url);
        }
        settings.indexes.extend(poetry.indexes);
        self.settings.absorb(settings);
    }

    /// The requirements of a dependency group and of the groups that it includes, each group once.
    pub(super) fn group<'s>(
        &'s self,
        name: &'s ExtraName,
        directory: &Path,
    ) -> Result<Vec<Raw>, CollectError> {
        let Some(group) = self.groups.get(name) else {
            return Err(unknown("dependency group", name, self.groups.keys(), directory));
        };
        let mut lines = Vec::new();
        self.group_lines(group, &mut vec![name], &mut BTreeSet::from([name]), &mut lines)?;
        Ok(lines)
    }

    /// `chain` is the way of includes to `group`; the specification calls a cycle in it an error.
    fn group_lines<'s>(
        &'s self,
        group: &'s Group,
        chain: &mut Vec<&'s ExtraName>,
        seen: &mut BTreeSet<&'s ExtraName>,
        lines: &mut Vec<Raw>,
    ) -> Result<(), CollectError> {
        lines.extend(group.requires.iter().cloned());
        for (name, place) in &group.includes {
            if chain.contains(&name) {
                let message = format!("the dependency group `{name}` includes itself");
                return Err(CollectError::invalid_with(place.clone(), message, "remove this include"));
            }
            let Some(included) = self.groups.get(name) else {
                let message = format!("the project has no dependency group `{name}`");
                return Err(CollectError::invalid_with(
                    place.clone(),
                    message,
                    listed("dependency group", self.groups.keys()),
                ));
            };
            if seen.insert(name) {
                chain.push(name);
                self.group_lines(included, chain, seen, lines)?;
                chain.pop();
            }
        }
        Ok(())
    }
}

/// The error for a missing extra or group.
pub(super) fn unknown<'n>(
    kind: &str,
    name: &ExtraName,
    known: impl Iterator<Item = &'n ExtraName>,
    directory: &Path,
) -> CollectError {
    let file = ["pyproject.toml", "setup.py", "requirements.txt"]
        .iter()
        .map(|name| directory.join(name))
        .find(|path| path.is_file())
        .unwrap_or_else(|| directory.to_path_buf());
    CollectError::invalid_with(
        whole(&file),
        format!("the project has no {kind} `{name}`"),
        listed(kind, known),
    )
}

/// The extras or groups that exist, for a missing one.
fn listed<'n>(kind: &str, names: impl Iterator<Item = &'n ExtraName>) -> String {
    let names: Vec<String> = names.map(ToString::to_string).collect();
    let (option, table) = match kind {
        "extra" => ("--extra", "[project.optional-dependencies]"),
        _ => ("--group", "[dependency-groups]"),
    };
    match names.as_slice() {
        [] => format!(
            "leave {option} out, or declare it in {table} of pyproject.toml; the project has none yet"
        ),
        [only] => format!("the only {kind} is {only}"),
        names => format!("the {kind}s are {}", names.join(", ")),
    }
}
