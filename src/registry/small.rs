//! Small artifacts under a tag, which one request reads: the manifest holds the content too.
//!
//! The content is the only layer, so other tools can fetch it as from any artifact, and its descriptor has it as `data`.
//! An annotation would need no blob, but some registries copy annotations into tables with short columns.
//!
//! Source: OCI image specification, descriptor.md, "Embedded Content"; manifest.md, "Guidelines for Artifact Usage".

use super::client::Registries;
use super::error::RegistryError;
use super::push::Blob;
use super::referrers::{Artifact, EMPTY};
use crate::foreign_json;
use crate::image::json::canonical;
use crate::image::manifest::media_type;
use crate::image::{Digest, Reference};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// Limit of the content: as base64 it fits into a manifest of 4 MiB.
pub const MOST_BYTES: usize = 2 << 20;

impl Registries {
    /// Write an artifact of at most [`MOST_BYTES`] under a tag, whatever that meant before. The tag is written last.
    ///
    /// # Errors
    /// As for [`Registries::push_all`] and [`Registries::put_manifest`], such as where tags may not be moved.
    pub fn put_small(&self, reference: &Reference, artifact: &Artifact<'_>) -> Result<(), RegistryError> {
        let content = Blob::of_bytes(artifact.media_type, artifact.content);
        let mut layer = json!(content.descriptor);
        layer["data"] = STANDARD.encode(artifact.content).into();
        let empty = Blob::of_bytes(EMPTY.0, EMPTY.1);
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": media_type::MANIFEST,
            "artifactType": artifact.artifact_type,
            "config": empty.descriptor,
            "layers": [layer],
            "annotations": artifact.annotations,
        });
        let client = self.hurried();
        client.push_all(&reference.repository, [empty, content], &[])?;
        client.put_manifest(reference, media_type::MANIFEST, &canonical(&manifest)).map(drop)
    }

    /// The content of an artifact that was written in this way; `None` if nothing has the tag.
    ///
    /// # Errors
    /// When the registry refuses or cannot be reached, or the tag means something else.
    pub fn small(
        &self,
        reference: &Reference,
        artifact_type: &str,
    ) -> Result<Option<Vec<u8>>, RegistryError> {
        let Some(found) = self.hurried().manifest(reference)? else { return Ok(None) };
        let content = foreign_json::read(&found.bytes).ok().and_then(|value| content(&value, artifact_type));
        content.map(Some).ok_or_else(|| RegistryError::Answer {
            doing: format!("read `{reference}`"),
            host: reference.repository.host.clone(),
            problem: "is not an artifact of pexpress",
        })
    }
}

/// The content in a manifest, if it is whole.
fn content(manifest: &Value, artifact_type: &str) -> Option<Vec<u8>> {
    let layer = &manifest["layers"][0];
    let content = STANDARD.decode(layer["data"].as_str()?).ok()?;
    let is_whole = layer["digest"].as_str()? == Digest::of(&content).to_string();
    (manifest["artifactType"].as_str()? == artifact_type && is_whole).then_some(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_read_only_where_type_and_digest_are_right() {
        let manifest = |kind: &str, digest: &str, data: &str| json!({"artifactType": kind, "layers": [{"digest": digest, "data": data}]});
        let digest = Digest::of("hello").to_string();
        assert_eq!(content(&manifest("a", &digest, "aGVsbG8="), "a").as_deref(), Some(&b"hello"[..]));
        for wrong in [
            manifest("b", &digest, "aGVsbG8="),
            manifest("a", &digest, "aGVsbG8h"),
            manifest("a", &digest, "?"),
            manifest("a", &Digest::of("other").to_string(), "aGVsbG8="),
            json!({"artifactType": "a", "layers": []}),
            json!({"artifactType": "a", "layers": [{"digest": digest}]}),
            json!([]),
        ] {
            assert_eq!(content(&wrong, "a"), None, "{wrong}");
        }
    }
}
