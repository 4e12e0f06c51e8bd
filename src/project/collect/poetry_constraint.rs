//! Poetry's version constraints, written as PEP 440 specifiers and PEP 508 markers.
//!
//! Source: Poetry's documentation, "Dependency specification" (`^`, `~`, `*`, comparisons, `,` and ` ` for and, `||`
//! for or); the number of components of an upper bound is as poetry-core writes it into metadata.

use pep440_rs::{Version, VersionSpecifiers};
use std::ops::Bound;
use std::str::FromStr;

/// A constraint, converted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Converted {
    /// PEP 440 specifiers, joined by commas; empty for any version.
    pub(super) specifiers: String,
    /// Whether it allows less than the constraint, because no specifier can say it.
    pub(super) narrowed: bool,
}

/// Convert a constraint on a package's version.
///
/// # Errors
/// What is wrong with it.
pub(super) fn specifiers(constraint: &str) -> Result<Converted, String> {
    let alternatives = alternatives(constraint)?;
    if alternatives.iter().any(Vec::is_empty) {
        return Ok(Converted { specifiers: String::new(), narrowed: false });
    }
    if let [only] = alternatives.as_slice() {
        return Ok(Converted { specifiers: only.join(","), narrowed: false });
    }
    if let Some(specifiers) = union(&alternatives) {
        return Ok(Converted { specifiers, narrowed: false });
    }
    let newest = alternatives.iter().max_by_key(|terms| interval(terms).map(|(low, _)| version_of(&low)));
    Ok(Converted { specifiers: newest.map(|terms| terms.join(",")).unwrap_or_default(), narrowed: true })
}

/// Convert a constraint on the Python version into a marker; `None` for any version.
///
/// # Errors
/// What is wrong with it.
pub(super) fn python_marker(constraint: &str) -> Result<Option<String>, String> {
    let alternatives = alternatives(constraint)?;
    if alternatives.iter().any(Vec::is_empty) {
        return Ok(None);
    }
    let several = alternatives.len() > 1;
    let markers = alternatives.iter().map(|terms| {
        let marker = terms.iter().map(|term| python_term(term)).collect::<Vec<_>>().join(" and ");
        if several && terms.len() > 1 { format!("({marker})") } else { marker }
    });
    Ok(Some(markers.collect::<Vec<_>>().join(" or ")))
}

/// Convert a constraint on the Python version into specifiers, one of which has to hold.
///
/// # Errors
/// What is wrong with it.
pub(super) fn python_specifiers(constraint: &str) -> Result<Vec<VersionSpecifiers>, String> {
    alternatives(constraint)?
        .into_iter()
        .map(|terms| VersionSpecifiers::from_str(&terms.join(",")).map_err(|error| error.to_string()))
        .collect()
}

/// `>=3.9` → `python_version >= "3.9"`; a patch version, or an edge inside a minor, needs the full version.
fn python_term(term: &str) -> String {
    let (operator, version) = split_operator(term);
    let (version, star) = version.strip_suffix(".*").map_or((version, false), |version| (version, true));
    let components = version.split('.').count();
    match (operator, components) {
        ("==" | "!=", 1) if star => {
            let next = version.parse::<u32>().map(|major| major + 1).unwrap_or(u32::MAX);
            let (low, high, join) = if operator == "==" { (">=", "<", "and") } else { ("<", ">=", "or") };
            format!("python_version {low} \"{version}\" {join} python_version {high} \"{next}\"")
        }
        (">" | "<=", 1 | 2) => format!("python_full_version {operator} \"{version}.0\""),
        (_, 1 | 2) => format!("python_version {operator} \"{version}\""),
        _ if star => format!("python_full_version {operator} \"{version}.*\""),
        _ => format!("python_full_version {operator} \"{version}\""),
    }
}

/// Each alternative of `||` as a list of PEP 440 specifiers that all hold; an empty list is any version.
fn alternatives(constraint: &str) -> Result<Vec<Vec<String>>, String> {
    constraint
        .replace("||", "|")
        .split('|')
        .map(|part| {
            let mut terms = Vec::new();
            for term in conjuncts(part) {
                terms.extend(convert_term(&term).map_err(|problem| {
                    format!("`{constraint}` is not a version constraint of Poetry: {problem}")
                })?);
            }
            Ok(terms)
        })
        .collect()
}

/// Split at commas and at spaces that are not between an operator and its version.
fn conjuncts(part: &str) -> Vec<String> {
    let mut terms: Vec<String> = Vec::new();
    for word in part.split(|each: char| each == ',' || each.is_whitespace()).filter(|word| !word.is_empty()) {
        match terms.last_mut() {
            Some(last) if last.ends_with(['<', '>', '=', '^', '~', '!']) => last.push_str(word),
            _ => terms.push(word.to_string()),
        }
    }
    terms
}

fn convert_term(term: &str) -> Result<Vec<String>, String> {
    if term.split('.').all(|part| matches!(part, "*" | "x" | "X")) {
        return Ok(Vec::new());
    }
    let (operator, version) = split_operator(term);
    let version = version.trim_start_matches(['v', 'V']);
    let stars = version.replace(".x", ".*").replace(".X", ".*");
    if let Some(base) = stars.split(".*").next().filter(|_| stars.contains(".*")) {
        parse(base)?;
        return match operator {
            "" | "==" | "=" => Ok(vec![format!("=={base}.*")]),
            "!=" | "<>" => Ok(vec![format!("!={base}.*")]),
            "^" | "~" | "~=" | ">=" | ">" | "<" | "<=" => convert_term(&format!("{operator}{base}")),
            other => Err(format!("`{other}` before `{version}`")),
        };
    }
    let parsed = parse(version)?;
    let release = parsed.release();
    let epoch = if parsed.epoch() == 0 { String::new() } else { format!("{}!", parsed.epoch()) };
    let range = |high: Vec<u64>| vec![format!(">={version}"), format!("<{epoch}{}", dotted(&high))];
    match operator {
        "" | "==" | "=" => Ok(vec![format!("=={version}")]),
        "!=" | "<>" => Ok(vec![format!("!={version}")]),
        ">=" | "<=" | ">" | "<" | "===" => Ok(vec![format!("{operator}{version}")]),
        "^" => Ok(range(bumped(release, breaking_component(release)))),
        "~" => Ok(range(bumped(release, usize::from(release.len() > 1)))),
        "~=" => Ok(range(bumped(release, release.len().saturating_sub(2)))),
        other => Err(format!("`{other}` is not an operator")),
    }
}

/// The component that a breaking release counts up: the first that is not zero, or else the last.
fn breaking_component(release: &[u64]) -> usize {
    release.iter().take(3).position(|part| *part != 0).unwrap_or(release.len().min(3).saturating_sub(1))
}

/// Count a component up and set those behind it to zero; as many components as before.
fn bumped(release: &[u64], component: usize) -> Vec<u64> {
    release
        .iter()
        .enumerate()
        .map(|(index, part)| match index.cmp(&component) {
            std::cmp::Ordering::Less => *part,
            std::cmp::Ordering::Equal => part + 1,
            std::cmp::Ordering::Greater => 0,
        })
        .collect()
}

fn dotted(release: &[u64]) -> String {
    release.iter().map(ToString::to_string).collect::<Vec<_>>().join(".")
}

fn split_operator(term: &str) -> (&str, &str) {
    let end = term.find(|each: char| !"<>=^~!".contains(each)).unwrap_or(term.len());
    (&term[..end], term[end..].trim())
}

fn parse(version: &str) -> Result<Version, String> {
    Version::from_str(version).map_err(|_| format!("`{version}` is not a version"))
}

type Interval = (Bound<Version>, Bound<Version>);

fn version_of(bound: &Bound<Version>) -> Option<Version> {
    match bound {
        Bound::Included(version) | Bound::Excluded(version) => Some(version.clone()),
        Bound::Unbounded => None,
    }
}

/// The versions between two bounds that all terms allow; `None` when they are not of that shape.
fn interval(terms: &[String]) -> Option<Interval> {
    let (mut low, mut high) = (Bound::Unbounded, Bound::Unbounded);
    for term in terms {
        let (operator, version) = split_operator(term);
        if let Some(base) = version.strip_suffix(".*") {
            let base = Version::from_str(base).ok().filter(|_| operator == "==")?;
            let release = base.release();
            high = Bound::Excluded(Version::new(bumped(release, release.len() - 1)));
            low = Bound::Included(base);
            continue;
        }
        let version = Version::from_str(version).ok()?;
        match operator {
            ">=" => low = Bound::Included(version),
            ">" => low = Bound::Excluded(version),
            "<=" => high = Bound::Included(version),
            "<" => high = Bound::Excluded(version),
            "==" => {
                low = Bound::Included(version.clone());
                high = Bound::Included(version);
            }
            _ => return None,
        }
    }
    Some((low, high))
}

/// One list of specifiers for all alternatives: the outer bounds, and `!=` for what is between them.
fn union(alternatives: &[Vec<String>]) -> Option<String> {
    let mut intervals = alternatives.iter().map(|terms| interval(terms)).collect::<Option<Vec<_>>>()?;
    intervals.sort_by_key(|(low, _)| version_of(low));
    let mut intervals = intervals.into_iter();
    let (low, mut high) = intervals.next()?;
    let mut specifiers = Vec::new();
    for (next_low, next_high) in intervals {
        if !touches(&high, &next_low) {
            specifiers.extend(gap(&high, &next_low)?);
        }
        if ends_later(&next_high, &high) {
            high = next_high;
        }
    }
    let low = match low {
        Bound::Included(version) => Some(format!(">={version}")),
        Bound::Excluded(version) => Some(format!(">{version}")),
        Bound::Unbounded => None,
    };
    let high = match high {
        Bound::Included(version) => Some(format!("<={version}")),
        Bound::Excluded(version) => Some(format!("<{version}")),
        Bound::Unbounded => None,
    };
    Some(low.into_iter().chain(high).chain(specifiers).collect::<Vec<_>>().join(","))
}

fn touches(high: &Bound<Version>, low: &Bound<Version>) -> bool {
    match (high, low) {
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => true,
        (Bound::Excluded(high), Bound::Excluded(low)) => high > low,
        (Bound::Included(high) | Bound::Excluded(high), Bound::Included(low) | Bound::Excluded(low)) => {
            high >= low
        }
    }
}

fn ends_later(one: &Bound<Version>, other: &Bound<Version>) -> bool {
    match (one, other) {
        (_, Bound::Unbounded) => false,
        (Bound::Unbounded, _) => true,
        (Bound::Included(one), Bound::Excluded(other)) => one >= other,
        (Bound::Included(one) | Bound::Excluded(one), Bound::Included(other) | Bound::Excluded(other)) => {
            one > other
        }
    }
}

/// The specifiers that take out what is between two intervals.
fn gap(high: &Bound<Version>, low: &Bound<Version>) -> Option<Vec<String>> {
    const MOST: u64 = 32;
    match (high, low) {
        (Bound::Excluded(one), Bound::Excluded(other)) if one == other => Some(vec![format!("!={one}")]),
        (Bound::Excluded(from), Bound::Included(to)) => {
            let length = significant(from).max(significant(to)).max(1);
            let component =
                |version: &Version, index: usize| version.release().get(index).copied().unwrap_or(0);
            let last = length - 1;
            let same = (0..last).all(|index| component(from, index) == component(to, index));
            let (start, end) = (component(from, last), component(to, last));
            if !same || from.any_prerelease() || to.any_prerelease() || end - start > MOST {
                return None;
            }
            let prefix: Vec<u64> = (0..last).map(|index| component(from, index)).collect();
            Some(
                (start..end)
                    .map(|part| format!("!={}.*", dotted(&[prefix.as_slice(), &[part]].concat())))
                    .collect(),
            )
        }
        _ => None,
    }
}

/// How many components a version has without its trailing zeros.
fn significant(version: &Version) -> usize {
    let release = version.release();
    release.len() - release.iter().rev().take_while(|part| **part == 0).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constraints_become_specifiers() {
        for (constraint, want) in [
            ("*", ""),
            ("^1.16", ">=1.16,<2.0"),
            ("^1.16.3", ">=1.16.3,<2.0.0"),
            ("^1", ">=1,<2"),
            ("^0.2.3", ">=0.2.3,<0.3.0"),
            ("^0.0.3", ">=0.0.3,<0.0.4"),
            ("^0.0", ">=0.0,<0.1"),
            ("^0", ">=0,<1"),
            ("^1.0a1", ">=1.0a1,<2.0"),
            ("^1!2.0", ">=1!2.0,<1!3.0"),
            ("~1.2.3", ">=1.2.3,<1.3.0"),
            ("~1.2", ">=1.2,<1.3"),
            ("~1", ">=1,<2"),
            ("~=1.2.3", ">=1.2.3,<1.3.0"),
            ("1.2", "==1.2"),
            ("v1.2", "==1.2"),
            ("=1.2", "==1.2"),
            ("1.2.*", "==1.2.*"),
            ("==1.x", "==1.*"),
            ("!=1.4.*", "!=1.4.*"),
            (">=1 <2", ">=1,<2"),
            (">= 1.0, < 2.0", ">=1.0,<2.0"),
            (">1,!=1.5", ">1,!=1.5"),
            ("^1 || ^2", ">=1,<3"),
            (">=1,<2 || >=3,<4", ">=1,<4,!=2.*"),
            ("^1 || ^4", ">=1,<5,!=2.*,!=3.*"),
            ("1.2.* || 1.4.*", ">=1.2,<1.5,!=1.3.*"),
            ("<2.0 | >2.0", "!=2.0"),
            ("* || ^1", ""),
        ] {
            let want = Converted { specifiers: want.into(), narrowed: false };
            assert_eq!(specifiers(constraint), Ok(want), "{constraint}");
        }
    }

    #[test]
    fn a_union_that_no_specifier_can_say_is_narrowed_to_its_newest_part() {
        let want = Converted { specifiers: "==2.0".into(), narrowed: true };
        assert_eq!(specifiers("2.0 || 1.0"), Ok(want));
    }

    #[test]
    fn what_is_no_constraint_is_an_error() {
        for constraint in ["^", "^x1", "abc", ">>1", "^*"] {
            assert!(specifiers(constraint).is_err(), "{constraint}");
        }
    }

    #[test]
    fn python_constraints_become_markers() {
        for (constraint, want) in [
            ("*", None),
            ("^3.8", Some(r#"python_version >= "3.8" and python_version < "4.0""#)),
            ("<3.9", Some(r#"python_version < "3.9""#)),
            ("3.11", Some(r#"python_version == "3.11""#)),
            ("3.11.*", Some(r#"python_version == "3.11""#)),
            (">3.8", Some(r#"python_full_version > "3.8.0""#)),
            ("~3.11.2", Some(r#"python_full_version >= "3.11.2" and python_full_version < "3.12.0""#)),
            (
                ">=3.8,<3.9 || >=3.11",
                Some(r#"(python_version >= "3.8" and python_version < "3.9") or python_version >= "3.11""#),
            ),
        ] {
            assert_eq!(python_marker(constraint).unwrap().as_deref(), want, "{constraint}");
        }
    }
}
