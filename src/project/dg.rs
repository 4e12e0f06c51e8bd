//! dg projects and workspaces: code locations from `dg.toml`, or from `[tool.dg]` of `pyproject.toml`.
//!
//! A project is one code location, a workspace lists projects. `build.yaml` and `container_context.yaml` of both add to
//! the document. Unknown keys and wrong types are refused as in dg, except in `cli`, which does not affect a deploy. dg
//! ignores unknown keys in `build.yaml`, so they are warnings. One deliberate difference: lists in
//! `container_context.yaml` merge by the rules of `defaults`; dg joins them all, so that a variable may occur twice.
//! Source: dagster-dg-core and dagster-dg-cli 1.13.27, observed through `tests/it/project/dg_oracle.rs`.

use super::collect::toml_file::{Node, TomlFile};
use super::error::ProjectError;
use super::reading::{Reading, directory_of};
use super::{CollectError, DgProject, Location, Warning, build_directory, defaults, unknown_key, workspace};
use crate::error::Place;
use crate::near_names::closest;
use crate::paths::resolved;
use crate::yaml;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

const PROJECT_FILE: &[&str] = &["directory_type", "project", "cli"];
const WORKSPACE_FILE: &[&str] = &["directory_type", "workspace", "cli"];
/// dg no longer reads `python_environment`, and does not refuse it.
const PROJECT: &[&str] = &[
    "root_module",
    "defs_module",
    "code_location_target_module",
    "code_location_name",
    "registry_modules",
    "agent_queue",
    "image",
    "python_environment",
];
const WORKSPACE: &[&str] = &["projects", "scaffold_project_options"];
const WORKSPACE_PROJECT: &[&str] = &["path"];

/// The file of `directory` that configures dg, if there is one. `dg.toml` takes precedence over `pyproject.toml`.
///
/// A `pyproject.toml` that is not TOML is added to the errors of `reading`.
pub(super) fn config_file(directory: &Path, reading: &mut Reading) -> Option<PathBuf> {
    let own = directory.join("dg.toml");
    if own.is_file() {
        return Some(own);
    }
    let shared = directory.join("pyproject.toml");
    let has_settings = shared.is_file() && with_settings(&shared, reading, |_, _| ()).is_some();
    has_settings.then_some(shared)
}

/// Read `file` into `reading`.
pub(super) fn inspect(file: &Path, reading: &mut Reading) {
    let errors_before = reading.errors.len();
    let read = with_settings(file, reading, |settings, reading| match directory_type(settings, reading) {
        Some(DirectoryType::Project) => {
            if let Some(project) = Project::read(settings, reading) {
                add(project, None, reading);
            }
        }
        Some(DirectoryType::Workspace) => workspace_projects(settings, reading),
        None => {}
    });
    // A file that could not be read has an error already.
    if read.is_none() && reading.errors.len() == errors_before {
        reading.errors.push(ProjectError::NoDgSettings(file.to_path_buf()));
    }
}

/// Call `use_settings` with the dg settings of a TOML file. `None` when there are none, or the file cannot be read.
fn with_settings<T>(
    file: &Path,
    reading: &mut Reading,
    use_settings: impl FnOnce(&Node<'_>, &mut Reading) -> T,
) -> Option<T> {
    let toml = keep(TomlFile::read(file), reading)?;
    let document = keep(toml.parse(), reading)?;
    let root = Node::root(&toml, &document);
    // `dg.toml` has the settings at the top, `pyproject.toml` in a table of its own.
    let is_own_file = file.file_name().is_some_and(|name| name != "pyproject.toml");
    let settings = if is_own_file { root } else { root.at(&["tool", "dg"])? };
    Some(use_settings(&settings, reading))
}

fn keep<T>(result: Result<T, CollectError>, reading: &mut Reading) -> Option<T> {
    result.map_err(|error| reading.errors.push(ProjectError::Collect(Box::new(error)))).ok()
}

enum DirectoryType {
    Project,
    Workspace,
}

fn directory_type(settings: &Node<'_>, reading: &mut Reading) -> Option<DirectoryType> {
    let hint = "write directory_type = \"project\" or directory_type = \"workspace\"";
    let Some(node) = settings.get("directory_type") else {
        missing("directory_type", settings, hint, reading);
        return None;
    };
    match node.as_str() {
        Some("project") => Some(DirectoryType::Project),
        Some("workspace") => Some(DirectoryType::Workspace),
        _ => {
            let near = node.as_str().and_then(|given| closest(given, &["project", "workspace"]));
            let near = near.map(|near| format!("; did you mean \"{near}\"?")).unwrap_or_default();
            let problem = format!("must be \"project\" or \"workspace\", not {}{near}", node.source());
            keep(Err::<(), _>(node.invalid(problem)), reading);
            None
        }
    }
}

fn missing(key: &'static str, node: &Node<'_>, hint: &str, reading: &mut Reading) {
    let owner = if node.name.is_empty() { "the file".to_string() } else { format!("`{}`", node.name) };
    let (hint, place) = (hint.to_string(), node.place());
    reading.errors.push(ProjectError::MissingKey { key, owner, hint, place });
}

fn known_keys(node: &Node<'_>, known: &[&str], reading: &mut Reading) {
    let Some(entries) = keep(node.table(), reading) else { return };
    for (key, value) in entries.into_iter().filter(|(key, _)| !known.contains(key)) {
        let owner = if node.name.is_empty() { "the file".to_string() } else { format!("`{}`", node.name) };
        let (key, hint) = (key.to_string(), unknown_key::hint(key, known, &[]));
        reading.errors.push(ProjectError::UnknownKey { key, owner, hint, place: value.place() });
    }
}

/// The text of a key. Empty text counts as missing.
fn text(node: &Node<'_>, key: &str, reading: &mut Reading) -> Option<String> {
    let text = keep(node.get(key)?.string(), reading)?;
    (!text.is_empty()).then(|| text.to_string())
}

/// One dg project.
struct Project {
    root: PathBuf,
    name: String,
    module: String,
    /// Place of the module's name, or of its package's.
    module_place: Place,
    agent_queue: Option<String>,
    image: Option<String>,
    /// What `defs_module` names, if it exists.
    defs_path: Option<PathBuf>,
    place: Place,
}

impl Project {
    /// Read the settings of a file with `directory_type = "project"`.
    fn read(settings: &Node<'_>, reading: &mut Reading) -> Option<Project> {
        let errors_before = reading.errors.len();
        known_keys(settings, PROJECT_FILE, reading);
        let Some(project) = settings.get("project") else {
            missing("project", settings, "add a table `project` with `root_module`", reading);
            return None;
        };
        known_keys(&project, PROJECT, reading);
        if project.is_table() && project.get("root_module").is_none() {
            missing("root_module", &project, "name the Python package of the project", reading);
        }
        let root_module = text(&project, "root_module", reading);
        let target = text(&project, "code_location_target_module", reading);
        let given_name = text(&project, "code_location_name", reading);
        let agent_queue = text(&project, "agent_queue", reading);
        let image = text(&project, "image", reading);
        let defs_module = text(&project, "defs_module", reading);
        if let Some(modules) = project.get("registry_modules") {
            keep(modules.strings(), reading);
        }
        let named = ["code_location_target_module", "root_module"].iter().find_map(|key| project.get(key));
        let module_place = named.unwrap_or_else(|| project.clone()).place();
        let root = directory_of(settings.file());
        // Without `code_location_name`, dg names the location after the project's directory.
        let directory_name = || root.file_name().map(|name| name.to_string_lossy().into_owned());
        let name = given_name.or_else(directory_name).unwrap_or_default();
        // dg's own default for `code_location_target_module`.
        let root_module = root_module.unwrap_or_default();
        let defs_path = defs_path(&root, &root_module, defs_module.as_deref());
        let module = target.unwrap_or_else(|| format!("{root_module}.definitions"));
        (reading.errors.len() == errors_before).then(|| Project {
            root: root.clone(),
            name,
            module,
            module_place,
            agent_queue,
            image,
            defs_path,
            place: project.place(),
        })
    }
}

/// Where the definitions of a project are: `defs_module`, otherwise `ROOT_MODULE.defs` or `ROOT_MODULE.definitions`, below
/// `src` if there is such a directory. Source: `DgContext.defs_path`.
fn defs_path(root: &Path, root_module: &str, defs_module: Option<&str>) -> Option<PathBuf> {
    let source = root.join("src");
    let base = if source.exists() { source } else { root.to_path_buf() };
    let found = |module: String| {
        // dg refuses a module that is not one of the project.
        let path = module.starts_with(root_module).then(|| base.join(module.replace('.', "/")))?;
        let file = path.with_extension("py");
        [file, path].into_iter().find(|path| path.exists())
    };
    match defs_module {
        Some(module) => found(module.into()),
        None => ["defs", "definitions"].into_iter().find_map(|name| found(format!("{root_module}.{name}"))),
    }
}

/// Add a location for each project that the workspace lists.
fn workspace_projects(settings: &Node<'_>, reading: &mut Reading) {
    known_keys(settings, WORKSPACE_FILE, reading);
    let root = directory_of(settings.file());
    let table = settings.get("workspace");
    if let Some(table) = &table {
        known_keys(table, WORKSPACE, reading);
    }
    let list = table.as_ref().and_then(|table| table.get("projects"));
    let projects = match &list {
        Some(list) => match keep(list.list(), reading) {
            Some(projects) => projects,
            None => return,
        },
        None => Vec::new(),
    };
    if projects.is_empty() {
        let place = list.or(table).map_or_else(|| settings.place(), |node| node.place());
        return reading.errors.push(ProjectError::NoWorkspaceProjects { place });
    }
    let shared = Shared::read(&root, reading);
    for entry in projects {
        if let Some(project) = listed_project(&entry, &root, reading) {
            add(project, Some(&shared), reading);
        }
    }
}

/// The project at the `path` of one entry of `workspace.projects`.
fn listed_project(entry: &Node<'_>, root: &Path, reading: &mut Reading) -> Option<Project> {
    known_keys(entry, WORKSPACE_PROJECT, reading);
    let Some(path) = entry.get("path") else {
        if entry.is_table() {
            missing("path", entry, "name the directory of the project, relative to the workspace", reading);
        }
        return None;
    };
    let given = keep(path.string(), reading)?;
    let directory = resolved(root, given);
    let mut refuse = |problem| {
        let (directory, place) = (directory.clone(), path.place());
        reading.errors.push(ProjectError::WorkspaceProject { directory, problem, place });
        None
    };
    if !directory.is_dir() {
        return refuse(if directory.exists() { "is a file" } else { "does not exist" });
    }
    let errors_before = reading.errors.len();
    let Some(file) = config_file(&directory, reading) else {
        // Without this, a `pyproject.toml` that is not TOML would be reported twice.
        if reading.errors.len() == errors_before {
            let problem = "has no dg.toml and no pyproject.toml with [tool.dg]";
            let place = path.place();
            reading.errors.push(ProjectError::WorkspaceProject { directory, problem, place });
        }
        return None;
    };
    let place = path.place();
    with_settings(&file, reading, |settings, reading| match directory_type(settings, reading)? {
        DirectoryType::Project => Project::read(settings, reading),
        // dg does not support a workspace in a workspace either.
        DirectoryType::Workspace => {
            let problem = "is a workspace itself, not a project";
            reading.errors.push(ProjectError::WorkspaceProject { directory, problem, place });
            None
        }
    })?
}

/// `build.yaml` and `container_context.yaml` of one directory.
struct Shared {
    build: Option<Rc<yaml::Node>>,
    build_file: PathBuf,
    container_context: Option<Rc<yaml::Node>>,
    container_context_file: PathBuf,
}

impl Shared {
    fn read(directory: &Path, reading: &mut Reading) -> Shared {
        let build_file = directory.join("build.yaml");
        let container_context_file = directory.join("container_context.yaml");
        let build = build_file.exists().then(|| workspace::read_build(&build_file, reading));
        let container_context = container_context_file
            .exists()
            .then(|| workspace::read_container_context(&container_context_file, reading));
        Shared {
            build: build.flatten(),
            build_file,
            container_context: container_context.flatten(),
            container_context_file,
        }
    }

    fn build_text(&self, key: &str) -> Option<(&str, Place)> {
        let entry = self.build.as_ref()?.entry(key)?;
        let mark = entry.value.mark;
        let place = Place { file: self.build_file.clone(), line: Some(mark.line), column: Some(mark.column) };
        entry.value.text().filter(|text| !text.is_empty()).map(|text| (text, place))
    }
}

/// Add the location of a project. `shared` has the files of its workspace.
fn add(project: Project, shared: Option<&Shared>, reading: &mut Reading) {
    let owner = format!("code location `{}`", project.name);
    if let Some(first) = reading.locations.iter().find(|location| location.name == project.name) {
        let (name, first) = (project.name, format!("that of {}", first.place.file.display()));
        return reading.errors.push(ProjectError::DuplicateName { name, first, place: project.place });
    }
    let own = Shared::read(&project.root, reading);
    let Some(container_context) = container_context(&own, shared, &owner, reading) else { return };
    let directory = build_directory(&project, &own, shared, &owner, reading);
    let mut document = Map::new();
    document.insert("location_name".to_string(), project.name.clone().into());
    document.insert("code_source".to_string(), json!({ "module_name": project.module }));
    let build = build(&own, shared, &directory, &directory_of(&reading.file));
    let optional = [
        ("build", (!build.is_empty()).then_some(Value::Object(build))),
        ("container_context", (!container_context.is_empty()).then_some(Value::Object(container_context))),
        ("agent_queue", project.agent_queue.map(Value::String)),
        ("image", project.image.map(Value::String)),
    ];
    let given = optional.into_iter().filter_map(|(key, value)| Some((key.to_string(), value?)));
    document.extend(given);
    let document = workspace::in_usual_order(document);
    let places = BTreeMap::from([("module_name", project.module_place)]);
    reading.locations.push(Location {
        name: project.name,
        directory,
        document,
        dg: Some(DgProject { root: project.root, defs_path: project.defs_path }),
        place: project.place,
        places,
    });
}

/// The value of a key: from the project's files, otherwise from the workspace's.
fn first_value<'a>(
    own: &'a Shared,
    shared: Option<&'a Shared>,
    key: &str,
) -> Option<(&'a Shared, &'a str, Place)> {
    [Some(own), shared].into_iter().flatten().find_map(|files| {
        let (text, place) = files.build_text(key)?;
        Some((files, text, place))
    })
}

/// The directory in `build.yaml`, otherwise the project's own.
fn build_directory(
    project: &Project,
    own: &Shared,
    shared: Option<&Shared>,
    owner: &str,
    reading: &mut Reading,
) -> PathBuf {
    let Some((files, given, place)) = first_value(own, shared, "directory") else {
        return project.root.clone();
    };
    match build_directory::resolve(&directory_of(&files.build_file), given) {
        Ok(directory) => {
            let has_own = ["pyproject.toml", "setup.py", "requirements.txt"];
            let has_own = has_own.iter().any(|name| project.root.join(name).is_file());
            if has_own && directory != project.root && project.root.starts_with(&directory) {
                let message = format!(
                    "{owner} is built from `directory: {given}`, with the requirements there and not those of its project; \
                     to build the project, leave `directory` out: what a Dockerfile copies is looked for in the directories above too"
                );
                reading.warnings.push(Warning { message, place: Some(place) });
            }
            directory
        }
        Err(missing) => {
            let directory = missing.directory.clone();
            reading.errors.push(missing.error(owner, place));
            directory
        }
    }
}

/// `build` of the document, with its directory relative to `root`.
fn build(own: &Shared, shared: Option<&Shared>, directory: &Path, root: &Path) -> Map<String, Value> {
    let mut build = Map::new();
    if first_value(own, shared, "directory").is_some() {
        let relative = crate::paths::relative(directory, root).display().to_string();
        build.insert("directory".to_string(), relative.into());
    }
    for key in ["registry", "dockerfile"] {
        if let Some((_, value, _)) = first_value(own, shared, key) {
            build.insert(key.to_string(), value.into());
        }
    }
    build
}

/// The project's `container_context.yaml` merged over the workspace's; `None` when they cannot be merged.
fn container_context(
    own: &Shared,
    shared: Option<&Shared>,
    owner: &str,
    reading: &mut Reading,
) -> Option<Map<String, Value>> {
    const KEY: &str = "container_context";
    let wrapped = |files: Option<&Shared>| {
        let value = files.and_then(|files| files.container_context.as_ref()).map(|node| node.to_json());
        value.map_or_else(Map::new, |value| Map::from_iter([(KEY.to_string(), value)]))
    };
    match defaults::merge(&wrapped(shared), &wrapped(Some(own))) {
        Ok(mut merged) => Some(merged.remove(KEY).map(workspace::object).unwrap_or_default()),
        Err(conflict) => {
            let path = conflict.path.get(1..).unwrap_or_default();
            let node = own.container_context.as_ref().map(|node| workspace::deepest(node, path).mark);
            let place = Place {
                file: own.container_context_file.clone(),
                line: node.map(|mark| mark.line),
                column: node.map(|mark| mark.column),
            };
            // The rules of `defaults` are used here, but no file of a dg workspace has that key.
            let problem = conflict.problem.replace("`defaults`", "the workspace's container_context.yaml");
            let (key, owner) = (conflict.path.join("."), owner.to_string());
            reading.errors.push(ProjectError::Defaults { key, owner, problem, place });
            None
        }
    }
}
