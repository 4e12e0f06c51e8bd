//! The child processes that run now, so that none of them outlives a run that is interrupted.
//!
//! A signal may reach this process alone: that is how GitHub's runner cancels a step. What our children do then would go
//! on without us, the user's own code among it, so [`end_all`] ends them before we exit: SIGTERM, then SIGKILL.
//!
//! Without a terminal each child leads a process group, and the whole group is ended. With one, children stay in our
//! group, since that is where Ctrl-C goes and where ssh may ask for a passphrase; then a child is ended by itself. On
//! Linux the descendants of a child are ended in both cases, also those that lead a group or a session of their own.
//!
//! A signal never hits a process that merely got the number of one of ours: a child is not reaped while it may be
//! signalled, so that its number is not given away, and a descendant is signalled by a file descriptor.

use std::io;
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

#[cfg(target_os = "linux")]
mod descendants;
#[cfg(unix)]
mod unix;

#[cfg(unix)]
use unix::Children;

/// How long children have between SIGTERM and SIGKILL. The runner leaves ten seconds for all that a cancelled step does.
pub const GRACE: Duration = Duration::from_secs(1);

#[cfg(unix)]
static RUNNING: Children = Children::new();

/// Start a child that [`end_all`] will end. Once that has begun, this does not return.
///
/// # Errors
/// When it cannot be started.
#[cfg(unix)]
pub fn spawn(command: &mut Command) -> io::Result<Child> {
    RUNNING.spawn(command)
}

/// Wait for the end of a child. Once [`end_all`] has begun, this does not return: how a child ended that we killed says
/// nothing of the user's project.
///
/// # Errors
/// When it cannot be waited for.
#[cfg(unix)]
pub fn wait(child: &mut Child) -> io::Result<ExitStatus> {
    RUNNING.wait(child)
}

/// End all children that run, and start no others: this process is about to end. Takes a little more than [`GRACE`] at
/// most.
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
#[allow(missing_docs)]
pub fn end_all() {}
