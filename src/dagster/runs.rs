//! Runs of jobs: launch one, ask how it is, cancel it.
//!
//! Source: `dagster-cloud job launch` and `run status` of dagster-cloud-cli 1.13.27 for arguments and headers; the
//! open-source dagster-graphql schema 1.13.29 for the members of `LaunchRunResult`, `RunOrError`, `TerminateRunResult`,
//! and for `RepositoryLocation.repositories`.

use super::client::{Client, Operation};
use super::error::DagsterError;
use super::operations::{lacks, member, operation};
use super::values::text;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher, RandomState};

const LAUNCH_RUN: Operation = operation!("launch the run", "launchRun", "launch_run");
const RUN_STATUS: Operation = operation!("ask for the state of the run", "runOrError", "run_status");
const TERMINATE_RUN: Operation = operation!("cancel the run", "terminateRun", "terminate_run");
const JOBS: Operation = operation!("ask for the jobs", "workspaceOrError", "jobs");

/// The repository of a code location that defines none itself. Source: dagster's `SINGLETON_REPOSITORY_NAME`.
pub const UNNAMED_REPOSITORY: &str = "__repository__";

/// A run to launch.
#[derive(Clone, Default)]
pub struct RunRequest {
    /// The code location.
    pub location: String,
    /// The repository in it.
    pub repository: String,
    /// The job.
    pub job: String,
    /// Run config. May hold secrets.
    pub config: Map<String, Value>,
    /// Tags of the run.
    pub tags: Vec<(String, String)>,
    /// Keys of the assets to materialize; all of the job if empty.
    pub assets: Vec<Vec<String>>,
}

/// The state of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunStatus {
    /// It has ended.
    Ended(RunOutcome),
    /// It has not ended; the server's word for its state, such as `STARTED`.
    Going(String),
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunOutcome {
    /// `SUCCESS`.
    Success,
    /// `FAILURE`.
    Failure,
    /// `CANCELED`.
    Cancelled,
}

impl RunOutcome {
    /// The server's word for it.
    pub fn name(self) -> &'static str {
        match self {
            RunOutcome::Success => "SUCCESS",
            RunOutcome::Failure => "FAILURE",
            RunOutcome::Cancelled => "CANCELED",
        }
    }
}

/// Job names by repository, of one code location; `None` if it is not loaded.
pub type Jobs = Option<BTreeMap<String, Vec<String>>>;

impl Client {
    /// Launch a run. Returns its id.
    ///
    /// # Errors
    /// Those of the call, and the server's refusal: `PipelineNotFoundError` if there is no such job.
    pub fn launch_run(&self, run: &RunRequest) -> Result<String, DagsterError> {
        let mut selector = json!({
            "repositoryLocationName": run.location, "repositoryName": run.repository, "jobName": run.job,
        });
        if !run.assets.is_empty() {
            selector["assetSelection"] = run.assets.iter().map(|path| json!({ "path": path })).collect();
        }
        let tags: Value = run.tags.iter().map(|(key, value)| json!({"key": key, "value": value})).collect();
        let params = json!({
            "selector": selector, "runConfigData": run.config, "executionMetadata": {"tags": tags},
        });
        let client = self.with_idempotency_key(unique_id());
        let answer = member(
            LAUNCH_RUN,
            client.call(LAUNCH_RUN, json!({"executionParams": params}))?,
            "LaunchRunSuccess",
        )?;
        text(&answer["run"], "runId").ok_or_else(|| lacks(LAUNCH_RUN, "runId"))
    }

    /// How a run is.
    ///
    /// # Errors
    /// Those of the call, and a run that does not exist.
    pub fn run_status(&self, run_id: &str) -> Result<RunStatus, DagsterError> {
        let answer = member(RUN_STATUS, self.call(RUN_STATUS, json!({"runId": run_id}))?, "Run")?;
        let status = text(&answer, "status").ok_or_else(|| lacks(RUN_STATUS, "status"))?;
        let outcomes = [RunOutcome::Success, RunOutcome::Failure, RunOutcome::Cancelled];
        let ended = outcomes.into_iter().find(|outcome| outcome.name() == status);
        Ok(ended.map_or(RunStatus::Going(status), RunStatus::Ended))
    }

    /// Cancel a run, as the button of the web page does: it may take a while to end.
    ///
    /// # Errors
    /// Those of the call, and the server's refusal.
    pub fn terminate_run(&self, run_id: &str) -> Result<(), DagsterError> {
        let answer = self.call(TERMINATE_RUN, json!({"runId": run_id}))?;
        member(TERMINATE_RUN, answer, "TerminateRunSuccess").map(drop)
    }

    /// The jobs of each code location.
    ///
    /// # Errors
    /// Those of the call.
    pub fn jobs(&self) -> Result<BTreeMap<String, Jobs>, DagsterError> {
        let answer = member(JOBS, self.call(JOBS, json!({}))?, "Workspace")?;
        let entries = answer["locationEntries"].as_array().ok_or_else(|| lacks(JOBS, "locationEntries"))?;
        let names = |list: &Value| -> Vec<String> {
            let list = list.as_array().map(Vec::as_slice).unwrap_or_default();
            list.iter().filter_map(|item| text(item, "name")).collect()
        };
        let jobs = |entry: &Value| -> Jobs {
            let repositories = entry["locationOrLoadError"]["repositories"].as_array()?;
            Some(
                repositories
                    .iter()
                    .filter_map(|one| Some((text(one, "name")?, names(&one["jobs"]))))
                    .collect(),
            )
        };
        Ok(entries.iter().filter_map(|entry| Some((text(entry, "name")?, jobs(entry)))).collect())
    }

    /// The web page of all runs of the deployment.
    pub fn runs_page(&self) -> String {
        format!("{}/runs", self.url())
    }

    /// The web page of a run, with its log.
    pub fn run_page(&self, run_id: &str) -> String {
        format!("{}/{run_id}", self.runs_page())
    }
}

/// A random UUID (RFC 9562, version 4), as dagster-cloud-cli sends it. It only has to be different each time, so the
/// keys of std's hasher are good enough.
fn unique_id() -> String {
    let bits = || u128::from(RandomState::new().build_hasher().finish());
    let (version, variant) = (0xf_u128 << 76, 3_u128 << 62);
    let random = (bits() << 64 | bits()) & !version & !variant;
    let hex = format!("{:032x}", random | 4 << 76 | 2 << 62);
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_launch_has_a_key_of_its_own() {
        let keys: std::collections::BTreeSet<String> = (0..100).map(|_| unique_id()).collect();
        assert_eq!(keys.len(), 100);
        for key in keys {
            let parts: Vec<usize> = key.split('-').map(str::len).collect();
            assert_eq!((parts, &key[14..15]), (vec![8, 4, 4, 4, 12], "4"), "{key}");
            assert!(["8", "9", "a", "b"].contains(&&key[19..20]), "{key}");
        }
    }
}
