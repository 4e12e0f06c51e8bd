//! Callbacks of a running build, so that uploads need not wait for its end.

use super::image::recorded::{Recorded, RequirementSet};
use super::recipe::Recipe;
use super::{BuiltDeps, PexFile};
use crate::plan::DepsJob;
use crate::resolve::Resolution;

/// A deps PEX that is already in the PEX registry, and so need not be built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredDeps {
    /// `deps-HASH.pex`.
    pub name: String,
    /// Version of dagster in it.
    pub dagster_version: String,
}

/// Receives finished files, and can name stored ones. Called from several threads at once.
pub trait Observer: Sync {
    /// A source PEX is finished.
    fn source_built(&self, _file: &PexFile) {}
    /// The requirements of a job were resolved just now.
    fn resolved(&self, _job: &DepsJob) {}
    /// A deps PEX is finished.
    fn deps_built(&self, _job: &DepsJob, _deps: &BuiltDeps) {}
    /// Whether the run is over, so that nothing more need be built.
    fn is_over(&self) -> bool {
        false
    }
    /// What an earlier run resolved the requirements of a job to, with the deps PEX that has it, if that still holds.
    fn recorded_deps(&self, _job: &DepsJob) -> Option<(StoredDeps, Resolution)> {
        None
    }
    /// The recipes that earlier runs stored under these keys, in their order.
    fn recipes(&self, keys: &[String]) -> Vec<Option<Recipe>> {
        vec![None; keys.len()]
    }
    /// The backend of a local package made this recipe.
    fn recipe_made(&self, _key: &str, _text: String) {}
    /// The stored deps PEX of exactly these distributions, if there is one.
    fn stored_deps(&self, _job: &DepsJob, _resolution: &Resolution) -> Option<StoredDeps> {
        None
    }
    /// What an earlier run resolved the requirements of images to, if that still holds.
    fn recorded_resolution(&self, _set: &RequirementSet<'_>) -> Option<Recorded> {
        None
    }
    /// What the requirements of images were resolved to, in this run or in an earlier one whose record lacks it.
    fn resolution_found(&self, _set: &RequirementSet<'_>, _found: Recorded) {}
}

/// For builds without uploads.
#[derive(Debug, Clone, Copy)]
pub struct NoObserver;

impl Observer for NoObserver {}
