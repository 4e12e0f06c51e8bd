//! A step of a workflow as the runner starts it: inputs and event in, files of the runner out. Without `act`, which the
//! tests in `action/runs.rs` use, so each takes only a second.

use super::github_standin::{GithubStandin, REPOSITORY, WRITE};
use super::standin::{Standin, TOKEN};
use super::{assert_no_secret, pexpress_with_uv};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// The commit at the head of the pull request.
pub const HEAD: &str = "2222222222222222222222222222222222222222";
/// The commit of a push.
pub const PUSHED: &str = "1111111111111111111111111111111111111111";

/// A step before it runs.
pub struct Step<'a> {
    dir: &'a Path,
    env: BTreeMap<String, String>,
}

/// What a step left behind.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub outputs: BTreeMap<String, String>,
    pub summary: String,
    /// stdout and stderr.
    pub log: String,
}

impl<'a> Step<'a> {
    /// A step for the project in `dir`, with a token for each stand-in.
    pub fn new(dir: &'a Path, dagster: &Standin, github: &GithubStandin) -> Step<'a> {
        let mut env = BTreeMap::new();
        for (name, value) in [
            ("GITHUB_ACTIONS", "true"),
            ("CI", "true"),
            ("GITHUB_SERVER_URL", "https://github.example"),
            ("GITHUB_REPOSITORY", REPOSITORY),
            ("GITHUB_RUN_ID", "1001"),
            ("GITHUB_RUN_ATTEMPT", "1"),
            ("GITHUB_RUN_NUMBER", "5"),
            ("GITHUB_JOB", "deploy"),
            ("GITHUB_ACTION", "__self"),
            ("GITHUB_WORKFLOW_REF", "acme/proj/.github/workflows/deploy.yml@refs/heads/main"),
            ("GITHUB_API_URL", &github.url),
            ("DAGSTER_CLOUD_URL", &dagster.url),
            ("INPUT_DAGSTER_CLOUD_API_TOKEN", TOKEN),
            ("INPUT_GITHUB_TOKEN", WRITE),
            ("INPUT_LOCATION_LOAD_TIMEOUT", "20"),
            // The dagster of these projects is a tiny wheel that cannot load anything.
            ("INPUT_VERIFY", "false"),
            ("GITHUB_WORKSPACE", dir.to_str().unwrap()),
        ] {
            env.insert(name.to_string(), value.to_string());
        }
        Step { dir, env }
    }

    /// The same with a variable. An empty one counts as not set.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }

    /// The same in another run, job or attempt.
    pub fn event(self, name: &str, payload: &Value) -> Self {
        let path = self.dir.join(format!("event-{name}-{}.json", self.env.len()));
        std::fs::write(&path, payload.to_string()).unwrap();
        let pull_request = name.starts_with("pull_request");
        let reference = if pull_request { "refs/pull/7/merge" } else { "refs/heads/main" };
        let reference = self.env.get("GITHUB_REF").cloned().unwrap_or(reference.to_string());
        self.with("GITHUB_EVENT_NAME", name)
            .with("GITHUB_EVENT_PATH", path.to_str().unwrap())
            .with("GITHUB_REF", &reference)
            .with("GITHUB_SHA", PUSHED)
    }

    /// Its variables, without those of the machine.
    pub fn variables(&self) -> &BTreeMap<String, String> {
        &self.env
    }

    /// Run it to its end.
    pub fn run(self) -> Ran {
        self.start().finish()
    }

    /// Let it run, at the head of a process group.
    pub fn start(self) -> Running {
        let files = tempfile::tempdir().unwrap();
        let file = |name: &str| files.path().join(name);
        std::fs::create_dir(file("temp")).unwrap();
        let out = std::fs::File::create(file("log")).unwrap();
        let mut command: Command = pexpress_with_uv();
        command
            .arg("action")
            .current_dir(self.dir)
            .env("RUNNER_TEMP", file("temp"))
            .env("GITHUB_OUTPUT", file("output"))
            .env("GITHUB_STEP_SUMMARY", file("summary"))
            .envs(&self.env)
            .stdin(Stdio::null())
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .process_group(0);
        Running { child: command.spawn().unwrap(), files }
    }
}

/// A step that runs.
pub struct Running {
    child: Child,
    files: tempfile::TempDir,
}

impl Running {
    /// Wait for its end.
    pub fn finish(mut self) -> Ran {
        let status = self.child.wait().unwrap();
        Ran::read(status.code(), self.files.path())
    }

    /// Its log so far.
    pub fn log(&self) -> String {
        let bytes = std::fs::read(self.files.path().join("log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Whether it runs.
    pub fn is_there(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// SIGINT for it alone, as the runner sends it when a run is cancelled.
    pub fn interrupt(&self) {
        self.send(rustix::process::Signal::INT);
    }

    /// A signal for it alone. Nothing happens if it has ended.
    pub fn send(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        match rustix::process::kill_process(pid, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => {}
            Err(error) => panic!("{error}"),
        }
    }

    /// SIGKILL for it and all its children. Returns its log, if it was still running.
    pub fn kill(mut self) -> Option<String> {
        let there = self.is_there();
        let group = rustix::process::Pid::from_child(&self.child);
        // Children may outlive it. An error means that the group is empty.
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        self.child.wait().unwrap();
        there.then(|| self.log())
    }
}

impl Ran {
    /// What a step left in the files `output`, `summary` and `log` of `dir`.
    pub fn read(code: Option<i32>, dir: &Path) -> Ran {
        let read = |name: &str| std::fs::read_to_string(dir.join(name)).unwrap_or_default();
        for file in ["log", "summary", "output"] {
            assert_no_secret(&read(file));
        }
        Ran { code, outputs: outputs(&read("output")), summary: read("summary"), log: read("log") }
    }

    /// An output.
    pub fn output(&self, name: &str) -> &str {
        self.outputs.get(name).unwrap_or_else(|| panic!("no output {name}: {}", self.log))
    }

    /// An output that is JSON.
    pub fn json(&self, name: &str) -> Value {
        serde_json::from_str(self.output(name)).unwrap()
    }
}

/// Read the runner's file of outputs: `NAME<<DELIMITER`, lines, `DELIMITER`.
fn outputs(text: &str) -> BTreeMap<String, String> {
    let mut outputs = BTreeMap::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let (name, delimiter) = line.split_once("<<").unwrap_or_else(|| panic!("not a block: {line}"));
        let value: Vec<&str> = lines.by_ref().take_while(|line| *line != delimiter).collect();
        outputs.insert(name.to_string(), value.join("\n"));
    }
    outputs
}

/// The payload of a pull request's event.
pub fn pull_request(action: &str) -> Value {
    json!({
        "action": action,
        "repository": {"full_name": REPOSITORY, "default_branch": "main"},
        "pull_request": {
            "number": 7, "state": if action == "closed" { "closed" } else { "open" }, "merged": false,
            "html_url": "https://github.example/acme/proj/pull/7", "user": {"login": "ann"},
            "head": {"ref": "feature", "sha": HEAD, "repo": {"full_name": REPOSITORY}}, "base": {"ref": "main"},
        },
    })
}
