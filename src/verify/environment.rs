//! Unpacks a PEX into a virtual environment with pex's own tools and the agent's command line.

use super::VerifyError;
use crate::child_env::Purpose;
use crate::env_vars;
use crate::file_lock;
use crate::host::Host;
use crate::scratch::Scratch;
use crate::target::PythonVersion;
use crate::tools::{Process, Tools};
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// An unpacked PEX.
#[derive(Debug)]
pub struct Environment {
    /// The virtual environment.
    pub directory: PathBuf,
    /// Its site-packages.
    pub site_packages: PathBuf,
}

/// File that marks an environment in the cache as complete.
const COMPLETE: &str = ".pexpress-complete";

impl Environment {
    /// Unpack `pex` into `directory`, which must not exist.
    ///
    /// # Errors
    /// When pex's tools refuse the file.
    pub fn unpack(
        pex: &Path,
        directory: &Path,
        python: PythonVersion,
        tools: &Tools,
    ) -> Result<Environment, VerifyError> {
        let temp_dir = tools.host().temp_dir();
        let cache = Scratch::shared(&temp_dir).map_err(|source| VerifyError::File {
            action: "create",
            path: temp_dir,
            source,
        })?;
        let process = Process::new(tools.host(), Purpose::Own, tools.pex_tools(python)?)
            .args(["-m", "pex.tools"])
            .arg(pex)
            .args(["venv", "--collisions-ok", "--non-hermetic-scripts"])
            .arg(directory)
            .env("PEX_ROOT", cache.path())
            // With `-m`, modules in the working directory hide Python's own, such as a `types.py`.
            .cwd(cache.path());
        process
            .run(tools.host())
            .map_err(|source| VerifyError::Unpack { file: pex.to_path_buf(), source })?;
        Environment::at(directory)
    }

    /// The environment in `directory`.
    fn at(directory: &Path) -> Result<Environment, VerifyError> {
        let lib = directory.join("lib");
        let failed = |source| VerifyError::File { action: "read", path: lib.clone(), source };
        let mut inside =
            fs::read_dir(&lib).map_err(failed)?.flatten().map(|entry| entry.path().join("site-packages"));
        let found =
            inside.find(|path| path.is_dir()).ok_or_else(|| failed(std::io::ErrorKind::NotFound.into()))?;
        Ok(Environment { directory: directory.to_path_buf(), site_packages: found })
    }
}

/// The environment of a deps PEX from the cache, unpacked there if necessary. Processes that need the same one wait.
///
/// # Errors
/// When it cannot be unpacked or the cache cannot be written.
pub fn kept(pex: &Path, python: PythonVersion, tools: &Tools) -> Result<Environment, VerifyError> {
    let name = pex.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let parent = tools.cache().dir(format!("environments/verify-{python}"))?;
    let directory = parent.join(&name);
    // Next to the directory, as the directory is removed and created under the lock.
    let lock_path = parent.join(format!("{name}.lock"));
    let _lock =
        locked(&lock_path).map_err(|source| VerifyError::File { action: "lock", path: lock_path, source })?;
    tools.cache().claim(&directory);
    let marker = directory.join(COMPLETE);
    if marker.is_file() {
        return Environment::at(&directory);
    }
    // Without the marker, an earlier run was killed while it unpacked.
    if directory.exists() {
        let failed = |source| VerifyError::File { action: "remove", path: directory.clone(), source };
        fs::remove_dir_all(&directory).map_err(failed)?;
    }
    let environment = Environment::unpack(pex, &directory, python, tools)?;
    fs::write(&marker, "").map_err(|source| VerifyError::File { action: "write", path: marker, source })?;
    Ok(environment)
}

/// An exclusive lock that other processes wait for, held until it is dropped.
fn locked(path: &Path) -> std::io::Result<File> {
    let file = File::create(path)?;
    match file_lock::exclusive(&file) {
        Err(error) if error.kind() == std::io::ErrorKind::Unsupported => Ok(file),
        locked => locked.map(|()| file),
    }
}

/// Directories joined for `PYTHONPATH`.
pub fn joined<'a>(directories: impl IntoIterator<Item = &'a PathBuf>) -> OsString {
    std::env::join_paths(directories).unwrap_or_default()
}

/// The `bin` directories of the environments, followed by the host's own search path.
pub fn search_path<'a>(environments: impl IntoIterator<Item = &'a Environment>, host: &Host) -> OsString {
    let bins = environments.into_iter().map(|environment| environment.directory.join("bin"));
    let host_path = host.path_var(env_vars::PATH).unwrap_or_default();
    std::env::join_paths(bins.chain(std::env::split_paths(&host_path))).unwrap_or_default()
}
