//! Exact distributions and a source tree → the layers, the config and the manifest of an image.
//!
//! ```text
//! base layers        untouched
//! venv               opt/venv/{pyvenv.cfg,bin/python}, usr/local/bin/{dagster,dagster-cloud}
//! distributions      opt/venv/lib/python3.M/site-packages/…, opt/venv/bin/…: one large wheel or one bucket a layer
//! source             opt/dagster/app/…, its dist-info in site-packages, and a `.pth` that makes it importable
//! ```
//!
//! Equal inputs lead to equal bytes: entries are sorted, times and owners are zero, and nothing of this machine is in
//! them. `docs/images.md` has the rules for users.

pub mod base;
pub mod build;
pub mod bytecode;
pub mod editable;
mod error;
pub mod files;
pub mod groups;
pub mod install;
pub mod key;
pub mod loading;
pub mod name;
pub mod place;
pub mod record;
pub mod sbom;
pub mod scan;
pub mod source;
pub mod stored;
pub mod venv;

pub use error::ImageError;

use std::path::PathBuf;

/// A file or directory that is in the image besides the build directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Include {
    /// Absolute.
    pub source: PathBuf,
    /// Where it goes: relative to `/opt/dagster/app`, or absolute. Default: the same place next to the build directory.
    pub destination: Option<String>,
}
