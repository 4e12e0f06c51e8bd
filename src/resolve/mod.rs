//! Requirements → the exact wheels and source distributions, by uv's resolver or by a lock file.

use serde::Serialize;

/// The exact distributions that a deps PEX is made of.
#[derive(Debug, Clone, Serialize)]
pub struct Resolution {
    /// Sorted by name; one per name.
    pub distributions: Vec<Distribution>,
}

/// One distribution at one version, and where to get it.
#[derive(Debug, Clone, Serialize)]
pub struct Distribution {
    /// Normalised name.
    pub name: String,
    /// Version, if known before it is built.
    pub version: Option<String>,
    /// What to fetch.
    pub artifact: Artifact,
}

/// What to fetch for a distribution.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Artifact {
    /// A wheel at a URL or path.
    Wheel(Download),
    /// A source archive at a URL or path; built by uv with the target Python.
    Sdist {
        /// The archive.
        #[serde(flatten)]
        download: Download,
        /// Directory of the package in it, if not the top.
        #[serde(skip_serializing_if = "Option::is_none")]
        subdirectory: Option<String>,
    },
    /// A commit of a Git repository, built likewise.
    Git {
        /// Repository URL.
        url: String,
        /// Full commit id.
        commit: String,
        /// Directory in it, if not the top.
        #[serde(skip_serializing_if = "Option::is_none")]
        subdirectory: Option<String>,
    },
}

/// A file to fetch.
#[derive(Debug, Clone, Serialize)]
pub struct Download {
    /// File name, as the index gives it.
    pub file_name: String,
    /// `https:`, `http:` or `file:` URL.
    pub url: String,
    /// Lower-case hex SHA-256; `None` only for a URL that the user wrote without one.
    pub sha256: Option<String>,
    /// Size, if the index says.
    pub size_bytes: Option<u64>,
}
