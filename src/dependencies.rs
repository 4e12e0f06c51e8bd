//! What a deploy changes in the dependencies of a code location: the distributions of its new deps PEX, compared with
//! those of the one that ran before.
//!
//! The old file is in the registry; its list is read from a few kilobytes of it. The list is only information: if it
//! cannot be read, the cause is a detail message, and there is no list.

use crate::builder::{Built, DepsPexFile};
use crate::dagster::Client;
use crate::dagster::operations::{Method, PresignedUrl};
use crate::host::Host;
use crate::pex::inspect::{self, InspectError, Span};
use crate::plan::Plan;
use pep440_rs::Version;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::mpsc::Receiver;
use std::time::Duration;

/// At most this many files are read.
const MOST_FILES: usize = 20;

/// Normalised name → version.
type Distributions = BTreeMap<String, String>;

/// How the distributions of two deps PEX files differ. Sorted by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DependencyChanges {
    /// The file that ran before: `deps-HASH.pex`.
    pub deps_pex_before: String,
    /// Name and version.
    pub added: Vec<(String, String)>,
    /// Name and version.
    pub removed: Vec<(String, String)>,
    /// Name, version before, and version now.
    pub changed: Vec<(String, String, String)>,
}

impl DependencyChanges {
    /// Compare what ran before, from the file called `deps_pex_before`, with what will run.
    fn between(deps_pex_before: &str, before: &Distributions, after: &Distributions) -> DependencyChanges {
        let only = |one: &Distributions, other: &Distributions| {
            let only = one.iter().filter(|(name, _)| !other.contains_key(*name));
            only.map(|(name, version)| (name.clone(), version.clone())).collect()
        };
        let both = after.iter().filter_map(|(name, now)| Some((name, before.get(name)?, now)));
        let changed = both.filter(|(_, before, now)| !same_version(before, now));
        DependencyChanges {
            deps_pex_before: deps_pex_before.to_string(),
            added: only(after, before),
            removed: only(before, after),
            changed: changed.map(|(name, before, now)| (name.clone(), before.clone(), now.clone())).collect(),
        }
    }
}

/// `1.0` and `1.0.0` are one version.
fn same_version(one: &str, other: &str) -> bool {
    let versions = Version::from_str(one).ok().zip(Version::from_str(other).ok());
    one == other || versions.is_some_and(|(one, other)| one == other)
}

/// Where the distributions of a deps PEX can be read.
enum Listed {
    /// In memory.
    Known(Distributions),
    /// In the file at this path.
    Local(PathBuf),
    /// In the registry.
    Stored,
}

impl Listed {
    /// A resolution that lacks a version is not used; the file itself is read then.
    fn from_deps(deps: &DepsPexFile) -> Listed {
        let distributions = deps.resolution().distributions.iter();
        let named = distributions.map(|one| Some((one.name.clone(), one.version.clone()?))).collect();
        match (named, deps.file()) {
            (Some(named), _) => Listed::Known(named),
            (None, Some(file)) => Listed::Local(file.path.clone()),
            (None, None) => Listed::Stored,
        }
    }
}

/// A code location that gets another deps PEX, by the names of both files.
struct Exchange {
    location: String,
    before: String,
    after: String,
    /// What the file `after` holds.
    listed: Listed,
}

/// Changes that are still being computed.
pub struct Search(Receiver<BTreeMap<String, DependencyChanges>>);

/// How long a finished deploy waits for a list that is only nice to have.
const PATIENCE: Duration = Duration::from_secs(10);

impl Search {
    /// Start to compute what changes in the dependencies of each code location, while the deploy goes on. `look` finds
    /// out which deps PEX a code location ran before.
    pub fn begin<Before: Fn(&str) -> Option<String>>(
        client: Client,
        plan: &Plan,
        built: &Built,
        look: impl FnOnce() -> Before + Send + 'static,
    ) -> Search {
        let files = plan.locations.iter().filter_map(|planned| {
            let (_, deps) = built.pair(planned)?;
            Some((planned.location.name.clone(), deps.name().to_string(), Listed::from_deps(deps)))
        });
        let files: Vec<_> = files.collect();
        let (sender, receiver) = std::sync::mpsc::channel();
        // Not a scoped thread: a slow registry must not hold up the end of the run.
        std::thread::spawn(move || {
            let before = look();
            let exchanges = files.into_iter().filter_map(|(location, after, listed)| {
                let before = before(&location).filter(|before| *before != after)?;
                Some(Exchange { location, before, after, listed })
            });
            let changes = changes(&client, &exchanges.collect::<Vec<_>>());
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
fn changes(client: &Client, exchanges: &[Exchange]) -> BTreeMap<String, DependencyChanges> {
    let mut files: BTreeSet<&str> = exchanges.iter().map(|one| one.before.as_str()).collect();
    files.extend(exchanges.iter().filter(|one| matches!(one.listed, Listed::Stored)).map(|one| &*one.after));
    let stored = read_stored(client, &files.into_iter().take(MOST_FILES).collect::<Vec<_>>());
    let compare = |exchange: &Exchange| {
        let local;
        let after = match &exchange.listed {
            Listed::Known(distributions) => distributions,
            Listed::Stored => stored.get(&exchange.after)?,
            Listed::Local(path) => {
                local = ok_or_detail(client, &exchange.after, read_local(path))?;
                &local
            }
        };
        let changes = DependencyChanges::between(&exchange.before, stored.get(&exchange.before)?, after);
        Some((exchange.location.clone(), changes))
    };
    exchanges.iter().filter_map(compare).collect()
}

/// What these files of the registry hold.
fn read_stored(client: &Client, files: &[&str]) -> BTreeMap<String, Distributions> {
    if files.is_empty() {
        return BTreeMap::new();
    }
    let urls = match client.presigned_urls(files, Method::Get) {
        Ok(urls) => urls,
        Err(error) => {
            client.host().detail(format!("{error}; the report does not say which dependencies changed"));
            return BTreeMap::new();
        }
    };
    let read = |name: &str, url: &PresignedUrl| {
        inspect::distributions(|span| match span {
            Span::Last(bytes) => client.piece(name, url, None, bytes),
            Span::At { start, bytes } => client.piece(name, url, Some(start), bytes),
        })
    };
    let named = files.iter().zip(&urls);
    named
        .filter_map(|(name, url)| Some((name.to_string(), ok_or_detail(client, name, read(name, url))?)))
        .collect()
}

fn read_local(path: &Path) -> Result<Distributions, InspectError<std::io::Error>> {
    let mut file = std::fs::File::open(path)?;
    inspect::distributions(|span| {
        let size = file.seek(SeekFrom::End(0))?;
        let (start, bytes) = match span {
            Span::Last(bytes) => (size.saturating_sub(bytes), bytes),
            Span::At { start, bytes } => (start, bytes),
        };
        file.seek(SeekFrom::Start(start))?;
        let mut piece = Vec::new();
        (&mut file).take(bytes).read_to_end(&mut piece)?;
        Ok((piece, size))
    })
}

/// The value; a failure is only a detail message.
fn ok_or_detail<T>(client: &Client, name: &str, result: Result<T, impl std::error::Error>) -> Option<T> {
    let tell = |error: &_| {
        client.host().detail(format!("could not list the distributions in {name}: {error}"));
    };
    result.inspect_err(tell).ok()
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
        let changes = DependencyChanges::between("deps-a.pex", &before, &after);
        let want = DependencyChanges {
            deps_pex_before: "deps-a.pex".into(),
            added: vec![("new".into(), "2".into())],
            removed: vec![("old".into(), "1".into())],
            changed: vec![("dagster".into(), "1.12.1".into(), "1.13.0".into())],
        };
        assert_eq!(changes, want);
        let text = serde_json::to_value(&changes).unwrap();
        assert_eq!(text["changed"][0], serde_json::json!(["dagster", "1.12.1", "1.13.0"]));
        assert_eq!(serde_json::from_value::<DependencyChanges>(text).unwrap(), want);
    }
}
