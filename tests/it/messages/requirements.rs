//! Messages about requirements and their resolution.

use super::{BOTH, GONE, checked, project, said};
use crate::support::small_project::write_wheel;
use crate::support::{pexpress, pexpress_with_uv};

const TOML: &str =
    "[project]\nname = \"shop\"\nversion = \"1\"\ndependencies = [\"dagster\", \"dagster-cloud\"]\n";

#[test]
fn not_a_requirement() {
    insta::assert_snapshot!(checked(&[("requirements.txt", "dagster\ndagster-cloud\npandas=>2\n")]), @r#"
    error: `pandas=>2` is not a requirement: no such comparison operator "=>", must be one of ~= == != <= >= < > ===
      at: requirements.txt:3
    hint: write `pandas>=2`
    "#);
}

#[test]
fn missing_dagster_cloud() {
    insta::assert_snapshot!(checked(&[("requirements.txt", "dagster==1.13.27\n")]), @r#"
    error: dagster-cloud is not among the requirements of `[PROJECT]`
      at: requirements.txt
    hint: add `dagster-cloud==1.13.27` to requirements.txt (if the index has it; a build looks for the newest release that all of Dagster's packages have)
    "#);
}

#[test]
fn different_releases() {
    let lines = "dagster==1.13.27\ndagster-cloud==1.12.0\n";
    insta::assert_snapshot!(checked(&[("requirements.txt", lines)]), @r#"
    error: no release of Dagster's packages fits `dagster==1.13.27` and `dagster-cloud==1.12.0`
      at: requirements.txt:2
    hint: pin all of them to one release; the newest that all have could not be looked up here
    "#);
}

#[test]
fn missing_path() {
    insta::assert_snapshot!(checked(&[("requirements.txt", &format!("{BOTH}-e ../library\n"))]), @r#"
    warning: `../library` names a path that does not exist: `/tmp/library`; correct the path: it is relative to the directory of the project that asks for it
      at: requirements.txt:3
    "#);
}

#[test]
fn no_lock_file() {
    let dir = project(&[("requirements.txt", GONE), ("pyproject.toml", TOML)]);
    insta::assert_snapshot!(said(pexpress().args(["deploy", ".", "out", "--dry-run", "--locked"]), dir.path()), @r#"
    error: --locked was given, but `[PROJECT]` has no uv.lock, pylock.toml or poetry.lock
    hint: commit a lock file (`uv lock` writes one), or leave --locked out
    "#);
}

#[test]
fn stale_lock_file() {
    let toml = TOML.replace("cloud\"]", "cloud\", \"pandas\"]");
    let mut lock = String::from("version = 1\nrequires-python = \">=3.9\"\n");
    for (name, source) in
        [("shop", "virtual = \".\""), ("dagster", "registry = \"i\""), ("dagster-cloud", "registry = \"i\"")]
    {
        lock += &format!("[[package]]\nname = \"{name}\"\nversion = \"1.13.27\"\nsource = {{ {source} }}\n");
    }
    insta::assert_snapshot!(
        checked(&[("requirements.txt", GONE), ("pyproject.toml", &toml), ("uv.lock", &lock)]),
        @r#"
    warning: the lock file is out of date (`pandas` (pyproject.toml:4) is not in it); run `uv lock`. What it does not decide is resolved again
      at: uv.lock
    "#
    );
}

#[test]

fn index_unreachable() {
    let dir =
        project(&[("requirements.txt", "--index-url http://127.0.0.1:9/simple\ndagster\ndagster-cloud\n")]);
    let mut command = pexpress_with_uv();
    command.args(["deps", ".", "out"]).env("UV_HTTP_RETRIES", "0");
    // uv asks for both at once, and either request may be the one that it reports.
    let said = said(&mut command, dir.path()).replace("/simple/dagster-cloud/", "/simple/dagster/");
    insta::assert_snapshot!(said, @r#"
    error: could not resolve the requirements: the package index or another server refused or did not answer
      caused by: `uv pip compile` exited with status 2
      caused by: error: Failed to fetch: http://127.0.0.1:9/simple/dagster/
          cause: error sending request for url (http://127.0.0.1:9/simple/dagster/)
          cause: client error (Connect)
          cause: tcp connect error
          cause: Connection refused (os error 111)
    hint: `pexpress selftest` shows the index, proxy and certificates in use; a private index is set with UV_DEFAULT_INDEX or PIP_INDEX_URL
    "#);
}

#[test]

fn no_solution() {
    let dir = wheels("dagster\ndagster-cloud\nextra>=2\n-c limits.txt\n");
    std::fs::write(dir.path().join("limits.txt"), "extra<2\n").unwrap();
    insta::assert_snapshot!(said(pexpress_with_uv().args(["deps", ".", "out"]), dir.path()), @r#"
    error: could not resolve the requirements
      limits.txt:1: extra<2 (constraint)
      requirements.txt:5: extra>=2
      at: limits.txt:1
      caused by: `uv pip compile` exited with status 1
      caused by: error: No solution found when resolving dependencies
          cause: Because your project depends on extra>=2 and extra<2, we can conclude that your requirements are unsatisfiable.
    "#);
}

#[test]

fn no_such_package() {
    let dir = wheels("dagster\ndagster-cloud\npandsa\n");
    insta::assert_snapshot!(said(pexpress_with_uv().args(["deps", ".", "out"]), dir.path()), @r#"
    error: could not resolve the requirements
      requirements.txt:5: pandsa
      at: requirements.txt:5
      caused by: `uv pip compile` exited with status 1
      caused by: error: No solution found when resolving dependencies
          cause: Because pandsa was not found in the provided package locations and your project depends on pandsa, we can conclude that your requirements are unsatisfiable.
    "#);
}

#[test]

fn setup_py_fails() {
    let setup = "from setuptools import setup\nimport shop_version\nsetup(name='shop')\n";
    let dir = project(&[("requirements.txt", GONE), ("setup.py", setup)]);
    insta::assert_snapshot!(said(pexpress_with_uv().args(["deps", ".", "out"]), dir.path()), @r#"
    error: setup.py egg_info of `[PROJECT]` failed:
    Traceback (most recent call last):
      File "setup.py", line 2, in <module>
        import shop_version
    ModuleNotFoundError: No module named 'shop_version'
      at: setup.py
    hint: run it by hand in that directory; it has to work without the project installed
    "#);
}

/// A project with these requirements, of wheels in a directory of its own.
fn wheels(lines: &str) -> tempfile::TempDir {
    let dir = project(&[("requirements.txt", &format!("--no-index\n--find-links wheels\n{lines}"))]);
    let wheels = dir.path().join("wheels");
    std::fs::create_dir(&wheels).unwrap();
    for (name, version) in
        [("dagster", "1.13.27"), ("dagster-cloud", "1.13.27"), ("extra", "1"), ("extra", "2")]
    {
        write_wheel(&wheels, name, version);
    }
    dir
}
