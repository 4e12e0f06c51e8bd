//! A distribution as a lock file pins it.

use super::error::whole;
use crate::project::RequirementLine;
use pep508_rs::PackageName;
use std::path::{Path, PathBuf};

/// One distribution that a lock file pins.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Pin {
    /// Its name.
    pub(super) name: PackageName,
    /// Its version, if it has one before it is built.
    pub(super) version: Option<String>,
    /// What is pinned.
    pub(super) what: Pinned,
    /// `sha256:HEX` of its files.
    pub(super) hashes: Vec<String>,
    /// The index that it comes from, where that matters.
    pub(super) index: Option<crate::project::Index>,
}

/// What a pin names.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Pinned {
    /// The version, on an index.
    Version,
    /// What follows the `@` of a direct reference.
    Link(String),
    /// A local directory, absolute.
    Directory(PathBuf),
    /// A local wheel or sdist, absolute.
    Distribution(PathBuf),
}

impl Pin {
    /// The requirement of exactly this, pinned by the lock `file`; `None` for what is local.
    pub(super) fn requirement(&self, extras: &str, file: &Path) -> Option<RequirementLine> {
        Some(RequirementLine {
            text: self.line(extras)?,
            name: Some(self.name.to_string()),
            is_link: matches!(self.what, Pinned::Link(_)),
            places: vec![whole(file)],
        })
    }

    /// The line that asks for exactly this; `None` for what is local.
    pub(super) fn line(&self, extras: &str) -> Option<String> {
        match (&self.what, &self.version) {
            (Pinned::Version, Some(version)) => Some(format!("{}{extras}=={version}", self.name)),
            (Pinned::Link(link), _) => Some(format!("{}{extras} @ {link}", self.name)),
            _ => None,
        }
    }
}
