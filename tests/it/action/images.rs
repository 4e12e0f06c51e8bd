//! The action with `images` and `image_tag`, for Hybrid deployments: what it deploys, reports and refuses.

use crate::deploy::images::{NO_PROXY_THERE, PROJECT, hybrid};
use crate::support::github_standin::READONLY;
use crate::support::said::{messages, plain};
use crate::support::scene::Scene;
use crate::support::step::{Ran, Step, pull_request};
use serde_json::json;

/// A project with a registry for one of its two code locations, and Hybrid agents.
fn scene() -> Scene {
    let scene = Scene::new(&[], hybrid());
    std::fs::write(scene.dir.path().join("dagster_cloud.yaml"), PROJECT).unwrap();
    scene
}

/// A step that reaches no registry.
fn step(scene: &Scene) -> Step<'_> {
    scene.step().with("HTTPS_PROXY", NO_PROXY_THERE)
}

fn opened(step: Step<'_>) -> Ran {
    step.event("pull_request", &pull_request("opened")).run()
}

#[test]
fn a_pull_request_gets_images_one_comment_outputs_and_a_summary() {
    let scene = scene();
    let images = json!({"two": "ghcr.io/acme/two:v7"});
    let info = json!({"info_mapping": {"key": {"version": "v1", "create_timestamp": 1.5}}});
    std::fs::create_dir(scene.dir.path().join("app")).unwrap();
    std::fs::write(scene.dir.path().join("app/state.json"), info.to_string()).unwrap();
    let started = step(&scene).with("INPUT_IMAGE_TAG", "ab12").with("INPUT_IMAGES", &format!("{images:#}"));
    let started = started
        .with("INPUT_WORKING_DIRECTORY", "app")
        .with("INPUT_DAGSTER_CLOUD_FILE", "../dagster_cloud.yaml");
    let ran = opened(started.with("INPUT_VERIFY", "auto").with("INPUT_DEFS_STATE_INFO", "state.json"));
    assert_eq!((ran.code, ran.output("result")), (Some(0), "success"), "{}", ran.log);
    assert_eq!((ran.output("changed"), ran.output("pex_tags")), ("true", "{}"));
    assert_eq!(ran.json("locations")[0]["image"], "ghcr.io/acme/one:ab12");
    let state = scene.dagster.state();
    let locations = &state["deployments"][ran.output("deployment")]["locations"];
    assert_eq!(locations["two"]["image"], "ghcr.io/acme/two:v7");
    assert_eq!((locations["two"].get("pex_metadata"), &locations["two"]["defs_state_info"]), (None, &info));
    assert!(scene.comment().contains("✅ Deployed 2 code locations to"), "{}", scene.comment());
    assert!(!ran.log.contains("uv"), "{}", ran.log);
    insta::assert_snapshot!(plain(&ran.summary), @r#"
    ### ✅ Deployed 2 code locations to the branch deployment of `feature` · [Open in Dagster+](http://127.0.0.1:[PORT]/[HASH]/locations)

    | | Code location | State | Image |
    |---|---|---|---|
    | ✅ | [`one`](http://127.0.0.1:[PORT]/[HASH]/locations/one) | loaded | `ghcr.io/acme/one:ab12` |
    | ✅ | [`two`](http://127.0.0.1:[PORT]/[HASH]/locations/two) | loaded | `ghcr.io/acme/two:v7` |

    <sub>`feature` · [`2222222`](https://github.example/acme/proj/commit/[HASH]) · [TIME]</sub>
    "#);

    // The step that makes a tag is skipped when a pull request is closed.
    for (input, value) in [
        ("INPUT_IMAGE_TAG", "ab12"),
        ("INPUT_IMAGE_TAG", "-etl"),
        ("INPUT_IMAGES", "one: ghcr.io/acme/one:-etl"),
    ] {
        let closed = step(&scene).with(input, value).event("pull_request", &pull_request("closed")).run();
        assert_eq!((closed.code, closed.output("result")), (Some(0), "closed"), "{}", closed.log);
    }
    scene.assert_clean();
}

#[test]
fn images_that_cannot_be_meant_are_refused_by_their_input() {
    let scene = scene();
    let said = |inputs: &[(&str, &str)]| {
        let step = inputs.iter().fold(step(&scene), |step, (name, value)| step.with(name, value));
        let ran = opened(step);
        assert_eq!((ran.code, ran.output("result")), (Some(2), "failure"), "{}", ran.log);
        messages(&ran.log)
    };
    let errors = [
        said(&[("INPUT_IMAGES", "v7")]),
        said(&[("INPUT_IMAGES", "{\"one\": \"\"}")]),
        said(&[("INPUT_IMAGES", "tow: a:1")]),
        said(&[("INPUT_IMAGES", "two: a:1")]),
        said(&[("INPUT_IMAGE_TAG", "t"), ("INPUT_BASE_IMAGE_TAG", "t")]),
        said(&[("INPUT_IMAGE_TAG", "t"), ("INPUT_REFRESH_DEFS_STATE", "true")]),
    ];
    insta::assert_snapshot!(errors.join("\n\n"), @r#"
    ::error title=pexpress::the input `images` is `v7`: write a line `LOCATION: IMAGE` for each code location, or a JSON object; a tag for all code locations is the input `image_tag`%0Ahint: set inputs under `with:` of the step; docs/action.md lists them

    ::error title=pexpress::the input `images` is `{"one": ""}`: the image of `one` is empty%0Ahint: set inputs under `with:` of the step; docs/action.md lists them

    ::error title=pexpress::the input `images` names the code location `tow`, which is not in `dagster_cloud.yaml`%0Ahint: did you mean `two`?

    ::error title=pexpress,file=dagster_cloud.yaml,line=3,col=5::no image is named for the code location `one`%0A  at: dagster_cloud.yaml:3:5%0Ahint: name their images with the input `images`, or deploy only the others with the input `locations`; one run deploys images or PEX files, not both

    ::error title=pexpress::the input `base_image_tag` is `t`: it is an image to run PEX files on; with `images` or `image_tag`, leave it out%0Ahint: set inputs under `with:` of the step; docs/action.md lists them

    ::error title=pexpress::the input `refresh_defs_state` is `true`: it cannot be used together with `image_tag`%0Ahint: set inputs under `with:` of the step; docs/action.md lists them
    "#);
    assert_eq!(scene.dagster.journal().calls(), [] as [&str; 0]);
}

/// Images have no build that could be done instead of a deploy.
#[test]
fn a_run_that_may_not_deploy_does_nothing_with_images() {
    let scene = scene();
    let mut payload = pull_request("opened");
    payload["pull_request"]["head"]["repo"]["full_name"] = json!("someone/proj");
    let limited = || step(&scene).with("INPUT_IMAGE_TAG", "t").with("INPUT_GITHUB_TOKEN", READONLY);
    let fork = limited().with("INPUT_DAGSTER_CLOUD_API_TOKEN", "").event("pull_request", &payload).run();
    let off = opened(limited().with("INPUT_DEPLOY", "false"));
    for ran in [fork, off] {
        assert_eq!((ran.code, ran.output("result")), (Some(0), "skipped"), "{}", ran.log);
        assert!(!ran.log.contains("::group::Build"), "{}", ran.log);
    }
    assert_eq!(scene.dagster.journal().calls(), [] as [&str; 0]);
}

#[test]
fn plan_names_the_code_locations_whose_image_changed() {
    let scene = scene();
    let push =
        json!({"ref": "refs/heads/main", "repository": {"default_branch": "main", "full_name": "acme/proj"}});
    let tagged = |tag| step(&scene).with("INPUT_IMAGE_TAG", tag);
    let first = tagged("a").event("push", &push).run();
    assert_eq!(first.code, Some(0), "{}", first.log);
    let planned = tagged("b").with("INPUT_COMMAND", "plan").event("push", &push).run();
    assert_eq!(planned.json("matrix")["include"][0]["names"], json!(["one"]), "{}", planned.log);
    let none = tagged("a").with("INPUT_COMMAND", "plan").event("push", &push).run();
    assert_eq!(none.output("matrix"), "", "{}", none.log);
}
