//! Our results compared with those of dagster-cloud-cli's builder for the same projects. They must be equal, except for
//! the intended differences listed here with their reasons.

use crate::support::environments::environment;
use crate::support::timed::timed;
use crate::support::{
    files_named, json, pex_file, pexpress_with_uv, project_tree, quickstart, repository, run,
};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

const PYTHON: &str = "3.11";
const REFERENCE: [&str; 4] = ["dagster-cloud==1.13.27", "dagster-cloud-cli==1.13.27", "pip", "setuptools<81"];

/// The result of one builder for a project.
#[derive(Debug)]
struct Answer {
    local_packages: BTreeSet<String>,
    requirements: BTreeSet<String>,
    members: BTreeMap<String, pex_file::Member>,
}

fn strings(value: &Value) -> BTreeSet<String> {
    let list = value.as_array().unwrap_or_else(|| panic!("not a list: {value}"));
    list.iter()
        .map(|item| item.as_str().unwrap_or_else(|| panic!("not a string: {item}")).to_string())
        .collect()
}

/// The requirement lines in one form.
fn in_one_spelling(lines: BTreeSet<String>) -> BTreeSet<String> {
    let parsed = lines.into_iter().map(|line| {
        let requirement: pep508_rs::Requirement =
            line.parse().unwrap_or_else(|error| panic!("{line}: {error}"));
        requirement.to_string()
    });
    parsed.collect()
}

fn reference_answer(project: &Path) -> Answer {
    let environment = environment(PYTHON, &REFERENCE);
    let out = tempfile::tempdir().unwrap();
    let answer = out.path().join("answer.json");
    let path = std::env::join_paths([environment.join("bin"), "/usr/bin".into(), "/bin".into()]).unwrap();
    run(Command::new(environment.join("bin/python"))
        .arg(repository().join("tests/consumer/reference_builder.py"))
        .args([project, out.path()])
        .arg(PYTHON)
        .arg(&answer)
        .env("PATH", path)
        .env("PEX_ROOT", out.path().join("pex_root")));
    let answer: Value = serde_json::from_slice(&std::fs::read(answer).unwrap()).unwrap();
    Answer {
        local_packages: strings(&answer["local_packages"]),
        requirements: in_one_spelling(strings(&answer["requirements"])),
        members: pex_file::members(Path::new(answer["source_pex"].as_str().unwrap())),
    }
}

fn our_answer(project: &Path) -> Answer {
    let out = tempfile::tempdir().unwrap();
    let collected = run(pexpress_with_uv().args(["deps", "--dry-run", "--format", "json"]).arg(project));
    let collected = json(&collected);
    run(pexpress_with_uv().arg("source").args([project, out.path()]));
    Answer {
        local_packages: strings(&collected["local_packages"]),
        requirements: in_one_spelling(strings(&collected["requirements"])),
        members: pex_file::members(&files_named(out.path(), "source-")[0]),
    }
}

/// The requirement that dagster-cloud-cli 1.13.27 adds to every set, until dagster allows protobuf 7.
const ADDED_BY_REFERENCE: &str = "grpcio-health-checking<1.82";

/// How a member differs, or `None` if that is intended.
///
/// Wanted: hashes and file names in PEX-INFO and the boot text that quotes them; the comment in the otherwise empty
/// `working_directory/__init__.py`; and `*.dist-info` of local packages. There the reference has what an installer
/// wrote (RECORD, the path on the machine that built it: other bytes in each build), and nothing for a setup.py; we
/// have the wheel's own metadata for both, so that `importlib.metadata` knows the project and its entry points.
fn difference(
    name: &str,
    ours: Option<&pex_file::Member>,
    theirs: Option<&pex_file::Member>,
) -> Option<String> {
    let of_the_build =
        ["PEX-INFO", "__main__.py", "__pex__/__init__.py", "working_directory/__init__.py"].contains(&name);
    let of_the_installer = name.split_once(".dist-info/").is_some_and(|(package, file)| {
        let installers = ["RECORD", "INSTALLER", "REQUESTED", "direct_url.json"].contains(&file);
        !package.contains('/') && (installers || theirs.is_none())
    });
    match (ours, theirs) {
        (Some(_), Some(_)) if of_the_build => None,
        _ if of_the_installer => None,
        (Some(ours), Some(theirs)) if ours.content != theirs.content => {
            Some(format!("{name}: other content"))
        }
        (Some(ours), Some(theirs)) if ours.mode != theirs.mode => {
            Some(format!("{name}: mode {:o}, theirs {:o}", ours.mode, theirs.mode))
        }
        (Some(_), None) => Some(format!("{name}: only ours")),
        (None, Some(_)) => Some(format!("{name}: only theirs")),
        _ => None,
    }
}

/// Check the project. `wanted` lists the members that may differ.
fn both_agree_on(project: &Path, wanted: &[&str]) {
    let theirs = reference_answer(project);
    let ours = our_answer(project);
    assert_eq!(ours.local_packages, theirs.local_packages, "local packages");
    let mut their_requirements = theirs.requirements;
    assert!(their_requirements.remove(ADDED_BY_REFERENCE), "the reference adds it no longer");
    assert_eq!(ours.requirements, their_requirements, "requirements");

    let names: BTreeSet<&String> = ours.members.keys().chain(theirs.members.keys()).collect();
    let differences: Vec<String> = names
        .into_iter()
        .filter_map(|name| difference(name, ours.members.get(name), theirs.members.get(name)))
        .collect();
    assert_eq!(differences, wanted, "members of the source PEX");
}

const SETUP_PY: &str = "from setuptools import setup\nsetup(name='fields', version='1', packages=['fields'],\n    \
     package_data={'fields': ['*.sql']}, install_requires=['dagster', 'dagster-cloud', 'requests>=2 ; python_version > \"3\"'])\n";
const LIBRARY: &str = "[project]\nname = 'library'\nversion = '1'\ndependencies = ['attrs>=23']\n\
     [build-system]\nrequires = ['hatchling']\nbuild-backend = 'hatchling.build'\n";

#[test]
#[ignore = "half a minute, and a package index"]
fn the_quickstart() {
    let _timed = timed();
    both_agree_on(&quickstart(), &[]);
}

#[test]
#[ignore = "half a minute, and a package index"]
fn a_project_with_setup_py_and_package_data() {
    let _timed = timed();
    let dir = project_tree(&[
        ("setup.py", SETUP_PY),
        ("fields/__init__.py", ""),
        ("fields/query.sql", "select 1"),
        ("fields/notes.txt", "not package data"),
    ]);
    both_agree_on(dir.path(), &[]);
}

#[test]
#[ignore = "half a minute, and a package index"]
fn a_project_with_requirements_txt_alone() {
    let _timed = timed();
    let dir = project_tree(&[
        ("requirements.txt", "dagster  # the framework\ndagster-cloud\nsix \\\n  >= 1.16\n\n# done\n"),
        ("repo.py", "x = 1\n"),
        ("jobs/__init__.py", ""),
    ]);
    both_agree_on(dir.path(), &[]);
}

#[test]
#[ignore = "half a minute, and a package index"]
fn local_packages_of_local_packages() {
    let _timed = timed();
    let dir = project_tree(&[
        ("app/requirements.txt", "../library\ndagster\ndagster-cloud\n"),
        ("app/setup.py", SETUP_PY),
        ("app/fields/__init__.py", ""),
        ("library/pyproject.toml", LIBRARY),
        ("library/library/__init__.py", "y = 1\n"),
        ("library/requirements.txt", "../base\n"),
        ("base/setup.py", "from setuptools import setup\nsetup(name='base', py_modules=['base'])\n"),
        ("base/base.py", ""),
    ]);
    both_agree_on(&dir.path().join("app"), &[]);
}

#[test]
#[ignore = "half a minute, and a package index"]
fn sources_of_uv_that_are_paths() {
    let _timed = timed();
    let project = "[project]\nname = 'app'\nversion = '1'\ndependencies = ['dagster', 'dagster-cloud', 'library']\n\
         [tool.uv.sources]\nlibrary = { path = '../library' }\n\
         [build-system]\nrequires = ['hatchling']\nbuild-backend = 'hatchling.build'\n";
    let dir = project_tree(&[
        ("app/pyproject.toml", project),
        ("app/src/app/__init__.py", ""),
        ("library/pyproject.toml", LIBRARY),
        ("library/library/__init__.py", "y = 1\n"),
    ]);
    both_agree_on(&dir.path().join("app"), &[]);
}

#[test]
#[ignore = "half a minute, and a package index"]
fn files_of_every_kind_in_the_working_directory() {
    let _timed = timed();
    use std::os::unix::fs::{PermissionsExt, symlink};
    let dir = project_tree(&[
        ("app/requirements.txt", "dagster\ndagster-cloud\n"),
        ("app/größe und maß.txt", "ü"),
        ("app/run.sh", "#!/bin/sh\n"),
        ("app/.hidden/keep", "1"),
        ("app/deep/.git/config", ""),
        ("app/deep/__pycache__/x.py", ""),
        ("app/deep/.venv/pyvenv.cfg", ""),
        ("app/old.pyc", ""),
        ("app/target/manifest.json", "{}"),
        ("app/env/pyvenv.cfg", "home = /usr/bin\n"),
        ("app/env/lib/x.py", ""),
        ("app/node_modules/x/index.js", ""),
        ("outside/file.txt", "outside"),
        ("outside/dir/inner.txt", "inner"),
    ]);
    let app = dir.path().join("app");
    std::fs::set_permissions(app.join("run.sh"), std::fs::Permissions::from_mode(0o750)).unwrap();
    std::fs::create_dir(app.join("empty")).unwrap();
    symlink(dir.path().join("outside/file.txt"), app.join("link.txt")).unwrap();
    symlink(dir.path().join("outside/dir"), app.join("linked")).unwrap();
    both_agree_on(
        &app,
        &[
            // A virtual environment whatever its name, and packages of Node, are left out.
            "working_directory/root/env/lib/x.py: only theirs",
            "working_directory/root/env/pyvenv.cfg: only theirs",
            // A link to a directory is followed; the reference loses it.
            "working_directory/root/linked/inner.txt: only ours",
            "working_directory/root/node_modules/x/index.js: only theirs",
        ],
    );
}

/// Same distributions in the deps PEX, file name by file name, where both resolve the same pins.
#[test]
#[ignore = "a minute, and a package index"]
fn the_distributions_of_the_quickstart() {
    let _timed = timed();
    let environment = environment(PYTHON, &REFERENCE);
    let out = tempfile::tempdir().unwrap();
    let (ours, theirs) = (out.path().join("ours"), out.path().join("theirs"));
    let path = std::env::join_paths([environment.join("bin"), "/usr/bin".into(), "/bin".into()]).unwrap();
    run(Command::new(environment.join("bin/dagster-cloud"))
        .args([
            "serverless",
            "build-python-executable",
            "--build-method",
            "local",
            "--python-version",
            PYTHON,
        ])
        .args([&quickstart(), &theirs])
        // Building asks for these three and uses none of them.
        .env("DAGSTER_CLOUD_API_TOKEN", "none")
        .env("DAGSTER_CLOUD_ORGANIZATION", "none")
        .env("DAGSTER_CLOUD_DEPLOYMENT", "none")
        .env("PATH", path));
    run(pexpress_with_uv().arg("deps").args([&quickstart(), &ours]));
    let distributions = |dir: &Path| {
        let info = pex_file::info(&files_named(dir, "deps-")[0]);
        info["distributions"].as_object().unwrap().keys().cloned().collect::<BTreeSet<String>>()
    };
    assert_eq!(distributions(&ours), distributions(&theirs));
}
