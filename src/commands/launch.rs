//! `launch JOB --location NAME`: a run of a job, and on demand the wait for its end.

use super::interrupt::guard;
use super::progress::Progress;
use super::{Error, tell_interrupt};
use crate::cli::{Format, LaunchArgs};
use crate::context::Context;
use crate::dagster::runs::{RunOutcome, RunRequest};
use crate::dagster::{Client, Session};
use crate::deployment::{self, Act, Change};
use crate::host::Host;
use crate::launch::{self, LaunchError, Launched};
use crate::render::{self, Exit};
use crate::target::PythonVersion;
use crate::threads::lock;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Run the command. The run's id goes alone to stdout.
///
/// # Errors
/// If the run cannot be launched, did not succeed, or could not be watched.
pub fn run(args: &LaunchArgs, format: Format, host: &Host) -> Result<Exit, Error> {
    match perform(args, host)? {
        Performed::Interrupted { what, code } => {
            tell_interrupt(Some(&what), code, format, host)?;
            Ok(Exit(code))
        }
        Performed::Done(done) => {
            let text = match format {
                Format::Text => done.launched.run_id.clone(),
                Format::Json => format!("{:#}", done.json(args)),
            };
            host.data(&text).map_err(Error::Stdout)?;
            done.result(args)?;
            Ok(Exit(0))
        }
    }
}

/// What became of a launch.
pub enum Performed {
    /// The run was launched, and its end was awaited if that was asked for.
    Done(Done),
    /// A signal came first.
    Interrupted {
        /// What it left, in a sentence.
        what: String,
        /// The exit code.
        code: u8,
    },
}

/// A run that was launched.
pub struct Done {
    /// The deployment.
    pub deployment: String,
    /// The page of the deployment.
    pub deployment_url: String,
    /// The run.
    pub launched: Launched,
    /// How it ended, if that was awaited.
    pub outcome: Option<RunOutcome>,
}

impl Done {
    fn json(&self, args: &LaunchArgs) -> Value {
        json!({
            "run_id": self.launched.run_id,
            "url": self.launched.url,
            "deployment": self.deployment,
            "location": args.location,
            "job": args.job,
            "status": self.outcome.map(RunOutcome::name),
        })
    }

    /// An error if the run has ended without success.
    ///
    /// # Errors
    /// How it ended.
    pub fn result(&self, args: &LaunchArgs) -> Result<(), LaunchError> {
        match self.outcome {
            Some(outcome @ (RunOutcome::Failure | RunOutcome::Cancelled)) => {
                Err(LaunchError::Ended { job: args.job.clone(), outcome, url: self.launched.url.clone() })
            }
            None | Some(RunOutcome::Success) => Ok(()),
        }
    }
}

/// The run that a signal finds, to cancel it.
type Found = Arc<Mutex<Option<(Client, Launched)>>>;

/// Launch, and wait if that is asked for. A signal leaves the run alone unless it is to be cancelled then.
///
/// # Errors
/// If the run cannot be launched or could not be watched.
pub fn perform(args: &LaunchArgs, host: &Host) -> Result<Performed, Error> {
    let progress = Progress::default();
    let found = Found::default();
    let (own_args, own_progress, own_found) = (args.clone(), progress.clone(), Arc::clone(&found));
    match guard(host, &progress, move |host| launched(&own_args, &own_progress, &own_found, &host)) {
        Ok(done) => done.map(Performed::Done),
        Err(stopped) => {
            let begun = stopped.begun.unwrap_or_default();
            if let Some((client, launched)) = lock(&found).as_ref().filter(|_| args.cancel) {
                // A second signal ends the process.
                super::interrupt::end_with_children();
                match client.clone().in_session(&Session::default()).terminate_run(&launched.run_id) {
                    Ok(()) => host.note("Dagster+ is cancelling the run"),
                    Err(error) => drop(render::failure(host, &error)),
                }
            }
            Ok(Performed::Interrupted { what: stopped.run.left_behind(&begun), code: stopped.code })
        }
    }
}

fn launched(args: &LaunchArgs, progress: &Progress, found: &Found, host: &Host) -> Result<Done, Error> {
    let setting = |flag, input| args.dagster.setting(flag, input);
    let config =
        args.config.as_ref().map(|text| launch::config(&setting("--config", "run_config"), text.reveal()));
    let tags = args.tags.as_ref().map(|text| launch::tags(&setting("--tags", "run_tags"), text.reveal()));
    let request = RunRequest {
        location: args.location.clone(),
        job: args.job.clone(),
        config: config.transpose()?.unwrap_or_default(),
        tags: tags.transpose()?.unwrap_or_default(),
        assets: args.asset_keys.iter().map(|key| key.split('/').map(String::from).collect()).collect(),
        ..RunRequest::default()
    };
    let context = Context::read(&args.dagster, host.cwd(), host)?;
    let client = deployment::client(&context, host, PythonVersion::DEFAULT).in_session(progress.session());
    let named_by_flag = args.dagster.deployment.is_some();
    let change = Change { act: Act::Launch(&args.job), named_by_flag, yes: args.yes };
    // A smoke test of a pull request must not run in a full deployment by default.
    let (client, _) = deployment::to_change(&change, &context, &client, Client::deployment_info)?;
    let deployment = client.deployment().unwrap_or_default().to_string();
    let launched = launch::launch(&client, &request, args.repository.as_deref())?;
    let after_signal = if args.cancel { "it is cancelled" } else { "it goes on" };
    progress.put(|run| {
        run.launched = Some(format!("the run was launched, and {after_signal}: {}", launched.url))
    });
    *lock(found) = Some((client.clone(), launched.clone()));
    host.note(format!("Launched `{}` of {} in {deployment}: {}", args.job, args.location, launched.url));
    let outcome = match args.wait {
        true => Some(launch::wait(&client, &launched, Duration::from_secs(args.interval.max(1)))?),
        false => None,
    };
    if outcome == Some(RunOutcome::Success) {
        host.note(format!("Run {}: success", launched.run_id));
    }
    Ok(Done { deployment, deployment_url: client.locations_page(), launched, outcome })
}
