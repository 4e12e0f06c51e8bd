//! `launch` against the stand-in: which run is launched where, how its end is awaited, and what a signal leaves.

use crate::support::said::{messages, plain};
use crate::support::standin::Standin;
use crate::support::{Running, pexpress};
use pexpress::dagster::runs::{RunOutcome, RunRequest};
use pexpress::error::Explain;
use pexpress::launch::{self, LaunchError};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

/// A secret in the run config, which nothing may print.
const SECRET: &str = "hunter2hunter2";

fn standin(runs: &Value) -> Standin {
    let location = |name: &str| json!({"location_name": name, "code_source": {"package_name": "p"}});
    Standin::start(json!({
        "deployments": [{"name": "prod", "locations": [location("one"), location("two")]}],
        "jobs": {
            "one": {"__repository__": ["__ASSET_JOB", "smoke_test", "nightly"]},
            "two": {"left": ["shared", "own"], "right": ["shared"]},
        },
        "runs": runs,
    }))
}

fn command(standin: &Standin, args: &[&str]) -> Command {
    let mut command = pexpress();
    standin.point(&mut command).args(["launch", "--yes"]).args(args);
    // No work tree says which deployment is meant.
    command.current_dir(std::env::temp_dir());
    command
}

fn launch(standin: &Standin, args: &[&str]) -> Output {
    let output = command(standin, args).output().unwrap();
    for said in [&output.stdout, &output.stderr] {
        assert!(!String::from_utf8_lossy(said).contains(SECRET), "{}", String::from_utf8_lossy(said));
    }
    output
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn runs(standin: &Standin) -> Vec<Value> {
    standin.state()["runs"].as_object().unwrap().values().cloned().collect()
}

#[test]
fn a_run_is_launched_with_its_config_and_tags() {
    let standin = standin(&json!({}));
    let config = json!({"ops": {"a": {"config": {"password": SECRET}}}});
    let tags = json!({"source": "ci", "number": 7});
    let (config, tags) = (config.to_string(), tags.to_string());
    let args = ["smoke_test", "--location", "one", "--config", &config, "--tags", &tags];
    let output = launch(&standin, &[&args[..], &["--asset-key", "raw/orders"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let id = String::from_utf8(output.stdout.clone()).unwrap();
    insta::assert_snapshot!(plain(&stderr(&output)), @"Launched `smoke_test` of one in prod: http://127.0.0.1:[PORT]/prod/runs/00000000-0000-4000-8000-000000000002");
    assert_eq!(standin.state()["runs"].as_object().unwrap().keys().collect::<Vec<_>>(), [id.trim()]);
    let [variables] = &standin.journal().variables("launchRun")[..] else { panic!() };
    assert_eq!(
        variables["executionParams"],
        json!({
            "selector": {
                "repositoryLocationName": "one", "repositoryName": "__repository__", "jobName": "smoke_test",
                "assetSelection": [{"path": ["raw", "orders"]}],
            },
            "runConfigData": {"ops": {"a": {"config": {"password": SECRET}}}},
            "executionMetadata": {"tags": [{"key": "source", "value": "ci"}, {"key": "number", "value": "7"}]},
        })
    );
    standin.journal().assert_clean();
}

#[test]
fn the_only_repository_with_the_job_is_found() {
    let standin = standin(&json!({}));
    let output = launch(&standin, &["own", "-l", "two", "--format", "json"]);
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&answer["deployment"], &answer["job"], &answer["status"]),
        (&json!("prod"), &json!("own"), &Value::Null)
    );
    assert!(
        answer["url"]
            .as_str()
            .unwrap()
            .ends_with(&format!("/prod/runs/{}", answer["run_id"].as_str().unwrap()))
    );
    assert_eq!(runs(&standin)[0]["selector"]["repositoryName"], "left");
    standin.journal().assert_clean();
}

#[test]
fn what_cannot_be_launched_is_named_with_what_there_is() {
    let standin =
        standin(&json!({"nightly": {"config_errors": ["Missing required config entry \"ops\"", "x"]}}));
    let mut said = Vec::new();
    for (args, code) in [
        (&["smoke-tset", "-l", "one"][..], 2),
        (&["smoke_test", "-l", "three"], 2),
        (&["smoke_test", "-l", "ones"], 2),
        (&["shared", "-l", "two"], 2),
        (&["own", "-l", "two", "--repository", "right"], 2),
        (&["nightly", "-l", "one"], 2),
        (&["nightly", "-l", "one", "--config", "{hunter2hunter2"], 2),
        (&["nightly", "-l", "one", "--deployment", "nowhere"], 2),
    ] {
        let output = launch(&standin, args);
        assert_eq!(
            (output.status.code(), output.stdout.len()),
            (Some(code), 0),
            "{args:?}: {}",
            stderr(&output)
        );
        said.push(messages(&stderr(&output)));
    }
    insta::assert_snapshot!(said.join("\n"), @r#"
    error: the code location `one` has no job `smoke-tset`; it has `nightly`, `smoke_test`
    hint: did you mean `smoke_test`?
    error: the deployment `prod` has no code location `three`; it has `one`, `two`
    error: the deployment `prod` has no code location `ones`; it has `one`, `two`
    hint: did you mean `one`?
    error: the code location `two` has the job `shared` in more than one repository: left, right
    hint: name the repository with --repository
    error: the code location `two` has the job `own` not in the repository `right`, but in left
    hint: name the repository with --repository
    error: the run config does not fit the job `nightly`: Missing required config entry "ops"; x
    error: --config cannot be used: line 1, column 2: not JSON
    hint: write a JSON object, such as {"ops": {…}}
    error: there is no deployment `nowhere`; the full deployments of this organization are `prod`
    hint: name one with --deployment; for a branch deployment's base it is --base-deployment
    "#);
    assert_eq!(runs(&standin), [] as [Value; 0]);
}

#[test]
fn the_exit_code_is_that_of_the_run() {
    let standin = standin(&json!({
        "smoke_test": {"states": ["SUCCESS"]}, "nightly": {"states": ["FAILURE"]}, "own": {"states": ["CANCELED"]},
    }));
    let mut said = Vec::new();
    for (job, location, status, code) in
        [("smoke_test", "one", "SUCCESS", 0), ("nightly", "one", "FAILURE", 1), ("own", "two", "CANCELED", 1)]
    {
        let output = launch(&standin, &[job, "-l", location, "--wait", "--format", "json"]);
        assert_eq!(output.status.code(), Some(code), "{}", stderr(&output));
        assert_eq!(serde_json::from_slice::<Value>(&output.stdout).unwrap()["status"], status);
        said.push(messages(&stderr(&output)));
    }
    insta::assert_snapshot!(said.join("\n"), @r#"
    error: the run of `nightly` failed: http://127.0.0.1:[PORT]/prod/runs/00000000-0000-4000-8000-000000000003
    error: the run of `own` was cancelled: http://127.0.0.1:[PORT]/prod/runs/00000000-0000-4000-8000-000000000004
    "#);
}

/// A job that runs twice because an answer was lost writes its data twice.
#[test]
fn a_lost_answer_launches_no_second_run() {
    let standin = standin(&json!({}));
    let lost = json!([{"operation": "launchRun", "apply": true, "reset": true, "times": 2}]);
    standin.control("faults", &lost);
    let connected = standin.connect();
    let request = RunRequest { location: "one".into(), job: "nightly".into(), ..RunRequest::default() };
    launch::launch(&connected.client.at("prod"), &request, None).unwrap();
    assert_eq!((standin.journal().count("launchRun"), runs(&standin).len()), (3, 1));
    // Another launch is another run.
    launch::launch(&connected.client.at("prod"), &request, None).unwrap();
    assert_eq!(runs(&standin).len(), 2);
    standin.control("faults", &json!([{"operation": "launchRun", "times": 0, "reset": true}]));
    let error = launch::launch(&connected.client.at("prod"), &request, None).unwrap_err();
    insta::assert_snapshot!(plain(&format!("{error}\n{}", error.hint().unwrap())), @r#"
    whether the run was launched is not known: http://127.0.0.1:[PORT]/prod/runs
    look at that page before you launch it again
    "#);
    standin.journal().assert_clean();
}

#[test]
fn a_wait_survives_failed_questions_and_ends_with_the_run() {
    let states = ["QUEUED", "STARTING", "STARTED", "STARTED", "SUCCESS"];
    let standin = standin(&json!({"nightly": {"states": states}}));
    let connected = standin.connect();
    let client = connected.client.at("prod");
    let request = RunRequest { location: "one".into(), job: "nightly".into(), ..RunRequest::default() };
    let launched = launch::launch(&client, &request, None).unwrap();
    standin.control("faults", &json!([{"operation": "runOrError", "call": 2, "times": 8, "status": 503}]));
    let interval = Duration::from_secs(5);
    assert_eq!(launch::wait(&client, &launched, interval).unwrap(), RunOutcome::Success);
    let heard = connected.heard.text();
    insta::assert_snapshot!(heard.replace(&launched.run_id, "[ID]"), @r#"
    Run [ID]: queued
    Run [ID]: starting
    Run [ID]: started
    "#);
    // A refused token does not come back.
    standin.control("faults", &json!([{"operation": "runOrError", "times": 0, "status": 403}]));
    let error = launch::wait(&client, &launched, interval).unwrap_err();
    assert!(matches!(error, LaunchError::Unseen { .. }), "{error}");
    standin.control("faults", &json!([{"operation": "runOrError", "times": 0, "status": 503}]));
    let before = standin.journal().count("runOrError");
    launch::wait(&client, &launched, interval).unwrap_err();
    assert_eq!(standin.journal().count("runOrError") - before, 11 * 4);
}

/// A run that was launched goes on unless `--cancel` says otherwise.
#[cfg(unix)]
#[test]
fn a_signal_leaves_the_run_alone_or_cancels_it() {
    use rustix::process::Signal;
    for (flags, status, says) in [
        (&["--wait"][..], "STARTED", "and it goes on"),
        (&["--wait", "--cancel"], "CANCELING", "and it is cancelled"),
    ] {
        let standin = standin(&json!({"nightly": {"states": ["STARTED"]}}));
        let mut command = command(&standin, &["nightly", "-l", "one", "--format", "json"]);
        let mut child =
            Running(command.args(flags).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
        let mut log = BufReader::new(child.0.stderr.take().unwrap());
        let mut line = String::new();
        // After this line the run is known.
        while !line.contains("Run ") {
            line.clear();
            assert_ne!(log.read_line(&mut line).unwrap(), 0);
        }
        child.signal(Signal::INT);
        let mut rest = String::new();
        log.read_to_string(&mut rest).unwrap();
        let stdout = std::io::read_to_string(child.0.stdout.take().unwrap()).unwrap();
        assert_eq!(child.0.wait().unwrap().code(), Some(130), "{rest}");
        let answer: Value = serde_json::from_str(&stdout).unwrap();
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(message.contains(says) && message.contains("/prod/runs/"), "{message}");
        assert!(rest.contains(says), "{rest}");
        assert_eq!(runs(&standin)[0]["status"], status);
        assert_eq!(standin.journal().count("terminateRun"), usize::from(flags.len() == 2));
    }
}
