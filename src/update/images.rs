//! Code locations → the images that they are to run, and their outcomes. Nothing is built or sent but documents.

use super::document::{Code, location_document};
use super::{Online, Outcome, Phase, Update, UpdateError, Updated};
use crate::deployment::images::is_moving;
use crate::plan::images::ImageLocation;

impl Online {
    /// Update the code locations to their images, and wait for them. `reached` is called with the progress.
    pub fn deploy_images(&self, locations: &[ImageLocation], reached: &dyn Fn(Phase)) -> Vec<Outcome> {
        let (mut outcomes, mut updates) = (Vec::new(), Vec::new());
        for ImageLocation { location, image, .. } in locations {
            let document = location_document(location, Code::Image(image), &self.additions);
            let update = Update { name: location.name.clone(), document };
            // The same name says nothing about what is behind a tag that moves.
            if !is_moving(image) && self.is_left_alone(&update) {
                outcomes.push(Outcome::new(update.name, Ok(Updated::Unchanged)));
            } else {
                updates.push(update);
            }
        }
        let Some(before) = &self.before else {
            // Nothing is to be updated, and the images are there.
            outcomes
                .extend(updates.into_iter().map(|update| Outcome::new(update.name, Ok(Updated::Published))));
            return outcomes;
        };
        if updates.is_empty() {
            return outcomes;
        }
        let limits = self.limits(updates.iter().any(|update| update.document.contains_key("agent_queue")));
        let mut updated = super::run(&self.client.patient(), updates, before, limits, reached);
        updated.iter_mut().for_each(explain);
        outcomes.extend(updated);
        outcomes
    }
}

/// The files of an image are not here, so a hint cannot name one of them.
fn explain(outcome: &mut Outcome) {
    if let Err(UpdateError::Load { hint, .. }) = &mut outcome.result {
        *hint =
            Some("repair the code or what is installed in the image, and push it with another tag".into());
    }
}
