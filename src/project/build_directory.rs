//! The directory from which a code location is built.

use super::error::ProjectError;
use crate::error::Place;
use crate::host::lexically_normal;
use std::path::{Path, PathBuf};

/// A build directory that does not exist.
#[derive(Debug)]
pub(super) struct Missing {
    /// Its resolved path.
    pub(super) directory: PathBuf,
    problem: &'static str,
}

impl Missing {
    /// As an error of `owner`. `place` is where the directory is written.
    pub(super) fn error(self, owner: &str, place: Place) -> ProjectError {
        let Missing { directory, problem } = self;
        ProjectError::BuildDirectory { owner: owner.to_string(), directory, problem, place }
    }
}

/// The absolute path of `given`, which is relative to `base`. Empty text is `base` itself.
///
/// # Errors
/// When it is not a directory.
pub(super) fn resolve(base: &Path, given: &str) -> Result<PathBuf, Missing> {
    let joined = base.join(given);
    let normal = lexically_normal(&joined);
    // With a link, `link/..` may be another directory than the text suggests; then the file system decides.
    let same = normal == joined || joined.canonicalize().ok() == normal.canonicalize().ok();
    let directory = if same { normal } else { joined };
    if directory.is_dir() {
        return Ok(directory);
    }
    let problem = if directory.exists() { "is a file" } else { "does not exist" };
    Err(Missing { directory, problem })
}

/// The path of `directory` relative to `base`: `.`, `a/b`, `../c`. Both must be absolute and normal.
pub fn relative(directory: &Path, base: &Path) -> PathBuf {
    let shared =
        directory.components().zip(base.components()).take_while(|(one, other)| one == other).count();
    let up = base.components().skip(shared).map(|_| "..".into());
    let down = directory.components().skip(shared).map(|component| PathBuf::from(component.as_os_str()));
    let path: PathBuf = up.chain(down).collect();
    if path.as_os_str().is_empty() { PathBuf::from(".") } else { path }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_paths_lead_from_base_to_directory() {
        for (directory, base, want) in [
            ("/a/b", "/a/b", "."),
            ("/a/b/c", "/a", "b/c"),
            ("/a/c", "/a/b", "../c"),
            ("/x", "/a/b", "../../x"),
        ] {
            assert_eq!(relative(Path::new(directory), Path::new(base)), Path::new(want));
        }
    }
}
