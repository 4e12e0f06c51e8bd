//! Wheels built here, kept with the downloaded ones and found again by what they were built from.

use crate::cache::{Cache, CacheError};
use serde::{Deserialize, Serialize};
use std::io;

/// What the cache remembers of a build: which wheel it gave.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct BuiltWheel {
    /// Its file name.
    pub(super) file_name: String,
    /// Its SHA-256, lower-case hex.
    pub(super) sha256: String,
}

impl BuiltWheel {
    /// What is remembered under `name`, a path below the cache directory.
    pub(super) fn recall(cache: &Cache, name: &str) -> Option<BuiltWheel> {
        serde_json::from_str(&cache.recall(name)?).ok()
    }

    /// Remember it under `name`, a path below the cache directory.
    ///
    /// # Errors
    /// When the cache cannot be written.
    pub(super) fn keep(&self, cache: &Cache, name: &str) -> Result<(), CacheError> {
        let text = serde_json::to_string(self).map_err(|error| CacheError {
            action: "write",
            path: cache.root().join(name),
            source: io::Error::other(error),
        })?;
        cache.keep(name, &text)
    }
}
