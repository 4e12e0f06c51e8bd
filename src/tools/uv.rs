//! Typed calls of `uv`. No other file builds its command lines.
//!
//! The user's own settings for uv apply: `UV_*` variables are passed on (with absolute paths, because uv runs in other
//! directories), and uv reads the `uv.toml` files of user and system. Settings for pip are passed on as well
//! ([`PipConfig`]). uv trusts the system's certificates unless the user turned that off.

use super::pip_config::PipConfig;
use super::process::{Output, Process, ProcessError};
use super::python::Pythons;
use super::uv_error::UvError;
use super::uv_pins;
use super::uv_version::UvVersion;
use crate::child_env::{Purpose, is_index};
use crate::host::Host;
use crate::target::PythonVersion;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

/// The executable, which is new enough.
#[derive(Clone)]
pub struct Uv {
    program: PathBuf,
    version: UvVersion,
    host: Host,
    pip: PipConfig,
    pythons: Pythons,
}

/// The settings that a call of uv uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Settings {
    /// All of the user's settings.
    User,
    /// Only the user's package sources, because the packages are our own choice.
    IndexOnly,
}

/// Variables that influence a resolution. They are meant for the user's project and not for our own tools.
const RESOLUTION_VARS: [&str; 17] = [
    "UV_CONSTRAINT",
    "UV_OVERRIDE",
    "UV_EXCLUDE",
    "UV_BUILD_CONSTRAINT",
    "UV_EXCLUDE_NEWER",
    "UV_RESOLUTION",
    "UV_PRERELEASE",
    "UV_FORK_STRATEGY",
    "UV_REQUIRE_HASHES",
    "UV_NO_BINARY",
    "UV_NO_BINARY_PACKAGE",
    "UV_NO_BUILD",
    "UV_NO_BUILD_PACKAGE",
    "UV_NO_BUILD_ISOLATION",
    "UV_TORCH_BACKEND",
    "UV_LOCKED",
    "UV_FROZEN",
];

/// Variables with one path, or several separated by white space.
const PATH_VARS: [&str; 9] = [
    "UV_CONSTRAINT",
    "UV_OVERRIDE",
    "UV_EXCLUDE",
    "UV_BUILD_CONSTRAINT",
    "UV_CONFIG_FILE",
    "UV_CACHE_DIR",
    "UV_PYTHON_INSTALL_DIR",
    "UV_CREDENTIALS_DIR",
    "SSL_CERT_FILE",
];

/// Variables that would make uv work in another directory.
const DIRECTORY_VARS: [&str; 4] = ["UV_WORKING_DIR", "UV_WORKING_DIRECTORY", "UV_PROJECT", "UV_ENV_FILE"];

impl Uv {
    /// The uv at `program`. Runs it to get its version.
    ///
    /// # Errors
    /// When it does not run or prints no version.
    pub(super) fn at(program: PathBuf, host: &Host, pythons: &Pythons) -> Result<Uv, ProcessError> {
        let output = Process::new(host, Purpose::Uv, &program).subcommand(&["--version"]).run(host)?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let version = UvVersion::parse(&text)
            .ok_or_else(|| output.unusable(format!("`{}` is not a version of uv", text.trim())))?;
        Ok(Uv::of_version(version, program, host, pythons))
    }

    /// The pinned uv at `program`, which is not run to get its version.
    pub(super) fn pinned(program: PathBuf, host: &Host, pythons: &Pythons) -> Uv {
        Uv::of_version(uv_pins::VERSION, program, host, pythons)
    }

    fn of_version(version: UvVersion, program: PathBuf, host: &Host, pythons: &Pythons) -> Uv {
        let (host, pip, pythons) = (host.clone(), PipConfig::read(host), pythons.clone());
        Uv { program, version, host, pip, pythons }
    }

    /// Where it is.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Its release.
    pub fn version(&self) -> UvVersion {
        self.version
    }

    /// The user's settings for pip.
    pub fn pip_config(&self) -> &PipConfig {
        &self.pip
    }

    /// A call of `uv WORDS…` to complete, for commands without a function here.
    pub fn process(&self, words: &[&str]) -> Process {
        self.process_with(words, Settings::User)
    }

    pub(super) fn process_with(&self, words: &[&str], settings: Settings) -> Process {
        self.process_as(Purpose::Fetch, words, settings)
    }

    /// A call that neither downloads packages nor runs foreign code, and so gets fewer variables.
    pub(super) fn plain_process(&self, words: &[&str]) -> Process {
        self.process_as(Purpose::Uv, words, Settings::IndexOnly)
    }

    fn process_as(&self, purpose: Purpose, words: &[&str], settings: Settings) -> Process {
        let own = self.env().into_iter();
        let own = own.filter(|(name, _)| purpose == Purpose::Fetch || !is_index(&name.to_string_lossy()));
        let mut process = Process::new(&self.host, purpose, &self.program).subcommand(words).envs(own);
        for name in DIRECTORY_VARS {
            process = process.env_remove(name);
        }
        // For our own packages: the user's constraints are about the project's.
        if settings == Settings::IndexOnly {
            for name in RESOLUTION_VARS {
                process = process.env_remove(name);
            }
        }
        process.args(["--no-progress", "--color", "never"])
    }

    /// Run `process` and classify its failure.
    pub(super) fn run(&self, task: impl Into<String>, process: Process) -> Result<Output, UvError> {
        process.run(&self.host).map_err(|error| UvError::judge(task, error).with_proxy(&self.host))
    }

    /// stdout of `process` as text.
    pub(super) fn text(&self, task: &str, process: Process) -> Result<String, UvError> {
        self.run(task, process)?.text().map_err(|source| UvError::Tool { task: task.into(), source })
    }

    pub(super) fn pythons(&self) -> &Pythons {
        &self.pythons
    }

    pub(super) fn host(&self) -> &Host {
        &self.host
    }

    /// Variables for every call, in addition to those of this process.
    ///
    /// Both the old and the new name of "trust the system's certificates" are set: releases before 0.11 only know the
    /// old one.
    fn env(&self) -> Vec<(OsString, OsString)> {
        // Wrapped lines would hide the words that errors are classified by.
        let mut env: Vec<(OsString, OsString)> = vec![("UV_NO_WRAP".into(), "1".into())];
        if ["UV_SYSTEM_CERTS", "UV_NATIVE_TLS"].iter().all(|name| self.host.var(name).is_none()) {
            // uv's own roots do not know the certificate authority of a company proxy.
            env.push(("UV_NATIVE_TLS".into(), "true".into()));
            env.push(("UV_SYSTEM_CERTS".into(), "true".into()));
        }
        let pip = self.pip.uv_env(&self.host).into_iter();
        env.extend(pip.map(|(name, value)| (name.into(), value.into())));
        for name in PATH_VARS {
            let Some(value) = self.host.var(name) else { continue };
            // uv may run in another directory than this process.
            let paths = value.split_whitespace().map(|path| self.host.absolute(Path::new(path)));
            let joined = paths.map(|path| path.into_os_string()).collect::<Vec<_>>().join(" ".as_ref());
            env.push((name.into(), joined));
        }
        env
    }

    /// The interpreter that uv finds for `python` on this machine: on `PATH`, or managed by uv. If there is none, uv
    /// installs one, unless the user forbids that (`UV_PYTHON_DOWNLOADS`).
    ///
    /// # Errors
    /// When there is none and none can be installed.
    pub fn find_python(&self, python: PythonVersion) -> Result<PathBuf, UvError> {
        let version = python.to_string();
        let find = || {
            self.plain_process(&["python", "find"]).args([
                "--no-project",
                "--system",
                // The user's project must not decide which Python the target needs.
                "--no-config",
                &version,
            ])
        };
        let found = find().output(&self.host).map_err(|error| UvError::judge("look for Pythons", error))?;
        let text = if found.status.success() {
            String::from_utf8_lossy(&found.stdout).into_owned()
        } else {
            let task = format!("find or install Python {version}");
            self.host.note(format!("installing Python {version} with uv"));
            self.run(&task, self.plain_process(&["python", "install"]).args(["--no-bin", &version]))?;
            self.text(&task, find())?
        };
        Ok(PathBuf::from(text.trim()))
    }
}

impl fmt::Debug for Uv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Uv({} at {})", self.version, self.program.display())
    }
}
