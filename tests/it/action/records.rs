//! Resolution records: a push that changes only code asks no resolver.

use crate::support::scene::Scene;
use crate::support::step::{Ran, Step, pull_request};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// A uv that only says that it was asked.
pub fn refusing_uv(dir: &Path) -> PathBuf {
    let path = dir.join("uv");
    std::fs::write(
        &path,
        "#!/bin/sh\ncase $1 in --version) echo 'uv 0.99.0';; *) echo 'uv was asked' >&2; exit 2;; esac\n",
    )
    .unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn push(step: Step<'_>) -> Ran {
    step.event("push", &json!({"ref": "refs/heads/main"})).run()
}

/// A project that main has deployed, and a uv that must not be asked.
struct Deployed {
    scene: Scene,
    tools: tempfile::TempDir,
}

impl Deployed {
    fn new() -> Deployed {
        let scene = Scene::new(&[("one", "")], json!({}));
        let first = push(scene.step());
        assert_eq!(first.code, Some(0), "{}", first.log);
        Deployed { scene, tools: tempfile::tempdir().unwrap() }
    }

    fn without_uv(&self) -> Step<'_> {
        let uv = refusing_uv(self.tools.path());
        self.scene.step().with("PEXPRESS_UV", uv.to_str().unwrap())
    }

    fn write(&self, path: &str, text: &str) {
        std::fs::write(self.scene.dir.path().join(path), text).unwrap();
    }

    /// The objects that are records, by name.
    fn records(&self) -> Vec<(String, Value)> {
        let state = self.scene.dagster.state();
        let texts = state["texts"].as_object().unwrap().iter();
        let records = texts.filter(|(name, _)| name.starts_with("resolution-"));
        let document = |text: &Value| serde_json::from_str(text.as_str().unwrap()).unwrap();
        records.map(|(name, text)| (name.clone(), document(text))).collect()
    }
}

#[test]
fn a_change_of_code_alone_is_deployed_as_it_was_resolved() {
    let deployed = Deployed::new();
    deployed.write("one/defs.py", "changed = 1\n");
    let again = push(deployed.without_uv());
    assert_eq!((again.code, again.output("result")), (Some(0), "success"), "{}", again.log);
    assert!(again.log.contains("for these requirements as resolved "), "{}", again.log);
    assert_eq!(again.json("locations")[0]["sent"], json!({"source": "uploaded", "deps": "cached"}));
    assert_eq!(again.json("locations")[0]["dagster_version"], "1.13.27");
    // A pull request gets what main deploys.
    let request = deployed.without_uv().event("pull_request", &pull_request("opened")).run();
    assert_eq!((request.code, request.output("result")), (Some(0), "success"), "{}", request.log);
    let plan = push(deployed.without_uv().with("INPUT_COMMAND", "plan"));
    assert_eq!((plan.code, plan.output("matrix")), (Some(0), ""), "{}", plan.log);
    assert_eq!(deployed.records().len(), 1, "only main has resolved");
    deployed.scene.assert_clean();
}

#[test]
fn what_a_record_does_not_cover_is_resolved() {
    let deployed = Deployed::new();
    let asked = |ran: Ran| ran.code != Some(0) && ran.log.contains("uv was asked");
    assert!(asked(deployed.without_uv().event("schedule", &json!({})).run()), "a schedule");
    for (input, value) in
        [("INPUT_RESOLVE_MAX_AGE", "0"), ("INPUT_FORCE_REBUILD_DEPS", "true"), ("INPUT_CACHE", "false")]
    {
        assert!(asked(push(deployed.without_uv().with(input, value))), "{input}");
    }
    assert!(asked(push(deployed.without_uv().with("UV_PRERELEASE", "allow"))), "another setting");
    deployed.write("one/requirements.txt", "dagster\ndagster-cloud\nextra==1\n");
    assert!(asked(push(deployed.without_uv())), "another requirement");
}

#[test]
fn a_record_that_cannot_be_used_costs_a_resolution_and_changes_nothing() {
    let deployed = Deployed::new();
    let [(name, document)] = deployed.records().try_into().unwrap();
    let deps = document["deps_pex_name"].as_str().unwrap().to_string();
    let changed = |key: &str, value: Value| {
        let mut changed = document.clone();
        changed[key] = value;
        changed
    };
    for (text, says) in [
        ("<html>".to_string(), "it is not a record of these requirements"),
        (
            changed("deps_pex_name", json!("deps-00.pex")).to_string(),
            "it is not a record of these requirements",
        ),
        (changed("resolved_at", json!(1_000_000)).to_string(), "it is not a record of these requirements"),
    ] {
        deployed.scene.dagster.control("put-object", &json!({"name": name, "text": text}));
        let ran = push(deployed.scene.step());
        assert_eq!((ran.code, ran.output("result")), (Some(0), "success"), "{}", ran.log);
        assert!(ran.log.contains(says), "{says}: {}", ran.log);
        assert!(ran.output("pex_tags").contains(&deps), "{:?}", ran.outputs);
        // It is written again.
        assert_eq!(deployed.records()[0].1["deps_pex_name"], json!(deps));
    }
    deployed.scene.dagster.control("delete-object", &json!(deps));
    let ran = push(deployed.scene.step());
    assert_eq!(ran.json("locations")[0]["sent"]["deps"], "uploaded", "{}", ran.log);
    deployed.scene.assert_clean();
}

/// It would be believed by every run after it, once a record of it is written.
#[test]
fn an_entry_that_names_a_file_with_other_packages_is_not_used() {
    let scene = Scene::new(&[("one", "extra==1"), ("two", "extra==2")], json!({}));
    let first = push(scene.step());
    assert_eq!(first.code, Some(0), "{}", first.log);
    let deps_of = |ran: &Ran| {
        let tags = ran.json("pex_tags");
        ["one", "two"].map(|name| {
            let tag = tags[name].as_str().unwrap();
            let file = &tag[tag.find("deps-").unwrap()..];
            file[..file.find(".pex").unwrap() + ".pex".len()].to_string()
        })
    };
    let [one, two] = deps_of(&first);
    let state = scene.dagster.state();
    for (name, text) in state["texts"].as_object().unwrap() {
        let text = text.as_str().unwrap();
        match name.starts_with("requirements-") {
            true => {
                // Each names the file of the other.
                let text = text.replace(&one, "deps-x").replace(&two, &one).replace("deps-x", &two);
                scene.dagster.control("put-object", &json!({"name": name, "text": text}));
            }
            false => scene.dagster.control("delete-object", &json!(name)),
        }
    }
    let again = push(scene.step());
    assert_eq!((again.code, deps_of(&again)), (Some(0), [one, two]), "{}", again.log);
    assert_eq!(
        again.log.matches("it has other packages than the requirements were resolved to").count(),
        2,
        "{}",
        again.log
    );
    scene.assert_clean();
}
