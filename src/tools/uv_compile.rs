//! `uv pip compile`: requirement lines and settings → a `pylock.toml` document.
//!
//! The request becomes a generated `pyproject.toml` in its own directory: its `[tool.uv]` table accepts every setting,
//! including indexes pinned to packages, for which there is no flag. It is the root of its own (empty) workspace, so
//! that it belongs to no other. The user's variables take precedence over it, as over any project. Source: uv 0.13,
//! "Settings" and "Configuration files".

use super::process::Process;
use super::uv::{Settings, Uv};
use super::uv_error::UvError;
use crate::env_vars;
use crate::paths::lexically_normal;
use crate::scratch::Scratch;
use crate::target::{PythonVersion, Target};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// Where packages come from.
#[derive(Debug, Clone, Default)]
pub struct IndexSettings {
    /// The index asked last; `None` for uv's own default. May contain credentials.
    pub default_index: Option<String>,
    /// Its name, if it has one.
    pub default_index_name: Option<String>,
    /// Additional indexes, in order of priority.
    pub indexes: Vec<NamedIndex>,
    /// `--find-links`: URLs or absolute paths.
    pub find_links: Vec<String>,
    /// Ask no index.
    pub no_index: bool,
    /// `first-index`, `unsafe-first-match`, `unsafe-best-match`.
    pub index_strategy: Option<String>,
}

/// One package index.
#[derive(Debug, Clone)]
pub struct NamedIndex {
    /// Its name, if it has one.
    pub name: Option<String>,
    /// Its URL. May contain credentials.
    pub url: String,
    /// Used only for packages pinned to it.
    pub explicit: bool,
}

/// What to resolve, and how.
#[derive(Debug, Clone)]
pub struct CompileRequest {
    /// PEP 508 lines.
    pub requirements: Vec<String>,
    /// URLs and paths without a package name, passed to uv unchanged.
    pub unnamed: Vec<String>,
    /// The target Python and platform.
    pub target: Target,
    /// Interpreter for builds that are needed to get metadata; `None` for one of the target's version if this machine
    /// has it, otherwise any.
    pub python: Option<PathBuf>,
    /// PEP 508 lines that only limit versions.
    pub constraints: Vec<String>,
    /// PEP 508 lines that replace requirements of packages.
    pub overrides: Vec<String>,
    /// PEP 508 lines that limit versions for builds.
    pub build_constraints: Vec<String>,
    /// Names of packages that are never used.
    pub excludes: Vec<String>,
    /// Where packages come from.
    pub index: IndexSettings,
    /// Package name → name of the index it must come from.
    pub index_pins: BTreeMap<String, String>,
    /// Names, or `:all:`, that are always built from source.
    pub no_binary: Vec<String>,
    /// Names, or `:all:`, that are never built.
    pub only_binary: Vec<String>,
    /// `allow`, `disallow`, `if-necessary`, `explicit`.
    pub prerelease: Option<String>,
    /// Date or timestamp in a format that uv accepts.
    pub exclude_newer: Option<String>,
    /// `highest`, `lowest`, `lowest-direct`.
    pub resolution: Option<String>,
    /// Resolve only the lines themselves, without their dependencies.
    pub no_dependencies: bool,
    /// Ask the indexes again instead of using uv's cache.
    pub refresh: bool,
    /// Other keys of `[tool.uv]`. The fields above take precedence.
    pub uv: Table,
}

impl CompileRequest {
    /// Lines and a target, with defaults for everything else.
    pub fn new(requirements: Vec<String>, target: Target) -> CompileRequest {
        CompileRequest {
            requirements,
            unnamed: Vec::new(),
            target,
            python: None,
            constraints: Vec::new(),
            overrides: Vec::new(),
            build_constraints: Vec::new(),
            excludes: Vec::new(),
            index: IndexSettings::default(),
            index_pins: BTreeMap::new(),
            no_binary: Vec::new(),
            only_binary: Vec::new(),
            prerelease: None,
            exclude_newer: None,
            resolution: None,
            no_dependencies: false,
            refresh: false,
            uv: Table::new(),
        }
    }

    /// The generated `pyproject.toml`.
    fn synthesise(&self) -> Table {
        let mut project = Table::new();
        project.insert("name".into(), PROJECT_NAME.into());
        project.insert("version".into(), "0".into());
        // Without it, uv resolves for every Python that the interpreter's version allows.
        project.insert("requires-python".into(), format!(">={}", self.target.python).into());
        project.insert("dependencies".into(), array(self.requirements.iter().map(String::as_str)));
        let mut tool = Table::new();
        tool.insert("uv".into(), Value::Table(self.uv_table()));
        let mut document = Table::new();
        document.insert("project".into(), Value::Table(project));
        document.insert("tool".into(), Value::Table(tool));
        document
    }

    fn uv_table(&self) -> Table {
        let mut table = self.uv.clone();
        // Keys about the user's own project, which this one is not.
        for key in ["workspace", "package", "sources", "managed", "default-groups", "dependency-groups"] {
            table.remove(key);
        }
        // Makes it a workspace of its own, so that uv does not search directories above for one.
        table.insert("workspace".into(), Value::Table(Table::new()));
        let mut list = |key: &str, values: &[String]| {
            if !values.is_empty() {
                table.insert(key.into(), array(values.iter().map(String::as_str)));
            }
        };
        list("constraint-dependencies", &self.constraints);
        list("override-dependencies", &self.overrides);
        list("build-constraint-dependencies", &self.build_constraints);
        list("exclude-dependencies", &self.excludes);
        list("find-links", &self.index.find_links);
        let text = [
            ("index-strategy", &self.index.index_strategy),
            ("prerelease", &self.prerelease),
            ("exclude-newer", &self.exclude_newer),
            ("resolution", &self.resolution),
        ];
        for (key, value) in text {
            if let Some(value) = value {
                table.insert(key.into(), value.as_str().into());
            }
        }
        if self.index.no_index {
            table.insert("no-index".into(), true.into());
        }
        let indexes = self.index.tables();
        if !indexes.is_empty() {
            table.insert("index".into(), Value::Array(indexes));
        }
        if !self.index_pins.is_empty() {
            let pins = self.index_pins.iter().map(|(package, index)| {
                let source = Table::from_iter([("index".to_string(), Value::from(index.as_str()))]);
                (package.clone(), Value::Table(source))
            });
            table.insert("sources".into(), Value::Table(pins.collect()));
        }
        table
    }
}

/// uv's text about the generated project, changed to be about the user's.
fn about_users_project(said: &str) -> String {
    said.replace(PROJECT_NAME, "your project")
}

/// Name of the generated project. It must not be the name of a real package.
const PROJECT_NAME: &str = "pexpress-requirements";
const PYPROJECT: &str = "pyproject.toml";
const REQUIREMENTS: &str = "requirements.in";

impl IndexSettings {
    /// As `[[tool.uv.index]]` tables.
    fn tables(&self) -> Vec<Value> {
        let further = self.indexes.iter().map(|index| {
            let mut table = Table::new();
            table.extend(index.name.iter().map(|name| ("name".to_string(), Value::from(name.as_str()))));
            table.insert("url".into(), index.url.as_str().into());
            if index.explicit {
                table.insert("explicit".into(), true.into());
            }
            Value::Table(table)
        });
        let default = self.default_index.iter().map(|url| {
            let pairs =
                [("url".to_string(), Value::from(url.as_str())), ("default".to_string(), Value::from(true))];
            let name = self.default_index_name.iter().map(|name| ("name".to_string(), name.as_str().into()));
            Value::Table(pairs.into_iter().chain(name).collect())
        });
        further.chain(default).collect()
    }

    /// As flags, for calls without the generated project.
    pub(super) fn add_flags(&self, mut process: Process) -> Process {
        for index in self.indexes.iter().filter(|index| !index.explicit) {
            let value = match &index.name {
                Some(name) => format!("{name}={}", index.url),
                None => index.url.clone(),
            };
            process = process.args(["--index", &value]);
        }
        let default = self.default_index.as_ref().map(|url| match &self.default_index_name {
            Some(name) => format!("{name}={url}"),
            None => url.clone(),
        });
        let named = [("--default-index", &default), ("--index-strategy", &self.index_strategy)];
        for (flag, value) in named {
            process = process.args(value.iter().flat_map(|value| [flag, value.as_str()]));
        }
        for link in &self.find_links {
            process = process.args(["--find-links", link]);
        }
        if self.no_index { process.arg("--no-index") } else { process }
    }
}

impl Uv {
    /// Resolve: the text of a `pylock.toml` (PEP 751) for the one target, markers evaluated, paths absolute.
    ///
    /// # Errors
    /// [`UvError::Project`] when no set of versions satisfies the request, [`UvError::Remote`] when an index does not
    /// answer; in both the cause is uv's whole text.
    pub fn compile(&self, request: &CompileRequest) -> Result<String, UvError> {
        self.compile_with(request, Settings::User)
    }

    /// Check that the user's package index answers and has `package`. uv's cache is not used.
    ///
    /// # Errors
    /// As [`Uv::compile`].
    pub fn ask_index(&self, package: &str) -> Result<(), UvError> {
        let target = Target::serverless(PythonVersion::DEFAULT);
        let request = CompileRequest {
            no_dependencies: true,
            refresh: true,
            ..CompileRequest::new(vec![package.into()], target)
        };
        self.compile_with(&request, Settings::IndexOnly).map(drop)
    }

    pub(super) fn compile_with(
        &self,
        request: &CompileRequest,
        settings: Settings,
    ) -> Result<String, UvError> {
        let task = "resolve the requirements";
        let temp_dir = self.host().temp_dir();
        let fail = |source| UvError::File { action: "create", path: temp_dir.clone(), source };
        let temporary = Scratch::shared(&temp_dir).map_err(fail)?;
        let dir = temporary.path().canonicalize().map_err(fail)?;
        write(&dir.join(PYPROJECT), &request.synthesise().to_string())?;
        let has_unnamed = !request.unnamed.is_empty();
        if has_unnamed {
            write(&dir.join(REQUIREMENTS), &(request.unnamed.join("\n") + "\n"))?;
        }
        let inputs = [PYPROJECT].into_iter().chain(has_unnamed.then_some(REQUIREMENTS));
        let process = || {
            let process = self.process_with(&["pip", "compile"], settings).args(inputs.clone()).cwd(&dir);
            // The content of these files is already in the constraints and overrides of the request.
            let process = process.env_remove(env_vars::UV_CONSTRAINT).env_remove(env_vars::UV_OVERRIDE);
            let process = self.without_shadowed_index(request.add_flags(process), request);
            self.with_python(process, request)
        };
        // Python is only downloaded if the machine has none: for an exact version, uv would otherwise download exactly
        // that one.
        let text = match self.text(task, process().arg("--no-python-downloads")) {
            Err(error) if error.says("No interpreter found") => self.text(task, process()),
            result => result,
        }
        .map_err(|error| error.with_words(about_users_project))?;
        with_absolute_paths(text, &dir).map_err(|reason| UvError::Lock { reason: Box::new(reason) })
    }

    /// Pass the interpreter, so that uv need not search: it would run every Python on `PATH`.
    fn with_python(&self, process: Process, request: &CompileRequest) -> Process {
        let found = || self.pythons().find(request.target.python).map(|python| python.executable);
        match request.python.clone().or_else(found) {
            Some(python) => process.arg("--python").arg(python),
            None => process,
        }
    }

    /// A project's own index wins over the user's index for pip, as in pip, but not over the user's index for uv.
    fn without_shadowed_index(&self, process: Process, request: &CompileRequest) -> Process {
        let by_pip =
            self.pip_config().index_url.is_some() && self.host().var(env_vars::UV_DEFAULT_INDEX).is_none();
        let process = if self.pip_config().no_index { process.arg("--no-index") } else { process };
        match request.index.default_index {
            Some(_) if by_pip => process.env_remove(env_vars::UV_DEFAULT_INDEX),
            _ => process,
        }
    }
}

impl CompileRequest {
    /// Options that exist only as flags.
    fn add_flags(&self, process: Process) -> Process {
        let mut process = process
            .args(["--format", "pylock.toml", "--no-header"])
            .args(["--python-version", self.target.python.full()])
            .args(["--python-platform", &self.target.platform.uv_name()]);
        for (flag, names) in [("--no-binary", &self.no_binary), ("--only-binary", &self.only_binary)] {
            process = process.args(names.iter().flat_map(|name| [flag, name.as_str()]));
        }
        for (flag, wanted) in [("--no-deps", self.no_dependencies), ("--refresh", self.refresh)] {
            process = process.args(wanted.then_some(flag));
        }
        process
    }
}

/// Make relative `path` values of a `pylock.toml` absolute: uv 0.9 writes them relative to its working directory, which
/// no longer exists when they are read.
fn with_absolute_paths(text: String, dir: &Path) -> Result<String, toml::de::Error> {
    let mut document: Table = text.parse()?;
    let mut changed = false;
    let packages = document.get_mut("packages").and_then(Value::as_array_mut).into_iter().flatten();
    for package in packages.filter_map(Value::as_table_mut) {
        for key in ["wheels", "sdist", "archive", "directory"] {
            let artifacts = match package.get_mut(key) {
                Some(Value::Array(artifacts)) => artifacts.as_mut_slice(),
                Some(artifact) => std::slice::from_mut(artifact),
                None => &mut [],
            };
            for path in artifacts.iter_mut().filter_map(|artifact| artifact.get_mut("path")) {
                let Some(relative) = path.as_str().filter(|path| Path::new(path).is_relative()) else {
                    continue;
                };
                let absolute = lexically_normal(&dir.join(relative));
                *path = absolute.to_string_lossy().into_owned().into();
                changed = true;
            }
        }
    }
    Ok(if changed { document.to_string() } else { text })
}

fn write(path: &Path, text: &str) -> Result<(), UvError> {
    std::fs::write(path, text).map_err(|source| UvError::File { action: "write", path: path.into(), source })
}

fn array<'a>(values: impl IntoIterator<Item = &'a str>) -> Value {
    Value::Array(values.into_iter().map(Value::from).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uvs_text_is_about_the_users_project() {
        assert_eq!(
            about_users_project(
                "Because pexpress-requirements depends on a<2 and a>=2, pexpress-requirements's requirements are unsatisfiable."
            ),
            "Because your project depends on a<2 and a>=2, your project's requirements are unsatisfiable."
        );
    }

    #[test]
    fn relative_paths_of_a_lock_become_absolute() {
        let package = |path: &str| {
            format!(
                "[[packages]]\nname = \"a\"\narchive = {{ path = \"{path}\" }}\nwheels = [{{ url = \"https://x/\" }}, {{ path = \"{path}\" }}]\n"
            )
        };
        for (given, want) in [("../w/a.whl", "/t/w/a.whl"), ("/w/a.whl", "/w/a.whl")] {
            let document: Table =
                with_absolute_paths(package(given), Path::new("/t/x")).unwrap().parse().unwrap();
            assert_eq!(document, package(want).parse::<Table>().unwrap());
        }
        assert!(with_absolute_paths("not toml".into(), Path::new("/")).is_err());
    }
}
