//! Errors of requests to Dagster+.

use crate::error::{Explain, Fault};
use crate::net;

/// A request to Dagster+ or its object store failed.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum DagsterError {
    #[error("could not {doing}{}", tries(*attempts))]
    Network {
        doing: String,
        attempts: u32,
        /// The setting with the URL; `None` for the object store, as Dagster+ provides its URL.
        setting: Option<String>,
        #[source]
        source: net::Error,
    },
    #[error("could not {doing}: {whom} answered {status}{}{}{}", reason(*status), tries(*attempts), said(body))]
    Status { doing: String, whom: &'static str, status: u16, attempts: u32, body: String },
    #[error("could not {doing}: Dagster+ refused the token ({status}{})", reason(*status))]
    Unauthorized { doing: String, status: u16, setting: String },
    #[error("the deployment `{name}` was deleted while this run waited")]
    Deleted { name: String },
    #[error("could not {doing}: {url} does not exist")]
    NotFound { doing: String, url: String, setting: String },
    #[error("could not {doing}: the answer of {url} is not the API's: {excerpt}")]
    NotTheApi { doing: String, url: String, excerpt: String, setting: String },
    #[error("could not {doing}: Dagster+ answered with errors: {}", messages.join("; "))]
    GraphQl { doing: String, messages: Vec<String>, setting: String },
    #[error("could not {doing}: {type_name}: {message}")]
    Refused { doing: String, type_name: String, message: String },
    #[error("could not {doing}: the answer lacks {what}")]
    Unexpected { doing: String, what: String },
    #[error("could not {doing}: Dagster+ is still under maintenance after {waited_seconds} s: {message}")]
    Maintenance { doing: String, waited_seconds: u64, message: String },
    #[error("{last}; an earlier try may have taken effect")]
    AfterLoss { last: Box<DagsterError> },
    #[error("could not {doing}: this run was interrupted")]
    Interrupted { doing: String },
    #[error(transparent)]
    Over(std::sync::Arc<DagsterError>),
    #[error("the registry's copy of `{name}` differs from the file that was sent, twice in a row")]
    Damaged { name: String },
    #[error("`{name}` is not in the registry")]
    NotStored { name: String },
    #[error("could not read `{path}` for its upload")]
    ReadFile {
        path: std::path::PathBuf,
        #[source]
        source: std::io::Error,
    },
}

/// Name of the object store in errors.
pub(super) const STORE: &str = "the object store";

fn token_hint(setting: &str) -> String {
    format!("check that {setting} is a current token of this organization with the right to deploy there")
}

/// Whether an error of the API is about missing permissions. Some servers report them with status 200.
fn is_about_rights(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    ["unauthorized", "unauthenticated", "permission", "forbidden", "not authorized"]
        .iter()
        .any(|word| message.contains(word))
}

/// Whether an answer is about the job or run config that was asked for.
fn is_about_the_run(type_name: &str) -> bool {
    ["RunConfigValidationInvalid", "PipelineNotFoundError", "InvalidSubsetError"].contains(&type_name)
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
    /// The same with the setting that has the URL, for a network failure.
    pub(super) fn with_address(mut self, name: &str) -> DagsterError {
        if let DagsterError::Network { setting, .. } = &mut self {
            *setting = Some(name.to_string());
        }
        self
    }

    /// Whether the server answered with GraphQL errors, such as unknown fields.
    pub fn is_graphql(&self) -> bool {
        matches!(self, DagsterError::GraphQl { .. })
    }

    /// Whether the API did not answer within the retries, so that the same request would fail again.
    pub fn is_out_of_reach(&self) -> bool {
        use DagsterError::{Maintenance, Network, NotTheApi, Status};
        matches!(self, Status { .. } | Network { .. } | NotTheApi { .. } | Maintenance { .. })
    }

    /// Whether the job that was to be launched does not exist.
    pub fn is_unknown_job(&self) -> bool {
        matches!(self, DagsterError::Refused { type_name, .. } if type_name == "PipelineNotFoundError")
    }

    /// Whether it is about fields that the server does not know, or does not show to this token.
    pub fn is_about_fields(&self) -> bool {
        let says = |message: &String| message.contains("Cannot query field") || is_about_rights(message);
        matches!(self, DagsterError::GraphQl { messages, .. } if messages.iter().any(says))
    }

    /// Whether the token or the URL was refused, so that the same request would be refused again.
    pub fn is_refusal(&self) -> bool {
        match self {
            DagsterError::Unauthorized { .. }
            | DagsterError::NotFound { .. }
            | DagsterError::Deleted { .. } => true,
            DagsterError::GraphQl { messages, .. } => messages.iter().any(|text| is_about_rights(text)),
            _ => false,
        }
    }

    /// Whether the call may have taken effect anyway: the answer was lost, or came from a gateway.
    pub fn is_uncertain(&self) -> bool {
        match self {
            DagsterError::Network { .. }
            | DagsterError::NotTheApi { .. }
            | DagsterError::Unexpected { .. } => true,
            DagsterError::GraphQl { .. } | DagsterError::Maintenance { .. } => true,
            // Gateways also answer 409 and 429 after a request that they already passed on.
            DagsterError::Status { status, .. } => [408, 409, 429].contains(status) || *status >= 500,
            // All other types are raised during execution.
            DagsterError::Refused { type_name, .. } => {
                !["InvalidLocationError", "UnauthorizedError"].contains(&type_name.as_str())
                    && !is_about_the_run(type_name)
            }
            DagsterError::AfterLoss { .. } => true,
            _ => false,
        }
    }
}

impl DagsterError {
    /// Whether the answer is the server's own, so that the call cannot take effect any more.
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
            DagsterError::Refused { type_name, .. } if is_about_the_run(type_name) => Fault::Usage,
            DagsterError::ReadFile { .. } => Fault::Tool,
            DagsterError::Network { source, .. } => source.fault(),
            DagsterError::AfterLoss { last } => last.fault(),
            DagsterError::Over(error) => error.fault(),
            _ => Fault::Remote,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            DagsterError::Network { source: source @ net::Error::Unreachable { .. }, setting: Some(setting), .. } => {
                let network = source.hint().unwrap_or_default();
                // `check the network; …`
                let network = network.strip_prefix("check ").map_or(format!("; {network}"), |network| format!(", and {network}"));
                Some(format!("check the address in {setting}{network}"))
            }
            DagsterError::Network { source, .. } => source.hint(),
            DagsterError::Unauthorized { setting, .. } => Some(token_hint(setting)),
            DagsterError::Interrupted { .. } => None,
            DagsterError::Refused { type_name, .. } if type_name == "UnauthorizedError" => {
                Some("the token is known but may not change this deployment; use one with that right".into())
            }
            DagsterError::Refused { type_name, .. } if type_name == "InvalidLocationError" => {
                Some("correct the code location in dagster_cloud.yaml".into())
            }
            DagsterError::Deleted { .. } => Some(
                "Dagster+ deletes the branch deployment of a closed pull request; if this one is still wanted, deploy again".into(),
            ),
            DagsterError::NotFound { setting, .. } => Some(format!(
                "check the organization in {setting} and the name of the deployment"
            )),
            DagsterError::NotTheApi { setting, .. } => Some(format!(
                "check {setting}; a company proxy or a sign-in page may have answered in its place"
            )),
            DagsterError::Status { whom: STORE, status: 401 | 403, .. } => Some(
                "the object store refuses the address that Dagster+ gave for the upload: check that the clock of this machine is right and that no proxy changes requests; if this persists, contact Dagster+ support".into(),
            ),
            DagsterError::Status { status, .. } if (400..500).contains(status) && ![408, 409, 425, 429].contains(status) => None,
            DagsterError::Status { .. } | DagsterError::Maintenance { .. } => {
                Some("this is often transient: run the same command again later".into())
            }
            DagsterError::GraphQl { messages, setting, .. } if messages.iter().any(|text| is_about_rights(text)) => {
                Some(token_hint(setting))
            }
            DagsterError::GraphQl { .. } | DagsterError::Refused { .. } | DagsterError::Unexpected { .. } => None,
            DagsterError::AfterLoss { last } => last.hint(),
            DagsterError::Over(error) => error.hint(),
            DagsterError::Damaged { .. } => Some(
                "something between this machine and the object store, such as a proxy, cuts uploads short: run the same command again, or from another network".into(),
            ),
            DagsterError::NotStored { .. } => Some("add --upload".into()),
            DagsterError::ReadFile { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::SafeUrl;

    #[test]
    fn an_unreachable_host_leads_to_a_hint_with_its_setting() {
        let url = || SafeUrl::parse("https://acme.example/graphql");
        let network =
            |source| DagsterError::Network { doing: "x".into(), attempts: 1, setting: None, source };
        let source = || Box::new(ureq::Error::HostNotFound);
        let unreachable = || network(net::Error::Unreachable { url: url(), proxy: None, source: source() });
        let silent = network(net::Error::TimedOut { url: url(), waited: std::time::Duration::from_secs(1) });
        assert_eq!(silent.with_address("--url").hint(), None);
        insta::assert_snapshot!(unreachable().hint().unwrap(), @"check the network; if this machine needs a proxy, set HTTPS_PROXY");
        insta::assert_snapshot!(
            unreachable().with_address("the input `dagster_cloud_url`").hint().unwrap(),
            @"check the address in the input `dagster_cloud_url`, and the network; if this machine needs a proxy, set HTTPS_PROXY"
        );
    }
}
