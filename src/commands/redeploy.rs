//! `redeploy LOCATION…`: deployed code locations, loaded again as they are.

use super::Error;
use super::deploy::say_failures;
use super::progress::Progress;
use crate::cli::{Format, RedeployArgs};
use crate::context::Context;
use crate::dagster::Client;
use crate::deployment::{self, Act, Change};
use crate::error::{Explain, Fault, error_text};
use crate::host::Host;
use crate::render::Exit;
use crate::report::LocationState;
use crate::target::PythonVersion;
use crate::update::{Outcome, redeploy};
use serde_json::{Value, json};

/// Run the command.
///
/// # Errors
/// Those of [`perform`], a code location that does not load again, or if stdout cannot be written.
pub fn run(args: &RedeployArgs, format: Format, host: &Host, progress: &Progress) -> Result<Exit, Error> {
    let redeployed = perform(args, host, progress)?;
    let text = match format {
        Format::Json => format!(
            "{:#}",
            json!({
                "deployment": redeployed.deployment, "url": redeployed.url, "locations": redeployed.locations(),
            })
        ),
        Format::Text => redeployed.lines(),
    };
    host.data(&text).map_err(Error::Stdout)?;
    redeployed.result()?;
    Ok(Exit(0))
}

/// The outcome.
pub struct Redeployed {
    /// The deployment.
    pub deployment: String,
    /// Its page.
    pub url: String,
    outcomes: Vec<Outcome>,
}

impl Redeployed {
    /// `name` and `state` of each code location, and its `error` if it has one.
    pub fn locations(&self) -> Vec<Value> {
        let location = |outcome: &Outcome| {
            let error = outcome.result.as_ref().err().map(|error| error_text(error, false));
            json!({"name": outcome.name, "state": LocationState::from_outcome(outcome).name(), "error": error})
        };
        self.outcomes.iter().map(location).collect()
    }

    /// A line for each code location: name and state.
    pub fn lines(&self) -> String {
        let line = |one: &Outcome| format!("{}\t{}", one.name, LocationState::from_outcome(one).name());
        self.outcomes.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    /// An error that names the code locations that did not load again; their errors were printed already.
    ///
    /// # Errors
    /// If there are any.
    pub fn result(&self) -> Result<(), Error> {
        let failure =
            |outcome: &Outcome| Some((outcome.name.clone(), outcome.result.as_ref().err()?.fault()));
        let (failed, faults): (Vec<String>, Vec<Fault>) = self.outcomes.iter().filter_map(failure).unzip();
        match faults.iter().find(|fault| **fault == Fault::Project).or(faults.first()) {
            Some(fault) => Err(Error::NotDeployed { failed, total: self.outcomes.len(), fault: *fault }),
            None => Ok(()),
        }
    }
}

/// Load the code locations again, and wait for them.
///
/// # Errors
/// If a code location does not exist, or Dagster+ refuses.
pub fn perform(args: &RedeployArgs, host: &Host, progress: &Progress) -> Result<Redeployed, Error> {
    let context = Context::read(&args.dagster, host.cwd(), host)?;
    let client = deployment::client(&context, host, PythonVersion::DEFAULT).in_session(progress.session());
    let named_by_flag = args.dagster.deployment.is_some();
    let change = Change { act: Act::Redeploy, named_by_flag, yes: args.yes };
    let (client, documents) = deployment::to_change(&change, &context, &client, Client::documents)?;
    let mut names: Vec<String> = Vec::new();
    for name in &args.locations {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    let updates = redeploy::updates(&client, &documents, &names)?;
    let (deployment, url) = (client.deployment().unwrap_or_default().to_string(), client.locations_page());
    host.note(format!("Redeploying {} in {deployment} ({url})", names.join(", ")));
    let reached = |phase| progress.put(|run| run.reach(phase));
    let outcomes = redeploy::run(&client, &context, updates, &reached)?;
    say_failures(&outcomes, host);
    Ok(Redeployed { deployment, url, outcomes })
}
