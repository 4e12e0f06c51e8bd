//! `pexpress selftest`: one line per check, and an exit code that says whether a deploy can work.

use crate::support::fake_uv::FakeUv;
use crate::support::pexpress;
use crate::support::said::plain;
use std::path::Path;
use std::process::Command;

/// An index with only the requested package, without pex.
const ANSWERS: &str = "echo 'lock-version = \"1.0\"'";
const SILENT: &str = "echo 'error: Failed to fetch: error sending request for url (x)' >&2; exit 2";

fn program(dir: &Path, script: &str) -> Command {
    let mut command = pexpress();
    let uv = FakeUv::new(dir, script);
    command.env("PEXPRESS_UV", uv.program()).env("PEXPRESS_CACHE_DIR", dir.join("cache"));
    for name in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
        command.env_remove(name);
    }
    command
}

/// Exit code, and `(check, status, detail)` of each line.
fn report(command: &mut Command) -> (i32, Vec<(String, String, String)>) {
    let output = command.args(["selftest", "--format", "json"]).output().unwrap();
    let checks: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |check: &serde_json::Value, key: &str| check[key].as_str().unwrap().to_string();
    let checks = checks.as_array().unwrap().iter();
    let checks = checks.map(|check| (text(check, "check"), text(check, "status"), text(check, "detail")));
    (output.status.code().unwrap(), checks.collect())
}

fn of<'a>(checks: &'a [(String, String, String)], name: &str) -> (&'a str, &'a str) {
    let found = checks.iter().find(|(check, ..)| check == name);
    let (_, status, detail) = found.unwrap_or_else(|| panic!("no {name} in {checks:?}"));
    (status, detail)
}

#[test]
fn a_silent_index_is_a_network_problem() {
    let dir = tempfile::tempdir().unwrap();
    let (code, checks) = report(&mut program(dir.path(), SILENT));
    assert_eq!(code, 3, "{checks:?}");
    let (status, detail) = of(&checks, "package index");
    assert_eq!(status, "fail");
    assert!(detail.contains("error sending request"), "{detail}");
    assert_eq!(of(&checks, "uv").0, "ok");
    assert_eq!(of(&checks, "cache").0, "ok");
    assert_eq!(of(&checks, "GitHub"), ("ok", "not on a runner"));
}

#[test]
fn any_other_problem_is_one_of_the_machine() {
    let dir = tempfile::tempdir().unwrap();
    let (code, checks) = report(program(dir.path(), ANSWERS).env("PEXPRESS_UV", "/nowhere/uv"));
    assert_eq!(code, 4, "{checks:?}");
    assert_eq!(of(&checks, "uv").0, "fail");
    let (code, checks) = report(&mut program(dir.path(), ANSWERS));
    assert_eq!((code, of(&checks, "package index").0), (4, "ok"), "{checks:?}");
    insta::assert_snapshot!(plain(of(&checks, "PEX runtime").1), @"the package index offers no `pex-2.59.5-py2.py3-none-any.whl` with the pinned SHA-256 [HASH] (let the index mirror this release of pex unchanged)");
}

#[test]
fn passwords_are_not_shown() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = program(dir.path(), ANSWERS);
    command
        .env("HTTPS_PROXY", "http://user:hunter2@127.0.0.1:9")
        .env("PIP_INDEX_URL", "https://a:hunter2@mirror.example/");
    command
        .env("DAGSTER_CLOUD_API_TOKEN", "hunter2")
        .env("DAGSTER_CLOUD_URL", "https://user:hunter2@127.0.0.1:9/prod");
    let (code, checks) = report(&mut command);
    assert_eq!(code, 4);
    assert!(!format!("{checks:?}").contains("hunter2"), "{checks:?}");
    assert_eq!(of(&checks, "proxy"), ("ok", "http://***@127.0.0.1:9/"));
    assert!(of(&checks, "package index").1.contains("https://***@mirror.example/"), "{checks:?}");
    assert_eq!(of(&checks, "Dagster+").0, "fail");
}

#[test]
fn the_text_has_a_line_for_each_check() {
    let dir = tempfile::tempdir().unwrap();
    let output = program(dir.path(), SILENT).arg("selftest").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.lines().all(|line| ["ok  ", "warn", "FAIL"].contains(&&line[..4])), "{text}");
    assert!(text.lines().any(|line| line.starts_with("FAIL  package index")), "{text}");
}
