//! The parsers of this module for [`crate::fuzzing`].

use super::pylock::Pylock;
use super::select::Choice;
use super::{Artifact, Download};
use crate::target::Target;
use std::collections::BTreeMap;
use std::path::Path;

/// The files that would be downloaded for a lock.
pub(crate) fn downloads(text: &str, target: Target) -> Vec<Download> {
    let file = Path::new("/nowhere/pylock.toml");
    let hashes = BTreeMap::new();
    let choice = Choice { target, lock: file, no_binary: &[], only_binary: &[], hashes: &hashes };
    let Ok(resolution) = Pylock::parse(text, file).and_then(|lock| choice.all(&lock)) else {
        return Vec::new();
    };
    let download = |artifact| match artifact {
        Artifact::Wheel(download) | Artifact::Sdist { download, .. } => Some(download),
        Artifact::Git { .. } => None,
    };
    resolution.distributions.into_iter().filter_map(|one| download(one.artifact)).collect()
}
