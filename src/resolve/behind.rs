//! Finds a dagster that is far behind the newest release because a line for another package excludes newer ones.
//!
//! uv then goes back years in all of Dagster's packages (`grpcio<1.44` leads to dagster 1.1.21 of 2023). That answer is
//! valid and rarely intended. So uv resolves again with only the lines for Dagster's packages.

use super::mentioned::Mentioned;
use super::releases::{self, NEEDED};
use super::{Resolution, ResolveError, find, request};
use crate::project::{RequirementLine, Requirements};
use crate::target::Target;
use crate::tools::{Tools, UvError};
use pep440_rs::{Operator, Version};
use pep508_rs::VersionOrUrl;
use std::fmt;
use std::str::FromStr;

/// A difference of this many minor versions is far.
const FAR: u64 = 12;

/// A dagster that could be far newer. `Display` writes one sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Behind {
    /// Version that was resolved.
    pub version: String,
    /// Version that the lines for Dagster's packages lead to.
    pub newest: String,
    /// The lines that hold it back, each with its place; `None` if uv finds a newer version when asked for it.
    pub lines: Option<Vec<String>>,
}

impl fmt::Display for Behind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Behind { version, newest, lines } = self;
        let meant = format!("or write `dagster=={version}` if that version is intended");
        write!(
            f,
            "dagster {version} is far behind {newest}, which the lines for Dagster's packages allow: "
        )?;
        match lines.as_deref() {
            None => write!(f, "add `dagster>={newest}` to the requirements to get that, {meant}"),
            Some([]) => {
                write!(f, "something else holds it back; add `dagster>={newest}` to see what, {meant}")
            }
            Some([only]) => write!(f, "{only} holds it back; change that line, {meant}"),
            Some(lines) => write!(f, "{} hold it back; change these lines, {meant}", lines.join(" and ")),
        }
    }
}

/// Whether dagster is far behind in `resolution` although the lines for it allow a newer one. `None` with a lock.
pub fn behind(
    resolution: &Resolution,
    requirements: &Requirements,
    target: Target,
    tools: &Tools,
) -> Option<Behind> {
    if requirements.lock.is_some() || is_pinned(requirements) || !has_others(requirements) {
        return None;
    }
    let ask = |asked: &Requirements, limits: &[String], alone: bool| {
        let mut asked = asked.clone();
        asked.settings.constraints.extend_from_slice(limits);
        let mut request = request(&asked, target);
        request.no_dependencies = alone;
        find(&request, &asked, target, tools)
    };
    let own = own_lines(requirements);
    let version = resolution.version_of("dagster")?.to_string();
    let newer = |found: &Resolution| {
        found.version_of("dagster").filter(|newest| is_far(&version, newest)).map(str::to_string)
    };
    // A cheap question first, which needs one page of the index: is there a newer release at all?
    newer(&ask(&own, &[], true).ok()?)?;
    let found = releases::in_step(ask(&own, &[], false).ok()?, &|limits| ask(&own, limits, false).ok())?;
    let newest = newer(&found)?;
    let limits = NEEDED.iter().filter_map(|name| Some(format!("{name}>={}", found.version_of(name)?)));
    let lines = match ask(requirements, &limits.collect::<Vec<_>>(), false) {
        Ok(_) => None,
        Err(ResolveError::Uv(UvError::Project { source, .. })) => {
            Some(Mentioned::in_error(&source, requirements).for_others())
        }
        // The network, for example. A warning is not worth an error.
        Err(_) => return None,
    };
    Some(Behind { version, newest, lines })
}

/// Whether anything other than their own lines could hold Dagster's packages back.
fn has_others(requirements: &Requirements) -> bool {
    let lines = requirements.lines.iter().map(|line| &line.text).chain(&requirements.settings.constraints);
    !requirements.local_distributions.is_empty()
        || lines.into_iter().any(|line| releases::dagsters(line).is_none())
}

/// Whether a line pins the release of dagster.
fn is_pinned(requirements: &Requirements) -> bool {
    let settings = &requirements.settings;
    let lines = requirements.lines.iter().map(|line| &line.text);
    let mut lines = lines.chain(&settings.constraints).chain(&settings.overrides);
    lines.any(|line| {
        let requirement = releases::dagsters(line);
        requirement.is_some_and(|requirement| match requirement.version_or_url {
            Some(VersionOrUrl::VersionSpecifier(versions)) => {
                let exact = [Operator::Equal, Operator::ExactEqual];
                releases::is_released_with_dagster(requirement.name.as_ref())
                    && versions.iter().any(|one| exact.contains(one.operator()))
            }
            Some(VersionOrUrl::Url(_)) => requirement.name.as_ref() == "dagster",
            None => false,
        })
    })
}

/// The lines and constraints for Dagster's packages, and dagster itself.
fn own_lines(requirements: &Requirements) -> Requirements {
    let mut own = requirements.clone();
    own.local_distributions.clear();
    own.lines.retain(|line| releases::dagsters(&line.text).is_some());
    own.lines.push(RequirementLine::bare("dagster"));
    own.settings.constraints.retain(|line| releases::dagsters(line).is_some());
    own
}

/// A major version behind, or [`FAR`] minor ones.
fn is_far(now: &str, then: &str) -> bool {
    let numbers = |text: &str| {
        let version = Version::from_str(text).ok()?;
        let at = |index: usize| version.release().get(index).copied().unwrap_or(0);
        Some((at(0), at(1)))
    };
    let (Some(now), Some(then)) = (numbers(now), numbers(then)) else { return false };
    then.0 > now.0 || (then.0 == now.0 && then.1 >= now.1 + FAR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dozen_minors_or_a_major_is_far() {
        for (now, then, want) in [
            ("1.1.21", "1.13.27", true),
            ("1.2.0", "1.13.27", false),
            ("0.15.8", "1.0.0", true),
            ("1.13.27", "1.13.29", false),
            ("1.13.27", "1.1.21", false),
        ] {
            assert_eq!(is_far(now, then), want, "{now} {then}");
        }
    }

    #[test]
    fn a_pinned_release_is_not_behind() {
        for (lines, want) in [
            (vec!["dagster", "dagster-cloud", "grpcio==1.43"], false),
            (vec!["dagster>=1", "dagster-cloud<2"], false),
            (vec!["dagster==1.1.21", "dagster-cloud"], true),
            (vec!["dagster", "dagster-aws==0.17.*"], false),
            (vec!["dagster", "dagster-aws==0.17.21"], true),
            (vec!["dagster @ git+https://h/dagster", "dagster-cloud"], true),
        ] {
            let requirements = Requirements {
                lines: lines.iter().map(|line| RequirementLine::bare(line)).collect(),
                ..Requirements::default()
            };
            assert_eq!(is_pinned(&requirements), want, "{lines:?}");
        }
    }

    #[test]
    fn the_warning_names_what_holds_it_back() {
        let behind = |lines: Option<Vec<&str>>| {
            let lines = lines.map(|lines| lines.into_iter().map(String::from).collect());
            Behind { version: "1.1.21".into(), newest: "1.13.27".into(), lines }.to_string()
        };
        insta::assert_snapshot!(behind(Some(vec!["`grpcio<1.44` (requirements.txt:3)"])), @"dagster 1.1.21 is far behind 1.13.27, which the lines for Dagster's packages allow: `grpcio<1.44` (requirements.txt:3) holds it back; change that line, or write `dagster==1.1.21` if that version is intended");
        insta::assert_snapshot!(behind(Some(vec!["`a<1` (r.txt:1)", "`b<2` (r.txt:2)"])), @"dagster 1.1.21 is far behind 1.13.27, which the lines for Dagster's packages allow: `a<1` (r.txt:1) and `b<2` (r.txt:2) hold it back; change these lines, or write `dagster==1.1.21` if that version is intended");
        insta::assert_snapshot!(behind(None), @"dagster 1.1.21 is far behind 1.13.27, which the lines for Dagster's packages allow: add `dagster>=1.13.27` to the requirements to get that, or write `dagster==1.1.21` if that version is intended");
    }
}
