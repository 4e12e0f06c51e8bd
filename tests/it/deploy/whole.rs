//! `deploy` from the command line to a stand-in: uploads, updates and messages.
//!
//! The projects are small (`support/small_project.rs`), and build without a network.

use crate::support::said::{lines, messages};
use crate::support::small_project::write_project;
use crate::support::standin::Standin;
use crate::support::{Running, assert_no_secret, pexpress_with_uv};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Command, Output, Stdio};

const FLAGS: [&str; 2] = ["--upload-pex", "--update-code-location"];
pub const TO_PROD: [&str; 2] = ["--code-location-details", "deployment=prod,commit_hash=ab12"];

/// `deploy` of the project in `dir`, into `dir/out`.
pub fn deploy(standin: &Standin, dir: &Path) -> Command {
    let mut command = pexpress_with_uv();
    standin.point(&mut command);
    command.arg("deploy").arg(dir).arg(dir.join("out")).args(FLAGS).current_dir(dir).stdin(Stdio::null());
    command
}

pub struct Ran {
    pub code: Option<i32>,
    pub document: Value,
    pub stderr: String,
}

impl Ran {
    pub fn state(&self, name: &str) -> &str {
        let locations = self.document["locations"].as_array().map(Vec::as_slice).unwrap_or_default();
        let found = locations.iter().find(|location| location["name"] == name);
        found
            .and_then(|location| location["state"].as_str())
            .unwrap_or_else(|| panic!("{name}: {}", self.stderr))
    }
}

pub fn ran(command: &mut Command) -> Ran {
    let Output { status, stdout, stderr } = command.args(["--format", "json"]).output().unwrap();
    [&stdout, &stderr].iter().for_each(|said| assert_no_secret(&String::from_utf8_lossy(said)));
    Ran {
        code: status.code(),
        document: serde_json::from_slice(&stdout).unwrap_or_default(),
        stderr: String::from_utf8(stderr).unwrap(),
    }
}

/// A project with one code location, `one`, deployed to `prod` of a stand-in with this configuration.
fn deploy_one(config: Value, args: &[&str]) -> (Ran, Standin, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    write_project(dir.path(), &[("one", "")]);
    let standin = Standin::start(config);
    let ran = ran(deploy(&standin, dir.path()).args(TO_PROD).args(args));
    (ran, standin, dir)
}

/// The variables of a pull request's run, and its payload in `dir`.
pub fn in_pull_request<'a>(command: &'a mut Command, dir: &Path, payload: &Value) -> &'a mut Command {
    let event = dir.join("event.json");
    std::fs::write(&event, payload.to_string()).unwrap();
    command.env("GITHUB_EVENT_PATH", event).envs([
        ("GITHUB_ACTIONS", "true"),
        ("GITHUB_EVENT_NAME", "pull_request"),
        ("GITHUB_SERVER_URL", "https://github.example"),
        ("GITHUB_REPOSITORY", "acme/proj"),
        ("GITHUB_REF", "refs/pull/7/merge"),
        ("GITHUB_SHA", "1111111111111111111111111111111111111111"),
    ])
}

const HEAD: &str = "2222222222222222222222222222222222222222";

pub fn payload(action: &str) -> Value {
    json!({
        "action": action,
        "repository": {"full_name": "acme/proj"},
        "pull_request": {
            "number": 7, "state": if action == "closed" { "closed" } else { "open" }, "merged": false,
            "head": {"ref": "feature", "sha": HEAD, "repo": {"full_name": "acme/proj"}}, "base": {"ref": "main"},
        },
    })
}

#[test]
fn the_second_deploy_sends_nothing() {
    let cache = ["--deps-cache-tag-read", "acme/proj", "--deps-cache-tag-write", "acme/proj"];
    let (first, standin, dir) = deploy_one(json!({}), &cache);
    assert_eq!((first.code, first.state("one")), (Some(0), "loaded"), "{}", first.stderr);
    assert_eq!(first.document["locations"][0]["sent"], json!({"source": "uploaded", "deps": "uploaded"}));
    let state = standin.state();
    let document = &state["deployments"]["prod"]["locations"]["one"];
    assert_eq!(
        document,
        &json!({
            "location_name": "one",
            "code_source": {"python_file": "defs.py"},
            "git": {"commit_hash": "ab12"},
            "pex_metadata": {"pex_tag": first.document["locations"][0]["pex_tag"], "python_version": "3.11"},
        })
    );
    // Both files, the cache entry, and what the requirements were resolved to.
    assert_eq!(state["objects"].as_object().unwrap().len(), 4);
    let calls = standin.journal().calls();
    let at = |prefix: &str| calls.iter().position(|call| call.starts_with(prefix)).unwrap();
    let update = at("addOrUpdateLocationFromDocument");
    assert!(at("PUT source-") < update && at("PUT deps-") < at("PUT requirements-"), "{calls:#?}");
    assert!(calls[update..].iter().all(|call| !call.starts_with("PUT")));

    standin.control("journal", &Value::Null);
    let second = ran(deploy(&standin, dir.path()).args(TO_PROD).args(cache));
    assert_eq!((second.code, second.state("one")), (Some(0), "loaded"), "{}", second.stderr);
    assert_eq!(second.document["locations"][0]["sent"], json!({"source": "already_there", "deps": "cached"}));
    let journal = standin.journal();
    assert_eq!((journal.count("PUT"), journal.calls().len()), (0, 8), "{:#?}", journal.calls());
    journal.assert_clean();

    standin.control("journal", &Value::Null);
    let forced = ran(deploy(&standin, dir.path()).args(TO_PROD).args(cache).arg("--force-rebuild-deps"));
    assert_eq!(
        forced.document["locations"][0]["sent"],
        json!({"source": "already_there", "deps": "already_there"})
    );
    assert_eq!(
        (standin.journal().count("GET requirements-"), standin.journal().count("PUT requirements-")),
        (0, 1)
    );
}

#[test]
fn a_cached_deps_pex_that_is_gone_is_built_again() {
    let cache = ["--deps-cache-from", "t", "--deps-cache-to", "t"];
    let (first, standin, dir) = deploy_one(json!({}), &cache);
    let deps = first.document["locations"][0]["deps_pex"].clone();
    standin.control("delete-object", &deps);
    let second = ran(deploy(&standin, dir.path()).args(TO_PROD).args(cache));
    assert_eq!((second.code, second.state("one")), (Some(0), "loaded"), "{}", second.stderr);
    assert_eq!(second.document["locations"][0]["sent"]["deps"], "uploaded");
    insta::assert_snapshot!(lines(&second.stderr, "registry"), @"deps cache: `deps-[HASH].pex` is not used: it is not in the registry any more");
    standin.journal().assert_clean();
}

#[test]
fn only_changed_code_locations_are_updated_if_requested() {
    let dir = tempfile::tempdir().unwrap();
    write_project(dir.path(), &[("one", ""), ("two", ""), ("bad", "")]);
    let error = json!({"error": {"message": "ImportError: x"}});
    let standin = Standin::start(json!({"load": {"bad": error}}));
    let changed_only = || ran(deploy(&standin, dir.path()).args(TO_PROD).arg("--changed-only"));
    let first = changed_only();
    assert_eq!((first.state("one"), first.state("bad")), ("loaded", "failed_to_load"), "{}", first.stderr);
    let stamp = || standin.state()["deployments"]["prod"]["locations"].clone();
    let before = stamp();

    standin.control("journal", &Value::Null);
    standin.control("config", &json!({"load": {}}));
    std::fs::write(dir.path().join("two/defs.py"), "changed = 1\n").unwrap();
    let second = changed_only();
    assert_eq!(second.code, Some(0), "{}", second.stderr);
    assert_eq!(
        (second.state("one"), second.state("two"), second.state("bad")),
        ("unchanged", "loaded", "loaded")
    );
    insta::assert_snapshot!(lines(&second.stderr, "one: "), @"one: unchanged, left alone");
    let updated: Vec<_> = standin.journal().variables("deployLocations")[0]["document"]["locations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|document| document["location_name"].clone())
        .collect();
    assert_eq!(updated, ["two", "bad"]);
    assert_eq!(stamp()["one"], before["one"]);

    // Another commit alone changes nothing; another document does.
    standin.control("journal", &Value::Null);
    let commit = ["--code-location-details", "deployment=prod,commit_hash=cd34", "--changed-only"];
    let third = ran(deploy(&standin, dir.path()).args(commit));
    assert_eq!((third.code, third.state("one"), third.state("bad")), (Some(0), "unchanged", "unchanged"));
    assert_eq!((standin.journal().count("agents"), standin.journal().count("PUT")), (0, 0));
    let other = ran(deploy(&standin, dir.path()).args(commit).args(["--image", "a:1", "--location", "one"]));
    assert_eq!((other.code, other.state("one")), (Some(0), "loaded"), "{}", other.stderr);
    standin.journal().assert_clean();
}

#[test]
fn changed_dependencies_are_found_from_a_part_of_the_old_file() {
    let dir = tempfile::tempdir().unwrap();
    let before = [("changed", "extra==1"), ("added", ""), ("removed", "extra==3"), ("same", "extra==4")];
    let after =
        [("changed", "extra==2"), ("added", "extra==5"), ("removed", ""), ("same", "extra==4"), ("new", "")];
    write_project(dir.path(), &before);
    let standin = Standin::start(json!({}));
    let first = ran(deploy(&standin, dir.path()).args(TO_PROD).args(["--deps-cache-to", "t"]));
    assert_eq!(first.code, Some(0), "{}", first.stderr);
    assert!(!first.document.to_string().contains("dependencies"), "{}", first.document);
    write_project(dir.path(), &after);
    let old = |name: &str| {
        let locations = first.document["locations"].as_array().unwrap();
        locations.iter().find(|location| location["name"] == name).unwrap()["deps_pex"].clone()
    };
    let check = |ran: &Ran| {
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        for location in ran.document["locations"].as_array().unwrap() {
            let name = location["name"].as_str().unwrap();
            let (added, removed, changed) = match name {
                "changed" => (json!([]), json!([]), json!([["extra", "1", "2"]])),
                "added" => (json!([["extra", "5"]]), json!([]), json!([])),
                "removed" => (json!([]), json!([["extra", "3"]]), json!([])),
                _ => {
                    assert_eq!(location.get("dependencies"), None, "{name}");
                    continue;
                }
            };
            let want =
                json!({"deps_pex_before": old(name), "added": added, "removed": removed, "changed": changed});
            assert_eq!(location["dependencies"], want, "{name}: {}", ran.stderr);
        }
    };
    // A pull request is compared with the base of its branch deployment, also the second time.
    for action in ["opened", "synchronize"] {
        let command = &mut deploy(&standin, dir.path());
        check(&ran(in_pull_request(command, dir.path(), &payload(action)).arg("-v")));
    }
    standin.control("journal", &Value::Null);
    check(&ran(deploy(&standin, dir.path()).args(TO_PROD)));
    let journal = standin.journal();
    let requests = journal.0["requests"].as_array().unwrap().iter();
    let of_old = requests.filter(|request| request["object"] == old("changed") && request["method"] == "GET");
    let statuses: Vec<_> = of_old.map(|request| request["status"].clone()).collect();
    assert_eq!(statuses, [206, 206]);
    journal.assert_clean();
}

#[test]
fn a_deploy_works_without_a_list_of_changes() {
    let (first, standin, dir) = deploy_one(json!({}), &[]);
    let old = first.document["locations"][0]["deps_pex"].as_str().unwrap().to_string();
    for rule in [json!({"status": 403}), json!({"html": true}), json!({"truncate": true})] {
        let mut fault = json!({"operation": "GET", "object": old, "times": 0});
        fault.as_object_mut().unwrap().extend(rule.as_object().unwrap().clone());
        write_project(dir.path(), &[("one", "")]);
        ran(deploy(&standin, dir.path()).args(TO_PROD));
        standin.control("faults", &json!([fault]));
        write_project(dir.path(), &[("one", "extra==1")]);
        let ran = ran(deploy(&standin, dir.path()).args(TO_PROD).arg("-v"));
        standin.control("faults", &json!([]));
        assert_eq!((ran.code, ran.state("one")), (Some(0), "loaded"), "{rule}: {}", ran.stderr);
        assert_eq!(ran.document["locations"][0].get("dependencies"), None, "{rule}");
        assert!(ran.stderr.contains(&format!("could not list the distributions in {old}")), "{}", ran.stderr);
    }
}

#[test]
fn several_cache_tags_are_read_and_one_is_written() {
    let tags = ["--deps-cache-from", "base", "--deps-cache-from", "own", "--deps-cache-to", "own"];
    let (first, standin, dir) =
        deploy_one(json!({}), &["--deps-cache-from", "base", "--deps-cache-to", "base"]);
    assert_eq!(first.document["locations"][0]["sent"]["deps"], "uploaded", "{}", first.stderr);
    let texts = || standin.state()["texts"].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let written = texts();
    assert!(matches!(&written[..], [_, _]), "{written:?}");
    assert!(written.iter().all(|name| name.ends_with("-YmFzZQ==.txt")), "{written:?}");
    // An entry found under the first tag need not be written under the second, which is only read if the first has
    // nothing.
    standin.control("journal", &Value::Null);
    let hit = ran(deploy(&standin, dir.path()).args(TO_PROD).args(tags));
    assert_eq!(hit.document["locations"][0]["sent"]["deps"], "cached", "{}", hit.stderr);
    let journal = standin.journal();
    assert_eq!((journal.count("GET requirements-"), journal.count("PUT")), (0, 0));
    assert_eq!(journal.count("GET resolution-"), 1);
    written.iter().for_each(|name| standin.control("delete-object", &json!(name)));
    let miss = ran(deploy(&standin, dir.path()).args(TO_PROD).args(tags));
    assert_eq!(miss.document["locations"][0]["sent"]["deps"], "already_there", "{}", miss.stderr);
    assert_eq!(texts().iter().filter(|name| name.ends_with("-b3du.txt")).count(), 2, "{:?}", texts());
    standin.journal().assert_clean();
}

#[test]
fn a_pull_request_goes_to_its_branch_deployment_as_its_head_commit() {
    let dir = tempfile::tempdir().unwrap();
    write_project(dir.path(), &[("one", "")]);
    let standin = Standin::start(json!({}));
    let ran = ran(in_pull_request(&mut deploy(&standin, dir.path()), dir.path(), &payload("opened")));
    assert_eq!((ran.code, ran.state("one")), (Some(0), "loaded"), "{}", ran.stderr);
    let name = ran.document["deployment"]["name"].as_str().unwrap();
    assert_eq!((name.len(), &ran.document["deployment"]["is_branch"]), (40, &json!(true)));
    let state = standin.state();
    assert_eq!(state["deployments"]["prod"]["locations"], json!({}));
    assert_eq!(
        state["deployments"][name]["locations"]["one"]["git"],
        json!({
            "commit_hash": HEAD, "url": format!("https://github.example/acme/proj/tree/{HEAD}"),
            "provider": "github", "repo_owner": "acme", "repo_name": "proj", "base_branch": "main",
        })
    );
    standin.journal().assert_clean();
}

#[test]
fn a_closed_pull_request_closes_and_builds_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let standin = Standin::start(json!({}));
    let close = || ran(in_pull_request(&mut deploy(&standin, dir.path()), dir.path(), &payload("closed")));
    // One without a branch deployment does not get one just to close it.
    let never = close();
    assert_eq!((never.code, &never.document["deployment"]), (Some(0), &Value::Null), "{}", never.stderr);
    let looks = ["getBranchDeploymentName", "deploymentByName"];
    assert_eq!(standin.journal().calls(), looks);
    let mut command = crate::support::pexpress();
    standin.point(&mut command).args(["branch-deployment", "--create"]).current_dir(dir.path());
    crate::support::run(in_pull_request(&mut command, dir.path(), &payload("opened")));
    standin.control("journal", &Value::Null);
    // Its base may be deleted.
    let ran = ran(in_pull_request(
        deploy(&standin, dir.path()).env("DAGSTER_CLOUD_DEPLOYMENT", "gone"),
        dir.path(),
        &payload("closed"),
    ));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let journal = standin.journal();
    assert_eq!(
        (journal.calls(), dir.path().join("out").exists()),
        (
            [&looks[..], &["createOrUpdateBranchDeployment"]]
                .concat()
                .into_iter()
                .map(String::from)
                .collect(),
            false
        )
    );
    assert_eq!(journal.variables("createOrUpdateBranchDeployment")[0]["baseDeploymentName"], Value::Null);
    let name = ran.document["deployment"]["name"].as_str().unwrap();
    assert_eq!(standin.state()["deployments"][name]["status"], "CLOSED");
}

#[test]
fn a_pull_request_never_falls_back_to_a_full_deployment() {
    let dir = tempfile::tempdir().unwrap();
    write_project(dir.path(), &[("one", "")]);
    let standin = Standin::start(json!({"faults": [
        {"operation": "createOrUpdateBranchDeployment", "errors": [{"message": "no"}]},
    ]}));
    let mut no_head = payload("opened");
    no_head["pull_request"]["head"] = Value::Null;
    for (payload, code) in [(no_head, 2), (json!({}), 2), (payload("opened"), 3)] {
        let command = &mut deploy(&standin, dir.path());
        let ran = ran(in_pull_request(command, dir.path(), &payload).args(["--deployment", "prod", "--yes"]));
        assert_eq!(ran.code, Some(code), "{}", ran.stderr);
    }
    assert_eq!(standin.journal().calls(), ["currentDeployment", "createOrUpdateBranchDeployment"]);
    assert_eq!(standin.state()["deployments"]["prod"]["locations"], json!({}));
}

#[test]
fn without_an_event_a_full_deployment_needs_a_yes() {
    let dir = tempfile::tempdir().unwrap();
    write_project(dir.path(), &[("one", "")]);
    let standin = Standin::start(json!({}));
    for (args, ci, says) in [
        (
            &["--deployment", "prod"][..],
            false,
            "deploying to the full deployment `prod` needs a confirmation",
        ),
        (&[], false, "there is no git work tree"),
        (&[], true, "the event of this CI run is not known (a CI system)"),
    ] {
        let command = &mut deploy(&standin, dir.path());
        let ran = ran(command.args(args).envs(ci.then_some(("CI", "true"))));
        assert_eq!(ran.code, Some(2));
        assert!(ran.stderr.contains(says), "{}", ran.stderr);
    }
    assert_eq!(standin.journal().calls().len(), 0);
    let ran = ran(deploy(&standin, dir.path()).args(["--deployment", "prod", "--yes"]));
    assert_eq!((ran.code, ran.state("one")), (Some(0), "loaded"), "{}", ran.stderr);
}

#[test]
fn a_refused_upload_stops_its_code_locations_and_no_others() {
    let mut refused = Vec::new();
    for object in ["deps-", "source-"] {
        let rule = json!({"operation": "PUT", "object": object, "times": 0, "status": 403});
        let (ran, standin, _dir) = deploy_one(json!({"faults": [rule]}), &["--deps-cache-to", "t"]);
        assert_eq!((ran.code, ran.state("one")), (Some(3), "not_published"), "{}", ran.stderr);
        refused.push(messages(&ran.stderr));
        let journal = standin.journal();
        assert_eq!(journal.count("addOrUpdateLocationFromDocument") + journal.count("agents"), 0);
        assert_eq!(journal.count("PUT requirements-"), usize::from(object == "source-"));
        journal.assert_clean();
    }
    insta::assert_snapshot!(refused.join("\n"), @r#"
    error: the code location `one` was not updated, since its files are not stored
      caused by: could not upload `deps-[HASH].pex`: the object store answered 403 Forbidden
    hint: the object store refuses the address that Dagster+ gave for the upload: check that the clock of this machine is right and that no proxy changes requests; if this persists, contact Dagster+ support
    error: 1 of 1 code locations could not be deployed: one
    error: the code location `one` was not updated, since its files are not stored
      caused by: could not upload `source-[HASH].pex`: the object store answered 403 Forbidden
    hint: the object store refuses the address that Dagster+ gave for the upload: check that the clock of this machine is right and that no proxy changes requests; if this persists, contact Dagster+ support
    error: 1 of 1 code locations could not be deployed: one
    "#);
    let dir = tempfile::tempdir().unwrap();
    write_project(dir.path(), &[("good", ""), ("bad", "extra==1")]);
    let standin = Standin::start(json!({}));
    let built = ran(deploy(&standin, dir.path()).args(TO_PROD));
    let bad = built.document["locations"][1]["deps_pex"].as_str().unwrap().to_string();
    standin.control("delete-object", &json!(bad));
    standin.control("faults", &json!([{"operation": "PUT", "object": bad, "times": 0, "status": 400}]));
    let again = ran(deploy(&standin, dir.path()).args(TO_PROD));
    assert_eq!((again.code, again.state("good"), again.state("bad")), (Some(3), "loaded", "not_published"));
    insta::assert_snapshot!(messages(&again.stderr), @r#"
    error: the code location `bad` was not updated, since its files are not stored
      caused by: could not upload `deps-[HASH].pex`: the object store answered 400 Bad Request
    error: 1 of 2 code locations could not be deployed: bad
    "#);
}

#[test]
fn what_cannot_be_built_is_not_deployed_and_stops_no_others() {
    let dir = tempfile::tempdir().unwrap();
    write_project(dir.path(), &[("good", ""), ("bad", "extra==999")]);
    let standin = Standin::start(json!({}));
    let ran = ran(deploy(&standin, dir.path()).args(TO_PROD));
    assert_eq!(
        (ran.code, ran.state("good"), ran.state("bad")),
        (Some(1), "loaded", "not_deployed"),
        "{}",
        ran.stderr
    );
    let deployed = &standin.state()["deployments"]["prod"]["locations"];
    assert_eq!(deployed.as_object().unwrap().keys().collect::<Vec<_>>(), ["good"]);
    standin.journal().assert_clean();
}

#[test]
fn a_branch_deployment_can_be_requested_from_any_branch() {
    let dir = tempfile::tempdir().unwrap();
    write_project(dir.path(), &[("one", "")]);
    for args in [
        &["init", "-q", "-b", "main"][..],
        &["remote", "add", "origin", "git@github.example:acme/proj.git"],
        &["-c", "user.name=A", "-c", "user.email=a@b.test", "commit", "-q", "--allow-empty", "-m", "First"],
    ] {
        crate::support::run(Command::new("git").args(args).current_dir(dir.path()));
    }
    let standin = Standin::start(json!({}));
    let args = ["--deployment-for-branch", "--base-deployment", "prod", "--snapshot-base", "on-create"];
    let ran = ran(deploy(&standin, dir.path()).args(args));
    assert_eq!((ran.code, ran.state("one")), (Some(0), "loaded"), "{}", ran.stderr);
    let sent = &standin.journal().variables("createOrUpdateBranchDeployment")[0];
    assert_eq!(
        (&sent["branchData"]["branchName"], &sent["branchData"]["repoName"], &sent["snapshotBaseCondition"]),
        (&json!("main"), &json!("acme/proj"), &json!("ON_CREATE"))
    );
    assert_eq!(standin.state()["deployments"]["prod"]["locations"], json!({}));
}

#[test]
fn outcomes_decide_the_exit_code_and_the_table() {
    for (config, code, state, says) in [
        (
            json!({"load": {"one": {"error": {"message": "ImportError: x"}}}}),
            1,
            "failed_to_load",
            "ImportError: x",
        ),
        (json!({"load": {"one": {"never": true}}}), 3, "loading", "had not loaded after 1 s"),
        (json!({"agents": {"absent": true}}), 3, "no_agent", "no agent was running within 1 s"),
        (json!({"unauthorized_deployments": ["prod"]}), 3, "not_updated", "UnauthorizedError"),
    ] {
        let limits = ["--location-load-timeout", "1", "--agent-heartbeat-timeout", "1"];
        let (ran, ..) = deploy_one(config, &limits);
        assert_eq!((ran.code, ran.state("one")), (Some(code), state), "{}", ran.stderr);
        assert!(ran.stderr.contains(says), "{says}: {}", ran.stderr);
        assert!(!ran.stderr.contains("one: loaded"), "{}", ran.stderr);
    }
}

#[test]
fn a_registry_without_a_pex_runtime_is_found_before_anything_is_built() {
    let harbor = json!({"serverless": {"is_harbor": true}});
    let (ran, standin, dir) = deploy_one(harbor.clone(), &["--strategy", "pex"]);
    assert_eq!(ran.code, Some(1));
    insta::assert_snapshot!(messages(&ran.stderr), @r#"
    error: `one` cannot be deployed as PEX files: this organization's Serverless runs images only (its registry is Harbor)
      at: dagster_cloud.yaml:2:5
    hint: leave --strategy out, or set it to `image`
    "#);
    assert!(!dir.path().join("out").exists());
    assert_eq!(standin.journal().count("generateServerlessPexUrl"), 0);
    let redirect = "DAGSTER_CLOUD_DISABLE_PEX_DOCKER_REDIRECT";
    let redirected = self::ran(deploy(&standin, dir.path()).args(TO_PROD).env(redirect, "1"));
    assert_eq!((redirected.code, redirected.state("one")), (Some(0), "loaded"), "{}", redirected.stderr);
    let rule = json!([{"operation": "serverless", "times": 0, "errors": [{"message": "no serverless"}]}]);
    let (asked, ..) = deploy_one(json!({"faults": rule}), &["--strategy", "pex"]);
    assert_eq!(asked.code, Some(0), "{}", asked.stderr);
    insta::assert_snapshot!(messages(&asked.stderr), @"warning: could not ask for the registry: Dagster+ answered with errors: no serverless; continuing as if PEX files can run there");
    // Otherwise a failing question would decide for PEX files.
    let (ran, standin, _) = deploy_one(json!({"faults": rule}), &[]);
    assert_eq!(ran.code, Some(3), "{}", ran.stderr);
    insta::assert_snapshot!(messages(&ran.stderr), @r#"
    error: it is not known whether PEX files can run there
      caused by: could not ask for the registry: Dagster+ answered with errors: no serverless
    hint: run again; with `pex` as --strategy, PEX files are deployed without this answer
    "#);
    assert_eq!(standin.journal().count("generateServerlessPexUrl"), 0);
}

#[test]
fn images_take_the_place_of_the_python_version() {
    let (ran, standin, dir) = deploy_one(json!({}), &["--base-image-tag", "v2"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let document = || standin.state()["deployments"]["prod"]["locations"]["one"].clone();
    assert_eq!(document()["image"], "registry.example.test/acme:v2");
    assert_eq!(document()["pex_metadata"].get("python_version"), None);
    for (variables, flag, image) in [
        (&[("SERVERLESS_BASE_IMAGE", "a:1"), ("SERVERLESS_BASE_IMAGE_TAG", "v3")][..], None, "a:1"),
        (&[("SERVERLESS_BASE_IMAGE_TAG", "v3")], None, "registry.example.test/acme:v3"),
        (&[("SERVERLESS_BASE_IMAGE", "a:1")], Some("--image=b:2"), "b:2"),
    ] {
        let mut command = deploy(&standin, dir.path());
        let ran = self::ran(command.args(TO_PROD).args(flag).envs(variables.iter().copied()));
        assert_eq!((ran.code, document()["image"].as_str()), (Some(0), Some(image)), "{}", ran.stderr);
    }
    standin.journal().assert_clean();
}

#[test]
fn a_token_is_never_shown() {
    let (ran, standin, dir) =
        deploy_one(json!({"faults": [{"operation": "*", "times": 0, "status": 401}]}), &["-v"]);
    assert_eq!(ran.code, Some(3), "{}", ran.stderr);
    // Several questions are asked at once, and which one is refused first differs.
    let said = messages(&ran.stderr);
    let (_, refusal) = said.split_once(": Dagster+ ").unwrap();
    insta::assert_snapshot!(refusal, @r#"
    refused the token (401 Unauthorized)
    hint: check that DAGSTER_CLOUD_API_TOKEN is a current token of this organization with the right to deploy there
    "#);
    standin.control("faults", &json!([]));
    let fine = self::ran(deploy(&standin, dir.path()).args(TO_PROD).arg("-v"));
    assert_eq!(fine.code, Some(0));
    for text in [&ran.stderr, &fine.stderr, &fine.document.to_string()] {
        assert!(!text.contains("token-for-tests") && !text.contains("X-Signature"), "{text}");
    }
}

#[test]
fn defs_state_info_and_settings_that_cannot_be_read_are_named() {
    let (ran, standin, dir) = deploy_one(json!({}), &["--defs-state-info", "nowhere.json"]);
    assert_eq!(ran.code, Some(2));
    insta::assert_snapshot!(messages(&ran.stderr), @r#"
    error: could not read `nowhere.json` (--defs-state-info) as JSON
      caused by: No such file or directory (os error 2)
    "#);
    std::fs::write(dir.path().join("info.json"), r#"{"x": {"version": "1"}}"#).unwrap();
    let args = ["--defs-state-info", "info.json"];
    let ran = self::ran(deploy(&standin, dir.path()).args(TO_PROD).args(args));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let document = &standin.state()["deployments"]["prod"]["locations"]["one"];
    assert_eq!(document["defs_state_info"], json!({"x": {"version": "1"}}));
}

#[test]
fn a_build_alone_asks_nothing_of_dagster_and_names_idle_flags() {
    let dir = tempfile::tempdir().unwrap();
    write_project(dir.path(), &[("one", "")]);
    let standin = Standin::start(json!({}));
    let mut command = pexpress_with_uv();
    standin.point(&mut command).arg("deploy").arg(dir.path()).arg(dir.path().join("out"));
    let ran = ran(command.args(["--deps-cache-from", "t"]));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    insta::assert_snapshot!(messages(&ran.stderr), @"warning: --deps-cache-from has no effect without --upload or --update");
    assert_eq!(standin.journal().calls().len(), 0);
}

#[cfg(unix)]
#[test]
fn a_signal_stops_the_wait_and_says_what_was_reached() {
    let dir = tempfile::tempdir().unwrap();
    write_project(dir.path(), &[("one", "")]);
    let standin = Standin::start(json!({"load": {"one": {"never": true}}}));
    for (signal, code) in [(Signal::TERM, 143), (Signal::INT, 130)] {
        standin.control("journal", &Value::Null);
        let mut command = deploy(&standin, dir.path());
        let child = command.args(TO_PROD).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = Running(child.unwrap());
        while standin.journal().count("agents") == 0 {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        child.signal(signal);
        let stderr = std::io::read_to_string(child.0.stderr.take().unwrap()).unwrap();
        assert_eq!(child.0.wait().unwrap().code(), Some(code), "{stderr}");
        assert!(stderr.contains("interrupted: one had been updated but not seen to load"), "{stderr}");
    }
}

/// Users got an empty standard output, and `check` ended by the signal.
#[cfg(unix)]
#[test]
fn a_signal_while_the_project_is_read_gives_a_document() {
    let dir = tempfile::tempdir().unwrap();
    // Reading it blocks until there is a writer.
    let file = dir.path().join("dagster_cloud.yaml");
    assert!(Command::new("mkfifo").arg(&file).status().unwrap().success());
    let commands: [&[&str]; 3] = [
        &["deploy", "dagster_cloud.yaml", "out"],
        &["deploy", "dagster_cloud.yaml", "out", "--dry-run"],
        &["check", "dagster_cloud.yaml"],
    ];
    for args in commands {
        let mut command = pexpress_with_uv();
        command.args(args).args(["--format", "json"]).current_dir(dir.path());
        let mut child = Running(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
        let _writer = std::fs::OpenOptions::new().write(true).open(&file).unwrap();
        child.signal(Signal::TERM);
        let stdout = std::io::read_to_string(child.0.stdout.take().unwrap()).unwrap();
        assert_eq!(child.0.wait().unwrap().code(), Some(143), "{args:?}");
        let document: Value = serde_json::from_str(&stdout).unwrap_or_else(|_| panic!("{args:?}: {stdout}"));
        assert_eq!(
            document["error"],
            json!({
                "message": "interrupted: nothing was changed at Dagster+", "causes": [], "hint": null,
                "file": null, "line": null, "column": null, "exit_code": 143,
            }),
            "{args:?}"
        );
    }
}

#[test]
fn cost_depends_on_different_files_and_not_on_code_locations() {
    let dir = tempfile::tempdir().unwrap();
    let named: Vec<(String, String)> =
        (0..100).map(|n| (format!("location-{n}"), format!("extra=={}", n % 10 + 1))).collect();
    let locations: Vec<_> = named.iter().map(|(name, lines)| (name.as_str(), lines.as_str())).collect();
    write_project(dir.path(), &locations);
    let standin = Standin::start(json!({}));
    let cache = ["--deps-cache-from", "t", "--deps-cache-to", "t"];
    let first = ran(deploy(&standin, dir.path()).args(TO_PROD).args(cache));
    assert_eq!(first.code, Some(0), "{}", first.stderr);
    let journal = standin.journal();
    assert_eq!((journal.count("PUT deps-"), journal.count("PUT source-")), (10, 100));
    assert_eq!((journal.count("PUT requirements-"), journal.count("deployLocations")), (10, 1));
    let most = journal.0["most_open_connections"].as_u64().unwrap();
    assert!(most <= 40, "{most} connections at once");
    journal.assert_clean();

    standin.control("journal", &Value::Null);
    std::fs::write(dir.path().join("location-7/defs.py"), "name = 'changed'\n").unwrap();
    let second = ran(deploy(&standin, dir.path()).args(TO_PROD).args(cache));
    assert_eq!(second.code, Some(0), "{}", second.stderr);
    let journal = standin.journal();
    assert_eq!(
        (journal.count("PUT"), journal.count("PUT source-"), journal.count("deployLocations")),
        (1, 1, 1)
    );
}
