//! Wheels built here. They are stored with the downloaded ones and found again by the source that they were built from.

use crate::tools::Tools;
use serde::{Deserialize, Serialize};

/// The record of a build: the wheel that it made.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct BuiltWheel {
    /// Its file name.
    pub(super) file_name: String,
    /// Its SHA-256, lower-case hex.
    pub(super) sha256: String,
}

impl BuiltWheel {
    /// The record stored under this key.
    pub(super) fn recall(tools: &Tools, key: &str) -> Option<BuiltWheel> {
        serde_json::from_str(&tools.cache().recall(place(key))?).ok()
    }

    /// Store it under this key. A cache that cannot be written is not an error.
    pub(super) fn keep(&self, tools: &Tools, key: &str) {
        let text = serde_json::json!(self).to_string();
        tools.keep(&place(key), &text);
    }
}

/// Path of the record, below the cache directory.
fn place(key: &str) -> String {
    format!("built/{key}")
}
