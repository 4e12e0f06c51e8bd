//! dagster-cloud-cli from PyPI and this program, each against a stand-in: the same operations with the same variables
//! where the meaning is the same. It also shows that the stand-in is realistic, because the real client works with it.

use crate::support::environments::{environment, helper_version};
use crate::support::standin::{Journal, Standin};
use crate::support::timed::timed;
use crate::support::{pexpress_with_uv, run};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

const PACKAGES: &[&str] = &["dagster-cloud-cli==1.13.27", "pex==2.59.5", "pip", "setuptools", "wheel"];
const GIT_URL: &str = "https://github.example/acme/proj/tree/";

/// A project with a history of one commit, pinned so that both resolve alike.
fn write_project(dir: &Path) -> String {
    let setup = "from setuptools import setup\nsetup(name='proj', version='1', packages=['proj'], \
                 install_requires=['dagster==1.13.27', 'dagster-cloud==1.13.27'])\n";
    std::fs::create_dir(dir.join("proj")).unwrap();
    std::fs::write(dir.join("setup.py"), setup).unwrap();
    std::fs::write(dir.join("proj/__init__.py"), "import dagster\n\ndefs = dagster.Definitions()\n").unwrap();
    let yaml = "locations:\n  - location_name: one\n    code_source: {package_name: proj}\n    attribute: defs\n    \
                container_context: {k8s: {env_vars: [A=1]}}\n    build: {directory: .}\n";
    std::fs::write(dir.join("dagster_cloud.yaml"), yaml).unwrap();
    let git = |args: &[&str]| {
        let mut command = Command::new("git");
        command.args([
            "-c",
            "user.name=Ann",
            "-c",
            "user.email=ann@example.test",
            "-c",
            "init.defaultBranch=main",
        ]);
        run(command.args(args).current_dir(dir))
    };
    git(&["init", "-q"]);
    git(&["remote", "add", "origin", "https://github.example/acme/proj.git"]);
    git(&["add", "."]);
    git(&["commit", "-q", "-m", "First"]);
    String::from_utf8(git(&["rev-parse", "HEAD"]).stdout).unwrap().trim().to_string()
}

/// The other client, with its interpreter first on PATH and a clean environment.
fn other(standin: &Standin) -> Command {
    let bin = environment(helper_version(), PACKAGES).join("bin");
    let path = std::env::join_paths([bin.clone(), PathBuf::from("/usr/bin"), PathBuf::from("/bin")]).unwrap();
    let mut command = Command::new(bin.join("dagster-cloud"));
    standin.point(&mut command).env("PATH", path);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("GITHUB_") || name == "CI" {
            command.env_remove(name);
        }
    }
    command
}

/// The root fields of the mutations that change something.
fn mutations(journal: &Journal) -> BTreeSet<String> {
    let all =
        ["addOrUpdateLocationFromDocument", "createOrUpdateBranchDeployment", "generateServerlessPexUrl"];
    all.into_iter().filter(|field| journal.count(field) > 0).map(String::from).collect()
}

/// A document without what has to differ: the hashes of the files.
fn comparable(mut document: Value) -> Value {
    let tag = document["pex_metadata"]["pex_tag"].as_str().unwrap().to_string();
    let plain: String =
        tag.split(':').map(|name| format!("{}HASH ", &name[..name.find('-').unwrap() + 1])).collect();
    document["pex_metadata"]["pex_tag"] = json!(plain);
    document
}

#[test]
#[ignore = "half a minute, and a package index"]
fn a_full_deployment_gets_the_same_requests() {
    let _timed = timed();
    let dir = tempfile::tempdir().unwrap();
    let sha = write_project(dir.path());
    let (theirs, ours) = (Standin::start(json!({})), Standin::start(json!({})));
    let yaml = dir.path().join("dagster_cloud.yaml");
    let cache = ["--deps-cache-from", "acme/proj", "--deps-cache-to", "acme/proj"];
    run(other(&theirs)
        .args(["serverless", "deploy-python-executable"])
        .arg(dir.path())
        .args(["--location-name", "*", "--python-version", "3.11", "--location-file"])
        .arg(&yaml)
        .args(["--url", &format!("{}/prod", theirs.url), "--commit-hash", &sha])
        .args(["--git-url", &format!("{GIT_URL}{sha}")])
        .args(cache));
    let details = format!("deployment=prod,commit_hash={sha}");
    let mut command = pexpress_with_uv();
    run(ours
        .point(&mut command)
        .arg("deploy")
        .arg(&yaml)
        .arg(dir.path().join("out"))
        .args(["--upload-pex", "--update-code-location", "--code-location-details", &details])
        .args(cache)
        .env("GITHUB_SERVER_URL", "https://github.example"));

    let (their_journal, our_journal) = (theirs.journal(), ours.journal());
    their_journal.assert_clean();
    our_journal.assert_clean();
    assert_eq!(mutations(&their_journal), mutations(&our_journal));
    let document =
        |standin: &Standin| comparable(standin.state()["deployments"]["prod"]["locations"]["one"].clone());
    let (theirs_document, mut ours_document) = (document(&theirs), document(&ours));
    // Ours sends more about the repository, like the other client's `ci deploy`.
    let git = ours_document["git"].as_object_mut().unwrap();
    for (key, value) in [("provider", "github"), ("repo_owner", "acme"), ("repo_name", "proj")] {
        assert_eq!(git.remove(key), Some(json!(value)));
    }
    assert_eq!(theirs_document, ours_document);
    // The same kinds of objects under names of the same form; the cache entry has the same text.
    let shapes = |standin: &Standin| -> BTreeSet<String> {
        let state = standin.state();
        let names = state["objects"].as_object().unwrap().keys().cloned();
        // Only ours records what the requirements were resolved to, and how local packages are built.
        let is_ours = |name: &String| name.starts_with("resolution-") || name.starts_with("recipe-");
        let names: Vec<_> = names.filter(|name| !is_ours(name)).collect();
        let hashes = |name: &String| {
            name.split('-')
                .map(|part| part.trim_end_matches(".pex"))
                .map(|part| if part.len() == 40 { "HASH".to_string() } else { part.to_string() })
                .collect::<Vec<_>>()
                .join("-")
        };
        names.iter().map(hashes).collect()
    };
    assert_eq!(shapes(&theirs), shapes(&ours));
    let entry = |standin: &Standin| {
        let texts = standin.state()["texts"].as_object().unwrap().clone();
        let entries = texts.iter().filter(|(name, _)| name.starts_with("requirements-"));
        let entries: Vec<Value> =
            entries.map(|(_, text)| serde_json::from_str(text.as_str().unwrap()).unwrap()).collect();
        assert_eq!(entries.len(), 1, "{texts:?}");
        entries[0]["dagster_version"].clone()
    };
    assert_eq!(entry(&theirs), entry(&ours));
    for field in ["serverless", "agents", "workspaceOrError"] {
        assert!(their_journal.count(field) > 0 && our_journal.count(field) > 0, "{field}");
    }
}

#[test]
#[ignore = "a few seconds, and a package index"]
fn a_branch_deployment_gets_the_same_requests() {
    let dir = tempfile::tempdir().unwrap();
    let sha = write_project(dir.path());
    let event = dir.path().join("event.json");
    for (action, state, merged) in [
        ("opened", "open", false),
        ("synchronize", "open", false),
        ("closed", "closed", false),
        ("closed", "closed", true),
    ] {
        let payload = json!({
            "action": action, "number": 7,
            "repository": {"full_name": "acme/proj", "default_branch": "main"},
            "pull_request": {
                "number": 7, "state": state, "merged": merged,
                "html_url": "https://github.example/acme/proj/pull/7",
                "head": {"ref": "feature/x", "sha": sha, "repo": {"full_name": "acme/proj"}}, "base": {"ref": "main"},
            },
        });
        std::fs::write(&event, payload.to_string()).unwrap();
        let variables = [
            ("GITHUB_ACTION", "run"),
            ("GITHUB_ACTIONS", "true"),
            ("GITHUB_EVENT_NAME", "pull_request"),
            ("GITHUB_EVENT_PATH", event.to_str().unwrap()),
            ("GITHUB_REPOSITORY", "acme/proj"),
            ("GITHUB_SERVER_URL", "https://github.example"),
            ("GITHUB_SHA", sha.as_str()),
            ("GITHUB_REF", "refs/pull/7/merge"),
            ("GITHUB_HEAD_REF", "feature/x"),
            ("GITHUB_BASE_REF", "main"),
            ("GITHUB_RUN_ID", "1"),
        ];
        let (theirs, ours) = (Standin::start(json!({})), Standin::start(json!({})));
        let statedir = tempfile::tempdir().unwrap();
        run(other(&theirs)
            .args(["ci", "init", "--project-dir", ".", "--deployment", "prod"])
            .args(["--dagster-cloud-yaml-path", "dagster_cloud.yaml"])
            .current_dir(dir.path())
            .envs(variables)
            .env("DAGSTER_CLOUD_ORGANIZATION", "acme")
            .env("DAGSTER_BUILD_STATEDIR", statedir.path()));
        let mut command = pexpress_with_uv();
        let args = ["branch-deployment", "--create", "--base-deployment", "prod"];
        run(ours.point(&mut command).args(args).current_dir(dir.path()).envs(variables));
        let field = "createOrUpdateBranchDeployment";
        let mut sent = theirs.journal().variables(field);
        if action == "closed" {
            // Ours sends no base when closing: it may be deleted.
            sent[0]["baseDeploymentName"] = Value::Null;
        }
        assert_eq!(sent, ours.journal().variables(field), "{action} {merged}");
    }
}
