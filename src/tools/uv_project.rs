//! uv calls for a project, a source directory or an environment: lock files, wheels, virtual environments.

use super::leftovers::Leftovers;
use super::process::Process;
use super::uv::{Settings, Uv};
use super::uv_compile::IndexSettings;
use super::uv_error::UvError;
use crate::child_env::Purpose;
use crate::host::Host;
use crate::paths::lexically_normal;
use crate::scratch::Scratch;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// What to export from a `uv.lock`.
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
    /// PEP 735 dependency groups. The project's default groups are not included by default.
    pub groups: &'a [String],
    /// Use `uv.lock` without checking it. Otherwise an outdated one is an error.
    pub frozen: bool,
    /// Interpreter to use; `None` lets uv find one.
    pub python: Option<&'a Path>,
}

/// A wheel to build.
#[derive(Debug, Clone, Copy)]
pub struct BuildRequest<'a> {
    /// A source tree or an sdist.
    pub source: &'a Path,
    /// Directory for the wheel, created if missing.
    pub out_dir: &'a Path,
    /// The interpreter to build with.
    pub python: &'a Path,
    /// `KEY=VALUE` settings for the build backend.
    pub config_settings: &'a [String],
    /// Variables for the build backend.
    pub variables: &'a [(String, String)],
    /// Directories with packages that the build sees in addition to its own environment.
    pub visible: &'a [PathBuf],
    /// PEP 508 lines that limit versions for the build.
    pub build_constraints: &'a [String],
    /// Where build requirements come from.
    pub index: &'a IndexSettings,
}

/// Packages to install into a directory.
#[derive(Debug, Clone, Copy)]
pub struct InstallRequest<'a> {
    /// The directory, created if missing.
    pub target: &'a Path,
    /// The interpreter to install for.
    pub python: &'a Path,
    /// PEP 508 lines.
    pub lines: &'a [String],
    /// Install only the lines themselves, without their dependencies.
    pub no_dependencies: bool,
    /// PEP 508 lines that limit versions.
    pub constraints: &'a [String],
    /// Keys of `[tool.uv]` about builds, because some packages may have to be built.
    pub settings: &'a Table,
    /// Where packages come from.
    pub index: &'a IndexSettings,
}

impl Uv {
    /// `uv export --format pylock.toml` of the lock of the project in `project_dir`. Nothing is written.
    ///
    /// # Errors
    /// When there is no lock, it cannot be read, or (unless `frozen`) it is outdated.
    pub fn export_lock(&self, project_dir: &Path, request: &ExportRequest<'_>) -> Result<String, UvError> {
        let settings = without_required_version(project_dir, self.host())?;
        let mut process = self
            .process(&["export"])
            .args(settings.arguments())
            .args(["--format", "pylock.toml", "--no-header", "--no-default-groups"])
            .arg(if request.frozen { "--frozen" } else { "--locked" })
            .args(request.package.iter().flat_map(|name| ["--package", name]))
            .args(request.extras.iter().flat_map(|name| ["--extra", name.as_str()]))
            .args(request.groups.iter().flat_map(|name| ["--group", name.as_str()]))
            // uv refuses both at once.
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

    /// Whether `uv.lock` in `project_dir` (or in its workspace) matches the project. Nothing is written.
    ///
    /// # Errors
    /// When uv cannot tell, for example because an index does not answer.
    pub fn lock_is_current(&self, project_dir: &Path, python: &Path) -> Result<bool, UvError> {
        let task = format!("check the lock file of `{}`", project_dir.display());
        let settings = without_required_version(project_dir, self.host())?;
        let process = self.process(&["lock"]).args(settings.arguments()).arg("--check").arg("--python");
        let process = process.arg(python).env_remove("UV_FROZEN").cwd(project_dir);
        let output = process.output(self.host()).map_err(|error| UvError::judge(&task, error))?;
        if output.status.success() {
            return Ok(true);
        }
        // Checked by text, because other failures have exit status 1 too. Source: uv 0.9.8 and 0.13.9.
        if output.stderr.contains("needs to be updated") {
            return Ok(false);
        }
        Err(UvError::judge(&task, output.into_error()))
    }

    /// Build a wheel with `uv build`. Returns its path in `out_dir`, where it appears complete or not at all.
    ///
    /// The source directory does not change, except for files that hooks of the project write: setuptools and cargo get
    /// other directories for their output, and [`Leftovers`] removes the rest. Source: setuptools' `DIST_EXTRA_CONFIG`,
    /// a configuration file that takes precedence over the project's own.
    ///
    /// # Errors
    /// When the backend fails (its output is the cause) or its requirements cannot be installed.
    pub fn build_wheel(&self, request: &BuildRequest<'_>) -> Result<PathBuf, UvError> {
        let fail = |action| move |source| UvError::File { action, path: request.out_dir.into(), source };
        // Removes on drop what backends leave in the user's directory, also after a failure.
        let _leftovers = Leftovers::in_tree(request.source);
        std::fs::create_dir_all(request.out_dir).map_err(fail("create"))?;
        // On the same file system as `out_dir`, for the rename.
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
        // An existing `target` directory is reused on a developer's machine. Otherwise cargo would leave one with
        // hundreds of MB.
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

    /// Make packages in `directories` visible to a build, with their programs.
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

    /// Directory with the packages of an interpreter; `None` if it does not answer.
    pub fn site_packages(&self, python: &Path) -> Option<PathBuf> {
        let script = "import sysconfig; print(sysconfig.get_paths()['purelib'])";
        let process = Process::new(self.host(), Purpose::Own, python).args(["-I", "-c", script]);
        let text = process.run(self.host()).ok()?.text().ok()?;
        Some(PathBuf::from(text.trim())).filter(|path| path.is_dir())
    }

    /// Install packages into a plain directory for `PYTHONPATH`.
    ///
    /// # Errors
    /// When they cannot be resolved, downloaded or installed.
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
        // uv reads it as the settings of its working directory.
        let settings = temporary.path().join("uv.toml");
        std::fs::write(&settings, request.settings.to_string()).map_err(fail("write"))?;
        let process = request.index.add_flags(process).args(request.lines);
        self.run("install the additional build requirements", process).map(drop)
    }

    /// Make a virtual environment in `dir` that still works after `dir` is moved.
    ///
    /// # Errors
    /// When uv fails.
    pub fn venv(&self, dir: &Path, python: &Path) -> Result<(), UvError> {
        let process = self
            .plain_process(&["venv"])
            .args(["--no-project", "--no-config", "--relocatable", "--python"])
            .arg(python)
            .arg(dir)
            // Seeding would install pip, which is not needed.
            .env_remove("UV_VENV_SEED");
        self.run(format!("create an environment in `{}`", dir.display()), process).map(drop)
    }

    /// Install requirements into the environment of `python`. The user's package sources apply, but not settings for
    /// resolutions (constraints, dates, …).
    ///
    /// # Errors
    /// When they cannot be resolved, downloaded or installed.
    pub fn pip_install(&self, python: &Path, arguments: &[impl AsRef<OsStr>]) -> Result<(), UvError> {
        let mut process =
            self.process_with(&["pip", "install"], Settings::IndexOnly).arg("--python").arg(python);
        // Not in the user's directory: the settings of that project are not meant for this environment.
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

/// A changed copy of a project's uv settings, if one is needed.
struct ProjectSettings(Option<Scratch>);

impl ProjectSettings {
    fn arguments(&self) -> Vec<OsString> {
        let file = self.0.as_ref().map(|scratch| scratch.path().join("uv.toml").into_os_string());
        file.into_iter().flat_map(|file| ["--config-file".into(), file]).collect()
    }
}

/// Keys of `[tool.uv]` that uv always reads from pyproject.toml and refuses in a uv.toml.
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

/// The settings of a project without `required-version`, which is meant for the uv of its developers and would make
/// this uv refuse to run. If the key is set, uv reads a copy without it. Other errors in the files are reported by uv.
fn without_required_version(project_dir: &Path, host: &Host) -> Result<ProjectSettings, UvError> {
    let read = |name: &str| -> Option<Table> {
        crate::bounded_file::read_text(&project_dir.join(name), crate::bounded_file::TEXT_LIMIT_BYTES)
            .ok()?
            .parse()
            .ok()
    };
    let from_pyproject = || read("pyproject.toml")?.get("tool")?.get("uv")?.as_table().cloned();
    let Some(mut table) = read("uv.toml").or_else(from_pyproject) else { return Ok(ProjectSettings(None)) };
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
    let temp_dir = host.temp_dir();
    let fail = |source| UvError::File { action: "write", path: temp_dir.clone(), source };
    let scratch = Scratch::shared(&temp_dir).map_err(fail)?;
    std::fs::write(scratch.path().join("uv.toml"), table.to_string()).map_err(fail)?;
    Ok(ProjectSettings(Some(scratch)))
}

/// A setuptools configuration with build and egg-info directories below `directory`.
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
