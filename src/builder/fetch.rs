//! A resolution → wheel files in the cache: downloaded, or built from source by `from_source`.
//!
//! One thread pool downloads wheels, the largest first, so that the last one to finish is small. A second pool builds
//! source distributions meanwhile, so that a slow build delays no download.

use super::fetch_error::FetchError;
use super::fetch_job::{FetchedWheel, Job};
use super::from_source::SourceBuilder;
use super::on_index::OnIndex;
use crate::env_vars;
use crate::net::download::Downloader;
use crate::net::{Agent, Credentials, IndexUrl, Progress};
use crate::project::ResolveSettings;
use crate::resolve::{Artifact, Distribution, Resolution};
use crate::target::Target;
use crate::threads::{into_inner, lock};
use crate::tools::{PackageSources, Tools};
use crate::wheel::Tags;
use std::cmp::Reverse;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Default for `UV_CONCURRENT_DOWNLOADS`. More downloads do not use a line better, and each holds a connection to the
/// index.
const DOWNLOADS: usize = 8;
/// Default for `UV_CONCURRENT_BUILDS`. One build may already use all processors.
const BUILDS: usize = 2;

/// Fetches the wheels of resolutions. One per run, shared by all deps PEXes.
pub struct Fetcher<'a> {
    downloader: Downloader,
    builder: SourceBuilder<'a>,
    agent: Agent,
    sources: PackageSources,
}

impl<'a> Fetcher<'a> {
    /// A fetcher that uses pip's settings (proxy, certificates, indexes) as well as uv's, like uv when `tools` runs it.
    pub fn new(tools: &'a Tools) -> Fetcher<'a> {
        let sources = PackageSources::read(tools.host());
        let agent = Agent::new(&sources.host);
        let downloader = Downloader::new(&sources.host, &agent);
        Fetcher { downloader, builder: SourceBuilder::new(tools), agent, sources }
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
        let all: Vec<usize> = (0..resolution.distributions.len()).collect();
        self.fetch_some(resolution, &all, target, settings, progress)
    }

    /// The same for the distributions at these positions, in their order.
    ///
    /// # Errors
    /// As for [`Fetcher::fetch`].
    pub fn fetch_some(
        &self,
        resolution: &Resolution,
        wanted: &[usize],
        target: Target,
        settings: &ResolveSettings,
        progress: &dyn Progress,
    ) -> Result<Vec<FetchedWheel>, FetchError> {
        let credentials = Credentials::new(&self.sources.host, &index_urls(settings));
        let job = Job {
            on_index: OnIndex::new(&self.sources, settings, &self.agent, credentials.clone()),
            downloader: &self.downloader,
            target,
            tags: Tags::for_target(&target),
            settings,
            resolution,
            credentials,
            progress,
        };
        let all = wanted.iter().map(|at| &resolution.distributions[*at]).enumerate();
        let (mut wheels, sources): (Vec<_>, Vec<_>) =
            all.partition(|(_, distribution)| matches!(distribution.artifact, Artifact::Wheel(_)));
        // Largest first, so that no large download starts when all others are finished.
        wheels.sort_by_key(|(_, distribution)| Reverse(size(distribution)));
        let downloads = self.limit(env_vars::UV_CONCURRENT_DOWNLOADS, DOWNLOADS);
        let builds = self.limit(env_vars::UV_CONCURRENT_BUILDS, BUILDS);
        run_pools(&self.builder, &job, &[(&wheels, downloads), (&sources, builds)], wanted.len())
    }

    fn limit(&self, variable: &str, default: usize) -> usize {
        self.sources
            .host
            .var(variable)
            .and_then(|value| value.trim().parse().ok())
            .filter(|n| *n > 0)
            .unwrap_or(default)
    }
}

fn fetch(
    builder: &SourceBuilder<'_>,
    job: &Job<'_>,
    distribution: &Distribution,
) -> Result<FetchedWheel, FetchError> {
    match &distribution.artifact {
        Artifact::Wheel(download) => {
            job.wheel(job.download(distribution, download)?, &download.file_name, None)
        }
        Artifact::Sdist { download, subdirectory } => {
            builder.sdist(job, distribution, download, subdirectory.as_deref())
        }
        Artifact::Git { url, commit, subdirectory } => {
            builder.git(job, distribution, url, commit, subdirectory.as_deref())
        }
    }
}

type Queue<'a> = [(usize, &'a Distribution)];

/// Process several queues in parallel, each with its own threads. Results are ordered by position.
fn run_pools(
    builder: &SourceBuilder<'_>,
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
                        match fetch(builder, job, distribution) {
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
