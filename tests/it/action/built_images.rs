//! The action with images that are built: inputs, outputs, comment and summary.

use crate::deploy::images::hybrid;
use crate::image::base::Base;
use crate::support::fault_registry::{Auth, FaultRegistry, USER, Ways};
use crate::support::said::plain;
use crate::support::scene::Scene;
use crate::support::step::{Ran, Step, pull_request};

fn scene(registry: &FaultRegistry) -> (Scene, String) {
    let scene = Scene::new(&[("one", "")], hybrid());
    Base::official("3.11").write(&scene.dir.path().join("base"));
    (scene, format!("{}/acme/app", registry.host()))
}

fn step<'a>(scene: &'a Scene, repository: &str) -> Step<'a> {
    let base = format!("oci:{}", scene.dir.path().join("base").display());
    scene
        .step()
        .with("INPUT_IMAGE_REGISTRY", repository)
        .with("INPUT_BASE_IMAGE", &base)
        .with("INPUT_PYTHON_VERSION", "3.11")
        .with("INPUT_REGISTRY_USERNAME", USER.0)
        .with("INPUT_REGISTRY_PASSWORD", USER.1)
}

#[test]
fn a_pull_request_gets_an_image_and_a_branch_deployment() {
    let registry = FaultRegistry::new(Ways { auth: Auth::Basic, ..Ways::default() });
    let (scene, repository) = scene(&registry);
    let ran: Ran = step(&scene, &repository).event("pull_request", &pull_request("opened")).run();
    assert_eq!((ran.code, ran.output("result")), (Some(0), "success"), "{}", ran.log);
    let image = ran.json("images")["one"].clone();
    let reference = image["reference"].as_str().unwrap();
    assert!(reference.starts_with(&format!("{repository}:one-")), "{reference}");
    assert!(image["digest"].as_str().unwrap().starts_with("sha256:"));
    let state = scene.dagster.state();
    let document = &state["deployments"][ran.output("deployment")]["locations"]["one"];
    assert_eq!((document["image"].as_str(), document.get("pex_metadata")), (Some(reference), None));
    assert_eq!(registry.problems(), [] as [String; 0]);
    // The password is masked by a command, and shown nowhere else.
    let shown = ran.log.lines().filter(|line| line.contains("canary") && !line.starts_with("::add-mask::"));
    assert_eq!(shown.collect::<Vec<_>>(), [] as [&str; 0]);
    let comment = plain(&scene.comment());
    assert!(comment.contains("sent, ") && comment.contains("of 4 layers reused"), "{comment}");
    assert!(!comment.contains("canary") && !ran.summary.contains("canary"));
}

#[test]
fn a_run_without_a_token_builds_an_image_and_pushes_nothing() {
    let registry = FaultRegistry::new(Ways::default());
    let (scene, repository) = scene(&registry);
    let step = step(&scene, &repository).with("INPUT_DEPLOY", "false").with("INPUT_VERIFY", "false");
    let ran = step.event("pull_request", &pull_request("opened")).run();
    assert_eq!(ran.code, Some(0), "{}", ran.log);
    assert_eq!((ran.json("images")["one"]["reference"].as_str(), registry.requests().len()), (None, 0));
    assert!(ran.json("images")["one"]["digest"].is_string(), "{}", ran.log);
}
