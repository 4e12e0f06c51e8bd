//! Errors of building an image.

use crate::error::{Explain, Fault};
use crate::image::{LayerError, LayoutError};
use crate::wheel::WheelError;
use std::io;
use std::path::PathBuf;

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
    #[error("`{path}` cannot be included at `{place}`")]
    Include { path: PathBuf, place: PathBuf },
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
            ImageError::Layer(_) => return None,
            ImageError::Read { .. } => "make it readable, or leave it out with a .pexignore",
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
