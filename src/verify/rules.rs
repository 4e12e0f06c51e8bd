//! Which code locations are loaded here before they are updated, and what follows from it.

use super::Verified;
use crate::builder::manifest::Entry;
use crate::builder::{Built, DepsPexFile};
use crate::plan::Plan;
use crate::project::LockContent;
use clap::ValueEnum;
use std::collections::BTreeSet;

/// When code locations are loaded from their built files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum VerifyWhen {
    /// Never.
    #[default]
    Never,
    /// Those whose new dependencies no lock file decided; where nothing is deployed, all.
    Auto,
    /// All.
    Always,
}

/// Whether the code location of the first name runs the deps PEX of the second.
type Runs<'a> = &'a dyn Fn(&str, &str) -> bool;

/// What decides which code locations are loaded.
pub struct Rules<'a> {
    /// `--verify`, or the input `verify`.
    pub when: VerifyWhen,
    /// What was to be built.
    pub plan: &'a Plan,
    /// What was.
    pub built: &'a Built,
    /// Whether a code location runs a deps PEX already where it is deployed to; `None` where nothing is deployed.
    pub runs: Option<Runs<'a>>,
}

impl Rules<'_> {
    /// Whether an error that may be one of this machine alone is tolerated. Where nothing is deployed, loading is all that
    /// the run is for.
    pub fn is_lenient(&self) -> bool {
        self.when == VerifyWhen::Auto && self.runs.is_some()
    }

    /// Whether a code location is loaded.
    pub fn is_wanted(&self, entry: &Entry) -> bool {
        match (self.when, self.runs) {
            (VerifyWhen::Never, _) => false,
            (VerifyWhen::Always, _) | (VerifyWhen::Auto, None) => true,
            (VerifyWhen::Auto, Some(runs)) => {
                self.is_new_and_unlocked(entry) && !runs(&entry.name, &entry.deps_pex)
            }
        }
    }

    /// Whether the deps PEX was built in this run, of versions that no lock file decided.
    fn is_new_and_unlocked(&self, entry: &Entry) -> bool {
        let planned = self.plan.locations.iter().find(|planned| planned.location.name == entry.name);
        planned.is_some_and(|planned| {
            let lock = self.plan.deps[planned.deps].requirements.lock.as_ref();
            let decided =
                lock.is_some_and(|lock| !matches!(lock.content, LockContent::Pylock { complete: false, .. }));
            !decided && matches!(&self.built.deps[planned.deps], Ok(DepsPexFile::Built(_)))
        })
    }

    /// Deps PEX files of code locations of which none passes.
    pub fn broken_deps(&self, verified: &[Verified]) -> BTreeSet<String> {
        let unfit = unfit(verified);
        let locations = self.plan.locations.iter().filter_map(|planned| {
            let deps = self.built.deps[planned.deps].as_ref().ok()?;
            Some((deps.name().to_string(), unfit.contains(&planned.location.name)))
        });
        let (bad, good): (Vec<_>, Vec<_>) = locations.partition(|(_, is_unfit)| *is_unfit);
        let good: BTreeSet<String> = good.into_iter().map(|(name, _)| name).collect();
        // A deps PEX with which another code location loads cannot be the cause.
        bad.into_iter().map(|(name, _)| name).filter(|name| !good.contains(name)).collect()
    }
}

/// Code locations that do not load here, and are not taken to load elsewhere: they are not updated.
pub fn unfit(verified: &[Verified]) -> BTreeSet<String> {
    verified.iter().filter(|one| !one.passes()).map(|one| one.name.clone()).collect()
}
