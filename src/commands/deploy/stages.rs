//! The stages of a deploy from building on; each records its result.

use super::{pruning, telling};
use crate::builder::local_packages::Packages;
use crate::builder::manifest::Manifest;
use crate::builder::{self, Built};
use crate::cli::DeployArgs;
use crate::commands::building::Building;
use crate::commands::progress::Progress;
use crate::commands::{Error, verify};
use crate::dependencies::Search;
use crate::error::{Explain, Fault};
use crate::host::Host;
use crate::plan::Plan;
use crate::plan::images::ImageLocation;
use crate::project::Warning;
use crate::publish::{Published, Publisher, Recording, record};
use crate::report::{self, DeploymentReport};
use crate::update::{self, Intended, Online};
use crate::verify::{Rules, Verified, VerifyWhen};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

/// What the stages from building on have in common.
pub(super) struct Stages<'a> {
    pub(super) args: &'a DeployArgs,
    pub(super) host: &'a Host,
    pub(super) progress: &'a Progress,
    pub(super) building: Building<'a>,
    pub(super) plan: Arc<Plan>,
    /// `None` if nothing is deployed.
    pub(super) online: Option<Online>,
    pub(super) out_dir: PathBuf,
}

/// What was built, and sent where it is to be deployed.
pub(super) struct Made {
    pub(super) built: Arc<Built>,
    pub(super) manifest: Manifest,
    pub(super) published: Option<Published>,
    pub(super) recording: Option<Recording>,
    pub(super) changes: Option<Search>,
    pub(super) not_built: Option<Error>,
}

impl Stages<'_> {
    /// Record what is known before anything is built. `names` are all code locations of the project file.
    pub(super) fn begin(&self, names: &BTreeSet<String>) {
        let Stages { args, host, progress, online, out_dir, .. } = self;
        let online = online.as_ref();
        progress.put(|run| {
            run.out_dir = Some(out_dir.clone());
            run.deployment = online.map(DeploymentReport::from_online);
            run.others =
                online.map(|online| pruning::staying(online, names, &args.publish)).unwrap_or_default();
            run.serving = online.map(Online::serving).unwrap_or_default();
        });
        progress.reached().others_note().into_iter().for_each(|note| host.note(note));
        progress.planned();
    }

    /// Build all PEX files, and send those that are finished while others are still being built.
    pub(super) fn build(&self) -> Result<Made, Error> {
        let Stages { args, host, progress, plan, online, out_dir, .. } = self;
        let online = online.as_ref();
        let loads_all = args.verify == VerifyWhen::Always;
        let max_age = record::max_age(args.publish.resolve_max_age, host);
        let mut context = self.building.context(out_dir)?.trusting_recipes(max_age);
        let packages = Packages::read(&plan.sources, &context);
        let publisher =
            online.map(|online| online.publisher(&args.publish, loads_all, plan, &packages, host));
        if let Some(publisher) = &publisher {
            context = context.observed_by(publisher);
        }
        progress.stage("build");
        host.note(telling::heading(plan, &self.building.python_origin));
        let built = Arc::new(builder::run(plan, packages, &context));
        let warnings = context.warnings().into_iter().map(Warning::without_place);
        progress.put(|run| run.warnings.extend(warnings));
        // The context borrows the publisher, which `finish` consumes.
        drop(context);
        // Started before the last uploads are awaited, so that it does not add to the time of the run.
        let changes = online.map(|online| online.dependency_changes(plan, &built));
        self.go_on()?;
        let not_built = telling::not_built(plan, &built, host);
        if publisher.is_some() {
            progress.stage("upload");
        }
        let (published, recording) = publisher.map(Publisher::finish).unzip();
        // An ended session fails every upload: report its cause once, not for each file.
        self.go_on()?;
        let manifest = Manifest::from_built(plan, &built);
        manifest.write(out_dir)?;
        if built.sources.iter().any(Result::is_ok) || built.deps.iter().any(Result::is_ok) {
            host.note(report::table::built(plan, &built).text(host.columns()));
        }
        progress.put(|run| {
            run.built = Some((Arc::clone(plan), Arc::clone(&built)));
            run.warnings.extend(built.warnings().cloned().map(Warning::without_place));
        });
        Ok(Made { built, manifest, published, recording, changes, not_built })
    }

    /// An error if Dagster+ would not answer any further request.
    fn go_on(&self) -> Result<(), Error> {
        self.progress.session().end().map_or(Ok(()), |error| Err(Error::Ended(error)))
    }

    /// Load the code locations here that are to be loaded.
    pub(super) fn verify(
        &self,
        manifest: Manifest,
        built: &Built,
        recording: Option<Recording>,
    ) -> Result<Option<Vec<Verified>>, Error> {
        let runs = self.online.as_ref().map(|online| |name: &str, deps: &str| online.runs(name, deps));
        let runs = runs.as_ref().map(|runs| runs as &dyn Fn(&str, &str) -> bool);
        let rules = Rules { when: self.args.verify, plan: &self.plan, built, runs };
        let verified = self.load_here(&rules, manifest)?;
        // Only after loading, so that other runs do not get a deps PEX from the cache that is known to be broken.
        if let Some(recording) = recording {
            recording.write(&rules.broken_deps(verified.as_deref().unwrap_or_default()));
        }
        if let Some(verified) = &verified {
            self.progress.put(|run| run.verified.get_or_insert_default().extend(verified.clone()));
        }
        Ok(verified)
    }

    /// Load the code locations that the rules name; `None` if there are none.
    fn load_here(&self, rules: &Rules<'_>, mut manifest: Manifest) -> Result<Option<Vec<Verified>>, Error> {
        manifest.locations.retain(|entry| rules.is_wanted(entry));
        if manifest.locations.is_empty() {
            return Ok(None);
        }
        self.progress.stage("verify");
        let (Building { tools, display, .. }, is_lenient) = (&self.building, rules.is_lenient());
        let verified = match verify::verify(&manifest, &self.out_dir, tools, display, is_lenient) {
            // Loading here was not requested, so a machine that cannot do it must not stop the deploy.
            Err(error) if is_lenient && error.fault() == Fault::Tool => {
                self.warn(format!("the code locations could not be loaded here: {error}"));
                return Ok(None);
            }
            verified => verified?,
        };
        verified.iter().filter_map(telling::tolerated).for_each(|warning| self.warn(warning));
        Ok(Some(verified))
    }

    fn warn(&self, message: String) {
        self.host.warn(&message);
        self.progress.put(|run| run.warnings.push(Warning::without_place(message)));
    }

    /// What is to be done about the code locations that run from PEX files.
    pub(super) fn intend(
        &self,
        published: Option<&Published>,
        built: &Built,
        unfit: &BTreeSet<String>,
    ) -> Intended {
        match self.online.as_ref().zip(published) {
            Some((online, published)) => online.intend(published, &self.plan, built, unfit),
            None => Intended::default(),
        }
    }

    /// Update the code locations that run from PEX files and `images`, and wait for all of them together.
    pub(super) fn load(&self, intended: Intended, images: &[ImageLocation]) -> Vec<update::Outcome> {
        let Some(online) = &self.online else { return Vec::new() };
        self.progress.stage("load");
        let reach = |phase| self.progress.put(|run| run.reach(phase));
        online.update(intended.and(online.intend_images(images)), Some(&self.plan), &reach)
    }
}
