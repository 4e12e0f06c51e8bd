//! Managed Python environments: made once in the cache and used by every later run.
//!
//! An environment is built next to its final path and renamed when it is complete. So a killed run leaves no partial
//! one, and of two runs that build the same one, the second uses the first one's. This works because uv makes it
//! relocatable and we only start `bin/python`, which finds its packages relative to itself.

use super::{Error, Tools};
use crate::cache::CacheError;
use crate::env_vars;
use crate::hex::hex;
use crate::target::PythonVersion;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

/// The release of dagster, dagster-cloud and dagster-cloud-cli for `-m MODULE`, which are released together;
/// [`env_vars::PEXPRESS_DAGSTER_VERSION`] overrides it.
pub const DAGSTER_VERSION: &str = "1.13.27";

/// Pythons for the environment of `-m MODULE`, best first: the middle ones work with the most releases.
const MINORS: [&str; 5] = ["3.11", "3.12", "3.10", "3.13", "3.14"];

/// The packages of an environment, and a readable name.
#[derive(Debug, Clone)]
pub struct EnvironmentRequest {
    /// Start of the directory's name.
    pub name: String,
    /// PEP 508 lines, all pinned: the environment is reused as long as they are the same.
    pub requirements: Vec<String>,
}

impl EnvironmentRequest {
    fn directory_name(&self, python: Option<PythonVersion>) -> String {
        let mut hash = Sha256::new();
        for line in &self.requirements {
            hash.update(line.as_bytes());
            hash.update(b"\n");
        }
        let python = python.map(|version| format!("-py{version}")).unwrap_or_default();
        format!("{}{python}-{}", self.name, &hex(hash.finalize())[..12])
    }
}

impl Tools {
    /// The interpreter of the environment with dagster's command-line programs; made at first use.
    ///
    /// # Errors
    /// When there is no Python, or the packages cannot be installed.
    pub fn dagster_environment(&self) -> Result<PathBuf, Error> {
        let version = self.host().var(env_vars::PEXPRESS_DAGSTER_VERSION).unwrap_or(DAGSTER_VERSION).trim();
        let requirements = ["dagster", "dagster-cloud", "dagster-cloud-cli"];
        let request = EnvironmentRequest {
            name: format!("dagster-{version}"),
            requirements: requirements.map(|name| format!("{name}=={version}")).to_vec(),
        };
        self.environment(&request, None)
    }

    /// The interpreter of an environment with these packages; made at first use.
    ///
    /// With `python` it has that version, otherwise any suitable one that is available when it is made.
    ///
    /// # Errors
    /// When there is no such Python, or the packages cannot be installed.
    pub fn environment(
        &self,
        request: &EnvironmentRequest,
        python: Option<PythonVersion>,
    ) -> Result<PathBuf, Error> {
        let parent = self.cache().dir("environments")?;
        let directory = parent.join(request.directory_name(python));
        let interpreter = directory.join("bin/python");
        if self.cache().claim(&directory) && interpreter.exists() {
            return Ok(interpreter);
        }
        self.host().note(format!("creating the environment `{}` (first use only)", request.name));
        // Old environments are deleted where a new one is made, so that runs without one never wait for it.
        self.cache().sweep(self.host().clock.now());
        let executable = match python {
            Some(version) => self.python(version)?,
            None => self.any_python()?,
        };
        self.build_environment(request, &executable, &directory)?;
        Ok(interpreter)
    }

    fn build_environment(
        &self,
        request: &EnvironmentRequest,
        python: &Path,
        directory: &Path,
    ) -> Result<(), Error> {
        let fail = |action| {
            let path = directory.to_path_buf();
            move |source| CacheError { action, path, source }
        };
        let temporary = self.cache().scratch("environments")?;
        let built = temporary.path().join("environment");
        // Compiled now, with all cores: if PYTHONDONTWRITEBYTECODE is set, as in many images, Python would compile
        // dagster again on each start, which takes several seconds.
        let arguments = [&["--compile-bytecode".to_string()], request.requirements.as_slice()].concat();
        let uv = self.uv()?;
        uv.venv(&built, python)
            .and_then(|()| uv.pip_install(&built.join("bin/python"), &arguments))
            .map_err(|source| Error::Environment { name: request.name.clone(), source })?;
        if directory.symlink_metadata().is_ok() && !directory.join("bin/python").exists() {
            // Its Python was removed from this machine.
            std::fs::rename(directory, temporary.path().join("old")).map_err(fail("replace"))?;
        }
        match std::fs::rename(&built, directory) {
            Err(_) if directory.join("bin/python").exists() => Ok(()), // another run was faster
            result => Ok(result.map_err(fail("rename"))?),
        }
    }

    /// A Python for `-m MODULE`: the first one found, or one that uv installs. Symbolic links are followed, so that the
    /// environment does not break when `python3` becomes another version.
    fn any_python(&self) -> Result<PathBuf, Error> {
        let versions = MINORS.iter().filter_map(|minor| minor.parse().ok());
        let found = versions.into_iter().find_map(|version| self.pythons.find(version));
        match found {
            Some(python) => Ok(python.executable.canonicalize().unwrap_or(python.executable)),
            None => self.python(PythonVersion::DEFAULT),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directory_follows_the_requirements_and_the_python() {
        let of = |lines: &[&str], python: Option<&str>| {
            let requirements = lines.iter().map(|line| (*line).to_string()).collect();
            let request = EnvironmentRequest { name: "x".into(), requirements };
            request.directory_name(python.map(|version| version.parse().unwrap()))
        };
        assert_eq!(of(&["a==1"], None), of(&["a==1"], None));
        assert_ne!(of(&["a==1"], None), of(&["a==2"], None));
        assert_ne!(of(&["a==1", "b==1"], None), of(&["a==1b==1"], None));
        assert!(of(&["a==1"], Some("3.12")).starts_with("x-py3.12-"));
    }
}
