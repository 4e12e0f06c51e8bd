//! The running child processes, so that none of them outlives an interrupted run.
//!
//! A signal may reach only this process: that is how GitHub's runner cancels a step. Children, including the user's own
//! code, would then continue without us. So [`end_all`] ends them before we exit: SIGTERM, then SIGKILL.
//!
//! Without a terminal, each child leads a process group, and the whole group is ended. With a terminal, children stay
//! in our group, because Ctrl-C goes there and ssh may ask for a passphrase; then only the child itself is ended. On
//! Linux, descendants of a child are ended in both cases, including those with a group or session of their own.
//!
//! A signal never reaches an unrelated process that got the same pid: a child is not reaped while it may be signalled,
//! so that its pid is not reused, and a descendant is signalled through a file descriptor.

use std::io;
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

#[cfg(target_os = "linux")]
mod descendants;
#[cfg(unix)]
mod unix;

#[cfg(unix)]
use unix::Children;

/// Time between SIGTERM and SIGKILL. The runner gives a cancelled step ten seconds for everything.
pub const GRACE: Duration = Duration::from_secs(1);

#[cfg(unix)]
static RUNNING: Children = Children::new();

/// Start a child that [`end_all`] will end. After that has started, this does not return.
///
/// # Errors
/// When it cannot be started.
#[cfg(unix)]
pub fn spawn(command: &mut Command) -> io::Result<Child> {
    RUNNING.spawn(command)
}

/// Wait for the end of a child. After [`end_all`] has started, this does not return: the status of a child that we
/// killed must not be reported as a failure of the user's project.
///
/// # Errors
/// When it cannot be waited for.
#[cfg(unix)]
pub fn wait(child: &mut Child) -> io::Result<ExitStatus> {
    RUNNING.wait(child)
}

/// Wait for the end of a child for at most `limit`, then kill it and those of its group. `None` if it was killed.
///
/// # Errors
/// When it cannot be waited for.
#[cfg(unix)]
pub fn wait_for(child: &mut Child, limit: Duration) -> io::Result<Option<ExitStatus>> {
    RUNNING.wait_for(child, limit)
}

/// End all running children, and start no more: this process is about to exit. Takes at most a little more than
/// [`GRACE`].
#[cfg(unix)]
pub fn end_all() {
    RUNNING.end(GRACE);
}

#[cfg(not(unix))]
#[allow(missing_docs, clippy::missing_errors_doc)]
pub fn spawn(command: &mut Command) -> io::Result<Child> {
    command.spawn()
}

#[cfg(not(unix))]
#[allow(missing_docs, clippy::missing_errors_doc)]
pub fn wait(child: &mut Child) -> io::Result<ExitStatus> {
    child.wait()
}

#[cfg(not(unix))]
#[allow(missing_docs, clippy::missing_errors_doc)]
pub fn wait_for(child: &mut Child, limit: Duration) -> io::Result<Option<ExitStatus>> {
    let began = std::time::Instant::now();
    while began.elapsed() < limit {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill()?;
    child.wait().map(|_| None)
}

#[cfg(not(unix))]
#[allow(missing_docs)]
pub fn end_all() {}
