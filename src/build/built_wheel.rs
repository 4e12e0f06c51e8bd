//! Wheels built here, kept with the downloaded ones and found again by what they were built from.

use crate::tools::Tools;
use serde::{Deserialize, Serialize};

/// What the cache remembers of a build: which wheel it gave.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct BuiltWheel {
    /// Its file name.
    pub(super) file_name: String,
    /// Its SHA-256, lower-case hex.
    pub(super) sha256: String,
}

impl BuiltWheel {
    /// What is remembered under this key.
    pub(super) fn recall(tools: &Tools, key: &str) -> Option<BuiltWheel> {
        serde_json::from_str(&tools.cache().recall(place(key))?).ok()
    }

    /// Remember it under this key, if the cache can be written.
    pub(super) fn keep(&self, tools: &Tools, key: &str) {
        let text = serde_json::json!(self).to_string();
        tools.keep(&place(key), &text);
    }
}

/// Where it is remembered, below the cache directory.
fn place(key: &str) -> String {
    format!("built/{key}")
}
