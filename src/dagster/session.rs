//! What the calls of one run share: whether it was interrupted or is over, and what was begun.
//!
//! Every request to Dagster+ and to its object store asks here whether it may begin. After [`Session::interrupt`] none
//! does, and [`Session::begun`] says what had begun by then, from the same lock, so that a report cannot miss a request
//! that was on its way.

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

/// Whether the registry hands out URLs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Reach {
    /// Nobody has asked yet.
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
    /// What ended the run: nothing that is asked from then on would be answered.
    over: Option<Arc<DagsterError>>,
    begun: Begun,
    /// Documents whose fields this server does not know, by the file they are in.
    unknown: BTreeSet<&'static str>,
    /// What went wrong and was said, of many that may go wrong in the same way.
    said: BTreeSet<String>,
}

/// Requests that change something and were sent, whatever came of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Begun {
    /// A branch deployment was created or changed.
    pub branch_deployment: bool,
    /// PEX files of which at least the beginning was sent.
    pub uploads: BTreeSet<String>,
    /// PEX files that the store has taken.
    pub uploaded: BTreeSet<String>,
    /// Code locations were updated.
    pub update: bool,
}

/// What a request would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind<'a> {
    Question,
    BranchDeployment,
    Upload(&'a str),
    Update,
}

impl Session {
    /// From now on no request begins. Gives what had begun.
    pub fn interrupt(&self) -> Begun {
        let mut state = self.lock();
        state.interrupted = true;
        state.begun.clone()
    }

    /// What has begun so far.
    pub fn begun(&self) -> Begun {
        self.lock().begun.clone()
    }

    /// What ended the run at Dagster+, if anything did: a refused token, or no way to the registry.
    pub fn end(&self) -> Option<Arc<DagsterError>> {
        self.lock().over.clone()
    }

    /// Whether no request begins any more.
    pub fn is_over(&self) -> bool {
        let state = self.lock();
        state.interrupted || state.over.is_some()
    }

    /// Whether a request may begin. `doing` is what it is for.
    pub(super) fn begin(&self, kind: Kind<'_>, doing: &str) -> Result<(), DagsterError> {
        let mut state = self.lock();
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
            Kind::Upload(_) => {}
            Kind::Update => state.begun.update = true,
        }
        Ok(())
    }

    /// The store has taken a file.
    pub(super) fn uploaded(&self, name: &str) {
        if name.ends_with(".pex") {
            self.lock().begun.uploaded.insert(name.into());
        }
    }

    /// Nothing that is asked from now on would be answered: from here on no request begins.
    pub(super) fn end_with(&self, error: DagsterError) {
        self.lock().over.get_or_insert_with(|| Arc::new(error));
    }

    /// Whether the server is known not to know the fields of a document.
    pub(super) fn is_unknown(&self, document: &'static str) -> bool {
        self.lock().unknown.contains(document)
    }

    /// The server does not know the fields of a document, so that it need not be asked again.
    pub(super) fn remember_unknown(&self, document: &'static str) {
        self.lock().unknown.insert(document);
    }

    /// Whether this is the first time that `what` is to be said.
    pub(super) fn is_first(&self, what: String) -> bool {
        self.lock().said.insert(what)
    }

    /// Whether the registry hands out URLs. Whoever finds that it has not answered yet keeps the lock while asking: of
    /// many that ask at once, only the first outlasts what goes wrong.
    pub(super) fn registry(&self) -> MutexGuard<'_, Reach> {
        lock(&self.registry)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}
