//! Questions that are asked with one document, since each request costs a round trip.
//!
//! A server may not know one of the fields, or refuse one to this token, and then answers none of them. So such a
//! document gets one try, and after any failure each question is asked by itself, as `operations.rs` does, with all its
//! retries and its own error. What the caller learns is the same either way.

use super::client::{Client, Operation};
use super::error::DagsterError;
use super::operations::{
    self, AgentState, DeploymentInfo, LoadState, Method, PresignedUrl, Registry, WORKSPACE, operation,
};
use crate::threads::joined;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const OPENING: Operation = operation!(
    "ask for the deployment",
    "currentDeployment" + "serverless" + "workspaceOrError" + "workspace",
    "opening"
);
const LOOK: Operation =
    operation!("ask for the code locations", "workspaceOrError" + "agents" + "workspace", "look");
const URLS: Operation = operation!("ask for URLs of the registry", "get" + "put", "pex_urls");

/// Calls with more names are divided. No limit of the server is known.
const MOST_NAMES: usize = 500;

/// By code location: the metadata to which it was last updated.
pub type Metadata = BTreeMap<String, String>;

/// What is to be known of a deployment before anything is built for it. Each answer is that of its own question.
#[derive(Debug)]
pub struct Opening {
    /// [`Client::deployment_info`].
    pub info: Result<DeploymentInfo, DagsterError>,
    /// [`Client::registry`]; `None` if not asked.
    pub registry: Option<Result<Registry, DagsterError>>,
    /// [`Client::workspace`].
    pub states: Result<Vec<LoadState>, DagsterError>,
    /// [`Client::workspace_entries`].
    pub metadata: Result<Metadata, DagsterError>,
}

/// What one look at code locations that load shows.
#[derive(Debug)]
pub struct Look {
    /// [`Client::agents`]; `None` if not asked.
    pub agents: Option<Result<Vec<AgentState>, DagsterError>>,
    /// [`Client::workspace`].
    pub states: Result<Vec<LoadState>, DagsterError>,
    /// [`Client::workspace_entries`], if it was answered in the same document.
    pub metadata: Option<Metadata>,
}

impl Client {
    /// Ask all that is to be known of the deployment before a build. If the registry does not matter, it is not asked for,
    /// since the server may not answer about it.
    ///
    /// # Errors
    /// If the token is refused, or the deployment does not exist.
    pub fn opening(&self, registry_matters: bool) -> Result<Opening, DagsterError> {
        let together = registry_matters.then(|| self.together(OPENING)).flatten();
        match together {
            Some(Ok(mut data)) => Ok(Opening {
                info: operations::deployment_info(&data["currentDeployment"]),
                registry: Some(match &data["serverless"] {
                    Value::Null => Err(operations::lacks(OPENING, "`serverless`")),
                    answer => Ok(operations::registry(answer)),
                }),
                states: operations::load_states(data["workspaceOrError"].take()),
                metadata: operations::stored_metadata(&data["workspace"]),
            }),
            // Each of the questions would get the same answer.
            Some(Err(error @ (DagsterError::Unauthorized { .. } | DagsterError::NotFound { .. }))) => {
                Err(error)
            }
            Some(Err(_)) | None => Ok(std::thread::scope(|scope| {
                let info = scope.spawn(|| self.deployment_info());
                let registry = registry_matters.then(|| scope.spawn(|| self.registry()));
                let metadata = scope.spawn(|| self.workspace_entries());
                let states = self.workspace();
                Opening {
                    info: joined(info),
                    registry: registry.map(joined),
                    states,
                    metadata: joined(metadata),
                }
            })),
        }
    }

    /// Look at the code locations once. After a failure, the agents are only asked for if they
    /// matter.
    pub fn look(&self, agents_matter: bool) -> Look {
        // A server without load stamps does not know this document either.
        let looked = if self.session().is_unknown(WORKSPACE.query) { None } else { self.together(LOOK) };
        match looked {
            Some(Ok(mut data)) => Look {
                agents: Some(operations::agents(&data["agents"])),
                states: operations::load_states(data["workspaceOrError"].take()),
                metadata: operations::stored_metadata(&data["workspace"]).ok(),
            },
            _ => std::thread::scope(|scope| {
                let agents = agents_matter.then(|| scope.spawn(|| self.agents()));
                let states = self.workspace();
                Look { agents: agents.map(joined), states, metadata: None }
            }),
        }
    }

    /// A presigned URL for each object of `get` to read it, and of `put` to write it, in their order.
    ///
    /// # Errors
    /// Those of [`Client::presigned_urls`].
    pub fn urls(
        &self,
        get: &[&str],
        put: &[&str],
    ) -> Result<(Vec<PresignedUrl>, Vec<PresignedUrl>), DagsterError> {
        let (mut reads, mut writes) = (Vec::new(), Vec::new());
        let is_small = get.len() + put.len() <= MOST_NAMES;
        let is_one_call = !get.is_empty() && !put.is_empty() && is_small && !self.registry_has_failed();
        if is_one_call && !self.session().is_unknown(URLS.query) {
            match self.call_together(URLS, json!({"get": get, "put": put})) {
                Ok(data) => {
                    let urls = |key, names| operations::urls(URLS, names, &data[key]);
                    return Ok((urls("get", get)?, urls("put", put)?));
                }
                Err(error) => self.ask_singly(URLS, &error),
            }
        }
        for (names, method, urls) in [(get, Method::Get, &mut reads), (put, Method::Put, &mut writes)] {
            for names in names.chunks(MOST_NAMES) {
                urls.extend(self.presigned_urls(names, method)?);
            }
        }
        Ok((reads, writes))
    }

    /// Ask all questions of a document at once; `None` if the server is known not to answer it.
    fn together(&self, operation: Operation) -> Option<Result<Value, DagsterError>> {
        if self.session().is_unknown(operation.query) {
            return None;
        }
        let answer = self.call_together(operation, json!({}));
        if let Err(error) = &answer {
            self.ask_singly(operation, error);
        }
        Some(answer)
    }

    /// Remember not to ask these questions together again, if the server does not know or show one of the fields. Other
    /// errors may be gone the next time.
    fn ask_singly(&self, operation: Operation, error: &DagsterError) {
        self.host().detail(format!("{error}; asking one question at a time"));
        if error.is_about_fields() {
            self.session().remember_unknown(operation.query);
        }
    }
}
