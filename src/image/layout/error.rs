//! What can be wrong with an image layout, and what to do about it.

use crate::cache::CacheError;
use crate::image::config::ConfigError;
use crate::image::layout::{INDEX, REF_NAME};
use crate::image::manifest::ManifestError;
use std::io;
use std::path::PathBuf;

/// A layout cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // the messages say what the fields are
pub enum LayoutError {
    #[error("`{directory}` is not an image layout: {reason}")]
    NotOne { directory: PathBuf, reason: String },
    #[error("`{directory}` holds no image with the tag `{tag}`; it has {}", tags(known, 0))]
    NoTag { directory: PathBuf, tag: String, known: Vec<String> },
    #[error("`{directory}` holds several images: {}", tags(known, *untagged))]
    Several { directory: PathBuf, known: Vec<String>, untagged: usize },
    #[error("`{directory}` holds no image")]
    Empty { directory: PathBuf },
    #[error("`{directory}` has an index that leads to others, and no image was found {depth} levels deep")]
    Nested { directory: PathBuf, depth: usize },
    #[error("could not read `{path}`")]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("`{path}` is missing, and the image needs it")]
    Missing { path: PathBuf },
    #[error("`{path}` does not have the size and the digest that its name promises")]
    Damaged { path: PathBuf },
    #[error("`{path}` is not a usable manifest or index")]
    Manifest {
        path: PathBuf,
        #[source]
        source: ManifestError,
    },
    #[error("the config `{path}` of an image cannot be used")]
    Config {
        path: PathBuf,
        #[source]
        source: ConfigError,
    },
    #[error("`{directory}` holds something else than an image layout")]
    Occupied { directory: PathBuf },
    #[error(transparent)]
    Write(#[from] CacheError),
}

/// What to do about an image whose bytes are those that its digest promises.
pub const MADE_WRONG: &str =
    "its digest is right, so it was made like this: make the image again, or use another one";

impl LayoutError {
    /// One thing the reader can do.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            LayoutError::NotOne { .. } => {
                "name a directory that `skopeo copy docker://… oci:DIR` or `pexpress image` wrote"
            }
            LayoutError::NoTag { known, .. } if known.is_empty() => "leave the tag out: `oci:DIR`",
            LayoutError::Several { known, .. } if known.is_empty() => {
                return Some(format!(
                    "give each a tag, the annotation {REF_NAME} in `index.json`, and name one: `oci:DIR:TAG`"
                ));
            }
            LayoutError::NoTag { .. } | LayoutError::Several { .. } => "name one: `oci:DIR:TAG`",
            LayoutError::Manifest { path, .. } if path.ends_with(INDEX) => "write the layout again",
            LayoutError::Manifest { .. } | LayoutError::Config { .. } => MADE_WRONG,
            LayoutError::Damaged { .. } | LayoutError::Missing { .. } => "write the layout again",
            LayoutError::Nested { .. } => {
                "copy the image alone: `skopeo copy oci:DIR oci:OTHER`, or use another one"
            }
            LayoutError::Occupied { .. } => "choose another directory, or empty this one",
            LayoutError::Write(_) => "choose a writable directory with free space",
            LayoutError::Empty { .. } | LayoutError::Read { .. } => return None,
        };
        Some(text.to_string())
    }
}

/// Tags, and how many images have none.
fn tags(known: &[String], untagged: usize) -> String {
    match (known.is_empty(), untagged) {
        (true, 0) => "no tags".to_string(),
        (true, count) => format!("{count} without tags"),
        (false, 0) => known.join(", "),
        (false, count) => format!("{}, and {count} without a tag", known.join(", ")),
    }
}
