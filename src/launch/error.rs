//! Why there is no run, or no good one.

use crate::dagster::DagsterError;
use crate::dagster::runs::RunOutcome;
use crate::error::{Explain, Fault};

/// A run was not launched, did not succeed, or could not be watched.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum LaunchError {
    #[error("{setting} cannot be used: {problem}")]
    BadJson { setting: String, problem: String },
    #[error(transparent)]
    Dagster(#[from] DagsterError),
    /// `runs` is the web page of all runs.
    #[error("whether the run was launched is not known: {runs}")]
    Uncertain {
        runs: String,
        #[source]
        source: DagsterError,
    },
    #[error("the run config does not fit the job `{job}`: {problems}")]
    BadConfig { job: String, problems: String },
    #[error(
        "the deployment `{deployment}` has no code location `{location}`{}",
        it_has("code locations", known)
    )]
    UnknownLocation { deployment: String, location: String, known: Vec<String>, near: Option<String> },
    #[error(
        "the code location `{location}` has failed to load, or is still loading, so its jobs are not known"
    )]
    NotLoaded { location: String },
    #[error("the code location `{location}` has no job `{job}`{}", it_has("jobs", known))]
    UnknownJob { job: String, location: String, known: Vec<String>, near: Option<String> },
    #[error("the code location `{location}` has the job `{job}` {} {}", elsewhere(named.as_deref()), having.join(", "))]
    Repository { job: String, location: String, named: Option<String>, having: Vec<String> },
    #[error("the run of `{job}` {}: {url}", words(*outcome))]
    Ended { job: String, outcome: RunOutcome, url: String },
    #[error("the run was launched, but how it ended could not be seen: {url}")]
    Unseen {
        url: String,
        #[source]
        source: DagsterError,
    },
}

/// How many names are listed.
const MOST_NAMES: usize = 20;

fn it_has(what: &str, known: &[String]) -> String {
    let shown: Vec<String> = known.iter().take(MOST_NAMES).map(|name| format!("`{name}`")).collect();
    match known.len() {
        0 => format!("; it has no {what}"),
        all if all > MOST_NAMES => format!("; it has {} and {} more", shown.join(", "), all - MOST_NAMES),
        _ => format!("; it has {}", shown.join(", ")),
    }
}

fn elsewhere(named: Option<&str>) -> String {
    match named {
        Some(name) => format!("not in the repository `{name}`, but in"),
        None => "in more than one repository:".into(),
    }
}

fn words(outcome: RunOutcome) -> &'static str {
    match outcome {
        RunOutcome::Success => "succeeded",
        RunOutcome::Failure => "failed",
        RunOutcome::Cancelled => "was cancelled",
    }
}

impl Explain for LaunchError {
    fn fault(&self) -> Fault {
        match self {
            LaunchError::Dagster(source)
            | LaunchError::Uncertain { source, .. }
            | LaunchError::Unseen { source, .. } => source.fault(),
            LaunchError::Ended { .. } | LaunchError::NotLoaded { .. } => Fault::Project,
            _ => Fault::Usage,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            LaunchError::BadJson { .. } => Some("write a JSON object, such as {\"ops\": {…}}".into()),
            LaunchError::Dagster(source) => source.hint(),
            LaunchError::Uncertain { .. } => Some("look at that page before you launch it again".into()),
            LaunchError::UnknownLocation { near: Some(near), .. }
            | LaunchError::UnknownJob { near: Some(near), .. } => Some(format!("did you mean `{near}`?")),
            LaunchError::NotLoaded { .. } => Some("`pexpress status` shows its state".into()),
            LaunchError::Repository { .. } => Some("name the repository with --repository".into()),
            LaunchError::Unseen { source, .. } if source.is_refusal() => source.hint(),
            LaunchError::Unseen { .. } => Some("the run goes on; its page shows how it is".into()),
            LaunchError::BadConfig { .. }
            | LaunchError::UnknownLocation { .. }
            | LaunchError::UnknownJob { .. }
            | LaunchError::Ended { .. } => None,
        }
    }
}
