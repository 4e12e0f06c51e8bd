//! The Pythons on this machine.
//!
//! Searched on `PATH`, among pyenv's versions, in the tool cache of a GitHub or Azure runner, and among those that uv
//! manages. Each is run to find its version: names are unreliable, and pyenv's shims may be broken.

use super::path_search::{is_program, path_dirs};
use super::process::Process;
use crate::child_env::Purpose;
use crate::env_vars;
use crate::host::Host;
use crate::target::PythonVersion;
use crate::threads::lock;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// A CPython 3 interpreter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Python {
    /// The base interpreter: not a shim, and not the one of a virtual environment.
    pub executable: PathBuf,
    /// Major, minor, patch.
    pub version: (u8, u8, u8),
    /// Where it was found.
    pub source: PythonSource,
}

/// Where a Python was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PythonSource {
    /// On `PATH`.
    Path,
    /// Among pyenv's versions.
    Pyenv,
    /// In the runner's tool cache.
    ToolCache,
    /// Managed by uv.
    Uv,
}

impl fmt::Display for PythonSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PythonSource::Path => "PATH",
            PythonSource::Pyenv => "pyenv",
            PythonSource::ToolCache => "tool cache",
            PythonSource::Uv => "uv",
        })
    }
}

impl Python {
    /// Whether it has this minor version.
    pub fn is(&self, version: PythonVersion) -> bool {
        self.version.0 == 3 && self.version.1 == version.minor()
    }
}

/// The Pythons of this machine. Each version is searched once per run.
#[derive(Clone)]
pub(super) struct Pythons {
    host: Host,
    known: Arc<Mutex<BTreeMap<PythonVersion, Option<Python>>>>,
}

impl Pythons {
    pub(super) fn new(host: &Host) -> Pythons {
        Pythons { host: host.clone(), known: Arc::default() }
    }

    /// The first Python of this version: `python3.X` on `PATH`, then directories with one version each, then `python3`
    /// and `python` on `PATH`.
    pub(super) fn find(&self, version: PythonVersion) -> Option<Python> {
        let mut known = lock(&self.known);
        let look = || {
            let exact = on_path(&self.host, &[&format!("python{version}")]);
            let installed = installed(&self.host);
            let generic = on_path(&self.host, &["python3", "python"]);
            let candidates = exact.into_iter().chain(installed).chain(generic);
            candidates
                // A name on `PATH` says nothing reliable about the version; directories of installations do.
                .filter(|(source, path)| *source == PythonSource::Path || name_fits(path, version))
                .find_map(|(source, path)| probe(&self.host, source, &path).filter(|found| found.is(version)))
        };
        // Inserted under the lock, so that two threads do not start the same interpreters.
        known.entry(version).or_insert_with(look).clone()
    }

    /// Remember a Python that was installed during this run.
    pub(super) fn remember(&self, version: PythonVersion, executable: PathBuf) {
        let python = Python { executable, version: (3, version.minor(), 0), source: PythonSource::Uv };
        lock(&self.known).insert(version, Some(python));
    }
}

/// Every Python of a version that Dagster+ has run, each once, in the order of [`PythonSource`].
pub(super) fn list(host: &Host) -> Vec<Python> {
    let exact: Vec<String> = PythonVersion::MINORS.rev().map(|minor| format!("python3.{minor}")).collect();
    let names: Vec<&str> =
        ["python3", "python"].into_iter().chain(exact.iter().map(String::as_str)).collect();
    let mut seen = BTreeSet::new();
    let mut pythons: Vec<Python> = Vec::new();
    for (source, path) in on_path(host, &names).into_iter().chain(installed(host)) {
        if !path.canonicalize().is_ok_and(|real| seen.insert(real)) {
            continue;
        }
        let Some(python) = probe(host, source, &path) else { continue };
        let serves = python.version.0 == 3 && PythonVersion::MINORS.contains(&python.version.1);
        let real = |python: &Python| python.executable.canonicalize().ok();
        if serves && !pythons.iter().any(|known| real(known) == real(&python)) {
            pythons.push(python);
        }
    }
    pythons
}

/// Executables of these names on `PATH`. pyenv's shims are scripts that need a fifth of a second to find their target,
/// so the versions that they can lead to take their place.
pub(super) fn on_path(host: &Host, names: &[&str]) -> Vec<(PythonSource, PathBuf)> {
    let shims = pyenv_root(host).map(|root| root.join("shims"));
    let mut found = Vec::new();
    for dir in path_dirs(host) {
        if Some(&dir) == shims.as_ref() {
            found.extend(versions(pyenv_versions(host), PythonSource::Pyenv, "bin/python3"));
        } else {
            let paths = names.iter().map(|name| dir.join(name)).filter(|path| is_program(path));
            found.extend(paths.map(|path| (PythonSource::Path, path)));
        }
    }
    found
}

/// Interpreters in the directories of each kind of installation, which have one directory per version.
fn installed(host: &Host) -> Vec<(PythonSource, PathBuf)> {
    let tool_cache = host
        .path_var(env_vars::RUNNER_TOOL_CACHE)
        .or_else(|| host.path_var(env_vars::AGENT_TOOLSDIRECTORY))
        .map(|root| root.join("Python"));
    let managed = host
        .path_var(env_vars::UV_PYTHON_INSTALL_DIR)
        .or_else(|| host.path_var(env_vars::XDG_DATA_HOME).map(|data| data.join("uv/python")))
        .or_else(|| host.path_var(env_vars::HOME).map(|home| home.join(".local/share/uv/python")));
    [
        versions(pyenv_versions(host), PythonSource::Pyenv, "bin/python3"),
        versions(tool_cache.clone(), PythonSource::ToolCache, "x64/bin/python3"),
        versions(tool_cache, PythonSource::ToolCache, "arm64/bin/python3"),
        versions(managed, PythonSource::Uv, "bin/python3"),
    ]
    .concat()
}

fn pyenv_root(host: &Host) -> Option<PathBuf> {
    let home = || host.path_var(env_vars::HOME).map(|home| home.join(".pyenv"));
    host.path_var(env_vars::PYENV_ROOT).or_else(home)
}

fn pyenv_versions(host: &Host) -> Option<PathBuf> {
    pyenv_root(host).map(|root| root.join("versions"))
}

/// `ROOT/VERSION/BELOW` for each version in `root`, in reverse order of the names.
fn versions(root: Option<PathBuf>, source: PythonSource, below: &str) -> Vec<(PythonSource, PathBuf)> {
    let entries = root.and_then(|root| std::fs::read_dir(root).ok()).into_iter().flatten();
    let mut paths: Vec<PathBuf> =
        entries.filter_map(Result::ok).map(|entry| entry.path().join(below)).collect();
    paths.retain(|path| path.exists());
    paths.sort();
    // By text, not by version: any patch release serves, so the exact order does not matter.
    paths.into_iter().rev().map(|path| (source, path)).collect()
}

/// Whether the name of the directory (`3.11.7`, `cpython-3.11.7-linux-x86_64-gnu`) fits the version. This avoids
/// starting interpreters of other versions.
fn name_fits(path: &Path, version: PythonVersion) -> bool {
    let wanted = version.to_string();
    path.iter().any(|part| {
        let part = part.to_string_lossy();
        let name = part.strip_prefix("cpython-").unwrap_or(&part);
        name.strip_prefix(wanted.as_str()).is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()))
    })
}

/// Four lines: implementation, version, ABI flags, the interpreter below any virtual environment.
const QUESTION: &str = "import sys
print(sys.implementation.name)
print('%d.%d.%d' % sys.version_info[:3])
print(sys.abiflags or '-')
print(getattr(sys, '_base_executable', None) or sys.executable)";

/// Run the interpreter at `path` to identify it. `None` if it does not answer, is not CPython, or has no GIL (it needs
/// different wheels).
fn probe(host: &Host, source: PythonSource, path: &Path) -> Option<Python> {
    // `-I` keeps the user's `PYTHONPATH` and site directory from changing the answer.
    let output = Process::new(host, Purpose::Own, path).args(["-I", "-c", QUESTION]).run(host);
    let text = output.and_then(|output| output.text()).map_err(|error| {
        host.detail(format!("`{}` is not used: {error}", path.display()));
    });
    parse_answer(&text.ok()?, source)
}

fn parse_answer(text: &str, source: PythonSource) -> Option<Python> {
    let mut lines = text.lines();
    let (implementation, version, flags) = (lines.next()?, lines.next()?, lines.next()?);
    let executable = PathBuf::from(lines.next()?);
    // `t` in the ABI flags marks a free-threaded build. Source: PEP 703.
    if implementation != "cpython" || flags.contains('t') || !executable.is_absolute() {
        return None;
    }
    let mut numbers = version.split('.').map(|number| number.parse().ok());
    let version = (numbers.next()??, numbers.next()??, numbers.next()??);
    Some(Python { executable, version, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_usual_cpython_is_taken() {
        for (answer, want) in [
            ("cpython\n3.11.7\n-\n/p/bin/python3.11\n", Some((3, 11, 7))),
            ("cpython\n3.13.1\nt\n/p/bin/python3.13t\n", None),
            ("pypy\n3.10.1\n-\n/p/bin/pypy\n", None),
            ("cpython\n3.11\n-\n/p\n", None),
            ("cpython\n3.11.7\n-\n\n", None),
            ("", None),
        ] {
            let found = parse_answer(answer, PythonSource::Path).map(|python| python.version);
            assert_eq!(found, want, "{answer:?}");
        }
    }

    #[test]
    fn directory_names_show_their_version() {
        let version: PythonVersion = "3.11".parse().unwrap();
        for (path, want) in [
            ("/h/.pyenv/versions/3.11.7/bin/python3", true),
            ("/h/.pyenv/versions/3.12.1/bin/python3", false),
            ("/d/uv/python/cpython-3.11.9-linux-x86_64-gnu/bin/python3", true),
            ("/d/uv/python/cpython-3.110.9-linux/bin/python3", false),
            ("/t/Python/3.11.9/x64/bin/python3", true),
        ] {
            assert_eq!(name_fits(Path::new(path), version), want, "{path}");
        }
    }
}
