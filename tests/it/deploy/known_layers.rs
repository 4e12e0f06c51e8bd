//! Deploys of images on fresh runners: what the image that runs now has is neither fetched nor made again.

use crate::deploy::whole::{Ran, TO_PROD, in_pull_request, payload, ran};
use crate::image::push::base_registry;
use crate::support::fault_registry::{Auth, FaultRegistry, USER, Ways};
use crate::support::pexpress_with_uv;
use crate::support::small_project::write_wheel_of;
use crate::support::standin::Standin;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::path::Path;
use std::process::{Command, Stdio};

const PACKAGES: [(&str, &str); 4] =
    [("dagster", "1.13.27"), ("dagster-cloud", "1.13.27"), ("extra", "1"), ("other", "1")];

/// A project with a lock file, a registry with its base image, one to push to, and Dagster+.
pub(super) struct Scene {
    pub(super) dir: tempfile::TempDir,
    pub(super) base: FaultRegistry,
    pub(super) registry: FaultRegistry,
    pub(super) dagster: Standin,
}

impl Scene {
    pub(super) fn new() -> Scene {
        Scene::with(FaultRegistry::new(Ways::default()))
    }

    pub(super) fn with(registry: FaultRegistry) -> Scene {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("one");
        std::fs::create_dir_all(&home).unwrap();
        let lines = PACKAGES.map(|(name, _)| format!("{name}\n")).concat();
        std::fs::write(home.join("requirements.txt"), format!("--no-index\n{lines}")).unwrap();
        std::fs::write(home.join("defs.py"), "name = 'one'\n").unwrap();
        std::fs::write(
            dir.path().join("dagster_cloud.yaml"),
            format!(
                "locations:\n  - location_name: one\n    code_source: {{python_file: defs.py}}\n    \
                 build: {{directory: one, registry: {}/acme/app}}\n",
                registry.host()
            ),
        )
        .unwrap();
        let base = base_registry(dir.path());
        let dagster = Standin::start(json!({"deployments": [{"name": "prod", "agent_type": "HYBRID"}]}));
        let scene = Scene { dir, base, registry, dagster };
        scene.lock(&PACKAGES);
        scene
    }

    /// Lock these versions. Their wheels are written only to compute their digests, and are not there afterwards.
    fn lock(&self, packages: &[(&str, &str)]) {
        let mut text = "lock-version = '1.0'\ncreated-by = 'test'\n".to_string();
        for (name, version) in packages {
            let path = self.wheel(name, version);
            let bytes = std::fs::read(&path).unwrap();
            std::fs::remove_file(&path).unwrap();
            let digest: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
            let (file, size) = (path.file_name().unwrap().to_str().unwrap(), bytes.len());
            text += &format!(
                "[[packages]]\nname = '{name}'\nversion = '{version}'\nwheels = [{{name = '{file}', \
                 path = '../wheels/{file}', size = {size}, hashes = {{sha256 = '{digest}'}}}}]\n"
            );
        }
        std::fs::write(self.dir.path().join("one/pylock.toml"), text).unwrap();
    }

    /// Without the lock file: the wheels are in a directory.
    pub(super) fn unlock(&self) {
        std::fs::remove_file(self.dir.path().join("one/pylock.toml")).unwrap();
        let lines = PACKAGES.map(|(name, _)| format!("{name}\n")).concat();
        let text = format!("--no-index\n--find-links ../wheels\n{lines}");
        std::fs::write(self.dir.path().join("one/requirements.txt"), text).unwrap();
    }

    /// Put a wheel where the lock file says that it is.
    pub(super) fn wheel(&self, name: &str, version: &str) -> std::path::PathBuf {
        let wheels = self.dir.path().join("wheels");
        std::fs::create_dir_all(&wheels).unwrap();
        write_wheel_of(&wheels, name, version, &[("__init__.py", &format!("version = '{version}'\n"))]);
        wheels.join(format!("{}-{version}-py3-none-any.whl", name.replace('-', "_")))
    }

    /// Put all wheels there.
    pub(super) fn all_wheels(&self) {
        PACKAGES.iter().for_each(|(name, version)| drop(self.wheel(name, version)));
    }

    fn no_wheels(&self) {
        std::fs::remove_dir_all(self.dir.path().join("wheels")).unwrap();
    }

    /// `deploy` with a cache of its own, as on a fresh runner.
    pub(super) fn command(&self, cache: &Path, args: &[&str]) -> Command {
        let mut command = pexpress_with_uv();
        self.dagster.point(&mut command).current_dir(self.dir.path()).stdin(Stdio::null());
        command.env("PEXPRESS_CACHE_DIR", cache).env("HOME", self.dir.path().join("home"));
        command.env("PEXPRESS_REGISTRY_USERNAME", USER.0).env("PEXPRESS_REGISTRY_PASSWORD", USER.1);
        let out = cache.join("out");
        command.arg("deploy").arg("dagster_cloud.yaml").arg(out).args(["--upload", "--update"]);
        let base = format!("{}/base/python:3.11", self.base.host());
        command.args(["--python-version", "3.11", "--base-image", &base]).args(args);
        command
    }

    fn deploy(&self, args: &[&str]) -> Ran {
        let cache = tempfile::tempdir().unwrap();
        ran(self.command(cache.path(), args).args(TO_PROD))
    }

    /// The first deploy, of everything.
    fn first(&self, args: &[&str]) -> Value {
        self.all_wheels();
        let first = self.deploy(args);
        assert_eq!((first.code, first.state("one")), (Some(0), "loaded"), "{}", first.stderr);
        self.no_wheels();
        first.document["locations"][0].clone()
    }

    fn image(&self) -> String {
        self.dagster.state()["deployments"]["prod"]["locations"]["one"]["image"].as_str().unwrap().to_string()
    }

    pub(super) fn assert_whole(&self) {
        assert_eq!(self.registry.problems(), [""; 0]);
        let tags = self.registry.tags();
        assert!(tags.iter().all(|(_, is_whole)| *is_whole), "{tags:?}");
    }
}

/// `what` of the layers of which `flag` is as wanted.
pub fn layers(location: &Value, flag: &str, wanted: bool) -> Vec<String> {
    let layers = location["layers"].as_array().unwrap().iter();
    let found = layers.filter(|layer| layer[flag] == wanted).map(|layer| layer["what"].as_str().unwrap());
    found.map(String::from).collect()
}

pub(super) const PLAIN: [&str; 1] = ["--no-image-bytecode"];

#[test]
fn an_unchanged_deploy_on_a_fresh_runner_fetches_and_sends_nothing() {
    for auth in [Auth::Open, Auth::Token] {
        // With bytecode, for which no Python is needed either then.
        let scene = Scene::with(FaultRegistry::new(Ways { auth, ..Ways::default() }));
        let first = scene.first(&[]);
        scene.dagster.control("journal", &Value::Null);
        let of_base = scene.base.requests().len();
        let (before, received) = (scene.registry.requests().len(), scene.registry.received_bytes());
        let again = scene.deploy(&["--changed-only"]);
        assert_eq!((again.code, again.state("one")), (Some(0), "unchanged"), "{}", again.stderr);
        let again = &again.document["locations"][0];
        assert_eq!((&again["digest"], &again["image"]), (&first["digest"], &first["image"]));
        assert_eq!((&again["sent_bytes"], scene.registry.received_bytes()), (&json!(0), received));
        assert_eq!(layers(again, "in_layout", true), ["source"], "{again}");
        assert_eq!(layers(again, "reused", false), ["source"], "{again}");
        let requests = scene.registry.requests()[before..].to_vec();
        let of_base = scene.base.requests()[of_base..].to_vec();
        let calls = scene.dagster.journal().calls();
        let all = [requests, of_base, calls].concat();
        assert!(all.len() <= 10, "{}: {all:#?}", all.len());
        scene.assert_whole();
    }
}

#[test]
fn a_bumped_package_is_fetched_and_sent_alone() {
    let scene = Scene::new();
    let first = scene.first(&PLAIN);
    let bumped = PACKAGES.map(|(name, version)| if name == "extra" { (name, "2") } else { (name, version) });
    scene.lock(&bumped);
    scene.wheel("extra", "2");
    let bases = || scene.base.requests().iter().filter(|one| one.contains("/blobs/")).count();
    let before = bases();
    let second = scene.deploy(&PLAIN);
    assert_eq!((second.code, second.state("one")), (Some(0), "loaded"), "{}", second.stderr);
    let second = &second.document["locations"][0];
    assert_eq!(layers(second, "reused", false), ["extra==2", "source"], "{second}");
    assert_eq!(layers(second, "in_layout", true), ["extra==2", "source"], "{second}");
    assert_eq!(bases() - before, 2, "only its config, by a redirect: {:#?}", scene.base.requests());
    let changed = second["layers"].as_array().unwrap().iter().filter(|layer| layer["reused"] == false);
    let changed: u64 = changed.map(|layer| layer["size"].as_u64().unwrap()).sum();
    assert!(second["sent_bytes"].as_u64().unwrap() < changed + 5_000, "{second}");
    scene.assert_whole();

    // Made from nothing, it is the same image.
    scene.all_wheels();
    scene.wheel("extra", "2");
    let whole = scene.deploy(&["--no-image-bytecode", "--force-rebuild-deps"]);
    assert_eq!(whole.code, Some(0), "{}", whole.stderr);
    let whole = &whole.document["locations"][0];
    assert_eq!(whole["digest"], second["digest"]);
    assert_ne!(whole["digest"], first["digest"]);
    assert_eq!(layers(whole, "in_layout", false), [""; 0]);
}

#[test]
fn a_lost_layer_is_made_again() {
    let scene = Scene::new();
    let first = scene.first(&PLAIN);
    let lost = first["layers"][1]["digest"].as_str().unwrap();
    scene.registry.lose_blob("acme/app", lost);
    std::fs::write(scene.dir.path().join("one/defs.py"), "name = 'changed'\n").unwrap();
    scene.all_wheels();
    let second = scene.deploy(&PLAIN);
    assert_eq!((second.code, second.state("one")), (Some(0), "loaded"), "{}", second.stderr);
    assert!(second.stderr.contains(&format!("lacks {lost}")), "{}", second.stderr);
    let second = &second.document["locations"][0];
    assert_eq!(layers(second, "in_layout", false), [""; 0]);
    assert_ne!(second["digest"], first["digest"]);
    scene.assert_whole();
}

/// The tag that the deployment runs was moved to an image whose keys are those of honest layers.
#[test]
fn another_image_under_the_same_tag_is_not_believed() {
    let scene = Scene::new();
    scene.first(&PLAIN);
    let image = scene.image();
    let tag = image.rsplit_once(':').unwrap().1.to_string();
    let repository = scene.registry.repository("acme/app");
    let honest = scene.registry.tag("acme/app", &tag).unwrap();
    let manifest = scene.registry.manifest("acme/app", &honest).unwrap();
    let mut planted: Value = serde_json::from_slice(&manifest).unwrap();
    let evil = scene.registry.put_blob("acme/app", b"evil");
    for layer in planted["layers"].as_array_mut().unwrap() {
        (layer["digest"], layer["size"]) = (json!(evil.to_string()), json!(4));
    }
    let kind = "application/vnd.oci.image.manifest.v1+json";
    scene.registry.put_manifest(&repository.path, &tag, kind, planted.to_string().as_bytes());
    scene.all_wheels();
    std::fs::write(scene.dir.path().join("one/defs.py"), "name = 'changed'\n").unwrap();
    let second = scene.deploy(&["--no-image-bytecode", "-v"]);
    assert_eq!((second.code, second.state("one")), (Some(0), "loaded"), "{}", second.stderr);
    let second = &second.document["locations"][0];
    assert_eq!(layers(second, "in_layout", false), [""; 0], "all are made here");
    assert!(!second.to_string().contains(&evil.to_string()), "{second}");
}

#[test]
fn a_branch_takes_layers_of_its_base_and_gives_none_back() {
    let scene = Scene::new();
    scene.first(&PLAIN);
    let event = payload("opened");
    let deploy = || {
        let cache = tempfile::tempdir().unwrap();
        ran(in_pull_request(&mut scene.command(cache.path(), &PLAIN), scene.dir.path(), &event))
    };
    let of_branch = deploy();
    assert_eq!((of_branch.code, of_branch.state("one")), (Some(0), "loaded"), "{}", of_branch.stderr);
    assert_eq!(layers(&of_branch.document["locations"][0], "in_layout", true), ["source"]);
    // What only the branch has deployed is fetched for `prod`.
    let bumped = PACKAGES.map(|(name, version)| if name == "extra" { (name, "2") } else { (name, version) });
    scene.lock(&bumped);
    scene.wheel("extra", "2");
    assert_eq!(deploy().code, Some(0));
    let of_prod = scene.deploy(&PLAIN);
    assert_eq!(of_prod.code, Some(0), "{}", of_prod.stderr);
    assert_eq!(layers(&of_prod.document["locations"][0], "in_layout", true), ["extra==2", "source"]);
}

/// The honest image itself, under names that do not follow from it.
#[test]
fn images_that_pexpress_did_not_push_there_are_not_taken_over() {
    let scene = Scene::new();
    let first = scene.first(&PLAIN);
    let manifest = scene.registry.manifest("acme/app", first["digest"].as_str().unwrap()).unwrap();
    scene.all_wheels();
    let tag = scene.image().rsplit_once(':').unwrap().1.to_string();
    let others = [("acme/app", "v1"), ("acme/other", tag.as_str()), ("acme/app", "one-0123456789abcdef")];
    for (path, tag) in others {
        let kind = "application/vnd.oci.image.manifest.v1+json";
        scene.registry.put_manifest(path, tag, kind, &manifest);
        let image = format!("{}/{path}:{tag}", scene.registry.host());
        let document = json!({
            "location_name": "one", "image": image, "code_source": {"python_file": "defs.py"}, "git": {},
        });
        let deployment = json!({"name": "prod", "agent_type": "HYBRID", "locations": [document]});
        scene.dagster.control("reset", &json!({"deployments": [deployment]}));
        let ran = scene.deploy(&PLAIN);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        assert_eq!(layers(&ran.document["locations"][0], "in_layout", false), [""; 0], "{image}");
    }
}

/// The code locations that `plan` names, with its reasons.
fn planned(scene: &Scene, args: &[&str]) -> (Value, String) {
    plan_of(scene, args, |_| {})
}

/// The same with other variables.
pub fn plan_of(scene: &Scene, args: &[&str], vary: impl FnOnce(&mut Command)) -> (Value, String) {
    let cache = tempfile::tempdir().unwrap();
    let mut command = pexpress_with_uv();
    vary(&mut command);
    scene.dagster.point(&mut command).current_dir(scene.dir.path()).stdin(Stdio::null());
    command.env("PEXPRESS_CACHE_DIR", cache.path()).env("HOME", scene.dir.path().join("home"));
    let base = format!("{}/base/python:3.11", scene.base.host());
    command.args(["plan", "dagster_cloud.yaml", "--python-version", "3.11", "--base-image", &base]);
    let output = command.args(TO_PROD).args(args).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    (serde_json::from_slice(&output.stdout).unwrap(), said)
}

#[test]
fn a_plan_names_images_that_would_differ_without_building_them() {
    let scene = Scene::new();
    let (matrix, said) = planned(&scene, &PLAIN);
    assert_eq!(matrix["include"].as_array().unwrap().len(), 1, "{said}");
    assert!(said.contains("one: it does not run from an image yet"), "{said}");
    scene.first(&PLAIN);
    let received = scene.registry.received_bytes();
    let reason = |matrix: &Value, said: &str| {
        let is_planned = !matrix["include"].as_array().unwrap().is_empty();
        let reason =
            said.lines().find_map(|line| line.split_once("one: ")).map(|(_, reason)| reason.to_string());
        assert_eq!(is_planned, reason.is_some(), "{matrix} {said}");
        reason
    };
    let of = |args: &[&str]| {
        let (matrix, said) = planned(&scene, args);
        reason(&matrix, &said)
    };
    assert_eq!(of(&PLAIN), None);
    assert_eq!(
        of(&[]).as_deref(),
        Some("its layer of dagster-cloud==1.13.27 is not in the image that runs, or is built from source")
    );
    let defs = scene.dir.path().join("one/defs.py");
    std::fs::write(&defs, "name = 'changed'\n").unwrap();
    assert_eq!(of(&PLAIN).as_deref(), Some("its `image` differs"));
    std::fs::write(&defs, "name = 'one'\n").unwrap();
    let bumped = PACKAGES.map(|(name, version)| if name == "extra" { (name, "2") } else { (name, version) });
    scene.lock(&bumped);
    assert_eq!(
        of(&PLAIN).as_deref(),
        Some("its layer of extra==2 is not in the image that runs, or is built from source")
    );
    assert_eq!(scene.registry.received_bytes(), received);
}

/// Loading needs all of them, and is for what no lock file decided.
#[test]
fn an_image_that_is_loaded_here_first_has_all_its_layers() {
    let scene = Scene::new();
    scene.unlock();
    scene.first(&PLAIN);
    scene.all_wheels();
    let unchanged = scene.deploy(&["--no-image-bytecode", "--verify=auto"]);
    assert_eq!(unchanged.code, Some(0), "{}", unchanged.stderr);
    assert_eq!(layers(&unchanged.document["locations"][0], "in_layout", true), ["source"]);
    scene.wheel("extra", "2");
    // First the one that is loaded: what a deploy has made runs afterwards.
    let bumped = scene.deploy(&["--no-image-bytecode", "--verify=auto"]);
    let bumped = &bumped.document["locations"][0];
    assert_eq!(layers(bumped, "in_layout", false), [""; 0], "{bumped}");
}
