//! Finished images → registries: what is not there is sent, then the tags are written.
//!
//! A tag is written when everything that it needs is there. The content tag follows from the image, so it never gets
//! another meaning; the commit tag is for people.

use crate::builder::image::base::Base;
use crate::builder::image::build::BuiltImage;
use crate::builder::image::name;
use crate::error::{Explain, Fault};
use crate::image::manifest::{Document, media_type};
use crate::image::{Descriptor, Layout, LayoutError, Reference, Repository};
use crate::registry::{Blob, Registries, RegistryError, TagKind, Tagged};

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
}

impl Explain for PushError {
    fn fault(&self) -> Fault {
        match self {
            PushError::Registry(error) => error.fault(),
            PushError::Layout(_) => Fault::Tool,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            PushError::Registry(error) => error.hint(),
            PushError::Layout(error) => error.hint(),
        }
    }
}

/// Push one image to a repository.
///
/// # Errors
/// When the registry refuses or cannot be reached, or the layout was changed.
pub fn push(
    image: &BuiltImage,
    base: &Base,
    repository: &Repository,
    commit: Option<&str>,
    registries: &Registries,
) -> Result<PushedImage, PushError> {
    let layout = Layout::open(&image.directory)?;
    let bytes = layout.read(&image.manifest)?;
    let reference = Reference::by_tag(repository.clone(), image.tag.clone());
    let there = registries.head_manifest(&reference)?;
    let unchanged = there.is_some_and(|(digest, _)| digest == image.digest());
    if !unchanged {
        let Document::Manifest(manifest) = layout.document(&image.manifest)? else {
            return Err(LayoutError::Empty { directory: image.directory.clone() }.into());
        };
        // Ours first, which are mostly few: those of the base are there already or mounted.
        let ours = manifest.layers.iter().skip(base.manifest.layers.len());
        let bases = manifest.layers.iter().take(base.manifest.layers.len());
        let file = |descriptor: &Descriptor| {
            Blob::of_file(descriptor.clone(), &layout.blob_path(&descriptor.digest))
        };
        let blobs: Vec<Blob<'_>> = ours.chain(bases).map(file).collect();
        let from = base.reference().map(|reference| reference.repository.clone());
        let from: Vec<Repository> = from.into_iter().filter(|from| from.host == repository.host).collect();
        registries.push_all(repository, blobs, &from)?;
        registries.push_all(repository, [file(&manifest.config)], &[])?;
        registries.tag(repository, &image.tag, TagKind::Content, media_type::MANIFEST, &bytes)?;
    }
    let commit = match commit {
        Some(commit) => {
            let tag = name::commit_tag(&image.name, commit);
            let tagged = registries.tag(repository, &tag, TagKind::Commit, media_type::MANIFEST, &bytes)?;
            Some((Reference::by_tag(repository.clone(), tag), tagged))
        }
        None => None,
    };
    Ok(PushedImage { reference, commit, unchanged })
}
