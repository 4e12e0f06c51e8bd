//! What a deploy changes in the dependencies of a code location: the distributions of its new deps PEX or image, compared
//! with those of what ran before.
//!
//! What ran before is in a registry; its list is read from a few kilobytes of it. The list is only information: if it
//! cannot be read, the cause is a detail message, and there is no list.

mod images;
mod pex_files;

pub use images::ImageReader;
pub use pex_files::{are_those_of, stored};

use crate::builder::Built;
use crate::dagster::Client;
use crate::host::Host;
use crate::plan::Plan;
use pep440_rs::Version;
use pex_files::Listed;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;
use std::sync::mpsc::Receiver;
use std::time::Duration;

/// At most this many files, and as many images, are read.
const MOST_FILES: usize = 20;

/// Normalised name → version.
pub type Distributions = BTreeMap<String, String>;

/// How the distributions differ from those that ran before. Sorted by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DependencyChanges {
    /// The deps PEX that ran before, `deps-HASH.pex`; empty if it was an image.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub deps_pex_before: String,
    /// The image that ran before; empty if it was a deps PEX.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub image_before: String,
    /// Name and version.
    pub added: Vec<(String, String)>,
    /// Name and version.
    pub removed: Vec<(String, String)>,
    /// Name, version before, and version now.
    pub changed: Vec<(String, String, String)>,
}

impl DependencyChanges {
    /// Compare what ran before with what will run.
    fn between(before: &Ran, old: &Distributions, new: &Distributions) -> DependencyChanges {
        let only = |one: &Distributions, other: &Distributions| {
            let only = one.iter().filter(|(name, _)| !other.contains_key(*name));
            only.map(|(name, version)| (name.clone(), version.clone())).collect()
        };
        let both = new.iter().filter_map(|(name, now)| Some((name, old.get(name)?, now)));
        let changed = both.filter(|(_, before, now)| !same_version(before, now));
        let (deps_pex_before, image_before) = match before.clone() {
            Ran::DepsPex(name) => (name, String::new()),
            Ran::Image(reference) => (String::new(), reference),
        };
        DependencyChanges {
            deps_pex_before,
            image_before,
            added: only(new, old),
            removed: only(old, new),
            changed: changed.map(|(name, before, now)| (name.clone(), before.clone(), now.clone())).collect(),
        }
    }

    /// Whether the same distributions change in the same way, wherever they were before.
    pub fn is_alike(&self, other: &DependencyChanges) -> bool {
        (&self.added, &self.removed, &self.changed) == (&other.added, &other.removed, &other.changed)
    }

    fn is_nothing(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }
}

/// `1.0` and `1.0.0` are one version.
fn same_version(one: &str, other: &str) -> bool {
    let versions = Version::from_str(one).ok().zip(Version::from_str(other).ok());
    one == other || versions.is_some_and(|(one, other)| one == other)
}

/// What a code location runs its distributions from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ran {
    /// This deps PEX.
    DepsPex(String),
    /// This image.
    Image(String),
}

/// A code location that gets other dependencies.
struct Exchange {
    location: String,
    before: Ran,
    after: Ran,
    /// What `after` holds.
    listed: Listed,
}

/// What a code location is to run.
struct New {
    location: String,
    runs: Ran,
    listed: Listed,
}

/// Changes that are still being computed.
pub struct Search(Receiver<BTreeMap<String, DependencyChanges>>);

/// How long a finished deploy waits for a list that is only nice to have.
const PATIENCE: Duration = Duration::from_secs(10);

impl Search {
    /// Start to compute what changes in the dependencies of each code location that gets PEX files, while the deploy goes
    /// on. `look` finds out what a code location ran before.
    pub fn of_pex_files<Before: Fn(&str) -> Option<Ran>>(
        client: Client,
        plan: &Plan,
        built: &Built,
        look: impl FnOnce() -> Before + Send + 'static,
    ) -> Search {
        let new = plan.locations.iter().filter_map(|planned| {
            let (_, deps) = built.pair(planned)?;
            let (location, runs) = (planned.location.name.clone(), Ran::DepsPex(deps.name().to_string()));
            Some(New { location, runs, listed: Listed::from_deps(deps) })
        });
        Search::begin(client, None, new.collect(), look)
    }

    /// The same for code locations that get images: their names, with the reference of the image and what is in it.
    pub fn of_images<Before: Fn(&str) -> Option<Ran>>(
        client: Client,
        reader: ImageReader,
        images: Vec<(String, String, Distributions)>,
        look: impl FnOnce() -> Before + Send + 'static,
    ) -> Search {
        let new = images.into_iter().map(|(location, reference, distributions)| New {
            location,
            runs: Ran::Image(reference),
            listed: Listed::Known(distributions),
        });
        Search::begin(client, Some(reader), new.collect(), look)
    }

    fn begin<Before: Fn(&str) -> Option<Ran>>(
        client: Client,
        reader: Option<ImageReader>,
        new: Vec<New>,
        look: impl FnOnce() -> Before + Send + 'static,
    ) -> Search {
        let (sender, receiver) = std::sync::mpsc::channel();
        // Not a scoped thread: a slow registry must not hold up the end of the run.
        std::thread::spawn(move || {
            let before = look();
            let exchanges = new.into_iter().filter_map(|New { location, runs, listed }| {
                let before = before(&location).filter(|before| *before != runs)?;
                Some(Exchange { location, before, after: runs, listed })
            });
            let changes = changes(&client, reader.as_ref(), &exchanges.collect::<Vec<_>>());
            // The receiver is gone if the deploy did not wait; it does not need the list then.
            let _ = sender.send(changes);
        });
        Search(receiver)
    }

    /// What was found, by code location.
    pub fn found(self, host: &Host) -> BTreeMap<String, DependencyChanges> {
        self.0.recv_timeout(PATIENCE).unwrap_or_else(|error| {
            host.detail(format!("the report does not say which dependencies changed: {error}"));
            BTreeMap::new()
        })
    }
}

/// The changes of each code location, by name; unknown ones are left out.
fn changes(
    client: &Client,
    reader: Option<&ImageReader>,
    exchanges: &[Exchange],
) -> BTreeMap<String, DependencyChanges> {
    let mut files: BTreeSet<&str> = BTreeSet::new();
    let mut images: BTreeSet<&str> = BTreeSet::new();
    let stored_after = exchanges.iter().filter(|one| matches!(one.listed, Listed::Stored));
    for ran in exchanges.iter().map(|one| &one.before).chain(stored_after.map(|one| &one.after)) {
        match ran {
            Ran::DepsPex(name) => files.insert(name),
            Ran::Image(reference) => images.insert(reference),
        };
    }
    let files = pex_files::read_stored(client, &files.into_iter().take(MOST_FILES).collect::<Vec<_>>());
    let images = match reader {
        Some(reader) => reader.read(images.into_iter().take(MOST_FILES), client.host()),
        None => BTreeMap::new(),
    };
    let stored = |ran: &Ran| match ran {
        Ran::DepsPex(name) => files.get(name),
        Ran::Image(reference) => images.get(reference),
    };
    let compare = |exchange: &Exchange| {
        let local;
        let after = match (&exchange.listed, &exchange.after) {
            (Listed::Known(distributions), _) => distributions,
            (Listed::Local(path), Ran::DepsPex(name) | Ran::Image(name)) => {
                local = pex_files::ok_or_detail(client, name, pex_files::read_local(path))?;
                &local
            }
            (Listed::Stored, after) => stored(after)?,
        };
        let changes = DependencyChanges::between(&exchange.before, stored(&exchange.before)?, after);
        (!changes.is_nothing()).then(|| (exchange.location.clone(), changes))
    };
    exchanges.iter().filter_map(compare).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn distributions(named: &[(&str, &str)]) -> Distributions {
        named.iter().map(|(name, version)| (name.to_string(), version.to_string())).collect()
    }

    #[test]
    fn added_removed_and_changed_packages_are_distinguished() {
        let before = distributions(&[("dagster", "1.12.1"), ("old", "1"), ("same", "1.0"), ("kept", "odd")]);
        let after = distributions(&[("dagster", "1.13.0"), ("new", "2"), ("same", "1.0.0"), ("kept", "odd")]);
        let changes = DependencyChanges::between(&Ran::DepsPex("deps-a.pex".into()), &before, &after);
        let want = DependencyChanges {
            deps_pex_before: "deps-a.pex".into(),
            image_before: String::new(),
            added: vec![("new".into(), "2".into())],
            removed: vec![("old".into(), "1".into())],
            changed: vec![("dagster".into(), "1.12.1".into(), "1.13.0".into())],
        };
        assert_eq!(changes, want);
        let text = serde_json::to_value(&changes).unwrap();
        assert_eq!(text["changed"][0], serde_json::json!(["dagster", "1.12.1", "1.13.0"]));
        assert_eq!(text.get("image_before"), None);
        assert_eq!(serde_json::from_value::<DependencyChanges>(text).unwrap(), want);
        let of_image = DependencyChanges::between(&Ran::Image("host/app:a".into()), &before, &after);
        assert!(of_image.is_alike(&changes) && of_image != changes);
        assert!(DependencyChanges::between(&Ran::Image("x".into()), &before, &before).is_nothing());
    }
}
