//! `deploy` of code locations that run from images: built here, pushed, and named for the update.

use crate::builder::image;
use crate::builder::image::build::BuiltImage;
use crate::builder::image::known::KnownLayers;
use crate::builder::{BuildError, in_parallel};
use crate::cli::DeployArgs;
use crate::cloud_login::has_identity;
use crate::commands::Error;
use crate::commands::image::platforms::{self, Prepared};
use crate::commands::image::{dockerfile, failures};
use crate::commands::progress::Progress;
use crate::dependencies::{ImageReader, Search};
use crate::deployment::args::Strategy;
use crate::error::{Explain, error_text};
use crate::host::Host;
use crate::net::Agent;
use crate::plan::images::{ImageLocation, NamedBy};
use crate::plan::strategy::{Decision, Destination, Way};
use crate::project::Location;
use crate::publish::WORKERS;
use crate::publish::early_layers::EarlyLayers;
use crate::publish::image_records::ImageRecords;
use crate::publish::images::repository_of;
use crate::publish::known_layers::{self, Pushing};
use crate::publish::named_images;
use crate::publish::record::max_age;
use crate::publish::registry_login::{self, RegistryArgs};
use crate::registry::Registries;
use crate::report::Problem;
use crate::report::images::{ImageReport, table};
use crate::threads::Later;
use crate::update::{Online, Outcome, UpdateError};
use crate::verify::{Verified, VerifyWhen, unfit};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What is to be updated, and what cannot be.
#[derive(Default)]
pub(super) struct MadeImages {
    /// Code locations and the images that they are to run, all of them in their registries.
    pub(super) images: Vec<ImageLocation>,
    /// Code locations whose images were not pushed.
    pub(super) refused: Vec<Outcome>,
    /// Code locations whose images were not built.
    pub(super) not_built: Option<Error>,
    /// What was loaded here.
    pub(super) verified: Vec<Verified>,
    /// What changes in the dependencies of those whose images were pushed.
    pub(super) changes: Option<Search>,
}

/// What became of an image.
pub(super) enum Push {
    /// Its report, and where it was to be pushed: the code location with its image, or why that stays as it is.
    Ended(Box<ImageReport>, Option<Box<Result<ImageLocation, Outcome>>>),
    /// It has to be built with all its layers: the registry has lost one that it was known to have.
    Incomplete,
}

/// What the work has in common.
pub(super) struct Making<'a> {
    pub(super) args: &'a DeployArgs,
    pub(super) online: Option<&'a Online>,
    pub(super) out_dir: &'a Path,
    pub(super) progress: &'a Progress,
    pub(super) host: &'a Host,
}

impl Making<'_> {
    /// Build the images of these code locations, and push them where they are to be deployed. Those whose entry names
    /// their image are taken as they are.
    pub(super) fn make(&self, locations: &[(Location, Decision)]) -> MadeImages {
        let mut made = MadeImages::default();
        let mut to_build: BTreeMap<&str, (&Location, Option<&Destination>)> = BTreeMap::new();
        for (location, decision) in locations {
            match &decision.way {
                Way::Pex => {}
                Way::Document => self.take_as_it_is(location, &mut made),
                Way::Image(destination) => {
                    to_build.insert(&location.name, (location, destination.as_ref()));
                }
            }
        }
        if !to_build.is_empty()
            && let Err(error) = self.build(&to_build, &mut made)
        {
            made.not_built = Some(self.none_built(error, to_build.keys().copied().collect()));
        }
        made
    }

    /// Nothing could be built, as without a base image or a login: a failure of these code locations, and of no other.
    fn none_built(&self, error: Error, names: Vec<&str>) -> Error {
        let (problem, fault) = (Problem::from_error(&error), error.fault());
        self.host.say(&format!("{}\n  for: {}", error_text(&error, self.host.color()), names.join(", ")));
        let failed: Vec<String> = names.into_iter().map(String::from).collect();
        self.progress.put(|run| {
            run.image_builds.extend(failed.iter().map(|name| (name.clone(), Err(problem.clone()))));
        });
        Error::NotBuilt { total: failed.len(), failed, fault }
    }

    /// The image of its entry, unless that does not exist.
    fn take_as_it_is(&self, location: &Location, made: &mut MadeImages) {
        let Some(image) = location.document.get("image").and_then(|image| image.as_str()) else { return };
        let (location, image, named_by) = (location.clone(), image.to_string(), NamedBy::Entry);
        self.progress.put(|run| drop(run.images.insert(location.name.clone(), image.clone())));
        let one = ImageLocation { location, image, named_by, replaces_own: false };
        let checked = match self.online {
            Some(_) => named_images::check(std::slice::from_ref(&one), &self.args.registry, self.host),
            None => Ok(()),
        };
        match checked {
            Ok(()) => made.images.push(one),
            Err(source) => {
                let name = one.location.name;
                let error = UpdateError::NoImage { location: name.clone(), source: Arc::new(source) };
                made.refused.push(Outcome::new(name, Err(error)));
            }
        }
    }

    fn build(
        &self,
        wanted: &BTreeMap<&str, (&Location, Option<&Destination>)>,
        made: &mut MadeImages,
    ) -> Result<(), Error> {
        let Making { args, host, progress, .. } = self;
        progress.stage("build");
        let destinations: Vec<Destination> =
            wanted.values().filter_map(|(_, destination)| destination.cloned()).collect();
        let agent = Agent::new(host);
        let client = self.online.map(|online| &online.client);
        let nobody = RegistryArgs::default();
        // A run that pushes nothing, as for a fork, often has no identity, and needs one for a private base at most.
        let who = if client.is_none() && !has_identity(host) { &nobody } else { &args.registry };
        let credentials = registry_login::credentials(&destinations, who, client, &agent, host)?;
        let registries = Registries::new(host, &agent, credentials);
        let names = wanted.keys().map(|name| (*name).to_string()).collect();
        let mut args = args.of_locations(names);
        let directories = wanted.values().map(|(location, _)| &*location.directory);
        dockerfile::check_included(&args.image_options, directories, host)?;
        let locations = wanted.values().map(|(location, _)| *location);
        if let Some(base) = dockerfile::base(&args.image_options, locations, host)? {
            args.image_options.base_image = Some(base);
        }
        // The project was read for PEX files, and said what there was to say. Only the target differs.
        let silence = Arc::new(AtomicBool::new(true));
        let silent = host.until(&silence);
        let records = self.records(wanted, &registries);
        let hosts = [&silent, &silent];
        // The images that run now are asked about next to the base.
        let (mut prepared, known) = std::thread::scope(|scope| {
            let known = Later::new(scope.spawn(|| self.known_layers(wanted, &registries)));
            let notes = || known.get().bases.clone();
            let prepared = platforms::prepare(&args, &registries, hosts, &notes, &Progress::default())?;
            Ok::<_, Error>((prepared, known.into_inner()))
        })?;
        silence.store(false, Ordering::Relaxed);
        platforms::tell(&prepared, host);
        let [Prepared { planned, platform, .. }, ..] = prepared.as_slice() else { return Ok(()) };
        let platform = platform.clone();
        let mut options = args.image_options.options(host);
        let insists = args.publish.strategy == Strategy::Image;
        options.dockerfiles =
            dockerfile::settings(&self.args.image_options, &args.build, insists, planned, host)?;
        // What another run writes there now would replace images before they are pushed.
        let _turn = image::turn(self.out_dir, planned.building.tools.cache());
        options.known = known;
        options.recipe_max_age = Some(max_age(args.publish.resolve_max_age, host));
        options.whole_if_new = args.verify == VerifyWhen::Auto;
        // The layout of what is pushed is of no further use.
        options.base_stays = self.online.is_some();
        let mut reports = Vec::new();
        loop {
            let [Prepared { base, planned, .. }, ..] = prepared.as_slice() else { return Ok(()) };
            let begun = |name: &str| self.begun(name);
            let early = EarlyLayers::new(self.targets(wanted), base, &registries, &begun, host);
            let (built, warnings) =
                early.during(|| platforms::build(&prepared, &options, self.out_dir, &records, &early))?;
            let warnings = warnings.into_iter().map(crate::project::Warning::without_place);
            progress.put(|run| run.warnings.extend(warnings));
            let names: Vec<&str> =
                planned.plan.locations.iter().map(|one| one.location.name.as_str()).collect();
            self.record_failures(&names, &built);
            made.not_built = super::together(made.not_built.take(), failures(&names, &built, host));
            let built: Vec<BuiltImage> = built.into_iter().flatten().collect();
            made.verified.extend(self.verify_images(&built, &planned.plan, wanted)?);
            let unfit = unfit(&made.verified);
            progress.stage("upload");
            let pushing = in_parallel(&built, WORKERS, |image| {
                let (location, destination) = wanted[image.name.as_str()];
                let destination = destination.filter(|_| !unfit.contains(&image.name));
                self.push(image, location, destination, base, (&registries, &early))
            });
            let mut incomplete = BTreeSet::new();
            for (image, pushed) in built.into_iter().zip(pushing) {
                match pushed {
                    Push::Incomplete => drop(incomplete.insert(image.name)),
                    Push::Ended(image, ended) => {
                        match ended.map(|ended| *ended) {
                            Some(Ok(location)) => made.images.push(location),
                            Some(Err(outcome)) => made.refused.push(outcome),
                            None => {}
                        }
                        reports.push(*image);
                    }
                }
            }
            if incomplete.is_empty() {
                break;
            }
            progress.stage("build");
            options.known = KnownLayers::default();
            prepared = prepared.into_iter().map(|one| one.only(&incomplete)).collect();
        }
        if !reports.is_empty() {
            host.note(table(&reports).text(host.columns()));
        }
        records.write(&made.images.iter().map(|one| one.location.name.clone()).collect());
        // After the uploads, whose requests are counted, and next to the wait for the load.
        let reader = ImageReader { registries, platform };
        made.changes = self.changes(&reports, reader);
        Ok(())
    }

    /// Start to compute what changes in the dependencies of images that were pushed.
    fn changes(&self, reports: &[ImageReport], reader: ImageReader) -> Option<Search> {
        let pushed = reports.iter().filter_map(|ImageReport { name, image }| {
            Some((name.clone(), image.reference.clone()?, image.distributions()))
        });
        let pushed: Vec<_> = pushed.collect();
        self.online.filter(|_| !pushed.is_empty()).map(|online| online.image_changes(reader, pushed))
    }

    /// Layers that need not be made, since images that run now have them. None in a run that builds everything, or
    /// loads it here.
    fn known_layers(
        &self,
        wanted: &BTreeMap<&str, (&Location, Option<&Destination>)>,
        registries: &Registries,
    ) -> KnownLayers {
        let online = self.online.filter(|_| !self.is_whole());
        let Some(online) = online else { return KnownLayers::default() };
        let mut images = online.images_now(wanted.keys().copied());
        let pushing = wanted.values().filter_map(|(location, destination)| {
            let repository = repository_of((*destination)?, &location.name);
            let (location, runs) = (location.name.clone(), images.remove(&location.name));
            Some(Pushing { location, repository, runs })
        });
        let pushing: Vec<Pushing> = pushing.collect();
        known_layers::find(&pushing, registries, self.host)
    }

    /// Whether everything is built, whatever is known.
    fn is_whole(&self) -> bool {
        self.args.publish.force_rebuild_deps || self.args.verify == VerifyWhen::Always
    }

    /// What earlier runs resolved the requirements to; nothing in a run that pushes nothing.
    fn records<'r>(
        &'r self,
        wanted: &BTreeMap<&str, (&Location, Option<&Destination>)>,
        registries: &'r Registries,
    ) -> ImageRecords<'r> {
        let pushed = wanted.values().filter(|_| self.online.is_some());
        let repositories = pushed.filter_map(|(location, destination)| {
            Some((location.name.clone(), repository_of((*destination)?, &location.name)))
        });
        ImageRecords::new(&self.args.publish, !self.is_whole(), repositories, registries, self.host)
    }

    fn record_failures(&self, names: &[&str], built: &[Result<BuiltImage, Arc<BuildError>>]) {
        let failed = names.iter().zip(built).filter_map(|(name, built)| {
            let problem = Problem::from_error(&**built.as_ref().err()?);
            Some(((*name).to_string(), Err(problem)))
        });
        self.progress.put(|run| run.image_builds.extend(failed));
    }
}
