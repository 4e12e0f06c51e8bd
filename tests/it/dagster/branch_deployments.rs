//! `branch-deployment` and `status` against the stand-in: the deployment of a run, and the data sent to Dagster+.

use crate::support::said::messages;
use crate::support::small_project::write_project;
use crate::support::standin::{Standin, TOKEN};
use crate::support::{Running, pexpress, run};
use serde_json::{Value, json};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A clone as on a runner for a pull request: two commits, then the checked-out merge.
struct Checkout {
    dir: tempfile::TempDir,
    head: String,
    merge: String,
}

fn git(dir: &Path, args: &[&str]) -> String {
    let mut command = Command::new("git");
    command.args([
        "-c",
        "user.name=Ann",
        "-c",
        "user.email=ann@example.test",
        "-c",
        "init.defaultBranch=main",
    ]);
    command.env("GIT_COMMITTER_DATE", "1700000000 +0000");
    let output = run(command.args(args).current_dir(dir));
    String::from_utf8(output.stdout).unwrap().trim().to_string()
}

impl Checkout {
    fn new() -> Checkout {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path();
        git(path, &["init", "-q"]);
        git(path, &["remote", "add", "origin", "https://github.example/acme/proj.git"]);
        git(path, &["commit", "-q", "--allow-empty", "-m", "Base"]);
        git(path, &["checkout", "-q", "-b", "feature/ä#1"]);
        git(path, &["commit", "-q", "--allow-empty", "-m", "Head commit\n\nMore."]);
        let head = git(path, &["rev-parse", "HEAD"]);
        git(path, &["checkout", "-q", "main"]);
        git(path, &["merge", "-q", "--no-ff", "-m", "Merge for the runner", &head]);
        let merge = git(path, &["rev-parse", "HEAD"]);
        git(path, &["checkout", "-q", "--detach"]);
        Checkout { dir, head, merge }
    }

    fn payload(&self, action: &str, state: &str, merged: bool) -> Value {
        json!({
            "action": action,
            "number": 7,
            "repository": {"full_name": "acme/proj", "default_branch": "main"},
            "pull_request": {
                "number": 7, "state": state, "merged": merged, "html_url": "https://github.example/acme/proj/pull/7",
                "head": {"ref": "feature/ä#1", "sha": self.head, "repo": {"full_name": "acme/proj"}},
                "base": {"ref": "main"},
            },
        })
    }

    /// A command with the variables of a pull request's run; without a payload, the file is missing.
    fn in_pull_request(&self, standin: &Standin, payload: Option<&Value>, args: &[&str]) -> Command {
        let mut command = self.in_run(payload, args);
        standin.point(&mut command);
        command
    }

    /// The same, without Dagster+.
    fn in_run(&self, payload: Option<&Value>, args: &[&str]) -> Command {
        let event: PathBuf = self.dir.path().join("event.json");
        if let Some(payload) = payload {
            std::fs::write(&event, payload.to_string()).unwrap();
        }
        let mut command = pexpress();
        command.args(args).current_dir(self.dir.path()).envs([
            ("GITHUB_ACTIONS", "true"),
            ("GITHUB_EVENT_NAME", "pull_request"),
            ("GITHUB_SERVER_URL", "https://github.example"),
            ("GITHUB_REPOSITORY", "acme/proj"),
            ("GITHUB_REF", "refs/heads/main"),
            ("GITHUB_SHA", self.merge.as_str()),
        ]);
        command.env("GITHUB_EVENT_PATH", event);
        command
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

const FIELD: &str = "createOrUpdateBranchDeployment";

#[test]
fn a_branch_deployment_shows_the_head_commit_and_not_the_merge() {
    let (checkout, standin) = (Checkout::new(), Standin::start(json!({})));
    let payload = checkout.payload("synchronize", "open", false);
    let output =
        run(&mut checkout.in_pull_request(&standin, Some(&payload), &["branch-deployment", "--create"]));
    let name = String::from_utf8(output.stdout).unwrap().trim().to_string();
    assert_eq!(name.len(), 40, "{name}");
    let journal = standin.journal();
    journal.assert_clean();
    assert_eq!(
        journal.variables(FIELD),
        [json!({
            "branchData": {
                "repoName": "acme/proj",
                "branchName": "feature/ä#1",
                "branchUrl": "https://github.example/acme/proj/tree/feature/%C3%A4%231",
                "pullRequestUrl": "https://github.example/acme/proj/pull/7",
                "pullRequestStatus": "OPEN",
                "pullRequestNumber": "7",
            },
            "commit": {
                "commitHash": checkout.head,
                "timestamp": 1_700_000_000.0,
                "commitMessage": "Head commit",
                "commitUrl": null,
                "authorName": "Ann",
                "authorEmail": "ann@example.test",
                "authorAvatarUrl": null,
            },
            "baseDeploymentName": null,
            "snapshotBaseCondition": null,
        })]
    );
    // Asking for the name gives the same one, and changes nothing.
    let output = run(&mut checkout.in_pull_request(&standin, Some(&payload), &["branch-deployment"]));
    assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), name);
    assert_eq!(standin.journal().count(FIELD), 1);
}

#[test]
fn a_commit_missing_in_the_clone_is_known_by_its_hash() {
    let (checkout, standin) = (Checkout::new(), Standin::start(json!({})));
    let mut payload = checkout.payload("opened", "open", false);
    payload["pull_request"]["head"]["sha"] = json!("b".repeat(40));
    run(&mut checkout.in_pull_request(&standin, Some(&payload), &["branch-deployment", "--create"]));
    let commit = &standin.journal().variables(FIELD)[0]["commit"];
    assert_eq!((&commit["commitHash"], &commit["commitMessage"]), (&json!("b".repeat(40)), &Value::Null));
    assert!(commit["timestamp"].as_f64() > Some(1_700_000_000.0), "{commit}");
}

#[test]
fn closing_distinguishes_merged_from_closed() {
    let (checkout, standin) = (Checkout::new(), Standin::start(json!({})));
    for (action, state, merged, flag, want) in [
        ("closed", "closed", false, "--create", "CLOSED"),
        ("closed", "closed", true, "--create", "MERGED"),
        ("closed", "closed", true, "--close", "MERGED"),
        ("synchronize", "open", false, "--close", "CLOSED"),
    ] {
        standin.control("journal", &Value::Null);
        let payload = checkout.payload(action, state, merged);
        run(&mut checkout.in_pull_request(&standin, Some(&payload), &["branch-deployment", flag]));
        let status = &standin.journal().variables(FIELD)[0]["branchData"]["pullRequestStatus"];
        assert_eq!(status, want, "{action} {merged} {flag}");
    }
}

#[test]
fn an_unreadable_pull_request_sends_no_request() {
    let (checkout, standin) = (Checkout::new(), Standin::start(json!({})));
    let mut no_head = checkout.payload("opened", "open", false);
    no_head["pull_request"]["head"] = Value::Null;
    let mut refused = Vec::new();
    for payload in [None, Some(&json!("not an object")), Some(&no_head)] {
        let command = &mut checkout.in_pull_request(&standin, payload, &["branch-deployment", "--create"]);
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        refused.push(messages(&stderr(&output)));
    }
    insta::assert_snapshot!(refused.join("\n"), @r#"
    error: the event that started this run (`pull_request`) cannot be read: `event.json` cannot be read
      caused by: No such file or directory (os error 2)
    hint: nothing was deployed because a pull request must not reach a full deployment; set the target with --code-location-details deployment=NAME,commit_hash=HASH
    error: the event that started this run (`pull_request`) cannot be read: the payload has no `pull_request.number`
    hint: nothing was deployed because a pull request must not reach a full deployment; set the target with --code-location-details deployment=NAME,commit_hash=HASH
    error: the event that started this run (`pull_request`) cannot be read: the payload has no `pull_request.head.ref`
    hint: nothing was deployed because a pull request must not reach a full deployment; set the target with --code-location-details deployment=NAME,commit_hash=HASH
    "#);
    assert_eq!(standin.journal().calls().len(), 0);
}

#[test]
fn a_refused_branch_deployment_is_an_error() {
    let (checkout, standin) = (Checkout::new(), Standin::start(json!({})));
    let payload = checkout.payload("opened", "open", false);
    let args = ["branch-deployment", "--create", "--base-deployment", "nowhere"];
    let output = checkout.in_pull_request(&standin, Some(&payload), &args).output().unwrap();
    assert_eq!((output.status.code(), output.stdout.is_empty()), (Some(3), true));
    insta::assert_snapshot!(messages(&stderr(&output)), @"error: could not create or update the branch deployment: PythonError: deployment nowhere does not exist");
}

#[test]
fn on_a_laptop_the_branch_and_the_remote_name_it() {
    let (checkout, standin) = (Checkout::new(), Standin::start(json!({})));
    let branch_deployment = |args: &[&str]| {
        let mut command = pexpress();
        standin.point(&mut command).arg("branch-deployment").args(args).current_dir(checkout.dir.path());
        command.output().unwrap()
    };
    let mut refused = Vec::new();
    for branch in ["main", "--detach"] {
        git(checkout.dir.path(), &["checkout", "-q", branch]);
        let output = branch_deployment(&["--create"]);
        refused.push(messages(&stderr(&output)));
    }
    insta::assert_snapshot!(refused.join("\n"), @r#"
    error: this run is for the full deployment `prod`, which is not a branch deployment
    hint: pass --deployment-for-branch for the branch deployment of the branch that is checked out
    error: this run is for the full deployment `prod`, which is not a branch deployment
    hint: pass --deployment-for-branch for the branch deployment of the branch that is checked out
    "#);
    assert_eq!(standin.journal().calls().len(), 0);
    git(checkout.dir.path(), &["checkout", "-q", "feature/ä#1"]);
    let output = branch_deployment(&["--create", "--format", "json"]);
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    let sent = &standin.journal().variables(FIELD)[0];
    assert_eq!(sent["branchData"]["repoName"], "acme/proj");
    assert_eq!(sent["branchData"]["branchName"], "feature/ä#1");
    assert_eq!(sent["commit"]["commitHash"], json!(checkout.head));
    assert_eq!(answer["branch"], sent["branchData"]);
    assert!(answer["url"].as_str().unwrap().ends_with("/locations"), "{answer}");
}

#[test]
fn missing_settings_are_named() {
    for (env, says) in [
        (
            &[("DAGSTER_CLOUD_API_TOKEN", "t")][..],
            "neither DAGSTER_CLOUD_URL nor DAGSTER_CLOUD_ORGANIZATION is set",
        ),
        (&[("DAGSTER_CLOUD_URL", "https://acme.dagster.cloud")], "DAGSTER_CLOUD_API_TOKEN is not set"),
        (
            &[("DAGSTER_CLOUD_URL", "ftp://acme.dagster.cloud"), ("DAGSTER_CLOUD_API_TOKEN", "t")],
            "the token must be sent over https",
        ),
    ] {
        let output = pexpress().arg("status").envs(env.iter().copied()).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr(&output).contains(says), "{}", stderr(&output));
    }
}

#[test]
fn status_shows_state_and_files_of_each_code_location() {
    let standin = Standin::start(json!({"deployments": [{"name": "prod", "locations": [{
        "location_name": "one", "code_source": {"package_name": "p"}, "git": {"commit_hash": "ab12"},
        "pex_metadata": {"pex_tag": "files=deps-a.pex:source-b.pex", "python_version": "3.11"},
    }]}]}));
    let status = |args: &[&str]| {
        let mut command = pexpress();
        standin.point(&mut command).arg("status").args(args);
        command.output().unwrap()
    };
    let answer: Value = serde_json::from_slice(&status(&["--format", "json"]).stdout).unwrap();
    assert_eq!(answer["deployment"], "prod");
    let one = &answer["locations"][0];
    assert_eq!((&one["name"], &one["state"]), (&json!("one"), &json!("loaded")));
    assert_eq!(one["pex_files"], json!(["deps-a.pex", "source-b.pex"]));
    assert_eq!((&one["python_version"], &one["commit_hash"]), (&json!("3.11"), &json!("ab12")));
    let text = String::from_utf8(status(&[]).stdout).unwrap();
    insta::assert_snapshot!(text, @r"
    code location  state   commit  source PEX  deps PEX
    one            loaded  ab12    b           a
    ");
    let output = status(&["--deployment", "nowhere"]);
    assert_eq!(output.status.code(), Some(2));
    insta::assert_snapshot!(stderr(&output), @r#"
        error: there is no deployment `nowhere`; the full deployments of this organization are `prod`
        hint: name one with --deployment; for a branch deployment's base it is --base-deployment
        "#);
}

#[test]
fn status_of_the_branch_is_that_of_its_branch_deployment() {
    let (checkout, standin) = (Checkout::new(), Standin::start(json!({})));
    git(checkout.dir.path(), &["checkout", "-q", "feature/ä#1"]);
    let by_person = |args: &[&str]| {
        let mut command = pexpress();
        standin.point(&mut command).args(args).current_dir(checkout.dir.path());
        run(&mut command)
    };
    let created = by_person(&["branch-deployment", "--create", "--deployment-for-branch"]);
    let status = by_person(&["status", "--branch", "--format", "json"]);
    let answer: Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!(answer["deployment"], String::from_utf8_lossy(&created.stdout).trim());
    assert!(stderr(&status).starts_with("The branch deployment of the branch feature/ä#1:\n"));
    // Without the flag, a person sees the full deployment.
    let status = by_person(&["status", "--format", "json"]);
    let answer: Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!(answer["deployment"], "prod");
}

/// Users got an empty standard output, and the process ended by the signal.
#[cfg(unix)]
#[test]
fn a_signal_before_a_document_is_printed_gives_one_of_its_own() {
    use rustix::process::Signal;
    let checkout = Checkout::new();
    write_project(checkout.dir.path(), &[("one", "")]);
    let payload = checkout.payload("synchronize", "open", false);
    // Takes requests and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/acme", silent.local_addr().unwrap());
    let commands: [(&[&str], &str); 4] = [
        (&["status"], "nothing was changed at Dagster+"),
        (&["plan"], "nothing was changed at Dagster+"),
        (&["branch-deployment", "--close"], "nothing was changed at Dagster+"),
        (
            &["branch-deployment", "--create"],
            "the branch deployment may have been created or changed, and no code location was changed",
        ),
    ];
    for (at, (args, what)) in commands.into_iter().enumerate() {
        let (signal, code) = if at % 2 == 0 { (Signal::INT, 130) } else { (Signal::TERM, 143) };
        let mut command = checkout.in_run(Some(&payload), args);
        command.env("DAGSTER_CLOUD_URL", &url).env("DAGSTER_CLOUD_API_TOKEN", TOKEN);
        command.args(["--format", "json"]).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = Running(command.spawn().unwrap());
        let (mut request, _) = silent.accept().unwrap();
        request.read_exact(&mut [0; 4]).unwrap();
        child.signal(signal);
        let stdout = std::io::read_to_string(child.0.stdout.take().unwrap()).unwrap();
        let stderr = std::io::read_to_string(child.0.stderr.take().unwrap()).unwrap();
        assert_eq!(child.0.wait().unwrap().code(), Some(code), "{args:?}: {stderr}");
        let document: Value = serde_json::from_str(&stdout).unwrap_or_else(|_| panic!("{args:?}: {stdout}"));
        let error = &document["error"];
        assert_eq!(
            (&error["message"], &error["exit_code"]),
            (&json!(format!("interrupted: {what}")), &json!(code)),
            "{args:?}"
        );
    }
}

/// A person who tried a branch once launched the jobs of prod.
#[test]
fn redeploy_and_launch_go_where_a_deploy_goes() {
    let one = json!({"location_name": "one", "code_source": {"package_name": "p"}});
    let deployments = json!([{"name": "prod", "locations": [one]}]);
    let standin = Standin::start(json!({
        "deployments": deployments, "jobs": {"one": {"__repository__": ["nightly"]}},
    }));
    let checkout = Checkout::new();
    let by_person = |args: &[&str]| {
        let mut command = pexpress();
        standin.point(&mut command).args(args).current_dir(checkout.dir.path()).output().unwrap()
    };
    let commands = [&["redeploy", "one"][..], &["launch", "nightly", "-l", "one"]];
    let mut said = Vec::new();
    let mut all_fail = || {
        for args in commands {
            let output = by_person(args);
            assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{}", stderr(&output));
            said.push(messages(&stderr(&output)));
        }
    };
    // The detached head is for the full deployment, and nobody can be asked.
    all_fail();
    git(checkout.dir.path(), &["checkout", "-q", "feature/ä#1"]);
    all_fail();
    by_person(&["branch-deployment", "--create"]);
    all_fail();
    insta::assert_snapshot!(said.join("\n"), @r#"
    error: redeploying in the full deployment `prod` needs a confirmation, and there is no terminal to ask in
    hint: pass --yes to go on without confirmation
    error: launching a run in the full deployment `prod` needs a confirmation, and there is no terminal to ask in
    hint: pass --yes to go on without confirmation
    error: the branch `feature/ä#1` has no branch deployment yet: nothing was deployed for it
    hint: `pexpress deploy --upload --update` deploys it, and `pexpress branch-deployment --create` creates an empty one; --deployment NAME names another deployment
    error: the branch `feature/ä#1` has no branch deployment yet: nothing was deployed for it
    hint: `pexpress deploy --upload --update` deploys it, and `pexpress branch-deployment --create` creates an empty one; --deployment NAME names another deployment
    error: the deployment `[HASH]` has no code location `one`; it has no code locations
    error: the deployment `[HASH]` has no code location `one`; it has no code locations
    "#);
    let journal = standin.journal();
    let changes = ["addOrUpdateLocationFromDocument", "deployLocations"];
    assert!(changes.iter().all(|change| journal.count(change) == 0), "{:?}", journal.calls());
    assert_eq!(standin.state()["runs"], json!({}));
    for args in commands {
        let output = by_person(&[args, &["--deployment", "prod"]].concat());
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    }
}

#[test]
fn a_full_deployment_that_a_flag_names_is_meant_on_a_branch_too() {
    let (checkout, standin) = (Checkout::new(), Standin::start(json!({})));
    git(checkout.dir.path(), &["checkout", "-q", "feature/ä#1"]);
    write_project(checkout.dir.path(), &[("one", "")]);
    let mut command = pexpress();
    let args = ["deploy", "--update", "--full-deployment"];
    let output = standin.point(&mut command).args(args).current_dir(checkout.dir.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    insta::assert_snapshot!(messages(&stderr(&output)), @r#"
    error: deploying to the full deployment `prod` needs a confirmation, and there is no terminal to ask in
    hint: pass --yes to go on without confirmation
    "#);
    assert_eq!(standin.journal().count(FIELD), 0);
}
