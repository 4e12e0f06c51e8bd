//! `deploy --dry-run`: the requirements of each code location, and the versions they resolve to.

use super::{Chosen, Planned, choose, prepare};
use crate::builder::{BuildError, deps};
use crate::cli::{DeployArgs, Format};
use crate::commands::Error;
use crate::commands::building::RequirementsDocument;
use crate::commands::image::dockerfile;
use crate::commands::progress::Progress;
use crate::dagster::Session;
use crate::deployment;
use crate::deployment::args::Strategy;
use crate::error::error_text;
use crate::host::Host;
use crate::plan::PlannedLocation;
use crate::plan::images::ImageLocation;
use crate::plan::strategy::{Decision, Way};
use crate::project::Location;
use crate::render::Exit;
use crate::scratch::Scratch;
use crate::update;
use serde_json::json;
use std::path::Path;

/// Collect and resolve every code location; build nothing.
///
/// # Errors
/// If the project cannot be read, or its requirements cannot be resolved.
pub fn run(args: &DeployArgs, format: Format, host: &Host) -> Result<Exit, Error> {
    deployment::goal::decide(&args.goal(), &Session::default(), host)?;
    if args.publish.images.are_given() {
        return images(args, format, host);
    }
    let planned = prepare(args, host, &Progress::default())?;
    let locations: Vec<Location> =
        planned.plan.locations.iter().map(|planned| planned.location.clone()).collect();
    let decisions = update::offline(&locations, &args.publish)?;
    let ways: Vec<(Location, Decision)> = locations.into_iter().zip(decisions).collect();
    super::say_foreseen(&ways, host);
    check_dockerfiles(args, &planned, &ways, host)?;
    let planned = planned.without_images();
    let Planned { building, plan, requirements, .. } = planned;
    let out_dir = Scratch::shared(&host.temp_dir()).map_err(Error::Temporary)?;
    let context = building.context(out_dir.path())?;
    let resolve = |job| {
        let found = deps::resolve(job, &context)?;
        deps::behind(job, &found, &context).iter().for_each(|warning| building.host.warn(warning));
        Ok(found)
    };
    let resolutions: Vec<Result<_, BuildError>> = plan.deps.iter().map(resolve).collect();
    let mut locations = Vec::new();
    for planned in &plan.locations {
        let directory = &planned.location.directory;
        let mut asked = RequirementsDocument::new(directory, &requirements[directory], plan.target);
        match &resolutions[planned.deps] {
            Ok(resolution) => asked.resolution = Some(resolution.clone()),
            Err(error) => asked.error = Some(error_text(error, false)),
        }
        let mut document = json!(asked);
        document["name"] = json!(planned.location.name);
        document["directory"] = json!(directory);
        let way = ways.iter().find(|(location, _)| location.name == planned.location.name);
        document["strategy"] = json!(way.and_then(|(_, decision)| decision.settled()));
        locations.push(document);
    }
    match format {
        Format::Json => crate::commands::print_json(building.host, &json!({ "locations": locations }))?,
        Format::Text => {
            let line = |planned: &PlannedLocation| match &resolutions[planned.deps] {
                Ok(resolution) => {
                    format!("{}\t{} distributions", planned.location.name, resolution.distributions.len())
                }
                Err(_) => format!("{}\tnot resolved", planned.location.name),
            };
            let lines: Vec<String> = plan.locations.iter().map(line).collect();
            building.host.data(&lines.join("\n")).map_err(Error::Stdout)?;
        }
    }
    let mut errors: Vec<_> = resolutions.into_iter().filter_map(Result::err).collect();
    let Some(last) = errors.pop() else { return Ok(Exit(0)) };
    errors.iter().for_each(|error| building.host.say(&error_text(error, building.host.color())));
    Err(last.into())
}

/// Check the Dockerfiles of the code locations that would become images, as their build does. All errors are printed.
fn check_dockerfiles(
    args: &DeployArgs,
    planned: &Planned<'_>,
    ways: &[(Location, Decision)],
    host: &Host,
) -> Result<(), Error> {
    let is_image =
        |decision: &Decision| args.build.reads_dockerfiles || matches!(decision.way, Way::Image(_));
    let images = ways.iter().filter(|(_, decision)| is_image(decision)).map(|(location, _)| location);
    let settings = (&args.image_options, &args.build, args.publish.strategy == Strategy::Image);
    let asked = |directory: &Path| Some((&**planned.requirements.get(directory)?, true));
    let mut errors = dockerfile::refused(settings, &Vec::from_iter(images), &asked, host);
    let last = errors.pop();
    errors.iter().for_each(|error| host.say(&error_text(error, host.color())));
    last.map_or(Ok(()), Err)
}

/// The image of each code location.
fn images(args: &DeployArgs, format: Format, host: &Host) -> Result<Exit, Error> {
    let Chosen { images, .. } = choose(args, &Progress::default(), host)?;
    match format {
        Format::Json => {
            let document = |one: &ImageLocation| json!({"name": one.location.name, "image": one.image});
            let locations: Vec<_> = images.iter().map(document).collect();
            crate::commands::print_json(host, &json!({ "locations": locations }))?;
        }
        Format::Text => {
            let line = |one: &ImageLocation| format!("{}\t{}", one.location.name, one.image);
            let lines: Vec<String> = images.iter().map(line).collect();
            host.data(&lines.join("\n")).map_err(Error::Stdout)?;
        }
    }
    Ok(Exit(0))
}
