//! Publishes files while a build runs: uploads each finished file, reads the deps cache before a deps PEX is built, and
//! writes it after the PEX is stored.

use super::cache_tags::CacheTags;
use super::deps_cache::{self, CacheEntry, resolution_hash};
use super::{Artifact, Outcomes, SentFiles, UploadOutcome, Uploads};
use crate::builder::observer::{Observer, StoredDeps};
use crate::builder::{BuiltDeps, PexFile};
use crate::dagster::{Client, DagsterError};
use crate::net::Progress;
use crate::resolve::Resolution;
use crate::target::Target;
use crate::threads::{into_inner, lock};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

/// Publishes the files of a build.
pub struct Publisher {
    client: Client,
    tags: CacheTags,
    target: Target,
    runtime: String,
    likely: Vec<String>,
    uploads: Uploads,
    /// By hash: the deps PEX to record, and whether it came from the cache.
    entries: Mutex<BTreeMap<String, (CacheEntry, bool)>>,
}

/// The files of a build in the registry. Nothing may refer to a file that is not in here.
#[derive(Debug)]
pub struct Published {
    outcomes: Outcomes,
    cached: BTreeMap<String, CacheEntry>,
}

impl Published {
    /// How the file `name` got into the registry.
    ///
    /// # Errors
    /// Why it is not in the registry.
    pub fn file(&self, name: &str) -> Result<UploadOutcome, Arc<DagsterError>> {
        if self.cached.values().any(|entry| entry.deps_pex_name == name) {
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
    /// Start. `runtime` is the version of the PEX runtime. Without `upload`, files are only checked.
    pub fn start(
        client: &Client,
        tags: CacheTags,
        target: Target,
        runtime: &str,
        upload: bool,
        progress: Arc<dyn Progress>,
    ) -> Publisher {
        Publisher {
            client: client.clone(),
            tags,
            target,
            runtime: runtime.to_string(),
            likely: Vec::new(),
            uploads: Uploads::start(client, upload, progress),
            entries: Mutex::default(),
        }
    }

    /// The same, with deps PEX files that deps cache entries may name, such as those that run now.
    pub fn expecting(mut self, likely: Vec<String>) -> Publisher {
        self.likely = likely;
        self
    }

    /// Wait for the uploads. Stored deps PEX files can then be recorded in the deps cache.
    pub fn finish(self) -> (Published, Recording) {
        let outcomes = self.uploads.finish();
        let entries = into_inner(self.entries);
        let mut records = Vec::new();
        if let Some(tag) = &self.tags.to {
            let stored = |entry: &CacheEntry, cached| {
                cached || matches!(outcomes.get(&entry.deps_pex_name), Some(Ok(_)))
            };
            // An entry from one of the tags to read is found by the next run anyway, so it need not be copied.
            let read_again = self.tags.from.contains(tag);
            let write = entries
                .iter()
                .filter(|(_, (entry, cached))| stored(entry, *cached) && !(*cached && read_again));
            records = write.map(|(hash, (entry, _))| (tag.clone(), hash.clone(), entry.clone())).collect();
        }
        let cached =
            entries.into_iter().filter(|(_, (_, cached))| *cached).map(|(hash, (entry, _))| (hash, entry));
        (Published { outcomes, cached: cached.collect() }, Recording { client: self.client, records })
    }

    fn hash(&self, resolution: &Resolution) -> Option<String> {
        resolution_hash(resolution, self.target, &self.runtime)
    }

    fn remember(&self, hash: String, entry: CacheEntry, cached: bool) {
        lock(&self.entries).insert(hash, (entry, cached));
    }
}

/// Deps cache entries to write, for files that are stored.
pub struct Recording {
    client: Client,
    /// Tag, hash and entry.
    records: Vec<(String, String, CacheEntry)>,
}

impl Recording {
    /// Write the entries, except for deps PEX files that do not load: the next run must build and load them again.
    pub fn write(self, but: &BTreeSet<String>) {
        let wanted = self.records.iter().filter(|(_, _, entry)| !but.contains(&entry.deps_pex_name));
        // One thread each: an entry is two short requests, and there are as many as requirement sets.
        std::thread::scope(|scope| {
            for (tag, hash, entry) in wanted {
                scope.spawn(|| record(&self.client, tag, hash, entry));
            }
        });
    }
}

fn record(client: &Client, tag: &str, hash: &str, entry: &CacheEntry) {
    match deps_cache::write(client, tag, hash, entry) {
        Ok(()) => client.host().detail(format!("deps cache: {} recorded for `{tag}`", entry.deps_pex_name)),
        Err(error) if client.is_first_to_meet(&error, &deps_cache::object_name(hash, tag)) => {
            client.host().warn(format!("{error}; the next run builds the deps PEX again"));
        }
        Err(error) => client.host().detail(format!("deps cache: {error}")),
    }
}

impl Observer for Publisher {
    fn source_built(&self, file: &PexFile) {
        self.uploads.send(Artifact { name: file.name.clone(), path: file.path.clone() });
    }

    fn deps_built(&self, deps: &BuiltDeps) {
        self.uploads.send(Artifact { name: deps.file.name.clone(), path: deps.file.path.clone() });
        if let (Some(hash), Some(version)) = (self.hash(&deps.resolution), &deps.dagster_version) {
            let entry =
                CacheEntry { deps_pex_name: deps.file.name.clone(), dagster_version: version.clone() };
            self.remember(hash, entry, false);
        }
    }

    fn is_over(&self) -> bool {
        self.client.is_over()
    }

    fn stored_deps(&self, resolution: &Resolution) -> Option<StoredDeps> {
        let hash = self.hash(resolution)?;
        let entry = deps_cache::read(&self.client, &self.tags.from, &hash, &self.likely)?;
        self.client.host().note(format!("{}: already there, from the deps cache", entry.deps_pex_name));
        self.remember(hash, entry.clone(), true);
        Some(StoredDeps { name: entry.deps_pex_name, dagster_version: entry.dagster_version })
    }
}
