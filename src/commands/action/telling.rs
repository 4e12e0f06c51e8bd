//! What a step says at its end: in the log, the job summary, the outputs and annotations.

use super::{Step, annotations, facts};
use crate::commands::{Error, deploy};
use crate::env_vars;
use crate::error::Explain;
use crate::github::runner::LONGEST_SUMMARY_BYTES;
use crate::render::Exit;
use crate::report::facts::Facts;
use crate::report::{self, Ended, Problem, Purpose, Report, Run, outputs, summary};
use std::path::PathBuf;

impl Step<'_> {
    fn workspace(&self) -> PathBuf {
        self.host.path_var(env_vars::GITHUB_WORKSPACE).unwrap_or_else(|| self.host.cwd().to_path_buf())
    }

    /// The outcome, after the last folded part of the log, so that it is visible together with the errors.
    pub(super) fn conclude(&self, report: &Report) {
        deploy::outcomes(report, self.host.columns()).into_iter().for_each(|table| self.host.note(table));
        let page = report.deployment.as_ref().map(|at| format!(" ({}: {})", at.name, at.url));
        self.host.note(format!("{}{}", report.sentence(), page.unwrap_or_default()));
    }

    /// The step failed before it started.
    pub(super) fn failed(&self, error: &(impl Explain + ?Sized)) -> Result<Exit, Error> {
        self.failed_as(Purpose::Deploy, error)
    }

    /// The step of this purpose failed.
    pub(super) fn failed_as(&self, purpose: Purpose, error: &(impl Explain + ?Sized)) -> Result<Exit, Error> {
        let ended = Ended::Failure(vec![Problem::from_error(error)]);
        let report = report::of_run(&Run { purpose, ..Run::default() }, &ended, 0.0);
        self.tell(&self.worded(report), &facts::of_run(&self.run))?;
        Ok(Exit(error.fault().exit_code()))
    }

    /// The same in the wording for readers of a step.
    pub(super) fn worded(&self, report: Report) -> Report {
        report.worded(&self.workspace(), &self.host.tokens())
    }

    /// Report in summary, outputs and annotations.
    pub(super) fn tell(&self, report: &Report, facts: &Facts) -> Result<(), Error> {
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
