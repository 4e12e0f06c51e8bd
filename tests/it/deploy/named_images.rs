//! `deploy` of images that were pushed before: their registries are asked before anything is updated.

use crate::deploy::images::hybrid;
use crate::deploy::whole::{Ran, TO_PROD, in_pull_request, payload, ran};
use crate::support::fault_registry::{Auth, FaultRegistry, Trouble, USER, Ways};
use crate::support::pexpress;
use crate::support::said::messages;
use crate::support::standin::Standin;
use serde_json::Value;
use std::process::{Command, Stdio};

/// A Hybrid deployment, and two code locations with repositories in a registry that has one image of `one`.
struct Scene {
    standin: Standin,
    registry: FaultRegistry,
    dir: tempfile::TempDir,
}

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

impl Scene {
    fn new(registry: FaultRegistry) -> Scene {
        registry.put_manifest("acme/one", "here", MANIFEST, b"{}");
        let scene = Scene { standin: Standin::start(hybrid()), registry, dir: tempfile::tempdir().unwrap() };
        scene.write(&format!(
            "locations:\n  - location_name: one\n    code_source: {{module_name: one}}\n    build: {{registry: {0}/acme/one}}\n  \
             - location_name: two\n    code_source: {{module_name: two}}\n    image: {0}/acme/one:here\n",
            scene.registry.host()
        ));
        scene
    }

    fn write(&self, yaml: &str) {
        std::fs::write(self.dir.path().join("dagster_cloud.yaml"), yaml).unwrap();
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = pexpress();
        self.standin.point(&mut command).stdin(Stdio::null()).current_dir(self.dir.path());
        command.env("HOME", self.dir.path()).args(["deploy", "dagster_cloud.yaml", "out"]).args(args);
        command
    }

    fn deploy(&self, args: &[&str]) -> Ran {
        ran(self.command(args).args(TO_PROD))
    }

    fn assert_untouched(&self) {
        let state = self.standin.state();
        let deployments = state["deployments"].as_object().unwrap();
        assert_eq!(deployments.keys().collect::<Vec<_>>(), ["prod"]);
        assert_eq!(deployments["prod"]["locations"], serde_json::json!({}));
        assert_eq!(self.standin.journal().count("deployLocations"), 0);
    }
}

fn open() -> FaultRegistry {
    FaultRegistry::new(Ways::default())
}

#[test]
fn an_image_that_does_not_exist_is_an_error_before_anything_is_updated() {
    let scene = Scene::new(open());
    let ran = scene.deploy(&["--image-tag", "gone"]);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    insta::assert_snapshot!(messages(&ran.stderr), @r#"
    error: the image `127.0.0.1:[PORT]/acme/one:gone` does not exist; --image-tag, with `build.registry`, names it for the code location `one`
    hint: push it before, or name another one; nothing was updated. If its registry hides it from this machine, log in there
    "#);
    scene.assert_untouched();
    let missing = format!("{}/acme/no:1", scene.registry.host());
    let both =
        scene.deploy(&["--image-of", &format!("one={missing}"), "--image-of", &format!("two={missing}")]);
    assert_eq!(both.code, Some(1), "{}", both.stderr);
    insta::assert_snapshot!(messages(&both.stderr), @r#"
    error: the image `127.0.0.1:[PORT]/acme/no:1` does not exist; --image-of names it for the code location `one`; missing too: `127.0.0.1:[PORT]/acme/no:1` for `two`
    hint: push it before, or name another one; nothing was updated. If its registry hides it from this machine, log in there
    "#);
    let mut command = scene.command(&["--image-tag", "gone"]);
    let ran = crate::deploy::whole::ran(in_pull_request(&mut command, scene.dir.path(), &payload("opened")));
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    scene.assert_untouched();
    assert!(
        scene.registry.requests().iter().all(|one| one.starts_with("HEAD ")),
        "{:#?}",
        scene.registry.requests()
    );
}

#[test]
fn images_that_exist_are_asked_for_once() {
    let scene = Scene::new(open());
    let ran = scene.deploy(&["--image-tag", "here"]);
    assert_eq!(
        (ran.code, ran.state("one"), ran.state("two")),
        (Some(0), "loaded", "loaded"),
        "{}",
        ran.stderr
    );
    assert_eq!(scene.registry.requests(), ["HEAD /v2/acme/one/manifests/here"]);
    assert!(!ran.stderr.contains("could not be checked"), "{}", ran.stderr);
}

#[test]
fn a_registry_that_does_not_answer_this_machine_is_only_noted() {
    let note = "An image could not be checked from here: could not look for ";
    for (auth, status, why) in [
        (Auth::Basic, None, "answered 401"),
        (Auth::Token, None, "answered 401"),
        (Auth::Open, Some(403), "answered 403"),
        (Auth::Open, Some(503), "answered 503"),
    ] {
        let registry = FaultRegistry::with_faults(Ways { auth, ..Ways::default() }, move |_| {
            status.map(|status| Trouble::Status(status, None))
        });
        let scene = Scene::new(registry);
        let ran = scene.deploy(&["--image-tag", "gone"]);
        assert_eq!((ran.code, ran.state("one")), (Some(0), "loaded"), "{auth:?}: {}", ran.stderr);
        assert_eq!(ran.stderr.matches(note).count(), 1, "once for the registry: {}", ran.stderr);
        assert!(ran.stderr.contains(why), "{auth:?}: {}", ran.stderr);
    }
    let scene = Scene::new(open());
    let ran = scene.deploy(&["--image-of", "one=127.0.0.1:1/acme/one:1"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stderr.contains(&format!("{note}`127.0.0.1:1/acme/one:1`")), "{}", ran.stderr);
}

#[test]
fn who_may_read_the_registry_gets_an_answer() {
    for auth in [Auth::Basic, Auth::Token] {
        let scene = Scene::new(FaultRegistry::new(Ways { auth, ..Ways::default() }));
        let deploy = |tag: &str| {
            let mut command = scene.command(&["--image-tag", tag]);
            command.env("PEXPRESS_REGISTRY_USERNAME", USER.0).env("PEXPRESS_REGISTRY_PASSWORD", USER.1);
            ran(command.args(TO_PROD))
        };
        let gone = deploy("gone");
        assert_eq!(gone.code, Some(1), "{auth:?}: {}", gone.stderr);
        assert!(gone.stderr.contains("/acme/one:gone` does not exist"), "{auth:?}: {}", gone.stderr);
        assert_eq!(deploy("here").code, Some(0), "{auth:?}");
        assert_eq!(scene.registry.problems(), [""; 0]);
    }
}

#[test]
fn the_image_of_an_entry_is_asked_for_too() {
    let scene = Scene::new(open());
    let host = scene.registry.host();
    std::fs::write(scene.dir.path().join("requirements.txt"), "").unwrap();
    scene.write(&format!(
        "locations:\n  - location_name: good\n    code_source: {{module_name: a}}\n    image: {host}/acme/one:here\n  \
         - location_name: bad\n    code_source: {{module_name: a}}\n    image: {host}/acme/one:gone\n"
    ));
    let ran = scene.deploy(&["--upload", "--update"]);
    assert_eq!(
        (ran.code, ran.state("good"), ran.state("bad")),
        (Some(1), "loaded", "not_published"),
        "{}",
        ran.stderr
    );
    assert_eq!(scene.standin.state()["deployments"]["prod"]["locations"].get("bad"), None::<&Value>);
    insta::assert_snapshot!(messages(&ran.stderr), @r#"
    error: the code location `bad` was not updated
      caused by: the image `127.0.0.1:[PORT]/acme/one:gone` does not exist; `image:` names it for the code location `bad`
    hint: push it before, or name another one; nothing was updated. If its registry hides it from this machine, log in there
    error: 1 of 2 code locations could not be deployed: bad
    "#);
}
