//! What was collected, held against a lock file: its exact pins take the place of the lines that they meet.
//!
//! Whether a lock is up to date is judged by what was collected: a line of a pyproject.toml whose package the lock does
//! not have, or has in a version that the line excludes, makes it stale. A stale lock is an error with `--locked`
//! (which asks `uv lock --check` too); otherwise there is a warning, the lines in question are resolved anew, and the
//! other pins hold. Lines of a requirements.txt beside a uv.lock are no part of that lock and simply join its pins.

use super::error::CollectError;
use super::locks::{LockFile, Pin};
use super::requirement::parse;
use crate::error::Place;
use pep440_rs::Version;
use pep508_rs::{ExtraName, MarkerEnvironment, PackageName, VersionOrUrl};
use std::collections::BTreeMap;
use std::str::FromStr;

/// A line that was collected.
#[derive(Debug, Clone)]
pub(super) struct Collected {
    /// The line.
    pub(super) text: String,
    /// Its package.
    pub(super) name: Option<PackageName>,
    /// Extras of it.
    pub(super) extras: Vec<ExtraName>,
    /// Where it is written.
    pub(super) place: Place,
}

/// Lines held against a lock.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Verdict {
    /// Exact lines for all that the lock pins (for a poetry.lock: for what was asked for).
    pub(super) pinned: Vec<String>,
    /// Lines that the lock does not meet.
    pub(super) loose: Vec<String>,
    /// What shows that the lock is stale, a phrase each.
    pub(super) stale: Vec<String>,
    /// Names of pins that a line excludes.
    pub(super) overruled: Vec<PackageName>,
}

/// Hold lines against a lock.
///
/// # Errors
/// A line is no requirement after all.
pub(super) fn judge(
    lines: &[Collected],
    lock: &LockFile,
    environment: &MarkerEnvironment,
) -> Result<Verdict, CollectError> {
    let pins: BTreeMap<&PackageName, &Pin> = lock.pins.iter().map(|pin| (&pin.name, pin)).collect();
    let mut verdict = Verdict::default();
    let mut asked: BTreeMap<&PackageName, Vec<&ExtraName>> = BTreeMap::new();
    for line in lines {
        let is_of_project = line.place.file.file_name().is_none_or(|name| name != "requirements.txt");
        let Some(name) = &line.name else {
            verdict.loose.push(line.text.clone());
            continue;
        };
        let requirement = parse(&line.text, &line.place)?;
        if !requirement.marker.evaluate(environment, &[]) {
            continue;
        }
        let Some(pin) = pins.get(name) else {
            verdict.loose.push(line.text.clone());
            if is_of_project {
                verdict.stale.push(format!("`{}` is not in it", line.text));
            }
            continue;
        };
        if is_met(&requirement.version_or_url, pin) {
            asked.entry(name).or_default().extend(&line.extras);
        } else {
            let version = pin.version.as_deref().unwrap_or("another source");
            verdict.stale.push(format!("it has `{name}` {version}, which `{}` excludes", line.text));
            verdict.loose.push(line.text.clone());
            verdict.overruled.push(name.clone());
        }
    }
    let is_whole = lock.pylock.is_some();
    for pin in &lock.pins {
        let extras = asked.get(&pin.name);
        if verdict.overruled.contains(&pin.name) || (!is_whole && extras.is_none()) {
            continue;
        }
        let extras = extras.filter(|extras| !is_whole && !extras.is_empty());
        verdict.pinned.extend(pin.line(&extras.map(|extras| bracketed(extras)).unwrap_or_default()));
    }
    Ok(verdict)
}

/// Whether a pin is what a line asks for. A direct reference is met by whatever the lock made of it.
fn is_met<U: pep508_rs::Pep508Url>(asked: &Option<VersionOrUrl<U>>, pin: &Pin) -> bool {
    let version = pin.version.as_deref().and_then(|version| Version::from_str(version).ok());
    match (asked, version) {
        (Some(VersionOrUrl::VersionSpecifier(specifiers)), Some(version)) => specifiers.contains(&version),
        _ => true,
    }
}

fn bracketed(extras: &[&ExtraName]) -> String {
    let mut names: Vec<String> = extras.iter().map(ToString::to_string).collect();
    names.sort();
    names.dedup();
    format!("[{}]", names.join(","))
}

#[cfg(test)]
mod tests {
    use super::super::locks::Pinned;
    use super::*;
    use crate::target::{PythonVersion, Target};

    fn lock(pins: &[(&str, &str)], is_whole: bool) -> LockFile {
        let pins = pins.iter().map(|(name, version)| Pin {
            name: PackageName::new((*name).to_string()).unwrap(),
            version: Some((*version).to_string()),
            what: Pinned::Version,
            hashes: Vec::new(),
            index: None,
        });
        LockFile {
            file: "/p/lock".into(),
            pins: pins.collect(),
            pylock: is_whole.then(String::new),
            has_files: true,
            remedy: "relock",
        }
    }

    fn judged(lines: &[(&str, &str)], lock: &LockFile) -> Verdict {
        let lines: Vec<Collected> = lines
            .iter()
            .map(|(text, file)| {
                let place = Place { file: file.into(), line: Some(1), column: None };
                let requirement = parse(text, &place).unwrap();
                let (name, extras) = (Some(requirement.name), requirement.extras);
                Collected { text: (*text).to_string(), name, extras, place }
            })
            .collect();
        judge(&lines, lock, &Target::serverless(PythonVersion::DEFAULT).marker_environment()).unwrap()
    }

    #[test]
    fn lines_that_the_lock_meets_give_way_to_its_pins() {
        let lock = lock(&[("a", "1.5"), ("b", "2")], true);
        let found =
            judged(&[("a[x]>=1", "pyproject.toml"), ("c; python_version < '3'", "pyproject.toml")], &lock);
        let want = Verdict { pinned: vec!["a==1.5".into(), "b==2".into()], ..Verdict::default() };
        assert_eq!(found, want);
    }

    #[test]
    fn what_the_lock_does_not_meet_stays_loose_and_makes_it_stale() {
        let lock = lock(&[("a", "1.5"), ("b", "2")], true);
        let found = judged(
            &[("a>=2", "pyproject.toml"), ("new", "pyproject.toml"), ("more", "requirements.txt")],
            &lock,
        );
        assert_eq!(found.pinned, ["b==2"]);
        assert_eq!(found.loose, ["a>=2", "new", "more"]);
        assert_eq!(found.stale, ["it has `a` 1.5, which `a>=2` excludes", "`new` is not in it"]);
    }

    #[test]
    fn a_lock_that_only_limits_pins_what_is_asked_for() {
        let lock = lock(&[("a", "1.5"), ("b", "2")], false);
        let found = judged(&[("a[y,x]>=1", "pyproject.toml"), ("a[x]", "setup.py")], &lock);
        assert_eq!(found.pinned, ["a[x,y]==1.5"]);
        assert!(found.loose.is_empty() && found.stale.is_empty());
    }
}
