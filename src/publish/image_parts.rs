//! The images of an image index → a registry, before the index itself.

use super::blob_sources::BlobSources;
use crate::image::manifest::LAYER_KEY;
use crate::image::{Descriptor, Manifest, Reference, Repository};
use crate::registry::{Registries, RegistryError};
use std::collections::BTreeSet;

/// The image of one platform.
pub(super) struct Part {
    /// As the index names it.
    pub(super) descriptor: Descriptor,
    pub(super) manifest: Manifest,
    /// Exactly its bytes.
    pub(super) bytes: Vec<u8>,
}

/// Bring the image of each platform to a repository: all layers and configs, each once, then each manifest under its
/// digest. Nothing is asked about them if the index is there, which is written after them, unless
/// `looks_again`.
///
/// # Errors
/// When the registry refuses or cannot be reached, or the layout was changed.
pub(super) fn push(
    index: &Descriptor,
    parts: &[Part],
    sources: &BlobSources<'_>,
    (repository, mount_from): (&Repository, &[Repository]),
    looks_again: bool,
    registries: &Registries,
) -> Result<(), RegistryError> {
    let named = |descriptor: &Descriptor| Reference::by_digest(repository.clone(), descriptor.digest);
    let is_there = registries.head_manifest(&named(index))?.is_some();
    if is_there && !looks_again {
        return Ok(());
    }
    let layers = || parts.iter().flat_map(|part| &part.manifest.layers);
    let is_ours = |layer: &&Descriptor| layer.annotations.contains_key(LAYER_KEY);
    let configs = parts.iter().map(|part| &part.manifest.config);
    // Ours first, which are mostly few: those of the bases are there already or mounted.
    let all = layers().filter(is_ours).chain(configs).chain(layers().filter(|layer| !is_ours(layer)));
    let mut known = BTreeSet::new();
    let (there, here) = sources.split(all.filter(|one| known.insert(one.digest)));
    registries.look_for(repository, &there, mount_from)?;
    registries.push_all(repository, here, mount_from)?;
    for Part { descriptor, bytes, .. } in parts {
        if is_there && registries.head_manifest(&named(descriptor))?.is_some() {
            continue;
        }
        registries.put_manifest(&named(descriptor), &descriptor.media_type, bytes)?;
    }
    Ok(())
}
