//! What a run is to do about its code locations, whether they run PEX files or images: one call for all updates, and one
//! wait for all of them.

use super::{Online, Outcome, Phase, Update, finish, images};
use crate::plan::Plan;
use crate::publish::SentFiles;
use std::collections::BTreeMap;

/// Code locations that are to be updated, and those whose outcome is known already.
#[derive(Debug, Default)]
pub struct Intended {
    pub(super) outcomes: Vec<Outcome>,
    pub(super) updates: Vec<Update>,
    /// How the PEX files of the former were stored.
    pub(super) stored: BTreeMap<String, SentFiles>,
}

impl Intended {
    /// With those of `other` after its own.
    pub fn and(mut self, other: Intended) -> Intended {
        self.outcomes.extend(other.outcomes);
        self.updates.extend(other.updates);
        self.stored.extend(other.stored);
        self
    }

    /// Code locations whose images are not in their registries, with their outcomes.
    pub fn refused(outcomes: Vec<Outcome>) -> Intended {
        Intended { outcomes, ..Intended::default() }
    }
}

impl Online {
    /// Update the code locations, and wait for them. `plan` has those that run from PEX files; `reached` is called with
    /// the progress.
    pub fn update(&self, intended: Intended, plan: Option<&Plan>, reached: &dyn Fn(Phase)) -> Vec<Outcome> {
        let Intended { mut outcomes, updates, stored } = intended;
        let Some(before) = self.before.as_ref().filter(|_| !updates.is_empty()) else { return outcomes };
        let limits = self.limits(updates.iter().any(|update| update.document.contains_key("agent_queue")));
        let mut updated = super::run(&self.client.patient(), updates, before, limits, reached);
        for outcome in &mut updated {
            outcome.sent = stored.get(&outcome.name).copied();
            match plan.filter(|_| outcome.sent.is_some()) {
                Some(plan) => finish::explain(outcome, plan, self.client.host()),
                None => images::explain(outcome),
            }
        }
        outcomes.extend(updated);
        outcomes
    }
}
