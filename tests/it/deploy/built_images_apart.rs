//! Deploys of images in which something is wrong: who is hit by it, and what is left behind.

use crate::image::base::Base;
use crate::support::fault_registry::{Auth, FaultRegistry, Trouble, USER, Ways};
use crate::support::scene::Scene;
use crate::support::standin::Standin;
use crate::support::step::{Step, pull_request};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::time::Duration;

fn registry(auth: Auth) -> FaultRegistry {
    FaultRegistry::new(Ways { auth, ..Ways::default() })
}

fn step(scene: &Scene) -> Step<'_> {
    let base = scene.dir.path().join("base");
    if !base.exists() {
        Base::official("3.11").write(&base);
    }
    let base = format!("oci:{}", base.display());
    scene.step().with("INPUT_BASE_IMAGE", &base).with("INPUT_PYTHON_VERSION", "3.11")
}

fn of_fork() -> Value {
    let mut payload = pull_request("opened");
    payload["pull_request"]["head"]["repo"] = json!({"id": 2, "full_name": "eve/proj", "fork": true});
    payload
}

/// Give code locations registries of their own.
fn write_registries(scene: &Scene, registries: &[(&str, &str)]) {
    let path = scene.dir.path().join("dagster_cloud.yaml");
    let mut text = std::fs::read_to_string(&path).unwrap();
    for (name, registry) in registries {
        let entry = format!("{{directory: {name}}}");
        assert!(text.contains(&entry), "{text}");
        text = text.replace(&entry, &format!("{{directory: {name}, registry: {registry}}}"));
    }
    std::fs::write(path, text).unwrap();
}

fn locations(dagster: &Standin, deployment: &str) -> Value {
    dagster.state()["deployments"][deployment]["locations"].clone()
}

/// The code location that pushed elsewhere on the same registry came first, and no login was asked for.
#[test]
fn an_organization_logs_in_to_its_registry_whoever_else_pushes_there() {
    let registry = registry(Auth::Basic);
    let token = STANDARD.encode(format!("{}:{}", USER.0, USER.1));
    let url = format!("{}/project/depl", registry.host());
    let serverless = json!({"is_harbor": true, "registry_url": url, "auth_token": token});
    let scene = Scene::new(&[("one", ""), ("two", "")], json!({"serverless": serverless}));
    write_registries(&scene, &[("one", &format!("{}/other/app", registry.host()))]);
    let ran = step(&scene).event("pull_request", &pull_request("opened")).run();
    assert_eq!((ran.code, ran.output("result")), (Some(0), "success"), "{}", ran.log);
    let there = locations(&scene.dagster, ran.output("deployment"));
    assert!(there["two"]["image"].as_str().unwrap().starts_with(&format!("{url}/two:two-")), "{there}");
}

/// A variable that lets PEX files run there changes nothing about where its images are.
#[test]
fn harbor_has_a_repository_for_each_code_location_also_where_pex_files_may_run() {
    let registry = registry(Auth::Open);
    let url = format!("{}/project/depl", registry.host());
    let token = STANDARD.encode("u:p");
    let serverless = json!({"is_harbor": true, "registry_url": url, "auth_token": token});
    let scene = Scene::new(&[("one", "")], json!({"serverless": serverless}));
    let step = step(&scene).with("DAGSTER_CLOUD_DISABLE_PEX_DOCKER_REDIRECT", "1");
    let ran = step.with("INPUT_STRATEGY", "image").event("pull_request", &pull_request("opened")).run();
    assert_eq!(ran.code, Some(0), "{}", ran.log);
    let there = locations(&scene.dagster, ran.output("deployment"));
    assert!(there["one"]["image"].as_str().unwrap().starts_with(&format!("{url}/one:one-")), "{there}");
}

#[test]
fn settings_that_cannot_be_used_leave_no_branch_deployment() {
    let good = "127.0.0.1:1/acme/app";
    for (registries, input, says) in [
        ("'https://127.0.0.1:1/acme/app'", ("INPUT_STRATEGY", "auto"), "`build.registry` of `one`"),
        ("'127.0.0.1:1/acme/app:tag'", ("INPUT_STRATEGY", "auto"), "`build.registry` of `one`"),
        ("'  '", ("INPUT_STRATEGY", "auto"), "`build.registry` of `one`"),
        (good, ("INPUT_GCP_SERVICE_ACCOUNT", "a@b.example"), "gcp"),
        (good, ("INPUT_BASE_IMAGE_TAG", "v1"), "names an image to run PEX files on"),
    ] {
        let scene = Scene::new(&[("one", "")], json!({}));
        write_registries(&scene, &[("one", registries)]);
        let step = step(&scene).with(input.0, input.1);
        let ran = step.event("pull_request", &pull_request("opened")).run();
        assert_ne!(ran.code, Some(0), "{registries} {input:?}: {}", ran.log);
        assert!(ran.log.contains(says), "{registries} {input:?}: {}", ran.log);
        let made = scene.dagster.journal().count("createOrUpdateBranchDeployment");
        assert_eq!(made, 0, "{registries} {input:?}: {}", ran.log);
    }
}

#[test]
fn without_a_base_image_the_pex_files_are_deployed() {
    let registry = registry(Auth::Open);
    let scene = Scene::new(&[("pex", ""), ("image", "")], json!({}));
    write_registries(&scene, &[("image", &format!("{}/acme/app", registry.host()))]);
    let step = step(&scene).with("INPUT_BASE_IMAGE", "oci:nowhere");
    let ran = step.event("pull_request", &pull_request("opened")).run();
    assert_eq!((ran.code, ran.output("result")), (Some(1), "failure"), "{}", ran.log);
    let there = locations(&scene.dagster, ran.output("deployment"));
    assert!(there["pex"]["pex_metadata"].is_object() && there.get("image").is_none(), "{there}");
    assert!(ran.log.contains("1 of 2 code locations could not be built: image"), "{}", ran.log);
    assert_eq!(
        ran.log.matches("is not an image layout").count(),
        2,
        "said once, annotated once: {}",
        ran.log
    );
}

/// A job of a fork has no identity, and needs none: nothing is pushed.
#[test]
fn a_fork_builds_without_an_identity() {
    let scene = Scene::new(&[("one", "")], json!({}));
    write_registries(&scene, &[("one", "123456789012.dkr.ecr.eu-west-1.amazonaws.com/app")]);
    let step = step(&scene).with("INPUT_AWS_ROLE", "arn:aws:iam::123456789012:role/push");
    let step = step.with("INPUT_DAGSTER_CLOUD_API_TOKEN", "");
    let ran = step.event("pull_request", &of_fork()).run();
    assert_eq!(ran.code, Some(0), "{}", ran.log);
    assert!(ran.json("images")["one"]["digest"].is_string(), "{}", ran.log);
}

/// A private base image is closed to a fork, as a private index is: no fault of its contributor.
#[test]
fn a_fork_is_excused_from_a_private_base_image() {
    let registry = registry(Auth::Basic);
    let scene = Scene::new(&[("one", "")], json!({}));
    let base = format!("{}/acme/base:1", registry.host());
    let step = step(&scene).with("INPUT_BASE_IMAGE", &base).with("INPUT_STRATEGY", "image");
    let step = step.with("INPUT_DAGSTER_CLOUD_API_TOKEN", "");
    let ran = step.event("pull_request", &of_fork()).run();
    assert_eq!((ran.code, ran.output("result")), (Some(0), "skipped"), "{}", ran.log);
    assert!(ran.log.contains("requires credentials"), "{}", ran.log);
}

/// It said `nothing was changed at Dagster+`, and no word of what the registry had got.
#[test]
fn an_interrupted_push_is_named() {
    let registry = FaultRegistry::with_faults(Ways::default(), |request| {
        (request.method == "PUT").then_some(Trouble::Status(503, Some(30)))
    });
    let scene = Scene::new(&[("one", "")], json!({}));
    write_registries(&scene, &[("one", &format!("{}/acme/app", registry.host()))]);
    let mut running = step(&scene).event("pull_request", &pull_request("opened")).start();
    while !registry.requests().iter().any(|request| request.contains("PUT")) {
        assert!(running.is_there(), "{}", running.log());
        std::thread::sleep(Duration::from_millis(5));
    }
    running.interrupt();
    let ran = running.finish();
    assert_eq!((ran.code, ran.output("result")), (Some(130), "cancelled"), "{}", ran.log);
    assert!(ran.output("reason").contains("the upload of 1 image had begun"), "{}", ran.output("reason"));
    assert_eq!(registry.tags(), []);
    assert_eq!(scene.dagster.journal().count("deployLocations"), 0);
}
