//! The files below a build directory, and a search for modules in them.

use crate::bounded_file::{TEXT_LIMIT_BYTES, read_text};
use crate::near_names::closest;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Larger trees are not complete, and lead to no warnings.
const MOST_ENTRIES: usize = 50_000;
const MOST_LEVELS: usize = 12;
/// Directories that may have copies or stubs of packages, so that a package in one of them proves nothing.
const NO_ROOTS: [&str; 14] = [
    "tests",
    "test",
    "testing",
    "docs",
    "doc",
    "examples",
    "example",
    "fixtures",
    "templates",
    "vendor",
    "build",
    "dist",
    "site-packages",
    "out",
];
/// Endings of modules and of their sources.
const MODULE_ENDINGS: [&str; 14] =
    ["py", "pyi", "pyx", "pxd", "pyc", "so", "pyd", "ipynb", "proto", "thrift", "c", "cpp", "rs", "zip"];

/// Names below a directory.
#[derive(Debug, Default)]
pub(super) struct Tree {
    root: PathBuf,
    /// Relative directories, with the names in each. Names of directories end in `/`.
    names: BTreeMap<PathBuf, BTreeSet<String>>,
    /// False if the tree is too deep, too large or not readable.
    pub(super) complete: bool,
}

/// The result of a search.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Search {
    /// It exists, or may exist; with the file, if it is a single Python file.
    Found(Option<PathBuf>),
    /// A package of the project does not have it.
    Missing {
        /// The package, relative to the build directory.
        parent: String,
        /// The name that is not in it.
        name: String,
        /// Number of existing levels; the more, the better the match.
        depth: usize,
        /// The whole module name with that part corrected.
        near: Option<String>,
    },
    /// A package in the name is a module file.
    NoModule {
        /// The file, relative to the build directory.
        file: String,
        /// The name that cannot be in it.
        name: String,
    },
    /// Nothing in the tree has the first part of the name.
    NoTop,
}

impl Tree {
    /// Read the tree below `root`, without hidden directories and virtual environments.
    pub(super) fn read(root: &Path) -> Tree {
        let mut tree = Tree { root: root.to_path_buf(), complete: true, ..Tree::default() };
        let mut left = MOST_ENTRIES;
        tree.add(Path::new(""), 0, &mut left);
        tree
    }

    fn add(&mut self, directory: &Path, level: usize, left: &mut usize) {
        let Ok(entries) = std::fs::read_dir(self.root.join(directory)) else {
            self.complete = false;
            return;
        };
        let mut names = BTreeSet::new();
        let mut below = Vec::new();
        for entry in entries.flatten() {
            if *left == 0 || level > MOST_LEVELS {
                self.complete = false;
                return;
            }
            *left -= 1;
            // A name that is not UTF-8 cannot be a module.
            let Ok(name) = entry.file_name().into_string() else { continue };
            let is_dir = match entry.file_type() {
                Ok(kind) if !kind.is_symlink() => kind.is_dir(),
                // What a link leads to.
                _ => entry.path().is_dir(),
            };
            if !is_dir {
                names.insert(name);
            } else if !name.starts_with('.')
                && name != "node_modules"
                && name != "__pycache__"
                && !entry.path().join("pyvenv.cfg").exists()
            {
                below.push(directory.join(&name));
                names.insert(format!("{name}/"));
            }
        }
        self.names.insert(directory.to_path_buf(), names);
        for directory in below {
            self.add(&directory, level + 1, left);
        }
    }

    fn has(&self, directory: &Path, name: &str) -> bool {
        self.names.get(directory).is_some_and(|names| names.contains(name))
    }

    /// Whether a file of `directory` is the module `stem`, or may become it: `x.so`, `x.pyx`, `x.py.j2`.
    fn has_stem(&self, directory: &Path, stem: &str) -> bool {
        let becomes = |name: &String| {
            let mut endings = name.strip_prefix(stem).and_then(|rest| rest.strip_prefix('.')).into_iter();
            endings.any(|rest| rest.split('.').any(|ending| MODULE_ENDINGS.contains(&ending)))
        };
        self.names.get(directory).is_some_and(|names| names.iter().any(becomes))
    }

    /// Search the module at every place in the tree that has the first part of its name.
    pub(super) fn search(&self, parts: &[&str], roots: &[PathBuf]) -> Search {
        let Some(top) = parts.first() else { return Search::Found(None) };
        let has_top =
            |directory: &&PathBuf| self.has(directory, &format!("{top}/")) || self.has_stem(directory, top);
        let places: Vec<&PathBuf> = self.names.keys().filter(has_top).collect();
        let mut found = Vec::new();
        let mut best: Option<Search> = None;
        let mut doubtful = false;
        for place in &places {
            match self.search_from(place, parts) {
                Search::Found(file) => found.push(file),
                // A copy elsewhere proves nothing about the intended package.
                _ if !roots.contains(place) && is_no_root(place) => doubtful = true,
                Search::Missing { depth: 0, .. } | Search::NoTop => doubtful = true,
                other => best = Some(better(best, other)),
            }
        }
        match (found.as_mut_slice(), best) {
            ([file], _) => Search::Found(file.take()),
            ([], Some(best)) => best,
            ([], None) if !doubtful => Search::NoTop,
            _ => Search::Found(None),
        }
    }

    fn search_from(&self, place: &Path, parts: &[&str]) -> Search {
        let mut directory = place.to_path_buf();
        for (depth, part) in parts.iter().enumerate() {
            let is_last = depth + 1 == parts.len();
            if self.has(&directory, &format!("{part}/")) {
                // If there is a file and a directory with one name, Python imports the package.
                directory.push(part);
                if self.makes_up_its_modules(&directory) {
                    return Search::Found(None);
                }
                if is_last {
                    let file = self.has(&directory, "__init__.py").then(|| directory.join("__init__.py"));
                    return Search::Found(file.map(|file| self.root.join(file)));
                }
                continue;
            }
            if is_last && self.has(&directory, &format!("{part}.py")) {
                return Search::Found(Some(self.root.join(directory.join(format!("{part}.py")))));
            }
            if !is_last && self.has(&directory, &format!("{part}.py")) {
                return self.in_a_file(&directory.join(format!("{part}.py")), parts.get(depth + 1).copied());
            }
            if self.has_stem(&directory, part) || is_generated(part) {
                return Search::Found(None);
            }
            return self.missing(&directory, parts, depth);
        }
        Search::Found(None)
    }

    /// Whether a package changes where its modules come from.
    fn makes_up_its_modules(&self, package: &Path) -> bool {
        let text = read_text(&self.root.join(package).join("__init__.py"), TEXT_LIMIT_BYTES);
        text.is_ok_and(|text| changes_modules(&text))
    }

    fn in_a_file(&self, file: &Path, name: Option<&str>) -> Search {
        match read_text(&self.root.join(file), TEXT_LIMIT_BYTES) {
            Ok(text) if !changes_modules(&text) => Search::NoModule {
                file: file.display().to_string(),
                name: name.unwrap_or_default().to_string(),
            },
            _ => Search::Found(None),
        }
    }

    /// `directory` has no module `parts[depth]`. In a namespace package another distribution may have it, so it is only
    /// reported if a similar name exists.
    fn missing(&self, directory: &Path, parts: &[&str], depth: usize) -> Search {
        let modules = self.modules(directory);
        let modules: Vec<&str> = modules.iter().map(String::as_str).collect();
        let part = parts.get(depth).copied().unwrap_or_default();
        let near = closest(part, &modules).map(|near| {
            let mut parts = parts.to_vec();
            if let Some(part) = parts.get_mut(depth) {
                *part = near;
            }
            parts.join(".")
        });
        if depth > 0 && near.is_none() && !self.has(directory, "__init__.py") {
            return Search::Found(None);
        }
        Search::Missing { parent: directory.display().to_string(), name: part.to_string(), depth, near }
    }

    /// Modules and packages in a directory.
    fn modules(&self, directory: &Path) -> Vec<String> {
        let names = self.names.get(directory).into_iter().flatten();
        let module = |name: &String| match name.strip_suffix('/') {
            Some(package) => self.has_python(&directory.join(package)).then(|| package.to_string()),
            None => name.strip_suffix(".py").filter(|stem| *stem != "__init__").map(String::from),
        };
        names.filter_map(module).collect()
    }

    fn has_python(&self, directory: &Path) -> bool {
        let names = self.names.get(directory);
        names.is_some_and(|names| names.iter().any(|name| name.ends_with(".py")))
    }

    /// A module in one of `roots` with a name that differs from `top` only in case.
    pub(super) fn top_in_other_case(&self, top: &str, roots: &[PathBuf]) -> Option<String> {
        let mut modules = roots.iter().flat_map(|root| self.modules(root));
        modules.find(|name| name != top && name.eq_ignore_ascii_case(top))
    }

    /// A module in one of `roots` with a name similar to `top`.
    pub(super) fn near_top(&self, top: &str, roots: &[PathBuf]) -> Option<String> {
        let modules: BTreeSet<String> = roots.iter().flat_map(|root| self.modules(root)).collect();
        let letters = |name: &str| name.chars().filter(|each| !each.is_ascii_digit()).collect::<String>();
        let most = if top.len() < 8 { 1 } else { 2 };
        let is_near = |name: &&String| {
            // `app1` and `app2` are different things.
            letters(name) != letters(top) && strsim::damerau_levenshtein(name, top) <= most
        };
        modules.iter().find(is_near).cloned()
    }
}

fn better(best: Option<Search>, other: Search) -> Search {
    match (best, other) {
        (Some(Search::Missing { depth: shallower, .. }), other @ Search::Missing { depth, .. })
            if depth > shallower =>
        {
            other
        }
        (Some(best), _) => best,
        (None, other) => other,
    }
}

fn is_no_root(place: &Path) -> bool {
    place.components().any(|part| NO_ROOTS.iter().any(|name| part.as_os_str() == *name))
}

/// Whether build tools generate such a module: protocol buffers, versions.
fn is_generated(part: &str) -> bool {
    part.ends_with("_pb2") || part.ends_with("_pb2_grpc") || part.trim_matches('_') == "version"
}

fn changes_modules(text: &str) -> bool {
    ["__path__", "sys.modules", "modules[", "import_module", "meta_path"]
        .iter()
        .any(|word| text.contains(word))
}
