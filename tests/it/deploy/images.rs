//! `deploy`, `deploy --dry-run` and `plan` of images that are pushed already, against a stand-in with Hybrid agents.

use crate::deploy::whole::{Ran, TO_PROD, in_pull_request, payload, ran};
use crate::support::pexpress;
use crate::support::said::{lines, messages};
use crate::support::standin::Standin;
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Command, Stdio};

/// Two code locations with a registry, and nothing that could be built.
pub const PROJECT: &str = "\
defaults: {container_context: {k8s: {env_vars: [A=1]}}}
locations:
  - location_name: one
    code_source: {module_name: one.definitions}
    build: {registry: ghcr.io/acme/one}
  - location_name: two
    code_source: {module_name: two.definitions}
    agent_queue: large
    image: old.example/two:1
";

/// Registries are not reached through it.
pub const NO_PROXY_THERE: &str = "http://127.0.0.1:9";

pub fn hybrid() -> Value {
    json!({"deployments": [{"name": "prod", "agent_type": "HYBRID"}]})
}

/// A run there, where any use of uv fails.
fn run(standin: &Standin, dir: &Path, command: &str, args: &[&str]) -> Command {
    std::fs::write(dir.join("dagster_cloud.yaml"), PROJECT).unwrap();
    let mut process = pexpress();
    standin.point(&mut process).env("UV", "/nowhere/uv").env("PEXPRESS_UV", "/nowhere/uv");
    // The registries do not exist, and nobody is to be asked for them.
    process.env("HTTPS_PROXY", NO_PROXY_THERE);
    process.arg(command).arg(dir).current_dir(dir).stdin(Stdio::null());
    if command == "deploy" {
        process.arg(dir.join("out"));
    }
    process.args(args);
    process
}

struct Scene {
    standin: Standin,
    dir: tempfile::TempDir,
}

impl Scene {
    fn new() -> Scene {
        Scene { standin: Standin::start(hybrid()), dir: tempfile::tempdir().unwrap() }
    }

    fn command(&self, command: &str, args: &[&str]) -> Command {
        run(&self.standin, self.dir.path(), command, args)
    }

    fn deploy(&self, args: &[&str]) -> Ran {
        ran(self.command("deploy", args).args(TO_PROD))
    }

    /// The image that each code location of `prod` was updated to.
    fn images(&self) -> Value {
        let state = self.standin.state();
        let locations = state["deployments"]["prod"]["locations"].as_object().unwrap().clone();
        locations.into_iter().map(|(name, document)| (name, document["image"].clone())).collect()
    }
}

#[test]
fn images_are_deployed_without_a_build_and_awaited() {
    let scene = Scene::new();
    let ran = scene.deploy(&["--image-tag", "ab12", "--image-of", "two=ghcr.io/acme/two:v7"]);
    assert_eq!(
        (ran.code, ran.state("one"), ran.state("two")),
        (Some(0), "loaded", "loaded"),
        "{}",
        ran.stderr
    );
    assert_eq!(ran.document["locations"][0]["image"], "ghcr.io/acme/one:ab12");
    assert_eq!(ran.document["files"], json!([]));
    let state = scene.standin.state();
    assert_eq!(
        state["deployments"]["prod"]["locations"]["two"],
        json!({
            "location_name": "two", "code_source": {"module_name": "two.definitions"}, "agent_queue": "large",
            "container_context": {"k8s": {"env_vars": ["A=1"]}}, "image": "ghcr.io/acme/two:v7",
            "git": {"commit_hash": "ab12"},
        })
    );
    let journal = scene.standin.journal();
    let calls = journal.calls();
    assert_eq!(journal.variables("deployLocations").len(), 1, "{calls:#?}");
    assert!(!calls.iter().any(|call| call == "serverless" || call.contains("Pex")), "{calls:#?}");
    assert!(!scene.dir.path().join("out").exists(), "nothing is built");
    let said: Vec<&str> =
        ran.stderr.lines().filter(|line| !line.contains("could not be checked from here")).collect();
    insta::assert_snapshot!(crate::support::said::plain(&said.join("\n")), @r#"
    Not used for two: the `image:` in dagster_cloud.yaml
    Deploying to the deployment prod (http://127.0.0.1:[PORT]/prod/locations)
    Updating 2 code locations to images that are built already
    waiting to load: one, two ([TIME])
    one: loaded after [TIME]
    two: loaded after [TIME]
    code location  state   image
    one            loaded  ghcr.io/acme/one:ab12
    two            loaded  ghcr.io/acme/two:v7
    "#);
    journal.assert_clean();
}

#[test]
fn a_pull_request_gets_a_branch_deployment_with_images_and_closes_it() {
    let scene = Scene::new();
    let (dir, args) = (scene.dir.path(), ["--image-tag", "t", "--image-of", "two=a:1"]);
    let opened = ran(in_pull_request(&mut scene.command("deploy", &args), dir, &payload("opened")));
    assert_eq!(opened.code, Some(0), "{}", opened.stderr);
    let name = opened.document["deployment"]["name"].as_str().unwrap().to_string();
    assert_eq!(
        scene.standin.state()["deployments"][&name]["locations"]["one"]["image"],
        "ghcr.io/acme/one:t"
    );
    let closed = ran(in_pull_request(&mut scene.command("deploy", &args), dir, &payload("closed")));
    assert_eq!((closed.code, &closed.document["closed"]), (Some(0), &json!(true)), "{}", closed.stderr);
    scene.standin.journal().assert_clean();
}

#[test]
fn only_images_that_changed_are_deployed_and_planned() {
    let scene = Scene::new();
    let first = ["--image-tag", "a", "--image-of", "two=r.example/two:1"];
    assert_eq!(scene.deploy(&first).code, Some(0));
    let planned = |args: &[&str]| {
        let output = scene.command("plan", args).args(TO_PROD).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        let document: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{said}"));
        let jobs = document["include"].as_array().unwrap().iter().map(|job| job["names"].clone());
        (jobs.collect::<Vec<_>>(), said)
    };
    assert_eq!(planned(&first).0, [] as [Value; 0]);
    let second = ["--image-tag", "b", "--image-of", "two=r.example/two:1", "--shards", "2"];
    let (jobs, said) = planned(&second);
    assert_eq!(jobs, [json!(["one"])]);
    insta::assert_snapshot!(lines(&said, "one"), @"one: its `image` differs");
    scene.standin.control("journal", &Value::Null);

    let second = ["--image-tag", "b", "--image-of", "two=r.example/two:1", "--changed-only"];
    let ran = scene.deploy(&second);
    assert_eq!(
        (ran.code, ran.state("one"), ran.state("two")),
        (Some(0), "loaded", "unchanged"),
        "{}",
        ran.stderr
    );
    assert_eq!(scene.images(), json!({"one": "ghcr.io/acme/one:b", "two": "r.example/two:1"}));
    assert_eq!(scene.standin.journal().count("addOrUpdateLocationFromDocument"), 1);

    // Other bytes may be behind a tag that moves.
    let moving = ["--image-tag", "latest", "--image-of", "two=r.example/two:1", "--changed-only"];
    for _ in 0..2 {
        assert_eq!(scene.deploy(&moving).state("one"), "loaded");
    }
}

#[test]
fn images_that_do_not_fit_the_project_change_nothing() {
    let scene = Scene::new();
    let said = |args: &[&str]| {
        let ran = scene.deploy(args);
        assert_eq!(ran.code, Some(2), "{}", ran.stderr);
        messages(&ran.stderr)
    };
    let errors = [
        said(&["--image-of", "two=a:1"]),
        said(&["--image-of", "tow=a:1"]),
        said(&["--image-of", "one=a:1", "--location", "three"]),
    ];
    insta::assert_snapshot!(errors.join("\n\n"), @r#"
    error: no image is named for the code location `one`
      at: dagster_cloud.yaml:3:5
    hint: name their images with --image-of, or deploy only the others with --location; one run deploys images or PEX files, not both

    error: --image-of names the code location `tow`, which is not in `dagster_cloud.yaml`
    hint: did you mean `two`?

    error: `dagster_cloud.yaml` has no code location `three`; it has one, two
    "#);
    assert_eq!(scene.standin.journal().calls(), [] as [&str; 0]);
    for (args, says) in [
        (&["--image-of", "one=https://ghcr.io/acme/one:1"][..], "the image of `one` is an address"),
        (&["--image-tag", "a b"], "`a b` is not a tag"),
        (&["--image-tag", "t", "--image", "x:1"], "cannot be used with"),
        (&["--image-tag", "t", "--upload-pex"], "cannot be used with"),
    ] {
        let ran = scene.deploy(args);
        assert_eq!(ran.code, Some(2));
        assert!(ran.stderr.contains(says), "{}", ran.stderr);
    }
}

#[test]
fn only_the_code_locations_that_are_named_are_deployed() {
    let scene = Scene::new();
    let ran =
        scene.deploy(&["--image-of", "one=r.example/one:1", "--location", "one", "--python-version", "3.12"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_eq!(scene.images(), json!({"one": "r.example/one:1"}));
    insta::assert_snapshot!(messages(&ran.stderr), @"warning: --python-version has no effect on images, which are built already");
}

#[test]
fn a_dry_run_prints_the_images_and_asks_nobody() {
    let scene = Scene::new();
    let dry = ["--image-tag", "t", "--dry-run"];
    let ran = scene.deploy(&dry);
    assert_eq!(
        ran.document,
        json!({"locations": [{"name": "one", "image": "ghcr.io/acme/one:t"}, {"name": "two", "image": "old.example/two:1"}]})
    );
    let text = scene.command("deploy", &dry).output().unwrap().stdout;
    assert_eq!(String::from_utf8(text).unwrap(), "one\tghcr.io/acme/one:t\ntwo\told.example/two:1\n");
    assert_eq!(scene.standin.journal().calls(), [] as [&str; 0]);
}

#[test]
fn a_failed_load_of_an_image_is_reported() {
    let mut config = hybrid();
    let error = json!({"message": "ImportError: nothing\n", "stack": ["  File \"defs.py\"\n"], "chain": []});
    config["load"] = json!({"one": {"error": error}});
    let scene = Scene { standin: Standin::start(config), dir: tempfile::tempdir().unwrap() };
    let ran = scene.deploy(&["--image-tag", "t"]);
    assert_eq!(
        (ran.code, ran.state("one"), ran.state("two")),
        (Some(1), "failed_to_load", "loaded"),
        "{}",
        ran.stderr
    );
    insta::assert_snapshot!(messages(&ran.stderr), @r#"
    error: the code location `one` was updated and failed to load:
    hint: repair the code or what is installed in the image, and push it with another tag
    error: 1 of 2 code locations could not be deployed: one
    "#);
}

/// Users lost the place where Dagster+ commits components that are made in its UI.
#[test]
fn a_dg_project_sends_where_its_definitions_are() {
    let scene = Scene::new();
    let (repository, git) = (scene.dir.path(), crate::support::act::git);
    for (project, module) in [("shop", "src/shop/defs"), ("billing", "billing/definitions")] {
        let directory = repository.join("data/projects").join(project);
        std::fs::create_dir_all(directory.join(module)).unwrap();
        let settings = format!(
            "directory_type = \"project\"\n[project]\nroot_module = \"{project}\"\nimage = \"r.example/{project}:1\"\n"
        );
        std::fs::write(directory.join("dg.toml"), settings).unwrap();
    }
    let workspace = "directory_type = \"workspace\"\n[workspace]\nprojects = [{path = \"projects/shop\"}, {path = \"projects/billing\"}]\n";
    std::fs::write(repository.join("data/dg.toml"), workspace).unwrap();
    git(repository, &["init", "-q", "-b", "main"]);
    let mut command = pexpress();
    scene.standin.point(&mut command).arg("deploy").arg(repository.join("data")).args(TO_PROD);
    command.env("HTTPS_PROXY", NO_PROXY_THERE);
    let ran = ran(command.args(["--image-of", "shop=r.example/shop:2"]));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let state = scene.standin.state();
    let locations = &state["deployments"]["prod"]["locations"];
    let path = |name: &str| locations[name]["git"]["defs_base_path"].clone();
    assert_eq!(path("shop"), "data/projects/shop/src/shop/defs");
    assert_eq!(path("billing"), "data/projects/billing/billing/definitions");
}
