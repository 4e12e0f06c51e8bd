//! `deploy --verify` and `verify`: code locations are loaded from their PEX files before anything is deployed.

use crate::support::timed::timed;
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
fn each_code_location_is_loaded_and_reported() {
    let _timed = timed();
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
    assert!(
        said.contains("error: the code location `bad` does not load here: ModuleNotFoundError"),
        "{said}"
    );
    // Without frames of the loader and of dagster before the user's own.
    let traceback = bad["traceback"].as_str().unwrap();
    assert!(!traceback.contains("-c <cmd>") && !traceback.contains("<string>"), "{traceback}");
    let first = traceback.lines().nth(1).unwrap();
    assert_eq!(first, format!("  File \"{}\", line 1, in <module>", project.path().join("bad.py").display()));
    assert!(!traceback.contains("dagster"), "{traceback}");
    let errors = json(&output)["locations"][1]["errors"].clone();
    let lines: Vec<&str> = errors[0].as_str().unwrap().lines().collect();
    assert_eq!(
        lines[0],
        "error: the code location `bad` does not load here: ModuleNotFoundError: No module named 'not_a_dependency'"
    );
    let file = project.path().join("requirements.txt");
    let hint =
        format!("hint: add the distribution that has the module `not_a_dependency` to {}", file.display());
    assert_eq!(*lines.last().unwrap(), hint);
    let command = said.lines().chain(std::str::from_utf8(&output.stdout).unwrap().lines());
    assert!(command.into_iter().all(|line| !line.trim_start().starts_with("::")), "{said}");
}

#[test]
#[ignore = "half a minute, and a package index"]
fn code_locations_of_one_directory_share_their_files() {
    let _timed = timed();
    let (project, out) = (three_locations(), tempfile::tempdir().unwrap());
    let built = json(&deploy(project.path(), out.path(), &["--format", "json"]));
    assert_eq!(built["files"].as_array().unwrap().len(), 2);
    let tags: Vec<_> =
        built["locations"].as_array().unwrap().iter().map(|location| &location["pex_tag"]).collect();
    assert!(tags[0].is_string() && tags.iter().all(|tag| *tag == tags[0]), "{tags:?}");
    let one = run(pexpress_with_uv().arg("verify").arg(out.path()).args(["--location", "good"]));
    assert!(String::from_utf8_lossy(&one.stdout).contains("assets: group/two, one"));
}

/// Python's `-m` puts the working directory first.
#[test]
#[ignore = "half a minute, and a package index"]
fn modules_of_the_working_directory_are_not_those_that_unpack() {
    let _timed = timed();
    let project = project_tree(&[
        ("dagster_cloud.yaml", "locations:\n  - {location_name: a, code_source: {module_name: defs}}\n"),
        ("requirements.txt", REQUIREMENTS),
        ("defs.py", "import dagster as dg\n\ndefs = dg.Definitions()\n"),
    ]);
    let elsewhere = project_tree(&[("types.py", ""), ("zipfile.py", ""), ("pex/__init__.py", "")]);
    let out = project.path().join("out");
    assert!(deploy(project.path(), &out, &[]).status.success());
    let output = pexpress_with_uv().arg("verify").arg(&out).current_dir(elsewhere.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Users saw paths below `/tmp` that are in no repository, and no line of their own files.
#[test]
#[ignore = "half a minute, and a package index"]
fn a_syntax_error_is_shown_at_its_line_of_the_users_file() {
    let _timed = timed();
    let project = project_tree(&[
        (
            "dagster_cloud.yaml",
            "locations:\n  - location_name: main\n    code_source: {module_name: shop.definitions}\n",
        ),
        ("requirements.txt", REQUIREMENTS),
        ("shop/__init__.py", ""),
        ("shop/definitions.py", "import dagster as dg\n\n\ndef f()\n    pass\n"),
    ]);
    let out = tempfile::tempdir().unwrap();
    let output = pexpress_with_uv()
        .current_dir(project.path())
        .args(["deploy", ".", "--verify"])
        .arg(out.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let end = said.find("error: ").map(|at| said[at..].to_string()).unwrap_or_default();
    insta::assert_snapshot!(end, @r#"
    error: the code location `main` does not load here: SyntaxError: expected ':'
      at: shop/definitions.py:4
          File "shop/definitions.py", line 4
            def f()
                   ^
        SyntaxError: expected ':'
    hint: fix shop/definitions.py:4
    error: 1 of 1 code locations could not be loaded: main: SyntaxError: expected ':' (shop/definitions.py:4)
    hint: fix shop/definitions.py:4
    "#);
}

#[test]
fn a_directory_without_a_build_says_how_to_make_one() {
    let empty = tempfile::tempdir().unwrap();
    let output = pexpress_with_uv().arg("verify").arg(empty.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("holds no pexpress.json") && said.contains("pexpress deploy"), "{said}");
}

/// A project of several code locations, each a Python file of this content.
fn project_of(locations: &[(&str, &str)], more: &[(&str, &str)]) -> tempfile::TempDir {
    let entry =
        |name: &str| format!("  - location_name: {name}\n    code_source: {{python_file: {name}.py}}\n");
    let workspace = locations.iter().map(|(name, _)| entry(name)).collect::<String>();
    let files: Vec<(String, String)> =
        locations.iter().map(|(name, text)| (format!("{name}.py"), (*text).to_string())).collect();
    let mut all: Vec<(&str, &str)> = vec![("requirements.txt", REQUIREMENTS)];
    let workspace = format!("locations:\n{workspace}");
    all.push(("dagster_cloud.yaml", &workspace));
    all.extend(files.iter().map(|(name, text)| (name.as_str(), text.as_str())));
    all.extend(more);
    project_tree(&all)
}

const DEFS: &str = "\nimport dagster as dg\ndefs = dg.Definitions()\n";

#[test]
#[ignore = "half a minute, and a package index"]
fn what_a_run_worker_imports_is_imported_too() {
    let _timed = timed();
    let hidden = [
        (
            "dagster_cloud.py",
            "TOKEN = None\n",
            "dagster_cloud.py of the project hides the package dagster_cloud",
        ),
        ("dagster/__init__.py", "", "dagster/__init__.py of the project hides the package dagster"),
    ];
    for (file, text, says) in hidden {
        let (project, out) = (project_of(&[("one", DEFS)], &[(file, text)]), tempfile::tempdir().unwrap());
        let output = deploy(project.path(), out.path(), &["--verify", "--format", "json"]);
        assert_eq!(output.status.code(), Some(1));
        let verified = json(&output)["verified"][0].clone();
        assert!(verified["error"].as_str().unwrap().contains(says), "{verified}");
    }
}

#[test]
#[ignore = "half a minute, and a package index"]
fn code_that_may_load_elsewhere_is_distinguished_from_broken_code() {
    let _timed = timed();
    let code = |text: &str| format!("import os\n{text}\n{DEFS}");
    let cases = [
        ("variable", "os.environ['A_TOKEN']", Some("the environment variable A_TOKEN is not set here")),
        (
            "wrapped",
            "try:\n    os.environ['A_TOKEN']\nexcept KeyError:\n    raise RuntimeError('no token')",
            Some("the environment variable A_TOKEN is not set here"),
        ),
        (
            "envvar",
            "import dagster\ndagster.EnvVar('A_TOKEN').get_value().strip()",
            Some("the environment variable A_TOKEN is not set here"),
        ),
        (
            "settings",
            "from pydantic_settings import BaseSettings\nclass S(BaseSettings):\n    token: str\nS()",
            Some("the setting token is not set here"),
        ),
        (
            "bad_setting",
            "from pydantic_settings import BaseSettings\nclass S(BaseSettings):\n    token: str\n    port: int = 1\nS(port='x')",
            None,
        ),
        ("resource", "import dagster\nclass R(dagster.ConfigurableResource):\n    token: str\nR()", None),
        (
            "dagsters",
            "from dagster._config.field_utils import EnvVar\nfrom dagster import StringSource\nfrom dagster._core.execution.build_resources import build_resources\nimport dagster\n@dagster.resource(config_schema={'a': StringSource})\ndef r(c):\n    return 1\nwith build_resources({'r': r.configured({'a': {'env': 'A_TOKEN'}})}) as x:\n    pass",
            Some("the environment variable A_TOKEN is not set here"),
        ),
        (
            "network",
            "import urllib.request\nurllib.request.urlopen('http://127.0.0.1:9/')",
            Some("a server was not reached from here, or did not let this machine in"),
        ),
        ("missing", "import not_a_dependency", None),
        ("fallback", "try:\n    import not_there\nexcept ImportError:\n    import not_there_either", None),
    ];
    let files: Vec<(&str, String)> = cases.iter().map(|(name, text, _)| (*name, code(text))).collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
    let (project, out) = (project_of(&files, &[]), tempfile::tempdir().unwrap());
    let requirements = format!("{REQUIREMENTS}pydantic-settings\n");
    std::fs::write(project.path().join("requirements.txt"), requirements).unwrap();
    let output = deploy(project.path(), out.path(), &["--verify", "--format", "json"]);
    let document = json(&output);
    let verified = document["verified"].as_array().unwrap();
    let found: Vec<_> =
        verified.iter().map(|one| (one["name"].as_str().unwrap(), one["not_here"].as_str())).collect();
    let want: Vec<_> = cases.iter().map(|(name, _, want)| (*name, *want)).collect();
    assert_eq!(found, want, "{document:#}");
}
