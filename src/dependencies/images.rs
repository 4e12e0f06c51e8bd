//! The distributions of images in their registries: the history in an image's config has a line for each layer, and those
//! of pexpress say what they hold. Manifest and config are a few kilobytes; no layer is read.

use super::Distributions;
use crate::builder::image::contents;
use crate::host::Host;
use crate::image::config::Config;
use crate::image::manifest::LAYER_KEY;
use crate::image::{Manifest, Platform, Reference};
use crate::registry::{Registries, RegistryError};
use std::collections::BTreeMap;

/// Reads images of a platform.
pub struct ImageReader {
    /// The client for registries.
    pub registries: Registries,
    /// The platform.
    pub platform: Platform,
}

impl ImageReader {
    /// What these images hold, by reference. Those that cannot be read, or that others made, are left out.
    pub(super) fn read<'r>(
        &self,
        references: impl Iterator<Item = &'r str>,
        host: &Host,
    ) -> BTreeMap<String, Distributions> {
        let mut found = BTreeMap::new();
        for reference in references {
            let unknown =
                |why: &str| host.detail(format!("could not list the distributions in {reference}: {why}"));
            match reference.parse().map(|parsed: Reference| self.distributions(&parsed)) {
                Ok(Ok(Some(distributions))) => drop(found.insert(reference.to_string(), distributions)),
                Ok(Ok(None)) => unknown("pexpress did not make it"),
                Ok(Err(error)) => unknown(&error.to_string()),
                Err(error) => unknown(&error.to_string()),
            }
        }
        found
    }

    fn distributions(&self, reference: &Reference) -> Result<Option<Distributions>, RegistryError> {
        let image = self.registries.image(reference, &self.platform)?;
        let (_, config) = self.registries.config(&reference.repository, &image.manifest)?;
        Ok(listed(&image.manifest, &config))
    }
}

/// What the layers of pexpress hold; `None` if there are none.
fn listed(manifest: &Manifest, config: &Config) -> Option<Distributions> {
    let steps = config.history.iter().filter(|step| !step.empty_layer);
    // A base that was made in this way too has such steps, and its layers have no key.
    let ours =
        manifest.layers.iter().zip(steps).filter(|(layer, _)| layer.annotations.contains_key(LAYER_KEY));
    let ours: Vec<&str> =
        ours.filter_map(|(_, step)| contents::of_step(step.created_by.as_deref()?)).collect();
    (!ours.is_empty()).then(|| ours.into_iter().flat_map(contents::distributions).collect())
}
