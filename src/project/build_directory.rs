//! The directory from which a code location is built.

use super::error::ProjectError;
use crate::error::Place;
use crate::paths::lexically_normal;
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
