//! The Dagster+ agent's own classes, from PyPI, load our files with `tests/consumer/serve_location.py`.

use crate::support::environments::{environment, is_here};
use crate::support::timed::timed;
use crate::support::{BuiltPair, build_pair, quickstart, repository};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;

/// What the agent finds in the quickstart of `pair` on Python `version`, with no other Python in sight:
/// `{"repositories": …}` or `{"error": …}`. `more` are further arguments of the script.
pub fn serve(pair: &BuiltPair, version: &str, agent: &[&str], module: &str, more: &[&str]) -> Value {
    let environment = environment(version, agent);
    let home = tempfile::tempdir().unwrap();
    let (location, answer) = (home.path().join("location.json"), home.path().join("answer.json"));
    let document = json!({
        "location_name": "quickstart",
        "code_source": {"module_name": module},
        "pex_metadata": {"pex_tag": pair.tag(), "python_version": version},
    });
    std::fs::write(&location, document.to_string()).unwrap();
    let mut command = Command::new(environment.join("bin/python"));
    command
        .arg(repository().join("tests/consumer/serve_location.py"))
        .args([&pair.dir, &location, &answer])
        .args(more);
    as_agent(&mut command, &environment, home.path());
    let output = command.output().unwrap();
    let text = std::fs::read(&answer)
        .unwrap_or_else(|_| panic!("no answer; stderr: {}", String::from_utf8_lossy(&output.stderr)));
    serde_json::from_slice(&text).unwrap()
}

pub fn quickstart_definitions() -> Value {
    json!({"repositories": {"__repository__": {
        "assets": ["temperatures", "warmest_day"],
        "schedules": ["refresh_schedule"],
    }}})
}

/// The variables that the agent's container has. Source: `PexS3Registry` (`S3_PEX_DISABLED`, `VENVS_ROOT`, `PEX_ROOT`);
/// PATH has only the agent's environment, so that no other interpreter is used.
fn as_agent(command: &mut Command, environment: &Path, home: &Path) {
    command
        .env_clear()
        .env("PATH", environment.join("bin"))
        .env("HOME", home)
        .env("TMPDIR", home)
        .env("DAGSTER_HOME", home)
        .env("S3_PEX_DISABLED", "1")
        .env("VENVS_ROOT", home.join("venvs"))
        .env("PEX_ROOT", home.join("pex_root"));
}

fn the_agent_loads_the_quickstart_on(version: &str) {
    if !is_here(version) {
        return;
    }
    let out = tempfile::tempdir().unwrap();
    let pair = build_pair(&quickstart(), version, out.path());
    assert_eq!(
        serve(&pair, version, &["dagster-cloud"], "quickstart.definitions", &[]),
        quickstart_definitions()
    );
}

#[test]
#[ignore = "a minute, and a package index"]
fn the_agent_loads_the_quickstart_on_python_3_10() {
    let _timed = timed();
    the_agent_loads_the_quickstart_on("3.10");
}

#[test]
#[ignore = "a minute, and a package index"]
fn the_agent_loads_the_quickstart_on_python_3_11() {
    let _timed = timed();
    the_agent_loads_the_quickstart_on("3.11");
}

#[test]
#[ignore = "a minute, and a package index"]
fn the_agent_loads_the_quickstart_on_python_3_12() {
    let _timed = timed();
    the_agent_loads_the_quickstart_on("3.12");
}

#[test]
#[ignore = "a minute, and a package index"]
fn the_agent_loads_the_quickstart_on_python_3_13() {
    let _timed = timed();
    the_agent_loads_the_quickstart_on("3.13");
}

/// The files that the tests below unpack: the quickstart for Python 3.11; `None` if that Python is missing.
fn built_for_3_11() -> Option<(tempfile::TempDir, BuiltPair)> {
    if !is_here("3.11") {
        return None;
    }
    let out = tempfile::tempdir().unwrap();
    let pair = build_pair(&quickstart(), "3.11", out.path());
    Some((out, pair))
}

#[test]
#[ignore = "a minute, and a package index"]
fn an_agent_with_the_oldest_pex_it_may_have_loads_the_quickstart() {
    let _timed = timed();
    let Some((_out, pair)) = built_for_3_11() else { return };
    let agent = ["dagster-cloud", "pex==2.1.132"];
    assert_eq!(serve(&pair, "3.11", &agent, "quickstart.definitions", &[]), quickstart_definitions());
}

#[test]
#[ignore = "a minute, and a package index"]
fn assets_find_the_files_of_the_project_in_their_working_directory() {
    let _timed = timed();
    let Some((_out, pair)) = built_for_3_11() else { return };
    let module = "quickstart.definitions";
    let answer = serve(&pair, "3.11", &["dagster-cloud"], module, &[module]);
    assert_eq!(answer["materialized"], 0, "{answer}");
}

#[test]
#[ignore = "a minute, and a package index"]
fn the_agent_on_another_python_refuses_our_binary_wheels() {
    let _timed = timed();
    if !is_here("3.12") {
        return;
    }
    let Some((_out, pair)) = built_for_3_11() else { return };
    let answer = serve(&pair, "3.12", &["dagster-cloud"], "quickstart.definitions", &[]);
    assert!(answer["error"].to_string().contains("Could not install venv"), "{answer}");
}

#[test]
#[ignore = "a minute, and a package index"]
fn the_agent_reports_a_module_that_is_not_there() {
    let _timed = timed();
    let Some((_out, pair)) = built_for_3_11() else { return };
    let answer = serve(&pair, "3.11", &["dagster-cloud"], "quickstart.absent", &[]);
    assert!(answer["error"].to_string().contains("No module named 'quickstart.absent'"), "{answer}");
}
