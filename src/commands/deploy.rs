//! `pexpress deploy DAGSTER_CLOUD_YAML OUT_DIR`: both PEX files of every code location, and on demand their deployment.

mod online;

use super::building::{Asked, Building};
use super::interrupt::{Reached, State, guard};
use super::{Error, verify};
use crate::build::manifest::{Entry, Manifest, pex_tag};
use crate::build::{self, BuildError, Built, DepsPexFile, PexFile, deps};
use crate::cli::{DeployArgs, Format};
use crate::deployment::Deployment;
use crate::error::{Explain, Fault};
use crate::host::Host;
use crate::plan::{Plan, PlannedLocation};
use crate::project::{Location, Project, Requirements};
use crate::publish::Publisher;
use crate::render::{self, Exit};
use crate::report;
use crate::verify::Verified;
use online::{Deployed, Intent};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

/// Run it; a signal ends it with a word on what was reached.
///
/// # Errors
/// When the project cannot be read, or a code location could not be built or deployed; the others are all the same.
pub fn run(args: DeployArgs, format: Format, host: &Host) -> Result<Exit, Error> {
    let reached = Reached::default();
    let out_dir = host.absolute(&args.out_dir);
    let (own_host, own_reached) = (host.clone(), reached.clone());
    let work = move || pipeline(&args, format, &own_host, &own_reached);
    guard(host, &out_dir, &reached, work).unwrap_or_else(|code| Ok(Exit(code)))
}

fn pipeline(args: &DeployArgs, format: Format, host: &Host, reached: &Reached) -> Result<Exit, Error> {
    let started = Instant::now();
    let building = Building::new(&args.build, host);
    let (going, choice) = match online::intent(args, building.target, host)? {
        Intent::BuildOnly => (None, None),
        Intent::Deploy(going, choice) => (Some(going), Some(choice)),
        Intent::Close(going, branch) => return closed(&going.close(&branch)?, format, host),
        Intent::Nothing(reason) => return nothing(&reason, format, host),
    };
    let project = Project::read(&host.absolute(&args.file), host)?;
    project.warnings.iter().for_each(|warning| host.warn(&warning.message));
    let locations = select(project, &args.locations)?;
    let requirements = collect(&building, &locations)?;
    let plan = Plan::decide(building.target, locations, &requirements);
    if args.build.dry_run {
        return dry_run(&building, &plan, &requirements, format);
    }
    let online = match going.zip(choice) {
        Some((going, choice)) => Some(going.connect(&choice, args, reached, host)?),
        None => None,
    };
    let publisher = online.as_ref().map(|online| online.publisher(args, plan.target, host));
    let out_dir = host.absolute(&args.out_dir);
    let mut context = building.context(&out_dir)?;
    if let Some(publisher) = &publisher {
        reached.set(State::Uploading);
        context = context.observed_by(publisher);
    }
    host.note(heading(&plan));
    let built = build::run(&plan, &context);
    drop(context);
    let published = publisher.map(Publisher::finish);
    let not_built = tell_failures(&plan, &built, host);
    let entries: Vec<Entry> = plan.locations.iter().filter_map(|planned| entry(planned, &built)).collect();
    let manifest = Manifest::new(plan.target, entries);
    manifest.write(&out_dir)?;
    host.note(report::table(&files(&built)));
    let mut document = json!({
        "out_dir": out_dir, "python_version": plan.target.python, "platform": plan.target.platform,
        "locations": plan.locations.iter().map(|planned| location_json(planned, &built)).collect::<Vec<_>>(),
        "files": files(&built),
    });
    let verified = match args.verify && !manifest.locations.is_empty() {
        true => Some(verify::verify(&manifest, &out_dir, &building.tools, &building.display)?),
        false => None,
    };
    if let Some(verified) = &verified {
        document["verified"] = json!(verified);
    }
    let deployed = online.as_ref().zip(published.as_ref()).map(|(online, published)| {
        document["deployment"] = online.json();
        let unfit =
            verified.iter().flatten().filter(|one| !one.loads()).map(|one| one.name.clone()).collect();
        online.finish(published, &plan, &built, &unfit, reached)
    });
    if let Some(deployed) = &deployed {
        tell_deployed(deployed, &mut document, host);
    }
    document["seconds"] = json!(started.elapsed().as_secs_f64());
    match format {
        Format::Json => super::print_json(host, &document)?,
        Format::Text => host.data(&text(&document, &out_dir)).map_err(Error::Stdout)?,
    }
    conclude(not_built, verified.as_deref(), deployed, plan.locations.len())
}

/// The exit code, or the one error that says what is missing.
fn conclude(
    not_built: Option<Error>,
    verified: Option<&[Verified]>,
    deployed: Option<Deployed>,
    total: usize,
) -> Result<Exit, Error> {
    let failures = deployed.map(|deployed| deployed.failures).unwrap_or_default();
    if let (Some((_, first)), None) = (failures.first(), &not_built) {
        let project = failures.iter().any(|(_, error)| error.fault() == Fault::Project);
        let fault = if project { Fault::Project } else { first.fault() };
        return Err(Error::NotDeployed {
            failed: failures.into_iter().map(|(name, _)| name).collect(),
            total,
            fault,
        });
    }
    match (not_built, verified) {
        (Some(error), _) => Err(error),
        (None, Some(verified)) => verify::conclude(verified),
        (None, None) => Ok(Exit(0)),
    }
}

/// Print each failure, and put each code location's outcome into the document.
fn tell_deployed(deployed: &Deployed, document: &mut Value, host: &Host) {
    for (_, error) in &deployed.failures {
        host.say(&render::error_text(error.as_ref(), host.color()));
    }
    for location in document["locations"].as_array_mut().into_iter().flatten() {
        let name = location["name"].as_str().unwrap_or_default().to_string();
        let outcome = deployed.locations.get(&name);
        location["state"] = outcome.map_or(json!("not_deployed"), |outcome| outcome["state"].clone());
        location["sent"] = outcome.map_or(Value::Null, |outcome| outcome["sent"].clone());
        let error = deployed.failures.iter().find(|(failed, _)| *failed == name);
        if let Some((_, error)) = error {
            location["errors"] = json!([render::error_text(error.as_ref(), false)]);
        }
    }
    host.note(outcomes(document));
}

/// `code location  state  source PEX  deps PEX`, a line a code location.
fn outcomes(document: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or("-").replace('_', " ");
    let mut rows = vec![["code location", "state", "source PEX", "deps PEX"].map(String::from)];
    rows.extend(document["locations"].as_array().into_iter().flatten().map(|location| {
        let name = location["name"].as_str().unwrap_or_default().to_string();
        [name, text(&location["state"]), text(&location["sent"]["source"]), text(&location["sent"]["deps"])]
    }));
    report::aligned(&rows, &[false; 4])
}

/// A branch deployment was closed, and nothing built.
fn closed(deployment: &Deployment, format: Format, host: &Host) -> Result<Exit, Error> {
    host.note(format!("The pull request is closed, and so is its branch deployment {}", deployment.name));
    match format {
        Format::Json => super::print_json(host, &json!({"deployment": deployment, "closed": true}))?,
        Format::Text => host.data(&deployment.name).map_err(Error::Stdout)?,
    }
    Ok(Exit(0))
}

/// There is nothing to deploy.
fn nothing(reason: &str, format: Format, host: &Host) -> Result<Exit, Error> {
    host.note(format!("Nothing to deploy: {reason}"));
    if format == Format::Json {
        super::print_json(host, &json!({"skipped": reason}))?;
    }
    Ok(Exit(0))
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
    let deps = built.deps[planned.deps].as_ref().ok()?.file()?;
    Some((source, deps))
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
    let deps = built.deps.iter().flatten().filter_map(DepsPexFile::file);
    deps.chain(built.sources.iter().flatten()).collect()
}

fn location_json(planned: &PlannedLocation, built: &Built) -> Value {
    let error = |error: &BuildError| render::error_text(error, false);
    let errors = (built.sources[planned.source].as_ref().err().map(error).into_iter())
        .chain(built.deps[planned.deps].as_ref().err().map(error));
    let mut document = json!({
        "name": planned.location.name, "directory": planned.location.directory, "errors": errors.collect::<Vec<_>>(),
    });
    if let (Ok(source), Ok(deps)) = (&built.sources[planned.source], &built.deps[planned.deps]) {
        document["source_pex"] = json!(source.name);
        document["deps_pex"] = json!(deps.name());
        document["pex_tag"] = json!(pex_tag(&[&source.name, deps.name()]));
    }
    if let Ok(deps) = &built.deps[planned.deps] {
        document["dagster_version"] = json!(deps.dagster_version());
    }
    document
}

/// On stdout: name and tag of each code location, and its state if it was to be deployed.
fn text(document: &Value, out_dir: &Path) -> String {
    let locations = document["locations"].as_array().map(Vec::as_slice).unwrap_or_default();
    let built = locations.iter().filter(|location| location["pex_tag"].is_string());
    let lines = built.map(|location| {
        let columns = ["name", "pex_tag", "state"].map(|key| location[key].as_str());
        columns.into_iter().flatten().collect::<Vec<_>>().join("\t")
    });
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
