//! `pexpress action` as the runner starts it, against both stand-ins: what it deploys, what it reports, what it
//! refuses.

use crate::support::github_standin::{GithubStandin, READONLY};
use crate::support::said::{lines, messages, plain};
use crate::support::scene::{Scene, commit_all};
use crate::support::step::{HEAD, PUSHED, Step, pull_request};
use serde_json::json;

/// Operations that change something at GitHub, in order.
fn writes(github: &GithubStandin) -> Vec<String> {
    let operations = github.journal().operations();
    operations
        .into_iter()
        .filter(|name| name.contains("create") || name.contains("update") || name.contains("delete"))
        .collect()
}

#[test]
fn a_pull_request_gets_its_deployment_one_comment_outputs_and_a_summary() {
    let scene = Scene::new(&[("one", "")], json!({}));
    let ran = scene.opened();
    assert_eq!((ran.code, ran.output("result")), (Some(0), "success"), "{}", ran.log);
    assert_eq!((ran.output("is_branch_deployment"), ran.output("changed")), ("true", "true"));
    let deployment = ran.output("deployment").to_string();
    let state = scene.dagster.state();
    let document = &state["deployments"][&deployment]["locations"]["one"];
    assert_eq!(document["git"]["commit_hash"], HEAD);
    assert_eq!(document["pex_metadata"]["pex_tag"], ran.json("pex_tags")["one"]);
    assert_eq!(ran.json("locations")[0]["state"], "loaded");
    assert!(ran.json("timings")["total"].as_f64().unwrap() > 0.0);
    insta::assert_snapshot!(plain(&ran.summary), @r#"
    ### ✅ Deployed 1 code location to the branch deployment of `feature` · [Open in Dagster+](http://127.0.0.1:[PORT]/[HASH]/locations)

    | | Code location | State | Source PEX | Deps PEX | dagster |
    |---|---|---|---|---|---|
    | ✅ | [`one`](http://127.0.0.1:[PORT]/[HASH]/locations/one) | loaded | uploaded, [SIZE], built in [TIME] | uploaded, [SIZE], built in [TIME] | 1.13.27 |

    <sub>`feature` · [`2222222`](https://github.example/acme/proj/commit/[HASH]) · Python 3.11, `[PLATFORM]` · [TIME]</sub>
    "#);
    let comment = scene.comment();
    for part in [
        "✅ Deployed 1 code location to",
        &deployment,
        "/locations/one) | loaded |",
        "/actions/runs/1001/attempts/1",
    ] {
        assert!(comment.contains(part), "{part}: {comment}");
    }
    assert!(ran.output("comment_url").contains("comment"), "{:?}", ran.outputs);
    assert!(ran.log.contains("::group::Build") && !ran.log.contains("::error"), "{}", ran.log);
    assert_eq!(writes(&scene.github), ["issues/create-comment", "issues/update-comment"], "pending first");

    let again =
        scene.step().with("GITHUB_RUN_ID", "1002").event("pull_request", &pull_request("synchronize")).run();
    assert_eq!((again.code, again.output("changed")), (Some(0), "true"), "{}", again.log);
    assert_eq!(again.json("locations")[0]["sent"], json!({"source": "already_there", "deps": "cached"}));
    assert!(scene.comment().contains("/actions/runs/1002/"));

    let closed =
        scene.step().with("GITHUB_RUN_ID", "1003").event("pull_request", &pull_request("closed")).run();
    assert_eq!(
        (closed.code, closed.output("result"), closed.output("deployment")),
        (Some(0), "closed", deployment.as_str())
    );
    insta::assert_snapshot!(plain(&scene.comment()), @r#"
    <!-- pexpress:status:http://127.0.0.1:[PORT]/deploy.yml -->
    ### 🔒 Closed the branch deployment of `feature`

    <sub>[`2222222`](https://github.example/acme/proj/commit/[HASH]) · [run](https://github.example/acme/proj/actions/runs/1003/attempts/1) · [TIME] · [TIME]</sub>

    <!-- pexpress:data:[DATA] -->
    "#);
    scene.assert_clean();
}

#[test]
fn a_failed_load_is_reported_everywhere_with_its_python_error() {
    let error = json!({"message": "ModuleNotFoundError: No module named 'nowhere'\n", "stack": ["  File \"defs.py\"\n"], "chain": []});
    let scene = Scene::new(&[("good", ""), ("bad", "")], json!({"load": {"bad": {"error": error}}}));
    let job = scene.step().with("PEXPRESS_JOB_ID", "77");
    let ran = job.event("pull_request", &pull_request("opened")).run();
    assert_eq!((ran.code, ran.output("result")), (Some(1), "failure"), "{}", ran.log);
    let comment = scene.comment();
    insta::assert_snapshot!(plain(&ran.summary), @r#"
    ### ❌ 1 of 2 code locations failed on the branch deployment of `feature` · [Open in Dagster+](http://127.0.0.1:[PORT]/[HASH]/locations)

    | | Code location | State | Source PEX | Deps PEX | dagster |
    |---|---|---|---|---|---|
    | ❌ | [`bad`](http://127.0.0.1:[PORT]/[HASH]/locations/bad) | failed to load<br>`ModuleNotFoundError: No module named 'nowhere'` | uploaded, [SIZE], built in [TIME] | uploaded, [SIZE], built in [TIME] | 1.13.27 |
    | ✅ | [`good`](http://127.0.0.1:[PORT]/[HASH]/locations/good) | loaded | uploaded, [SIZE], built in [TIME] | uploaded, [SIZE], built in [TIME] | 1.13.27 |

    <details><summary>❌ bad: failed to load</summary>

    ```text
    error: the code location `bad` was updated and failed to load:
    ModuleNotFoundError: No module named 'nowhere'
      File "defs.py"
    hint: add the distribution that has the module `nowhere` to bad/requirements.txt
    ```

    </details>

    <sub>`feature` · [`2222222`](https://github.example/acme/proj/commit/[HASH]) · Python 3.11, `[PLATFORM]` · [TIME]</sub>
    "#);
    let row = "/locations/bad) | failed to load<br>`ModuleNotFoundError: No module named 'nowhere'` |";
    let log = "[log](https://github.example/acme/proj/actions/runs/1001/job/77)";
    for text in [row, "/locations/good) | loaded |", log] {
        assert!(comment.contains(text), "{comment}");
    }
    let annotation = ran.log.lines().find(|line| line.starts_with("::error")).unwrap_or_default();
    insta::assert_snapshot!(plain(annotation), @r#"::error title=Code location bad,file=dagster_cloud.yaml,line=5,col=5::the code location `bad` was updated and failed to load:%0AModuleNotFoundError: No module named 'nowhere'%0A  File "defs.py"%0Ahint: add the distribution that has the module `nowhere` to bad/requirements.txt"#);
    assert!(ran.json("locations")[1]["errors"][0].as_str().unwrap().contains("nowhere"), "{:?}", ran.outputs);
    scene.assert_clean();
}

/// The agent stops the servers of the version before also when the new one does not load.
#[test]
fn a_failure_says_whether_the_version_before_still_runs() {
    let scene = Scene::new(&[("one", ""), ("two", ""), ("three", "")], json!({}));
    assert_eq!(scene.opened().code, Some(0));
    let error = json!({"message": "ValueError: bad\n", "stack": [], "chain": []});
    scene.dagster.control("config", &json!({"load": {"one": {"error": error}}}));
    std::fs::write(scene.dir.path().join("two/requirements.txt"), "no-such-distribution==1\n").unwrap();
    let ran = scene.step().event("pull_request", &pull_request("synchronize")).run();
    assert_eq!(ran.code, Some(1), "{}", ran.log);
    let comment = scene.comment();
    for row in [
        "failed to load<br>`ValueError: bad`<br>the previous version was stopped |",
        "<br>the previous version still runs |",
    ] {
        assert_eq!(comment.matches(row).count(), 1, "{row}: {comment}");
    }
    let versions: Vec<_> =
        ran.json("locations").as_array().unwrap().iter().map(|one| one["previous_version"].clone()).collect();
    assert_eq!(versions, [json!("stopped"), json!("running"), json!(null)]);
}

#[test]
fn a_pull_request_of_a_fork_is_built_and_reported_as_not_deployed() {
    let scene = Scene::new(&[("one", "")], json!({}));
    let mut payload = pull_request("opened");
    payload["pull_request"]["head"]["repo"]["full_name"] = json!("someone/proj");
    let fork = || {
        let step =
            scene.step().with("INPUT_DAGSTER_CLOUD_API_TOKEN", "").with("INPUT_GITHUB_TOKEN", READONLY);
        step.with("INPUT_VERIFY", "false").event("pull_request", &payload)
    };
    let ran = fork().run();
    assert_eq!((ran.code, ran.output("result")), (Some(0), "skipped"), "{}", ran.log);
    insta::assert_snapshot!(ran.output("reason"), @"The pull request comes from a fork, and GitHub gives such runs no secrets: without a token for Dagster+ nothing was deployed.");
    insta::assert_snapshot!(messages(&ran.log), @"::notice title=Nothing was deployed::The pull request comes from a fork, and GitHub gives such runs no secrets: without a token for Dagster+ nothing was deployed.");
    assert!(
        ran.json("pex_tags")["one"].is_string() && ran.summary.contains("✅ | `one` | built |"),
        "{}",
        ran.summary
    );
    let required = fork().with("INPUT_REQUIRE_DEPLOY", "true").run();
    assert_eq!((required.code, required.output("result")), (Some(2), "failure"), "{}", required.log);
    payload["action"] = json!("closed");
    let closed = scene.step().with("INPUT_DAGSTER_CLOUD_API_TOKEN", "").event("pull_request", &payload).run();
    assert_eq!((closed.code, closed.output("result")), (Some(0), "skipped"), "{}", closed.log);
    assert!(scene.dagster.journal().calls().is_empty() && writes(&scene.github).is_empty());
}

#[test]
fn a_push_without_its_token_fails() {
    let scene = Scene::new(&[("one", "")], json!({}));
    let ran = scene.step().with("INPUT_DAGSTER_CLOUD_API_TOKEN", "").event("push", &json!({})).run();
    assert_eq!((ran.code, ran.output("result")), (Some(2), "failure"), "{}", ran.log);
    insta::assert_snapshot!(messages(&ran.log), @"::error title=pexpress::no token for Dagster+: the input `dagster_cloud_api_token` is empty, and DAGSTER_CLOUD_API_TOKEN is not set%0Ahint: create a user or agent token in the organization settings of Dagster+, store it as a secret and set the input `dagster_cloud_api_token`; check that this run may read the secret (runs of forks and of Dependabot may not)");
}

#[test]
fn what_github_refuses_never_fails_a_deploy() {
    let scene = Scene::new(&[("one", "")], json!({}));
    let event = pull_request("opened");
    let readonly = scene.step().with("INPUT_GITHUB_TOKEN", READONLY).event("pull_request", &event).run();
    assert_eq!((readonly.code, readonly.output("result")), (Some(0), "success"), "{}", readonly.log);
    insta::assert_snapshot!(messages(&readonly.log), @"::notice title=Not reported::could not comment on pull request 7: the token lacks the permission for it: Resource not accessible by integration. The deploy does not depend on it.%0Aadd `pull-requests: write` to the `permissions:` of the job; runs of forks and of Dependabot always get a read-only token");

    let unreachable =
        scene.step().with("GITHUB_API_URL", "http://127.0.0.1:1").event("pull_request", &event).run();
    assert_eq!((unreachable.code, unreachable.output("result")), (Some(0), "success"), "{}", unreachable.log);
    insta::assert_snapshot!(messages(&unreachable.log), @"::notice title=Not reported::could not list the comments of pull request 7 after 4 attempts: could not reach http://127.0.0.1:1/repos/acme/proj/issues/7/comments?***. The deploy does not depend on it.%0Acheck the network; if this machine needs a proxy, set HTTPS_PROXY");
    assert!(scene.github.bodies().is_empty());
}

#[test]
fn a_plan_of_what_has_changed_is_an_output() {
    let scene = Scene::new(&[("one", ""), ("two", "extra==1")], json!({}));
    let push = |step: Step<'_>| step.event("push", &json!({"ref": "refs/heads/main"})).run();
    let plan = || push(scene.step().with("INPUT_COMMAND", "plan").with("INPUT_SHARDS", "4"));
    let first = plan();
    assert_eq!((first.code, first.output("result")), (Some(0), "success"), "{}", first.log);
    let names: Vec<_> =
        first.json("matrix")["include"].as_array().unwrap().iter().map(|job| job["names"].clone()).collect();
    assert_eq!(names, [json!(["one"]), json!(["two"])], "{}", first.log);
    let deployed = push(scene.step());
    assert_eq!(deployed.code, Some(0), "{}", deployed.log);
    assert_eq!(plan().output("matrix"), "", "{}", plan().log);
    // A pull request reads what main has stored.
    std::fs::write(scene.dir.path().join("two/defs.py"), "changed = 1\n").unwrap();
    let request =
        scene.step().with("INPUT_COMMAND", "plan").event("pull_request", &pull_request("opened")).run();
    let want = json!({"include": [{"shard": 1, "locations": "two", "names": ["two"]}]});
    assert_eq!(request.json("matrix"), want, "{}", request.log);
    insta::assert_snapshot!(request.summary, @r#"
    ### 📋 1 of 2 code locations to deploy, in 1 job

    | Job | Code location | Why |
    |---|---|---|
    | 1 | `two` | its source PEX differs |
    "#);
    assert_eq!(scene.dagster.journal().count("createOrUpdateBranchDeployment"), 0);
    scene.assert_clean();
}

#[test]
fn jobs_of_a_matrix_end_in_one_comment() {
    let names = ["a", "b", "c", "d"];
    let scene = Scene::new(&names.map(|name| (name, "")), json!({}));
    std::thread::scope(|scope| {
        let steps = names.map(|name| {
            scene.step().with("INPUT_LOCATIONS", name).event("pull_request", &pull_request("opened"))
        });
        let jobs = steps.map(|step| scope.spawn(|| step.run()));
        for ran in jobs.map(|job| job.join().unwrap()) {
            assert_eq!((ran.code, ran.output("result")), (Some(0), "success"), "{}", ran.log);
        }
    });
    let comment = scene.comment();
    insta::assert_snapshot!(lines(&comment, "###"), @"### ✅ Deployed 4 code locations to the branch deployment of `feature` · [Open in Dagster+](http://127.0.0.1:[PORT]/[HASH]/locations)");
    for name in names {
        assert!(comment.contains(&format!("/locations/{name}) | loaded |")), "{name}: {comment}");
    }
    scene.github.journal().assert_clean();
}

#[test]
fn a_manual_run_on_another_branch_needs_a_target() {
    let scene = Scene::new(&[("one", "")], json!({}));
    let payload = json!({"inputs": null, "repository": {"full_name": "acme/proj", "default_branch": "main"}});
    let manual = |choice: &str| {
        let step =
            scene.step().with("GITHUB_REF", "refs/heads/feature").with("INPUT_BRANCH_DEPLOYMENT", choice);
        step.event("workflow_dispatch", &payload).run()
    };
    let undecided = manual("auto");
    assert_eq!(undecided.code, Some(2), "{}", undecided.log);
    insta::assert_snapshot!(messages(&undecided.log), @"::error title=pexpress::this run was started manually on `feature`, which is not known to be the default branch, and no setting names its deployment%0Ahint: use `branch_deployment: true` for the branch deployment of that branch, or `branch_deployment: false` for the full deployment");
    let (branch, full) = (manual("true"), manual("false"));
    assert_eq!((branch.code, branch.output("is_branch_deployment")), (Some(0), "true"), "{}", branch.log);
    assert_eq!((full.code, full.output("deployment")), (Some(0), "prod"), "{}", full.log);
    let state = scene.dagster.state();
    assert_eq!(state["deployments"]["prod"]["locations"]["one"]["git"]["commit_hash"], PUSHED);
}

#[test]
fn code_of_others_is_not_built_with_secrets() {
    let scene = Scene::new(&[("one", "")], json!({}));
    let ran = scene.step().event("pull_request_target", &pull_request("opened")).run();
    assert_eq!((ran.code, ran.output("result")), (Some(2), "failure"), "{}", ran.log);
    insta::assert_snapshot!(messages(&ran.log), @"::error title=pexpress::a run started by `pull_request_target` has this repository's secrets, and anyone may have written the code of a pull request%0Ahint: use `pull_request` instead; if everyone who can open a pull request may have the secrets, use `allow_untrusted_code: true`");
    assert!(scene.dagster.journal().calls().is_empty());

    let allowed = |head: &str| {
        let mut payload = pull_request("opened");
        payload["pull_request"]["head"]["sha"] = json!(head);
        scene.step().with("INPUT_ALLOW_UNTRUSTED_CODE", "true").event("pull_request_target", &payload).run()
    };
    let elsewhere = allowed(HEAD);
    assert_eq!(elsewhere.code, Some(2), "{}", elsewhere.log);
    insta::assert_snapshot!(messages(&elsewhere.log), @"::error title=pexpress::the work tree does not hold the commit [HASH], the head of pull request 7%0Ahint: in the checkout step, set `ref: refs/pull/7/head`");
    let head = commit_all(scene.dir.path());
    let ran = allowed(&head);
    assert_eq!((ran.code, ran.output("is_branch_deployment")), (Some(0), "true"), "{}", ran.log);
    assert!(scene.comment().contains(&head[..7]), "{}", scene.comment());
}

#[test]
fn a_push_creates_deployments_and_commit_statuses_if_requested() {
    let scene = Scene::new(&[("one", "")], json!({}));
    let step = scene.step().with("INPUT_GITHUB_DEPLOYMENT", "true").with("INPUT_COMMIT_STATUS", "true");
    let ran = step
        .event("push", &json!({"repository": {"full_name": "acme/proj", "default_branch": "main"}}))
        .run();
    assert_eq!((ran.code, ran.output("deployment")), (Some(0), "prod"), "{}", ran.log);
    let state = scene.github.state();
    let text = state.to_string();
    assert!(text.contains("in_progress") && text.contains("success") && text.contains(PUSHED), "{state:#}");
    assert!(scene.github.bodies().is_empty());
    scene.assert_clean();
}

#[test]
fn a_broken_project_file_is_annotated_at_its_line() {
    let scene = Scene::new(&[("one", "")], json!({}));
    std::fs::write(
        scene.dir.path().join("dagster_cloud.yaml"),
        "locations:\n  - location_name: one\n    code_sauce: {}\n",
    )
    .unwrap();
    let ran = scene.opened();
    assert_eq!((ran.code, ran.output("result")), (Some(1), "failure"), "{}", ran.log);
    insta::assert_snapshot!(messages(&ran.log), @"::error title=pexpress,file=dagster_cloud.yaml,line=3,col=5::unknown key `code_sauce` in code location `one`%0A  at: dagster_cloud.yaml:3:5%0Ahint: did you mean `code_source`?");
    insta::assert_snapshot!(plain(&ran.summary), @r#"
    ### ❌ Not deployed

    ```text
    error: unknown key `code_sauce` in code location `one`
      at: dagster_cloud.yaml:3:5
    hint: did you mean `code_source`?
    ```

    <sub>`feature` · [`2222222`](https://github.example/acme/proj/commit/[HASH]) · [TIME]</sub>
    "#);
    assert!(scene.comment().contains("code_sauce"), "{}", scene.comment());
}

/// Both pull requests share the branch deployment of their branch.
#[test]
fn a_branch_deployment_stays_while_another_pull_request_of_the_branch_is_open() {
    let scene = Scene::new(&[("one", "")], json!({}));
    scene.opened();
    let pull = |number: u64, state: &str| {
        scene.github.control("pull", &json!({"number": number, "state": state, "head": {"ref": "feature"}}));
    };
    pull(7, "closed");
    pull(9, "open");
    let close = || scene.step().event("pull_request", &pull_request("closed")).run();
    let kept = close();
    assert_eq!((kept.code, kept.output("result")), (Some(0), "skipped"), "{}", kept.log);
    assert_eq!(
        kept.output("reason"),
        "pull request 9 of the same branch is open, and the branch deployment is closed with the last of them"
    );
    pull(9, "closed");
    let closed = close();
    assert_eq!((closed.code, closed.output("result")), (Some(0), "closed"), "{}", closed.log);
    scene.assert_clean();
}

/// The project reads a secret at import, which GitHub does not give to forks.
#[test]
#[ignore = "dagster comes from a package index"]
fn a_fork_whose_code_reads_a_secret_is_green_with_a_warning() {
    let scene = Scene::new(&[], json!({}));
    let dir = scene.dir.path();
    let files = [
        (
            "pyproject.toml",
            "[project]\nname = 'app'\nversion = '1'\nrequires-python = '>=3.11'\ndependencies = ['dagster==1.13.27', 'dagster-cloud==1.13.27']\n[build-system]\nrequires = ['hatchling']\nbuild-backend = 'hatchling.build'\n",
        ),
        (
            "app/__init__.py",
            "import os\nimport dagster as dg\nTOKEN = os.environ['WAREHOUSE_TOKEN']\ndefs = dg.Definitions()\n",
        ),
        ("dagster_cloud.yaml", "locations:\n  - location_name: app\n    code_source: {package_name: app}\n"),
    ];
    std::fs::create_dir_all(dir.join("app")).unwrap();
    files.iter().for_each(|(file, text)| std::fs::write(dir.join(file), text).unwrap());
    let mut payload = pull_request("opened");
    payload["pull_request"]["head"]["repo"]["full_name"] = json!("someone/proj");
    let step = scene
        .step()
        .with("INPUT_DAGSTER_CLOUD_API_TOKEN", "")
        .with("INPUT_GITHUB_TOKEN", READONLY)
        .with("INPUT_VERIFY", "auto");
    let ran = step.event("pull_request", &payload).run();
    assert_eq!((ran.code, ran.output("result")), (Some(0), "skipped"), "{}", ran.log);
    let warning = "the code location `app` was not loaded here because the environment variable WAREHOUSE_TOKEN is not set here, and GitHub gives this run no secrets";
    assert!(ran.log.contains(&format!("::{warning}")) && !ran.log.contains("::error"), "{}", ran.log);
    assert!(ran.summary.contains("| ✅ | `app` | built |"), "{}", ran.summary);
    // A mistake in the code is still an error.
    std::fs::write(dir.join("app/__init__.py"), "import nothing_of_that_name\n").unwrap();
    let step = scene
        .step()
        .with("INPUT_DAGSTER_CLOUD_API_TOKEN", "")
        .with("INPUT_GITHUB_TOKEN", READONLY)
        .with("INPUT_VERIFY", "auto");
    let broken = step.event("pull_request", &payload).run();
    assert_eq!((broken.code, broken.output("result")), (Some(1), "failure"), "{}", broken.log);
}

/// Users saw `--locked` and `--extra` in messages about workflows without them.
#[test]
fn a_step_names_inputs_where_a_command_line_names_flags() {
    let scene = Scene::new(&[("one", "")], json!({}));
    for (input, value, says) in [
        (
            "INPUT_LOCKED",
            "true",
            "hint: commit a lock file (`uv lock` writes one), or leave `locked: true` out",
        ),
        ("INPUT_EXTRAS", "nope", "leave the input `extras` out, or declare it in"),
    ] {
        let ran = scene.step().with(input, value).event("pull_request", &pull_request("synchronize")).run();
        assert_eq!(ran.code, Some(1), "{}", ran.log);
        for (what, text) in [("log", &ran.log), ("summary", &ran.summary)] {
            assert!(text.contains(says) && !text.contains(" --"), "{what}: {text}");
        }
    }
}

/// Users saw one refusal three times, and one of the object store for each code location.
#[test]
fn a_common_refusal_is_reported_once() {
    let lines = ["extra==1", "extra==2", "extra==3", "extra==4"];
    let names = ["one", "two", "three", "four"];
    let locations: Vec<_> = names.into_iter().zip(lines).collect();
    for (fault, code, says) in [
        (
            json!({"operation": "generateServerlessPexUrl", "call": 2, "times": 0, "status": 401}),
            3,
            " URLs: Dagster+ refused the token (401 Unauthorized)",
        ),
        (
            json!({"operation": "GET", "times": 0, "status": 403}),
            0,
            "the object store answered 403 Forbidden; this run does without it",
        ),
    ] {
        let scene = Scene::new(&locations, json!({"faults": [fault]}));
        let ran = scene.opened();
        assert_eq!(ran.code, Some(code), "{}", ran.log);
        let lines: Vec<&str> = ran.log.lines().filter(|line| line.contains("deps cache")).collect();
        assert_eq!(lines.len(), usize::from(code == 0), "{}", ran.log);
        // The outcome and the annotation.
        let lines = ran.log.lines().filter(|line| line.contains(says)).count();
        assert_eq!(lines, if code == 0 { 1 } else { 2 }, "{}", ran.log);
    }
}
