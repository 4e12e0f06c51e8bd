//! What files alone tell of the requirements of a build directory: no code is run and nothing is fetched.

use crate::project::{Lock, RequirementLine, Requirements};
use std::collections::BTreeMap;

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
