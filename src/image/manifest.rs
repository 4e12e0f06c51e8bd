//! Descriptors, image manifests and image indexes.

use super::Digest;
use super::json::canonical;
use crate::foreign_json::{self, JsonError};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;

/// Media types of the specification, and Docker's names for the same things.
///
/// Source: OCI image specification, media-types.md; "Image Manifest Version 2, Schema 2" of the Docker project.
pub mod media_type {
    /// A list of manifests, one a platform.
    pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
    /// An image of one platform.
    pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    /// The config of an image.
    pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
    /// A layer that is not compressed.
    pub const LAYER_TAR: &str = "application/vnd.oci.image.layer.v1.tar";
    /// A layer that is compressed by gzip.
    pub const LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
    /// A layer that is compressed by Zstandard.
    pub const LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
    /// Docker's list of manifests.
    pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
    /// Docker's manifest.
    pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
    /// Docker's config.
    pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
    /// Docker's layer, compressed by gzip.
    pub const DOCKER_LAYER_GZIP: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
    /// Docker's layer that is not compressed.
    pub const DOCKER_LAYER_TAR: &str = "application/vnd.docker.image.rootfs.diff.tar";

    /// The specification's name for what Docker calls something else; others are returned as they are.
    pub fn of_the_specification(media_type: &str) -> &str {
        match media_type {
            DOCKER_LIST => INDEX,
            DOCKER_MANIFEST => MANIFEST,
            DOCKER_CONFIG => CONFIG,
            DOCKER_LAYER_GZIP => LAYER_GZIP,
            DOCKER_LAYER_TAR => LAYER_TAR,
            other => other,
        }
    }
}

/// What names a piece of content: its kind, digest and size.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an object with mediaType, digest and size")]
pub struct Descriptor {
    /// One of [`media_type`], or another.
    pub media_type: String,
    /// SHA-256 of the content.
    pub digest: Digest,
    /// Bytes of the content.
    pub size: u64,
    /// Key → text; [`LAYER_KEY`] for layers that pexpress wrote.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// In an index: what the manifest is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// What a manifest that is no image holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
}

/// The annotation of a layer that pexpress wrote: the key that its contents follow from.
pub const LAYER_KEY: &str = "dev.pexpress.layer";

/// The annotation of an image that pexpress wrote: what is in the layers of its base, if they had to be read to know it.
pub const BASE_NOTE: &str = "dev.pexpress.base";

impl Descriptor {
    /// A descriptor without annotations.
    pub fn new(media_type: &str, digest: Digest, size: u64) -> Descriptor {
        let (annotations, platform, artifact_type) = (BTreeMap::new(), None, None);
        Descriptor { media_type: media_type.to_string(), digest, size, annotations, platform, artifact_type }
    }

    /// The descriptor of content that is in memory.
    pub fn of(media_type: &str, content: &[u8]) -> Descriptor {
        Descriptor::new(media_type, Digest::of(content), content.len() as u64)
    }
}

/// An operating system and an architecture, as in `linux/arm64`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    /// `amd64`, `arm64` …
    pub architecture: String,
    /// `linux` …
    pub os: String,
    /// `v8` …; images for the first variant mostly leave it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.as_ref().map_or(Ok(()), |variant| write!(f, "/{variant}"))
    }
}

/// An image of one platform.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Always 2.
    pub schema_version: u32,
    /// [`media_type::MANIFEST`]; old manifests leave it out.
    #[serde(default)]
    pub media_type: String,
    /// What a manifest that is no image holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// The config.
    pub config: Descriptor,
    /// From the lowest to the highest.
    #[serde(default)]
    pub layers: Vec<Descriptor>,
    /// The manifest that this one says something about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// Key → text.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// A list of manifests, one a platform.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// Always 2.
    pub schema_version: u32,
    /// [`media_type::INDEX`]; old ones leave it out.
    #[serde(default)]
    pub media_type: String,
    /// The manifests; some may be no images, such as attestations.
    pub manifests: Vec<Descriptor>,
    /// Key → text.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// What an address or a tag leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Document {
    /// An image of one platform.
    Manifest(Box<Manifest>),
    /// A choice of images.
    Index(Index),
}

/// Why bytes are not a manifest.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Not JSON, or not of this form.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// JSON of another form.
    #[error("it is not an image manifest")]
    Form(#[source] serde_json::Error),
    /// A member of it has another form.
    #[error("its `{member}` cannot be read")]
    Member {
        /// Such as `config` or `layers[2]`.
        member: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The first form of Docker's manifests, which no registry has to offer any more.
    #[error("it has schema version {0}; only version 2 can be read")]
    SchemaVersion(u32),
}

impl Document {
    /// Read a manifest or an index, whichever it is.
    ///
    /// What it is follows from its members and not from the media type that a server gave: an index has `manifests`.
    ///
    /// # Errors
    /// When it is neither.
    pub fn parse(bytes: &[u8]) -> Result<Document, ManifestError> {
        let value = foreign_json::read(bytes)?;
        let version = value["schemaVersion"].as_u64().unwrap_or(0) as u32;
        if version != 2 {
            return Err(ManifestError::SchemaVersion(version));
        }
        let is_index = value.get("manifests").is_some();
        if let Some((member, source)) = wrong_descriptor(&value) {
            return Err(ManifestError::Member { member, source });
        }
        let read = if is_index {
            serde_json::from_value(value).map(Document::Index)
        } else {
            serde_json::from_value(value).map(|manifest| Document::Manifest(Box::new(manifest)))
        };
        read.map_err(ManifestError::Form)
    }
}

/// The first descriptor that cannot be read: the error about the whole document would not say which it is.
fn wrong_descriptor(document: &Value) -> Option<(String, serde_json::Error)> {
    let wrong = |descriptor: &Value| Descriptor::deserialize(descriptor).err();
    let listed = |name: &str| {
        let mut items = document.get(name)?.as_array()?.iter().enumerate();
        items.find_map(|(at, item)| Some((format!("{name}[{at}]"), wrong(item)?)))
    };
    let config = || Some(("config".to_string(), wrong(document.get("config")?)?));
    if document.get("manifests").is_some() {
        listed("manifests")
    } else {
        config().or_else(|| listed("layers"))
    }
}

impl Manifest {
    /// Its bytes, with sorted keys: equal manifests have equal digests.
    pub fn to_bytes(&self) -> Vec<u8> {
        canonical(self)
    }
}

impl Index {
    /// Its bytes, with sorted keys.
    pub fn to_bytes(&self) -> Vec<u8> {
        canonical(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_is_read_as_it_was_written() {
        let config = Descriptor::of(media_type::CONFIG, b"{}");
        let mut layer = Descriptor::of(media_type::LAYER_GZIP, b"layer");
        layer.annotations.insert(LAYER_KEY.into(), "key".into());
        let manifest = Manifest {
            schema_version: 2,
            media_type: media_type::MANIFEST.into(),
            artifact_type: None,
            config,
            layers: vec![layer],
            subject: None,
            annotations: BTreeMap::new(),
        };
        assert_eq!(Document::parse(&manifest.to_bytes()).unwrap(), Document::Manifest(Box::new(manifest)));
    }

    #[test]
    fn what_has_manifests_is_an_index() {
        let text = br#"{"schemaVersion": 2, "manifests": []}"#;
        assert!(matches!(Document::parse(text).unwrap(), Document::Index(_)));
    }

    #[test]
    fn other_documents_are_refused() {
        for wrong in [
            &b"not JSON"[..],
            b"[]",
            b"{}",
            br#"{"schemaVersion": 1}"#,
            br#"{"schemaVersion": 2}"#,
            br#"{"schemaVersion": 2, "manifests": [{"mediaType": "x", "digest": "sha256:../../x", "size": 1}]}"#,
            br#"{"schemaVersion": 2, "manifests": [{"mediaType": "x", "size": -1}]}"#,
        ] {
            assert!(Document::parse(wrong).is_err(), "{}", String::from_utf8_lossy(wrong));
        }
    }
}
