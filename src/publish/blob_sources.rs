//! Where the bytes of an image's blobs are: in its layout, in the registry of its base, or already at the destination.

use crate::builder::image::base::Base;
use crate::builder::image::build::BuiltImage;
use crate::image::manifest::LAYER_KEY;
use crate::image::{Descriptor, Layout};
use crate::registry::{Blob, Registries};

/// The sources of one image.
pub(super) struct BlobSources<'a> {
    image: &'a BuiltImage,
    layout: &'a Layout,
    base: &'a Base,
    registries: &'a Registries,
}

impl<'a> BlobSources<'a> {
    pub(super) fn new(
        image: &'a BuiltImage,
        layout: &'a Layout,
        base: &'a Base,
        registries: &'a Registries,
    ) -> BlobSources<'a> {
        BlobSources { image, layout, base, registries }
    }

    /// The blobs that only the destination can have, and those to send, both in the given order. Layers of the base that
    /// the layout lacks pass from registry to registry.
    pub(super) fn split<'d>(
        &self,
        blobs: impl Iterator<Item = &'d Descriptor>,
    ) -> (Vec<Descriptor>, Vec<Blob<'static>>) {
        let (mut there, mut here) = (Vec::new(), Vec::new());
        for descriptor in blobs {
            let is_ours = descriptor.annotations.contains_key(LAYER_KEY);
            let in_layout = !self.image.elsewhere.contains(&descriptor.digest);
            let path = match in_layout {
                true => Some(self.layout.blob_path(&descriptor.digest)),
                false => self.base.known_file(&descriptor.digest),
            };
            match (path, self.base.reference().filter(|_| !is_ours)) {
                (Some(path), _) => here.push(Blob::of_file(descriptor.clone(), &path)),
                (None, Some(base)) => here.push(Blob {
                    descriptor: descriptor.clone(),
                    open: self.registries.content_of(&base.repository, descriptor),
                }),
                (None, None) => there.push(descriptor.clone()),
            }
        }
        (there, here)
    }
}
