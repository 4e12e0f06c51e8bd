//! Errors of building an image.

use crate::builder::BuildError;
use crate::error::{Explain, Fault};
use crate::image::layout::MADE_WRONG;
use crate::image::manifest::media_type;
use crate::image::tar::TarError;
use crate::image::{Descriptor, Digest, LayerError, LayoutError};
use crate::registry::RegistryError;
use crate::target::PythonVersion;
use crate::wheel::WheelError;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// An image could not be built.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // the messages say what the fields are
pub enum ImageError {
    #[error(transparent)]
    Wheel(#[from] WheelError),
    #[error(transparent)]
    Layer(#[from] LayerError),
    #[error(transparent)]
    Layout(#[from] LayoutError),
    #[error("could not read `{path}`")]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("`/{path}` of the image would be a file and a directory")]
    FileAndDirectory { path: String },
    #[error("`{path}` cannot be included at `{place}`: {}", if *is_given { "the environment and the top of the image are not for files of a project" } else { "its place next to the build directory would be outside of /opt/dagster" })]
    Include { path: PathBuf, place: PathBuf, is_given: bool },
    #[error("could not read a layer of the base image")]
    Tar(#[from] TarError),
    #[error("could not read the layer {digest} of the base image `{base}`{}", if *is_mislabelled { ": it is said to be compressed by gzip, and is not" } else { "" })]
    BaseLayer {
        base: String,
        digest: Digest,
        is_mislabelled: bool,
        #[source]
        source: TarError,
    },
    #[error("the base image `{base}` is not for {wanted}; {}", if has.is_empty() { "no entry of its index names a platform".to_string() } else { format!("it is for {}", has.join(", ")) })]
    Platform { base: String, wanted: String, has: Vec<String> },
    #[error("the manifest of the base image `{base}` has {} layers, and its config {}", counts.0, counts.1)]
    Layers { base: String, counts: (usize, usize) },
    #[error("the base image `{base}` has Python {}, and the code location needs {wanted}", versions(found))]
    PythonVersion { base: String, found: Vec<PythonVersion>, wanted: PythonVersion },
    #[error("no Python was found in the base image `{base}`")]
    NoPython { base: String },
    #[error("the base image `{base}` has neither glibc nor musl")]
    NoLibc { base: String },
    #[error("could not read the base image `{base}`")]
    BaseContent {
        base: String,
        #[source]
        source: io::Error,
    },
    #[error("its layer of {what} is not in the image that runs, or is built from source")]
    NewLayer { what: String },
    #[error(transparent)]
    Registry(#[from] RegistryError),
    #[error("could not build the image for {platform}")]
    OnPlatform {
        platform: String,
        #[source]
        source: Arc<BuildError>,
    },
}

fn versions(found: &[PythonVersion]) -> String {
    found.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ")
}

impl ImageError {
    /// The same with the name of the layer, whose digest was checked, if it is about what is in it. `start` is how it
    /// begins.
    #[must_use]
    pub fn in_layer(self, base: String, layer: &Descriptor, start: &[u8]) -> ImageError {
        let is_gzip = media_type::of_the_specification(&layer.media_type) == media_type::LAYER_GZIP;
        let is_mislabelled = is_gzip && !start.starts_with(&[0x1f, 0x8b]);
        match self {
            ImageError::Tar(source) => {
                ImageError::BaseLayer { base, digest: layer.digest, is_mislabelled, source }
            }
            other => other,
        }
    }
}

impl Explain for ImageError {
    fn fault(&self) -> Fault {
        match self {
            ImageError::Wheel(error) => error.fault(),
            ImageError::Layer(LayerError::Order { .. }) => Fault::Bug,
            ImageError::Layer(LayerError::Size { .. }) | ImageError::FileAndDirectory { .. } => {
                Fault::Project
            }
            ImageError::Include { .. } => Fault::Usage,
            ImageError::Tar(_)
            | ImageError::BaseLayer { .. }
            | ImageError::Platform { .. }
            | ImageError::Layers { .. }
            | ImageError::NewLayer { .. }
            | ImageError::PythonVersion { .. }
            | ImageError::NoPython { .. }
            | ImageError::NoLibc { .. } => Fault::Project,
            ImageError::BaseContent { .. } => Fault::Remote,
            ImageError::Registry(error) => error.fault(),
            ImageError::OnPlatform { source, .. } => source.fault(),
            ImageError::Layout(error) => match error {
                LayoutError::Write(_) | LayoutError::Read { .. } => Fault::Tool,
                _ => Fault::Project,
            },
            ImageError::Layer(_) | ImageError::Read { .. } => Fault::Tool,
        }
    }

    fn hint(&self) -> Option<String> {
        let text = match self {
            ImageError::Wheel(error) => return error.hint(),
            ImageError::Layout(error) => return error.hint(),
            ImageError::Layer(LayerError::Size { .. }) => {
                "do not change files while the image is built, or leave this one out with a .pexignore"
            }
            ImageError::Layer(_) | ImageError::NewLayer { .. } => return None,
            ImageError::Read { .. } => "make it readable, or leave it out with a .pexignore",
            ImageError::Registry(error) => return error.hint(),
            ImageError::OnPlatform { source, .. } => return source.hint(),
            ImageError::Tar(_) | ImageError::BaseContent { .. } => {
                "fetch the base image again, or use another one"
            }
            ImageError::BaseLayer { .. } | ImageError::Layers { .. } => MADE_WRONG,
            ImageError::Platform { has, .. } if has.is_empty() => {
                "name the image itself, as HOST/REPOSITORY@sha256:…, or use another --base-image"
            }
            ImageError::Platform { .. } => "use another --base-image, or another --image-platform",
            ImageError::PythonVersion { wanted, .. } => {
                return Some(format!(
                    "use a base image with Python {wanted}, such as `python:{wanted}-slim`, or change the code location's version with --python-version"
                ));
            }
            ImageError::NoPython { .. } => {
                "say where it is with --image-python, for example /usr/bin/python3.12, or use a base image with Python"
            }
            ImageError::NoLibc { .. } => {
                "say what it runs with --platform, for example manylinux_2_28_x86_64"
            }
            ImageError::Include { place, is_given: false, .. } if place.parent() != Some(Path::new("/")) => {
                return Some(format!(
                    "if that is the place that the code expects, say so: --image-include PATH:{}",
                    place.display()
                ));
            }
            ImageError::Include { .. } => {
                "give a place for it: --image-include PATH:DEST, relative to /opt/dagster/app or an absolute path such as /srv/NAME"
            }
            ImageError::FileAndDirectory { .. } => {
                "two distributions of the project do not fit together: require only one of them"
            }
        };
        Some(text.to_string())
    }
}
