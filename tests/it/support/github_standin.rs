//! The loopback GitHub of `tests/standin/github`, started for one test and stopped with it.

use super::environments::{environment, helper_version, python};
use super::recording_clock::Heard;
use super::standin::PassingClock;
use super::{npm, repository};
use pexpress::github::Github;
use pexpress::host::{Clock, Host, SystemClock};
use pexpress::net::{Agent, Request, Secret};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, sink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use url::Url;

/// The job's token, with all permissions.
pub const WRITE: &str = "ghs_write";
/// The token of a fork's run.
pub const READONLY: &str = "ghs_readonly";
/// A person's token.
pub const PERSON: &str = "ghp_person";
/// The one repository.
pub const REPOSITORY: &str = "acme/proj";

/// A running stand-in.
pub struct GithubStandin {
    child: Child,
    /// The value for `GITHUB_API_URL`.
    pub url: String,
    origin: String,
    _dir: tempfile::TempDir,
}

impl GithubStandin {
    /// Start one with this configuration (`tests/standin/github/README.md`). With a package index, see
    /// [`has_package_index`], it has the whole description of GitHub's API and checks the schemas of all that is sent.
    pub fn start(config: Value) -> GithubStandin {
        if has_package_index() {
            GithubStandin::start_with("api.github.com.json", config)
        } else {
            start(&python(helper_version()), config)
        }
    }

    /// The same with this one of GitHub's descriptions. Needs a package index.
    pub fn start_with(description: &str, mut config: Value) -> GithubStandin {
        config["openapi"] = json!(description_of_api(description));
        let python = environment(helper_version(), &["jsonschema==4.25.1"]).join("bin/python");
        start(&python, config)
    }

    /// Requests and violations so far.
    pub fn journal(&self) -> GithubJournal {
        GithubJournal(self.ask(Request::get(&self.control_url("journal"))))
    }

    /// Wait until the last requests of a killed client are done.
    pub fn settle(&self) {
        super::standin::settle(|| self.journal().0);
    }

    /// Comments, deployments, commit statuses.
    pub fn state(&self) -> Value {
        self.ask(Request::get(&self.control_url("state")))
    }

    /// The comments' bodies, oldest first.
    pub fn bodies(&self) -> Vec<String> {
        let state = self.state();
        let mut comments = state["comments"].as_array().unwrap().clone();
        comments.sort_by_key(|comment| comment["id"].as_u64());
        let bodies = comments.iter().map(|comment| comment["body"].as_str().unwrap().to_string());
        bodies.inspect(|body| super::assert_no_secret(body)).collect()
    }

    /// Change something: `faults`, `config`, `journal`, `comment`, `edit-comment`, `delete-comment`, `pull`.
    pub fn control(&self, what: &str, value: &Value) -> Value {
        self.ask(Request::post(&self.control_url(what), value.to_string().as_bytes()))
    }

    fn control_url(&self, what: &str) -> Url {
        Url::parse(&format!("{}/-/{what}", self.origin)).unwrap()
    }

    fn ask(&self, request: Request<'_>) -> Value {
        let response = Agent::new(&quiet_host(Arc::new(SystemClock))).send(request).unwrap();
        assert_eq!(response.status, 200);
        serde_json::from_slice(&response.into_bytes(256 << 20).unwrap()).unwrap()
    }

    /// A client with this token and a clock that does not wait.
    pub fn connect(&self, token: &str) -> (Github, Arc<PassingClock>) {
        let clock = Arc::new(PassingClock::default());
        (self.client(token, clock.clone()), clock)
    }

    /// A client with this token and clock.
    pub fn client(&self, token: &str, clock: Arc<dyn Clock>) -> Github {
        let host = quiet_host(clock);
        let agent = Agent::with_timeouts(&host, pexpress::github::api::TIMEOUTS);
        Github::new(&self.url, Secret::new(token), &agent, &host)
    }
}

fn start(python: &Path, config: Value) -> GithubStandin {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.json");
    std::fs::write(&path, config.to_string()).unwrap();
    let mut child = Command::new(python)
        .arg("-B")
        .arg(repository().join("tests/standin/github"))
        .arg(&path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address: Value = serde_json::from_str(&line).expect("the stand-in did not start");
    let url = address["url"].as_str().unwrap().to_string();
    let origin = Url::parse(&url).unwrap().origin().ascii_serialization();
    GithubStandin { child, url, origin, _dir: dir }
}

/// One of the descriptions that GitHub publishes of its API.
pub fn description_of_api(name: &str) -> PathBuf {
    npm::package(npm::OPENAPI).join("generated").join(name)
}

/// Whether this test run includes the tests that are ignored for want of a package index, as `scripts/test` does.
fn has_package_index() -> bool {
    std::env::args().any(|argument| ["--include-ignored", "--ignored"].contains(&argument.as_str()))
}

impl Drop for GithubStandin {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

fn quiet_host(clock: Arc<dyn Clock>) -> Host {
    Host::for_test([].into(), Path::new("/"), Box::new(sink()), Box::new(Heard::default()), clock)
}

/// What a stand-in saw.
pub struct GithubJournal(pub Value);

impl GithubJournal {
    /// The requested operations in order, such as `issues/create-comment`; those before a redirect are `moved`.
    pub fn operations(&self) -> Vec<String> {
        let name = |request: &Value| request["operation"].as_str().unwrap_or("moved").to_string();
        self.requests().iter().map(name).collect()
    }

    /// All requests.
    pub fn requests(&self) -> &Vec<Value> {
        self.0["requests"].as_array().unwrap()
    }

    /// Bodies of the requests of one operation.
    pub fn sent(&self, operation: &str) -> Vec<Value> {
        let of = |request: &&Value| request["operation"] == operation;
        self.requests().iter().filter(of).map(|request| request["body"].clone()).collect()
    }

    /// Panics if GitHub's own description of its API allows less than what was sent.
    pub fn assert_clean(&self) {
        assert_eq!(self.0["violations"], json!([]), "{:#}", self.0["violations"]);
    }
}
