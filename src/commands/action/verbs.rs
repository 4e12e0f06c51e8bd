//! Commands of the action that neither build nor deploy: they send Dagster+ one question or request.

use super::permission::{self, DeployPermission, PermissionDenied};
use super::{Step, facts};
use crate::cli::action::{ActionCommand, ActionInputs};
use crate::commands::branch_deployment::{self, Found};
use crate::commands::interrupt::end_with_children;
use crate::commands::launch::{self, Done, Performed};
use crate::commands::progress::Progress;
use crate::commands::{Error, redeploy, status};
use crate::context::event;
use crate::deployment::is_branch_name;
use crate::render::Exit;
use crate::report::{self, Ended, Purpose, Run, RunResult, markdown};
use serde_json::json;

/// What such a command reports.
struct StepResult {
    result: RunResult,
    reason: String,
    deployment: String,
    deployment_url: String,
    /// Outputs of this command alone.
    outputs: Vec<(&'static str, String)>,
    /// Markdown for the summary of the step.
    summary: String,
    exit: Exit,
}

impl StepResult {
    fn success(deployment: String, deployment_url: String, summary: String) -> StepResult {
        let (result, reason, outputs) = (RunResult::Success, String::new(), Vec::new());
        StepResult { result, reason, deployment, deployment_url, outputs, summary, exit: Exit(0) }
    }
}

impl Step<'_> {
    /// Run one of these commands.
    pub(super) fn verb(&self, inputs: &ActionInputs) -> Result<Exit, Error> {
        let trigger = event::read(self.host).ok();
        if let DeployPermission::Refused { why, .. } = permission::of_run(inputs, trigger.as_ref(), self.host)
        {
            return match inputs.require_deploy {
                true => self.failed_as(Purpose::Other, &PermissionDenied { why }),
                false => self.skipped(why),
            };
        }
        let reported = match inputs.command {
            ActionCommand::Launch => self.launch(inputs),
            ActionCommand::Status => self.status(inputs),
            ActionCommand::Redeploy => self.redeploy(inputs),
            _ => self.branch_deployment(inputs),
        };
        match reported {
            Ok(reported) => self.report_verb(&reported),
            Err(error) => self.failed_as(Purpose::Other, &error),
        }
    }

    /// The step has nothing to do.
    fn skipped(&self, why: String) -> Result<Exit, Error> {
        self.host.note(&why);
        let run = Run { purpose: Purpose::Other, ..Run::default() };
        let report = report::of_run(&run, &Ended::Skipped(why), 0.0);
        self.tell(&self.worded(report), &facts::of_run(&self.run))?;
        Ok(Exit(0))
    }

    fn report_verb(&self, reported: &StepResult) -> Result<Exit, Error> {
        self.runner.add_summary(&format!("{}\n", reported.summary))?;
        let mut outputs = vec![
            ("result", reported.result.name().to_string()),
            ("reason", reported.reason.clone()),
            ("deployment", reported.deployment.clone()),
            ("deployment_url", reported.deployment_url.clone()),
            ("is_branch_deployment", is_branch_name(&reported.deployment).to_string()),
        ];
        outputs.extend(reported.outputs.iter().cloned());
        self.runner.set_outputs(&outputs)?;
        Ok(reported.exit)
    }

    fn launch(&self, inputs: &ActionInputs) -> Result<StepResult, Error> {
        let args = inputs.launch()?;
        let done = match launch::perform(&args, self.host)? {
            Performed::Done(done) => done,
            Performed::Interrupted { what, code } => {
                let reported = StepResult::success(
                    String::new(),
                    String::new(),
                    format!("### ⚠️ Cancelled\n\n{}", markdown::text(&what)),
                );
                return Ok(StepResult {
                    result: RunResult::Cancelled,
                    reason: what,
                    exit: Exit(code),
                    ..reported
                });
            }
        };
        let run = [("run_id", done.launched.run_id.clone()), ("run_url", done.launched.url.clone())];
        self.runner.set_outputs(&run)?;
        // After these outputs: a later step may want the id of a run that failed.
        done.result(&args)?;
        let Done { deployment, deployment_url, launched, outcome } = done;
        let job = markdown::link(&markdown::code(&args.job), &launched.url);
        let sign = if outcome.is_some() { "✅ Success of" } else { "🚀 Launched" };
        let summary =
            format!("### {sign} {job} in {}", markdown::link(&markdown::code(&deployment), &deployment_url));
        Ok(StepResult::success(deployment, deployment_url, summary))
    }

    fn status(&self, inputs: &ActionInputs) -> Result<StepResult, Error> {
        end_with_children();
        let status = status::read(&inputs.status(), self.host)?;
        let table = status.table(None);
        let (said, shown) = match status.locations.is_empty() {
            true => (status::NO_LOCATIONS, status::NO_LOCATIONS.to_string()),
            false => (table.trim_end(), markdown::block(table.trim_end())),
        };
        self.host.note(said);
        let page = markdown::link(&markdown::code(&status.deployment), &status.url);
        let summary = format!("### {page}\n\n{shown}");
        let outputs = vec![("locations", json!(status.locations).to_string())];
        Ok(StepResult { outputs, ..StepResult::success(status.deployment, status.url, summary) })
    }

    fn redeploy(&self, inputs: &ActionInputs) -> Result<StepResult, Error> {
        end_with_children();
        let redeployed = redeploy::perform(&inputs.redeploy()?, self.host, &Progress::default())?;
        let locations = json!(redeployed.locations()).to_string();
        self.runner.set_outputs(&[("locations", locations)])?;
        redeployed.result()?;
        let page = markdown::link(&markdown::code(&redeployed.deployment), &redeployed.url);
        let summary = format!("### ✅ Redeployed in {page}\n\n{}", markdown::block(&redeployed.lines()));
        let reported = StepResult::success(redeployed.deployment, redeployed.url, summary);
        Ok(StepResult { outputs: vec![("changed", "true".into())], ..reported })
    }

    fn branch_deployment(&self, inputs: &ActionInputs) -> Result<StepResult, Error> {
        end_with_children();
        let args = inputs.branch_deployment();
        let found = match branch_deployment::perform(&args, self.host, &Progress::default())? {
            Found::Branch(found) => found,
            // A workflow of pushes and pull requests asks for both.
            Found::Full { .. } => {
                let status = status::read(&inputs.status(), self.host)?;
                let summary = format!(
                    "### Deployment {}",
                    markdown::link(&markdown::code(&status.deployment), &status.url)
                );
                return Ok(StepResult::success(status.deployment, status.url, summary));
            }
            Found::Nothing(why) => {
                let reported = StepResult::success(
                    String::new(),
                    String::new(),
                    format!("### ➖ {}", markdown::text(&why)),
                );
                return Ok(StepResult { result: RunResult::Skipped, reason: why, ..reported });
            }
        };
        self.host.note(format!("{} ({})", found.name, found.url));
        let (result, sign) = match (found.closed, found.changed) {
            (true, _) => (RunResult::Closed, "🔒 Closed"),
            (false, true) => (RunResult::Success, "✅ Created or updated"),
            (false, false) => (RunResult::Success, "Branch deployment"),
        };
        let branch = markdown::code(&found.branch.data.branch_name);
        let summary = format!(
            "### {sign} {} of the branch {branch}",
            markdown::link(&markdown::code(&found.name), &found.url)
        );
        let outputs = vec![("changed", found.changed.to_string())];
        Ok(StepResult { result, outputs, ..StepResult::success(found.name, found.url, summary) })
    }
}
