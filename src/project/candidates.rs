//! Finds the Dagster definitions of a directory that has no `dagster_cloud.yaml` and is not a dg project.
//!
//! `[tool.dagster]` of a pyproject.toml and a `workspace.yaml` name them. Without these, Python files are searched for
//! what defines code locations, and the most likely file of each project directory is taken. Sources: Dagster's
//! documentation of `workspace.yaml` and of `[tool.dagster]`.

use crate::bounded_file::read_text;
use crate::paths::relative;
use crate::yaml::{self, Node};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Larger Python files are not read: they are generated.
const MOST_BYTES: u64 = 1 << 20;
/// Most directories below the first.
const MOST_LEVELS: usize = 8;
/// Most files that are read.
const MOST_FILES: usize = 5_000;
/// Files that make a directory a project of its own.
const PROJECT_FILES: [&str; 4] = ["pyproject.toml", "setup.py", "setup.cfg", "requirements.txt"];
/// Directories whose definitions are not deployed.
const NOT_DEPLOYED: [&str; 8] =
    ["tests", "test", "docs", "examples", "site-packages", "node_modules", "venv", "build"];
/// Text of files that define code locations.
const DEFINITIONS: [&str; 4] = ["Definitions(", "@definitions", "load_from_defs_folder", "@repository"];

/// A module or file that has definitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// A name for the code location.
    pub name: String,
    /// The build directory.
    pub directory: PathBuf,
    /// The key of `code_source`.
    pub key: &'static str,
    /// Its value.
    pub value: String,
    /// The file that it was found in.
    pub file: PathBuf,
    /// `attribute`, where it is named.
    pub attribute: Option<String>,
}

/// The code locations of `top`, one for each project directory, or those that its files name.
pub fn find(top: &Path) -> Vec<Candidate> {
    let mut found = of_workspace(top);
    if found.is_empty() {
        found = of_files(top);
    }
    distinguish(&mut found, top);
    found
}

/// A name for a code location and its index, if this way has one.
type Naming<'a> = dyn Fn(&Candidate, usize) -> Option<String> + 'a;

/// Give code locations of one name that of their directory: with the same name, one would replace the other.
fn distinguish(found: &mut [Candidate], top: &Path) {
    let below = |found: &Candidate| {
        let parts: Vec<String> =
            relative(&found.directory, top).iter().map(|part| part.to_string_lossy().into_owned()).collect();
        if parts == ["."] { Vec::new() } else { parts }
    };
    let by_directory = |found: &Candidate, _| below(found).pop();
    let by_path = |found: &Candidate, _| Some(below(found).join("-")).filter(|name| !name.is_empty());
    let by_number = |found: &Candidate, index| Some(format!("{}-{}", found.name, index + 1));
    let ways: [&Naming<'_>; 3] = [&by_directory, &by_path, &by_number];
    for way in ways {
        let names: Vec<String> = found.iter().map(|found| found.name.clone()).collect();
        for (index, candidate) in found.iter_mut().enumerate() {
            if names.iter().filter(|name| **name == candidate.name).count() > 1 {
                candidate.name = way(candidate, index).unwrap_or_else(|| candidate.name.clone());
            }
        }
    }
}

/// One for each project directory.
fn of_files(top: &Path) -> Vec<Candidate> {
    let mut best: BTreeMap<PathBuf, (usize, PathBuf)> = BTreeMap::new();
    let mut configured = Vec::new();
    for file in files(top) {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name == "pyproject.toml" {
            configured.extend(of_pyproject(&file));
        } else if let Some(rank) = rank(&file, &name) {
            let directory = project_directory(&file, top);
            let entry = best.entry(directory).or_insert((usize::MAX, PathBuf::new()));
            if (rank, &file) < (entry.0, &entry.1) {
                *entry = (rank, file);
            }
        }
    }
    best.retain(|directory, _| !configured.iter().any(|known: &Candidate| known.directory == *directory));
    configured.extend(best.into_iter().map(|(directory, (_, file))| of_file(directory, file)));
    configured.sort_by(|one, other| one.directory.cmp(&other.directory));
    configured
}

/// Python files and pyproject.toml files, in order. What git ignores is left out.
fn files(top: &Path) -> Vec<PathBuf> {
    let is_deployed = |entry: &ignore::DirEntry| {
        let name = entry.file_name().to_string_lossy();
        entry.depth() == 0
            || !NOT_DEPLOYED.contains(&name.as_ref()) && !entry.path().join("pyvenv.cfg").exists()
    };
    let walk = ignore::WalkBuilder::new(top)
        .max_depth(Some(MOST_LEVELS))
        .require_git(false)
        .sort_by_file_name(std::ffi::OsStr::cmp)
        .filter_entry(is_deployed)
        .build();
    let paths = walk.flatten().map(ignore::DirEntry::into_path);
    let is_read = |path: &PathBuf| {
        path.extension().is_some_and(|extension| extension == "py") || path.ends_with("pyproject.toml")
    };
    paths.filter(is_read).take(MOST_FILES).collect()
}

/// How likely a file has the definitions of its project; less is likelier.
fn rank(file: &Path, name: &str) -> Option<usize> {
    let text = read_text(file, MOST_BYTES).ok()?;
    let found = DEFINITIONS
        .iter()
        .position(|words| text.contains(words) && !text.contains(&format!("def {words}")))?;
    let is_test = name.starts_with("test_") || name.ends_with("_test.py") || name == "conftest.py";
    let of_name = match name {
        "definitions.py" => 0,
        "__init__.py" => 20,
        "repository.py" | "repo.py" => 30,
        _ => 40,
    };
    // The nearest to the top wins among files of one name.
    (!is_test).then(|| (of_name + found) * 100 + file.components().count())
}

fn project_directory(file: &Path, top: &Path) -> PathBuf {
    let is_project = |directory: &&Path| PROJECT_FILES.iter().any(|name| directory.join(name).is_file());
    let above = file.ancestors().skip(1).take_while(|directory| directory.starts_with(top));
    above.into_iter().find(is_project).unwrap_or(top).to_path_buf()
}

fn of_file(directory: PathBuf, file: PathBuf) -> Candidate {
    let below = relative(&file, &directory);
    let mut parts: Vec<String> =
        below.with_extension("").iter().map(|part| part.to_string_lossy().into_owned()).collect();
    if parts.first().is_some_and(|part| part == "src") {
        parts.remove(0);
    }
    if parts.last().is_some_and(|part| part == "__init__") && parts.len() > 1 {
        parts.pop();
    }
    let is_identifier = |part: &String| {
        part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    let is_module = parts.len() > 1 && parts.iter().all(is_identifier) || below.ends_with("__init__.py");
    let (key, value) = match is_module && parts.iter().all(is_identifier) {
        true => ("module_name", parts.join(".")),
        false => ("python_file", below.to_string_lossy().into_owned()),
    };
    let of_directory = || directory.file_name().map(|name| name.to_string_lossy().into_owned());
    let name = match key {
        "module_name" => parts.first().cloned(),
        _ => of_directory(),
    };
    Candidate { name: name.unwrap_or_default(), directory, key, value, file, attribute: None }
}

/// `[tool.dagster]` of a pyproject.toml.
fn of_pyproject(file: &Path) -> Option<Candidate> {
    let table: toml::Table = toml::from_str(&read_text(file, MOST_BYTES).ok()?).ok()?;
    let settings = table.get("tool")?.get("dagster")?;
    let text = |key: &str| settings.get(key).and_then(toml::Value::as_str).map(String::from);
    let (key, value) = match (text("module_name"), text("python_file")) {
        (Some(module), _) => ("module_name", module),
        (None, Some(path)) => ("python_file", path),
        (None, None) => return None,
    };
    let name = text("code_location_name").or_else(|| {
        let project = table.get("project")?.get("name")?.as_str()?;
        Some(project.to_string())
    });
    let name = name.unwrap_or_else(|| value.split(['.', '/']).next().unwrap_or_default().to_string());
    let directory = file.parent()?.to_path_buf();
    Some(Candidate { name, directory, key, value, file: file.to_path_buf(), attribute: None })
}

/// The entries of a `workspace.yaml` at the top.
fn of_workspace(top: &Path) -> Vec<Candidate> {
    let file = ["workspace.yaml", "workspace.yml"]
        .map(|name| top.join(name))
        .into_iter()
        .find(|file| file.is_file());
    let Some(file) = file else { return Vec::new() };
    let document =
        crate::bounded_file::read(&file, MOST_BYTES).ok().and_then(|bytes| yaml::read(&bytes).ok());
    let Some(root) = document.and_then(|document| document.root) else { return Vec::new() };
    let entries = match root.entry("load_from").map(|entry| &entry.value.content) {
        Some(yaml::Content::Sequence(items)) => items.clone(),
        _ => return Vec::new(),
    };
    entries.iter().filter_map(|entry| of_workspace_entry(entry, top, &file)).collect()
}

/// One entry: `python_file: a.py`, or a mapping with `relative_path`, `working_directory`, `location_name` and
/// `attribute`.
fn of_workspace_entry(entry: &Node, top: &Path, file: &Path) -> Option<Candidate> {
    let entry = entry.entries()?.first()?;
    let text = |key: &str| entry.value.entry(key)?.value.text().map(String::from);
    let plain = entry.value.text().map(String::from);
    let (key, value) = match entry.name.as_str() {
        "python_file" => ("python_file", plain.or_else(|| text("relative_path"))?),
        "python_module" => ("module_name", plain.or_else(|| text("module_name"))?),
        "python_package" => ("package_name", plain.or_else(|| text("package_name"))?),
        _ => return None,
    };
    let directory = match text("working_directory") {
        Some(directory) => crate::paths::lexically_normal(&top.join(directory)),
        None if key == "python_file" => project_directory(&top.join(&value), top),
        None => top.to_path_buf(),
    };
    let value = match key {
        "python_file" => relative(&crate::paths::lexically_normal(&top.join(&value)), &directory)
            .to_string_lossy()
            .into_owned(),
        _ => value,
    };
    let stem = || Path::new(&value).file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let of_value = || if key == "python_file" { stem() } else { value.split('.').next().map(String::from) };
    let name = text("location_name").or_else(of_value)?;
    Some(Candidate { name, directory, key, value, file: file.to_path_buf(), attribute: text("attribute") })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `name: directory key=value` of each candidate.
    fn found(files: &[(&str, &str)]) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().join("shop");
        for (name, text) in files {
            let path = top.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let shown = |found: &Candidate| {
            format!(
                "{}: {} {}={}",
                found.name,
                relative(&found.directory, &top).display(),
                found.key,
                found.value
            )
        };
        find(&top).iter().map(shown).collect()
    }

    const DEFS: &str = "defs = Definitions(assets=[])\n";

    #[test]
    fn definitions_are_found_where_projects_have_them() {
        for (files, want) in [
            (
                &[("shop/definitions.py", DEFS), ("shop/assets.py", "x"), ("setup.py", "")][..],
                &["shop: . module_name=shop.definitions"][..],
            ),
            (
                &[("src/shop/definitions.py", DEFS), ("pyproject.toml", "")],
                &["shop: . module_name=shop.definitions"],
            ),
            (&[("shop/__init__.py", DEFS), ("shop_tests/test_a.py", DEFS)], &["shop: . module_name=shop"]),
            (&[("definitions.py", DEFS)], &["shop: . python_file=definitions.py"]),
            (&[("my-jobs/repo.py", "@repository\ndef r(): ...\n")], &["shop: . python_file=my-jobs/repo.py"]),
            (
                &[
                    ("a/pyproject.toml", ""),
                    ("a/a/definitions.py", DEFS),
                    ("b/setup.py", ""),
                    ("b/b/__init__.py", DEFS),
                ],
                &["a: a module_name=a.definitions", "b: b module_name=b"],
            ),
            (
                &[
                    (
                        "pyproject.toml",
                        "[project]\nname = 'shop-etl'\n[tool.dagster]\nmodule_name = 'etl.defs'\n",
                    ),
                    ("x/definitions.py", DEFS),
                ],
                &["shop-etl: . module_name=etl.defs"],
            ),
            (
                &[
                    ("a/pyproject.toml", ""),
                    ("a/jobs/definitions.py", DEFS),
                    ("b/pyproject.toml", ""),
                    ("b/jobs/definitions.py", DEFS),
                    ("c/b/pyproject.toml", ""),
                    ("c/b/jobs/definitions.py", DEFS),
                ],
                &[
                    "a: a module_name=jobs.definitions",
                    "b: b module_name=jobs.definitions",
                    "c-b: c/b module_name=jobs.definitions",
                ],
            ),
            (
                &[(
                    "workspace.yaml",
                    "load_from:\n- python_file: {relative_path: a/repo.py, location_name: one}\n- python_module: two.defs\n",
                )],
                &["one: . python_file=a/repo.py", "two: . module_name=two.defs"],
            ),
            (
                &[
                    ("venv/pyvenv.cfg", ""),
                    ("venv/lib/x.py", DEFS),
                    (".gitignore", "gen/\n"),
                    ("gen/a.py", DEFS),
                ],
                &[],
            ),
        ] {
            assert_eq!(found(files), want, "{files:?}");
        }
    }
}
