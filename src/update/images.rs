//! Code locations → the images that they are to run. Nothing is built or sent but documents.

use super::document::{Code, location_document};
use super::{Before, Intended, Online, Outcome, Update, UpdateError, Updated};
use crate::deployment::images::is_moving;
use crate::plan::images::ImageLocation;
use std::collections::BTreeMap;

impl Online {
    /// The images that code locations run now, those of a branch deployment that lacks one as in the deployment that it
    /// is based on. Never the other way round: what a pull request deployed decides nothing elsewhere.
    pub fn images_now<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> BTreeMap<String, String> {
        let Some(before) = &self.before else { return BTreeMap::new() };
        let (mut images, mut missing) = (BTreeMap::new(), Vec::new());
        for name in names {
            match before.image(name) {
                Some(image) => drop(images.insert(name.to_string(), image)),
                None => missing.push(name),
            }
        }
        if let Some(base) = self.base.as_ref().filter(|_| !missing.is_empty()) {
            let base = Before::look_at_metadata(&base.patient());
            images.extend(missing.into_iter().filter_map(|name| Some((name.to_string(), base.image(name)?))));
        }
        images
    }

    /// What is to be done about code locations whose images are in their registries.
    pub fn intend_images(&self, locations: &[ImageLocation]) -> Intended {
        let mut intended = Intended::default();
        for ImageLocation { location, image, .. } in locations {
            let document = location_document(location, Code::Image(image), &self.additions);
            let update = Update { name: location.name.clone(), document };
            // The same name says nothing about what is behind a tag that moves.
            if !is_moving(image) && self.is_left_alone(&update) {
                intended.outcomes.push(Outcome::new(update.name, Ok(Updated::Unchanged)));
            } else if self.before.is_none() {
                intended.outcomes.push(Outcome::new(update.name, Ok(Updated::Published)));
            } else {
                intended.updates.push(update);
            }
        }
        intended
    }
}

/// The files of an image are not here, so a hint cannot name one of them.
pub(super) fn explain(outcome: &mut Outcome) {
    if let Err(UpdateError::Load { hint, .. }) = &mut outcome.result {
        *hint =
            Some("repair the code or what is installed in the image, and push it with another tag".into());
    }
}
