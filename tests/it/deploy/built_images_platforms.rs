//! A step that deploys an image index of several platforms.

use crate::image::base::Base;
use crate::support::fault_registry::{FaultRegistry, Ways};
use crate::support::scene::Scene;
use crate::support::step::pull_request;
use serde_json::json;

#[test]
fn the_step_deploys_an_image_index() {
    let registry = FaultRegistry::new(Ways::default());
    let scene = Scene::new(&[("one", "")], json!({}));
    let base = scene.dir.path().join("base");
    let bases = ["amd64", "arm64"].map(|processor| Base::official("3.11").on(processor));
    Base::write_all(&bases, &base);
    let repository = format!("{}/acme/app", registry.host());
    let step = || {
        scene
            .step()
            .with("INPUT_PYTHON_VERSION", "3.11")
            .with("INPUT_BASE_IMAGE", &format!("oci:{}", base.display()))
            .with("INPUT_IMAGE_REGISTRY", &repository)
            .with("INPUT_IMAGE_PLATFORM", "linux/arm64, linux/amd64")
            .event("pull_request", &pull_request("opened"))
    };
    let ran = step().run();
    assert_eq!((ran.code, ran.output("result")), (Some(0), "success"), "{}", ran.log);
    let images = ran.json("images");
    let digest = images["one"]["digest"].as_str().unwrap();
    let tag = format!("one-{}", &digest[7..23]);
    assert_eq!(registry.tag("acme/app", &tag).as_deref(), Some(digest));
    let there = scene.dagster.state()["deployments"][ran.output("deployment")]["locations"].clone();
    assert_eq!(there["one"]["image"], format!("{repository}:{tag}"));
    assert_eq!(registry.problems(), [""; 0]);
    for platform in ["linux/amd64", "linux/arm64"] {
        assert!(ran.log.contains(&format!("Base image for {platform}: ")), "{}", ran.log);
    }
    let received = registry.received_bytes();
    let again = step().run();
    assert_eq!((again.code, registry.received_bytes()), (Some(0), received), "{}", again.log);
}

#[test]
fn another_word_for_a_platform_is_refused_before_anything_is_read() {
    let scene = Scene::new(&[("one", "")], json!({}));
    let ran = scene.step().with("INPUT_IMAGE_PLATFORM", "linux/amd64,arm").run();
    assert_eq!(ran.code, Some(2), "{}", ran.log);
    assert!(ran.log.contains("it can be `linux/amd64`, `linux/arm64`, or both with a comma"), "{}", ran.log);
    assert_eq!(scene.dagster.journal().calls(), [""; 0]);
}
