//! What can go wrong between us and Dagster+.

use crate::error::{Explain, Fault};
use crate::net;

/// Dagster+ or its object store did not do what was asked.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum DagsterError {
    #[error("could not {doing}{}", tries(*attempts))]
    Network {
        doing: String,
        attempts: u32,
        #[source]
        source: net::Error,
    },
    #[error("could not {doing}: {whom} answered {status}{}{}{}", reason(*status), tries(*attempts), said(body))]
    Status { doing: String, whom: &'static str, status: u16, attempts: u32, body: String },
    #[error("could not {doing}: Dagster+ refused the token ({status}{})", reason(*status))]
    Unauthorized { doing: String, status: u16 },
    #[error("could not {doing}: {url} does not exist")]
    NotFound { doing: String, url: String },
    #[error("could not {doing}: the answer of {url} is not the API's: {excerpt}")]
    NotTheApi { doing: String, url: String, excerpt: String },
    #[error("could not {doing}: Dagster+ answered with errors: {}", messages.join("; "))]
    GraphQl { doing: String, messages: Vec<String> },
    #[error("could not {doing}: {type_name}: {message}")]
    Refused { doing: String, type_name: String, message: String },
    #[error("could not {doing}: the answer lacks {what}")]
    Unexpected { doing: String, what: String },
    #[error("could not {doing}: Dagster+ is still under maintenance after {waited_seconds} s: {message}")]
    Maintenance { doing: String, waited_seconds: u64, message: String },
    #[error("{last}; an earlier try may have taken effect")]
    AfterLoss { last: Box<DagsterError> },
    #[error("`{name}` is not in the registry")]
    NotStored { name: String },
    #[error("could not read `{path}` for its upload")]
    ReadFile {
        path: std::path::PathBuf,
        #[source]
        source: std::io::Error,
    },
}

fn tries(attempts: u32) -> String {
    if attempts > 1 { format!(" after {attempts} attempts") } else { String::new() }
}

fn said(body: &str) -> String {
    if body.is_empty() { String::new() } else { format!(": {body}") }
}

fn reason(status: u16) -> String {
    let known = ureq::http::StatusCode::from_u16(status).ok();
    known.and_then(|status| status.canonical_reason()).map(|reason| format!(" {reason}")).unwrap_or_default()
}

impl DagsterError {
    /// Whether the answer says that the document or its fields are unknown there.
    pub fn is_graphql(&self) -> bool {
        matches!(self, DagsterError::GraphQl { .. })
    }

    /// Whether the call may have taken effect all the same: an answer was lost, or a gateway gave one of its own.
    pub fn is_uncertain(&self) -> bool {
        match self {
            DagsterError::Network { .. }
            | DagsterError::NotTheApi { .. }
            | DagsterError::Unexpected { .. } => true,
            DagsterError::GraphQl { .. } | DagsterError::Maintenance { .. } => true,
            // Gateways say 409 and 429 too, after what they did not stop.
            DagsterError::Status { status, .. } => [408, 409, 429].contains(status) || *status >= 500,
            // Whatever else there may be is raised while it is being done.
            DagsterError::Refused { type_name, .. } => {
                !["InvalidLocationError", "UnauthorizedError"].contains(&type_name.as_str())
            }
            DagsterError::AfterLoss { .. } => true,
            _ => false,
        }
    }
}

impl DagsterError {
    /// Whether the server gave an answer of its own, so that nothing can come of the call any more.
    pub fn is_final(&self) -> bool {
        match self {
            DagsterError::Refused { .. } => true,
            DagsterError::Status { status, .. } => [409, 429].contains(status),
            _ => !self.is_uncertain(),
        }
    }
}

impl Explain for DagsterError {
    fn fault(&self) -> Fault {
        match self {
            DagsterError::Refused { type_name, .. } if type_name == "InvalidLocationError" => Fault::Project,
            DagsterError::ReadFile { .. } => Fault::Tool,
            DagsterError::Network { source, .. } => source.fault(),
            DagsterError::AfterLoss { last } => last.fault(),
            _ => Fault::Remote,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            DagsterError::Network { source, .. } => source.hint(),
            DagsterError::Unauthorized { .. } => Some(
                "check that DAGSTER_CLOUD_API_TOKEN is a current token of this organization with the right to deploy there".into(),
            ),
            DagsterError::Refused { type_name, .. } if type_name == "UnauthorizedError" => {
                Some("the token is known but may not change this deployment; use one with that right".into())
            }
            DagsterError::Refused { type_name, .. } if type_name == "InvalidLocationError" => {
                Some("correct the code location in dagster_cloud.yaml".into())
            }
            DagsterError::NotFound { .. } => Some(
                "check the organization in DAGSTER_CLOUD_URL and the name of the deployment".into(),
            ),
            DagsterError::NotTheApi { .. } => Some(
                "check DAGSTER_CLOUD_URL; a company proxy or a sign-in page may have answered in its place".into(),
            ),
            DagsterError::Status { .. } | DagsterError::Maintenance { .. } => {
                Some("it may pass: run the same command again later".into())
            }
            DagsterError::GraphQl { .. } | DagsterError::Refused { .. } | DagsterError::Unexpected { .. } => None,
            DagsterError::AfterLoss { last } => last.hint(),
            DagsterError::NotStored { .. } => Some("add --upload-pex".into()),
            DagsterError::ReadFile { .. } => None,
        }
    }
}
