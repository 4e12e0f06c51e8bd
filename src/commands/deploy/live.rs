//! The report of a run while it is made: the stages put down what they know, and whoever listens hears of it.

use crate::report::{Report, Stage};
use crate::threads::lock;
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// Hears how a run goes. Called on the run's own threads: what takes time belongs elsewhere.
pub trait Listener: Send + Sync {
    /// A stage begins; the one before it has ended.
    fn stage(&self, _name: &'static str) {}
    /// Deployment and code locations are known, and building begins.
    fn planned(&self, _report: &Report) {}
}

/// For runs that nobody listens to.
pub struct NoListener;

impl Listener for NoListener {}

/// A report in the making. Cheap to clone; clones share it.
#[derive(Clone)]
pub struct Live(Arc<Inner>);

struct Inner {
    state: Mutex<State>,
    started: Instant,
    listener: Box<dyn Listener>,
}

#[derive(Default)]
struct State {
    report: Report,
    /// The last word is said; what stages that are still at work put down is lost.
    closed: bool,
}

impl Live {
    /// An empty report; the time of the run counts from here.
    pub fn new(listener: Box<dyn Listener>) -> Live {
        Live(Arc::new(Inner { state: Mutex::default(), started: Instant::now(), listener }))
    }

    /// Put something down.
    pub fn update<T>(&self, change: impl FnOnce(&mut Report) -> T) -> T {
        let mut state = self.lock();
        match state.closed {
            true => change(&mut state.report.clone()),
            false => change(&mut state.report),
        }
    }

    /// Put the last word down: the report stays as it is from here on, whatever is still at work.
    pub fn close(&self, change: impl FnOnce(&mut Report)) {
        let now = self.seconds();
        let mut state = self.lock();
        end_stage(&mut state.report, now);
        state.report.seconds = now;
        change(&mut state.report);
        state.closed = true;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        lock(&self.0.state)
    }

    /// A stage begins.
    pub fn stage(&self, name: &'static str) {
        let now = self.seconds();
        self.update(|report| {
            end_stage(report, now);
            report.stages.push(Stage { name, start: now, seconds: 0.0 });
        });
        if !self.lock().closed {
            self.0.listener.stage(name);
        }
    }

    /// Deployment and code locations are known.
    pub fn planned(&self) {
        let report = self.snapshot();
        if !self.lock().closed {
            self.0.listener.planned(&report);
        }
    }

    /// The report as it is now.
    pub fn snapshot(&self) -> Report {
        let now = self.seconds();
        self.update(|report| {
            end_stage(report, now);
            report.seconds = now;
            report.clone()
        })
    }

    /// Since the run began, to the millisecond.
    fn seconds(&self) -> f64 {
        (self.0.started.elapsed().as_secs_f64() * 1000.0).round() / 1000.0
    }
}

/// The stage that is at work has lasted until `now`.
fn end_stage(report: &mut Report, now: f64) {
    if let Some(last) = report.stages.last_mut() {
        last.seconds = ((now - last.start) * 1000.0).round() / 1000.0;
    }
}
