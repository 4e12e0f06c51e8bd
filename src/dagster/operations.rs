//! A function for each GraphQL document in `queries/`, with typed arguments and answers.
//!
//! Unions are read by `__typename`, and every member other than the expected one is a failure. Source:
//! dagster-cloud-cli 1.13.27 for fields, arguments and union members; the open-source dagster-graphql schema, which
//! Dagster+ extends, for `updatedTimestamp` and `versionKey`.

pub use super::values::{
    AgentState, BranchData, ChainLink, CommitData, DeploymentInfo, LoadStamp, LoadState, Method,
    PresignedUrl, PullRequestStatus, PythonFailure, Registry, WorkspaceEntry,
};

use super::client::{Client, Operation};
use super::error::DagsterError;
use super::session::Reach;
use super::values::text;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use url::Url;

macro_rules! operation {
    ($doing:literal, $field:literal $(+ $others:literal)*, $file:literal) => {
        Operation {
            doing: $doing,
            field: $field,
            others: &[$($others),*],
            query: include_str!(concat!("queries/", $file, ".graphql")),
        }
    };
}
pub(super) use operation;

const SERVERLESS: Operation = operation!("ask for the registry", "serverless", "serverless");
const AGENTS: Operation = operation!("ask for the agents", "agents", "agents");
pub(super) const WORKSPACE: Operation =
    operation!("ask for the code locations", "workspaceOrError", "workspace");
const WORKSPACE_WITHOUT_STAMPS: Operation =
    operation!("ask for the code locations", "workspaceOrError", "workspace_without_stamps");
const WORKSPACE_ENTRIES: Operation =
    operation!("ask for the deployed metadata", "workspace", "workspace_entries");
const WORKSPACE_WITNESS: Operation =
    operation!("ask for the deployed metadata", "workspace", "workspace_witness");
const DOCUMENTS: Operation =
    operation!("ask for the code locations' documents", "locationsAsDocument", "documents");
const FULL_DEPLOYMENTS: Operation =
    operation!("ask for the deployments", "fullDeployments", "full_deployments");
const DEPLOYMENT_BY_NAME: Operation =
    operation!("look for the deployment", "deploymentByName", "deployment_by_name");
const DEPLOYMENT: Operation = operation!("ask for the deployment", "currentDeployment", "deployment");
const UPLOAD_URLS: Operation =
    operation!("ask for upload URLs", "generateServerlessPexUrl", "pex_upload_urls");
const DOWNLOAD_URLS: Operation =
    operation!("ask for download URLs", "generateServerlessPexUrl", "pex_download_urls");
const ADD_OR_UPDATE_LOCATION: Operation =
    operation!("update the code location", "addOrUpdateLocationFromDocument", "add_or_update_location");
const DEPLOY_LOCATIONS: Operation =
    operation!("update the code locations", "deployLocations", "deploy_locations");
const DEPLOY_LOCATIONS_REFUSAL: Operation =
    operation!("update the code locations", "deployLocations", "deploy_locations_refusal");
const BRANCH_DEPLOYMENT_REFUSAL: Operation = operation!(
    "create or update the branch deployment",
    "createOrUpdateBranchDeployment",
    "branch_deployment_refusal"
);
const BRANCH_DEPLOYMENT: Operation = operation!(
    "create or update the branch deployment",
    "createOrUpdateBranchDeployment",
    "branch_deployment"
);
const BRANCH_DEPLOYMENT_NAME: Operation =
    operation!("ask for the branch deployment's name", "getBranchDeploymentName", "branch_deployment_name");

impl Client {
    /// The organization's registry.
    ///
    /// # Errors
    /// Those of the call.
    pub fn registry(&self) -> Result<Registry, DagsterError> {
        Ok(registry(&self.call(SERVERLESS, json!({}))?))
    }

    /// The deployment of this client.
    ///
    /// # Errors
    /// Those of the call.
    pub fn deployment_info(&self) -> Result<DeploymentInfo, DagsterError> {
        deployment_info(&self.call(DEPLOYMENT, json!({}))?)
    }

    /// The agents that serve the deployment.
    ///
    /// # Errors
    /// Those of the call.
    pub fn agents(&self) -> Result<Vec<AgentState>, DagsterError> {
        agents(&self.call(AGENTS, json!({}))?)
    }

    /// The code locations of the deployment.
    ///
    /// If the server's schema has no load stamps, the query is repeated without them.
    ///
    /// # Errors
    /// Those of the call.
    pub fn workspace(&self) -> Result<Vec<LoadState>, DagsterError> {
        load_states(self.call_or(WORKSPACE, WORKSPACE_WITHOUT_STAMPS)?)
    }

    /// The metadata to which each code location was last updated, as stored on the server.
    ///
    /// # Errors
    /// Those of the call.
    pub fn workspace_entries(&self) -> Result<BTreeMap<String, String>, DagsterError> {
        stored_metadata(&self.call(WORKSPACE_ENTRIES, json!({}))?)
    }

    /// The document of each code location of the deployment, as an update takes it.
    ///
    /// # Errors
    /// Those of the call.
    pub fn documents(&self) -> Result<Vec<Map<String, Value>>, DagsterError> {
        let mut answer = self.call(DOCUMENTS, json!({}))?;
        match answer["document"]["locations"].take() {
            Value::Array(documents) => Ok(documents.into_iter().filter_map(object).collect()),
            _ => Err(lacks(DOCUMENTS, "locations")),
        }
    }

    /// The server's stored entry for each code location, with the state of its load if the server reports it.
    ///
    /// Source: the agent's own query. It is not known whether a user's token may query these fields.
    ///
    /// # Errors
    /// Those of the call.
    pub fn witness(&self) -> Result<BTreeMap<String, WorkspaceEntry>, DagsterError> {
        let answer = self.call_or(WORKSPACE_WITNESS, WORKSPACE_ENTRIES)?;
        let entries = answer["workspaceEntries"]
            .as_array()
            .ok_or_else(|| lacks(WORKSPACE_ENTRIES, "workspaceEntries"))?;
        let entry = |entry: &Value| {
            let metadata = text(entry, "serializedDeploymentMetadata")?;
            let (outdated, load_failed) =
                (entry["hasOutdatedData"].as_bool(), entry["hasLoadError"].as_bool());
            Some((text(entry, "locationName")?, WorkspaceEntry { metadata, outdated, load_failed }))
        };
        Ok(entries.iter().filter_map(entry).collect())
    }

    /// Query all fields. If the server does not know some of them, query fewer now and from then on.
    fn call_or(&self, all: Operation, fewer: Operation) -> Result<Value, DagsterError> {
        if self.session().is_unknown(all.query) {
            return self.call(fewer, json!({}));
        }
        match self.call(all, json!({})) {
            Err(error) if error.is_graphql() => {
                self.host().detail(format!("{error}; asking with fewer fields"));
                let answer = self.call(fewer, json!({}))?;
                // Other errors may be gone at the next query, so do not remember them.
                if error.is_about_fields() {
                    self.session().remember_unknown(all.query);
                }
                Ok(answer)
            }
            answer => answer,
        }
    }

    /// Names of the organization's full deployments.
    ///
    /// # Errors
    /// Those of the call.
    pub fn full_deployments(&self) -> Result<Vec<String>, DagsterError> {
        let answer = self.at_default().call(FULL_DEPLOYMENTS, json!({}))?;
        let all = answer.as_array().ok_or_else(|| lacks(FULL_DEPLOYMENTS, "a list"))?;
        Ok(all.iter().filter_map(|one| text(one, "deploymentName")).collect())
    }

    /// Whether the organization has a deployment of this name, full or branch.
    ///
    /// # Errors
    /// Those of the call, and an unknown answer.
    pub fn has_deployment(&self, name: &str) -> Result<bool, DagsterError> {
        let answer = self.at_default().call(DEPLOYMENT_BY_NAME, json!({"name": name}))?;
        match answer["__typename"].as_str() {
            Some(type_name) if type_name.contains("NotFound") => Ok(false),
            _ => member(DEPLOYMENT_BY_NAME, answer, "DagsterCloudDeployment").map(|_| true),
        }
    }

    /// A presigned URL for each object, in their order.
    ///
    /// # Errors
    /// Those of the call, and fewer URLs than objects.
    pub fn presigned_urls(&self, names: &[&str], method: Method) -> Result<Vec<PresignedUrl>, DagsterError> {
        let operation = if method == Method::Put { UPLOAD_URLS } else { DOWNLOAD_URLS };
        urls(operation, names, &self.call_registry(operation, json!({"filenames": names}))?)
    }

    /// Query the registry. After it did not answer within the retries, later calls are made without retries.
    fn call_registry(&self, operation: Operation, variables: Value) -> Result<Value, DagsterError> {
        // While the registry is not known to work, one call at a time: with many files, each would retry for a long
        // time.
        let mut reach = self.session().registry();
        let client = match *reach {
            // Only the first calls wait for each other; afterwards they run in parallel.
            Reach::Fine => {
                drop(reach);
                return self.call(operation, variables);
            }
            Reach::Untried => self.clone(),
            Reach::Failed => self.without_retries(),
        };
        let answer = client.call(operation, variables);
        *reach = match &answer {
            Err(error) if error.is_out_of_reach() && self.is_in_session() => Reach::Failed,
            Err(_) => Reach::Untried,
            Ok(_) => Reach::Fine,
        };
        answer
    }

    /// Whether the registry did not answer within the retries.
    pub(super) fn registry_has_failed(&self) -> bool {
        *self.session().registry() == Reach::Failed
    }

    /// Add or update one code location. The others do not change.
    ///
    /// # Errors
    /// Those of the call, and the server's refusal.
    pub fn update_location(&self, document: &Map<String, Value>) -> Result<(), DagsterError> {
        let answer = self.call(ADD_OR_UPDATE_LOCATION, json!({"document": document}))?;
        let entry = member(ADD_OR_UPDATE_LOCATION, answer, "WorkspaceEntry")?;
        match (&entry["locationName"], document.get("location_name")) {
            (Value::String(updated), Some(Value::String(asked))) if updated != asked => {
                Err(lacks(ADD_OR_UPDATE_LOCATION, &format!("`{asked}`; it is about `{updated}`")))
            }
            _ => Ok(()),
        }
    }

    /// Add or update several code locations at once, all or none. The others do not change.
    ///
    /// # Errors
    /// Those of the call, and the server's refusal.
    pub fn update_locations(&self, documents: &[&Map<String, Value>]) -> Result<(), DagsterError> {
        let variables = json!({"document": {"locations": documents}});
        self.mutate(DEPLOY_LOCATIONS, DEPLOY_LOCATIONS_REFUSAL, variables, "DeployLocationsSuccess").map(drop)
    }

    /// Create or update a branch deployment. Returns its name.
    ///
    /// # Errors
    /// Those of the call, and the server's refusal.
    pub fn put_branch_deployment(
        &self,
        branch: &BranchData,
        commit: &CommitData,
        base: Option<&str>,
        snapshot: Option<&str>,
    ) -> Result<String, DagsterError> {
        let variables = json!({
            "branchData": branch, "commit": commit, "baseDeploymentName": base, "snapshotBaseCondition": snapshot,
        });
        let member = "DagsterCloudDeployment";
        let answer = self.mutate(BRANCH_DEPLOYMENT, BRANCH_DEPLOYMENT_REFUSAL, variables, member)?;
        text(&answer, "deploymentName").ok_or_else(|| lacks(BRANCH_DEPLOYMENT, "deploymentName"))
    }

    /// Call a mutation. If the token may not do it, call it again in a form that returns the reason: it is not
    /// documented whether the union has `UnauthorizedError`, and a server without it would refuse a document that names
    /// it.
    fn mutate(
        &self,
        operation: Operation,
        with_reason: Operation,
        variables: Value,
        expected: &str,
    ) -> Result<Value, DagsterError> {
        let answer = member(operation, self.call(operation, variables.clone())?, expected);
        match answer {
            Err(DagsterError::Refused { type_name, .. }) if type_name == "UnauthorizedError" => {
                let answer_with_reason = self
                    .call(with_reason, variables)
                    .and_then(|answer_with_reason| member(operation, answer_with_reason, expected));
                match answer_with_reason {
                    Err(error) if error.is_graphql() => Err(DagsterError::Refused {
                        doing: operation.doing.into(),
                        type_name,
                        message: "no reason given".into(),
                    }),
                    answer_with_reason => answer_with_reason,
                }
            }
            answer => answer,
        }
    }

    /// The name that the branch deployment of a branch has or would have. Creates nothing.
    ///
    /// # Errors
    /// Those of the call.
    pub fn branch_deployment_name(&self, repository: &str, branch: &str) -> Result<String, DagsterError> {
        let answer =
            self.call(BRANCH_DEPLOYMENT_NAME, json!({"repoName": repository, "branchName": branch}))?;
        answer.as_str().map(String::from).ok_or_else(|| lacks(BRANCH_DEPLOYMENT_NAME, "a name"))
    }
}

pub(super) fn registry(answer: &Value) -> Registry {
    Registry {
        is_harbor: answer["registryIsHarbor"] == Value::Bool(true),
        url: answer["registryUrl"].as_str().filter(|url| !url.is_empty()).map(String::from),
    }
}

pub(super) fn deployment_info(answer: &Value) -> Result<DeploymentInfo, DagsterError> {
    Ok(DeploymentInfo {
        name: text(answer, "deploymentName").ok_or_else(|| lacks(DEPLOYMENT, "deploymentName"))?,
        agent_type: text(answer, "agentType"),
    })
}

pub(super) fn agents(answer: &Value) -> Result<Vec<AgentState>, DagsterError> {
    let agents = answer.as_array().ok_or_else(|| lacks(AGENTS, "a list"))?;
    let errors = |agent: &Value| {
        let errors = agent["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
        errors.iter().filter_map(|error| text(&error["error"], "message")).collect()
    };
    let state =
        |agent| AgentState { status: text(agent, "status").unwrap_or_default(), errors: errors(agent) };
    Ok(agents.iter().map(state).collect())
}

pub(super) fn load_states(answer: Value) -> Result<Vec<LoadState>, DagsterError> {
    let answer = member(WORKSPACE, answer, "Workspace")?;
    let entries = answer["locationEntries"].as_array().ok_or_else(|| lacks(WORKSPACE, "locationEntries"))?;
    let state = |entry| LoadState::read(entry).ok_or_else(|| lacks(WORKSPACE, "the name of a code location"));
    entries.iter().map(state).collect()
}

pub(super) fn stored_metadata(answer: &Value) -> Result<BTreeMap<String, String>, DagsterError> {
    let entries =
        answer["workspaceEntries"].as_array().ok_or_else(|| lacks(WORKSPACE_ENTRIES, "workspaceEntries"))?;
    let entry = |entry| Some((text(entry, "locationName")?, text(entry, "serializedDeploymentMetadata")?));
    Ok(entries.iter().filter_map(entry).collect())
}

/// The URLs for these objects, in their order.
pub(super) fn urls(
    operation: Operation,
    names: &[&str],
    answer: &Value,
) -> Result<Vec<PresignedUrl>, DagsterError> {
    let items = answer.as_array().map(Vec::as_slice).unwrap_or_default().iter();
    let urls: Vec<_> =
        items.filter_map(|item| Url::parse(item["url"].as_str()?).ok().map(PresignedUrl)).collect();
    if let Some((name, _)) = names.iter().zip(&urls).find(|(name, url)| is_for_other_object(&url.0, name)) {
        return Err(lacks(operation, &format!("the URL of `{name}`; it is about another file")));
    }
    if urls.len() != names.len() {
        return Err(lacks(operation, &format!("URLs: {} for {} files", urls.len(), names.len())));
    }
    Ok(urls)
}

fn object(value: Value) -> Option<Map<String, Value>> {
    match value {
        Value::Object(object) => Some(object),
        _ => None,
    }
}

/// Whether the path of a URL ends with the name of another object of the registry. With such a mixed-up answer, one
/// file would be written under the name of another. Paths of any other form are accepted.
fn is_for_other_object(url: &Url, name: &str) -> bool {
    let last = url.path_segments().and_then(|mut segments| segments.next_back()).unwrap_or_default();
    let ours = ["deps-", "source-"].iter().any(|prefix| last.starts_with(prefix)) && last.ends_with(".pex");
    ours && last != name
}

/// The value, if it is the expected member of its union; otherwise an error with the server's message.
pub(super) fn member(operation: Operation, answer: Value, expected: &str) -> Result<Value, DagsterError> {
    let type_name = answer["__typename"].as_str().unwrap_or_default();
    if type_name == expected {
        return Ok(answer);
    }
    let listed = answer["errors"].as_array().map(|errors| {
        let line = |error: &Value| error.as_str().or(error["message"].as_str()).map(String::from);
        let lines = errors.iter().map(|error| line(error).unwrap_or_else(|| error.to_string()));
        lines.collect::<Vec<_>>().join("; ")
    });
    Err(DagsterError::Refused {
        doing: operation.doing.into(),
        type_name: if type_name.is_empty() { "unknown answer".into() } else { type_name.into() },
        message: listed.or_else(|| text(&answer, "message")).unwrap_or_else(|| "no reason given".into()),
    })
}

pub(super) fn lacks(operation: Operation, what: &str) -> DagsterError {
    DagsterError::Unexpected { doing: operation.doing.into(), what: what.into() }
}
