//! What says something about an image, such as its list of packages: artifacts with a subject.
//!
//! Source: OCI distribution specification, "Pushing manifests with subject" and "Referrers tag schema".

use super::access::Access;
use super::call::{Call, Method};
use super::client::Registries;
use super::error::RegistryError;
use super::push::Blob;
use crate::image::manifest::{Document, media_type};
use crate::image::{Descriptor, Digest, Index, Manifest, Reference, Repository, Tag};
use std::collections::BTreeMap;

/// The config of an artifact that has none. Source: OCI image specification, manifest.md, "Guidance for an Empty
/// Descriptor".
pub(super) const EMPTY: (&str, &[u8]) = ("application/vnd.oci.empty.v1+json", b"{}");
/// The header by which a registry says that it lists the artifact itself.
const SUBJECT: &str = "OCI-Subject";

/// An artifact to write.
#[derive(Debug, Clone)]
pub struct Artifact<'a> {
    /// What it is, such as `application/spdx+json`.
    pub artifact_type: &'a str,
    /// Media type of its content.
    pub media_type: &'a str,
    /// Its content.
    pub content: &'a [u8],
    /// Key → text.
    pub annotations: BTreeMap<String, String>,
}

impl Registries {
    /// Write an artifact about an image of this repository. Returns the digest of its manifest.
    ///
    /// # Errors
    /// As for [`Registries::push_blob`] and [`Registries::put_manifest`].
    pub fn put_referrer(
        &self,
        repository: &Repository,
        subject: &Descriptor,
        artifact: &Artifact<'_>,
    ) -> Result<Digest, RegistryError> {
        let blobs = [Blob::of_bytes(EMPTY.0, EMPTY.1), Blob::of_bytes(artifact.media_type, artifact.content)];
        let [config, layer] = [&blobs[0], &blobs[1]].map(|blob| blob.descriptor.clone());
        self.push_all(repository, blobs, &[])?;
        let manifest = Manifest {
            schema_version: 2,
            media_type: media_type::MANIFEST.into(),
            artifact_type: Some(artifact.artifact_type.into()),
            config,
            layers: vec![layer],
            subject: Some(Descriptor::new(&subject.media_type, subject.digest, subject.size)),
            annotations: artifact.annotations.clone(),
        };
        let bytes = manifest.to_bytes();
        let digest = Digest::of(&bytes);
        let reference = Reference::by_digest(repository.clone(), digest);
        let response = self.put(&reference, media_type::MANIFEST, &bytes)?;
        if response.header(SUBJECT).is_none() {
            let entry = Descriptor {
                artifact_type: Some(artifact.artifact_type.into()),
                annotations: artifact.annotations.clone(),
                ..Descriptor::of(media_type::MANIFEST, &bytes)
            };
            self.list_by_tag(repository, subject.digest, entry)?;
        }
        Ok(digest)
    }

    /// What is written about an image.
    ///
    /// # Errors
    /// When the registry refuses or cannot be reached, or the list cannot be read.
    pub fn referrers(
        &self,
        repository: &Repository,
        subject: Digest,
    ) -> Result<Vec<Descriptor>, RegistryError> {
        let doing = format!("list what is written about {subject}");
        let access = Access::pull(repository);
        let url = self.url(repository, &format!("referrers/{subject}"))?;
        let call = Call::new(Method::Get, url, &access, &doing).header("Accept", media_type::INDEX);
        let response = self.send(&call)?;
        let reference = Reference::by_digest(repository.clone(), subject);
        match response.status {
            200 => {
                let bytes = response.into_bytes(4 << 20).map_err(|source| RegistryError::Net {
                    doing: doing.clone(),
                    attempts: 1,
                    source,
                })?;
                index(&reference, &bytes).map(|index| index.manifests)
            }
            // Registries before version 1.1 of the specification.
            404 => Ok(self.tagged_list(repository, subject)?.map_or(Vec::new(), |index| index.manifests)),
            _ => Err(self.refused(&call, response, 1)),
        }
    }

    /// Add to the list under the tag of a subject, where the registry has no list of its own.
    fn list_by_tag(
        &self,
        repository: &Repository,
        subject: Digest,
        entry: Descriptor,
    ) -> Result<(), RegistryError> {
        let mut list = self.tagged_list(repository, subject)?.unwrap_or(Index {
            schema_version: 2,
            media_type: media_type::INDEX.into(),
            manifests: Vec::new(),
            annotations: BTreeMap::new(),
        });
        if list.manifests.iter().any(|known| known.digest == entry.digest) {
            return Ok(());
        }
        list.manifests.push(entry);
        let Some(reference) = list_reference(repository, subject) else { return Ok(()) };
        self.put_manifest(&reference, media_type::INDEX, &list.to_bytes()).map(drop)
    }

    fn tagged_list(&self, repository: &Repository, subject: Digest) -> Result<Option<Index>, RegistryError> {
        let Some(reference) = list_reference(repository, subject) else { return Ok(None) };
        let Some(found) = self.manifest(&reference)? else { return Ok(None) };
        index(&reference, &found.bytes).map(Some)
    }
}

/// `sha256-HEX`, the tag of the list. Always a valid tag.
fn list_reference(repository: &Repository, subject: Digest) -> Option<Reference> {
    let tag: Tag = format!("sha256-{}", subject.hex()).parse().ok()?;
    Some(Reference::by_tag(repository.clone(), tag))
}

fn index(reference: &Reference, bytes: &[u8]) -> Result<Index, RegistryError> {
    match Document::parse(bytes) {
        Ok(Document::Index(index)) => Ok(index),
        Ok(Document::Manifest(_)) => Err(RegistryError::Answer {
            doing: format!("read `{reference}`"),
            host: reference.repository.host.clone(),
            problem: "is an image and not a list",
        }),
        Err(source) => Err(RegistryError::Manifest { reference: reference.clone(), source }),
    }
}
