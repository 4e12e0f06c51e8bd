//! What a second push sends: to the same repository, with a changed line, and over an image of ours.

use super::base::Base;
use super::build::{Layout, image, project};
use crate::support::fault_registry::{FaultRegistry, Ways};
use serde_json::Value;
use std::path::Path;

fn location(dir: &Path, more: &[&str]) -> Value {
    let document: Value = serde_json::from_str(&image(dir, &[more, &["--format", "json"]].concat())).unwrap();
    document["locations"][0].clone()
}

#[test]
fn only_what_the_registry_lacks_is_sent() {
    let registry = FaultRegistry::new(Ways::default());
    let dir = tempfile::tempdir().unwrap();
    project(dir.path());
    Base::official("3.11").write(&dir.path().join("base"));
    let push = format!("{}/team/first", registry.host());
    let first = location(dir.path(), &["--base-image", "oci:base", "--push", &push]);
    let digits = &first["digest"].as_str().unwrap()[7..23];
    assert_eq!(first["reference"], format!("{push}:shop-{digits}"));
    assert_eq!(first["sent_bytes"], registry.received_bytes());
    let tag = registry.tag("team/first", &format!("shop-{digits}")).unwrap();
    assert_eq!(first["digest"], tag);
    let again = location(dir.path(), &["--base-image", "oci:base", "--push", &push]);
    assert_eq!(again["sent_bytes"], 0);
    // The tags, and then each blob, since a registry may have lost one: ours, the layer of the base, and the config.
    let blobs = again["layers"].as_array().unwrap().len() as u64 + 2;
    assert!(again["requests"].as_u64().unwrap() <= 2 + blobs, "{}", again["requests"]);
    std::fs::write(dir.path().join("shop/data.txt"), "changed\n").unwrap();
    let changed = location(dir.path(), &["--base-image", "oci:base", "--push", &push]);
    assert!(changed["sent_bytes"].as_u64().unwrap() < 100_000, "{}", changed["sent_bytes"]);
    assert_eq!(registry.problems(), [""; 0]);
    assert!(registry.tags().iter().all(|(_, is_whole)| *is_whole));
}

/// An image of ours is a base like any other, with its own layers below.
#[test]
fn a_base_in_a_registry_is_read_once_and_mounted() {
    let registry = FaultRegistry::new(Ways::default());
    let dir = tempfile::tempdir().unwrap();
    project(dir.path());
    Base::official("3.11").write(&dir.path().join("base"));
    let push = format!("{}/team/first", registry.host());
    let first = location(dir.path(), &["--base-image", "oci:base", "--push", &push]);
    let base = first["reference"].as_str().unwrap();
    let below = Layout::open(&dir.path().join("out/shop")).manifest()["layers"].as_array().unwrap().len();
    let other = format!("{}/team/other", registry.host());
    let second = location(dir.path(), &["--base-image", base, "--push", &other]);
    let layout = Layout::open(&dir.path().join("out/shop"));
    let ours = second["layers"].as_array().unwrap().len();
    assert_eq!(layout.manifest()["layers"].as_array().unwrap().len(), below + ours);
    assert_eq!(layout.own_layers().len(), ours, "layers of the base have no keys");
    let labels = &layout.config()["config"]["Labels"];
    assert_eq!(labels["org.opencontainers.image.base.name"], base);
    assert_eq!(labels["org.opencontainers.image.base.digest"], first["digest"]);
    // Everything but the config is in the base's repository.
    assert!(second["sent_bytes"].as_u64().unwrap() < 20_000, "{}", second["sent_bytes"]);
    let repeated =
        location(dir.path(), &["--base-image", &format!("{push}@{}", first["digest"].as_str().unwrap())]);
    assert_eq!(repeated["sent_bytes"], 0);
    assert_eq!(registry.problems(), [""; 0]);
}
