//! `pexpress verify` on image layouts: real ones, damaged ones, hostile ones.

use super::base::{Base, digest};
use super::build::{image, project};
use super::consumers::{build, is_root};
use crate::support::said::plain;
use crate::support::{environments, json, pexpress_with_uv};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Output;

fn verify(dir: &Path, more: &[&str]) -> Output {
    pexpress_with_uv().current_dir(dir).args(["verify", "out"]).args(more).output().unwrap()
}

fn refused(dir: &Path) -> String {
    let output = verify(dir, &["--quiet"]);
    assert!(!output.status.success());
    plain(&String::from_utf8(output.stderr).unwrap())
}

pub fn built() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    project(dir.path());
    Base::official("3.11").write(&dir.path().join("base"));
    image(dir.path(), &["--base-image", "oci:base"]);
    dir
}

fn blob(dir: &Path, descriptor: &Value) -> PathBuf {
    dir.join("out/shop/blobs/sha256").join(&descriptor["digest"].as_str().unwrap()[7..])
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Put other content into the layout. Returns its descriptor.
fn put(dir: &Path, old: &Value, content: &[u8]) -> Value {
    let mut descriptor = old.clone();
    descriptor["digest"] = json!(digest(content));
    descriptor["size"] = json!(content.len());
    std::fs::write(blob(dir, &descriptor), content).unwrap();
    descriptor
}

/// Change the manifest and the config of the image, with right digests.
fn change(dir: &Path, change: impl FnOnce(&mut Value, &mut Value)) {
    let path = dir.join("out/shop/index.json");
    let mut index = read(&path);
    let mut manifest = read(&blob(dir, &index["manifests"][0]));
    let mut config = read(&blob(dir, &manifest["config"]));
    change(&mut manifest, &mut config);
    manifest["config"] = put(dir, &manifest["config"], config.to_string().as_bytes());
    index["manifests"][0] = put(dir, &index["manifests"][0], manifest.to_string().as_bytes());
    std::fs::write(path, index.to_string()).unwrap();
}

/// A layer with one entry, written by the tar headers of GNU's format.
fn layer(path: &str, flag: u8, target: &str) -> Vec<u8> {
    let mut block = vec![0; 512];
    block[..path.len()].copy_from_slice(path.as_bytes());
    block[100..107].copy_from_slice(b"0000777");
    block[124..135].copy_from_slice(b"00000000000");
    block[156] = flag;
    block[157..157 + target.len()].copy_from_slice(target.as_bytes());
    block[257..265].copy_from_slice(b"ustar  \0");
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block.extend([0; 1024]);
    block
}

/// Add a layer of ours to the image.
fn add(dir: &Path, content: &[u8]) {
    change(dir, |manifest, config| {
        let last = manifest["layers"].as_array().unwrap().last().unwrap().clone();
        let mut descriptor = put(dir, &last, content);
        descriptor["mediaType"] = json!("application/vnd.oci.image.layer.v1.tar");
        manifest["layers"].as_array_mut().unwrap().push(descriptor);
        config["rootfs"]["diff_ids"].as_array_mut().unwrap().push(json!(digest(content)));
    });
}

#[test]
fn damaged_and_foreign_layouts_are_refused() {
    let dir = built();
    let index = dir.path().join("out/shop/index.json");
    let whole = std::fs::read(&index).unwrap();
    let manifest = read(&blob(dir.path(), &read(&index)["manifests"][0]));
    let layer = blob(dir.path(), &manifest["layers"].as_array().unwrap()[1]);
    let content = std::fs::read(&layer).unwrap();
    std::fs::remove_file(&layer).unwrap();
    std::fs::write(&layer, &content[1..]).unwrap();
    insta::assert_snapshot!(refused(dir.path()), @r"
    error: the image layout `out/shop` cannot be loaded: the layer sha256:[HASH] cannot be used: its size or digest is not what the manifest says, or it is missing
    hint: write the layout again with `pexpress image`
    ");
    std::fs::write(&layer, &content).unwrap();
    change(dir.path(), |_, config| config["rootfs"]["diff_ids"][1] = json!(digest(b"other")));
    insta::assert_snapshot!(refused(dir.path()), @r"
    error: the image layout `out/shop` cannot be loaded: the layer sha256:[HASH] has another content than the config says
    hint: write the layout again with `pexpress image`
    ");
    std::fs::write(&index, &whole).unwrap();
    change(dir.path(), |_, config| drop(config["rootfs"]["diff_ids"].as_array_mut().unwrap().pop()));
    insta::assert_snapshot!(refused(dir.path()), @r"
    error: the image layout `out/shop` cannot be loaded: its config has another number of layers than its manifest
    hint: write the layout again with `pexpress image`
    ");
    std::fs::write(&index, &whole).unwrap();
    change(dir.path(), |_, config| config["architecture"] = json!("riscv64"));
    insta::assert_snapshot!(refused(dir.path()), @r"
    error: `out/shop` was built for linux/riscv64, and its packages cannot be loaded on this machine
    hint: run it on Linux with the same processor, for example on the runner
    ");
    let mut foreign: Value = serde_json::from_slice(&whole).unwrap();
    foreign["manifests"][0]["annotations"] = json!({});
    std::fs::write(&index, foreign.to_string()).unwrap();
    insta::assert_snapshot!(refused(dir.path()), @r"
    error: the image layout `out/shop` cannot be loaded: it does not say which code location it is for
    hint: write the layout again with `pexpress image`
    ");
}

#[test]
fn a_layer_that_unpacks_to_far_too_much_is_refused() {
    let dir = built();
    let mut content = layer("opt/dagster/app/zeros", b'0', "");
    content[124..135].copy_from_slice(b"77777777777");
    content[148..156].fill(b' ');
    let sum: u32 = content[..512].iter().map(|byte| u32::from(*byte)).sum();
    content[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    add(dir.path(), &content);
    insta::assert_snapshot!(refused(dir.path()), @r"
    error: the image layout `out/shop` cannot be loaded: the layer sha256:[HASH] is far too large: the layers so far have [SIZE], and unpack to more than [SIZE]
    hint: write the layout again with `pexpress image`
    ");
}

#[test]
fn hostile_layers_write_nothing_outside() {
    for (path, flag, target, want) in [
        ("opt/venv/../../../../escaped", b'0', "", "would be written outside of the image"),
        ("opt/venv/x", b'1', "../../etc/passwd", "would be written outside of the image"),
        ("opt/venv/x", b'1', "opt/venv/missing", "would be written outside of the image"),
        ("opt/venv/x", b'S', "", "sparse"),
        ("opt/venv/x", b'?', "", "unknown type"),
    ] {
        let dir = built();
        add(dir.path(), &layer(path, flag, target));
        let said = refused(dir.path());
        assert!(said.contains(want) && said.contains("hint: "), "{path}: {said}");
    }
}

#[test]
fn only_layouts_can_be_started_as_containers() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("out")).unwrap();
    let output = verify(dir.path(), &["--quiet", "--verify=container"]);
    assert_eq!(output.status.code(), Some(2));
    let said = plain(&String::from_utf8(output.stderr).unwrap());
    assert_eq!(said.lines().next(), Some("error: `out` holds no image layout"));
}

#[test]
#[ignore = "a minute, and a package index"]
fn the_quickstart_loads_from_its_layout() {
    let dir = tempfile::tempdir().unwrap();
    let version = environments::helper_version();
    build(version, &dir.path().join("out"), &["--sbom"]);
    let output = verify(dir.path(), &["--format", "json"]);
    let loaded = &json(&output)["locations"][0];
    assert_eq!(loaded["name"], "quickstart", "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!loaded["repositories"]["__repository__"]["assets"].as_array().unwrap().is_empty(), "{loaded}");
    let one = pexpress_with_uv().arg("verify").arg(dir.path().join("out/quickstart")).output().unwrap();
    assert!(one.status.success());
    if is_root() {
        let output = verify(dir.path(), &["--format", "json", "--verify=container"]);
        assert_eq!(&json(&output)["locations"][0], loaded, "{}", String::from_utf8_lossy(&output.stderr));
    }
}
