//! The collected requirements, compared with a lock file: its exact pins replace the lines that they satisfy.
//!
//! Whether a lock is up to date is judged by what was collected: a line of a pyproject.toml whose package the lock does
//! not have, or has in a version that the line excludes, makes it stale. A stale lock is an error with `--locked`
//! (which asks `uv lock --check` too); otherwise there is a warning, the lines in question are resolved again, and the
//! other pins hold.
//!
//! A uv.lock and a poetry.lock lock the project's pyproject.toml and nothing else. A requirements.txt next to one is
//! often an old export of it, so a line there that contradicts the lock does not make the lock stale, and what the
//! lock does not have simply joins its pins.

use super::locks::LockFile;
use super::pin::Pin;
use super::requirement::What;
use super::walk::Line;
use crate::error::Place;
use crate::project::RequirementLine;
use pep440_rs::Version;
use pep508_rs::{ExtraName, MarkerEnvironment, PackageName};
use std::collections::BTreeMap;
use std::str::FromStr;

/// Lines compared with a lock.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Verdict {
    /// Exact lines for all that the lock pins (for a poetry.lock: for what was asked for).
    pub(super) pinned: Vec<RequirementLine>,
    /// Lines that the lock does not satisfy.
    pub(super) loose: Vec<RequirementLine>,
    /// What shows that the lock is stale, a phrase each.
    pub(super) stale: Vec<String>,
    /// Lines of requirements files that contradict a lock which is not made from them.
    pub(super) lagging: Vec<Lagging>,
    /// Names of pins that a line excludes.
    pub(super) overruled: Vec<PackageName>,
}

/// A line of a requirements file that contradicts the lock next to it.
#[derive(Debug, PartialEq)]
pub(super) struct Lagging {
    /// Where it is.
    pub(super) place: Place,
    /// ``LINE` contradicts uv.lock, which has `NAME` VERSION`.
    pub(super) message: String,
}

/// Compare lines with a lock.
pub(super) fn judge<'l>(
    lines: impl IntoIterator<Item = &'l Line>,
    lock: &LockFile,
    environment: &MarkerEnvironment,
) -> Verdict {
    let pins: BTreeMap<&PackageName, &Pin> = lock.pins.iter().map(|pin| (&pin.name, pin)).collect();
    let mut verdict = Verdict::default();
    let mut asked: BTreeMap<&PackageName, Vec<&ExtraName>> = BTreeMap::new();
    for line in lines {
        let Some(name) = &line.asked.name else {
            verdict.loose.push(line.requirement());
            continue;
        };
        if !line.asked.applies(environment) {
            continue;
        }
        match pins.get(name) {
            Some(pin) if is_met(&line.asked.what, pin) => {
                asked.entry(name).or_default().extend(&line.asked.extras);
            }
            pin => verdict.refuse(line, name, pin.copied(), lock),
        }
    }
    let is_whole = lock.pylock.is_some();
    for pin in &lock.pins {
        let extras = asked.get(&pin.name);
        if verdict.overruled.contains(&pin.name) || (!is_whole && extras.is_none()) {
            continue;
        }
        let extras = extras.filter(|extras| !is_whole && !extras.is_empty());
        let extras = extras.map(|extras| bracketed(extras)).unwrap_or_default();
        verdict.pinned.extend(pin.requirement(&extras, &lock.file));
    }
    verdict
}

impl Verdict {
    /// A line that the lock does not have, or has in another version.
    fn refuse(&mut self, line: &Line, name: &PackageName, pin: Option<&Pin>, lock: &LockFile) {
        let text = &line.asked.text;
        self.loose.push(line.requirement());
        let Some(pin) = pin else {
            if !line.only_listed {
                let what = match lock.repeated.contains(name) {
                    true => "is in it several times, with nothing to choose by",
                    false => "is not in it",
                };
                self.stale.push(format!("`{text}` ({}) {what}", line.shown_place()));
            }
            return;
        };
        self.overruled.push(name.clone());
        let version = pin.version.as_deref().unwrap_or("of another source");
        if line.only_listed && lock.is_of_project {
            let message = format!("`{text}` contradicts {}, which has `{name}` {version}", lock.file_name());
            self.lagging.push(Lagging { place: line.asked.place.clone(), message });
        } else {
            let place = line.shown_place();
            self.stale.push(format!("it has `{name}` {version}, which `{text}` ({place}) excludes"));
        }
    }
}

/// Whether a pin satisfies a line. A direct reference is satisfied by any pin that the lock made of it.
fn is_met(asked: &What, pin: &Pin) -> bool {
    let version = pin.version.as_deref().and_then(|version| Version::from_str(version).ok());
    match (asked, version) {
        (What::Versions(specifiers), Some(version)) => specifiers.contains(&version),
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
    use super::super::pin::Pinned;
    use super::super::requirement::{self, Scope};
    use super::*;
    use crate::target::{PythonVersion, Target};
    use std::path::Path;

    fn lock(pins: &[(&str, &str)], is_whole: bool) -> LockFile {
        let pins = pins.iter().map(|(name, version)| Pin {
            name: PackageName::new((*name).to_string()).unwrap(),
            version: Some((*version).to_string()),
            what: Pinned::Version,
            hashes: Vec::new(),
            index: None,
        });
        LockFile {
            file: "/p/uv.lock".into(),
            pins: pins.collect(),
            repeated: Default::default(),
            pylock: is_whole.then(String::new),
            has_files: true,
            is_of_project: true,
            remedy: "relock".into(),
        }
    }

    fn judged(lines: &[(&str, &str)], lock: &LockFile) -> Verdict {
        let environment = Target::serverless(PythonVersion::DEFAULT).marker_environment();
        let scope = Scope::at(Path::new("/p"), &environment);
        let lines: Vec<Line> = lines
            .iter()
            .map(|(text, file)| {
                let place = Place { file: file.into(), line: Some(1), column: None };
                let asked = requirement::read(text, scope, &place).unwrap().unwrap();
                Line { asked, places: vec![place], only_listed: *file == "requirements.txt" }
            })
            .collect();
        judge(&lines, lock, &environment)
    }

    fn texts(lines: &[RequirementLine]) -> Vec<&str> {
        lines.iter().map(|line| line.text.as_str()).collect()
    }

    #[test]
    fn lines_that_the_lock_meets_give_way_to_its_pins() {
        let lock = lock(&[("a", "1.5"), ("b", "2")], true);
        let found =
            judged(&[("a[x]>=1", "pyproject.toml"), ("c; python_version < '3'", "pyproject.toml")], &lock);
        assert_eq!(texts(&found.pinned), ["a==1.5", "b==2"]);
        assert!(found.loose.is_empty() && found.stale.is_empty() && found.lagging.is_empty());
    }

    #[test]
    fn what_the_lock_does_not_meet_stays_loose_and_makes_it_stale() {
        let lock = lock(&[("a", "1.5"), ("b", "2")], true);
        let found = judged(
            &[("a>=2", "pyproject.toml"), ("new", "pyproject.toml"), ("more", "requirements.txt")],
            &lock,
        );
        assert_eq!(texts(&found.pinned), ["b==2"]);
        assert_eq!(texts(&found.loose), ["a>=2", "new", "more"]);
        assert_eq!(
            found.stale,
            [
                "it has `a` 1.5, which `a>=2` (pyproject.toml:1) excludes",
                "`new` (pyproject.toml:1) is not in it"
            ]
        );
    }

    #[test]
    fn what_the_lock_has_several_times_is_not_said_to_be_missing() {
        let mut lock = lock(&[], true);
        lock.repeated.insert(PackageName::new("a".to_string()).unwrap());
        let found = judged(&[("a", "pyproject.toml")], &lock);
        assert_eq!(found.stale, ["`a` (pyproject.toml:1) is in it several times, with nothing to choose by"]);
    }

    #[test]
    fn a_requirements_file_that_lags_behind_does_not_make_the_lock_stale() {
        let mut lock = lock(&[("a", "1.5")], true);
        let found = judged(&[("a==1.4 ; platform_version != 'x@y'", "requirements.txt")], &lock);
        assert_eq!(found.stale, [""; 0]);
        let [lagging] = found.lagging.as_slice() else { panic!("{found:?}") };
        assert_eq!(lagging.place.to_string(), "requirements.txt:1");
        assert_eq!(
            lagging.message,
            "`a==1.4 ; platform_version != 'x@y'` contradicts uv.lock, which has `a` 1.5"
        );
        // A pylock.toml is often made from the requirements file.
        lock.is_of_project = false;
        let found = judged(&[("a==1.4", "requirements.txt")], &lock);
        assert_eq!(found.stale, ["it has `a` 1.5, which `a==1.4` (requirements.txt:1) excludes"]);
    }

    #[test]
    fn a_lock_that_only_limits_pins_what_is_asked_for() {
        let lock = lock(&[("a", "1.5"), ("b", "2")], false);
        let found = judged(&[("a[y,x]>=1", "pyproject.toml"), ("a[x]", "setup.py")], &lock);
        assert_eq!(texts(&found.pinned), ["a[x,y]==1.5"]);
        assert!(found.loose.is_empty() && found.stale.is_empty());
    }
}
