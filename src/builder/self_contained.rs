//! Finds local packages that build to the same wheel as long as their files are the same, so that the wheel may be
//! cached.
//!
//! A build backend may run anything: read a parent directory, the clock, Git. A wheel is cached only if three
//! conditions hold. Otherwise it is built each time, because an outdated wheel would deploy the wrong code:
//!
//! 1. every setting for the backend is known to stay within the package's directory ([`rules`]);
//! 2. all files and links of the directory were read, including those that a `.pexignore` or our list of names
//!    excludes, because backends know neither ([`files`]);
//! 3. each file in the wheel is one of them ([`SelfContained::made`]).

mod files;
mod rules;

use crate::child_env::Purpose;
use crate::hex::hex;
use crate::project::{LocalPackage, ResolveSettings};
use crate::target::PythonVersion;
use crate::tools::{Process, Tools};
use crate::wheel::{Archive, Member, WheelError};
use files::Files;
use sha2::{Digest, Sha256};
use std::path::Path;

/// Prefixes of the variables that the backends in [`rules`] read.
const BACKEND_VARS: [&str; 8] =
    ["HATCH_", "PDM_", "POETRY_", "FLIT_", "SETUPTOOLS_", "DISTUTILS_", "PYTHON", "SOURCE_DATE_EPOCH"];

/// Files that backends write into `.dist-info` themselves, from pyproject.toml and the files that it names.
const GENERATED: [&str; 7] = [
    "METADATA",
    "WHEEL",
    "RECORD",
    "entry_points.txt",
    "top_level.txt",
    "namespace_packages.txt",
    "zip-safe",
];

/// A package with a wheel that depends only on the files of its directory, as read at one moment.
#[derive(Debug)]
pub struct SelfContained {
    /// Key of the wheel: lower-case hex SHA-256 of everything that it depends on.
    pub key: String,
    files: Files,
}

/// Read a package. `None` when its build is not known to be self-contained, or its directory is too large.
pub fn read(
    package: &LocalPackage,
    backend: &str,
    python: PythonVersion,
    settings: &ResolveSettings,
    tools: &Tools,
) -> Option<SelfContained> {
    let directory = package.directory.canonicalize().ok()?;
    if !rules::stays_inside(&directory, backend, settings) {
        return None;
    }
    let files = Files::read(&directory)?;
    let mut digest = Sha256::new();
    let name = package.name.as_deref().unwrap_or_default();
    // Raise the number when this module reads more or less of a package.
    digest.update(format!("local package 2\n{backend}\n{python}\n{name}\n"));
    // Backends may write the path of the directory into the wheel.
    for path in [&package.directory, &directory] {
        digest.update(path.as_os_str().as_encoded_bytes());
        digest.update("\n");
    }
    // Maps, lists and strings can always be written as JSON.
    digest.update(serde_json::to_string(settings).unwrap_or_default());
    for (name, value) in tools.host().full_env() {
        let text = name.to_string_lossy();
        if BACKEND_VARS.iter().any(|start| text.starts_with(start)) {
            digest.update(format!("\n{text}={}", value.to_string_lossy()));
        }
    }
    digest.update(ignored_by_version_control(&directory, backend, tools)?);
    files.update(&mut digest);
    let key = hex(digest.finalize());
    Some(SelfContained { key, files })
}

impl SelfContained {
    /// Whether a wheel was made only from these files: each of its files has the content of one of them, and its path
    /// or the end of its path (`src/shop/a.py` is `shop/a.py` in a wheel).
    ///
    /// # Errors
    /// When the wheel cannot be read.
    pub fn made(&self, wheel: &Path) -> Result<bool, WheelError> {
        let archive = Archive::open(wheel)?;
        let mut reader = archive.reader()?;
        for member in archive.members().iter().filter(|member| !crate::pex::is_bytecode(&member.name)) {
            let Some(path) = path_in_package(member) else { continue };
            let mut digest = Sha256::new();
            reader.content::<WheelError>(&member.name, &member.data, |piece| {
                digest.update(piece);
                Ok(())
            })?;
            if !self.files.have(path, &digest.finalize().into()) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// The path that a member should come from, or at least its end; `None` for files that backends write themselves.
fn path_in_package(member: &Member) -> Option<&str> {
    let Some((_, inside)) = member.name.split_once(".dist-info/") else { return Some(&member.name) };
    // Licence files are directly there, or in `licenses/` (PEP 639).
    (!GENERATED.contains(&inside)).then(|| inside.strip_prefix("licenses/").unwrap_or(inside))
}

/// The files that decide what version control ignores, as far as backends respect it.
///
/// Hatchling reads the nearest `.gitignore` or `.hgignore` up to the top of the repository; Poetry asks git. `None`
/// when git fails. Sources: hatchling's `builders/config.py`; poetry-core's `vcs/__init__.py`.
fn ignored_by_version_control(directory: &Path, backend: &str, tools: &Tools) -> Option<Vec<u8>> {
    let mut said = Vec::new();
    for (level, above) in directory.ancestors().enumerate() {
        for name in [".gitignore", ".hgignore", ".git", ".hg"] {
            let path = above.join(name);
            if path.exists() {
                said.extend(format!("\n{level} {name}\n").bytes());
            }
            // Those in the directory itself are among its files.
            if level > 0 && path.is_file() {
                said.extend(std::fs::read(&path).ok()?);
            }
        }
    }
    if backend.starts_with("poetry.") {
        // Poetry asks Mercurial here, which this function does not do.
        if directory.ancestors().any(|above| above.join(".hg").exists()) {
            return None;
        }
        if directory.ancestors().any(|above| above.join(".git").exists()) {
            let git = Process::new(tools.host(), Purpose::Git, "git").cwd(directory).args([
                "ls-files",
                "--others",
                "--ignored",
                "--exclude-standard",
                "-z",
            ]);
            said.extend(git.run(tools.host()).ok()?.stdout);
        }
    }
    Some(said)
}

#[cfg(test)]
#[cfg(unix)]
mod tests;
