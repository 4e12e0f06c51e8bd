//! Checks that dagster and the packages released with it have one release, and finds the newest common release.
//!
//! Old releases of dagster-cloud and of the libraries set no upper bound on dagster. If dagster is pinned to a release
//! that dagster-cloud does not have yet, the resolver goes back years to a dagster-cloud that cannot be imported with
//! it. The newest common release is found with the same resolver and limits on the package that is ahead or behind; no
//! index is asked directly. Source: dependencies of dagster-cloud 0.11 to 1.13 and of the packages that it pins.

use super::libraries::{LIBRARIES, is_library};
use super::{Artifact, Resolution};
use crate::wheel::requirement::{self, Link};
use pep440_rs::Version;
use pep508_rs::{Requirement, VersionOrUrl};
use std::str::FromStr;

/// Packages released together with one version number. Source: the pins of dagster and dagster-cloud 1.13.27.
const FAMILY: [&str; 7] = [
    "dagster",
    "dagster-cloud",
    "dagster-cloud-cli",
    "dagster-graphql",
    "dagster-pipes",
    "dagster-shared",
    "dagster-webserver",
];
/// Packages that every code location needs: its server, and what its runs import.
pub const NEEDED: [&str; 2] = ["dagster", "dagster-cloud"];
/// The most limits that are tried. One was enough in every case seen.
const MAX_LIMITS: usize = 6;

/// Two packages with different releases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutOfStep {
    /// Name and version of the newer one.
    pub newer: (String, Version),
    /// Name and version of the older one.
    pub older: (String, Version),
}

/// Whether this is a package of the family.
pub fn is_member(name: &str) -> bool {
    FAMILY.contains(&name)
}

/// Whether this is a package of the family or one of the libraries.
pub fn is_released_with_dagster(name: &str) -> bool {
    is_member(name) || is_library(name)
}

/// How much a package decides about the release: dagster first, then its family, then libraries.
pub fn rank(name: &str) -> usize {
    FAMILY.iter().position(|member| *member == name).unwrap_or(FAMILY.len())
}

/// The lines to name among conflicting ones. Empty for a single line for a library: its version does not exist, and uv
/// says so. A line without versions is dropped if the same package has one with versions. Lines with versions come
/// first, and dagster before others.
pub fn named(mut lines: Vec<String>) -> Vec<String> {
    let name = |line: &String| dagsters(line).map(|requirement| requirement.name.to_string());
    let limited: Vec<_> = lines.iter().filter(|line| relaxed(line).is_some()).map(name).collect();
    lines.retain(|line| relaxed(line).is_some() || !limited.contains(&name(line)));
    let place = |line: &String| (relaxed(line).is_none(), dagsters(line).map(|one| rank(one.name.as_ref())));
    // The text too, so that the message does not depend on the order in the files.
    lines.sort_by_key(|line| (place(line), line.clone()));
    lines.dedup();
    match lines.as_slice() {
        [only] if !name(only).is_some_and(|name| is_member(&name)) => Vec::new(),
        _ => lines,
    }
}

/// The first package with a release other than dagster's. Libraries from a repository do not count: their branch may
/// have any number.
pub fn out_of_step(resolution: &Resolution) -> Option<OutOfStep> {
    out_of_step_by(&|name| {
        let one = resolution.distributions.iter().find(|one| one.name == name)?;
        let is_branch = is_library(name) && matches!(one.artifact, Artifact::Git { .. });
        let version = one.version.as_deref().filter(|_| !is_branch)?;
        Version::from_str(version).ok()
    })
}

/// The same for versions by name.
pub fn out_of_step_by(version_of: &dyn Fn(&str) -> Option<Version>) -> Option<OutOfStep> {
    let member = |name: &&str| Some((name.to_string(), version_of(name)?));
    let dagster = member(&"dagster")?;
    let release = dagster_release(&dagster);
    let mut others = FAMILY[1..].iter().chain(&LIBRARIES).filter_map(member);
    let odd = others.find(|other| dagster_release(other) != release && !is_numbered_for_itself(other))?;
    let (newer, older) = if dagster_release(&odd) > release { (odd, dagster) } else { (dagster, odd) };
    Some(OutOfStep { newer, older })
}

/// Epoch and first three numbers of the matching dagster. Libraries have 0.(N+16) for dagster 1.N, as dagster-shared
/// had up to dagster 1.10.17.
fn dagster_release((name, version): &(String, Version)) -> [u64; 4] {
    let at = |index: usize| version.release().get(index).copied().unwrap_or(0);
    match [version.epoch(), at(0), at(1), at(2)] {
        [epoch, 0, minor, micro] if minor >= 16 && (name == "dagster-shared" || is_library(name)) => {
            [epoch, 1, minor - 16, micro]
        }
        numbers => numbers,
    }
}

/// The first releases of some libraries (dagster-hightouch) were 0.0.x or 0.1.x, with any dagster.
fn is_numbered_for_itself((name, version): &(String, Version)) -> bool {
    is_library(name) && matches!(version.release(), [0, 0 | 1, ..] | [0])
}

/// The resolution in which all packages have one release, starting from the resolver's answer without limits. `ask` is
/// the resolver: it returns the answer with additional limits, or `None` if there is none.
pub fn in_step(first: Resolution, ask: &dyn Fn(&[String]) -> Option<Resolution>) -> Option<Resolution> {
    let mut found = first;
    let mut limits = Vec::new();
    while let Some(OutOfStep { newer, older }) = out_of_step(&found) {
        // Each limit costs a run of the resolver.
        if limits.len() == MAX_LIMITS {
            return None;
        }
        // A newer release of the older package is tried first: going back is the last resort.
        let further = [above(&older), format!("{}<{}", newer.0, base(&newer.1))];
        found = further.into_iter().find_map(|limit| {
            limits.push(limit);
            let found = ask(&limits);
            if found.is_none() {
                // This limit had no solution, so the other one is tried without it.
                limits.pop();
            }
            found
        })?;
    }
    Some(found)
}

/// A limit that excludes this version and older ones. It must not name a pre-release, as that would allow pre-releases.
fn above((name, version): &(String, Version)) -> String {
    let operator = if version.is_stable() { ">" } else { ">=" };
    format!("{name}{operator}{}", base(version))
}

fn base(version: &Version) -> Version {
    version.only_release().with_epoch(version.epoch())
}

/// The line without its versions, if it has some and is for one of Dagster's packages.
pub fn relaxed(line: &str) -> Option<String> {
    let requirement = dagsters(line)?;
    let has_versions = matches!(requirement.version_or_url, Some(VersionOrUrl::VersionSpecifier(_)));
    has_versions.then(|| Requirement { version_or_url: None, ..requirement }.to_string())
}

/// The requirement, if it is for dagster, its family or a library.
pub fn dagsters(line: &str) -> Option<Requirement<Link>> {
    requirement::check(line).ok()?;
    let requirement = Requirement::<Link>::from_str(line).ok()?;
    let name = requirement.name.as_ref();
    (name == "dagster" || name.starts_with("dagster-") || is_library(name)).then_some(requirement)
}

#[cfg(test)]
mod tests {
    use super::super::testing::resolution_with;
    use super::*;

    #[test]
    fn packages_of_one_release_have_one_number() {
        for (pins, want) in [
            ("dagster 1.13.27, dagster-cloud 1.13.27, dagster-cloud-cli 1.13.27", None),
            ("dagster 1.10.6, dagster-cloud 1.10.6, dagster-shared 0.26.6", None),
            ("dagster 1.13.0, dagster-cloud 1.13", None),
            ("dagster 1.13.27, dagster-aws 0.29.27, dagstermill 0.29.27, dagster-polars 0.27.12", None),
            ("dagster 1.8.5, dagster-sigma 0.0.5", None),
            ("dagster 1.8.5, dagster-hightouch 0.1.1", None),
            ("dagster 0.15.8, dagster-aws 0.15.8", None),
            ("dagster 1.13.27, dagster-aws 0.11.14", Some("dagster 1.13.27 > dagster-aws 0.11.14")),
            ("dagster 1.13.27, dagster-aws 0.29.26", Some("dagster 1.13.27 > dagster-aws 0.29.26")),
            ("dagster 1.13.27, dagster-dbt 0.29.28", Some("dagster-dbt 0.29.28 > dagster 1.13.27")),
            ("dagster 1.13.30rc1, dagster-cloud 1.13.30rc1", None),
            ("dagster 1.13.29, dagster-cloud 0.11.14rc8", Some("dagster 1.13.29 > dagster-cloud 0.11.14rc8")),
            ("dagster 1.13.27, dagster-cloud 1.13.29", Some("dagster-cloud 1.13.29 > dagster 1.13.27")),
            (
                "dagster 1.13.27, dagster-cloud 1.13.27, dagster-shared 1.13.26",
                Some("dagster 1.13.27 > dagster-shared 1.13.26"),
            ),
            ("dagster 1!0, dagster-cloud 0.11.14rc8", Some("dagster 1!0 > dagster-cloud 0.11.14rc8")),
        ] {
            let found = out_of_step(&resolution_with(pins));
            let text = found.map(|OutOfStep { newer, older }| {
                format!("{} {} > {} {}", newer.0, newer.1, older.0, older.1)
            });
            assert_eq!(text.as_deref(), want, "{pins}");
        }
    }

    #[test]
    fn the_newest_common_release_is_found_by_a_limit_on_the_older_one() {
        let first = resolution_with("dagster 1.13.29, dagster-cloud 0.11.14rc8");
        let ask = |limits: &[String]| {
            (limits == ["dagster-cloud>=0.11.14"])
                .then(|| resolution_with("dagster 1.13.27, dagster-cloud 1.13.27"))
        };
        let free = in_step(first.clone(), &ask).unwrap();
        assert_eq!(free.version_of("dagster-cloud"), Some("1.13.27"));
        assert!(in_step(first, &|_| None).is_none());
    }

    #[test]
    fn a_dagster_cloud_that_is_ahead_is_limited_from_above() {
        let ask = |limits: &[String]| {
            (limits == ["dagster-cloud<1.13.29"])
                .then(|| resolution_with("dagster 1.13.27, dagster-cloud 1.13.27"))
        };
        assert!(in_step(resolution_with("dagster 1.13.27, dagster-cloud 1.13.29"), &ask).is_some());
    }

    #[test]
    fn lines_that_contradict_each_other_are_named_and_a_lone_library_is_not() {
        for (lines, want) in [
            (vec!["dagster==1.13.28", "dagster-cloud==1.13.27"], "dagster==1.13.28 dagster-cloud==1.13.27"),
            (vec!["dagster==1.7.10", "dagster-dg-cli"], "dagster==1.7.10 dagster-dg-cli"),
            (vec!["dagster==1", "dagster-dbt", "dagster-dbt<0.20"], "dagster==1 dagster-dbt<0.20"),
            (vec!["dagster-cloud==1.13.29"], "dagster-cloud==1.13.29"),
            (vec!["dagster-dbt>=0.30"], ""),
            (vec!["dagster-dbt", "dagster-dbt>=0.30"], ""),
            (vec![], ""),
        ] {
            let lines = lines.into_iter().map(String::from).collect();
            assert_eq!(named(lines).join(" "), want);
        }
    }

    #[test]
    fn a_line_is_relaxed_only_where_it_has_versions() {
        for (line, without) in [
            ("dagster==1.13.29", Some("dagster")),
            ("dagster-aws[ecs]>=0.29.28", Some("dagster-aws[ecs]")),
            ("dagster-cloud", None),
            ("dagster @ git+https://h/dagster", None),
            ("pandas==3", None),
        ] {
            assert_eq!(relaxed(line).as_deref(), without, "{line}");
        }
    }
}
