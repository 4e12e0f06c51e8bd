//! Recipes of local packages in the registry: `recipe-KEY-TAG.txt`, next to the entries of the deps cache and with the
//! same tags. docs/recipes.md has the rules.

use super::WORKERS;
use super::deps_cache::{name_of, read_entry};
use super::lookups::Lookups;
use crate::builder::in_parallel;
use crate::builder::recipe::Recipe;
use std::time::Duration;

/// Name of the object with the recipe of a package and a tag.
pub fn object_name(key: &str, tag: &str) -> String {
    name_of("recipe", key, tag)
}

/// The names for several tags, in their order.
pub(super) fn names(key: &str, tags: &[String]) -> Vec<String> {
    tags.iter().map(|tag| object_name(key, tag)).collect()
}

/// The recipe with each of these keys, from the first of the tags that has a usable one. Every error is a miss with a
/// note: the package is built then.
pub fn read(lookups: &Lookups, tags: &[String], keys: &[String], max_age: Duration) -> Vec<Option<Recipe>> {
    if max_age.is_zero() {
        return vec![None; keys.len()];
    }
    let now = lookups.client().host().clock.now();
    in_parallel(keys, WORKERS, |key| {
        let read = |text: &str| Recipe::read(text, key, now, max_age);
        names(key, tags).iter().find_map(|name| read_entry(lookups, name, &read))
    })
}
