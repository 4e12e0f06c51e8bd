//! Removes files that build backends leave in the source directory, if they did not exist before the build.
//!
//! Version files of hooks (hatch-vcs, setuptools-scm) stay: the package needs them, in the working directory too.

use std::path::{Path, PathBuf};

/// pdm-backend's directory of generated files. Source: `pdm/backend/base.py`, which has no setting for it.
const PDM_BUILD: &str = ".pdm-build";
/// Where older setuptools installs `setup_requires`.
const EGGS: &str = ".eggs";
/// cargo writes it for a crate without one; maturin and setuptools-rust run cargo in the source directory.
const CARGO_LOCK: &str = "Cargo.lock";

/// The paths that did not exist before the build.
#[derive(Debug)]
pub(crate) struct Leftovers {
    absent: Vec<PathBuf>,
}

impl Leftovers {
    /// To be called before anything runs in `tree`.
    pub(crate) fn in_tree(tree: &Path) -> Leftovers {
        let mut names = vec![PDM_BUILD, EGGS];
        if tree.join("Cargo.toml").is_file() {
            names.push(CARGO_LOCK);
        }
        let paths = names.into_iter().map(|name| tree.join(name));
        Leftovers { absent: paths.filter(|path| path.symlink_metadata().is_err()).collect() }
    }
}

impl Drop for Leftovers {
    fn drop(&mut self) {
        for path in &self.absent {
            // Most of them do not exist.
            let _ = if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_new_files_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("Cargo.toml"), "").unwrap();
        std::fs::create_dir(at(".eggs")).unwrap();
        let leftovers = Leftovers::in_tree(dir.path());
        std::fs::create_dir_all(at(".pdm-build/x")).unwrap();
        std::fs::write(at(".eggs/x"), "").unwrap();
        std::fs::write(at("Cargo.lock"), "").unwrap();
        std::fs::write(at("other"), "").unwrap();
        drop(leftovers);
        let mut left: Vec<_> =
            dir.path().read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, [".eggs", "Cargo.toml", "other"]);
    }
}
