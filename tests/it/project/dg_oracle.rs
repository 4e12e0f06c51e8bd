//! Our reading of dg projects and workspaces compared with `dg plus deploy`, also for a workspace made by
//! `create-dagster`.

use crate::support::environments::{environment, helper_version};
use crate::support::hosts::host_with;
use crate::support::reference::ask;
use crate::support::{project_tree, run};
use pexpress::project::{Project, Reading};
use serde_json::{Value, json};
use std::process::Command;

const READER: [&str; 1] = ["dagster-dg-cli==1.13.27"];

type Files = Vec<(&'static str, &'static str)>;

fn our_answer(files: &Files) -> Result<Value, Vec<String>> {
    let tree = project_tree(
        &inside_tree(files).iter().map(|(name, text)| (name.as_str(), *text)).collect::<Vec<_>>(),
    );
    let root = tree.path().join("tree");
    documents(Project::inspect(&root, &host_with(&root, &[])))
}

/// In a directory with a fixed name, because it names a location.
fn inside_tree(files: &Files) -> Vec<(String, &'static str)> {
    files.iter().map(|(name, text)| (format!("tree/{name}"), *text)).collect()
}

fn tree_json(files: &Files) -> Value {
    files.iter().map(|(name, text)| (name.to_string(), json!(text))).collect()
}

fn documents(reading: Reading) -> Result<Value, Vec<String>> {
    if reading.errors.is_empty() {
        return Ok(reading.locations.into_iter().map(|location| Value::Object(location.document)).collect());
    }
    Err(reading.errors.iter().map(ToString::to_string).collect())
}

const PROJECT: &str = "directory_type = 'project'\n[project]\nroot_module = 'p'\n";
const WORKSPACE: &str = "directory_type = 'workspace'\n[[workspace.projects]]\npath = 'a'\n[[workspace.projects]]\npath = 'b/c'\n";
const PYPROJECT: &str = "[project]\nname = 'x'\n[tool.dg]\ndirectory_type = 'project'\n[tool.dg.project]\nroot_module = 'q'\ncode_location_name = 'named'\ncode_location_target_module = 'q.main'\nagent_queue = 'fast'\nimage = 'i:1'\n";

/// The workspace with its two projects and these additional files.
fn workspace_with(files: &[(&'static str, &'static str)]) -> Files {
    [&[("dg.toml", WORKSPACE), ("a/dg.toml", PROJECT), ("b/c/pyproject.toml", PYPROJECT)], files].concat()
}

/// Read equally or refused by both.
fn alike() -> Vec<Files> {
    vec![
        vec![("dg.toml", PROJECT)],
        vec![("pyproject.toml", PYPROJECT)],
        vec![("dg.toml", PROJECT), ("pyproject.toml", PYPROJECT)],
        vec![("dg.toml", PROJECT), ("build.yaml", "directory: sub\nregistry: r"), ("sub/x", "")],
        vec![("dg.toml", PROJECT), ("build.yaml", "registry: r")],
        vec![("dg.toml", PROJECT), ("build.yaml", "registry:\ndirectory: .")],
        vec![("dg.toml", PROJECT), ("build.yaml", "directory: missing")],
        vec![("dg.toml", PROJECT), ("build.yaml", "[]")],
        vec![("dg.toml", PROJECT), ("build.yaml", "registry: 1")],
        vec![("dg.toml", PROJECT), ("container_context.yaml", "k8s: {env_vars: [A=1]}")],
        vec![("dg.toml", PROJECT), ("container_context.yaml", "# nothing yet\n")],
        vec![("dg.toml", PROJECT), ("container_context.yaml", "[]\n- x")],
        workspace_with(&[]),
        workspace_with(&[("build.yaml", "registry: r")]),
        workspace_with(&[("build.yaml", "registry: r"), ("a/build.yaml", "registry: s\ndirectory: ..")]),
        workspace_with(&[("build.yaml", "directory: a\nregistry: r"), ("a/build.yaml", "directory:")]),
        workspace_with(&[
            ("container_context.yaml", "k8s: {namespace: n, labels: {x: y}, env_secrets: [s]}"),
            ("a/container_context.yaml", "k8s: {labels: {z: w}, env_secrets: [s, t]}\necs: {a: ~}"),
        ]),
        workspace_with(&[
            ("container_context.yaml", "k8s: {labels: {x: y}}"),
            ("a/container_context.yaml", "k8s: {labels: [x]}"),
        ]),
        vec![
            ("dg.toml", "directory_type = 'workspace'\n[workspace]\nprojects = [{path = 'a'}]\n"),
            ("a/dg.toml", PROJECT),
        ],
        vec![
            ("dg.toml", "directory_type = 'workspace'\n[workspace]\nprojects = [{pth = 'a'}]\n"),
            ("a/dg.toml", PROJECT),
        ],
        vec![
            ("dg.toml", "directory_type = 'workspace'\n[workspace]\nprojects = ['a']\n"),
            ("a/dg.toml", PROJECT),
        ],
        vec![("dg.toml", "directory_type = 'workspace'\n[workspace]\nprojects = [{path = 1}]\n")],
        vec![("dg.toml", "directory_type = 'workspace'\n[workspace]\nprojects = 'a'\n")],
        vec![("dg.toml", "directory_type = 'workspace'\n[workspace]\nproject = []\n")],
        vec![("dg.toml", "directory_type = 'workspace'\n")],
        vec![(
            "dg.toml",
            "directory_type = 'workspace'\n[project]\nroot_module = 'p'\n[workspace]\nprojects = []\n",
        )],
        vec![("dg.toml", WORKSPACE), ("a/dg.toml", PROJECT)],
        vec![("dg.toml", WORKSPACE), ("a/dg.toml", PROJECT), ("b/c/dg.toml", "directory_type = 'project'\n")],
        vec![("dg.toml", "")],
        vec![("dg.toml", "directory_type = 'other'\n")],
        vec![("dg.toml", "directory_type = 1\n")],
        vec![("dg.toml", "directory_type = 'project'\n")],
        vec![("dg.toml", "directory_type = 'project'\nproject = 'p'\n")],
        vec![("dg.toml", "directory_type = 'project'\n[project]\n")],
        vec![("dg.toml", "directory_type = 'project'\n[project]\nroot_module = 1\n")],
        vec![("dg.toml", "directory_type = 'project'\n[project]\nroot_module = 'p'\nrot = 'x'\n")],
        vec![(
            "dg.toml",
            "directory_type = 'project'\n[project]\nroot_module = 'p'\nregistry_modules = ['p.x.*']\n",
        )],
        vec![(
            "dg.toml",
            "directory_type = 'project'\n[project]\nroot_module = 'p'\nregistry_modules = 'p'\n",
        )],
        vec![("dg.toml", "directory_type = 'project'\n[project]\nroot_module = 'p'\nimage = 1\n")],
        vec![(
            "dg.toml",
            "directory_type = 'project'\n[project]\nroot_module = 'p'\nimage = ''\nagent_queue = ''\ncode_location_name = ''\n",
        )],
        vec![(
            "dg.toml",
            "directory_type = 'project'\n[project]\nroot_module = 'p'\npython_environment = 'active'\n",
        )],
        vec![("dg.toml", "directory_type = 'project'\nextra = 1\n[project]\nroot_module = 'p'\n")],
        vec![(
            "dg.toml",
            "directory_type = 'project'\n[cli]\nverbose = true\n[project]\nroot_module = 'p'\n",
        )],
        vec![("dg.toml", "directory_type = \n")],
        vec![(
            "pyproject.toml",
            "[tool.dg]\ndirectory_type = 'project'\n[tool.dg.project]\nroot_module = 'é'\n",
        )],
        vec![("pyproject.toml", "[tool]\ndg = 1\n")],
        vec![("pyproject.toml", "[project]\nname = 'x'\n")],
        vec![("pyproject.toml", "[tool.dg\n")],
    ]
}

#[test]
#[ignore = "needs packages from an index"]
fn projects_and_workspaces_give_the_locations_that_dg_deploys() {
    let trees = alike();
    let question: Vec<Value> = trees.iter().map(tree_json).collect();
    for (files, theirs) in trees.iter().zip(ask(&READER, "read_dg.py", &json!(question))) {
        match (our_answer(files), theirs.get("locations")) {
            (Ok(ours), Some(theirs)) => assert_eq!(&ours, theirs, "{files:?}"),
            (Err(_), None) => {}
            (ours, _) => panic!("{files:?}\nours: {ours:?}\ntheirs: {theirs}"),
        }
    }
}

#[test]
#[ignore = "needs packages from an index"]
fn differences_from_dg_are_wanted() {
    let named = workspace_with(&[
        ("container_context.yaml", "k8s: {env_vars: [A=1, B=1], volumes: [{name: v, x: 1}]}"),
        ("a/container_context.yaml", "k8s: {env_vars: [A=2], volumes: [{name: v, x: 2}]}"),
    ]);
    let nothing = vec![("dg.toml", "directory_type = 'workspace'\n[workspace]\nprojects = []\n")];
    let unknown = vec![("dg.toml", PROJECT), ("build.yaml", "directory: .\ndockerfile: Dockerfile")];
    let trees = [&named, &nothing, &unknown].map(tree_json);
    let theirs = ask(&READER, "read_dg.py", &json!(trees));

    // One variable of a name, as with `defaults` in dagster_cloud.yaml; dg sends both.
    let k8s = |locations: &Value| locations[0]["container_context"]["k8s"].clone();
    assert_eq!(
        k8s(&our_answer(&named).unwrap()),
        json!({"env_vars": ["B=1", "A=2"], "volumes": [{"name": "v", "x": 2}]})
    );
    assert_eq!(
        k8s(&theirs[0]["locations"]),
        json!({"env_vars": ["A=1", "B=1", "A=2"], "volumes": [{"name": "v", "x": 1}, {"name": "v", "x": 2}]})
    );

    // A workspace without projects is an error here.
    assert_eq!(our_answer(&nothing).unwrap_err(), ["the dg workspace lists no projects"]);
    assert_eq!(theirs[1], json!({"locations": []}));

    // `dg plus deploy` takes `dockerfile` in build.yaml, as images do here, and other unknown keys; what refuses them there is
    // `ci check` on the file in between.
    let build = &our_answer(&unknown).unwrap()[0]["build"];
    assert_eq!(build, &json!({"directory": ".", "dockerfile": "Dockerfile"}));
    assert!(theirs[2]["error"].is_string(), "{}", theirs[2]);
}

#[test]
#[ignore = "needs packages from an index"]
fn what_create_dagster_makes_is_a_workspace_of_its_projects() {
    let directory = tempfile::tempdir().unwrap();
    let create = environment(helper_version(), &["create-dagster==1.13.27"]).join("bin/create-dagster");
    let root = directory.path().join("shop");
    for (words, cwd) in [
        (["workspace", "shop"], directory.path()),
        (["project", "projects/one"], &root),
        (["project", "projects/two-b"], &root),
    ] {
        run(Command::new(&create)
            .args(words)
            .arg("--no-uv-sync")
            .current_dir(cwd)
            .env("HOME", directory.path()));
    }
    let reading = Project::inspect(&root, &host_with(&root, &[]));
    let found: Vec<_> = reading
        .locations
        .iter()
        .map(|location| (location.name.as_str(), location.directory.clone()))
        .collect();
    assert_eq!(found, [("one", root.join("projects/one")), ("two-b", root.join("projects/two-b"))]);
    assert_eq!(reading.locations[1].document["code_source"], json!({"module_name": "two_b.definitions"}));
    let one = Project::inspect(&root.join("projects/one"), &host_with(&root, &[]));
    assert_eq!(documents(one).unwrap()[0]["location_name"], "one");
}
