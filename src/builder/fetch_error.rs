//! Why there is no wheel of a distribution.

use super::compiled::CompiledError;
use super::git_source::GitError;
use crate::cache::CacheError;
use crate::error::{Explain, Fault};
use crate::net::download::DownloadError;
use crate::simple_index::IndexError;
use crate::target::Target;
use crate::tools::{self, UvError};
use crate::wheel::WheelError;

/// There is no wheel of a distribution for the target.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // the field names say it
pub enum FetchError {
    #[error(transparent)]
    Download(#[from] DownloadError),
    #[error(transparent)]
    Tools(#[from] tools::Error),
    #[error(transparent)]
    Cache(#[from] CacheError),
    #[error(transparent)]
    Wheel(#[from] WheelError),
    #[error(transparent)]
    Compiled(#[from] CompiledError),
    /// No index has a file of the lock.
    #[error("no package index has `{file_name}` with the expected SHA-256")]
    NotOnIndex {
        file_name: String,
        #[source]
        source: Option<Box<IndexError>>,
    },
    /// A repository or commit is not available.
    #[error("could not get `{name}` from its Git repository")]
    Git {
        name: String,
        #[source]
        source: Box<GitError>,
    },
    /// The build backend failed, or its requirements cannot be installed.
    #[error("could not build `{name}` from `{archive}`")]
    Build {
        name: String,
        archive: String,
        #[source]
        source: Box<UvError>,
    },
    /// A source archive cannot be unpacked.
    #[error("could not unpack `{archive}`")]
    Unpack {
        archive: String,
        #[source]
        source: Box<tools::ProcessError>,
    },
    /// The source does not have this directory.
    #[error("`{archive}` has no directory `{subdirectory}`, where `{name}` should be")]
    Subdirectory { name: String, archive: String, subdirectory: String },
    /// The build made a wheel of another distribution.
    #[error("`{archive}` should build `{want}` and builds `{file_name}`")]
    OtherPackage { archive: String, want: String, file_name: String },
    /// The wheel cannot be installed on the target.
    #[error("the wheel `{file_name}`{} does not run on Python {} and {}", built_from(.archive), .target.python, .target.platform)]
    Unfit { file_name: String, archive: Option<String>, target: Target },
}

fn built_from(archive: &Option<String>) -> String {
    archive.as_ref().map(|archive| format!(", built here from `{archive}`,")).unwrap_or_default()
}

impl Explain for FetchError {
    fn fault(&self) -> Fault {
        match self {
            FetchError::Download(error) => error.fault(),
            FetchError::Tools(error) => error.fault(),
            FetchError::Cache(error) => error.fault(),
            FetchError::Wheel(error) => error.fault(),
            FetchError::Compiled(error) => error.fault(),
            FetchError::NotOnIndex { source, .. } => {
                source.as_ref().map_or(Fault::Remote, |error| error.fault())
            }
            FetchError::Git { source, .. } => source.fault(),
            FetchError::Build { source, .. } => source.fault(),
            FetchError::Unpack { .. }
            | FetchError::Subdirectory { .. }
            | FetchError::OtherPackage { .. }
            | FetchError::Unfit { .. } => Fault::Project,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            FetchError::Download(error) => error.hint(),
            FetchError::Tools(error) => error.hint(),
            FetchError::Cache(error) => error.hint(),
            FetchError::Wheel(error) => error.hint(),
            FetchError::Compiled(error) => error.hint(),
            FetchError::NotOnIndex { source, .. } => {
                let hint = source.as_ref().and_then(|error| error.hint());
                hint.or_else(|| Some("lock again, or let the index mirror this file unchanged".into()))
            }
            FetchError::Git { source, .. } => source.hint(),
            FetchError::Build { name, source, .. } => source.hint().or_else(|| {
                Some(format!(
                    "choose a version of `{name}` that has a wheel for the target, or install what its build needs"
                ))
            }),
            FetchError::Unpack { .. } => Some("source archives are .tar.gz, .tgz, .tar.bz2, .tar.xz or .zip".into()),
            FetchError::Subdirectory { .. } => Some("correct `subdirectory` in the requirement".into()),
            FetchError::OtherPackage { .. } => Some("correct the name or the version in the requirement".into()),
            FetchError::Unfit { archive: Some(_), .. } => Some(
                "choose a version that has a wheel for the target, or build on a machine with the target's system and processor".into(),
            ),
            FetchError::Unfit { archive: None, .. } => {
                Some("use a wheel for the target, or choose another target with --python-version or --platform".into())
            }
        }
    }
}
