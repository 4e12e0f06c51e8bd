//! What every error of this crate can say of itself: whose fault it is, where it is, and what to do next.
//!
//! Each room raises its own `thiserror` enum and implements [`Explain`] for it; `commands::Error` is their union and
//! [`text`] the one place that turns one into text.

pub mod text;

use std::path::PathBuf;
pub use text::{error_json, error_text};

/// Whose fault an error is; decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Something in the user's project: a bad `dagster_cloud.yaml`, an unresolvable requirement.
    Project,
    /// The command line or an input is malformed.
    Usage,
    /// Dagster+, GitHub or a package index refused, or did not answer.
    Remote,
    /// A tool we run (`uv`, Python) or this machine (disk, permissions) did not do its part.
    Tool,
    /// An invariant of this program broke.
    Bug,
}

impl Fault {
    /// The process exit code, as the table in `docs/errors.md` lists it.
    pub fn exit_code(self) -> u8 {
        match self {
            Fault::Project => 1,
            Fault::Usage => 2,
            Fault::Remote => 3,
            Fault::Tool => 4,
            Fault::Bug => 70,
        }
    }
}

/// A place in a file of the user's, for messages and annotations. Lines and columns count from 1.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Place {
    /// The file.
    pub file: PathBuf,
    /// Line, from 1.
    pub line: Option<usize>,
    /// Column, from 1.
    pub column: Option<usize>,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
            if let Some(column) = self.column {
                write!(f, ":{column}")?;
            }
        }
        Ok(())
    }
}

/// What an error adds to its message and its chain of causes.
pub trait Explain: std::error::Error {
    /// Whose fault it is.
    fn fault(&self) -> Fault;

    /// One thing that the reader can do next.
    fn hint(&self) -> Option<String> {
        None
    }

    /// Where in the user's files it is.
    fn place(&self) -> Option<Place> {
        None
    }
}
