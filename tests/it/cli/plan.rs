//! `plan` against a stand-in: which code locations count as changed, and that it changes nothing itself.

use crate::deploy::whole::{TO_PROD, deploy, in_pull_request, payload, ran};
use crate::support::assert_no_secret;
use crate::support::pexpress_with_uv;
use crate::support::said::{lines, messages};
use crate::support::small_project::write_project;
use crate::support::standin::Standin;
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Command, Output};

const CACHE: [&str; 2] = ["--deps-cache-from", "t"];

/// `plan` of the project in `dir`.
fn plan(standin: &Standin, dir: &Path) -> Command {
    let mut command = pexpress_with_uv();
    standin.point(&mut command).arg("plan").arg(dir).current_dir(dir).args(["--shards", "3"]);
    command
}

struct Planned {
    /// Names, job by job.
    jobs: Vec<Vec<String>>,
    stderr: String,
}

fn planned(command: &mut Command) -> Planned {
    let Output { status, stdout, stderr } = command.output().unwrap();
    [&stdout, &stderr].iter().for_each(|said| assert_no_secret(&String::from_utf8_lossy(said)));
    let stderr = String::from_utf8(stderr).unwrap();
    assert!(status.success(), "{stderr}");
    let text = String::from_utf8(stdout).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    let matrix: Value = serde_json::from_str(&text).unwrap();
    let job = |job: &Value| -> Vec<String> {
        let names: Vec<String> = serde_json::from_value(job["names"].clone()).unwrap();
        assert_eq!(job["locations"], json!(names.join("\n")));
        names
    };
    Planned { jobs: matrix["include"].as_array().unwrap().iter().map(job).collect(), stderr }
}

/// Check that nothing was created or changed since the journal was cleared.
fn assert_only_asked(standin: &Standin) {
    let journal = standin.journal();
    let asks = [
        "currentDeployment",
        "serverless",
        "workspace",
        "workspaceOrError",
        "generateServerlessPexUrl",
        "getBranchDeploymentName",
    ];
    for call in journal.calls() {
        assert!(call.starts_with("GET ") || asks.contains(&call.as_str()), "{:#?}", journal.calls());
    }
    journal.assert_clean();
}

/// Users got a matrix of jobs that were all refused.
#[test]
fn a_hybrid_deployment_has_no_plan() {
    let standin = Standin::start(json!({"deployments": [{"name": "prod", "agent_type": "HYBRID"}]}));
    let dir = tempfile::tempdir().unwrap();
    write_project(dir.path(), &[("one", "")]);
    let Output { status, stdout, stderr } = plan(&standin, dir.path()).args(TO_PROD).output().unwrap();
    let stderr = String::from_utf8(stderr).unwrap();
    assert_eq!((status.code(), stdout.as_slice()), (Some(1), &b""[..]), "{stderr}");
    insta::assert_snapshot!(messages(&stderr), @r#"
    error: `one` needs an image on a Hybrid deployment, and no registry is given to push it to
      at: dagster_cloud.yaml:2:5
    hint: name a repository with --image-registry, or as `build: {registry: …}` in the entry of the code location; an image that exists already is named by --image-of
    "#);
}

/// A project with three code locations in two requirement sets, deployed to `prod`.
fn deployed() -> (Standin, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    write_project(dir.path(), &[("one", ""), ("two", "extra==1"), ("three", "")]);
    let standin = Standin::start(json!({}));
    let first = ran(deploy(&standin, dir.path()).args(TO_PROD).args(["--deps-cache-to", "t"]));
    assert_eq!(first.code, Some(0), "{}", first.stderr);
    standin.control("journal", &Value::Null);
    (standin, dir)
}

#[test]
fn only_code_locations_that_have_changed_are_planned() {
    let (standin, dir) = deployed();
    let plan_prod = || planned(plan(&standin, dir.path()).args(TO_PROD).args(CACHE));
    let none = plan_prod();
    assert_eq!(none.jobs, Vec::<Vec<String>>::new(), "{}", none.stderr);
    insta::assert_snapshot!(lines(&none.stderr, " code locations to deploy"), @"0 of 3 code locations to deploy");

    std::fs::write(dir.path().join("one/defs.py"), "changed = 1\n").unwrap();
    let source = plan_prod();
    assert_eq!(source.jobs, [["one"]]);
    insta::assert_snapshot!(lines(&source.stderr, "one: "), @"one: its source PEX differs");

    let requirements = dir.path().join("two/requirements.txt");
    let text = std::fs::read_to_string(&requirements).unwrap();
    std::fs::write(&requirements, text.replace("extra==1", "extra==2")).unwrap();
    assert_eq!(plan_prod().jobs, [["one"], ["two"]]);

    let file = dir.path().join("dagster_cloud.yaml");
    let yaml = std::fs::read_to_string(&file).unwrap();
    std::fs::write(
        &file,
        yaml.replace("location_name: three\n", "location_name: three\n    attribute: defs\n"),
    )
    .unwrap();
    let document = plan_prod();
    assert_eq!(document.jobs, [["one", "three"].as_slice(), &["two"]]);
    insta::assert_snapshot!(lines(&document.stderr, "three: "), @"three: its `attribute` differs");
    assert_only_asked(&standin);
}

#[test]
fn failed_or_unknown_code_locations_are_planned() {
    let dir = tempfile::tempdir().unwrap();
    write_project(dir.path(), &[("good", ""), ("bad", "")]);
    let standin = Standin::start(json!({"load": {"bad": {"error": {"message": "ImportError: x"}}}}));
    ran(deploy(&standin, dir.path()).args(TO_PROD).args(["--deps-cache-to", "t"]));
    standin.control("journal", &Value::Null);
    let failed = planned(plan(&standin, dir.path()).args(TO_PROD).args(CACHE));
    assert_eq!(failed.jobs, [["bad"]]);
    insta::assert_snapshot!(lines(&failed.stderr, "bad: "), @"bad: it failed to load");
    // Without a deps cache entry, the result of a build is not known.
    let unknown = planned(plan(&standin, dir.path()).args(TO_PROD));
    assert_eq!(unknown.jobs, [["good", "bad"]]);
    insta::assert_snapshot!(lines(&unknown.stderr, "good: "), @"good: its deps PEX is not known before it is built");
    insta::assert_snapshot!(lines(&unknown.stderr, "--deps-cache-from"), @"warning: without --deps-cache-from every deps PEX counts as changed: only an entry of the deps cache shows what a build would produce");
    assert_only_asked(&standin);
}

#[test]
fn a_pull_request_is_compared_with_its_branch_deployment_or_its_base() {
    let (standin, dir) = deployed();
    let on_branch = |command: &mut Command, action: &str| {
        planned(in_pull_request(command, dir.path(), &payload(action)).args(CACHE))
    };
    let plan_branch = |action: &str| on_branch(&mut plan(&standin, dir.path()), action);
    assert_eq!(plan_branch("opened").jobs, Vec::<Vec<String>>::new());
    std::fs::write(dir.path().join("one/defs.py"), "changed = 1\n").unwrap();
    assert_eq!(plan_branch("opened").jobs, [["one"]]);
    assert_only_asked(&standin);

    let command = &mut deploy(&standin, dir.path());
    let sent = ran(in_pull_request(command, dir.path(), &payload("opened")).args(["--location", "one"]));
    assert_eq!(sent.code, Some(0), "{}", sent.stderr);
    standin.control("journal", &Value::Null);
    assert_eq!(plan_branch("synchronize").jobs, Vec::<Vec<String>>::new());
    // The branch deployment counts, although the base runs the same.
    std::fs::write(dir.path().join("one/defs.py"), "name = 'one'\n").unwrap();
    assert_eq!(plan_branch("synchronize").jobs, [["one"]]);
    assert_eq!(plan_branch("closed").jobs, Vec::<Vec<String>>::new());
    assert_only_asked(&standin);
}

#[test]
fn without_a_token_or_on_demand_all_code_locations_are_planned() {
    let dir = tempfile::tempdir().unwrap();
    write_project(dir.path(), &[("one", ""), ("two", "extra==1"), ("three", "")]);
    let plan = |flags: &[&str]| {
        let mut command = pexpress_with_uv();
        command.arg("plan").current_dir(dir.path()).args(flags);
        command
    };
    for (flags, jobs, says) in [
        (&["--shards", "2"][..], vec![vec!["one", "three"], vec!["two"]], "Dagster+ cannot be queried"),
        (&["--all"], vec![vec!["one", "two", "three"]], "--all was given"),
        (&["--all", "--location", "two"], vec![vec!["two"]], "1 of 1 code location to deploy, in 1 job"),
    ] {
        let got = planned(&mut plan(flags));
        assert_eq!(got.jobs, jobs);
        assert!(got.stderr.contains(says), "{}", got.stderr);
    }
    let mut closed = plan(&[]);
    let closed = planned(in_pull_request(&mut closed, dir.path(), &payload("closed")));
    assert_eq!(closed.jobs, Vec::<Vec<String>>::new(), "{}", closed.stderr);
    let refused = plan(&["--shards", "0"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
}

#[test]
fn an_unreachable_deployment_is_an_error_without_a_matrix() {
    let dir = tempfile::tempdir().unwrap();
    write_project(dir.path(), &[("one", "")]);
    let standin = Standin::start(json!({"faults": [{"operation": "*", "times": 0, "status": 401}]}));
    for command in [
        plan(&standin, dir.path()).args(TO_PROD),
        in_pull_request(&mut plan(&standin, dir.path()), dir.path(), &payload("opened")),
    ] {
        let output = command.output().unwrap();
        assert_eq!((output.status.code(), output.stdout.is_empty()), (Some(3), true));
    }
}
