//! Unique secrets, searched in everything that a run leaves behind.

use crate::support::environments::uv;
use crate::support::fake_uv::FakeUv;
use crate::support::github_standin::{GithubStandin, WRITE};
use crate::support::pexpress;
use crate::support::scripted_server::{Reply, ScriptedServer};
use crate::support::small_project::write_project;
use crate::support::standin::{Standin, TOKEN};
use crate::support::step::{Step, pull_request};
use crate::support::write_executable;
use serde_json::json;
use std::path::{Path, PathBuf};

/// Credentials of a package index, in a variable that uv and pip read.
const INDEX_PASSWORD: &str = "canary-index-password";
/// Credentials of the runner's own services.
const RUNTIME_TOKEN: &str = "canary-runtime-token";

/// A uv that records its arguments and environment, and does its work.
pub fn spying_uv(dir: &Path) -> PathBuf {
    let (script, log) = (dir.join("uv"), dir.join("children"));
    let text = format!(
        "#!/bin/sh\n{{ printf '%s\\n' \"$@\"; tr '\\0' '\\n' </proc/$$/environ; }} >>'{}'\nexec '{}' \"$@\"\n",
        log.display(),
        uv().display()
    );
    write_executable(&script, &text);
    script
}

/// All files below `dir`, with what is in them.
pub fn contents(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(contents(&path));
        } else if let Ok(bytes) = std::fs::read(&path) {
            found.push((path, bytes));
        }
    }
    found
}

pub fn has(bytes: &[u8], secret: &str) -> bool {
    bytes.windows(secret.len()).any(|window| window == secret.as_bytes())
}

#[test]
fn no_file_of_a_run_has_a_secret() {
    let error = json!({"message": "ImportError: no\n", "stack": [], "chain": []});
    let refused =
        json!([{"operation": "PUT", "object": "deps-", "times": 0, "status": 403, "body": "denied"}]);
    for (what, dagster, further) in [
        ("success", json!({}), ("RUNNER_DEBUG", "1")),
        ("a load that fails", json!({"load": {"*": {"error": error}}}), ("RUNNER_DEBUG", "1")),
        ("an upload that is refused", json!({"faults": refused}), ("RUNNER_DEBUG", "1")),
        (
            "a token that is refused",
            json!({"faults": [{"operation": "*", "times": 0, "status": 401, "body": "no"}]}),
            ("CI", "true"),
        ),
        ("GitHub out of reach", json!({}), ("GITHUB_API_URL", "http://127.0.0.1:1")),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).to_str().unwrap().to_string();
        let project = dir.path().join("project");
        std::fs::create_dir(&project).unwrap();
        write_project(&project, &[("one", "")]);
        let (dagster, github) = (Standin::start(dagster), GithubStandin::start(json!({})));
        let ran = Step::new(&project, &dagster, &github)
            .with("PEXPRESS_UV", spying_uv(dir.path()).to_str().unwrap())
            .with("PEXPRESS_CACHE_DIR", &path("cache"))
            .with("INPUT_BUILD_OUTPUT_DIR", &path("out"))
            .with("TMPDIR", dir.path().to_str().unwrap())
            .with("ACTIONS_RUNTIME_TOKEN", RUNTIME_TOKEN)
            .with("UV_INDEX_PRIVATE_USERNAME", "ann")
            .with("UV_INDEX_PRIVATE_PASSWORD", INDEX_PASSWORD)
            .with(further.0, further.1)
            .event("pull_request", &pull_request("opened"))
            .run();
        let unmasked: Vec<&str> = ran.log.lines().filter(|line| !line.starts_with("::add-mask::")).collect();
        let mut places = contents(dir.path());
        places.push(("log".into(), unmasked.join("\n").into_bytes()));
        places.push(("summary".into(), ran.summary.clone().into_bytes()));
        places.push(("outputs".into(), format!("{:?}", ran.outputs).into_bytes()));
        places.push(("comment".into(), github.bodies().join("\n").into_bytes()));
        places.push(("GitHub's journal".into(), github.journal().0.to_string().into_bytes()));
        let children =
            places.iter().find(|(path, _)| path.ends_with("children")).map(|(_, bytes)| bytes.clone());
        assert!(children.is_none_or(|bytes| has(&bytes, "compile") && has(&bytes, INDEX_PASSWORD)), "{what}");
        assert!(ran.log.contains(&format!("::add-mask::{TOKEN}")), "{what}: {}", ran.log);
        for (place, bytes) in &places {
            let is_child = place.ends_with("children");
            let secrets = [TOKEN, WRITE, RUNTIME_TOKEN, "X-Signature="];
            for secret in secrets.into_iter().chain((!is_child).then_some(INDEX_PASSWORD)) {
                assert!(!has(bytes, secret), "{what}: `{secret}` is in {}\n{}", place.display(), ran.log);
            }
        }
        // Neither server learns what is the other's.
        let journal = dagster.journal().0.to_string();
        for secret in [WRITE, INDEX_PASSWORD, RUNTIME_TOKEN] {
            assert!(!journal.contains(secret), "{what}: `{secret}` reached Dagster+");
        }
    }
}

/// Passwords of indexes and of a proxy, each in a different place.
const PASSWORDS: [&str; 5] = [
    "canary-in-a-variable",
    "canary-in-pip-conf",
    "canary-in-netrc",
    "canary-in-a-requirements-file",
    "canary-of-the-proxy",
];

/// A uv that fails and prints everything it was given.
const TALKATIVE_UV: &str = "echo \"error: Failed to fetch: https://ann:canary-in-a-variable@index.example/simple/\" >&2
for index in $UV_DEFAULT_INDEX $UV_EXTRA_INDEX_URL $UV_INDEX $HTTPS_PROXY; do echo \"trying $index,$index\" >&2; done
exit 2";

/// A wrong command line, so that the answer may repeat it.
const COMMANDS: [&str; 17] = [
    "deploy . out --upload-pex --update-code-location --deployment prod",
    "deploy . out --upload-pex --update-code-location --deployment prod --format json",
    "deploy . out --format json --location one",
    "deps one out --format json",
    "deps one out",
    "source one out --python-version TOKEN",
    "check TOKEN",
    "plan . --deployment prod",
    "status --deployment prod",
    "branch-deployment . --deployment prod",
    "verify out",
    "deploy . out TOKEN TOKEN",
    "deploy . out --location-load-timeout TOKEN",
    "deploy . out --bogus=TOKEN",
    "deploy . out --api-token TOKEN --bogus",
    "deploy --url https://ann:canary-of-the-proxy@dagster.example . out --upload-pex",
    "TOKEN",
];

#[test]
fn no_command_shows_a_secret() {
    let dagster = ScriptedServer::answering(|request| {
        let token = request.header("dagster-cloud-api-token").unwrap_or_default().to_string();
        Reply::new(401, format!("{{\"errors\": [{{\"message\": \"no such token: {token}\"}}]}}"))
    });
    std::thread::scope(|scope| {
        for line in COMMANDS {
            let dagster = &dagster;
            scope.spawn(move || {
                for verbosity in ["--verbose", "--quiet"] {
                    say_no_secret(line, verbosity, dagster);
                }
            });
        }
    });
    let heard = dagster.requests();
    assert!(heard.iter().any(|request| request.header("dagster-cloud-api-token") == Some(TOKEN)));
}

/// Run a command with a secret in every possible place. Its output and files must not have any of them.
fn say_no_secret(line: &str, verbosity: &str, dagster: &ScriptedServer) {
    let home = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(home.path().join(name), text).unwrap();
    write("pip.conf", "[global]\nextra-index-url = https://bob:canary-in-pip-conf@pip.example/simple\n");
    write(".netrc", "machine index.example login ann password canary-in-netrc\n");
    let dir = tempfile::tempdir().unwrap();
    write_project(
        dir.path(),
        &[("one", "--extra-index-url https://c:canary-in-a-requirements-file@x.example/\n")],
    );
    let fake = tempfile::tempdir().unwrap();
    let (temp, cache) = (dir.path().join("temp"), dir.path().join("cache"));
    std::fs::create_dir(&temp).unwrap();
    let arguments = line.split(' ').map(|word| {
        if word == "TOKEN" { TOKEN.to_string() } else { word.replace("=TOKEN", &format!("={TOKEN}")) }
    });
    let output = pexpress()
        .args(arguments)
        .arg(verbosity)
        .current_dir(dir.path())
        .env("HOME", home.path())
        .env("PIP_CONFIG_FILE", home.path().join("pip.conf"))
        .env("TMPDIR", &temp)
        .env("PEXPRESS_CACHE_DIR", &cache)
        .env("PEXPRESS_UV", FakeUv::new(fake.path(), TALKATIVE_UV).program())
        .env("UV_DEFAULT_INDEX", "https://ann:canary-in-a-variable@index.example/simple")
        .env("HTTPS_PROXY", "http://dan:canary-of-the-proxy@127.0.0.1:1")
        .env("DAGSTER_CLOUD_URL", dagster.url(""))
        .env("DAGSTER_CLOUD_API_TOKEN", TOKEN)
        .env("GITHUB_TOKEN", WRITE)
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(!output.status.success(), "{line}: {}", String::from_utf8_lossy(&said));
    if line == "deps one out" {
        let text = String::from_utf8_lossy(&said);
        assert!(text.contains("trying https://***@index.example/simple"), "uv was not repeated: {text}");
    }
    let mut places = [contents(&temp), contents(&cache), contents(&dir.path().join("out"))].concat();
    places.push(("arguments of uv".into(), std::fs::read(fake.path().join("uv.log")).unwrap_or_default()));
    places.push(("what it said".into(), said));
    for (place, bytes) in places {
        for secret in [TOKEN, WRITE].iter().chain(&PASSWORDS) {
            let text = String::from_utf8_lossy(&bytes);
            assert!(!has(&bytes, secret), "{line} {verbosity}: `{secret}` is in {}: {text}", place.display());
        }
    }
}
