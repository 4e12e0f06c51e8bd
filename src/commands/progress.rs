//! The progress of a run: its stages record their results here, a listener is informed, and a signal ends it.

use crate::dagster::Session;
use crate::dagster::session::Begun;
use crate::report::{self, Ended, Report, Run};
use crate::threads::lock;
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// Receives the progress of a run. Called on the run's own threads, so it must return quickly.
pub trait Listener: Send + Sync {
    /// A stage begins; the one before it has ended.
    fn stage(&self, _name: &'static str) {}
    /// Deployment and code locations are known, and building begins.
    fn planned(&self, _report: &Report) {}
}

/// For runs without a listener.
impl Listener for () {}

/// The progress of a run. Cheap to clone; clones share it.
#[derive(Clone)]
pub struct Progress(Arc<Inner>);

struct Inner {
    session: Session,
    state: Mutex<State>,
    started: Instant,
    listener: Box<dyn Listener>,
}

#[derive(Default)]
struct State {
    run: Run,
    /// A signal came: the listener is no longer called.
    stopped: bool,
}

impl Default for Progress {
    /// For a run without a listener.
    fn default() -> Progress {
        Progress::new(Box::new(()))
    }
}

impl Progress {
    /// Nothing is reached yet; the time of the run counts from here.
    pub fn new(listener: Box<dyn Listener>) -> Progress {
        let (session, state) = (Session::default(), Mutex::default());
        Progress(Arc::new(Inner { session, state, started: Instant::now(), listener }))
    }

    /// Shared by all calls to Dagster+: after an interrupt, none of them starts.
    pub fn session(&self) -> &Session {
        &self.0.session
    }

    /// A stage begins.
    pub fn stage(&self, name: &'static str) {
        let now = self.seconds();
        let mut state = lock(&self.0.state);
        state.run.stages.push((name, now));
        let stopped = state.stopped;
        drop(state);
        if !stopped {
            self.0.listener.stage(name);
        }
    }

    /// Record the result of a stage.
    pub fn put(&self, put: impl FnOnce(&mut Run)) {
        put(&mut lock(&self.0.state).run);
    }

    /// Deployment and code locations are known.
    pub fn planned(&self) {
        let report = report::of_run(&self.reached(), &Ended::Running, self.seconds());
        if !lock(&self.0.state).stopped {
            self.0.listener.planned(&report);
        }
    }

    /// What the stages have reached so far.
    pub fn reached(&self) -> Run {
        lock(&self.0.state).run.clone()
    }

    /// Time since the run began, to the millisecond.
    pub fn seconds(&self) -> f64 {
        (self.0.started.elapsed().as_secs_f64() * 1000.0).round() / 1000.0
    }

    /// Stop: from here on nothing starts at Dagster+. Returns what had started there, and what the stages had reached.
    pub fn stop(&self) -> (Begun, Run) {
        let begun = self.0.session.interrupt();
        let mut state = lock(&self.0.state);
        state.stopped = true;
        (begun, state.run.clone())
    }
}
