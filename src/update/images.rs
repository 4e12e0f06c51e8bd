//! Code locations → the images that they are to run. Nothing is built or sent but documents.

use super::document::{Code, location_document};
use super::{Intended, Online, Outcome, Update, UpdateError, Updated};
use crate::deployment::images::is_moving;
use crate::plan::images::ImageLocation;

impl Online {
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
