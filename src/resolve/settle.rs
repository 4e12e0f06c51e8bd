//! A resolution in which Dagster's packages are missing or out of step → another one, or an error that names the newest
//! release that all of them have and the lines to change.

use super::releases::{self, Change, NEEDED, OutOfStep};
use super::{Resolution, ResolveError, find, request};
use crate::error::{Explain, Fault, Place};
use crate::project::{RequirementLine, Requirements};
use crate::target::Target;
use crate::tools::Tools;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// So many lines that contradict each other are reduced to the fewest.
const MOST_TRIED: usize = 4;

/// What a resolution is for.
pub struct Settling<'a> {
    /// What was asked for.
    pub requirements: &'a Requirements,
    /// The build directory, for messages.
    pub directory: &'a Path,
    /// Python and platform.
    pub target: Target,
    /// uv.
    pub tools: &'a Tools,
}

/// What to write so that all of Dagster's packages are of one release.
#[derive(Debug, Default)]
pub struct Advice {
    /// The newest release that all of them have.
    pub release: Option<String>,
    /// Lines that do not allow it.
    pub changes: Vec<Change>,
    /// The lock file that decided.
    pub lock: Option<PathBuf>,
}

impl Settling<'_> {
    /// The resolution itself when nothing is wrong with it; else the one with the newest release that all have, where
    /// the lines allow that.
    ///
    /// # Errors
    /// When one of Dagster's packages is missing, or the lines hold them to different releases.
    pub fn settle(&self, first: Result<Resolution, ResolveError>) -> Result<Resolution, ResolveError> {
        match first {
            Ok(resolution) => self.settled(resolution),
            Err(ResolveError::Uv(source)) if source.fault() == Fault::Project => {
                let lines = self.contradiction();
                let advice = if lines.is_empty() { Advice::default() } else { self.advice(&[]) };
                if advice.changes.is_empty() {
                    return Err(source.into());
                }
                let lines = lines.iter().map(|line| format!("`{line}`")).collect();
                Err(ResolveError::NoRelease { lines, advice: Box::new(advice), source })
            }
            Err(error) => Err(error),
        }
    }

    fn settled(&self, resolution: Resolution) -> Result<Resolution, ResolveError> {
        let missing: Vec<&str> = NEEDED
            .into_iter()
            .filter(|name| !resolution.distributions.iter().any(|one| one.name == *name))
            .collect();
        if !missing.is_empty() {
            return Err(self.missing(&missing, &resolution));
        }
        let Some(OutOfStep { newer, older }) = releases::out_of_step(&resolution) else {
            return Ok(resolution);
        };
        if self.is_forced() {
            self.tools.host().warn(format!(
                "{} {} and {} {} are not of one release; an override says so",
                newer.0, newer.1, older.0, older.1
            ));
            return Ok(resolution);
        }
        if self.requirements.lock.is_none()
            && let Some(found) =
                releases::in_step(resolution, &|limits| self.ask(self.requirements.clone(), limits))
        {
            let release = found.version_of("dagster").unwrap_or_default();
            self.tools
                .host()
                .detail(format!("{release} is the newest release that all of Dagster's packages have"));
            return Ok(found);
        }
        Err(ResolveError::OutOfStep { newer, older, advice: Box::new(self.advice(&[])) })
    }

    fn missing(&self, missing: &[&str], resolution: &Resolution) -> ResolveError {
        let candidates =
            ["pyproject.toml", "setup.py", "requirements.txt"].map(|name| self.directory.join(name));
        let file = candidates.into_iter().find(|file| file.is_file());
        ResolveError::MissingDagster {
            missing: missing.iter().map(ToString::to_string).collect(),
            directory: self.directory.to_path_buf(),
            file: file.unwrap_or_else(|| self.directory.join("requirements.txt")),
            // Two names without versions resolve to one release; dagster-cloud alone has to fit the dagster that is there.
            advice: Box::new(if missing.contains(&"dagster") {
                Advice::default()
            } else {
                self.fitting(missing, resolution).unwrap_or_else(|| self.advice(missing))
            }),
        }
    }

    /// The release of the dagster that is there, if the packages to be added have it too: then no line has to change.
    fn fitting(&self, further: &[&str], resolution: &Resolution) -> Option<Advice> {
        let release = resolution.version_of("dagster")?;
        let mut asked = self.requirements.clone();
        let lock = asked.lock.as_ref().map(|lock| lock.file.clone());
        if lock.is_some() {
            // What else is pinned may have no files for this platform, which is another matter.
            asked.lines.retain(|line| releases::dagsters(&line.text).is_some());
            asked.settings.constraints.clear();
        }
        asked.lines.extend(further.iter().map(|name| bare(name)));
        let limits: Vec<String> = further.iter().map(|name| format!("{name}=={release}")).collect();
        self.ask(asked, &limits)?;
        Some(Advice { release: Some(release.to_string()), changes: Vec::new(), lock })
    }

    /// The newest release that all have, and the lines that do not allow it. `further` are names to be added.
    fn advice(&self, further: &[&str]) -> Advice {
        let lock = self.requirements.lock.as_ref().map(|lock| lock.file.clone());
        // The pins of a lock hold everything else to what it was; without one, the rest has a say.
        let wanted = match lock {
            Some(_) => self.newest(further, true),
            None => self.newest(further, false).or_else(|| self.newest(further, true)),
        };
        let Some(wanted) = wanted else { return Advice { lock, ..Advice::default() } };
        let lines = self.requirements.lines.iter().filter_map(|line| {
            let change = releases::change(&line.text, &wanted)?;
            if lock.is_none() {
                return Some(Change { place: line.places.first().cloned(), ..change });
            }
            // The pin of a lock that no file has changes with the lock.
            let place = self.place(&change)?;
            Some(Change { place: Some(place), ..change })
        });
        let constraints = self.requirements.settings.constraints.iter().filter(|_| lock.is_none());
        let constraints = constraints.filter_map(|line| {
            let change = releases::change(line, &wanted)?;
            Some(Change { place: self.place(&change), ..change })
        });
        let mut changes: Vec<Change> = lines.chain(constraints).collect();
        changes.sort_by(|one, other| one.line.cmp(&other.line));
        changes.dedup_by(|one, other| one.line == other.line);
        Advice { release: wanted.version_of("dagster").map(String::from), changes, lock }
    }

    /// The resolution with the newest release that all have, whatever versions the lines for them name; of `own` lines
    /// alone, or together with all others.
    fn newest(&self, further: &[&str], own: bool) -> Option<Resolution> {
        let mut asked = self.requirements.clone();
        asked.lines.retain(|line| !own || releases::dagsters(&line.text).is_some());
        for line in &mut asked.lines {
            line.text = releases::relaxed(&line.text).unwrap_or_else(|| std::mem::take(&mut line.text));
        }
        asked.lines.extend(further.iter().map(|name| bare(name)));
        let locked = self.requirements.lock.is_some();
        asked.settings.constraints.retain(|line| !locked && releases::dagsters(line).is_none());
        releases::in_step(self.ask(asked.clone(), &[])?, &|limits| self.ask(asked.clone(), limits))
    }

    /// uv's answer to these requirements with further limits.
    fn ask(&self, mut requirements: Requirements, limits: &[String]) -> Option<Resolution> {
        requirements.settings.constraints.extend_from_slice(limits);
        let found = find(&request(&requirements, self.target), &requirements, self.target, self.tools);
        found.inspect_err(|error| self.tools.host().detail(format!("{limits:?}: {error}"))).ok()
    }

    /// The fewest lines and constraints for Dagster's packages that no set of versions meets, whatever the other lines
    /// say; none where they can be met, or where it is one line for a library with a version that does not exist.
    fn contradiction(&self) -> Vec<String> {
        let mut asked = self.requirements.clone();
        asked.lines.retain(|line| releases::dagsters(&line.text).is_some());
        asked.settings.constraints.retain(|line| releases::dagsters(line).is_some());
        if self.ask(asked.clone(), &[]).is_some() {
            return Vec::new();
        }
        // What is left out last is named rather than what is left out first.
        let rank = |line: &String| releases::dagsters(line).map(|one| releases::rank(one.name.as_ref()));
        let lines = asked.lines.iter().map(|line| line.text.clone());
        let mut texts: Vec<String> = lines.chain(asked.settings.constraints.iter().cloned()).collect();
        texts.sort_by_key(|line| std::cmp::Reverse(rank(line)));
        // Each try asks uv; where there are many lines, all are named.
        let tried = if texts.len() > MOST_TRIED { &[] } else { texts.as_slice() };
        for text in tried {
            let mut fewer = asked.clone();
            fewer.lines.retain(|line| line.text != *text);
            fewer.settings.constraints.retain(|line| line != text);
            if !fewer.lines.is_empty() && self.ask(fewer.clone(), &[]).is_none() {
                asked = fewer;
            }
        }
        let lines = asked.lines.iter().map(|line| line.text.clone());
        releases::named(lines.chain(asked.settings.constraints).collect())
    }

    /// Whether an override or exclusion of the user's names a package that is released with dagster.
    fn is_forced(&self) -> bool {
        let settings = &self.requirements.settings;
        let mut lines = settings.overrides.iter().chain(&settings.excludes);
        lines.any(|line| {
            releases::dagsters(line).is_some_and(|one| releases::is_released_with_dagster(one.name.as_ref()))
        })
    }

    /// Where a constraint or the origin of a lock's pin is: the line of a project file that names the package, with just
    /// these versions if there is one.
    fn place(&self, change: &Change) -> Option<Place> {
        let origins = &self.requirements.settings.origins;
        if let Some(origin) = origins.iter().find(|one| one.name == change.name && one.text == change.line) {
            return Some(origin.place.clone());
        }
        let packages = self.requirements.local_packages.iter().map(|package| package.directory.as_path());
        let directories = std::iter::once(self.directory).chain(packages);
        let mut files: Vec<PathBuf> = directories.flat_map(requirement_files).collect();
        files.dedup();
        let versions = change.line.trim_start_matches(|each: char| !"<>=!~".contains(each));
        let versions = versions.split(';').next().unwrap_or_default().trim();
        let mut named = Vec::new();
        for file in files {
            let Ok(text) = std::fs::read_to_string(&file) else { continue };
            for (number, line) in text.lines().enumerate().filter(|(_, line)| names(line, &change.name)) {
                let exact = line.replace(' ', "").contains(&versions.replace(' ', ""));
                named.push((exact, Place { file: file.clone(), line: Some(number + 1), column: None }));
            }
        }
        let exact = named.iter().position(|(exact, _)| *exact);
        named.into_iter().nth(exact.unwrap_or(0)).map(|(_, place)| place)
    }
}

/// Files of a directory that requirements are written in.
fn requirement_files(directory: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> =
        ["pyproject.toml", "setup.py", "setup.cfg"].map(|name| directory.join(name)).into();
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let texts = entries.map(|entry| entry.path());
    found.extend(
        texts.filter(|path| path.extension().is_some_and(|ending| ending == "txt" || ending == "in")),
    );
    found.sort_by_key(|path| !path.ends_with("requirements.txt"));
    found
}

/// Whether a line of a file has this normalised name as a word, outside a comment.
fn names(line: &str, name: &str) -> bool {
    let code = line.split('#').next().unwrap_or_default();
    let mut words = code.split(|each: char| !(each.is_ascii_alphanumeric() || "-_.".contains(each)));
    words.any(|word| !word.is_empty() && crate::wheel::filename::normalized_name(word) == name)
}

impl Advice {
    /// What to do, as a sentence.
    pub fn text(&self) -> String {
        let Some(release) = &self.release else {
            return "pin all of them to one release; the newest that all have could not be looked up here"
                .to_string();
        };
        let changes: Vec<String> = self.changes.iter().map(change_text).collect();
        let colon = if changes.is_empty() { "" } else { ": " };
        format!(
            "the newest release that all of them have is {release}{colon}{}{}",
            changes.join("; "),
            self.lock_text()
        )
    }

    /// What to do where `missing` are to be added to `file`, as a sentence.
    pub fn adding(&self, missing: &[String], file: &Path) -> String {
        let version = self.release.as_ref().map(|release| format!("=={release}")).unwrap_or_default();
        let lines: Vec<String> = missing.iter().map(|name| format!("`{name}{version}`")).collect();
        let mut text = format!("add {} to {}", lines.join(" and "), file.display());
        for change in &self.changes {
            let _ = write!(text, ", and {}", change_text(change));
        }
        if let (false, Some(release)) = (self.changes.is_empty(), &self.release) {
            let _ = write!(text, "; {release} is the newest release that all of Dagster's packages have");
        }
        text + &self.lock_text()
    }

    fn lock_text(&self) -> String {
        self.lock.as_ref().map(|lock| format!("; then update {}", lock.display())).unwrap_or_default()
    }

    /// The first line to change, or the lock file.
    pub fn place(&self) -> Option<Place> {
        let lock = self.lock.as_ref().map(|file| Place { file: file.clone(), line: None, column: None });
        lock.or_else(|| self.changes.iter().find_map(|change| change.place.clone()))
    }
}

/// A line that is only a name.
fn bare(name: &str) -> RequirementLine {
    RequirementLine { text: name.into(), name: Some(name.into()), is_link: false, places: Vec::new() }
}

fn change_text(change: &Change) -> String {
    let at = change.place.as_ref().map(|place| format!(" ({place})")).unwrap_or_default();
    format!("write `{}` instead of `{}`{at}", change.instead, change.line)
}
