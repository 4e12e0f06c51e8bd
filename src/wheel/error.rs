//! Errors about wheels.

use crate::error::{Explain, Fault};
use std::io;
use std::path::PathBuf;

/// A wheel cannot be read, or must not be used.
#[derive(Debug, thiserror::Error)]
pub enum WheelError {
    /// The file name is not one of a wheel.
    #[error("`{file_name}` is not the name of a wheel: {reason}")]
    FileName {
        /// As given.
        file_name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The file system failed.
    #[error("could not read the wheel `{path}`")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The ZIP archive as a whole is damaged.
    #[error("the wheel `{path}` is damaged: {reason}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// One member is broken or must not be unpacked.
    #[error("the wheel `{wheel}` cannot be used: its member `{member}` {reason}")]
    Member {
        /// File name.
        wheel: String,
        /// Member, with control characters escaped.
        member: String,
        /// Completes "its member `x` …".
        reason: String,
    },
    /// It would unpack to a huge size.
    #[error("the wheel `{wheel}` cannot be used: {archive_bytes} bytes would unpack to {unpacked_bytes}")]
    Bomb {
        /// File name.
        wheel: String,
        /// Bytes unpacked.
        unpacked_bytes: u64,
        /// Bytes packed.
        archive_bytes: u64,
    },
    /// A file of the dist-info directory is missing, malformed, or contradicts the file name.
    #[error("the wheel `{wheel}` has bad metadata: {reason}")]
    Metadata {
        /// File name.
        wheel: String,
        /// What is wrong.
        reason: String,
    },
    /// A malformed `Requires-Dist` line. The agent would refuse the whole PEX because of it.
    #[error("the wheel `{wheel}` has a malformed dependency: `Requires-Dist: {line}`")]
    RequiresDist {
        /// File name.
        wheel: String,
        /// The value of the header.
        line: String,
        /// Why it does not parse.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl WheelError {
    /// [`WheelError::Member`], for a closure.
    pub(crate) fn member(wheel: &str, member: &str, reason: impl Into<String>) -> WheelError {
        WheelError::Member {
            wheel: wheel.to_string(),
            member: member.escape_debug().to_string(),
            reason: reason.into(),
        }
    }

    /// [`WheelError::Metadata`], for a closure.
    pub(crate) fn metadata(wheel: &str, reason: impl Into<String>) -> WheelError {
        WheelError::Metadata { wheel: wheel.to_string(), reason: reason.into() }
    }
}

impl Explain for WheelError {
    fn fault(&self) -> Fault {
        match self {
            WheelError::Read { .. } => Fault::Tool,
            _ => Fault::Project,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            WheelError::Read { .. } => None,
            WheelError::FileName { .. } => {
                Some("rename it to NAME-VERSION-PYTHON-ABI-PLATFORM.whl, as it was built".to_string())
            }
            WheelError::Damaged { .. } => Some(
                "remove this file if it is in the cache, or rebuild it if it is yours, and run again"
                    .to_string(),
            ),
            WheelError::RequiresDist { .. } => Some(
                "require another version of this package: newer releases usually corrected it".to_string(),
            ),
            WheelError::Member { .. } | WheelError::Metadata { .. } | WheelError::Bomb { .. } => Some(
                "require another version of this package, or rebuild the wheel if it is yours".to_string(),
            ),
        }
    }
}
