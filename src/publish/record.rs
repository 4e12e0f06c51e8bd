//! Resolution records: for each tag, what a requirement set was resolved to, when, and which deps PEX has that.
//!
//! While a record is young enough, it decides the versions: no index is asked, and neither uv nor a Python is needed.
//! Records are objects of the registry, `resolution-HASH-TAG.txt`, where HASH is of everything that the resolver is given.
//! They are written by each run that resolves. docs/deps-cache.md has the rules.

use super::deps_cache::{self, CacheEntry, resolution_hash};
use super::lookups::Lookups;
use crate::cache::is_sha256;
use crate::env_vars;
use crate::hex::hex;
use crate::host::Host;
use crate::net::download::sha256_of_file;
use crate::plan::{DepsJob, requirements_hash};
use crate::project::{LockContent, RequirementLine, Requirements};
use crate::redact::without_userinfo;
use crate::resolve::{Artifact, Distribution, Download, Resolution, machine};
use crate::target::Target;
use crate::tools::PipConfig;
use crate::wheel::WheelName;
use crate::wheel::filename::normalized_name;
use crate::wheel::requirement::Link;
use pep440_rs::{Operator, Version};
use pep508_rs::{Requirement, VersionOrUrl};
use serde::{Deserialize, Serialize};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use url::Url;

/// Local files of more bytes than this are not hashed: resolving is faster.
const MOST_LOCAL_BYTES: u64 = 100_000_000;
/// How far clocks of machines may be apart.
const CLOCK_SKEW: Duration = Duration::from_secs(300);
/// Why a text is not a record.
pub(super) const NOT_OF_THESE: &str = "it is not a record of these requirements";

/// What a requirement set was resolved to.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// The deps PEX with it.
    pub entry: CacheEntry,
    /// When it was resolved.
    pub resolved_at: SystemTime,
    /// The exact distributions.
    pub resolution: Resolution,
}

/// The JSON document of a record.
#[derive(Serialize, Deserialize)]
struct Document {
    deps_pex_name: String,
    dagster_version: String,
    /// Seconds since the epoch.
    resolved_at: u64,
    resolution: Resolution,
    /// SHA-256 of the key and everything else here.
    digest: String,
}

/// A requirement set that has records.
#[derive(Debug)]
pub struct Asked<'a> {
    requirements: &'a Requirements,
    pub(super) target: Target,
    /// Stands for everything that the resolver is given.
    pub hash: String,
}

impl<'a> Asked<'a> {
    /// `None` if the same requirements can mean other files at any moment (a branch of a repository, a URL without a
    /// digest), or if nothing has to be resolved.
    pub fn of(job: &'a DepsJob, target: Target, runtime: &str, host: &Host) -> Option<Asked<'a>> {
        let requirements = &*job.requirements;
        let is_decided = matches!(
            requirements.lock.as_ref().map(|lock| &lock.content),
            Some(LockContent::Pylock { complete: true, .. })
        );
        if is_decided
            || !requirements.lines.iter().all(is_lasting)
            || !limits(requirements).all(|line| is_lasting_limit(line))
        {
            return None;
        }
        let files = local_files(requirements, host)?;
        let mut bare = requirements.clone();
        // Credentials in URLs differ in every job.
        let settings = &mut bare.settings;
        let urls = settings.default_index.iter_mut().chain(&mut settings.find_links);
        let urls = urls.chain(settings.indexes.iter_mut().map(|index| &mut index.url));
        urls.for_each(|url| *url = without_userinfo(url));
        let set = requirements_hash(&bare, &job.directory, target);
        // Increase the number when the meaning of the text or of a record changes: old records then miss.
        let lock = match requirements.lock.as_ref().map(|lock| &lock.content) {
            Some(LockContent::Pylock { text, .. }) => hex(Sha256::digest(text.as_bytes())),
            Some(LockContent::Constraints) | None => String::new(),
        };
        let text = format!(
            "pexpress record 1\nruntime {runtime}\nset {set}\nlock {lock}\nfiles {files}\n{}\n",
            machine::settings(host)
        );
        Some(Asked { requirements, target, hash: hex(Sha1::digest(text.as_bytes())) })
    }

    /// Whether a lock file and exact pins decide all versions, so that a record does not grow old.
    fn is_locked(&self, resolution: &Resolution) -> bool {
        let lines = self.requirements.lines.iter().map(|line| &line.text).chain(limits(self.requirements));
        let pinned: BTreeSet<String> = lines.filter_map(|line| pinned_name(line)).collect();
        self.requirements.lock.is_some()
            && resolution.distributions.iter().all(|one| pinned.contains(&one.name))
    }

    /// The first record of these tags that is not older than `max_age`, agrees with the requirements, and has its deps
    /// PEX in the registry.
    pub fn read(&self, lookups: &Lookups, tags: &[String], max_age: Duration) -> Option<Record> {
        if !self.has_use_for_records(max_age) {
            return None;
        }
        let now = lookups.client().host().clock.now();
        let read = |text: &str| self.usable(text, now, max_age);
        let names: Vec<String> = tags.iter().map(|tag| self.object_name(tag)).collect();
        deps_cache::read_as(lookups, &names, &read, &|record: &Record| &record.entry)
    }

    /// Whether a record of the right age can exist.
    pub(super) fn has_use_for_records(&self, max_age: Duration) -> bool {
        !max_age.is_zero() || self.requirements.lock.is_some()
    }

    /// Name of the record with a tag.
    pub fn object_name(&self, tag: &str) -> String {
        deps_cache::name_of("resolution", &self.hash, tag)
    }

    /// The record in this text, or why it cannot be used.
    fn usable(&self, text: &str, now: SystemTime, max_age: Duration) -> Result<Record, String> {
        let record = self.parse(text).ok_or(NOT_OF_THESE)?;
        self.check(&record.resolution, record.resolved_at, now, max_age)?;
        Ok(record)
    }

    /// Whether a resolution of this time may decide now, or why not.
    pub(super) fn check(
        &self,
        resolution: &Resolution,
        resolved_at: SystemTime,
        now: SystemTime,
        max_age: Duration,
    ) -> Result<(), String> {
        match now.duration_since(resolved_at) {
            Ok(age) if (age > max_age || max_age.is_zero()) && !self.is_locked(resolution) => {
                return Err(format!(
                    "it is {} old; the requirements are resolved again (--resolve-max-age)",
                    words(age)
                ));
            }
            Err(ahead) if ahead.duration() > CLOCK_SKEW => return Err("it is from the future".into()),
            _ => {}
        }
        self.misfit(resolution)?;
        contradiction(resolution, self.requirements, self.target).map_or(Ok(()), Err)
    }

    fn parse(&self, text: &str) -> Option<Record> {
        let document: Document = serde_json::from_str(text).ok()?;
        let is_whole = is_sha256(&document.digest) && document.digest == self.digest(&document);
        let entry =
            CacheEntry { deps_pex_name: document.deps_pex_name, dagster_version: document.dagster_version };
        let resolved_at = UNIX_EPOCH.checked_add(Duration::from_secs(document.resolved_at))?;
        (is_whole && deps_cache::is_deps_name(&entry.deps_pex_name)).then_some(Record {
            entry,
            resolved_at,
            resolution: document.resolution,
        })
    }

    /// The text of a record; `None` if its files are not all known by digest, or if a package that a requirement needs
    /// comes from a branch of a Git repository.
    pub fn text(&self, record: &Record, runtime: &str) -> Option<String> {
        resolution_hash(&record.resolution, self.target, runtime)?;
        if !self.is_lasting(&record.resolution) || self.misfit(&record.resolution).is_err() {
            return None;
        }
        let resolved_at = record.resolved_at.duration_since(UNIX_EPOCH).ok()?.as_secs();
        let mut document = Document {
            deps_pex_name: record.entry.deps_pex_name.clone(),
            dagster_version: record.entry.dagster_version.clone(),
            resolved_at,
            resolution: shareable(&record.resolution),
            digest: String::new(),
        };
        document.digest = self.digest(&document);
        serde_json::to_string(&document).ok()
    }

    /// Whether no package in it comes from a branch of a Git repository, which the requirements do not name.
    pub(super) fn is_lasting(&self, resolution: &Resolution) -> bool {
        let lines = || self.requirements.lines.iter().map(|line| &line.text).chain(limits(self.requirements));
        let is_named = |commit: &str| lines().any(|line| line.to_ascii_lowercase().contains(commit));
        resolution.distributions.iter().all(|one| match &one.artifact {
            Artifact::Git { commit, .. } => is_named(commit),
            Artifact::Wheel(_) | Artifact::Sdist { .. } => true,
        })
    }

    /// Why a file in a record is not one of its distribution: a record names files for packages, and must not bring in a
    /// repository that nobody asked for, nor one package under the name of another.
    pub(super) fn misfit(&self, resolution: &Resolution) -> Result<(), String> {
        let fits = |one: &Distribution| match &one.artifact {
            Artifact::Wheel(download) => is_wheel_of(one, &download.file_name),
            Artifact::Sdist { download, .. } => {
                is_sdist_of(one, &download.file_name) || self.names_file(one, download)
            }
            Artifact::Git { url, commit, subdirectory } => {
                self.names_commit(one, (url, commit, subdirectory.as_deref()))
            }
        };
        match resolution.distributions.iter().find(|one| !fits(one)) {
            None => Ok(()),
            Some(one) => Err(format!("its file for `{}` is not one of this package", one.name)),
        }
    }

    /// The lines that may name the file of a distribution.
    fn lines_for<'l>(&'l self, one: &'l Distribution) -> impl Iterator<Item = &'l String> {
        let lines = self.requirements.lines.iter().map(|line| &line.text).chain(limits(self.requirements));
        // A line without a name is only an address.
        lines.filter(|line| {
            line.parse::<Requirement<Link>>().map_or(true, |line| line.name.as_ref() == one.name)
        })
    }

    /// Whether a requirement names an archive by its digest.
    fn names_file(&self, one: &Distribution, download: &Download) -> bool {
        let digest = download.sha256.as_deref().unwrap_or("none");
        self.lines_for(one).any(|line| line.to_ascii_lowercase().contains(&format!("sha256={digest}")))
    }

    /// Whether a requirement names a commit of a repository.
    fn names_commit(
        &self,
        one: &Distribution,
        (url, commit, subdirectory): (&str, &str, Option<&str>),
    ) -> bool {
        self.lines_for(one).any(|line| {
            let address = line.split_whitespace().find_map(|part| Some(part.split_once("git+")?.1));
            let Some(address) = address.map(without_userinfo) else { return false };
            let (address, fragment) = address.split_once('#').unwrap_or((&address, ""));
            let Some((repository, revision)) = address.rsplit_once('@') else { return false };
            let directory = fragment.split('&').find_map(|part| part.strip_prefix("subdirectory="));
            repository == without_userinfo(url)
                && revision.eq_ignore_ascii_case(commit)
                && directory == subdirectory
        })
    }

    /// Protects against a record that was cut, or that belongs to other requirements.
    fn digest(&self, document: &Document) -> String {
        let Document { deps_pex_name, dagster_version, resolved_at, resolution, digest: _ } = document;
        let resolution = serde_json::to_string(resolution).unwrap_or_default();
        let text =
            format!("{}\n{deps_pex_name}\n{dagster_version}\n{resolved_at}\n{resolution}\n", self.hash);
        hex(Sha256::digest(text.as_bytes()))
    }
}

/// Whether a wheel is one of this distribution, as far as its name tells.
fn is_wheel_of(one: &Distribution, file_name: &str) -> bool {
    file_name
        .parse::<WheelName>()
        .is_ok_and(|wheel| wheel.name() == one.name && is_version(one, &wheel.version().to_string()))
}

/// The same of a source archive: `NAME-VERSION.tar.gz` or `.zip`.
fn is_sdist_of(one: &Distribution, file_name: &str) -> bool {
    let stem = [".tar.gz", ".zip", ".tar.bz2", ".tgz"].iter().find_map(|end| file_name.strip_suffix(end));
    stem.and_then(|stem| stem.rsplit_once('-'))
        .is_some_and(|(name, version)| normalized_name(name) == one.name && is_version(one, version))
}

fn is_version(one: &Distribution, version: &str) -> bool {
    let parsed = |text: &str| Version::from_str(text).ok();
    one.version
        .as_deref()
        .is_none_or(|own| own == version || parsed(own).is_some_and(|own| parsed(version) == Some(own)))
}

/// The same without addresses of files: they may have credentials, and a stored deps PEX needs none of them.
pub(super) fn shareable(resolution: &Resolution) -> Resolution {
    let mut shared = resolution.clone();
    for distribution in &mut shared.distributions {
        match &mut distribution.artifact {
            Artifact::Wheel(download) | Artifact::Sdist { download, .. } => download.url.clear(),
            Artifact::Git { url, .. } => *url = without_userinfo(url),
        }
    }
    shared
}

/// The digests of all local files that the resolver may choose; `None` if there are too many to read, or one cannot be
/// read.
fn local_files(requirements: &Requirements, host: &Host) -> Option<String> {
    let mut paths: Vec<PathBuf> =
        requirements.local_distributions.iter().map(|file| file.path.clone()).collect();
    let of_pip = PipConfig::read(host).find_links;
    let of_uv = host.var(env_vars::UV_FIND_LINKS).into_iter().flat_map(|links| links.split([',', ' ']));
    let links = requirements.settings.find_links.iter().chain(&of_pip).map(String::as_str).chain(of_uv);
    for link in links.filter(|link| !link.is_empty()) {
        let Some(link) = directory(link, host)? else { continue };
        let entries = std::fs::read_dir(link).ok()?.collect::<Result<Vec<_>, _>>().ok()?;
        paths.extend(entries.into_iter().map(|entry| entry.path()).filter(|path| path.is_file()));
    }
    paths.sort();
    let sizes = paths.iter().map(|path| path.metadata().map(|metadata| metadata.len()));
    if sizes.sum::<Result<u64, _>>().ok()? > MOST_LOCAL_BYTES {
        return None;
    }
    let mut text = String::new();
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        text += &format!("{name} {}\n", sha256_of_file(&path).ok()?);
    }
    Some(text)
}

/// The directory that `--find-links` names; `None` within for a page on the web. `None` if it is not known.
fn directory(link: &str, host: &Host) -> Option<Option<PathBuf>> {
    match link.split_once("://") {
        None => Some(Some(host.absolute(Path::new(link)))),
        Some(("file", _)) => Url::parse(link).ok()?.to_file_path().ok().map(Some),
        Some(_) => Some(None),
    }
}

/// Constraints and overrides.
fn limits(requirements: &Requirements) -> impl Iterator<Item = &String> {
    requirements.settings.constraints.iter().chain(&requirements.settings.overrides)
}

/// The package that a line pins to one version or file.
fn pinned_name(line: &str) -> Option<String> {
    let line: Requirement<Link> = line.parse().ok()?;
    let is_pin = match &line.version_or_url {
        Some(VersionOrUrl::VersionSpecifier(specifiers)) => {
            let exact = [Operator::Equal, Operator::ExactEqual];
            specifiers.iter().any(|one| exact.contains(one.operator()))
        }
        Some(VersionOrUrl::Url(_)) => true,
        None => false,
    };
    is_pin.then(|| line.name.to_string())
}

/// Whether a constraint or override means the same files tomorrow.
fn is_lasting_limit(line: &str) -> bool {
    let is_link = line
        .parse::<Requirement<Link>>()
        .is_ok_and(|line| matches!(line.version_or_url, Some(VersionOrUrl::Url(_))));
    !is_link || is_lasting_link(line)
}

/// Whether a line means the same files tomorrow, apart from new releases.
fn is_lasting(line: &RequirementLine) -> bool {
    !line.is_link || is_lasting_link(&line.text)
}

fn is_lasting_link(line: &str) -> bool {
    let is_commit = || {
        let address = line.split(['#', ';', ' ']).find(|part| part.starts_with("git+"));
        let revision = address.and_then(|address| address.rsplit_once('@')).map(|(_, revision)| revision);
        revision.is_some_and(|text| text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit()))
    };
    line.contains("#sha256=") || is_commit()
}

/// Why a resolution is not one of these requirements, as far as names and versions tell.
fn contradiction(resolution: &Resolution, requirements: &Requirements, target: Target) -> Option<String> {
    let environment = target.marker_environment();
    // An override may say something else than a line.
    let settings = &requirements.settings;
    let replaced = |name: &str| {
        settings
            .overrides
            .iter()
            .chain(&settings.excludes)
            .any(|line| line.parse::<Requirement<Link>>().is_ok_and(|line| line.name.as_ref() == name))
    };
    requirements.lines.iter().find_map(|line| {
        // A line without a name is a URL, which the hash covers.
        let asked: Requirement<Link> = line.text.parse().ok()?;
        let name = asked.name.as_ref();
        if !asked.marker.evaluate(&environment, &[]) || replaced(name) {
            return None;
        }
        let Some(found) = resolution.distributions.iter().find(|one| one.name == name) else {
            return Some(format!("it lacks `{name}`"));
        };
        let version = found.version.as_deref().and_then(|version| Version::from_str(version).ok());
        match (&asked.version_or_url, version) {
            (Some(VersionOrUrl::VersionSpecifier(wanted)), Some(version)) if !wanted.contains(&version) => {
                Some(format!("it has `{name}` {version}, which `{}` excludes", line.text))
            }
            _ => None,
        }
    })
}

/// How old a record may be in this run: a run that a schedule started is there to get new releases.
pub fn max_age(wanted: Duration, host: &Host) -> Duration {
    match host.var(env_vars::GITHUB_EVENT_NAME) {
        Some("schedule") => Duration::ZERO,
        _ => wanted,
    }
}

/// A duration as people say it: `3 h`, `2 days`.
pub fn words(age: Duration) -> String {
    match age.as_secs() {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds @ 60..3_600 => format!("{} min", seconds / 60),
        seconds @ 3_600..172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests;
