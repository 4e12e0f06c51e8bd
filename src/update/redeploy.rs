//! Deployed code locations, loaded again as they are.
//!
//! Dagster+ has no mutation for that which a client of its own uses. Sending the document that it has of a code location
//! once more is an update like any other: its agent starts the code location again. Source: `dagster-cloud workspace pull`
//! and `sync` of dagster-cloud-cli 1.13.27, which read and send the same documents.

use super::online::{agent_limits, agent_type};
use super::{Before, Outcome, Phase, Update};
use crate::context::Context;
use crate::dagster::{Client, DagsterError};
use crate::error::{Explain, Fault};
use crate::near_names::closest;
use serde_json::{Map, Value};

/// Code locations could not be redeployed at all.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum RedeployError {
    #[error(transparent)]
    Dagster(#[from] DagsterError),
    #[error("the deployment `{deployment}` has no code location `{name}`; it has {}", named(known))]
    Unknown { name: String, deployment: String, known: Vec<String> },
}

fn named(known: &[String]) -> String {
    if known.is_empty() { "no code locations".into() } else { known.join(", ") }
}

impl Explain for RedeployError {
    fn fault(&self) -> Fault {
        match self {
            RedeployError::Dagster(error) => error.fault(),
            RedeployError::Unknown { .. } => Fault::Usage,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            RedeployError::Dagster(error) => error.hint(),
            RedeployError::Unknown { name, known, .. } => {
                let known: Vec<&str> = known.iter().map(String::as_str).collect();
                closest(name, &known).map(|near| format!("did you mean `{near}`?"))
            }
        }
    }
}

/// The updates that load code locations again. `documents` are those of the deployment of `client`.
///
/// # Errors
/// If a code location does not exist.
pub fn updates(
    client: &Client,
    documents: &[Map<String, Value>],
    names: &[String],
) -> Result<Vec<Update>, RedeployError> {
    names.iter().map(|name| update(client, documents, name)).collect()
}

/// Load code locations of the deployment of `client` again, and wait for them. `reached` is called with the progress.
///
/// # Errors
/// If Dagster+ does not answer.
pub fn run(
    client: &Client,
    context: &Context,
    updates: Vec<Update>,
    reached: &dyn Fn(Phase),
) -> Result<Vec<Outcome>, RedeployError> {
    let before = Before::look(client)?.for_same_documents();
    let is_queued = updates.iter().any(|update| update.document.contains_key("agent_queue"));
    let agent_type = agent_type(client, client.host())?;
    let limits = agent_limits(context, agent_type.as_deref(), is_queued);
    Ok(super::run(&client.patient(), updates, &before, limits, reached))
}

/// The document of the code location, without values that are null: an update refuses them.
fn update(client: &Client, documents: &[Map<String, Value>], name: &str) -> Result<Update, RedeployError> {
    let name_of = |document: &Map<String, Value>| {
        document.get("location_name").and_then(Value::as_str).unwrap_or_default().to_string()
    };
    let Some(document) = documents.iter().find(|document| name_of(document) == name) else {
        let known = documents.iter().map(name_of).collect();
        let deployment = client.deployment().unwrap_or_default().into();
        return Err(RedeployError::Unknown { name: name.into(), deployment, known });
    };
    let mut document = document.clone();
    document.retain(|_, value| !value.is_null());
    Ok(Update { name: name.into(), document })
}
