//! What a package may say to its build backend and still be known to be built from its own files.
//!
//! Everything is a list of what is allowed: a key that is not here, of a newer release perhaps, has the package built
//! each time. Sources: the manuals of the backends, and hatchling 1.33, setuptools 83, flit-core 4.2, poetry-core 2.5,
//! pdm-backend 2.5 and uv 0.13 where those are silent.

use crate::bounded_file::{TEXT_LIMIT_BYTES, read_text};
use crate::project::ResolveSettings;
use std::path::Path;
use toml::{Table, Value};

/// Distributions that such a package may name in `build-system.requires`.
const REQUIRES: [&str; 7] =
    ["hatchling", "flit-core", "poetry-core", "uv-build", "pdm-backend", "setuptools", "wheel"];

/// Files whose presence means that building runs the user's own code.
const CODE_FILES: [&str; 4] = ["setup.py", "hatch_build.py", "build.py", "pdm_build.py"];

/// Files with further settings of setuptools, none of which is understood here.
const SETUPTOOLS_FILES: [&str; 2] = ["setup.cfg", "MANIFEST.in"];

/// Settings of uv's that put more into the environment of a build than the package asks for.
const UV_BUILD_KEYS: [&str; 4] =
    ["extra-build-dependencies", "extra-build-variables", "no-build-isolation", "no-build-isolation-package"];

/// What may be said in a table, as long as no text in it leads out of the directory.
enum Allowed {
    /// Anything.
    Any,
    /// The keys of the first list with any value, and those of the second with what is allowed for them.
    Keys(&'static [&'static str], &'static [(&'static str, Allowed)]),
}

use Allowed::{Any, Keys};

/// Of the build and of its targets; `hooks`, `dependencies` and `versions` are left out on purpose.
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
/// `version` without `source` is a regular expression on a file; other sources run code or read the environment.
const HATCH: Allowed = Keys(
    &["envs", "publish"],
    &[
        ("build", Keys(HATCH_FILES, &[("targets", Keys(&["sdist"], &[("wheel", Keys(HATCH_FILES, &[]))]))])),
        ("metadata", Keys(&["allow-direct-references", "allow-ambiguous-features"], &[])),
        ("version", Keys(&["path", "pattern"], &[])),
    ],
);

/// `attr` imports the package where it cannot be read as text.
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

/// Flit imports the module for what is dynamic, unless it can read it as text.
const FLIT: Allowed = Keys(&["module", "sdist"], &[]);

/// `build` is a script.
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

/// Of the sources of a version, `scm` asks git and `call` runs code; `source` is checked besides.
const PDM_VERSION: Allowed = Keys(&["path", "source"], &[]);
const PDM_BUILD: Allowed =
    Keys(&["editable-backend", "excludes", "includes", "is-purelib", "package-dir", "source-includes"], &[]);

/// Whether the package in `directory` is known to be built from the files in it.
pub(super) fn stays_inside(directory: &Path, backend: &str, settings: &ResolveSettings) -> bool {
    let has = |file: &&str| directory.join(file).exists();
    let Some(pyproject) = table(&directory.join("pyproject.toml")) else { return false };
    !CODE_FILES.iter().any(&has)
        && !UV_BUILD_KEYS.iter().any(|key| settings.uv.contains_key(*key))
        && builds_plainly(&pyproject)
        && pyproject.get("project").is_none_or(leads_nowhere_else)
        && match backend {
            "hatchling.build" => {
                let own = directory.join("hatch.toml");
                tool(&pyproject, "hatch").is_none_or(|said| allows(&HATCH, said))
                    && (!own.exists() || table(&own).is_some_and(|said| allows(&HATCH, &Value::Table(said))))
            }
            "setuptools.build_meta" => {
                !SETUPTOOLS_FILES.iter().any(&has)
                    && tool(&pyproject, "distutils").is_none()
                    && tool(&pyproject, "setuptools").is_none_or(|said| allows(&SETUPTOOLS, said))
            }
            "flit_core.buildapi" => {
                let project = pyproject.get("project");
                project.is_some_and(|project| project.get("dynamic").is_none())
                    && tool(&pyproject, "flit").is_none_or(|said| allows(&FLIT, said))
            }
            "poetry.core.masonry.api" => tool(&pyproject, "poetry").is_none_or(|said| allows(&POETRY, said)),
            "pdm.backend" => tool(&pyproject, "pdm").is_none_or(is_plain_pdm),
            "uv_build" => {
                let said = tool(&pyproject, "uv").and_then(|uv| uv.get("build-backend"));
                said.is_none_or(leads_nowhere_else)
            }
            _ => false,
        }
}

fn table(path: &Path) -> Option<Table> {
    read_text(path, TEXT_LIMIT_BYTES).ok()?.parse().ok()
}

fn tool<'a>(pyproject: &'a Table, name: &str) -> Option<&'a Value> {
    pyproject.get("tool")?.get(name)
}

/// Whether the build uses nothing but known backends from an index.
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

/// The name in a requirement, unless that says where the distribution lies.
fn distribution_name(line: &str) -> Option<String> {
    crate::wheel::requirement::check(line).ok()?;
    let requirement: pep508_rs::Requirement = line.parse().ok()?;
    let is_url = matches!(requirement.version_or_url, Some(pep508_rs::VersionOrUrl::Url(_)));
    (!is_url).then(|| requirement.name.to_string())
}

/// pdm-backend reads two of the tables that PDM itself has; of the others it knows nothing.
fn is_plain_pdm(said: &Value) -> bool {
    let version = said.get("version");
    let source = version.and_then(|version| version.get("source"));
    version.is_none_or(|said| allows(&PDM_VERSION, said))
        && (version.is_none() || source.and_then(Value::as_str) == Some("file"))
        && said.get("build").is_none_or(|said| allows(&PDM_BUILD, said))
}

fn allows(allowed: &Allowed, said: &Value) -> bool {
    match (allowed, said) {
        (Any, said) => leads_nowhere_else(said),
        (Keys(any, some), Value::Table(said)) => said.iter().all(|(key, value)| {
            let known = some.iter().find(|(known, _)| known == key).map(|(_, allowed)| allowed);
            known
                .or(any.contains(&key.as_str()).then_some(&Any))
                .is_some_and(|allowed| allows(allowed, value))
        }),
        (Keys(..), _) => false,
    }
}

/// Whether no text in a value, keys included, can be a path out of the directory.
fn leads_nowhere_else(said: &Value) -> bool {
    match said {
        Value::String(text) => is_inside(text),
        Value::Array(items) => items.iter().all(leads_nowhere_else),
        Value::Table(table) => table.iter().all(|(key, value)| is_inside(key) && leads_nowhere_else(value)),
        Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) => true,
    }
}

/// Whether a text is no path out of the directory, however it is written. Braces and dollars are filled in by hatchling
/// and PDM, with parents and variables of the environment.
fn is_inside(text: &str) -> bool {
    let is_drive = text.as_bytes().get(1) == Some(&b':');
    let out = |part: &str| matches!(part.trim(), ".." | ".git" | ".hg");
    !text.starts_with(['/', '\\', '~'])
        && !is_drive
        && !text.contains(['{', '$'])
        && !text.split(['/', '\\']).any(out)
}
