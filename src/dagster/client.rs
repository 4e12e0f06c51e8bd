//! The envelope: one GraphQL document and its variables out, `data` in; headers, retries, maintenance windows.
//!
//! Source: what dagster-cloud-cli 1.13.27 sends and how it treats answers, with these differences. More is tried again:
//! 408 and 500, a passing status even when its body has `errors`, errors that a query met on the way, and whatever is no
//! answer of the API at all, such as a proxy's page. No `Retry-After` outlives the retry it was for.

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

/// The version of Dagster+'s API that is spoken here: that of the dagster-cloud-cli it was read from.
const API_VERSION: &str = "1.13.27";
/// Statuses that pass by themselves, for queries and mutations alike.
const PASSING: [u16; 7] = [408, 409, 429, 500, 502, 503, 504];
/// No answer of the API comes near this; a page of something else might.
const LONGEST_ANSWER_BYTES: u64 = 64 << 20;
const MAINTENANCE_PAUSE: Duration = Duration::from_secs(30);
/// Whatever pause a maintenance window asks for, it may be over sooner.
const LONGEST_MAINTENANCE_PAUSE: Duration = Duration::from_secs(300);
const MAINTENANCE_TIMEOUT: Duration = Duration::from_secs(57_600);

/// One GraphQL document, and what an error says was being done with it.
///
/// All of them are repeated after an answer that was lost: each query, and each mutation here sets a value, so that
/// doing it twice leaves what doing it once leaves.
#[derive(Debug, Clone, Copy)]
pub struct Operation {
    /// `could not …`: a verb and its object.
    pub doing: &'static str,
    /// The document.
    pub query: &'static str,
    /// The one root field.
    pub field: &'static str,
}

impl Operation {
    /// Whether it only asks.
    fn is_query(self) -> bool {
        self.query.starts_with("query")
    }

    fn kind(self) -> Kind<'static> {
        match self.field {
            "createOrUpdateBranchDeployment" => Kind::BranchDeployment,
            "addOrUpdateLocationFromDocument" | "deployLocations" => Kind::Update,
            _ => Kind::Question,
        }
    }
}

/// What the user calls the settings that errors speak of.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The one that gave the address.
    pub address: String,
    /// The one that gave the token.
    pub token: String,
}

impl Default for Settings {
    fn default() -> Settings {
        let (address, token) = (env_vars::DAGSTER_CLOUD_URL, env_vars::DAGSTER_CLOUD_API_TOKEN);
        Settings { address: address.into(), token: token.into() }
    }
}

/// A connection to one organization, at its default deployment or at a named one. Cheap to clone.
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
    /// Whether a refused token ends all that this client and its clones do.
    ends_when_refused: bool,
}

/// What one try brought.
enum Reply {
    Data(Value),
    Maintenance { message: String, timeout: Duration, pause: Duration },
}

impl Client {
    /// A client for the organization at `organization_url`, with this token. `python` is the code location's.
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
        }
    }

    /// The same client, with what the user calls its settings.
    pub fn called(self, settings: Settings) -> Client {
        Client { settings, ..self }
    }

    /// The same client as part of a run: a refused token ends all that the run asks, as an interrupt does.
    pub fn in_session(self, session: &Session) -> Client {
        Client { session: session.clone(), ends_when_refused: true, ..self }
    }

    /// The same client for looks that are repeated for minutes whatever goes wrong: one refusal says nothing yet.
    pub fn patient(&self) -> Client {
        Client { ends_when_refused: false, ..self.clone() }
    }

    /// Whether it is part of a run, and not patient.
    pub(super) fn is_in_session(&self) -> bool {
        self.ends_when_refused
    }

    /// The same client, which tries once.
    pub(super) fn without_retries(&self) -> Client {
        Client { backoff: Backoff { retries: 0, ..self.backoff }, ..self.clone() }
    }

    /// The same client, at a deployment.
    pub fn at(&self, deployment: &str) -> Client {
        Client { deployment: Some(deployment.to_string()), ..self.clone() }
    }

    /// The same client, at the organization, which means its default deployment.
    pub fn at_default(&self) -> Client {
        Client { deployment: None, ..self.clone() }
    }

    /// Whether nothing more is asked in the session of this client: it was interrupted, or its token refused.
    pub fn is_over(&self) -> bool {
        self.session.is_over()
    }

    /// Nothing more is asked in the session of this client, if it has one.
    pub fn end_run(&self, error: DagsterError) {
        if self.ends_when_refused {
            self.session.end_with(error);
        }
    }

    /// Whether no other thing has met `error` before, with this client or another of its session. `name` is what met it.
    pub fn is_first_to_meet(&self, error: &DagsterError, name: &str) -> bool {
        self.session.is_first(error.to_string().replace(&format!("`{name}`"), "`…`"))
    }

    /// What the calls of this run share.
    pub(super) fn session(&self) -> &Session {
        &self.session
    }

    /// The deployment that this client is at.
    pub fn deployment(&self) -> Option<&str> {
        self.deployment.as_deref()
    }

    /// The host it runs on.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Send a request, to Dagster+ or to its object store: the one place where requests of this room begin.
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
    fn url(&self) -> String {
        match &self.deployment {
            Some(name) => format!("{}/{name}", self.organization_url),
            None => self.organization_url.clone(),
        }
    }

    /// Call an operation and take the value of its root field; null is an error.
    ///
    /// # Errors
    /// When no answer of the API came within the retries, or it holds errors.
    pub fn call(&self, operation: Operation, variables: Value) -> Result<Value, DagsterError> {
        let mut data = self.data(operation, &variables)?;
        match data.get_mut(operation.field).map(Value::take) {
            Some(value) if !value.is_null() => Ok(value),
            _ => Err(lacks_field(operation)),
        }
    }

    fn data(&self, operation: Operation, variables: &Value) -> Result<Value, DagsterError> {
        let body = json!({"query": operation.query, "variables": variables}).to_string();
        let url = format!("{}/graphql", self.url());
        let parsed = Url::parse(&url).map_err(|error| DagsterError::Unexpected {
            doing: operation.doing.into(),
            what: error.to_string(),
        })?;
        let began = self.host.clock.elapsed();
        let mut lost = false;
        loop {
            let reply = retry::run(&self.backoff, self.host.clock.as_ref(), |number| {
                let reply = self.attempt(operation, &parsed, body.as_bytes(), number);
                match operation.is_query() {
                    true => reply,
                    false => reply.map_err(|failure| after_loss(failure, &mut lost)),
                }
            });
            match reply.map_err(|failed| failed.error)? {
                Reply::Data(data) => return Ok(data),
                Reply::Maintenance { message, timeout, pause } => {
                    let waited = self.host.clock.elapsed().saturating_sub(began);
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
        let mut request = Request::post(url, body)
            .header("Content-Type", "application/json")
            .header("Accept", "application/json")
            .header("Dagster-Cloud-Scope", "deployment")
            .header("Dagster-Cloud-Version", API_VERSION)
            .header("Python-Version", &format!("{}.0", self.python))
            .secret_header("Dagster-Cloud-Api-Token", self.token.clone());
        if let Some(name) = &self.deployment {
            request = request.header("Dagster-Cloud-Deployment", name);
        }
        let network = |source: net::Error| again(operation.doing, number, source);
        let response = self
            .send(request, operation.kind(), operation.doing, number)
            .map_err(|failure| failure.map(|error| error.with_address(&self.settings.address)))?;
        let status = response.status;
        let retry_after = response.retry_after(self.host.clock.now());
        let passing = PASSING.contains(&status);
        let failure = |body: &[u8]| DagsterError::Status {
            doing: operation.doing.into(),
            whom: "Dagster+",
            status,
            attempts: number,
            body: excerpt(body),
        };
        let bytes = match response.into_bytes(LONGEST_ANSWER_BYTES) {
            Ok(bytes) => bytes,
            Err(_) if passing => return Err(Again::After { error: failure(b""), retry_after }),
            Err(error) => return Err(network(error)),
        };
        let answer: Map<String, Value> = match foreign_json::read(&bytes) {
            Ok(Value::Object(answer)) => answer,
            _ => Map::new(),
        };
        if let Some(reply) = maintenance(&answer) {
            return Ok(reply);
        }
        let data = answer.get("data").filter(|data| data.is_object());
        let errors = error_messages(&answer);
        let doing = operation.doing.to_string();
        // Without `data`, the document was not even begun. Source: GraphQL specification, section 7.1.
        let begun = status < 400 && answer.contains_key("data");
        let (error, passes) = match (data, status) {
            (_, 401 | 403) => {
                let refused = |doing| {
                    let setting = self.settings.token.clone();
                    DagsterError::Unauthorized { doing, status, setting }
                };
                self.end_run(refused(doing.clone()));
                (refused(doing), false)
            }
            _ if !errors.is_empty() && (!passing || status == 500) => {
                let error =
                    DagsterError::GraphQl { doing, messages: errors, setting: self.settings.token.clone() };
                (error, passing || (begun && operation.is_query()))
            }
            (Some(data), _) if errors.is_empty() && data.get(operation.field).is_some() => {
                return Ok(Reply::Data(data.clone()));
            }
            // A reply that came twice answers the next question on its connection too.
            (Some(_), _) if errors.is_empty() => (lacks_field(operation), true),
            _ if passing => (failure(&bytes), true),
            (_, 404) => {
                let setting = self.settings.address.clone();
                (DagsterError::NotFound { doing, url: self.url(), setting }, false)
            }
            (_, 200..=399) => {
                let (excerpt, setting) = (excerpt(&bytes), self.settings.address.clone());
                (DagsterError::NotTheApi { doing, url: self.url(), excerpt, setting }, true)
            }
            _ => (failure(&bytes), false),
        };
        Err(if passes { Again::After { error, retry_after } } else { Again::No(error) })
    }
}

fn lacks_field(operation: Operation) -> DagsterError {
    DagsterError::Unexpected { doing: operation.doing.into(), what: format!("`{}`", operation.field) }
}

/// A failure as it is to be told after other tries: what lost its answer may have been done, whatever came later.
fn after_loss(failure: Again<DagsterError>, lost: &mut bool) -> Again<DagsterError> {
    let before = *lost;
    let mut told = |error: DagsterError| {
        *lost |= error.is_uncertain();
        match before && !error.is_uncertain() {
            true => DagsterError::AfterLoss { last: Box::new(error) },
            false => error,
        }
    };
    match failure {
        Again::No(error) => Again::No(told(error)),
        Again::After { error, retry_after } => Again::After { error: told(error), retry_after },
    }
}

/// A network failure, and whether it is worth another try. Every operation here may be repeated, see [`Operation`].
pub(super) fn again(doing: &str, attempts: u32, source: net::Error) -> Again<DagsterError> {
    let lasting = source.transience() == Transience::Lasting;
    let error = DagsterError::Network { doing: doing.to_string(), attempts, setting: None, source };
    if lasting { Again::No(error) } else { Again::After { error, retry_after: None } }
}

/// `{"maintenance": {"message", "timeout", "retry_interval"}}`, in seconds; 0 or nothing means the default.
fn maintenance(answer: &Map<String, Value>) -> Option<Reply> {
    let window = answer.get("maintenance")?.as_object()?;
    let seconds = |key: &str, default: Duration| {
        let given =
            window.get(key).and_then(Value::as_f64).filter(|seconds| seconds.is_finite() && *seconds > 0.0);
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

/// The beginning of a body, on one line.
fn excerpt(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(400)]);
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let short: String = line.chars().take(120).collect();
    if short.is_empty() { short } else { format!("`{short}`") }
}
