//! What files alone tell of the requirements of a build directory: no code is run and nothing is fetched.

use super::error::CollectError;
use super::{unread, walk};
use crate::host::Host;
use crate::project::{CollectOptions, Lock, LockUse, RequirementLine, Requirements};
use crate::target::Target;
use crate::tools::Tools;
use std::collections::BTreeMap;
use std::path::Path;

/// What files alone tell.
#[derive(Debug, Default)]
pub struct Foreseen {
    /// What is asked for, without extras and groups. Its lines are those that somebody wrote, whatever a lock says.
    pub requirements: Requirements,
    /// Whether that is all: no script, server or variable has a say.
    pub is_whole: bool,
    /// The lock file that counts, if there is one.
    pub lock: Option<ForeseenLock>,
}

/// What the text of a lock file tells.
#[derive(Debug)]
pub struct ForeseenLock {
    /// Versions by normalised name of all that it has, for whatever platform, extra or group.
    pub versions: BTreeMap<String, Option<String>>,
    /// Lines that it does not meet.
    pub open: Vec<RequirementLine>,
    /// The file.
    pub lock: Lock,
}

/// What files alone tell of the project in `directory` (absolute).
///
/// # Errors
/// What a build would fail with too.
pub fn foresee(directory: &Path, target: Target, host: &Host) -> Result<Foreseen, CollectError> {
    let options = CollectOptions {
        target,
        lock_use: LockUse::Automatic,
        extras: Vec::new(),
        all_extras: false,
        groups: Vec::new(),
    };
    let mut foreseen = walk::walk_statically(directory, &options, &Tools::new(host), host)?;
    if foreseen.lock.is_none() {
        foreseen.requirements.warnings.extend(unread::locks(directory));
    }
    foreseen.requirements.warnings.extend(unread::of_docker(directory).warnings);
    foreseen.requirements.lock = foreseen.lock.as_ref().map(|lock| lock.lock.clone());
    Ok(foreseen)
}
