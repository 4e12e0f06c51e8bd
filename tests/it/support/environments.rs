//! Python environments with packages from PyPI, made at first use and stored below `target/`.

use super::{kept_dir, run};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock};

/// The uv that makes the environments when there is none on the machine.
const UV_VERSION: &str = "0.13.9";
/// Python versions for the consumers, separated by spaces. A missing one is a failure.
const PYTHONS_VARIABLE: &str = "PEXPRESS_TEST_PYTHONS";

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

/// The interpreter of `version` (`3.12`): on PATH, in pyenv or a runner's tool cache, or one that uv has installed.
///
/// Panics, with what to do, if there is none: a test that silently skips proves nothing. One that may be left out asks
/// [`is_here`] first.
pub fn python(version: &str) -> PathBuf {
    find_python(version).unwrap_or_else(|| {
        panic!("CPython {version} is not here: `scripts/setup tests` installs it, or names what is missing")
    })
}

/// Whether there is an interpreter of `version`. If not, and it was not requested by name, the test of this thread is
/// reported as not run, and has to end; `scripts/test` counts these lines.
pub fn is_here(version: &str) -> bool {
    let wanted = std::env::var(PYTHONS_VARIABLE).ok();
    let named = wanted.as_deref().is_some_and(|wanted| wanted.split_whitespace().any(|one| one == version));
    if wanted.is_some() && !named {
        not_run(&format!("{PYTHONS_VARIABLE} does not name CPython {version}"));
        return false;
    }
    let is_here = named || find_python(version).is_some();
    if !is_here {
        not_run(&format!("CPython {version} is not here"));
    }
    is_here
}

/// Say that the test of this thread is not run. Straight to stderr, which libtest does not capture.
pub fn not_run(why: &str) {
    let thread = std::thread::current();
    let line = format!("not run: {}: {why}\n", thread.name().unwrap_or("a part of a test"));
    // With a closed stderr there is no reader.
    let _ = std::io::stderr().write_all(line.as_bytes());
}

/// The Python version for stand-ins and other tools: any installed one is fine.
pub fn helper_version() -> &'static str {
    static VERSION: OnceLock<&str> = OnceLock::new();
    VERSION.get_or_init(|| {
        let here =
            ["3.11", "3.12", "3.13", "3.10"].into_iter().find(|version| find_python(version).is_some());
        here.expect("one of CPython 3.10 to 3.13 is needed: `scripts/setup tests` installs one")
    })
}

fn find_python(version: &str) -> Option<PathBuf> {
    static KNOWN: Mutex<BTreeMap<String, Option<PathBuf>>> = Mutex::new(BTreeMap::new());
    let mut known = KNOWN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    known.entry(version.to_string()).or_insert_with(|| look_for_python(version)).clone()
}

fn look_for_python(version: &str) -> Option<PathBuf> {
    let candidates = [on_path(&format!("python{version}")), on_path("python3")].into_iter().flatten();
    let found = candidates.chain(versioned(version)).find(|python| runs_as(python, version));
    found.or_else(|| {
        let mut ask = Command::new(uv());
        let output = ask.args(["python", "find", "--no-python-downloads", version]).output().ok()?;
        let path = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
        (output.status.success() && runs_as(&path, version)).then_some(path)
    })
}

/// Interpreters of this version in pyenv or a runner's tool cache.
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
