//! Runs that are cancelled at any stage, with a slow GitHub: no more requests to Dagster+ start, and log, outputs,
//! summary and comment agree.

use crate::support::github_standin::GithubStandin;
use crate::support::pexpress_with_uv;
use crate::support::small_project::write_project;
use crate::support::standin::Standin;
use crate::support::step::{Ran, Running, Step, pull_request};
use crate::support::timed::timed;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Stdio;
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
    // Requests on their way have arrived by then.
    std::thread::sleep(Duration::from_millis(300));
    let before = dagster.journal().calls().len();
    let ran = running.finish();
    assert!(began.elapsed() < UNTIL_THE_KILL, "{:?}: {}", began.elapsed(), ran.log);
    assert_eq!(dagster.journal().calls().len(), before, "{:#?}\n{}", dagster.journal().calls(), ran.log);
    ran
}

/// The last sentence in the log.
fn sentence(ran: &Ran) -> String {
    let line = ran.log.lines().find_map(|line| line.strip_prefix("interrupted: "));
    line.unwrap_or_else(|| panic!("{}", ran.log)).to_string()
}

/// Users saw `nothing was changed`, a code location that was updated a moment later, and a comment that said `built`.
#[test]
#[ignore = "a minute"]
fn a_cancelled_run_stops_anywhere_and_reports_the_same_everywhere() {
    let _timed = timed();
    for latency in [1, 3] {
        let github = GithubStandin::start(json!({"latency_seconds": latency}));
        for (field, at_least, says) in [
            ("currentDeployment", 1, "nothing was changed at Dagster+"),
            ("createOrUpdateBranchDeployment", 1, "the branch deployment"),
            ("PUT", 1, "PEX file"),
            ("deployLocations", 1, "one"),
            ("workspaceOrError", 3, "one, two had been updated but not seen to load"),
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
            // The report of each code location is true.
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
#[ignore = "a quarter of a minute"]
fn a_signal_during_the_report_to_github_costs_neither_outputs_nor_summary() {
    let _timed = timed();
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

/// A setup.py that does not end: it starts a process that ignores SIGTERM and one with a session of its own, and writes
/// the pids of all three to `pids`.
const ENDLESS: &str = "
import os, subprocess, sys
stubborn = subprocess.Popen(['sh', '-c', 'trap \"\" TERM; while :; do sleep 0.1; done'])
apart = subprocess.Popen(['sleep', '600'], start_new_session=True)
open('pids.new', 'w').write(f'{os.getpid()} {stubborn.pid} {apart.pid}')
os.rename('pids.new', 'pids')
stubborn.wait()
";

/// A project whose code location `one` has [`ENDLESS`] code that a build runs.
fn endless_project(dir: &Path) {
    write_project(dir, &[("one", "")]);
    std::fs::remove_file(dir.join("one/requirements.txt")).unwrap();
    std::fs::write(dir.join("one/setup.py"), ENDLESS).unwrap();
    std::fs::create_dir(dir.join("temp")).unwrap();
}

/// Wait until the code of [`endless_project`] runs.
fn await_endless(dir: &Path) {
    let began = Instant::now();
    while !dir.join("one/pids").is_file() {
        assert!(began.elapsed() < Duration::from_secs(30), "setup.py was not run");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Nothing that [`ENDLESS`] code started still runs, and no temporary directory is left.
fn assert_nothing_left(dir: &Path, what: &str) {
    let pids = std::fs::read_to_string(dir.join("one/pids")).unwrap();
    let state = |pid: &str| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        Some(stat.rsplit_once(')')?.1.trim().chars().next()? != 'Z')
    };
    let left: Vec<&str> = pids.split(' ').filter(|pid| state(pid) == Some(true)).collect();
    for pid in &left {
        let pid = Pid::from_raw(pid.parse().unwrap()).unwrap();
        kill_process(pid, Signal::KILL).unwrap();
    }
    assert_eq!(left, Vec::<&str>::new(), "{what}: of {pids}");
    let temporary: Vec<_> = std::fs::read_dir(dir.join("temp"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .filter(|name| name.to_string_lossy().starts_with("pexpress-"))
        .collect();
    assert!(temporary.is_empty(), "{what}: {temporary:?}");
}

/// Users saw their own code run for another minute after its step was cancelled.
#[test]
#[cfg(target_os = "linux")]
fn a_cancelled_step_ends_the_processes_that_it_started() {
    let (dagster, github) = (Standin::start(json!({})), GithubStandin::start(json!({})));
    let dir = tempfile::tempdir().unwrap();
    endless_project(dir.path());
    let running = Step::new(dir.path(), &dagster, &github)
        .with("TMPDIR", dir.path().join("temp").to_str().unwrap())
        .event("pull_request", &pull_request("synchronize"))
        .start();
    await_endless(dir.path());
    running.interrupt();
    let began = Instant::now();
    let ran = running.finish();
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}: {}", began.elapsed(), ran.log);
    assert_eq!((ran.code, ran.output("result")), (Some(130), "cancelled"), "{}", ran.log);
    assert!(!ran.log.contains("setup.py"), "the end of a child that we ended is reported: {}", ran.log);
    assert_nothing_left(dir.path(), &ran.log);
}

/// The same for commands that change nothing at Dagster+.
#[test]
#[cfg(target_os = "linux")]
fn every_command_ends_the_processes_that_it_started() {
    for (arguments, signal) in [
        (&["deps", "one", "out"][..], Signal::TERM),
        (&["deps", "one", "--dry-run"], Signal::INT),
        (&["deploy", "dagster_cloud.yaml", "out"], Signal::TERM),
        (&["deploy", "dagster_cloud.yaml", "out", "--dry-run"], Signal::INT),
    ] {
        let dir = tempfile::tempdir().unwrap();
        endless_project(dir.path());
        let child = pexpress_with_uv()
            .args(arguments)
            .current_dir(dir.path())
            .env("TMPDIR", dir.path().join("temp"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        await_endless(dir.path());
        kill_process(Pid::from_child(&child), signal).unwrap();
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        let what = format!("{arguments:?}: {said}");
        assert_eq!(output.status.code(), Some(128 + signal.as_raw()), "{what}");
        assert!(!said.contains("error"), "{what}");
        assert_nothing_left(dir.path(), &what);
    }
}
