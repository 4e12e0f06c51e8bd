//! Dagster's packages of different releases in a lock file: the message names the user's own lines, and the command
//! that updates the lock.

use crate::resolve::releases::{project, refusal_in, resolve_in};
use crate::support::{environments, run};
use std::path::Path;
use std::process::Command;

fn uv(project: &Path, arguments: &[&str]) {
    let mut command = Command::new(environments::uv());
    command.args(arguments).args(["--no-index", "--find-links", "wheels"]).current_dir(project);
    run(command.env("UV_PYTHON_DOWNLOADS", "never"));
}

fn pyproject(dependencies: &str) -> String {
    format!(
        "[project]\nname = 'shop'\nversion = '1'\nrequires-python = '>=3.9'\ndependencies = [{dependencies}]\n"
    )
}

fn locked(dependencies: &str) -> tempfile::TempDir {
    let project = project(&[("pyproject.toml", &pyproject(dependencies))]);
    uv(project.path(), &["lock"]);
    project
}

#[test]
fn the_named_command_updates_a_uv_lock() {
    let project = locked(r#""dagster==1.13.29", "dagster-cloud", "dagster-aws""#);
    insta::assert_snapshot!(refusal_in(project.path(), &[]), @r"
    error: dagster 1.13.29 and dagster-cloud 0.11.14rc8 are not of one release, and cannot work together
      at: [PROJECT]/uv.lock
    hint: the newest release that all of them have is 1.13.27: write `dagster==1.13.27` instead of `dagster==1.13.29` ([PROJECT]/pyproject.toml:5:17); then run `uv lock --upgrade-package dagster --upgrade-package dagster-cloud --upgrade-package dagster-aws`
    ");
    let written = pyproject(r#""dagster==1.13.27", "dagster-cloud", "dagster-aws""#);
    std::fs::write(project.path().join("pyproject.toml"), written).unwrap();
    let packages = ["dagster", "dagster-cloud", "dagster-aws"];
    let upgrade: Vec<&str> = packages.iter().flat_map(|name| ["--upgrade-package", name]).collect();
    uv(project.path(), &[&["lock"], upgrade.as_slice()].concat());
    let (output, said) = resolve_in(project.path(), &[]);
    assert!(output.status.success(), "{said}");
}

#[test]
fn a_uv_lock_without_a_line_to_change_is_given_versions() {
    let project = locked(r#""dagster>=1.13", "dagster-cloud""#);
    insta::assert_snapshot!(refusal_in(project.path(), &[]), @r"
    error: dagster 1.13.29 and dagster-cloud 0.11.14rc8 are not of one release, and cannot work together
      at: [PROJECT]/uv.lock
    hint: the newest release that all of them have is 1.13.27: run `uv lock --upgrade-package dagster==1.13.27 --upgrade-package dagster-cloud==1.13.27`
    ");
    uv(
        project.path(),
        &["lock", "--upgrade-package", "dagster==1.13.27", "--upgrade-package", "dagster-cloud==1.13.27"],
    );
    let (output, said) = resolve_in(project.path(), &[]);
    assert!(output.status.success(), "{said}");
}

#[test]
fn a_missing_dagster_cloud_is_added_to_the_lock_too() {
    let project = locked(r#""dagster==1.13.27""#);
    insta::assert_snapshot!(refusal_in(project.path(), &[]), @r"
    error: dagster-cloud is not among the requirements of `[PROJECT]`
      at: [PROJECT]/pyproject.toml
    hint: add `dagster-cloud==1.13.27` to [PROJECT]/pyproject.toml; then run `uv lock`
    ");
}

fn poetry_lock(pins: &[(&str, &str)]) -> String {
    let package = |(name, version): &(&str, &str)| {
        format!(
            "[[package]]\nname = \"{name}\"\nversion = \"{version}\"\noptional = false\npython-versions = \">=3.8\"\n\
             groups = [\"main\"]\nfiles = []\n\n"
        )
    };
    let packages: String = pins.iter().map(package).collect();
    format!(
        "{packages}[metadata]\nlock-version = \"2.1\"\npython-versions = \"^3.9\"\ncontent-hash = \"00\"\n"
    )
}

#[test]
fn advice_for_a_poetry_lock_uses_poetrys_command() {
    let poetry = "[tool.poetry]\nname = 'shop'\nversion = '1'\n[tool.poetry.dependencies]\npython = '^3.9'\n";
    let lock = poetry_lock(&[
        ("dagster", "1.13.29"),
        ("dagster-cloud", "0.11.14rc8"),
        ("dagster-shared", "1.13.29"),
        ("third", "2.0"),
    ]);
    let said = |dependencies: &str| {
        let text = format!("{poetry}{dependencies}");
        refusal_in(project(&[("pyproject.toml", &text), ("poetry.lock", &lock)]).path(), &[])
    };
    insta::assert_snapshot!(said("dagster = '1.13.29'\ndagster-cloud = '*'\n"), @r#"
    error: dagster 1.13.29 and dagster-cloud 0.11.14rc8 are not of one release, and cannot work together
      at: [PROJECT]/poetry.lock
    hint: the newest release that all of them have is 1.13.27: write `dagster = "1.13.27"` instead of `dagster = '1.13.29'` ([PROJECT]/pyproject.toml:6:11); then run `poetry update dagster dagster-cloud`
    "#);
    insta::assert_snapshot!(said("dagster = '^1.13'\ndagster-cloud = '*'\n"), @r#"
    error: dagster 1.13.29 and dagster-cloud 0.11.14rc8 are not of one release, and cannot work together
      at: [PROJECT]/poetry.lock
    hint: the newest release that all of them have is 1.13.27: write `dagster = "1.13.27"` instead of `dagster = '^1.13'` ([PROJECT]/pyproject.toml:6:11); then run `poetry update dagster dagster-cloud`
    "#);
}

#[test]
fn a_pylock_is_made_again_with_the_same_command() {
    let project = project(&[("requirements.txt", "dagster==1.13.29\ndagster-cloud\n")]);
    let arguments = "pip compile requirements.txt --format pylock.toml -o pylock.toml --python-version 3.11";
    uv(project.path(), &arguments.split(' ').collect::<Vec<_>>());
    insta::assert_snapshot!(refusal_in(project.path(), &[]), @r"
    error: dagster 1.13.29 and dagster-cloud 0.11.14rc8 are not of one release, and cannot work together
      at: [PROJECT]/pylock.toml
    hint: the newest release that all of them have is 1.13.27: write `dagster==1.13.27` instead of `dagster==1.13.29` ([PROJECT]/requirements.txt:1); then run `uv pip compile requirements.txt --format pylock.toml -o pylock.toml --python-version 3.11 --no-index --upgrade-package dagster --upgrade-package dagster-cloud`
    ");
}

/// A compiled requirements.txt is a kind of lock file: its pins were not written by the user.
#[test]
fn a_compiled_file_is_compiled_again_from_its_sources() {
    let project = project(&[("requirements.in", "dagster==1.13.29  # ours\ndagster-cloud\n")]);
    let compile = "pip compile requirements.in -o requirements.txt --python-version 3.11";
    uv(project.path(), &compile.split(' ').collect::<Vec<_>>());
    insta::assert_snapshot!(refusal_in(project.path(), &[]), @r"
    error: dagster 1.13.29 and dagster-cloud 0.11.14rc8 are not of one release, and cannot work together
      at: [PROJECT]/requirements.txt
    hint: the newest release that all of them have is 1.13.27: write `dagster==1.13.27` instead of `dagster==1.13.29` ([PROJECT]/requirements.in:1); then run `uv pip compile requirements.in -o requirements.txt --python-version 3.11 --no-index --upgrade-package dagster --upgrade-package dagster-cloud`
    ");
    std::fs::write(project.path().join("requirements.in"), "dagster>=1.13\ndagster-cloud\n").unwrap();
    insta::assert_snapshot!(refusal_in(project.path(), &[]), @r"
    error: dagster 1.13.29 and dagster-cloud 0.11.14rc8 are not of one release, and cannot work together
      at: [PROJECT]/requirements.txt
    hint: the newest release that all of them have is 1.13.27: run `uv pip compile requirements.in -o requirements.txt --python-version 3.11 --no-index --upgrade-package dagster==1.13.27 --upgrade-package dagster-cloud==1.13.27`
    ");
    let upgrade = " --upgrade-package dagster==1.13.27 --upgrade-package dagster-cloud==1.13.27";
    uv(project.path(), &format!("{compile}{upgrade}").split(' ').collect::<Vec<_>>());
    let (output, said) = resolve_in(project.path(), &[]);
    assert!(output.status.success(), "{said}");
}

#[test]
fn missing_lines_of_a_compiled_file_are_added_to_its_source() {
    let project = project(&[("requirements.in", "dagster==1.13.27\n")]);
    uv(project.path(), &["pip", "compile", "requirements.in", "-o", "requirements.txt"]);
    insta::assert_snapshot!(refusal_in(project.path(), &[]), @r"
    error: dagster-cloud is not among the requirements of `[PROJECT]`
      at: [PROJECT]/requirements.in
    hint: add `dagster-cloud==1.13.27` to [PROJECT]/requirements.in; then run `uv pip compile requirements.in -o requirements.txt --no-index`
    ");
}
