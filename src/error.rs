//! What every error of this crate provides: its fault, its place, and the next step.
//!
//! Each module has its own `thiserror` enum and implements [`Explain`] for it. `commands::Error` is their union, and
//! only [`text`] turns errors into text.

pub mod text;

use std::path::PathBuf;
pub use text::{error_json, error_text};

/// Who can fix an error. Decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Something in the user's project: a bad `dagster_cloud.yaml`, an unresolvable requirement.
    Project,
    /// The command line or an input is malformed.
    Usage,
    /// Dagster+, GitHub or a package index refused, or did not answer.
    Remote,
    /// A tool that we run (`uv`, Python) or this machine (disk, permissions) failed.
    Tool,
    /// An invariant of this program broke.
    Bug,
}

impl Fault {
    /// The exit code, as listed in `docs/errors.md`.
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

/// A place in a file of the user, for messages and annotations. Lines and columns count from 1.
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

/// What an error provides in addition to its message and causes.
pub trait Explain: std::error::Error {
    /// Its fault.
    fn fault(&self) -> Fault;

    /// One thing that the reader can do next.
    fn hint(&self) -> Option<String> {
        None
    }

    /// Its place in the user's files.
    fn place(&self) -> Option<Place> {
        None
    }
}
