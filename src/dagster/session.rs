//! The state that all calls of a run share: whether it was interrupted or is over, and which requests were started.
//!
//! Every request to Dagster+ and its object store asks here whether it may start. After [`Session::interrupt`] none
//! may; it returns what was started by then, under the same lock, so that a report cannot miss a request that was just
//! being sent.

use super::error::DagsterError;
use crate::threads::lock;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard};

/// Shared by the clients of a run. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Session {
    state: Arc<Mutex<State>>,
    registry: Arc<Mutex<Reach>>,
}

/// Whether the registry provides URLs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Reach {
    /// Not asked yet.
    #[default]
    Untried,
    /// It has answered.
    Fine,
    /// It did not answer within the retries.
    Failed,
}

#[derive(Debug, Default)]
struct State {
    interrupted: bool,
    /// The error that ended the run: later requests would fail too.
    over: Option<Arc<DagsterError>>,
    begun: Begun,
    /// Documents with fields that this server does not know.
    unknown: BTreeSet<&'static str>,
    /// Errors that were already reported, so that each is reported once.
    said: BTreeSet<String>,
}

/// Requests with effects that were sent, whatever their results.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Begun {
    /// A branch deployment was created or updated.
    pub branch_deployment: bool,
    /// PEX files with a started upload.
    pub uploads: BTreeSet<String>,
    /// PEX files that the store has accepted.
    pub uploaded: BTreeSet<String>,
    /// Code locations were updated.
    pub update: bool,
    /// A code location or branch deployment was removed.
    pub removal: bool,
    /// A run was launched.
    pub launch: bool,
    /// A state of definitions was sent or made the latest one.
    pub defs_state: bool,
}

/// The effect of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind<'a> {
    Question,
    BranchDeployment,
    Upload(&'a str),
    Update,
    Launch,
    DefsState,
    Removal,
}

impl Session {
    /// Start no more requests. Returns what was started before.
    pub fn interrupt(&self) -> Begun {
        let mut state = self.lock();
        // Under the same lock as `begin`, so that no request can start after the copy is made.
        state.interrupted = true;
        state.begun.clone()
    }

    /// The error that ended the run at Dagster+, if any: a refused token, or an unreachable registry.
    pub fn end(&self) -> Option<Arc<DagsterError>> {
        self.lock().over.clone()
    }

    /// Whether no more requests may start.
    pub fn is_over(&self) -> bool {
        let state = self.lock();
        state.interrupted || state.over.is_some()
    }

    /// Check that a request may start, and record it. `doing` is its task.
    pub(super) fn begin(&self, kind: Kind<'_>, doing: &str) -> Result<(), DagsterError> {
        let mut state = self.lock();
        // Checked first: after an interrupt, that is the reason that the user should see.
        if state.interrupted {
            return Err(DagsterError::Interrupted { doing: doing.into() });
        }
        if let Some(error) = &state.over {
            return Err(DagsterError::Over(Arc::clone(error)));
        }
        match kind {
            Kind::Question => {}
            Kind::BranchDeployment => state.begun.branch_deployment = true,
            Kind::Upload(name) if name.ends_with(".pex") => drop(state.begun.uploads.insert(name.into())),
            // Deps cache entries are not listed in reports: without them only a later build is slower.
            Kind::Upload(_) => {}
            Kind::Update => state.begun.update = true,
            Kind::Launch => state.begun.launch = true,
            Kind::DefsState => state.begun.defs_state = true,
            Kind::Removal => state.begun.removal = true,
        }
        Ok(())
    }

    /// Record that the store has accepted a file.
    pub(super) fn uploaded(&self, name: &str) {
        if name.ends_with(".pex") {
            self.lock().begun.uploaded.insert(name.into());
        }
    }

    /// End the run with an error: no more requests start.
    pub(super) fn end_with(&self, error: DagsterError) {
        self.lock().over.get_or_insert_with(|| Arc::new(error));
    }

    /// Whether the server does not know the fields of a document.
    pub(super) fn is_unknown(&self, document: &'static str) -> bool {
        self.lock().unknown.contains(document)
    }

    /// Record that the server does not know the fields of a document, so that it is not sent again.
    pub(super) fn remember_unknown(&self, document: &'static str) {
        self.lock().unknown.insert(document);
    }

    /// Whether `what` was not reported before.
    pub(super) fn is_first(&self, what: String) -> bool {
        self.lock().said.insert(what)
    }

    /// Whether the registry provides URLs. A caller that finds `Untried` or `Failed` must keep the lock during its
    /// request, so that of many parallel calls only the first one goes through all retries.
    pub(super) fn registry(&self) -> MutexGuard<'_, Reach> {
        lock(&self.registry)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}
