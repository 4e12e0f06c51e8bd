//! One image index for several platforms, from one machine.

use super::base::Base;
use super::build::{Layout, command, image, project, refused};
use crate::support::environments::not_run;
use crate::support::fault_registry::{FaultRegistry, Ways};
use crate::support::small_project::{write_sdist, write_wheel_of};
use crate::support::{pexpress_with_uv, run};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

const BOTH: [&str; 4] = ["--base-image", "oci:base", "--image-platform", "linux/amd64,linux/arm64"];

/// A project that needs one package with a wheel for each processor, and a base image for both.
fn project_for_both(dir: &Path) {
    project(dir);
    for processor in ["x86_64", "aarch64"] {
        let wheels = dir.join("wheels");
        write_wheel_of(&wheels, "native", "1", &[("code.txt", processor)]);
        let file = format!("native-1-py3-none-manylinux_2_17_{processor}.whl");
        std::fs::rename(wheels.join("native-1-py3-none-any.whl"), wheels.join(file)).unwrap();
    }
    require(dir, "native");
    write_base(dir);
}

fn require(dir: &Path, name: &str) {
    let path = dir.join("shop/pyproject.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(path, text.replace("'large']", &format!("'large', '{name}']"))).unwrap();
}

fn write_base(dir: &Path) {
    let bases = ["amd64", "arm64"].map(|processor| Base::official("3.11").on(processor));
    Base::write_all(&bases, &dir.join("base"));
}

fn location(dir: &Path, more: &[&str]) -> Value {
    let document: Value = serde_json::from_str(&image(dir, &[more, &["--format", "json"]].concat())).unwrap();
    document["locations"][0].clone()
}

fn digests(manifest: &Value) -> BTreeSet<String> {
    let layers = manifest["layers"].as_array().unwrap();
    layers.iter().map(|layer| layer["digest"].as_str().unwrap().to_string()).collect()
}

/// The image for the second processor had that for the first one in it, unless an earlier run had made the directory.
#[test]
fn an_output_directory_in_the_project_is_in_no_image() {
    let dir = tempfile::tempdir().unwrap();
    project_for_both(dir.path());
    let home = dir.path().join("shop");
    let yaml = "locations:\n  - location_name: shop\n    code_source: {module_name: shop}\n";
    std::fs::write(home.join("dagster_cloud.yaml"), yaml).unwrap();
    let build = || {
        let mut command = pexpress_with_uv();
        command.current_dir(&home).args([
            "image",
            "dagster_cloud.yaml",
            "out",
            "--no-image-bytecode",
            "--sbom",
        ]);
        command.args(["--base-image", "oci:../base", "--image-platform", "linux/amd64,linux/arm64"]);
        let output = run(command.args(["--python-version", "3.11", "--format", "json"]));
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        document["locations"][0]["digest"].clone()
    };
    let first = build();
    assert_eq!(build(), first);
    // Without the file that names its purpose.
    std::fs::remove_file(home.join("out/.gitignore")).unwrap();
    std::fs::remove_dir_all(home.join("out/shop")).unwrap();
    for entry in std::fs::read_dir(home.join("out")).unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
    }
    std::fs::create_dir_all(home.join("out/shop/blobs/sha256")).unwrap();
    std::fs::write(home.join("out/shop/blobs/sha256/ab"), "left by a run that was killed").unwrap();
    assert_eq!(build(), first);
}

#[test]
fn one_machine_builds_for_both_processors() {
    let dir = tempfile::tempdir().unwrap();
    project_for_both(dir.path());
    let built = location(dir.path(), &BOTH);
    let layout = Layout::open(&dir.path().join("out/shop"));
    let named = &layout.index()["manifests"];
    assert_eq!(named.as_array().unwrap().len(), 1);
    let tag = format!("shop-{}", &built["digest"].as_str().unwrap()[7..23]);
    assert_eq!(named[0]["annotations"]["org.opencontainers.image.ref.name"], tag.as_str());
    assert_eq!(
        (&named[0]["digest"], &named[0]["mediaType"]),
        (&built["digest"], &json!("application/vnd.oci.image.index.v1+json"))
    );
    let index = layout.json(&named[0]);
    let mut layers = Vec::new();
    for (at, (architecture, processor)) in [("amd64", "x86_64"), ("arm64", "aarch64")].into_iter().enumerate()
    {
        let entry = &index["manifests"][at];
        assert_eq!(entry["platform"], json!({"os": "linux", "architecture": architecture}));
        // What is said about the code location must not change the digest.
        assert_eq!(entry.get("annotations"), None);
        assert_eq!(
            built["platforms"][at],
            json!({"platform": format!("linux/{architecture}"), "digest": entry["digest"]})
        );
        let manifest = layout.json(entry);
        assert_eq!(layout.json(&manifest["config"])["architecture"], architecture);
        let entries: Vec<_> = layout.layers_of(&manifest).into_iter().flatten().collect();
        let text =
            entries.iter().find(|entry| entry.path.ends_with("site-packages/native/code.txt")).unwrap();
        assert_eq!(text.text(), processor);
        layers.push(digests(&manifest));
    }
    // Of ours, only the layer with the package for the processor differs; bases have the same bytes here.
    assert_eq!(layers[0].intersection(&layers[1]).count(), layers[0].len() - 1);
    let all: BTreeSet<&String> = layers.iter().flatten().collect();
    assert_eq!(built["layers"].as_array().unwrap().len(), all.len() - 1, "each once, without the base's");
    let blobs = std::fs::read_dir(dir.path().join("out/shop/blobs/sha256")).unwrap().count();
    assert_eq!(blobs, all.len() + 2 + 2 + 1, "nothing else is kept");
    // However they are given.
    let again = location(
        dir.path(),
        &["--base-image", "oci:base", "--image-platform", "linux/arm64", "--image-platform", "linux/amd64"],
    );
    assert_eq!(again["digest"], built["digest"]);
    // One of them alone is the same image, without an index.
    let alone = location(dir.path(), &["--base-image", "oci:base", "--image-platform", "linux/arm64"]);
    assert_eq!((&alone["digest"], alone.get("platforms")), (&built["platforms"][1]["digest"], None));
}

#[test]
fn the_tag_of_an_index_is_written_last() {
    let dir = tempfile::tempdir().unwrap();
    project_for_both(dir.path());
    let registry = FaultRegistry::new(Ways { has_referrers: true, ..Ways::default() });
    let push = registry.repository("team/shop").to_string();
    let more = [&BOTH[..], &["--push", &push, "--sbom"]].concat();
    let first = location(dir.path(), &more);
    let tag = first["reference"].as_str().unwrap().rsplit(':').next().unwrap().to_string();
    assert_eq!(registry.tag("team/shop", &tag).as_deref(), first["digest"].as_str());
    assert_eq!(registry.problems(), [""; 0], "each manifest after what it names");
    assert!(registry.tags().iter().all(|(_, is_whole)| *is_whole));
    assert_eq!(first["sent_bytes"], registry.received_bytes());
    for platform in first["platforms"].as_array().unwrap() {
        let list = std::fs::read_to_string(platform["sbom"].as_str().unwrap()).unwrap();
        assert!(list.contains("pkg:pypi/native@1"), "{list}");
    }
    let before = (registry.requests().len(), registry.received_bytes());
    let again = location(dir.path(), &more);
    assert_eq!((&again["sent_bytes"], registry.received_bytes()), (&json!(0), before.1));
    let requests = &registry.requests()[before.0..];
    // Each blob is looked for, since a registry may have lost one; besides them the index, both images, the tag, and what
    // refers to the three.
    let (blobs, others): (Vec<&String>, Vec<&String>) =
        requests.iter().partition(|request| request.contains("/blobs/"));
    assert!(blobs.iter().all(|request| request.starts_with("HEAD")), "{blobs:#?}");
    assert!(others.len() <= 7, "{others:#?}");
    // A changed line of source is one layer, two configs and three manifests.
    std::fs::write(dir.path().join("shop/data.txt"), "changed\n").unwrap();
    let changed = location(dir.path(), &more[..6]);
    assert!(changed["sent_bytes"].as_u64().unwrap() < 100_000, "{changed:#}");
    assert_eq!(registry.problems(), [""; 0]);

    if Command::new("skopeo").arg("--version").output().is_err() {
        return not_run("skopeo is not here");
    }
    let named = format!("docker://{push}:{tag}");
    let raw = run(Command::new("skopeo").args(["inspect", "--tls-verify=false", "--raw", &named]));
    let raw: Value = serde_json::from_slice(&raw.stdout).unwrap();
    let platform = |at: usize| raw["manifests"][at]["platform"]["architecture"].clone();
    assert_eq!((platform(0), platform(1)), (json!("amd64"), json!("arm64")));
    for source in [named, format!("oci:{}", dir.path().join("out/shop").display())] {
        let copy = dir.path().join("copy");
        let mut skopeo = Command::new("skopeo");
        skopeo.args(["copy", "--quiet", "--all", "--src-tls-verify=false", &source]);
        run(skopeo.arg(format!("oci:{}:x", copy.display())));
        let copied = Layout::open(&copy);
        assert_eq!(copied.json(&copied.index()["manifests"][0])["manifests"].as_array().unwrap().len(), 2);
        std::fs::remove_dir_all(copy).unwrap();
    }
}

/// Nothing emulates the other processor here, so its code cannot be compiled.
#[test]
fn a_source_distribution_with_compiled_code_needs_a_machine_of_its_kind() {
    let dir = tempfile::tempdir().unwrap();
    project(dir.path());
    let backend = format!("ELF = bytes.fromhex('{}')\n{BACKEND}", elf_of_this_machine());
    write_sdist(
        &dir.path().join("wheels"),
        "compiled",
        "1",
        &[
            (
                "pyproject.toml",
                "[build-system]\nrequires = []\nbuild-backend = 'backend'\nbackend-path = ['.']\n",
            ),
            ("backend.py", &backend),
        ],
    );
    require(dir.path(), "compiled");
    write_base(dir.path());
    let said = refused(dir.path(), &BOTH);
    let other = if cfg!(target_arch = "x86_64") { "arm64" } else { "amd64" };
    let said = said.replace(other, "[OTHER]").replace(std::env::consts::ARCH, "[HERE]");
    insta::assert_snapshot!(said[said.find("shop: ").unwrap()..], @r#"
    shop: error: could not build the image for linux/[OTHER]
      caused by: the wheel `compiled-1-py3-none-linux_[HERE].whl`, built here from `compiled-1.tar.gz`, does not run on Python 3.11 and [PLATFORM]
    hint: choose a version that has a wheel for the target, or build on a machine with the target's system and processor
    error: 1 of 1 code locations could not be built: shop
    "#);
    // The layout of an image that is not whole is none.
    assert!(!dir.path().join("out/shop/index.json").exists());
    let here = if cfg!(target_arch = "x86_64") { "linux/amd64" } else { "linux/arm64" };
    run(&mut command(dir.path(), &["--base-image", "oci:base", "--image-platform", here]));
}

/// Packs a compiled file for the machine that builds.
const BACKEND: &str = "\
import os, platform, zipfile

def build_wheel(directory, config_settings=None, metadata_directory=None):
    name = 'compiled-1-py3-none-linux_%s.whl' % platform.machine()
    files = {
        'compiled.so': ELF,
        'compiled-1.dist-info/METADATA': b'Metadata-Version: 2.1\\nName: compiled\\nVersion: 1\\n',
        'compiled-1.dist-info/WHEEL': b'Wheel-Version: 1.0\\nRoot-Is-Purelib: false\\nTag: py3-none-any\\n',
    }
    with zipfile.ZipFile(os.path.join(directory, name), 'w') as archive:
        for path, content in sorted(files.items()):
            archive.writestr(path, content)
        archive.writestr('compiled-1.dist-info/RECORD', ''.join(path + ',,\\n' for path in files))
    return name
";

/// The header of a shared object without sections, as hexadecimal digits.
fn elf_of_this_machine() -> String {
    let machine = if cfg!(target_arch = "x86_64") { "3e00" } else { "b700" };
    let sizes = format!("{}4000", "00".repeat(28));
    format!("7f454c46020101{}0300{machine}01000000{sizes}{}", "00".repeat(9), "00".repeat(10))
}

#[test]
fn of_an_index_the_image_of_this_machine_is_verified() {
    let dir = tempfile::tempdir().unwrap();
    project_for_both(dir.path());
    image(dir.path(), &BOTH);
    let layout = Layout::open(&dir.path().join("out/shop"));
    let index = layout.json(&layout.index()["manifests"][0]);
    let here = if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" };
    let layers = |is_here: bool| {
        let entries = index["manifests"].as_array().unwrap();
        let entry =
            entries.iter().find(|entry| (entry["platform"]["architecture"] == here) == is_here).unwrap();
        digests(&layout.json(entry))
    };
    let (own, other) = (layers(true), layers(false));
    let verify = || {
        let output = pexpress_with_uv().current_dir(dir.path()).args(["verify", "out"]).output().unwrap();
        String::from_utf8(output.stderr).unwrap()
    };
    let damage = |digest: &str| {
        let path = dir.path().join("out/shop/blobs/sha256").join(&digest[7..]);
        std::fs::remove_file(&path).unwrap();
        std::fs::write(path, "damaged").unwrap();
    };
    let [only_there, only_here] =
        [other.difference(&own), own.difference(&other)].map(|mut one| one.next().unwrap());
    damage(only_there);
    assert!(!verify().contains("its size or digest"), "{}", verify());
    damage(only_here);
    assert!(verify().contains(&format!("the layer {only_here} cannot be used")), "{}", verify());
}
