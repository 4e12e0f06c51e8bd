//! Arguments and variables of child processes, which each of them records.

use crate::support::environments::{is_here, python, uv};
use crate::support::github_standin::{GithubStandin, WRITE};
use crate::support::small_project::write_project;
use crate::support::standin::{Standin, TOKEN};
use crate::support::step::{Step, pull_request};
use crate::support::write_executable;
use serde_json::json;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Variables of the user, with unique values.
const SETTING: &str = "canary-of-a-setting";
const DATABASE_PASSWORD: &str = "canary-of-a-database";
const INDEX_PASSWORD: &str = "canary-of-an-index";
const RUNTIME_TOKEN: &str = "canary-of-the-runner";

/// In `dir`, a program in front of `real` that writes arguments and variables into a file of its own in `log`.
fn spy(dir: &Path, name: &str, real: &Path, log: &Path) -> PathBuf {
    let script = dir.join(name);
    let text = format!(
        "#!/bin/sh\nfile=$(mktemp '{}/{name}.XXXXXX') || exit 99\n\
         {{ echo \"ARGUMENTS $*\"; tr '\\0' '\\n' </proc/$$/environ; }} >>\"$file\"\nexec '{}' \"$@\"\n",
        log.display(),
        real.display()
    );
    write_executable(&script, &text);
    script
}

/// One child: program, and text of its arguments and variables.
fn children(log: &Path) -> Vec<(String, String)> {
    let entries = std::fs::read_dir(log).unwrap().map(|entry| entry.unwrap().path());
    let read = |path: PathBuf| {
        let program = path.file_name().unwrap().to_string_lossy().split('.').next().unwrap().to_string();
        (program, String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned())
    };
    entries.map(read).collect()
}

fn on_path(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap();
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file()).unwrap()
}

/// A code location with a `setup.py` that records its variables.
fn write_setup_py(project: &Path, log: &Path) {
    write_project(project, &[("one", "")]);
    let home = project.join("one");
    std::fs::remove_file(home.join("requirements.txt")).unwrap();
    let text = format!(
        "import os, tempfile\nfrom setuptools import setup\n\
         with os.fdopen(tempfile.mkstemp(prefix='code.', dir={:?})[0], 'w') as file:\n    \
             file.write('ARGUMENTS setup.py\\n' + '\\n'.join('='.join(each) for each in os.environ.items()))\n\
         setup(name='one', version=os.environ['MY_SETTING'][:0] + '1', py_modules=['defs'], \
         install_requires=['dagster==1.13.27', 'dagster-cloud==1.13.27'])\n",
        log.display()
    );
    std::fs::write(home.join("setup.py"), text).unwrap();
}

#[test]
#[ignore = "setuptools comes from a package index"]
fn each_child_gets_what_it_needs_and_none_of_our_credentials() {
    if !is_here("3.11") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| {
        let path = dir.path().join(name);
        std::fs::create_dir(&path).unwrap();
        path
    };
    let (project, log, programs) = (path("project"), path("log"), path("programs"));
    write_setup_py(&project, &log);
    spy(&programs, "git", &on_path("git"), &log);
    spy(&programs, "python3.11", &python("3.11"), &log);
    let search = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    let (dagster, github) = (Standin::start(json!({})), GithubStandin::start(json!({})));
    let ran = Step::new(&project, &dagster, &github)
        .with("PATH", &search)
        .with("PEXPRESS_UV", spy(&programs, "uv", &uv(), &log).to_str().unwrap())
        .with("INPUT_PYTHON_VERSION", "3.11")
        .with("UV_INDEX_PRIVATE_PASSWORD", INDEX_PASSWORD)
        .with("ACTIONS_RUNTIME_TOKEN", RUNTIME_TOKEN)
        .with("GITHUB_ENV", dir.path().join("runner-env").to_str().unwrap())
        .with("MY_SETTING", SETTING)
        .with("MY_DATABASE_PASSWORD", DATABASE_PASSWORD)
        .with("ANOTHER_NAME_FOR_IT", &format!("Bearer {TOKEN}"))
        .event("pull_request", &pull_request("opened"))
        .run();
    assert_eq!(ran.code, Some(0), "{}", ran.log);
    let children = children(&log);
    let programs: BTreeSet<&str> = children.iter().map(|(program, _)| program.as_str()).collect();
    assert_eq!(programs, ["code", "git", "python3", "uv"].into(), "{children:#?}");
    let mut needed = 0;
    for (program, given) in &children {
        for secret in [TOKEN, WRITE, RUNTIME_TOKEN, "GITHUB_ENV=", "INPUT_"] {
            assert!(!given.contains(secret), "`{secret}` is given to {program}: {given}");
        }
        // Children of uv inherit its variables; only uv gets the one about wrapping lines.
        if program != "uv" && given.contains("UV_NO_WRAP=") {
            continue;
        }
        let arguments = given.lines().next().unwrap();
        let runs_code = program == "code" || arguments.contains("setup.py");
        let fetching = ["compile", "export", "lock", "build", "run", "install"];
        let fetches = program == "uv" && fetching.iter().any(|word| arguments.contains(word));
        for (value, is_needed) in [
            (SETTING, runs_code || fetches),
            (DATABASE_PASSWORD, runs_code || fetches),
            (INDEX_PASSWORD, fetches),
        ] {
            assert_eq!(given.contains(value), is_needed, "`{value}` and {program}: {given}");
            needed += usize::from(is_needed);
        }
    }
    assert!(needed > 3, "no variable was needed: {children:#?}");
}
