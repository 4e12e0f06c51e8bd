//! Single decisions, each for a small workflow. `tests/it/cli/init.rs` has whole repositories.

mod images;

use super::{Facts, FoundLocation, FoundProject, Plan, TextFile, plan};
use serde_json::{Value, json};

/// A deploy step of Dagster+.
const DEPLOY: &str = "uses: dagster-io/dagster-cloud-action/actions/build_deploy_python_executable@v1";

fn facts(workflows: &[(&str, String)]) -> Facts {
    let location = FoundLocation { name: "a".into(), directory: ".".into(), registry: None };
    Facts {
        action: "o/pexpress@v1".into(),
        workflow_name: "dagster-plus.yml".into(),
        workflows: workflows
            .iter()
            .map(|(name, text)| TextFile { path: format!(".github/workflows/{name}"), text: text.clone() })
            .collect(),
        project: Some(FoundProject { file: "dagster_cloud.yaml".into(), locations: vec![location] }),
        directory: ".".into(),
        default_branch: Some("main".into()),
        ..Facts::default()
    }
}

/// A workflow with one job, of these keys, with these steps.
fn workflow(on: &str, job: &str, steps: &[&str]) -> String {
    let steps: String =
        steps.iter().map(|step| format!("    - {}\n", step.replace('\n', "\n      "))).collect();
    format!("on: {on}\njobs:\n  deploy:\n    runs-on: ubuntu-latest\n{job}    steps:\n{steps}")
}

fn written(plan: &Plan) -> Value {
    serde_yaml::from_str(&plan.files[0].text).unwrap()
}

/// The deploy job of the new workflow, and its deploy step's inputs.
fn job(plan: &Plan) -> (Value, Value) {
    let job = written(plan)["jobs"]["deploy"].clone();
    let steps = job["steps"].as_array().unwrap().clone();
    let step = steps.into_iter().find(|step| step["uses"] == "o/pexpress@v1").unwrap();
    (job, step["with"].clone())
}

#[test]
fn deployments_of_several_workflows_are_chosen_by_branch() {
    let of = |branch: &str, deployment: &str, file: &str| {
        let step = format!("{DEPLOY}\nwith:\n  dagster_cloud_file: {file}\n  deployment: {deployment}");
        workflow(&format!("{{push: {{branches: [{branch}]}}}}"), "", &[&step])
    };
    let plan = plan(&facts(&[
        ("prod.yml", of("main", "prod", "prod.yaml")),
        ("staging.yml", of("staging", "next", "staging.yaml")),
    ]));
    let (_, inputs) = job(&plan);
    assert_eq!(inputs["deployment"], "${{ github.ref_name == 'main' && 'prod' || 'next' }}");
    assert_eq!(
        inputs["dagster_cloud_file"],
        "${{ github.ref_name == 'main' && 'prod.yaml' || 'staging.yaml' }}"
    );
    assert_eq!(written(&plan)["on"], json!({"push": {"branches": ["main", "staging"]}}));
    assert_eq!(plan.moves.len(), 2);
}

#[test]
fn a_token_in_the_text_is_neither_copied_nor_printed() {
    let text = workflow("push", "", &[DEPLOY]);
    let text = format!("env: {{DAGSTER_CLOUD_API_TOKEN: 'user:canary'}}\n{text}");
    let flag = workflow(
        "push",
        "",
        &["run: dagster-cloud serverless deploy-python-executable . --api-token user:canary"],
    );
    for text in [text, flag] {
        let plan = plan(&facts(&[("a.yml", text)]));
        assert_eq!(job(&plan).1["dagster_cloud_api_token"], "${{ secrets.DAGSTER_CLOUD_API_TOKEN }}");
        assert!(!format!("{plan:?}").contains("canary"), "{plan:#?}");
        assert!(plan.notes.iter().any(|note| note.contains("revoke it")), "{:?}", plan.notes);
    }
}

#[test]
fn events_are_kept_and_pull_request_target_is_not() {
    let on = "{workflow_dispatch: {inputs: {full: {type: boolean}}}, schedule: [{cron: '0 5 * * *'}], pull_request_target: {types: [opened], branches: [main]}}";
    let plan = plan(&facts(&[("a.yml", workflow(on, "", &[DEPLOY]))]));
    let want = json!({
        "pull_request": {"types": ["opened", "synchronize", "reopened", "closed"], "branches": ["main"]},
        "workflow_dispatch": {"inputs": {"full": {"type": "boolean"}}},
        "schedule": [{"cron": "0 5 * * *"}],
    });
    assert_eq!(written(&plan)["on"], want);
}

#[test]
fn filters_that_only_one_workflow_has_are_dropped() {
    let plan = plan(&facts(&[
        ("a.yml", workflow("{push: {branches: [main], paths: [a/**]}}", "", &[DEPLOY])),
        ("b.yml", workflow("{push: {branches: [main]}}", "", &[DEPLOY])),
    ]));
    assert_eq!(written(&plan)["on"], json!({"push": {"branches": ["main"]}}));
}

#[test]
fn variables_stay_where_they_are_used() {
    let text = workflow(
        "push",
        "    env: {INDEX: x, PYTHON_VERSION: '3.12'}\n",
        &[DEPLOY, "run: echo $PYTHON_VERSION"],
    );
    let text = format!(
        "env: {{DAGSTER_CLOUD_API_TOKEN: '${{{{ secrets.T }}}}', GITHUB_TOKEN: t}}\n{text}  launch:\n    runs-on: x\n    needs: deploy\n    steps:\n    - uses: dagster-io/dagster-cloud-action/actions/launch_job@v1\n"
    );
    let plan = plan(&facts(&[("a.yml", text)]));
    let new = written(&plan);
    assert_eq!(new["env"], json!({"DAGSTER_CLOUD_API_TOKEN": "${{ secrets.T }}", "GITHUB_TOKEN": "t"}));
    assert_eq!(new["jobs"]["deploy"]["env"], json!({"PYTHON_VERSION": "3.12", "INDEX": "x"}));
    assert_eq!(new["jobs"]["launch"]["needs"], json!(["deploy"]));
}

#[test]
fn other_jobs_keep_their_events_and_can_read_the_code() {
    let other = |run: &str| format!("  test:\n    runs-on: x # ours\n    steps: [{{run: {run}}}]\n");
    let push = workflow("push", "", &[DEPLOY]);
    let pull = workflow("{pull_request: {types: [opened, closed]}}", "", &[DEPLOY]);
    let same = plan(&facts(&[("a.yml", push.clone() + &other("a")), ("b.yml", pull.clone() + &other("a"))]));
    assert!(same.files[0].text.ends_with("\n  test:\n    permissions:\n      contents: read\n    runs-on: x # ours\n    steps: [{run: a}]\n"), "{}", same.files[0].text);
    let differ = plan(&facts(&[("a.yml", push + &other("a")), ("b.yml", pull + &other("b"))]));
    let jobs = written(&differ)["jobs"].clone();
    assert_eq!(jobs["test"]["if"], "github.event_name != 'pull_request'");
    assert_eq!(jobs["test-2"]["if"], "github.event_name == 'pull_request'");
    assert_eq!(jobs["test-2"]["steps"], json!([{"run": "b"}]));
}

#[test]
fn permissions_that_steps_need_are_kept_or_seen() {
    for (top, step, want) in [
        ("", "run: make", json!({"contents": "read"})),
        ("", "run: ./push ghcr.io/a/b", json!({"contents": "read", "packages": "write"})),
        ("permissions: {contents: write}\n", "run: git push", json!({"contents": "write"})),
        ("permissions: {id-token: write}\n", "run: make", json!({"contents": "read", "id-token": "write"})),
        ("permissions: write-all\n", "run: make", json!({"contents": "read"})),
    ] {
        let plan = plan(&facts(&[("a.yml", format!("{top}{}", workflow("push", "", &[step, DEPLOY])))]));
        assert_eq!(job(&plan).0["permissions"], want, "{top}{step}");
    }
}

#[test]
fn a_closed_pull_request_does_not_wait_for_other_jobs() {
    let on = "{pull_request: {types: [opened, synchronize, reopened, closed]}}";
    let text = workflow(on, "    needs: test\n    if: github.actor != 'bot'\n", &[DEPLOY]);
    let text = format!("{text}  test:\n    runs-on: x\n    steps: [{{run: make}}]\n");
    let (job, _) = job(&plan(&facts(&[("a.yml", text)])));
    assert_eq!(job["if"], "(success() || github.event.action == 'closed') && (github.actor != 'bot')");
    assert_eq!(job["needs"], json!(["test"]));
}

#[test]
fn a_condition_on_another_deploy_job_goes_with_it() {
    let first = workflow(
        "push",
        "",
        &["id: w\nuses: dagster-io/dagster-cloud-action/actions/utils/parse_workspace@v1"],
    );
    let docker = "  docker:\n    needs: deploy\n    if: needs.deploy.outputs.build_info\n    runs-on: x\n    steps:\n    - uses: dagster-io/dagster-cloud-action/actions/serverless_prod_deploy@v1\n";
    let plan = plan(&facts(&[("a.yml", first + docker)]));
    let (job, _) = job(&plan);
    assert_eq!((job.get("if"), job.get("needs")), (None, None));
    assert!(plan.notes[0].starts_with("the old workflow builds Docker images"), "{:?}", plan.notes);
}

#[test]
fn a_reusable_workflow_stays() {
    let plan = plan(&facts(&[("a.yml", workflow("workflow_call", "", &[DEPLOY]))]));
    assert_eq!(plan.only_reusable.as_deref(), Some(".github/workflows/a.yml"));
    assert_eq!(plan.moves, []);
}

#[test]
fn a_check_in_a_test_workflow_is_not_a_deploy() {
    let steps = ["run: make test", "run: dagster-cloud ci check --project-dir ."];
    let plan = plan(&facts(&[("tests.yml", workflow("push", "", &steps))]));
    assert_eq!((plan.moves.len(), plan.lines.len()), (0, 0));
}

#[test]
fn another_project_of_the_repository_is_left_alone() {
    let of = |file: &str| {
        let step = format!("{DEPLOY}\nwith: {{dagster_cloud_file: {file}}}");
        workflow("{push: {branches: [main]}}", "", &[&step])
    };
    let mut facts = facts(&[("a.yml", of("a/dagster_cloud.yaml")), ("b.yml", of("b/dagster_cloud.yaml"))]);
    facts.project = Some(FoundProject { file: "b/dagster_cloud.yaml".into(), locations: Vec::new() });
    facts.directory = "b".into();
    let plan = plan(&facts);
    assert_eq!(job(&plan).1["dagster_cloud_file"], "b/dagster_cloud.yaml");
    assert_eq!(
        plan.moves.iter().map(|moved| moved.from.as_str()).collect::<Vec<_>>(),
        [".github/workflows/b.yml"]
    );
    let note = plan.notes.iter().find(|note| note.contains("another project")).unwrap();
    insta::assert_snapshot!(note, @"the job `deploy` of .github/workflows/a.yml deploys another project, `a/dagster_cloud.yaml`, and stays as it is; `pexpress init DIRECTORY --workflow NAME.yml` takes over that one");
}

#[test]
fn a_script_keeps_what_is_not_a_deploy() {
    let script =
        "run: |\n  dagster-cloud ci init --deployment prod\n  ./scripts/report\n  dagster-cloud ci deploy";
    let plan = plan(&facts(&[("a.yml", workflow("push", "", &[script]))]));
    let (job, _) = job(&plan);
    assert_eq!(job["steps"][1]["run"], "./scripts/report");
}

#[test]
fn an_output_of_the_deploy_step_is_still_one() {
    let plan = plan(&facts(&[(
        "a.yml",
        workflow(
            "push",
            "",
            &[
                &format!("id: ship\n{DEPLOY}"),
                "run: ./tell ${{ steps.ship.outputs.deployment }} ${{ steps.ship.outputs.x }}",
            ],
        ),
    )]));
    let (job, _) = job(&plan);
    assert_eq!(job["steps"][1]["id"], "pexpress");
    assert_eq!(
        job["steps"][2]["run"],
        "./tell ${{ steps.pexpress.outputs.deployment }} ${{ steps.ship.outputs.x }}"
    );
    assert!(plan.notes.iter().any(|note| note.contains("uses `steps.ship`")), "{:?}", plan.notes);
}

#[test]
fn addresses_and_organizations_become_the_inputs_that_say_it_all() {
    for (env, want) in [
        ("{DAGSTER_CLOUD_ORGANIZATION: acme}", json!({"organization": "acme"})),
        (
            "{DAGSTER_CLOUD_URL: 'http://acme.dagster.cloud'}",
            json!({"dagster_cloud_url": "https://acme.dagster.cloud"}),
        ),
        (
            "{DAGSTER_CLOUD_ORGANIZATION: acme, DAGSTER_CLOUD_URL: 'https://dagster.cloud/acme'}",
            json!({"organization": "acme"}),
        ),
        (
            "{DAGSTER_CLOUD_ORGANIZATION: acme, DAGSTER_CLOUD_URL: 'https://acme.eu.dagster.cloud'}",
            json!({"dagster_cloud_url": "https://acme.eu.dagster.cloud"}),
        ),
        (
            "{DAGSTER_CLOUD_ORGANIZATION: acme, DAGSTER_CLOUD_URL: 'https://acme.dagster.cloud/staging'}",
            json!({"dagster_cloud_url": "https://acme.dagster.cloud/staging"}),
        ),
        (
            "{DAGSTER_CLOUD_ORGANIZATION: '${{ secrets.O }}', DAGSTER_CLOUD_URL: '${{ secrets.U }}'}",
            json!({"organization": "${{ secrets.O }}", "dagster_cloud_url": "${{ secrets.U }}"}),
        ),
        ("{X: y}", json!({"organization": "${{ vars.DAGSTER_CLOUD_ORGANIZATION }}"})),
    ] {
        let plan = plan(&facts(&[("a.yml", format!("env: {env}\n{}", workflow("push", "", &[DEPLOY])))]));
        let mut inputs = job(&plan).1;
        inputs.as_object_mut().unwrap().remove("dagster_cloud_api_token");
        assert_eq!(inputs, want, "{env}");
    }
}

/// Two workflows for two deployments: what only one of them says is only for its branch.
#[test]
fn what_differs_by_branch_stays_so() {
    let of = |branch: &str, python: &str, steps: &[&str]| {
        let deploy = format!(
            "{DEPLOY}\nwith: {{deployment: {branch}, python_version: '{python}'}}\nenv: {{INDEX: {branch}}}"
        );
        let steps: Vec<&str> = steps.iter().copied().chain([deploy.as_str()]).collect();
        let text =
            workflow(&format!("{{push: {{branches: [{branch}], paths-ignore: [{branch}/**]}}}}"), "", &steps);
        format!("env: {{TARGET: {branch}}}\n{text}")
    };
    let pull = workflow("{pull_request: {types: [opened, closed]}}", "", &["run: make next", DEPLOY]);
    let plan = plan(&facts(&[
        ("a.yml", of("main", "3.11", &["run: make both $TARGET", "run: make main"])),
        (
            "b.yml",
            of("next", "3.12", &["run: make both $TARGET", "run: make next"])
                .replace(", paths-ignore: [next/**]", ""),
        ),
        ("c.yml", pull),
    ]));
    let (job, inputs) = job(&plan);
    assert_eq!(inputs["python_version"], "${{ github.ref_name == 'main' && '3.11' || '3.12' }}");
    let both = "${{ github.ref_name == 'main' && 'main' || 'next' }}";
    assert_eq!((&job["env"]["TARGET"], &job["steps"][4]["env"]["INDEX"]), (&json!(both), &json!(both)));
    let conditions: Vec<Option<&str>> = (1..4).map(|at| job["steps"][at]["if"].as_str()).collect();
    assert_eq!(
        conditions,
        [
            Some("github.event_name != 'pull_request'"),
            Some("(github.event_name == 'pull_request' || github.ref_name == 'next')"),
            Some("github.event_name != 'pull_request' && github.ref_name == 'main'"),
        ]
    );
    let lines: Vec<String> = plan.lines.iter().map(ToString::to_string).collect();
    let said = |what: &str| lines.iter().any(|line| line.contains(what));
    assert!(said("paths-ignore of `push` → dropped: another workflow deploys without it"), "{lines:#?}");
    assert!(said(&format!("env.TARGET → taken as `{both}`")), "{lines:#?}");
}

/// The condition of one job kept what the other deploys from being deployed.
#[test]
fn conditions_of_jobs_choose_the_deployment() {
    let of = |other: &str| {
        let step = |deployment: &str| format!("{DEPLOY}\nwith: {{deployment: {deployment}}}");
        let first = workflow(
            "{push: {branches: [main, next]}, pull_request: {types: [opened, closed]}}",
            &format!("    environment: prod\n    if: {other}\n"),
            &[&step("prod")],
        );
        let second = workflow(
            "x",
            "    environment: next\n    if: github.ref == 'refs/heads/next'\n",
            &[&step("staging")],
        );
        let second = second.split_once("deploy:").unwrap().1;
        plan(&facts(&[("a.yml", format!("{first}  second:{second}"))]))
    };
    let (new, inputs) = job(&of("github.ref == 'refs/heads/main' || github.event_name == 'pull_request'"));
    assert_eq!(inputs["deployment"], "${{ github.ref_name == 'main' && 'prod' || 'staging' }}");
    assert_eq!(new.get("if"), None);
    assert_eq!(
        new["environment"],
        "${{ (github.event_name == 'pull_request' || github.ref_name == 'main') && 'prod' || github.ref_name == 'next' && 'next' || '' }}"
    );
    let unclear = of("github.actor != 'bot'");
    insta::assert_snapshot!(unclear.notes.join("\n"), @"the condition of the job `deploy`, `github.actor != 'bot'`, is for all deployments now: look at the `if` of the new job");
}

#[test]
fn a_loop_around_a_deploy_leaves_no_broken_script() {
    let around = |more: &str| {
        format!("run: |\n  for l in a b; do\n    dagster-cloud ci deploy --location-name=$l\n{more}  done")
    };
    let steps = |more: &str| {
        job(&plan(&facts(&[("a.yml", workflow("push", "", &[&around(more)]))]))).0["steps"].clone()
    };
    assert_eq!(steps("").as_array().unwrap().len(), 2);
    assert_eq!(steps("    ./tell $l\n")[1]["run"], "for l in a b; do\n  :\n  ./tell $l\ndone");
}

/// It was taken as a variable of the runner, which is empty: everything went to the default deployment.
#[test]
fn a_variable_of_an_old_script_is_not_one_of_the_runner() {
    for script in [
        "if [ $GITHUB_REF = refs/heads/main ]; then D=prod; else D=staging; fi",
        "D=$(./name)",
        "export D=staging",
        "for D in a b; do",
    ] {
        let step = format!(
            "run: |\n  {script}\n  dagster-cloud serverless deploy-python-executable . --deployment $D"
        );
        let plan = plan(&facts(&[("a.yml", workflow("push", "", &[&step]))]));
        assert_eq!(job(&plan).1["deployment"], "$D", "{script}");
        assert!(
            plan.notes.iter().any(|note| note.starts_with("`$D` in the input `deployment`")),
            "{:?}",
            plan.notes
        );
    }
    let steps = [
        "run: echo \"D=x\" >> $GITHUB_ENV",
        "run: dagster-cloud ci init --deployment $D",
        "run: dg plus deploy",
    ];
    let plan = plan(&facts(&[("a.yml", workflow("push", "", &steps))]));
    assert_eq!(job(&plan).1["deployment"], "${{ env.D }}");
}

/// Groups are of the whole repository: with one name, runs of two projects cancelled each other.
#[test]
fn each_workflow_has_a_concurrency_group_of_its_own() {
    for (name, want) in [("dagster-plus.yml", "dagster-${{"), ("ml.yaml", "dagster-ml-${{")] {
        let facts = Facts { workflow_name: name.into(), ..facts(&[]) };
        let group = written(&plan(&facts))["concurrency"]["group"].clone();
        assert!(group.as_str().unwrap().starts_with(want), "{group}");
    }
}

#[test]
fn scripts_of_other_jobs_keep_the_variables_of_their_workflow() {
    let other = |run: &str| format!("  after:\n    runs-on: x\n    steps: [{{run: {run}}}]\n");
    for (run, want) in [
        ("python changed.py", json!({"DAGSTER_CLOUD_API_TOKEN": "${{ secrets.T }}", "X": "y"})),
        ("gh pr list", json!({"GITHUB_TOKEN": "t"})),
        ("pytest", Value::Null),
    ] {
        let top = "env: {DAGSTER_CLOUD_API_TOKEN: '${{ secrets.T }}', X: y, GITHUB_TOKEN: t, PYTHON_VERSION: '3.12'}\n";
        let plan =
            plan(&facts(&[("a.yml", format!("{top}{}{}", workflow("push", "", &[DEPLOY]), other(run)))]));
        assert_eq!(written(&plan)["env"], want, "{run}");
    }
}

#[test]
fn images_that_some_runs_do_not_push_have_a_note() {
    let push = |condition: &str| {
        format!(
            "name: Push a\nif: {condition}\nuses: docker/build-push-action@v6\nwith: {{push: true, tags: 'r/a:x-a'}}"
        )
    };
    let deploy = "run: dagster-cloud ci set-build-output --location-name a --image-tag x-a";
    for (condition, want) in
        [("steps.prerun.outputs.result != 'skip'", 0), ("steps.changed.outputs.a == 'true'", 1)]
    {
        let plan = plan(&facts(&[("a.yml", workflow("push", "", &[&push(condition), deploy]))]));
        let notes =
            plan.notes.iter().filter(|note| note.starts_with("step \"Push a\" push an image only under"));
        assert_eq!(notes.count(), want, "{:?}", plan.notes);
    }
}

#[test]
fn an_action_of_dagster_that_is_not_known_has_a_note() {
    let old = "uses: dagster-io/cloud-branch-deployments-action/deploy@main";
    let plan = plan(&facts(&[("a.yml", workflow("push", "", &[old]))]));
    assert!(
        plan.notes[0].starts_with(".github/workflows/a.yml uses dagster-io/cloud-branch"),
        "{:?}",
        plan.notes
    );
}

/// Workflows that are cut, doubled or shifted somewhere must not end in a panic or in a file that is not YAML.
#[test]
fn a_damaged_workflow_leads_to_yaml_or_a_note() {
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/init");
    let mut read = 0;
    for fixture in std::fs::read_dir(directory).unwrap() {
        let workflows = std::fs::read_dir(fixture.unwrap().path().join("workflows"));
        for file in workflows.into_iter().flatten() {
            let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
            let lines: Vec<&str> = text.lines().collect();
            for at in (0..lines.len()).step_by(3) {
                let rest = || lines.iter().skip(at + 1);
                for damaged in [vec![], vec![lines[at], lines[at]], vec!["é: \"ü"], vec!["  if: é && (ü"]]
                {
                    let all: Vec<&str> =
                        lines.iter().take(at).chain(&damaged).chain(rest()).copied().collect();
                    let plan = plan(&facts(&[("a.yml", all.join("\n"))]));
                    let is_yaml = serde_yaml::from_str::<Value>(&plan.files[0].text).is_ok();
                    assert!(is_yaml, "{}\n---\n{}", all.join("\n"), plan.files[0].text);
                    read += 1;
                }
            }
        }
    }
    assert!(read > 500, "{read}");
}
