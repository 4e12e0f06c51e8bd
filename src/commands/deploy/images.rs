//! `deploy` of images that are pushed already: nothing is built, and nothing asks uv.

use super::prepare::select;
use super::{pruning, telling};
use crate::cli::DeployArgs;
use crate::commands::Error;
use crate::commands::building::warning_line;
use crate::commands::progress::Progress;
use crate::deployment::{DeploySession, Destination};
use crate::host::Host;
use crate::plan::images::{self, ImageLocation};
use crate::project::Project;
use crate::publish::named_images;
use crate::report::table::count;
use crate::report::{DeploymentReport, Ended};
use crate::update::Online;
use crate::verify::VerifyWhen;
use std::collections::BTreeSet;
use std::sync::Arc;

/// The selected code locations with their images.
pub(in crate::commands) struct Chosen {
    pub(in crate::commands) images: Vec<ImageLocation>,
    /// All code locations of the project file.
    names: BTreeSet<String>,
}

/// Read the project, and find the image of each code location.
///
/// # Errors
/// A project that cannot be read, or images that are not those of its code locations.
pub(in crate::commands) fn choose(
    args: &DeployArgs,
    progress: &Progress,
    host: &Host,
) -> Result<Chosen, Error> {
    let mut project = Project::read(&host.absolute(args.project()), host)?;
    let warnings = std::mem::take(&mut project.warnings);
    let file = project.file.clone();
    warnings.iter().for_each(|one| host.warn(warning_line(one, &project.root)));
    progress.put(|run| {
        run.project_file.clone_from(&file);
        run.warnings = warnings;
    });
    if let Some(flag) = idle_flag(args) {
        host.warn(format!("{flag} has no effect on images, which are built already"));
    }
    let names: Vec<String> = project.locations.iter().map(|location| location.name.clone()).collect();
    let locations = select(project, &args.locations)?;
    progress.put(|run| run.locations.clone_from(&locations));
    let images = images::decide(locations, &names, &file, &args.publish.images)?;
    progress.put(|run| {
        run.images = images.iter().map(|one| (one.location.name.clone(), one.image.clone())).collect();
    });
    let replaced = images.iter().filter(|one| one.replaces_own).map(|one| one.location.name.as_str());
    let replaced: Vec<&str> = replaced.collect();
    if !replaced.is_empty() {
        let file = file.file_name().unwrap_or_default().to_string_lossy();
        host.note(format!("Not used for {}: the `image:` in {file}", replaced.join(", ")));
    }
    Ok(Chosen { images, names: names.into_iter().collect() })
}

/// A flag that was given and says how PEX files are built.
fn idle_flag(args: &DeployArgs) -> Option<&'static str> {
    let build = &args.build;
    let given = [
        ("--python-version", build.python_version.is_some()),
        ("--platform", build.platform.is_some()),
        ("--extra", !build.extras.is_empty() || build.all_extras),
        ("--group", !build.groups.is_empty()),
        ("--locked", build.locked),
        ("--no-locked", build.no_locked),
        ("--force-rebuild-deps", args.publish.force_rebuild_deps),
        ("--verify", args.verify == VerifyWhen::Always),
    ];
    given.into_iter().find(|(_, given)| *given).map(|(flag, _)| flag)
}

/// Update the code locations to their images and wait for them.
///
/// # Errors
/// Those of [`choose`], and if Dagster+ refuses or a code location does not load.
pub(super) fn run(
    args: &DeployArgs,
    session: DeploySession,
    destination: &Destination,
    progress: &Progress,
    host: &Host,
) -> Result<Ended, Error> {
    // Before the branch deployment is created: images that are not there must not leave one behind.
    let Chosen { images, names } = choose(args, progress, host)?;
    named_images::check(&images, &args.registry, host)?;
    let named_elsewhere = pruning::named_elsewhere(args, &session, host)?;
    let made = |name: &str| progress.put(|run| run.branch_deployment = Some(name.into()));
    let mut online = Online::connect(session, destination, &[], &args.publish, None, &made, host)?;
    online.named_elsewhere = named_elsewhere;
    progress.put(|run| {
        run.deployment = Some(DeploymentReport::from_online(&online));
        run.others = pruning::staying(&online, &names, &args.publish);
        run.serving = online.serving();
    });
    progress.reached().others_note().into_iter().for_each(|note| host.note(note));
    progress.planned();
    progress.stage("load");
    host.note(format!("Updating {} to images that are built already", count(images.len(), "code location")));
    let reach = |phase| progress.put(|run| run.reach(phase));
    let outcomes = Arc::new(online.update(online.intend_images(&images), None, &reach));
    progress.put(|run| run.outcomes = Some(Arc::clone(&outcomes)));
    telling::say_failures(&outcomes, host);
    let deployed: Vec<&str> = images.iter().map(|one| one.location.name.as_str()).collect();
    let ended = super::conclude(None, &outcomes, &[], &deployed)?;
    pruning::run(&online, &names, &args.publish, progress, host)?;
    Ok(ended)
}
