//! Sends a GraphQL document with its variables and returns `data`: headers, retries, maintenance windows.
//!
//! Source: the requests of dagster-cloud-cli 1.13.27 and its treatment of answers, with these differences. More is
//! retried: 408 and 500, a transient status even when its body has `errors`, errors during the execution of a query,
//! and answers that are not from the API, such as a proxy's page. A `Retry-After` only applies to the next retry.

use super::error::DagsterError;
use super::session::{Kind, Session};
use crate::env_vars;
use crate::foreign_json;
use crate::host::Host;
use crate::net::retry::{self, Again, Backoff};
use crate::net::{self, Agent, Request, Response, Secret, Transience};
use crate::target::PythonVersion;
use serde_json::{Map, Value, json};
use std::time::Duration;
use url::Url;

/// The version of Dagster+'s API that is used here: that of the dagster-cloud-cli it was read from.
const API_VERSION: &str = "1.13.27";
/// Transient statuses, for queries and mutations alike.
const TRANSIENT: [u16; 7] = [408, 409, 429, 500, 502, 503, 504];
/// No answer of the API comes near this size.
const LONGEST_ANSWER_BYTES: u64 = 64 << 20;
const MAINTENANCE_PAUSE: Duration = Duration::from_secs(30);
/// Upper limit of a pause, because a maintenance window may end early.
const LONGEST_MAINTENANCE_PAUSE: Duration = Duration::from_secs(300);
const MAINTENANCE_TIMEOUT: Duration = Duration::from_secs(57_600);

/// One GraphQL document, and its task for error messages.
///
/// All of them are repeated after a lost answer: queries, mutations that set a value, so that doing it twice has the
/// same effect as once, and `launchRun`, by whose idempotency key the server knows a repeated request.
#[derive(Debug, Clone, Copy)]
pub struct Operation {
    /// Completes `could not …`: a verb and its object.
    pub doing: &'static str,
    /// The document.
    pub query: &'static str,
    /// The only root field, or the key of the first one.
    pub field: &'static str,
    /// Keys of further root fields, of a document that asks several questions at once.
    pub others: &'static [&'static str],
}

impl Operation {
    /// Whether it is a query.
    fn is_query(self) -> bool {
        self.query.starts_with("query")
    }

    /// Whether an answer has each of its fields.
    fn is_answered_by(self, data: &Value) -> bool {
        self.others.iter().chain([&self.field]).all(|key| data.get(*key).is_some())
    }

    fn kind(self) -> Kind<'static> {
        match self.field {
            "createOrUpdateBranchDeployment" => Kind::BranchDeployment,
            "addOrUpdateLocationFromDocument" | "deployLocations" => Kind::Update,
            "launchRun" => Kind::Launch,
            "setLatestDefsStateVersion" => Kind::DefsState,
            "deleteLocation" | "deleteDeployment" => Kind::Removal,
            _ => Kind::Question,
        }
    }
}

/// The names of settings for error messages: an input on a runner, a flag or variable in a terminal.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The setting with the URL.
    pub address: String,
    /// The setting with the token.
    pub token: String,
}

impl Default for Settings {
    fn default() -> Settings {
        let (address, token) = (env_vars::DAGSTER_CLOUD_URL, env_vars::DAGSTER_CLOUD_API_TOKEN);
        Settings { address: address.into(), token: token.into() }
    }
}

/// A client for one organization, with its default deployment or a named one. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    agent: Agent,
    host: Host,
    organization_url: String,
    deployment: Option<String>,
    token: Secret,
    python: PythonVersion,
    backoff: Backoff,
    settings: Settings,
    session: Session,
    /// Whether a refused token ends the session.
    ends_when_refused: bool,
    /// Sent with each request, so that the server carries out a repeated one only once.
    idempotency_key: Option<String>,
}

/// The result of one attempt.
enum Reply {
    Data(Value),
    Maintenance { message: String, timeout: Duration, pause: Duration },
}

impl Client {
    /// A client for the organization at `organization_url`, with this token. `python` is the version of the code
    /// locations.
    pub fn new(
        host: &Host,
        agent: &Agent,
        organization_url: &str,
        token: Secret,
        python: PythonVersion,
    ) -> Client {
        Client {
            agent: agent.clone(),
            host: host.clone(),
            organization_url: organization_url.trim_end_matches('/').to_string(),
            deployment: None,
            token,
            python,
            backoff: Backoff::API,
            settings: Settings::default(),
            session: Session::default(),
            ends_when_refused: false,
            idempotency_key: None,
        }
    }

    /// The same client with names of settings for error messages.
    pub fn called(self, settings: Settings) -> Client {
        Client { settings, ..self }
    }

    /// The same client as part of a run: a refused token ends all its requests, as an interrupt does.
    pub fn in_session(self, session: &Session) -> Client {
        Client { session: session.clone(), ends_when_refused: true, ..self }
    }

    /// The same client for polling that continues for minutes despite errors: one refusal does not end the session.
    pub fn patient(&self) -> Client {
        Client { ends_when_refused: false, ..self.clone() }
    }

    /// Whether it is part of a run and not a patient client.
    pub(super) fn is_in_session(&self) -> bool {
        self.ends_when_refused
    }

    /// The same client for one call that must not take effect twice. Source: the header of dagster-cloud-cli's
    /// `job launch`.
    pub(super) fn with_idempotency_key(&self, key: String) -> Client {
        Client { idempotency_key: Some(key), ..self.clone() }
    }

    /// The same client without retries.
    pub(super) fn without_retries(&self) -> Client {
        Client { backoff: Backoff { retries: 0, ..self.backoff }, ..self.clone() }
    }

    /// The same client for a deployment.
    pub fn at(&self, deployment: &str) -> Client {
        Client { deployment: Some(deployment.to_string()), ..self.clone() }
    }

    /// The same client for the organization's default deployment.
    pub fn at_default(&self) -> Client {
        Client { deployment: None, ..self.clone() }
    }

    /// Whether the session of this client is over: it was interrupted, or its token was refused.
    pub fn is_over(&self) -> bool {
        self.session.is_over()
    }

    /// End the session of this client, if it has one.
    pub fn end_run(&self, error: DagsterError) {
        if self.ends_when_refused {
            self.session.end_with(error);
        }
    }

    /// Whether `error` is new in this session, apart from `name`, the object that it is about.
    pub fn is_first_to_meet(&self, error: &DagsterError, name: &str) -> bool {
        self.session.is_first(error.to_string().replace(&format!("`{name}`"), "`…`"))
    }

    /// The state that all calls of this run share.
    pub(super) fn session(&self) -> &Session {
        &self.session
    }

    /// The deployment of this client.
    pub fn deployment(&self) -> Option<&str> {
        self.deployment.as_deref()
    }

    /// The host.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Send a request to Dagster+ or its object store. All requests of this module start here.
    pub(super) fn send(
        &self,
        request: Request<'_>,
        kind: Kind<'_>,
        doing: &str,
        number: u32,
    ) -> Result<Response, Again<DagsterError>> {
        self.session.begin(kind, doing).map_err(Again::No)?;
        self.agent.send(request).map_err(|error| again(doing, number, error))
    }

    /// The web page with the code locations of the deployment.
    pub fn locations_page(&self) -> String {
        format!("{}/locations", self.url())
    }

    /// The URL of the organization, or of the deployment in it.
    pub(super) fn url(&self) -> String {
        match &self.deployment {
            Some(name) => format!("{}/{name}", self.organization_url),
            None => self.organization_url.clone(),
        }
    }

    /// Call an operation and return the value of its root field. Null is an error.
    ///
    /// # Errors
    /// When the API did not answer within the retries, or answered with errors.
    pub fn call(&self, operation: Operation, variables: Value) -> Result<Value, DagsterError> {
        let mut data = self.data(operation, &variables)?;
        match data.get_mut(operation.field).map(Value::take) {
            Some(value) if !value.is_null() => Ok(value),
            _ => Err(lacks_field(operation)),
        }
    }

    /// The same where null is an answer.
    pub(super) fn call_nullable(
        &self,
        operation: Operation,
        variables: Value,
    ) -> Result<Value, DagsterError> {
        let mut data = self.data(operation, &variables)?;
        data.get_mut(operation.field).map(Value::take).ok_or_else(|| lacks_field(operation))
    }

    /// Ask several questions with one document, and return the value of each root field by its key. There is one try:
    /// whoever gets an error can ask each question by itself, with all retries.
    ///
    /// # Errors
    /// Those of [`Client::call`], also when only one of the questions failed.
    pub(super) fn call_together(
        &self,
        operation: Operation,
        variables: Value,
    ) -> Result<Value, DagsterError> {
        self.without_retries().data(operation, &variables)
    }

    fn data(&self, operation: Operation, variables: &Value) -> Result<Value, DagsterError> {
        let body = json!({"query": operation.query, "variables": variables}).to_string();
        let url = format!("{}/graphql", self.url());
        // The address comes from the user, so an invalid one is an ordinary error.
        let parsed = Url::parse(&url).map_err(|error| DagsterError::Unexpected {
            doing: operation.doing.into(),
            what: error.to_string(),
        })?;
        // Not the system time, which may be changed during a window of hours.
        let began = self.host.clock.elapsed();
        let mut lost = false;
        loop {
            let reply = retry::run(&self.backoff, self.host.clock.as_ref(), |number| {
                let reply = self.attempt(operation, &parsed, body.as_bytes(), number);
                match operation.is_query() {
                    true => reply,
                    // Only a mutation can have taken effect unnoticed.
                    false => reply.map_err(|failure| after_loss(failure, &mut lost)),
                }
            });
            match reply.map_err(|failed| failed.error)? {
                Reply::Data(data) => return Ok(data),
                Reply::Maintenance { message, timeout, pause } => {
                    let waited = self.host.clock.elapsed().saturating_sub(began);
                    // Not before the pause: a window that ends within the pause would be missed.
                    if waited + pause > timeout {
                        return Err(DagsterError::Maintenance {
                            doing: operation.doing.into(),
                            waited_seconds: waited.as_secs(),
                            message,
                        });
                    }
                    self.host.note(format!(
                        "Dagster+ is under maintenance, trying again in {} s: {message}",
                        pause.as_secs()
                    ));
                    self.host.clock.sleep(pause);
                }
            }
        }
    }

    fn attempt(
        &self,
        operation: Operation,
        url: &Url,
        body: &[u8],
        number: u32,
    ) -> Result<Reply, Again<DagsterError>> {
        let network = |source: net::Error| again(operation.doing, number, source);
        let response = self
            .send(self.request(url, body), operation.kind(), operation.doing, number)
            .map_err(|failure| failure.map(|error| error.with_address(&self.settings.address)))?;
        let status = response.status;
        // Read first: the body consumes the response, and its failure may still be retried with this pause.
        let retry_after = response.retry_after(self.host.clock.now());
        let bytes = match response.into_bytes(LONGEST_ANSWER_BYTES) {
            Ok(bytes) => bytes,
            // The status says more than the broken body.
            Err(_) if TRANSIENT.contains(&status) => {
                return Err(Again::After { error: failure(operation, status, number, b""), retry_after });
            }
            Err(error) => return Err(network(error)),
        };
        self.judge(operation, status, &bytes, number).map_err(|(error, is_transient)| match is_transient {
            true => Again::After { error, retry_after },
            false => Again::No(error),
        })
    }

    /// The same headers as dagster-cloud-cli sends: they tell the server which deployment and API version are meant.
    pub(super) fn request<'a>(&self, url: &'a Url, body: &'a [u8]) -> Request<'a> {
        let request = Request::post(url, body)
            .header("Content-Type", "application/json")
            .header("Accept", "application/json")
            .header("Dagster-Cloud-Scope", "deployment")
            .header("Dagster-Cloud-Version", API_VERSION)
            .header("Python-Version", &format!("{}.0", self.python))
            .secret_header("Dagster-Cloud-Api-Token", self.token.clone());
        let request = match &self.idempotency_key {
            Some(key) => request.header("Idempotency-Key", key),
            None => request,
        };
        match &self.deployment {
            Some(name) => request.header("Dagster-Cloud-Deployment", name),
            None => request,
        }
    }

    /// What an answer means: a reply, or an error and whether another attempt may succeed.
    fn judge(
        &self,
        operation: Operation,
        status: u16,
        bytes: &[u8],
        number: u32,
    ) -> Result<Reply, (DagsterError, bool)> {
        let answer: Map<String, Value> = match foreign_json::read(bytes) {
            // Anything else, such as an HTML page, is treated as an answer without content.
            Ok(Value::Object(answer)) => answer,
            _ => Map::new(),
        };
        if let Some(reply) = maintenance(&answer) {
            return Ok(reply);
        }
        let transient = TRANSIENT.contains(&status);
        let data = answer.get("data").filter(|data| data.is_object());
        let errors = error_messages(&answer);
        let doing = operation.doing.to_string();
        // Without `data`, execution did not start. Source: GraphQL specification, section 7.1.
        let started = status < 400 && answer.contains_key("data");
        Err(match (data, status) {
            (_, 401 | 403) => {
                let refused = |doing| {
                    let setting = self.settings.token.clone();
                    DagsterError::Unauthorized { doing, status, setting }
                };
                // The token is refused for the whole run, so threads that are still busy stop too.
                self.end_run(refused(doing.clone()));
                (refused(doing), false)
            }
            _ if !errors.is_empty() && (!transient || status == 500) => {
                let error =
                    DagsterError::GraphQl { doing, messages: errors, setting: self.settings.token.clone() };
                // A mutation that started may have taken effect. A query has no effect.
                (error, transient || (started && operation.is_query()))
            }
            (Some(data), _) if errors.is_empty() && operation.is_answered_by(data) => {
                return Ok(Reply::Data(data.clone()));
            }
            // Probably the answer to another request on this connection, such as one that was sent twice.
            (Some(_), _) if errors.is_empty() => (lacks_field(operation), true),
            _ if transient => (failure(operation, status, number, bytes), true),
            (_, 404) => {
                let setting = self.settings.address.clone();
                (DagsterError::NotFound { doing, url: self.url(), setting }, false)
            }
            // Such as the login page of a proxy. It may be gone at the next attempt.
            (_, 200..=399) => {
                let (excerpt, setting) = (excerpt(bytes), self.settings.address.clone());
                (DagsterError::NotTheApi { doing, url: self.url(), excerpt, setting }, true)
            }
            _ => (failure(operation, status, number, bytes), false),
        })
    }
}

fn failure(operation: Operation, status: u16, attempts: u32, body: &[u8]) -> DagsterError {
    let doing = operation.doing.into();
    DagsterError::Status { doing, whom: "Dagster+", status, attempts, body: excerpt(body) }
}

fn lacks_field(operation: Operation) -> DagsterError {
    DagsterError::Unexpected { doing: operation.doing.into(), what: format!("`{}`", operation.field) }
}

/// The failure to report after earlier attempts: one with a lost answer may have taken effect, whatever came later.
fn after_loss(failure: Again<DagsterError>, lost: &mut bool) -> Again<DagsterError> {
    let before = *lost;
    let mut marked = |error: DagsterError| {
        *lost |= error.is_uncertain();
        match before && !error.is_uncertain() {
            true => DagsterError::AfterLoss { last: Box::new(error) },
            false => error,
        }
    };
    match failure {
        Again::No(error) => Again::No(marked(error)),
        Again::After { error, retry_after } => Again::After { error: marked(error), retry_after },
    }
}

/// A network failure, and whether to retry. Every operation here may be repeated, see [`Operation`].
pub(super) fn again(doing: &str, attempts: u32, source: net::Error) -> Again<DagsterError> {
    let lasting = source.transience() == Transience::Lasting;
    let error = DagsterError::Network { doing: doing.to_string(), attempts, setting: None, source };
    if lasting { Again::No(error) } else { Again::After { error, retry_after: None } }
}

/// `{"maintenance": {"message", "timeout", "retry_interval"}}`, in seconds; 0 or a missing value means the default.
fn maintenance(answer: &Map<String, Value>) -> Option<Reply> {
    let window = answer.get("maintenance")?.as_object()?;
    let seconds = |key: &str, default: Duration| {
        let given =
            window.get(key).and_then(Value::as_f64).filter(|seconds| seconds.is_finite() && *seconds > 0.0);
        // `from_secs_f64` panics on a number that is too large.
        given.map_or(default, |seconds| Duration::from_secs_f64(seconds.min(1e6)))
    };
    let timeout = seconds("timeout", MAINTENANCE_TIMEOUT);
    let longest = LONGEST_MAINTENANCE_PAUSE.min(timeout);
    Some(Reply::Maintenance {
        message: window.get("message").and_then(Value::as_str).unwrap_or_default().to_string(),
        timeout,
        pause: seconds("retry_interval", MAINTENANCE_PAUSE).min(longest),
    })
}

fn error_messages(answer: &Map<String, Value>) -> Vec<String> {
    match answer.get("errors") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(errors)) => errors
            .iter()
            .map(|error| match error.get("message").and_then(Value::as_str) {
                Some(message) => message.to_string(),
                None => error.to_string(),
            })
            .collect(),
        Some(other) => vec![other.to_string()],
    }
}

/// The start of a body, on one line.
fn excerpt(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(400)]);
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let short: String = line.chars().take(120).collect();
    if short.is_empty() { short } else { format!("`{short}`") }
}
