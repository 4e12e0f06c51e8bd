//! The Python version of a build without the flag.

use crate::support::said::{lines, messages};
use crate::support::small_project::write_project;
use crate::support::{json, pexpress_with_uv, run};
use std::path::Path;
use std::process::{Command, Output};

fn dry_run(command: &str, path: &Path, flags: &[&str]) -> Command {
    let mut built = pexpress_with_uv();
    built.arg(command).arg(path);
    if command == "deploy" {
        built.arg(path.join("out"));
    }
    built.args(["--dry-run", "--format", "json"]).args(flags);
    built
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_file_of_the_project_decides_and_the_flag_overrules_it() {
    let dir = tempfile::tempdir().unwrap();
    write_project(dir.path(), &[("one", ""), ("two", "")]);
    std::fs::write(dir.path().join(".python-version"), "3.12.4\n").unwrap();
    for (flags, want) in [(&[][..], "3.12"), (&["--python-version", "3.10"], "3.10")] {
        let document = json(&run(&mut dry_run("deploy", dir.path(), flags)));
        for location in document["locations"].as_array().unwrap() {
            assert_eq!(location["python_version"], want, "{flags:?}");
        }
    }
    std::fs::write(dir.path().join("one/.python-version"), "cpython-3.13").unwrap();
    let mut log = Vec::new();
    for command in ["deps", "source"] {
        let output = run(&mut dry_run(command, &dir.path().join("one"), &[]));
        assert_eq!(json(&output)["python_version"], "3.13", "{command}");
        let said = stderr(&output);
        log.push(lines(&said, "Building for"));
    }
    insta::assert_snapshot!(log.join("\n"), @r#"
    Building for Python 3.13 (from .python-version)
    Building for Python 3.13 (from .python-version)
    "#);
}

#[test]
fn code_locations_that_disagree_are_refused_unless_one_is_selected() {
    let dir = tempfile::tempdir().unwrap();
    write_project(dir.path(), &[("one", ""), ("two", "")]);
    for (name, version) in [("one", "3.12"), ("two", "3.10")] {
        std::fs::write(dir.path().join(name).join(".python-version"), version).unwrap();
    }
    let output = dry_run("deploy", dir.path(), &[]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    insta::assert_snapshot!(messages(&said), @r#"
    error: the files disagree about the Python to build for: one/.python-version says 3.12, and two/.python-version says 3.10
      at: [TMP]/two/.python-version:1
    hint: set --python-version, or deploy them in separate runs with --location
    "#);

    let output = run(&mut dry_run("deploy", dir.path(), &["--location", "two"]));
    assert_eq!(json(&output)["locations"][0]["python_version"], "3.10");
}

#[test]
fn the_log_of_a_build_says_what_decided() {
    let dir = tempfile::tempdir().unwrap();
    write_project(dir.path(), &[("one", "")]);
    for (files, says) in [
        (None, "for Python 3.11 (the default) on"),
        (
            Some((
                "one/pyproject.toml",
                "[project]\nname = \"one\"\nversion = \"1\"\nrequires-python = \">=3.12\"\n",
            )),
            "for Python 3.12 (from requires-python of one/pyproject.toml) on",
        ),
    ] {
        if let Some((name, text)) = files {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        let output = run(pexpress_with_uv().arg("deploy").arg(dir.path()).arg(dir.path().join("out")));
        assert!(stderr(&output).contains(says), "{}", stderr(&output));
    }
}
