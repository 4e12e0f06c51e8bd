//! Ctrl-C and SIGTERM: end what this process started, and report the state that was reached.
//!
//! The work runs in a separate thread while the main thread waits for it or for a signal, so no stage has to check.
//! Files are written under temporary names and then renamed, and each call to Dagster+ sets a value, so stopping
//! anywhere is safe.

use super::progress::Progress;
use crate::dagster::session::Begun;
use crate::error::Fault;
use crate::host::Host;
use crate::report::Run;
use crate::scratch;
use crate::threads::lock;
use crate::tools::children;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

/// An interrupted run.
#[derive(Debug)]
pub struct Stopped {
    /// The exit code: 128 and the signal's number.
    pub code: u8,
    /// What the stages had reached when the signal came.
    pub run: Run,
    /// What had started at Dagster+; `None` if the work could not even start.
    pub begun: Option<Begun>,
}

impl Stopped {
    fn early(fault: Fault) -> Box<Stopped> {
        Box::new(Stopped { code: fault.exit_code(), run: Run::default(), begun: None })
    }
}

/// The number of the last signal; 0 if none came.
static CAME: AtomicI32 = AtomicI32::new(0);

/// Run `work` until it ends, or until a signal; then report what was reached, with the exit code of that signal. `work`
/// gets a host that stops printing at a signal.
///
/// # Errors
/// When a signal came first.
pub fn guard<T: Send + 'static>(
    host: &Host,
    progress: &Progress,
    work: impl FnOnce(Host) -> T + Send + 'static,
) -> Result<T, Box<Stopped>> {
    let (sender, events) = mpsc::channel();
    let signals = watch_signals(sender.clone());
    // A signal that came before anything was guarded counts too: another listener has taken it.
    if let number @ 1.. = CAME.load(Ordering::SeqCst) {
        let _ = sender.send(Event::Signal(number));
    }
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
        return Err(Stopped::early(Fault::Tool));
    }
    let event = events.recv();
    signals.close();
    match event {
        Ok(Event::Done(Ok(result))) => Ok(result),
        Ok(Event::Done(Err(panic))) => resume_unwind(panic),
        Ok(Event::Signal(number)) => {
            // First, so that no call to Dagster+ starts while the message is put together.
            let (begun, run) = progress.stop();
            silent.store(true, Ordering::SeqCst);
            // A progress bar that is still there would share the line with the message.
            let _ = host.bars().clear();
            leave_nothing();
            host.say(&format!("interrupted: {}", run.left_behind(&begun)));
            // The shell's convention: 130 for SIGINT, 143 for SIGTERM.
            let code = u8::try_from(128 + number).unwrap_or(130);
            Err(Box::new(Stopped { code, run, begun: Some(begun) }))
        }
        // The worker always sends before it drops its sender.
        Err(mpsc::RecvError) => Err(Stopped::early(Fault::Bug)),
    }
}

/// End the children, which may be running the user's code, and then remove the files that they and we were writing.
fn leave_nothing() {
    // In this order: a running child would go on writing into the directories that are removed.
    children::end_all();
    scratch::remove_own();
}

/// From now on a signal ends the children too, before it ends this process as usual: for commands without a report or
/// document. Their work goes on until then, but no longer gets results from children.
#[cfg(unix)]
pub fn end_with_children() {
    let (sender, signals) = mpsc::channel::<Event<()>>();
    // It listens as long as the process runs.
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

/// When the first signal came. Listens from its start on, even while [`guard`] does not.
#[derive(Debug, Clone, Default)]
pub struct FirstSignal(Arc<Mutex<Option<Instant>>>);

impl FirstSignal {
    /// Begin to listen.
    pub fn listen() -> FirstSignal {
        let first = FirstSignal::default();
        let (sender, signals) = mpsc::channel::<Event<()>>();
        // It listens as long as the process runs.
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
            CAME.store(number, Ordering::SeqCst);
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
    #[should_panic(expected = "of its own")]
    fn a_panic_of_the_work_is_not_lost() {
        let host = crate::context::tests::host(&[]);
        let _ = guard(&host, &Progress::default(), |_| panic!("of its own"));
    }

    #[test]
    fn work_that_ends_gives_its_result() {
        let host = crate::context::tests::host(&[]);
        assert_eq!(guard(&host, &Progress::default(), |_| 7).unwrap(), 7);
    }
}
