//! Finds paths, modules and attributes in `code_source` and `working_directory` that do not exist, without running
//! code.
//!
//! A false alarm is worse than no warning: nothing is reported if a module may come from a dependency, from a package
//! elsewhere or from the build itself. It is never an error, because only loading the code location gives certainty.
//! Dagster+ searches `working_directory/root` of the source PEX (the build directory), the built packages, and the
//! dependencies.

mod attribute;
mod declared;
mod tree;

use super::{Location, Warning};
use crate::near_names::closest;
use crate::paths::lexically_normal;
use declared::Declared;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tree::{Search, Tree};

/// The keys of `code_source` with a module name.
const MODULE_KEYS: [&str; 3] = ["module_name", "package_name", "autoload_defs_module_name"];

/// A warning for each path, module and attribute of these code locations that cannot exist.
pub fn look(locations: &[Location]) -> Vec<Warning> {
    let mut known: BTreeMap<&Path, (Tree, Declared)> = BTreeMap::new();
    let mut warnings = Vec::new();
    for location in locations.iter().filter(|location| location.directory.is_dir()) {
        let directory = &*location.directory;
        let (tree, declared) =
            known.entry(directory).or_insert_with(|| (Tree::read(directory), Declared::read(directory)));
        warnings.extend(Look { location, tree, declared }.problem());
    }
    warnings
}

/// One code location, and what is known about its build directory.
struct Look<'a> {
    location: &'a Location,
    tree: &'a Tree,
    declared: &'a Declared,
}

impl Look<'_> {
    /// The first problem. Later ones may only be its consequences.
    fn problem(&self) -> Option<Warning> {
        if self.loads_from_elsewhere() {
            return None;
        }
        if let Some(problem) = self.space_around() {
            return Some(problem);
        }
        if let Some(given) = self.text("working_directory")
            && let Some(problem) = self.missing_path(given, Path::is_dir)
            && !self.loads_without_it()
        {
            return Some(self.warning("working_directory", given, &problem));
        }
        if let Some(given) = self.code_source("python_file") {
            return self.python_file(given);
        }
        let (key, name) = MODULE_KEYS.iter().find_map(|key| Some((*key, self.code_source(key)?)))?;
        self.module(key, name)
    }

    /// A name or path with a space around it. Quotes in YAML keep it, and Python and the file system treat it as part
    /// of the name.
    fn space_around(&self) -> Option<Warning> {
        let keys = ["working_directory", "attribute", "python_file"].into_iter().chain(MODULE_KEYS);
        let mut given = keys.filter_map(|key| Some((key, self.text(key).or_else(|| self.code_source(key))?)));
        let (key, given) = given.find(|(_, given)| *given != given.trim())?;
        let problem = format!("there is white space around it; write `{}`", given.trim());
        Some(self.warning(key, given, &problem))
    }

    /// Whether code may come from the image, from another environment or from a path set in the container.
    fn loads_from_elsewhere(&self) -> bool {
        let document = &self.location.document;
        let working = self.text("working_directory").unwrap_or_default();
        let sets_path = document
            .get("container_context")
            .is_some_and(|context| context.to_string().contains("PYTHONPATH"));
        is_elsewhere(working)
            || sets_path
            || ["image", "executable_path"].iter().any(|key| self.text(key).is_some())
    }

    /// Whether the module is in a built package, which can be imported without the working directory.
    fn loads_without_it(&self) -> bool {
        let name = MODULE_KEYS.iter().find_map(|key| self.code_source(key));
        let parts: Vec<&str> = name.into_iter().flat_map(|name| name.split('.')).collect();
        let found = || match self.tree.search(&parts, &self.roots()) {
            // A module in a package cannot be imported without the package's name.
            Search::Found(Some(file)) => !above(&file, &parts).join("__init__.py").exists(),
            _ => false,
        };
        self.declared.is_built && !parts.is_empty() && found()
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.location.document.get(key)?.as_str().filter(|text| !text.trim().is_empty())
    }

    fn code_source(&self, key: &str) -> Option<&str> {
        let sources = self.location.document.get("code_source")?;
        sources.get(key)?.as_str().filter(|text| !text.trim().is_empty())
    }

    /// The working directory relative to the build directory; empty if none is set.
    fn working_directory(&self) -> PathBuf {
        let given = Path::new(self.text("working_directory").unwrap_or_default());
        let normal = lexically_normal(given);
        if normal == Path::new(".") { PathBuf::new() } else { normal }
    }

    fn warning(&self, key: &str, given: &str, problem: &str) -> Warning {
        let message = format!("`{key}: {given}` of code location `{}`: {problem}", self.location.name);
        Warning { message, place: Some(self.location.place_of(key)) }
    }

    /// Dagster opens the file relative to the build directory; the working directory is only used for imports. Source:
    /// seen with dagster 1.13.27.
    fn python_file(&self, given: &str) -> Option<Warning> {
        let directory = &self.location.directory;
        if let Some((file, attribute)) = given.rsplit_once(':')
            && is_identifier(attribute)
            && directory.join(file).is_file()
        {
            let problem =
                format!("write `python_file: {file}`, and `attribute: {attribute}` next to `code_source`");
            return Some(self.warning("python_file", given, &problem));
        }
        if let Some(problem) = self.missing_path(given, Path::is_file) {
            let below = lexically_normal(&self.working_directory().join(given));
            let problem = if lexically_normal(&directory.join(&below)).starts_with(directory)
                && directory.join(&below).is_file()
            {
                format!(
                    "it is not in the build directory, and paths are relative to that, not to the `working_directory`; did you mean `{}`?",
                    below.display()
                )
            } else {
                problem
            };
            return Some(self.warning("python_file", given, &problem));
        }
        let file = directory.join(given);
        if file.is_file() { self.attribute(&file) } else { None }
    }

    /// Why `given` does not exist in the build directory; `None` if it does, or may.
    fn missing_path(&self, given: &str, fits: fn(&Path) -> bool) -> Option<String> {
        let path = Path::new(given);
        let directory = &self.location.directory;
        if is_elsewhere(given) {
            return None;
        }
        let file = directory.join(path);
        if fits(&file) {
            let is_inside = lexically_normal(&file).starts_with(directory);
            return (!is_inside)
                .then(|| "it is outside of the build directory, and only that is shipped".to_string());
        }
        let parent = path.parent().unwrap_or(Path::new(""));
        let name = path.file_name()?.to_str()?;
        let mut siblings = Vec::new();
        for entry in std::fs::read_dir(directory.join(parent)).into_iter().flatten().flatten() {
            if fits(&entry.path()) {
                siblings.extend(entry.file_name().into_string());
            }
        }
        let siblings: Vec<&str> = siblings.iter().map(String::as_str).collect();
        let near = closest(name, &siblings).map(|near| parent.join(near));
        let near = near.map_or_else(String::new, |near| format!("; did you mean `{}`?", near.display()));
        Some(format!("it is not in the build directory{near}"))
    }

    fn module(&self, key: &str, name: &str) -> Option<Warning> {
        let parts: Vec<&str> = name.split('.').collect();
        if self.declared.maps_modules || !self.tree.complete {
            return None;
        }
        if parts.iter().any(|part| !is_identifier(part)) {
            return self.not_a_name(name).map(|problem| self.warning(key, name, &problem));
        }
        let roots = self.roots();
        let problem = match self.tree.search(&parts, &roots) {
            Search::Found(Some(file)) if key == "autoload_defs_module_name" && self.is_only_built(&parts) => {
                format!(
                    "Dagster looks for the project around `{}`, but a package that is built from `src` has no project there; set `module_name` to a module with definitions, or do not build the package (`package = false` below `[tool.uv]`) and set `working_directory: src`",
                    self.shown(&file)
                )
            }
            Search::Found(Some(file)) if self.is_above_working_directory(&file, &parts) => {
                "it is in the build directory, and Dagster imports from the `working_directory` only; remove that setting, or move the module there"
                    .to_string()
            }
            Search::Found(Some(file)) => match self.outside_roots(&file, &parts, &roots) {
                Some(problem) => problem,
                None => return self.attribute(&file),
            },
            Search::Found(None) => return None,
            Search::NoModule { file, name } => {
                format!("`{file}` is a module and not a package, so it cannot contain `{name}`")
            }
            Search::Missing { parent, name, near, .. } => {
                let near = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
                format!("there is no module `{name}` in `{parent}`{near}")
            }
            Search::NoTop => self.unknown_top(&parts, &roots)?,
        };
        Some(self.warning(key, name, &problem))
    }

    /// A problem with a path or a name with `-` in place of a module name.
    fn not_a_name(&self, given: &str) -> Option<String> {
        let roots = self.roots();
        let written: Vec<&str> = given.split('.').collect();
        if matches!(self.tree.search(&written, &roots), Search::Found(_)) {
            return None;
        }
        if let Some((module, attribute)) = given.split_once(':')
            && module.split('.').all(is_identifier)
            && is_identifier(attribute)
        {
            return Some(format!(
                "the name of a module has no `:`; write `{module}`, and `attribute: {attribute}` next to `code_source`"
            ));
        }
        let path = given.strip_prefix("./").unwrap_or(given);
        let path = path.strip_suffix(".py").unwrap_or(path).trim_end_matches('/');
        let meant = path.replace(['/', '\\'], ".").replace('-', "_");
        // The name of a package built from `src` does not start with `src`.
        let meant = meant.strip_prefix("src.").filter(|_| self.declared.is_built).unwrap_or(&meant);
        let parts: Vec<&str> = meant.split('.').collect();
        let is_there = parts.iter().all(|part| is_identifier(part))
            && matches!(self.tree.search(&parts, &roots), Search::Found(Some(_)));
        if is_there {
            return Some(format!("no module can have that name; did you mean `{meant}`?"));
        }
        // Templates and names outside ASCII are not judged here.
        let is_plain = given.chars().all(|each| each.is_ascii_alphanumeric() || "_.-/ ".contains(each));
        let can_be = given.split('.').all(|part| !part.is_empty() && !part.contains(['-', '/', ' ']));
        if can_be || !is_plain || self.declared.has_packages_elsewhere {
            return None;
        }
        let is_asked_for = parts.first().is_some_and(|top| self.declared.asks_for(top));
        let near = is_asked_for && parts.iter().all(|part| is_identifier(part));
        let near = if near { format!("; did you mean `{meant}`?") } else { String::new() };
        Some(format!("no module can have that name{near}"))
    }

    /// A problem if the module is in a directory that is not on the search path: neither the working directory nor a
    /// root of a built package.
    fn outside_roots(&self, file: &Path, parts: &[&str], roots: &[PathBuf]) -> Option<String> {
        let place = above(file, parts);
        let below = place.strip_prefix(&self.location.directory).ok()?;
        let is_asked_for = parts.first().is_some_and(|top| self.declared.mentions(top));
        if roots.iter().any(|root| root == below)
            || !self.declared.plain_layout
            || self.declared.has_packages_elsewhere
            || is_asked_for
        {
            return None;
        }
        let shown = below.display();
        let dotted: Vec<&str> = below.iter().filter_map(|part| part.to_str()).collect();
        let module = dotted.iter().chain(parts).copied().collect::<Vec<_>>().join(".");
        let is_module =
            dotted.iter().all(|part| is_identifier(part)) && self.working_directory() == Path::new("");
        let module = if is_module { format!("`{module}`, or ") } else { String::new() };
        Some(format!(
            "it is in `{shown}`, which is not where Dagster imports from; write {module}`working_directory: {shown}`"
        ))
    }

    /// Whether the module is at the top of a build directory without a built package, and the code location has another
    /// working directory, which replaces the build directory on `sys.path`.
    fn is_above_working_directory(&self, file: &Path, parts: &[&str]) -> bool {
        let directory = &self.location.directory;
        let module: PathBuf = directory.join(parts.iter().collect::<PathBuf>());
        let is_at_the_top = file == module.with_extension("py") || file == module.join("__init__.py");
        let may_be_built = self.declared.is_built || directory.join("pyproject.toml").exists();
        let is_asked_for = parts.first().is_some_and(|top| self.declared.mentions(top));
        is_at_the_top
            && !may_be_built
            && !is_asked_for
            && !self.declared.has_packages_elsewhere
            && self.working_directory() != Path::new("")
    }

    /// Directories from which modules may be imported: the build directory, the working directory, and their `src`.
    fn roots(&self) -> Vec<PathBuf> {
        let working = self.working_directory();
        vec![PathBuf::new(), "src".into(), working.join("src"), working]
    }

    /// The problem that the project has no module with the first part of the name. `None` if a dependency may have it
    /// and it does not look like a typo.
    fn unknown_top(&self, parts: &[&str], roots: &[PathBuf]) -> Option<String> {
        let top = parts.first()?;
        if self.declared.has_packages_elsewhere {
            return None;
        }
        if let Some(other) = self.tree.top_in_other_case(top, roots) {
            let rest = parts.iter().skip(1).map(|part| format!(".{part}")).collect::<String>();
            return Some(format!(
                "the project has `{other}`, and Python is case-sensitive; did you mean `{other}{rest}`?"
            ));
        }
        if self.declared.mentions(top) {
            return None;
        }
        let near = self.tree.near_top(top, roots).map(|near| {
            let rest = parts.iter().skip(1).map(|part| format!(".{part}")).collect::<String>();
            format!("; did you mean `{near}{rest}`?")
        });
        if near.is_none() && (!self.declared.only_dagster || top.starts_with("dagster")) {
            return None;
        }
        Some(format!(
            "the project has no `{top}`, and no dependency has that name{}",
            near.unwrap_or_default()
        ))
    }

    /// A warning if `file` cannot define the attribute.
    fn attribute(&self, file: &Path) -> Option<Warning> {
        let attribute = self.text("attribute").filter(|name| is_identifier(name))?;
        let problem = format!("`{}` does not define it", self.shown(file));
        (!attribute::may_define(file, attribute)).then(|| self.warning("attribute", attribute, &problem))
    }

    fn shown(&self, file: &Path) -> String {
        file.strip_prefix(&self.location.directory).unwrap_or(file).display().to_string()
    }

    /// Whether the module is in `src` of a project that is built, and so is loaded from the built package. Dagster's
    /// `autoload_defs_module_name` then finds no pyproject.toml above it. Source: seen with dagster 1.13.27.
    fn is_only_built(&self, parts: &[&str]) -> bool {
        let directory = &self.location.directory;
        let has = |below: &str| parts.first().is_some_and(|top| directory.join(below).join(top).is_dir());
        self.declared.is_built && has("src") && !has("") && self.working_directory() == Path::new("")
    }
}

/// Why a code location cannot import the module `name`, if the cause is its place in the project or a typo. A clause:
/// `the project has …; did you mean …?`.
pub fn imported(location: &Location, name: &str) -> Option<String> {
    let (tree, declared) = (&Tree::read(&location.directory), &Declared::read(&location.directory));
    let look = Look { location, tree, declared };
    let parts: Vec<&str> = name.split('.').collect();
    if !tree.complete || look.loads_from_elsewhere() || !parts.iter().all(|part| is_identifier(part)) {
        return None;
    }
    let roots = look.roots();
    match tree.search(&parts, &roots) {
        Search::Found(Some(file)) if look.is_above_working_directory(&file, &parts) => Some(
            "it is in the build directory, and Dagster imports from the `working_directory` only; remove that setting, or move the module there"
                .into(),
        ),
        Search::Found(Some(file)) => look.outside_roots(&file, &parts, &roots),
        Search::Missing { parent, name, near: Some(near), .. } => {
            Some(format!("there is no module `{name}` in `{parent}`; did you mean `{near}`?"))
        }
        Search::NoModule { file, name } => {
            Some(format!("`{file}` is a module and not a package, so it cannot contain `{name}`"))
        }
        Search::NoTop => look.unknown_top(&parts, &roots).filter(|problem| problem.contains("did you mean")),
        Search::Found(None) | Search::Missing { .. } => None,
    }
}

/// The directory from which the module `parts` in `file` is imported.
fn above(file: &Path, parts: &[&str]) -> PathBuf {
    let is_package = file.file_name().is_some_and(|name| name == "__init__.py");
    let levels = parts.len() + usize::from(is_package);
    file.ancestors().nth(levels).unwrap_or(Path::new("")).to_path_buf()
}

/// The file that a code location loads from the working directory.
#[derive(Debug)]
pub struct OwnFile {
    /// `module_name` or another key of `code_source`.
    pub key: &'static str,
    /// Its value.
    pub given: String,
    /// The file, below the build directory.
    pub file: PathBuf,
}

/// The file that this code location loads from the working directory, and not from a built package. A module is only
/// searched if `worth_a_search`, because that lists all files.
pub fn own_file(location: &Location, worth_a_search: bool) -> Option<OwnFile> {
    let unread = (Tree::default(), Declared::default());
    let look = Look { location, tree: &unread.0, declared: &unread.1 };
    if look.loads_from_elsewhere() {
        return None;
    }
    if let Some(given) = look.code_source("python_file") {
        let file = location.directory.join(given);
        return file.is_file().then(|| OwnFile { key: "python_file", given: given.to_string(), file });
    }
    let (key, given) = MODULE_KEYS.iter().find_map(|key| Some((*key, look.code_source(key)?)))?;
    let parts: Vec<&str> = given.split('.').collect();
    // Without a use for them, no files are read.
    if !worth_a_search {
        return None;
    }
    let (tree, declared) = (Tree::read(&location.directory), Declared::read(&location.directory));
    if !declared.builds_nothing || declared.has_packages_elsewhere {
        return None;
    }
    match tree.search(&parts, &look.roots()) {
        Search::Found(file) => Some(OwnFile { key, given: given.to_string(), file: file? }),
        _ => None,
    }
}

/// Whether a path is not relative to the build directory. Absolute paths, including those of Windows, may be in the
/// image.
fn is_elsewhere(path: &str) -> bool {
    path.starts_with(['/', '~', '$', '\\']) || path.get(1..2) == Some(":")
}

/// Whether a text is an ASCII identifier of Python. Other identifiers are left to Python.
fn is_identifier(text: &str) -> bool {
    let starts = text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    starts && text.chars().all(|each| each.is_ascii_alphanumeric() || each == '_')
}

#[cfg(test)]
mod tests;
