//! Publishes files while a build runs: uploads each finished file, reads the deps cache before a deps PEX is built, and
//! writes it after the PEX is stored.

use super::cache_tags::CacheTags;
use super::deps_cache::{self, CacheEntry, object_name, resolution_hash};
use super::desk::{Party, UrlDesk};
use super::lookups::Lookups;
use super::recipes;
use super::record::{Asked, Record, words};
use super::wanted::Reading;
use super::{Artifact, InUse, Outcomes, SentFiles, UploadOutcome, Uploads};
use crate::builder::observer::{Observer, StoredDeps};
use crate::builder::recipe::Recipe;
use crate::builder::{BuiltDeps, PexFile};
use crate::dagster::operations::Method;
use crate::dagster::{Client, DagsterError};
use crate::dependencies::are_those_of;
use crate::net::Progress;
use crate::plan::{DepsJob, Plan};
use crate::resolve::Resolution;
use crate::target::Target;
use crate::threads::{into_inner, lock};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

/// What a [`Publisher`] goes by.
pub struct Settings {
    /// Tags of the deps cache.
    pub tags: CacheTags,
    /// Tags under which recipes are read, even if deps PEX files are built in any case.
    pub recipe_tags: Vec<String>,
    /// PEX files that code locations use.
    pub in_use: InUse,
    /// Deps PEX files that entries and records of the cache may name, such as those that run now.
    pub likely: Vec<String>,
    /// How old a resolution record, or a recipe, may be.
    pub max_age: Duration,
    /// Keys of recipes that the build will ask for.
    pub recipes: Vec<String>,
    /// Whether a source PEX will be finished at once: no local package has to be built, and no recipe is asked for.
    pub is_source_ready: bool,
    /// Whether missing files are uploaded; otherwise they are only looked for.
    pub upload: bool,
}

/// Publishes the files of a build.
pub struct Publisher {
    client: Client,
    tags: CacheTags,
    recipe_tags: Vec<String>,
    target: Target,
    runtime: String,
    lookups: Lookups,
    uploads: Uploads,
    /// By hash: the deps PEX to record, and whether it came from the cache.
    entries: Mutex<BTreeMap<String, (CacheEntry, bool)>>,
    /// How old a record may be.
    max_age: Duration,
    /// When requirements were resolved in this run, by [`DepsJob::requirements_hash`].
    resolved: Mutex<BTreeMap<String, SystemTime>>,
    /// Deps PEX files that records name.
    recorded: Mutex<BTreeSet<String>>,
    /// Records and recipes to write.
    records: Mutex<Vec<CacheObject>>,
}

/// The files of a build in the registry. Nothing may refer to a file that is not in here.
#[derive(Debug)]
pub struct Published {
    outcomes: Outcomes,
    /// Deps PEX files that entries and records of the deps cache name.
    cached: BTreeSet<String>,
}

impl Published {
    /// How the file `name` got into the registry.
    ///
    /// # Errors
    /// Why it is not in the registry.
    pub fn file(&self, name: &str) -> Result<UploadOutcome, Arc<DagsterError>> {
        if self.cached.contains(name) {
            return Ok(UploadOutcome::Cached);
        }
        match self.outcomes.get(name) {
            Some(outcome) => outcome.clone(),
            None => Err(Arc::new(super::not_stored(name))),
        }
    }

    /// How both files of a code location came to be stored.
    ///
    /// # Errors
    /// Why one of them is not.
    pub fn pair(&self, source: &str, deps: &str) -> Result<SentFiles, Arc<DagsterError>> {
        Ok(SentFiles { source: self.file(source)?, deps: self.file(deps)? })
    }
}

impl Publisher {
    /// Start to read what the build of `plan` will need, and to upload.
    pub fn start(
        client: &Client,
        plan: &Arc<Plan>,
        settings: Settings,
        progress: Arc<dyn Progress>,
    ) -> Publisher {
        let Settings { tags, recipe_tags, in_use, likely, max_age, recipes, is_source_ready, upload } =
            settings;
        let (runtime, target) = (deps_cache::runtime(), plan.target);
        let desk = Arc::new(UrlDesk::new(client));
        desk.expect(Party::Ahead);
        if !plan.sources.is_empty() && is_source_ready {
            desk.expect(Party::Files);
        }
        let lookups = {
            let (plan, host) = (Arc::clone(plan), client.host().clone());
            let (from, recipe_tags, runtime) = (tags.from.clone(), recipe_tags.clone(), runtime.clone());
            Lookups::begin(Arc::clone(&desk), move || {
                let reading = Reading {
                    tags: &from,
                    max_age,
                    runtime: &runtime,
                    recipes: &recipes,
                    recipe_tags: &recipe_tags,
                };
                reading.wanted(&plan, &likely, &host)
            })
        };
        Publisher {
            client: client.clone(),
            tags,
            recipe_tags,
            target,
            runtime,
            lookups,
            uploads: Uploads::start_at(desk, in_use, upload, progress),
            entries: Mutex::default(),
            max_age,
            resolved: Mutex::default(),
            recorded: Mutex::default(),
            records: Mutex::default(),
        }
    }

    /// Wait for the uploads. Stored deps PEX files can then be recorded in the deps cache.
    pub fn finish(self) -> (Published, Recording) {
        let outcomes = self.uploads.finish();
        let (entries, mut cached) = (into_inner(self.entries), into_inner(self.recorded));
        cached.extend(
            entries
                .values()
                .filter(|(_, is_cached)| *is_cached)
                .map(|(entry, _)| entry.deps_pex_name.clone()),
        );
        let mut objects = Vec::new();
        if let Some(tag) = &self.tags.to {
            // An entry from one of the tags to read is found by the next run anyway, so it need not be copied.
            let read_again = self.tags.from.contains(tag);
            let entries = entries.iter().filter(|(_, (_, is_cached))| !(*is_cached && read_again));
            let entries = entries.map(|(hash, (entry, _))| CacheObject {
                name: object_name(hash, tag),
                content: deps_cache::content(entry),
                deps: Some(entry.deps_pex_name.clone()),
            });
            let is_stored = |name: &str| cached.contains(name) || matches!(outcomes.get(name), Some(Ok(_)));
            let all = entries.chain(into_inner(self.records));
            objects = all.filter(|object| object.deps.as_deref().is_none_or(is_stored)).collect();
        }
        (Published { outcomes, cached }, Recording { client: self.client, objects })
    }

    fn hash(&self, resolution: &Resolution) -> Option<String> {
        resolution_hash(resolution, self.target, &self.runtime)
    }

    fn remember(&self, hash: String, entry: CacheEntry, cached: bool) {
        lock(&self.entries).insert(hash, (entry, cached));
    }

    fn asked<'a>(&self, job: &'a DepsJob) -> Option<Asked<'a>> {
        Asked::of(job, self.target, &self.runtime, self.client.host())
    }

    /// Record what the requirements of a job were resolved to in this run.
    fn put_on_record(&self, job: &DepsJob, entry: &CacheEntry, resolution: &Resolution) {
        let resolved_at = lock(&self.resolved).get(&job.requirements_hash).copied();
        let Some((asked, resolved_at)) = self.asked(job).zip(resolved_at) else { return };
        let record = Record { entry: entry.clone(), resolved_at, resolution: resolution.clone() };
        if let Some((tag, content)) = self.tags.to.as_ref().zip(asked.text(&record, &self.runtime)) {
            let (name, deps) = (asked.object_name(tag), Some(record.entry.deps_pex_name));
            lock(&self.records).push(CacheObject { name, content, deps });
        }
    }
}

/// Objects of the deps cache to write, for files that are stored.
pub struct Recording {
    client: Client,
    objects: Vec<CacheObject>,
}

struct CacheObject {
    name: String,
    content: String,
    /// The deps PEX that it names; recipes name none.
    deps: Option<String>,
}

impl Recording {
    /// Write them, except for deps PEX files that do not load: the next run must build and load them again.
    pub fn write(mut self, but: &BTreeSet<String>) {
        self.objects.retain(|object| object.deps.as_ref().is_none_or(|deps| !but.contains(deps)));
        if self.objects.is_empty() {
            return;
        }
        let names: Vec<&str> = self.objects.iter().map(|object| object.name.as_str()).collect();
        match self.client.presigned_urls(&names, Method::Put) {
            // One thread each: they are short, and there are as many as requirement sets.
            Ok(urls) => std::thread::scope(|scope| {
                for (object, url) in self.objects.iter().zip(urls) {
                    scope.spawn(|| {
                        let written = deps_cache::write(&self.client, &object.name, &object.content, url);
                        self.tell(object, written);
                    });
                }
            }),
            Err(error) => self.tell(&self.objects[0], Err(error)),
        }
    }

    fn tell(&self, object: &CacheObject, written: Result<(), DagsterError>) {
        let host = self.client.host();
        match written {
            Ok(()) => host.detail(format!("deps cache: wrote `{}`", object.name)),
            Err(error) if self.client.is_first_to_meet(&error, &object.name) => {
                host.warn(format!("{error}; the next run builds what it is about again"));
            }
            Err(error) => host.detail(format!("deps cache: {error}")),
        }
    }
}

impl Observer for Publisher {
    fn source_built(&self, file: &PexFile) {
        self.uploads.send(Artifact { name: file.name.clone(), path: file.path.clone() });
    }

    fn resolved(&self, job: &DepsJob) {
        let now = self.client.host().clock.now();
        lock(&self.resolved).insert(job.requirements_hash.clone(), now);
    }

    fn deps_built(&self, job: &DepsJob, deps: &BuiltDeps) {
        self.uploads.send(Artifact { name: deps.file.name.clone(), path: deps.file.path.clone() });
        if let (Some(hash), Some(version)) = (self.hash(&deps.resolution), &deps.dagster_version) {
            let entry =
                CacheEntry { deps_pex_name: deps.file.name.clone(), dagster_version: version.clone() };
            self.put_on_record(job, &entry, &deps.resolution);
            self.remember(hash, entry, false);
        }
    }

    fn is_over(&self) -> bool {
        self.client.is_over()
    }

    fn recipes(&self, keys: &[String]) -> Vec<Option<Recipe>> {
        recipes::read(&self.lookups, &self.recipe_tags, keys, self.max_age)
    }

    fn recipe_made(&self, key: &str, text: String) {
        if let Some(tag) = &self.tags.to {
            let name = recipes::object_name(key, tag);
            lock(&self.records).push(CacheObject { name, content: text, deps: None });
        }
    }

    fn recorded_deps(&self, job: &DepsJob) -> Option<(StoredDeps, Resolution)> {
        let asked = self.asked(job)?;
        let Record { entry, resolved_at, resolution } =
            asked.read(&self.lookups, &self.tags.from, self.max_age)?;
        let host = self.client.host();
        let age = host.clock.now().duration_since(resolved_at).unwrap_or_default();
        host.note(format!(
            "{}: already there, for these requirements as resolved {} ago (--resolve-max-age)",
            entry.deps_pex_name,
            words(age)
        ));
        lock(&self.recorded).insert(entry.deps_pex_name.clone());
        let CacheEntry { deps_pex_name: name, dagster_version } = entry;
        Some((StoredDeps { name, dagster_version }, resolution))
    }

    fn stored_deps(&self, job: &DepsJob, resolution: &Resolution) -> Option<StoredDeps> {
        let hash = self.hash(resolution)?;
        let entry = deps_cache::read(&self.lookups, &self.tags.from, &hash)?;
        // An entry has no digest. Before a record of it is believed for a day, the file itself is asked; where a lock file
        // decides, there are no records, and each run would pay for the question.
        let held = self.asked(job).and_then(|_| self.lookups.distributions(&entry.deps_pex_name));
        if held.is_some_and(|held| !are_those_of(resolution, &held)) {
            let why = "it has other packages than the requirements were resolved to";
            self.client.host().note(format!("deps cache: `{}` is not used: {why}", entry.deps_pex_name));
            return None;
        }
        self.client.host().note(format!("{}: already there, from the deps cache", entry.deps_pex_name));
        self.put_on_record(job, &entry, resolution);
        self.remember(hash, entry.clone(), true);
        Some(StoredDeps { name: entry.deps_pex_name, dagster_version: entry.dagster_version })
    }
}
