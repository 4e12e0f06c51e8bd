//! `pexpress deploy DAGSTER_CLOUD_YAML OUT_DIR`: both PEX files of every code location.

use super::building::{Asked, Building};
use super::{Error, verify};
use crate::build::manifest::{Entry, Manifest, pex_tag};
use crate::build::{self, BuildError, Built, PexFile, deps};
use crate::cli::{DeployArgs, Format};
use crate::error::{Explain, Fault};
use crate::host::Host;
use crate::plan::{Plan, PlannedLocation};
use crate::project::{Location, Project, Requirements};
use crate::render::{self, Exit};
use crate::report;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

/// Run it.
///
/// # Errors
/// When the project cannot be read, or a code location could not be built; the others are built all the same.
pub fn run(args: &DeployArgs, format: Format, host: &Host) -> Result<Exit, Error> {
    let started = Instant::now();
    let building = Building::new(&args.build, host);
    let project = Project::read(&host.absolute(&args.file), host)?;
    project.warnings.iter().for_each(|warning| host.warn(&warning.message));
    let locations = select(project, &args.locations)?;
    let requirements = collect(&building, &locations)?;
    let plan = Plan::decide(building.target, locations, &requirements);
    if args.build.dry_run {
        return dry_run(&building, &plan, &requirements, format);
    }
    let out_dir = host.absolute(&args.out_dir);
    let context = building.context(&out_dir)?;
    host.note(heading(&plan));
    let built = build::run(&plan, &context);
    let failed = tell_failures(&plan, &built, host);
    let entries: Vec<Entry> = plan.locations.iter().filter_map(|planned| entry(planned, &built)).collect();
    let manifest = Manifest::new(plan.target, entries);
    manifest.write(&out_dir)?;
    host.note(report::table(&files(&built)));
    let mut document = json!({
        "out_dir": out_dir, "python_version": plan.target.python, "platform": plan.target.platform,
        "locations": plan.locations.iter().map(|planned| location_json(planned, &built)).collect::<Vec<_>>(),
        "files": files(&built), "seconds": started.elapsed().as_secs_f64(),
    });
    let verified = match args.verify && !manifest.locations.is_empty() {
        true => Some(verify::verify(&manifest, &out_dir, &building.tools, &building.display)?),
        false => None,
    };
    if let Some(verified) = &verified {
        document["verified"] = json!(verified);
    }
    match format {
        Format::Json => super::print_json(host, &document)?,
        Format::Text => host.data(&text(&manifest, &out_dir)).map_err(Error::Stdout)?,
    }
    match (failed, verified) {
        (Some(error), _) => Err(error),
        (None, Some(verified)) => verify::conclude(&verified),
        (None, None) => Ok(Exit(0)),
    }
}

/// The code locations asked for by `--location`; all when none was.
fn select(project: Project, names: &[String]) -> Result<Vec<Location>, Error> {
    let known = |name: &&String| project.locations.iter().any(|location| location.name == **name);
    if let Some(unknown) = names.iter().find(|name| !known(name)) {
        let known = project.locations.iter().map(|location| location.name.clone()).collect();
        return Err(Error::UnknownLocation { name: unknown.clone(), file: project.file, known });
    }
    let wanted = |location: &Location| names.is_empty() || names.contains(&location.name);
    Ok(project.locations.into_iter().filter(wanted).collect())
}

/// What each distinct build directory asks for.
fn collect(
    building: &Building<'_>,
    locations: &[Location],
) -> Result<BTreeMap<PathBuf, Arc<Requirements>>, Error> {
    let mut requirements = BTreeMap::new();
    for location in locations {
        if !requirements.contains_key(&location.directory) {
            let asked = building.collect(&location.directory)?;
            requirements.insert(location.directory.clone(), Arc::new(asked));
        }
    }
    Ok(requirements)
}

fn heading(plan: &Plan) -> String {
    let count = |number: usize, what: &str| format!("{number} {what}{}", if number == 1 { "" } else { "s" });
    format!(
        "Building {} for Python {} on {}: {}, {}",
        count(plan.locations.len(), "code location"),
        plan.target.python,
        plan.target.platform,
        count(plan.sources.len(), "source PEX file"),
        count(plan.deps.len(), "deps PEX file"),
    )
}

/// Print each failure once, with the code locations that it hits.
fn tell_failures(plan: &Plan, built: &Built, host: &Host) -> Option<Error> {
    let sources =
        built.sources.iter().enumerate().filter_map(|(at, result)| Some((result.as_ref().err()?, at, true)));
    let deps =
        built.deps.iter().enumerate().filter_map(|(at, result)| Some((result.as_ref().err()?, at, false)));
    let mut failed: Vec<String> = Vec::new();
    let mut fault = Fault::Project;
    for (error, at, is_source) in sources.chain(deps) {
        let hit = plan
            .locations
            .iter()
            .filter(|planned| at == if is_source { planned.source } else { planned.deps });
        let names: Vec<String> = hit.map(|planned| planned.location.name.clone()).collect();
        host.say(&format!("{}\n  for: {}", render::error_text(error, host.color()), names.join(", ")));
        fault = error.fault();
        failed.extend(names);
    }
    failed.sort();
    failed.dedup();
    (!failed.is_empty()).then(|| Error::NotBuilt { total: plan.locations.len(), failed, fault })
}

fn pair<'a>(planned: &PlannedLocation, built: &'a Built) -> Option<(&'a PexFile, &'a PexFile)> {
    let source = built.sources[planned.source].as_ref().ok()?;
    let deps = built.deps[planned.deps].as_ref().ok()?;
    Some((source, &deps.file))
}

fn entry(planned: &PlannedLocation, built: &Built) -> Option<Entry> {
    let (source, deps) = pair(planned, built)?;
    Some(Entry {
        name: planned.location.name.clone(),
        source_pex: source.name.clone(),
        deps_pex: deps.name.clone(),
        pex_tag: pex_tag(&[&deps.name, &source.name]),
        document: planned.location.document.clone(),
    })
}

fn files(built: &Built) -> Vec<&PexFile> {
    let deps = built.deps.iter().flatten().map(|deps| &deps.file);
    deps.chain(built.sources.iter().flatten()).collect()
}

fn location_json(planned: &PlannedLocation, built: &Built) -> Value {
    let error = |error: &BuildError| render::error_text(error, false);
    let errors = (built.sources[planned.source].as_ref().err().map(error).into_iter())
        .chain(built.deps[planned.deps].as_ref().err().map(error));
    let mut document = json!({
        "name": planned.location.name, "directory": planned.location.directory, "errors": errors.collect::<Vec<_>>(),
    });
    if let Some(entry) = entry(planned, built) {
        document["source_pex"] = json!(entry.source_pex);
        document["deps_pex"] = json!(entry.deps_pex);
        document["pex_tag"] = json!(entry.pex_tag);
    }
    if let Ok(deps) = &built.deps[planned.deps] {
        document["dagster_version"] = json!(deps.dagster_version);
    }
    document
}

/// On stdout: name and tag of each code location.
fn text(manifest: &Manifest, out_dir: &Path) -> String {
    let lines = manifest.locations.iter().map(|location| format!("{}\t{}", location.name, location.pex_tag));
    let lines: Vec<String> = lines.collect();
    if lines.is_empty() { format!("nothing built in {}", out_dir.display()) } else { lines.join("\n") }
}

/// Collect and resolve every code location; build nothing.
fn dry_run(
    building: &Building<'_>,
    plan: &Plan,
    requirements: &BTreeMap<PathBuf, Arc<Requirements>>,
    format: Format,
) -> Result<Exit, Error> {
    let out_dir = tempfile::tempdir().map_err(Error::Temporary)?;
    let context = building.context(out_dir.path())?;
    let resolutions: Vec<_> = plan.deps.iter().map(|job| deps::resolve(job, &context)).collect();
    let mut locations = Vec::new();
    for planned in &plan.locations {
        let directory = &planned.location.directory;
        let mut asked = Asked::new(directory, &requirements[directory], plan.target);
        match &resolutions[planned.deps] {
            Ok(resolution) => asked.resolution = Some(resolution.clone()),
            Err(error) => asked.error = Some(render::error_text(error, false)),
        }
        let mut document = json!(asked);
        document["name"] = json!(planned.location.name);
        document["directory"] = json!(directory);
        locations.push(document);
    }
    match format {
        Format::Json => super::print_json(building.host, &json!({ "locations": locations }))?,
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
    match resolutions.into_iter().find_map(Result::err) {
        Some(error) => Err(error.into()),
        None => Ok(Exit(0)),
    }
}
