//! Python environments with packages from PyPI, made at first use and kept below `target/`.

use super::{kept_dir, run};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock};

/// The uv that makes the environments when there is none on the machine.
const UV_VERSION: &str = "0.13.9";
/// Names the Python versions that the consumers run on, separated by blanks, where not all of them can be had.
const PYTHONS_VARIABLE: &str = "PEXPRESS_TEST_PYTHONS";
const PYTHONS: &str = "3.10 3.11 3.12 3.13";

/// The Python versions to test on.
pub fn python_versions() -> Vec<String> {
    let wanted = std::env::var(PYTHONS_VARIABLE).unwrap_or_else(|_| PYTHONS.into());
    wanted.split_whitespace().map(String::from).collect()
}

/// A uv: `PEXPRESS_UV`, the one on PATH, or one from PyPI in an environment of its own.
pub fn uv() -> PathBuf {
    static UV: OnceLock<PathBuf> = OnceLock::new();
    UV.get_or_init(|| {
        let named = std::env::var_os("PEXPRESS_UV").map(PathBuf::from);
        named.or_else(|| on_path("uv")).unwrap_or_else(uv_from_pypi)
    })
    .clone()
}

fn uv_from_pypi() -> PathBuf {
    let dir = kept_dir("tools").join(format!("uv-{UV_VERSION}"));
    let uv = dir.join("bin/uv");
    if !uv.exists() {
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&dir));
        run(Command::new(dir.join("bin/python")).args([
            "-m",
            "pip",
            "install",
            "--quiet",
            &format!("uv=={UV_VERSION}"),
        ]));
    }
    uv
}

/// The interpreter of `version` (`3.12`): on PATH, in pyenv or a runner's tool cache, or installed by uv.
///
/// Panics, with what to do, if there is none: a test that silently skips proves nothing.
pub fn python(version: &str) -> PathBuf {
    let candidates = [on_path(&format!("python{version}"))].into_iter().flatten().chain(versioned(version));
    candidates.into_iter().find(|python| runs_as(python, version)).unwrap_or_else(|| {
        let installed = Command::new(uv()).args(["python", "install", "--quiet", version]).output();
        let found = Command::new(uv()).args(["python", "find", version]).output().ok().filter(|found| found.status.success());
        let path = found.map(|found| PathBuf::from(String::from_utf8_lossy(&found.stdout).trim()));
        path.unwrap_or_else(|| {
            panic!("no Python {version}: install it, or name the versions to test in {PYTHONS_VARIABLE} (uv said {installed:?})")
        })
    })
}

/// Interpreters of this version that pyenv or a runner's tool cache hold.
fn versioned(version: &str) -> Vec<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let home = variable("HOME").unwrap_or_default();
    let stores = [
        (variable("PYENV_ROOT").unwrap_or(home.join(".pyenv")).join("versions"), "bin/python3"),
        (variable("RUNNER_TOOL_CACHE").unwrap_or_default().join("Python"), "x64/bin/python3"),
    ];
    let mut found = Vec::new();
    for (store, executable) in stores {
        for entry in std::fs::read_dir(store).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(&format!("{version}.")) {
                found.push(entry.path().join(executable));
            }
        }
    }
    found
}

fn runs_as(python: &Path, version: &str) -> bool {
    let code = "import sys; print('%d.%d' % sys.version_info[:2])";
    Command::new(python)
        .args(["-c", code])
        .output()
        .is_ok_and(|output| output.stdout.trim_ascii() == version.as_bytes())
}

fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file())
}

/// An environment for Python `version` with `requirements`, made at first use.
///
/// One at a time: uv uses all cores by itself, and two tests may ask for the same one.
pub fn environment(version: &str, requirements: &[&str]) -> PathBuf {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let name = format!("{version}-{}", requirements.join("-"))
        .replace(|c: char| !c.is_ascii_alphanumeric() && c != '.', "-");
    let dir = kept_dir("environments").join(name);
    let complete = dir.join("complete");
    if !complete.exists() {
        run(Command::new(uv())
            .args(["venv", "--quiet", "--clear", "--python"])
            .arg(python(version))
            .arg(&dir));
        run(Command::new(uv())
            .args(["pip", "install", "--quiet", "--python"])
            .arg(dir.join("bin/python"))
            .args(requirements));
        std::fs::write(&complete, requirements.join("\n")).unwrap();
    }
    dir
}
