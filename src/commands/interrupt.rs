//! Ctrl-C and SIGTERM: end what this process started, and say what state was reached.
//!
//! The work runs in a thread of its own while the main one waits for it or for a signal, so that no stage has to ask.
//! What is written is whole or not there (temporary names), and each call to Dagster+ sets a value, so stopping
//! anywhere is safe.

use crate::dagster::Session;
use crate::dagster::session::Begun;
use crate::error::Fault;
use crate::host::Host;
use crate::report::State;
use crate::scratch;
use crate::threads::lock;
use crate::tools::children;
use crate::update::Phase;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

/// Where the stages leave word of how far they came. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Reached {
    session: Session,
    progress: Arc<Mutex<Progress>>,
}

#[derive(Debug, Clone, Default)]
struct Progress {
    /// The branch deployment that was created or brought up to date.
    branch_deployment: Option<String>,
    /// The branch deployment is only to be closed.
    closing: bool,
    /// The code locations that an update was begun for.
    locations: BTreeMap<String, State>,
}

impl Reached {
    /// What the calls to Dagster+ share: after an interrupt, none of them begins.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// A branch deployment was created or brought up to date.
    pub fn set_branch_deployment(&self, name: &str) {
        self.progress().branch_deployment = Some(name.into());
    }

    /// The branch deployment of a closed pull request is to be closed, and nothing else.
    pub fn set_closing(&self) {
        self.progress().closing = true;
    }

    /// An update has come this far.
    pub fn set_phase(&self, phase: Phase) {
        let mut progress = self.progress();
        let mut set = |names: Vec<String>, state| {
            progress.locations.extend(names.into_iter().map(|name| (name, state)));
        };
        match phase {
            Phase::Updating(names) => set(names, State::Unknown),
            Phase::Waiting(names) => set(names, State::Loading),
            Phase::Settled(name, loaded) => {
                set(vec![name], if loaded { State::Loaded } else { State::FailedToLoad });
            }
        }
    }

    /// Stop, and take down what was reached: from here on nothing begins, and this does not change.
    fn stop(&self) -> Interrupted {
        let begun = self.session.interrupt();
        Interrupted { begun, progress: self.progress().clone() }
    }

    fn progress(&self) -> std::sync::MutexGuard<'_, Progress> {
        lock(&self.progress)
    }
}

/// What an interrupted run leaves behind. Log and reports are made from it, so that they cannot disagree.
#[derive(Debug, Clone)]
pub struct Interrupted {
    begun: Begun,
    progress: Progress,
}

impl Interrupted {
    /// How far a code location came; `None` where its update had not begun.
    pub fn state(&self, name: &str) -> Option<State> {
        self.progress.locations.get(name).copied().filter(|_| self.begun.update)
    }

    /// Whether anything may have changed at Dagster+.
    pub fn changed(&self) -> bool {
        self.begun != Begun::default()
    }

    /// Whether the store has taken this PEX file.
    pub fn is_uploaded(&self, name: &str) -> bool {
        self.begun.uploaded.contains(name)
    }

    /// In a sentence.
    pub fn sentence(&self) -> String {
        if self.progress.closing && self.begun.branch_deployment {
            return "the branch deployment may or may not have been closed".into();
        }
        let names = |wanted: &[State]| -> Vec<&str> {
            let locations = self.progress.locations.iter().filter(|_| self.begun.update);
            locations.filter(|(_, state)| wanted.contains(state)).map(|(name, _)| name.as_str()).collect()
        };
        let updated: Vec<String> = [
            ("may or may not have been updated", names(&[State::Unknown])),
            ("had been updated and not been seen to load", names(&[State::Loading])),
            ("had loaded", names(&[State::Loaded])),
            ("had failed to load", names(&[State::FailedToLoad])),
        ]
        .into_iter()
        .filter(|(_, names)| !names.is_empty())
        .map(|(what, names)| format!("{} {what}", some(&names)))
        .collect();
        let branch = match (&self.progress.branch_deployment, self.begun.branch_deployment) {
            (Some(name), _) => Some(format!("the branch deployment {name} was brought up to date")),
            (None, true) => Some("the branch deployment may have been created or changed".into()),
            (None, false) => None,
        };
        let uploads = match (self.begun.uploaded.len(), self.begun.uploads.len()) {
            (_, 0) => None,
            (done, all) if done == all => Some(format!("{} had been uploaded", count(all))),
            (0, all) => Some(format!("the upload of {} had begun", count(all))),
            (done, all) => Some(format!("{done} of {} had been uploaded whole", count(all))),
        };
        match (updated.is_empty(), uploads.or(branch)) {
            (false, _) => format!("{}; `pexpress status` shows it", updated.join("; ")),
            (true, Some(what)) => format!("{what}, and no code location was changed"),
            (true, None) => "nothing was changed at Dagster+".into(),
        }
    }
}

fn count(files: usize) -> String {
    crate::report::table::count(files, "PEX file")
}

fn some(names: &[&str]) -> String {
    match names {
        [one, two, three, _, ..] => format!("{one}, {two}, {three} and {} more", names.len() - 3),
        few => few.join(", "),
    }
}

/// Why there is no result.
#[derive(Debug)]
pub struct Stopped {
    /// The exit code: 128 and the signal's number.
    pub code: u8,
    /// What was reached; `None` where the work could not even begin.
    pub interrupted: Option<Interrupted>,
}

/// Run `work` until it ends, or until a signal; then say what was reached and give the exit code of that signal. `work`
/// gets a host that falls silent at a signal.
///
/// # Errors
/// When a signal came first.
pub fn guard<T: Send + 'static>(
    host: &Host,
    reached: &Reached,
    work: impl FnOnce(Host) -> T + Send + 'static,
) -> Result<T, Stopped> {
    let (sender, events) = mpsc::channel();
    let signals = watch_signals(sender.clone());
    let silent = Arc::new(AtomicBool::new(false));
    let own_host = host.until(&silent);
    let work = move || {
        let result = catch_unwind(AssertUnwindSafe(|| work(own_host)));
        // The receiver is gone only when a signal came first.
        let _ = sender.send(Event::Done(result));
    };
    // As much stack as the main thread usually has.
    if let Err(error) = std::thread::Builder::new().stack_size(8 << 20).spawn(work) {
        host.say(&format!("error: could not start a thread\n  caused by: {error}"));
        return Err(Stopped { code: Fault::Tool.exit_code(), interrupted: None });
    }
    let event = events.recv();
    signals.close();
    match event {
        Ok(Event::Done(Ok(result))) => Ok(result),
        Ok(Event::Done(Err(panic))) => resume_unwind(panic),
        Ok(Event::Signal(number)) => {
            let interrupted = reached.stop();
            silent.store(true, Ordering::SeqCst);
            // A bar that is left would stay on the line of the last word.
            let _ = host.bars().clear();
            leave_nothing();
            host.say(&format!("interrupted: {}", interrupted.sentence()));
            let code = u8::try_from(128 + number).unwrap_or(130);
            Err(Stopped { code, interrupted: Some(interrupted) })
        }
        // The worker always sends before it drops its sender.
        Err(mpsc::RecvError) => Err(Stopped { code: Fault::Bug.exit_code(), interrupted: None }),
    }
}

/// End the children, which may be running the user's code, and then remove the files that they and we were writing.
fn leave_nothing() {
    children::end_all();
    scratch::remove_own();
}

/// From now on a signal ends the children too, before it ends this process as usual: for what has no report and no
/// document. Its work goes on until then, but hears of no child any more.
#[cfg(unix)]
pub fn end_with_children() {
    let (sender, signals) = mpsc::channel::<Event<()>>();
    // It listens as long as the process is there.
    let _ = watch_signals(sender);
    std::thread::spawn(move || {
        if let Ok(Event::Signal(number)) = signals.recv() {
            leave_nothing();
            // Nothing can be done if even that fails.
            let _ = signal_hook::low_level::emulate_default_handler(number);
        }
    });
}

#[cfg(not(unix))]
#[allow(missing_docs)]
pub fn end_with_children() {}

/// When the first signal came. Listens from its start on, also while [`guard`] does not.
#[derive(Debug, Clone, Default)]
pub struct FirstSignal(Arc<Mutex<Option<Instant>>>);

impl FirstSignal {
    /// Begin to listen.
    pub fn listen() -> FirstSignal {
        let first = FirstSignal::default();
        let (sender, signals) = mpsc::channel::<Event<()>>();
        // It listens as long as the process is there.
        let _ = watch_signals(sender);
        let heard = first.clone();
        std::thread::spawn(move || {
            if signals.recv().is_ok() {
                *lock(&heard.0) = Some(Instant::now());
            }
        });
        first
    }

    /// How long ago it came.
    pub fn elapsed(&self) -> Option<Duration> {
        lock(&self.0).map(|came| came.elapsed())
    }
}

enum Event<T> {
    Done(std::thread::Result<T>),
    Signal(i32),
}

#[cfg(unix)]
use signal_hook::iterator::{Handle, Signals};

/// Forward SIGINT and SIGTERM; without a handler they end the process as usual.
#[cfg(unix)]
fn watch_signals<T: Send + 'static>(sender: mpsc::Sender<Event<T>>) -> Watch {
    use signal_hook::consts::{SIGINT, SIGTERM};
    let Ok(mut signals) = Signals::new([SIGINT, SIGTERM]) else { return Watch(None) };
    let handle = signals.handle();
    std::thread::spawn(move || {
        for number in signals.forever() {
            // The receiver is gone once the work is done.
            let _ = sender.send(Event::Signal(number));
        }
    });
    Watch(Some(handle))
}

#[cfg(unix)]
struct Watch(Option<Handle>);

#[cfg(unix)]
impl Watch {
    fn close(self) {
        if let Some(handle) = self.0 {
            handle.close();
        }
    }
}

#[cfg(not(unix))]
struct Watch;

#[cfg(not(unix))]
impl Watch {
    fn close(self) {}
}

#[cfg(not(unix))]
fn watch_signals<T: Send + 'static>(_: mpsc::Sender<Event<T>>) -> Watch {
    Watch
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_reached_is_said_in_a_sentence() {
        let names = |count: usize| (0..count).map(|n| format!("l{n}")).collect::<Vec<String>>();
        let files = |count: usize| names(count).into_iter().collect();
        let said = |begun: Begun, set: &dyn Fn(&Reached)| {
            let reached = Reached::default();
            set(&reached);
            Interrupted { begun, ..reached.stop() }.sentence()
        };
        let update = || Begun { update: true, uploads: files(2), uploaded: files(2), ..Begun::default() };
        let all = [
            said(Begun::default(), &|_| {}),
            // Announced, and stopped before its request began.
            said(Begun::default(), &|reached| reached.set_phase(Phase::Updating(names(1)))),
            said(Begun { branch_deployment: true, ..Begun::default() }, &|_| {}),
            said(Begun { branch_deployment: true, ..Begun::default() }, &|reached| {
                reached.set_branch_deployment("79afebd");
            }),
            said(Begun { branch_deployment: true, ..Begun::default() }, &Reached::set_closing),
            said(Begun::default(), &Reached::set_closing),
            said(Begun { uploads: files(2), ..Begun::default() }, &|_| {}),
            said(Begun { uploads: files(2), uploaded: files(1), ..Begun::default() }, &|_| {}),
            said(Begun { uploads: files(1), uploaded: files(1), ..Begun::default() }, &|_| {}),
            said(update(), &|reached| reached.set_phase(Phase::Updating(names(5)))),
            said(update(), &|reached| {
                reached.set_phase(Phase::Updating(names(3)));
                reached.set_phase(Phase::Waiting(names(2)));
                reached.set_phase(Phase::Settled("l0".into(), true));
            }),
        ];
        insta::assert_snapshot!(all.join("\n"), @r#"
        nothing was changed at Dagster+
        nothing was changed at Dagster+
        the branch deployment may have been created or changed, and no code location was changed
        the branch deployment 79afebd was brought up to date, and no code location was changed
        the branch deployment may or may not have been closed
        nothing was changed at Dagster+
        the upload of 2 PEX files had begun, and no code location was changed
        1 of 2 PEX files had been uploaded whole, and no code location was changed
        1 PEX file had been uploaded, and no code location was changed
        l0, l1, l2 and 2 more may or may not have been updated; `pexpress status` shows it
        l2 may or may not have been updated; l1 had been updated and not been seen to load; l0 had loaded; `pexpress status` shows it
        "#);
    }

    #[test]
    #[should_panic(expected = "of its own")]
    fn a_panic_of_the_work_is_not_lost() {
        let host = crate::context::tests::host(&[]);
        let _ = guard(&host, &Reached::default(), |_| panic!("of its own"));
    }

    #[test]
    fn work_that_ends_gives_its_result() {
        let host = crate::context::tests::host(&[]);
        assert_eq!(guard(&host, &Reached::default(), |_| 7).unwrap(), 7);
    }
}
