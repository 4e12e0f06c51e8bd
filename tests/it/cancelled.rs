//! Runs that are cancelled at any stage, with a GitHub that is slow to answer: nothing begins any more at Dagster+, and
//! log, outputs, summary and comment say the same.

use crate::support::github_standin::GithubStandin;
use crate::support::small_project::write_project;
use crate::support::standin::Standin;
use crate::support::step::{Ran, Running, Step, pull_request};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// From SIGINT to the kill by the runner.
const UNTIL_THE_KILL: Duration = Duration::from_millis(9_900);

/// Cancel a step as soon as `reached` holds.
fn cancel(dagster: &Standin, github: &GithubStandin, reached: &dyn Fn(&Running) -> bool) -> Ran {
    let dir = tempfile::tempdir().unwrap();
    write_project(dir.path(), &[("one", "extra==1"), ("two", "extra==2")]);
    let step = Step::new(dir.path(), dagster, github)
        .with("INPUT_GITHUB_DEPLOYMENT", "true")
        .with("INPUT_COMMIT_STATUS", "true")
        .event("pull_request", &pull_request("synchronize"));
    let mut running = step.start();
    while !reached(&running) {
        assert!(running.is_there(), "it ended first: {}", running.log());
        std::thread::sleep(Duration::from_millis(5));
    }
    running.interrupt();
    let began = Instant::now();
    while !running.log().contains("interrupted:") && running.is_there() {
        std::thread::sleep(Duration::from_millis(5));
    }
    // Those on their way have arrived by then.
    std::thread::sleep(Duration::from_millis(300));
    let before = dagster.journal().calls().len();
    let ran = running.finish();
    assert!(began.elapsed() < UNTIL_THE_KILL, "{:?}: {}", began.elapsed(), ran.log);
    assert_eq!(dagster.journal().calls().len(), before, "{:#?}\n{}", dagster.journal().calls(), ran.log);
    ran
}

/// What was said at the end, in the log.
fn sentence(ran: &Ran) -> String {
    let line = ran.log.lines().find_map(|line| line.strip_prefix("interrupted: "));
    line.unwrap_or_else(|| panic!("{}", ran.log)).to_string()
}

/// Users saw `nothing was changed` and a code location that was updated a moment later, and a comment that said `built`.
#[test]
#[ignore = "a minute, and the stand-ins come from package indexes"]
fn a_cancelled_run_stops_wherever_it_is_and_says_one_thing_everywhere() {
    for latency in [1, 3] {
        let github = GithubStandin::start(json!({"latency_seconds": latency}));
        for (field, at_least, says) in [
            ("currentDeployment", 1, "nothing was changed at Dagster+"),
            ("createOrUpdateBranchDeployment", 1, "the branch deployment"),
            ("PUT", 1, "PEX file"),
            ("deployLocations", 1, "one"),
            ("workspaceOrError", 3, "one, two had been updated and not been seen to load"),
        ] {
            github.control("clear", &Value::Null);
            let dagster = Standin::start(json!({"latency_seconds": 0.2, "load": {"*": {"never": true}}}));
            let ran = cancel(&dagster, &github, &|_| dagster.journal().count(field) >= at_least);
            let what = format!("{latency} s, {field}: {}", ran.log);
            let said = sentence(&ran);
            assert!(said.contains(says), "{what}");
            assert_eq!((ran.code, ran.output("result")), (Some(130), "cancelled"), "{what}");
            assert_eq!(ran.output("reason"), said, "{what}");
            assert_eq!(ran.output("changed") == "false", said.starts_with("nothing"), "{what}");
            let plain = |text: &str| text.replace(['\\', '`'], "");
            assert!(plain(&ran.summary).contains(&plain(&said)), "{what}\n{}", ran.summary);
            let comments = github.bodies();
            let comment = comments.last().unwrap_or_else(|| panic!("no comment: {what}"));
            assert!(plain(comment).contains(&plain(&said)), "{what}\n{comment}");
            assert!(!comment.contains("\u{23f3}") && !comment.contains("| built |"), "{what}\n{comment}");
            let state = github.state();
            if let Some(status) = state["statuses"].as_array().and_then(|all| all.last()) {
                assert_eq!(status["state"], "error", "{what}\n{state:#}");
            }
            assert!(!ran.log[ran.log.find("interrupted:").unwrap()..].contains("Building"), "{what}");
            // What is said of each code location is so.
            let locations = ran.json("locations");
            let updated = dagster.journal().count("deployLocations") > 0;
            for location in locations.as_array().unwrap() {
                let state = location["state"].as_str().unwrap_or("none");
                let possible: &[&str] =
                    if updated { &["unknown", "loading"] } else { &["none", "not_deployed"] };
                assert!(possible.contains(&state), "{what}\n{locations:#}");
            }
        }
    }
}

/// Users lost outputs and summary: the runner killed the step while it waited for GitHub.
#[test]
#[ignore = "a quarter of a minute, and the stand-ins come from package indexes"]
fn a_signal_during_the_report_to_github_costs_neither_outputs_nor_summary() {
    let github = GithubStandin::start(json!({"latency_seconds": 8}));
    let dagster = Standin::start(json!({}));
    let dir = tempfile::tempdir().unwrap();
    write_project(dir.path(), &[("one", "extra==1")]);
    let mut running = Step::new(dir.path(), &dagster, &github)
        .with("INPUT_COMMIT_STATUS", "true")
        .event("pull_request", &pull_request("synchronize"))
        .start();
    while !running.log().contains("Deployed 1 code location") {
        assert!(running.is_there(), "it ended first: {}", running.log());
        std::thread::sleep(Duration::from_millis(5));
    }
    running.interrupt();
    let began = Instant::now();
    let ran = running.finish();
    assert!(began.elapsed() < UNTIL_THE_KILL, "{:?}: {}", began.elapsed(), ran.log);
    assert_eq!((ran.code, ran.output("result")), (Some(0), "success"), "{}", ran.log);
    assert!(ran.summary.contains("Deployed 1 code location"), "{}", ran.summary);
    assert!(
        ran.log.contains("it may still show an older state: the comment on the pull request"),
        "{}",
        ran.log
    );
}
