//! A child process that answers requests, one after the other.
//!
//! A message is its length in four bytes, the lowest first, and its bytes. A child that takes too long for an answer, or
//! answers with more than is expected, is killed; the caller may start another one.

use super::children;
use super::process::{Process, ProcessError};
use std::io::{self, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout};
use std::sync::mpsc;
use std::time::Duration;

/// Limits of one answer.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Time until it is complete.
    pub time: Duration,
    /// Its size.
    pub size_bytes: usize,
}

/// A child with which messages are exchanged. It is ended when dropped.
pub struct Dialogue {
    child: Child,
    /// `None` after the child was ended.
    pipes: Option<(ChildStdin, ChildStdout)>,
    limits: Limits,
}

impl Process {
    /// Start it, to exchange messages on its stdin and stdout. Its stderr is discarded.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn converse(self, limits: Limits) -> Result<Dialogue, ProcessError> {
        let (mut child, program) = self.start_with_pipes()?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        let missing = || ProcessError::Start { program, source: io::Error::other("no pipe") };
        let dialogue = Dialogue { child, pipes, limits };
        if dialogue.pipes.is_none() { Err(missing()) } else { Ok(dialogue) }
    }
}

impl Dialogue {
    /// Send these messages, and wait for one answer.
    ///
    /// # Errors
    /// When the child has ended, and when it exceeds the limits; then it is killed. After an error, every request fails.
    pub fn ask(&mut self, messages: &[&[u8]]) -> io::Result<Vec<u8>> {
        let (mut stdin, mut stdout) = self.pipes.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let limits = self.limits;
        let child = &mut self.child;
        let answer = std::thread::scope(|scope| {
            let (sender, receiver) = mpsc::channel();
            let (stdin, stdout) = (&mut stdin, &mut stdout);
            // Writing can block too. The thread ends when the child does, as its pipes are closed then.
            scope.spawn(move || {
                let answer = send(stdin, messages).and_then(|()| receive(stdout, limits.size_bytes));
                // The receiver is gone after the time limit.
                let _ = sender.send(answer);
            });
            let answer =
                receiver.recv_timeout(limits.time).unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
            if answer.is_err() {
                // It may have ended already, which is fine.
                let _ = child.kill();
            }
            answer
        })?;
        self.pipes = Some((stdin, stdout));
        Ok(answer)
    }
}

impl Drop for Dialogue {
    fn drop(&mut self) {
        self.pipes = None;
        // Nothing is lost: whatever it still does, no one waits for it.
        let _ = self.child.kill();
        let _ = children::wait(&mut self.child);
    }
}

fn send(stdin: &mut ChildStdin, messages: &[&[u8]]) -> io::Result<()> {
    for message in messages {
        let length = u32::try_from(message.len()).map_err(io::Error::other)?;
        stdin.write_all(&length.to_le_bytes())?;
        stdin.write_all(message)?;
    }
    stdin.flush()
}

fn receive(stdout: &mut ChildStdout, limit_bytes: usize) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    stdout.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length) as usize;
    if length > limit_bytes {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let mut answer = vec![0; length];
    stdout.read_exact(&mut answer)?;
    Ok(answer)
}
