//! A job → a run of it: launched in a deployment, and on demand watched until it ends.

mod error;

use crate::dagster::runs::{Jobs, RunOutcome, RunRequest, RunStatus, UNNAMED_REPOSITORY};
use crate::dagster::{Client, DagsterError};
use crate::near_names::closest;
pub use error::LaunchError;
use serde_json::{Map, Value};
use std::time::Duration;

// A smoke test may take seconds, a materialization hours.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// How many failed questions in a row end the wait, beyond the retries of each.
const MOST_FAILURES: u32 = 10;

/// A run that was launched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launched {
    /// Its id.
    pub run_id: String,
    /// Its web page, with the log.
    pub url: String,
}

/// Read run config: a JSON object. `setting` is where it was given. The text may hold secrets, so no error shows it.
///
/// # Errors
/// If it is something else.
pub fn config(setting: &str, text: &str) -> Result<Map<String, Value>, LaunchError> {
    let bad = |problem: String| LaunchError::BadJson { setting: setting.into(), problem };
    match serde_json::from_str(text) {
        Ok(Value::Object(config)) => Ok(config),
        Ok(_) => Err(bad("it must be a JSON object".into())),
        Err(error) => Err(bad(format!("line {}, column {}: not JSON", error.line(), error.column()))),
    }
}

/// Read tags: a JSON object of texts. Whole numbers and booleans are taken as they are written; of other numbers it is not
/// known how they were.
///
/// # Errors
/// If it is something else.
pub fn tags(setting: &str, text: &str) -> Result<Vec<(String, String)>, LaunchError> {
    let value = |(key, value): (String, Value)| match value {
        Value::String(text) => Ok((key, text)),
        Value::Number(number) if number.is_f64() => {
            let problem = format!("write the value of `{key}` in quotes: 1.10 would become 1.1");
            Err(LaunchError::BadJson { setting: setting.into(), problem })
        }
        Value::Bool(_) | Value::Number(_) => Ok((key, value.to_string())),
        _ => {
            let problem = format!("the value of `{key}` must be a text");
            Err(LaunchError::BadJson { setting: setting.into(), problem })
        }
    };
    config(setting, text)?.into_iter().map(value).collect()
}

/// Launch a run. Without a repository, that of a code location without repositories of its own is meant, or else the
/// only one that has the job.
///
/// # Errors
/// If there is no such job, its config is wrong, or Dagster+ refuses.
pub fn launch(client: &Client, run: &RunRequest, repository: Option<&str>) -> Result<Launched, LaunchError> {
    let named = RunRequest { repository: repository.unwrap_or(UNNAMED_REPOSITORY).into(), ..run.clone() };
    let run_id = match client.launch_run(&named) {
        Err(source) if source.is_unknown_job() => {
            let found = found(client, run, repository, source)?;
            client.launch_run(&RunRequest { repository: found, ..named })
        }
        answer => answer,
    };
    let run_id = run_id.map_err(|source| match source {
        DagsterError::Refused { type_name, message, .. } if type_name == "RunConfigValidationInvalid" => {
            LaunchError::BadConfig { job: run.job.clone(), problems: message }
        }
        source if source.is_uncertain() => LaunchError::Uncertain { runs: client.runs_page(), source },
        source => source.into(),
    })?;
    Ok(Launched { url: client.run_page(&run_id), run_id })
}

/// The only repository of the code location that has the job, if none was named.
///
/// # Errors
/// What there is instead.
fn found(
    client: &Client,
    run: &RunRequest,
    repository: Option<&str>,
    source: DagsterError,
) -> Result<String, LaunchError> {
    let Ok(mut all) = client.jobs().inspect_err(|error| client.host().detail(error.to_string())) else {
        return Err(source.into());
    };
    let known: Vec<String> = all.keys().cloned().collect();
    let (job, location) = (run.job.clone(), run.location.clone());
    let jobs: Jobs = all.remove(&location).ok_or_else(|| LaunchError::UnknownLocation {
        near: near(&location, &known),
        deployment: client.deployment().unwrap_or_default().into(),
        location: location.clone(),
        known,
    })?;
    let jobs = jobs.ok_or_else(|| LaunchError::NotLoaded { location: location.clone() })?;
    let having = jobs.iter().filter(|(_, jobs)| jobs.contains(&job)).map(|(name, _)| name.clone());
    let having: Vec<String> = having.collect();
    match (&*having, repository) {
        ([one], None) => Ok(one.clone()),
        ([], _) => {
            let mut known: Vec<String> = jobs.into_values().flatten().collect();
            let near = near(&job, &known);
            // Dagster's own, such as `__ASSET_JOB`.
            known.retain(|name| !name.starts_with("__"));
            known.sort();
            known.dedup();
            Err(LaunchError::UnknownJob { job, location, known, near })
        }
        _ => Err(LaunchError::Repository { job, location, named: repository.map(String::from), having }),
    }
}

fn near(name: &str, known: &[String]) -> Option<String> {
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    closest(name, &known).map(String::from)
}

/// Ask every `interval` (more often at first) until the run has ended.
///
/// # Errors
/// If its state cannot be asked for any longer; the run goes on then.
pub fn wait(client: &Client, launched: &Launched, interval: Duration) -> Result<RunOutcome, LaunchError> {
    let client = client.patient();
    let host = client.host();
    let (mut last, mut failures) = (String::new(), 0);
    let mut pause = FIRST_PAUSE.min(interval);
    loop {
        host.clock.sleep(pause);
        pause = pause.mul_f64(1.5).min(interval);
        match client.run_status(&launched.run_id) {
            Ok(RunStatus::Ended(outcome)) => return Ok(outcome),
            Ok(RunStatus::Going(status)) => {
                failures = 0;
                if status != last {
                    host.note(format!(
                        "Run {}: {}",
                        launched.run_id,
                        status.to_lowercase().replace('_', " ")
                    ));
                    last = status;
                }
            }
            Err(source) if source.is_refusal() || client.is_over() || failures == MOST_FAILURES => {
                return Err(LaunchError::Unseen { url: launched.url.clone(), source });
            }
            Err(error) => {
                failures += 1;
                host.detail(format!("{error}; asking again"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn config_and_tags_are_objects_and_errors_do_not_show_them() {
        let good = tags("--tags", r#"{"a": "x", "n": 150, "b": true}"#).unwrap();
        let good: Vec<(&str, &str)> = good.iter().map(|(key, value)| (&**key, &**value)).collect();
        assert_eq!(good, [("a", "x"), ("n", "150"), ("b", "true")]);
        for (text, want) in [
            ("{\"p\": \"s3cret\"", "--config cannot be used: line 1, column 14: not JSON"),
            ("[\"s3cret\"]", "--config cannot be used: it must be a JSON object"),
            ("s3cret", "--config cannot be used: line 1, column 1: not JSON"),
        ] {
            assert_eq!(config("--config", text).unwrap_err().to_string(), want);
        }
        for number in ["1.10", "1e3", "123456789012345678901234567890"] {
            let error = tags("--tags", &format!("{{\"a\": {number}}}")).unwrap_err();
            let says = "--tags cannot be used: write the value of `a` in quotes: 1.10 would become 1.1";
            assert_eq!(error.to_string(), says);
        }
        let error = tags("--tags", r#"{"a": {"b": "s3cret"}}"#).unwrap_err();
        assert_eq!(error.to_string(), "--tags cannot be used: the value of `a` must be a text");
    }
}
