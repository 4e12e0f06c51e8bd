//! What files alone show about the requirements of a build directory: no code is run and nothing is fetched.

use crate::project::{Lock, RequirementLine, Requirements};
use std::collections::BTreeMap;

/// What the files alone show.
#[derive(Debug, Default)]
pub struct Foreseen {
    /// The requirements, without extras and groups. Its lines are as written in the project, whatever a lock says.
    pub requirements: Requirements,
    /// Whether that is all: no script, server or variable has a say.
    pub is_whole: bool,
    /// The lock file that counts, if there is one.
    pub lock: Option<ForeseenLock>,
}

/// What the text of a lock file shows.
#[derive(Debug)]
pub struct ForeseenLock {
    /// Versions by normalised name of all its packages, for any platform, extra or group.
    pub versions: BTreeMap<String, Option<String>>,
    /// Lines that it does not satisfy.
    pub open: Vec<RequirementLine>,
    /// The file.
    pub lock: Lock,
}
