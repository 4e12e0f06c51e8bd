//! Errors between requirements and exact files.

use super::advice::Advice;
use super::mentioned::Mentioned;
use super::offered;
use crate::error::{Explain, Fault, Place};
use crate::target::{PythonVersion, Target};
use crate::tools::{self, ProcessError, UvError};
use pep440_rs::Version;
use std::path::PathBuf;

/// The most lines that are named in a sentence.
const MOST_NAMED: usize = 5;

/// The requirements do not lead to an exact set of files.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // the messages say what the fields are
pub enum ResolveError {
    #[error(transparent)]
    Tools(#[from] tools::Error),
    #[error(transparent)]
    Uv(#[from] UvError),
    #[error("could not resolve the requirements{mentioned}")]
    Unsolvable {
        mentioned: Mentioned,
        #[source]
        source: ProcessError,
    },
    #[error("what the lock file leaves open cannot be resolved{mentioned}")]
    Lock {
        file: PathBuf,
        remedy: String,
        mentioned: Mentioned,
        #[source]
        source: UvError,
    },
    #[error("could not read `{file}` as a pylock file")]
    Pylock {
        file: PathBuf,
        #[source]
        source: Box<toml::de::Error>,
    },
    #[error("`{file}` has lock-version `{version}`; pexpress reads version 1")]
    PylockVersion { file: PathBuf, version: String },
    #[error("`{file}`: the marker of `{name}` cannot be read: `{marker}`: {reason}")]
    Marker { file: PathBuf, name: String, marker: String, reason: String },
    #[error("`{file}` lists a file of `{name}` {problem}")]
    BadFile { file: PathBuf, name: String, problem: String },
    #[error("`{file}` has two entries for `{name}` that both apply to the target")]
    Twice { file: PathBuf, name: String },
    #[error("`{what}` requires Python {requires}, and the target is Python {python}")]
    RequiresPython { what: String, requires: String, python: PythonVersion },
    #[error("no file of `{name}` {version} can be used for Python {} on {}; there is: {}", target.python, target.platform, offered::summary(offered))]
    NoFile { name: String, version: String, target: Target, offered: Vec<String>, hashes_listed: bool },
    #[error("`{name}` comes from a `{kind}` repository; only git is supported")]
    Vcs { name: String, kind: String },
    #[error("{} {} not among the requirements of `{directory}`", missing.join(" and "), if missing.len() == 1 { "is" } else { "are" })]
    MissingDagster { missing: Vec<String>, directory: PathBuf, file: PathBuf, advice: Box<Advice> },
    #[error("{} {} and {} {} are not of one release, and cannot work together", newer.0, newer.1, older.0, older.1)]
    OutOfStep { newer: (String, Version), older: (String, Version), advice: Box<Advice> },
    #[error("no release of Dagster's packages fits {}", listed(lines))]
    NoRelease {
        lines: Vec<String>,
        advice: Box<Advice>,
        /// `None` if the resolver was not asked.
        #[source]
        source: Option<UvError>,
    },
}

/// `a`, `a and b`, `a, b and c`; with more lines, their number.
fn listed(lines: &[String]) -> String {
    match lines {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] if lines.len() <= MOST_NAMED => format!("{} and {last}", first.join(", ")),
        _ => format!("{} and {} more", lines[..MOST_NAMED - 1].join(", "), lines.len() + 1 - MOST_NAMED),
    }
}

impl Explain for ResolveError {
    fn fault(&self) -> Fault {
        match self {
            Self::Tools(error) => error.fault(),
            Self::Uv(error) | Self::Lock { source: error, .. } => error.fault(),
            _ => Fault::Project,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Tools(error) => return error.hint(),
            Self::Uv(error) => return error.hint(),
            Self::Unsolvable { source, mentioned } => return offered::hint_from_uv(source, mentioned),
            Self::Lock { remedy, .. } => {
                format!("bring the lock file up to date (`{remedy}`), or build with --no-locked")
            }
            Self::Pylock { .. } | Self::PylockVersion { .. } | Self::Marker { .. } | Self::BadFile { .. } | Self::Twice { .. } => {
                "regenerate the lock file with the tool that wrote it, or build with --no-locked".to_string()
            }
            Self::RequiresPython { .. } => "choose another Python with --python-version, or relax requires-python".to_string(),
            Self::NoFile { hashes_listed: true, .. } => {
                "the hashes listed for it match none of these files; list the hash of one that fits".to_string()
            }
            Self::NoFile { name, offered, .. } if offered::marker_hint(name, offered).is_some() => {
                return offered::marker_hint(name, offered);
            }
            Self::NoFile { .. } => {
                "choose a version with a wheel for the target or with a source distribution, or another Python with --python-version"
                    .to_string()
            }
            Self::Vcs { .. } => "use a git repository, or publish a wheel".to_string(),
            Self::MissingDagster { missing, file, advice, .. } => advice.adding(missing, file),
            Self::OutOfStep { advice, .. } | Self::NoRelease { advice, .. } => advice.text(),
        })
    }

    fn place(&self) -> Option<Place> {
        match self {
            Self::Unsolvable { mentioned, .. } => mentioned.place(),
            Self::MissingDagster { file, .. } | Self::Lock { file, .. } => {
                Some(Place { file: file.clone(), line: None, column: None })
            }
            Self::OutOfStep { advice, .. } | Self::NoRelease { advice, .. } => advice.place(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_lines_are_counted() {
        for (lines, want) in [
            (vec!["a"], "a"),
            (vec!["a", "b"], "a and b"),
            (vec!["a", "b", "c"], "a, b and c"),
            (vec!["a", "b", "c", "d", "e"], "a, b, c, d and e"),
            (vec!["a", "b", "c", "d", "e", "f"], "a, b, c, d and 2 more"),
        ] {
            assert_eq!(listed(&lines.into_iter().map(String::from).collect::<Vec<_>>()), want);
        }
    }
}
