//! Whether the distributions in a deps PEX satisfy each other. The agent checks the same when it loads the file.

use super::Chroot;
use crate::target::Target;
use crate::wheel::filename::normalized_name;
use crate::wheel::requirement::Link;
use pep440_rs::Version;
use pep508_rs::{ExtraName, Requirement, VersionOrUrl};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

/// A requirement of a distribution that is not satisfied. `Display` writes one line.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Gap {
    /// A dependency is missing.
    Missing {
        /// `Name==Version` of the one that asks.
        by: String,
        /// What it asks for.
        requirement: String,
    },
    /// A dependency has a version that the requirement excludes.
    Version {
        /// `Name==Version` of the one that asks.
        by: String,
        /// What it asks for.
        requirement: String,
        /// The version in the PEX.
        found: Version,
    },
    /// A distribution does not support this Python.
    Python {
        /// `Name==Version`.
        by: String,
        /// Its `Requires-Python`.
        requires: String,
        /// The target's Python.
        python: String,
    },
}

impl Gap {
    /// Normalised name of the distribution that asks.
    pub(super) fn name(&self) -> String {
        let (Gap::Missing { by, .. } | Gap::Version { by, .. } | Gap::Python { by, .. }) = self;
        normalized_name(by.split("==").next().unwrap_or(by))
    }
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Gap::Missing { by, requirement } => write!(f, "{by} requires `{requirement}`, which is missing"),
            Gap::Version { by, requirement, found } => {
                write!(f, "{by} requires `{requirement}`, but the version is {found}")
            }
            Gap::Python { by, requires, python } => {
                write!(f, "{by} requires Python {requires}, but the target has {python}")
            }
        }
    }
}

/// `Name==Version` of a chroot.
pub(super) fn pin(chroot: &Chroot) -> String {
    format!("{}=={}", chroot.metadata().name, chroot.metadata().version)
}

/// Check every dependency of every chroot, with the extras that dependencies ask for.
pub(super) fn gaps(chroots: &[&Chroot], target: &Target) -> Vec<Gap> {
    let environment = target.marker_environment();
    let by_name: BTreeMap<String, &Chroot> =
        chroots.iter().map(|chroot| (chroot.metadata().normalized_name(), *chroot)).collect();
    let mut gaps: BTreeSet<Gap> = chroots.iter().filter_map(|chroot| python_gap(chroot, target)).collect();
    // Each chroot is visited once without extras, and once for each extra that a requirement names.
    let mut open: Vec<(&Chroot, Vec<ExtraName>)> =
        chroots.iter().map(|chroot| (*chroot, Vec::new())).collect();
    let mut seen = BTreeSet::new();
    while let Some((chroot, extras)) = open.pop() {
        let applies = |requirement: &&Requirement<Link>| requirement.marker.evaluate(&environment, &extras);
        for requirement in chroot.metadata().requires_dist.iter().filter(applies) {
            let Some(found) = by_name.get(requirement.name.as_ref()) else {
                gaps.insert(Gap::Missing { by: pin(chroot), requirement: without_marker(requirement) });
                continue;
            };
            if !satisfies(&found.metadata().version, requirement) {
                gaps.insert(Gap::Version {
                    by: pin(chroot),
                    requirement: without_marker(requirement),
                    found: found.metadata().version.clone(),
                });
            }
            for extra in &requirement.extras {
                if seen.insert((requirement.name.clone(), extra.clone())) {
                    open.push((found, vec![extra.clone()]));
                }
            }
        }
    }
    gaps.into_iter().collect()
}

/// Whether a version satisfies a requirement. Pre-releases count, as for the agent.
fn satisfies(version: &Version, requirement: &Requirement<Link>) -> bool {
    match &requirement.version_or_url {
        Some(VersionOrUrl::VersionSpecifier(specifiers)) => specifiers.contains(version),
        // A URL was resolved to exactly this file, so there is no version to compare.
        Some(VersionOrUrl::Url(_)) | None => true,
    }
}

fn without_marker(requirement: &Requirement<Link>) -> String {
    let text = requirement.to_string();
    text.split(" ;").next().unwrap_or_default().to_string()
}

fn python_gap(chroot: &Chroot, target: &Target) -> Option<Gap> {
    let requires = chroot.metadata().requires_python.as_ref()?;
    let version = Version::from_str(target.python.full()).ok()?;
    (!requires.contains(&version)).then(|| Gap::Python {
        by: pin(chroot),
        requires: requires.to_string(),
        python: target.python.full().to_string(),
    })
}
