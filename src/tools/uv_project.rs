//! uv's calls on a project, a source tree or an environment: lock files, wheels, virtual environments.

use super::leftovers::Leftovers;
use super::uv::{Heed, Uv, UvError};
use super::uv_compile::IndexSettings;
use crate::scratch::Scratch;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

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
    /// PEP 508 lines that limit what the build uses.
    pub build_constraints: &'a [String],
    /// Where build requirements come from.
    pub index: &'a IndexSettings,
}

impl Uv {
    /// `uv export --format pylock.toml` of the lock of the project in `project_dir`; nothing is written.
    ///
    /// # Errors
    /// When there is no lock, it is not understood, or (unless `frozen`) out of date.
    pub fn export_lock(&self, project_dir: &Path, request: &ExportRequest<'_>) -> Result<String, UvError> {
        let mut process = self
            .process(&["export"])
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
    pub fn lock_is_current(&self, project_dir: &Path) -> Result<bool, UvError> {
        let task = format!("check the lock file of `{}`", project_dir.display());
        let process = self.process(&["lock"]).arg("--check").env_remove("UV_FROZEN").cwd(project_dir);
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
        let _leftovers = Leftovers::of(request.source);
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
            self.process_heeding(&["pip", "install"], Heed::IndexOnly).arg("--python").arg(python);
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
