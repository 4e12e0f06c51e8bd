//! Loads the code locations of images here, before the images are pushed.

use super::made_images::Making;
use super::telling;
use crate::builder::image::build::BuiltImage;
use crate::commands::{Error, verify};
use crate::error::{Explain, Fault};
use crate::plan::strategy::Destination;
use crate::plan::{Plan, PlannedLocation};
use crate::project::{Location, LockContent, Warning};
use crate::publish::images::repository_of;
use crate::verify::image::{How, Image};
use crate::verify::{Verified, VerifyError, VerifyWhen};
use std::collections::BTreeMap;

impl Making<'_> {
    /// Load the code locations that are to be loaded. What does not load is not pushed.
    ///
    /// # Errors
    /// When an image cannot be unpacked or Python cannot be run.
    pub(super) fn verify_images(
        &self,
        built: &[BuiltImage],
        plan: &Plan,
        wanted: &BTreeMap<&str, (&Location, Option<&Destination>)>,
    ) -> Result<Vec<Verified>, Error> {
        let is_wanted = |image: &&BuiltImage| {
            let planned = plan.locations.iter().find(|planned| planned.location.name == image.name);
            let destination = wanted.get(image.name.as_str()).and_then(|(_, destination)| *destination);
            planned.is_some_and(|planned| self.is_to_be_loaded(image, planned, plan, destination))
        };
        let wanted: Vec<&BuiltImage> = built.iter().filter(is_wanted).collect();
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        self.progress.stage("verify");
        // Where nothing is deployed, loading is all that the run is for.
        let is_lenient = self.args.verify == VerifyWhen::Auto && self.online.is_some();
        let verified = match self.load_images(&wanted, is_lenient) {
            // Loading here was not requested, so a machine that cannot do it must not stop the deploy.
            Err(error) if is_lenient && error.fault() == Fault::Tool => {
                self.warn(format!("the code locations could not be loaded here: {error}"));
                return Ok(Vec::new());
            }
            verified => verified?,
        };
        verified.iter().filter_map(telling::tolerated).for_each(|warning| self.warn(warning));
        self.progress.put(|run| run.verified.get_or_insert_default().extend(verified.clone()));
        Ok(verified)
    }

    fn load_images(&self, images: &[&BuiltImage], is_lenient: bool) -> Result<Vec<Verified>, VerifyError> {
        let opened =
            images.iter().map(|image| Image::open(&image.directory)).collect::<Result<Vec<_>, _>>()?;
        let (tools, display) = (crate::tools::Tools::new(self.host), crate::display::Display::new(self.host));
        let done = |location: &Verified| verify::tell(location, self.host);
        crate::verify::image::run(&opened, How::Environment, &tools, &display, is_lenient, &done)
    }

    fn warn(&self, message: String) {
        self.host.warn(&message);
        self.progress.put(|run| run.warnings.push(Warning::without_place(message)));
    }

    /// The rules for PEX files, except that an image shows as a whole whether it is new.
    fn is_to_be_loaded(
        &self,
        image: &BuiltImage,
        planned: &PlannedLocation,
        plan: &Plan,
        destination: Option<&Destination>,
    ) -> bool {
        match (self.args.verify, self.online.zip(destination)) {
            (VerifyWhen::Never, _) => false,
            (VerifyWhen::Always, _) | (VerifyWhen::Auto, None) => true,
            (VerifyWhen::Auto, Some((online, destination))) => {
                let lock = plan.deps[planned.deps].requirements.lock.as_ref();
                let is_decided = lock
                    .is_some_and(|lock| !matches!(lock.content, LockContent::Pylock { complete: false, .. }));
                let reference = format!("{}:{}", repository_of(destination, &image.name), image.tag);
                // What is taken over as it is runs already, as a deps PEX of the cache does.
                let is_here = image.layers.iter().all(|layer| layer.path.is_some());
                is_here && !is_decided && !online.runs_image(&image.name, &reference)
            }
        }
    }
}
