//! What became of each line of an old workflow.

use super::workflow::Workflow;
use serde::Serialize;

/// What became of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is in the new workflow.
    Kept,
    /// The new workflow says the same in its own words.
    Taken,
    /// It is not in the new workflow.
    Dropped,
}

/// One line of an old workflow, or one entry of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// The file, relative to the top of the repository.
    pub file: String,
    /// Line, from 1, if known.
    pub line: Option<usize>,
    /// What is there: `step "Checkout"`, `env.PYTHON_VERSION`.
    pub what: String,
    /// What became of it.
    pub outcome: Outcome,
    /// As what it was taken, or why it was dropped; empty if there is nothing to say.
    pub detail: String,
}

impl std::fmt::Display for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        let (word, link) = match self.outcome {
            Outcome::Kept => ("kept", ", "),
            Outcome::Taken => ("taken", " as "),
            Outcome::Dropped => ("dropped", ": "),
        };
        let link = if self.detail.is_empty() { "" } else { link };
        write!(f, "  {} → {word}{link}{}", self.what, self.detail)
    }
}

/// All lines so far.
#[derive(Debug, Default)]
pub struct Lines(pub Vec<Line>);

impl Lines {
    /// Add what became of the entry at `path` of a workflow.
    pub fn add(
        &mut self,
        workflow: &Workflow,
        path: &[&str],
        what: &str,
        outcome: Outcome,
        detail: impl Into<String>,
    ) {
        self.0.push(Line {
            file: workflow.file.path.clone(),
            line: workflow.line(path),
            what: what.to_string(),
            outcome,
            detail: detail.into(),
        });
    }

    /// The lines in the order of files and lines; entries without a line come last in their file.
    pub fn sorted(mut self) -> Vec<Line> {
        self.0.sort_by_key(|line| (line.file.clone(), line.line.unwrap_or(usize::MAX)));
        self.0.dedup();
        self.0
    }
}
