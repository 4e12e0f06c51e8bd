//! Resolution records next to images: a push that changes only code asks no resolver.

use crate::deploy::known_layers::{Scene, layers, plan_of};
use crate::deploy::whole::{Ran, TO_PROD, ran};
use crate::support::environments::{self, is_here};
use crate::support::fake_uv::FakeUv;
use crate::support::fault_registry::{Auth, FaultRegistry, Trouble, USER, Ways};
use crate::support::scripted_server::{Reply, ScriptedServer};
use crate::support::small_project::{write_sdist, write_wheel_of};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pexpress::image::Digest;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const PLAIN: &str = "--no-image-bytecode";
/// Of a push to `main`, and of a pull request to it.
const MAIN: [&str; 2] = ["--deps-cache-from=acme/proj@main", "--deps-cache-to=acme/proj@main"];
const REQUEST: [&str; 3] =
    ["--deps-cache-from=acme/proj@main", "--deps-cache-from=acme/proj#7", "--deps-cache-to=acme/proj#7"];

/// Builds another wheel each time.
const BACKEND: &str = r#"
import time, zipfile

def build_wheel(out, config_settings=None, metadata_directory=None):
    name = "sourced-1-py3-none-any.whl"
    with zipfile.ZipFile(out + "/" + name, "w") as wheel:
        wheel.writestr("sourced.py", "built = " + str(time.time_ns()))
        wheel.writestr("sourced-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: sourced\nVersion: 1\n")
        wheel.writestr("sourced-1.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("sourced-1.dist-info/RECORD", "")
    return name
"#;

/// A project without a lock file, and a uv that counts its calls.
struct Unlocked {
    scene: Scene,
    tools: tempfile::TempDir,
}

impl Unlocked {
    fn new(ways: Ways) -> Unlocked {
        Unlocked::at(FaultRegistry::new(ways))
    }

    fn at(registry: FaultRegistry) -> Unlocked {
        let scene = Scene::with(registry);
        scene.unlock();
        scene.all_wheels();
        Unlocked { scene, tools: tempfile::tempdir().unwrap() }
    }

    /// The same with an index whose URL has a password, instead of a directory.
    fn with_index() -> (Unlocked, ScriptedServer) {
        let project = Unlocked::new(Ways::default());
        let wheels = project.scene.dir.path().join("wheels");
        let index = ScriptedServer::answering(move |request| answer(&wheels, &request.target));
        let url = index.url("/simple").replace("http://", "http://me:canary@");
        let path = project.scene.dir.path().join("one/requirements.txt");
        let text = std::fs::read_to_string(&path).unwrap();
        let (_, lines) = text.split_once("../wheels").unwrap();
        std::fs::write(path, format!("--index-url {url}\n{lines}")).unwrap();
        (project, index)
    }

    /// Let nothing run, so that no layer is known.
    fn forget_images(&self) {
        let deployment = json!({"name": "prod", "agent_type": "HYBRID"});
        self.scene.dagster.control("reset", &json!({"deployments": [deployment]}));
    }

    /// A deploy on a fresh runner, and how often it asked uv.
    fn deploy(&self, args: &[&[&str]]) -> (Ran, usize) {
        let cache = tempfile::tempdir().unwrap();
        let uv = FakeUv::new(self.tools.path(), &format!("exec '{}' \"$@\"", environments::uv().display()));
        let before = uv.calls().len();
        let mut command = self.scene.command(cache.path(), &[PLAIN]);
        without_sources(&mut command).env("UV_CACHE_DIR", cache.path().join("uv"));
        let ran = ran(command.env("PEXPRESS_UV", uv.program()).args(args.concat()).args(TO_PROD));
        (ran, uv.calls().len() - before)
    }

    /// One that works.
    fn deployed(&self, args: &[&[&str]]) -> (Ran, usize) {
        let (ran, calls) = self.deploy(args);
        assert_eq!((ran.code, ran.state("one")), (Some(0), "loaded"), "{}", ran.stderr);
        (ran, calls)
    }

    fn change_code(&self) {
        let path = self.scene.dir.path().join("one/defs.py");
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(path, text + "changed = 1\n").unwrap();
    }

    /// The tags of records.
    fn records(&self) -> Vec<String> {
        let tags = self.scene.registry.tags().into_iter();
        let of_app = tags.filter_map(|(tag, _)| Some(tag.strip_prefix("acme/app:")?.to_string()));
        of_app.filter(|tag| tag.starts_with("pexpress-resolution-")).collect()
    }

    /// The only record, as manifest and document.
    fn record(&self) -> (String, Value, Value) {
        let [tag] = self.records().try_into().unwrap();
        let digest = self.scene.registry.tag("acme/app", &tag).unwrap();
        let manifest = self.scene.registry.manifest("acme/app", &digest).unwrap();
        let manifest: Value = serde_json::from_slice(&manifest).unwrap();
        let data = STANDARD.decode(manifest["layers"][0]["data"].as_str().unwrap()).unwrap();
        (tag, manifest, serde_json::from_slice(&data).unwrap())
    }

    /// Put another text under its tag, as a whole artifact.
    fn replace(&self, tag: &str, manifest: &Value, text: &str) {
        let mut manifest = manifest.clone();
        let digest = self.scene.registry.put_blob("acme/app", text.as_bytes());
        let layer = &mut manifest["layers"][0];
        layer["digest"] = json!(digest.to_string());
        layer["size"] = json!(text.len());
        layer["data"] = json!(STANDARD.encode(text));
        self.scene.registry.put_manifest("acme/app", tag, MANIFEST, manifest.to_string().as_bytes());
    }
}

/// Without the package sources of this machine.
fn without_sources(command: &mut Command) -> &mut Command {
    for name in ["PIP_FIND_LINKS", "PIP_INDEX_URL", "UV_FIND_LINKS"] {
        command.env_remove(name);
    }
    command.env("PIP_CONFIG_FILE", "/dev/null")
}

/// The page of a package, or a file.
fn answer(wheels: &Path, target: &str) -> Reply {
    let files = || std::fs::read_dir(wheels).unwrap().map(|entry| entry.unwrap().file_name());
    let read = |name: &str| std::fs::read(wheels.join(name)).ok();
    if let Some(name) = target.strip_prefix("/simple/").and_then(|rest| rest.strip_suffix('/')) {
        let start = format!("{}-", name.replace('-', "_"));
        let names =
            files().filter_map(|name| name.into_string().ok()).filter(|name| name.starts_with(&start));
        let links = names.map(|name| {
            let digest = Digest::of(read(&name).unwrap()).hex();
            format!("<a href=\"/files/{name}#sha256={digest}\">{name}</a>")
        });
        let page = format!("<html>{}</html>", links.collect::<String>());
        return Reply::new(200, page).header("Content-Type", "text/html");
    }
    let file = target.strip_prefix("/files/").and_then(read);
    file.map_or_else(|| Reply::new(404, ""), |wheel| Reply::new(200, wheel))
}

#[test]
fn a_change_of_code_alone_is_deployed_as_it_was_resolved() {
    for auth in [Auth::Open, Auth::Token] {
        let project = Unlocked::new(Ways { auth, ..Ways::default() });
        let (_, calls) = project.deployed(&[&MAIN]);
        assert!(calls > 0);
        let (tag, manifest, document) = project.record();
        assert!(tag.len() <= 128 && !document.to_string().contains("wheels/"), "{tag} {document}");
        assert_eq!(manifest["artifactType"], "application/vnd.pexpress.resolution.v1+json");
        project.scene.assert_whole();
        project.change_code();
        let before = project.scene.registry.requests().len();
        let (again, calls) = project.deployed(&[&MAIN]);
        assert_eq!(calls, 0, "{}", again.stderr);
        assert!(again.stderr.contains("one: versions as resolved "), "{}", again.stderr);
        assert_eq!(layers(&again.document["locations"][0], "in_layout", true), ["source"]);
        let requests = project.scene.registry.requests()[before..].to_vec();
        let about = requests.iter().filter(|one| one.contains("pexpress-resolution-"));
        assert_eq!(about.count(), 1, "{requests:#?}");
        assert_eq!(project.record().2, document, "what was read is not written again");
        // A pull request gets what `main` deploys, and `plan` asks no resolver either.
        let (request, calls) = project.deployed(&[&REQUEST]);
        assert_eq!((calls, project.records().len()), (0, 1), "{}", request.stderr);
        let (matrix, said) = plan_of(&project.scene, &[PLAIN, MAIN[0], "-v"], |command| {
            without_sources(command).env("PEXPRESS_UV", "/nowhere/uv");
            command.env("PEXPRESS_REGISTRY_USERNAME", USER.0).env("PEXPRESS_REGISTRY_PASSWORD", USER.1);
        });
        assert_eq!(matrix["include"], json!([]), "{said}");
    }
}

/// No image runs yet that has the layers: their wheels are found where the project says.
#[test]
fn layers_are_made_of_recorded_wheels_without_uv() {
    let project = Unlocked::new(Ways::default());
    let (first, _) = project.deployed(&[&MAIN]);
    project.forget_images();
    let (again, calls) = project.deployed(&[&MAIN]);
    assert_eq!(calls, 0, "{}", again.stderr);
    let location = |ran: &Ran| ran.document["locations"][0].clone();
    assert_eq!(layers(&location(&again), "in_layout", false), [""; 0]);
    assert_eq!(location(&again)["digest"], location(&first)["digest"]);
}

/// Then the wheels come from the index, by name and digest. If one was replaced there, the resolver decides again.
#[test]
fn recorded_wheels_are_looked_for_on_the_index() {
    let (project, index) = Unlocked::with_index();
    let (first, _) = project.deployed(&[&MAIN]);
    let (_, manifest, document) = project.record();
    let text = format!("{manifest}{document}");
    assert!(!text.contains("canary") && !text.contains("http:"), "{document}");
    assert!(document.to_string().contains("\"size_bytes\""), "the page says no sizes: {document}");
    let before = index.requests().len();
    let files = || index.requests()[before..].iter().filter(|one| one.target.starts_with("/files/")).count();
    project.change_code();
    let (again, calls) = project.deployed(&[&MAIN]);
    assert_eq!((calls, files()), (0, 0), "{}", again.stderr);
    project.forget_images();
    let (again, calls) = project.deployed(&[&MAIN]);
    assert_eq!((calls, files()), (0, 4), "{}", again.stderr);
    // Another file under the same name.
    project.forget_images();
    write_wheel_of(
        &project.scene.dir.path().join("wheels"),
        "extra",
        "1",
        &[("__init__.py", "changed = 1\n")],
    );
    let (changed, calls) = project.deployed(&[&MAIN]);
    let says = "one: no package index has `extra-1-py3-none-any.whl` with the expected SHA-256; \
                the requirements are resolved again";
    assert!(calls > 0 && changed.stderr.contains(says), "{}", changed.stderr);
    assert_ne!(changed.document["locations"][0]["digest"], first.document["locations"][0]["digest"]);
    // It is on record now.
    assert_eq!(project.deployed(&[&MAIN]).1, 0);
}

/// Its layer is known by the wheel that was built, and that is on record. Built again, it is another one.
#[test]
fn what_was_built_from_source_is_not_built_again() {
    if !is_here("3.11") {
        return;
    }
    let project = Unlocked::new(Ways::default());
    let pyproject = "[build-system]\nrequires = []\nbuild-backend = 'backend'\nbackend-path = ['.']\n\
                     [project]\nname = 'sourced'\nversion = '1'\n";
    let files = [("backend.py", BACKEND), ("pyproject.toml", pyproject)];
    write_sdist(&project.scene.dir.path().join("wheels"), "sourced", "1", &files);
    let path = project.scene.dir.path().join("one/requirements.txt");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text + "sourced\n").unwrap();
    let resolutions = || {
        let log = std::fs::read_to_string(project.tools.path().join("uv.log")).unwrap();
        log.lines().filter(|line| line.starts_with("pip compile")).count()
    };
    project.deployed(&[&MAIN]);
    let (first, document) = (resolutions(), project.record().2);
    assert!(first > 0 && document["built"]["sourced"]["sha256"].is_string(), "{document}");
    project.change_code();
    let (again, calls) = project.deployed(&[&MAIN]);
    assert_eq!(calls, 0, "{}", again.stderr);
    assert_eq!(layers(&again.document["locations"][0], "in_layout", true), ["source"]);
    project.forget_images();
    let (made, calls) = project.deployed(&[&MAIN]);
    assert!(calls > 0 && resolutions() == first, "{}", made.stderr);
    assert_eq!(layers(&made.document["locations"][0], "in_layout", false), [""; 0]);
    let newer = project.record().2;
    assert_ne!(newer["built"], document["built"]);
    assert_eq!(
        (&newer["resolved_at"], &newer["resolution"]),
        (&document["resolved_at"], &document["resolution"])
    );
    project.change_code();
    let (again, calls) = project.deployed(&[&MAIN]);
    assert_eq!(calls, 0, "{}", again.stderr);
    project.scene.assert_whole();
}

/// As in Harbor, where each code location has a repository.
#[test]
fn every_repository_has_the_record_of_its_code_location() {
    let project = Unlocked::new(Ways::default());
    let path = project.scene.dir.path().join("dagster_cloud.yaml");
    let one = std::fs::read_to_string(&path).unwrap();
    let (head, entry) = one.split_once('\n').unwrap();
    let two = entry.replace("location_name: one", "location_name: two").replace("/acme/app", "/acme/two");
    std::fs::write(path, format!("{head}\n{entry}{two}")).unwrap();
    let (both, _) = project.deployed(&[&MAIN]);
    assert_eq!(both.state("two"), "loaded", "{}", both.stderr);
    let tags = project.scene.registry.tags();
    for path in ["acme/app", "acme/two"] {
        let start = format!("{path}:pexpress-resolution-");
        assert_eq!(tags.iter().filter(|(tag, _)| tag.starts_with(&start)).count(), 1, "{tags:?}");
    }
    let (two, calls) = project.deploy(&[&MAIN, &["--location", "two"]]);
    assert_eq!((two.code, calls), (Some(0), 0), "{}", two.stderr);
    let (both, calls) = project.deployed(&[&MAIN]);
    assert!(calls == 0 && both.stderr.contains("one, two: versions as resolved "), "{}", both.stderr);
}

#[test]
fn what_a_record_does_not_cover_is_resolved() {
    let project = Unlocked::new(Ways::default());
    project.deployed(&[&MAIN]);
    let asked = |args: &[&[&str]]| project.deployed(args).1 > 0;
    for args in [
        &["--resolve-max-age=0"][..],
        &["--force-rebuild-deps"],
        &["--deps-cache-from=acme/proj@other"],
        &["--platform=manylinux_2_17_x86_64"],
    ] {
        let tags: &[&str] = if args[0].starts_with("--deps-cache-from") { &[] } else { &MAIN[..1] };
        assert!(asked(&[tags, args]), "{args:?}");
    }
    std::thread::sleep(Duration::from_millis(2_100));
    let (old, calls) = project.deployed(&[&MAIN, &["--resolve-max-age=1"]]);
    assert!(calls > 0 && old.stderr.contains(" old; the requirements are resolved again"), "{}", old.stderr);
    // It was written again.
    assert!(!asked(&[&MAIN, &["--resolve-max-age=20"]]));
    project.scene.wheel("extra", "2");
    assert!(asked(&[&MAIN]), "another local wheel");
}

#[test]
fn a_record_that_cannot_be_used_costs_a_resolution_and_changes_nothing() {
    let project = Unlocked::new(Ways::default());
    let (first, _) = project.deployed(&[&MAIN]);
    let (tag, manifest, document) = project.record();
    let changed = |key: &str, value: Value| {
        let mut changed = document.clone();
        changed[key] = value;
        changed.to_string()
    };
    let text = document.to_string();
    for altered in [
        "<html>".to_string(),
        text[..text.len() / 2].to_string(),
        changed("resolved_at", json!(1_000_000)),
        changed("resolution", json!({"distributions": []})),
    ] {
        project.replace(&tag, &manifest, &altered);
        let (ran, calls) = project.deployed(&[&MAIN]);
        assert!(
            calls > 0 && ran.stderr.contains("it is not a record of these requirements"),
            "{}",
            ran.stderr
        );
        assert_eq!(ran.document["locations"][0]["digest"], first.document["locations"][0]["digest"]);
        assert_eq!(project.record().2["resolution"], document["resolution"], "it is written again");
    }
    // An image is no record, and neither is an artifact whose content is not what its digest says.
    let mut lying = manifest.clone();
    lying["layers"][0]["data"] = json!(STANDARD.encode("{}"));
    let mut image = manifest.clone();
    image.as_object_mut().unwrap().remove("artifactType");
    for other in [lying, image] {
        project.scene.registry.put_manifest("acme/app", &tag, MANIFEST, other.to_string().as_bytes());
        let (ran, calls) = project.deployed(&[&MAIN, &["-v"]]);
        assert!(calls > 0 && ran.stderr.contains("is not an artifact of pexpress"), "{}", ran.stderr);
    }
}

#[test]
fn a_branch_reads_nothing_that_a_pull_request_wrote() {
    let project = Unlocked::new(Ways::default());
    project.deployed(&[&REQUEST]);
    assert_eq!(project.deployed(&[&REQUEST]).1, 0, "its own");
    assert!(project.deployed(&[&MAIN]).1 > 0);
    assert_eq!(project.records().len(), 2);
}

#[test]
fn a_registry_that_refuses_records_fails_no_deploy() {
    let is_record = |url: &str| url.contains("/manifests/pexpress-resolution-");
    for status in [400, 403, 405] {
        let registry = FaultRegistry::with_faults(Ways::default(), move |request| {
            let trouble = Trouble::Status(status, Some(0));
            is_record(&request.path).then_some(trouble)
        });
        let project = Unlocked::at(registry);
        let (ran, calls) = project.deployed(&[&MAIN]);
        assert!(calls > 0 && ran.stderr.contains("no resolution record: could not write"), "{}", ran.stderr);
        assert_eq!(project.records(), [""; 0]);
    }
}

/// The tag of an old record stays there.
#[test]
fn tags_that_cannot_be_moved_fail_no_deploy() {
    let project = Unlocked::new(Ways { is_immutable: true, ..Ways::default() });
    project.deployed(&[&MAIN]);
    assert_eq!(project.deployed(&[&MAIN]).1, 0);
    // The time of a record is in seconds.
    std::thread::sleep(Duration::from_millis(1_100));
    let (ran, calls) = project.deployed(&[&MAIN, &["--resolve-max-age=0"]]);
    assert!(calls > 0 && ran.stderr.contains("no resolution record: could not write"), "{}", ran.stderr);
}
