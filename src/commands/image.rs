//! `pexpress image PROJECT OUT_DIR`: an image layout of each code location, and on demand in registries.

pub(super) mod dockerfile;
pub(super) mod platforms;

use super::deploy::{Planned, select};
use super::progress::Progress;
use super::{Error, here};
use crate::builder::BuildError;
use crate::builder::image;
use crate::builder::image::build::BuiltImage;
use crate::builder::observer::NoObserver;
use crate::cli::{BuildArgs, BuildImageArgs, DeployArgs, Format};
use crate::context::built::BuiltCommit;
use crate::context::event;
use crate::context::git::WorkTree;
use crate::error::{Explain, error_text};
use crate::host::Host;
use crate::image::Repository;
use crate::net::Agent;
use crate::plan::strategy::Destination;
use crate::project::Project;
use crate::publish::early_layers::EarlyLayers;
use crate::publish::images::{PushedImage, push};
use crate::publish::registry_login;
use crate::registry::Registries;
use crate::render::Exit;
use crate::report::images::{ImageFacts, ImageReport, table};
use platforms::Prepared;
use serde_json::json;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Run it.
///
/// # Errors
/// If the project or the base cannot be read, or a code location cannot be built or pushed; the others are built anyway.
pub fn run(args: &BuildImageArgs, format: Format, host: &Host, progress: &Progress) -> Result<Exit, Error> {
    let project = here::project(args.file.as_deref(), host);
    let mut deploy = DeployArgs { file: Some(project.clone()), ..args.deploy() };
    let registries = registries(args, host)?;
    let locations = select(Project::read(&host.absolute(&project), host)?, &args.locations)?;
    let directories = locations.iter().map(|location| &*location.directory);
    dockerfile::check_included(&args.image, directories, host)?;
    if let Some(base) = dockerfile::base(&args.image, &locations, host)? {
        deploy.image_options.base_image = Some(base);
    }
    let silence = Arc::new(AtomicBool::new(true));
    let silent = host.until(&silence);
    let prepared = platforms::prepare(&deploy, &registries, [host, &silent], &Vec::new, progress)?;
    silence.store(false, Ordering::Relaxed);
    platforms::tell(&prepared, host);
    let [Prepared { base, facts, planned, .. }, ..] = prepared.as_slice() else {
        return Ok(Exit(0));
    };
    let Planned { building, plan, .. } = planned;
    if args.build.dry_run {
        let build = BuildArgs {
            python_version: Some(facts.version),
            platform: Some(facts.platform),
            ..args.build.clone()
        };
        return super::deploy::run(DeployArgs { build, ..deploy }, format, host);
    }
    let out_dir = here::out_dir(args.out_dir.as_deref(), &project, host);
    let mut options = args.image.options(host);
    options.dockerfiles = dockerfile::settings(&args.image, &args.build, false, planned, host)?;
    let _turn = image::turn(&out_dir, building.tools.cache());
    let names: Vec<&str> = plan.locations.iter().map(|planned| planned.location.name.as_str()).collect();
    let targets = names.iter().map(|name| (name.to_string(), args.push.clone()));
    let begun = |name: &str| progress.put(|run| run.pushing.extend([name.to_string()]));
    let early = EarlyLayers::new(targets, base, &registries, &begun, host);
    let (built, warnings) =
        early.during(|| platforms::build(&prepared, &options, &out_dir, &NoObserver, &early))?;
    let failed = failures(&names, &built, host);
    let built: Vec<BuiltImage> = built.into_iter().flatten().collect();
    let commit = commit(&project, host)?;
    let mut reports = Vec::new();
    for image in &built {
        let (requests, sent) = (registries.requests(), registries.sent_bytes());
        if !args.push.is_empty() {
            begun(&image.name);
        }
        let pushed = args
            .push
            .iter()
            .map(|repository| push(image, base, repository, commit.as_deref(), true, &registries))
            .collect::<Result<Vec<PushedImage>, _>>()?;
        if let Some(first) = pushed.first() {
            progress.put(|run| drop(run.images.insert(image.name.clone(), first.reference.to_string())));
        }
        let (requests, sent) = (registries.requests() - requests, registries.sent_bytes() - sent);
        let before = early.counts(&image.name);
        let (requests, sent) = (requests + before.0, sent + before.1);
        let facts = ImageFacts::new(image, &pushed, requests, sent);
        reports.push(ImageReport { name: image.name.clone(), image: facts });
    }
    tell(&reports, warnings, format, host)?;
    super::cache::tidy(host);
    match failed {
        None => Ok(Exit(0)),
        Some(error) => Err(error),
    }
}

/// A client for the registries of the base and of `--push`.
fn registries(args: &BuildImageArgs, host: &Host) -> Result<Registries, Error> {
    let destination = |repository: &Repository| Destination {
        repository: repository.clone(),
        is_organization: false,
        is_per_location: false,
    };
    let destinations: Vec<Destination> = args.push.iter().map(destination).collect();
    let agent = Agent::new(host);
    let credentials = registry_login::credentials(&destinations, &args.registry, None, &agent, host)?;
    Ok(Registries::new(host, &agent, credentials))
}

/// The commit in the work tree, for the tag that is for people.
fn commit(project: &Path, host: &Host) -> Result<Option<String>, Error> {
    let directory = if project.is_dir() { project } else { project.parent().unwrap_or(project) };
    Ok(BuiltCommit::read(&event::read(host)?, &WorkTree::at(directory, host), host).hash)
}

/// Print each failure once, with the code locations that have it.
pub(super) fn failures(
    names: &[&str],
    built: &[Result<BuiltImage, Arc<BuildError>>],
    host: &Host,
) -> Option<Error> {
    let failed: Vec<(&str, &Arc<BuildError>)> =
        names.iter().zip(built).filter_map(|(name, built)| Some((*name, built.as_ref().err()?))).collect();
    for (at, (name, error)) in failed.iter().enumerate() {
        if failed[..at].iter().any(|(_, earlier)| Arc::ptr_eq(earlier, error)) {
            continue;
        }
        let others: Vec<&str> = failed[at + 1..]
            .iter()
            .filter(|(_, other)| Arc::ptr_eq(other, error))
            .map(|(name, _)| *name)
            .collect();
        let text = error_text(error.as_ref(), host.color());
        let same = if others.is_empty() {
            String::new()
        } else {
            format!("\n  the same for: {}", others.join(", "))
        };
        host.say(&format!("{name}: {text}{same}"));
    }
    let fault = failed.first()?.1.fault();
    let failed: Vec<String> = failed.into_iter().map(|(name, _)| name.to_string()).collect();
    Some(Error::NotBuilt { failed, total: names.len(), fault })
}

fn tell(reports: &[ImageReport], warnings: Vec<String>, format: Format, host: &Host) -> Result<(), Error> {
    if !reports.is_empty() {
        host.note(table(reports).text(host.columns()));
    }
    match format {
        Format::Json => super::print_json(host, &json!({ "locations": reports, "warnings": warnings })),
        Format::Text if host.shows_notes_and_data() || reports.is_empty() => Ok(()),
        Format::Text => {
            let line = |report: &ImageReport| format!("{}\t{}", report.name, report.image.place());
            let lines: Vec<String> = reports.iter().map(line).collect();
            host.data(&lines.join("\n")).map_err(Error::Stdout)
        }
    }
}
