//! `deploy --verify` and `verify`: code locations are loaded from their PEX files before anything is deployed.

use crate::support::{json, pexpress_with_uv, project_tree, run};
use std::path::Path;
use std::process::Output;

const REQUIREMENTS: &str = "dagster==1.13.27\ndagster-cloud==1.13.27\n";
const WORKSPACE: &str = "\
locations:
  - location_name: good
    code_source: {package_name: good}
  - location_name: bad
    code_source: {python_file: bad.py}
  - location_name: none
    code_source: {module_name: none.there}
";
const GOOD: &str = "\
import dagster as dg

print('::error::this is printed by user code')

@dg.asset
def one():
    return 1

@dg.asset(key_prefix='group')
def two(one):
    return 2

job = dg.define_asset_job('both')
defs = dg.Definitions(assets=[one, two], jobs=[job])
";

fn three_locations() -> tempfile::TempDir {
    project_tree(&[
        ("dagster_cloud.yaml", WORKSPACE),
        ("requirements.txt", REQUIREMENTS),
        ("good/__init__.py", GOOD),
        ("bad.py", "import not_a_dependency\n"),
    ])
}

fn deploy(project: &Path, out: &Path, more: &[&str]) -> Output {
    pexpress_with_uv().arg("deploy").args([project, out]).args(more).output().unwrap()
}

#[test]
#[ignore = "half a minute, and a package index"]
fn each_code_location_is_loaded_and_told_of() {
    let (project, out) = (three_locations(), tempfile::tempdir().unwrap());
    let output = deploy(project.path(), out.path(), &["--verify", "--format", "json"]);
    assert_eq!(output.status.code(), Some(1));
    let verified = json(&output)["verified"].clone();
    let (good, bad, none) = (&verified[0], &verified[1], &verified[2]);
    assert_eq!(good["repositories"]["__repository__"]["assets"], serde_json::json!(["group/two", "one"]));
    assert_eq!(good["repositories"]["__repository__"]["jobs"], serde_json::json!(["both"]));
    assert_eq!(bad["error"], "ModuleNotFoundError: No module named 'not_a_dependency'");
    assert!(bad["traceback"].as_str().unwrap().contains("bad.py\", line 1"), "{bad}");
    assert!(none["error"].as_str().unwrap().starts_with("ModuleNotFoundError"), "{none}");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("error: 2 of 3 code locations could not be loaded: bad: ModuleNotFoundError"),
        "{said}"
    );
    assert!(said.contains("bad does not load:\n"), "{said}");
    let command = said.lines().chain(std::str::from_utf8(&output.stdout).unwrap().lines());
    assert!(command.into_iter().all(|line| !line.trim_start().starts_with("::")), "{said}");
}

#[test]
#[ignore = "half a minute, and a package index"]
fn code_locations_of_one_directory_share_their_files() {
    let (project, out) = (three_locations(), tempfile::tempdir().unwrap());
    let built = json(&deploy(project.path(), out.path(), &["--format", "json"]));
    assert_eq!(built["files"].as_array().unwrap().len(), 2);
    let tags: Vec<_> =
        built["locations"].as_array().unwrap().iter().map(|location| &location["pex_tag"]).collect();
    assert!(tags[0].is_string() && tags.iter().all(|tag| *tag == tags[0]), "{tags:?}");
    let one = run(pexpress_with_uv().arg("verify").arg(out.path()).args(["--location", "good"]));
    assert!(String::from_utf8_lossy(&one.stdout).contains("assets: group/two, one"));
}

#[test]
fn a_directory_without_a_build_says_how_to_make_one() {
    let empty = tempfile::tempdir().unwrap();
    let output = pexpress_with_uv().arg("verify").arg(empty.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("holds no pexpress.json") && said.contains("pexpress deploy"), "{said}");
}
