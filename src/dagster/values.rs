//! Types of the API's arguments and answers: registry, agents, code locations, branches.
//!
//! Source: as for `operations.rs`.

use crate::net::SafeUrl;
use serde::Serialize;
use serde_json::Value;
use std::fmt;
use url::Url;

/// The organization's registry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Registry {
    /// Serverless on Kubernetes, where PEX files cannot run.
    pub is_harbor: bool,
    /// Address for images, without a tag.
    pub url: Option<String>,
}

/// One agent of a deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentState {
    /// `status`; `RUNNING` is the only one that counts.
    pub status: String,
    /// Errors that it reports.
    pub errors: Vec<String>,
}

impl AgentState {
    /// Whether it runs.
    pub fn is_running(&self) -> bool {
        self.status == "RUNNING"
    }
}

/// A Python exception that user code raised on the agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PythonFailure {
    /// Type and message.
    pub message: String,
    /// Traceback, line by line.
    pub stack: Vec<String>,
    /// The exceptions that caused it, innermost last.
    pub chain: Vec<ChainLink>,
}

/// An exception that caused another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChainLink {
    /// Whether it was named with `raise … from`.
    pub explicit: bool,
    /// Type and message.
    pub message: String,
    /// Traceback, line by line.
    pub stack: Vec<String>,
}

/// Identifies one load of a code location.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LoadStamp {
    /// `updatedTimestamp`, seconds since the epoch.
    pub updated_seconds: f64,
    /// `versionKey`.
    pub version: String,
}

/// One code location in the workspace.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadState {
    /// `location_name`.
    pub name: String,
    /// Loading has finished, successfully or not; otherwise it is still loading.
    pub loaded: bool,
    /// The server's answer about it is not understood; then `loaded` and `failure` mean nothing.
    pub unclear: bool,
    /// Why it does not load.
    pub failure: Option<PythonFailure>,
    /// The current load; `None` if the server does not report it.
    pub stamp: Option<LoadStamp>,
}

/// The server's stored entry for a code location, and the state of its load.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkspaceEntry {
    /// The metadata of its last update, as JSON text.
    pub metadata: String,
    /// Whether the loaded version is older than this metadata; `None` if the server does not report it.
    pub outdated: Option<bool>,
    /// Whether the last load failed; `None` if the server does not report it.
    pub load_failed: Option<bool>,
}

/// The method that a presigned URL allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Read an object.
    Get,
    /// Write an object.
    Put,
}

/// A URL that allows one method on one object for some time, for everyone who has it. Shown without its query.
#[derive(Clone)]
pub struct PresignedUrl(pub(super) Url);

impl fmt::Debug for PresignedUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        SafeUrl::from(&self.0).fmt(f)
    }
}

/// The branch of a branch deployment. Source of names: `CreateOrUpdateBranchDeploymentInput`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BranchData {
    /// `owner/name`.
    pub repo_name: String,
    /// The branch.
    pub branch_name: String,
    /// Its page.
    pub branch_url: Option<String>,
    /// The pull request's page.
    pub pull_request_url: Option<String>,
    /// `OPEN`, `CLOSED` or `MERGED`.
    pub pull_request_status: Option<PullRequestStatus>,
    /// A string in the API.
    pub pull_request_number: Option<String>,
}

/// State of a pull request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs)]
pub enum PullRequestStatus {
    Open,
    Closed,
    Merged,
}

/// The commit that a branch deployment shows. Source of names: `DeploymentCommitInput`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct CommitData {
    pub commit_hash: String,
    /// Seconds since the epoch.
    pub timestamp: f64,
    pub commit_message: Option<String>,
    pub commit_url: Option<String>,
    pub author_name: Option<String>,
    pub author_email: Option<String>,
    pub author_avatar_url: Option<String>,
}

/// A deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeploymentInfo {
    /// Its name.
    pub name: String,
    /// `SERVERLESS` or `HYBRID`.
    pub agent_type: Option<String>,
}

impl LoadState {
    /// Read an entry of the workspace; `None` for one without a name.
    pub(super) fn read(entry: &Value) -> Option<LoadState> {
        let name = text(entry, "name")?;
        let value = &entry["locationOrLoadError"];
        let loaded = entry["loadStatus"] == "LOADED";
        let (failure, unclear) = match (value["__typename"].as_str(), entry["loadStatus"].as_str()) {
            (None, Some("LOADING")) | (Some("RepositoryLocation"), Some("LOADED" | "LOADING")) => {
                (None, false)
            }
            (Some("PythonError"), Some("LOADED" | "LOADING")) => (Some(python_failure(value)), false),
            _ => (None, true),
        };
        let stamp = entry["updatedTimestamp"].as_f64().map(|updated_seconds| LoadStamp {
            updated_seconds,
            version: text(entry, "versionKey").unwrap_or_default(),
        });
        Some(LoadState { name, loaded, unclear, failure, stamp })
    }
}

fn python_failure(error: &Value) -> PythonFailure {
    let message = |error: &Value| {
        text(error, "message")
            .map_or_else(|| format!("unknown failure: {error}"), |text| text.trim_end().to_string())
    };
    let stack = |error: &Value| {
        let lines = error["stack"].as_array().map(Vec::as_slice).unwrap_or_default();
        lines.iter().filter_map(Value::as_str).map(String::from).collect()
    };
    let links = error["errorChain"].as_array().map(Vec::as_slice).unwrap_or_default();
    PythonFailure {
        message: message(error),
        stack: stack(error),
        chain: links
            .iter()
            .map(|link| ChainLink {
                explicit: link["isExplicitLink"] == Value::Bool(true),
                message: message(&link["error"]),
                stack: stack(&link["error"]),
            })
            .collect(),
    }
}

impl PythonFailure {
    /// Traceback and message of each exception of the chain.
    pub fn innermost_first(&self) -> Vec<String> {
        let text = |message: &str, stack: &[String]| format!("{}\n{message}", stack.concat());
        let links = self.chain.iter().rev().map(|link| text(&link.message, &link.stack));
        links.chain([text(&self.message, &self.stack)]).collect()
    }

    /// Change all its texts.
    pub fn map_texts(&mut self, change: &dyn Fn(&str) -> String) {
        let links = self.chain.iter_mut().flat_map(|link| link.stack.iter_mut().chain([&mut link.message]));
        let texts = self.stack.iter_mut().chain([&mut self.message]).chain(links);
        texts.for_each(|text| *text = change(text));
    }
}

impl fmt::Display for PythonFailure {
    /// As Python prints it: message, traceback, and the chain of exceptions.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stack = |f: &mut fmt::Formatter<'_>, stack: &[String]| {
            stack.iter().try_for_each(|line| write!(f, "\n{}", line.trim_end_matches('\n')))
        };
        write!(f, "{}", self.message)?;
        stack(f, &self.stack)?;
        for link in &self.chain {
            let how = match link.explicit {
                true => "The above exception was caused by the following exception:",
                false => "The above exception occurred during handling of the following exception:",
            };
            write!(f, "\n\n{how}\n{}", link.message)?;
            stack(f, &link.stack)?;
        }
        Ok(())
    }
}

/// The text of a field.
pub(super) fn text(value: &Value, key: &str) -> Option<String> {
    value[key].as_str().map(String::from)
}
