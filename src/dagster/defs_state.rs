//! The state of definitions that Dagster+ keeps for state-backed components: versions, and the states themselves; and the
//! environment variables that code locations have there.
//!
//! Source: `DagsterPlusCliDefsStateStorage` and `refresh_defs_state_impl` of dagster-dg-cli 1.13.27, and
//! `upload_artifact` of dagster-cloud-cli 1.13.27.

use super::client::{Client, Operation, again};
use super::error::{DagsterError, STORE};
use super::operations::{lacks, member, operation};
use super::session::Kind;
use super::values::text;
use crate::foreign_json;
use crate::hex::hex;
use crate::net::retry::{self, Again, Backoff};
use crate::net::{Request, Response};
use crate::redact::Secret;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::path::Path;
use url::Url;

const INFO: Operation =
    operation!("ask for the state of definitions", "latestDefsStateInfo", "defs_state_info");
const SET_VERSION: Operation =
    operation!("set the state of definitions", "setLatestDefsStateVersion", "set_defs_state_version");
const SECRETS: Operation = operation!("ask for the environment variables", "secretsOrError", "secrets");

/// Transient statuses of the store. A state has a version of its own, so it may be sent again.
const TRANSIENT: [u16; 6] = [408, 429, 500, 502, 503, 504];
/// No answer about where to send a state comes near this size.
const LONGEST_ANSWER_BYTES: u64 = 1 << 20;

/// An environment variable that Dagster+ sets for code locations.
#[derive(Debug, Clone)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: Secret,
    /// The code locations that have it; all if empty.
    pub locations: Vec<String>,
}

/// Where a state is to be sent: an address, and fields of the form.
struct Form {
    url: Url,
    fields: Vec<(String, String)>,
}

impl Client {
    /// The latest versions of the deployment, as `defs_state_info` of a location document has them; `None` if there are
    /// none.
    ///
    /// # Errors
    /// Those of the call.
    pub fn defs_state_info(&self) -> Result<Option<Value>, DagsterError> {
        let answer = self.call_nullable(INFO, json!({}))?;
        if answer.is_null() {
            return Ok(None);
        }
        let entries = answer["keyStateInfo"].as_array().ok_or_else(|| lacks(INFO, "keyStateInfo"))?;
        let mut mapping = Map::new();
        for entry in entries {
            let name = text(entry, "name").ok_or_else(|| lacks(INFO, "name"))?;
            let info = &entry["info"];
            let value = match info.is_null() {
                true => Value::Null,
                false => json!({"version": info["version"], "create_timestamp": info["createTimestamp"]}),
            };
            mapping.insert(name, value);
        }
        Ok(Some(json!({"info_mapping": mapping})))
    }

    /// Make a version the latest one of a key; `None` removes the key.
    ///
    /// # Errors
    /// Those of the call, and the server's refusal.
    pub fn set_defs_state_version(&self, key: &str, version: Option<&str>) -> Result<(), DagsterError> {
        let answer = self.call(SET_VERSION, json!({"key": key, "version": version}))?;
        match answer["ok"] == Value::Bool(true) {
            true => Ok(()),
            false => Err(lacks(SET_VERSION, "ok")),
        }
    }

    /// The variables of the full deployments, or of the branch deployments, that this token may see.
    ///
    /// # Errors
    /// Those of the call, and the server's refusal.
    pub fn environment_variables(&self, of_branch: bool) -> Result<Vec<Variable>, DagsterError> {
        let scope = if of_branch { "allBranchDeploymentsScope" } else { "fullDeploymentScope" };
        let answer = self.call(SECRETS, json!({"onlyViewable": true, "scopes": {scope: true}}))?;
        let answer = member(SECRETS, answer, "Secrets")?;
        let secrets = answer["secrets"].as_array().ok_or_else(|| lacks(SECRETS, "secrets"))?;
        let read = |secret: &Value| {
            let locations = secret["locationNames"].as_array().map(Vec::as_slice).unwrap_or_default();
            Some(Variable {
                name: text(secret, "secretName")?,
                value: Secret::new(&text(secret, "secretValue")?),
                locations: locations.iter().filter_map(Value::as_str).map(String::from).collect(),
            })
        };
        Ok(secrets.iter().filter_map(read).collect())
    }

    /// Send the state in `path` to Dagster+, under the name `artifact`.
    ///
    /// # Errors
    /// A file that cannot be read, and the refusal of Dagster+ or its object store.
    pub fn upload_defs_state(&self, artifact: &str, path: &Path) -> Result<(), DagsterError> {
        let content = std::fs::read(path)
            .map_err(|source| DagsterError::ReadFile { path: path.to_path_buf(), source })?;
        let form = self.form(artifact)?;
        let boundary = format!("pexpress-{}", hex(Sha256::digest(&content)));
        let body = multipart(&form.fields, &content, &boundary);
        let kind = format!("multipart/form-data; boundary={boundary}");
        let sent = retry::run(&Backoff::UPLOAD, self.host().clock.as_ref(), |number| {
            // The fields are a credential, and the store gets no token.
            let request = Request::post(&form.url, &body).confidential().header("Content-Type", &kind);
            let doing = "send a state of definitions";
            let response = self.send(request, Kind::DefsState, doing, number)?;
            match response.status {
                200..300 => Ok(()),
                status => Err(refused(doing, STORE, &response, status, number)),
            }
        });
        sent.map_err(|failed| failed.error)
    }

    fn form(&self, artifact: &str) -> Result<Form, DagsterError> {
        let doing = "ask where to send a state of definitions";
        let unexpected = |what: String| DagsterError::Unexpected { doing: doing.into(), what };
        let url = Url::parse(&format!("{}/gen_artifact_post", self.url()))
            .map_err(|error| unexpected(error.to_string()))?;
        let body = json!({"key": artifact}).to_string();
        let asked = retry::run(&Backoff::API, self.host().clock.as_ref(), |number| {
            let request = self.request(&url, body.as_bytes());
            let response = self.send(request, Kind::Question, doing, number)?;
            match response.status {
                200..300 => {
                    response.into_bytes(LONGEST_ANSWER_BYTES).map_err(|error| again(doing, number, error))
                }
                status => Err(refused(doing, "Dagster+", &response, status, number)),
            }
        });
        let answer = foreign_json::read(&asked.map_err(|failed| failed.error)?).unwrap_or_default();
        let url = answer["url"].as_str().and_then(|url| Url::parse(url).ok());
        let fields = answer["fields"].as_object();
        let (Some(url), Some(fields)) = (url, fields) else {
            return Err(unexpected("`url` and `fields`".into()));
        };
        let field = |(name, value): (&String, &Value)| Some((name.clone(), value.as_str()?.to_string()));
        Ok(Form { url, fields: fields.iter().filter_map(field).collect() })
    }
}

fn refused(
    doing: &str,
    whom: &'static str,
    response: &Response,
    status: u16,
    attempts: u32,
) -> Again<DagsterError> {
    let retry_after = response.retry_after(std::time::SystemTime::now());
    let error = DagsterError::Status { doing: doing.into(), whom, status, attempts, body: String::new() };
    if TRANSIENT.contains(&status) { Again::After { error, retry_after } } else { Again::No(error) }
}

/// A form with a file. Source: RFC 7578; stores ignore what follows the part `file`.
fn multipart(fields: &[(String, String)], content: &[u8], boundary: &str) -> Vec<u8> {
    let mut body = Vec::with_capacity(content.len() + 4096);
    for (name, value) in fields {
        let part =
            format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
        body.extend(part.as_bytes());
    }
    let head =
        format!("--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"state\"\r\n\r\n");
    body.extend(head.as_bytes());
    body.extend(content);
    body.extend(format!("\r\n--{boundary}--\r\n").as_bytes());
    body
}
