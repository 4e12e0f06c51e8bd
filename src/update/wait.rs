//! Watching updated code locations until each has loaded, failed, or run out of time.
//!
//! What a code location shows just after an update may still be its old version, loaded long ago. A `LOADED` counts
//! only as news: the location was seen loading, was not there before, carries another load stamp, or was updated to
//! exactly what it was (so old and new are the same). Where a server tells none of that, it has to stay `LOADED` for
//! a while.

use super::{Before, Outcome, Phase, UpdateError, Updated, metadata};
use crate::context::inputs::WaitLimits;
use crate::dagster::Client;
use crate::dagster::operations::{LocationState, PythonFailure};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// For so long a `LOADED` of which nothing tells that it is new has to last: twice the other client's polling interval.
const SETTLE: Duration = Duration::from_secs(6);
/// Between two lines of progress when nothing changes.
const REMIND: Duration = Duration::from_secs(15);

/// What one look told of one code location.
#[derive(Debug, Clone, PartialEq)]
enum Sight {
    /// Nothing certain yet.
    Pending,
    /// Loaded, but maybe the version from before.
    Doubtful(Option<PythonFailure>),
    /// The new version has loaded, or failed to.
    Certain(Option<PythonFailure>),
}

struct Watch<'a> {
    client: &'a Client,
    before: &'a Before,
    began: SystemTime,
    seen_loading: BTreeSet<String>,
    doubtful_since: BTreeMap<String, SystemTime>,
    /// Whether the server now has the same metadata as before, asked for once when it matters.
    unchanged: Option<BTreeSet<String>>,
    agent_seen: bool,
    agent_errors: Vec<String>,
}

/// Wait for the code locations called `awaited`, which were updated just now.
pub(super) fn run(
    client: &Client,
    awaited: Vec<String>,
    before: &Before,
    limits: WaitLimits,
    reached: &dyn Fn(Phase),
) -> Vec<Outcome> {
    let began = client.host().clock.now();
    let mut watch = Watch {
        client,
        before,
        began,
        seen_loading: BTreeSet::new(),
        doubtful_since: BTreeMap::new(),
        unchanged: None,
        agent_seen: false,
        agent_errors: Vec::new(),
    };
    let mut pending = awaited;
    let mut outcomes = Vec::new();
    let mut pause = FIRST_PAUSE;
    let mut told: Option<(usize, SystemTime)> = None;
    while !pending.is_empty() {
        reached(Phase::Waiting(pending.clone()));
        let waited = watch.elapsed();
        if let Err(source) = watch.look(&mut pending, &mut outcomes) {
            let source = Arc::new(source);
            outcomes.extend(pending.drain(..).map(|location| {
                let error = UpdateError::Unseen { location: location.clone(), source: Arc::clone(&source) };
                Outcome { name: location, result: Err(error) }
            }));
        } else if let Some(fail) = watch.out_of_time(limits, waited) {
            outcomes.extend(
                pending
                    .drain(..)
                    .map(|location| Outcome { result: Err(fail(location.clone())), name: location }),
            );
        } else if !pending.is_empty() {
            watch.tell(&pending, &mut told);
            client.host().clock.sleep(pause.min(watch.time_left(limits)));
            pause = pause.mul_f64(1.5).min(LONGEST_PAUSE);
        }
    }
    outcomes
}

impl Watch<'_> {
    fn elapsed(&self) -> Duration {
        self.client.host().clock.now().duration_since(self.began).unwrap_or_default()
    }

    /// Look once: at the agents until one has been seen running, and at the code locations.
    fn look(
        &mut self,
        pending: &mut Vec<String>,
        outcomes: &mut Vec<Outcome>,
    ) -> Result<(), crate::dagster::DagsterError> {
        let client = self.client;
        let (agents, states) = std::thread::scope(|scope| {
            let agents = (!self.agent_seen).then(|| scope.spawn(|| client.agents()));
            let states = client.workspace();
            let agents =
                agents.map(|asked| asked.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            (agents, states)
        });
        if let Some(agents) = agents {
            let agents = agents?;
            self.agent_seen = agents.iter().any(|agent| agent.is_running());
            self.agent_errors = agents.into_iter().flat_map(|agent| agent.errors).collect();
        }
        let states: BTreeMap<_, _> = states?.into_iter().map(|state| (state.name.clone(), state)).collect();
        let mut still = Vec::new();
        for name in pending.drain(..) {
            match self.outcome(states.get(&name)) {
                // Whatever shows as loaded, without an agent nothing was loaded just now.
                Some(failure) if self.agent_seen => {
                    let result = match failure {
                        None => Ok(Updated::Loaded),
                        Some(failure) => Err(UpdateError::Load { location: name.clone(), failure }),
                    };
                    self.tell_outcome(&name, result.is_ok());
                    outcomes.push(Outcome { name, result });
                }
                _ => still.push(name),
            }
        }
        *pending = still;
        Ok(())
    }

    /// What this look settles: `Some(None)` for loaded, `Some(Some(_))` for failed, `None` for not yet.
    #[allow(clippy::option_option)]
    fn outcome(&mut self, state: Option<&LocationState>) -> Option<Option<PythonFailure>> {
        let state = state?;
        if !state.loaded {
            self.seen_loading.insert(state.name.clone());
            self.doubtful_since.remove(&state.name);
        }
        let seen_loading = self.seen_loading.contains(&state.name);
        let before = self.before.states.get(&state.name);
        match sight(state, before, seen_loading, || self.is_unchanged(&state.name)) {
            Sight::Pending => None,
            Sight::Certain(failure) => Some(failure),
            Sight::Doubtful(failure) => {
                let now = self.client.host().clock.now();
                let since = *self.doubtful_since.entry(state.name.clone()).or_insert(now);
                (now.duration_since(since).unwrap_or_default() >= SETTLE).then_some(failure)
            }
        }
    }

    /// Whether the update changed nothing: the server keeps the same metadata as before it.
    fn is_unchanged(&mut self, name: &str) -> bool {
        let (client, before) = (self.client, self.before);
        let unchanged = self.unchanged.get_or_insert_with(|| match (&before.metadata, metadata(client)) {
            (Some(before), Some(now)) => {
                let same = now.into_iter().filter(|(name, entry)| before.get(name) == Some(entry));
                same.map(|(name, _)| name).collect()
            }
            _ => BTreeSet::new(),
        });
        unchanged.contains(name)
    }

    /// How the rest fails, if a limit has passed.
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

    /// Until the next limit.
    fn time_left(&self, limits: WaitLimits) -> Duration {
        let agent = limits.agent.filter(|_| !self.agent_seen);
        let next = agent.into_iter().chain(limits.load).min();
        next.map_or(LONGEST_PAUSE, |limit| limit.saturating_sub(self.elapsed()))
    }

    fn tell_outcome(&self, name: &str, loaded: bool) {
        let what = if loaded { "loaded" } else { "failed to load" };
        self.client.host().note(format!("{name}: {what} after {:.1} s", self.elapsed().as_secs_f64()));
    }

    fn tell(&self, pending: &[String], told: &mut Option<(usize, SystemTime)>) {
        let now = self.client.host().clock.now();
        let due = told.is_none_or(|(count, when)| {
            count != pending.len() || now.duration_since(when).unwrap_or_default() >= REMIND
        });
        if due {
            *told = Some((pending.len(), now));
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

/// What a state tells, given the one before the update.
fn sight(
    now: &LocationState,
    before: Option<&LocationState>,
    seen_loading: bool,
    unchanged: impl FnOnce() -> bool,
) -> Sight {
    if !now.loaded {
        return Sight::Pending;
    }
    let failure = now.failure.clone();
    let Some(before) = before.filter(|before| before.loaded && !seen_loading) else {
        return Sight::Certain(failure);
    };
    let stamps = now.stamp.as_ref().zip(before.stamp.as_ref());
    if stamps.is_some_and(|(now, before)| now != before) || (failure != before.failure) {
        return Sight::Certain(failure);
    }
    match (unchanged(), failure.is_none(), stamps.is_some()) {
        (true, true, _) => Sight::Certain(None),
        // The same failure of the same metadata: the agent may be about to try again.
        (true, false, _) => Sight::Doubtful(failure),
        // The stamp of the version from before.
        (false, _, true) => Sight::Pending,
        (false, _, false) => Sight::Doubtful(failure),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dagster::operations::LoadStamp;

    fn state(loaded: bool, stamp: Option<f64>, failure: Option<&str>) -> LocationState {
        LocationState {
            name: "one".into(),
            loaded,
            failure: failure.map(|message| PythonFailure {
                message: message.into(),
                stack: Vec::new(),
                chain: Vec::new(),
            }),
            stamp: stamp.map(|updated_seconds| LoadStamp { updated_seconds, version: String::new() }),
        }
    }

    #[test]
    fn the_version_from_before_is_not_taken_for_the_new_one() {
        let old = state(true, Some(1.0), None);
        let blind = state(true, None, None);
        let failed = state(true, Some(1.0), Some("boom"));
        let certain = Sight::Certain(None);
        let boom = failed.failure.clone();
        for (case, now, before, seen_loading, unchanged, want) in [
            ("loading", state(false, Some(2.0), None), Some(&old), false, false, Sight::Pending),
            ("new location", state(true, Some(2.0), None), None, false, false, certain.clone()),
            ("new stamp", state(true, Some(2.0), None), Some(&old), false, false, certain.clone()),
            ("old stamp", old.clone(), Some(&old), false, false, Sight::Pending),
            ("old stamp, seen loading", old.clone(), Some(&old), true, false, certain.clone()),
            ("old stamp, same document", old.clone(), Some(&old), false, true, certain.clone()),
            (
                "was loading before",
                old.clone(),
                Some(&state(false, Some(1.0), None)),
                false,
                false,
                certain.clone(),
            ),
            ("no stamps", blind.clone(), Some(&blind), false, false, Sight::Doubtful(None)),
            ("no stamps, same document", blind.clone(), Some(&blind), false, true, certain.clone()),
            ("failed anew", failed.clone(), Some(&old), false, false, Sight::Certain(boom.clone())),
            ("failed before", failed.clone(), Some(&failed), false, false, Sight::Pending),
            (
                "failed before, same document",
                failed.clone(),
                Some(&failed),
                false,
                true,
                Sight::Doubtful(boom),
            ),
        ] {
            assert_eq!(sight(&now, before, seen_loading, || unchanged), want, "{case}");
        }
    }
}
