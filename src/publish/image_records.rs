//! Resolution records and recipes of code locations that are deployed as images: small artifacts in the repositories of
//! their images.
//!
//! The rules are those of the PEX registry (`record.rs`, `recipes.rs`), less what is about a deps PEX: a layer that the
//! repository does not have is made from the recorded wheels, which are looked for on the package sources by name and
//! digest. docs/deps-cache.md and docs/recipes.md have the rules.

use super::WORKERS;
use super::cache_tags::CacheTags;
use super::record::{Asked, NOT_OF_THESE, max_age, shareable, words};
use crate::builder::image::recorded::{NamedWheel, Recorded, RequirementSet};
use crate::builder::in_parallel;
use crate::builder::observer::Observer;
use crate::builder::recipe::Recipe;
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

/// Stands for what goes into every layer of distributions, as far as it decides the versions: nothing does so far.
const RUNTIME: &str = "image 1";
/// Repositories that are asked for the record of a requirement set. In Harbor each code location has its own.
const MOST_REPOSITORIES: usize = 3;

/// What an artifact is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Resolution,
    Recipe,
}

impl Kind {
    /// The type of the artifact, and of its content.
    fn media_type(self) -> &'static str {
        match self {
            Kind::Resolution => "application/vnd.pexpress.resolution.v1+json",
            Kind::Recipe => "application/vnd.pexpress.recipe.v1+json",
        }
    }

    /// `pexpress-resolution-HASH-TAG`, where both are digits of hashes: a tag of the deps cache may have any letters.
    fn tag(self, hash: &str, tag: &str) -> Option<Tag> {
        let of_tag = hex(Sha256::digest(tag.as_bytes()));
        let kind = if self == Kind::Recipe { "recipe" } else { "resolution" };
        format!("pexpress-{kind}-{hash}-{}", &of_tag[..16]).parse().ok()
    }

    /// What it is called, and what the next run does without it.
    fn words(self) -> [&'static str; 2] {
        match self {
            Kind::Resolution => ["resolution record", "the next run resolves the requirements again"],
            Kind::Recipe => ["recipe", "the next run starts the build backend again"],
        }
    }
}

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

/// A record or recipe of this run.
struct New {
    kind: Kind,
    tag: Tag,
    text: String,
    /// The code locations that it is for; `None` for all.
    locations: Option<BTreeSet<String>>,
}

/// Reads records and recipes while images are built, and writes those of this run after the images were pushed.
pub struct ImageRecords<'a> {
    tags: CacheTags,
    /// Tags under which recipes are read, also if versions are resolved in any case.
    recipe_tags: Vec<String>,
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
    /// The records of code locations whose images are pushed to these repositories. Without `reads`, resolutions are only
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
        let recipe_tags = publish.deps_cache_from.clone();
        let max_age = max_age(publish.resolve_max_age, host);
        let repositories = repositories.into_iter().collect();
        let (read, said, new) = (Mutex::default(), Mutex::default(), Mutex::default());
        ImageRecords { tags, recipe_tags, max_age, repositories, registries, host, read, said, new }
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

    /// The first artifact of these repositories and tags that `read` can use.
    fn find<T>(
        &self,
        (kind, hash): (Kind, &str),
        repositories: Vec<&Repository>,
        tags: &[String],
        read: &dyn Fn(&[u8]) -> Result<T, String>,
    ) -> Option<T> {
        let [what, _] = kind.words();
        let repositories = repositories.into_iter().take(MOST_REPOSITORIES);
        let mut places = repositories.flat_map(|repository| tags.iter().map(move |tag| (repository, tag)));
        places.find_map(|(repository, tag)| {
            let reference = Reference::by_tag(repository.clone(), kind.tag(hash, tag)?);
            let text = match self.registries.small(&reference, kind.media_type()) {
                Ok(Some(text)) => text,
                Ok(None) => {
                    self.host.detail(format!("no {what} {reference}"));
                    return None;
                }
                Err(error) => {
                    self.host.detail(format!("{what}: {error}; this run does without it"));
                    return None;
                }
            };
            read(&text).map_err(|why| self.host.note(format!("`{reference}` is not used: {why}"))).ok()
        })
    }

    /// Write the records and recipes of this run for code locations whose images were pushed. A failure costs the next
    /// run some time, and nothing else.
    pub fn write(&self, pushed: &BTreeSet<String>) {
        let new = std::mem::take(&mut *lock(&self.new));
        let mut all: Vec<(Reference, &New)> = Vec::new();
        for one in &new {
            let wanted = |name: &&String| one.locations.as_ref().is_none_or(|names| names.contains(*name));
            for repository in self.repositories(pushed.iter().filter(wanted).map(String::as_str)) {
                let reference = Reference::by_tag(repository.clone(), one.tag.clone());
                if !all.iter().any(|(known, _)| *known == reference) {
                    all.push((reference, one));
                }
            }
        }
        in_parallel(&all, WORKERS, |(reference, new)| self.write_one(reference, new));
    }

    fn write_one(&self, reference: &Reference, New { kind, text, .. }: &New) {
        let artifact = RegistryArtifact {
            artifact_type: kind.media_type(),
            media_type: kind.media_type(),
            content: text.as_bytes(),
            annotations: BTreeMap::new(),
        };
        let [what, next] = kind.words();
        match self.registries.put_small(reference, &artifact) {
            Ok(()) => self.host.detail(format!("wrote the {what} {reference}")),
            Err(error) => {
                // As for a tag that cannot be moved.
                let way_out = match error {
                    RegistryError::Refused { status: 400 | 405 | 409 | 412 | 422, .. } => {
                        "; if the repository keeps tags as they are, except `pexpress-*` from that"
                    }
                    _ => "",
                };
                self.host.note(format!("no {what}: {error}; {next}{way_out}"));
            }
        }
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
            let repositories = self.repositories(set.locations.iter().copied());
            let now = self.host.clock.now();
            let found = self.find((Kind::Resolution, &asked.hash), repositories, &self.tags.from, &|text| {
                usable(&asked, text, now, self.max_age)
            });
            lock(&self.read).insert(asked.hash.clone(), found.clone());
            let names = set.locations.join(", ");
            if let Some(Recorded { resolved_at, .. }) = &found
                && lock(&self.said).insert(names.clone())
            {
                let age = words(now.duration_since(*resolved_at).unwrap_or_default());
                self.host.note(format!("{names}: versions as resolved {age} ago (--resolve-max-age)"));
            }
            found
        })
    }

    fn resolution_found(&self, set: &RequirementSet<'_>, found: Recorded) {
        let Some(to) = &self.tags.to else { return };
        let Some(asked) = Asked::of(set.job, set.target, RUNTIME, self.host) else { return };
        let kind = Kind::Resolution;
        let Some((tag, text)) = kind.tag(&asked.hash, to).zip(text(&asked, &found)) else { return };
        let locations = Some(set.locations.iter().map(ToString::to_string).collect());
        lock(&self.new).push(New { kind, tag, text, locations });
    }

    fn recipes(&self, keys: &[String]) -> Vec<Option<Recipe>> {
        if self.max_age.is_zero() {
            return vec![None; keys.len()];
        }
        let now = self.host.clock.now();
        in_parallel(keys, WORKERS, |key| {
            let repositories = self.repositories(self.repositories.keys().map(String::as_str));
            self.find((Kind::Recipe, key), repositories, &self.recipe_tags, &|text| {
                let text = std::str::from_utf8(text).unwrap_or_default();
                Recipe::read(text, key, now, self.max_age)
            })
        })
    }

    fn recipe_made(&self, key: &str, text: String) {
        let kind = Kind::Recipe;
        if let Some(tag) = self.tags.to.as_ref().and_then(|tag| kind.tag(key, tag)) {
            lock(&self.new).push(New { kind, tag, text, locations: None });
        }
    }
}

/// The text of a record; `None` if its files are not all known by digest, or if the requirements can mean others at any
/// moment.
fn text(asked: &Asked<'_>, Recorded { resolved_at, resolution, built }: &Recorded) -> Option<String> {
    let is_exact = resolution.distributions.iter().all(|one| match &one.artifact {
        Artifact::Wheel(download) | Artifact::Sdist { download, .. } => download.sha256.is_some(),
        Artifact::Git { .. } => true,
    });
    if !is_exact || !asked.is_lasting(resolution) || asked.misfit(resolution).is_err() {
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
