//! Finds a uv, or downloads the pinned one.
//!
//! In this order: the one in `PEXPRESS_UV`; one on `PATH`, if new enough; the one in the cache; the pinned release,
//! downloaded as a wheel with an available `pip`, because pip knows the user's index, proxy, certificates and
//! credentials. So there is no index URL here.

use super::Error;
use super::path_search::which;
use super::process::{Process, ProcessError};
use super::python::Pythons;
use super::uv::Uv;
use super::uv_pins::{self, Pin};
use crate::cache::{Cache, CacheError, write_atomically};
use crate::child_env::Purpose;
use crate::env_vars;
use crate::executable::make_executable;
use crate::foreign_text::neutral;
use crate::hex::hex;
use crate::host::Host;
use sha2::{Digest, Sha256};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// Find a uv, or download one.
pub(super) fn find(host: &Host, cache: &Cache, pythons: &Pythons) -> Result<Uv, Error> {
    // An error here is final: a user who chose a uv should not get another one.
    if let Some(program) = host.path_var(env_vars::PEXPRESS_UV) {
        return named(host.absolute(&program), host, pythons);
    }
    if let Some(uv) = on_path(host, pythons) {
        return Ok(uv);
    }
    let pin = uv_pins::here().ok_or(Error::NoPin)?;
    let directory = cache.root().join("uv").join(uv_pins::VERSION.to_string());
    cache.claim(&directory);
    let path = directory.join("uv");
    match intact(&path, pin) {
        Ok(true) => {}
        Ok(false) => {
            host.note(format!("`{}` is damaged; fetching it again", path.display()));
            fetch(host, cache, pin, &path)?;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => fetch(host, cache, pin, &path)?,
        Err(source) => return Err(CacheError { action: "read", path, source }.into()),
    }
    Uv::at(path, host, pythons).map_err(Error::from)
}

/// The uv in `PEXPRESS_UV`. A problem with it is an error, and no other uv is used instead.
fn named(program: PathBuf, host: &Host, pythons: &Pythons) -> Result<Uv, Error> {
    let uv = Uv::at(program.clone(), host, pythons).map_err(|source| Error::NamedUv { program, source })?;
    if uv.version() < uv_pins::MINIMUM {
        return Err(Error::OldUv { program: uv.program().into(), version: uv.version() });
    }
    Ok(uv)
}

fn on_path(host: &Host, pythons: &Pythons) -> Option<Uv> {
    which(host, "uv").find_map(|program| match Uv::at(program.clone(), host, pythons) {
        Ok(uv) if uv.version() >= uv_pins::MINIMUM => Some(uv),
        Ok(uv) => {
            let (version, minimum) = (uv.version(), uv_pins::MINIMUM);
            host.detail(format!("uv {version} at `{}` is older than {minimum}: not used", program.display()));
            None
        }
        Err(error) => {
            host.detail(format!("`{}` is not used: {error}", program.display()));
            None
        }
    })
}

/// Whether the cached executable is unchanged. The wheel's SHA-256 was checked when it was downloaded; a CRC-32 finds
/// later damage by a disk or an interrupted copy.
fn intact(path: &Path, pin: &Pin) -> io::Result<bool> {
    let mut file = std::fs::File::open(path)?;
    if file.metadata()?.len() != pin.uv_size_bytes {
        return Ok(false);
    }
    let mut crc = flate2::Crc::new();
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(crc.sum() == pin.uv_crc32),
            count => crc.update(&buffer[..count]),
        }
    }
}

/// Download the pinned wheel with the first pip that succeeds, verify it, and store its executable at `path`.
fn fetch(host: &Host, cache: &Cache, pin: &Pin, path: &Path) -> Result<(), Error> {
    host.note(format!("fetching uv {} with pip", uv_pins::VERSION));
    let temporary = cache.scratch("uv")?;
    let wheel = download(host, pin, temporary.path())?;
    let fail = |source| CacheError { action: "read", path: wheel.clone(), source };
    let bytes = std::fs::read(&wheel).map_err(fail)?;
    let got = hex(Sha256::digest(&bytes));
    // pip may use an index of the user, so its digest check proves nothing.
    if got != pin.wheel_sha256 {
        return Err(Error::Checksum { file: file_name(&wheel), want: pin.wheel_sha256, got });
    }
    let program = executable(&bytes).map_err(fail)?;
    write_atomically(path, |file| {
        let fail = |source| CacheError { action: "write", path: path.into(), source };
        file.write_all(&program).map_err(fail)?;
        make_executable(file).map_err(fail)
    })?;
    match intact(path, pin) {
        Ok(true) => Ok(()),
        Ok(false) => Err(Error::PinBroken),
        Err(source) => Err(CacheError { action: "read", path: path.into(), source }.into()),
    }
}

/// The member `uv-VERSION.data/scripts/uv` of a wheel.
fn executable(wheel: &[u8]) -> io::Result<Vec<u8>> {
    let mut archive = zip::ZipArchive::new(io::Cursor::new(wheel)).map_err(io::Error::other)?;
    let name = format!("uv-{}.data/scripts/uv", uv_pins::VERSION);
    let mut member = archive.by_name(&name).map_err(io::Error::other)?;
    let mut bytes = Vec::new();
    member.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Try each pip in turn to download the wheel into `dir`.
///
/// A Python without pip is skipped. The error is that of the last real pip.
fn download(host: &Host, pin: &Pin, dir: &Path) -> Result<PathBuf, Error> {
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
    Err(last.map_or(Error::NoUv, |source| Error::Fetch { version: uv_pins::VERSION, source }))
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

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
