//! Errors when a PEX is planned or written.

use super::Gap;
use crate::error::{Explain, Fault};
use crate::target::Target;
use crate::wheel::WheelError;
use std::io;
use std::path::PathBuf;

/// A PEX cannot be planned or written.
#[derive(Debug, thiserror::Error)]
pub enum PexError {
    #[error(transparent)]
    #[allow(missing_docs)]
    Wheel(#[from] WheelError),
    /// A file that belongs into the PEX cannot be read.
    #[error("could not read `{path}`")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The PEX itself cannot be written.
    #[error("could not write the PEX file")]
    Write(#[source] io::Error),
    /// The wheel with the PEX runtime is not the pinned one.
    #[error("`{path}` is not the PEX runtime that this program was made for: its SHA-256 is {found}")]
    RuntimeDigest {
        /// The file.
        path: PathBuf,
        /// Lower-case hex.
        found: String,
    },
    /// The PEX runtime in this program cannot be unpacked.
    #[error("the PEX runtime in this program is damaged")]
    Embedded(#[source] io::Error),
    /// Two wheels of one distribution.
    #[error("`{first}` and `{second}` are two wheels of one distribution")]
    SameDistribution {
        /// File name.
        first: String,
        /// File name.
        second: String,
    },
    /// A wheel for another Python or platform.
    #[error("the wheel `{wheel}` does not run on Python {} on {}", target.python, target.platform)]
    OtherPlatform {
        /// File name.
        wheel: String,
        /// What is built for.
        target: Target,
    },
    /// The agent would refuse to load the PEX.
    #[error("the distributions do not fit together:{}", lines(gaps))]
    Incomplete {
        /// Unsatisfied requirements; never empty.
        gaps: Vec<Gap>,
    },
    /// A source file under a name that the PEX format reserves, or that no archive should hold.
    #[error("`{path}` cannot go into the source PEX: it {reason}")]
    SourcePath {
        /// Path in the PEX.
        path: String,
        /// Completes "it …".
        reason: &'static str,
    },
    /// A file changed between planning and writing.
    #[error("`{path}` changed while it was being packed")]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// The writer got its members in the wrong order.
    #[error("the members of the PEX are out of order at `{path}`")]
    Order {
        /// Path in the PEX.
        path: String,
    },
}

fn lines(gaps: &[Gap]) -> String {
    gaps.iter().map(|gap| format!("\n  {gap}")).collect()
}

impl Explain for PexError {
    fn fault(&self) -> Fault {
        match self {
            PexError::Wheel(error) => error.fault(),
            PexError::Read { .. }
            | PexError::Write(_)
            | PexError::RuntimeDigest { .. }
            | PexError::Embedded(_) => Fault::Tool,
            PexError::SameDistribution { .. }
            | PexError::OtherPlatform { .. }
            | PexError::Incomplete { .. }
            | PexError::SourcePath { .. }
            | PexError::Changed { .. } => Fault::Project,
            PexError::Order { .. } => Fault::Bug,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            PexError::Wheel(error) => error.hint(),
            PexError::Read { .. } | PexError::Order { .. } => None,
            PexError::Embedded(_) => Some("install pexpress again".to_string()),
            PexError::Write(_) => Some("is the disk full, or the output directory read-only?".to_string()),
            PexError::RuntimeDigest { .. } => Some("remove this file; it will be fetched again".to_string()),
            PexError::SameDistribution { .. } => {
                Some("require one version of it; a wheel named by path counts too".to_string())
            }
            PexError::OtherPlatform { .. } => {
                Some("build the wheel for that platform, or choose another with --platform or --python-version".to_string())
            }
            PexError::Incomplete { .. } => {
                Some("correct the requirements or the lock file; overrides (`tool.uv.override-dependencies`) may do so on purpose".to_string())
            }
            PexError::SourcePath { .. } => Some("rename it, or leave it out with a line in .pexignore".to_string()),
            PexError::Changed { .. } => Some("run again when nothing writes to the project".to_string()),
        }
    }
}
