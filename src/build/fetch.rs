//! A resolution → wheel files in the cache: downloaded, or built from source by `from_source`.
//!
//! One thread pool downloads wheels, the largest first, so that the last one to finish is small. A second pool builds
//! source distributions meanwhile, so that a slow build delays no download.

use super::compiled::CompiledError;
use super::from_source::{self, SourceBuilder};
use super::git_source::GitError;
use crate::cache::CacheError;
use crate::env_vars;
use crate::error::{Explain, Fault};
use crate::host::Host;
use crate::net::download::{DownloadError, Downloader, Stored, Wanted};
use crate::net::{Agent, Credentials, IndexUrl, Progress};
use crate::project::ResolveSettings;
use crate::resolve::{Artifact, Distribution, Download, Resolution};
use crate::target::Target;
use crate::threads::{into_inner, lock};
use crate::tools::{self, PipConfig, Tools, UvError};
use crate::wheel::{Tags, WheelError, WheelName, filename::normalized_name};
use std::cmp::Reverse;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Default for `UV_CONCURRENT_DOWNLOADS`. More downloads do not use a line better, and each holds a connection to the
/// index.
const DOWNLOADS: usize = 8;
/// Default for `UV_CONCURRENT_BUILDS`. One build may already use all processors.
const BUILDS: usize = 2;

/// A wheel in the cache, checked against its digest in this run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedWheel {
    /// Normalised name.
    pub name: String,
    /// Version from the file name.
    pub version: String,
    /// File name from the index or the build backend.
    pub file_name: String,
    /// Where it is.
    pub path: PathBuf,
    /// Lower-case hex SHA-256.
    pub sha256: String,
}

/// There is no wheel of a distribution for the target.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // the field names say it
pub enum FetchError {
    #[error(transparent)]
    Download(#[from] DownloadError),
    #[error(transparent)]
    Tools(#[from] tools::Error),
    #[error(transparent)]
    Cache(#[from] CacheError),
    #[error(transparent)]
    Wheel(#[from] WheelError),
    #[error(transparent)]
    Compiled(#[from] CompiledError),
    /// A repository or commit is not available.
    #[error("could not get `{name}` from its Git repository")]
    Git {
        name: String,
        #[source]
        source: Box<GitError>,
    },
    /// The build backend failed, or its requirements cannot be installed.
    #[error("could not build `{name}` from `{archive}`")]
    Build {
        name: String,
        archive: String,
        #[source]
        source: Box<UvError>,
    },
    /// A source archive cannot be unpacked.
    #[error("could not unpack `{archive}`")]
    Unpack {
        archive: String,
        #[source]
        source: Box<tools::ProcessError>,
    },
    /// The source does not have this directory.
    #[error("`{name}` should be in the directory `{subdirectory}` of `{archive}`, which has none such")]
    Subdirectory { name: String, archive: String, subdirectory: String },
    /// The build made a wheel of another distribution.
    #[error("`{archive}` should build `{want}` and builds `{file_name}`")]
    OtherPackage { archive: String, want: String, file_name: String },
    /// The wheel cannot be installed on the target.
    #[error("the wheel `{file_name}`{} does not run on Python {} and {}", built_from(.archive), .target.python, .target.platform)]
    Unfit { file_name: String, archive: Option<String>, target: Target },
}

fn built_from(archive: &Option<String>) -> String {
    archive.as_ref().map(|archive| format!(", built here from `{archive}`,")).unwrap_or_default()
}

impl Explain for FetchError {
    fn fault(&self) -> Fault {
        match self {
            FetchError::Download(error) => error.fault(),
            FetchError::Tools(error) => error.fault(),
            FetchError::Cache(error) => error.fault(),
            FetchError::Wheel(error) => error.fault(),
            FetchError::Compiled(error) => error.fault(),
            FetchError::Git { source, .. } => source.fault(),
            FetchError::Build { source, .. } => source.fault(),
            FetchError::Unpack { .. }
            | FetchError::Subdirectory { .. }
            | FetchError::OtherPackage { .. }
            | FetchError::Unfit { .. } => Fault::Project,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            FetchError::Download(error) => error.hint(),
            FetchError::Tools(error) => error.hint(),
            FetchError::Cache(error) => error.hint(),
            FetchError::Wheel(error) => error.hint(),
            FetchError::Compiled(error) => error.hint(),
            FetchError::Git { source, .. } => source.hint(),
            FetchError::Build { name, source, .. } => source.hint().or_else(|| {
                Some(format!(
                    "choose a version of `{name}` that has a wheel for the target, or install what its build needs"
                ))
            }),
            FetchError::Unpack { .. } => Some("source archives are .tar.gz, .tgz, .tar.bz2, .tar.xz or .zip".into()),
            FetchError::Subdirectory { .. } => Some("correct `subdirectory` in the requirement".into()),
            FetchError::OtherPackage { .. } => Some("correct the name or the version in the requirement".into()),
            FetchError::Unfit { archive: Some(_), .. } => Some(
                "choose a version that has a wheel for the target, or build on a machine with the target's system and processor".into(),
            ),
            FetchError::Unfit { archive: None, .. } => {
                Some("name a wheel for the target, or choose another target with --python-version or --platform".into())
            }
        }
    }
}

/// Fetches the wheels of resolutions. One per run, shared by all deps PEXes.
pub struct Fetcher<'a> {
    agent: Agent,
    downloader: Downloader,
    builder: SourceBuilder<'a>,
    host: Host,
}

impl<'a> Fetcher<'a> {
    /// A fetcher that uses pip's settings (proxy, certificates, indexes) as well as uv's, like uv when `tools` runs it.
    pub fn new(tools: &'a Tools) -> Fetcher<'a> {
        let pip = PipConfig::read(tools.host()).uv_env(tools.host());
        let pip = pip.into_iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
        let host = tools.host().with_vars(pip);
        let agent = Agent::new(&host);
        let downloader = Downloader::new(&host, &agent);
        Fetcher { agent, downloader, builder: SourceBuilder::new(tools), host }
    }

    /// The HTTP client, for other requests to package indexes.
    pub fn agent(&self) -> &Agent {
        &self.agent
    }

    /// Get every distribution of `resolution` as a wheel in the cache. Returns them in the order of the resolution.
    ///
    /// # Errors
    /// When one cannot be downloaded or built, has a wrong digest, or does not fit the target. Downloads and builds
    /// that are running are finished first; the rest is not started.
    pub fn fetch(
        &self,
        resolution: &Resolution,
        target: Target,
        settings: &ResolveSettings,
        progress: &dyn Progress,
    ) -> Result<Vec<FetchedWheel>, FetchError> {
        let job = Job {
            fetcher: self,
            target,
            tags: Tags::for_target(&target),
            settings,
            resolution,
            credentials: Credentials::new(&self.host, &index_urls(settings)),
            progress,
        };
        let all: Vec<_> = resolution.distributions.iter().enumerate().collect();
        let (mut wheels, sources): (Vec<_>, Vec<_>) = all
            .into_iter()
            .partition(|(_, distribution)| matches!(distribution.artifact, Artifact::Wheel(_)));
        wheels.sort_by_key(|(_, distribution)| Reverse(size(distribution)));
        let downloads = self.limit(env_vars::UV_CONCURRENT_DOWNLOADS, DOWNLOADS);
        let builds = self.limit(env_vars::UV_CONCURRENT_BUILDS, BUILDS);
        run_pools(&job, &[(&wheels, downloads), (&sources, builds)], resolution.distributions.len())
    }

    fn limit(&self, variable: &str, default: usize) -> usize {
        self.host
            .var(variable)
            .and_then(|value| value.trim().parse().ok())
            .filter(|n| *n > 0)
            .unwrap_or(default)
    }
}

/// One call of [`Fetcher::fetch`].
pub(super) struct Job<'a> {
    fetcher: &'a Fetcher<'a>,
    pub(super) target: Target,
    tags: Tags,
    pub(super) settings: &'a ResolveSettings,
    /// All distributions that are fetched.
    pub(super) resolution: &'a Resolution,
    credentials: Credentials,
    pub(super) progress: &'a dyn Progress,
}

impl Job<'_> {
    fn fetch(&self, distribution: &Distribution) -> Result<FetchedWheel, FetchError> {
        let builder = &self.fetcher.builder;
        match &distribution.artifact {
            Artifact::Wheel(download) => self.wheel(self.download(download)?, &download.file_name, None),
            Artifact::Sdist { download, subdirectory } => {
                builder.sdist(self, distribution, download, subdirectory.as_deref())
            }
            Artifact::Git { url, commit, subdirectory } => {
                builder.git(self, distribution, url, commit, subdirectory.as_deref())
            }
        }
    }

    /// Download a file to the cache.
    pub(super) fn download(&self, download: &Download) -> Result<Stored, DownloadError> {
        let wanted = Wanted {
            file_name: &download.file_name,
            url: &download.url,
            sha256: download.sha256.as_deref(),
            size_bytes: download.size_bytes,
        };
        self.downloader().get(&wanted, &self.credentials, self.progress)
    }

    pub(super) fn downloader(&self) -> &Downloader {
        &self.fetcher.downloader
    }

    /// A cached wheel, after checking its tags. `archive` is the source that it was built from.
    pub(super) fn wheel(
        &self,
        stored: Stored,
        file_name: &str,
        archive: Option<&str>,
    ) -> Result<FetchedWheel, FetchError> {
        let parsed: WheelName = file_name.parse()?;
        if self.tags.rank(&parsed).is_none() {
            return Err(FetchError::Unfit {
                file_name: file_name.to_string(),
                archive: archive.map(from_source::shown),
                target: self.target,
            });
        }
        Ok(FetchedWheel {
            name: parsed.name(),
            version: parsed.version().to_string(),
            file_name: file_name.to_string(),
            path: stored.path,
            sha256: stored.sha256,
        })
    }
}

type Queue<'a> = [(usize, &'a Distribution)];

/// Process several queues in parallel, each with its own threads. Results are ordered by position.
fn run_pools(
    job: &Job<'_>,
    pools: &[(&Queue<'_>, usize)],
    length: usize,
) -> Result<Vec<FetchedWheel>, FetchError> {
    let results: Mutex<Vec<Option<FetchedWheel>>> = Mutex::new((0..length).map(|_| None).collect());
    let failure: Mutex<Option<FetchError>> = Mutex::default();
    let taken: Vec<_> = pools.iter().map(|_| AtomicUsize::new(0)).collect();
    std::thread::scope(|scope| {
        for ((queue, workers), taken) in pools.iter().zip(&taken) {
            for _ in 0..(*workers).min(queue.len()) {
                scope.spawn(|| {
                    while let Some((position, distribution)) =
                        queue.get(taken.fetch_add(1, Ordering::Relaxed))
                    {
                        // The first failure ends the run, so further downloads would be wasted.
                        if lock(&failure).is_some() {
                            return;
                        }
                        match job.fetch(distribution) {
                            Ok(wheel) => lock(&results)[*position] = Some(wheel),
                            Err(error) => {
                                // Keep the first error: later ones are often its consequences.
                                lock(&failure).get_or_insert(error);
                            }
                        }
                    }
                });
            }
        }
    });
    match into_inner(failure) {
        Some(error) => Err(error),
        None => Ok(into_inner(results).into_iter().flatten().collect()),
    }
}

/// An unknown size counts as large.
fn size(distribution: &Distribution) -> u64 {
    match &distribution.artifact {
        Artifact::Wheel(download) => download.size_bytes.unwrap_or(u64::MAX),
        _ => u64::MAX,
    }
}

/// The index URLs in the project's settings, which may have credentials.
fn index_urls(settings: &ResolveSettings) -> Vec<IndexUrl> {
    let unnamed = |url: &String| IndexUrl { name: None, url: url.clone() };
    let named =
        settings.indexes.iter().map(|index| IndexUrl { name: index.name.clone(), url: index.url.clone() });
    named
        .chain(
            settings
                .default_index
                .iter()
                .map(|url| IndexUrl { name: settings.default_index_name.clone(), url: url.clone() }),
        )
        .chain(settings.find_links.iter().map(unnamed))
        .collect()
}

/// Check that a built wheel is of the requested distribution. For a Git commit the version may differ from the resolved
/// one, because tools that derive it from the history see more or less of it.
pub(super) fn check_identity(
    distribution: &Distribution,
    file_name: &str,
    archive: &str,
) -> Result<(), FetchError> {
    let built: WheelName = file_name.parse()?;
    let version =
        distribution.version.as_deref().filter(|_| matches!(distribution.artifact, Artifact::Sdist { .. }));
    let version_fits = version
        .and_then(|version| version.parse::<pep440_rs::Version>().ok())
        .is_none_or(|version| version == *built.version());
    if built.name() == normalized_name(&distribution.name) && version_fits {
        return Ok(());
    }
    let want = match version {
        Some(version) => format!("{} {version}", distribution.name),
        None => distribution.name.clone(),
    };
    Err(FetchError::OtherPackage {
        archive: from_source::shown(archive),
        want,
        file_name: file_name.to_string(),
    })
}
