//! Layers that need not be made: a registry has them, in images that run now.
//!
//! Such a layer is named by its key, which follows from the exact distributions; its digests are those that the image
//! says. Its bytes are neither written nor read here. `src/publish/known_layers.rs` finds them.

use super::base::BaseNote;
use crate::image::{Digest, Written};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What a repository is known to have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InRepository {
    /// Layers that pexpress wrote, by key.
    pub layers: BTreeMap<String, Written>,
    /// All layers, also those of bases.
    pub blobs: BTreeSet<Digest>,
}

/// What is known of the repositories of code locations.
#[derive(Debug, Clone, Default)]
pub struct KnownLayers {
    by_location: BTreeMap<String, Arc<InRepository>>,
    /// What is in the layers of bases.
    pub bases: Vec<BaseNote>,
}

impl KnownLayers {
    /// Of each code location, its repository.
    pub fn new(by_location: impl IntoIterator<Item = (String, Arc<InRepository>)>) -> KnownLayers {
        KnownLayers { by_location: by_location.into_iter().collect(), bases: Vec::new() }
    }

    /// What all repositories of these code locations have: their images share layers.
    pub fn of<'a>(&'a self, locations: impl IntoIterator<Item = &'a str>) -> Shared<'a> {
        let known = locations.into_iter().map(|name| self.by_location.get(name).map(Arc::as_ref));
        Shared { repositories: known.collect::<Option<Vec<_>>>().unwrap_or_default() }
    }
}

/// What several repositories have in common.
#[derive(Debug, Clone, Default)]
pub struct Shared<'a> {
    /// None if one of them is not known.
    repositories: Vec<&'a InRepository>,
}

impl Shared<'_> {
    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.repositories.is_empty()
    }

    /// The layer of this key.
    pub fn layer(&self, key: &str) -> Option<Written> {
        let found = self.repositories.first()?.layers.get(key)?;
        self.repositories.iter().all(|one| one.layers.get(key) == Some(found)).then_some(*found)
    }

    /// Whether a blob is there.
    pub fn has(&self, digest: &Digest) -> bool {
        !self.is_empty() && self.repositories.iter().all(|one| one.blobs.contains(digest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repository(layers: &[(&str, &str)]) -> Arc<InRepository> {
        let written = |content: &str| Written {
            digest: Digest::of(content),
            size_bytes: content.len() as u64,
            diff_id: Digest::of(content),
        };
        let layers: BTreeMap<String, Written> =
            layers.iter().map(|(key, content)| (key.to_string(), written(content))).collect();
        let blobs = layers.values().map(|layer| layer.digest).collect();
        Arc::new(InRepository { layers, blobs })
    }

    #[test]
    fn a_layer_is_known_only_where_every_repository_has_the_same() {
        let both = repository(&[("a", "same"), ("b", "one"), ("c", "only")]);
        let other = repository(&[("a", "same"), ("b", "two")]);
        let known = KnownLayers::new([("1".into(), both), ("2".into(), other)]);
        let found = |locations: &[&str]| {
            let shared = known.of(locations.iter().copied());
            ["a", "b", "c"].map(|key| shared.layer(key).is_some())
        };
        assert_eq!(found(&["1"]), [true, true, true]);
        assert_eq!(found(&["1", "2"]), [true, false, false]);
        assert_eq!(found(&["1", "3"]), [false, false, false], "nothing is known of the third");
        assert_eq!(found(&[]), [false, false, false]);
        assert!(
            known.of(["1", "2"]).has(&Digest::of("same")) && !known.of(["1", "2"]).has(&Digest::of("one"))
        );
    }
}
