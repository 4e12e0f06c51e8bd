//! Workflow commands: annotations, and the escaping that keeps every command on one line.
//!
//! Source: "Workflow commands for GitHub Actions" (GitHub's manual); how commands are read and messages cut:
//! actions/runner, `ActionCommand` and `ExecutionContext.AddIssue`.

use crate::error::Place;
use crate::foreign_text::neutral;
use std::path::Path;

/// A message is cut after so many UTF-16 units. Source: actions/runner, `ExecutionContext.AddIssue`.
const LONGEST_MESSAGE_UNITS: usize = 4096;

/// The level of an annotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Level {
    /// For information.
    Notice,
    /// Probably a mistake.
    Warning,
    /// Why something failed.
    Error,
}

impl Level {
    pub(super) fn command(self) -> &'static str {
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
    /// Its level.
    pub level: Level,
    /// A few words; GitHub shows a default title if there are none.
    pub title: Option<String>,
    /// The file, from the top of the repository.
    pub file: Option<String>,
    /// First line.
    pub line: Option<usize>,
    /// Last line.
    pub end_line: Option<usize>,
    /// Column, within one line.
    pub column: Option<usize>,
    /// The text; several lines are allowed.
    pub message: String,
}

impl Annotation {
    /// An annotation without a place.
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

    /// The workflow command: always one line, whatever the texts contain.
    pub fn to_command(&self) -> String {
        let number = |number: Option<usize>| number.map(|number| number.to_string());
        let properties = [
            ("title", self.title.as_deref().map(|title| neutral(title).trim().to_string())),
            ("file", self.file.as_deref().map(neutral)),
            ("line", number(self.line)),
            ("endLine", number(self.end_line)),
            ("col", number(self.column)),
        ];
        let given = properties.into_iter().filter_map(|(name, value)| Some((name, value?)));
        command(self.level.command(), given, cut_units(&neutral(&self.message), LONGEST_MESSAGE_UNITS))
    }
}

/// `::name property=value,…::data`, escaped.
pub(super) fn command(
    name: &str,
    properties: impl IntoIterator<Item = (&'static str, String)>,
    data: &str,
) -> String {
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
