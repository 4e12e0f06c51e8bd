//! The images of a code location for several platforms → one image index.
//!
//! Each was written into the layout of its code location without finishing it. Layers that do not depend on the platform,
//! such as that of the source, are there once.

use super::build::BuiltImage;
use super::{ImageError, name, sbom};
use crate::builder::BuildError;
use crate::builder::image::loading::LOCATION;
use crate::image::layout::REF_NAME;
use crate::image::manifest::media_type;
use crate::image::{Descriptor, Index, Layout, Platform};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The images of a plan, or why they were not built.
pub type Images = Vec<Result<BuiltImage, Arc<BuildError>>>;

/// Put together what was built for each platform. A code location needs its images of all of them.
pub fn together(mut built: Vec<(Platform, Images)>) -> Images {
    if built.len() <= 1 {
        return built.pop().map(|(_, images)| images).unwrap_or_default();
    }
    let total = built.iter().map(|(_, images)| images.len()).max().unwrap_or(0);
    let mut parts: Vec<Vec<BuiltImage>> = (0..total).map(|_| Vec::new()).collect();
    let mut errors: Vec<Option<Arc<BuildError>>> = vec![None; total];
    for (platform, images) in built {
        let images = with_platform(images, &platform);
        for (at, image) in images.into_iter().enumerate() {
            match image {
                Ok(image) => parts[at].push(image),
                Err(error) => errors[at] = errors[at].take().or(Some(error)),
            }
        }
    }
    let one = |(parts, error): (Vec<BuiltImage>, Option<Arc<BuildError>>)| match error {
        Some(error) => Err(error),
        None => index(parts).map_err(|error| Arc::new(error.into())),
    };
    parts.into_iter().zip(errors).map(one).collect()
}

/// The same with errors that name the platform. Code locations that share an error go on sharing it.
fn with_platform(images: Images, platform: &Platform) -> Images {
    let mut named: Vec<(Arc<BuildError>, Arc<BuildError>)> = Vec::new();
    let mut name = |source: Arc<BuildError>| {
        if let Some((_, known)) = named.iter().find(|(before, _)| Arc::ptr_eq(before, &source)) {
            return Arc::clone(known);
        }
        let error = ImageError::OnPlatform { platform: platform.to_string(), source: Arc::clone(&source) };
        let error = Arc::new(BuildError::from(error));
        named.push((source, Arc::clone(&error)));
        error
    };
    images.into_iter().map(|image| image.map_err(&mut name)).collect()
}

/// Write the index of these images, and finish their layout.
fn index(parts: Vec<BuiltImage>) -> Result<BuiltImage, ImageError> {
    let BuiltImage { name, directory, manifest, .. } = parts[0].clone();
    let layout = Layout::create(&directory)?;
    // What is said about the code location does not belong into the image.
    let bare = |part: &BuiltImage| Descriptor { annotations: BTreeMap::new(), ..part.manifest.clone() };
    let index = Index {
        schema_version: 2,
        media_type: media_type::INDEX.to_string(),
        manifests: parts.iter().map(bare).collect(),
        annotations: BTreeMap::new(),
    };
    let mut descriptor = layout.put(media_type::INDEX, &index.to_bytes())?;
    let tag = name::content_tag(&name, &descriptor.digest);
    descriptor.annotations.insert(REF_NAME.to_string(), tag.to_string());
    let loading = manifest.annotations.get(LOCATION).cloned();
    descriptor.annotations.extend(loading.map(|loading| (LOCATION.to_string(), loading)));
    layout.finish(vec![descriptor.clone()])?;
    // A list of an earlier build for one platform says nothing about these.
    let _ = std::fs::remove_file(directory.with_file_name(sbom::file_name(&name, None)));
    let mut known = BTreeSet::new();
    let layers = parts.iter().flat_map(|part| part.layers.iter().cloned());
    Ok(BuiltImage {
        name,
        directory,
        manifest: descriptor,
        tag,
        sbom: None,
        layers: layers.filter(|layer| known.insert(layer.written.digest)).collect(),
        elsewhere: parts.iter().flat_map(|part| part.elsewhere.iter().copied()).collect(),
        base_bytes: parts.iter().map(|part| part.base_bytes).sum(),
        elapsed: parts.iter().map(|part| part.elapsed).sum(),
        parts,
    })
}
