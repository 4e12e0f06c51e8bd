//! The action as a workflow runs it, event by event: `act` runs the workflows of `examples/`, a stand-in is Dagster+.

use crate::support::act::{BRANCH, Finished, Run, Workspace, git};
use crate::support::environments::helper_version;
use crate::support::github_standin::{GithubStandin, READONLY, WRITE};
use crate::support::small_project::write_wheels;
use crate::support::standin::{Standin, TOKEN};
use crate::support::{quickstart, run};
use serde_json::{Value, json};
use sha1::{Digest, Sha1};

const TWO: &[(&str, &str)] = &[("one", ""), ("two", "extra==1")];
const BRANCH_CALL: &str = "createOrUpdateBranchDeployment";

fn standin() -> Standin {
    Standin::start(json!({"deployments": [{"name": "prod"}, {"name": "staging"}]}))
}

/// The same, where the pull request of the workspace has had its branch deployment since it was opened. Its name is the
/// stand-in's name for [`BRANCH`].
fn standin_of_an_opened_pull_request() -> Standin {
    let name: String =
        Sha1::digest(format!("acme/proj\0{BRANCH}")).iter().map(|byte| format!("{byte:02x}")).collect();
    Standin::start(json!({"deployments": [{"name": "prod"}, {"name": name, "kind": "BRANCH"}]}))
}

fn deploying<'a>(run: Run<'a>, standin: &Standin) -> Run<'a> {
    run.organization(&standin.url, TOKEN)
}

/// Names of the code locations of a deployment of the stand-in, sorted.
fn locations(standin: &Standin, deployment: &str) -> Vec<String> {
    let state = standin.state();
    let locations = state["deployments"][deployment]["locations"].as_object();
    let locations = locations.unwrap_or_else(|| panic!("no deployment {deployment}: {state:#}"));
    let mut names: Vec<String> = locations.keys().cloned().collect();
    names.sort();
    names
}

fn states(finished: &Finished, job: &str) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
    let locations = finished.json_output(job, "locations");
    let pairs = locations.as_array().unwrap().iter();
    pairs.map(|location| (text(&location["name"]), text(&location["state"]))).collect()
}

#[test]
#[ignore = "act comes from a package index"]
fn a_push_goes_to_the_full_deployment() {
    let (workspace, standin) = (Workspace::new(TWO), standin());
    let finished = deploying(workspace.push("deploy.yml", "main"), &standin).start();
    finished.assert_success();
    standin.journal().assert_clean();
    assert_eq!(locations(&standin, "prod"), ["one", "two"]);
    let outputs = finished.outputs("deploy");
    assert_eq!((outputs["result"].as_str(), outputs["deployment"].as_str()), ("success", "prod"));
    assert_eq!((outputs["is_branch_deployment"].as_str(), outputs["changed"].as_str()), ("false", "true"));
    let loaded = |name: &str| (name.to_string(), "loaded".to_string());
    assert_eq!(states(&finished, "deploy"), [loaded("one"), loaded("two")]);
    let tags = finished.json_output("deploy", "pex_tags");
    assert!(tags["one"].as_str().unwrap().starts_with("files=deps-"), "{tags}");
    assert!(outputs["deployment_url"].starts_with(&standin.url), "{outputs:?}");
    let summary = finished.summary();
    assert!(summary.contains("one") && summary.contains("two") && summary.contains("prod"), "{summary}");
    assert_eq!(finished.annotations("error"), [""; 0]);
}

#[test]
#[ignore = "act comes from a package index"]
fn a_pull_request_has_its_branch_deployment_until_it_is_closed() {
    let (workspace, standin) = (Workspace::new(TWO), standin());
    for action in ["opened", "synchronize"] {
        let finished = deploying(workspace.pull_request("deploy.yml", action), &standin).start();
        finished.assert_success();
        let outputs = finished.outputs("deploy");
        assert_eq!(
            (outputs["result"].as_str(), outputs["is_branch_deployment"].as_str()),
            ("success", "true")
        );
        assert_eq!(locations(&standin, &outputs["deployment"]), ["one", "two"], "{action}");
        let branch = standin.journal().variables(BRANCH_CALL).pop().unwrap();
        assert_eq!(branch["branchData"]["branchName"], BRANCH);
        assert_eq!(branch["commit"]["commitHash"], json!(workspace.head), "and not the merge");
        assert_eq!(branch["branchData"]["pullRequestStatus"], "OPEN");
        assert_eq!(locations(&standin, "prod"), [""; 0], "a pull request never touches it");
    }
    standin.journal().assert_clean();
    standin.control("journal", &Value::Null);
    let finished = deploying(workspace.pull_request("deploy.yml", "closed"), &standin).start();
    finished.assert_success();
    assert_eq!(finished.output("deploy", "result"), "closed");
    let journal = standin.journal();
    assert_eq!(journal.variables(BRANCH_CALL)[0]["branchData"]["pullRequestStatus"], "CLOSED");
    assert_eq!(journal.count("PUT "), 0, "nothing is built: {:?}", journal.calls());
}

#[test]
#[ignore = "act comes from a package index"]
fn one_comment_follows_the_pull_request() {
    let (workspace, standin, github) = (Workspace::new(TWO), standin(), GithubStandin::start(json!({})));
    let run = |action: &str| {
        let run = workspace.pull_request("deploy.yml", action).github(&github, WRITE);
        let finished = deploying(run, &standin).start();
        finished.assert_success();
        github.journal().assert_clean();
        let bodies = github.bodies();
        assert_eq!(bodies.len(), 1, "{action}: {bodies:#?}");
        (finished, bodies[0].clone())
    };
    let (opened, body) = run("opened");
    assert!(body.contains("one") && body.contains("two") && body.contains(&workspace.head[..7]), "{body}");
    assert!(body.contains(&opened.output("deploy", "deployment_url")), "{body}");
    assert!(opened.output("deploy", "comment_url").contains("/pull/7#issuecomment-"), "{}", opened.log());
    let (synchronized, _) = run("synchronize");
    assert_eq!(synchronized.output("deploy", "comment_url"), opened.output("deploy", "comment_url"));
    assert_eq!(synchronized.output("deploy", "deployment"), opened.output("deploy", "deployment"));
    let (_, body) = run("closed");
    assert!(body.to_lowercase().contains("closed"), "{body}");
}

#[test]
#[ignore = "act comes from a package index"]
fn github_out_of_order_does_not_fail_a_deployment() {
    let (workspace, standin) = (Workspace::new(TWO), standin());
    let always = json!({"faults": [{"operation": "*", "status": 500, "times": 0}]});
    for (github, token) in
        [(GithubStandin::start(always), WRITE), (GithubStandin::start(json!({})), READONLY)]
    {
        let run = workspace.pull_request("deploy.yml", "opened").github(&github, token);
        let finished = deploying(run, &standin).start();
        finished.assert_success();
        assert_eq!(finished.output("deploy", "result"), "success");
        let notices = [finished.annotations("notice"), finished.annotations("warning")].concat();
        assert!(notices.iter().any(|notice| notice.contains("comment")), "{notices:?}");
        assert_eq!(github.bodies(), [""; 0]);
    }
}

#[test]
#[ignore = "act comes from a package index"]
fn a_merged_pull_request_does_not_deploy_what_it_was_merged_into() {
    let (workspace, standin) = (Workspace::new(TWO), standin_of_an_opened_pull_request());
    let mut run = deploying(workspace.pull_request("deploy.yml", "closed"), &standin);
    run.payload["pull_request"]["merged"] = json!(true);
    // As on the runner: the base branch with the merged commit.
    git(&workspace.path(), &["checkout", "-q", "main"]);
    let finished = run.env("GITHUB_REF", "refs/heads/main").start();
    finished.assert_success();
    assert_eq!(finished.output("deploy", "result"), "closed");
    let journal = standin.journal();
    assert_eq!(journal.variables(BRANCH_CALL)[0]["branchData"]["pullRequestStatus"], "MERGED");
    assert_eq!((journal.count("PUT "), locations(&standin, "prod").len()), (0, 0));
}

#[test]
#[ignore = "act comes from a package index"]
fn closing_needs_neither_the_project_nor_permission_to_build_it() {
    let workspace = Workspace::with(|path| std::fs::write(path.join("README.md"), "No project.\n").unwrap());
    let standin = standin_of_an_opened_pull_request();
    for (example, job, event) in
        [("monorepo.yml", "close", "pull_request"), ("deploy.yml", "deploy", "pull_request_target")]
    {
        let mut run = deploying(workspace.pull_request(example, "closed"), &standin);
        run.event = event.into();
        let finished = run.edit("  pull_request:\n", &format!("  {event}:\n")).start();
        finished.assert_success();
        assert_eq!(finished.output(job, "result"), "closed", "{event}");
        let branch = standin.journal().variables(BRANCH_CALL).pop().unwrap();
        assert_eq!(branch["branchData"]["pullRequestStatus"], "CLOSED", "{event}");
        standin.control("journal", &Value::Null);
    }
}

#[test]
#[ignore = "act comes from a package index"]
fn a_fork_is_built_and_not_deployed_with_a_reason() {
    let (workspace, standin) = (Workspace::new(TWO), standin());
    let from_fork = |example: &str| {
        let mut run = deploying(workspace.pull_request(example, "opened"), &standin);
        run.payload["pull_request"]["head"]["repo"] = json!({"id": 2, "full_name": "eve/proj", "fork": true});
        run.secret("DAGSTER_CLOUD_API_TOKEN", "")
    };
    let finished = from_fork("forks.yml").start();
    finished.assert_success();
    let outputs = finished.outputs("branch");
    assert_eq!(outputs["result"], "skipped");
    assert!(outputs["reason"].contains("fork"), "{outputs:?}");
    assert!(finished.summary().contains("fork"), "{}", finished.summary());
    assert_eq!(finished.annotations("notice").len(), 1, "{}", finished.log());
    let tags = finished.json_output("branch", "pex_tags");
    assert!(tags["two"].as_str().unwrap().contains("source-"), "built all the same: {tags}");
    let finished = from_fork("deploy.yml").edit("verify: false", "require_deploy: true").start();
    assert!(!finished.success, "{}", finished.log());
    assert_eq!(finished.annotations("error").len(), 1, "{}", finished.log());
    assert_eq!(standin.journal().calls(), [""; 0]);
}

#[test]
#[ignore = "act comes from a package index"]
fn main_is_deployed_after_its_tests_and_nothing_of_a_fork() {
    let (workspace, standin) = (Workspace::new(TWO), standin());
    let after_tests = |owner: &str| {
        let run = json!({
            "name": "Tests", "event": "push", "head_branch": "main", "head_sha": workspace.commit(),
            "conclusion": "success", "head_repository": {"full_name": format!("{owner}/proj")},
        });
        let payload = json!({"action": "completed", "workflow_run": run});
        let run = workspace.event("after-tests.yml", "workflow_run", payload);
        // `act` copies the work tree where a checkout has no `ref`.
        let reference =
            "ref: ${{ github.event.workflow_run.head_sha }} # what was tested, even if main has moved on";
        deploying(run, &standin).edit(reference, "")
    };
    let finished = after_tests("acme").start();
    finished.assert_success();
    assert_eq!(finished.output("deploy", "deployment"), "prod");
    assert_eq!(finished.output("deploy", "commit"), workspace.commit());
    standin.control("journal", &Value::Null);
    // `act` runs no job then, and a run without the `if:` is refused.
    let always = after_tests("eve").edit("head_repository.full_name == github.repository", "event != ''");
    let finished = always.start();
    assert!(!finished.success && finished.log().contains("allow_untrusted_code"), "{}", finished.log());
    assert_eq!(standin.journal().calls(), [""; 0]);
}

#[test]
#[ignore = "act comes from a package index"]
fn a_manual_run_goes_where_the_inputs_say() {
    let (workspace, standin) = (Workspace::new(TWO), standin());
    git(&workspace.path(), &["checkout", "-q", BRANCH]);
    let dispatch = |inputs: Value| {
        let payload = json!({"ref": format!("refs/heads/{BRANCH}"), "inputs": inputs});
        deploying(workspace.event("manual.yml", "workflow_dispatch", payload), &standin).start()
    };
    let finished = dispatch(json!({"full": "false", "locations": "two"}));
    finished.assert_success();
    let outputs = finished.outputs("deploy");
    assert_eq!(outputs["is_branch_deployment"], "true");
    assert_eq!(locations(&standin, &outputs["deployment"]), ["two"]);
    let finished = dispatch(json!({"full": "true", "locations": "one,two"}));
    finished.assert_success();
    assert_eq!(finished.output("deploy", "deployment"), "prod");
    assert_eq!(locations(&standin, "prod"), ["one", "two"]);
    standin.journal().assert_clean();
}

#[test]
#[ignore = "act comes from a package index"]
fn a_manual_run_on_a_branch_needs_a_choice() {
    let (workspace, standin) = (Workspace::new(TWO), standin());
    git(&workspace.path(), &["checkout", "-q", BRANCH]);
    let payload = json!({"ref": format!("refs/heads/{BRANCH}"), "inputs": null});
    let run = deploying(workspace.event("manual.yml", "workflow_dispatch", payload), &standin);
    let finished = run
        .edit("${{ !inputs.full && github.ref_type == 'branch' && github.ref_name != github.event.repository.default_branch }}", "auto")
        .start();
    assert!(!finished.success, "{}", finished.log());
    let errors = finished.annotations("error");
    assert!(errors.len() == 1 && errors[0].contains("branch_deployment"), "{errors:?}");
    assert_eq!(standin.journal().count("PUT "), 0);
}

#[test]
#[ignore = "act comes from a package index"]
fn a_location_that_does_not_load_fails_the_run_and_is_explained() {
    let (workspace, standin) = (Workspace::new(TWO), standin());
    let error = json!({"message": "ImportError: no module named nothing", "stack": [], "chain": []});
    standin.control("config", &json!({"load": {"two": {"error": error}}}));
    let finished = deploying(workspace.push("deploy.yml", "main"), &standin).start();
    assert!(!finished.success, "{}", finished.log());
    assert_eq!(finished.output("deploy", "result"), "failure");
    let state = |name: &str, state: &str| (name.to_string(), state.to_string());
    assert_eq!(states(&finished, "deploy"), [state("one", "loaded"), state("two", "failed_to_load")]);
    assert!(finished.summary().contains("no module named nothing"), "{}", finished.summary());
    let errors = finished.annotations("error");
    assert!(errors.iter().any(|error| error.contains("two")), "{errors:?}");
}

#[test]
#[ignore = "act comes from a package index"]
fn the_environment_of_a_step_is_used_where_inputs_are_empty() {
    let (workspace, standin) = (Workspace::new(TWO), standin());
    let inputs = "organization: my-organization\n          dagster_cloud_api_token: ${{ secrets.DAGSTER_CLOUD_API_TOKEN }}";
    let env = format!(
        "verify: false\n        env:\n          DAGSTER_CLOUD_URL: {}/staging\n          DAGSTER_CLOUD_API_TOKEN: ${{{{ secrets.TOKEN }}}}",
        standin.url
    );
    let finished = workspace.push("deploy.yml", "main").edit(inputs, &env).secret("TOKEN", TOKEN).start();
    finished.assert_success();
    assert_eq!(finished.output("deploy", "deployment"), "staging");
    assert_eq!(locations(&standin, "staging"), ["one", "two"]);
}

#[test]
#[ignore = "act comes from a package index"]
fn a_bad_input_is_one_sentence() {
    let (workspace, standin) = (Workspace::new(TWO), standin());
    let run = deploying(workspace.push("deploy.yml", "main"), &standin);
    let finished = run.edit("verify: false", "verify: sometimes").start();
    assert!(!finished.success, "{}", finished.log());
    let errors = finished.annotations("error");
    assert!(errors.len() == 1 && errors[0].contains("`verify`"), "{errors:?}");
    assert_eq!(finished.output("deploy", "result"), "failure");
}

#[test]
#[ignore = "act comes from a package index"]
fn self_hosted_runners_and_private_indexes_need_no_other_action() {
    let (workspace, standin) = (Workspace::new(TWO), standin());
    for example in ["self-hosted.yml", "private-packages.yml"] {
        let run = deploying(workspace.push(example, "main"), &standin).secret("PACKAGES_PASSWORD", "sesame");
        let finished = run.start();
        finished.assert_success();
        assert_eq!(finished.output("deploy", "deployment"), "prod", "{example}");
    }
    standin.journal().assert_clean();
}

#[test]
#[ignore = "act comes from a package index"]
fn a_dg_workspace_below_the_root_is_deployed_in_one_step() {
    let workspace = Workspace::with(|path| {
        write_wheels(path, 0);
        let requirements = "--no-index\n--find-links ../../wheels\ndagster\ndagster-cloud\n";
        let projects = "[[workspace.projects]]\npath = 'sales'\n[[workspace.projects]]\npath = 'stock'\n";
        for (file, text) in [
            ("dg.toml", format!("directory_type = 'workspace'\n{projects}").as_str()),
            ("sales/dg.toml", "directory_type = 'project'\n[project]\nroot_module = 'sales'\n"),
            ("sales/requirements.txt", requirements),
            ("sales/sales/definitions.py", "name = 'sales'\n"),
            ("stock/dg.toml", "directory_type = 'project'\n[project]\nroot_module = 'stock'\n"),
            ("stock/requirements.txt", requirements),
            ("stock/stock/definitions.py", "name = 'stock'\n"),
        ] {
            let file = path.join("dagster").join(file);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, text).unwrap();
        }
    });
    let standin = standin();
    let finished = deploying(workspace.push("dg.yml", "main"), &standin).start();
    finished.assert_success();
    assert_eq!(locations(&standin, "prod"), ["sales", "stock"]);
    standin.journal().assert_clean();
}

#[test]
#[ignore = "dagster and act come from a package index"]
fn code_of_a_fork_is_loaded_before_it_is_reported_as_good() {
    let workspace = Workspace::with(|path| {
        run(std::process::Command::new("cp").arg("-R").arg(quickstart().join(".")).arg(path));
    });
    let from_fork = || {
        let mut run = workspace.pull_request("forks.yml", "opened");
        run.payload["pull_request"]["head"]["repo"] = json!({"id": 2, "full_name": "eve/proj", "fork": true});
        let python = helper_version();
        run.python(python).edit("organization: my-organization", &format!("python_version: '{python}'"))
    };
    let finished = from_fork().start();
    finished.assert_success();
    assert_eq!(finished.output("branch", "result"), "skipped");
    assert!(finished.summary().contains("built, loads"), "{}", finished.summary());
    std::fs::write(workspace.path().join("src/quickstart/definitions.py"), "import nothing_like_it\n")
        .unwrap();
    let finished = from_fork().start();
    assert!(!finished.success, "{}", finished.log());
    assert_eq!(finished.output("branch", "result"), "failure");
    assert!(finished.summary().contains("nothing_like_it"), "{}", finished.summary());
}

/// A run of monorepo.yml after a push; the matrix that it planned.
fn push_monorepo(workspace: &Workspace, standin: &Standin) -> Value {
    let run = workspace.push("monorepo.yml", "main").edit("shards: 4", "shards: 2");
    let finished = deploying(run, standin).start();
    finished.assert_success();
    standin.journal().assert_clean();
    match finished.output("plan", "matrix").as_str() {
        "" => Value::Null,
        _ => finished.json_output("plan", "matrix"),
    }
}

#[test]
#[ignore = "act comes from a package index"]
fn a_monorepo_is_deployed_by_a_matrix_of_what_has_changed() {
    let (workspace, standin) =
        (Workspace::new(&[("one", ""), ("two", "extra==1"), ("three", "")]), standin());
    let matrix = push_monorepo(&workspace, &standin);
    assert_eq!(matrix["include"].as_array().map(Vec::len), Some(2), "{matrix}");
    assert_eq!(locations(&standin, "prod"), ["one", "three", "two"]);
    standin.control("journal", &Value::Null);
    assert_eq!(push_monorepo(&workspace, &standin), Value::Null, "the same again has no jobs");
    assert_eq!(standin.journal().count("PUT "), 0);
    std::fs::write(workspace.path().join("two/defs.py"), "name = 'changed'\n").unwrap();
    let matrix = push_monorepo(&workspace, &standin);
    assert_eq!(matrix["include"], json!([{"shard": 1, "locations": "two", "names": ["two"]}]));
}

#[test]
#[ignore = "act comes from a package index"]
fn the_rows_of_all_jobs_of_a_matrix_end_in_one_comment() {
    let workspace = Workspace::new(&[("one", ""), ("two", "extra==1"), ("three", "extra==2")]);
    let (standin, github) = (standin(), GithubStandin::start(json!({})));
    let run = |action: &str| {
        let run = workspace.pull_request("monorepo.yml", action).github(&github, WRITE);
        let finished = deploying(run.edit("shards: 4", "shards: 3"), &standin).start();
        finished.assert_success();
        let bodies = github.bodies();
        assert_eq!(bodies.len(), 1, "{bodies:#?}");
        bodies[0].clone()
    };
    let body = run("opened");
    for name in ["`one`", "`two`", "`three`"] {
        assert!(body.contains(name), "no {name}: {body}");
    }
    let body = run("closed");
    assert!(body.to_lowercase().contains("closed"), "{body}");
    github.journal().assert_clean();
    standin.journal().assert_clean();
}
