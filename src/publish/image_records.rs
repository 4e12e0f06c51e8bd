//! Resolution records of code locations that are deployed as images: small artifacts in the repositories of their images.
//!
//! The rules are those of the records in the PEX registry (`record.rs`), less what is about a deps PEX: a layer that the
//! repository does not have is made from the recorded wheels, which are looked for on the package sources by name and
//! digest. docs/deps-cache.md has the rules.

use super::WORKERS;
use super::cache_tags::CacheTags;
use super::record::{Asked, NOT_OF_THESE, max_age, shareable, words};
use crate::builder::image::recorded::{NamedWheel, Recorded, RequirementSet};
use crate::builder::in_parallel;
use crate::builder::observer::Observer;
use crate::cache::is_sha256;
use crate::deployment::args::PublishArgs;
use crate::hex::hex;
use crate::host::Host;
use crate::image::{Reference, Repository, Tag};
use crate::registry::{Artifact as RegistryArtifact, MOST_BYTES, Registries, RegistryError};
use crate::resolve::{Artifact, Resolution};
use crate::simple_index::ON_INDEX;
use crate::threads::lock;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The type of the artifact, and of its content.
pub const MEDIA_TYPE: &str = "application/vnd.pexpress.resolution.v1+json";
/// Stands for what goes into every layer of distributions, as far as it decides the versions: nothing does so far.
const RUNTIME: &str = "image 1";
/// Repositories that are asked for the record of a requirement set. In Harbor each code location has its own.
const MOST_REPOSITORIES: usize = 3;

/// The JSON document of a record.
#[derive(Serialize, Deserialize)]
struct Document {
    /// Seconds since the epoch.
    resolved_at: u64,
    resolution: Resolution,
    /// What was built from source.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    built: BTreeMap<String, NamedWheel>,
    /// SHA-256 of the key and everything else here.
    digest: String,
}

/// A record of this run.
struct New {
    tag: Tag,
    text: String,
    locations: BTreeSet<String>,
}

/// Reads records while images are built, and writes those of this run after the images were pushed.
pub struct ImageRecords<'a> {
    tags: CacheTags,
    max_age: Duration,
    repositories: BTreeMap<String, Repository>,
    registries: &'a Registries,
    host: &'a Host,
    /// What was read, by hash: an image may be built twice.
    read: Mutex<BTreeMap<String, Option<Recorded>>>,
    /// Names of code locations whose record was named in the log: other platforms say nothing new.
    said: Mutex<BTreeSet<String>>,
    new: Mutex<Vec<New>>,
}

impl<'a> ImageRecords<'a> {
    /// The records of code locations whose images are pushed to these repositories. Without `reads`, they are only
    /// written.
    pub fn new(
        publish: &PublishArgs,
        reads: bool,
        repositories: impl IntoIterator<Item = (String, Repository)>,
        registries: &'a Registries,
        host: &'a Host,
    ) -> ImageRecords<'a> {
        let from = if reads { publish.deps_cache_from.clone() } else { Vec::new() };
        let tags = CacheTags { from, to: publish.deps_cache_to.clone() };
        let max_age = max_age(publish.resolve_max_age, host);
        let repositories = repositories.into_iter().collect();
        let (read, said, new) = (Mutex::default(), Mutex::default(), Mutex::default());
        ImageRecords { tags, max_age, repositories, registries, host, read, said, new }
    }

    /// The repositories of these code locations, each once.
    fn repositories<'s>(&self, locations: impl Iterator<Item = &'s str>) -> Vec<&Repository> {
        let mut found: Vec<&Repository> = Vec::new();
        for repository in locations.filter_map(|name| self.repositories.get(name)) {
            if !found.contains(&repository) {
                found.push(repository);
            }
        }
        found
    }

    /// The first record that decides.
    fn find(&self, asked: &Asked<'_>, set: &RequirementSet<'_>) -> Option<Recorded> {
        let repositories = self.repositories(set.locations.iter().copied());
        let repositories = repositories.into_iter().take(MOST_REPOSITORIES);
        let mut places =
            repositories.flat_map(|repository| self.tags.from.iter().map(move |tag| (repository, tag)));
        places.find_map(|(repository, tag)| {
            let reference = Reference::by_tag(repository.clone(), tag_of(asked, tag)?);
            let text = match self.registries.small(&reference, MEDIA_TYPE) {
                Ok(Some(text)) => text,
                Ok(None) => {
                    self.host.detail(format!("no resolution record {reference}"));
                    return None;
                }
                Err(error) => {
                    self.host.detail(format!("resolution record: {error}; this run does without it"));
                    return None;
                }
            };
            let now = self.host.clock.now();
            let record = usable(asked, &text, now, self.max_age);
            record.map_err(|why| self.host.note(format!("`{reference}` is not used: {why}"))).ok()
        })
    }

    /// Write the records of this run for code locations whose images were pushed. A failure costs the next run a
    /// resolution, and nothing else.
    pub fn write(&self, pushed: &BTreeSet<String>) {
        let new = std::mem::take(&mut *lock(&self.new));
        let mut all: Vec<(Reference, &str)> = Vec::new();
        for New { tag, text, locations } in &new {
            let locations = locations.intersection(pushed).map(String::as_str);
            for repository in self.repositories(locations) {
                let reference = Reference::by_tag(repository.clone(), tag.clone());
                if !all.iter().any(|(known, _)| *known == reference) {
                    all.push((reference, text));
                }
            }
        }
        in_parallel(&all, WORKERS, |(reference, text)| {
            let artifact = RegistryArtifact {
                artifact_type: MEDIA_TYPE,
                media_type: MEDIA_TYPE,
                content: text.as_bytes(),
                annotations: BTreeMap::new(),
            };
            match self.registries.put_small(reference, &artifact) {
                Ok(()) => self.host.detail(format!("wrote the resolution record {reference}")),
                Err(error) => {
                    let next = "the next run resolves the requirements again";
                    // As for a tag that cannot be moved.
                    let way_out = match error {
                        RegistryError::Refused { status: 400 | 405 | 409 | 412 | 422, .. } => {
                            "; if the repository keeps tags as they are, except `pexpress-resolution-*` from that"
                        }
                        _ => "",
                    };
                    self.host.note(format!("no resolution record: {error}; {next}{way_out}"));
                }
            }
        });
    }
}

impl Observer for ImageRecords<'_> {
    fn recorded_resolution(&self, set: &RequirementSet<'_>) -> Option<Recorded> {
        let asked = Asked::of(set.job, set.target, RUNTIME, self.host)?;
        if !asked.has_use_for_records(self.max_age) {
            return None;
        }
        let known = lock(&self.read).get(&asked.hash).cloned();
        known.unwrap_or_else(|| {
            let found = self.find(&asked, set);
            lock(&self.read).insert(asked.hash.clone(), found.clone());
            let names = set.locations.join(", ");
            if let Some(Recorded { resolved_at, .. }) = &found
                && lock(&self.said).insert(names.clone())
            {
                let age = words(self.host.clock.now().duration_since(*resolved_at).unwrap_or_default());
                self.host.note(format!("{names}: versions as resolved {age} ago (--resolve-max-age)"));
            }
            found
        })
    }

    fn resolution_found(&self, set: &RequirementSet<'_>, found: Recorded) {
        let Some(to) = &self.tags.to else { return };
        let Some(asked) = Asked::of(set.job, set.target, RUNTIME, self.host) else { return };
        let Some((tag, text)) = tag_of(&asked, to).zip(text(&asked, &found)) else { return };
        let locations = set.locations.iter().map(ToString::to_string).collect();
        lock(&self.new).push(New { tag, text, locations });
    }
}

/// `pexpress-resolution-HASH-TAG`, where both are digits of hashes: a tag of the deps cache may have any letters.
fn tag_of(asked: &Asked<'_>, tag: &str) -> Option<Tag> {
    let of_tag = hex(Sha256::digest(tag.as_bytes()));
    format!("pexpress-resolution-{}-{}", asked.hash, &of_tag[..16]).parse().ok()
}

/// The text of a record; `None` if its files are not all known by digest, or if the requirements can mean others at any
/// moment.
fn text(asked: &Asked<'_>, Recorded { resolved_at, resolution, built }: &Recorded) -> Option<String> {
    let is_exact = resolution.distributions.iter().all(|one| match &one.artifact {
        Artifact::Wheel(download) | Artifact::Sdist { download, .. } => download.sha256.is_some(),
        Artifact::Git { .. } => true,
    });
    if !is_exact || !asked.is_lasting(resolution) {
        return None;
    }
    let resolved_at = resolved_at.duration_since(UNIX_EPOCH).ok()?.as_secs();
    let (resolution, built) = (shareable(resolution), built.clone());
    let mut document = Document { resolved_at, resolution, built, digest: String::new() };
    document.digest = digest(asked, &document);
    serde_json::to_string(&document).ok().filter(|text| text.len() <= MOST_BYTES)
}

/// The record in this text, or why it cannot be used. Its files are those of the package sources.
fn usable(asked: &Asked<'_>, text: &[u8], now: SystemTime, max_age: Duration) -> Result<Recorded, String> {
    let document: Option<Document> = serde_json::from_slice(text).ok();
    let is_whole =
        |document: &Document| is_sha256(&document.digest) && document.digest == digest(asked, document);
    let Document { resolved_at, mut resolution, built, .. } =
        document.filter(is_whole).ok_or(NOT_OF_THESE)?;
    let resolved_at = UNIX_EPOCH.checked_add(Duration::from_secs(resolved_at)).ok_or(NOT_OF_THESE)?;
    asked.check(&resolution, resolved_at, now, max_age)?;
    for distribution in &mut resolution.distributions {
        match &mut distribution.artifact {
            Artifact::Wheel(download) | Artifact::Sdist { download, .. } => download.url = ON_INDEX.into(),
            Artifact::Git { .. } => {}
        }
    }
    Ok(Recorded { resolved_at, resolution, built })
}

/// Protects against a record that was cut, or that belongs to other requirements.
fn digest(asked: &Asked<'_>, document: &Document) -> String {
    let Document { resolved_at, resolution, built, digest: _ } = document;
    let resolution = serde_json::to_string(&(resolution, built)).unwrap_or_default();
    hex(Sha256::digest(format!("{}\n{resolved_at}\n{resolution}\n", asked.hash).as_bytes()))
}

#[cfg(test)]
mod tests;
