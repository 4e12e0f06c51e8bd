//! Finds the requirement lines that uv's error is about when no set of versions satisfies all.
//!
//! uv's sentences name distributions. Only the collected requirements know the place of the line for each.

use super::releases;
use crate::error::Place;
use crate::paths::{lexically_normal, relative};
use crate::project::Requirements;
use crate::tools::ProcessError;
use crate::wheel::filename::normalized_name;
use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

/// Lines that are shown; the rest are counted.
const MOST_LINES: usize = 20;

/// The user's lines for the distributions in uv's text. `Display` shows each with its file and line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mentioned {
    /// Sorted by place.
    lines: Vec<MentionedLine>,
    directory: PathBuf,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
struct MentionedLine {
    /// Its file is relative to the build directory.
    place: Place,
    text: String,
    /// Normalised name of the distribution.
    name: String,
    /// `constraint`, `override` …; empty for a requirement.
    kind: &'static str,
}

impl Mentioned {
    /// The lines for distributions that are words of `text`. Files are shown relative to the build directory.
    pub fn in_text(text: &str, requirements: &Requirements) -> Mentioned {
        let words: BTreeSet<String> = text
            .split(|each: char| !(each.is_ascii_alphanumeric() || "-_.".contains(each)))
            .map(|word| normalized_name(word.trim_matches(['-', '_', '.'])))
            .collect();
        let directory = requirements.local_packages.first().map_or(Path::new(""), |first| &first.directory);
        let here = |place: &Place| Place { file: relative(&place.file, directory), ..place.clone() };
        let asked = requirements.lines.iter().flat_map(|line| {
            let name = line.name.as_ref().filter(|name| words.contains(*name));
            let line_at = |name: &String, place: &Place| MentionedLine {
                place: here(place),
                text: line.text.clone(),
                name: name.clone(),
                kind: "",
            };
            let at =
                name.map(|name| line.places.iter().map(|place| line_at(name, place)).collect::<Vec<_>>());
            at.unwrap_or_default()
        });
        let origins = requirements.settings.origins.iter().filter(|origin| words.contains(&origin.name));
        let origins = origins.map(|origin| MentionedLine {
            place: here(&origin.place),
            text: origin.text.clone(),
            name: origin.name.clone(),
            kind: origin.kind,
        });
        let mut lines: Vec<_> = asked.chain(origins).collect();
        lines.sort_by_cached_key(|line| (line.place.file.clone(), line.place.line, line.text.clone()));
        lines.dedup();
        Mentioned { lines, directory: directory.to_path_buf() }
    }

    /// The lines for distributions that the error output of a process names.
    pub fn in_error(error: &ProcessError, requirements: &Requirements) -> Mentioned {
        match error {
            ProcessError::Failed { stderr: Some(said), .. } => Mentioned::in_text(&said.0, requirements),
            _ => Mentioned::default(),
        }
    }

    /// The line that requires the distribution `name`; a constraint does not.
    pub fn line_for(&self, name: &str) -> Option<&str> {
        let name = normalized_name(name);
        let line = self.lines.iter().find(|line| line.kind.is_empty() && line.name == name)?;
        Some(&line.text)
    }

    /// The lines for packages other than Dagster's: `` `LINE` (FILE:LINE) ``.
    pub fn for_others(&self) -> Vec<String> {
        let others = self.lines.iter().filter(|line| releases::dagsters(&line.text).is_none());
        let shown = others.map(|MentionedLine { place, text, kind, .. }| match *kind {
            "" => format!("`{text}` ({place})"),
            kind => format!("`{text}` ({kind}, {place})"),
        });
        shown.collect()
    }

    /// The first place, for annotations.
    pub fn place(&self) -> Option<Place> {
        let place = self.lines.iter().map(|line| &line.place).find(|place| place.line.is_some())?;
        Some(Place { file: lexically_normal(&self.directory.join(&place.file)), ..place.clone() })
    }
}

impl fmt::Display for Mentioned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for MentionedLine { place, text, kind, .. } in self.lines.iter().take(MOST_LINES) {
            let line = place.line.map(|line| format!(":{line}")).unwrap_or_default();
            let kind = if kind.is_empty() { String::new() } else { format!(" ({kind})") };
            write!(f, "\n  {}{line}: {text}{kind}", place.file.display())?;
        }
        match self.lines.len().saturating_sub(MOST_LINES) {
            0 => Ok(()),
            more => write!(f, "\n  and {more} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::{LocalPackage, Origin, PackageBuild, RequirementLine};

    fn place(file: &str, line: usize) -> Place {
        Place { file: file.into(), line: Some(line), column: None }
    }

    fn line(text: &str, name: &str, places: &[(&str, usize)]) -> RequirementLine {
        RequirementLine {
            text: text.into(),
            name: Some(name.into()),
            is_link: false,
            places: places.iter().map(|(file, line)| place(file, *line)).collect(),
        }
    }

    #[test]
    fn every_line_that_the_sentence_is_about_is_shown_with_its_place() {
        let mut requirements = Requirements {
            lines: vec![
                line("Foo_Bar<2", "foo-bar", &[("/p/requirements.txt", 6), ("/p/lib/pyproject.toml", 5)]),
                line("other", "other", &[("/p/requirements.txt", 1)]),
            ],
            local_packages: vec![LocalPackage {
                directory: "/p".into(),
                name: None,
                build: PackageBuild::None,
            }],
            ..Requirements::default()
        };
        requirements.settings.origins = vec![Origin {
            text: "baz<1".into(),
            name: "baz".into(),
            kind: "constraint",
            place: place("/c.txt", 2),
        }];
        let said = "Because foo-bar[x]==1 depends on baz>=1 and your project depends on foo-bar.";
        let mentioned = Mentioned::in_text(said, &requirements);
        assert_eq!(
            mentioned.to_string(),
            "\n  ../c.txt:2: baz<1 (constraint)\n  lib/pyproject.toml:5: Foo_Bar<2\n  requirements.txt:6: Foo_Bar<2"
        );
        assert_eq!(mentioned.place().unwrap().to_string(), "/c.txt:2");
        // A hint to change "the line" named the constraint as if it were a requirement.
        assert_eq!(mentioned.line_for("baz"), None);
        assert_eq!(mentioned.line_for("foo_bar"), Some("Foo_Bar<2"));
        assert_eq!(mentioned.for_others()[0], "`baz<1` (constraint, ../c.txt:2)");
        assert_eq!(Mentioned::in_text("something else", &requirements).to_string(), "");
    }
}
