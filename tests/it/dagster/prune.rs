//! `prune` and `deploy --prune` against the stand-ins: what is removed, and what stays.

use crate::support::github_standin::{GithubStandin, WRITE};
use crate::support::said::{messages, plain};
use crate::support::scene::Scene;
use crate::support::small_project::write_project;
use crate::support::standin::Standin;
use crate::support::{pexpress, run};
use pexpress::dagster::Client;
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

/// A branch deployment; its name.
fn put(client: &Client, branch: &str) -> String {
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
    Also in prod, from another repository, an unknown one, or another project file of this one: bare, theirs. They stay.
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

/// An image is one of a registry, where other deployments may still need it.
#[test]
fn a_code_location_with_an_image_is_removed_and_its_image_named() {
    let mut left = location("left", REPOSITORY);
    left["image"] = json!("ghcr.io/acme/app:left-0123456789abcdef");
    let deployments = json!([{"name": "prod", "locations": [location("one", REPOSITORY), left]}]);
    let (standin, dir) = (Standin::start(json!({"deployments": deployments})), project());
    let listed = prune(&standin, dir.path(), &[], None);
    let line = "code location\tleft\tleft over\tghcr.io/acme/app:left-0123456789abcdef\n";
    assert_eq!(String::from_utf8_lossy(&listed.stdout), line, "{}", stderr(&listed));
    assert!(stderr(&listed).contains("Images stay in their registries"), "{}", stderr(&listed));
    let output = prune(&standin, dir.path(), &["--apply", "--yes", "--format", "json"], None);
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    let want = json!({"name": "left", "removed": true, "image": "ghcr.io/acme/app:left-0123456789abcdef"});
    assert_eq!(answer["locations"], json!([want]));
    assert_eq!(names(&standin, "prod"), ["one"]);
    standin.journal().assert_clean();
}

/// Each team of a repository has a file of its own, and all deploy to `prod`.
#[test]
fn what_another_project_file_of_the_repository_names_stays() {
    let (standin, dir) = (Standin::start(json!({"deployments": deployments()})), project());
    let write = |name: &str, text: &str| {
        std::fs::create_dir_all(dir.path().join(name).parent().unwrap()).unwrap();
        std::fs::write(dir.path().join(name), text).unwrap();
    };
    let other = "locations:\n  - location_name: left\n    code_source: {package_name: p}\n";
    write("team-b/dagster_cloud.yaml", other);
    write("lib/pyproject.toml", "[project]\nname = 'lib'\n");
    // One that cannot be read may name anything.
    write("team-c/dagster_cloud.yaml", "locations: [");
    let output = prune(&standin, dir.path(), &["--apply", "--yes"], None);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    insta::assert_snapshot!(messages(&stderr(&output)), @r"
    error: `team-c/dagster_cloud.yaml` cannot be read, so it is not known which code locations of this repository it names, and which ones are left over
    hint: `pexpress check team-c/dagster_cloud.yaml` says why; or do not prune
    ");
    // So may one that a sparse checkout leaves out.
    run(Command::new("git").args(["add", "team-c"]).current_dir(dir.path()));
    std::fs::remove_dir_all(dir.path().join("team-c")).unwrap();
    let output = prune(&standin, dir.path(), &["--apply", "--yes"], None);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert_eq!(standin.journal().count("deleteLocation"), 0);
    run(Command::new("git")
        .args(["rm", "-q", "--cached", "team-c/dagster_cloud.yaml"])
        .current_dir(dir.path()));
    let output = prune(&standin, dir.path(), &["--apply", "--yes"], None);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(names(&standin, "prod"), ["bare", "left", "one", "theirs"]);
}

#[test]
fn a_deploy_leaves_what_another_project_file_names() {
    let scene = Scene::new(&[("one", "")], json!({"deployments": deployments()}));
    run(Command::new("git").args(["init", "-q", "-b", "main"]).current_dir(scene.dir.path()));
    let payload =
        json!({"ref": "refs/heads/main", "repository": {"full_name": "acme/proj", "default_branch": "main"}});
    let write = |text: &str| {
        std::fs::create_dir_all(scene.dir.path().join("team-b")).unwrap();
        std::fs::write(scene.dir.path().join("team-b/dagster_cloud.yaml"), text).unwrap();
    };
    let deploy = || scene.step().with("INPUT_PRUNE", "true").event("push", &payload).run();
    write("locations: [");
    let refused = deploy();
    assert_eq!(refused.code, Some(1), "{}", refused.log);
    assert!(
        refused.output("reason").contains("team-b/dagster_cloud.yaml` cannot be read"),
        "{}",
        refused.log
    );
    write("locations:\n  - location_name: left\n    code_source: {package_name: p}\n");
    let ran = deploy();
    assert_eq!(ran.code, Some(0), "{}", ran.log);
    assert_eq!(names(&scene.dagster, "prod"), ["bare", "left", "one", "theirs"]);
}

/// The nearest project of a directory in a workspace is one of its members.
#[test]
fn a_member_of_a_workspace_leaves_the_other_members_alone() {
    let (standin, dir) = (Standin::start(json!({"deployments": deployments()})), project());
    let write = |name: &str, text: &str| {
        std::fs::create_dir_all(dir.path().join(name).parent().unwrap()).unwrap();
        std::fs::write(dir.path().join(name), text).unwrap();
    };
    std::fs::remove_file(dir.path().join("dagster_cloud.yaml")).unwrap();
    let member = |name: &str| {
        let text = format!("directory_type = 'project'\n[project]\nroot_module = '{name}'\n");
        write(&format!("{name}/dg.toml"), &text);
        write(&format!("{name}/src/{name}/__init__.py"), "");
    };
    ["one", "left"].iter().for_each(|name| member(name));
    write(
        "dg.toml",
        "directory_type = 'workspace'\n[workspace]\nprojects = [{path = 'one'}, {path = 'left'}]\n",
    );
    let output = prune(&standin, &dir.path().join("one"), &["--apply", "--yes"], None);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(names(&standin, "prod"), ["bare", "left", "one", "theirs"], "{}", stderr(&output));
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
    let fork = json!({"full_name": "other/proj"});
    let pulls = [
        // A branch of a fork with the name of a branch here.
        json!({"number": 10, "state": "closed", "head": {"ref": "without-request", "repo": fork}}),
        pull(9, "done", "closed"),
        pull(8, "again", "closed"),
        pull(6, "never-deployed", "closed"),
        pull(5, "going", "open"),
        pull(7, "again", "open"),
    ];
    let github = GithubStandin::start(json!({ "pulls": pulls }));
    let client = standin.connect().client;
    let [done, again, going, without_request] =
        ["done", "again", "going", "without-request"].map(|branch| put(&client, branch));
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

/// GitHub Enterprise Server may give fewer pull requests on a page than it is asked for.
#[test]
fn an_open_pull_request_on_a_later_page_counts() {
    let pull = |number: u64, branch: &str, state: &str| {
        let repository = json!({"full_name": "acme/proj"});
        json!({"number": number, "state": state, "head": {"ref": branch, "repo": repository}})
    };
    let pulls = [pull(1, "again", "closed"), pull(2, "other", "open"), pull(3, "again", "open")];
    let github = GithubStandin::start(json!({ "pulls": pulls, "page_size": 1 }));
    let (standin, dir) = (Standin::start(json!({"deployments": [{"name": "prod"}]})), project());
    let name = put(&standin.connect().client, "again");
    let output = prune(&standin, dir.path(), &["--apply"], Some(&github));
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_ne!(standin.state()["deployments"][&name], Value::Null, "{}", stderr(&output));
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
