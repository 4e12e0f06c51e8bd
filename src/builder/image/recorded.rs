//! What the requirements of images were resolved to, as a later run needs it.

use crate::plan::DepsJob;
use crate::resolve::Resolution;
use crate::target::Target;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::SystemTime;

/// A requirement set of images.
#[derive(Debug, Clone, Copy)]
pub struct RequirementSet<'a> {
    /// Its requirements.
    pub job: &'a DepsJob,
    /// The Python and the platform of the base image.
    pub target: Target,
    /// The code locations that have it.
    pub locations: &'a [&'a str],
}

/// What a requirement set of images was resolved to.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    /// When.
    pub resolved_at: SystemTime,
    /// The exact distributions.
    pub resolution: Resolution,
    /// The wheels of those that were built from source, by name.
    pub built: BTreeMap<String, NamedWheel>,
}

/// A wheel, as far as layers depend on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedWheel {
    /// Normalised name.
    pub name: String,
    /// Version from the file name.
    pub version: String,
    /// Lower-case hex SHA-256.
    pub sha256: String,
    /// Size of the file: that which the resolution has, if it has one.
    pub size_bytes: u64,
}
