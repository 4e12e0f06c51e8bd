//! `plan` of images that a deploy would build: which they would be follows from the layers of those that run now and the
//! code location's own files. Nothing is fetched or sent; where that does not tell, the code location has changed.

use crate::builder::image::observer::NoLayerObserver;
use crate::cli::DeployArgs;
use crate::commands::Error;
use crate::commands::image::dockerfile;
use crate::commands::image::platforms::{self, Prepared};
use crate::commands::progress::Progress;
use crate::deployment::args::Strategy;
use crate::deployment::images::is_moving;
use crate::host::Host;
use crate::image::{Reference, Repository};
use crate::net::Agent;
use crate::plan::strategy::{Decision, Destination, Way};
use crate::project::Location;
use crate::publish::image_records::ImageRecords;
use crate::publish::images::repository_of;
use crate::publish::known_layers::{self, Pushing};
use crate::publish::registry_login;
use crate::registry::Registries;
use crate::threads::Later;
use crate::update::Running;
use crate::update::document::{Additions, Code, location_document};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// By code location.
type Found = BTreeMap<String, Result<String, String>>;

/// The image of each code location that runs from one, or why it is not known.
pub(super) struct BuiltImages(Found);

impl BuiltImages {
    /// Find them. An error about all of them is the reason of each.
    pub(super) fn find(
        ways: &[(Location, Decision)],
        args: &DeployArgs,
        running: &Running,
        out_dir: &Path,
        host: &Host,
    ) -> BuiltImages {
        let mut images = Found::new();
        let mut wanted: Vec<(&Location, &Destination)> = Vec::new();
        for (location, decision) in ways {
            match &decision.way {
                Way::Pex => {}
                Way::Document => {
                    let image = location.document.get("image").and_then(|image| image.as_str());
                    let image = image.filter(|image| !is_moving(image)).map(String::from);
                    let image = image.ok_or_else(|| "its image has no tag that stays".to_string());
                    images.insert(location.name.clone(), image);
                }
                Way::Image(Some(destination)) => wanted.push((location, destination)),
                Way::Image(None) => {
                    let reason = "no registry is known for its image";
                    images.insert(location.name.clone(), Err(reason.into()));
                }
            }
        }
        match built(&wanted, args, running, out_dir, host) {
            Ok(found) => images.extend(found),
            Err(error) => {
                let reason = format!("its image is not known before it is built: {error}");
                images.extend(wanted.iter().map(|(one, _)| (one.name.clone(), Err(reason.clone()))));
            }
        }
        BuiltImages(images)
    }

    /// How many code locations run from images.
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// Why a code location is to be deployed; `None` if it is not. `Err` for one that runs from PEX files.
    pub(super) fn difference(
        &self,
        location: &Location,
        running: &Running,
        additions: &Additions,
    ) -> Result<Option<String>, ()> {
        let image = match self.0.get(&location.name).ok_or(())? {
            Ok(image) => image,
            Err(reason) => return Ok(Some(reason.clone())),
        };
        let document = location_document(location, Code::Image(image), additions);
        Ok(super::images::document_difference(&location.name, &document, running))
    }
}

/// The images that a deploy would push.
fn built(
    wanted: &[(&Location, &Destination)],
    args: &DeployArgs,
    running: &Running,
    out_dir: &Path,
    host: &Host,
) -> Result<Found, Error> {
    let pushing = |(location, destination): &(&Location, &Destination)| {
        let name = &location.name;
        let runs = running.before(name).and_then(|before| before.image(name));
        Pushing { location: name.clone(), repository: repository_of(destination, name), runs }
    };
    let pushing: Vec<Pushing> = wanted.iter().map(pushing).collect();
    // Without an image there is nothing to compare with, and no registry needs to be asked.
    let (mut images, mut names) = (Found::new(), Vec::new());
    for one in &pushing {
        match one.runs {
            Some(_) => names.push(one.location.clone()),
            None => {
                let reason = "it does not run from an image yet";
                images.insert(one.location.clone(), Err(reason.to_string()));
            }
        }
    }
    if names.is_empty() {
        return Ok(images);
    }
    let agent = Agent::new(host);
    let destinations: Vec<Destination> =
        wanted.iter().map(|(_, destination)| (*destination).clone()).collect();
    let credentials =
        registry_login::credentials(&destinations, &args.registry, Some(&running.client), &agent, host)?;
    let registries = Registries::new(host, &agent, credentials);
    let mut args = args.of_locations(names);
    let locations = wanted.iter().map(|(location, _)| *location);
    if let Some(base) = dockerfile::base(&args.image_options, locations, host)? {
        args.image_options.base_image = Some(base);
    }
    // The project was read for PEX files, and said what there was to say.
    let silent = host.until(&Arc::new(AtomicBool::new(true)));
    let hosts = [&silent, &silent];
    let (prepared, known) = std::thread::scope(|scope| {
        let known = Later::new(scope.spawn(|| known_layers::find(&pushing, &registries, host)));
        let notes = || known.get().bases.clone();
        let prepared = platforms::prepare(&args, &registries, hosts, &notes, &Progress::default())?;
        Ok::<_, Error>((prepared, known.into_inner()))
    })?;
    let [Prepared { planned, .. }, ..] = prepared.as_slice() else { return Ok(images) };
    let mut options = args.image_options.options(&silent);
    let insists = args.publish.strategy == Strategy::Image;
    options.dockerfiles = dockerfile::settings(&args.image_options, &args.build, insists, planned, &silent)?;
    // A list of what is in the image does not change it.
    (options.sbom, options.known, options.only_known) = (false, known, true);
    let repositories = pushing.iter().map(|one| (one.location.clone(), one.repository.clone()));
    let records = ImageRecords::new(&args.publish, true, repositories, &registries, host);
    let (built, _) = platforms::build(&prepared, &options, out_dir, &records, &NoLayerObserver)?;
    let repository = |name: &str| -> Option<Repository> {
        pushing.iter().find(|one| one.location == name).map(|one| one.repository.clone())
    };
    for (one, image) in planned.plan.locations.iter().zip(built) {
        let name = one.location.name.clone();
        let image = match (image, repository(&name)) {
            (Ok(image), Some(repository)) => Ok(Reference::by_tag(repository, image.tag).to_string()),
            (Ok(_), None) => Err("no registry is known for its image".to_string()),
            (Err(error), _) => Err(error.to_string()),
        };
        images.insert(name, image);
    }
    Ok(images)
}
