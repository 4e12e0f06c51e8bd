//! Resolution records of images in the action: which runs read which.

use crate::action::recipes::Shop;
use crate::action::records::refusing_uv;
use crate::image::base::Base;
use crate::support::fault_registry::{FaultRegistry, Ways};
use crate::support::scene::Scene;
use crate::support::step::{Ran, Step, pull_request};
use serde_json::json;

/// A project whose images are indexes of two platforms.
struct Project {
    scene: Scene,
    registry: FaultRegistry,
    tools: tempfile::TempDir,
}

impl Project {
    fn new() -> Project {
        let scene = Scene::new(&[("one", ""), ("two", "extra==1")], json!({}));
        let bases = ["amd64", "arm64"].map(|processor| Base::official("3.11").on(processor));
        Base::write_all(&bases, &scene.dir.path().join("base"));
        let (registry, tools) = (FaultRegistry::new(Ways::default()), tempfile::tempdir().unwrap());
        Project { scene, registry, tools }
    }

    fn step(&self, repository: &str) -> Step<'_> {
        let base = format!("oci:{}", self.scene.dir.path().join("base").display());
        let to = format!("{}/{repository}", self.registry.host());
        let step = self.scene.step().with("INPUT_PYTHON_VERSION", "3.11").with("INPUT_BASE_IMAGE", &base);
        let step = step.with("INPUT_IMAGE_REGISTRY", &to).with("INPUT_IMAGE_BYTECODE", "false");
        step.with("INPUT_IMAGE_PLATFORM", "linux/amd64,linux/arm64")
    }

    /// A step whose uv only says that it was asked.
    fn without_uv(&self) -> Step<'_> {
        let uv = refusing_uv(self.tools.path());
        self.step("acme/app").with("PEXPRESS_UV", uv.to_str().unwrap())
    }

    fn records(&self) -> usize {
        let tags = self.registry.tags();
        assert!(tags.iter().all(|(_, is_whole)| *is_whole), "{tags:?}");
        tags.iter().filter(|(tag, _)| tag.contains(":pexpress-resolution-")).count()
    }

    fn write(&self, path: &str, text: &str) {
        std::fs::write(self.scene.dir.path().join(path), text).unwrap();
    }
}

fn push(step: Step<'_>) -> Ran {
    step.event("push", &json!({"ref": "refs/heads/main"})).run()
}

fn request(step: Step<'_>) -> Ran {
    step.event("pull_request", &pull_request("opened")).run()
}

fn assert_deployed(ran: &Ran) {
    assert_eq!((ran.code, ran.output("result")), (Some(0), "success"), "{}", ran.log);
}

fn asked_uv(ran: &Ran) -> bool {
    ran.code != Some(0) && ran.log.contains("uv was asked")
}

#[test]
fn each_platform_and_requirement_set_has_a_record_that_pull_requests_read() {
    let project = Project::new();
    assert_deployed(&push(project.step("acme/app")));
    assert_eq!(project.records(), 4, "two requirement sets on two platforms");
    project.write("one/defs.py", "changed = 1\n");
    let again = push(project.without_uv());
    assert_deployed(&again);
    for name in ["one", "two"] {
        assert_eq!(again.log.matches(&format!("{name}: versions as resolved ")).count(), 1, "{}", again.log);
    }
    let of_request = request(project.without_uv());
    assert_deployed(&of_request);
    assert_eq!(project.records(), 4);
    let plan = push(project.without_uv().with("INPUT_COMMAND", "plan"));
    assert_eq!((plan.code, plan.output("matrix")), (Some(0), ""), "{}", plan.log);
    assert_eq!(project.registry.problems(), [""; 0]);
}

#[test]
fn what_a_pull_request_resolves_is_for_itself() {
    let project = Project::new();
    assert_deployed(&push(project.step("acme/app")));
    let path = project.scene.dir.path().join("one/requirements.txt");
    let lines = std::fs::read_to_string(path).unwrap() + "\nextra>=1\n";
    project.write("one/requirements.txt", &lines);
    assert_deployed(&request(project.step("acme/app")));
    assert_eq!(project.records(), 6);
    assert_deployed(&request(project.without_uv()));
    assert!(asked_uv(&push(project.without_uv())), "merged, and new to main");
    for (input, value) in [("INPUT_CACHE", "false"), ("INPUT_RESOLVE_MAX_AGE", "0")] {
        assert!(asked_uv(&request(project.without_uv().with(input, value))), "{input}");
    }
    assert!(asked_uv(&project.without_uv().event("schedule", &json!({})).run()));
}

/// A package that a build backend makes, also in images: it was built by every push on a fresh runner.
#[test]
fn a_push_of_contents_starts_no_build_backend() {
    let shop = Shop::new();
    let registry = FaultRegistry::new(Ways::default());
    Base::official("3.11").write(&shop.scene.dir.path().join("base"));
    let base = format!("oci:{}", shop.scene.dir.path().join("base").display());
    let to = format!("{}/acme/app", registry.host());
    let with = [
        ("INPUT_IMAGE_REGISTRY", to.as_str()),
        ("INPUT_BASE_IMAGE", &base),
        ("INPUT_PYTHON_VERSION", "3.11"),
        ("INPUT_IMAGE_BYTECODE", "false"),
    ];
    let run = |event: &str, more: &[(&str, &str)]| {
        let payload = match event {
            "push" => json!({"ref": "refs/heads/main"}),
            _ => pull_request("opened"),
        };
        shop.run(event, &payload, &[&with, more].concat())
    };
    assert_eq!(run("push", &[]).1, 1);
    shop.write("shop/__init__.py", "PRICE = 2\n");
    let (put_together, builds) = run("push", &[]);
    assert_eq!(builds, 0, "{}", put_together.log);
    let digest = |ran: &Ran| ran.json("images")["one"]["digest"].clone();
    for more in [("INPUT_RESOLVE_MAX_AGE", "0"), ("INPUT_CACHE", "false")] {
        let (built, builds) = run("push", &[more]);
        assert_eq!((builds, digest(&built)), (1, digest(&put_together)), "{more:?} {}", built.log);
    }
    assert_eq!(run("push", &[("INPUT_COMMAND", "plan")]).1, 0);
    assert_eq!(run("pull_request", &[]).1, 0, "that of its base");
    shop.write("shop/more.py", "MORE = 1\n");
    assert_eq!(run("pull_request", &[]).1, 1);
    assert_eq!(run("pull_request", &[]).1, 0, "its own");
    assert_eq!(run("push", &[]).1, 1, "merged");
    let tags = registry.tags();
    let recipes = tags.iter().filter(|(tag, is_whole)| *is_whole && tag.contains(":pexpress-recipe-"));
    assert_eq!(recipes.count(), 3, "{tags:?}");
    assert_eq!(registry.problems(), [""; 0]);
}
