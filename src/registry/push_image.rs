//! Pushing a whole image: its blobs first, then its manifest under each tag.

use super::access::Access;
use super::client::Registries;
use super::error::RegistryError;
use super::manifests::{TagKind, Tagged};
use super::push::{Blob, Pushed, THREADS};
use crate::image::{Descriptor, Digest, Reference, Repository, Tag};
use crate::threads::{into_inner, lock};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// An image to push.
#[derive(Debug, Clone, Copy)]
pub struct Push<'a> {
    /// Where to.
    pub repository: &'a Repository,
    /// Media type of the manifest.
    pub media_type: &'a str,
    /// The manifest.
    pub manifest: &'a [u8],
    /// Its names; at least one.
    pub tags: &'a [(Tag, TagKind)],
    /// Repositories that may have some of its blobs.
    pub mount_from: &'a [Repository],
}

/// An image that a registry has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushedImage {
    /// Digest of its manifest.
    pub digest: Digest,
    /// What became of each blob; none if the image was there already.
    pub blobs: Vec<Pushed>,
    /// What became of each tag.
    pub tags: Vec<Tagged>,
}

impl Registries {
    /// Push an image. No tag is written before everything that it needs is there. If a tag means this image already,
    /// its blobs are there, and nothing is asked about them.
    ///
    /// # Errors
    /// As for [`Registries::push_all`] and [`Registries::tag`].
    pub fn push_image<'a, B>(&self, push: &Push<'_>, blobs: B) -> Result<PushedImage, RegistryError>
    where
        B: IntoIterator<Item = Blob<'a>>,
        B::IntoIter: Send,
    {
        self.push_rest(push, &[], blobs)
    }

    /// The same for an image of which the repository has these blobs already, as another image there says. They are
    /// looked for, and not sent.
    ///
    /// # Errors
    /// As for [`Registries::push_image`], and [`RegistryError::Gone`] when one of them is not there. Then nothing was
    /// sent.
    pub fn push_rest<'a, B>(
        &self,
        push: &Push<'_>,
        there: &[Descriptor],
        blobs: B,
    ) -> Result<PushedImage, RegistryError>
    where
        B: IntoIterator<Item = Blob<'a>>,
        B::IntoIter: Send,
    {
        let digest = Digest::of(push.manifest);
        let mut tags = Vec::new();
        for (tag, kind) in push.tags {
            let reference = Reference::by_tag(push.repository.clone(), tag.clone());
            tags.push(self.meaning(&reference, tag, *kind, digest)?);
        }
        let is_there = tags.contains(&Some(Tagged::Existing));
        let blobs = match is_there {
            true => Vec::new(),
            false => {
                self.look_for(push.repository, there, push.mount_from)?;
                self.push_all(push.repository, blobs, push.mount_from)?
            }
        };
        if !is_there && tags.iter().all(|known| matches!(known, Some(Tagged::KeptOther(_)))) {
            // No tag is free for it, so it is written under its digest.
            let reference = Reference::by_digest(push.repository.clone(), digest);
            self.put_manifest(&reference, push.media_type, push.manifest)?;
        }
        let named = push.tags.iter().zip(tags).map(|((tag, kind), known)| match known {
            Some(known) => Ok(known),
            None => self.tag_new(push.repository, tag, *kind, push.media_type, push.manifest),
        });
        Ok(PushedImage { digest, blobs, tags: named.collect::<Result<_, _>>()? })
    }

    /// Look for blobs that a repository should have, six at a time. `mount_from` is what is mounted from afterwards.
    ///
    /// # Errors
    /// [`RegistryError::Gone`] when one is not there, and when the registry refuses or cannot be reached.
    pub fn look_for(
        &self,
        repository: &Repository,
        there: &[Descriptor],
        mount_from: &[Repository],
    ) -> Result<(), RegistryError> {
        // With the rights of the upload that follows, so that one token does for all.
        let access = Access::push(repository).with_sources(mount_from);
        let (next, failure) = (AtomicUsize::new(0), Mutex::new(None));
        let look = || {
            while let Some(descriptor) = there.get(next.fetch_add(1, Ordering::Relaxed)) {
                let gone =
                    || RegistryError::Gone { digest: descriptor.digest, repository: repository.clone() };
                let found = self.has_blob_with(&access, descriptor);
                if let Err(error) = found.and_then(|found| if found { Ok(()) } else { Err(gone()) }) {
                    lock(&failure).get_or_insert(error);
                    next.store(there.len(), Ordering::Relaxed);
                }
            }
        };
        std::thread::scope(|scope| (0..THREADS.min(there.len())).for_each(|_| drop(scope.spawn(look))));
        into_inner(failure).map_or(Ok(()), Err)
    }
}
