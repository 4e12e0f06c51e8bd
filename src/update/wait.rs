//! Watching updated code locations until each has loaded, failed, or run out of time.
//!
//! What a code location shows just after an update may still be its old version, loaded long ago. A `LOADED` counts
//! only as news: the location was seen loading, was not there before, carries another load stamp, or was updated to
//! exactly what it was (so old and new are the same). Otherwise the server is asked whether the loaded version is
//! outdated. If it does not say, `LOADED` is accepted after a while: after seconds if there are no load stamps, and
//! after a minute if the stamp stays and the server stores the new files, since there may not be a stamp for each
//! update.

use super::{Before, Outcome, Phase, Update, UpdateError, Updated, confirm};
use crate::context::inputs::WaitLimits;
use crate::dagster::operations::{LoadState, PythonFailure, WorkspaceEntry};
use crate::dagster::together::{Look, Metadata};
use crate::dagster::{Client, DagsterError};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

// Some code locations load within a second, others take minutes.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How long a `LOADED` without any sign that it is new has to last: twice the other client's polling interval.
const SETTLE: Duration = Duration::from_secs(6);
/// How long a `LOADED` with the stamp of the old version has to last, without any other sign.
const SETTLE_STALE: Duration = Duration::from_secs(60);
/// How long failed queries are repeated, beyond the retries of each.
const PATIENCE: Duration = Duration::from_secs(120);
/// The same for refused queries: a deleted token or deployment does not come back by itself.
const PATIENCE_REFUSED: Duration = Duration::from_secs(10);
/// Time between two lines of progress when nothing changes.
const REMIND: Duration = Duration::from_secs(15);

/// What one query showed about one code location.
#[derive(Debug, Clone, PartialEq)]
enum Sight {
    /// Nothing certain yet.
    Pending,
    /// Loaded, but maybe the old version.
    Doubtful(Option<PythonFailure>),
    /// Loaded, with the stamp of the old version.
    Stale(Option<PythonFailure>),
    /// The new version has loaded, or failed to.
    Certain(Option<PythonFailure>),
}

/// What one query settles about one code location.
enum Verdict {
    NotYet,
    Loaded,
    Failed(PythonFailure),
    /// It does not exist any more.
    Gone,
}

struct Watch<'a> {
    client: &'a Client,
    updates: &'a [Update],
    before: &'a Before,
    began: Duration,
    seen_loading: BTreeSet<String>,
    /// The code locations that the last query showed in an unknown state.
    unclear: BTreeSet<String>,
    doubtful_since: BTreeMap<String, Duration>,
    /// What the server stored for each code location at the last look, if the look showed it.
    stored: Option<Metadata>,
    /// The same with the state of its load: queried at most once per look, when it matters. `Some(None)` if the server
    /// did not say.
    entries: Option<Option<BTreeMap<String, WorkspaceEntry>>>,
    agent_seen: bool,
    agent_errors: Vec<String>,
    /// Whether the last query of the code locations was refused.
    is_refused: bool,
}

/// Wait for the code locations called `awaited`, which were updated just now. Also returns what the server stored for
/// each code location at the last look, if that look showed it.
pub(super) fn run(
    client: &Client,
    awaited: Vec<String>,
    updates: &[Update],
    before: &Before,
    limits: WaitLimits,
    reached: &dyn Fn(Phase),
) -> (Vec<Outcome>, Option<Metadata>) {
    let began = client.host().clock.elapsed();
    let mut watch = Watch {
        client,
        updates,
        before,
        began,
        seen_loading: BTreeSet::new(),
        unclear: BTreeSet::new(),
        doubtful_since: BTreeMap::new(),
        stored: None,
        entries: None,
        agent_seen: false,
        agent_errors: Vec::new(),
        is_refused: false,
    };
    let mut pending = awaited;
    let mut outcomes = Vec::new();
    let mut pause = FIRST_PAUSE;
    let mut last_progress: Option<(usize, Duration)> = None;
    let mut failing_since = None;
    while !pending.is_empty() {
        reached(Phase::Waiting(pending.clone()));
        let waited = watch.elapsed();
        let looked = watch.look(&mut pending, &mut outcomes, reached);
        let late = watch.out_of_time(limits, waited);
        match (looked, late) {
            (Err(source), late) => {
                let since = *failing_since.get_or_insert(waited);
                let patience = if watch.is_refused { PATIENCE_REFUSED } else { PATIENCE };
                if late.is_some() || waited.saturating_sub(since) >= patience {
                    let source = Arc::new(watch.explained(source));
                    outcomes.extend(pending.drain(..).map(|name| unseen(name, &source)));
                } else {
                    client.host().detail(format!("{source}; looking again"));
                }
            }
            (Ok(()), Some(fail)) => {
                let failed = |name: String| match watch.unclear.contains(&name) {
                    true => unseen(name, &Arc::new(not_understood())),
                    false => Outcome::new(name.clone(), Err(fail(name))),
                };
                outcomes.extend(pending.drain(..).map(failed));
            }
            (Ok(()), None) => failing_since = None,
        }
        if !pending.is_empty() {
            watch.tell(&pending, &mut last_progress);
            client.host().clock.sleep(pause.min(watch.time_left(limits)));
            pause = pause.mul_f64(1.5).min(LONGEST_PAUSE);
        }
    }
    (outcomes, watch.stored)
}

fn unseen(name: String, source: &Arc<DagsterError>) -> Outcome {
    let error = UpdateError::Unseen { location: name.clone(), source: Arc::clone(source) };
    Outcome::new(name, Err(error))
}

fn not_understood() -> DagsterError {
    let doing = "tell whether a code location has loaded".into();
    DagsterError::Unexpected { doing, what: "a state that is known here".into() }
}

impl Watch<'_> {
    fn elapsed(&self) -> Duration {
        self.client.host().clock.elapsed().saturating_sub(self.began)
    }

    /// Why queries are refused: a deployment that existed before may have been deleted.
    fn explained(&self, error: DagsterError) -> DagsterError {
        let Some(name) = self.client.deployment() else { return error };
        match error {
            DagsterError::NotFound { .. } if matches!(self.client.has_deployment(name), Ok(false)) => {
                DagsterError::Deleted { name: name.into() }
            }
            error => error,
        }
    }

    /// Look once: at the agents until one has been seen running, and at the code locations.
    fn look(
        &mut self,
        pending: &mut Vec<String>,
        outcomes: &mut Vec<Outcome>,
        reached: &dyn Fn(Phase),
    ) -> Result<(), DagsterError> {
        // Stored metadata is only compared with states of the same moment.
        (self.stored, self.entries) = (None, None);
        let Look { agents, states, metadata } = self.client.look(!self.agent_seen);
        let mut unknown_agents = Ok(());
        match agents.filter(|_| !self.agent_seen).transpose() {
            Ok(None) => {}
            Ok(Some(agents)) => {
                self.agent_seen = agents.iter().any(|agent| agent.is_running());
                self.agent_errors = agents.into_iter().flat_map(|agent| agent.errors).collect();
            }
            Err(error) => unknown_agents = Err(error),
        }
        self.is_refused = states.as_ref().is_err_and(DagsterError::is_refusal);
        let states: BTreeMap<_, _> = states?.into_iter().map(|state| (state.name.clone(), state)).collect();
        self.stored = metadata;
        let mut still = Vec::new();
        for name in pending.drain(..) {
            let result = match self.verdict(&name, states.get(&name)) {
                Verdict::Gone => Some(Err(UpdateError::Overtaken { location: name.clone(), now: None })),
                // Without an agent nothing can have been loaded just now, whatever the state says.
                _ if !self.agent_seen && unknown_agents.is_ok() => None,
                Verdict::NotYet => None,
                Verdict::Loaded => Some(Ok(Updated::Loaded)),
                Verdict::Failed(failure) => {
                    Some(Err(UpdateError::Load { location: name.clone(), failure, place: None, hint: None }))
                }
            };
            match result {
                None => still.push(name),
                Some(result) => {
                    self.tell_outcome(&name, &result);
                    if !matches!(result, Err(UpdateError::Overtaken { .. })) {
                        reached(Phase::Settled(name.clone(), result.is_ok()));
                    }
                    outcomes.push(Outcome::new(name, result));
                }
            }
        }
        *pending = still;
        if pending.is_empty() { Ok(()) } else { unknown_agents }
    }

    fn verdict(&mut self, name: &str, state: Option<&LoadState>) -> Verdict {
        let Some(state) = state else {
            return if self.is_gone(name) { Verdict::Gone } else { Verdict::NotYet };
        };
        if state.unclear {
            self.unclear.insert(name.into());
            return Verdict::NotYet;
        }
        self.unclear.remove(name);
        if !state.loaded {
            self.seen_loading.insert(name.into());
            self.doubtful_since.remove(name);
        }
        let seen_loading = self.seen_loading.contains(name);
        let before = self.before.states.get(name);
        let settled = |failure| match failure {
            None => Verdict::Loaded,
            Some(failure) => Verdict::Failed(failure),
        };
        match sight(state, before, seen_loading, || self.is_unchanged(name)) {
            Sight::Pending => Verdict::NotYet,
            Sight::Certain(failure) => settled(failure),
            Sight::Doubtful(failure) if self.has_settled(name, failure.is_some(), false) => settled(failure),
            Sight::Stale(failure) if self.has_settled(name, failure.is_some(), true) => settled(failure),
            Sight::Doubtful(_) | Sight::Stale(_) => Verdict::NotYet,
        }
    }

    /// Whether to accept a load that may be that of the old version.
    fn has_settled(&mut self, name: &str, failed: bool, is_stale: bool) -> bool {
        let update = self.updates.iter().find(|update| update.name == name);
        let entry = self.entry(name);
        let runs_it = entry.and_then(|entry| {
            let metadata = serde_json::from_str(&entry.metadata).ok()?;
            confirm::runs(&metadata, update?)
        });
        let witness = entry.and_then(|entry| Some((entry.outdated?, entry.load_failed?)));
        match witness {
            Some((true, _)) => {
                self.doubtful_since.remove(name);
                return false;
            }
            Some((false, load_failed)) if runs_it != Some(false) && load_failed == failed => return true,
            _ => {}
        }
        let now = self.elapsed();
        let since = *self.doubtful_since.entry(name.into()).or_insert(now);
        let waited = now.saturating_sub(since);
        self.agent_seen
            && match is_stale {
                true => waited >= SETTLE_STALE && runs_it == Some(true),
                false => waited >= SETTLE,
            }
    }

    /// What the server stores for a code location; queried at most once per look.
    fn entry(&mut self, name: &str) -> Option<&WorkspaceEntry> {
        self.entries()?.get(name)
    }

    fn entries(&mut self) -> Option<&BTreeMap<String, WorkspaceEntry>> {
        // A server that did not say before the update will not say now, so do not ask at each look.
        self.before.metadata.as_ref()?;
        let client = self.client;
        let ask = || client.witness().inspect_err(|error| client.host().detail(error.to_string())).ok();
        self.entries.get_or_insert_with(ask).as_ref()
    }

    /// Whether the server does not store the code location any more, although it accepted the update.
    fn is_gone(&mut self, name: &str) -> bool {
        match &self.stored {
            Some(stored) => !stored.contains_key(name),
            None => self.entries().is_some_and(|entries| !entries.contains_key(name)),
        }
    }

    /// Whether the update changed nothing: the server stores the same metadata as before.
    fn is_unchanged(&mut self, name: &str) -> bool {
        if self.before.same_documents {
            return false;
        }
        let Some(before) = self.before.metadata.as_ref().and_then(|before| before.get(name)) else {
            return false;
        };
        match &self.stored {
            Some(stored) => stored.get(name) == Some(before),
            None => self.entry(name).is_some_and(|entry| entry.metadata == *before),
        }
    }

    /// How the pending code locations fail, if a limit has passed. `waited` is measured before the query, so that one
    /// query always starts after the limit.
    fn out_of_time(
        &self,
        limits: WaitLimits,
        waited: Duration,
    ) -> Option<Box<dyn Fn(String) -> UpdateError + '_>> {
        match (limits.agent, limits.load) {
            (Some(limit), _) if !self.agent_seen && waited >= limit => Some(Box::new(move |location| {
                UpdateError::NoAgent { location, seconds: limit.as_secs(), errors: self.agent_errors.clone() }
            })),
            (_, Some(limit)) if waited >= limit => Some(Box::new(move |location| match self.agent_seen {
                true => UpdateError::LoadTimeout { location, seconds: limit.as_secs() },
                false => UpdateError::NoAgent {
                    location,
                    seconds: limit.as_secs(),
                    errors: self.agent_errors.clone(),
                },
            })),
            _ => None,
        }
    }

    /// Time until the next limit, so that the last query is made then and not up to a whole pause later.
    fn time_left(&self, limits: WaitLimits) -> Duration {
        let agent = limits.agent.filter(|_| !self.agent_seen);
        let next = agent.into_iter().chain(limits.load).min();
        next.map_or(LONGEST_PAUSE, |limit| limit.saturating_sub(self.elapsed()))
    }

    fn tell_outcome(&self, name: &str, result: &Result<Updated, UpdateError>) {
        let what = match result {
            Ok(_) => "loaded",
            Err(UpdateError::Overtaken { .. }) => "no longer there",
            Err(_) => "failed to load",
        };
        self.client.host().note(format!("{name}: {what} after {:.1} s", self.elapsed().as_secs_f64()));
    }

    fn tell(&self, pending: &[String], last_progress: &mut Option<(usize, Duration)>) {
        let now = self.elapsed();
        let due = last_progress
            .is_none_or(|(count, when)| count != pending.len() || now.saturating_sub(when) >= REMIND);
        if due {
            *last_progress = Some((pending.len(), now));
            let what = if self.agent_seen { "to load" } else { "for a running agent" };
            let names = match pending {
                [one, two, three, _, ..] => format!("{one}, {two}, {three} and {} more", pending.len() - 3),
                few => few.join(", "),
            };
            let seconds = self.elapsed().as_secs();
            self.client.host().note(format!("waiting {what}: {names} ({seconds} s)"));
        }
    }
}

/// What a state means, given the state before the update.
fn sight(
    now: &LoadState,
    before: Option<&LoadState>,
    seen_loading: bool,
    unchanged: impl FnOnce() -> bool,
) -> Sight {
    if !now.loaded || now.unclear {
        return Sight::Pending;
    }
    let failure = now.failure.clone();
    let Some(before) = before else { return Sight::Certain(failure) };
    let stamps = now.stamp.as_ref().zip(before.stamp.as_ref());
    let same_stamp = stamps.map(|(now, before)| now == before);
    if !before.loaded && same_stamp == Some(true) {
        // It was loading what another client deployed just before; this may be the end of that.
        return if unchanged() { Sight::Certain(failure) } else { Sight::Stale(failure) };
    }
    if !before.loaded || seen_loading || same_stamp == Some(false) || failure != before.failure {
        return Sight::Certain(failure);
    }
    match (unchanged(), failure.is_none(), stamps.is_some()) {
        (true, true, _) => Sight::Certain(None),
        // The same failure with the same metadata: the agent may be about to load it again.
        (true, false, _) => Sight::Doubtful(failure),
        // The stamp of the old version.
        (false, _, true) => Sight::Stale(failure),
        (false, _, false) => Sight::Doubtful(failure),
    }
}

#[cfg(test)]
mod tests;
