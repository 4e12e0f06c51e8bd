//! Reports at GitHub beside the deploy: pull request comment, GitHub deployment, commit status.
//!
//! A thread of its own does the talking, so that the deploy never waits for it; only its end does, for the last words,
//! and an interrupted run no longer than the runner leaves it. Whatever fails is told once, as a notice with what would
//! help, and nothing else depends on it.

mod latest;

use super::permission::DeployPermission;
use crate::cli::action::{ActionInputs, Reporting};
use crate::commands::interrupt::FirstSignal;
use crate::context::event::Trigger;
use crate::env_vars;
use crate::error::Explain;
use crate::github::Github;
use crate::github::GithubError;
use crate::github::comment::{StickyComment, Written};
use crate::github::deployments::{
    self, CommitState, CommitStatus, DeploymentDetails, DeploymentState, NewDeployment,
};
use crate::github::runner::{Annotation, Level, Runner};
use crate::host::Host;
use crate::report::comment::Comment;
use crate::report::facts::Facts;
use crate::report::{Report, RunResult};
use crate::threads::{joined, lock};
use latest::{LatestReport, WrittenResults};
use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How long after a signal the last words may take. The runner sends SIGINT, SIGTERM after 7.5 s, and kills after
/// 2.5 s more. Source: GitHub, "Workflow cancellation reference".
const INTERRUPTED: Duration = Duration::from_millis(9_200);
/// How often it is looked whether a signal came.
const LOOK: Duration = Duration::from_millis(50);

/// Talks to GitHub in a thread of its own.
pub struct Reporter {
    sender: Sender<Report>,
    /// `None` where there is nothing to report. A worker that panics closes it.
    outcome: Option<Receiver<ReportOutcome>>,
    open: Open,
}

/// Reports whose last word GitHub has not taken.
type Open = Arc<Mutex<BTreeSet<Kind>>>;

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
struct ReportOutcome {
    comment_url: Option<String>,
    notices: Vec<Annotation>,
}

impl Reporter {
    /// Begin. Nothing is sent before the deploy leaves word.
    pub fn start(
        inputs: &ActionInputs,
        permission: &DeployPermission,
        trigger: Option<&Trigger>,
        facts: &Facts,
        key: &str,
        github: Option<Github>,
    ) -> Reporter {
        let (sender, receiver) = mpsc::channel();
        let worker = Worker::new(inputs, permission, trigger, facts, key, github);
        let open = worker.as_ref().map(|worker| Arc::clone(&worker.open)).unwrap_or_default();
        let outcome = worker.map(|worker| {
            let (outcome, receive_outcome) = mpsc::channel();
            std::thread::spawn(move || {
                // Nobody waits any more where an interrupted run has ended first.
                let _ = outcome.send(worker.work(&Mutex::new(receiver)));
            });
            receive_outcome
        });
        Reporter { sender, outcome, open }
    }

    /// For the deploy.
    pub fn inlet(&self) -> Inlet {
        Inlet(self.sender.clone())
    }

    /// Say the last word; gives the address of the comment. After a signal, the runner does not wait for long.
    pub fn finish(self, report: &Report, signal: &FirstSignal, runner: &Runner) -> Option<String> {
        let answers = self.outcome?;
        // The worker is there until it has heard the last word.
        let _ = self.sender.send(report.clone());
        drop(self.sender);
        loop {
            match answers.recv_timeout(LOOK) {
                Ok(outcome) => {
                    runner.annotate(&outcome.notices);
                    return outcome.comment_url;
                }
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => {
                    if signal.elapsed().is_some_and(|elapsed| elapsed >= INTERRUPTED) {
                        runner.annotate(&[late(&self.open)]);
                        return None;
                    }
                }
            }
        }
    }
}

/// What GitHub had not taken when the runner was about to kill the step.
fn late(open: &Open) -> Annotation {
    let open = lock(open);
    let names: Vec<&str> = open.iter().map(|kind| kind.words()).collect();
    let text = format!(
        "GitHub did not answer before the cancelled run had to end, so it may still show an older state: {}. The \
         summary of the run has the last one.",
        names.join(", ")
    );
    Annotation::new(Level::Notice, text).titled("Not reported")
}

struct Worker {
    github: Github,
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
    outcome: ReportOutcome,
    open: Open,
}

/// Reports that are not tried again after a refusal.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Clone, Copy)]
enum Kind {
    Comment,
    Deployment,
    Status,
}

impl Kind {
    fn words(self) -> &'static str {
        match self {
            Kind::Comment => "the comment on the pull request",
            Kind::Deployment => "the GitHub deployment",
            Kind::Status => "the commit status",
        }
    }
}

impl Worker {
    /// `None` where there is nothing to report, or nobody to report to.
    fn new(
        inputs: &ActionInputs,
        permission: &DeployPermission,
        trigger: Option<&Trigger>,
        facts: &Facts,
        key: &str,
        github: Option<Github>,
    ) -> Option<Worker> {
        let request = trigger.and_then(Trigger::pull_request_number);
        let mut reporting = inputs.reporting.clone();
        reporting.comment &= request.is_some();
        let wanted = reporting.comment || reporting.github_deployment || reporting.commit_status;
        // What runs of forks get is a token that cannot write.
        if !wanted
            || *permission == DeployPermission::OnlyBuild
            || matches!(permission, DeployPermission::Refused { .. })
        {
            return None;
        }
        let github = github?;
        let repository = github.host().var(env_vars::GITHUB_REPOSITORY)?.to_string();
        let kinds = [
            (reporting.comment, Kind::Comment),
            (reporting.github_deployment, Kind::Deployment),
            (reporting.commit_status, Kind::Status),
        ];
        let open = kinds.into_iter().filter(|(is_wanted, _)| *is_wanted).map(|(_, kind)| kind).collect();
        // A job that deploys some of the code locations has siblings for the others.
        let shared = !inputs.deploy.locations.is_empty() || in_matrix(github.host());
        Some(Worker {
            github,
            repository,
            request,
            is_closed: matches!(trigger, Some(Trigger::PullRequestClosed(_))),
            reporting,
            facts: facts.clone(),
            key: key.to_string(),
            shared,
            deployment: None,
            outcome: ReportOutcome::default(),
            open: Arc::new(Mutex::new(open)),
        })
    }

    fn work(mut self, reports: &Mutex<Receiver<Report>>) -> ReportOutcome {
        let github = self.github.clone();
        let number = self.request.unwrap_or(0);
        let blank = Report::default();
        let marker =
            Comment::new(&self.key, &self.facts, &blank, self.github.host().clock.now()).marker().to_string();
        let mut sticky = StickyComment::new(&github, &self.repository, number, &marker);
        if self.shared {
            sticky = sticky.confirm_absence_before_create();
        }
        loop {
            let Ok(report) = lock(reports).recv() else { break };
            let latest = LatestReport::new(report, reports);
            let mut written = WrittenResults::default();
            while !self.is_up_to_date(&written, latest.newest().result) {
                self.write(&mut sticky, &latest, &mut written);
            }
            if latest.now().result != RunResult::Running {
                break;
            }
        }
        self.outcome
    }

    fn is_up_to_date(&self, written: &WrittenResults, newest: RunResult) -> bool {
        let is = |wanted: bool, written: Option<RunResult>| !wanted || written == Some(newest);
        is(self.reporting.comment, written.comment)
            && is(self.reporting.github_deployment, written.deployment)
            && is(self.reporting.commit_status, written.status)
    }

    /// Write a report wherever it is wanted and not written yet. The three do not wait for one another, and each follows
    /// what is heard meanwhile: the last words of an interrupted run have little time.
    fn write(
        &mut self,
        sticky: &mut StickyComment<'_>,
        latest: &LatestReport<'_>,
        written: &mut WrittenResults,
    ) {
        let newest = Some(latest.newest().result);
        let worker = &*self;
        let reporting = &worker.reporting;
        let writes_comment = reporting.comment && written.comment != newest;
        let writes_deployment = reporting.github_deployment && written.deployment != newest;
        let writes_status = reporting.commit_status && written.status != newest;
        let begun = [writes_comment, writes_deployment, writes_status].into_iter().filter(|writes| *writes);
        latest.begin(begun.count());
        let (comment, deployment, status) = std::thread::scope(|scope| {
            let deployment = writes_deployment.then(|| {
                scope.spawn(|| {
                    let (id, outcome, result) = worker.deployment(latest);
                    worker.taken(Kind::Deployment, outcome.is_ok(), result);
                    (id, outcome, result)
                })
            });
            let status = writes_status.then(|| {
                scope.spawn(|| {
                    let (outcome, result) = latest.follow(|| {
                        let report = latest.newest();
                        (worker.status(&report), report.result)
                    });
                    worker.taken(Kind::Status, outcome.is_ok(), result);
                    (outcome, result)
                })
            });
            let comment = writes_comment.then(|| {
                let mut shared = worker.shared;
                let mut again = false;
                let outcome = latest.follow(|| {
                    if std::mem::replace(&mut again, true) && !shared {
                        sticky.trust_last_write();
                    }
                    worker.comment(sticky, latest, &mut shared)
                });
                worker.taken(Kind::Comment, outcome.0.is_ok(), outcome.1);
                (outcome, shared)
            });
            (comment, deployment.map(joined), status.map(joined))
        });
        if let Some(((outcome, result), shared)) = comment {
            self.shared = shared;
            let outcome = outcome.map(|written| {
                let url = written.and_then(|written| written.url);
                self.outcome.comment_url = url.or(self.outcome.comment_url.take());
            });
            written.comment = Some(result);
            self.take(Kind::Comment, outcome, result != RunResult::Running);
        }
        if let Some((id, outcome, result)) = deployment {
            self.deployment = id;
            written.deployment = Some(result);
            self.take(Kind::Deployment, outcome, result != RunResult::Running);
        }
        if let Some((outcome, result)) = status {
            written.status = Some(result);
            self.take(Kind::Status, outcome, result != RunResult::Running);
        }
    }

    /// GitHub has taken the last word of one report, or not.
    fn taken(&self, kind: Kind, is_ok: bool, result: RunResult) {
        if is_ok && result != RunResult::Running {
            lock(&self.open).remove(&kind);
        }
    }

    /// A refusal is told once, and that report given up. What may pass is tried again with the next word; where the
    /// last one fails so, GitHub is out of reach, and the run does not wait for more of it.
    fn take(&mut self, kind: Kind, outcome: Result<(), GithubError>, last: bool) {
        let Err(error) = outcome else { return };
        if error.is_transient() && !last {
            self.github.host().detail(format!("{error}; it is tried again at the end"));
            return;
        }
        if error.is_transient() {
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
        self.outcome.notices.push(Annotation::new(Level::Notice, text).titled("Not reported"));
    }

    /// Write the comment, with the newest that is known at the moment of writing; `shared` becomes whether other jobs write
    /// to it.
    fn comment(
        &self,
        sticky: &mut StickyComment<'_>,
        latest: &LatestReport<'_>,
        shared: &mut bool,
    ) -> (Result<Option<Written>, GithubError>, RunResult) {
        let composed = Cell::new((*shared, latest.now().result));
        let mut compose = |present: Option<&str>| {
            let report = latest.newest();
            let comment = Comment::new(&self.key, &self.facts, &report, self.github.host().clock.now());
            let is_shared = composed.get().0 || present.is_some_and(|present| comment.is_shared(present));
            composed.set((is_shared, report.result));
            // There is nothing to say of a branch deployment that nobody was told of.
            if present.is_none() && (report.result == RunResult::Closed || self.is_closed) {
                None
            } else {
                comment.compose(present)
            }
        };
        let mut written = sticky.upsert(&mut compose, None);
        // Another job may have written over it from what was there before; who is alone need not wait to see that.
        if composed.get().0 && matches!(written, Ok(Some(_))) {
            let settled = |body: &str| {
                Comment::new(&self.key, &self.facts, &latest.now(), self.github.host().clock.now())
                    .settled(body)
            };
            written = sticky.settle(&mut compose, &settled);
        }
        let (is_shared, result) = composed.get();
        *shared = is_shared;
        (written, result)
    }

    /// Put the GitHub deployment down as it is now; gives its id, what came of it, and the result put down.
    fn deployment(&self, latest: &LatestReport<'_>) -> (Option<u64>, Result<(), GithubError>, RunResult) {
        let mut id = self.deployment;
        let (outcome, result) = latest.follow(|| {
            let mut report = latest.newest();
            let outcome = self.put_deployment_down(&mut id, &mut report, latest);
            (outcome, report.result)
        });
        (id, outcome, result)
    }

    /// The same once; `report` becomes what was put down.
    fn put_deployment_down(
        &self,
        id: &mut Option<u64>,
        report: &mut Report,
        latest: &LatestReport<'_>,
    ) -> Result<(), GithubError> {
        let Some((at, sha)) = report.deployment.clone().zip(self.commit(report)) else { return Ok(()) };
        let environment = environment(&at.name, at.is_branch, self.request);
        if report.result == RunResult::Closed {
            return deployments::deactivate(&self.github, &self.repository, &environment).map(|_| ());
        }
        let known = match *id {
            Some(known) => known,
            None => {
                let new = NewDeployment {
                    sha,
                    environment,
                    description: format!("Dagster+ deployment {}", at.name),
                    transient: at.is_branch,
                    production: !at.is_branch,
                };
                let made = deployments::create(&self.github, &self.repository, &new)?;
                *id = Some(made);
                *report = latest.newest();
                made
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
        deployments::set_state(&self.github, &self.repository, known, state, &details)
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

/// Name of the environment at GitHub: that of the full deployment, or of the pull request.
fn environment(deployment: &str, is_branch: bool, request: Option<u64>) -> String {
    match request {
        Some(number) if is_branch => format!("dagster-plus/pr-{number}"),
        _ if is_branch => format!("dagster-plus/{deployment}"),
        _ => deployment.to_string(),
    }
}
