//! Reports to GitHub during a deploy: pull request comment, GitHub deployment, commit status.
//!
//! They are written in a separate thread, so that the deploy does not wait for GitHub. Only the end of the step waits
//! for the final reports; an interrupted run waits only as long as the runner lets it. Each failure is shown once, as a
//! notice with a hint, and has no other effect.

mod latest;
mod words;
mod worker;

use super::permission::DeployPermission;
use crate::cli::action::ActionInputs;
use crate::commands::interrupt::FirstSignal;
use crate::commands::progress::Listener;
use crate::context::event::Trigger;
use crate::env_vars;
use crate::github::Github;
use crate::github::runner::{Annotation, Level, Runner};
use crate::host::Host;
use crate::report::Report;
use crate::report::facts::Facts;
use crate::threads::lock;
use std::collections::BTreeSet;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use worker::Worker;

/// How long after a signal the final reports may take. The runner sends SIGINT, SIGTERM after 7.5 s, and kills after
/// 2.5 s more. Source: GitHub, "Workflow cancellation reference".
const INTERRUPTED: Duration = Duration::from_millis(9_200);
/// How often to check whether a signal came.
const LOOK: Duration = Duration::from_millis(50);

/// Writes reports to GitHub in a separate thread.
pub struct Reporter {
    sender: Sender<Report>,
    /// `None` if there is nothing to report. Closed when the worker panics.
    outcome: Option<Receiver<ReportOutcome>>,
    open: Open,
}

/// Reports whose final state GitHub did not accept.
type Open = Arc<Mutex<BTreeSet<Kind>>>;

/// Receives the progress of the deploy, for the log and the pull request.
pub struct StepListener {
    runner: Runner,
    reports: Sender<Report>,
}

impl Listener for StepListener {
    fn stage(&self, name: &'static str) {
        let title = match name {
            "prepare" => "Read the project",
            "refresh" => "Refresh the state of definitions",
            "build" => "Build",
            "upload" => "Upload",
            "verify" => "Verify",
            "load" => "Update the code locations and wait for them",
            other => other,
        };
        self.runner.group(title);
    }

    fn planned(&self, report: &Report) {
        // In a run without reports, the receiver is gone.
        let _ = self.reports.send(report.clone());
    }
}

/// The results of the reports.
#[derive(Default)]
struct ReportOutcome {
    comment_url: Option<String>,
    notices: Vec<Annotation>,
}

impl Reporter {
    /// Start the thread. Nothing is sent before the first report.
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
                // An interrupted run may have ended first, and then the receiver is gone.
                let _ = outcome.send(worker.work(&Mutex::new(receiver)));
            });
            receive_outcome
        });
        Reporter { sender, outcome, open }
    }

    /// For the deploy.
    pub fn listener(&self, runner: &Runner) -> Box<StepListener> {
        Box::new(StepListener { runner: runner.clone(), reports: self.sender.clone() })
    }

    /// Write the final report; returns the URL of the comment. After a signal, the runner does not wait for long.
    pub fn finish(self, report: &Report, signal: &FirstSignal, runner: &Runner) -> Option<String> {
        let answers = self.outcome?;
        // The worker runs until it has received the final report.
        let _ = self.sender.send(report.clone());
        drop(self.sender);
        // Not one long wait: a signal may come at any time, and the limit counts from the signal.
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

/// The reports that GitHub had not accepted when the runner was about to kill the step.
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

/// Reports that are not retried after a refusal.
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

/// Whether the job is one of several of a matrix.
fn in_matrix(host: &Host) -> bool {
    host.var(env_vars::PEXPRESS_JOB_TOTAL)
        .and_then(|total| total.trim().parse::<u64>().ok())
        .is_some_and(|total| total > 1)
}
