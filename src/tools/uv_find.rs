//! Finds a uv, or downloads the pinned one.
//!
//! In this order: the one in `PEXPRESS_UV`; one on `PATH`, if new enough; the one in the cache; the pinned release, which
//! is fetched (`uv_fetch`).

use super::Error;
use super::path_search::which;
use super::python::Pythons;
use super::uv::Uv;
use super::uv_fetch;
use super::uv_pins::{self, Pin};
use crate::cache::{Cache, CacheError};
use crate::env_vars;
use crate::host::Host;
use std::io::{self, Read};
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
    if !is_intact(&path, pin)? {
        // Of several runs that start at once, one fetches it and the others wait for that.
        let _turn = cache.turn("uv");
        if !is_intact(&path, pin)? {
            if path.exists() {
                host.note(format!("`{}` is damaged; fetching it again", path.display()));
            }
            uv_fetch::fetch(host, cache, pin, &path)?;
        }
    }
    // Its digest says which release it is.
    Ok(Uv::pinned(path, host, pythons))
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

fn is_intact(path: &Path, pin: &Pin) -> Result<bool, CacheError> {
    match intact(path, pin) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        found => found.map_err(|source| CacheError { action: "read", path: path.into(), source }),
    }
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
