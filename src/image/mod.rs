//! The image format of the Open Container Initiative: digests, references, manifests and configs. Bytes in, values out.
//!
//! Nothing here knows what a registry, a wheel or Dagster+ is. No byte of a manifest is trusted: digests and names are
//! parsed into types before a path or an address is made of them, and sizes are checked against what was announced.
//! Specifications: "OCI Image Format Specification" 1.1 (manifest.md, image-index.md, config.md, descriptor.md), and
//! "OCI Distribution Specification" 1.1 for names and tags.

pub mod additions;
pub mod choice;
pub mod config;
pub mod digest;
pub mod dockerfile;
pub mod json;
pub mod layer;
pub mod layout;
pub mod manifest;
pub mod reference;
pub mod tar;
pub mod unpacked;

pub use additions::{AddedLayer, Additions};
pub use config::Config;
pub use digest::Digest;
pub use layer::{LayerError, LayerWriter, Packing, Written};
pub use layout::{Layout, LayoutError};
pub use manifest::{Descriptor, Index, Manifest, Platform};
pub use reference::{Reference, Repository, Tag};
