//! Finished images → registries: what is not there is sent, then the tags are written.
//!
//! A tag is written when everything that it needs is there. The content tag follows from the image, so it never gets
//! another meaning; the commit tag is for people.

use super::blob_sources::BlobSources;
use super::image_parts::{self, Part};
use crate::bounded_file;
use crate::builder::image::base::Base;
use crate::builder::image::build::BuiltImage;
use crate::builder::image::{name, sbom};
use crate::error::{Explain, Fault};
use crate::image::manifest::Document;
use crate::image::{Descriptor, Layout, LayoutError, Manifest, Reference, Repository};
use crate::plan::strategy::Destination;
use crate::registry::{Artifact, Push, Registries, RegistryError, TagKind, Tagged};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// A list of a hundred thousand packages is not larger.
const SBOM_LIMIT_BYTES: u64 = 64 << 20;

/// An image in a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushedImage {
    /// By its content tag.
    pub reference: Reference,
    /// What became of the commit tag, if there is a commit.
    pub commit: Option<(Reference, Tagged)>,
    /// Whether it was there before.
    pub unchanged: bool,
}

/// An image could not be pushed.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// The registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The layout changed after it was written.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// The list of what is in the image was removed.
    #[error("could not read `{path}`")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl PushError {
    /// Whether the registry has lost a layer that it was known to have, and that the layout lacks.
    pub fn is_for_want_of_a_layer(&self) -> bool {
        matches!(self, PushError::Registry(RegistryError::Gone { .. }))
    }
}

impl Explain for PushError {
    fn fault(&self) -> Fault {
        match self {
            PushError::Registry(error) => error.fault(),
            PushError::Layout(_) | PushError::Read { .. } => Fault::Tool,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            PushError::Registry(error) => error.hint(),
            PushError::Layout(error) => error.hint(),
            PushError::Read { .. } => None,
        }
    }
}

/// Push one image to a repository. If its tag is there already, nothing is asked about its parts, unless `looks_again`:
/// then what the registry has lost is sent.
///
/// # Errors
/// When the registry refuses or cannot be reached, or the layout was changed.
pub fn push(
    image: &BuiltImage,
    base: &Base,
    repository: &Repository,
    commit: Option<&str>,
    looks_again: bool,
    registries: &Registries,
) -> Result<PushedImage, PushError> {
    let layout = Layout::open(&image.directory)?;
    let from: Vec<Repository> =
        base.reference().map(|reference| reference.repository.clone()).into_iter().collect();
    let sources = BlobSources::new(image, &layout, base, registries);
    let (bytes, there, here) = match image.parts.is_empty() {
        true => {
            let (manifest, bytes) = read_manifest(&layout, &image.manifest)?;
            let (there, here) = sources.split(blobs(&manifest, base));
            (bytes, there, here)
        }
        false => {
            let part = |part: &BuiltImage| {
                let (manifest, bytes) = read_manifest(&layout, &part.manifest)?;
                Ok::<_, PushError>(Part { descriptor: part.manifest.clone(), manifest, bytes })
            };
            let parts = image.parts.iter().map(part).collect::<Result<Vec<_>, _>>()?;
            let to = (repository, from.as_slice());
            image_parts::push(&image.manifest, &parts, &sources, to, looks_again, registries)?;
            (layout.read(&image.manifest)?, Vec::new(), Vec::new())
        }
    };
    let content = (image.tag.clone(), TagKind::Content);
    let commit = commit.map(|commit| (name::commit_tag(&image.name, commit), TagKind::Commit));
    let tags: Vec<_> = [content].into_iter().chain(commit).collect();
    let push = Push {
        repository,
        media_type: &image.manifest.media_type,
        manifest: &bytes,
        tags: &tags,
        mount_from: &from,
    };
    let pushed = registries.push_rest(&push, &there, here)?;
    for image in image.parts.iter().chain([image]) {
        if let Some(path) = &image.sbom {
            attach(path, image, repository, registries)?;
        }
    }
    let named = tags.iter().map(|(tag, _)| Reference::by_tag(repository.clone(), tag.clone()));
    let mut named = named.zip(pushed.tags);
    let content = named.next();
    let unchanged = content.is_some_and(|(_, tagged)| tagged == Tagged::Existing);
    if looks_again && unchanged && image.parts.is_empty() {
        let (manifest, _) = read_manifest(&layout, &image.manifest)?;
        registries.push_all(repository, sources.split(blobs(&manifest, base)).1, &from)?;
    }
    Ok(PushedImage {
        reference: Reference::by_tag(repository.clone(), image.tag.clone()),
        commit: named.next(),
        unchanged,
    })
}

/// The repository of a code location. In Harbor each has its own. Source: what dagster-cloud-cli pushes to.
pub fn repository_of(destination: &Destination, location: &str) -> Repository {
    let mut repository = destination.repository.clone();
    if destination.is_per_location {
        repository.path = format!("{}/{}", repository.path, name::component(location));
    }
    repository
}

/// The blobs of an image. Ours first, which are mostly few: those of the
/// base are there already or mounted.
fn blobs<'m>(manifest: &'m Manifest, base: &Base) -> impl Iterator<Item = &'m Descriptor> {
    let (bases, ours) = manifest.layers.split_at(base.manifest.layers.len().min(manifest.layers.len()));
    ours.iter().chain(bases).chain([&manifest.config])
}

/// A manifest of a layout, and exactly its bytes.
fn read_manifest(layout: &Layout, descriptor: &Descriptor) -> Result<(Manifest, Vec<u8>), PushError> {
    match layout.document(descriptor)? {
        Document::Manifest(manifest) => Ok((*manifest, layout.read(descriptor)?)),
        Document::Index(_) => Err(LayoutError::Empty { directory: layout.directory().to_path_buf() }.into()),
    }
}

/// Attach the list of what is in the image, unless it has one.
fn attach(
    path: &Path,
    image: &BuiltImage,
    repository: &Repository,
    registries: &Registries,
) -> Result<(), PushError> {
    let known = registries.referrers(repository, image.digest())?;
    if known.iter().any(|one| one.artifact_type.as_deref() == Some(sbom::MEDIA_TYPE)) {
        return Ok(());
    }
    let content = bounded_file::read(path, SBOM_LIMIT_BYTES)
        .map_err(|source| PushError::Read { path: path.to_path_buf(), source })?;
    let artifact = Artifact {
        artifact_type: sbom::MEDIA_TYPE,
        media_type: sbom::MEDIA_TYPE,
        content: &content,
        annotations: BTreeMap::new(),
    };
    registries.put_referrer(repository, &image.manifest, &artifact)?;
    Ok(())
}
