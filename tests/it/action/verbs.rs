//! Commands of the action that neither build nor deploy, as the runner starts them.

use crate::support::said::{messages, plain};
use crate::support::scene::Scene;
use crate::support::step::{Step, pull_request};
use serde_json::{Value, json};

/// A project, and a full deployment with one code location.
fn scene(runs: &Value) -> Scene {
    let one = json!({"location_name": "one", "code_source": {"package_name": "p"}});
    let jobs = json!({"one": {"__repository__": ["smoke_test"]}});
    Scene::new(
        &[("one", "")],
        json!({"deployments": [{"name": "prod", "locations": [one]}], "jobs": jobs, "runs": runs}),
    )
}

fn pushed<'a>(scene: &'a Scene, command: &str) -> Step<'a> {
    let payload =
        json!({"ref": "refs/heads/main", "repository": {"full_name": "acme/proj", "default_branch": "main"}});
    scene.step().with("INPUT_COMMAND", command).event("push", &payload)
}

fn requested<'a>(scene: &'a Scene, command: &str, action: &str) -> Step<'a> {
    scene.step().with("INPUT_COMMAND", command).event("pull_request", &pull_request(action))
}

#[test]
fn a_branch_deployment_is_named_created_used_and_closed() {
    let scene = scene(&json!({}));
    let named = requested(&scene, "branch-deployment", "opened").run();
    assert_eq!((named.code, named.output("result")), (Some(0), "success"), "{}", named.log);
    assert_eq!((named.output("is_branch_deployment"), named.output("changed")), ("true", "false"));
    let name = named.output("deployment").to_string();
    assert!(named.output("deployment_url").ends_with(&format!("/{name}/locations")));
    assert_eq!(scene.dagster.state()["deployments"][&name], Value::Null);

    let created = requested(&scene, "branch-deployment", "opened").with("INPUT_CREATE", "true").run();
    assert_eq!(
        (created.output("deployment"), created.output("changed")),
        (&*name, "true"),
        "{}",
        created.log
    );
    assert_eq!(scene.dagster.state()["deployments"][&name]["status"], "OPEN");
    // The program is there for steps of the user's own.
    let program = std::process::Command::new(created.output("pexpress")).arg("--version").output().unwrap();
    assert!(String::from_utf8(program.stdout).unwrap().starts_with("pexpress "));

    let closed = requested(&scene, "branch-deployment", "closed").with("INPUT_CLOSE", "true").run();
    assert_eq!((closed.output("deployment"), closed.output("result")), (&*name, "closed"), "{}", closed.log);
    assert_eq!(scene.dagster.state()["deployments"][&name]["status"], "CLOSED");
    let summaries = [named, created, closed].map(|ran| plain(&ran.summary)).join("\n");
    insta::assert_snapshot!(summaries, @r#"
    ### Branch deployment [`[HASH]`](http://127.0.0.1:[PORT]/[HASH]/locations) of the branch `feature`
    ### ✅ Created or updated [`[HASH]`](http://127.0.0.1:[PORT]/[HASH]/locations) of the branch `feature`
    ### 🔒 Closed [`[HASH]`](http://127.0.0.1:[PORT]/[HASH]/locations) of the branch `feature`
    "#);
    assert_eq!(scene.github.bodies(), [""; 0], "no comment");
    scene.assert_clean();
}

#[test]
fn a_push_gets_the_name_of_its_full_deployment() {
    let scene = scene(&json!({}));
    let ran = pushed(&scene, "branch-deployment").with("INPUT_CREATE", "true").run();
    assert_eq!(
        (ran.output("deployment"), ran.output("is_branch_deployment")),
        ("prod", "false"),
        "{}",
        ran.log
    );
    assert_eq!(scene.dagster.journal().count("createOrUpdateBranchDeployment"), 0);
}

#[test]
fn status_has_the_code_locations_as_output_and_summary() {
    let scene = scene(&json!({}));
    let ran = pushed(&scene, "status").run();
    assert_eq!((ran.code, ran.output("deployment")), (Some(0), "prod"), "{}", ran.log);
    assert_eq!(
        (&ran.json("locations")[0]["name"], &ran.json("locations")[0]["state"]),
        (&json!("one"), &json!("loaded"))
    );
    assert!(ran.summary.contains("/prod/locations)") && ran.summary.contains("loaded"), "{}", ran.summary);
    assert!(ran.log.contains("loaded"), "{}", ran.log);
    scene.dagster.control("remove-location", &json!("one"));
    let empty = pushed(&scene, "status").run();
    assert!(
        empty.summary.ends_with("/prod/locations)\n\nThere are no code locations\n"),
        "{}",
        empty.summary
    );
}

/// It named the full deployments as what to choose from.
#[test]
fn a_pull_request_without_a_branch_deployment_is_told_how_to_get_one() {
    let scene = scene(&json!({}));
    let ran = requested(&scene, "status", "opened").run();
    assert_eq!((ran.code, ran.output("result")), (Some(2), "failure"), "{}", ran.log);
    insta::assert_snapshot!(plain(&messages(&ran.log)), @"::error title=pexpress::there is no branch deployment `[HASH]`%0Ahint: deploy the branch first, or create its deployment in a step before with `command: branch-deployment` and `create: true`; for another deployment use the input `deployment`");
}

#[test]
fn code_locations_are_redeployed() {
    let scene = scene(&json!({}));
    let ran = pushed(&scene, "redeploy").with("INPUT_LOCATIONS", "one").run();
    assert_eq!(
        (ran.code, ran.output("result"), ran.output("changed")),
        (Some(0), "success", "true"),
        "{}",
        ran.log
    );
    assert_eq!(ran.json("locations"), json!([{"name": "one", "state": "loaded", "error": null}]));
    let unknown = pushed(&scene, "redeploy").with("INPUT_LOCATIONS", "ones").run();
    assert_eq!((unknown.code, unknown.output("result")), (Some(2), "failure"), "{}", unknown.log);
    scene.assert_clean();
}

#[test]
fn a_job_is_launched_in_the_branch_deployment_of_the_pull_request() {
    let scene = scene(&json!({}));
    let created = requested(&scene, "branch-deployment", "opened").with("INPUT_CREATE", "true").run();
    let name = created.output("deployment").to_string();
    let launch = |scene: &Scene| {
        requested(scene, "launch", "synchronize")
            .with("INPUT_JOB", "smoke_test")
            .with("INPUT_LOCATIONS", "one")
            .run()
    };
    let missing = launch(&scene);
    assert_eq!((missing.code, missing.output("result")), (Some(2), "failure"), "{}", missing.log);
    assert!(
        missing.output("reason").contains(&format!("`{name}` has no code location `one`")),
        "{}",
        missing.log
    );
    assert_eq!(scene.dagster.journal().count("launchRun"), 1);
}

/// Anyone may have started such a run, and `prod` was redeployed.
#[test]
fn a_run_with_code_of_others_changes_no_full_deployment_that_it_does_not_name() {
    let scene = scene(&json!({}));
    for command in ["redeploy", "launch"] {
        let step = scene.step().with("INPUT_COMMAND", command).with("INPUT_LOCATIONS", "one");
        let step = step.with("INPUT_JOB", if command == "launch" { "smoke_test" } else { "" });
        let ran = step.event("pull_request_target", &pull_request("opened")).run();
        assert_eq!((ran.code, ran.output("result")), (Some(2), "failure"), "{}", ran.log);
        assert!(ran.output("reason").contains("does not name the pull request"), "{}", ran.log);
    }
    assert_eq!(scene.dagster.journal().calls(), [""; 0]);
}

#[test]
fn a_run_has_its_id_and_page_as_outputs_whatever_its_end() {
    let scene = scene(&json!({"smoke_test": {"states": ["FAILURE"]}}));
    let launch = |wait: &str| {
        let config = r#"{"ops": {"a": {"config": {"password": "hunter2hunter2"}}}}"#;
        let step = pushed(&scene, "launch").with("INPUT_JOB", "smoke_test").with("INPUT_LOCATIONS", "one");
        step.with("INPUT_WAIT", wait)
            .with("INPUT_RUN_CONFIG", config)
            .with("INPUT_RUN_TAGS", r#"{"a": "b"}"#)
            .run()
    };
    let launched = launch("false");
    assert_eq!((launched.code, launched.output("result")), (Some(0), "success"), "{}", launched.log);
    let failed = launch("true");
    assert_eq!((failed.code, failed.output("result")), (Some(1), "failure"), "{}", failed.log);
    assert_ne!(failed.output("run_id"), launched.output("run_id"));
    assert!(failed.output("run_url").ends_with(&format!("/prod/runs/{}", failed.output("run_id"))));
    for ran in [&launched, &failed] {
        assert!(!format!("{ran:?}").contains("hunter2"), "{ran:?}");
    }
    insta::assert_snapshot!([launched.summary, failed.summary].map(|text| plain(&text)).join("\n"), @r#"
    ### 🚀 Launched [`smoke_test`](http://127.0.0.1:[PORT]/prod/runs/00000000-0000-4000-8000-000000000002) in [`prod`](http://127.0.0.1:[PORT]/prod/locations)
    ### ❌ Failed

    ```text
    error: the run of `smoke_test` failed: http://127.0.0.1:[PORT]/prod/runs/00000000-0000-4000-8000-000000000003
    ```

    <sub>[TIME]</sub>
    "#);
    scene.assert_clean();
}

#[test]
fn what_is_missing_is_an_input() {
    let scene = scene(&json!({}));
    let said = [
        pushed(&scene, "launch").with("INPUT_LOCATIONS", "one"),
        pushed(&scene, "launch").with("INPUT_JOB", "smoke_test"),
        pushed(&scene, "launch").with("INPUT_JOB", "smoke_test").with("INPUT_LOCATIONS", "one,two"),
        pushed(&scene, "launch")
            .with("INPUT_JOB", "j")
            .with("INPUT_LOCATIONS", "one")
            .with("INPUT_RUN_CONFIG", "hunter2"),
        pushed(&scene, "branch-deployment").with("INPUT_CREATE", "true").with("INPUT_CLOSE", "true"),
    ]
    .map(|step| {
        let ran = step.run();
        assert_eq!((ran.code, ran.output("result")), (Some(2), "failure"), "{}", ran.log);
        messages(&ran.log)
    });
    insta::assert_snapshot!(said.join("\n"), @r#"
    ::error title=pexpress::the input `job` is missing: the command `launch` needs the name of a job%0Ahint: set inputs under `with:` of the step; docs/action.md lists them
    ::error title=pexpress::the input `locations` is missing: the command `launch` needs the name of one code location%0Ahint: set inputs under `with:` of the step; docs/action.md lists them
    ::error title=pexpress::the input `locations` is `one, two`: the command `launch` needs the name of one code location%0Ahint: set inputs under `with:` of the step; docs/action.md lists them
    ::error title=pexpress::the input `run_config` cannot be used: line 1, column 1: not JSON%0Ahint: write a JSON object, such as {"ops": {…}}
    ::error title=pexpress::the input `close` is `true`: it cannot be set together with `create`%0Ahint: set inputs under `with:` of the step; docs/action.md lists them
    "#);
}

/// A fork of a template was red with its first push.
#[test]
fn a_repository_without_settings_is_skipped_with_a_notice() {
    let scene = scene(&json!({}));
    let nothing = |command: &str| {
        let step = pushed(&scene, command).with("DAGSTER_CLOUD_URL", "");
        step.with("INPUT_DAGSTER_CLOUD_API_TOKEN", "").with("INPUT_JOB", "j").with("INPUT_LOCATIONS", "one")
    };
    let deploy = nothing("deploy").run();
    insta::assert_snapshot!(messages(&deploy.log), @"::notice title=Nothing was deployed::Neither a token nor an address of Dagster+ is set in this repository, so there was nothing to do. To deploy from it, add the secret DAGSTER_CLOUD_API_TOKEN (Settings → Secrets and variables → Actions), give it to this step as `dagster_cloud_api_token`, and name the organization with `organization`.");
    for command in ["deploy", "launch", "status", "branch-deployment"] {
        let ran = nothing(command).run();
        assert_eq!((ran.code, ran.output("result")), (Some(0), "skipped"), "{command}: {}", ran.log);
        assert_eq!(ran.output("reason"), deploy.output("reason"));
        let required = nothing(command).with("INPUT_REQUIRE_DEPLOY", "true").run();
        assert_eq!(
            (required.code, required.output("result")),
            (Some(2), "failure"),
            "{command}: {}",
            required.log
        );
    }
    let half = nothing("deploy").with("INPUT_ORGANIZATION", "acme").run();
    assert_eq!((half.code, half.output("result")), (Some(2), "failure"), "{}", half.log);
    assert_eq!(scene.dagster.journal().calls(), [""; 0]);
}
