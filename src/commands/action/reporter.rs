//! Reports at GitHub beside the deploy: pull request comment, GitHub deployment, commit status.
//!
//! A thread of its own does the talking, so that the deploy never waits for it; only its end does, for the last words.
//! Whatever fails is told once, as a notice with what would help, and nothing else depends on it.

use super::leave::Leave;
use crate::cli::action::{ActionInputs, Reporting};
use crate::context::event::Trigger;
use crate::env_vars;
use crate::error::Explain;
use crate::github::GithubError;
use crate::github::api::{self, Github};
use crate::github::comment::StickyComment;
use crate::github::deployments::{
    self, CommitState, CommitStatus, DeploymentDetails, DeploymentState, NewDeployment,
};
use crate::github::runner::{Annotation, Level, Runner};
use crate::host::Host;
use crate::net::{Agent, Secret};
use crate::report::comment::Comment;
use crate::report::facts::Facts;
use crate::report::{Report, RunResult};
use std::cell::Cell;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::JoinHandle;

/// Talks to GitHub in a thread of its own.
pub struct Reporter {
    sender: Sender<Report>,
    worker: Option<JoinHandle<Told>>,
}

/// Where the deploy leaves word.
pub struct Inlet(Sender<Report>);

impl Inlet {
    /// Deployment and code locations are known.
    pub fn planned(&self, report: &Report) {
        // Nobody listens in a run that reports nowhere.
        let _ = self.0.send(report.clone());
    }
}

/// What came of the reports.
#[derive(Default)]
struct Told {
    comment_url: Option<String>,
    notices: Vec<Annotation>,
}

impl Reporter {
    /// Begin. Nothing is sent before the deploy leaves word.
    pub fn start(
        inputs: &ActionInputs,
        leave: &Leave,
        trigger: Option<&Trigger>,
        facts: &Facts,
        key: &str,
        host: &Host,
    ) -> Reporter {
        let (sender, receiver) = mpsc::channel();
        let worker = Worker::new(inputs, leave, trigger, facts, key, host);
        let worker = worker.map(|worker| std::thread::spawn(move || worker.work(&receiver)));
        Reporter { sender, worker }
    }

    /// For the deploy.
    pub fn inlet(&self) -> Inlet {
        Inlet(self.sender.clone())
    }

    /// Say the last word; gives the address of the comment.
    pub fn finish(self, report: &Report, runner: &Runner) -> Option<String> {
        let worker = self.worker?;
        // The worker is there until it has heard the last word.
        let _ = self.sender.send(report.clone());
        drop(self.sender);
        let told = worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        runner.annotate(&told.notices);
        told.comment_url
    }
}

struct Worker {
    github: Github,
    host: Host,
    repository: String,
    /// `number` of the pull request.
    request: Option<u64>,
    reporting: Reporting,
    facts: Facts,
    key: String,
    /// Whether other jobs write to the same comment.
    shared: bool,
    /// The GitHub deployment of this run.
    deployment: Option<u64>,
    told: Told,
}

/// Reports that are not tried again after a refusal.
#[derive(PartialEq, Eq, Clone, Copy)]
enum Kind {
    Comment,
    Deployment,
    Status,
}

impl Worker {
    /// `None` where there is nothing to report, or nobody to report to.
    fn new(
        inputs: &ActionInputs,
        leave: &Leave,
        trigger: Option<&Trigger>,
        facts: &Facts,
        key: &str,
        host: &Host,
    ) -> Option<Worker> {
        let request = trigger.and_then(Trigger::pull_request_number);
        let mut reporting = inputs.reporting.clone();
        reporting.comment &= request.is_some();
        let wanted = reporting.comment || reporting.github_deployment || reporting.commit_status;
        // What runs of forks get is a token that cannot write.
        if !wanted || *leave == Leave::OnlyBuild || matches!(leave, Leave::Refused { .. }) {
            return None;
        }
        let token = Secret::new(host.var(env_vars::GITHUB_TOKEN)?);
        let api_url = host.var(env_vars::GITHUB_API_URL)?;
        let repository = host.var(env_vars::GITHUB_REPOSITORY)?.to_string();
        let agent = Agent::with_timeouts(host, api::TIMEOUTS);
        Some(Worker {
            github: Github::new(api_url, token, &agent, host),
            host: host.clone(),
            repository,
            request,
            reporting,
            facts: facts.clone(),
            key: key.to_string(),
            // A job that deploys some of the code locations has siblings for the others.
            shared: !inputs.deploy.locations.is_empty() || in_matrix(host),
            deployment: None,
            told: Told::default(),
        })
    }

    fn work(mut self, reports: &Receiver<Report>) -> Told {
        let github = self.github.clone();
        let number = self.request.unwrap_or(0);
        let blank = Report::default();
        let marker = Comment::new(&self.key, &self.facts, &blank, self.host.clock.now()).marker().to_string();
        let mut sticky = StickyComment::new(&github, &self.repository, number, &marker);
        if self.shared {
            sticky = sticky.hesitant();
        }
        while let Ok(report) = reports.recv() {
            let last = report.result != RunResult::Running;
            if self.reporting.comment {
                let outcome = self.comment(&mut sticky, &report);
                self.heed(Kind::Comment, outcome, last);
            }
            if self.reporting.github_deployment {
                let outcome = self.deployment(&report);
                self.heed(Kind::Deployment, outcome, last);
            }
            if self.reporting.commit_status {
                let outcome = self.status(&report);
                self.heed(Kind::Status, outcome, last);
            }
            if last {
                break;
            }
        }
        self.told
    }

    /// A refusal is told once, and that report given up. What may pass is tried again with the next word; where the
    /// last one fails so, GitHub is out of reach, and the run does not wait for more of it.
    fn heed(&mut self, kind: Kind, outcome: Result<(), GithubError>, last: bool) {
        let Err(error) = outcome else { return };
        if error.may_pass() && !last {
            self.host.detail(format!("{error}; it is tried again at the end"));
            return;
        }
        if error.may_pass() {
            self.reporting = Reporting {
                comment: false,
                github_deployment: false,
                commit_status: false,
                ..self.reporting.clone()
            };
        }
        let wanted = match kind {
            Kind::Comment => &mut self.reporting.comment,
            Kind::Deployment => &mut self.reporting.github_deployment,
            Kind::Status => &mut self.reporting.commit_status,
        };
        *wanted = false;
        let hint = error.hint().map(|hint| format!("\n{hint}")).unwrap_or_default();
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
        let text = format!("{error}{cause}. The deploy does not depend on it.{hint}");
        self.told.notices.push(Annotation::new(Level::Notice, text).titled("Not reported"));
    }

    fn comment(&mut self, sticky: &mut StickyComment<'_>, report: &Report) -> Result<(), GithubError> {
        let comment = Comment::new(&self.key, &self.facts, report, self.host.clock.now());
        let shared = Cell::new(self.shared);
        let mut compose = |present: Option<&str>| {
            shared.set(shared.get() || present.is_some_and(|present| comment.is_shared(present)));
            // There is nothing to say of a branch deployment that nobody was told of.
            if present.is_none() && report.result == RunResult::Closed {
                None
            } else {
                comment.compose(present)
            }
        };
        let mut written = sticky.upsert(&mut compose, None)?;
        // Another job may have written over it from what was there before; who is alone need not wait to see that.
        if shared.get() && written.is_some() {
            written = sticky.settle(&mut compose, &|body| comment.settled(body))?;
        }
        self.shared = shared.get();
        self.told.comment_url = written.and_then(|written| written.url).or(self.told.comment_url.take());
        Ok(())
    }

    fn deployment(&mut self, report: &Report) -> Result<(), GithubError> {
        let Some((at, sha)) = report.deployment.as_ref().zip(self.commit(report)) else { return Ok(()) };
        let environment = environment(&at.name, at.is_branch, self.request);
        if report.result == RunResult::Closed {
            return deployments::deactivate(&self.github, &self.repository, &environment).map(|_| ());
        }
        let id = match self.deployment {
            Some(id) => id,
            None => {
                let new = NewDeployment {
                    sha,
                    environment,
                    description: format!("Dagster+ deployment {}", at.name),
                    transient: at.is_branch,
                    production: !at.is_branch,
                };
                deployments::create(&self.github, &self.repository, &new)?
            }
        };
        self.deployment = Some(id);
        let state = match report.result {
            RunResult::Running => DeploymentState::InProgress,
            RunResult::Success => DeploymentState::Success,
            RunResult::Cancelled => DeploymentState::Error,
            _ => DeploymentState::Failure,
        };
        let details = DeploymentDetails {
            environment_url: Some(at.url.clone()),
            log_url: self.facts.run_url.clone(),
            description: report.sentence(),
        };
        deployments::set_state(&self.github, &self.repository, id, state, &details)
    }

    /// The commit that was built; that of this repository, where GitHub would not know it here.
    fn commit(&self, report: &Report) -> Option<String> {
        self.facts.own_commit.clone().or_else(|| self.facts.commit_of(report))
    }

    fn status(&mut self, report: &Report) -> Result<(), GithubError> {
        let Some(sha) = self.commit(report) else { return Ok(()) };
        let state = match report.result {
            RunResult::Running => CommitState::Pending,
            RunResult::Success | RunResult::Skipped | RunResult::Closed => CommitState::Success,
            RunResult::Failure => CommitState::Failure,
            RunResult::Cancelled => CommitState::Error,
        };
        let page = report.deployment.as_ref().map(|deployment| deployment.url.clone());
        let status = CommitStatus {
            sha,
            state,
            context: format!("pexpress ({})", self.key),
            description: report.sentence(),
            target_url: page.or_else(|| self.facts.run_url.clone()),
        };
        deployments::set_commit_status(&self.github, &self.repository, &status)
    }
}

/// Whether the job is one of several of a matrix.
fn in_matrix(host: &Host) -> bool {
    host.var(env_vars::PEXPRESS_JOB_TOTAL)
        .and_then(|total| total.trim().parse::<u64>().ok())
        .is_some_and(|total| total > 1)
}

/// Name of the environment at GitHub: that of the full deployment, or of the pull request.
fn environment(deployment: &str, is_branch: bool, request: Option<u64>) -> String {
    match request {
        Some(number) if is_branch => format!("dagster-plus/pr-{number}"),
        _ if is_branch => format!("dagster-plus/{deployment}"),
        _ => deployment.to_string(),
    }
}
