//! Errors of a build.

use super::compiled::CompiledError;
use super::fetch_error::FetchError;
use super::image::ImageError;
use super::manifest;
use super::tree_error::TreeError;
use crate::cache::CacheError;
use crate::error::{Explain, Fault, Place};
use crate::near_names::closest_path;
use crate::pex::PexError;
use crate::resolve::ResolveError;
use crate::tools::{self, UvError};
use crate::wheel::WheelError;
use std::io;
use std::path::{Path, PathBuf};

/// A PEX file could not be built.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // the messages say what the fields are
pub enum BuildError {
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    Tools(#[from] tools::Error),
    #[error(transparent)]
    Cache(#[from] CacheError),
    #[error(transparent)]
    Pex(#[from] PexError),
    #[error(transparent)]
    Wheel(#[from] WheelError),
    #[error(transparent)]
    Compiled(#[from] CompiledError),
    #[error(transparent)]
    Image(#[from] ImageError),
    #[error(transparent)]
    Tree(#[from] TreeError),
    #[error("it was not built because the run had ended")]
    Over,
    #[error("could not build the local package `{directory}`")]
    LocalPackage {
        directory: PathBuf,
        #[source]
        source: Box<UvError>,
    },
    #[error("could not read `{path}`")]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("could not write `{path}`")]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("could not create a temporary directory in `{directory}`")]
    Temporary {
        directory: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("`{path}` was deleted or replaced while the others were built")]
    Replaced {
        path: PathBuf,
        #[source]
        source: Option<io::Error>,
    },
    #[error("could not use `{directory}` for the files that are built")]
    OutDir {
        directory: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("`{directory}` holds no {}", manifest::FILE_NAME)]
    NoManifest {
        directory: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the directory `{directory}` does not exist")]
    NoOutDir { directory: PathBuf },
    #[error("`{path}` cannot be used: {reason}")]
    ManifestFormat { path: PathBuf, reason: String },
}

impl BuildError {
    fn inner(&self) -> Option<&dyn Explain> {
        match self {
            BuildError::Resolve(error) => Some(error),
            BuildError::Fetch(error) => Some(error),
            BuildError::Tools(error) => Some(error),
            BuildError::Cache(error) => Some(error),
            BuildError::Pex(error) => Some(error),
            BuildError::Wheel(error) => Some(error),
            BuildError::Compiled(error) => Some(error),
            BuildError::Image(error) => Some(error),
            _ => None,
        }
    }
}

impl Explain for BuildError {
    fn fault(&self) -> Fault {
        match self {
            BuildError::Tree(_)
            | BuildError::NoManifest { .. }
            | BuildError::NoOutDir { .. }
            | BuildError::ManifestFormat { .. } => Fault::Project,
            BuildError::LocalPackage { source, .. } => source.fault(),
            _ => self.inner().map_or(Fault::Tool, Explain::fault),
        }
    }

    fn hint(&self) -> Option<String> {
        if let BuildError::NoOutDir { directory } = self
            && let Some(near) = closest_path(directory, Path::is_dir)
        {
            return Some(format!("did you mean `{}`?", near.display()));
        }
        let text = match self {
            BuildError::LocalPackage { source, .. } => {
                return source
                    .hint()
                    .or_else(|| Some("see the output of its build backend above".to_string()));
            }
            BuildError::Tree(TreeError::Pattern { .. }) => "patterns are written as in a .gitignore",
            BuildError::Tree(TreeError::TooMany { .. }) => "leave directories out with a .pexignore",
            BuildError::Tree(TreeError::Read { .. }) | BuildError::Read { .. } => {
                "make it readable, or leave it out with a .pexignore"
            }
            BuildError::Write { .. } | BuildError::OutDir { .. } => {
                "choose a writable directory with free space"
            }
            BuildError::Temporary { .. } => "set TMPDIR to a writable directory with free space",
            BuildError::Replaced { .. } => "do not change the output directory while pexpress runs",
            BuildError::NoManifest { .. }
            | BuildError::NoOutDir { .. }
            | BuildError::ManifestFormat { .. } => {
                "build the code locations into it with `pexpress deploy` or `pexpress image` first"
            }
            _ => return self.inner().and_then(Explain::hint),
        };
        Some(text.to_string())
    }

    fn place(&self) -> Option<Place> {
        self.inner().and_then(Explain::place)
    }
}
