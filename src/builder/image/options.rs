//! What images are to be like.

use super::Include;
use super::known::KnownLayers;
use crate::image::Packing;
use crate::image::tar::Owner;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// What images are to be like, and which layers need not be made for them.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// How layers are compressed.
    pub packing: Packing,
    /// Owner of the code location's files.
    pub owner: Owner,
    /// Variables of the image.
    pub env: BTreeMap<String, String>,
    /// Labels of the image.
    pub labels: BTreeMap<String, String>,
    /// Further files.
    pub includes: Vec<Include>,
    /// Whether modules of distributions are compiled.
    pub bytecode: bool,
    /// Whether a list of what is in the image is written.
    pub sbom: bool,
    /// Layers that registries have.
    pub known: KnownLayers,
    /// Whether the layers of a base in a registry stay there: layouts lack them, and whoever pushes the image copies them
    /// from one registry to the other.
    pub base_stays: bool,
    /// Whether an image with other layers than these and its own files is an error: only to see whether it would be
    /// another one.
    pub only_known: bool,
    /// Whether all layers are made if some of them are new and no lock file decided what is in them: such images are
    /// loaded here.
    pub whole_if_new: bool,
    /// How old recipes of local packages may be; default: that of the build.
    pub recipe_max_age: Option<Duration>,
    /// What Dockerfiles say, by build directory. [`Options::env`] and [`Options::labels`] win.
    pub dockerfiles: BTreeMap<PathBuf, FromDockerfile>,
}

/// What is taken over from a Dockerfile.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FromDockerfile {
    /// Variables.
    pub env: BTreeMap<String, String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}
