//! Callbacks of a running build of images, so that uploads need not wait for its end.

use crate::image::Descriptor;
use std::path::PathBuf;

/// Where the bytes of a finished layer are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LayerSource {
    /// In this file.
    File(PathBuf),
    /// In the registry of the base image.
    BaseRegistry,
}

/// Receives layers when they are finished. Called from several threads at once.
pub trait LayerObserver: Sync {
    /// A layer of the images of these code locations can be sent.
    fn finished(&self, _layer: &Descriptor, _source: LayerSource, _locations: &[&str]) {}
}

/// For builds without uploads.
#[derive(Debug, Clone, Copy)]
pub struct NoLayerObserver;

impl LayerObserver for NoLayerObserver {}
