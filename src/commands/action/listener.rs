//! What log and pull request hear while a deploy goes on.

use super::reporter::Inlet;
use crate::commands::progress::Listener;
use crate::github::runner::Runner;
use crate::report::Report;

/// Hears how the deploy goes, for log and pull request.
pub struct StepListener {
    /// The log.
    pub runner: Runner,
    /// The reports at GitHub.
    pub reporter: Inlet,
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
