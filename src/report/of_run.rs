//! The report of a run as a function of the results of its stages.

use super::{
    Ended, LocationReport, LocationState, PreviousVersion, Problem, Purpose, Report, Run, RunResult, Stage,
};
use crate::builder::manifest::pex_tag;
use crate::builder::{Built, DepsPexFile};
use crate::plan::PlannedLocation;
use crate::project::Location;
use crate::publish::{SentFiles, UploadOutcome};
use crate::update::Outcome;
use crate::verify::{Excuse, Failure, Verified};

/// The report of a run, `now` seconds after it began.
pub fn of_run(run: &Run, ended: &Ended, now: f64) -> Report {
    let problems = match ended {
        Ended::Failure(problems) => problems.clone(),
        _ => Vec::new(),
    };
    let warnings = run.warnings.iter().map(Problem::from_warning);
    let warnings = warnings.chain(run.excuses.iter().map(|excuse| excused(excuse, run))).collect();
    let known = Known { run, ended, problems: &problems, warnings: &warnings };
    Report {
        result: ended.result(),
        reason: match ended {
            Ended::Skipped(reason) => Some(reason.clone()),
            Ended::Cancelled(Some(begun)) => Some(run.left_behind(begun)),
            _ => None,
        },
        out_dir: run.out_dir.clone(),
        python_version: run.target.map(|target| target.python.to_string()),
        platform: run.target.map(|target| target.platform.to_string()),
        locations: (0..run.locations.len()).map(|at| known.location(at)).collect(),
        files: run.built.iter().flat_map(|(_, built)| built.files()).cloned().collect(),
        also_deployed: run.others.clone(),
        removed: run.removed.clone(),
        also_deployed_note: notes(run),
        verified: run
            .verified
            .as_ref()
            .map(|all| all.iter().filter(|one| !is_excused(one, run)).cloned().collect()),
        deployment: run.deployment.clone(),
        stages: stages(run, now),
        seconds: now,
        changed_when_interrupted: ended.begun().is_some_and(|begun| *begun != Default::default()),
        purpose: run.purpose,
        warnings,
        problems,
    }
}

/// What is said of code locations that the project file does not name.
fn notes(run: &Run) -> Option<String> {
    let notes: Vec<String> = run.removed_note().into_iter().chain(run.others_note()).collect();
    (!notes.is_empty()).then(|| notes.join(" "))
}

/// Each stage lasts until the next one begins, the last one up to now.
fn stages(run: &Run, now: f64) -> Vec<Stage> {
    let ends = run.stages.iter().skip(1).map(|(_, start)| *start).chain([now]);
    let stage = |(&(name, start), end): (&(&'static str, f64), f64)| Stage {
        name,
        start,
        // Differences of floats have long tails, which would show up in the JSON.
        seconds: ((end - start) * 1000.0).round() / 1000.0,
    };
    run.stages.iter().zip(ends).map(stage).collect()
}

/// Excused failures, as warnings.
fn excused(excuse: &Excuse, run: &Run) -> Problem {
    let place = run.locations.iter().find(|location| excuse.location() == Some(&location.name));
    Problem {
        title: excuse.title(),
        text: excuse.text(),
        place: place.map(|location| location.place.clone()),
    }
}

fn is_excused(verified: &Verified, run: &Run) -> bool {
    run.excuses.iter().any(|excuse| excuse.location() == Some(&verified.name))
}

impl Ended {
    fn result(&self) -> RunResult {
        match self {
            Ended::Running => RunResult::Running,
            Ended::Success => RunResult::Success,
            Ended::Failure(_) => RunResult::Failure,
            Ended::Skipped(_) => RunResult::Skipped,
            Ended::Closed => RunResult::Closed,
            Ended::Cancelled(_) => RunResult::Cancelled,
        }
    }

    fn begun(&self) -> Option<&crate::dagster::session::Begun> {
        match self {
            Ended::Cancelled(begun) => begun.as_ref(),
            _ => None,
        }
    }
}

/// The data for the report of a code location.
struct Known<'a> {
    run: &'a Run,
    ended: &'a Ended,
    problems: &'a Vec<Problem>,
    warnings: &'a Vec<Problem>,
}

impl Known<'_> {
    /// The code location at this place of the project file.
    fn location(&self, at: usize) -> LocationReport {
        let location = &self.run.locations[at];
        let outcomes = self.run.outcomes.iter().flat_map(|outcomes| outcomes.iter());
        let outcome = outcomes.into_iter().find(|outcome| outcome.name == location.name);
        let verified = self.run.verified.iter().flatten().filter(|one| !is_excused(one, self.run));
        let verified = verified.into_iter().find(|one| one.name == location.name);
        let problems = self.problems_of(at, verified, outcome);
        let mut report = LocationReport {
            name: location.name.clone(),
            directory: location.directory.clone(),
            errors: problems.iter().map(|problem| problem.text.clone()).collect(),
            sent: outcome.and_then(|outcome| outcome.sent),
            dependencies: self.run.changes.get(&location.name).cloned(),
            image: self.run.images.get(&location.name).cloned(),
            built_image: self
                .run
                .image_builds
                .get(&location.name)
                .and_then(|image| image.as_ref().ok())
                .cloned(),
            problems,
            place: Some(location.place.clone()),
            ..LocationReport::default()
        };
        if let Some((planned, built)) = self.planned(&location.name) {
            if let Some((source, deps)) = built.pair(planned) {
                report.source_pex = Some(source.name.clone());
                report.deps_pex = Some(deps.name().to_string());
                report.pex_tag = Some(pex_tag(&[&source.name, deps.name()]));
            }
            let deps = built.deps[planned.deps].as_ref().ok();
            report.dagster_version = deps.and_then(DepsPexFile::dagster_version).map(String::from);
            report.dagster_cloud_version =
                deps.and_then(|deps| deps.resolution().version_of("dagster-cloud")).map(String::from);
        }
        if let Some(image) = &report.built_image {
            let mut distributions = image.distributions();
            report.dagster_version = distributions.remove("dagster");
            report.dagster_cloud_version = distributions.remove("dagster-cloud");
        }
        report.state = self.state(location, &report, verified, outcome);
        let was_serving = self.run.deployment.is_some() && self.run.serving.contains(&location.name);
        report.previous_version = was_serving.then(|| PreviousVersion::after(report.state)).flatten();
        report.sent = report.sent.or(self.sent_before_interrupt(&report));
        report
    }

    /// The files of a code location that is deployed as PEX files.
    fn planned(&self, name: &str) -> Option<(&PlannedLocation, &Built)> {
        let (plan, built) = self.run.built.as_ref()?;
        Some((plan.locations.iter().find(|planned| planned.location.name == name)?, built))
    }

    /// Why it is not as requested, in the order of the stages.
    fn problems_of(&self, at: usize, verified: Option<&Verified>, outcome: Option<&Outcome>) -> Vec<Problem> {
        if self.run.purpose == Purpose::Check {
            let location = &self.run.locations[at];
            return self.problems.iter().filter(|one| self.is_about(one, location)).cloned().collect();
        }
        let mut problems = Vec::new();
        let image = self.run.image_builds.get(&self.run.locations[at].name);
        let is_excused = self.run.excuses.iter().any(|excuse| excuse.location().is_none());
        problems.extend(image.filter(|_| !is_excused).and_then(|image| image.as_ref().err()).cloned());
        if let Some((planned, built)) = self.planned(&self.run.locations[at].name)
            && !is_excused
        {
            let (source, deps) = (&built.sources[planned.source], &built.deps[planned.deps]);
            let errors = source.as_ref().err().into_iter().chain(deps.as_ref().err());
            problems.extend(errors.map(Problem::from_error));
        }
        let failure = verified.filter(|one| !one.passes()).and_then(Verified::failure);
        problems.extend(failure.map(|Failure { title, text, place }| Problem { title, text, place }));
        problems.extend(outcome.and_then(|outcome| outcome.result.as_ref().err()).map(Problem::from_error));
        problems
    }

    fn state(
        &self,
        location: &Location,
        report: &LocationReport,
        verified: Option<&Verified>,
        outcome: Option<&Outcome>,
    ) -> LocationState {
        let (run, is_built) = (self.run, report.pex_tag.is_some() || report.built_image.is_some());
        if run.purpose == Purpose::Check {
            let is_doubtful = self.warnings.iter().any(|one| self.is_about(one, location));
            return match (report.errors.is_empty(), is_doubtful) {
                (false, _) => LocationState::Wrong,
                (true, true) => LocationState::Doubtful,
                (true, false) => LocationState::Read,
            };
        }
        let updating = self.ended.begun().filter(|begun| begun.update);
        if let Some(state) = updating.and_then(|_| run.updating.get(&location.name)) {
            return *state;
        }
        if run.outcomes.is_some() {
            return outcome.map_or(LocationState::NotDeployed, LocationState::from_outcome);
        }
        // In a run that only builds, a built code location is finished.
        let deploys = run.deployment.is_some();
        if let Some(begun) = self.ended.begun()
            && (deploys || !is_built || *begun != Default::default())
        {
            return LocationState::NotDeployed;
        }
        match verified {
            Some(verified) if !verified.passes() => LocationState::NotLoaded,
            _ if !report.errors.is_empty() => LocationState::NotBuilt,
            _ if matches!(self.ended, Ended::Running) => LocationState::Pending,
            _ if deploys || !is_built => LocationState::NotReached,
            Some(verified) if !verified.is_tolerated => LocationState::Verified,
            _ => LocationState::Built,
        }
    }

    /// How the files of a code location were stored, if an interrupt prevented its update.
    fn sent_before_interrupt(&self, report: &LocationReport) -> Option<SentFiles> {
        let begun = self.ended.begun()?;
        let is_uploaded =
            |name: &Option<String>| name.as_ref().is_some_and(|name| begun.uploaded.contains(name));
        let uploaded = SentFiles { source: UploadOutcome::Uploaded, deps: UploadOutcome::Uploaded };
        (is_uploaded(&report.source_pex) && is_uploaded(&report.deps_pex)).then_some(uploaded)
    }

    /// Whether a finding of a check is about a code location: it names it, or is in its directory and in no other's
    /// below that.
    fn is_about(&self, problem: &Problem, location: &Location) -> bool {
        if problem.title.contains(&format!("code location `{}`", location.name)) {
            return true;
        }
        let Some(place) = problem.place.as_ref().filter(|place| place.file != self.run.project_file) else {
            return false;
        };
        let directories = self.run.locations.iter().map(|location| &location.directory);
        let nearest = directories.filter(|directory| place.file.starts_with(directory));
        nearest.max_by_key(|directory| directory.components().count()) == Some(&location.directory)
    }
}

#[cfg(test)]
mod tests;
