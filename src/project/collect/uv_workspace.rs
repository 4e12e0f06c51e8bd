//! uv workspaces: the root above a project, and its members by their real names.
//!
//! Source: uv's documentation, "Using workspaces": `tool.uv.workspace.members` and `exclude` are globs of directories
//! relative to the root; the root is a member if it has a `[project]`; a member is known by its `project.name`.

use super::error::{CollectError, whole};
use super::toml_file::{Node, TomlFile};
use super::uv_sources::Sources;
use crate::paths::lexically_normal;
use pep508_rs::PackageName;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A workspace.
#[derive(Debug, Clone, Default)]
pub(super) struct Workspace {
    /// Directory of the root.
    pub(super) root: PathBuf,
    /// Member directories by project name, the root's own included.
    pub(super) members: BTreeMap<PackageName, PathBuf>,
    /// `tool.uv.sources` of the root.
    pub(super) sources: Sources,
    /// Whether the root has no `[project]`.
    pub(super) is_virtual: bool,
}

/// Find the workspace that the project in `directory` is a member of, or the root of.
///
/// # Errors
/// A pyproject.toml on the way up, or of a member, cannot be read.
pub(super) fn find(directory: &Path) -> Result<Option<Workspace>, CollectError> {
    let found = find_above(directory)?;
    // Behind a link, other directories are above it for the file system.
    match directory.canonicalize() {
        Ok(real) if found.is_none() && real != directory => find_above(&real),
        _ => Ok(found),
    }
}

fn find_above(directory: &Path) -> Result<Option<Workspace>, CollectError> {
    for candidate in directory.ancestors() {
        let path = candidate.join("pyproject.toml");
        if !path.is_file() {
            continue;
        }
        let file = match TomlFile::read(&path) {
            Ok(file) => file,
            // A file above the project does not concern it unless it is a readable workspace.
            Err(_) if candidate != directory => continue,
            Err(error) => return Err(error),
        };
        let document = match file.parse() {
            Ok(document) => document,
            Err(_) if candidate != directory => continue,
            Err(error) => return Err(error),
        };
        let root = Node::root(&file, &document);
        let Some(table) = root.at(&["tool", "uv", "workspace"]) else { continue };
        let members = member_directories(&table, candidate)?;
        if candidate != directory && !members.iter().any(|member| same(member, directory)) {
            return Ok(None);
        }
        return read(candidate, &root, members).map(Some);
    }
    Ok(None)
}

fn same(one: &Path, other: &Path) -> bool {
    one == other || one.canonicalize().is_ok_and(|one| other.canonicalize().is_ok_and(|other| one == other))
}

fn read(directory: &Path, root: &Node<'_>, members: Vec<PathBuf>) -> Result<Workspace, CollectError> {
    let own_name = root.at(&["project", "name"]);
    let mut workspace = Workspace {
        root: directory.to_path_buf(),
        is_virtual: root.get("project").is_none(),
        ..Workspace::default()
    };
    if let Some(name) = own_name.and_then(|name| PackageName::new(name.as_str()?.to_string()).ok()) {
        workspace.members.insert(name, directory.to_path_buf());
    }
    if let Some(sources) = root.at(&["tool", "uv", "sources"]) {
        workspace.sources = Sources::read(&sources)?;
    }
    for member in members {
        if let Some(name) = project_name(&member.join("pyproject.toml"))? {
            workspace.add(name, member)?;
        }
    }
    Ok(workspace)
}

impl Workspace {
    fn add(&mut self, name: PackageName, member: PathBuf) -> Result<(), CollectError> {
        let other = self.members.get(&name).filter(|other| !same(other, &member));
        if let Some(other) = other {
            return Err(CollectError::invalid_with(
                whole(&member.join("pyproject.toml")),
                format!(
                    "two members of the workspace are named `{name}`; the other is `{}`",
                    other.display()
                ),
                "rename one of them, or list one under tool.uv.workspace.exclude",
            ));
        }
        self.members.insert(name, member);
        Ok(())
    }
}

fn project_name(path: &Path) -> Result<Option<PackageName>, CollectError> {
    let file = TomlFile::read(path)?;
    let document = file.parse()?;
    let Some(name) = Node::root(&file, &document).at(&["project", "name"]) else { return Ok(None) };
    PackageName::new(name.string()?.to_string()).map(Some).map_err(|error| name.invalid(error))
}

/// The directories that `members` matches and `exclude` does not, with a pyproject.toml in them.
fn member_directories(table: &Node<'_>, root: &Path) -> Result<Vec<PathBuf>, CollectError> {
    let excluded = match table.get("exclude") {
        Some(exclude) => matches(&exclude, root)?,
        None => Vec::new(),
    };
    let Some(members) = table.get("members") else { return Ok(Vec::new()) };
    let members = matches(&members, root)?;
    Ok(members
        .into_iter()
        .filter(|member| member.join("pyproject.toml").is_file() && !excluded.contains(member))
        .collect())
}

fn matches(patterns: &Node<'_>, root: &Path) -> Result<Vec<PathBuf>, CollectError> {
    let mut found: Vec<PathBuf> = Vec::new();
    let base = glob::Pattern::escape(&root.to_string_lossy());
    for item in patterns.list()? {
        let pattern = format!("{base}/{}", item.string()?.trim_start_matches("./").trim_end_matches('/'));
        let paths = glob::glob(&pattern).map_err(|error| item.invalid(error))?;
        // A directory that cannot be listed has no members that could be read.
        for path in paths.filter_map(Result::ok).map(|path| lexically_normal(&path)) {
            if path.is_dir() && !found.contains(&path) {
                found.push(path);
            }
        }
    }
    Ok(found)
}
