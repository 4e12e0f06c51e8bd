//! `pexpress image --push`: from the registry of a base to another one.

use super::base::Base;
use super::build::project;
use crate::support::fault_registry::{Auth, FaultRegistry, USER, Ways};
use crate::support::said::plain;
use crate::support::{pexpress_with_uv, run};
use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// A registry with a base image, `base/python:3.11`, as an index, whose blobs are at another host.
pub fn base_registry(dir: &Path) -> FaultRegistry {
    let layout = dir.join("base");
    Base { in_index: true, ..Base::official("3.11") }.write(&layout);
    let registry = FaultRegistry::new(Ways { redirects_blobs: true, ..Ways::default() });
    let index: Value = serde_json::from_slice(&std::fs::read(layout.join("index.json")).unwrap()).unwrap();
    let named = &index["manifests"][0];
    for entry in std::fs::read_dir(layout.join("blobs/sha256")).unwrap() {
        let path = entry.unwrap().path();
        let digest = format!("sha256:{}", path.file_name().unwrap().to_str().unwrap());
        let content = std::fs::read(&path).unwrap();
        let kind = serde_json::from_slice::<Value>(&content).ok();
        match kind.as_ref().and_then(|value| value["mediaType"].as_str()) {
            Some(kind) => {
                let tag =
                    if named["digest"] == digest.as_str() { "3.11".into() } else { digest.replace(':', "-") };
                registry.put_manifest("base/python", &tag, kind, &content);
            }
            None => drop(registry.put_blob("base/python", &content).to_string()),
        }
    }
    registry
}

fn command(dir: &Path, base: &FaultRegistry, destination: &FaultRegistry) -> Command {
    let mut command = pexpress_with_uv();
    command
        .current_dir(dir)
        .args(["image", "dagster_cloud.yaml", "out", "--no-image-bytecode", "--python-version", "3.11"])
        .args(["--format", "json", "--base-image", &format!("{}/base/python:3.11", base.host())])
        .args(["--push", &destination.repository("team/shop").to_string()])
        .env("HOME", dir.join("home"))
        .env("PEXPRESS_CACHE_DIR", dir.join("cache"));
    command
}

#[test]
fn an_image_over_a_base_of_another_registry_is_pushed_once() {
    let dir = tempfile::tempdir().unwrap();
    project(dir.path());
    let base = base_registry(dir.path());
    let destination = FaultRegistry::new(Ways { auth: Auth::Token, ..Ways::default() });
    let pushed = || {
        let mut command = command(dir.path(), &base, &destination);
        command.env("PEXPRESS_REGISTRY_USERNAME", USER.0).env("PEXPRESS_REGISTRY_PASSWORD", USER.1);
        let output = run(&mut command);
        let said =
            [output.stdout.as_slice(), &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
        assert!(said.iter().all(|text| !text.contains("canary")), "{said:?}");
        serde_json::from_slice::<Value>(&output.stdout).unwrap()["locations"][0].clone()
    };
    let first = pushed();
    let tag = first["reference"].as_str().unwrap().rsplit(':').next().unwrap().to_string();
    assert_eq!(destination.tag("team/shop", &tag).as_deref(), first["digest"].as_str());
    assert!(destination.tags().iter().all(|(_, is_whole)| *is_whole));
    assert_eq!(first["sent_bytes"], destination.received_bytes());
    // Again: the tag is looked at, after a token was fetched, and nothing is sent.
    let (before, received) = (destination.requests().len(), destination.received_bytes());
    let second = pushed();
    assert_eq!((&second["digest"], &second["sent_bytes"]), (&first["digest"], &0.into()));
    assert_eq!(destination.received_bytes(), received);
    let requests = &destination.requests()[before..];
    assert!(requests.iter().all(|one| one.starts_with("HEAD") || one.contains("/token")), "{requests:#?}");
    // A layer that the registry has lost since is sent again.
    destination.lose_blob("team/shop", second["layers"][1]["digest"].as_str().unwrap());
    assert!(destination.tags().iter().any(|(_, is_whole)| !is_whole));
    assert!(pushed()["sent_bytes"].as_u64().unwrap() > 0);
    assert!(destination.tags().iter().all(|(_, is_whole)| *is_whole));
    // One changed line of source.
    std::fs::write(dir.path().join("shop/src/shop/__init__.py"), "def main(): print('changed')\n").unwrap();
    let third = pushed();
    assert_ne!(third["digest"], first["digest"]);
    assert!(third["sent_bytes"].as_u64().unwrap() < 100_000, "{third:#}");
    assert_eq!((base.problems(), destination.problems()), (vec![], vec![]));
}

#[test]
fn a_push_without_credentials_says_where_they_were_looked_for() {
    let dir = tempfile::tempdir().unwrap();
    project(dir.path());
    let base = base_registry(dir.path());
    let destination = FaultRegistry::new(Ways { auth: Auth::Basic, ..Ways::default() });
    let output = command(dir.path(), &base, &destination).output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    let text = plain(&String::from_utf8(output.stderr).unwrap());
    let wanted = "no credentials for 127.0.0.1:[PORT] were found in PEXPRESS_REGISTRY_USERNAME";
    assert!(text.contains(wanted) && text.contains(".docker/config.json"), "{text}");
    assert!(destination.tags().is_empty());
}
