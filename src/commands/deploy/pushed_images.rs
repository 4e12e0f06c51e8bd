//! Pushes the images of a deploy, several at a time.

use super::made_images::{Making, Push};
use crate::builder::image::base::Base;
use crate::builder::image::build::BuiltImage;
use crate::image::Repository;
use crate::plan::images::{ImageLocation, NamedBy};
use crate::plan::strategy::Destination;
use crate::project::Location;
use crate::publish::early_layers::EarlyLayers;
use crate::publish::images::{push, repository_of};
use crate::registry::Registries;
use crate::report::images::{ImageFacts, ImageReport};
use crate::update::{Outcome, UpdateError};
use crate::verify::VerifyWhen;
use std::collections::BTreeMap;
use std::sync::Arc;

impl Making<'_> {
    /// Something is about to be pushed.
    pub(super) fn begun(&self, name: &str) {
        self.progress.put(|run| run.pushing.extend([name.to_string()]));
    }

    /// Where the layers of each code location go while others are written. Nowhere if everything is to be loaded here
    /// before something is pushed.
    pub(super) fn targets(
        &self,
        wanted: &BTreeMap<&str, (&Location, Option<&Destination>)>,
    ) -> Vec<(String, Vec<Repository>)> {
        let is_early = self.online.is_some() && self.args.verify != VerifyWhen::Always;
        let early = wanted.iter().filter(|_| is_early);
        let repositories = |(name, (_, destination)): (&&str, &(_, Option<&Destination>))| {
            let repositories = destination.iter().map(|destination| repository_of(destination, name));
            (name.to_string(), repositories.collect())
        };
        early.map(repositories).collect()
    }

    /// Push one image. A registry that refuses it keeps this code location from its update, and no other.
    pub(super) fn push(
        &self,
        image: &BuiltImage,
        location: &Location,
        destination: Option<&Destination>,
        base: &Base,
        (registries, early): (&Registries, &EarlyLayers<'_>),
    ) -> Push {
        let registries = registries.counted_apart();
        let ended = match destination.zip(self.online) {
            None => None,
            Some((destination, online)) => {
                let commit = online.additions.revision.commit_hash.as_deref();
                let repository = repository_of(destination, &location.name);
                self.begun(&location.name);
                let again = self.args.publish.force_rebuild_deps;
                Some(push(image, base, &repository, commit, again, &registries))
            }
        };
        let before = early.counts(&image.name);
        let (requests, sent) = (registries.requests() + before.0, registries.sent_bytes() + before.1);
        let facts = |pushed: &[_]| ImageFacts::new(image, pushed, requests, sent);
        let (facts, ended) = match ended {
            None => (facts(&[]), None),
            Some(Ok(pushed)) => {
                let image = pushed.reference.to_string();
                self.progress.put(|run| drop(run.images.insert(location.name.clone(), image.clone())));
                let (location, named_by) = (location.clone(), NamedBy::Build);
                let named = ImageLocation { location, image, named_by, replaces_own: false };
                (facts(&[pushed]), Some(Ok(named)))
            }
            Some(Err(error)) if error.is_for_want_of_a_layer() => {
                let again = "its image is built again, with all layers";
                self.host.warn(format!("{}: {error}; {again}", location.name));
                return Push::Incomplete;
            }
            Some(Err(error)) => {
                let location = location.name.clone();
                let error = UpdateError::NotPushed { location: location.clone(), source: Arc::new(error) };
                (facts(&[]), Some(Err(Outcome::new(location, Err(error)))))
            }
        };
        // At once: an interrupt says what was pushed by then.
        self.progress.put(|run| drop(run.image_builds.insert(image.name.clone(), Ok(facts.clone()))));
        let report = ImageReport { name: image.name.clone(), image: facts };
        Push::Ended(Box::new(report), ended.map(Box::new))
    }
}
