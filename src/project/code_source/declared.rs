//! Reads what the files of a build directory declare, without running anything.

use crate::bounded_file::{TEXT_LIMIT_BYTES, read_text};
use std::path::Path;

/// Backends that package files under their names in the source directory.
const PLAIN_BACKENDS: [&str; 6] = ["hatchling", "setuptools", "poetry", "flit_core", "pdm", "uv_build"];

/// Dependencies, and how modules are named.
#[derive(Debug, Default)]
pub(super) struct Declared {
    /// The build may move, rename or generate modules.
    pub(super) maps_modules: bool,
    /// Local packages outside of the build directory may be part of it.
    pub(super) has_packages_elsewhere: bool,
    /// A package is built from the directory.
    pub(super) is_built: bool,
    /// No setting changes the layout: modules in this directory or `src` have the names of their directories.
    pub(super) plain_layout: bool,
    /// No package is built from the directory: only the working directory is shipped.
    pub(super) builds_nothing: bool,
    /// All dependencies are known, and all are Dagster's packages.
    pub(super) only_dagster: bool,
    /// The dependencies, and scripts that may list some; lower case, `-` and `.` as `_`.
    text: String,
}

impl Declared {
    /// Read the files of `directory`.
    pub(super) fn read(directory: &Path) -> Declared {
        let file = |name: &str| read_text(&directory.join(name), TEXT_LIMIT_BYTES).ok();
        let (requirements, script, config, project) =
            (file("requirements.txt"), file("setup.py"), file("setup.cfg"), file("pyproject.toml"));
        let mut lines: Vec<String> = Vec::new();
        let mut all_known = requirements.is_some() || project.is_some();
        let plain_layout = script.is_none() && config.is_none();
        let mut declared = Declared {
            is_built: script.is_some(),
            plain_layout,
            builds_nothing: plain_layout,
            ..Declared::default()
        };
        for line in requirements.as_deref().unwrap_or_default().lines() {
            let line = line.split(" #").next().unwrap_or_default().trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            all_known &= !line.starts_with(['-', '.', '/']);
            lines.push(line.to_string());
        }
        for text in [&script, &config].into_iter().flatten() {
            all_known = false;
            declared.maps_modules |= maps_modules(text);
            lines.push(text.clone());
        }
        if let Some(text) = project {
            match toml::from_str::<toml::Table>(&text) {
                Ok(table) => {
                    let package = at(&table, &["tool", "uv", "package"]).and_then(toml::Value::as_bool);
                    declared.is_built |= table.contains_key("build-system");
                    declared.is_built &= package != Some(false);
                    declared.maps_modules |= project_maps_modules(&table);
                    declared.plain_layout &= !says_what_to_package(&table);
                    declared.builds_nothing &= declared.plain_layout
                        && package != Some(true)
                        && table.contains_key("project")
                        && !table.contains_key("build-system")
                        && !directory.join("src").is_dir();
                    all_known &= table.get("project").is_some_and(|project| project.get("dynamic").is_none());
                    lines.extend(dependencies(&table));
                    let sources = at(&table, &["tool", "uv", "sources"]);
                    declared.has_packages_elsewhere |= sources.is_some();
                }
                Err(_) => (declared.maps_modules, declared.builds_nothing) = (true, false),
            }
        }
        declared.maps_modules |= directory.join("pdm_build.py").exists();
        declared.has_packages_elsewhere |= lines.iter().any(|line| {
            ["..", "file:", "path =", "path=", "git+", "http:", "https:"].iter().any(|way| line.contains(way))
                || line.starts_with(['-', '.', '/']) && !is_an_option(line)
        });
        let is_dagster = |line: &String| line.to_lowercase().starts_with("dagster");
        declared.only_dagster = all_known && !lines.is_empty() && lines.iter().all(is_dagster);
        declared.text = plain(&lines.join("\n"));
        declared
    }

    /// Whether a dependency has this name.
    pub(super) fn asks_for(&self, module: &str) -> bool {
        let mut words = self.text.split(|each: char| !(each.is_alphanumeric() || each == '_'));
        words.any(|word| word == plain(module))
    }

    /// Whether a dependency may have this name, or contain a module with it.
    pub(super) fn mentions(&self, module: &str) -> bool {
        self.text.contains(&plain(module))
    }
}

/// Whether a line is an option of a requirements file that adds no requirements.
fn is_an_option(line: &str) -> bool {
    [
        "--index",
        "--extra-index",
        "-i ",
        "--pre",
        "--find-links",
        "-f ",
        "--trusted",
        "--no-",
        "--only-",
        "--hash",
    ]
    .iter()
    .any(|option| line.starts_with(option))
}

fn plain(text: &str) -> String {
    text.to_lowercase().replace(['-', '.'], "_")
}

fn at<'t>(table: &'t toml::Table, keys: &[&str]) -> Option<&'t toml::Value> {
    let (first, rest) = keys.split_first()?;
    rest.iter().try_fold(table.get(*first)?, |value, key| value.get(key))
}

/// All requirements in pyproject.toml.
fn dependencies(table: &toml::Table) -> Vec<String> {
    let mut found = Vec::new();
    for keys in
        [&["project", "dependencies"][..], &["project", "optional-dependencies"], &["dependency-groups"]]
    {
        texts(at(table, keys), &mut found);
    }
    let poetry = at(table, &["tool", "poetry"]).and_then(toml::Value::as_table);
    for key in ["dependencies", "group", "dev-dependencies"] {
        let tables = poetry.and_then(|poetry| poetry.get(key)).and_then(toml::Value::as_table);
        found.extend(tables.into_iter().flatten().map(|(name, value)| format!("{name} {value}")));
    }
    found
}

fn texts(value: Option<&toml::Value>, found: &mut Vec<String>) {
    match value {
        Some(toml::Value::String(text)) => found.push(text.clone()),
        Some(toml::Value::Array(items)) => items.iter().for_each(|item| texts(Some(item), found)),
        Some(toml::Value::Table(table)) => table.values().for_each(|item| texts(Some(item), found)),
        _ => {}
    }
}

/// Whether setup.py or setup.cfg may give modules other names than their files have.
fn maps_modules(text: &str) -> bool {
    let plain: String = text.chars().filter(|each| !each.is_whitespace()).collect();
    let makes =
        ["cmdclass", "ext_modules", "cythonize", "Extension("].iter().any(|word| plain.contains(word));
    // `package_dir={"": "src"}`, or `package_dir` with one line `= src`, sets a root and renames nothing.
    let roots = ["package_dir={\"\":", "package_dir={'':", "package_dir==", "package_dir={}"];
    let mappings = plain.matches("package_dir").count();
    let only_roots: usize = roots.iter().map(|root| plain.matches(root).count()).sum();
    makes || mappings > only_roots
}

/// Whether settings of a build backend or a workspace may set where packages are.
fn says_what_to_package(table: &toml::Table) -> bool {
    [
        &["setuptools"][..],
        &["hatch"],
        &["poetry", "packages"],
        &["pdm"],
        &["flit"],
        &["maturin"],
        &["uv", "build-backend"],
        &["uv", "workspace"],
    ]
    .iter()
    .any(|keys| at(table, &[&["tool"], *keys].concat()).is_some())
}

/// The same for the tables of the build backend in pyproject.toml.
fn project_maps_modules(table: &toml::Table) -> bool {
    let backend = at(table, &["build-system", "build-backend"]).and_then(toml::Value::as_str);
    let is_plain =
        backend.is_none_or(|backend| PLAIN_BACKENDS.iter().any(|plain| backend.starts_with(plain)));
    let hatch = at(table, &["tool", "hatch", "build"]);
    let setuptools = at(table, &["tool", "setuptools"]);
    let package_dir = setuptools.and_then(|tool| tool.get("package-dir")).and_then(toml::Value::as_table);
    !is_plain
        || at(table, &["build-system", "backend-path"]).is_some()
        || hatch
            .is_some_and(|hatch| ["sources", "force-include", "hooks"].iter().any(|key| has_key(hatch, key)))
        || package_dir.is_some_and(|mapping| mapping.keys().any(|key| !key.is_empty()))
        || setuptools.is_some_and(|tool| tool.get("ext-modules").is_some() || tool.get("cmdclass").is_some())
        || at(table, &["tool", "poetry", "build"]).is_some()
        || at(table, &["tool", "poetry", "packages"]).is_some_and(|packages| has_key(packages, "to"))
}

fn has_key(value: &toml::Value, key: &str) -> bool {
    match value {
        toml::Value::Table(table) => table.iter().any(|(name, value)| name == key || has_key(value, key)),
        toml::Value::Array(items) => items.iter().any(|item| has_key(item, key)),
        _ => false,
    }
}
