//! The settings for build backends with which a package is known to be built only from its own files.
//!
//! Everything is an allow list: with a key that is not here, such as one of a newer release, the package is built each
//! time. Sources: the manuals of the backends, and where they do not say, hatchling 1.33, setuptools 83, flit-core 4.2,
//! poetry-core 2.5, pdm-backend 2.5 and uv 0.13.

use super::SETUP_PY;
use crate::bounded_file::{TEXT_LIMIT_BYTES, read_text};
use crate::builder::shadowed::is_standard;
use crate::project::ResolveSettings;
use crate::project::setup_py::SetupPy;
use std::path::Path;
use toml::{Table, Value};

/// Distributions that such a package may name in `build-system.requires`.
const REQUIRES: [&str; 7] =
    ["hatchling", "flit-core", "poetry-core", "uv-build", "pdm-backend", "setuptools", "wheel"];

/// Files with code of the user that a build runs.
pub(super) const CODE_FILES: [&str; 4] = ["setup.py", "hatch_build.py", "build.py", "pdm_build.py"];

/// Files with more settings of setuptools, which are not read here.
const SETUPTOOLS_FILES: [&str; 2] = ["setup.cfg", "MANIFEST.in"];

/// Modules that setuptools imports, besides those of Python. Source: setuptools 84.2, `_vendor`.
const SETUPTOOLS_MODULES: [&str; 18] = [
    "_distutils_hack",
    "autocommand",
    "backports",
    "distutils",
    "importlib_metadata",
    "importlib_resources",
    "inflect",
    "jaraco",
    "more_itertools",
    "ordered_set",
    "packaging",
    "pkg_resources",
    "platformdirs",
    "setuptools",
    "tomli",
    "typing_extensions",
    "wheel",
    "zipp",
];

/// uv settings that add to the environment of a build more than the package asks for.
const UV_BUILD_KEYS: [&str; 4] =
    ["extra-build-dependencies", "extra-build-variables", "no-build-isolation", "no-build-isolation-package"];

/// The allowed content of a table, as long as no text in it is a path out of the directory.
enum Allowed {
    /// Anything.
    Any,
    /// The keys of the first list with any value, and those of the second with the given content.
    Keys(&'static [&'static str], &'static [(&'static str, Allowed)]),
}

use Allowed::{Any, Keys};

/// Keys of the build and of its targets. `hooks`, `dependencies` and `versions` are not allowed: they run other code.
const HATCH_FILES: &[&str] = &[
    "artifacts",
    "bypass-selection",
    "core-metadata-version",
    "dev-mode-dirs",
    "dev-mode-exact",
    "directory",
    "exclude",
    "force-include",
    "ignore-vcs",
    "include",
    "macos-max-compat",
    "only-include",
    "only-packages",
    "packages",
    "reproducible",
    "shared-data",
    "skip-excluded-dirs",
    "sources",
    "strict-naming",
];
/// `version` without `source` applies a regular expression to a file. Other sources run code or read the environment.
const HATCH: Allowed = Keys(
    &["envs", "publish"],
    &[
        ("build", Keys(HATCH_FILES, &[("targets", Keys(&["sdist"], &[("wheel", Keys(HATCH_FILES, &[]))]))])),
        ("metadata", Keys(&["allow-direct-references", "allow-ambiguous-features"], &[])),
        ("version", Keys(&["path", "pattern"], &[])),
    ],
);

/// Without `attr`, which imports the package if it cannot be read as text.
const SETUPTOOLS_DYNAMIC: Allowed = Keys(&["file", "content-type"], &[]);
const SETUPTOOLS: Allowed = Keys(
    &[
        "exclude-package-data",
        "include-package-data",
        "license-files",
        "namespace-packages",
        "package-data",
        "package-dir",
        "packages",
        "platforms",
        "py-modules",
        "zip-safe",
    ],
    &[(
        "dynamic",
        Keys(
            &["optional-dependencies"],
            &[
                ("dependencies", SETUPTOOLS_DYNAMIC),
                ("description", SETUPTOOLS_DYNAMIC),
                ("readme", SETUPTOOLS_DYNAMIC),
                ("version", SETUPTOOLS_DYNAMIC),
            ],
        ),
    )],
);

/// Dynamic fields are excluded elsewhere: Flit imports the module for them if it cannot read it as text.
const FLIT: Allowed = Keys(&["module", "sdist"], &[]);

/// Without `build`, which is a script.
const POETRY: Allowed = Keys(
    &[
        "authors",
        "classifiers",
        "dependencies",
        "description",
        "dev-dependencies",
        "documentation",
        "exclude",
        "extras",
        "group",
        "homepage",
        "include",
        "keywords",
        "license",
        "maintainers",
        "name",
        "package-mode",
        "packages",
        "plugins",
        "readme",
        "repository",
        "requires-poetry",
        "scripts",
        "source",
        "urls",
        "version",
    ],
    &[],
);

/// Only `file` is allowed as `source`, which is checked elsewhere: `scm` asks git and `call` runs code.
const PDM_VERSION: Allowed = Keys(&["path", "source"], &[]);
const PDM_BUILD: Allowed =
    Keys(&["editable-backend", "excludes", "includes", "is-purelib", "package-dir", "source-includes"], &[]);

/// What the configuration of a package says that is built only from its own files.
#[derive(Debug, Clone)]
pub(super) struct Configuration {
    /// All texts in it, in lower case. A file that none of them names is not read for its metadata.
    texts: Vec<String>,
    /// Whether its wheel has files at the ends of their own paths: no setting moves one to another place.
    pub(super) keeps_paths: bool,
}

impl Configuration {
    /// Whether a text has the name of a file in it, in any case.
    pub(super) fn mentions(&self, file_name: &str) -> bool {
        let name = file_name.to_lowercase();
        self.texts.iter().any(|text| text.contains(&name))
    }
}

/// Read the configuration of the package in `directory`; `None` if its build may look at other files.
pub(super) fn read(directory: &Path, backend: &str, settings: &ResolveSettings) -> Option<Configuration> {
    if backend == SETUP_PY {
        return read_setup_py(directory, settings);
    }
    let pyproject = table(&directory.join("pyproject.toml"))?;
    let own = directory.join("hatch.toml");
    let hatch =
        if own.exists() && backend == "hatchling.build" { Some(Value::Table(table(&own)?)) } else { None };
    if !stays_inside(directory, &pyproject, hatch.as_ref(), backend, settings) {
        return None;
    }
    let keeps_paths = keeps_paths(&pyproject, hatch.as_ref(), backend);
    let mut texts = Vec::new();
    for said in hatch.iter().chain([&Value::Table(pyproject)]) {
        collect_texts(said, &mut texts);
    }
    Some(Configuration { texts, keeps_paths })
}

/// The same for a `setup.py`, which setuptools runs with its directory in front of the search path.
fn read_setup_py(directory: &Path, settings: &ResolveSettings) -> Option<Configuration> {
    let setup = SetupPy::read(directory)?;
    let has_uv_keys = UV_BUILD_KEYS.iter().any(|key| settings.uv.contains_key(*key));
    if has_uv_keys || directory.join("MANIFEST.in").exists() || !setup.paths().into_iter().all(is_inside) {
        return None;
    }
    for entry in directory.read_dir().ok()? {
        let name = entry.ok()?.file_name().into_string().ok()?;
        let module = name.split('.').next().unwrap_or(&name);
        // setuptools would import such a module instead of its own or Python's. Metadata of a distribution may name
        // plugins.
        let is_imported = module != "setup" && (SETUPTOOLS_MODULES.contains(&module) || is_standard(module));
        if is_imported || name.ends_with(".egg-info") || name.ends_with(".dist-info") {
            return None;
        }
    }
    let texts = setup.texts().into_iter().map(str::to_lowercase).collect();
    Some(Configuration { texts, keeps_paths: setup.keeps_paths() })
}

fn collect_texts(said: &Value, texts: &mut Vec<String>) {
    match said {
        Value::String(text) => texts.push(text.to_lowercase()),
        Value::Array(items) => items.iter().for_each(|item| collect_texts(item, texts)),
        Value::Table(table) => table.iter().for_each(|(key, value)| {
            texts.push(key.to_lowercase());
            collect_texts(value, texts);
        }),
        Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) => {}
    }
}

/// Whether no setting of the backend puts a file at a path that is not the end of its own.
fn keeps_paths(pyproject: &Table, hatch: Option<&Value>, backend: &str) -> bool {
    match backend {
        "hatchling.build" => tool(pyproject, "hatch").into_iter().chain(hatch).all(|said| {
            let build = said.get("build");
            let wheel = build.and_then(|build| build.get("targets")?.get("wheel"));
            build.into_iter().chain(wheel).all(|said| {
                let moves = |key| said.get(key).is_some();
                // A list of sources only removes directories from the start of a path.
                !moves("force-include")
                    && !moves("shared-data")
                    && said.get("sources").is_none_or(Value::is_array)
            })
        }),
        "setuptools.build_meta" => {
            let places = tool(pyproject, "setuptools").and_then(|said| said.get("package-dir"));
            places.is_none_or(|places| {
                places.as_table().is_some_and(|places| places.keys().all(String::is_empty))
            })
        }
        "poetry.core.masonry.api" => {
            let packages = tool(pyproject, "poetry").and_then(|said| said.get("packages"));
            let packages = packages.and_then(Value::as_array);
            packages.into_iter().flatten().all(|package| package.get("to").is_none())
        }
        "uv_build" => tool(pyproject, "uv").and_then(|uv| uv.get("build-backend")?.get("data")).is_none(),
        "flit_core.buildapi" | "pdm.backend" => true,
        _ => false,
    }
}

/// Whether a package is known to be built from the files in its `directory`.
fn stays_inside(
    directory: &Path,
    pyproject: &Table,
    hatch: Option<&Value>,
    backend: &str,
    settings: &ResolveSettings,
) -> bool {
    let has = |file: &&str| directory.join(file).exists();
    !CODE_FILES.iter().any(&has)
        && !UV_BUILD_KEYS.iter().any(|key| settings.uv.contains_key(*key))
        && builds_plainly(pyproject)
        && pyproject.get("project").is_none_or(stays_in_directory)
        && match backend {
            "hatchling.build" => {
                tool(pyproject, "hatch").into_iter().chain(hatch).all(|said| allows(&HATCH, said))
            }
            "setuptools.build_meta" => {
                !SETUPTOOLS_FILES.iter().any(&has)
                    && tool(pyproject, "distutils").is_none()
                    && tool(pyproject, "setuptools").is_none_or(|said| allows(&SETUPTOOLS, said))
            }
            "flit_core.buildapi" => {
                let project = pyproject.get("project");
                project.is_some_and(|project| project.get("dynamic").is_none())
                    && tool(pyproject, "flit").is_none_or(|said| allows(&FLIT, said))
            }
            "poetry.core.masonry.api" => tool(pyproject, "poetry").is_none_or(|said| allows(&POETRY, said)),
            "pdm.backend" => tool(pyproject, "pdm").is_none_or(is_plain_pdm),
            "uv_build" => {
                let said = tool(pyproject, "uv").and_then(|uv| uv.get("build-backend"));
                said.is_none_or(stays_in_directory)
            }
            // Unknown backends may read anything.
            _ => false,
        }
}

fn table(path: &Path) -> Option<Table> {
    read_text(path, TEXT_LIMIT_BYTES).ok()?.parse().ok()
}

fn tool<'a>(pyproject: &'a Table, name: &str) -> Option<&'a Value> {
    pyproject.get("tool")?.get(name)
}

/// Whether the build uses only known backends from an index.
fn builds_plainly(pyproject: &Table) -> bool {
    let Some(system) = pyproject.get("build-system").and_then(Value::as_table) else { return false };
    let redirected = tool(pyproject, "uv").and_then(|uv| uv.get("sources"));
    let is_plain = |line: &Value| {
        let name = line.as_str().and_then(distribution_name);
        name.is_some_and(|name| {
            REQUIRES.contains(&name.as_str())
                && redirected.is_none_or(|sources| {
                    sources.as_table().is_some_and(|sources| {
                        !sources.keys().any(|key| crate::wheel::filename::normalized_name(key) == name)
                    })
                })
        })
    };
    system.keys().all(|key| ["requires", "build-backend"].contains(&key.as_str()))
        && system.get("requires").and_then(Value::as_array).is_some_and(|lines| lines.iter().all(is_plain))
}

/// The name in a requirement; `None` if it has a URL.
fn distribution_name(line: &str) -> Option<String> {
    crate::wheel::requirement::check(line).ok()?;
    let requirement: pep508_rs::Requirement = line.parse().ok()?;
    let is_url = matches!(requirement.version_or_url, Some(pep508_rs::VersionOrUrl::Url(_)));
    (!is_url).then(|| requirement.name.to_string())
}

/// Checks the two tables of PDM that pdm-backend reads.
fn is_plain_pdm(said: &Value) -> bool {
    let version = said.get("version");
    let source = version.and_then(|version| version.get("source"));
    version.is_none_or(|said| allows(&PDM_VERSION, said))
        && (version.is_none() || source.and_then(Value::as_str) == Some("file"))
        && said.get("build").is_none_or(|said| allows(&PDM_BUILD, said))
}

fn allows(allowed: &Allowed, said: &Value) -> bool {
    match (allowed, said) {
        (Any, said) => stays_in_directory(said),
        (Keys(any, some), Value::Table(said)) => said.iter().all(|(key, value)| {
            let known = some.iter().find(|(known, _)| known == key).map(|(_, allowed)| allowed);
            known
                .or(any.contains(&key.as_str()).then_some(&Any))
                .is_some_and(|allowed| allows(allowed, value))
        }),
        (Keys(..), _) => false,
    }
}

/// Whether no text in a value, including keys, can be a path out of the directory.
fn stays_in_directory(said: &Value) -> bool {
    match said {
        Value::String(text) => is_inside(text),
        Value::Array(items) => items.iter().all(stays_in_directory),
        Value::Table(table) => table.iter().all(|(key, value)| is_inside(key) && stays_in_directory(value)),
        Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) => true,
    }
}

/// Whether a text cannot be a path out of the directory. Braces and dollars are refused: hatchling and PDM expand them
/// to parent directories and variables.
fn is_inside(text: &str) -> bool {
    let is_drive = text.as_bytes().get(1) == Some(&b':');
    let out = |part: &str| matches!(part.trim(), ".." | ".git" | ".hg");
    !text.starts_with(['/', '\\', '~'])
        && !is_drive
        && !text.contains(['{', '$'])
        && !text.split(['/', '\\']).any(out)
}
