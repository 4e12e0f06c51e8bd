//! `pexpress deploy DAGSTER_CLOUD_YAML OUT_DIR`: the PEX files or the image of every code location, and on demand their
//! deployment.

mod defs_state;
mod dry_run;
mod images;
mod made_images;
mod prepare;
mod pruning;
mod pushed_images;
mod stages;
mod telling;
mod verified_images;

use super::interrupt::{Stopped, guard};
use super::progress::Progress;
use super::{Error, here};
use crate::cli::{DeployArgs, Format};
use crate::deployment::{self, Branch, DeploySession, Deployment, Goal, goal};
use crate::error::{Explain, Fault};
use crate::host::Host;
use crate::plan::strategy::{Decision, Way};
use crate::project::{Location, Project};
use crate::publish::record;
use crate::render::Exit;
use crate::report::{self, DeploymentReport, Ended, Problem, Purpose, Report, Run};
use crate::tools::EarlyRuntime;
use crate::update::{self, Early, Intended, Online, Outcome};
use crate::verify::{Verified, for_want_of_secrets, unfit};
pub(super) use defs_state::{check as check_defs_state, refresh as refresh_defs_state};
pub(super) use images::{Chosen, choose};
use made_images::{MadeImages, Making};
pub(super) use prepare::{Planned, image_directories, prepare, prepare_for, select};
use stages::Stages;
use std::collections::BTreeMap;
use std::sync::Arc;
pub use telling::outcomes;
pub(super) use telling::say_failures;

/// Run it; a signal ends it with a message about what was reached.
///
/// # Errors
/// If the project cannot be read, or a code location could not be built or deployed; the others are deployed anyway.
pub fn run(mut args: DeployArgs, format: Format, host: &Host) -> Result<Exit, Error> {
    args.file = Some(here::project(args.file.as_deref(), host));
    if args.build.dry_run {
        return dry_run::run(&args, format, host);
    }
    let (upload, update) = (args.publish.upload_pex, args.publish.updates());
    let performed = perform(args, &Progress::default(), host);
    let report = performed.report();
    outcomes(&report, host.columns()).into_iter().for_each(|table| host.note(table));
    telling::print(&report, format, host)?;
    if let (Ended::Cancelled(_), Ok(Exit(code))) = (&performed.ended, &performed.exit) {
        super::tell_interrupt(report.reason.as_deref(), *code, format, host)?;
    }
    if matches!(performed.ended, Ended::Success) && performed.exit.is_ok() {
        telling::not_deployed(upload, update, &report).into_iter().for_each(|line| host.note(line));
    }
    performed.exit
}

/// The result of a run.
pub struct Performed {
    /// The results of its stages so far.
    pub run: Run,
    /// How it ended.
    pub ended: Ended,
    /// Its exit code, or the error that ended it.
    pub exit: Result<Exit, Error>,
    seconds: f64,
}

impl Performed {
    /// A run that ended without an error.
    pub fn ended(progress: &Progress, ended: Ended) -> Performed {
        Performed { run: progress.reached(), ended, exit: Ok(Exit(0)), seconds: progress.seconds() }
    }

    /// A run that an error ended.
    pub fn failed(progress: &Progress, error: Error) -> Performed {
        let ended = Ended::Failure(problems(&error));
        Performed { exit: Err(error), ..Performed::ended(progress, ended) }
    }

    /// The same for a run without permission to deploy, for the reason `why`: a missing secret is not a failure there.
    pub fn excused(mut self, why: String, host: &Host) -> Performed {
        if self.exit.is_err() {
            let built = self.run.built.as_ref().map(|(_, built)| &**built);
            let verified = self.run.verified.as_deref().unwrap_or_default();
            let (excuses, is_all) = for_want_of_secrets(built, &self.run.images_not_built(), verified, host);
            excuses.iter().for_each(|excuse| host.warn(excuse.title()));
            self.run.excuses = excuses;
            self.exit = if is_all { Ok(Exit(0)) } else { self.exit };
        }
        // A cancelled run also has an exit code, that of its signal, and stays cancelled.
        if self.exit.is_ok() && !matches!(self.ended, Ended::Cancelled(_)) {
            self.ended = Ended::Skipped(why);
        }
        self
    }

    /// The same as a report.
    pub fn report(&self) -> Report {
        report::of_run(&self.run, &self.ended, self.seconds)
    }
}

/// Build, and on demand publish and update.
pub fn perform(args: DeployArgs, progress: &Progress, host: &Host) -> Performed {
    let purpose = if args.publish.is_build_only() { Purpose::Build } else { Purpose::Deploy };
    progress.put(|run| run.purpose = purpose);
    let own_progress = progress.clone();
    match guard(host, progress, move |host| pipeline(&args, &own_progress, &host)) {
        Ok(Ok(ended)) => {
            let performed = Performed::ended(progress, ended);
            super::cache::tidy(host);
            performed
        }
        Ok(Err(error)) => Performed::failed(progress, error),
        Err(stopped) => {
            let Stopped { code, run, begun } = *stopped;
            let (ended, exit) = (Ended::Cancelled(begun), Ok(Exit(code)));
            Performed { run, ended, exit, seconds: progress.seconds() }
        }
    }
}

/// The single errors that an error consists of: each error in a project file has its own place.
fn problems(error: &Error) -> Vec<Problem> {
    match error {
        Error::Project(errors) => errors.iter().map(Problem::from_error).collect(),
        error => vec![Problem::from_error(error)],
    }
}

fn pipeline(args: &DeployArgs, progress: &Progress, host: &Host) -> Result<Ended, Error> {
    progress.stage("prepare");
    let request = goal::Request { locations: Box::new(|| names(args, host)), ..args.goal() };
    let destination = match goal::decide(&request, progress.session(), host)? {
        Goal::Build => None,
        Goal::Deploy(session, destination) if args.publish.images.are_given() => {
            return images::run(args, *session, &destination, progress, host);
        }
        Goal::Deploy(session, destination) => Some((session, destination)),
        Goal::Close(session, branch) => return close(&session, &branch, progress, host),
        Goal::Nothing(reason) => return Ok(nothing(reason, host)),
    };
    // On a fresh machine this takes as long as all that Dagster+ is asked.
    let _runtime = EarlyRuntime::make(host);
    let early = |(session, destination): &(Box<DeploySession>, _)| {
        Early::ask(session, destination, &args.publish, host)
    };
    // Refreshing depends on the project in ways that are checked before any request.
    let early = destination.as_ref().filter(|_| !args.publish.refresh_defs_state).map(early);
    // Before the branch deployment is created: a project that cannot be read must not leave one behind.
    let mut planned = prepare(args, host, progress)?;
    let (building, plan) = (&planned.building, &planned.plan);
    if args.publish.refresh_defs_state {
        check_defs_state(plan)?;
    }
    // Where no record of an earlier run may decide, uv is fetched while Dagster+ is asked.
    let resolves = record::max_age(args.publish.resolve_max_age, host).is_zero();
    if resolves && plan.deps.iter().any(|job| job.requirements.lock.is_none()) {
        building.tools.expect_uv();
    }
    let made = |name: &str| progress.put(|run| run.branch_deployment = Some(name.into()));
    let locations: Vec<Location> = plan.locations.iter().map(|planned| planned.location.clone()).collect();
    // Also before it is created, and before anything is asked: settings that no run can use.
    let offline = update::offline(&locations, &args.publish)?;
    args.registry.identities()?;
    let connect = |(session, destination): (Box<DeploySession>, _)| {
        Online::connect(*session, &destination, &locations, &args.publish, early, &made, host)
    };
    let elsewhere =
        destination.as_ref().map(|(session, _)| pruning::named_elsewhere(args, session, host)).transpose()?;
    let mut online = destination.map(connect).transpose()?;
    if let Some(online) = &mut online {
        online.named_elsewhere = elsewhere.unwrap_or_default();
    }
    let ways = match &online {
        Some(online) => online.ways.clone(),
        None => offline,
    };
    let ways: Vec<(Location, Decision)> = locations.into_iter().zip(ways).collect();
    say_ways(&ways, "which is not pushed", host);
    planned.check_files(&ways)?;
    let Planned { building, plan, names, .. } = planned;
    let is_pex = |name: &str| ways.iter().any(|(one, decision)| one.name == name && decision.way == Way::Pex);
    let out_dir = here::out_dir(args.out_dir.as_deref(), &host.absolute(args.project()), host);
    if let Some(online) = online.as_mut().filter(|_| args.publish.refresh_defs_state) {
        progress.stage("refresh");
        let is_branch = online.deployment.is_branch;
        let info = refresh_defs_state(&building, &plan, &online.client, is_branch, &out_dir)?;
        online.additions.defs_state_info = info;
    }
    let plan = Arc::new(plan.only(|location| is_pex(&location.name)));
    let stages = Stages { args, host, progress, building, plan, online, out_dir };
    stages.begin(&names);
    let making = Making { args, online: stages.online.as_ref(), out_dir: &stages.out_dir, progress, host };
    let MadeImages { images, refused, mut not_built, mut verified, changes } = making.make(&ways);
    let (mut intended, mut searches) = (Intended::refused(refused), Vec::from_iter(changes));
    if !stages.plan.locations.is_empty() {
        let made = stages.build()?;
        let loaded = stages.verify(made.manifest, &made.built, made.recording)?.unwrap_or_default();
        let unfit = unfit(&loaded);
        verified.extend(loaded);
        intended = intended.and(stages.intend(made.published.as_ref(), &made.built, &unfit));
        searches.extend(made.changes);
        not_built = together(made.not_built, not_built);
    }
    let outcomes = stages.load(intended, &images);
    // Last, after the wait for the load, so that the lists have had the most time.
    for changes in searches {
        let changes = changes.found(host);
        progress.put(|run| run.changes.extend(changes));
    }
    let outcomes = Arc::new(outcomes);
    if stages.online.is_some() {
        progress.put(|run| run.outcomes = Some(Arc::clone(&outcomes)));
        telling::say_failures(&outcomes, host);
    }
    let deployed: Vec<&str> = ways.iter().map(|(location, _)| location.name.as_str()).collect();
    let ended = conclude(not_built, &outcomes, &verified, &deployed)?;
    match &stages.online {
        Some(online) => pruning::run(online, &names, &args.publish, progress, host).map(|()| ended),
        None => Ok(ended),
    }
}

/// Say which code locations would run from images, and why, as far as it is known without Dagster+.
pub(super) fn say_foreseen(ways: &[(Location, Decision)], host: &Host) {
    say_ways(ways, "in a registry that the deploy asks Dagster+ for", host);
}

/// Say which code locations run from images, and why. PEX files are what one expects. `elsewhere` is said of an image
/// without a registry.
fn say_ways(ways: &[(Location, Decision)], elsewhere: &str, host: &Host) {
    let mut said: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (location, Decision { way, reason }) in ways {
        let what = match way {
            Way::Pex => continue,
            Way::Document => "the image of its entry".to_string(),
            Way::Image(None) => format!("an image, {elsewhere}"),
            Way::Image(Some(to)) => format!("an image in {}", to.repository),
        };
        said.entry(format!("{what}: {reason}")).or_default().push(&location.name);
    }
    for (what, names) in said {
        host.note(format!("{} → {what}", names.join(", ")));
    }
}

/// The code locations that would be deployed, as far as the project can be read: its errors come later.
fn names(args: &DeployArgs, host: &Host) -> Vec<String> {
    let all = || Project::inspect(args.project(), host).locations.into_iter().map(|location| location.name);
    if args.locations.is_empty() { all().collect() } else { args.locations.clone() }
}

/// One error about the PEX files and the images that were not built.
fn together(pex: Option<Error>, images: Option<Error>) -> Option<Error> {
    match (pex, images) {
        (
            Some(Error::NotBuilt { mut failed, total, fault }),
            Some(Error::NotBuilt { failed: images, total: others, .. }),
        ) => {
            failed.extend(images);
            Some(Error::NotBuilt { failed, total: total + others, fault })
        }
        (pex, images) => pex.or(images),
    }
}

/// How the run ended, or a single error that says what is missing.
fn conclude(
    not_built: Option<Error>,
    outcomes: &[Outcome],
    verified: &[Verified],
    names: &[&str],
) -> Result<Ended, Error> {
    match not_built {
        Some(Error::NotBuilt { failed, fault, .. }) => {
            return Err(Error::NotBuilt { failed, total: names.len(), fault });
        }
        Some(error) => return Err(error),
        None => {}
    }
    let failure = |name: &&str| {
        let outcome = outcomes.iter().find(|outcome| outcome.name == *name)?;
        Some((outcome.name.clone(), outcome.result.as_ref().err()?.fault()))
    };
    let (failed, faults): (Vec<String>, Vec<Fault>) = names.iter().filter_map(failure).unzip();
    if let Some(fault) = faults.iter().find(|fault| **fault == Fault::Project).or(faults.first()) {
        return Err(Error::NotDeployed { failed, total: names.len(), fault: *fault });
    }
    super::verify::conclude(verified).map(|_| Ended::Success)
}

/// The pull request is closed: close its branch deployment, and build nothing.
fn close(session: &DeploySession, branch: &Branch, progress: &Progress, host: &Host) -> Result<Ended, Error> {
    progress.put(|run| run.is_closing = true);
    let Some(Deployment { name, is_branch }) = deployment::close(branch, &session.context, &session.client)?
    else {
        return Ok(nothing("the pull request never had a branch deployment".into(), host));
    };
    host.note(format!(
        "The pull request is closed, and so is its branch deployment {name} of the branch {}",
        branch.data.branch_name
    ));
    let (url, commit_hash) = (session.client.at(&name).locations_page(), branch.head_sha.clone());
    progress.put(|run| run.deployment = Some(DeploymentReport { name, is_branch, url, commit_hash }));
    Ok(Ended::Closed)
}

/// There is nothing to deploy.
fn nothing(reason: String, host: &Host) -> Ended {
    host.note(format!("Nothing to deploy: {reason}"));
    Ended::Skipped(reason)
}
