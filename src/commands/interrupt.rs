//! Ctrl-C and SIGTERM during a deployment: stop, and say what state was reached.
//!
//! The work runs in a thread of its own while the main one waits for it or for a signal, so that no stage has to ask.
//! What is written is whole or not there (temporary names), and each call to Dagster+ sets a value, so stopping
//! anywhere is safe.

use crate::error::Fault;
use crate::host::Host;
use crate::scratch;
use crate::update::Phase;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, mpsc};

/// How far a deployment has come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum State {
    /// Nothing was changed anywhere else.
    #[default]
    Unchanged,
    /// A branch deployment was created or brought up to date.
    BranchDeployment(String),
    /// PEX files are or were sent; no code location was changed.
    Uploading,
    /// Code locations are being changed.
    Updating(Vec<String>),
    /// Code locations were changed and have not been seen to load.
    Waiting(Vec<String>),
}

/// Where the stages leave word of how far they came. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Reached(Arc<Mutex<State>>);

impl Reached {
    /// The deployment has come this far.
    pub fn set(&self, state: State) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }

    /// An update has come this far.
    pub fn set_phase(&self, phase: Phase) {
        self.set(match phase {
            Phase::Updating(names) => State::Updating(names),
            Phase::Waiting(names) => State::Waiting(names),
        });
    }

    fn state(&self) -> State {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What a deployment that came so far leaves behind, in one sentence.
fn sentence(state: &State) -> String {
    let some = |names: &[String]| match names {
        [one, two, three, _, ..] => format!("{one}, {two}, {three} and {} more", names.len() - 3),
        few => few.join(", "),
    };
    match state {
        State::Unchanged => "nothing was changed at Dagster+".into(),
        State::BranchDeployment(name) => {
            format!("the branch deployment {name} was brought up to date, and no code location was changed")
        }
        State::Uploading => "PEX files may have been uploaded, and no code location was changed".into(),
        State::Updating(names) => format!(
            "these code locations may or may not have been updated: {}; `pexpress status` shows it",
            some(names)
        ),
        State::Waiting(names) => format!(
            "these code locations were updated and had not been seen to load: {}; `pexpress status` shows it",
            some(names)
        ),
    }
}

/// Run `work` until it ends, or until a signal; then say what was reached and give the exit code of that signal.
///
/// # Errors
/// The exit code, 128 and the signal's number, when a signal came first.
pub fn guard<T: Send + 'static>(
    host: &Host,
    out_dir: &Path,
    reached: &Reached,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, u8> {
    let (sender, events) = mpsc::channel();
    let signals = watch_signals(sender.clone());
    let work = move || {
        let result = catch_unwind(AssertUnwindSafe(work));
        // The receiver is gone only when a signal came first.
        let _ = sender.send(Event::Done(result));
    };
    // As much stack as the main thread usually has.
    if let Err(error) = std::thread::Builder::new().stack_size(8 << 20).spawn(work) {
        host.say(&format!("error: could not start a thread\n  caused by: {error}"));
        return Err(Fault::Tool.exit_code());
    }
    let event = events.recv();
    signals.close();
    match event {
        Ok(Event::Done(Ok(result))) => Ok(result),
        Ok(Event::Done(Err(panic))) => resume_unwind(panic),
        Ok(Event::Signal(number)) => {
            // The spinner of what was going on would stay on the terminal.
            let _ = host.bars().clear();
            scratch::remove_own(out_dir);
            host.say(&format!("interrupted: {}", sentence(&reached.state())));
            Err(u8::try_from(128 + number).unwrap_or(130))
        }
        // The worker always sends before it drops its sender.
        Err(mpsc::RecvError) => Err(Fault::Bug.exit_code()),
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
        let names = |count: usize| (0..count).map(|n| format!("l{n}")).collect();
        for (state, want) in [
            (State::default(), "nothing was changed at Dagster+"),
            (State::Waiting(names(2)), "had not been seen to load: l0, l1; `pexpress status`"),
            (State::Updating(names(5)), "updated: l0, l1, l2 and 2 more; `pexpress status`"),
        ] {
            let got = sentence(&state);
            assert!(got.contains(want), "{got}");
        }
    }

    #[test]
    #[should_panic(expected = "of its own")]
    fn a_panic_of_the_work_is_not_lost() {
        let host = crate::context::tests::host(&[]);
        let _ = guard(&host, Path::new("/nonexistent"), &Reached::default(), || panic!("of its own"));
    }

    #[test]
    fn work_that_ends_gives_its_result() {
        let host = crate::context::tests::host(&[]);
        assert_eq!(guard(&host, Path::new("/nonexistent"), &Reached::default(), || 7), Ok(7));
    }
}
