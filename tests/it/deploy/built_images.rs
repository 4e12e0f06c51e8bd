//! `deploy` of code locations that run from images: built, pushed to a strict registry, and deployed.

use crate::deploy::whole::{Ran, TO_PROD, ran};
use crate::image::base::Base;
use crate::support::fault_registry::{Auth, FaultRegistry, Trouble, USER, Ways};
use crate::support::pexpress_with_uv;
use crate::support::said::{messages, plain};
use crate::support::small_project::write_project;
use crate::support::standin::Standin;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// A project, a base image next to it, and Dagster+.
struct Scene {
    standin: Standin,
    dir: tempfile::TempDir,
}

impl Scene {
    fn new(config: Value, locations: &[(&str, &str)]) -> Scene {
        let dir = tempfile::tempdir().unwrap();
        write_project(dir.path(), locations);
        Base::official("3.11").write(&dir.path().join("base"));
        Scene { standin: Standin::start(config), dir }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = pexpress_with_uv();
        self.standin.point(&mut command).current_dir(self.dir.path()).stdin(Stdio::null());
        command.args(["deploy", "dagster_cloud.yaml", "out", "--upload", "--update"]);
        command.args(["--python-version", "3.11", "--base-image", "oci:base", "--no-image-bytecode"]);
        command.args(TO_PROD).args(args);
        command
    }

    fn deploy(&self, args: &[&str]) -> Ran {
        ran(&mut self.command(args))
    }

    fn document(&self, name: &str) -> Value {
        self.standin.state()["deployments"]["prod"]["locations"][name].clone()
    }

    /// Give the code location a registry of its own in the project file.
    fn registry_of(&self, name: &str, registry: &str) {
        let path = self.dir.path().join("dagster_cloud.yaml");
        let text = std::fs::read_to_string(&path).unwrap();
        let entry = format!("{{directory: {name}}}");
        assert!(text.contains(&entry));
        std::fs::write(path, text.replace(&entry, &format!("{{directory: {name}, registry: {registry}}}")))
            .unwrap();
    }
}

fn hybrid() -> Value {
    json!({"deployments": [{"name": "prod", "agent_type": "HYBRID"}]})
}

fn registry(auth: Auth) -> FaultRegistry {
    FaultRegistry::new(Ways { auth, ..Ways::default() })
}

/// What is said, without the widths of columns, which follow from times.
fn words(ran: &Ran, host: &str, dir: &Path) -> String {
    let text = plain(&ran.stderr).replace(host, "[REGISTRY]").replace(&dir.display().to_string(), "[DIR]");
    let lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_hybrid_code_location_is_built_pushed_and_deployed() {
    let registry = registry(Auth::Open);
    let scene = Scene::new(hybrid(), &[("one", "")]);
    scene.registry_of("one", &format!("{}/acme/app", registry.host()));
    let first = scene.deploy(&[]);
    assert_eq!((first.code, first.state("one")), (Some(0), "loaded"), "{}", first.stderr);
    let reported = &first.document["locations"][0];
    let digest = reported["digest"].as_str().unwrap();
    let tag = format!("one-{}", &digest["sha256:".len()..][..16]);
    let reference = format!("{}/acme/app:{tag}", registry.host());
    assert_eq!((&reported["image"], &reported["reference"]), (&json!(reference), &json!(reference)));
    assert!(
        reported["sent_bytes"].as_u64().unwrap() > 0 && reported["requests"].as_u64().unwrap() > 0,
        "{reported}"
    );
    // The directory is that of the project, as in every report.
    assert!(Path::new(reported["layout"].as_str().unwrap()).join("index.json").is_file(), "{reported}");
    assert!(
        Path::new(reported["directory"].as_str().unwrap()).join("requirements.txt").is_file(),
        "{reported}"
    );
    assert_eq!(reported["layers"].as_array().unwrap().last().unwrap()["what"], "source");
    let document = scene.document("one");
    assert_eq!(
        (&document["image"], document.get("pex_metadata"), document.get("build")),
        (&json!(reference), None, None)
    );
    assert_eq!(registry.tag("acme/app", &tag).as_deref(), Some(digest));
    assert_eq!(registry.tag("acme/app", "one-ab12").as_deref(), Some(digest), "the commit's tag");
    assert_eq!(registry.problems(), [] as [String; 0]);
    scene.standin.journal().assert_clean();

    // Nothing has changed: nothing is sent.
    let before = (registry.requests().len(), registry.received_bytes());
    let again = scene.deploy(&["--changed-only"]);
    assert_eq!((again.code, again.state("one")), (Some(0), "unchanged"), "{}", again.stderr);
    assert_eq!(registry.received_bytes(), before.1);
    assert!(registry.requests().len() - before.0 <= 10, "{:#?}", &registry.requests()[before.0..]);
    assert_eq!(again.document["locations"][0]["sent_bytes"], 0);
}

#[test]
fn the_log_says_what_is_built_and_why() {
    let registry = registry(Auth::Open);
    let scene = Scene::new(hybrid(), &[("one", "")]);
    scene.registry_of("one", &format!("{}/acme/app", registry.host()));
    let ran = scene.deploy(&[]);
    insta::assert_snapshot!(words(&ran, &registry.host(), scene.dir.path()), @r#"
    Deploying to the deployment prod (http://127.0.0.1:[PORT]/prod/locations)
    one → an image in 127.0.0.1:[PORT]/acme/app: `build.registry` is set
    Base image: oci:base (Python 3.11 at /usr/local/bin/python3.11)
    code location image layers size new sent time
    one 127.0.0.1:[PORT]/acme/app:one-7cf94d714cf732ba 4 [SIZE] 315 B [SIZE] [TIME]
    waiting to load: one ([TIME])
    one: loaded after [TIME]
    code location state image
    one loaded 127.0.0.1:[PORT]/acme/app:one-7cf94d714cf732ba
    "#);
}

/// A dry run spoke of distributions alone.
#[test]
fn a_dry_run_says_how_each_would_be_deployed() {
    let scene = Scene::new(hybrid(), &[("one", ""), ("two", "")]);
    scene.registry_of("one", "r.example/acme/app");
    let ran = scene.deploy(&["--dry-run"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    insta::assert_snapshot!(words(&ran, "-", scene.dir.path()), @"one → an image in r.example/acme/app: `build.registry` is set");
    let strategies = ran.document["locations"].as_array().unwrap().iter().map(|one| &one["strategy"]);
    // Without a registry, Dagster+ decides, and a dry run asks nobody.
    assert_eq!(strategies.collect::<Vec<_>>(), [&json!("image"), &json!(null)]);
    assert_eq!(scene.standin.journal().calls(), [] as [&str; 0]);

    let ran = scene.deploy(&["--dry-run", "--strategy", "pex", "--image-registry", "r.example/acme/app"]);
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
}

/// They were said of images too, with advice that is an error for those.
#[test]
fn what_pex_files_lack_is_not_said_of_images() {
    let scene = Scene::new(json!({}), &[("one", ""), ("two", ""), ("three", "")]);
    scene.registry_of("one", "r.example/acme/app");
    let apt = "FROM python:3.11\nRUN apt-get install -y git\n";
    for (directory, text) in [("one", apt), ("two", apt), ("three", "FROM python:3.11\n")] {
        std::fs::write(scene.dir.path().join(directory).join("Dockerfile"), text).unwrap();
    }
    let said = |args: &[&str]| {
        let ran = scene.deploy(&[&["--dry-run", "--ignore-dockerfile"], args].concat());
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        words(&ran, "no host", scene.dir.path())
    };
    insta::assert_snapshot!(said(&[]), @r"
    warning: two/Dockerfile:2: the system packages of this file (`git`) will not be there for PEX files, which run on Dagster's own image: if the code needs them, use a base image that has them (--base-image-tag, input `base_image_tag`); else name the file in .pexignore
    `three/Dockerfile` is not used for PEX files, which run on Dagster's own image
    one → an image in r.example/acme/app: `build.registry` is set
    ");
    for args in [&["--image-registry", "r.example/acme/app"][..], &["--strategy", "image"]] {
        assert!(!said(args).contains("PEX"), "{args:?}: {}", said(args));
    }
}

/// Both passed, and the deploy refused the steps.
#[test]
fn check_and_a_dry_run_refuse_what_needs_docker() {
    let scene = Scene::new(json!({}), &[("one", ""), ("two", "")]);
    scene.registry_of("one", "r.example/acme/app");
    let text = "FROM python:3.11\nRUN apt-get install -y git\nENTRYPOINT [\"tini\"]\n";
    for name in ["one", "two"] {
        std::fs::write(scene.dir.path().join(name).join("Dockerfile"), text).unwrap();
    }
    let said = |text: &str| {
        let text = text.replace(&scene.dir.path().display().to_string(), "[DIR]");
        text.split_once("error: ").map(|(_, error)| error.to_string())
    };
    let mut check = pexpress_with_uv();
    let check = check.current_dir(scene.dir.path()).arg("check").output().unwrap();
    assert_eq!(check.status.code(), Some(1));
    let checked = said(&String::from_utf8_lossy(&check.stderr)).unwrap();
    insta::assert_snapshot!(checked, @r#"
    these steps cannot be done without Docker:
      one/Dockerfile:2: RUN apt-get install -y git
        put it into a base image of your own: a Dockerfile with FROM and this step, built when it changes
      one/Dockerfile:3: ENTRYPOINT ["tini"]
        the image has no entry point: agents start the code server with a command of their own; move what the entry point prepares into the code
      at: one/Dockerfile:2
    hint: make these changes, or build without these steps with --ignore-dockerfile
    one → an image in r.example/acme/app: `build.registry` is set
    "#);
    let ran = scene.deploy(&["--dry-run"]);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    let dry = said(&plain(&ran.stderr)).unwrap();
    assert!(dry.contains("one/Dockerfile:2: RUN apt-get") && !dry.contains("two/"), "{dry}");
    for passing in ["--ignore-dockerfile", "--strategy=image", "--strategy=pex"] {
        let ran = scene.deploy(&["--dry-run", passing]);
        assert_eq!(ran.code, Some(0), "{passing}: {}", ran.stderr);
    }
}

#[test]
fn serverless_with_harbor_gets_an_image_in_the_organizations_registry() {
    let registry = registry(Auth::Basic);
    let token = STANDARD.encode(format!("{}:{}", USER.0, USER.1));
    let url = format!("{}/project/depl", registry.host());
    let serverless = json!({"is_harbor": true, "registry_url": url, "auth_token": token});
    let scene = Scene::new(json!({"serverless": serverless}), &[("My One", "")]);
    let ran = scene.deploy(&[]);
    assert_eq!((ran.code, ran.state("My One")), (Some(0), "loaded"), "{}", ran.stderr);
    let image = scene.document("My One")["image"].as_str().unwrap().to_string();
    // A repository of its own, whose name every registry takes.
    let (repository, tag) = image.rsplit_once(':').unwrap();
    let component = repository.strip_prefix(&format!("{url}/")).unwrap();
    assert!(component.starts_with("my-one-") && component.len() == "my-one-".len() + 6, "{image}");
    assert!(registry.tag(&format!("project/depl/{component}"), tag).is_some());
    assert_eq!(registry.problems(), [] as [String; 0]);
    assert!(!(ran.stderr + &ran.document.to_string()).contains("canary"));
    assert_eq!(scene.standin.journal().count("generateServerlessPexUrl"), 0);
}

#[test]
fn a_refused_push_updates_nothing() {
    let registry = FaultRegistry::with_faults(Ways::default(), |request| {
        (request.method == "PUT").then_some(Trouble::Status(403, None))
    });
    let scene = Scene::new(hybrid(), &[("one", "")]);
    scene.registry_of("one", &format!("{}/acme/app", registry.host()));
    let ran = scene.deploy(&[]);
    assert_eq!((ran.code, ran.state("one")), (Some(3), "not_published"), "{}", ran.stderr);
    assert_eq!(scene.document("one"), Value::Null);
    assert_eq!(registry.tags(), []);
    let home = std::env::var("HOME").unwrap();
    insta::assert_snapshot!(messages(&ran.stderr).replace(&home, "[HOME]"), @r#"
    error: the code location `one` was not updated, since its image could not be pushed
      caused by: could not send sha256:[HASH] to `127.0.0.1:[PORT]/acme/app`: 127.0.0.1:[PORT] answered 403 (TOOMANYREQUESTS: later)
    hint: no credentials for 127.0.0.1:[PORT] were found in PEXPRESS_REGISTRY_USERNAME and PEXPRESS_REGISTRY_PASSWORD, `[HOME]/.config/containers/auth.json` (the home directory), `[HOME]/.docker/config.json` (the home directory): run `docker login 127.0.0.1:[PORT]`, or set PEXPRESS_REGISTRY_USERNAME and PEXPRESS_REGISTRY_PASSWORD for the registry that is pushed to
    error: 1 of 1 code locations could not be deployed: one
    "#);
}

/// It is about the image below PEX files, and stays in the environment when a workflow moves to images.
#[test]
fn a_variable_about_the_image_of_pex_files_is_for_those_alone() {
    let registry = registry(Auth::Open);
    let scene = Scene::new(hybrid(), &[("one", "")]);
    scene.registry_of("one", &format!("{}/acme/app", registry.host()));
    let ran = ran(scene.command(&[]).env("SERVERLESS_BASE_IMAGE_TAG", "v1"));
    assert_eq!((ran.code, ran.state("one")), (Some(0), "loaded"), "{}", ran.stderr);
    assert!(scene.document("one")["image"].as_str().unwrap().contains("/acme/app:one-"));
}

/// Nothing is built for it, so nothing is asked about its requirements.
#[test]
fn an_entry_with_its_own_image_needs_no_project() {
    let registry = registry(Auth::Open);
    let scene = Scene::new(hybrid(), &[("one", "")]);
    scene.registry_of("one", &format!("{}/acme/app", registry.host()));
    let path = scene.dir.path().join("dagster_cloud.yaml");
    let text = std::fs::read_to_string(&path).unwrap();
    let entry =
        "  - {location_name: pre, code_source: {module_name: pre}, image: '127.0.0.1:9/acme/pre:v1'}\n";
    std::fs::write(path, text + entry).unwrap();
    let ran = scene.deploy(&[]);
    assert_eq!(
        (ran.code, ran.state("one"), ran.state("pre")),
        (Some(0), "loaded", "loaded"),
        "{}",
        ran.stderr
    );
    assert_eq!(scene.document("pre")["image"], "127.0.0.1:9/acme/pre:v1");
    // Where PEX files run, its code has to come from somewhere.
    let serverless = Scene::new(json!({}), &[("one", "")]);
    let path = serverless.dir.path().join("dagster_cloud.yaml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(path, text + entry).unwrap();
    let ran = serverless.deploy(&[]);
    assert!(ran.code == Some(1) && ran.stderr.contains("has no requirements.txt"), "{}", ran.stderr);
}

#[test]
fn an_image_that_is_only_built_is_named_by_its_layout() {
    let scene = Scene::new(hybrid(), &[("one", "")]);
    let mut command = pexpress_with_uv();
    command.current_dir(scene.dir.path()).stdin(Stdio::null());
    command.args(["deploy", "dagster_cloud.yaml", "out", "--strategy", "image", "--python-version", "3.11"]);
    let ran = crate::support::run(command.args(["--base-image", "oci:base", "--no-image-bytecode"]));
    let text = String::from_utf8(ran.stdout).unwrap();
    let (name, place) = text.trim_end().split_once('\t').unwrap();
    assert_eq!(name, "one");
    assert!(Path::new(place).ends_with("out/one") && Path::new(place).join("index.json").is_file(), "{text}");
}

#[test]
fn one_run_deploys_pex_files_and_images() {
    let registry = registry(Auth::Open);
    let scene = Scene::new(json!({}), &[("pex", ""), ("image", "")]);
    scene.registry_of("image", &format!("{}/acme/app", registry.host()));
    let ran = scene.deploy(&[]);
    assert_eq!(
        (ran.code, ran.state("pex"), ran.state("image")),
        (Some(0), "loaded", "loaded"),
        "{}",
        ran.stderr
    );
    assert!(scene.document("pex")["pex_metadata"]["pex_tag"].is_string());
    assert_eq!(scene.document("pex").get("image"), None);
    assert_eq!(scene.document("image").get("pex_metadata"), None);
    assert!(scene.document("image")["image"].as_str().unwrap().contains("/acme/app:image-"));
    // One call and one wait for both.
    assert_eq!(scene.standin.journal().count("deployLocations"), 1);
    scene.standin.journal().assert_clean();
}

#[test]
fn an_image_that_is_not_built_leaves_the_others_alone() {
    let registry = registry(Auth::Open);
    let scene = Scene::new(hybrid(), &[("good", ""), ("bad", "there-is-no-such-package")]);
    let repository = format!("{}/acme/app", registry.host());
    let ran = scene.deploy(&["--image-registry", &repository]);
    assert_eq!((ran.code, ran.state("good")), (Some(1), "loaded"), "{}", ran.stderr);
    assert_eq!(scene.document("bad"), Value::Null);
    let errors = ran.document["locations"][1]["errors"].to_string();
    assert!(errors.contains("there-is-no-such-package"), "{errors}");
}

/// The second run removed what the first one was about to push.
#[test]
fn runs_at_once_share_an_output_directory() {
    let mut waits = true;
    let registry = FaultRegistry::with_faults(Ways::default(), move |request| {
        let is_first = request.method == "PUT" && std::mem::take(&mut waits);
        is_first.then_some(Trouble::Status(503, Some(3)))
    });
    let scene = Scene::new(hybrid(), &[("one", "")]);
    scene.registry_of("one", &format!("{}/acme/app", registry.host()));
    let mut first = scene.command(&[]);
    let mut first = first.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    while !registry.requests().iter().any(|request| request.contains("PUT")) {
        assert!(first.try_wait().unwrap().is_none(), "it ended first");
        std::thread::sleep(Duration::from_millis(5));
    }
    std::fs::write(scene.dir.path().join("one/defs.py"), "name = 'changed'\n").unwrap();
    let second = scene.deploy(&[]);
    let said = String::from_utf8(first.wait_with_output().unwrap().stderr).unwrap();
    assert!(!said.contains("could not be pushed"), "{said}");
    assert_eq!((second.code, second.state("one")), (Some(0), "loaded"), "{}", second.stderr);
    assert_eq!(registry.problems(), [] as [String; 0]);
}

/// The dagster of these tests is a stand-in, which no code location can be loaded with.
#[test]
fn an_image_that_does_not_load_here_is_not_pushed_unless_it_may_load_elsewhere() {
    let registry = registry(Auth::Open);
    let scene = Scene::new(hybrid(), &[("one", "")]);
    scene.registry_of("one", &format!("{}/acme/app", registry.host()));
    let ran = scene.deploy(&["--verify"]);
    assert_eq!((ran.code, ran.state("one")), (Some(1), "not_deployed"), "{}", ran.stderr);
    assert!(ran.stderr.contains("the code location `one` does not load here"), "{}", ran.stderr);
    assert_eq!((registry.tags(), registry.requests()), (vec![], vec![]));
    assert_eq!(scene.document("one"), Value::Null);
    assert!(ran.document["verified"][0]["error"].is_string(), "{}", ran.document);

    let ran = scene.deploy(&["--verify=auto"]);
    assert_eq!((ran.code, ran.state("one")), (Some(0), "loaded"), "{}", ran.stderr);
    assert!(ran.stderr.contains("one does not load here, but may load elsewhere"), "{}", ran.stderr);
    // It runs this very image now.
    let ran = scene.deploy(&["--verify=auto"]);
    assert!(!ran.stderr.contains("does not load here"), "{}", ran.stderr);
    // A lock file decided the dependencies.
    crate::support::small_project::write_lock(scene.dir.path());
    std::fs::write(scene.dir.path().join("one/defs.py"), "name = 'changed'\n").unwrap();
    let ran = scene.deploy(&["--verify=auto"]);
    assert!(ran.code == Some(0) && !ran.stderr.contains("does not load here"), "{}", ran.stderr);
}

#[test]
fn without_dagster_an_image_layout_is_the_result() {
    let scene = Scene::new(json!({}), &[("one", "")]);
    let mut command = pexpress_with_uv();
    command.current_dir(scene.dir.path()).stdin(Stdio::null());
    command.args(["deploy", "dagster_cloud.yaml", "out", "--strategy", "image"]);
    command.args(["--python-version", "3.11", "--base-image", "oci:base", "--no-image-bytecode"]);
    let ran = ran(&mut command);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(scene.dir.path().join("out/one/index.json").exists());
    let reported = &ran.document["locations"][0];
    assert_eq!((&reported["reference"], &reported["sent_bytes"]), (&Value::Null, &json!(0)));
}

/// Without Dagster+ the image to run PEX files on was ignored, and another one built.
#[test]
fn an_image_for_pex_files_contradicts_one_that_is_built_also_without_dagster() {
    let scene = Scene::new(json!({}), &[("one", "")]);
    for flag in ["--image", "--base-image-tag"] {
        let mut command = pexpress_with_uv();
        command.current_dir(scene.dir.path()).stdin(Stdio::null());
        command.args(["deploy", "dagster_cloud.yaml", "out", "--strategy", "image", flag, "v1"]);
        command.args(["--python-version", "3.11", "--base-image", "oci:base"]);
        let ran = ran(&mut command);
        assert_eq!(ran.code, Some(2), "{}", ran.stderr);
        let says = format!("{flag} names an image to run PEX files on, and the image of `one` is built here");
        assert!(ran.stderr.contains(&says), "{}", ran.stderr);
        assert!(!scene.dir.path().join("out").exists());
    }
}

/// The lists come from the image that is deployed: its manifest and config, and no layer of it.
#[test]
fn what_changes_in_the_dependencies_of_an_image_is_reported() {
    let registry = registry(Auth::Open);
    let repository = format!("{}/acme/app", registry.host());
    let scene = Scene::new(hybrid(), &[("one", "extra==1"), ("two", "")]);
    let deploy = || scene.deploy(&["--image-registry", &repository]);
    let first = deploy();
    assert_eq!(first.code, Some(0), "{}", first.stderr);
    assert!(!first.document.to_string().contains("image_before"), "{}", first.document);
    assert_eq!(first.document["locations"][0]["dagster_version"], "1.13.27");
    let before = scene.document("one")["image"].clone();

    // One package changes, one comes, and another code location gets a line of code only.
    write_project(scene.dir.path(), &[("one", "extra==2"), ("two", "")]);
    std::fs::write(scene.dir.path().join("two/defs.py"), "name = 'other'\n").unwrap();
    let (requests, bytes) = (registry.requests().len(), registry.received_bytes());
    let second = deploy();
    assert_eq!(second.code, Some(0), "{}", second.stderr);
    let want = json!({"image_before": before, "added": [], "removed": [], "changed": [["extra", "1", "2"]]});
    let [one, two] = [0, 1].map(|at| &second.document["locations"][at]);
    assert_eq!((&one["dependencies"], two.get("dependencies")), (&want, None), "{}", second.stderr);
    let asked = registry.requests()[requests..].to_vec();
    assert!(registry.received_bytes() > bytes, "{asked:#?}");
    let read = |what: &str| {
        asked.iter().filter(|request| request.starts_with("GET") && request.contains(what)).count()
    };
    // Manifest and config of each image: for its layers before the build, where one config has those of both, and for this.
    assert_eq!((read("/manifests/"), read("/blobs/")), (4, 3), "{asked:#?}");
    assert_eq!(registry.problems(), [] as [String; 0]);
}

#[test]
fn an_image_is_compared_with_the_pex_files_before_it() {
    let registry = registry(Auth::Open);
    let scene = Scene::new(json!({}), &[("one", "extra==1")]);
    let first = scene.deploy(&[]);
    assert_eq!((first.code, first.state("one")), (Some(0), "loaded"), "{}", first.stderr);
    write_project(scene.dir.path(), &[("one", "extra==2")]);
    let second = scene.deploy(&["--image-registry", &format!("{}/acme/app", registry.host())]);
    assert_eq!((second.code, second.state("one")), (Some(0), "loaded"), "{}", second.stderr);
    let want = json!({
        "deps_pex_before": first.document["locations"][0]["deps_pex"], "added": [], "removed": [],
        "changed": [["extra", "1", "2"]],
    });
    assert_eq!(second.document["locations"][0]["dependencies"], want, "{}", second.stderr);
}
