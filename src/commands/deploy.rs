//! `pexpress deploy DAGSTER_CLOUD_YAML OUT_DIR`: both PEX files of every code location, and on demand their deployment.

mod dry_run;
mod performed;
mod prepare;
mod stages;
mod telling;
mod verifying;

use super::Error;
use super::progress::Progress;
use crate::cli::{DeployArgs, Format};
use crate::deployment::{self, Branch, DeploySession, Deployment, Goal};
use crate::error::{Explain, Fault};
use crate::host::Host;
use crate::plan::{Plan, PlannedLocation};
use crate::render::Exit;
use crate::report::{DeploymentReport, Ended};
use crate::update::{Online, Outcome};
use crate::verify::{Verified, unfit};
pub use performed::{Performed, perform};
pub(super) use prepare::{Planned, prepare};
use stages::Stages;
use std::sync::Arc;
pub use telling::outcomes;

/// Run it; a signal ends it with a word on what was reached.
///
/// # Errors
/// When the project cannot be read, or a code location could not be built or deployed; the others are all the same.
pub fn run(args: DeployArgs, format: Format, host: &Host) -> Result<Exit, Error> {
    if args.build.dry_run {
        return dry_run::run(&args, format, host);
    }
    let performed = perform(args, &Progress::default(), host);
    let report = performed.report();
    outcomes(&report).into_iter().for_each(|table| host.note(table));
    telling::print(&report, format, host)?;
    if let (Ended::Cancelled(_), Ok(Exit(code))) = (&performed.ended, &performed.exit) {
        super::tell_interrupt(report.reason.as_deref(), *code, format, host)?;
    }
    performed.exit
}

fn pipeline(args: &DeployArgs, progress: &Progress, host: &Host) -> Result<Ended, Error> {
    progress.stage("prepare");
    let destination = match deployment::goal::decide(&args.goal(), progress.session(), host)? {
        Goal::Build => None,
        Goal::Deploy(session, destination) => Some((session, destination)),
        Goal::Close(session, branch) => return close(&session, &branch, progress, host),
        Goal::Nothing(reason) => return Ok(nothing(reason, host)),
    };
    let Planned { building, plan, names, .. } = prepare(args, host, progress)?;
    let made = |name: &str| progress.put(|run| run.branch_deployment = Some(name.into()));
    let connect = |(session, destination): (Box<DeploySession>, _)| {
        Online::connect(*session, &destination, &args.publish, &made, host)
    };
    let online = destination.map(connect).transpose()?;
    let (plan, out_dir) = (Arc::new(plan), host.absolute(&args.out_dir));
    let stages = Stages { args, host, progress, building, plan, online, out_dir };
    let made = stages.build(&names)?;
    let verified = stages.verify(made.manifest, &made.built, made.recording)?;
    let verified = verified.as_deref();
    let unfit = unfit(verified.unwrap_or_default());
    let outcomes = stages.load(made.published.as_ref(), &made.built, &unfit);
    if let Some(changes) = made.changes {
        let changes = changes.found(host);
        progress.put(|run| run.changes = changes);
    }
    conclude(made.not_built, &outcomes, verified, &stages.plan)
}

/// How the run ended, or the one error that says what is missing.
fn conclude(
    not_built: Option<Error>,
    outcomes: &[Outcome],
    verified: Option<&[Verified]>,
    plan: &Plan,
) -> Result<Ended, Error> {
    if let Some(error) = not_built {
        return Err(error);
    }
    let failure = |planned: &PlannedLocation| {
        let outcome = outcomes.iter().find(|outcome| outcome.name == planned.location.name)?;
        Some((outcome.name.clone(), outcome.result.as_ref().err()?.fault()))
    };
    let (failed, faults): (Vec<String>, Vec<Fault>) = plan.locations.iter().filter_map(failure).unzip();
    if let Some(fault) = faults.iter().find(|fault| **fault == Fault::Project).or(faults.first()) {
        return Err(Error::NotDeployed { failed, total: plan.locations.len(), fault: *fault });
    }
    verified.map_or(Ok(Exit(0)), super::verify::conclude).map(|_| Ended::Success)
}

/// The pull request is closed: so is its branch deployment, and nothing is built.
fn close(session: &DeploySession, branch: &Branch, progress: &Progress, host: &Host) -> Result<Ended, Error> {
    progress.put(|run| run.is_closing = true);
    let Some(Deployment { name, is_branch }) = session.close(branch)? else {
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
