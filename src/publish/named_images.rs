//! Images that were pushed before this run: whether their registries have them, asked before anything is updated.
//!
//! An agent may read what this machine cannot, so only the clear answer that there is no such image is an error.

use super::registry_login::{self, RegistryArgs};
use crate::builder::in_parallel;
use crate::error::{Explain, Fault, Place};
use crate::host::Host;
use crate::image::Reference;
use crate::net::Agent;
use crate::net::agent::Timeouts;
use crate::net::retry::Backoff;
use crate::plan::images::{ImageLocation, NamedBy};
use crate::plan::strategy::Destination;
use crate::registry::Registries;
use std::collections::BTreeSet;
use std::error::Error;
use std::time::Duration;

/// A registry of a closed network must not hold up a deploy.
const TIMEOUTS: Timeouts = Timeouts { connect: Duration::from_secs(5), silence: Duration::from_secs(10) };
/// Questions at a time.
const THREADS: usize = 6;

/// An image does not exist.
#[derive(Debug, thiserror::Error)]
#[error(
    "the image `{image}` does not exist; {} names it for the code location `{location}`{}",
    named_by.setting(),
    and_others(others)
)]
pub struct NamedImageError {
    /// The whole reference.
    pub image: String,
    /// The code location.
    pub location: String,
    /// What names it.
    pub named_by: NamedBy,
    /// The entry of the code location.
    pub place: Place,
    /// Others that do not exist either: code location and reference.
    pub others: Vec<(String, String)>,
}

fn and_others(others: &[(String, String)]) -> String {
    let listed = others.iter().map(|(location, image)| format!("`{image}` for `{location}`"));
    match others {
        [] => String::new(),
        _ => format!("; missing too: {}", listed.collect::<Vec<_>>().join(", ")),
    }
}

impl Explain for NamedImageError {
    fn fault(&self) -> Fault {
        Fault::Project
    }

    fn hint(&self) -> Option<String> {
        Some(
            "push it before, or name another one; nothing was updated. If its registry hides it from this machine, log in there"
                .into(),
        )
    }

    fn place(&self) -> Option<Place> {
        Some(self.place.clone()).filter(|_| self.named_by == NamedBy::Entry)
    }
}

/// What a registry says about an image.
enum Answer {
    Exists,
    Absent,
    /// It cannot be known from here, for this reason.
    Unknown(String),
}

/// Ask for each image that this run did not push. What cannot be known is noted, once for each registry.
///
/// # Errors
/// When one does not exist.
pub fn check(images: &[ImageLocation], args: &RegistryArgs, host: &Host) -> Result<(), NamedImageError> {
    let named: Vec<(&ImageLocation, Reference)> = images
        .iter()
        .filter(|one| one.named_by != NamedBy::Build)
        .filter_map(|one| Some((one, one.image.parse().ok()?)))
        .collect();
    let mut references: Vec<&Reference> = Vec::new();
    for (_, reference) in &named {
        if !references.contains(&reference) {
            references.push(reference);
        }
    }
    if references.is_empty() {
        return Ok(());
    }
    let answers = ask(&references, args, host);
    let mut noted = BTreeSet::new();
    for (reference, answer) in references.iter().zip(&answers) {
        if let Answer::Unknown(why) = answer
            && noted.insert(&reference.repository.host)
        {
            host.note(format!("An image could not be checked from here: {why}"));
        }
    }
    let is_absent = |wanted: &Reference| {
        let at = references.iter().position(|reference| *reference == wanted);
        at.is_some_and(|at| matches!(answers[at], Answer::Absent))
    };
    let mut absent = named.iter().filter(|(_, reference)| is_absent(reference)).map(|(one, _)| one);
    match absent.next() {
        None => Ok(()),
        Some(first) => Err(NamedImageError {
            image: first.image.clone(),
            location: first.location.name.clone(),
            named_by: first.named_by,
            place: first.location.place.clone(),
            others: absent.map(|one| (one.location.name.clone(), one.image.clone())).collect(),
        }),
    }
}

fn ask(references: &[&Reference], args: &RegistryArgs, host: &Host) -> Vec<Answer> {
    let agent = Agent::with_timeouts(host, TIMEOUTS);
    let repositories: BTreeSet<_> = references.iter().map(|reference| reference.repository.clone()).collect();
    let destination = |repository| Destination { repository, is_organization: false, is_per_location: false };
    let destinations: Vec<Destination> = repositories.into_iter().map(destination).collect();
    let credentials = match registry_login::credentials(&destinations, args, None, &agent, host) {
        Ok(credentials) => credentials,
        Err(error) => return references.iter().map(|_| Answer::Unknown(chain(&error))).collect(),
    };
    let registries = Registries::with_backoff(host, &agent, credentials, Backoff::QUESTION);
    in_parallel(references, THREADS, |reference| match registries.head_manifest(reference) {
        Ok(Some(_)) => Answer::Exists,
        Ok(None) => Answer::Absent,
        Err(error) => Answer::Unknown(chain(&error)),
    })
}

/// An error with its causes, in one line.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
