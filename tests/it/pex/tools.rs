//! `pex-tools FILE venv`, the agent's command, of several pex releases unpacks our files with their modes and bytes,
//! and they can be imported.

use crate::support::environments::{environment, is_here};
use crate::support::timed::timed;
use crate::support::{BuiltPair, build_pair, kept_dir, pex_file, quickstart, run};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

const PYTHON: &str = "3.11";

/// The path of a PEX member in the environment, or `None` if it does not belong there.
///
/// Source: `docs/pex.md`, "One wheel as a chroot".
fn place_in_environment(member: &str, python: &str) -> Option<String> {
    let site_packages = format!("lib/python{python}/site-packages");
    let own = ["__main__.py", "PEX-INFO"].contains(&member);
    if own || member.starts_with(".bootstrap/") || member.starts_with("__pex__/") {
        return None;
    }
    let Some((_, inside)) = member.strip_prefix(".deps/").and_then(|rest| rest.split_once('/')) else {
        return Some(format!("{site_packages}/{member}"));
    };
    match inside.strip_prefix(".prefix/") {
        _ if inside == ".layout.json" => None,
        Some(stashed) => Some(stashed.replace("/pythonX.Y/", &format!("/python{python}/"))),
        None => Some(format!("{site_packages}/{inside}")),
    }
}

/// Files of the environment by path relative to it, with mode; links followed.
fn files_below(dir: &Path) -> BTreeMap<String, u32> {
    use std::os::unix::fs::PermissionsExt;
    let mut files = BTreeMap::new();
    let mut pending = vec![dir.to_path_buf()];
    while let Some(next) = pending.pop() {
        for entry in std::fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                if !path.is_symlink() {
                    pending.push(path);
                }
                continue;
            }
            let name = path.strip_prefix(dir).unwrap().to_string_lossy().into_owned();
            let mode = std::fs::metadata(&path).map(|metadata| metadata.permissions().mode() & 0o777);
            files.insert(name, mode.unwrap_or(0));
        }
    }
    files
}

/// Whether this file below site-packages comes from pex or the environment itself, and not from our wheels.
fn is_of_the_environment(inside: &str) -> bool {
    let first = inside.split('/').next().unwrap_or_default();
    let bootstrapped =
        ["pip", "setuptools", "pkg_resources", "_distutils_hack", "distutils-precedence.pth", "wheel"];
    inside.ends_with(".pyc")
        || inside.ends_with(".dist-info/RECORD")
        || inside.ends_with(".dist-info/REQUESTED")
        || bootstrapped.iter().any(|name| first == *name || first.starts_with(&format!("{name}-")))
        || first.starts_with("PEX_EXTRA_SYS_PATH")
        || first == "__pex__"
}

/// Which executable bits a pex release keeps.
#[derive(Clone, Copy, PartialEq)]
pub enum KeptModes {
    /// Those of every file.
    All,
    /// Only those of scripts: 2.60 and newer do so to PEX files of their own making as well.
    Scripts,
}

/// Differences between the environment in `dir` and its PEX `file`.
pub fn differences(file: &Path, dir: &Path, kept: KeptModes, python: &str) -> Vec<String> {
    let found = files_below(dir);
    let mut wrong = Vec::new();
    let mut expected = BTreeSet::new();
    for (name, member) in pex_file::members(file) {
        let Some(place) = place_in_environment(&name, python) else { continue };
        let is_script = place.starts_with("bin/");
        match found.get(&place) {
            None => wrong.push(format!("{place}: missing")),
            Some(mode) if (is_script || kept == KeptModes::All) && *mode & 0o111 != member.mode & 0o111 => {
                wrong.push(format!("{place}: mode {mode:o}, not {:o}", member.mode));
            }
            Some(_) if !is_script && std::fs::read(dir.join(&place)).unwrap() != member.content => {
                wrong.push(format!("{place}: other content"));
            }
            Some(_) => {}
        }
        expected.insert(place);
    }
    let site_packages = format!("lib/python{python}/site-packages/");
    for name in found.keys().filter(|name| !expected.contains(*name)) {
        if name.strip_prefix(&site_packages).is_some_and(|inside| !is_of_the_environment(inside)) {
            wrong.push(format!("{name}: not in the PEX"));
        }
    }
    wrong
}

/// The command that the agent runs, by the pex in `environment`. Source: `PexS3Registry.install_venv` of dagster-cloud
/// 1.13.27.
pub fn unpacking(environment: &Path, file: &Path, into: &Path) -> (Command, PathBuf) {
    let dir = into.join("environment");
    let mut command = Command::new(environment.join("bin/pex-tools"));
    command
        .arg(file)
        .args(["venv", "--collisions-ok", "--non-hermetic-scripts"])
        .arg(&dir)
        .arg("--pip")
        .env_clear()
        .env("PATH", environment.join("bin"))
        .env("HOME", into)
        .env("PEX_ROOT", into.join("pex_root"));
    (command, dir)
}

fn quickstart_pair() -> &'static BuiltPair {
    static PAIR: OnceLock<BuiltPair> = OnceLock::new();
    PAIR.get_or_init(|| {
        let dir = kept_dir("pex-tools");
        std::fs::remove_dir_all(&dir).unwrap();
        build_pair(&quickstart(), PYTHON, &dir)
    })
}

fn unpacks_and_imports(pex_release: &str, kept: KeptModes) {
    if !is_here(PYTHON) {
        return;
    }
    let pair = quickstart_pair();
    for (file, import) in [
        (&pair.deps, "import dagster, dagster_cloud, grpc; print(dagster.__version__)"),
        (
            &pair.source,
            "import working_directory, importlib.util as u; print(u.find_spec('quickstart').origin)",
        ),
    ] {
        let into = tempfile::tempdir().unwrap();
        let (mut command, dir) = unpacking(&environment(PYTHON, &[pex_release]), file, into.path());
        run(&mut command);
        assert_eq!(
            differences(file, &dir, kept, PYTHON),
            Vec::<String>::new(),
            "{pex_release}: {}",
            file.display()
        );
        run(Command::new(dir.join("pex")).args(["-c", import]).env_clear().env("HOME", into.path()));
    }
}

#[test]
#[ignore = "half a minute, and a package index"]
fn pex_2_1_132_unpacks_what_we_build() {
    let _timed = timed();
    unpacks_and_imports("pex==2.1.132", KeptModes::All);
}

#[test]
#[ignore = "half a minute, and a package index"]
fn pex_2_3_0_unpacks_what_we_build() {
    let _timed = timed();
    unpacks_and_imports("pex==2.3.0", KeptModes::All);
}

#[test]
#[ignore = "half a minute, and a package index"]
fn pex_2_40_2_unpacks_what_we_build() {
    let _timed = timed();
    unpacks_and_imports("pex==2.40.2", KeptModes::All);
}

#[test]
#[ignore = "half a minute, and a package index"]
fn pex_2_59_5_unpacks_what_we_build() {
    let _timed = timed();
    unpacks_and_imports("pex==2.59.5", KeptModes::All);
}

#[test]
#[ignore = "half a minute, and a package index"]
fn the_newest_pex_unpacks_what_we_build() {
    let _timed = timed();
    unpacks_and_imports("pex", KeptModes::Scripts);
}

#[test]
#[ignore = "half a minute, and a package index"]
fn a_deps_pex_runs_by_itself() {
    let _timed = timed();
    if !is_here(PYTHON) {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let python = crate::support::environments::python(PYTHON);
    run(Command::new(python)
        .arg(&quickstart_pair().deps)
        .args(["-c", "import dagster"])
        .env_clear()
        .env("HOME", home.path())
        .env("PEX_ROOT", home.path()));
}
