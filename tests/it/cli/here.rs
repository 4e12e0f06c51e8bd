//! Commands without arguments: the project around the working directory, and its directory in the cache.

use crate::support::pexpress_with_uv;
use crate::support::said::plain;
use crate::support::small_project::write_project;
use std::path::Path;

/// What a command in `one/` below the project says on stderr.
fn said_in_one(dir: &Path, args: &[&str]) -> String {
    let output = pexpress_with_uv().args(args).current_dir(dir.join("one")).output().unwrap();
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn a_deploy_without_arguments_builds_the_project_around_it() {
    let dir = tempfile::tempdir().unwrap();
    write_project(dir.path(), &[("one", "")]);
    let said = said_in_one(dir.path(), &["deploy"]);
    assert!(said.starts_with("Project: ../dagster_cloud.yaml\n"), "{said}");
    let last = said.lines().last().unwrap();
    let builds = last.strip_prefix("Built in ").and_then(|rest| rest.split(',').next()).unwrap();
    assert!(last.ends_with(", not deployed; add --upload --update to deploy"), "{said}");
    assert!(Path::new(builds).join("pexpress.json").is_file(), "{said}");
    assert!(!dir.path().join("one/out").exists());
    // It knows the manifest of that build.
    let verify = said_in_one(dir.path(), &["verify", "--location", "two"]);
    assert_eq!(
        plain(&verify.replace(builds, "[BUILDS]")),
        "Project: ../dagster_cloud.yaml\nerror: `[BUILDS]` has no code location `two`; it has one"
    );
    std::fs::remove_dir_all(builds).unwrap();
}

#[test]
fn a_named_output_directory_is_in_the_last_line_too() {
    let dir = tempfile::tempdir().unwrap();
    write_project(dir.path(), &[("one", "")]);
    let said = said_in_one(dir.path(), &["deploy", "..", "out"]);
    assert!(said.ends_with("\nBuilt in out, not deployed; add --upload --update to deploy\n"), "{said}");
    assert!(!said.contains("Project:"), "{said}");
}

#[test]
fn check_says_which_project_it_found() {
    let dir = tempfile::tempdir().unwrap();
    write_project(dir.path(), &[("one", "")]);
    assert!(said_in_one(dir.path(), &["check"]).starts_with("Project: ../dagster_cloud.yaml\n"));
}
