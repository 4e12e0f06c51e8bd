//! A line for one of Dagster's packages in its file, and its replacement.

use super::Resolution;
use super::releases;
use crate::bounded_file::{self, TEXT_LIMIT_BYTES};
use crate::error::Place;
use crate::project::collect::{self, Compiled};
use crate::project::{Lock, LockContent, Requirements};
use pep440_rs::Version;
use pep508_rs::VersionOrUrl;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// A line that has to change so that all packages have one release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Normalised name.
    pub name: String,
    /// The current line.
    pub line: String,
    /// The new line.
    pub instead: String,
    /// Its place, if known.
    pub place: Option<Place>,
}

/// A requirement or constraint written by a person.
#[derive(Debug, Clone)]
pub struct Written {
    text: String,
    place: Option<Place>,
}

/// The lines and constraints for Dagster's packages that a person wrote. Pins by a tool, in a lock file or a compiled
/// requirements.txt, are not included.
pub fn lines(requirements: &Requirements) -> Vec<Written> {
    let compiled = compiled(requirements);
    let is_compiled = |place: Option<&Place>| {
        compiled.as_ref().is_some_and(|(file, _)| place.is_some_and(|at| at.file == *file))
    };
    // With a lock, `lines` has the lock's pins; the user's own lines are in `origins`.
    let asked = requirements.lines.iter().filter(|_| requirements.lock.is_none());
    let asked = asked.map(|line| {
        (&line.text, line.places.iter().find(|place| !is_compiled(Some(place))).or(line.places.first()))
    });
    let origins = requirements.settings.origins.iter().filter(|one| matches!(one.kind, "" | "constraint"));
    let origins = origins.map(|one| (&one.text, Some(&one.place)));
    let known = asked
        .chain(origins)
        .filter(|(text, place)| !is_compiled(*place) && releases::dagsters(text).is_some());
    let mut lines: Vec<_> =
        known.map(|(text, place)| Written { text: text.clone(), place: place.cloned() }).collect();
    lines.extend(
        compiled.iter().flat_map(|(_, compiled)| compiled.sources.iter()).flat_map(|file| lines_in(file)),
    );
    lines
}

/// The file of a build directory to which a dependency would be added, if there is one.
pub fn dependencies_file(requirements: &Requirements, directory: &Path) -> Option<PathBuf> {
    // A line added to a compiled file is lost when it is compiled again.
    let compiled = compiled(requirements).and_then(|(_, of)| of.sources.into_iter().next());
    let candidates = ["pyproject.toml", "setup.py", "requirements.txt"].map(|name| directory.join(name));
    compiled.or_else(|| candidates.into_iter().find(|file| file.is_file()))
}

/// The file that decides versions: the lock file, or a compiled requirements.txt.
pub fn lock(requirements: &Requirements) -> Option<Lock> {
    let compiled = || {
        let (file, compiled) = compiled(requirements)?;
        Some(Lock { file, content: LockContent::Constraints, remedy: compiled.command })
    };
    requirements.lock.clone().or_else(compiled)
}

/// The compiled file with Dagster's packages, if there is one.
pub fn compiled(requirements: &Requirements) -> Option<(PathBuf, Compiled)> {
    let dagsters = requirements.lines.iter().filter(|line| releases::dagsters(&line.text).is_some());
    let mut files: Vec<&PathBuf> = dagsters.flat_map(|line| &line.places).map(|place| &place.file).collect();
    files.dedup();
    files.into_iter().find_map(|file| Some((file.clone(), collect::compiled_file(file)?)))
}

/// The lines for Dagster's packages in a source of a compiled file.
fn lines_in(file: &Path) -> Vec<Written> {
    let text = bounded_file::read_text(file, TEXT_LIMIT_BYTES).unwrap_or_default();
    let lines = text.lines().enumerate().flat_map(|(at, line)| {
        let place = Place { file: file.to_path_buf(), line: Some(at + 1), column: None };
        let found = candidates(line).filter(|text| releases::dagsters(text).is_some());
        found.map(|text| Written { text: text.to_string(), place: Some(place.clone()) }).collect::<Vec<_>>()
    });
    lines.collect()
}

impl Written {
    /// Normalised name.
    pub fn name(&self) -> Option<String> {
        releases::dagsters(&self.text).map(|requirement| requirement.name.to_string())
    }

    /// The change that the line needs if it excludes the version in `wanted`; with `exactly`, also if it allows others.
    pub fn change(&self, wanted: &Resolution, exactly: bool) -> Option<Change> {
        let requirement = releases::dagsters(&self.text)?;
        let version = wanted.version_of(requirement.name.as_ref())?;
        let allows = match &requirement.version_or_url {
            Some(VersionOrUrl::VersionSpecifier(specifiers)) => {
                specifiers.contains(&Version::from_str(version).ok()?)
            }
            Some(VersionOrUrl::Url(_)) => return None,
            None => true,
        };
        if allows && !exactly {
            return None;
        }
        let name = requirement.name.to_string();
        let place = self.place.clone();
        let poetry_line = self.place.as_ref().and_then(|place| collect::poetry_line(place, version));
        let (line, instead) = poetry_line.unwrap_or_else(|| {
            let line = self.as_it_stands(&name);
            let instead = pinned(&line, version);
            (line, instead)
        });
        Some(Change { name, line, instead, place })
    }

    /// The requirement as written in the file. Requirements of a `setup.py` are only known as setuptools prints them.
    fn as_it_stands(&self, name: &str) -> String {
        let found = self.place.as_ref().and_then(|place| {
            let text = std::fs::read_to_string(&place.file).ok()?;
            let line = text.lines().nth(place.line?.checked_sub(1)?)?;
            let found =
                if line.contains(&self.text) { self.text.as_str() } else { requirement_in(line, name)? };
            Some(found.to_string())
        });
        found.unwrap_or_else(|| self.text.clone())
    }
}

/// The requirement for `name` in a line of a file.
fn requirement_in<'t>(line: &'t str, name: &str) -> Option<&'t str> {
    candidates(line)
        .find(|text| releases::dagsters(text).is_some_and(|requirement| requirement.name.as_ref() == name))
}

/// Texts in a line that may be requirements: each text in quotes, and the whole line.
fn candidates(line: &str) -> impl Iterator<Item = &str> {
    let quoted = ['"', '\''].into_iter().flat_map(|quote| line.split(quote).skip(1).step_by(2));
    let whole = line.split(" #").next().unwrap_or_default().trim();
    quoted.chain([whole])
}

/// The same requirement with exactly this version. Extras and marker do not change.
fn pinned(line: &str, version: &str) -> String {
    let (body, marker) = line.split_at(line.find(';').unwrap_or(line.len()));
    let end = body.find(|each: char| "<>=!~(".contains(each)).unwrap_or(body.len());
    let space = &body[body.trim_end().len()..];
    format!("{}=={version}{space}{marker}", body[..end].trim_end())
}

#[cfg(test)]
mod tests {
    use super::super::testing::resolution_with;
    use super::*;

    #[test]
    fn a_line_changes_only_where_it_does_not_allow_the_release() {
        let wanted =
            resolution_with("dagster 1.13.27, dagster-cloud 1.13.27, dagster-aws 0.29.27, pandas 2.0");
        for (text, instead, exactly) in [
            ("dagster==1.13.29", Some("dagster==1.13.27"), Some("dagster==1.13.27")),
            (
                "dagster-aws[ecs]>=0.29.28",
                Some("dagster-aws[ecs]==0.29.27"),
                Some("dagster-aws[ecs]==0.29.27"),
            ),
            ("dagster>=1.13", None, Some("dagster==1.13.27")),
            ("dagster-cloud", None, Some("dagster-cloud==1.13.27")),
            (
                "dagster==1.13.29 ; python_version<'4'",
                Some("dagster==1.13.27 ; python_version<'4'"),
                Some("dagster==1.13.27 ; python_version<'4'"),
            ),
            ("dagster-webserver==1.13.29", None, None),
            ("dagster @ git+https://h/dagster", None, None),
            ("pandas==3", None, None),
        ] {
            let line = Written { text: text.into(), place: None };
            let said = |exactly| line.change(&wanted, exactly).map(|change| change.instead);
            assert_eq!(said(false).as_deref(), instead, "{text}");
            assert_eq!(said(true).as_deref(), exactly, "{text}");
        }
    }

    #[test]
    fn extras_and_marker_stay_as_they_are_written() {
        for (line, want) in [
            ("dagster == 1.13.29", "dagster==1"),
            (
                "Dagster_Cloud [insights] (>=1.13);os_name=='posix'",
                "Dagster_Cloud [insights]==1;os_name=='posix'",
            ),
            ("dagster", "dagster==1"),
            ("dagster ; os_name > 'a'", "dagster==1 ; os_name > 'a'"),
        ] {
            assert_eq!(pinned(line, "1"), want);
        }
    }

    #[test]
    fn a_requirement_is_found_in_its_line() {
        for (line, want) in [
            (r#"dependencies = ["dagster==1.13.29", "dagster-cloud", "dagster-aws"]"#, Some("dagster-cloud")),
            ("    'dagster-cloud>=1.13',", Some("dagster-cloud>=1.13")),
            ("dagster-cloud==1.13.29  # ours", Some("dagster-cloud==1.13.29")),
            ("dagster-cloud-cli", None),
            ("", None),
        ] {
            assert_eq!(requirement_in(line, "dagster-cloud"), want, "{line}");
        }
    }
}
