//! Facts that are known without a network: the address of Dagster+, the token, the event that started the run, and the
//! work tree.

pub mod address;
pub mod args;
pub mod built;
pub mod event;
pub mod git;
mod git_directory;
pub mod inputs;
pub mod revision;
pub mod workflow_run;

use crate::error::{Explain, Fault};
use crate::github::Github;
use crate::host::Host;
use crate::near_names::closest_path;
use address::Endpoint;
use args::DagsterArgs;
use event::Trigger;
use inputs::{Token, WaitLimits};
use std::path::{Path, PathBuf};

/// The facts.
#[derive(Clone)]
pub struct Context {
    /// The address of Dagster+.
    pub endpoint: Endpoint,
    /// Its token.
    pub token: Token,
    /// The event that started this run.
    pub trigger: Trigger,
    /// Access to GitHub, for a run that has it.
    pub github: Option<Github>,
    /// The work tree of the project.
    pub work_tree: git::WorkTree,
    /// How long to wait after an update.
    pub limits: WaitLimits,
    /// Whether the limit for the agent was set by the user; otherwise it depends on the type of agent.
    pub agent_limit_is_given: bool,
    /// Whether settings are the inputs of the action rather than flags.
    pub by_inputs: bool,
}

impl Context {
    /// Read the facts. `directory` is the project's.
    ///
    /// # Errors
    /// When a setting is missing or malformed, or the event cannot be understood.
    pub fn read(args: &DagsterArgs, directory: &Path, host: &Host) -> Result<Context, ContextError> {
        let (endpoint, token) = match (Endpoint::read(args, host), inputs::token(args, host)) {
            // Reported together: on a first run, usually both are missing.
            (Err(ContextError::NoUrl { .. }), Err(ContextError::NoToken { .. })) => {
                return Err(ContextError::NoUrlAndToken { by_inputs: args.by_inputs });
            }
            (endpoint, token) => (endpoint?, token?),
        };
        if let Some(note) = &endpoint.note {
            host.note(note);
        }
        Ok(Context {
            endpoint,
            token,
            trigger: event::read(host)?,
            github: Github::of_run(host),
            work_tree: git::WorkTree::at(directory, host),
            limits: inputs::wait_limits(args, host)?,
            agent_limit_is_given: inputs::agent_limit_is_given(args, host),
            by_inputs: args.by_inputs,
        })
    }
}

/// A fact is missing or invalid.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum ContextError {
    #[error("no address of Dagster+: {}", no_url(*by_inputs))]
    NoUrl { by_inputs: bool },
    #[error("{setting} names no organization: `{host}` is shared by all organizations")]
    NoOrganization { setting: String, host: String },
    #[error("{one} names the organization `{one_names}`, and {other} `{other_names}`")]
    Contradiction { one: String, one_names: String, other: String, other_names: String },
    #[error("{setting} is not the address of a Dagster+ organization or deployment: {why}")]
    BadUrl { setting: String, why: String },
    #[error("{setting} is not a valid deployment name: `{name}`")]
    BadDeployment { setting: String, name: String },
    #[error("no token for Dagster+: {}", no_token(*by_inputs))]
    NoToken { by_inputs: bool },
    #[error("no address of Dagster+ and no token: {}; {}", no_url(*by_inputs), no_token(*by_inputs))]
    NoUrlAndToken { by_inputs: bool },
    #[error("could not read the token from `{path}` (--api-token-file)")]
    TokenFile {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{setting} is not a token of Dagster+: {problem}")]
    BadToken { setting: String, problem: &'static str },
    #[error("{setting} is `{value}`: it must be seconds as a whole number, such as 600")]
    BadSeconds { setting: &'static str, value: String },
    #[error("the event that started this run (`{event}`) cannot be read: {what}")]
    EventUnreadable {
        event: String,
        what: String,
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    #[error("a run started by `{event}` does not say which code to deploy where")]
    EventNotDeployable { event: String },
    #[error(
        "a run started by `{event}` has this repository's secrets, and anyone may have written the code of a pull request"
    )]
    Untrusted { event: String },
    #[error("{what}, which is not known to be the default branch, and no setting names its deployment")]
    NotChosen { what: String },
}

fn no_url(by_inputs: bool) -> &'static str {
    match by_inputs {
        true => {
            "neither the inputs `organization` and `dagster_cloud_url` nor the variables DAGSTER_CLOUD_ORGANIZATION and DAGSTER_CLOUD_URL are set"
        }
        false => "neither DAGSTER_CLOUD_URL nor DAGSTER_CLOUD_ORGANIZATION is set",
    }
}

fn no_token(by_inputs: bool) -> &'static str {
    match by_inputs {
        true => "the input `dagster_cloud_api_token` is empty, and DAGSTER_CLOUD_API_TOKEN is not set",
        false => "DAGSTER_CLOUD_API_TOKEN is not set or empty",
    }
}

impl Explain for ContextError {
    fn fault(&self) -> Fault {
        Fault::Usage
    }

    fn hint(&self) -> Option<String> {
        let text = match self {
            ContextError::NoUrl { by_inputs: true } => {
                "set the input `organization: NAME`, the first part of https://NAME.dagster.cloud".into()
            }
            ContextError::NoUrl { by_inputs: false } => {
                "set DAGSTER_CLOUD_URL to https://ORGANIZATION.dagster.cloud, or pass --organization".into()
            }
            ContextError::NoOrganization { host, .. } => format!(
                "write https://ORGANIZATION.{host}, or name the organization with --organization (or the variable DAGSTER_CLOUD_ORGANIZATION)"
            ),
            ContextError::NoUrlAndToken { by_inputs: true } => {
                "set the input `organization: NAME`, the first part of https://NAME.dagster.cloud, and `dagster_cloud_api_token: ${{ secrets.DAGSTER_CLOUD_API_TOKEN }}`, a secret with a token from the organization settings of Dagster+".into()
            }
            ContextError::NoUrlAndToken { by_inputs: false } => {
                "set DAGSTER_CLOUD_URL (--url) to https://ORGANIZATION.dagster.cloud and DAGSTER_CLOUD_API_TOKEN (--api-token-file) to a token from the organization settings of Dagster+; the deployment is `prod` unless --deployment names one".into()
            }
            ContextError::Contradiction { .. } => "correct one of them, or remove it".into(),
            ContextError::BadUrl { .. } => {
                "it looks like https://ORGANIZATION.dagster.cloud or https://ORGANIZATION.dagster.cloud/DEPLOYMENT".into()
            }
            ContextError::BadDeployment { .. } => "the deployment switcher of the web page shows the names".into(),
            ContextError::NoToken { by_inputs: true } => "create a user or agent token in the organization settings of Dagster+, store it as a secret and set the input `dagster_cloud_api_token`; check that this run may read the secret (runs of forks and of Dependabot may not)".into(),
            ContextError::NoToken { by_inputs: false } => "create a user or agent token in the organization settings of Dagster+ and set that variable to it, or pass --api-token-file; in CI, check that the secret exists and that this run may read it".into(),
            ContextError::BadToken { .. } => "use only the token as Dagster+ shows it, such as user:…".into(),
            ContextError::TokenFile { path, .. } => match closest_path(path, Path::is_file) {
                Some(near) => format!("did you mean `{}`?", near.display()),
                None => "pass a file that contains the token, or set DAGSTER_CLOUD_API_TOKEN".into(),
            },
            ContextError::BadSeconds { .. } => return None,
            ContextError::EventUnreadable { .. } => {
                "nothing was deployed because a pull request must not reach a full deployment; set the target with --code-location-details deployment=NAME,commit_hash=HASH".into()
            }
            ContextError::Untrusted { .. } => {
                "use `pull_request` instead; if everyone who can open a pull request may have the secrets, use --allow-untrusted-code".into()
            }
            ContextError::NotChosen { .. } => {
                "use --deployment-for-branch for the branch deployment of that branch, or --full-deployment for the full deployment".into()
            }
            ContextError::EventNotDeployable { .. } => {
                "use `pull_request`, `push` or `workflow_dispatch`, or set the target with --code-location-details deployment=NAME,commit_hash=HASH".into()
            }
        };
        Some(text)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::sync::Arc;

    /// A host with only these variables.
    pub(crate) fn host(env: &[(&str, &str)]) -> Host {
        Host::for_test(
            env.iter().map(|(name, value)| (name.into(), value.into())).collect(),
            Path::new("/"),
            Box::new(std::io::sink()),
            Box::new(std::io::sink()),
            Arc::new(crate::host::SystemClock),
        )
    }
}
