//! Images through the events of a pull request, in a matrix of jobs, and in runs that are cancelled at any moment.

use crate::deploy::images::hybrid;
use crate::image::base::Base;
use crate::support::fault_registry::{Auth, FaultRegistry, USER, Ways};
use crate::support::said::plain;
use crate::support::scene::Scene;
use crate::support::small_project::write_project;
use crate::support::step::{Ran, Running, Step, pull_request};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::time::Duration;

/// A path in the registry.
const PATH: &str = "acme/app";

struct Images {
    scene: Scene,
    registry: FaultRegistry,
}

impl Images {
    fn new(registry: FaultRegistry, locations: &[(&str, &str)], dagster: Value) -> Images {
        let scene = Scene::new(locations, dagster);
        Base::official("3.11").write(&scene.dir.path().join("base"));
        Images { scene, registry }
    }

    fn with_basic_auth(locations: &[(&str, &str)]) -> Images {
        let registry = FaultRegistry::new(Ways { auth: Auth::Basic, ..Ways::default() });
        Images::new(registry, locations, hybrid())
    }

    fn step(&self) -> Step<'_> {
        let base = format!("oci:{}", self.scene.dir.path().join("base").display());
        self.scene
            .step()
            .with("INPUT_IMAGE_REGISTRY", &format!("{}/{PATH}", self.registry.host()))
            .with("INPUT_BASE_IMAGE", &base)
            .with("INPUT_PYTHON_VERSION", "3.11")
            .with("INPUT_IMAGE_BYTECODE", "false")
            .with("INPUT_REGISTRY_USERNAME", USER.0)
            .with("INPUT_REGISTRY_PASSWORD", USER.1)
    }

    fn pulled(&self, run: &str, action: &str) -> Ran {
        let ran = self.step().with("GITHUB_RUN_ID", run).event("pull_request", &pull_request(action)).run();
        self.assert_silent(&ran);
        ran
    }

    fn pushed(&self) -> Ran {
        let payload = json!({"ref": "refs/heads/main", "repository": {"full_name": "acme/proj", "default_branch": "main"}});
        let ran = self.step().event("push", &payload).run();
        self.assert_silent(&ran);
        ran
    }

    /// The reference of the image that a code location is told to run.
    fn document(&self, deployment: &str, name: &str) -> String {
        let state = self.scene.dagster.state();
        let document = &state["deployments"][deployment]["locations"][name];
        document["image"].as_str().unwrap_or_else(|| panic!("{document:#}")).to_string()
    }

    /// No document names an image that the registry does not have, and no tag one that is not whole.
    fn assert_law(&self, what: &str) {
        let state = self.scene.dagster.state();
        let start = format!("{}/{PATH}:", self.registry.host());
        for deployment in state["deployments"].as_object().unwrap().values() {
            for document in deployment["locations"].as_object().into_iter().flat_map(|all| all.values()) {
                let Some(image) = document["image"].as_str() else { continue };
                let tag = image.strip_prefix(&start).unwrap_or_else(|| panic!("{what}: {image}"));
                assert!(self.registry.tag(PATH, tag).is_some(), "{what}: {image} is not there");
            }
        }
        let tags = self.registry.tags();
        assert!(tags.iter().all(|(_, is_whole)| *is_whole), "{what}: {tags:?}");
        assert_eq!(self.registry.problems(), [] as [String; 0], "{what}");
    }

    /// The registry's password is masked by a command, and shown nowhere else.
    fn assert_silent(&self, ran: &Ran) {
        let log = ran.log.lines().filter(|line| !line.starts_with("::add-mask::"));
        let said = log.chain([&*ran.summary]).map(String::from);
        let said = said.chain([format!("{:?}", ran.outputs)]).chain(self.scene.github.bodies());
        for text in said {
            assert!(!text.contains("canary"), "{text}");
        }
    }
}

#[test]
fn images_follow_a_pull_request_from_its_opening_to_its_end() {
    let images = Images::with_basic_auth(&[("one", "extra==1"), ("two", "")]);
    let main = images.pushed();
    assert_eq!((main.code, main.output("deployment")), (Some(0), "prod"), "{}", main.log);
    assert_eq!(main.json("images")["one"]["reference"], json!(images.document("prod", "one")));

    // Opened with another version of a package: what it is compared with runs in the full deployment.
    write_project(images.scene.dir.path(), &[("one", "extra==2"), ("two", "")]);
    let opened = images.pulled("1001", "opened");
    assert_eq!((opened.code, opened.output("result")), (Some(0), "success"), "{}", opened.log);
    let branch = opened.output("deployment").to_string();
    let first = images.document(&branch, "one");
    assert_eq!(images.document(&branch, "two"), images.document("prod", "two"), "nothing of it changed");
    assert_ne!(first, images.document("prod", "one"));
    let comment = plain(&images.scene.comment());
    assert!(comment.contains("📦 one: 1 dependency changed"), "{comment}");
    assert!(comment.contains("- extra 1 → 2") && comment.contains("dagster 1.13.27"), "{comment}");
    assert!(plain(&opened.summary).contains("- extra 1 → 2"), "{}", opened.summary);

    // Pushed to: a line of code is one small layer.
    std::fs::write(images.scene.dir.path().join("one/defs.py"), "name = 'changed'\n").unwrap();
    let bytes = images.registry.received_bytes();
    let synchronized = images.pulled("1002", "synchronize");
    assert_eq!(
        (synchronized.code, synchronized.output("changed")),
        (Some(0), "true"),
        "{}",
        synchronized.log
    );
    assert_ne!(images.document(&branch, "one"), first);
    let sent = images.registry.received_bytes() - bytes;
    assert!((1..20_000).contains(&sent), "{sent} bytes");
    let comment = images.scene.comment();
    assert!(comment.contains("/actions/runs/1002/"), "one comment, of the newer run: {comment}");

    // Closed: the registry is not asked.
    let requests = images.registry.requests().len();
    let closed = images.pulled("1003", "closed");
    assert_eq!((closed.code, closed.output("result")), (Some(0), "closed"), "{}", closed.log);
    assert_eq!(images.registry.requests().len(), requests);
    images.assert_law("at the end");
    images.scene.assert_clean();
}

fn opening(step: Step<'_>) -> Step<'_> {
    step.event("pull_request", &pull_request("opened"))
}

#[test]
fn jobs_of_a_matrix_push_their_images_and_share_a_comment() {
    // Two sets of packages, so two jobs.
    let names = ["a", "b", "c", "d"];
    let locations = [("a", "extra==1"), ("b", "extra==1"), ("c", "extra==2"), ("d", "extra==2")];
    let images = Images::with_basic_auth(&locations);
    let planned = opening(images.step().with("INPUT_COMMAND", "plan").with("INPUT_SHARDS", "2")).run();
    let matrix = planned.json("matrix");
    let shares: Vec<&str> =
        matrix["include"].as_array().unwrap().iter().map(|job| job["locations"].as_str().unwrap()).collect();
    assert_eq!(shares.len(), 2, "{matrix}");
    let ran: Vec<Ran> = std::thread::scope(|scope| {
        let jobs: Vec<_> = shares
            .iter()
            .map(|share| {
                let step = opening(images.step().with("INPUT_LOCATIONS", share));
                scope.spawn(|| step.run())
            })
            .collect();
        jobs.into_iter().map(|job| job.join().unwrap()).collect()
    });
    let mut built = Vec::new();
    for (share, ran) in shares.iter().zip(&ran) {
        assert_eq!((ran.code, ran.output("result")), (Some(0), "success"), "{}", ran.log);
        let outputs = ran.json("images");
        let outputs = outputs.as_object().unwrap();
        let own: Vec<&str> = share.split('\n').collect();
        assert_eq!(outputs.keys().map(String::as_str).collect::<Vec<_>>(), own, "the job's own");
        built.extend(outputs.keys().cloned());
        images.assert_silent(ran);
    }
    built.sort();
    assert_eq!(built, names);
    let comment = images.scene.comment();
    assert!(comment.contains("✅ Deployed 4 code locations to"), "{comment}");
    for name in names {
        assert!(
            comment.contains(&format!("/locations/{name}) | loaded | `{}", images.registry.host())),
            "{comment}"
        );
    }
    images.assert_law("after both jobs");
    // Also of the plan, which must not ask for PEX files where there are none.
    images.scene.assert_clean();
}

/// When a run is cancelled.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// Something is built.
    Build,
    /// The registry has had so many requests.
    Requests(usize),
    /// A manifest is written.
    Manifest,
    /// Dagster+ is asked to update.
    Update,
    /// The load is awaited.
    Wait,
}

impl Moment {
    fn has_come(self, images: &Images, running: &Running) -> bool {
        let requests = || images.registry.requests();
        match self {
            Moment::Build => running.log().contains("::group::Build"),
            Moment::Requests(count) => requests().len() >= count,
            Moment::Manifest => {
                requests().iter().any(|line| line.starts_with("PUT") && line.contains("/manifests/"))
            }
            Moment::Update => images.scene.dagster.journal().count("deployLocations") > 0,
            Moment::Wait => running.log().contains("waiting to load"),
        }
    }
}

#[test]
fn a_cancelled_run_leaves_no_document_without_its_image() {
    let moments = [
        (Moment::Build, Signal::INT),
        (Moment::Requests(2), Signal::TERM),
        (Moment::Requests(9), Signal::INT),
        (Moment::Requests(15), Signal::TERM),
        (Moment::Manifest, Signal::INT),
        (Moment::Update, Signal::TERM),
        (Moment::Wait, Signal::INT),
    ];
    std::thread::scope(|scope| {
        for (moment, signal) in moments {
            scope.spawn(move || cancel_at(moment, signal));
        }
    });
}

fn cancel_at(moment: Moment, signal: Signal) {
    // Slow enough that most moments are met, and others lie between them.
    let slow = |_: &crate::support::fault_registry::Request| {
        std::thread::sleep(Duration::from_millis(15));
        None
    };
    let registry = FaultRegistry::with_faults(Ways { auth: Auth::Token, ..Ways::default() }, slow);
    let dagster = json!({
        "deployments": [{"name": "prod", "agent_type": "HYBRID"}], "latency_seconds": 0.1,
        "load": {"*": {"never": true}},
    });
    let images = Images::new(registry, &[("one", "extra==1"), ("two", "")], dagster);
    let temp = images.scene.dir.path().join("temp");
    std::fs::create_dir(&temp).unwrap();
    let step = images.step().with("TMPDIR", temp.to_str().unwrap());
    let mut running = step.event("pull_request", &pull_request("synchronize")).start();
    while !moment.has_come(&images, &running) {
        assert!(running.is_there(), "{moment:?}: it ended first: {}", running.log());
        std::thread::sleep(Duration::from_millis(2));
    }
    running.send(signal);
    let ran = running.finish();
    let what = format!("{moment:?}: {}", ran.log);
    let code = if signal == Signal::INT { 130 } else { 143 };
    assert_eq!((ran.code, ran.output("result")), (Some(code), "cancelled"), "{what}");
    images.assert_law(&what);
    images.assert_silent(&ran);
    // Log, output, summary and comment say the same, and it is true.
    let said = ran.log.lines().find_map(|line| line.strip_prefix("interrupted: ")).expect(&what);
    assert_eq!(ran.output("reason"), said, "{what}");
    let plain = |text: &str| text.replace(['\\', '`'], "");
    assert!(plain(&ran.summary).contains(&plain(said)), "{what}\n{}", ran.summary);
    assert!(plain(images.scene.github.bodies().last().expect(&what)).contains(&plain(said)), "{what}");
    let updated = images.scene.dagster.journal().count("deployLocations") > 0;
    assert_eq!(
        said.contains("updated but not seen to load") || said.contains("may or may not"),
        updated,
        "{what}"
    );
    let left: Vec<_> = std::fs::read_dir(&temp).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().starts_with("pexpress-")), "{what}: {left:?}");
}
