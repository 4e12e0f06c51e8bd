//! Why the files of a directory cannot be listed.

use std::io;
use std::path::PathBuf;

/// More files and directories are refused: links between directories can turn a few into millions.
pub const MAX_ENTRIES: usize = if cfg!(test) { 5_000 } else { 500_000 };

/// A directory or the ignore file in it cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// A directory, a link or a file's metadata.
    #[error("could not read `{path}`")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Too many files.
    #[error("`{directory}` has more than {MAX_ENTRIES} files and directories, links followed")]
    TooMany {
        /// The directory that was to be shipped.
        directory: PathBuf,
    },
    /// A pattern in `.pexignore`.
    #[error("`{file}` has a pattern that cannot be used")]
    Pattern {
        /// The `.pexignore`.
        file: PathBuf,
        /// Which, and why.
        #[source]
        source: ignore::Error,
    },
}
