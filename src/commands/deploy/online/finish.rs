//! From built files to updated code locations, and what came of each.

use super::{Online, runtime};
use crate::build::manifest::pex_tag;
use crate::build::{Built, DepsPexFile};
use crate::cli::{DeployArgs, VerifyWhen};
use crate::commands::interrupt::Reached;
use crate::context::inputs::{SERVERLESS_AGENT_LIMIT, WaitLimits};
use crate::dagster::{Client, DagsterError};
use crate::dependencies::{self, DependencyChanges, Exchange, Listed};
use crate::display::Display;
use crate::error::Explain;
use crate::host::Host;
use crate::plan::{Plan, PlannedLocation};
use crate::publish::{self, CacheTags, Published, Publisher};
use crate::report::{DeploymentReport, SentFiles, State, UploadState};
use crate::target::Target;
use crate::update::document::location_document;
use crate::update::{self, Before, Outcome, Update, UpdateError, Updated};
use crate::verify::{self, Ended, traceback};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Duration;

/// What came of a deploy.
pub struct Deployed {
    /// How far each code location came, by name.
    pub locations: BTreeMap<String, (State, Option<SentFiles>)>,
    /// Why code locations do not run the new files, by name.
    pub failures: Vec<(String, Box<dyn Explain + Send + Sync>)>,
}

impl Online {
    /// Follow a build from here.
    pub fn publisher(&self, args: &DeployArgs, target: Target, host: &Host) -> Publisher {
        let publish = &args.publish;
        // A deps PEX that is to be loaded here has to be here.
        let read = !publish.force_rebuild_deps && args.verify != VerifyWhen::Always;
        let from = if read { publish.deps_cache_from.clone() } else { Vec::new() };
        let tags = CacheTags { from, to: publish.deps_cache_to.clone() };
        let progress = Arc::new(Display::new(host));
        let likely = self.before.as_ref().map(Before::deps_files).unwrap_or_default();
        Publisher::start(&self.client, tags, target, &runtime(), publish.upload_pex, progress)
            .expecting(likely)
    }

    /// Update the code locations whose files are stored, and wait for them. `unfit` are those not to be updated.
    pub fn finish(
        &self,
        published: &Published,
        plan: &Plan,
        built: &Built,
        unfit: &BTreeSet<String>,
        reached: &Reached,
    ) -> Deployed {
        let mut deployed = Deployed { locations: BTreeMap::new(), failures: Vec::new() };
        let mut updates = Vec::new();
        for planned in plan.locations.iter().filter(|planned| !unfit.contains(&planned.location.name)) {
            let Some((source, deps)) = files(planned, built) else { continue };
            match stored(published, source, deps) {
                Ok(sent) => {
                    let update = self.update(planned, source, deps, plan.target);
                    let leave = self.is_left_alone(&update);
                    let state = if leave { State::Unchanged } else { State::Published };
                    deployed.locations.insert(update.name.clone(), (state, Some(sent)));
                    updates.extend((!leave).then_some(update));
                }
                Err(error) => {
                    let location = planned.location.name.clone();
                    deployed.locations.insert(location.clone(), (State::NotPublished, None));
                    let error = UpdateError::NotPublished { location: location.clone(), source: error };
                    deployed.failures.push((location, Box::new(error)));
                }
            }
        }
        if let Some(before) = &self.before
            && !updates.is_empty()
        {
            let tell = |phase| reached.set_phase(phase);
            let limits = self.limits(&updates);
            let outcomes = update::run(&self.client.patient(), updates, before, limits, &tell);
            for mut outcome in outcomes {
                explain(&mut outcome, plan, self.client.host());
                deployed.take(outcome);
            }
        }
        deployed
    }

    /// Serverless agents may be asleep, and need minutes to be there. Source: what dagster-cloud-cli waits for them.
    fn limits(&self, updates: &[Update]) -> WaitLimits {
        let limits = self.context.limits;
        let queued = updates.iter().any(|update| update.document.contains_key("agent_queue"));
        let serverless = self.agent_type.as_deref() == Some("SERVERLESS") && !queued;
        match limits.agent {
            Some(_) if serverless && !self.context.agent_limit_is_given => {
                WaitLimits { agent: Some(SERVERLESS_AGENT_LIMIT), ..limits }
            }
            _ => limits,
        }
    }

    /// Code locations of the deployment that are not among `names`, those of the project file.
    pub fn others(&self, names: &BTreeSet<String>) -> Vec<String> {
        let there = self.before.iter().flat_map(Before::names);
        there
            .filter(|name| !names.contains(*name))
            .map(String::from)
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect()
    }

    fn update(&self, planned: &PlannedLocation, source: &str, deps: &DepsPexFile, target: Target) -> Update {
        let tag = pex_tag(&[source, deps.name()]);
        let location = &planned.location;
        let document = location_document(&location.document, &tag, target.python, &self.additions);
        Update { name: location.name.clone(), document }
    }

    /// Begin to find out what changes in the dependencies of each code location: against what it ran before, or for a
    /// branch deployment against what the deployment runs that it is based on. Goes on beside the deploy.
    pub fn dependency_changes(&self, plan: &Plan, built: &Built) -> Changes {
        let files: Vec<_> = plan
            .locations
            .iter()
            .filter_map(|planned| Some((&planned.location.name, files(planned, built)?.1)))
            .map(|(location, deps)| (location.clone(), deps.name().to_string(), listed(deps)))
            .collect();
        let (client, before) = (self.client.patient(), self.before.clone());
        let base = self.base.as_ref().map(Client::patient);
        let (sender, receiver) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let before = match base {
                Some(base) => Some(Before::look_at_metadata(&base)),
                None => before,
            };
            let exchanges = before.iter().flat_map(|before| {
                files.iter().filter_map(|(location, after, listed)| {
                    let before = before.deps_file(location).filter(|before| before != after)?;
                    let (location, after, listed) = (location.clone(), after.clone(), listed.clone());
                    Some(Exchange { location, before, after, listed })
                })
            });
            let changes = dependencies::changes(&client, &exchanges.collect::<Vec<_>>());
            // A deploy that did not wait for it does not miss it.
            let _ = sender.send(changes);
        });
        Changes(receiver)
    }

    /// Whether the code location runs this deps PEX already.
    pub fn runs(&self, location: &str, deps_pex: &str) -> bool {
        self.before
            .as_ref()
            .and_then(|before| before.deps_file(location))
            .is_some_and(|name| name == deps_pex)
    }

    /// Whether the code location is just what the update would make it, and only changes are asked for.
    fn is_left_alone(&self, update: &Update) -> bool {
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

    /// The deployment, for the report.
    pub fn report(&self) -> DeploymentReport {
        DeploymentReport {
            name: self.deployment.name.clone(),
            is_branch: self.deployment.is_branch,
            url: self.client.locations_page(),
            commit_hash: self.additions.revision.commit_hash.clone(),
        }
    }
}

/// Changes of dependencies that are still being looked for.
pub struct Changes(Receiver<BTreeMap<String, DependencyChanges>>);

/// A finished deploy waits so long for a list that is only nice to have.
const PATIENCE: Duration = Duration::from_secs(10);

impl Changes {
    /// What was found, by code location.
    pub fn found(self, host: &Host) -> BTreeMap<String, DependencyChanges> {
        self.0.recv_timeout(PATIENCE).unwrap_or_else(|error| {
            host.detail(format!("the report does not say which dependencies changed: {error}"));
            BTreeMap::new()
        })
    }
}

/// Where the distributions of a deps PEX can be read.
fn listed(deps: &DepsPexFile) -> Listed {
    Listed::from_resolution(deps.resolution()).unwrap_or_else(|| match deps.file() {
        Some(file) => Listed::Local(file.path.clone()),
        None => Listed::Stored,
    })
}

fn files<'a>(planned: &PlannedLocation, built: &'a Built) -> Option<(&'a str, &'a DepsPexFile)> {
    let source = built.sources[planned.source].as_ref().ok()?;
    Some((&source.name, built.deps[planned.deps].as_ref().ok()?))
}

/// How both files came to be stored.
fn stored(published: &Published, source: &str, deps: &DepsPexFile) -> Result<SentFiles, Arc<DagsterError>> {
    let how = |name: &str, sent| match sent {
        _ if published.is_cached(name) => UploadState::Cached,
        publish::UploadOutcome::AlreadyThere => UploadState::AlreadyThere,
        publish::UploadOutcome::Uploaded => UploadState::Uploaded,
    };
    let (of_source, of_deps) = (published.file(source)?, published.file(deps.name())?);
    Ok(SentFiles { source: how(source, of_source), deps: how(deps.name(), of_deps) })
}

/// Name the user's files in the traceback of a code location that does not load at Dagster+, and the line to look at.
fn explain(outcome: &mut Outcome, plan: &Plan, host: &Host) {
    let planned = plan.locations.iter().find(|planned| planned.location.name == outcome.name);
    let Some(planned) = planned else { return };
    if let Err(UpdateError::Load { failure, place, hint, .. }) = &mut outcome.result {
        let origin = super::super::origin(planned, plan);
        let texts: Vec<String> = failure.innermost_first();
        *place = traceback::last_place(texts.iter().map(String::as_str), &origin);
        let innermost = failure.chain.last().map_or(&failure.message, |link| &link.message);
        let line = traceback::error_line(innermost);
        let ended = Ended { line, place: place.as_ref(), not_here: None, library: None };
        *hint = verify::next_step(ended, &planned.location, &origin, host);
        failure.map_texts(&|text| traceback::with_user_files(text, &origin));
    }
}

impl Deployed {
    fn take(&mut self, outcome: Outcome) {
        let state = match &outcome.result {
            Ok(Updated::Loaded) => State::Loaded,
            Ok(Updated::NotAwaited) => State::Updated,
            Err(UpdateError::Refused { .. } | UpdateError::NotPublished { .. }) => State::NotUpdated,
            Err(UpdateError::Load { .. }) => State::FailedToLoad,
            Err(UpdateError::LoadTimeout { .. }) => State::Loading,
            Err(UpdateError::NoAgent { .. }) => State::NoAgent,
            Err(UpdateError::Overtaken { .. }) => State::Overtaken,
            Err(UpdateError::Uncertain { .. } | UpdateError::Unseen { .. }) => State::Unknown,
        };
        if let Some((known, _)) = self.locations.get_mut(&outcome.name) {
            *known = state;
        }
        if let Err(error) = outcome.result {
            self.failures.push((outcome.name, Box::new(error)));
        }
    }
}
