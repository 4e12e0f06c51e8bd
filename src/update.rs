//! Published PEX files → code locations that run them: updated, then watched until they have loaded or failed.
//!
//! Each code location has its own outcome; a failure of one does not affect the others.

mod compared;
mod confirm;
mod connect_error;
pub mod document;
mod early;
mod finish;
mod images;
mod intended;
pub mod online;
pub mod prune;
pub mod redeploy;
mod registry;
mod running;
pub mod wait;
mod ways;

pub use compared::Running;
pub use connect_error::ConnectError;
pub use early::Early;
pub use intended::Intended;
pub use online::Online;
pub use running::Difference;
pub use ways::offline;

use crate::context::inputs::WaitLimits;
use crate::dagster::operations::{LoadState, PythonFailure};
use crate::dagster::together::Metadata;
use crate::dagster::{Client, DagsterError};
use crate::error::{Explain, Fault, Place};
use crate::host::Host;
use crate::publish::images::PushError;
use crate::publish::named_images::NamedImageError;
use crate::publish::{InUse, SentFiles};
use crate::threads::joined;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A code location and the document to update it to.
#[derive(Debug, Clone)]
pub struct Update {
    /// `location_name`.
    pub name: String,
    /// Its document, with the PEX files in it.
    pub document: Map<String, Value>,
}

/// The outcome of a code location.
#[derive(Debug)]
pub struct Outcome {
    /// `location_name`.
    pub name: String,
    /// How its files were stored, if they are.
    pub sent: Option<SentFiles>,
    /// Whether it runs the new PEX files.
    pub result: Result<Updated, UpdateError>,
}

impl Outcome {
    /// Without files that were stored in this run.
    pub fn new(name: String, result: Result<Updated, UpdateError>) -> Outcome {
        Outcome { name, sent: None, result }
    }
}

/// How far a code location came without a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Updated {
    /// Its files are stored, and it was not to be updated.
    Published,
    /// It runs these files already, and was not updated.
    Unchanged,
    /// It runs the new PEX files.
    Loaded,
    /// Dagster+ accepted the update; the run did not wait for the load.
    NotAwaited,
}

/// Why a code location does not run the new PEX files, as far as we know.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum UpdateError {
    #[error("the code location `{location}` was not updated")]
    Refused {
        location: String,
        #[source]
        source: Arc<DagsterError>,
    },
    #[error("whether the code location `{location}` was updated is not known")]
    Uncertain {
        location: String,
        #[source]
        source: Arc<DagsterError>,
    },
    #[error("the code location `{location}` was not updated, since its files are not stored")]
    NotPublished {
        location: String,
        #[source]
        source: Arc<DagsterError>,
    },
    #[error("the code location `{location}` was not updated, since its image could not be pushed")]
    NotPushed {
        location: String,
        #[source]
        source: Arc<PushError>,
    },
    #[error("the code location `{location}` was not updated")]
    NoImage {
        location: String,
        #[source]
        source: Arc<NamedImageError>,
    },
    #[error("the code location `{location}` was updated and failed to load:\n{failure}")]
    Load {
        location: String,
        failure: PythonFailure,
        /// The last line of the user's own files.
        place: Option<Place>,
        /// A hint that is more specific than the general one, if there is any.
        hint: Option<String>,
    },
    #[error("the code location `{location}` was updated and had not loaded after {seconds} s")]
    LoadTimeout { location: String, seconds: u64 },
    #[error(
        "the code location `{location}` was updated, but no agent was running within {seconds} s{}",
        reported(errors)
    )]
    NoAgent { location: String, seconds: u64, errors: Vec<String> },
    #[error("the code location `{location}` was updated, but then {}", overtaken(now.as_deref()))]
    Overtaken {
        location: String,
        /// Its PEX tag now, otherwise its image; empty without both, `None` if the code location does not exist.
        now: Option<String>,
    },
    #[error("the code location `{location}` was updated, but whether it loaded could not be seen")]
    Unseen {
        location: String,
        #[source]
        source: Arc<DagsterError>,
    },
}

fn reported(errors: &[String]) -> String {
    if errors.is_empty() { String::new() } else { format!("; agents report: {}", errors.join("; ")) }
}

fn overtaken(now: Option<&str>) -> String {
    match now {
        None => "it was removed by another client".into(),
        Some("") => "another client updated it to run without PEX files".into(),
        Some(now) => format!("another client updated it to `{now}`"),
    }
}

impl Explain for UpdateError {
    fn fault(&self) -> Fault {
        match self {
            UpdateError::Refused { source, .. }
            | UpdateError::NotPublished { source, .. }
            | UpdateError::Uncertain { source, .. }
            | UpdateError::Unseen { source, .. } => source.fault(),
            UpdateError::NotPushed { source, .. } => source.fault(),
            UpdateError::NoImage { source, .. } => source.fault(),
            UpdateError::Load { .. } => Fault::Project,
            UpdateError::LoadTimeout { .. } | UpdateError::NoAgent { .. } | UpdateError::Overtaken { .. } => {
                Fault::Remote
            }
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            UpdateError::Refused { source, .. } | UpdateError::NotPublished { source, .. } => source.hint(),
            UpdateError::NotPushed { source, .. } => source.hint(),
            UpdateError::NoImage { source, .. } => source.hint(),
            UpdateError::Load { hint: Some(hint), .. } => Some(hint.clone()),
            UpdateError::Load { .. } => {
                Some("`pexpress verify OUT_DIR` shows the same error without a deploy".into())
            }
            UpdateError::LoadTimeout { .. } => Some(
                "it may still load: `pexpress status` shows it; to wait longer, set --location-load-timeout"
                    .into(),
            ),
            UpdateError::NoAgent { .. } => Some(
                "start the agent, or wait longer with --agent-heartbeat-timeout; the update is kept for it"
                    .into(),
            ),
            UpdateError::Overtaken { .. } => Some(
                "let only one run at a time deploy there, for example with `concurrency:` in the workflow"
                    .into(),
            ),
            UpdateError::Unseen { source, .. } if source.is_refusal() => source.hint(),
            UpdateError::Uncertain { .. } | UpdateError::Unseen { .. } => {
                Some("`pexpress status` shows it".into())
            }
        }
    }

    fn place(&self) -> Option<Place> {
        match self {
            UpdateError::Load { place, .. } => place.clone(),
            _ => None,
        }
    }
}

/// The code locations of a deployment before an update, to tell their old state from the new one.
#[derive(Debug, Clone, Default)]
pub struct Before {
    states: BTreeMap<String, LoadState>,
    /// `None` if the server does not report it.
    metadata: Option<Metadata>,
    /// Whether the documents are those that are there already, so that equal metadata says nothing.
    same_documents: bool,
}

impl Before {
    /// Look at the deployment of `client`. A bad token or a wrong URL fails here, early.
    ///
    /// # Errors
    /// Those of the call.
    pub fn look(client: &Client) -> Result<Before, DagsterError> {
        let (states, metadata) = std::thread::scope(|scope| {
            let metadata = scope.spawn(|| client.workspace_entries());
            let states = client.workspace();
            (states, joined(metadata))
        });
        Before::from_answers(states, metadata, client.host())
    }

    /// The same from answers that are here already.
    ///
    /// # Errors
    /// Why the code locations are not known.
    pub(super) fn from_answers(
        states: Result<Vec<LoadState>, DagsterError>,
        metadata: Result<Metadata, DagsterError>,
        host: &Host,
    ) -> Result<Before, DagsterError> {
        let states = states?.into_iter().map(|state| (state.name.clone(), state)).collect();
        Ok(Before { states, metadata: known(metadata, host), same_documents: false })
    }

    /// The same for an update to the documents that are there already, which is to be awaited like any other.
    pub(super) fn for_same_documents(self) -> Before {
        Before { same_documents: true, ..self }
    }

    /// Look only at what code locations were last updated to.
    pub fn look_at_metadata(client: &Client) -> Before {
        Before { metadata: known(client.workspace_entries(), client.host()), ..Before::default() }
    }

    /// The deps PEX files that these code locations run, as far as the server reports them.
    pub fn deps_files<'a>(&self, names: impl Iterator<Item = &'a str>) -> Vec<String> {
        let files: BTreeSet<String> = names.filter_map(|name| self.deps_file(name)).collect();
        files.into_iter().collect()
    }

    /// The PEX files in use there, for a deploy with so many source PEX files.
    pub(super) fn in_use(&self, sources: usize) -> InUse {
        let files = |name: &str| self.metadata(name).map(|metadata| running::files(&metadata));
        let served = self.names().filter(|name| self.is_serving(name)).filter_map(files).flatten();
        let named = |metadata: &Metadata| metadata.keys().filter_map(|name| files(name)).flatten().collect();
        InUse::new(self.metadata.as_ref().map(named), served.collect(), sources)
    }
}

/// What each code location was last updated to; `None` if the server does not report it.
fn known(metadata: Result<Metadata, DagsterError>, host: &Host) -> Option<Metadata> {
    let tell =
        |error: &DagsterError| host.detail(format!("{error}; using only the state of the code locations"));
    metadata.inspect_err(tell).ok()
}

/// Update the code locations and wait for them. `reached` is called with the progress.
pub fn run(
    client: &Client,
    updates: Vec<Update>,
    before: &Before,
    limits: WaitLimits,
    reached: &dyn Fn(Phase),
) -> Vec<Outcome> {
    let names: Vec<String> = updates.iter().map(|update| update.name.clone()).collect();
    reached(Phase::Updating(names));
    let mut outcomes = Vec::new();
    let (mut awaited, mut uncertain) = (Vec::new(), Vec::new());
    for (name, applied) in apply(client, &updates) {
        match applied {
            Ok(()) => awaited.push(name),
            Err(source) if source.is_uncertain() => uncertain.push((name, source)),
            Err(source) => {
                let error = UpdateError::Refused { location: name.clone(), source };
                outcomes.push(Outcome::new(name, Err(error)));
            }
        }
    }
    if !awaited.is_empty() {
        reached(Phase::Waiting(awaited.clone()));
    }
    let (taken, not_taken) = look_for(client, &updates, before, uncertain);
    awaited.extend(taken);
    outcomes.extend(not_taken);
    if limits.wait {
        let (mut waited, stored) = wait::run(client, awaited, &updates, before, limits, reached);
        confirm::run(client, &updates, before, stored, &mut waited);
        outcomes.extend(waited);
    } else {
        outcomes.extend(awaited.into_iter().map(|name| Outcome::new(name, Ok(Updated::NotAwaited))));
    }
    // Outcomes come in the order in which code locations load; people read them in the order of the project file.
    let place = |outcome: &Outcome| updates.iter().position(|update| update.name == outcome.name);
    outcomes.sort_by_key(place);
    outcomes
}

/// After lost answers: which code locations were updated anyway, and the outcomes of the others.
fn look_for(
    client: &Client,
    updates: &[Update],
    before: &Before,
    uncertain: Vec<(String, Arc<DagsterError>)>,
) -> (Vec<String>, Vec<Outcome>) {
    let (mut awaited, mut outcomes) = (Vec::new(), Vec::new());
    // The query may take minutes of retries, so it is only sent when an answer was lost.
    let taken = if uncertain.is_empty() { None } else { confirm::taken(client, updates, before) };
    for (name, source) in uncertain {
        let location = name.clone();
        match &taken {
            Some(taken) if taken.contains(&name) => {
                client.host().detail(format!("{source}; {name} was updated anyway"));
                awaited.push(name);
            }
            // The server has finished this call, so it cannot take effect later.
            Some(_) if source.is_final() => {
                outcomes.push(Outcome::new(name, Err(UpdateError::Refused { location, source })));
            }
            _ => outcomes.push(Outcome::new(name, Err(UpdateError::Uncertain { location, source }))),
        }
    }
    (awaited, outcomes)
}

/// The progress of an update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Phase {
    /// These are being updated.
    Updating(Vec<String>),
    /// These were updated and have not loaded yet.
    Waiting(Vec<String>),
    /// This one has loaded, or failed to.
    Settled(String, bool),
}

/// Send the documents: all in one call, or if that is refused one by one, so that a bad one does not stop the others.
fn apply(client: &Client, updates: &[Update]) -> Vec<(String, Result<(), Arc<DagsterError>>)> {
    let mut uncertain = false;
    if let [_, _, ..] = updates {
        let documents: Vec<_> = updates.iter().map(|update| &update.document).collect();
        match client.update_locations(&documents) {
            Ok(()) => return updates.iter().map(|update| (update.name.clone(), Ok(()))).collect(),
            Err(error) if concerns_documents(&error) => {
                uncertain = error.is_uncertain();
                client.host().detail(format!("{error}; updating the code locations one by one"));
            }
            // Such as a bad token: single calls would fail in the same way.
            Err(error) => {
                let error = Arc::new(error);
                return updates.iter().map(|update| (update.name.clone(), Err(Arc::clone(&error)))).collect();
            }
        }
    }
    // A refusal now does not undo what the first call may have done.
    let still_uncertain = |error: DagsterError| match uncertain && !error.is_uncertain() {
        true => DagsterError::AfterLoss { last: Box::new(error) },
        false => error,
    };
    let one = |update: &Update| {
        client.update_location(&update.document).map_err(|error| Arc::new(still_uncertain(error)))
    };
    updates.iter().map(|update| (update.name.clone(), one(update))).collect()
}

/// Whether a call with other documents could succeed.
fn concerns_documents(error: &DagsterError) -> bool {
    match error {
        DagsterError::Refused { type_name, .. } => type_name != "UnauthorizedError",
        other => other.is_graphql(),
    }
}
