//! Advice on requirement lines and the lock file, so that all of Dagster's packages have one release.

use super::Resolution;
use super::releases::{self, NEEDED};
use super::written::{self, Change};
use crate::error::{Fault, Place};
use crate::project::{Lock, NotTaken, Requirements, collect};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// How to get all of Dagster's packages to one release.
#[derive(Debug, Default)]
pub struct Advice {
    /// The newest release that all of them have.
    pub release: Option<String>,
    /// Lines that exclude it, with their replacements.
    pub changes: Vec<Change>,
    /// Lines for other packages that exclude it, each with its place.
    pub held: Vec<String>,
    /// The lock file that decided.
    pub lock: Option<LockUpdate>,
    /// Whether the release is unknown or a guess, because no index was asked or none answered.
    pub is_unanswered: bool,
    /// An extra or dependency group that was not requested and has some of the missing packages: what to do, and which
    /// packages.
    pub not_taken: Option<(String, Vec<String>)>,
    /// The place of the problem, if there is no line or lock file to change.
    pub place: Option<Place>,
}

/// A lock file that has to change.
#[derive(Debug)]
pub struct LockUpdate {
    file: PathBuf,
    /// The command to run.
    command: String,
}

impl Advice {
    /// Advice about the lines that exclude the versions in `wanted`.
    pub fn towards(wanted: Result<Resolution, Fault>, requirements: &Requirements) -> Advice {
        let lock = written::lock(requirements);
        let lock = lock.as_ref();
        let wanted = match wanted {
            Ok(wanted) => wanted,
            Err(fault) => {
                let lock = lock.map(|lock| LockUpdate::for_lock(lock, &[]));
                return Advice { lock, is_unanswered: fault != Fault::Project, ..Advice::default() };
            }
        };
        let changes = |exactly: bool| {
            let lines = written::lines(requirements);
            let mut changes: Vec<Change> =
                lines.iter().filter_map(|line| line.change(&wanted, exactly)).collect();
            changes.sort_by(|one, other| one.line.cmp(&other.line));
            // A line that is written in several files needs one change in the hint.
            changes.dedup_by(|one, other| one.line == other.line);
            changes
        };
        let mut needed = changes(false);
        if needed.is_empty() && lock.is_some_and(|lock| !lock.takes_versions()) {
            // Locking again without a change of the lines would give the same lock.
            needed.extend(changes(true).into_iter().min_by_key(|change| releases::rank(&change.name)));
        }
        let lock =
            lock.map(|lock| LockUpdate::for_lock(lock, &behind(&wanted, requirements, needed.is_empty())));
        let release = wanted.version_of("dagster").map(String::from);
        Advice { release, changes: needed, lock, ..Advice::default() }
    }

    /// Advice for adding packages of the given release, which dagster already has.
    pub fn fitting(release: &str, requirements: &Requirements) -> Advice {
        let lock = written::lock(requirements).map(|lock| LockUpdate::for_lock(&lock, &[]));
        Advice { release: Some(release.to_string()), lock, ..Advice::default() }
    }

    /// The same, with the extra or group among `choices` that has some of the missing packages.
    pub fn with_choices(self, choices: &[NotTaken], missing: &[&str]) -> Advice {
        Advice { not_taken: not_taken(choices, missing), ..self }
    }

    /// The advice as a sentence.
    pub fn text(&self) -> String {
        let Some(release) = &self.release else {
            let why = match self.is_unanswered {
                true => "the newest that all have could not be looked up here",
                false => "the resolver finds none that all of them have",
            };
            return format!("pin all of them to one release; {why}");
        };
        let changes: Vec<String> = self.changes.iter().map(change_text).collect();
        let steps = match (&self.lock, changes.is_empty()) {
            (None, true) => String::new(),
            (Some(lock), true) => format!(": run `{}`", lock.command),
            (_, false) => format!(": {}{}", changes.join("; "), self.lock_text()),
        };
        let too = if changes.is_empty() { "" } else { " too" };
        let held = match self.held.as_slice() {
            [] => String::new(),
            [only] => format!("; {only} does not allow it: change that line{too}"),
            lines => format!("; {} do not allow it: change these lines{too}", lines.join(" and ")),
        };
        format!("the newest release that all of them have is {release}{steps}{held}")
    }

    /// The advice for adding `missing` to `file`, as a sentence.
    pub fn adding(&self, missing: &[String], file: &Path) -> String {
        let Some((text, there)) = &self.not_taken else { return self.adding_lines(missing, file) };
        let others: Vec<String> = missing.iter().filter(|name| !there.contains(name)).cloned().collect();
        match others.is_empty() {
            true => text.clone(),
            false => format!("{text}; and {}", self.adding_lines(&others, file)),
        }
    }

    fn adding_lines(&self, missing: &[String], file: &Path) -> String {
        let is_poetry = collect::lists_for_poetry(file);
        let line = |name: &String| match (&self.release, is_poetry) {
            (Some(release), false) => format!("`{name}=={release}`"),
            (None, false) => format!("`{name}`"),
            (release, true) => format!("`{name} = \"{}\"`", release.as_deref().unwrap_or("*")),
        };
        let lines: Vec<String> = missing.iter().map(line).collect();
        let table = if is_poetry { "[tool.poetry.dependencies] of " } else { "" };
        let mut text = format!("add {} to {table}{}", lines.join(" and "), file.display());
        for change in &self.changes {
            let _ = write!(text, ", and {}", change_text(change));
        }
        if let (false, Some(release)) = (self.changes.is_empty(), &self.release) {
            let _ = write!(text, "; {release} is the newest release that all of Dagster's packages have");
        }
        if self.is_unanswered && self.release.is_some() {
            text.push_str(" (if the index has it; a build looks for the newest release that all of Dagster's packages have)");
        }
        text + &self.lock_text()
    }

    fn lock_text(&self) -> String {
        self.lock.as_ref().map(|lock| format!("; then run `{}`", lock.command)).unwrap_or_default()
    }

    /// The first line to change, or the lock file.
    pub fn place(&self) -> Option<Place> {
        let lock = self.lock.as_ref().map(|lock| Place { file: lock.file.clone(), line: None, column: None });
        lock.or_else(|| self.changes.iter().find_map(|change| change.place.clone()))
            .or_else(|| self.place.clone())
    }
}

impl LockUpdate {
    fn for_lock(lock: &Lock, behind: &[String]) -> LockUpdate {
        LockUpdate { file: lock.file.clone(), command: lock.update_command(behind) }
    }
}

/// The packages with pins that have to change in the lock, with the version if no line has it.
fn behind(wanted: &Resolution, requirements: &Requirements, with_version: bool) -> Vec<String> {
    let written: Vec<String> = written::lines(requirements).iter().filter_map(|line| line.name()).collect();
    let mut names: Vec<String> = (requirements.lines.iter())
        .filter_map(|line| line.name.clone())
        .filter(|name| written.contains(name) || NEEDED.contains(&name.as_str()))
        .filter(|name| {
            let version = wanted.version_of(name);
            let pin = version.map(|version| format!("=={version}")).unwrap_or_default();
            version.is_some()
                && !requirements
                    .lines
                    .iter()
                    .any(|line| line.name.as_ref() == Some(name) && line.text.ends_with(&pin))
        })
        .collect();
    names.sort_by_key(|name| (releases::rank(name), name.clone()));
    names.dedup();
    if with_version {
        let version = |name: &String| wanted.version_of(name).unwrap_or_default().to_string();
        names = names.iter().map(|name| format!("{name}=={}", version(name))).collect();
    }
    names
}

/// The extra or group with most of the missing packages: what to do, and which of them it has.
fn not_taken(choices: &[NotTaken], missing: &[&str]) -> Option<(String, Vec<String>)> {
    let there = |choice: &NotTaken| -> Vec<String> {
        missing.iter().filter(|name| choice.packages.contains(**name)).map(ToString::to_string).collect()
    };
    // Reversed, because `max_by_key` returns the last of equals and the first is wanted.
    let best = choices.iter().rev().max_by_key(|choice| there(choice).len())?;
    let there = Some(there(best)).filter(|there| !there.is_empty())?;
    let names: Vec<String> = there.iter().map(|name| format!("`{name}`")).collect();
    let NotTaken { kind, flag, name, .. } = best;
    let text = format!("build with {flag} {name}: that {kind} has {}", names.join(" and "));
    Some((text, there))
}

fn change_text(change: &Change) -> String {
    let at = change.place.as_ref().map(|place| format!(" ({place})")).unwrap_or_default();
    format!("write `{}` instead of `{}`{at}", change.instead, change.line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_packages_come_from_an_extra_or_group_if_it_has_them() {
        let choice = |flag: &'static str, name: &str, packages: &[&str]| NotTaken {
            kind: if flag == "--extra" { "extra" } else { "dependency group" },
            flag,
            name: name.into(),
            packages: packages.iter().map(ToString::to_string).collect(),
        };
        let missing = ["dagster", "dagster-cloud"];
        let owned = missing.map(String::from);
        for (choices, want) in [
            (vec![], "add `dagster` and `dagster-cloud` to p.toml"),
            (vec![choice("--group", "dev", &["pytest"])], "add `dagster` and `dagster-cloud` to p.toml"),
            (
                vec![
                    choice("--extra", "x", &["dagster"]),
                    choice("--group", "orch", &["dagster", "dagster-cloud"]),
                ],
                "build with --group orch: that dependency group has `dagster` and `dagster-cloud`",
            ),
            (
                vec![choice("--extra", "x", &["dagster"]), choice("--group", "dev", &["dagster"])],
                "build with --extra x: that extra has `dagster`; and add `dagster-cloud` to p.toml",
            ),
        ] {
            let advice = Advice::default().with_choices(&choices, &missing);
            assert_eq!(advice.adding(&owned, Path::new("p.toml")), want);
        }
    }
}
