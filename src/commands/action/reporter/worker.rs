//! Writes the reports at GitHub, in a thread of its own.

use super::latest::{LatestReport, WrittenResults};
use super::{Kind, Open, ReportOutcome, in_matrix};
use crate::cli::action::{ActionInputs, Reporting};
use crate::commands::action::permission::DeployPermission;
use crate::context::event::Trigger;
use crate::env_vars;
use crate::github::Github;
use crate::github::comment::StickyComment;
use crate::report::comment::Comment;
use crate::report::facts::Facts;
use crate::report::{Report, RunResult};
use crate::threads::{joined, lock};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex};

pub(super) struct Worker {
    pub(super) github: Github,
    pub(super) repository: String,
    /// `number` of the pull request.
    pub(super) request: Option<u64>,
    /// Whether the event closed it.
    pub(super) is_closed: bool,
    pub(super) reporting: Reporting,
    pub(super) facts: Facts,
    pub(super) key: String,
    /// Whether other jobs write to the same comment.
    pub(super) shared: bool,
    /// The GitHub deployment of this run.
    pub(super) deployment: Option<u64>,
    pub(super) outcome: ReportOutcome,
    pub(super) open: Open,
}

impl Worker {
    /// `None` if there is nothing to report, or nowhere to report it.
    pub(super) fn new(
        inputs: &ActionInputs,
        permission: &DeployPermission,
        trigger: Option<&Trigger>,
        facts: &Facts,
        key: &str,
        github: Option<Github>,
    ) -> Option<Worker> {
        let request = trigger.and_then(Trigger::pull_request_number);
        let mut reporting = inputs.reporting.clone();
        // Comments exist only on pull requests; the other reports need just a commit.
        reporting.comment &= request.is_some();
        let wanted = reporting.comment || reporting.github_deployment || reporting.commit_status;
        // Runs from forks get a token that cannot write.
        if !wanted || *permission != DeployPermission::Given {
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
        // A job that deploys only some code locations runs next to jobs for the others.
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

    pub(super) fn work(mut self, reports: &Mutex<Receiver<Report>>) -> ReportOutcome {
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

    /// Write a report wherever it is wanted and not written yet. The three do not wait for one another, and each picks
    /// up newer states meanwhile: the final state of an interrupted run has little time.
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
}
