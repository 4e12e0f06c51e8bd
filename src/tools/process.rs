//! Runs a child process to its end: captures its output without deadlock, and reports failures with the end of its
//! stderr.
//!
//! The output of a child is foreign text. A GitHub runner would execute a line that starts with `::` as a workflow
//! command, so the text goes through [`neutral`] before it is shown or stored in an error. Source: "Workflow commands
//! for GitHub Actions" (GitHub's manual); the runner trims leading white space first, and still accepts the older
//! `##[…]`.

use super::children;
use crate::child_env::{self, Purpose};
use crate::error::{Explain, Fault};
use crate::foreign_text::neutral;
use crate::host::{Host, Verbosity};
use crate::threads::lock;
use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How many bytes are kept from the end of a child's stderr.
const STDERR_KEPT_BYTES: usize = 256 * 1024;
/// Lines of an explanation that are shown.
const SHOWN_LINES: usize = 40;
/// How many bytes a child may write to stdout. More is an error, because the rest would be missing.
const STDOUT_LIMIT_BYTES: usize = 256 * 1024 * 1024;
/// How long to wait for the pipes to close after the child has ended: a daemon that it started may keep them open for
/// ever.
const PIPE_GRACE: Duration = Duration::from_secs(1);

/// A child process to run, with empty stdin and the environment for its [`Purpose`] unless changed.
#[derive(Debug)]
pub struct Process {
    name: String,
    command: Command,
    stdin: Vec<u8>,
    limit: Option<Duration>,
}

/// A child process that ended.
#[derive(Debug)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// Its stdout.
    pub stdout: Vec<u8>,
    /// The end of its stderr, made safe to print ([`neutral`]).
    pub stderr: String,
    name: String,
}

/// A child process failed.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// The program does not exist or cannot be executed.
    #[error("could not start `{program}`")]
    Start {
        /// The program.
        program: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It exited with an error. The cause is the end of its stderr.
    #[error("`{name}` {}", describe(.status))]
    Failed {
        /// Program and subcommand.
        name: String,
        /// How it ended.
        status: ExitStatus,
        /// The end of its stderr; `None` if it is empty.
        #[source]
        stderr: Option<Said>,
    },
    /// Reading its output or waiting for it failed.
    #[error("could not read the output of `{name}`")]
    Read {
        /// Program and subcommand.
        name: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It ran for too long and was killed.
    #[error("`{name}` did not end within {} s", waited.as_secs())]
    TimedOut {
        /// Program and subcommand.
        name: String,
        /// How long it ran.
        waited: Duration,
    },
    /// Its stdout does not have the expected form.
    #[error("`{name}` gave an unusable answer: {reason}")]
    Answer {
        /// Program and subcommand.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// The stderr of a child: foreign text, made safe to print.
///
/// `Display` cuts the middle of a long explanation of a version conflict: uv writes ten thousand lines for ten
/// requirements, and the conclusion is at the end.
#[derive(Debug, thiserror::Error)]
#[error("{}", without_middle(.0))]
pub struct Said(pub String);

/// uv's explanation of a conflict in at most [`SHOWN_LINES`] lines; any other text unchanged.
fn without_middle(text: &str) -> Cow<'_, str> {
    let lines: Vec<&str> = text.lines().collect();
    let count = lines.len();
    // The start of a long text is not kept, so also look for words near its end.
    let is_explanation =
        ["No solution found", "we can conclude that"].iter().any(|words| text.contains(words));
    if count <= SHOWN_LINES || !is_explanation {
        return text.into();
    }
    let (first, last) = (SHOWN_LINES / 4, SHOWN_LINES - SHOWN_LINES / 4 - 1);
    let note = format!(
        "… {} lines left out; --verbose shows them all, as debug logging does on GitHub",
        count - first - last
    );
    [&lines[..first], &[note.as_str()], &lines[count - last..]].concat().join("\n").into()
}

impl Explain for ProcessError {
    fn fault(&self) -> Fault {
        Fault::Tool
    }
}

impl Process {
    /// `program`, looked up on `PATH` if it is a bare name. Error messages use its file name.
    pub fn new(host: &Host, purpose: Purpose, program: impl AsRef<OsStr>) -> Process {
        let program = program.as_ref();
        let name = Path::new(program).file_name().unwrap_or(program).to_string_lossy().into_owned();
        let mut command = Command::new(program);
        command
            .env_clear()
            .envs(child_env::for_child(host, purpose))
            .current_dir(host.cwd())
            // A child that asks a question must fail, not wait for an answer for ever.
            .stdin(Stdio::null());
        Process { name, command, stdin: Vec::new(), limit: None }
    }

    /// Words of a subcommand: arguments that error messages show too.
    pub fn subcommand(mut self, words: &[&str]) -> Process {
        for word in words {
            self.name = format!("{} {word}", self.name);
            self.command.arg(word);
        }
        self
    }

    /// One argument.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Process {
        self.command.arg(arg);
        self
    }

    /// Some arguments.
    pub fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Process {
        self.command.args(args);
        self
    }

    /// Set a variable.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Process {
        self.command.env(name, value);
        self
    }

    /// Set some variables.
    pub fn envs(mut self, vars: impl IntoIterator<Item = (OsString, OsString)>) -> Process {
        self.command.envs(vars);
        self
    }

    /// Unset a variable.
    pub fn env_remove(mut self, name: impl AsRef<OsStr>) -> Process {
        self.command.env_remove(name);
        self
    }

    /// Unset all variables whose names start with `prefix`.
    pub fn env_remove_prefix(mut self, prefix: &str) -> Process {
        let starts = |name: &&OsStr| name.as_encoded_bytes().starts_with(prefix.as_bytes());
        let names = self.command.get_envs().map(|(name, _)| name).filter(starts);
        for name in names.map(OsString::from).collect::<Vec<_>>() {
            self.command.env_remove(name);
        }
        self
    }

    /// Run in this directory.
    pub fn cwd(mut self, dir: &Path) -> Process {
        self.command.current_dir(dir);
        self
    }

    /// Give it these bytes as stdin: fewer than a pipe holds, since they are written before its output is read.
    pub fn stdin(mut self, bytes: &[u8]) -> Process {
        self.command.stdin(Stdio::piped());
        self.stdin = bytes.to_vec();
        self
    }

    /// Kill it after this time.
    pub fn limit(mut self, limit: Duration) -> Process {
        self.limit = Some(limit);
        self
    }

    /// Run to the end. With `--verbose`, its stderr is shown while it runs. Does not return after this run was
    /// interrupted ([`children::end_all`]).
    ///
    /// # Errors
    /// When it cannot be started or its output cannot be read. The caller checks the status.
    pub fn output(mut self, host: &Host) -> Result<Output, ProcessError> {
        self.command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = spawn(&mut self.command).map_err(|source| ProcessError::Start {
            program: PathBuf::from(self.command.get_program()),
            source,
        })?;
        let fail = |source| ProcessError::Read { name: self.name.clone(), source };
        let missing = || io::Error::other("no pipe");
        // Both pipes are read by threads: a child that fills one blocks if only the other is read.
        let stdout = collect(child.stdout.take().ok_or_else(missing).map_err(fail)?, Keep::All, None);
        let show = (host.verbosity() == Verbosity::Verbose).then(|| (host.clone(), self.name.clone()));
        let stderr = collect(child.stderr.take().ok_or_else(missing).map_err(fail)?, Keep::End, show);
        if let Some(mut stdin) = child.stdin.take() {
            // A child that does not read it has its reasons, and its status tells.
            let _ = stdin.write_all(&self.stdin);
        }
        let status = match self.limit {
            None => children::wait(&mut child).map_err(fail)?,
            Some(limit) => children::wait_for(&mut child, limit).map_err(fail)?.ok_or_else(|| {
                let (name, waited) = (self.name.clone(), limit);
                ProcessError::TimedOut { name, waited }
            })?,
        };
        Ok(Output {
            status,
            stdout: stdout.finish().map_err(fail)?,
            stderr: neutral(String::from_utf8_lossy(&stderr.finish().map_err(fail)?).trim_end()),
            name: self.name,
        })
    }

    /// Start it with pipes for stdin and stdout, and without stderr. Also returns the program, for messages.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(super) fn start_with_pipes(mut self) -> Result<(Child, PathBuf), ProcessError> {
        let program = PathBuf::from(self.command.get_program());
        self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        match spawn(&mut self.command) {
            Ok(child) => Ok((child, program)),
            Err(source) => Err(ProcessError::Start { program, source }),
        }
    }

    /// Run to the end, and check the status.
    ///
    /// # Errors
    /// As [`Process::output`], and when the child fails.
    pub fn run(self, host: &Host) -> Result<Output, ProcessError> {
        let output = self.output(host)?;
        if output.status.success() { Ok(output) } else { Err(output.into_error()) }
    }
}

impl Output {
    /// The error for a failed child.
    pub fn into_error(self) -> ProcessError {
        let stderr = (!self.stderr.is_empty()).then_some(Said(self.stderr));
        ProcessError::Failed { name: self.name, status: self.status, stderr }
    }

    /// stdout as text.
    ///
    /// # Errors
    /// When it is not UTF-8.
    pub fn text(self) -> Result<String, ProcessError> {
        String::from_utf8(self.stdout).map_err(|_| ProcessError::Answer {
            name: self.name,
            reason: "its standard output is not UTF-8".into(),
        })
    }

    /// The error for unexpected stdout.
    pub fn unusable(&self, reason: impl Into<String>) -> ProcessError {
        ProcessError::Answer { name: self.name.clone(), reason: reason.into() }
    }
}

/// `exited with status 2`, `was ended by signal 15`.
fn describe(status: &ExitStatus) -> String {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(status) {
        return format!("was ended by signal {signal}");
    }
    match status.code() {
        Some(code) => format!("exited with status {code}"),
        None => "ended without a status".into(),
    }
}

/// Start a child. A program that was just written may still be open for writing in another child, between its fork and
/// exec. Such an error is transient, so retry.
fn spawn(command: &mut Command) -> io::Result<Child> {
    // Bounded: a file that stays open for writing is a real error.
    let mut tries = 0;
    loop {
        match children::spawn(command) {
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy && tries < 20 => {
                tries += 1;
                std::thread::sleep(Duration::from_millis(10));
            }
            result => return result,
        }
    }
}

#[derive(Clone, Copy)]
enum Keep {
    All,
    End,
}

/// A pipe that a thread reads.
struct Collector {
    kept: Arc<Mutex<Vec<u8>>>,
    done: Receiver<io::Result<()>>,
}

impl Collector {
    /// The bytes read until the pipe is closed, or until [`PIPE_GRACE`] is over.
    fn finish(self) -> io::Result<Vec<u8>> {
        // On a timeout, a daemon has the pipe open. What was read so far is the child's output.
        if let Ok(result) = self.done.recv_timeout(PIPE_GRACE) {
            result?;
        }
        Ok(std::mem::take(&mut *lock(&self.kept)))
    }
}

/// Read `pipe` in a thread, and show its lines as they come if requested.
fn collect(mut pipe: impl Read + Send + 'static, keep: Keep, show: Option<(Host, String)>) -> Collector {
    let kept = Arc::new(Mutex::new(Vec::new()));
    let (sender, done) = channel();
    let sink = Arc::clone(&kept);
    std::thread::spawn(move || {
        let mut buffer = vec![0; 64 * 1024];
        let mut line = Vec::new();
        let result = loop {
            match pipe.read(&mut buffer) {
                Ok(0) => break Ok(()),
                Ok(count) => {
                    let bytes = &buffer[..count];
                    if let Some((host, name)) = &show {
                        show_lines(host, name, &mut line, bytes);
                    }
                    if let Err(error) = keep_bytes(&mut lock(&sink), keep, bytes) {
                        break Err(error);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Err(error),
            }
        };
        if let Some((host, name)) = &show {
            show_lines(host, name, &mut line, b"\n");
        }
        // An error means that the receiver gave up after the grace period and needs no result.
        let _ = sender.send(result);
    });
    Collector { kept, done }
}

fn keep_bytes(kept: &mut Vec<u8>, keep: Keep, bytes: &[u8]) -> io::Result<()> {
    kept.extend_from_slice(bytes);
    match keep {
        Keep::All if kept.len() > STDOUT_LIMIT_BYTES => {
            Err(io::Error::other(format!("more than {STDOUT_LIMIT_BYTES} bytes")))
        }
        // Cut at twice the size, so that not every read moves the whole buffer.
        Keep::End if kept.len() > 2 * STDERR_KEPT_BYTES => {
            kept.drain(..kept.len() - STDERR_KEPT_BYTES);
            Ok(())
        }
        _ => Ok(()),
    }
}

fn show_lines(host: &Host, name: &str, line: &mut Vec<u8>, bytes: &[u8]) {
    for byte in bytes {
        if matches!(byte, b'\n' | b'\r') {
            if !line.is_empty() {
                host.detail(format!("  {name}: {}", neutral(&String::from_utf8_lossy(line))));
            }
            line.clear();
        // A line without an end must not use memory without limit.
        } else if line.len() < STDERR_KEPT_BYTES {
            line.push(*byte);
        }
    }
}

#[cfg(all(test, unix))]
mod tests;
