//! Finds the requirement lines that uv's error is about when no set of versions satisfies all.
//!
//! uv's sentences name distributions. Only the collected requirements know the place of the line for each.

use super::releases;
use crate::error::Place;
use crate::paths::lexically_normal;
use crate::paths::relative;
use crate::project::Requirements;
use crate::tools::ProcessError;
use crate::wheel::filename::normalized_name;
use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

/// More lines are only counted.
const MOST_LINES: usize = 20;

/// The user's lines for the distributions in uv's text. `Display` shows each with its file and line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mentioned {
    /// Sorted by place; files relative to the build directory.
    lines: Vec<(Place, String)>,
    directory: PathBuf,
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
        let is_named = |name: &Option<String>| name.as_ref().is_some_and(|name| words.contains(name));
        let asked = requirements.lines.iter().filter(|line| is_named(&line.name));
        let asked = asked.flat_map(|line| line.places.iter().map(|place| (here(place), line.text.clone())));
        let origins = requirements.settings.origins.iter().filter(|origin| words.contains(&origin.name));
        let origins = origins.map(|origin| match origin.kind {
            "" => (here(&origin.place), origin.text.clone()),
            kind => (here(&origin.place), format!("{} ({kind})", origin.text)),
        });
        let mut lines: Vec<_> = asked.chain(origins).collect();
        lines.sort_by(|one, other| {
            let key = |(place, text): &(Place, String)| (place.file.clone(), place.line, text.clone());
            key(one).cmp(&key(other))
        });
        lines.dedup();
        Mentioned { lines, directory: directory.to_path_buf() }
    }

    /// The same for the error output of a process.
    pub fn by(error: &ProcessError, requirements: &Requirements) -> Mentioned {
        match error {
            ProcessError::Failed { stderr: Some(said), .. } => Mentioned::in_text(&said.0, requirements),
            _ => Mentioned::default(),
        }
    }

    /// The line that requires the distribution `name`.
    pub fn line_for(&self, name: &str) -> Option<&str> {
        let asks = |text: &str| {
            let end = text.find(|each: char| !(each.is_ascii_alphanumeric() || "-_.".contains(each)));
            normalized_name(&text[..end.unwrap_or(text.len())]) == normalized_name(name)
        };
        self.lines.iter().map(|(_, text)| text.as_str()).find(|text| asks(text))
    }

    /// The lines for packages other than Dagster's: `` `LINE` (FILE:LINE) ``.
    pub fn for_others(&self) -> Vec<String> {
        let split = |text: &str| match text.strip_suffix(')').and_then(|text| text.rsplit_once(" (")) {
            Some((line, kind)) => (line.to_string(), format!("{kind}, ")),
            None => (text.to_string(), String::new()),
        };
        let lines = self.lines.iter().map(|(place, text)| (place, split(text)));
        let others = lines.filter(|(_, (line, _))| releases::dagsters(line).is_none());
        others.map(|(place, (line, kind))| format!("`{line}` ({kind}{place})")).collect()
    }

    /// The first place, for annotations.
    pub fn place(&self) -> Option<Place> {
        let (place, _) = self.lines.iter().find(|(place, _)| place.line.is_some())?;
        Some(Place { file: lexically_normal(&self.directory.join(&place.file)), ..place.clone() })
    }
}

impl fmt::Display for Mentioned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, text) in self.lines.iter().take(MOST_LINES) {
            let line = place.line.map(|line| format!(":{line}")).unwrap_or_default();
            write!(f, "\n  {}{line}: {text}", place.file.display())?;
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
        assert_eq!(Mentioned::in_text("something else", &requirements).to_string(), "");
    }
}
