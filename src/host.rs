//! The only access to global state: environment, working directory, output streams, clock.
//!
//! `main` makes one from the process; tests make their own ([`Host::for_test`]), so no test sets a process variable and
//! all can run in parallel. Messages go to stderr through [`Host::note`] and similar functions, data goes to stdout
//! through [`Host::data`].

use crate::env_vars;
use crate::foreign_text::without_commands;
use crate::input_names;
use crate::paths::{lexically_normal, shortened};
use crate::redact::{Secret, without};
use crate::threads::lock;
use clap::ValueEnum;
use indicatif::{MultiProgress, ProgressDrawTarget};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant, SystemTime};

/// The clock. Tests use one that only records.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> SystemTime;
    /// Wait.
    fn sleep(&self, time: Duration);
    /// Time since a fixed moment. Unlike [`Clock::now`], it never goes back.
    fn elapsed(&self) -> Duration {
        self.now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
    }
}

/// The real clock: the system time at the first call, plus the time that has passed since. If the system time is
/// changed while a run waits, it neither gives up early nor waits for ever.
#[derive(Debug, Default)]
pub struct SystemClock;

/// The time of the first call, by the system clock and by the monotonic clock.
static FIRST_ASKED: OnceLock<(SystemTime, Instant)> = OnceLock::new();

impl Clock for SystemClock {
    fn now(&self) -> SystemTime {
        let (wall, began) = FIRST_ASKED.get_or_init(|| (SystemTime::now(), Instant::now()));
        *wall + began.elapsed()
    }
    fn sleep(&self, time: Duration) {
        std::thread::sleep(time);
    }
    fn elapsed(&self) -> Duration {
        static FIRST: OnceLock<Instant> = OnceLock::new();
        FIRST.get_or_init(Instant::now).elapsed()
    }
}

/// Shorter values are not searched in other variables: they may occur there by chance.
pub const SHORTEST_SECRET_BYTES: usize = 12;

type Stream = Arc<Mutex<Box<dyn Write + Send>>>;

/// How much is written to stderr.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// Errors and warnings only.
    Quiet,
    /// Normal messages.
    #[default]
    Normal,
    /// Also every decision.
    Verbose,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Settings of the log.
#[derive(Debug, Clone, Copy, Default)]
pub struct LogSettings {
    /// How much.
    pub verbosity: Verbosity,
    /// With colours or without.
    pub color: Color,
}

/// Environment, working directory, streams and clock of this run. Cheap to clone.
#[derive(Clone)]
pub struct Host {
    env: Arc<BTreeMap<OsString, OsString>>,
    cwd: PathBuf,
    stdout: Stream,
    stderr: Stream,
    stderr_is_terminal: bool,
    stdout_is_terminal: bool,
    verbosity: Verbosity,
    color: bool,
    bars: MultiProgress,
    data_written: Arc<AtomicBool>,
    /// What was said by [`Host::note_once`].
    said: Arc<Mutex<BTreeSet<String>>>,
    /// Once it is set, nothing more is written.
    silent: Option<Arc<AtomicBool>>,
    /// Whether messages name inputs of the action instead of flags.
    by_inputs: bool,
    program: Option<PathBuf>,
    /// The clock of this run.
    pub clock: Arc<dyn Clock>,
}

impl Host {
    /// The host of this process.
    pub fn from_process() -> Host {
        let env: BTreeMap<_, _> = std::env::vars_os().collect();
        let terminal = std::io::stderr().is_terminal();
        Host {
            cwd: std::env::current_dir().unwrap_or_else(|_| PathBuf::from(".")),
            stdout: Arc::new(Mutex::new(Box::new(std::io::stdout()))),
            stderr: Arc::new(Mutex::new(Box::new(std::io::stderr()))),
            stderr_is_terminal: terminal,
            stdout_is_terminal: std::io::stdout().is_terminal(),
            verbosity: Verbosity::Normal,
            color: terminal,
            bars: MultiProgress::with_draw_target(ProgressDrawTarget::hidden()),
            data_written: Arc::default(),
            said: Arc::default(),
            silent: None,
            by_inputs: false,
            program: std::env::current_exe().ok(),
            clock: Arc::new(SystemClock),
            env: Arc::new(env),
        }
        .with_log(LogSettings::default())
    }

    /// A host with only these variables, in this directory, that writes to `stdout` and `stderr`.
    pub fn for_test(
        env: BTreeMap<OsString, OsString>,
        cwd: &Path,
        stdout: Box<dyn Write + Send>,
        stderr: Box<dyn Write + Send>,
        clock: Arc<dyn Clock>,
    ) -> Host {
        Host {
            env: Arc::new(env),
            cwd: cwd.to_path_buf(),
            stdout: Arc::new(Mutex::new(stdout)),
            stderr: Arc::new(Mutex::new(stderr)),
            stderr_is_terminal: false,
            stdout_is_terminal: false,
            verbosity: Verbosity::Normal,
            color: false,
            bars: MultiProgress::with_draw_target(ProgressDrawTarget::hidden()),
            data_written: Arc::default(),
            said: Arc::default(),
            silent: None,
            by_inputs: false,
            program: None,
            clock,
        }
    }

    /// The file of this program, if the system says it.
    pub fn program(&self) -> Option<&Path> {
        self.program.as_deref()
    }

    /// The same host with these settings for its log, and those in the environment.
    pub fn with_log(mut self, log: LogSettings) -> Host {
        self.verbosity = match log.verbosity {
            // GitHub sets it when a run is repeated with debug logging. An explicit `--quiet` wins.
            Verbosity::Normal if self.var(env_vars::RUNNER_DEBUG) == Some("1") => Verbosity::Verbose,
            verbosity => verbosity,
        };
        self.color = match log.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto if self.var(env_vars::NO_COLOR).is_some() => false,
            Color::Auto => {
                self.stderr_is_terminal || self.var(env_vars::FORCE_COLOR).is_some_and(|value| value != "0")
            }
        };
        let target =
            if self.interactive() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        self.bars.set_draw_target(target);
        self
    }

    /// The same host with these variables set too.
    pub fn with_vars(&self, vars: impl IntoIterator<Item = (OsString, OsString)>) -> Host {
        let mut env = (*self.env).clone();
        env.extend(vars);
        Host { env: Arc::new(env), ..self.clone() }
    }

    /// The same host, which writes nothing more once `silent` is set: for work that may continue after the final
    /// message.
    pub fn until(&self, silent: &Arc<AtomicBool>) -> Host {
        Host { silent: Some(Arc::clone(silent)), ..self.clone() }
    }

    /// The same host, which names inputs of the action instead of flags.
    pub fn by_inputs(&self) -> Host {
        Host { by_inputs: true, ..self.clone() }
    }

    /// Whether it names inputs of the action.
    pub fn names_inputs(&self) -> bool {
        self.by_inputs
    }

    fn is_silent(&self) -> bool {
        self.silent.as_ref().is_some_and(|silent| silent.load(Ordering::SeqCst))
    }

    /// The value of a variable; unset, blank and non-UTF-8 are `None`.
    pub fn var(&self, name: &str) -> Option<&str> {
        let value = self.env.get(OsStr::new(name))?.to_str()?;
        (!value.trim().is_empty()).then_some(value)
    }

    /// The value of a variable that is a path; unset and empty are `None`.
    pub fn path_var(&self, name: &str) -> Option<PathBuf> {
        let value = self.env.get(OsStr::new(name))?;
        (!value.is_empty()).then(|| PathBuf::from(value))
    }

    /// All variables, including secrets. [`crate::child_env`] decides which of them a child process gets; only `-m
    /// MODULE` gets all.
    pub fn full_env(&self) -> impl Iterator<Item = (&OsString, &OsString)> {
        self.env.iter()
    }

    /// The tokens among the variables, to find them where they do not belong: under other names, in arguments.
    pub fn tokens(&self) -> Vec<Secret> {
        let tokens = self.full_env().filter(|(name, _)| env_vars::is_token(&name.to_string_lossy()));
        let values = tokens.map(|(_, value)| value.to_string_lossy().trim().to_string());
        values.filter(|value| value.len() >= SHORTEST_SECRET_BYTES).map(Secret::new).collect()
    }

    /// The working directory.
    pub fn cwd(&self) -> &Path {
        &self.cwd
    }

    /// Where temporary files go: an absolute path.
    pub fn temp_dir(&self) -> PathBuf {
        let named = self.path_var(env_vars::TMPDIR).map(|dir| self.absolute(&dir));
        named.unwrap_or_else(std::env::temp_dir)
    }

    /// The absolute path of `path` in the working directory. `.` and `..` are resolved without asking the file system.
    pub fn absolute(&self, path: &Path) -> PathBuf {
        lexically_normal(&self.cwd.join(path))
    }

    /// The directory that paths in messages are relative to: the top of the repository in a run of the action,
    /// otherwise the working directory.
    pub fn reader_directory(&self) -> PathBuf {
        let workspace = self.path_var(env_vars::GITHUB_WORKSPACE).filter(|_| self.by_inputs);
        workspace.unwrap_or_else(|| self.cwd.clone())
    }

    /// Whether this runs under GitHub Actions.
    pub fn on_runner(&self) -> bool {
        self.var(env_vars::GITHUB_ACTIONS) == Some("true")
    }

    /// Whether this runs under a CI system, where questions get no answer.
    pub fn in_ci(&self) -> bool {
        self.ci_system().is_some()
    }

    /// The name of the CI system that this runs under.
    pub fn ci_system(&self) -> Option<&'static str> {
        let is_set = |name: &str| {
            self.var(name)
                .is_some_and(|value| !["false", "0"].iter().any(|no| value.eq_ignore_ascii_case(no)))
        };
        env_vars::CI_SYSTEMS.iter().find(|(name, _)| is_set(name)).map(|(_, system)| *system)
    }

    /// Whether stderr is a terminal that may show a moving progress display.
    pub fn interactive(&self) -> bool {
        self.stderr_is_terminal && self.verbosity == Verbosity::Normal && !self.in_ci()
    }

    /// The width of the terminal that stderr goes to; `None` if it is not one, or its width is not known.
    pub fn columns(&self) -> Option<usize> {
        if self.stderr_is_terminal { terminal_columns(std::io::stderr()) } else { None }
    }

    /// The same for stdout.
    pub fn data_columns(&self) -> Option<usize> {
        if self.stdout_is_terminal { terminal_columns(std::io::stdout()) } else { None }
    }

    /// Whether one reader sees messages and data together on a terminal, so that data need not repeat messages.
    pub fn shows_notes_and_data(&self) -> bool {
        self.stderr_is_terminal && self.stdout_is_terminal && self.verbosity >= Verbosity::Normal
    }

    /// Progress bars on stderr, visible only if [`Host::interactive`]. Lines of this host are written above them.
    pub fn bars(&self) -> &MultiProgress {
        &self.bars
    }

    /// Whether to colour what goes to stderr.
    pub fn color(&self) -> bool {
        self.color
    }

    /// How much is written.
    pub fn verbosity(&self) -> Verbosity {
        self.verbosity
    }

    /// Ask the user and read one line. `None` when this is not possible (stdin or stderr is not a terminal, or this is
    /// a CI system).
    pub fn ask(&self, question: &str) -> Option<String> {
        if self.in_ci() || !self.stderr_is_terminal || !std::io::stdin().is_terminal() {
            return None;
        }
        {
            let mut stream = lock(&self.stderr);
            stream.write_all(question.as_bytes()).and_then(|()| stream.flush()).ok()?;
        }
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer).ok()?;
        Some(answer)
    }

    /// Write a message about progress, except with `--quiet`.
    pub fn note(&self, text: impl AsRef<str>) {
        if self.verbosity >= Verbosity::Normal {
            self.say(text.as_ref());
        }
    }

    /// The same for what several parts of a run find: it is written once.
    pub fn note_once(&self, text: String) {
        if !self.is_silent() && lock(&self.said).insert(text.clone()) {
            self.note(text);
        }
    }

    /// Write a message about a decision, only with `--verbose`.
    pub fn detail(&self, text: impl AsRef<str>) {
        if self.verbosity >= Verbosity::Verbose {
            self.write_line(text.as_ref());
        }
    }

    /// Write a warning, also with `--quiet`.
    pub fn warn(&self, text: impl AsRef<str>) {
        let label = if self.color { "\u{1b}[1;33mwarning:\u{1b}[0m" } else { "warning:" };
        self.say(&format!("{label} {}", text.as_ref()));
    }

    /// Write a text to stderr with any verbosity. For `render` and the methods above. No line can become a workflow
    /// command, even with foreign text in it, and tokens in the environment are hidden: an error may repeat one from an
    /// argument.
    ///
    /// Paths are shortened ([`Host::reader_directory`]). In a run of the action, flags are replaced by inputs; details
    /// are not, because they show command lines.
    pub fn say(&self, text: &str) {
        let text = shortened(text, &self.reader_directory());
        match self.by_inputs {
            true => self.write_line(&input_names::for_flags(&text)),
            false => self.write_line(&text),
        }
    }

    fn write_line(&self, text: &str) {
        if self.is_silent() {
            return;
        }
        let line = format!("{}\n", without_commands(&self.without_tokens(text)));
        let mut stream = lock(&self.stderr);
        // A closed stderr is no reason to fail a build.
        let _ = self.bars.suspend(|| stream.write_all(line.as_bytes()).and_then(|()| stream.flush()));
    }

    /// Write a workflow command, only for `github::runner`. The runner executes the line.
    ///
    /// It goes to stderr, between the lines that it groups or stops. The runner reads commands from both streams, and
    /// stdout must stay one document. Source: actions/runner, `ScriptHandler`, which hands both to one `OutputManager`.
    pub fn command(&self, line: &str) {
        if self.is_silent() {
            return;
        }
        let line = format!("{line}\n");
        let mut stream = lock(&self.stderr);
        // A closed stderr is no reason to fail a build.
        let _ = self.bars.suspend(|| stream.write_all(line.as_bytes()).and_then(|()| stream.flush()));
    }

    /// Whether anything was written to stdout.
    pub fn has_written_data(&self) -> bool {
        self.data_written.load(Ordering::Relaxed)
    }

    fn without_tokens(&self, text: &str) -> String {
        without(&self.tokens(), text)
    }

    /// Write a document to stdout, with tokens of the environment hidden as in messages.
    ///
    /// # Errors
    /// When stdout cannot be written, for example because the reader closed it.
    pub fn data(&self, text: &str) -> std::io::Result<()> {
        if self.is_silent() {
            return Ok(());
        }
        // Set first: part of the document may be written even if this fails.
        self.data_written.store(true, Ordering::Relaxed);
        let text = self.without_tokens(text);
        let mut stream = lock(&self.stdout);
        stream.write_all(text.as_bytes())?;
        if !text.ends_with('\n') {
            stream.write_all(b"\n")?;
        }
        stream.flush()
    }
}

#[cfg(unix)]
fn terminal_columns(stream: impl std::os::fd::AsFd) -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(stream).ok()?;
    // A terminal that does not know its size says 0.
    (size.ws_col > 0).then_some(size.ws_col.into())
}

#[cfg(not(unix))]
fn terminal_columns<S>(_: S) -> Option<usize> {
    None
}
