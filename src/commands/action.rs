//! `pexpress action`: what `action.yml` runs. Inputs and event in; a deploy, and reports where people look, out.
//!
//! A failed deploy has its summary and comment too; a report that fails is a notice and changes nothing else.

mod annotations;
mod excuse;
mod permission;
mod reporter;

use super::check::Checked;
use super::deploy::live::{Listener, Live};
use super::interrupt::{FirstSignal, end_with_children};
use super::{Error, deploy, plan};
use crate::cli::action::{ActionCommand, ActionInputs};
use crate::cli::{DeployArgs, PlanArgs};
use crate::context::ContextError;
use crate::context::address::Endpoint;
use crate::context::built::BuiltCommit;
use crate::context::event::{self, Trigger};
use crate::context::git::WorkTree;
use crate::context::workflow_run::WorkflowRun;
use crate::deployment;
use crate::env_vars;
use crate::error::Explain;
use crate::github::Github;
use crate::github::runner::{LONGEST_SUMMARY_BYTES, Runner};
use crate::host::Host;
use crate::net::Secret;
use crate::publish::default_cache_tags;
use crate::render::Exit;
use crate::report::facts::Facts;
use crate::report::{Problem, Report, RunResult, outputs, summary};
use crate::scratch;
use permission::DeployPermission;
pub use permission::PermissionDenied;
use reporter::Reporter;
use std::path::PathBuf;

/// Run the step.
///
/// # Errors
/// When the runner's own files cannot be written.
pub fn run(host: &Host) -> Result<Exit, Error> {
    let host = &host.by_inputs();
    let runner = Runner::new(host);
    mask(&runner, host);
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
    }
}

/// Secrets that reach this step, hidden from the log before anything is said.
fn mask(runner: &Runner, host: &Host) {
    let secrets = env_vars::SECRETS.iter().filter_map(|name| host.var(name));
    secrets.for_each(|secret| runner.mask(&Secret::new(secret)));
}

fn variables(inputs: &ActionInputs) -> Vec<(std::ffi::OsString, std::ffi::OsString)> {
    let token = inputs.github_token.as_ref();
    token.map(|token| (env_vars::GITHUB_TOKEN.into(), token.reveal().into())).into_iter().collect()
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

    fn workspace(&self) -> PathBuf {
        self.host.path_var(env_vars::GITHUB_WORKSPACE).unwrap_or_else(|| self.host.cwd().to_path_buf())
    }

    /// What tells the jobs of a run apart: a matrix, or a workflow that is called twice, gives several jobs one name. Then
    /// the place in the matrix differs, or what the step was told to deploy.
    fn job(&self, args: &DeployArgs) -> String {
        let deployment = args.dagster.deployment.clone().unwrap_or_default();
        let file = args.file.display().to_string();
        [self.run.step.clone(), args.locations.join(","), file, deployment, self.run.job_index.clone()]
            .join("/")
    }

    /// What a report says of the run.
    fn facts_of(&self, trigger: Option<&Trigger>, args: &DeployArgs) -> Facts {
        let mut facts = facts(&self.run);
        facts.job = self.job(args);
        let Some(trigger) = trigger else { return facts };
        let directory = deployment::goal::directory_of(&self.host.absolute(&args.file));
        let built = BuiltCommit::read(trigger, &WorkTree::at(&directory, self.host), self.host);
        facts.branch = match trigger {
            Trigger::PullRequest(request) | Trigger::PullRequestClosed(request) => {
                Some(request.branch.clone())
            }
            Trigger::Commit(commit) => commit.branch.clone(),
            _ => None,
        };
        if !matches!(trigger, Trigger::Untrusted(_) | Trigger::Nothing(_)) {
            facts.repository_url = built.web.or(facts.repository_url);
            facts.own_commit = built.event_hash.filter(|_| built.is_elsewhere);
            facts.commit = built.hash;
        }
        facts
    }

    /// Build, and deploy where that is asked for and allowed.
    fn deploy(&self, inputs: ActionInputs) -> Result<Exit, Error> {
        let signal = FirstSignal::listen();
        let github = Github::of_run(self.host);
        let mut trigger = event::read(self.host);
        if inputs.deploy.publish.branch.allow_untrusted_code {
            trigger = trigger.map(|trigger| deployment::with_request(trigger, github.as_ref()));
        }
        let permission = permission::of_run(&inputs, trigger.as_ref().ok(), self.host);
        let facts = self.facts_of(trigger.as_ref().ok(), &inputs.deploy);
        let key = comment_key(&inputs, &self.run, self.host);
        let reporter = Reporter::start(&inputs, &permission, trigger.as_ref().ok(), &facts, &key, github);
        let listener = StepListener { runner: self.runner.clone(), reporter: reporter.inlet() };
        let live = Live::new(Box::new(listener));
        let result = self.perform(inputs, permission, &trigger, &live);
        self.runner.end_group();
        let report = live.snapshot().with_input_names().with_short_paths(&self.workspace());
        let report = report.without_secrets(&self.host.tokens());
        self.conclude(&report);
        // The runner may kill the step while GitHub is slow to answer: first what needs no network.
        let exit = self.tell(&report, &facts, &result);
        let url = reporter.finish(&report, &signal, self.runner);
        self.runner.set_outputs(&[("comment_url", url.unwrap_or_default())])?;
        if report.result == RunResult::Cancelled {
            // What was still at work has begun other files since.
            scratch::remove_own();
        }
        exit
    }

    fn perform(
        &self,
        inputs: ActionInputs,
        permission: DeployPermission,
        trigger: &Result<Trigger, ContextError>,
        live: &Live,
    ) -> Result<Exit, Error> {
        let mut args = inputs.deploy;
        match permission {
            DeployPermission::Given => {
                if inputs.cache
                    && let Ok(trigger) = trigger
                {
                    let tags = default_cache_tags(trigger);
                    (args.publish.deps_cache_from, args.publish.deps_cache_to) = (tags.from, tags.to);
                }
                deploy::perform(args, live, self.host)
            }
            DeployPermission::OnlyBuild => deploy::perform(args.only_build(), live, self.host),
            DeployPermission::Refused { why, .. } if inputs.require_deploy => {
                let error = Error::PermissionDenied(PermissionDenied { why });
                live.update(|report| {
                    report.result = RunResult::Failure;
                    report.problems = vec![Problem::from_error(&error)];
                });
                Err(error)
            }
            DeployPermission::Refused { why, build } => {
                self.host.note(&why);
                let result = match build {
                    true => {
                        let result = deploy::perform(args.only_build(), live, self.host);
                        live.update(|report| excuse::for_want_of_secrets(report, result, self.host))
                    }
                    false => Ok(Exit(0)),
                };
                if result.is_ok() {
                    live.update(|report| {
                        report.reason = Some(why);
                        report.result = RunResult::Skipped;
                    });
                }
                result
            }
        }
    }

    /// The outcome, after the last folded part of the log: who opens it sees this and the errors.
    fn conclude(&self, report: &Report) {
        deploy::outcomes(report).into_iter().for_each(|table| self.host.note(table));
        let page = report.deployment.as_ref().map(|at| format!(" ({}: {})", at.name, at.url));
        self.host.note(format!("{}{}", report.sentence(), page.unwrap_or_default()));
    }

    /// Read the project and stop.
    fn check(&self, inputs: ActionInputs) -> Result<Exit, Error> {
        end_with_children();
        let checked = Checked::read(&inputs.deploy.file, self.host);
        let table = checked.table();
        if !table.is_empty() {
            self.host.note(table.trim_end());
        }
        // On a runner the annotations are the lines of the log.
        if !self.runner.is_present() {
            checked.say_warnings(self.host);
        }
        let report = checked.report().with_input_names().with_short_paths(&self.workspace());
        self.tell_all(&report, &facts(&self.run))?;
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
        let matrix = match plan::matrix(&args, self.host) {
            Ok(matrix) => matrix,
            Err(error) => return self.failed(&error),
        };
        // GitHub fails a matrix without jobs, and an empty text is what a condition can ask for.
        let text = if matrix.include.is_empty() { String::new() } else { matrix.json() };
        self.host.note(matrix.json());
        self.runner.set_outputs(&[("result", "success".to_string()), ("matrix", text)])?;
        Ok(Exit(0))
    }

    /// The step ends before it began.
    fn failed(&self, error: &(impl Explain + ?Sized)) -> Result<Exit, Error> {
        let problems = vec![Problem::from_error(error)];
        let report = Report { result: RunResult::Failure, problems, ..Report::default() };
        let report = report.with_input_names().with_short_paths(&self.workspace());
        self.tell_all(&report, &facts(&self.run))?;
        Ok(Exit(error.fault().exit_code()))
    }

    /// Report in summary, outputs and annotations; then the exit code.
    fn tell(&self, report: &Report, facts: &Facts, result: &Result<Exit, Error>) -> Result<Exit, Error> {
        self.tell_all(report, facts)?;
        Ok(match result {
            Ok(exit) => *exit,
            Err(error) => Exit(error.fault().exit_code()),
        })
    }

    fn tell_all(&self, report: &Report, facts: &Facts) -> Result<(), Error> {
        let workspace = self.workspace();
        let now = self.host.clock.now();
        let summary = summary::from_report(report, facts, &workspace, now, LONGEST_SUMMARY_BYTES);
        self.runner.add_summary(&summary)?;
        self.runner.set_outputs(&outputs::from_report(report, facts))?;
        let annotations = annotations::from_report(report, &workspace);
        match self.runner.is_present() {
            true => self.runner.annotate(&annotations),
            false => report.problems.iter().for_each(|problem| self.host.say(&problem.text)),
        }
        Ok(())
    }
}

/// What tells comments of different jobs apart: organization, workflow, and base deployment if one is named.
fn comment_key(inputs: &ActionInputs, run: &WorkflowRun, host: &Host) -> String {
    if let Some(key) = &inputs.reporting.comment_key {
        return key.clone();
    }
    let organization = Endpoint::read(&inputs.deploy.dagster, host).ok();
    let organization = organization.map(|endpoint| endpoint.organization_url.replace("https://", ""));
    let base = inputs.deploy.publish.branch.base_deployment.as_deref();
    [organization.as_deref(), Some(run.workflow.as_str()), base]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join("/")
}

/// What a report says of a run of which nothing but its variables is known.
fn facts(run: &WorkflowRun) -> Facts {
    let page = run.server_url.as_ref().zip(run.repository.as_ref());
    Facts {
        run_id: run.run_id,
        attempt: run.attempt,
        job: run.step.clone(),
        run_url: run.url(),
        repository_url: page.map(|(server, repository)| format!("{server}/{repository}")),
        ..Facts::default()
    }
}

/// Hears how the deploy goes, for log and pull request.
struct StepListener {
    runner: Runner,
    reporter: reporter::Inlet,
}

impl Listener for StepListener {
    fn stage(&self, name: &'static str) {
        let title = match name {
            "prepare" => "Read the project",
            "build" => "Build",
            "upload" => "Upload",
            "verify" => "Verify",
            "load" => "Update the code locations and wait for them",
            other => other,
        };
        self.runner.group(title);
    }

    fn planned(&self, report: &Report) {
        self.reporter.planned(report);
    }
}
