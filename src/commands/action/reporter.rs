//! Reports at GitHub beside the deploy: pull request comment, GitHub deployment, commit status.
//!
//! A thread of its own does the talking, so that the deploy never waits for it; only its end does, for the last words,
//! and an interrupted run no longer than the runner leaves it. Whatever fails is told once, as a notice with what would
//! help, and nothing else depends on it.

use super::leave::Leave;
use crate::cli::action::{ActionInputs, Reporting};
use crate::context::event::Trigger;
use crate::env_vars;
use crate::error::Explain;
use crate::github::GithubError;
use crate::github::api::{self, Github};
use crate::github::comment::{StickyComment, Written};
use crate::github::deployments::{
    self, CommitState, CommitStatus, DeploymentDetails, DeploymentState, NewDeployment,
};
use crate::github::runner::{Annotation, Level, Runner};
use crate::host::Host;
use crate::net::{Agent, Secret};
use crate::report::comment::Comment;
use crate::report::facts::Facts;
use crate::report::{Report, RunResult};
use std::cell::{Cell, RefCell};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

/// How long the last words of an interrupted run may take. The runner sends SIGINT, SIGTERM after 7.5 s, and kills after
/// 2.5 s more. Source: GitHub, "Workflow cancellation reference".
const INTERRUPTED: Duration = Duration::from_millis(9_200);

/// Talks to GitHub in a thread of its own.
pub struct Reporter {
    sender: Sender<Report>,
    /// `None` where there is nothing to report. A worker that panics closes it.
    told: Option<Receiver<Told>>,
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
        let told = worker.map(|worker| {
            let (told, receive_told) = mpsc::channel();
            std::thread::spawn(move || {
                // Nobody waits any more where an interrupted run has ended first.
                let _ = told.send(worker.work(&receiver));
            });
            receive_told
        });
        Reporter { sender, told }
    }

    /// For the deploy.
    pub fn inlet(&self) -> Inlet {
        Inlet(self.sender.clone())
    }

    /// Say the last word; gives the address of the comment.
    pub fn finish(self, report: &Report, runner: &Runner) -> Option<String> {
        let told = self.told?;
        // The worker is there until it has heard the last word.
        let _ = self.sender.send(report.clone());
        drop(self.sender);
        let told = match report.result {
            RunResult::Cancelled => told.recv_timeout(INTERRUPTED).ok()?,
            _ => told.recv().ok()?,
        };
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
    /// Whether the event closed it.
    is_closed: bool,
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
            is_closed: matches!(trigger, Some(Trigger::PullRequestClosed(_))),
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
        while let Ok(mut report) = reports.recv() {
            // A newer report that came while the comment was written is in it; the others hear of it now.
            let mut with_comment = true;
            loop {
                let newest = self.write(&mut sticky, report.clone(), reports, with_comment);
                let is_newer = newest.result != report.result;
                (report, with_comment) = (newest, false);
                if !is_newer {
                    break;
                }
            }
            if report.result != RunResult::Running {
                break;
            }
        }
        self.told
    }

    /// Write a report wherever it is wanted; gives the newest report that had come when the comment was written. The three
    /// do not depend on one another, and the last words of an interrupted run have little time.
    fn write(
        &mut self,
        sticky: &mut StickyComment<'_>,
        report: Report,
        reports: &Receiver<Report>,
        with_comment: bool,
    ) -> Report {
        let heard = Heard { report: RefCell::new(report.clone()), reports };
        let worker = &*self;
        let (comment, deployment, status) = std::thread::scope(|scope| {
            let reporting = &worker.reporting;
            let deployment = reporting.github_deployment.then(|| scope.spawn(|| worker.deployment(&report)));
            let status = reporting.commit_status.then(|| scope.spawn(|| worker.status(&report)));
            let comment = (with_comment && reporting.comment).then(|| worker.comment(sticky, &heard));
            (comment, deployment.map(joined), status.map(joined))
        });
        let newest = heard.report.into_inner();
        let (last, newest_is_last) =
            (report.result != RunResult::Running, newest.result != RunResult::Running);
        if let Some((outcome, shared)) = comment {
            self.shared = shared;
            let written = outcome.map(|written| {
                let url = written.and_then(|written| written.url);
                self.told.comment_url = url.or(self.told.comment_url.take());
            });
            self.take(Kind::Comment, written, newest_is_last);
        }
        if let Some(outcome) = deployment {
            let outcome = outcome.map(|id| self.deployment = id);
            self.take(Kind::Deployment, outcome, last);
        }
        if let Some(outcome) = status {
            self.take(Kind::Status, outcome, last);
        }
        newest
    }

    /// A refusal is told once, and that report given up. What may pass is tried again with the next word; where the
    /// last one fails so, GitHub is out of reach, and the run does not wait for more of it.
    fn take(&mut self, kind: Kind, outcome: Result<(), GithubError>, last: bool) {
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

    /// Write the comment, with the newest that is known at the moment of writing; and whether other jobs write to it.
    fn comment(
        &self,
        sticky: &mut StickyComment<'_>,
        heard: &Heard<'_>,
    ) -> (Result<Option<Written>, GithubError>, bool) {
        let shared = Cell::new(self.shared);
        let mut compose = |present: Option<&str>| {
            let report = heard.newest();
            let comment = Comment::new(&self.key, &self.facts, &report, self.host.clock.now());
            shared.set(shared.get() || present.is_some_and(|present| comment.is_shared(present)));
            // There is nothing to say of a branch deployment that nobody was told of.
            if present.is_none() && (report.result == RunResult::Closed || self.is_closed) {
                None
            } else {
                comment.compose(present)
            }
        };
        let mut written = sticky.upsert(&mut compose, None);
        // Another job may have written over it from what was there before; who is alone need not wait to see that.
        if shared.get() && matches!(written, Ok(Some(_))) {
            let settled = |body: &str| {
                let report = heard.report.borrow();
                Comment::new(&self.key, &self.facts, &report, self.host.clock.now()).settled(body)
            };
            written = sticky.settle(&mut compose, &settled);
        }
        (written, shared.get())
    }

    /// Put the GitHub deployment down as it is now; gives its id.
    fn deployment(&self, report: &Report) -> Result<Option<u64>, GithubError> {
        let Some((at, sha)) = report.deployment.as_ref().zip(self.commit(report)) else {
            return Ok(self.deployment);
        };
        let environment = environment(&at.name, at.is_branch, self.request);
        if report.result == RunResult::Closed {
            return deployments::deactivate(&self.github, &self.repository, &environment)
                .map(|_| self.deployment);
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
        deployments::set_state(&self.github, &self.repository, id, state, &details)?;
        Ok(Some(id))
    }

    /// The commit that was built; that of this repository, where GitHub would not know it here.
    fn commit(&self, report: &Report) -> Option<String> {
        self.facts.own_commit.clone().or_else(|| self.facts.commit_of(report))
    }

    fn status(&self, report: &Report) -> Result<(), GithubError> {
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

/// What was heard from the deploy: while one report is written, a newer one may come.
struct Heard<'a> {
    report: RefCell<Report>,
    reports: &'a Receiver<Report>,
}

impl Heard<'_> {
    fn newest(&self) -> Report {
        if let Some(newer) = self.reports.try_iter().last() {
            *self.report.borrow_mut() = newer;
        }
        self.report.borrow().clone()
    }
}

fn joined<T>(thread: std::thread::ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Name of the environment at GitHub: that of the full deployment, or of the pull request.
fn environment(deployment: &str, is_branch: bool, request: Option<u64>) -> String {
    match request {
        Some(number) if is_branch => format!("dagster-plus/pr-{number}"),
        _ if is_branch => format!("dagster-plus/{deployment}"),
        _ => deployment.to_string(),
    }
}
