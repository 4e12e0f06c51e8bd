//! Images that run now → layers that need not be made again: their keys, and what the registry has under them.
//!
//! A layer that is taken over in this way is believed: nobody reads its bytes. So only images are looked at that the
//! deployment itself runs (or for a branch deployment the one that it is based on), in the repository that is pushed
//! to, and by the tag that follows from their content: if that tag means something else now, they are not used. Whatever
//! goes wrong here only costs a build.

use super::WORKERS;
use crate::builder::image::known::{InRepository, KnownLayers};
use crate::builder::image::name;
use crate::builder::in_parallel;
use crate::host::Host;
use crate::image::manifest::{BASE_NOTE, Document, LAYER_KEY, Manifest, media_type};
use crate::image::{Reference, Repository, Written};
use crate::registry::Registries;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// An index of one image has an entry for each platform, and perhaps an attestation for each.
const MOST_IMAGES: usize = 8;

/// Where the image of a code location is pushed, and what it runs now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushing {
    /// The code location.
    pub location: String,
    /// The repository.
    pub repository: Repository,
    /// The image in its document.
    pub runs: Option<String>,
}

/// What is known of the repositories, from the images that run.
pub fn find(pushing: &[Pushing], registries: &Registries, host: &Host) -> KnownLayers {
    let running: Vec<(&Pushing, Reference)> =
        pushing.iter().filter_map(|one| Some((one, own_image(one)?))).collect();
    let manifests = in_parallel(&running, WORKERS, |(one, reference)| {
        let found = manifests(&one.location, reference, registries);
        found.unwrap_or_else(|reason| {
            host.detail(format!("layers of {reference} are not reused: {reason}"));
            Vec::new()
        })
    });
    let mut by_repository: BTreeMap<&Repository, InRepository> = BTreeMap::new();
    for ((one, reference), manifests) in running.iter().zip(&manifests) {
        let known = by_repository.entry(&one.repository).or_default();
        for manifest in manifests {
            known.blobs.extend(manifest.layers.iter().map(|layer| layer.digest));
            if let Err(reason) = add_layers(known, manifest, &one.repository, registries) {
                host.detail(format!("layers of {reference} are not reused: {reason}"));
            }
        }
    }
    let by_repository: BTreeMap<&Repository, Arc<InRepository>> =
        by_repository.into_iter().map(|(repository, known)| (repository, Arc::new(known))).collect();
    let mut known = KnownLayers::new(pushing.iter().filter_map(|one| {
        let known = by_repository.get(&one.repository)?;
        Some((one.location.clone(), Arc::clone(known)))
    }));
    let notes = manifests.iter().flatten().filter_map(|manifest| manifest.annotations.get(BASE_NOTE));
    known.bases = notes.filter_map(|note| serde_json::from_str(note).ok()).collect();
    known
}

/// The image that a code location runs, if it is one that pexpress pushed to this repository.
fn own_image(one: &Pushing) -> Option<Reference> {
    let reference: Reference = one.runs.as_ref()?.parse().ok()?;
    let tag = reference.tag.as_ref()?;
    let is_own = reference.repository == one.repository
        && reference.digest.is_none()
        && name::is_content_tag(&one.location, tag);
    is_own.then_some(reference)
}

/// The manifests that the content tag of a code location leads to.
fn manifests(
    location: &str,
    reference: &Reference,
    registries: &Registries,
) -> Result<Vec<Manifest>, String> {
    let read = |reference: &Reference| {
        let found = registries.manifest(reference).map_err(|error| error.to_string())?;
        let found = found.ok_or("it is not there any more")?;
        let document = Document::parse(&found.bytes).map_err(|error| error.to_string())?;
        Ok::<_, String>((found.digest, document))
    };
    let (digest, document) = read(reference)?;
    if reference.tag != Some(name::content_tag(location, &digest)) {
        return Err("its tag means something else now".into());
    }
    let index = match document {
        Document::Manifest(manifest) => return Ok(vec![*manifest]),
        Document::Index(index) => index,
    };
    let mut manifests = Vec::new();
    for entry in index.manifests.iter().take(MOST_IMAGES) {
        let of_entry = Reference::by_digest(reference.repository.clone(), entry.digest);
        if let (_, Document::Manifest(manifest)) = read(&of_entry)? {
            manifests.push(*manifest);
        }
    }
    Ok(manifests)
}

/// Add the layers of an image that have keys.
fn add_layers(
    known: &mut InRepository,
    manifest: &Manifest,
    repository: &Repository,
    registries: &Registries,
) -> Result<(), String> {
    let key = |at: usize| {
        let layer = &manifest.layers[at];
        layer.annotations.get(LAYER_KEY).filter(|_| layer.media_type == media_type::LAYER_GZIP)
    };
    // The last one has the code location's own files, and is always written.
    let wanted: BTreeSet<usize> = (0..manifest.layers.len().saturating_sub(1))
        .filter(|at| key(*at).is_some_and(|key| !known.layers.contains_key(key)))
        .collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let (_, config) = registries.config(repository, manifest).map_err(|error| error.to_string())?;
    let diff_ids = config.rootfs.diff_ids;
    if diff_ids.len() != manifest.layers.len() {
        return Err("its config has another number of layers than its manifest".into());
    }
    for at in wanted {
        let (layer, diff_id) = (&manifest.layers[at], diff_ids[at]);
        let written = Written { digest: layer.digest, size_bytes: layer.size, diff_id };
        if let Some(key) = key(at) {
            known.layers.insert(key.clone(), written);
        }
    }
    Ok(())
}
