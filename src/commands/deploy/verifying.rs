//! Which code locations are loaded here before they are updated, and what follows from it.

use super::live::Live;
use super::online::Online;
use crate::build::manifest::{Entry, Manifest};
use crate::build::{Built, DepsPexFile};
use crate::cli::VerifyWhen;
use crate::commands::building::Building;
use crate::commands::{Error, verify};
use crate::error::{Explain, Fault};
use crate::plan::Plan;
use crate::project::{LockContent, Warning};
use crate::report::Problem;
use crate::verify::{Outcome, Verified};
use std::collections::BTreeSet;
use std::path::Path;

/// What decides which code locations are loaded.
pub struct Verifying<'a> {
    /// `--verify`, or the input `verify`.
    pub when: VerifyWhen,
    /// What was to be built.
    pub plan: &'a Plan,
    /// What was.
    pub built: &'a Built,
    /// Where it goes; `None` where nothing is deployed.
    pub online: Option<&'a Online>,
}

impl Verifying<'_> {
    /// Load those code locations; `None` where there are none to be loaded.
    ///
    /// # Errors
    /// When a file cannot be unpacked or Python not be run; where nobody asked for it, that is a warning.
    pub fn run(
        &self,
        mut manifest: Manifest,
        out_dir: &Path,
        building: &Building<'_>,
        live: &Live,
    ) -> Result<Option<Vec<Verified>>, Error> {
        manifest.locations.retain(|entry| self.is_wanted(entry));
        if manifest.locations.is_empty() {
            return Ok(None);
        }
        live.stage("verify");
        let verified =
            verify::verify(&manifest, out_dir, &building.tools, &building.display, self.is_lenient());
        let verified = match verified {
            // A machine that cannot load them is no reason not to deploy what nobody asked to load here.
            Err(error) if self.is_lenient() && error.fault() == Fault::Tool => {
                self.warn(format!("the code locations could not be loaded here: {error}"), building, live);
                return Ok(None);
            }
            verified => verified?,
        };
        for one in verified.iter().filter(|one| one.is_tolerated) {
            if let Outcome::Failed { not_here: Some(reason), .. } = &one.outcome {
                let error = one.outcome.error_line().unwrap_or_default();
                let text =
                    format!("{} does not load here, and may load elsewhere: {reason} ({error})", one.name);
                self.warn(text, building, live);
            }
        }
        Ok(Some(verified))
    }

    /// Deps PEX files of code locations of which none passes.
    pub fn broken_deps(&self, verified: &[Verified]) -> BTreeSet<String> {
        let passes = |name: &str| verified.iter().find(|one| one.name == name).is_none_or(Verified::passes);
        let locations = self.plan.locations.iter().filter_map(|planned| {
            let deps = self.built.deps[planned.deps].as_ref().ok()?;
            Some((deps.name().to_string(), passes(&planned.location.name)))
        });
        let (good, bad): (Vec<_>, Vec<_>) = locations.partition(|(_, passes)| *passes);
        let good: BTreeSet<String> = good.into_iter().map(|(name, _)| name).collect();
        bad.into_iter().map(|(name, _)| name).filter(|name| !good.contains(name)).collect()
    }

    /// Where nothing is deployed, loading is all that the run is for.
    fn is_lenient(&self) -> bool {
        self.when == VerifyWhen::Auto && self.online.is_some()
    }

    fn is_wanted(&self, entry: &Entry) -> bool {
        match (self.when, self.online) {
            (VerifyWhen::Never, _) => false,
            (VerifyWhen::Always, _) | (VerifyWhen::Auto, None) => true,
            (VerifyWhen::Auto, Some(online)) => {
                self.is_new_and_unlocked(entry) && !online.runs(&entry.name, &entry.deps_pex)
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

    fn warn(&self, message: String, building: &Building<'_>, live: &Live) {
        building.host.warn(&message);
        let problem = Problem::from_warning(&Warning { message, place: None });
        live.update(|report| report.warnings.push(problem));
    }
}
