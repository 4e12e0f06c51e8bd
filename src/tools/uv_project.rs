//! uv's calls on a project, a source tree or an environment: lock files, wheels, virtual environments.

use super::leftovers::Leftovers;
use super::process::Process;
use super::uv::{Settings, Uv};
use super::uv_compile::IndexSettings;
use super::uv_error::UvError;
use crate::child_env::Purpose;
use crate::host::lexically_normal;
use crate::scratch::Scratch;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// What of a `uv.lock` to export.
#[derive(Debug, Clone, Copy, Default)]
pub struct ExportRequest<'a> {
    /// The workspace member; `None` is the project in the directory itself.
    pub package: Option<&'a str>,
    /// Every workspace member.
    pub all_packages: bool,
    /// Optional-dependencies groups.
    pub extras: &'a [String],
    /// All of them.
    pub all_extras: bool,
    /// PEP 735 dependency groups; the project's default groups are left out unless named.
    pub groups: &'a [String],
    /// Take `uv.lock` as it is. Otherwise one that is out of date is an error.
    pub frozen: bool,
    /// Interpreter to use; `None` lets uv look for one.
    pub python: Option<&'a Path>,
}

/// What to build a wheel from, and how.
#[derive(Debug, Clone, Copy)]
pub struct BuildRequest<'a> {
    /// A source tree or an sdist.
    pub source: &'a Path,
    /// Directory that the wheel goes to; made if missing.
    pub out_dir: &'a Path,
    /// The interpreter to build with.
    pub python: &'a Path,
    /// `KEY=VALUE` settings for the build backend.
    pub config_settings: &'a [String],
    /// Variables for the build backend.
    pub variables: &'a [(String, String)],
    /// Directories that the build sees besides its own environment.
    pub visible: &'a [PathBuf],
    /// PEP 508 lines that limit what the build uses.
    pub build_constraints: &'a [String],
    /// Where build requirements come from.
    pub index: &'a IndexSettings,
}

/// What to install into a directory, and how.
#[derive(Debug, Clone, Copy)]
pub struct InstallRequest<'a> {
    /// The directory; made if missing.
    pub target: &'a Path,
    /// The interpreter to install for.
    pub python: &'a Path,
    /// PEP 508 lines.
    pub lines: &'a [String],
    /// Whether the lines are all there is to install.
    pub no_dependencies: bool,
    /// PEP 508 lines that limit versions.
    pub constraints: &'a [String],
    /// Keys of `[tool.uv]` that concern builds, since some of it may have to be built.
    pub settings: &'a Table,
    /// Where packages come from.
    pub index: &'a IndexSettings,
}

impl Uv {
    /// `uv export --format pylock.toml` of the lock of the project in `project_dir`; nothing is written.
    ///
    /// # Errors
    /// When there is no lock, it is not understood, or (unless `frozen`) out of date.
    pub fn export_lock(&self, project_dir: &Path, request: &ExportRequest<'_>) -> Result<String, UvError> {
        let settings = without_required_version(project_dir)?;
        let mut process = self
            .process(&["export"])
            .args(settings.arguments())
            .args(["--format", "pylock.toml", "--no-header", "--no-default-groups"])
            .arg(if request.frozen { "--frozen" } else { "--locked" })
            .args(request.package.iter().flat_map(|name| ["--package", name]))
            .args(request.extras.iter().flat_map(|name| ["--extra", name.as_str()]))
            .args(request.groups.iter().flat_map(|name| ["--group", name.as_str()]))
            .env_remove(if request.frozen { "UV_LOCKED" } else { "UV_FROZEN" })
            .cwd(project_dir);
        if request.all_extras {
            process = process.arg("--all-extras");
        }
        if request.all_packages {
            process = process.arg("--all-packages");
        }
        if let Some(python) = request.python {
            process = process.arg("--python").arg(python);
        }
        self.text(&format!("read the lock file of `{}`", project_dir.display()), process)
    }

    /// Whether `uv.lock` in `project_dir` (or its workspace's) fits the project as it is now; nothing is written.
    ///
    /// # Errors
    /// When uv cannot tell, for example because an index does not answer.
    pub fn lock_is_current(&self, project_dir: &Path, python: &Path) -> Result<bool, UvError> {
        let task = format!("check the lock file of `{}`", project_dir.display());
        let settings = without_required_version(project_dir)?;
        let process = self.process(&["lock"]).args(settings.arguments()).arg("--check").arg("--python");
        let process = process.arg(python).env_remove("UV_FROZEN").cwd(project_dir);
        let output = process.output(self.host()).map_err(|error| UvError::judge(&task, error))?;
        if output.status.success() {
            return Ok(true);
        }
        // Source: uv 0.9.8 and 0.13.9 both say so, with exit status 1, which other failures share.
        if output.stderr.contains("needs to be updated") {
            return Ok(false);
        }
        Err(UvError::judge(&task, output.into_error()))
    }

    /// Build a wheel with `uv build`, and give its path in `out_dir`, where it appears whole or not at all.
    ///
    /// The source tree stays as it is, but for what hooks of the project write: setuptools and cargo are given another
    /// place for what they make, and [`Leftovers`] removes the rest. Source: setuptools' `DIST_EXTRA_CONFIG`, a
    /// configuration file that outranks the project's own.
    ///
    /// # Errors
    /// When the backend fails (its output is the cause) or its requirements cannot be had.
    pub fn build_wheel(&self, request: &BuildRequest<'_>) -> Result<PathBuf, UvError> {
        let fail = |action| move |source| UvError::File { action, path: request.out_dir.into(), source };
        let _leftovers = Leftovers::in_tree(request.source);
        std::fs::create_dir_all(request.out_dir).map_err(fail("create"))?;
        let temporary = Scratch::below(request.out_dir).map_err(fail("create"))?;
        let mut process = self
            .process(&["build"])
            .args(["--wheel", "--no-create-gitignore", "--python"])
            .arg(request.python)
            .arg("--out-dir")
            .arg(temporary.path().join("wheel"))
            .args(request.config_settings.iter().flat_map(|pair| ["--config-setting", pair.as_str()]))
            .cwd(temporary.path());
        let elsewhere = setuptools_configuration(temporary.path()).map_err(fail("write"))?;
        process = process.env("DIST_EXTRA_CONFIG", elsewhere).env("PYTHONDONTWRITEBYTECODE", "1");
        // What is compiled for a laptop's own work stays in use; else cargo would make a directory of hundreds of MB.
        if self.host().var("CARGO_TARGET_DIR").is_none() && !request.source.join("target").exists() {
            process = process.env("CARGO_TARGET_DIR", temporary.path().join("target"));
        }
        process = process.envs(request.variables.iter().map(|(name, value)| (name.into(), value.into())));
        process = self.with_visible(process, request.visible);
        if !request.build_constraints.is_empty() {
            let path = temporary.path().join("build-constraints.txt");
            std::fs::write(&path, request.build_constraints.join("\n") + "\n").map_err(fail("write"))?;
            process = process.arg("--build-constraints").arg(&path);
        }
        if self.pip_config().no_index && !request.index.no_index {
            process = process.arg("--no-index");
        }
        process = request.index.add_flags(process).arg(request.source);
        self.run(format!("build a wheel from `{}`", request.source.display()), process)?;
        let built = only_wheel(&temporary.path().join("wheel"))
            .map_err(fail("read"))?
            .ok_or_else(|| UvError::NoWheel { of: request.source.into() })?;
        let path = request.out_dir.join(built.file_name().unwrap_or_default());
        std::fs::rename(&built, &path).map_err(fail("rename"))?;
        Ok(path)
    }

    /// Let a build see packages in `directories`, and the programs that came with them.
    fn with_visible(&self, process: Process, directories: &[PathBuf]) -> Process {
        if directories.is_empty() {
            return process;
        }
        let joined = |first: Vec<PathBuf>, variable: &str| {
            let value = self.host().path_var(variable).unwrap_or_default();
            let rest = std::env::split_paths(&value).filter(|path| !path.as_os_str().is_empty());
            std::env::join_paths(first.into_iter().chain(rest)).unwrap_or_default()
        };
        let programs = directories.iter().map(|directory| directory.join("bin")).collect();
        process
            .env("PYTHONPATH", joined(directories.to_vec(), "PYTHONPATH"))
            .env("PATH", joined(programs, "PATH"))
    }

    /// Where the packages of an interpreter are; `None` if it does not say.
    pub fn site_packages(&self, python: &Path) -> Option<PathBuf> {
        let script = "import sysconfig; print(sysconfig.get_paths()['purelib'])";
        let process = Process::new(self.host(), Purpose::Own, python).args(["-I", "-c", script]);
        let text = process.run(self.host()).ok()?.text().ok()?;
        Some(PathBuf::from(text.trim())).filter(|path| path.is_dir())
    }

    /// Install packages into a directory that is no environment, to be put on `PYTHONPATH`.
    ///
    /// # Errors
    /// When they cannot be resolved, fetched or installed.
    pub fn install_into(&self, request: &InstallRequest<'_>) -> Result<(), UvError> {
        let fail = |action| move |source| UvError::File { action, path: request.target.into(), source };
        std::fs::create_dir_all(request.target).map_err(fail("create"))?;
        let temporary = Scratch::below(request.target).map_err(fail("create"))?;
        let mut process = self
            .process_with(&["pip", "install"], Settings::IndexOnly)
            .arg("--python")
            .arg(request.python)
            .arg("--target")
            .arg(request.target)
            .cwd(temporary.path());
        if request.no_dependencies {
            process = process.arg("--no-deps");
        }
        if !request.constraints.is_empty() {
            let path = temporary.path().join("constraints.txt");
            std::fs::write(&path, request.constraints.join("\n") + "\n").map_err(fail("write"))?;
            process = process.arg("--constraints").arg(&path);
        }
        if self.pip_config().no_index && !request.index.no_index {
            process = process.arg("--no-index");
        }
        // Read as the settings of the directory that uv runs in.
        let settings = temporary.path().join("uv.toml");
        std::fs::write(&settings, request.settings.to_string()).map_err(fail("write"))?;
        let process = request.index.add_flags(process).args(request.lines);
        self.run("install what a build is to see besides its own requirements", process).map(drop)
    }

    /// Make a virtual environment in `dir` that works wherever `dir` is moved to.
    ///
    /// # Errors
    /// When uv cannot.
    pub fn venv(&self, dir: &Path, python: &Path) -> Result<(), UvError> {
        let process = self
            .plain_process(&["venv"])
            .args(["--no-project", "--no-config", "--relocatable", "--python"])
            .arg(python)
            .arg(dir)
            .env_remove("UV_VENV_SEED");
        self.run(format!("make an environment in `{}`", dir.display()), process).map(drop)
    }

    /// Install requirements into the environment that `python` belongs to. What shapes the user's resolutions
    /// (constraints, dates, …) does not count here; where packages come from does.
    ///
    /// # Errors
    /// When they cannot be resolved, fetched or installed.
    pub fn pip_install(&self, python: &Path, arguments: &[impl AsRef<OsStr>]) -> Result<(), UvError> {
        let mut process =
            self.process_with(&["pip", "install"], Settings::IndexOnly).arg("--python").arg(python);
        // Not where the user is: that project's settings are not meant for this environment.
        if let Some(environment) = python.parent().and_then(Path::parent) {
            process = process.cwd(environment);
        }
        if self.pip_config().no_index {
            process = process.arg("--no-index");
        }
        let task = format!("install packages for `{}`", python.display());
        self.run(task, process.args(arguments)).map(drop)
    }
}

/// A project's settings for uv, where they cannot be read as they are.
struct ProjectSettings(Option<Scratch>);

impl ProjectSettings {
    fn arguments(&self) -> Vec<OsString> {
        let file = self.0.as_ref().map(|scratch| scratch.path().join("uv.toml").into_os_string());
        file.into_iter().flat_map(|file| ["--config-file".into(), file]).collect()
    }
}

/// Keys of `[tool.uv]` that uv reads from a pyproject.toml in any case, and refuses in a uv.toml.
const PROJECT_KEYS: [&str; 11] = [
    "build-backend",
    "conflicts",
    "default-groups",
    "dependency-groups",
    "dev-dependencies",
    "environments",
    "managed",
    "package",
    "required-environments",
    "sources",
    "workspace",
];

/// The settings of a project whose `required-version` is about the uv of the people who work on it, and not about this
/// one, which would refuse to run: a copy without that key takes their place. Anything else that is wrong with the
/// files is for uv to say.
fn without_required_version(project_dir: &Path) -> Result<ProjectSettings, UvError> {
    let read = |name: &str| -> Option<Table> {
        crate::bounded_file::read_text(&project_dir.join(name), crate::bounded_file::TEXT_LIMIT_BYTES)
            .ok()?
            .parse()
            .ok()
    };
    let of_pyproject = || read("pyproject.toml")?.get("tool")?.get("uv")?.as_table().cloned();
    let Some(mut table) = read("uv.toml").or_else(of_pyproject) else { return Ok(ProjectSettings(None)) };
    if table.remove("required-version").is_none() {
        return Ok(ProjectSettings(None));
    }
    table.retain(|key, _| !PROJECT_KEYS.contains(&key));
    let absolute = |value: &mut Value| {
        if let Some(path) = value.as_str().filter(|text| !text.contains("://")) {
            *value = lexically_normal(&project_dir.join(path)).to_string_lossy().into_owned().into();
        }
    };
    for key in ["find-links", "index-url", "extra-index-url"] {
        match table.get_mut(key) {
            Some(Value::Array(values)) => values.iter_mut().for_each(absolute),
            Some(value) => absolute(value),
            None => {}
        }
    }
    let indexes = table.get_mut("index").and_then(Value::as_array_mut).into_iter().flatten();
    indexes.filter_map(|index| index.get_mut("url")).for_each(absolute);
    let fail = |source| UvError::File { action: "write", path: std::env::temp_dir(), source };
    let scratch = Scratch::anywhere().map_err(fail)?;
    std::fs::write(scratch.path().join("uv.toml"), table.to_string()).map_err(fail)?;
    Ok(ProjectSettings(Some(scratch)))
}

/// A setuptools configuration that has build and egg-info directories below `directory`.
fn setuptools_configuration(directory: &Path) -> std::io::Result<PathBuf> {
    let (build, metadata) = (directory.join("build"), directory.join("metadata"));
    std::fs::create_dir_all(&build)?;
    std::fs::create_dir_all(&metadata)?;
    let path = directory.join("setuptools.cfg");
    let text =
        format!("[build]\nbuild_base = {}\n[egg_info]\negg_base = {}\n", build.display(), metadata.display());
    std::fs::write(&path, text)?;
    Ok(path)
}

fn only_wheel(dir: &Path) -> std::io::Result<Option<PathBuf>> {
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "whl") {
            return Ok(Some(path));
        }
    }
    Ok(None)
}
