//! Which local packages build to the same wheel whenever their files are the same, so that the wheel may be kept.
//!
//! A build backend may run anything: read a parent directory, the clock, Git. So a wheel is kept only for packages
//! that declare a backend known to look at nothing but the package's own files, and no plugin, hook or `setup.py`
//! beside it. Everything else is built each time.

use crate::build::working_directory::{self, Tree};
use crate::target::PythonVersion;
use sha2::{Digest, Sha256};
use std::fs;
use std::io::{self, Read};
use std::path::Path;

/// Distributions that such a package may name in `build-system.requires`.
const PLAIN_REQUIRES: [&str; 7] =
    ["hatchling", "flit-core", "poetry-core", "uv-build", "pdm-backend", "setuptools", "wheel"];

/// `build-system.build-backend` of such a package.
const PLAIN_BACKENDS: [&str; 6] = [
    "hatchling.build",
    "flit_core.buildapi",
    "poetry.core.masonry.api",
    "uv_build",
    "pdm.backend",
    "setuptools.build_meta",
];

/// Files whose presence means that building runs the user's own code.
const CODE_FILES: [&str; 3] = ["setup.py", "hatch_build.py", "build.py"];

/// Words in a pyproject.toml that mean that something beyond the package's files is looked at, or its code run.
const OUTWARD_WORDS: [&str; 7] =
    ["hooks", "scm", "vcs", "\"../", "'../", "backend-path", "[tool.poetry.build"];

/// The digest that a kept wheel of this package is named by; `None` when its build is not known to be self-contained.
///
/// # Errors
/// When a file of the package cannot be read.
pub fn digest(directory: &Path, backend: &str, python: PythonVersion) -> io::Result<Option<String>> {
    let Ok(pyproject) = fs::read_to_string(directory.join("pyproject.toml")) else { return Ok(None) };
    if !is_self_contained(directory, &pyproject, backend) {
        return Ok(None);
    }
    let Ok(tree) = working_directory::list(directory, &[]) else { return Ok(None) };
    if !tree.outside.is_empty() {
        return Ok(None);
    }
    hash(directory, &tree, backend, python).map(Some)
}

fn is_self_contained(directory: &Path, pyproject: &str, backend: &str) -> bool {
    if !PLAIN_BACKENDS.contains(&backend) || CODE_FILES.iter().any(|file| directory.join(file).exists()) {
        return false;
    }
    if OUTWARD_WORDS.iter().any(|word| pyproject.contains(word)) {
        return false;
    }
    let requires = toml::from_str::<toml::Table>(pyproject).ok().and_then(|table| {
        let requires = table.get("build-system")?.get("requires")?.as_array()?;
        requires.iter().map(|line| line.as_str().and_then(distribution_name)).collect::<Option<Vec<_>>>()
    });
    requires.is_some_and(|requires| requires.iter().all(|name| PLAIN_REQUIRES.contains(&name.as_str())))
}

fn distribution_name(line: &str) -> Option<String> {
    crate::wheel::requirement::check(line).ok()?;
    let requirement: pep508_rs::Requirement = line.parse().ok()?;
    Some(requirement.name.to_string())
}

/// Digest of names, modes and contents, of what decides the build besides, and of the ignore files above the package
/// up to its repository's top, which some backends heed.
fn hash(directory: &Path, tree: &Tree, backend: &str, python: PythonVersion) -> io::Result<String> {
    let mut digest = Sha256::new();
    digest.update(format!("local package 1\n{backend}\n{python}\n"));
    for (name, file) in &tree.files {
        digest.update(format!("{name}\n{}\n", file.executable));
        update_with_file(&mut digest, &file.source)?;
    }
    for above in directory.ancestors().skip(1) {
        for name in [".gitignore", ".hgignore"] {
            let file = above.join(name);
            if file.is_file() {
                update_with_file(&mut digest, &file)?;
            }
        }
        if above.join(".git").exists() {
            break;
        }
    }
    Ok(digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The content of a file, preceded by its length so that neighbours cannot be confused.
fn update_with_file(digest: &mut Sha256, path: &Path) -> io::Result<()> {
    let mut file = fs::File::open(path)?;
    digest.update(file.metadata()?.len().to_le_bytes());
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(()),
            count => digest.update(&buffer[..count]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &str = "[build-system]\nrequires = ['hatchling>=1.20']\nbuild-backend = 'hatchling.build'\n[project]\nname = 'a'\n";

    fn digest_of(pyproject: &str, files: &[(&str, &str)]) -> Option<String> {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("pyproject.toml"), pyproject).unwrap();
        for (name, text) in files {
            fs::write(dir.path().join(name), text).unwrap();
        }
        digest(dir.path(), "hatchling.build", "3.11".parse().unwrap()).unwrap()
    }

    #[test]
    fn the_digest_follows_names_and_contents() {
        let first = digest_of(PLAIN, &[("a.py", "1")]);
        assert!(first.is_some());
        assert_eq!(first, digest_of(PLAIN, &[("a.py", "1")]));
        assert_ne!(first, digest_of(PLAIN, &[("a.py", "2")]));
        assert_ne!(first, digest_of(PLAIN, &[("b.py", "1")]));
    }

    #[test]
    fn builds_that_may_look_further_are_not_kept() {
        for (pyproject, files) in [
            (PLAIN.replace("'hatchling>=1.20'", "'hatchling', 'hatch-vcs'"), vec![]),
            (format!("{PLAIN}[tool.hatch.build.hooks.custom]\n"), vec![]),
            (format!("{PLAIN}readme = '../README.md'\n"), vec![]),
            (PLAIN.to_string(), vec![("setup.py", "")]),
            ("[project]\nname = 'a'\n".to_string(), vec![]),
        ] {
            assert_eq!(digest_of(&pyproject, &files), None, "{pyproject}");
        }
    }
}
