//! `prune` and `deploy --prune` against the stand-ins: what is removed, and what stays.

use crate::support::github_standin::{GithubStandin, WRITE};
use crate::support::said::{messages, plain};
use crate::support::scene::Scene;
use crate::support::small_project::write_project;
use crate::support::standin::Standin;
use crate::support::{pexpress, run};
use pexpress::dagster::operations::{BranchData, CommitData};
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Command, Output};

const REPOSITORY: (&str, &str) = ("acme", "proj");

fn location(name: &str, (owner, repository): (&str, &str)) -> Value {
    let git = json!({"commit_hash": "ab12", "repo_owner": owner, "repo_name": repository});
    json!({"location_name": name, "code_source": {"package_name": "p"}, "git": git})
}

/// `one` is in the file, `left` and `gone` are not any more, `theirs` is from elsewhere, and nobody knows about `bare`.
fn deployments() -> Value {
    let bare = json!({"location_name": "bare", "code_source": {"package_name": "p"}});
    let ours = ["one", "left", "gone"].map(|name| location(name, REPOSITORY));
    let theirs = location("theirs", ("acme", "other"));
    json!([{"name": "prod", "locations": [&ours[0], &ours[1], &ours[2], theirs, bare]}])
}

/// A project with the code location `one`, on the branch `main` of a clone.
fn project() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    write_project(dir.path(), &[("one", "")]);
    for args in [
        &["init", "-q", "-b", "main"][..],
        &["remote", "add", "origin", "https://github.example/acme/proj.git"],
        &["-c", "user.name=A", "-c", "user.email=a@b.test", "commit", "-q", "--allow-empty", "-m", "x"],
    ] {
        run(Command::new("git").args(args).current_dir(dir.path()));
    }
    dir
}

fn prune(standin: &Standin, dir: &Path, args: &[&str], github: Option<&GithubStandin>) -> Output {
    let mut command = pexpress();
    standin.point(&mut command).arg("prune").args(args).current_dir(dir);
    if let Some(github) = github {
        command.env("GITHUB_API_URL", &github.url).env("GITHUB_TOKEN", WRITE);
    }
    command.output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn names(standin: &Standin, deployment: &str) -> Vec<String> {
    let locations = standin.state()["deployments"][deployment]["locations"].clone();
    let names: std::collections::BTreeSet<String> = locations.as_object().unwrap().keys().cloned().collect();
    names.into_iter().collect()
}

#[test]
fn nothing_is_removed_without_being_asked_for() {
    let (standin, dir) = (Standin::start(json!({"deployments": deployments()})), project());
    let listed = prune(&standin, dir.path(), &[], None);
    assert_eq!(listed.status.code(), Some(0), "{}", stderr(&listed));
    let unconfirmed = prune(&standin, dir.path(), &["--apply"], None);
    assert_eq!(unconfirmed.status.code(), Some(2), "{}", stderr(&unconfirmed));
    insta::assert_snapshot!(
        format!("{}{}---\n{}", String::from_utf8_lossy(&listed.stdout), plain(&stderr(&listed)), messages(&stderr(&unconfirmed))),
        @r#"
    code location	gone	left over
    code location	left	left over
    Project: dagster_cloud.yaml
    Without GITHUB_API_URL and GITHUB_TOKEN, closed pull requests are not known: branch deployments stay
    Also in prod, from another repository or an unknown one: bare, theirs. They stay.
    2 code locations of prod can be removed; nothing was changed, add --apply to remove---
    error: removing from the full deployment `prod` needs a confirmation, and there is no terminal to ask in
    hint: pass --yes to remove without confirmation
    "#
    );
    assert_eq!(names(&standin, "prod"), ["bare", "gone", "left", "one", "theirs"]);
    assert_eq!(standin.journal().count("deleteLocation"), 0);
    standin.journal().assert_clean();
}

#[test]
fn code_locations_that_left_the_file_are_removed() {
    let (standin, dir) = (Standin::start(json!({"deployments": deployments()})), project());
    let output = prune(&standin, dir.path(), &["--apply", "--yes", "--format", "json"], None);
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    let removed = |name: &str| json!({"name": name, "removed": true});
    assert_eq!(answer["locations"], json!([removed("gone"), removed("left")]));
    assert_eq!((&answer["kept"], &answer["applied"]), (&json!(["bare", "theirs"]), &json!(true)));
    assert_eq!(names(&standin, "prod"), ["bare", "one", "theirs"]);
    // Nothing is left to do, and that is not an error.
    let again = prune(&standin, dir.path(), &["--apply"], None);
    assert_eq!((again.status.code(), again.stdout.len()), (Some(0), 0), "{}", stderr(&again));
    standin.journal().assert_clean();
}

/// An answer that is lost leads to a second request, which finds nothing.
#[test]
fn a_removal_whose_answer_is_lost_is_one() {
    let (standin, dir) = (Standin::start(json!({"deployments": deployments()})), project());
    let lost = json!([{"operation": "deleteLocation", "apply": true, "reset": true}]);
    standin.control("faults", &lost);
    let output = prune(&standin, dir.path(), &["--apply", "--yes"], None);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!((names(&standin, "prod").len(), standin.journal().count("deleteLocation")), (3, 3));
}

#[test]
fn a_project_that_cannot_be_read_removes_nothing() {
    let (standin, dir) = (Standin::start(json!({"deployments": deployments()})), project());
    std::fs::write(dir.path().join("dagster_cloud.yaml"), "locations:\n  - location_nam: one\n").unwrap();
    let output = prune(&standin, dir.path(), &["--apply", "--yes"], None);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert_eq!(standin.journal().calls(), [""; 0]);
}

#[test]
fn branch_deployments_go_when_their_pull_requests_are_closed() {
    let (standin, dir) = (Standin::start(json!({"deployments": [{"name": "prod"}]})), project());
    let pull = |number: u64, branch: &str, state: &str| {
        let repository = json!({"full_name": "acme/proj"});
        json!({"number": number, "state": state, "head": {"ref": branch, "repo": repository}})
    };
    let pulls = [
        pull(9, "done", "closed"),
        pull(8, "again", "closed"),
        pull(7, "again", "open"),
        pull(6, "never-deployed", "closed"),
        pull(5, "going", "open"),
    ];
    let github = GithubStandin::start(json!({ "pulls": pulls }));
    let client = standin.connect().client;
    let put = |branch: &str| {
        let data = BranchData {
            repo_name: "acme/proj".into(),
            branch_name: branch.into(),
            branch_url: None,
            pull_request_url: None,
            pull_request_status: None,
            pull_request_number: None,
        };
        let commit = CommitData {
            commit_hash: "ab12".into(),
            timestamp: 1.0,
            commit_message: None,
            commit_url: None,
            author_name: None,
            author_email: None,
            author_avatar_url: None,
        };
        client.put_branch_deployment(&data, &commit, None, None).unwrap()
    };
    let [done, again, going, without_request] = ["done", "again", "going", "without-request"].map(put);
    let there = |name: &str| standin.state()["deployments"][name] != Value::Null;

    let listed = prune(&standin, dir.path(), &[], Some(&github));
    assert_eq!(
        String::from_utf8(listed.stdout.clone()).unwrap(),
        format!("branch deployment\t{done}\tleft over\tdone\t#9\n")
    );
    assert!(there(&done), "{}", stderr(&listed));
    // No question: no full deployment changes.
    let output = prune(&standin, dir.path(), &["--apply"], Some(&github));
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!([&done, &again, &going, &without_request].map(|name| there(name)), [false, true, true, true]);
    // Never a full deployment.
    assert_eq!(client.branch_deployment_id("prod").unwrap(), None);
    client.delete_branch_deployment("prod").unwrap();
    assert!(there("prod"));
    standin.journal().assert_clean();

    // What GitHub does not tell stays.
    let unknown = prune(&standin, dir.path(), &["--apply", "--yes"], None);
    assert_eq!(unknown.status.code(), Some(0));
    assert!(there(&again) && stderr(&unknown).contains("branch deployments stay"), "{}", stderr(&unknown));
}

#[test]
fn a_deploy_prunes_only_after_it_succeeded() {
    let mut config = json!({"deployments": deployments()});
    config["load"] = json!({"one": {"error": {"message": "ValueError: no"}}});
    let scene = Scene::new(&[("one", "")], config);
    let payload =
        json!({"ref": "refs/heads/main", "repository": {"full_name": "acme/proj", "default_branch": "main"}});
    let deploy = || scene.step().with("INPUT_PRUNE", "true").event("push", &payload).run();
    let failed = deploy();
    assert_eq!(failed.code, Some(1), "{}", failed.log);
    assert_eq!(names(&scene.dagster, "prod").len(), 5);
    scene.dagster.control("config", &json!({"load": {}}));
    let ran = deploy();
    assert_eq!((ran.code, ran.output("result")), (Some(0), "success"), "{}", ran.log);
    assert_eq!(names(&scene.dagster, "prod"), ["bare", "one", "theirs"]);
    let lines: Vec<&str> = ran.summary.lines().filter(|line| line.contains("dagster\\_cloud.yaml")).collect();
    insta::assert_snapshot!(lines.join("\n"), @r"Removed from prod, since dagster\_cloud.yaml does not name them any more: gone, left. Also in prod, and not in dagster\_cloud.yaml: bare, theirs. They are not changed.");
    scene.assert_clean();
}
