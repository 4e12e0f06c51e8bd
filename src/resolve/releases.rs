//! Whether dagster and the packages that are released with it are of one release, and which release they all have.
//!
//! Old releases of dagster-cloud set no upper bound on dagster, so a resolver that is held to a dagster that has no
//! dagster-cloud yet walks back for years to one that cannot be imported with it; nor do old releases of the libraries.
//! The newest common release is found by the same resolver, with limits on the member that is ahead or behind; nothing
//! here asks an index itself. Source: dependencies of dagster-cloud 0.11 to 1.13 and of the packages that it pins.

use super::libraries::{LIBRARIES, is_library};
use super::{Artifact, Resolution};
use crate::wheel::requirement::{self, Link};
use pep440_rs::Version;
use pep508_rs::{Requirement, VersionOrUrl};
use std::str::FromStr;

/// Released together under one number. Source: the pins of dagster and dagster-cloud 1.13.27.
const FAMILY: [&str; 7] = [
    "dagster",
    "dagster-cloud",
    "dagster-cloud-cli",
    "dagster-graphql",
    "dagster-pipes",
    "dagster-shared",
    "dagster-webserver",
];
/// What a code location cannot do without: the server of the code location, and what its runs import.
pub const NEEDED: [&str; 2] = ["dagster", "dagster-cloud"];
/// So many limits are tried; one is enough in each case seen.
const MAX_LIMITS: usize = 6;

/// Two members that are not of one release.
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

/// How much a package decides which release it is: dagster first, then what is released with it, then libraries.
pub fn rank(name: &str) -> usize {
    FAMILY.iter().position(|member| *member == name).unwrap_or(FAMILY.len())
}

/// Of lines that cannot be met together those to name, or none where they do not speak of releases: a single line for a
/// library asks for a version that does not exist, and uv says so. A line without versions beside one with versions for
/// the same package says nothing. Those that decide come first: lines with versions, and dagster's before others.
pub fn named(mut lines: Vec<String>) -> Vec<String> {
    let name = |line: &String| dagsters(line).map(|requirement| requirement.name.to_string());
    let limited: Vec<_> = lines.iter().filter(|line| relaxed(line).is_some()).map(name).collect();
    lines.retain(|line| relaxed(line).is_some() || !limited.contains(&name(line)));
    let place = |line: &String| (relaxed(line).is_none(), dagsters(line).map(|one| rank(one.name.as_ref())));
    lines.sort_by_key(|line| (place(line), line.clone()));
    lines.dedup();
    match lines.as_slice() {
        [only] if !name(only).is_some_and(|name| is_member(&name)) => Vec::new(),
        _ => lines,
    }
}

/// The first package that is not of dagster's release, or a pre-release beside a dagster that is none. A library from a
/// repository has whatever number its branch has.
pub fn out_of_step(resolution: &Resolution) -> Option<OutOfStep> {
    out_of_step_of(&|name| {
        let one = resolution.distributions.iter().find(|one| one.name == name)?;
        let is_branch = is_library(name) && matches!(one.artifact, Artifact::Git { .. });
        let version = one.version.as_deref().filter(|_| !is_branch)?;
        Version::from_str(version).ok()
    })
}

/// The same of versions by name.
pub fn out_of_step_of(version_of: &dyn Fn(&str) -> Option<Version>) -> Option<OutOfStep> {
    let member = |name: &&str| Some((name.to_string(), version_of(name)?));
    let dagster = member(&"dagster")?;
    let release = release_of(&dagster);
    let mut others = FAMILY[1..].iter().chain(&LIBRARIES).filter_map(member);
    let odd = others.find(|other| release_of(other) != release && !is_numbered_for_itself(other))?;
    let (newer, older) = if release_of(&odd) > release { (odd, dagster) } else { (dagster, odd) };
    Some(OutOfStep { newer, older })
}

/// Epoch and first three numbers of the dagster of the same release. Libraries have 0.(N+16) for dagster 1.N, and so had
/// dagster-shared up to dagster 1.10.17.
fn release_of((name, version): &(String, Version)) -> [u64; 4] {
    let at = |index: usize| version.release().get(index).copied().unwrap_or(0);
    match [version.epoch(), at(0), at(1), at(2)] {
        [epoch, 0, minor, micro] if minor >= 16 && (name == "dagster-shared" || is_library(name)) => {
            [epoch, 1, minor - 16, micro]
        }
        numbers => numbers,
    }
}

/// The first releases of some libraries were 0.0.x or 0.1.x (dagster-hightouch), whatever dagster was.
fn is_numbered_for_itself((name, version): &(String, Version)) -> bool {
    is_library(name) && matches!(version.release(), [0, 0 | 1, ..] | [0])
}

/// The resolution in which all members are of one release, beginning with what the resolver gave without limits. `ask`
/// is the resolver: its answer with these further limits, or `None` when there is none, or none that can be had now.
pub fn in_step(first: Resolution, ask: &dyn Fn(&[String]) -> Option<Resolution>) -> Option<Resolution> {
    let mut found = first;
    let mut limits = Vec::new();
    while let Some(OutOfStep { newer, older }) = out_of_step(&found) {
        if limits.len() == MAX_LIMITS {
            return None;
        }
        let further = [above(&older), format!("{}<{}", newer.0, base(&newer.1))];
        found = further.into_iter().find_map(|limit| {
            limits.push(limit);
            let found = ask(&limits);
            if found.is_none() {
                limits.pop();
            }
            found
        })?;
    }
    Some(found)
}

/// A limit that excludes this version and what is older, and lets no pre-release in by naming one.
fn above((name, version): &(String, Version)) -> String {
    let operator = if version.is_stable() { ">" } else { ">=" };
    format!("{name}{operator}{}", base(version))
}

fn base(version: &Version) -> Version {
    version.only_release().with_epoch(version.epoch())
}

/// The line without versions, if it is of one of Dagster's packages and has some.
pub fn relaxed(line: &str) -> Option<String> {
    let requirement = dagsters(line)?;
    let has_versions = matches!(requirement.version_or_url, Some(VersionOrUrl::VersionSpecifier(_)));
    has_versions.then(|| Requirement { version_or_url: None, ..requirement }.to_string())
}

/// The requirement, if it is of dagster, a member or a library.
pub fn dagsters(line: &str) -> Option<Requirement<Link>> {
    requirement::check(line).ok()?;
    let requirement = Requirement::<Link>::from_str(line).ok()?;
    let name = requirement.name.as_ref();
    (name == "dagster" || name.starts_with("dagster-") || is_library(name)).then_some(requirement)
}

#[cfg(test)]
mod tests {
    use super::super::testing::resolution_of;
    use super::*;

    #[test]
    fn what_is_released_together_has_one_number() {
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
            let found = out_of_step(&resolution_of(pins));
            let text = found.map(|OutOfStep { newer, older }| {
                format!("{} {} > {} {}", newer.0, newer.1, older.0, older.1)
            });
            assert_eq!(text.as_deref(), want, "{pins}");
        }
    }

    #[test]
    fn the_newest_common_release_is_found_by_a_limit_on_the_older_one() {
        let first = resolution_of("dagster 1.13.29, dagster-cloud 0.11.14rc8");
        let ask = |limits: &[String]| {
            (limits == ["dagster-cloud>=0.11.14"])
                .then(|| resolution_of("dagster 1.13.27, dagster-cloud 1.13.27"))
        };
        let free = in_step(first.clone(), &ask).unwrap();
        assert_eq!(free.version_of("dagster-cloud"), Some("1.13.27"));
        assert!(in_step(first, &|_| None).is_none());
    }

    #[test]
    fn a_dagster_cloud_that_is_ahead_is_limited_from_above() {
        let ask = |limits: &[String]| {
            (limits == ["dagster-cloud<1.13.29"])
                .then(|| resolution_of("dagster 1.13.27, dagster-cloud 1.13.27"))
        };
        assert!(in_step(resolution_of("dagster 1.13.27, dagster-cloud 1.13.29"), &ask).is_some());
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
