//! The loopback Dagster+ of `tests/standin`, started for one test and stopped with it.

use super::environments::{helper_version, python};
use super::{graphql, repository};
use pexpress::net::{Agent, Request};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use url::Url;

/// The only token that a stand-in accepts.
pub const TOKEN: &str = "user:token-for-tests";

/// A running stand-in.
pub struct Standin {
    child: Child,
    /// The organization's address.
    pub url: String,
    _dir: tempfile::TempDir,
}

impl Standin {
    /// Start one with this configuration (`tests/standin/README.md`).
    pub fn start(mut config: Value) -> Standin {
        config["token"] = json!(TOKEN);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.json");
        std::fs::write(&path, config.to_string()).unwrap();
        let mut child = Command::new(python(helper_version()))
            .arg("-B")
            .arg(repository().join("tests/standin"))
            .arg(&path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address: Value = serde_json::from_str(&line).expect("the stand-in did not start");
        Standin { child, url: address["url"].as_str().unwrap().to_string(), _dir: dir }
    }

    /// Requests, violations and connections so far. Problems found by [`graphql::problems`] are violations too.
    pub fn journal(&self) -> Journal {
        let mut journal = self.ask("journal");
        let found = graphql_violations(&journal);
        journal["violations"].as_array_mut().unwrap().extend(found);
        Journal(journal)
    }

    /// Wait until the last requests of a killed client are done.
    pub fn settle(&self) {
        settle(|| self.ask("journal"));
    }

    /// Objects, deployments and their code locations.
    pub fn state(&self) -> Value {
        self.ask("state")
    }

    /// Change something: `faults`, `config`, `journal` (clears it), `delete-object`, `put-object`.
    pub fn control(&self, what: &str, value: &Value) {
        if ["journal", "reset"].contains(&what) {
            assert_eq!(self.refusals(), [] as [Value; 0], "requests that Dagster+ refuses");
        }
        let url = Url::parse(&format!("{}/-/{what}", self.url)).unwrap();
        let response = agent().send(Request::post(&url, value.to_string().as_bytes())).unwrap();
        assert_eq!(response.status, 200, "{what}");
    }

    /// Requests so far that the real service would refuse and this one answers.
    fn refusals(&self) -> Vec<Value> {
        graphql_violations(&self.ask("journal"))
    }

    fn ask(&self, what: &str) -> Value {
        let url = Url::parse(&format!("{}/-/{what}", self.url)).unwrap();
        let bytes = agent().send(Request::get(&url)).unwrap().into_bytes(64 << 20).unwrap();
        serde_json::from_slice(&bytes).unwrap()
    }

    /// Let `command` deploy here.
    pub fn point<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env("DAGSTER_CLOUD_URL", &self.url).env("DAGSTER_CLOUD_API_TOKEN", TOKEN)
    }
}

impl Drop for Standin {
    fn drop(&mut self) {
        // A second panic would end the whole test program.
        let found = if std::thread::panicking() { Vec::new() } else { self.refusals() };
        drop(self.child.stdin.take());
        let _ = self.child.wait();
        assert_eq!(found, [] as [Value; 0], "requests that Dagster+ refuses");
    }
}

/// Problems found by [`graphql::problems`], as violations in a journal.
fn graphql_violations(journal: &Value) -> Vec<Value> {
    let requests = journal["requests"].as_array().unwrap().iter();
    let violations = requests.flat_map(|request| {
        let violation = |problem| json!({"what": problem, "operation": request["operation"]});
        graphql::problems(request).into_iter().map(violation)
    });
    violations.collect()
}

/// Read the journal until no other connection is open.
pub fn settle(journal: impl Fn() -> Value) {
    let began = Instant::now();
    while journal()["open_connections"] != 1 {
        assert!(began.elapsed() < Duration::from_secs(60), "connections stay open: {:#}", journal());
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn agent() -> Agent {
    Agent::new(&pexpress::host::Host::for_test(
        [].into(),
        Path::new("/"),
        Box::new(std::io::sink()),
        Box::new(std::io::sink()),
        Arc::new(pexpress::host::SystemClock),
    ))
}

/// What a stand-in saw.
pub struct Journal(pub Value);

impl Journal {
    /// GraphQL root fields (`a+b` for a document with two), and `PUT NAME` or `GET NAME` for objects, in order.
    pub fn calls(&self) -> Vec<String> {
        let requests = self.0["requests"].as_array().unwrap();
        requests
            .iter()
            .map(|request| match request["server"].as_str() {
                Some("store") => {
                    format!("{} {}", request["method"].as_str().unwrap(), request["object"].as_str().unwrap())
                }
                _ => fields(request).map_or("unreadable".to_string(), |fields| fields.join("+")),
            })
            .collect()
    }

    /// How many calls, or fields of a call, begin with `prefix`.
    pub fn count(&self, prefix: &str) -> usize {
        let begins = |call: &&String| call.starts_with(prefix) || call.contains(&format!("+{prefix}"));
        self.calls().iter().filter(begins).count()
    }

    /// The longest chain of requests that each began after the one before had ended.
    pub fn round_trips(&self) -> usize {
        let mut times: Vec<(f64, f64)> = Vec::new();
        for request in self.0["requests"].as_array().unwrap() {
            let time = |key: &str| request[key].as_f64().unwrap_or_else(|| panic!("no {key}: {request:#}"));
            times.push((time("time"), time("ended")));
        }
        times.sort_by(|one, other| one.1.total_cmp(&other.1));
        let (mut trips, mut free) = (0, f64::MIN);
        for (began, ended) in times {
            if began >= free {
                (trips, free) = (trips + 1, ended);
            }
        }
        trips
    }

    /// Variables of each call of a root field.
    pub fn variables(&self, field: &str) -> Vec<Value> {
        let requests = self.0["requests"].as_array().unwrap();
        requests
            .iter()
            .filter(|request| fields(request).is_some_and(|fields| fields.contains(&field)))
            .map(|request| request["variables"].clone())
            .collect()
    }

    /// Panics if there are violations.
    pub fn assert_clean(&self) {
        assert_eq!(self.0["violations"], json!([]), "{:#}", self.0["violations"]);
    }
}

/// The root fields of a request, each once.
fn fields(request: &Value) -> Option<Vec<&str>> {
    let mut fields: Vec<&str> =
        request["fields"].as_array()?.iter().map(|name| name.as_str().unwrap()).collect();
    fields.dedup();
    Some(fields)
}

/// A clock on which time passes only by sleeping, so that waiting for minutes takes no time.
#[derive(Default)]
pub struct PassingClock(std::sync::Mutex<Vec<std::time::Duration>>);

impl PassingClock {
    /// The pauses so far, in seconds.
    pub fn slept(&self) -> Vec<f64> {
        self.0.lock().unwrap().iter().map(std::time::Duration::as_secs_f64).collect()
    }
}

impl pexpress::host::Clock for PassingClock {
    fn now(&self) -> std::time::SystemTime {
        let slept: std::time::Duration = self.0.lock().unwrap().iter().sum();
        std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000) + slept
    }
    fn sleep(&self, time: std::time::Duration) {
        self.0.lock().unwrap().push(time);
    }
}

/// A client in a test, with its host's clock and output.
pub struct Connected {
    /// Without a deployment.
    pub client: pexpress::dagster::Client,
    /// Its clock.
    pub clock: Arc<PassingClock>,
    /// What it said.
    pub heard: super::recording_clock::Heard,
}

impl Standin {
    /// A client for this stand-in, with a clock that does not wait.
    pub fn connect(&self) -> Connected {
        self.connect_with(pexpress::net::agent::Timeouts::default(), TOKEN)
    }

    /// A client with this clock.
    pub fn connect_by(&self, clock: Arc<dyn pexpress::host::Clock>) -> pexpress::dagster::Client {
        let (stdout, stderr) = (Box::new(std::io::sink()), Box::new(std::io::sink()));
        let host = pexpress::host::Host::for_test([].into(), Path::new("/"), stdout, stderr, clock);
        let python = pexpress::target::PythonVersion::DEFAULT;
        let token = pexpress::net::Secret::new(TOKEN);
        pexpress::dagster::Client::new(&host, &Agent::new(&host), &self.url, token, python)
    }

    /// The same with other time-outs, or another token.
    pub fn connect_with(&self, timeouts: pexpress::net::agent::Timeouts, token: &str) -> Connected {
        let clock = Arc::new(PassingClock(std::sync::Mutex::default()));
        let heard = super::recording_clock::Heard::default();
        let stderr = Box::new(heard.clone());
        let stdout = Box::new(std::io::sink());
        let host = pexpress::host::Host::for_test([].into(), Path::new("/"), stdout, stderr, clock.clone());
        let agent = Agent::with_timeouts(&host, timeouts);
        let token = pexpress::net::Secret::new(token);
        let python = pexpress::target::PythonVersion::DEFAULT;
        let client = pexpress::dagster::Client::new(&host, &agent, &self.url, token, python);
        Connected { client, clock, heard }
    }
}
