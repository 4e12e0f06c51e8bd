//! Which objects of the registry a build is going to read, as far as that is known before it begins.

use super::deps_cache::{object_name, resolution_hash};
use super::lookups::Wanted;
use super::recipes;
use super::record::Asked;
use crate::host::Host;
use crate::plan::{DepsJob, Plan};
use crate::resolve;
use std::time::Duration;

/// The most deps PEX files that are looked for in advance. An entry that names another one costs a call of its own.
const MOST_FILES: usize = 50;

/// What is read, and under which tags.
pub struct Reading<'a> {
    /// Tags of the deps cache, in the order in which they are read.
    pub tags: &'a [String],
    /// How old a record may be.
    pub max_age: Duration,
    /// Version of the PEX runtime.
    pub runtime: &'a str,
    /// Keys of recipes.
    pub recipes: &'a [String],
    /// The tags under which recipes are read.
    pub recipe_tags: &'a [String],
}

impl Reading<'_> {
    /// What a build of this plan reads. `likely` are deps PEX files that entries and records may name, such as those that
    /// run now.
    pub fn wanted(&self, plan: &Plan, likely: &[String], host: &Host) -> Wanted {
        let mut wanted = Wanted::default();
        for job in plan.deps.iter().filter(|_| !self.tags.is_empty()) {
            let names = self.of_job(job, plan, host);
            if !names.is_empty() && !wanted.texts.contains(&names) {
                wanted.texts.push(names);
            }
        }
        if !wanted.texts.is_empty() && likely.len() <= MOST_FILES {
            wanted.files = likely.to_vec();
        }
        if !self.max_age.is_zero() && !self.recipe_tags.is_empty() {
            wanted.texts.extend(self.recipes.iter().map(|key| recipes::names(key, self.recipe_tags)));
        }
        wanted
    }

    /// The record of a requirement set, or the entry of its resolution where a lock file has decided it.
    fn of_job(&self, job: &DepsJob, plan: &Plan, host: &Host) -> Vec<String> {
        let by_tag = |name: &dyn Fn(&str) -> String| self.tags.iter().map(|tag| name(tag)).collect();
        match Asked::of(job, plan.target, self.runtime, host) {
            Some(asked) if asked.has_use_for_records(self.max_age) => by_tag(&|tag| asked.object_name(tag)),
            Some(_) => Vec::new(),
            None => {
                let resolution = resolve::decided(&job.requirements, plan.target);
                let hash = resolution.and_then(|one| resolution_hash(&one, plan.target, self.runtime));
                hash.map(|hash| by_tag(&|tag| object_name(&hash, tag))).unwrap_or_default()
            }
        }
    }
}
