//! What each report at GitHub says (comment, GitHub deployment, commit status), and the notice where GitHub refuses it.

use super::Kind;
use super::latest::LatestReport;
use super::worker::Worker;
use crate::cli::action::Reporting;
use crate::error::Explain;
use crate::github::GithubError;
use crate::github::comment::{StickyComment, Written};
use crate::github::deployments::{
    self, CommitState, CommitStatus, DeploymentDetails, DeploymentState, NewDeployment,
};
use crate::github::runner::{Annotation, Level};
use crate::report::comment::Comment;
use crate::report::{Report, RunResult};
use crate::threads::lock;
use std::cell::Cell;

impl Worker {
    /// Write the comment from the newest report at the moment of writing; `shared` becomes whether other jobs write to
    /// it.
    pub(super) fn comment(
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
            // A branch deployment that was never announced needs no comment about its end.
            if present.is_none() && (report.result == RunResult::Closed || self.is_closed) {
                None
            } else {
                comment.compose(present)
            }
        };
        let mut written = sticky.upsert(&mut compose, None);
        // Another job may have overwritten it from an older text. A job that is alone need not wait to check.
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

    /// Write the current state of the GitHub deployment; returns its id, the call's result, and the result that was
    /// written.
    pub(super) fn deployment(
        &self,
        latest: &LatestReport<'_>,
    ) -> (Option<u64>, Result<(), GithubError>, RunResult) {
        let mut id = self.deployment;
        let (outcome, result) = latest.follow(|| {
            let mut report = latest.newest();
            let outcome = self.put_deployment_down(&mut id, &mut report, latest);
            (outcome, report.result)
        });
        (id, outcome, result)
    }

    /// The same once; `report` becomes what was written.
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
                // The run may have gone on during the request.
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

    /// The commit that was built; this repository's own commit if the built one is another repository's.
    fn commit(&self, report: &Report) -> Option<String> {
        self.facts.own_commit.clone().or_else(|| self.facts.commit_of(report))
    }

    pub(super) fn status(&self, report: &Report) -> Result<(), GithubError> {
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

    /// Record whether GitHub accepted the final state of one report.
    pub(super) fn taken(&self, kind: Kind, is_ok: bool, result: RunResult) {
        if is_ok && result != RunResult::Running {
            lock(&self.open).remove(&kind);
        }
    }

    /// A refusal is shown once, and that report is given up. After a transient failure the next report tries again; if
    /// the final one fails that way, GitHub is out of reach, and the run does not wait any longer.
    pub(super) fn take(&mut self, kind: Kind, outcome: Result<(), GithubError>, last: bool) {
        let Err(error) = outcome else { return };
        if error.is_transient() && !last {
            self.github.host().detail(format!("{error}; it is retried at the end"));
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
}

/// Name of the environment at GitHub: that of the full deployment, or of the pull request.
fn environment(deployment: &str, is_branch: bool, request: Option<u64>) -> String {
    match request {
        Some(number) if is_branch => format!("dagster-plus/pr-{number}"),
        _ if is_branch => format!("dagster-plus/{deployment}"),
        _ => deployment.to_string(),
    }
}
