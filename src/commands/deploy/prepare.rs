//! What to build: the selected code locations, and the requirements of their build directories.

use crate::builder::left_out;
use crate::cli::DeployArgs;
use crate::commands::Error;
use crate::commands::building::{Building, ChooseTarget, serverless, warning_line};
use crate::commands::progress::Progress;
use crate::deployment::args::PublishArgs;
use crate::error::error_text;
use crate::host::Host;
use crate::plan::Plan;
use crate::plan::strategy::{Decision, Way};
use crate::project::{CollectError, Location, Project, Requirements, code_source};
use crate::update;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The requirements of each build directory.
type Collected = BTreeMap<PathBuf, Arc<Requirements>>;

/// Build directories without requirements, where that may be right: their code locations name their images.
type WithoutFiles = BTreeMap<PathBuf, Error>;

/// What to build, and the requirements of each build directory.
pub(in crate::commands) struct Planned<'a> {
    pub(in crate::commands) building: Building<'a>,
    pub(in crate::commands) plan: Plan,
    pub(in crate::commands) requirements: Collected,
    /// All code locations of the project file, whether they are built or not.
    pub(in crate::commands) names: BTreeSet<String>,
    without_files: WithoutFiles,
}

impl<'a> Planned<'a> {
    /// Check that the code locations for which these ways need a build have requirements.
    ///
    /// # Errors
    /// For the first that has none.
    pub(in crate::commands) fn check_files(&mut self, ways: &[(Location, Decision)]) -> Result<(), Error> {
        let built = ways.iter().filter(|(_, decision)| decision.way != Way::Document);
        let directories = built.map(|(location, _)| location.directory.clone()).collect();
        self.check_directories(directories)
    }

    /// The same where all are built.
    ///
    /// # Errors
    /// For the first that has none.
    pub(in crate::commands) fn check_all_files(&mut self) -> Result<(), Error> {
        let locations = self.plan.locations.iter();
        self.check_directories(locations.map(|planned| planned.location.directory.clone()).collect())
    }

    fn check_directories(&mut self, directories: Vec<PathBuf>) -> Result<(), Error> {
        let lacking = directories.into_iter().find(|directory| self.without_files.contains_key(directory));
        match lacking {
            Some(directory) => self.without_files.remove(&directory).map_or(Ok(()), Err),
            None => Ok(()),
        }
    }

    /// Leave out the code locations without requirements, which name their images.
    #[must_use]
    pub(in crate::commands) fn without_images(mut self) -> Planned<'a> {
        let without_files = &self.without_files;
        self.plan = self.plan.only(|location| !without_files.contains_key(&location.directory));
        self
    }
}

/// Read the project, and collect its requirements.
///
/// # Errors
/// A file of the project that cannot be used.
pub(in crate::commands) fn prepare<'a>(
    args: &DeployArgs,
    host: &'a Host,
    progress: &Progress,
) -> Result<Planned<'a>, Error> {
    prepare_for(args, host, progress, &mut |python, _| Ok((python, serverless(&args.build, python))))
}

/// The same for another target than that of Serverless: of the Python version that the project asks for, and whether it
/// is only the default, follow Python and platform.
///
/// # Errors
/// Those of `target`, and a file of the project that cannot be used.
pub(in crate::commands) fn prepare_for<'a>(
    args: &DeployArgs,
    host: &'a Host,
    progress: &Progress,
    target: &mut ChooseTarget<'_>,
) -> Result<Planned<'a>, Error> {
    let mut project = Project::read(&host.absolute(args.project()), host)?;
    let mut warnings = std::mem::take(&mut project.warnings);
    let (root, file) = (project.root.clone(), project.file.clone());
    progress.put(|run| run.project_file = file);
    let names = project.locations.iter().map(|location| location.name.clone()).collect();
    let locations = select(project, &args.locations)?;
    warnings.extend(code_source::look(&locations));
    warnings.extend(left_out::code(&locations));
    warnings.iter().for_each(|one| host.warn(warning_line(one, &root)));
    progress.put(|run| {
        run.warnings = warnings;
        run.locations.clone_from(&locations);
    });
    let directories: BTreeSet<&Path> = locations.iter().map(|location| &*location.directory).collect();
    let building = Building::with_target(&args.build, &root, &Vec::from_iter(directories), host, target)?;
    progress.put(|run| {
        run.warnings.extend(building.warnings.iter().cloned());
        run.target = Some(building.target);
    });
    let (requirements, without_files) =
        collect(&building, &locations, &image_directories(&locations, &args.publish))?;
    let warnings = requirements.values().flat_map(|asked| asked.warnings.iter().cloned());
    progress.put(|run| run.warnings.extend(warnings));
    let plan = Plan::decide(building.target, locations, &requirements);
    Ok(Planned { building, plan, requirements, names, without_files })
}

/// The build directories whose code locations all become images, as far as it is known without Dagster+.
pub(in crate::commands) fn image_directories(
    locations: &[Location],
    publish: &PublishArgs,
) -> BTreeSet<PathBuf> {
    // Wrong settings are reported where they are used.
    let decisions = update::offline(locations, publish).unwrap_or_default();
    let ways = locations.iter().zip(decisions);
    let (images, others): (Vec<_>, Vec<_>) =
        ways.partition(|(_, decision)| decision.settled() == Some("image"));
    let others: BTreeSet<&Path> = others.iter().map(|(location, _)| &*location.directory).collect();
    let images = images.into_iter().map(|(location, _)| location.directory.clone());
    images.filter(|directory| !others.contains(&**directory)).collect()
}

/// The code locations selected with `--location`; default: all.
pub(in crate::commands) fn select(project: Project, names: &[String]) -> Result<Vec<Location>, Error> {
    let known = |name: &&String| project.locations.iter().any(|location| location.name == **name);
    if let Some(unknown) = names.iter().find(|name| !known(name)) {
        let known = project.locations.iter().map(|location| location.name.clone()).collect();
        return Err(Error::UnknownLocation { name: unknown.clone(), file: project.file, known });
    }
    let wanted = |location: &Location| names.is_empty() || names.contains(&location.name);
    Ok(project.locations.into_iter().filter(wanted).collect())
}

/// The requirements of each distinct build directory; and the directories without any that may be right.
fn collect(
    building: &Building<'_>,
    locations: &[Location],
    images: &BTreeSet<PathBuf>,
) -> Result<(Collected, WithoutFiles), Error> {
    let mut requirements = Collected::new();
    let mut without_files = WithoutFiles::new();
    for Location { directory, place, .. } in locations {
        if requirements.contains_key(directory) || without_files.contains_key(directory) {
            continue;
        }
        match building.collect_for(directory, images.contains(directory)) {
            Ok(asked) => drop(requirements.insert(directory.clone(), Arc::new(asked))),
            // Cheap to check, so all of them are reported at once.
            Err(Error::Collect(CollectError::NoRequirementFile { directory, asked_by, .. })) => {
                let is_yaml =
                    place.file.extension().is_some_and(|ending| ending == "yaml" || ending == "yml");
                let location = Some(place.clone()).filter(|_| is_yaml);
                let error =
                    CollectError::NoRequirementFile { directory: directory.clone(), asked_by, location };
                without_files.insert(directory, Error::Collect(error));
            }
            Err(error) => return Err(error),
        }
    }
    // An image that the entry names may be deployed as it is, which only the deployment decides.
    let has_image = |directory: &Path| {
        let mut here = locations.iter().filter(|location| *location.directory == *directory);
        here.all(|location| location.document.get("image").is_some_and(|image| image.is_string()))
    };
    let (images, mut without_files): (WithoutFiles, WithoutFiles) =
        without_files.into_iter().partition(|(directory, _)| has_image(directory));
    requirements.extend(images.keys().map(|directory| (directory.clone(), Arc::default())));
    match without_files.pop_last() {
        None => Ok((requirements, images)),
        Some((_, last)) => {
            let said = without_files.values().map(|error| error_text(error, building.host.color()));
            said.for_each(|text| building.host.say(&text));
            Err(last)
        }
    }
}
