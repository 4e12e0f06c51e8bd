//! `pexpress deploy DAGSTER_CLOUD_YAML OUT_DIR`: both PEX files of every code location, and on demand their deployment.

mod dry_run;
pub mod live;
mod telling;
mod verifying;

use super::Error;
use super::building::{Building, warning_line};
use super::interrupt::{Interrupted, Reached, guard};
use crate::build::manifest::{Manifest, pex_tag};
use crate::build::{self, Built, DepsPexFile, left_out};
use crate::cli::{DeployArgs, Format};
use crate::dependencies::DependencyChanges;
use crate::deployment::{self, Branch, DeploySession, Deployment, Goal};
use crate::error::{Fault, error_text};
use crate::host::Host;
use crate::plan::Plan;
use crate::project::{CollectError, Location, Project, Requirements, Warning, code_source};
use crate::publish::{Publisher, SentFiles, UploadOutcome};
use crate::render::Exit;
use crate::report::{self, DeploymentReport, LocationReport, Problem, Report, RunResult, State};
use crate::update::Online;
use crate::verify::{self, Failure, Rules, Verified, VerifyWhen};
use live::Live;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
pub use telling::outcomes;
use telling::{heading, print, tell_deployed, tell_failures, tell_others};

/// Run it; a signal ends it with a word on what was reached.
///
/// # Errors
/// When the project cannot be read, or a code location could not be built or deployed; the others are all the same.
pub fn run(args: DeployArgs, format: Format, host: &Host) -> Result<Exit, Error> {
    if args.build.dry_run {
        return dry_run::run(&args, format, host);
    }
    let live = Live::new(Box::new(live::NoListener));
    let result = perform(args, &live, host);
    let report = live.snapshot();
    outcomes(&report).into_iter().for_each(|table| host.note(table));
    print(&report, format, host)?;
    if let (RunResult::Cancelled, Ok(Exit(code))) = (&report.result, &result) {
        super::tell_interrupt(report.reason.as_deref(), *code, format, host)?;
    }
    result
}

/// Build, and on demand publish and update; what comes of it is put down in `live`, whether it ends well or not.
///
/// # Errors
/// Those of [`run`].
pub fn perform(args: DeployArgs, live: &Live, host: &Host) -> Result<Exit, Error> {
    let reached = Reached::default();
    let (own_reached, own_live) = (reached.clone(), live.clone());
    let is_build = args.publish.is_build_only();
    live.update(|report| report.goal = if is_build { report::Goal::Build } else { report::Goal::Deploy });
    let work = move |host: Host| pipeline(&args, &own_live, &host, &own_reached);
    match guard(host, &reached, work) {
        Ok(result) => {
            live.update(|report| match &result {
                Ok(_) if report.result == RunResult::Running => report.result = RunResult::Success,
                Ok(_) => {}
                Err(error) => {
                    report.result = RunResult::Failure;
                    report.problems = problems(error);
                }
            });
            result
        }
        Err(stopped) => {
            live.close(|report| put_down_interrupt(report, stopped.interrupted.as_ref()));
            Ok(Exit(stopped.code))
        }
    }
}

/// Put down what an interrupted run leaves: of each code location that was to be deployed, how far it came.
fn put_down_interrupt(report: &mut Report, interrupted: Option<&Interrupted>) {
    report.result = RunResult::Cancelled;
    let Some(interrupted) = interrupted else { return };
    report.reason = Some(interrupted.sentence());
    report.changed_when_interrupted = interrupted.changed();
    let deploys = report.deployment.is_some() || interrupted.changed();
    for location in &mut report.locations {
        // What a run built that was only to build, it has built.
        let rest = (deploys || location.pex_tag.is_none()).then_some(State::NotDeployed);
        location.state = interrupted.state(&location.name).or(location.state).or(rest);
        let uploaded =
            |name: &Option<String>| name.as_ref().is_some_and(|name| interrupted.is_uploaded(name));
        if location.sent.is_none() && uploaded(&location.source_pex) && uploaded(&location.deps_pex) {
            location.sent =
                Some(SentFiles { source: UploadOutcome::Uploaded, deps: UploadOutcome::Uploaded });
        }
    }
}

/// An error as what it is made of: those of a project file each have a place.
fn problems(error: &Error) -> Vec<Problem> {
    match error {
        Error::Project(errors) => errors.iter().map(Problem::from_error).collect(),
        error => vec![Problem::from_error(error)],
    }
}

fn pipeline(args: &DeployArgs, live: &Live, host: &Host, reached: &Reached) -> Result<Exit, Error> {
    live.stage("prepare");
    let destination = match deployment::goal::decide(&args.goal(), reached.session(), host)? {
        Goal::Build => None,
        Goal::Deploy(session, destination) => Some((session, destination)),
        Goal::Close(session, branch) => {
            reached.set_closing();
            return close(&session, &branch, live, host);
        }
        Goal::Nothing(reason) => return Ok(nothing(reason, live, host)),
    };
    let Planned { building, plan, names, file, .. } = prepare(args, host, live)?;
    let plan = &plan;
    let made = |name: &str| reached.set_branch_deployment(name);
    let online = match destination {
        Some((session, destination)) => {
            Some(Online::connect(*session, &destination, &args.publish, &made, host)?)
        }
        None => None,
    };
    let loads_all = args.verify == VerifyWhen::Always;
    let publisher =
        online.as_ref().map(|online| online.publisher(&args.publish, loads_all, plan.target, host));
    let out_dir = host.absolute(&args.out_dir);
    let mut context = building.context(&out_dir)?;
    if let Some(publisher) = &publisher {
        context = context.observed_by(publisher);
    }
    live.update(|report| {
        report.out_dir = Some(out_dir.clone());
        report.deployment = online.as_ref().map(deployment_report);
    });
    if let Some(online) = &online {
        tell_others(online.others(&names), &file, &online.deployment.name, live, host);
    }
    live.planned();
    live.stage("build");
    host.note(heading(plan, &building.python_origin));
    let built = build::run(plan, &context);
    let warnings = context.warnings().into_iter().map(|message| Warning { message, place: None });
    live.update(|report| report.warnings.extend(warnings.map(|told| Problem::from_warning(&told))));
    drop(context);
    let changes = online.as_ref().map(|online| online.dependency_changes(plan, &built));
    if let Some(error) = reached.session().end() {
        return Err(Error::Ended(error));
    }
    let not_built = tell_failures(plan, &built, host);
    if publisher.is_some() {
        live.stage("upload");
    }
    let (published, recording) = publisher.map(Publisher::finish).unzip();
    if let Some(error) = reached.session().end() {
        return Err(Error::Ended(error));
    }
    let manifest = Manifest::from_built(plan, &built);
    manifest.write(&out_dir)?;
    let table = report::table::files(&built.files());
    if !table.is_empty() {
        host.note(table);
    }
    live.update(|report| put_down_build(report, plan, &built));
    let runs = online.as_ref().map(|online| |name: &str, deps: &str| online.runs(name, deps));
    let runs = runs.as_ref().map(|runs| runs as &dyn Fn(&str, &str) -> bool);
    let rules = Rules { when: args.verify, plan, built: &built, runs };
    let verified = verifying::run(&rules, manifest, &out_dir, &building, live)?;
    let unfit = verify::unfit(verified.as_deref().unwrap_or_default());
    if let Some(recording) = recording {
        recording.write(&rules.broken_deps(verified.as_deref().unwrap_or_default()));
    }
    live.update(|report| put_down_verified(report, verified));
    if let Some((online, published)) = online.as_ref().zip(published.as_ref()) {
        live.stage("load");
        let told = |phase| reached.set_phase(phase);
        tell_deployed(&online.finish(published, plan, &built, &unfit, &told), live, host);
    }
    if let Some(changes) = changes {
        put_down_changes(changes.found(host), live);
    }
    conclude(not_built, live, plan.locations.len())
}

/// What is to be built, and what each build directory asks for.
pub(super) struct Planned<'a> {
    pub(super) building: Building<'a>,
    pub(super) plan: Plan,
    requirements: BTreeMap<PathBuf, Arc<Requirements>>,
    /// The file that names the code locations.
    file: PathBuf,
    /// All that it names, whether they are built or not.
    names: BTreeSet<String>,
}

/// Read the project, and collect what it asks for.
///
/// # Errors
/// A file of the project that cannot be used.
pub(super) fn prepare<'a>(args: &DeployArgs, host: &'a Host, live: &Live) -> Result<Planned<'a>, Error> {
    let mut project = Project::read(&host.absolute(&args.file), host)?;
    let mut warnings = std::mem::take(&mut project.warnings);
    let (root, file) = (project.root.clone(), project.file.clone());
    let names = project.locations.iter().map(|location| location.name.clone()).collect();
    let locations = select(project, &args.locations)?;
    warnings.extend(code_source::look(&locations));
    warnings.extend(left_out::code(&locations));
    warnings.iter().for_each(|one| host.warn(warning_line(one, &root)));
    live.update(|report| report.warnings = warnings.iter().map(Problem::from_warning).collect());
    live.update(|report| report.locations = locations.iter().map(LocationReport::new).collect());
    let directories: BTreeSet<&Path> = locations.iter().map(|location| &*location.directory).collect();
    let building = Building::new(&args.build, &root, &Vec::from_iter(directories), host)?;
    live.update(|report| {
        report.warnings.extend(building.warnings.iter().map(Problem::from_warning));
        report.python_version = Some(building.target.python.to_string());
        report.platform = Some(building.target.platform.to_string());
    });
    let requirements = collect(&building, &locations)?;
    live.update(|report| {
        report
            .warnings
            .extend(requirements.values().flat_map(|asked| asked.warnings.iter().map(Problem::from_warning)));
    });
    let plan = Plan::decide(building.target, locations, &requirements);
    Ok(Planned { building, plan, requirements, file, names })
}

/// The exit code, or the one error that says what is missing.
fn conclude(not_built: Option<Error>, live: &Live, total: usize) -> Result<Exit, Error> {
    let report = live.snapshot();
    let failed: Vec<&LocationReport> =
        report.locations.iter().filter(|location| location.failed_online.is_some()).collect();
    let faults = failed.iter().filter_map(|location| location.failed_online);
    let fault = faults.clone().find(|fault| *fault == Fault::Project).or_else(|| faults.clone().next());
    if let (Some(fault), None) = (fault, &not_built) {
        let failed = failed.iter().map(|location| location.name.clone()).collect();
        return Err(Error::NotDeployed { failed, total, fault });
    }
    match (not_built, &report.verified) {
        (Some(error), _) => Err(error),
        (None, Some(verified)) => super::verify::conclude(verified),
        (None, None) => Ok(Exit(0)),
    }
}

/// The deployment, for the report.
fn deployment_report(online: &Online) -> DeploymentReport {
    let Deployment { name, is_branch } = online.deployment.clone();
    let commit_hash = online.additions.revision.commit_hash.clone();
    DeploymentReport { name, is_branch, url: online.client.locations_page(), commit_hash }
}

/// Put down the files of each code location, or why there are none.
fn put_down_build(report: &mut Report, plan: &Plan, built: &Built) {
    report.files = built.files().into_iter().cloned().collect();
    let built_deps = built.deps.iter().flatten().filter_map(DepsPexFile::built);
    report.warnings.extend(
        built_deps
            .flat_map(|deps| &deps.warnings)
            .map(|message| Problem::from_warning(&Warning { message: message.clone(), place: None })),
    );
    for (location, planned) in report.locations.iter_mut().zip(&plan.locations) {
        let (source, deps) = (&built.sources[planned.source], &built.deps[planned.deps]);
        for error in source.as_ref().err().into_iter().chain(deps.as_ref().err()) {
            location.fail(Problem::from_error(error));
        }
        if let (Ok(source), Ok(deps)) = (source, deps) {
            location.source_pex = Some(source.name.clone());
            location.deps_pex = Some(deps.name().to_string());
            location.pex_tag = Some(pex_tag(&[&source.name, deps.name()]));
        }
        let deps = deps.as_ref().ok();
        location.dagster_version = deps.and_then(|deps| deps.dagster_version()).map(String::from);
        location.dagster_cloud_version =
            deps.and_then(|deps| deps.resolution().version_of("dagster-cloud")).map(String::from);
    }
}

/// Put down what loading showed: code locations that do not load here, and are not taken to load elsewhere, have failed.
fn put_down_verified(report: &mut Report, verified: Option<Vec<Verified>>) {
    for one in verified.iter().flatten().filter(|one| !one.passes()) {
        let Some(Failure { title, text, place }) = one.failure() else { continue };
        let problem = Problem { title, text, place };
        for location in report.locations.iter_mut().filter(|location| location.name == one.name) {
            location.fail(problem.clone());
        }
    }
    report.verified = verified;
}

/// Put down what changes in the dependencies of each code location.
fn put_down_changes(mut changes: BTreeMap<String, DependencyChanges>, live: &Live) {
    live.update(|report| {
        for location in &mut report.locations {
            location.dependencies = changes.remove(&location.name);
        }
    });
}

/// The pull request is closed: so is its branch deployment, and nothing is built.
fn close(session: &DeploySession, branch: &Branch, live: &Live, host: &Host) -> Result<Exit, Error> {
    let Some(deployment) = session.close(branch)? else {
        return Ok(nothing("the pull request never had a branch deployment".into(), live, host));
    };
    host.note(format!(
        "The pull request is closed, and so is its branch deployment {} of the branch {}",
        deployment.name, branch.data.branch_name
    ));
    let Deployment { name, is_branch } = deployment;
    let url = session.client.at(&name).locations_page();
    let deployment = DeploymentReport { name, is_branch, url, commit_hash: branch.head_sha.clone() };
    live.update(|report| {
        report.result = RunResult::Closed;
        report.deployment = Some(deployment);
    });
    Ok(Exit(0))
}

/// There is nothing to deploy.
fn nothing(reason: String, live: &Live, host: &Host) -> Exit {
    host.note(format!("Nothing to deploy: {reason}"));
    live.update(|report| {
        report.result = RunResult::Skipped;
        report.reason = Some(reason);
    });
    Exit(0)
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
    let mut without_files: BTreeMap<PathBuf, Error> = BTreeMap::new();
    for Location { directory, place, .. } in locations {
        if requirements.contains_key(directory) || without_files.contains_key(directory) {
            continue;
        }
        match building.collect(directory) {
            Ok(asked) => drop(requirements.insert(directory.clone(), Arc::new(asked))),
            // Cheap to see, so all of them are said at once.
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
    match without_files.pop_last() {
        None => Ok(requirements),
        Some((_, last)) => {
            let said = without_files.values().map(|error| error_text(error, building.host.color()));
            said.for_each(|text| building.host.say(&text));
            Err(last)
        }
    }
}
