//! Finds distributions that are far older than their dependents allow.
//!
//! Without a lock, uv keeps the newest version of a package that it has already chosen, and goes back years in another
//! that has no upper bound: for `snowflake-connector-python==3.12.2` it keeps cryptography 46.0.0 and takes pyOpenSSL
//! 22.0.0, which cannot be imported with it. So uv resolves again, to see whether a newer version is possible.

use super::{Resolution, find, request};
use crate::project::{RequirementLine, Requirements};
use crate::target::Target;
use crate::tools::Tools;
use pep440_rs::Version;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// A difference of this many major versions is far.
const FAR: u64 = 2;
/// The same for minor versions, if the major version is 0.
const FAR_MINOR: u64 = 20;

/// Normalised name → the versions that each package that needs it allows (`>=1,<3`).
pub type Allowed = BTreeMap<String, Vec<String>>;

/// A distribution that could be newer. `Display` writes one sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OldPick {
    /// Name and version.
    pub picked: (String, String),
    /// The newest version that all dependents allow.
    pub allowed: String,
    /// The distributions that would get older: name, version now, version then.
    pub others: Vec<(String, String, String)>,
    /// The line to add.
    pub line: String,
}

impl fmt::Display for OldPick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, version) = &self.picked;
        let kept: Vec<String> = self.others.iter().map(|(name, now, _)| format!("{name} {now}")).collect();
        let then: Vec<String> = self.others.iter().map(|(name, _, then)| format!("{name} {then}")).collect();
        write!(
            f,
            "{name} {version} is far below {}, which everything that needs it allows: the resolver kept {} instead, and \
             they may not work together; add `{}` to the requirements to get {} with {name} {}",
            self.allowed,
            kept.join(" and "),
            self.line,
            then.join(" and "),
            self.allowed,
        )
    }
}

/// The distributions of `resolution` that are far older than `allowed`, if another resolution has newer ones.
pub fn old_picks(
    resolution: &Resolution,
    allowed: &Allowed,
    requirements: &Requirements,
    target: Target,
    tools: &Tools,
) -> Vec<OldPick> {
    let ask = |lines: Option<Vec<RequirementLine>>, limit: Option<&str>| {
        let mut asked = requirements.clone();
        let alone = lines.is_some();
        if let Some(lines) = lines {
            (asked.lines, asked.local_distributions) = (lines, Vec::new());
        }
        asked.settings.constraints.extend(limit.map(String::from));
        let mut request = request(&asked, target);
        request.no_dependencies = alone;
        find(&request, &asked, target, tools).ok()
    };
    let open = resolution.distributions.iter().filter_map(|one| {
        let versions = allowed.get(&one.name)?;
        // A pinned package cannot be newer.
        let exact = versions.iter().any(|text| text.contains("==") && !text.contains('*'));
        (!exact && one.version.is_some()).then(|| RequirementLine {
            text: format!("{}{}", one.name, versions.join(",")),
            name: Some(one.name.clone()),
            is_link: false,
            places: Vec::new(),
        })
    });
    let open: Vec<RequirementLine> = open.collect();
    let Some(newest) = (!open.is_empty()).then(|| ask(Some(open), None)).flatten() else { return Vec::new() };
    let pick = |one: &super::Distribution| {
        let (now, then) = (resolution.version_of(&one.name)?, one.version.as_deref()?);
        // The start of the newest major version: exactly the newest release would be too strict.
        let bound = far_above(&Version::from_str(now).ok()?, &Version::from_str(then).ok()?)?;
        let line = format!("{}>={bound}", one.name);
        let other = ask(None, Some(&line))?;
        let allowed = other.version_of(&one.name)?.to_string();
        let others = lower(resolution, &other);
        // Older Dagster packages are never a fix; [`super::behind`] reports those.
        let is_about_dagster = others.iter().any(|(name, ..)| name.starts_with("dagster"));
        (!others.is_empty() && !is_about_dagster).then(|| OldPick {
            picked: (one.name.clone(), now.to_string()),
            allowed,
            others,
            line,
        })
    };
    newest.distributions.iter().filter_map(pick).collect()
}

/// The lower bound to write, if `then` is far above `now`.
fn far_above(now: &Version, then: &Version) -> Option<String> {
    let at = |version: &Version, index: usize| version.release().get(index).copied().unwrap_or(0);
    match (at(now, 0), at(then, 0)) {
        (0, 0) if at(then, 1) >= at(now, 1) + FAR_MINOR => Some(format!("0.{}", at(then, 1))),
        (old, new) if new >= old + FAR => Some(new.to_string()),
        _ => None,
    }
}

/// The distributions that are older in `other`: name, version, version there.
fn lower(resolution: &Resolution, other: &Resolution) -> Vec<(String, String, String)> {
    let lower = |one: &super::Distribution| {
        let (now, then) = (one.version.as_deref()?, other.version_of(&one.name)?);
        let is_lower = Version::from_str(then).ok()? < Version::from_str(now).ok()?;
        is_lower.then(|| (one.name.clone(), now.to_string(), then.to_string()))
    };
    resolution.distributions.iter().filter_map(lower).collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::resolution_with;
    use super::*;

    #[test]
    fn two_first_numbers_are_far() {
        for (now, then, want) in [
            ("22.0.0", "24.3.0", Some("24")),
            ("1.26.4", "2.3", None),
            ("0.3", "0.30.1", Some("0.30")),
            ("0.20", "0.30", None),
            ("0.9", "2.0", Some("2")),
            ("4.0", "4.9", None),
        ] {
            let version = |text: &str| Version::from_str(text).unwrap();
            assert_eq!(far_above(&version(now), &version(then)).as_deref(), want, "{now} {then}");
        }
    }

    #[test]
    fn the_warning_names_both_and_the_line_to_write() {
        let now = resolution_with("cryptography 46.0.0, pyopenssl 22.0.0, six 1");
        let then = resolution_with("cryptography 44.0.3, pyopenssl 24.3.0, six 1");
        let pick = OldPick {
            picked: ("pyopenssl".into(), "22.0.0".into()),
            allowed: "24.3.0".into(),
            others: lower(&now, &then),
            line: "pyopenssl>=24".into(),
        };
        insta::assert_snapshot!(pick.to_string(), @"pyopenssl 22.0.0 is far below 24.3.0, which everything that needs it allows: the resolver kept cryptography 46.0.0 instead, and they may not work together; add `pyopenssl>=24` to the requirements to get cryptography 44.0.3 with pyopenssl 24.3.0");
    }
}
