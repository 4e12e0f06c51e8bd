//! The last way to get uv: a pip downloads its wheel. pip may know what our own client does not, such as a keyring.

use super::path_search::which;
use super::process::{Process, ProcessError};
use super::uv_pins::{self, Pin};
use crate::child_env::Purpose;
use crate::foreign_text::neutral;
use crate::host::Host;
use std::path::{Path, PathBuf};

/// Why there is no wheel.
pub(super) enum Failure {
    /// There is no pip.
    NoPip,
    /// The last pip failed.
    Failed(ProcessError),
}

/// Try each pip in turn to download the wheel into `dir`.
///
/// A Python without pip is skipped. The error is that of the last real pip.
pub(super) fn download(host: &Host, pin: &Pin, dir: &Path) -> Result<PathBuf, Failure> {
    let mut last: Option<ProcessError> = None;
    for process in pips(host) {
        let process = process
            .args(["download", "--quiet", "--disable-pip-version-check", "--no-input", "--no-deps"])
            .args(["--only-binary", ":all:", "--platform", pin.platform_tag, "--dest"])
            .arg(dir)
            .arg(format!("uv=={}", uv_pins::VERSION))
            // Users set it against installing outside of an environment; a download installs nothing.
            .env("PIP_REQUIRE_VIRTUALENV", "0");
        match process.run(host) {
            Ok(_) => {
                if let Some(wheel) = wheel_in(dir) {
                    return Ok(wheel);
                }
            }
            Err(error) if has_no_pip(&error) => host.detail(neutral(&error.to_string())),
            // Another Python may have a pip that works. The last error is reported if none does.
            Err(error) => last = Some(error),
        }
    }
    Err(last.map_or(Failure::NoPip, Failure::Failed))
}

/// Every way to call a pip: as a module of each Python on `PATH`, then by its own name.
fn pips(host: &Host) -> impl Iterator<Item = Process> {
    let pythons = ["python3", "python"].into_iter().flat_map(|name| which(host, name));
    // A `types.py` in the working directory would hide Python's own. Source: Python's documentation, PYTHONSAFEPATH (3.11).
    let modules = pythons.map(|python| {
        Process::new(host, Purpose::Fetch, python).env("PYTHONSAFEPATH", "1").subcommand(&["-m", "pip"])
    });
    let programs = ["pip3", "pip"].into_iter().flat_map(|name| which(host, name));
    modules.chain(programs.map(|program| Process::new(host, Purpose::Fetch, program)))
}

/// Whether the error means that there is no pip: Python prints `No module named pip`, or the program does not start.
fn has_no_pip(error: &ProcessError) -> bool {
    match error {
        ProcessError::Failed { stderr, .. } => stderr
            .as_ref()
            .is_some_and(|said| said.0.contains("No module named") || said.0.contains("command not found")),
        _ => true,
    }
}

fn wheel_in(dir: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(dir).ok()?;
    entries
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|e| e == "whl"))
}
