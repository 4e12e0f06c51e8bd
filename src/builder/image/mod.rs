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
mod collisions;
pub mod contents;
mod distributions;
pub mod editable;
mod error;
pub mod files;
pub mod groups;
pub mod install;
pub mod key;
pub mod known;
pub mod loading;
pub mod name;
pub mod observer;
pub mod options;
pub mod place;
pub mod platforms;
pub mod record;
pub mod recorded;
pub mod sbom;
pub mod scan;
pub mod source;
pub mod stored;
pub mod venv;
pub mod wheels;

pub use error::ImageError;

use crate::cache::Cache;
use crate::hex::hex;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::path::{Path, PathBuf};

/// A file or directory that is in the image besides the build directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Include {
    /// Absolute.
    pub source: PathBuf,
    /// Where it goes: relative to `/opt/dagster/app`, or absolute. Default: the same place next to the build directory.
    pub destination: Option<String>,
}

/// Wait until no other run writes images to this directory, which removes what its own images do not need; others wait
/// as long as the file is held. `None` where nothing can be locked.
pub fn turn(out_dir: &Path, cache: &Cache) -> Option<File> {
    let out_dir = out_dir.canonicalize().unwrap_or_else(|_| out_dir.to_path_buf());
    let digest = hex(Sha256::digest(out_dir.as_os_str().as_encoded_bytes()));
    // Few digits, so that there are few lock files; two directories that share one only wait.
    cache.turn(&format!("images-{}", &digest[..2]))
}
