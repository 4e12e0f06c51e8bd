//! `pexpress action`: what `action.yml` runs. Inputs and event in; a deploy, and reports where people look, out.
//!
//! A failed deploy has its summary and comment too; a report that fails is a notice and changes nothing else.

mod annotations;
mod facts;
mod permission;
mod reporter;
mod telling;
mod verbs;

use super::check::Checked;
use super::deploy::Performed;
use super::interrupt::{FirstSignal, end_with_children};
use super::progress::Progress;
use super::{Error, deploy, plan};
use crate::cli::action::{ActionCommand, ActionInputs};
use crate::cli::{DeployArgs, PlanArgs};
use crate::context::ContextError;
use crate::context::event::{self, Trigger};
use crate::context::workflow_run::WorkflowRun;
use crate::deployment;
use crate::env_vars;
use crate::error::Explain;
use crate::github::Github;
use crate::github::runner::Runner;
use crate::host::Host;
use crate::net::Secret;
use crate::publish::default_cache_tags;
use crate::redact;
use crate::render::Exit;
use crate::report::{Ended, RunResult, summary};
use crate::scratch;
use permission::DeployPermission;
pub use permission::PermissionDenied;
use reporter::Reporter;

/// Run the step.
///
/// # Errors
/// When the runner's own files cannot be written.
pub fn run(host: &Host) -> Result<Exit, Error> {
    let host = &host.by_inputs();
    let runner = Runner::new(host);
    mask(&runner, host);
    let program = host.program().map(|path| path.display().to_string());
    runner.set_outputs(&[("pexpress", program.unwrap_or_default())])?;
    let inputs = match ActionInputs::read(host) {
        Ok(inputs) => inputs,
        Err(error) => return Step::new(host, &runner).failed(&error),
    };
    // From here on the tokens are where every stage looks for them.
    let host = host.with_vars(variables(&inputs));
    let step = Step::new(&host, &runner);
    match inputs.command {
        ActionCommand::Check => step.check(inputs),
        ActionCommand::Plan => step.plan(inputs),
        ActionCommand::Deploy | ActionCommand::Build => step.deploy(inputs),
        ActionCommand::Launch
        | ActionCommand::Status
        | ActionCommand::BranchDeployment
        | ActionCommand::Redeploy => step.verb(&inputs),
    }
}

/// Secrets that reach this step, hidden from the log before anything is said.
fn mask(runner: &Runner, host: &Host) {
    let secrets = env_vars::SECRETS.iter().filter_map(|name| host.var(name));
    secrets.for_each(|secret| runner.mask(&Secret::new(secret)));
}

fn variables(inputs: &ActionInputs) -> Vec<(std::ffi::OsString, std::ffi::OsString)> {
    let token = inputs.github_token.as_ref().map(|token| (env_vars::GITHUB_TOKEN, token.reveal()));
    let (username, password) = (inputs.registry_username.as_deref(), inputs.registry_password.as_ref());
    let username = username.map(|name| (env_vars::PEXPRESS_REGISTRY_USERNAME, name));
    let password = password.map(|password| (env_vars::PEXPRESS_REGISTRY_PASSWORD, password.reveal()));
    let given = [token, username, password].into_iter().flatten();
    given.map(|(name, value)| (name.into(), value.into())).collect()
}

/// One step of a workflow.
struct Step<'a> {
    host: &'a Host,
    runner: &'a Runner,
    run: WorkflowRun,
}

impl<'a> Step<'a> {
    fn new(host: &'a Host, runner: &'a Runner) -> Step<'a> {
        Step { host, runner, run: WorkflowRun::read(host) }
    }

    /// Build, and deploy where that is asked for and allowed.
    fn deploy(&self, inputs: ActionInputs) -> Result<Exit, Error> {
        // Before the first request, so that a run that is cancelled this early is reported too.
        let signal = FirstSignal::listen();
        let github = Github::of_run(self.host);
        let mut trigger = event::read(self.host);
        if inputs.deploy.publish.branch.allow_untrusted_code {
            trigger = trigger.map(|trigger| deployment::with_request(trigger, github.as_ref()));
        }
        let permission = permission::of_run(&inputs, trigger.as_ref().ok(), self.host);
        let facts = facts::of_deploy(&self.run, trigger.as_ref().ok(), &inputs.deploy, self.host);
        let key = facts::comment_key(&inputs, &self.run, self.host);
        let reporter = Reporter::start(&inputs, &permission, trigger.as_ref().ok(), &facts, &key, github);
        let progress = Progress::new(reporter.listener(self.runner));
        let performed = self.perform(inputs, permission, &trigger, &progress);
        self.runner.end_group();
        let report = self.worded(performed.report());
        self.conclude(&report);
        // The runner may kill the step while GitHub is slow to answer, so what needs no network comes first.
        let written = self.tell(&report, &facts);
        let url = reporter.finish(&report, &signal, self.runner);
        self.runner.set_outputs(&[("comment_url", url.unwrap_or_default())])?;
        if report.result == RunResult::Cancelled {
            // Work that was still running may have created more temporary files since.
            scratch::remove_own();
        }
        // Checked last: a summary that cannot be written must not cost the comment.
        written?;
        Ok(performed.exit.unwrap_or_else(|error| Exit(error.fault().exit_code())))
    }

    fn perform(
        &self,
        inputs: ActionInputs,
        permission: DeployPermission,
        trigger: &Result<Trigger, ContextError>,
        progress: &Progress,
    ) -> Performed {
        let mut args = inputs.deploy;
        match permission {
            DeployPermission::Given => {
                if inputs.cache
                    && let Ok(trigger) = trigger
                {
                    let tags = default_cache_tags(trigger);
                    (args.publish.deps_cache_from, args.publish.deps_cache_to) = (tags.from, tags.to);
                }
                deploy::perform(args, progress, self.host)
            }
            DeployPermission::OnlyBuild => deploy::perform(args.only_build(), progress, self.host),
            DeployPermission::Refused { why, .. } if inputs.require_deploy => {
                Performed::failed(progress, Error::PermissionDenied(PermissionDenied { why }))
            }
            DeployPermission::Refused { why, build } => {
                self.host.note(&why);
                match build {
                    true => deploy::perform(args.only_build(), progress, self.host).excused(why, self.host),
                    false => Performed::ended(progress, Ended::Skipped(why)),
                }
            }
        }
    }

    /// Read the project and stop.
    fn check(&self, inputs: ActionInputs) -> Result<Exit, Error> {
        end_with_children();
        let DeployArgs { publish, image_options, build, .. } = &inputs.deploy;
        let checked = Checked::read(inputs.deploy.project(), publish, (image_options, build), self.host);
        let table = checked.table(self.host.columns());
        if !table.is_empty() {
            self.host.note(table.trim_end());
        }
        checked.say_ways(self.host);
        // On a runner the annotations are the lines of the log.
        if !self.runner.is_present() {
            checked.say_warnings(self.host);
        }
        self.tell(&self.worded(checked.report()), &facts::of_run(&self.run))?;
        Ok(checked.exit())
    }

    /// Say which code locations are to be deployed.
    fn plan(&self, inputs: ActionInputs) -> Result<Exit, Error> {
        end_with_children();
        let mut args = PlanArgs { shards: inputs.shards, ..PlanArgs::from(inputs.deploy) };
        if inputs.cache
            && let Ok(trigger) = event::read(self.host)
        {
            args.publish.deps_cache_from = default_cache_tags(&trigger).from;
        }
        let planned = match plan::jobs(&args, self.host) {
            Ok(planned) => planned,
            Err(error) => return self.failed(&error),
        };
        let matrix = &planned.matrix;
        // GitHub fails a job with an empty matrix; an `if:` can compare the output with an empty text and skip the job.
        let text = if matrix.include.is_empty() { String::new() } else { matrix.json() };
        self.host.note(matrix.json());
        // A reason may repeat text of a tool, and GitHub masks secrets in logs only.
        let summary = redact::without(&self.host.tokens(), &summary::of_plan(&planned));
        self.runner.add_summary(&summary)?;
        self.runner.set_outputs(&[("result", "success".to_string()), ("matrix", text)])?;
        Ok(Exit(0))
    }
}
