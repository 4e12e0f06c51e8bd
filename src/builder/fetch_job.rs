//! One resolution whose wheels are fetched: where they come from, and which of them fit the target.

use super::fetch_error::FetchError;
use super::on_index::OnIndex;
use crate::net::download::{Downloader, Stored, Wanted};
use crate::net::{Credentials, Progress, SafeUrl};
use crate::project::ResolveSettings;
use crate::resolve::{Artifact, Distribution, Download, Resolution};
use crate::simple_index::ON_INDEX;
use crate::target::Target;
use crate::wheel::{Tags, WheelName, filename::normalized_name};
use std::path::PathBuf;

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

/// What fetching the distributions of one resolution needs.
pub(super) struct Job<'a> {
    pub(super) downloader: &'a Downloader,
    pub(super) on_index: OnIndex,
    pub(super) target: Target,
    pub(super) tags: Tags,
    pub(super) settings: &'a ResolveSettings,
    /// All distributions that are fetched.
    pub(super) resolution: &'a Resolution,
    pub(super) credentials: Credentials,
    pub(super) progress: &'a dyn Progress,
}

impl Job<'_> {
    /// Download a file to the cache.
    pub(super) fn download(
        &self,
        distribution: &Distribution,
        download: &Download,
    ) -> Result<Stored, FetchError> {
        // A file that is here need not be looked for on an index.
        let known = download.sha256.as_deref().filter(|_| download.url.starts_with(ON_INDEX));
        let found = known.map(|sha256| self.downloader.find(&download.file_name, sha256)).transpose()?;
        if let Some(stored) = found.flatten() {
            return Ok(stored);
        }
        let download = &self.on_index.located(distribution, download)?;
        let wanted = Wanted {
            file_name: &download.file_name,
            url: &download.url,
            sha256: download.sha256.as_deref(),
            size_bytes: download.size_bytes,
        };
        Ok(self.downloader.get(&wanted, &self.credentials, self.progress)?)
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
                archive: archive.map(shown),
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
    Err(FetchError::OtherPackage { archive: shown(archive), want, file_name: file_name.to_string() })
}

/// A file name, or a repository's URL without its secrets.
pub(super) fn shown(archive: &str) -> String {
    if archive.contains("://") { SafeUrl::parse(archive).to_string() } else { archive.to_string() }
}
