//! `pexpress plan PROJECT --shards N`: the code locations that a deploy would change, spread over jobs. Nothing is
//! created or changed at Dagster+.

mod built_images;
mod images;

use super::deploy::{Planned, prepare};
use super::progress::Progress;
use super::{Error, here};
use crate::builder::local_packages::Packages;
use crate::builder::manifest::pex_tag;
use crate::builder::observer::Observer;
use crate::builder::recipe::Recipe;
use crate::builder::{BuildError, Context, deps, in_parallel, source};
use crate::cli::{DeployArgs, PlanArgs};
use crate::context::ContextError;
use crate::context::event::{self, Trigger};
use crate::dagster::Session;
use crate::deployment::{self, DeploySession, DeploymentError, Destination, Goal};
use crate::host::Host;
use crate::plan::shards::{Matrix, PlannedJobs};
use crate::plan::strategy::Decision;
use crate::plan::{DepsJob, Plan, PlannedLocation};
use crate::project::Location;
use crate::publish::desk::UrlDesk;
use crate::publish::lookups::Lookups;
use crate::publish::record::Asked;
use crate::publish::wanted::Reading;
use crate::publish::{deps_cache, recipes, record};
use crate::render::Exit;
use crate::resolve::Resolution;
use crate::scratch::Scratch;
use crate::threads::joined;
use crate::update::document::{Additions, Code, location_document};
use crate::update::{Difference, Running, online};
use built_images::BuiltImages;
use std::sync::Arc;
use std::time::Duration;

/// Run it.
///
/// # Errors
/// Those of [`jobs`].
pub fn run(args: &PlanArgs, host: &Host) -> Result<Exit, Error> {
    let args = PlanArgs { file: Some(here::project(args.file.as_deref(), host)), ..args.clone() };
    let planned = jobs(&args, host)?;
    host.data(&planned.matrix.json()).map_err(Error::Stdout)?;
    Ok(Exit(0))
}

/// Which code locations to compare with what.
enum Scope {
    /// None, for this reason.
    Nothing(String),
    /// None: all are to be deployed, for this reason.
    All(String),
    /// Each with what runs.
    Compared(Box<DeploySession>, Destination),
}

/// The jobs that deploy what has changed.
///
/// # Errors
/// When the project cannot be read, or Dagster+ cannot be asked what runs.
pub fn jobs(args: &PlanArgs, host: &Host) -> Result<PlannedJobs, Error> {
    let deploy = args.deploy();
    let scope = scope(args, &deploy, host)?;
    if let Scope::Nothing(reason) = scope {
        host.note(format!("Nothing to deploy: {reason}"));
        return Ok(PlannedJobs { reason: Some(reason), ..PlannedJobs::default() });
    }
    if deploy.publish.images.are_given() {
        return images::jobs(args.shards, scope, &deploy, host);
    }
    let mut jobs = PlannedJobs::default();
    let mut planned = prepare(&deploy, host, &Progress::default())?;
    let changed: Vec<&PlannedLocation> = match scope {
        Scope::Compared(session, destination) => {
            let running = Running::look(&session, &destination)?;
            let locations: Vec<Location> =
                planned.plan.locations.iter().map(|planned| planned.location.clone()).collect();
            let ways = online::ways_of(&locations, &running.client, &deploy.publish, host)?;
            let additions =
                online::lasting_additions(&session.context, &running.client, &deploy.publish, &ways, host)?;
            let out_dir = Scratch::shared(&host.temp_dir()).map_err(Error::Temporary)?;
            let ways: Vec<(Location, Decision)> = locations.into_iter().zip(ways).collect();
            planned.check_files(&ways)?;
            let Planned { building, plan, .. } = &planned;
            let images = BuiltImages::find(&ways, &deploy, &running, out_dir.path(), host);
            let has_pex = images.count() < plan.locations.len();
            if has_pex && deploy.publish.deps_cache_from.is_empty() {
                host.warn(
                    "without --deps-cache-from every deps PEX counts as changed: only an entry of the deps cache shows what a build would produce",
                );
            }
            let files = match has_pex {
                true => Files::find(plan, &deploy, &running, &building.context(out_dir.path())?),
                false => Files::default(),
            };
            let differs = |planned: &&PlannedLocation| {
                let reason = images
                    .difference(&planned.location, &running, &additions)
                    .unwrap_or_else(|()| difference(planned, plan, &files, &running, &additions));
                reason.as_ref().inspect(|reason| host.note(format!("{}: {reason}", planned.location.name)));
                reason.map(|reason| jobs.reasons.insert(planned.location.name.clone(), reason)).is_some()
            };
            plan.locations.iter().filter(differs).collect()
        }
        Scope::All(reason) => {
            host.note(format!("All code locations are planned: {reason}"));
            jobs.reason = Some(reason);
            planned.plan.locations.iter().collect()
        }
        Scope::Nothing(_) => Vec::new(),
    };
    let named: Vec<_> =
        changed.iter().map(|planned| (planned.location.name.as_str(), planned.deps)).collect();
    Ok(spread(jobs, &named, planned.plan.locations.len(), args.shards, host))
}

/// Spread `changed` of `total` code locations over jobs, and say so.
fn spread(
    jobs: PlannedJobs,
    changed: &[(&str, usize)],
    total: usize,
    shards: usize,
    host: &Host,
) -> PlannedJobs {
    let jobs = PlannedJobs { matrix: Matrix::spread(changed, shards), total, ..jobs };
    host.note(jobs.sentence());
    jobs
}

fn scope(args: &PlanArgs, deploy: &DeployArgs, host: &Host) -> Result<Scope, Error> {
    if args.all {
        return Ok(Scope::All("--all was given".into()));
    }
    if args.publish.force_rebuild_deps && !args.publish.images.are_given() {
        return Ok(Scope::All("their deps PEX files will be rebuilt".into()));
    }
    if args.publish.refresh_defs_state {
        return Ok(Scope::All("their state of definitions will be refreshed".into()));
    }
    match deployment::goal::decide(&deploy.goal(), &Session::default(), host) {
        Ok(Goal::Deploy(session, destination)) => Ok(Scope::Compared(session, destination)),
        Ok(Goal::Close(..)) => Ok(Scope::Nothing(CLOSED.into())),
        Ok(Goal::Nothing(reason)) => Ok(Scope::Nothing(reason)),
        Ok(Goal::Build) => Ok(Scope::All("Dagster+ was not queried".into())),
        Err(DeploymentError::Context(
            missing @ (ContextError::NoToken { .. }
            | ContextError::NoUrl { .. }
            | ContextError::NoUrlAndToken { .. }),
        )) => Ok(match event::read(host)? {
            Trigger::PullRequestClosed(_) => Scope::Nothing(CLOSED.into()),
            Trigger::Nothing(reason) => Scope::Nothing(reason),
            _ => Scope::All(format!("Dagster+ cannot be queried: {missing}")),
        }),
        Err(error) => Err(error.into()),
    }
}

const CLOSED: &str = "the pull request is closed";

/// Names of the PEX files that a deploy would build.
#[derive(Default)]
struct Files {
    /// By index of [`Plan::sources`].
    sources: Vec<Result<String, BuildError>>,
    /// By index of [`Plan::deps`]; `None` if the name is known only after the build.
    deps: Vec<Result<Option<String>, BuildError>>,
}

impl Files {
    fn find(plan: &Plan, args: &DeployArgs, running: &Running, context: &Context<'_>) -> Files {
        let likely = running.deps_files(plan.locations.iter().map(|planned| &*planned.location.name));
        let (publish, host) = (&args.publish, running.client.host());
        let (tags, runtime) = (&publish.deps_cache_from, deps_cache::runtime());
        let max_age = record::max_age(publish.resolve_max_age, host);
        let packages = Packages::read(&plan.sources, context);
        let missing = packages.missing();
        let reading = Reading { tags, max_age, runtime: &runtime, recipes: &missing, recipe_tags: tags };
        let wanted = reading.wanted(plan, &likely, host);
        let lookups = Lookups::begin(Arc::new(UrlDesk::new(&running.client)), || wanted);
        let stored = |resolution: &Resolution| {
            let hash = deps_cache::resolution_hash(resolution, plan.target, &runtime)?;
            Some(deps_cache::read(&lookups, tags, &hash)?.deps_pex_name)
        };
        let recorded = |job: &DepsJob| {
            let asked = Asked::of(job, plan.target, &runtime, host)?;
            Some(asked.read(&lookups, tags, max_age)?.entry.deps_pex_name)
        };
        std::thread::scope(|scope| {
            let sources = scope.spawn(|| {
                let packages = packages.complete(&Recipes { lookups: &lookups, tags, max_age }, context);
                source::names(&plan.sources, packages, context)
            });
            let deps = in_parallel(&plan.deps, 2, |job| match recorded(job) {
                Some(name) => Ok(Some(name)),
                None => deps::resolve(job, context).map(|resolution| stored(&resolution)),
            });
            Files { sources: joined(sources), deps }
        })
    }
}

/// The recipes in the registry.
struct Recipes<'a> {
    lookups: &'a Lookups,
    tags: &'a [String],
    max_age: Duration,
}

impl Observer for Recipes<'_> {
    fn recipes(&self, keys: &[String]) -> Vec<Option<Recipe>> {
        recipes::read(self.lookups, self.tags, keys, self.max_age)
    }
}

/// Why a code location is to be deployed; `None` if it is not. One that cannot be built is: its job reports the error.
fn difference(
    planned: &PlannedLocation,
    plan: &Plan,
    files: &Files,
    running: &Running,
    additions: &Additions,
) -> Option<String> {
    // Not an error of `plan`: the other code locations still get their jobs.
    let (source, deps) = match (&files.sources[planned.source], &files.deps[planned.deps]) {
        (Ok(source), Ok(deps)) => (source, deps),
        (Err(error), _) | (_, Err(error)) => return Some(format!("it cannot be built: {error}")),
    };
    let name = &planned.location.name;
    let Some(before) = running.before(name).filter(|before| before.has(name)) else {
        return Some(Difference::Absent.to_string());
    };
    // No file has this name: an unknown deps PEX counts as changed.
    let tag = pex_tag(&[source, deps.as_deref().unwrap_or("deps-unknown.pex")]);
    let code = Code::Pex { tag: &tag, python: plan.target.python };
    let document = location_document(&planned.location, code, additions);
    Some(match before.difference(name, &document)? {
        Difference::Deps if deps.is_none() => "its deps PEX is not known before it is built".to_string(),
        difference => difference.to_string(),
    })
}
