//! Reads the requirements of a build directory from files alone: no code is run and nothing is fetched.

use super::error::CollectError;
use super::foreseen::Foreseen;
use super::{unread, walk};
use crate::host::Host;
use crate::project::{CollectOptions, LockUse, Workspaces};
use crate::target::Target;
use crate::tools::Tools;
use std::path::Path;

/// What files alone show about the project in `directory` (absolute).
///
/// # Errors
/// The same as in a build.
pub fn foresee(
    directory: &Path,
    target: Target,
    workspaces: &Workspaces,
    reads_dockerfiles: bool,
    host: &Host,
) -> Result<Foreseen, CollectError> {
    let options = CollectOptions {
        target,
        lock_use: LockUse::Automatic,
        extras: Vec::new(),
        all_extras: false,
        reads_dockerfiles,
        workspaces: workspaces.clone(),
        groups: Vec::new(),
    };
    let mut foreseen = walk::walk_statically(directory, &options, &Tools::new(host), host)?;
    if foreseen.lock.is_none() {
        foreseen.requirements.warnings.extend(unread::locks(directory));
    }
    if !reads_dockerfiles {
        foreseen.requirements.warnings.extend(unread::of_docker(directory).warnings);
    }
    foreseen.requirements.lock = foreseen.lock.as_ref().map(|lock| lock.lock.clone());
    Ok(foreseen)
}
