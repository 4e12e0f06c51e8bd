//! The runner that this process is a step of: workflow commands, outputs, step summary. Elsewhere, all of it does
//! nothing.
//!
//! Source: "Workflow commands for GitHub Actions" (GitHub's manual); how commands and files are read, what is cut and
//! what is thrown away: actions/runner, `ActionCommand`, `FileCommandManager` and `CreateStepSummaryCommand`.

mod annotation;
mod files;

pub use annotation::{Annotation, Level};
pub use files::LONGEST_SUMMARY_BYTES;

use crate::env_vars;
use crate::error::{Explain, Fault};
use crate::foreign_text::neutral;
use crate::host::Host;
use crate::net::Secret;
use crate::threads::lock;
use annotation::command;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use files::{append, cut_markdown, is_output_name, output_block, random_word};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

/// GitHub shows this many annotations of a level for each step and drops the rest silently.
const MOST_ANNOTATIONS: usize = 10;
/// A secret shorter than this is not masked: it would turn half of the log to stars.
const SHORTEST_SECRET_CHARS: usize = 6;
/// The characters of a URL that are encoded: all but the unreserved ones of RFC 3986.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The runner. Clones share the count of annotations.
#[derive(Clone)]
pub struct Runner {
    host: Host,
    output: Option<PathBuf>,
    summary: Option<PathBuf>,
    shown: Arc<Mutex<HashMap<Level, usize>>>,
}

impl Runner {
    /// The runner of this process, if it has one.
    pub fn new(host: &Host) -> Runner {
        let file = |variable| host.path_var(variable).filter(|_| host.on_runner());
        Runner {
            output: file(env_vars::GITHUB_OUTPUT),
            summary: file(env_vars::GITHUB_STEP_SUMMARY),
            shown: Arc::default(),
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

    /// Show annotations in this order, so the most important ones come first. GitHub shows ten of a level; the rest are
    /// counted in the tenth and printed to the log.
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
        let mut said = lock(&self.shown);
        let said = said.entry(level).or_default();
        let room = MOST_ANNOTATIONS.saturating_sub(*said);
        // The last free place is for the annotation that counts the others.
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
            // Without `::`, which would make it an annotation again.
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

    /// Set outputs of this step. Values may have any number of lines.
    ///
    /// # Errors
    /// If the runner's file cannot be written, or a name is invalid.
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
        // The limit applies to the whole file, with what was written to it earlier in this step.
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
