//! uv workspaces: the root above a project, and its members by their real names.
//!
//! Source: uv's documentation, "Using workspaces": `tool.uv.workspace.members` and `exclude` are globs of directories
//! relative to the root; the root is a member if it has a `[project]`; a member is known by its `project.name`.

use super::error::{CollectError, whole};
use super::toml_file::{Node, TomlFile};
use super::uv_sources::Sources;
use crate::paths::lexically_normal;
use crate::threads::lock;
use pep508_rs::PackageName;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

/// A workspace.
#[derive(Debug, Clone, Default)]
pub(super) struct Workspace {
    /// Directory of the root.
    pub(super) root: PathBuf,
    /// Member directories by project name, the root's own included.
    pub(super) members: BTreeMap<PackageName, PathBuf>,
    /// `tool.uv.sources` of the root.
    pub(super) sources: Arc<Sources>,
    /// Whether the root has no `[project]`.
    pub(super) is_virtual: bool,
}

/// The workspaces that were read so far: a workspace is read once, however many of its members are code locations.
#[derive(Debug, Clone, Default)]
pub struct Workspaces(Arc<Mutex<BTreeMap<PathBuf, Option<Arc<Root>>>>>);

/// A directory whose pyproject.toml lists members.
#[derive(Debug)]
struct Root {
    directory: PathBuf,
    members: BTreeSet<PathBuf>,
    /// The real paths of the members.
    real: OnceLock<BTreeSet<PathBuf>>,
    workspace: OnceLock<Arc<Workspace>>,
}

impl Workspaces {
    /// Find the workspace that the project in `directory` is a member of, or the root of.
    ///
    /// # Errors
    /// A pyproject.toml on the way up, or of a member, cannot be read.
    pub(super) fn find(&self, directory: &Path) -> Result<Option<Arc<Workspace>>, CollectError> {
        let found = self.find_above(directory)?;
        // Behind a link, other directories are above it for the file system.
        match directory.canonicalize() {
            Ok(real) if found.is_none() && real != directory => self.find_above(&real),
            _ => Ok(found),
        }
    }

    fn find_above(&self, directory: &Path) -> Result<Option<Arc<Workspace>>, CollectError> {
        for candidate in directory.ancestors() {
            let is_own = candidate == directory;
            let Some(root) = self.root(candidate, is_own)? else { continue };
            if !is_own && !root.has(directory) {
                return Ok(None);
            }
            return root.workspace().map(Some);
        }
        Ok(None)
    }

    fn root(&self, directory: &Path, is_own: bool) -> Result<Option<Arc<Root>>, CollectError> {
        if let Some(known) = lock(&self.0).get(directory) {
            return Ok(known.clone());
        }
        let path = directory.join("pyproject.toml");
        if !path.is_file() {
            return Ok(None);
        }
        let file = match TomlFile::read(&path) {
            Ok(file) => file,
            // A file above the project does not concern it unless it is a readable workspace.
            Err(_) if !is_own => return Ok(None),
            Err(error) => return Err(error),
        };
        let document = match file.parse() {
            Ok(document) => document,
            Err(_) if !is_own => return Ok(None),
            Err(error) => return Err(error),
        };
        let table = Node::root(&file, &document).at(&["tool", "uv", "workspace"]);
        let members = table.map(|table| member_directories(&table, directory)).transpose()?;
        let root = members.map(|members| {
            let directory = directory.to_path_buf();
            Arc::new(Root { directory, members, real: OnceLock::new(), workspace: OnceLock::new() })
        });
        lock(&self.0).insert(directory.to_path_buf(), root.clone());
        Ok(root)
    }
}

impl Root {
    /// Whether a directory is a member, on whichever path.
    fn has(&self, directory: &Path) -> bool {
        let real = || self.members.iter().filter_map(|member| member.canonicalize().ok()).collect();
        self.members.contains(directory)
            || directory.canonicalize().is_ok_and(|path| self.real.get_or_init(real).contains(&path))
    }

    /// The workspace with the names of its members, which are read at first use.
    fn workspace(&self) -> Result<Arc<Workspace>, CollectError> {
        if let Some(known) = self.workspace.get() {
            return Ok(Arc::clone(known));
        }
        let file = TomlFile::read(&self.directory.join("pyproject.toml"))?;
        let document = file.parse()?;
        let root = Node::root(&file, &document);
        let own_name = root.at(&["project", "name"]);
        let mut workspace = Workspace {
            root: self.directory.clone(),
            is_virtual: root.get("project").is_none(),
            ..Workspace::default()
        };
        if let Some(name) = own_name.and_then(|name| PackageName::new(name.as_str()?.to_string()).ok()) {
            workspace.members.insert(name, self.directory.clone());
        }
        if let Some(sources) = root.at(&["tool", "uv", "sources"]) {
            workspace.sources = Arc::new(Sources::read(&sources)?);
        }
        for member in &self.members {
            if let Some(name) = project_name(&member.join("pyproject.toml"))? {
                workspace.add(name, member.clone())?;
            }
        }
        Ok(Arc::clone(self.workspace.get_or_init(|| Arc::new(workspace))))
    }
}

fn same(one: &Path, other: &Path) -> bool {
    one == other || one.canonicalize().is_ok_and(|one| other.canonicalize().is_ok_and(|other| one == other))
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
fn member_directories(table: &Node<'_>, root: &Path) -> Result<BTreeSet<PathBuf>, CollectError> {
    let excluded = match table.get("exclude") {
        Some(exclude) => matches(&exclude, root)?,
        None => BTreeSet::new(),
    };
    let Some(members) = table.get("members") else { return Ok(BTreeSet::new()) };
    let members = matches(&members, root)?.into_iter();
    Ok(members.filter(|path| path.join("pyproject.toml").is_file() && !excluded.contains(path)).collect())
}

fn matches(patterns: &Node<'_>, root: &Path) -> Result<BTreeSet<PathBuf>, CollectError> {
    let mut found = BTreeSet::new();
    let base = glob::Pattern::escape(&root.to_string_lossy());
    for item in patterns.list()? {
        let pattern = format!("{base}/{}", item.string()?.trim_start_matches("./").trim_end_matches('/'));
        let paths = glob::glob(&pattern).map_err(|error| item.invalid(error))?;
        // A directory that cannot be listed has no members that could be read.
        let paths = paths.filter_map(Result::ok).map(|path| lexically_normal(&path));
        found.extend(paths.filter(|path| path.is_dir()));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bounded_file;
    use crate::host::Host;
    use crate::project::{CollectOptions, LockUse};
    use crate::target::Target;
    use crate::tools::Tools;
    use std::fs;

    /// Earlier, each of a thousand code locations read the files of the thousand members.
    #[test]
    fn the_members_of_a_workspace_are_read_once() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("pyproject.toml", "[tool.uv.workspace]\nmembers = ['libs/*']\nexclude = ['libs/x']");
        for name in ["a", "b", "x"] {
            write(&format!("libs/{name}/pyproject.toml"), &format!("[project]\nname = '{name}'"));
        }
        let workspaces = Workspaces::default();
        let found = |path: &str| workspaces.find(&root.join(path)).unwrap();
        let names = |path| found(path).map(|found| found.members.keys().map(ToString::to_string).collect());
        let all: Option<Vec<_>> = Some(vec!["a".to_string(), "b".to_string()]);
        assert_eq!((names("libs/a"), names("libs/x")), (all.clone(), None));
        for path in ["pyproject.toml", "libs/a/pyproject.toml"] {
            write(path, "not TOML");
        }
        assert_eq!((names("libs/b"), names(""), names("libs/x")), (all.clone(), all, None));
        assert!(Workspaces::default().find(&root).is_err());
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(root.join("libs/b"), root.join("link")).unwrap();
            assert!(found("link").is_some(), "a member on another path");
        }
    }

    /// Planning a workspace of a thousand code locations took minutes.
    #[test]
    fn a_member_is_read_no_more_often_in_a_larger_workspace() {
        let most_reads = |members: usize| {
            let dir = tempfile::tempdir().unwrap();
            let root = dir.path().canonicalize().unwrap();
            let write = |directory: &Path, text: &str| {
                fs::create_dir_all(directory).unwrap();
                fs::write(directory.join("pyproject.toml"), text).unwrap();
            };
            write(&root, "[tool.uv.workspace]\nmembers = ['libs/*']");
            let member = |number: usize| root.join(format!("libs/m{number}"));
            for number in 0..members {
                let text = format!("[project]\nname = 'm{number}'\nversion = '1'\ndependencies = ['six']");
                write(&member(number), &text);
            }
            let sink = || Box::new(std::io::sink());
            let clock = Arc::new(crate::host::SystemClock);
            let host = Host::for_test(BTreeMap::new(), &root, sink(), sink(), clock);
            let (tools, target) = (Tools::new(&host), Target::serverless("3.11".parse().unwrap()));
            let options = CollectOptions {
                target,
                lock_use: LockUse::Automatic,
                extras: Vec::new(),
                all_extras: false,
                groups: Vec::new(),
                reads_dockerfiles: false,
                workspaces: Workspaces::default(),
            };
            drop(bounded_file::counted::take());
            for number in 0..members {
                super::super::collect(&member(number), &options, &tools, &host).unwrap();
            }
            let reads = bounded_file::counted::take();
            (0..members).map(|number| reads[&member(number).join("pyproject.toml")]).max().unwrap()
        };
        assert_eq!(most_reads(12), most_reads(3));
    }
}
