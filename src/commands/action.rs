//! `pexpress action`: what `action.yml` runs. Inputs and event in; a deploy, and reports where people look, out.
//!
//! A failed deploy has its summary and comment too; a report that fails is a notice and changes nothing else.

mod leave;
mod reporter;

use super::deploy::live::{Listener, Live};
use super::{Error, deploy, plan};
use crate::cli::action::{ActionCommand, ActionInputs};
use crate::cli::{CheckArgs, Format, PlanArgs};
use crate::context::event::{self, Trigger};
use crate::context::workflow_run::WorkflowRun;
use crate::context::{ContextError, inputs as endpoint};
use crate::env_vars;
use crate::error::{Explain, Place};
use crate::github::runner::{Annotation, Level, Runner};
use crate::host::Host;
use crate::net::Secret;
use crate::publish::default_cache_tags;
use crate::render::Exit;
use crate::report::facts::Facts;
use crate::report::{Problem, Report, RunResult, outputs, summary};
use leave::Leave;
pub use leave::NoLeave;
use reporter::Reporter;
use std::path::{Path, PathBuf};

/// Run the step.
///
/// # Errors
/// When the runner's own files cannot be written.
pub fn run(host: &Host) -> Result<Exit, Error> {
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

    /// Build, and deploy where that is asked for and allowed.
    fn deploy(&self, inputs: ActionInputs) -> Result<Exit, Error> {
        let trigger = event::read(self.host);
        let leave = leave::of(&inputs, trigger.as_ref().ok(), self.host);
        let facts = facts(&self.run, trigger.as_ref().ok(), &inputs.deploy.locations);
        let key = comment_key(&inputs, &self.run, self.host);
        let reporter = Reporter::start(&inputs, &leave, trigger.as_ref().ok(), &facts, &key, self.host);
        let heard = Heard { runner: self.runner.clone(), reporter: reporter.inlet() };
        let live = Live::new(Box::new(heard));
        let result = self.perform(inputs, leave, &trigger, &live);
        self.runner.end_group();
        let report = live.snapshot();
        let url = reporter.finish(&report, self.runner);
        self.tell(&report, &facts, url.as_deref(), &result)
    }

    fn perform(
        &self,
        inputs: ActionInputs,
        leave: Leave,
        trigger: &Result<Trigger, ContextError>,
        live: &Live,
    ) -> Result<Exit, Error> {
        let mut args = inputs.deploy;
        args.verify = inputs.verify.unwrap_or(false);
        match leave {
            Leave::Given => {
                if inputs.cache
                    && let Ok(trigger) = trigger
                {
                    let tags = default_cache_tags(trigger);
                    (args.publish.deps_cache_from, args.publish.deps_cache_to) = (tags.from, tags.to);
                }
                deploy::perform(args, live, self.host)
            }
            Leave::OnlyBuild => {
                args.verify = inputs.verify.unwrap_or(true);
                deploy::perform(args.only_build(), live, self.host)
            }
            Leave::Refused { why, .. } if inputs.require_deploy => {
                let error = Error::NoLeave(NoLeave { why });
                live.update(|report| {
                    report.result = RunResult::Failure;
                    report.problems = vec![Problem::of(&error)];
                });
                Err(error)
            }
            Leave::Refused { why, build } => {
                self.host.note(&why);
                let result = match build {
                    true => {
                        args.verify = inputs.verify.unwrap_or(true);
                        deploy::perform(args.only_build(), live, self.host)
                    }
                    false => Ok(Exit(0)),
                };
                live.update(|report| {
                    report.reason = Some(why);
                    if result.is_ok() {
                        report.result = RunResult::Skipped;
                    }
                });
                result
            }
        }
    }

    /// Read the project and stop.
    fn check(&self, inputs: ActionInputs) -> Result<Exit, Error> {
        let live = Live::new(Box::new(deploy::live::Nobody));
        let args = CheckArgs { file: inputs.deploy.file };
        let result = deploy::read_only(&args.file, &live, self.host);
        if result.is_ok() {
            super::check::run(&args, Format::Text, self.host)?;
        }
        let report = live.snapshot();
        self.tell(&report, &facts(&self.run, None, &[]), None, &result)
    }

    /// Say which code locations are to be deployed.
    fn plan(&self, inputs: ActionInputs) -> Result<Exit, Error> {
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
        let problems = vec![Problem::of(error)];
        let report = Report { result: RunResult::Failure, problems, ..Report::default() };
        self.tell_all(&report, &facts(&self.run, None, &[]), None)?;
        Ok(Exit(error.fault().exit_code()))
    }

    /// Report in summary, outputs and annotations; then the exit code.
    fn tell(
        &self,
        report: &Report,
        facts: &Facts,
        comment_url: Option<&str>,
        result: &Result<Exit, Error>,
    ) -> Result<Exit, Error> {
        self.tell_all(report, facts, comment_url)?;
        Ok(match result {
            Ok(exit) => *exit,
            Err(error) => Exit(error.fault().exit_code()),
        })
    }

    fn tell_all(&self, report: &Report, facts: &Facts, comment_url: Option<&str>) -> Result<(), Error> {
        let workspace = self.workspace();
        let now = self.host.clock.now();
        self.runner.add_summary(&summary::of(report, facts, &workspace, now))?;
        self.runner.set_outputs(&outputs::of(report, comment_url))?;
        let annotations = annotations(report, &workspace);
        match self.runner.is_present() {
            true => self.runner.annotate(&annotations),
            false => report.problems.iter().for_each(|problem| self.host.say(&problem.text)),
        }
        Ok(())
    }
}

/// Errors at their places, one each, then warnings, then why nothing was deployed.
fn annotations(report: &Report, workspace: &Path) -> Vec<Annotation> {
    let mut annotations: Vec<Annotation> = Vec::new();
    let mut add = |level, title: &str, problem: &Problem, place: Option<&Place>| {
        let annotation = Annotation::new(level, problem.text.trim_start_matches("error: ")).titled(title);
        let annotation = match problem.place.as_ref().or(place) {
            Some(place) => annotation.at(place, workspace),
            None => annotation,
        };
        if !annotations.iter().any(|known| known.message == annotation.message) {
            annotations.push(annotation);
        }
    };
    for location in &report.locations {
        for problem in &location.problems {
            add(Level::Error, &format!("Code location {}", location.name), problem, location.place.as_ref());
        }
    }
    for problem in &report.problems {
        add(Level::Error, "pexpress", problem, None);
    }
    for warning in &report.warnings {
        add(Level::Warning, "pexpress", warning, None);
    }
    if report.result == RunResult::Skipped
        && let Some(reason) = &report.reason
    {
        annotations.push(Annotation::new(Level::Notice, reason).titled("Nothing was deployed"));
    }
    annotations
}

/// What tells comments of different jobs apart: organization, workflow, and base deployment if one is named.
fn comment_key(inputs: &ActionInputs, run: &WorkflowRun, host: &Host) -> String {
    if let Some(key) = &inputs.reporting.comment_key {
        return key.clone();
    }
    let organization = endpoint::Endpoint::read(&inputs.deploy.dagster, host).ok();
    let organization = organization.map(|endpoint| endpoint.organization_url.replace("https://", ""));
    let base = inputs.deploy.publish.branch.base_deployment.as_deref();
    [organization.as_deref(), Some(run.workflow.as_str()), base]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join("/")
}

/// What a report says of the run. `locations` are those that the step was told to deploy: they tell the jobs of a
/// matrix apart.
fn facts(run: &WorkflowRun, trigger: Option<&Trigger>, locations: &[String]) -> Facts {
    let (commit, branch, repository) = match trigger {
        Some(Trigger::PullRequest(request) | Trigger::PullRequestClosed(request)) => {
            (Some(request.head_sha.clone()), Some(request.branch.clone()), request.head_repository.clone())
        }
        Some(Trigger::Commit(commit)) => (commit.sha.clone(), commit.branch.clone(), None),
        _ => (None, None, None),
    };
    let page = run.server_url.as_ref().zip(repository.or_else(|| run.repository.clone()));
    Facts {
        run_id: run.run_id,
        attempt: run.attempt,
        job: format!("{}/{}", run.step, locations.join(",")),
        run_url: run.url(),
        repository_url: page.map(|(server, repository)| format!("{server}/{repository}")),
        commit,
        branch,
    }
}

/// Hears how the deploy goes, for log and pull request.
struct Heard {
    runner: Runner,
    reporter: reporter::Inlet,
}

impl Listener for Heard {
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
