//! Registries of container images: manifests, blobs, tokens and credentials.
//!
//! One [`Registries`] serves a whole run: it keeps connections and tokens, and counts requests and bytes. What is read
//! is checked against its digest, and what is sent too, while it streams; nothing large is held in memory.
//!
//! Nothing here knows what an image holds or why it is pushed. Credential helpers are programs, which another speaker
//! runs: the caller hands in a [`HelperRunner`].
//! Specifications: "OCI Distribution Specification" 1.1; "Docker Registry v2 authentication via central service".

mod access;
mod auth_file;
mod blobs;
mod call;
mod challenge;
mod checked;
mod chunks;
mod client;
mod credential;
mod credentials;
mod endpoint;
mod error;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod helper;
mod location;
mod manifests;
mod push;
mod push_image;
mod referrers;
mod slots;
mod small;
mod token;

pub use blobs::BlobReader;
pub use call::Open;
pub use client::Registries;
pub use credential::Credential;
pub use credentials::{Credentials, CredentialsError};
pub use error::RegistryError;
pub use helper::HelperRunner;
pub use manifests::{Fetched, Image, TagKind, Tagged};
pub use push::{Blob, Pushed};
pub use push_image::{Push, PushedImage};
pub use referrers::Artifact;
pub use small::MOST_BYTES;
