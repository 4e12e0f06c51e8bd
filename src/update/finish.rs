//! From built files to the documents of their code locations.

use super::document::{Code, location_document};
use super::{Before, Intended, Online, Outcome, Update, UpdateError, Updated};
use crate::builder::local_packages::Packages;
use crate::builder::manifest::{Origin, pex_tag};
use crate::builder::{Built, DepsPexFile};
use crate::dagster::Client;
use crate::dependencies::{Distributions, ImageReader, Ran, Search};
use crate::deployment::args::PublishArgs;
use crate::display::Display;
use crate::host::Host;
use crate::plan::{Plan, PlannedLocation};
use crate::publish::{self, CacheTags, Published, Publisher, record};
use crate::target::Target;
use crate::verify::{self, Ended, traceback};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What each code location ran before.
type BeforeRun = Box<dyn Fn(&str) -> Option<Ran>>;

impl Online {
    /// Follow a build from here. `loads_all` is whether each code location is loaded here before it is updated.
    pub fn publisher(
        &self,
        publish: &PublishArgs,
        loads_all: bool,
        plan: &Arc<Plan>,
        packages: &Packages,
        host: &Host,
    ) -> Publisher {
        // To be loaded here, a deps PEX has to be on this machine.
        let read = !publish.force_rebuild_deps && !loads_all;
        let from = if read { publish.deps_cache_from.clone() } else { Vec::new() };
        let tags = CacheTags { from, to: publish.deps_cache_to.clone() };
        let of_plan = plan.locations.iter().map(|planned| planned.location.name.as_str());
        let settings = publish::Settings {
            tags,
            recipe_tags: publish.deps_cache_from.clone(),
            in_use: self.before.as_ref().map(|before| before.in_use(plan.sources.len())).unwrap_or_default(),
            likely: self.before.as_ref().map(|before| before.deps_files(of_plan)).unwrap_or_default(),
            max_age: record::max_age(publish.resolve_max_age, host),
            recipes: packages.missing(),
            is_source_ready: packages.are_ready(),
            upload: publish.upload_pex,
        };
        Publisher::start(&self.client, plan, settings, Arc::new(Display::new(host)))
    }

    /// What is to be done about code locations that were built as PEX files. `unfit` are those not to be updated. Code
    /// locations that were not built or are unfit have no outcome.
    pub fn intend(
        &self,
        published: &Published,
        plan: &Plan,
        built: &Built,
        unfit: &BTreeSet<String>,
    ) -> Intended {
        let mut intended = Intended::default();
        for planned in plan.locations.iter().filter(|planned| !unfit.contains(&planned.location.name)) {
            let Some((source, deps)) = built.pair(planned) else { continue };
            let name = planned.location.name.clone();
            match published.pair(&source.name, deps.name()) {
                Ok(sent) => {
                    let update = self.update_of(planned, &source.name, deps, plan.target);
                    let result = match self.is_left_alone(&update) {
                        true => Updated::Unchanged,
                        false if self.before.is_none() => Updated::Published,
                        false => {
                            intended.updates.push(update);
                            intended.stored.insert(name, sent);
                            continue;
                        }
                    };
                    intended.outcomes.push(Outcome { name, sent: Some(sent), result: Ok(result) });
                }
                Err(source) => {
                    let error = UpdateError::NotPublished { location: name.clone(), source };
                    intended.outcomes.push(Outcome::new(name, Err(error)));
                }
            }
        }
        intended
    }

    fn update_of(
        &self,
        planned: &PlannedLocation,
        source: &str,
        deps: &DepsPexFile,
        target: Target,
    ) -> Update {
        let tag = pex_tag(&[source, deps.name()]);
        let location = &planned.location;
        let code = Code::Pex { tag: &tag, python: target.python };
        let document = location_document(location, code, &self.additions);
        Update { name: location.name.clone(), document }
    }

    /// Start to compute what changes in the dependencies of each code location that gets PEX files.
    pub fn dependency_changes(&self, plan: &Plan, built: &Built) -> Search {
        Search::of_pex_files(self.client.patient(), plan, built, self.look_at_runs())
    }

    /// The same for code locations that get images: their names, with the reference of the image and what is in it.
    pub fn image_changes(&self, reader: ImageReader, images: Vec<(String, String, Distributions)>) -> Search {
        Search::of_images(self.client.patient(), reader, images, self.look_at_runs())
    }

    /// Finds out what a code location ran before, or for a branch deployment what its base deployment runs.
    fn look_at_runs(&self) -> impl FnOnce() -> BeforeRun + Send + use<> {
        let (before, base) = (self.before.clone(), self.base.as_ref().map(Client::patient));
        move || {
            let before = match base {
                Some(base) => Some(Before::look_at_metadata(&base)),
                None => before,
            };
            Box::new(move |location: &str| before.as_ref()?.ran(location))
        }
    }

    /// Whether the update would change nothing, and only changed code locations are to be updated.
    pub(super) fn is_left_alone(&self, update: &Update) -> bool {
        let Some(before) = self.before.as_ref().filter(|_| self.changed_only) else { return false };
        let host = self.client.host();
        match before.difference(&update.name, &update.document) {
            None => {
                host.note(format!("{}: unchanged, left alone", update.name));
                true
            }
            Some(difference) => {
                host.detail(format!("{}: updated, since {difference}", update.name));
                false
            }
        }
    }
}

/// Name the user's files in the traceback of a code location that does not load at Dagster+, and the line to look at.
pub(super) fn explain(outcome: &mut Outcome, plan: &Plan, host: &Host) {
    let planned = plan.locations.iter().find(|planned| planned.location.name == outcome.name);
    let Some(planned) = planned else { return };
    if let Err(UpdateError::Load { failure, place, hint, .. }) = &mut outcome.result {
        let origin = Origin::from_plan(planned, plan);
        let texts: Vec<String> = failure.innermost_first();
        *place = traceback::last_place(texts.iter().map(String::as_str), &origin);
        let innermost = failure.chain.last().map_or(&failure.message, |link| &link.message);
        let line = traceback::error_line(innermost);
        let ended = Ended { line, place: place.as_ref(), not_here: None, library: None };
        *hint = verify::next_step(ended, &planned.location, &origin, host);
        failure.map_texts(&|text| traceback::with_user_files(text, &origin));
    }
}
