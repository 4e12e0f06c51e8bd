//! The runner that this process is a step of: workflow commands, outputs, step summary. Elsewhere, all of it does nothing.
//!
//! Source: "Workflow commands for GitHub Actions" (GitHub's manual); how commands and files are read, what is cut and
//! what is thrown away: actions/runner, `ActionCommand`, `FileCommandManager` and `CreateStepSummaryCommand`.

use crate::env_vars;
use crate::error::{Explain, Fault, Place};
use crate::foreign_text::neutral;
use crate::host::Host;
use crate::net::Secret;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// A message is cut after so many UTF-16 units. Source: actions/runner, `ExecutionContext.AddIssue`.
const LONGEST_MESSAGE_UNITS: usize = 4096;
/// So many annotations of a level reach the web page for each step; more are dropped without a word.
const MOST_ANNOTATIONS: usize = 10;
/// A secret shorter than this is not masked: it would turn half of the log to stars.
const SHORTEST_SECRET_CHARS: usize = 6;
/// A longer step summary is thrown away as a whole. GitHub's own limit is 1 MiB; this leaves room for earlier parts.
pub const LONGEST_SUMMARY_BYTES: usize = 900 * 1024;
/// What stays as it is when a URL is encoded. Source: RFC 3986, "unreserved".
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// How grave an annotation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Level {
    /// For information.
    Notice,
    /// Probably not as wanted.
    Warning,
    /// Why something failed.
    Error,
}

impl Level {
    fn command(self) -> &'static str {
        match self {
            Level::Notice => "notice",
            Level::Warning => "warning",
            Level::Error => "error",
        }
    }
}

/// A message at the top of the run's page, and at a line of a file where it names one. Lines and columns count from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Annotation {
    /// How grave it is.
    pub level: Level,
    /// A few words; GitHub shows its own where there are none.
    pub title: Option<String>,
    /// The file, from the top of the repository.
    pub file: Option<String>,
    /// First line.
    pub line: Option<usize>,
    /// Last line.
    pub end_line: Option<usize>,
    /// Column, within one line.
    pub column: Option<usize>,
    /// What there is to say; several lines are allowed.
    pub message: String,
}

impl Annotation {
    /// An annotation at no place in particular.
    pub fn new(level: Level, message: impl Into<String>) -> Annotation {
        let message = message.into();
        Annotation { level, title: None, file: None, line: None, end_line: None, column: None, message }
    }

    /// The same with a title.
    #[must_use]
    pub fn titled(mut self, title: impl Into<String>) -> Annotation {
        self.title = Some(title.into());
        self
    }

    /// The same at a place in one of the user's files. Paths below `workspace`, the top of the repository, are made
    /// relative to it, since GitHub finds files by that name only.
    #[must_use]
    pub fn at(mut self, place: &Place, workspace: &Path) -> Annotation {
        let file = place.file.strip_prefix(workspace).unwrap_or(&place.file);
        self.file = Some(file.to_string_lossy().into_owned());
        (self.line, self.column) = (place.line, place.column);
        self
    }

    /// The workflow command: one line, whatever is in the texts.
    pub fn to_command(&self) -> String {
        let number = |number: Option<usize>| number.map(|number| number.to_string());
        let properties = [
            ("title", self.title.as_deref().map(|title| neutral(title).trim().to_string())),
            ("file", self.file.clone()),
            ("line", number(self.line)),
            ("endLine", number(self.end_line)),
            ("col", number(self.column)),
        ];
        let given = properties.into_iter().filter_map(|(name, value)| Some((name, value?)));
        command(self.level.command(), given, cut_units(&neutral(&self.message), LONGEST_MESSAGE_UNITS))
    }
}

/// `::name property=value,…::data`, escaped.
fn command(name: &str, properties: impl IntoIterator<Item = (&'static str, String)>, data: &str) -> String {
    let properties = properties.into_iter().filter(|(_, value)| !value.is_empty());
    let properties: Vec<_> =
        properties.map(|(name, value)| format!("{name}={}", escape_property(&value))).collect();
    let gap = if properties.is_empty() { "" } else { " " };
    format!("::{name}{gap}{}::{}", properties.join(","), escape_data(data))
}

/// What follows the second `::`.
fn escape_data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// What follows a `=`.
fn escape_property(text: &str) -> String {
    escape_data(text).replace(':', "%3A").replace(',', "%2C")
}

/// The beginning of `text`, of at most `limit` UTF-16 units.
fn cut_units(text: &str, limit: usize) -> &str {
    let mut units = 0;
    let end = text.char_indices().find(|(_, char)| {
        units += char.len_utf16();
        units > limit
    });
    end.map_or(text, |(at, _)| &text[..at])
}

/// The runner. Clones share what was said so far.
#[derive(Clone)]
pub struct Runner {
    host: Host,
    output: Option<PathBuf>,
    summary: Option<PathBuf>,
    said: Arc<Mutex<HashMap<Level, usize>>>,
}

impl Runner {
    /// The runner of this process, if it has one.
    pub fn new(host: &Host) -> Runner {
        let file = |variable| host.path_var(variable).filter(|_| host.on_runner());
        Runner {
            output: file(env_vars::GITHUB_OUTPUT),
            summary: file(env_vars::GITHUB_STEP_SUMMARY),
            said: Arc::default(),
            host: host.clone(),
        }
    }

    /// Whether there is one.
    pub fn is_present(&self) -> bool {
        self.host.on_runner()
    }

    fn say(&self, command: &str) {
        if self.is_present() {
            self.host.command(command);
        }
    }

    /// Show annotations, the most important of each level first. GitHub shows ten of a level; what is more becomes one
    /// that says how many, and goes to the log.
    pub fn annotate(&self, annotations: &[Annotation]) {
        if !self.is_present() {
            return;
        }
        for level in [Level::Error, Level::Warning, Level::Notice] {
            let of_level: Vec<_> =
                annotations.iter().filter(|annotation| annotation.level == level).collect();
            self.annotate_level(level, &of_level);
        }
    }

    fn annotate_level(&self, level: Level, annotations: &[&Annotation]) {
        let mut said = self.said.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let said = said.entry(level).or_default();
        let room = MOST_ANNOTATIONS.saturating_sub(*said);
        let shown = if annotations.len() > room { room.saturating_sub(1) } else { annotations.len() };
        let (shown, folded) = annotations.split_at(shown);
        *said += shown.len();
        for annotation in shown {
            self.say(&annotation.to_command());
        }
        if !folded.is_empty() && room > 0 {
            *said += 1;
            let text = format!("and {} more, see the summary and the log", folded.len());
            self.say(&Annotation::new(level, text).to_command());
        }
        for annotation in folded {
            self.host.say(&format!("{}: {}", level.command(), neutral(&annotation.message)));
        }
    }

    /// Begin a folded part of the log. Groups do not nest: a new one ends the one before.
    pub fn group(&self, title: &str) {
        self.say(&command("group", [], &neutral(title).replace('\n', " ")));
    }

    /// End it. An error belongs outside: within, it is folded away.
    pub fn end_group(&self) {
        self.say("::endgroup::");
    }

    /// Hide a secret in all that follows, in every form it is likely to take. Say it before anything else.
    pub fn mask(&self, secret: &Secret) {
        for form in forms_of(secret.reveal()) {
            self.say(&command("add-mask", [], &form));
        }
    }

    /// Run `body` with workflow commands switched off: for output of children that goes to the log as it comes.
    pub fn without_commands<T>(&self, body: impl FnOnce() -> T) -> T {
        let token = random_word();
        self.say(&format!("::stop-commands::{token}"));
        let value = body();
        self.say(&format!("::{token}::"));
        value
    }

    /// Set outputs of this step. Values may have any number of lines.
    ///
    /// # Errors
    /// When the runner's file cannot be written, or a name is none.
    pub fn set_outputs<N: AsRef<str>, V: AsRef<str>>(&self, outputs: &[(N, V)]) -> Result<(), RunnerError> {
        let Some(path) = &self.output else { return Ok(()) };
        let mut block = String::new();
        for (name, value) in outputs {
            let name = name.as_ref();
            if !is_output_name(name) {
                return Err(RunnerError::OutputName { name: name.into() });
            }
            block += &output_block(name, value.as_ref(), random_word);
        }
        append(path, &block).map_err(|source| RunnerError::Write {
            what: "outputs",
            path: path.clone(),
            source,
        })
    }

    /// Add Markdown to the summary of this step. One that is too long is cut at the end of a line, and says so.
    ///
    /// # Errors
    /// When the runner's file cannot be written.
    pub fn add_summary(&self, markdown: &str) -> Result<(), RunnerError> {
        let Some(path) = &self.summary else { return Ok(()) };
        let present =
            std::fs::metadata(path).map_or(0, |file| usize::try_from(file.len()).unwrap_or(usize::MAX));
        let text = cut_markdown(markdown, LONGEST_SUMMARY_BYTES.saturating_sub(present));
        append(path, &text).map_err(|source| RunnerError::Write {
            what: "summary",
            path: path.clone(),
            source,
        })
    }
}

/// The forms of a secret that can turn up in a log: itself, each of its lines (the runner masks line by line), and
/// base64 and URL encodings of it.
fn forms_of(secret: &str) -> Vec<String> {
    let mut forms = vec![secret.trim().to_string()];
    forms.extend(secret.lines().map(|line| line.trim().to_string()));
    forms.push(STANDARD.encode(secret));
    forms.push(utf8_percent_encode(secret, ENCODED).to_string());
    let long_enough = |form: &String| form.chars().count() >= SHORTEST_SECRET_CHARS && !form.contains('\n');
    let mut kept: Vec<String> = Vec::new();
    if secret.trim().chars().count() >= SHORTEST_SECRET_CHARS {
        for form in forms.into_iter().filter(long_enough) {
            if !kept.contains(&form) {
                kept.push(form);
            }
        }
    }
    kept
}

/// Letters, digits, `_` and `-`: what the manual allows in the id of an output.
fn is_output_name(name: &str) -> bool {
    let plain = |char: char| char.is_ascii_alphanumeric() || char == '_' || char == '-';
    name.starts_with(|char: char| char.is_ascii_alphabetic() || char == '_') && name.chars().all(plain)
}

/// `name<<DELIMITER`, the value, `DELIMITER`, with a delimiter that does not occur in the value.
fn output_block(name: &str, value: &str, mut delimiter: impl FnMut() -> String) -> String {
    let delimiter = loop {
        let word = delimiter();
        if !value.contains(&word) {
            break word;
        }
    };
    format!("{name}<<{delimiter}\n{value}\n{delimiter}\n")
}

/// A word that nobody can guess: it ends values of others, so it has to be one.
fn random_word() -> String {
    // std seeds these keys from the system's random numbers once a thread, and counts on from there; the process id and
    // time would add nothing that an author of a commit message could know.
    let mut word = String::from("pexpress-");
    for _ in 0..2 {
        let _ = write!(word, "{:016x}", RandomState::new().build_hasher().finish());
    }
    word
}

/// Write at the end of a file, in one piece. Other steps share it, so it is never truncated.
fn append(path: &Path, text: &str) -> std::io::Result<()> {
    if text.is_empty() {
        return Ok(());
    }
    let mut file = OpenOptions::new().append(true).create(true).open(path)?;
    let end = if text.ends_with('\n') { "" } else { "\n" };
    file.write_all(format!("{text}{end}").as_bytes())
}

/// `markdown` in at most `limit` bytes: cut at the end of a line, what was open closed, and a line that says so.
fn cut_markdown(markdown: &str, limit: usize) -> String {
    if markdown.len() < limit {
        return markdown.to_string();
    }
    // What is open is known only after the cut, and closing it takes room.
    let mut budget = limit.saturating_sub(256);
    loop {
        let kept = whole_lines(markdown, budget);
        let (fence, details) = open_at_end(kept);
        let lost = markdown.len() - kept.len();
        let closing =
            fence.map(|fence| format!("{fence}\n")).unwrap_or_default() + &"</details>\n".repeat(details);
        let text = format!(
            "{kept}{closing}\n_The rest ({lost} bytes) was cut: a summary has to stay below 1 MiB._\n"
        );
        if text.len() <= limit {
            return text;
        }
        if budget == 0 {
            return String::new();
        }
        budget = budget.saturating_sub(text.len() - limit);
    }
}

/// The lines that end within the first `limit` bytes.
fn whole_lines(text: &str, limit: usize) -> &str {
    let end = text.as_bytes()[..limit.min(text.len())].iter().rposition(|byte| *byte == b'\n');
    &text[..end.map_or(0, |at| at + 1)]
}

/// The code fence that `markdown` leaves open, and how many `<details>`.
fn open_at_end(markdown: &str) -> (Option<String>, usize) {
    let mut fence: Option<String> = None;
    let mut details = 0_usize;
    for line in markdown.lines() {
        let line = line.trim_start();
        let marks = line.chars().take_while(|char| *char == '`').count();
        match &fence {
            Some(open) if marks >= open.len() && line.trim_end().len() == marks => fence = None,
            Some(_) => {}
            None if marks >= 3 => fence = Some("`".repeat(marks)),
            None => {
                details += line.matches("<details").count();
                details = details.saturating_sub(line.matches("</details>").count());
            }
        }
    }
    (fence, details)
}

/// The runner's files could not be written.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum RunnerError {
    #[error("could not write the {what} of this step to `{path}`")]
    Write {
        what: &'static str,
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("`{name}` cannot be the name of an output")]
    OutputName { name: String },
}

impl Explain for RunnerError {
    fn fault(&self) -> Fault {
        match self {
            RunnerError::Write { .. } => Fault::Tool,
            RunnerError::OutputName { .. } => Fault::Bug,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            RunnerError::Write { .. } => Some(format!(
                "{} and {} are set by the runner; in a container job, mount the directory they are in",
                env_vars::GITHUB_OUTPUT,
                env_vars::GITHUB_STEP_SUMMARY
            )),
            RunnerError::OutputName { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests;
