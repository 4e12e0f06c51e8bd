//! The programs that this one runs: uv and Pythons. Each is found, or downloaded and verified, at first use.
//!
//! This module only talks to child processes. The stages decide what to run.

pub mod children;
pub mod dialogue;
mod credential_helper;
pub mod environment;
pub mod git_words;
mod leftovers;
mod package_sources;
pub mod pip_config;
mod pip_index;
mod path_search;
pub mod process;
pub mod python;
pub mod runtime;
#[cfg(test)]
pub(crate) mod testing;
pub mod uv;
mod uv_by_pip;
pub mod uv_compile;
mod uv_config;
mod uv_error;
mod uv_fetch;
mod uv_find;
pub mod uv_pins;
pub mod uv_project;
mod uv_version;

pub use credential_helper::credential_helpers;
pub use dialogue::Dialogue;
pub use environment::EnvironmentRequest;
pub(crate) use leftovers::Leftovers;
pub use package_sources::PackageSources;
pub(crate) use path_search::which;
pub use pip_config::{PipConfig, is_true};
pub use process::{Output, Process, ProcessError};
pub use python::{Python, PythonSource};
pub use runtime::{EarlyRuntime, RuntimeError};
pub use uv::Uv;
pub use uv_compile::{CompileRequest, IndexSettings, NamedIndex};
pub use uv_config::configuration_files;
pub use uv_error::UvError;
pub use uv_fetch::UvFetchError;
pub use uv_project::{BuildRequest, ExportRequest, InstallRequest};
pub use uv_version::UvVersion;

use crate::cache::{Cache, CacheError};
use crate::env_vars;
use crate::error::{Explain, Fault};
use crate::host::Host;
use crate::target::PythonVersion;
use crate::threads::lock;
use python::Pythons;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};

/// uv, Pythons and other programs. Cheap to make; threads share one by reference.
pub struct Tools {
    host: Host,
    cache: Cache,
    uv: Arc<UvSlot>,
    pythons: Pythons,
}

/// uv, once it is found.
#[derive(Default)]
struct UvSlot {
    found: OnceLock<Uv>,
    /// Held while uv is looked for. The error of a search in the background, for the first who needs uv.
    early: Mutex<Option<Error>>,
}

/// A tool is not available.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // the field names say it
pub enum Error {
    #[error(transparent)]
    Cache(#[from] CacheError),
    #[error(transparent)]
    Process(#[from] ProcessError),
    #[error(transparent)]
    Uv(#[from] UvError),
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// The uv that the user names does not run.
    #[error("`{program}` ({}) is not uv", env_vars::PEXPRESS_UV)]
    NamedUv {
        program: PathBuf,
        #[source]
        source: ProcessError,
    },
    /// The uv that the user names is too old.
    #[error(
        "`{program}` ({}) is uv {version}; {} or newer is needed",
        env_vars::PEXPRESS_UV,
        uv_pins::MINIMUM
    )]
    OldUv { program: PathBuf, version: UvVersion },
    /// There is no uv, and nothing that says where to get one.
    #[error(
        "found no uv {} or newer, no setting that names a package index to fetch one from, and no Python with pip, which knows one",
        uv_pins::MINIMUM
    )]
    NoUv,
    /// uv could not be downloaded.
    #[error("could not fetch uv {version}")]
    FetchUv {
        version: UvVersion,
        #[source]
        source: Box<UvFetchError>,
    },
    /// pip could not download uv.
    #[error("could not fetch uv {version} with pip")]
    Fetch {
        version: UvVersion,
        #[source]
        source: ProcessError,
    },
    /// No uv is pinned for this kind of machine.
    #[error(
        "found no uv {} or newer, and none is pinned for {} on {}",
        uv_pins::MINIMUM,
        std::env::consts::OS,
        std::env::consts::ARCH
    )]
    NoPin,
    /// The downloaded file is not the pinned one.
    #[error("`{file}` has SHA-256 {got} instead of {want}; it was not used")]
    Checksum { file: String, want: &'static str, got: String },
    /// A pin contradicts itself.
    #[error("the executable in the pinned uv wheel differs from its own pin")]
    PinBroken,
    /// A managed environment could not be made.
    #[error("could not create the environment `{name}`")]
    Environment {
        name: String,
        #[source]
        source: UvError,
    },
    /// There is no such Python, and none could be installed.
    #[error("found no Python {version} on PATH, among pyenv's, the runner's or uv's")]
    NoPython {
        version: PythonVersion,
        #[source]
        source: UvError,
    },
}

impl Explain for Error {
    fn fault(&self) -> Fault {
        match self {
            Error::Cache(error) => error.fault(),
            Error::Process(error) => error.fault(),
            Error::Uv(error) => error.fault(),
            Error::Runtime(RuntimeError::Download(error)) => error.fault(),
            Error::Runtime(RuntimeError::Unpack(error)) => error.fault(),
            Error::Runtime(RuntimeError::Find(source)) | Error::Environment { source, .. } => {
                own_fault(source)
            }
            Error::FetchUv { source, .. } => source.fault(),
            Error::Fetch { .. } => Fault::Remote,
            Error::PinBroken => Fault::Bug,
            _ => Fault::Tool,
        }
    }
    fn hint(&self) -> Option<String> {
        match self {
            Error::Cache(error) => error.hint(),
            Error::Process(error) => error.hint(),
            Error::Uv(error) => error.hint(),
            Error::NamedUv { .. } | Error::OldUv { .. } => {
                Some(format!("use another one, or unset {} to have one downloaded", env_vars::PEXPRESS_UV))
            }
            Error::NoUv => Some(format!(
                "install uv {} or newer (on a runner: `astral-sh/setup-uv`), or Python 3 with pip (`actions/setup-python`; on Debian and Ubuntu `apt-get install python3-pip`), or set {} to the URL of your package index",
                uv_pins::MINIMUM,
                env_vars::UV_DEFAULT_INDEX
            )),
            Error::NoPin => Some(format!("install uv, or set {}", env_vars::PEXPRESS_UV)),
            Error::FetchUv { source, .. } => Some(source.hint().unwrap_or_else(|| {
                format!(
                    "let the index mirror this release of uv unchanged; or install uv, or set {}",
                    env_vars::PEXPRESS_UV
                )
            })),
            Error::Fetch { .. } => Some(format!(
                "pip's own settings (index, proxy, certificates) decide where it looks; or install uv, or set {}",
                env_vars::PEXPRESS_UV
            )),
            Error::Checksum { .. } => Some(format!(
                "the index or a proxy returned a different file; set {} to a uv that you trust",
                env_vars::PEXPRESS_UV
            )),
            Error::NoPython { version, .. } => Some(format!(
                "install Python {version} (on a runner: actions/setup-python) or let uv do so; or choose another version with --python-version"
            )),
            Error::Runtime(RuntimeError::Download(error)) => error.hint(),
            Error::Runtime(RuntimeError::Unpack(error)) => error.hint(),
            Error::Runtime(RuntimeError::Find(source)) | Error::Environment { source, .. } => source.hint(),
            Error::Runtime(RuntimeError::NotOffered) => {
                Some("let the index mirror this release of pex unchanged".into())
            }
            Error::PinBroken => None,
        }
    }
}

/// The fault of a failed uv call for our own tools. Their packages are not the user's, so an error about requirements
/// is not the project's fault.
fn own_fault(source: &UvError) -> Fault {
    match source.fault() {
        Fault::Project => Fault::Tool,
        fault => fault,
    }
}

impl Tools {
    /// New tools. Nothing is searched yet.
    pub fn new(host: &Host) -> Tools {
        Tools { cache: Cache::new(host), host: host.clone(), uv: Arc::default(), pythons: Pythons::new(host) }
    }

    /// The cache directory.
    pub fn cache(&self) -> &Cache {
        &self.cache
    }

    /// Store a text in the cache ([`Cache::keep`]). A failure is not an error: the next run makes the text again.
    pub fn keep(&self, name: &str, text: &str) {
        if let Err(error) = self.cache.keep(name, text) {
            self.host.detail(format!("{error}: {}", error.source));
        }
    }

    /// The host that the tools run on.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// uv, found or downloaded at first use.
    ///
    /// # Errors
    /// When there is none and none can be downloaded, or the one chosen by the user cannot be used.
    pub fn uv(&self) -> Result<&Uv, Error> {
        // Otherwise threads that need uv at the same time would each download it.
        let mut early = lock(&self.uv.early);
        if let Some(uv) = self.uv.found.get() {
            return Ok(uv);
        }
        if let Some(error) = early.take() {
            return Err(error);
        }
        let uv = find_uv(&self.host, &self.cache, &self.pythons)?;
        Ok(self.uv.found.get_or_init(|| uv))
    }

    /// Start to look for uv in the background, because it will be needed. An error is that of the next [`Tools::uv`].
    pub fn expect_uv(&self) {
        let (slot, host) = (Arc::clone(&self.uv), self.host.clone());
        let (cache, pythons) = (self.cache.clone(), self.pythons.clone());
        std::thread::spawn(move || {
            let mut early = lock(&slot.early);
            if slot.found.get().is_some() || early.is_some() {
                return;
            }
            match find_uv(&host, &cache, &pythons) {
                Ok(uv) => drop(slot.found.set(uv)),
                Err(error) => *early = Some(error),
            }
        });
    }

    /// An interpreter of this version, found on this machine or installed by uv.
    ///
    /// # Errors
    /// When there is none and uv cannot install one.
    pub fn python(&self, version: PythonVersion) -> Result<PathBuf, Error> {
        if let Some(python) = self.pythons.find(version) {
            self.host.detail(format!("Python {version} at `{}`", python.executable.display()));
            return Ok(python.executable);
        }
        let fail = |source| Error::NoPython { version, source };
        let executable = self.uv()?.find_python(version).map_err(fail)?;
        self.pythons.remember(version, executable.clone());
        Ok(executable)
    }

    /// Every Python of a version that Dagster+ has run.
    pub fn pythons(&self) -> Vec<Python> {
        python::list(&self.host)
    }
}

fn find_uv(host: &Host, cache: &Cache, pythons: &Pythons) -> Result<Uv, Error> {
    let uv = uv_find::find(host, cache, pythons)?;
    host.detail(format!("uv {} at `{}`", uv.version(), uv.program().display()));
    Ok(uv)
}
