//! Checks a resolution for Dagster's packages that are missing or of different releases. Finds another resolution, or
//! returns an error with the newest common release and the lines to change.

use super::advice::Advice;
use super::mentioned::Mentioned;
use super::releases::{self, NEEDED, OutOfStep};
use super::written;
use super::{Resolution, ResolveError, find, request};
use crate::error::{Explain, Fault};
use crate::project::{RequirementLine, Requirements};
use crate::target::Target;
use crate::tools::{Tools, UvError};
use std::path::Path;

/// Up to this many conflicting lines are reduced to the fewest.
const MOST_TRIED: usize = 4;

/// The error for missing packages, with the file to add them to.
pub fn missing_error(
    missing: &[&str],
    requirements: &Requirements,
    directory: &Path,
    advice: Advice,
) -> ResolveError {
    let file = written::dependencies_file(requirements, directory);
    ResolveError::MissingDagster {
        missing: missing.iter().map(ToString::to_string).collect(),
        directory: directory.to_path_buf(),
        file: file.unwrap_or_else(|| directory.join("requirements.txt")),
        advice: Box::new(advice),
    }
}

/// The requirements to settle.
pub struct Settling<'a> {
    /// The requirements.
    pub requirements: &'a Requirements,
    /// The build directory, for messages.
    pub directory: &'a Path,
    /// Python and platform.
    pub target: Target,
    /// uv.
    pub tools: &'a Tools,
}

impl Settling<'_> {
    /// The resolution itself if it is fine; otherwise the one with the newest common release, if the lines allow that.
    ///
    /// # Errors
    /// When one of Dagster's packages is missing, or the lines pin them to different releases.
    pub fn settle(&self, first: Result<Resolution, ResolveError>) -> Result<Resolution, ResolveError> {
        match first {
            Ok(resolution) => self.settled(resolution),
            Err(ResolveError::Uv(source)) if source.fault() == Fault::Project => {
                let lines = self.contradiction();
                let advice = if lines.is_empty() { Advice::default() } else { self.advice(&[]) };
                // Without a change to suggest, uv's own explanation is better.
                if advice.changes.is_empty() {
                    return Err(source.into());
                }
                let lines = lines.iter().map(|line| format!("`{line}`")).collect();
                Err(ResolveError::NoRelease { lines, advice: Box::new(advice), source: Some(source) })
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
        // With an override, the user has chosen this combination.
        if self.is_forced() {
            self.tools.host().warn(format!(
                "{} {} and {} {} are not of one release; an override says so",
                newer.0, newer.1, older.0, older.1
            ));
            return Ok(resolution);
        }
        if self.requirements.lock.is_none()
            && let Some(found) =
                releases::in_step(resolution, &|limits| self.ask(self.requirements.clone(), limits).ok())
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
        // Added together without versions, both resolve to one release. dagster-cloud alone has to match the existing
        // dagster.
        let advice = if missing.contains(&"dagster") {
            Advice::default()
        } else {
            self.fitting(missing, resolution).unwrap_or_else(|| self.advice(missing))
        };
        let advice = advice.with_choices(&self.requirements.not_taken, missing);
        missing_error(missing, self.requirements, self.directory, advice)
    }

    /// Advice with the release of the existing dagster, if the packages to add have it too: then no line has to change.
    fn fitting(&self, further: &[&str], resolution: &Resolution) -> Option<Advice> {
        let release = resolution.version_of("dagster")?;
        let mut asked = self.requirements.clone();
        if asked.lock.is_some() {
            // Only Dagster's packages: others in the lock may have no files for this platform, which is a separate
            // problem.
            asked.lines.retain(|line| releases::dagsters(&line.text).is_some());
            // These are the pins of the lock.
            asked.settings.constraints.clear();
        }
        asked.lines.extend(further.iter().map(|name| RequirementLine::bare(name)));
        let limits: Vec<String> = further.iter().map(|name| format!("{name}=={release}")).collect();
        self.ask(asked, &limits).ok()?;
        Some(Advice::fitting(release, self.requirements))
    }

    /// Advice with the newest common release and the lines that exclude it. `further` are packages to add.
    fn advice(&self, further: &[&str]) -> Advice {
        // A lock pins everything else too, so only Dagster's lines are asked. Without a lock, other lines count as
        // well.
        if written::lock(self.requirements).is_some() {
            return Advice::towards(self.newest(further, true), self.requirements);
        }
        if let Ok(wanted) = self.newest(further, false) {
            return Advice::towards(Ok(wanted), self.requirements);
        }
        let wanted = self.newest(further, true);
        let held = wanted.as_ref().map(|wanted| self.held(wanted, further)).unwrap_or_default();
        Advice { held, ..Advice::towards(wanted, self.requirements) }
    }

    /// The lines for other packages that exclude the release in `wanted`, each with its place.
    fn held(&self, wanted: &Resolution, further: &[&str]) -> Vec<String> {
        let asked = self.relaxed(further, false);
        let names = asked.lines.iter().filter_map(|line| line.name.as_deref());
        let dagsters = names.filter(|name| releases::dagsters(name).is_some());
        let limits: Vec<String> =
            dagsters.filter_map(|name| Some(format!("{name}=={}", wanted.version_of(name)?))).collect();
        match self.ask(asked, &limits) {
            Err(ResolveError::Uv(UvError::Project { source, .. })) => {
                Mentioned::in_error(&source, self.requirements).for_others()
            }
            _ => Vec::new(),
        }
    }

    /// The resolution with the newest common release, ignoring the versions in the lines for Dagster's packages; with
    /// only those lines (`own`), or with all.
    fn newest(&self, further: &[&str], own: bool) -> Result<Resolution, Fault> {
        let asked = self.relaxed(further, own);
        let first = self.ask(asked.clone(), &[]).map_err(|error| error.fault())?;
        let found = releases::in_step(first, &|limits| self.ask(asked.clone(), limits).ok());
        found.ok_or(Fault::Project)
    }

    /// The requirements without versions of Dagster's packages; only the lines for these (`own`), or all.
    fn relaxed(&self, further: &[&str], own: bool) -> Requirements {
        let mut asked = self.requirements.clone();
        asked.lines.retain(|line| !own || releases::dagsters(&line.text).is_some());
        for line in &mut asked.lines {
            line.text = releases::relaxed(&line.text).unwrap_or_else(|| std::mem::take(&mut line.text));
        }
        asked.lines.extend(further.iter().map(|name| RequirementLine::bare(name)));
        let locked = self.requirements.lock.is_some();
        asked.settings.constraints.retain(|line| !locked && releases::dagsters(line).is_none());
        asked
    }

    /// uv's answer to these requirements with additional limits.
    fn ask(&self, mut requirements: Requirements, limits: &[String]) -> Result<Resolution, ResolveError> {
        requirements.settings.constraints.extend_from_slice(limits);
        let found = find(&request(&requirements, self.target), &requirements, self.target, self.tools);
        found.inspect_err(|error| self.tools.host().detail(format!("{limits:?}: {error}")))
    }

    /// The fewest lines and constraints for Dagster's packages that conflict without any other lines. Empty if they can
    /// be satisfied, or if it is one line for a library with a version that does not exist.
    fn contradiction(&self) -> Vec<String> {
        let mut asked = self.requirements.clone();
        asked.lines.retain(|line| releases::dagsters(&line.text).is_some());
        asked.settings.constraints.retain(|line| releases::dagsters(line).is_some());
        if self.ask(asked.clone(), &[]).is_ok() {
            return Vec::new();
        }
        // Lines that are tried first are dropped first, so the lines that matter most come last.
        let rank = |line: &String| releases::dagsters(line).map(|one| releases::rank(one.name.as_ref()));
        let lines = asked.lines.iter().map(|line| line.text.clone());
        let mut texts: Vec<String> = lines.chain(asked.settings.constraints.iter().cloned()).collect();
        texts.sort_by_key(|line| std::cmp::Reverse(rank(line)));
        // Each try runs uv, so with many lines none is tried and all are named.
        let tried = if texts.len() > MOST_TRIED { &[] } else { texts.as_slice() };
        for text in tried {
            let mut fewer = asked.clone();
            fewer.lines.retain(|line| line.text != *text);
            fewer.settings.constraints.retain(|line| line != text);
            if !fewer.lines.is_empty() && self.ask(fewer.clone(), &[]).is_err() {
                asked = fewer;
            }
        }
        let lines = asked.lines.iter().map(|line| line.text.clone());
        releases::named(lines.chain(asked.settings.constraints).collect())
    }

    /// Whether an override or exclusion of the user names a package that is released with dagster.
    fn is_forced(&self) -> bool {
        let settings = &self.requirements.settings;
        let mut lines = settings.overrides.iter().chain(&settings.excludes);
        lines.any(|line| {
            releases::dagsters(line).is_some_and(|one| releases::is_released_with_dagster(one.name.as_ref()))
        })
    }
}
