//! What a run came to, as data, and as text for each reader: terminal, pull request, step summary, other programs.
//!
//! Everything here returns values and writes nothing. [`Report`] is also the JSON document of `deploy`.

pub mod comment;
pub mod cut;
pub mod facts;
pub mod markdown;
pub mod outputs;
pub mod rows;
pub mod summary;
pub mod table;

use crate::build::PexFile;
use crate::dependencies::DependencyChanges;
use crate::error::{Explain, Fault, Place, error_text};
use crate::input_names::for_flags;
use crate::paths::shortened;
use crate::project::{Location, Warning};
use crate::publish::{SentFiles, UploadOutcome};
use crate::redact::{self, Secret};
use crate::update::{self, UpdateError, Updated};
use crate::verify::{Outcome, Verified};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// What a run came to so far.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// What it came to as a whole.
    pub result: RunResult,
    /// Why nothing was deployed, where that is no failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Where the PEX files are here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub out_dir: Option<PathBuf>,
    /// Python of the code locations.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub python_version: Option<String>,
    /// Platform of the code locations.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// In the order of the project file.
    pub locations: Vec<LocationReport>,
    /// PEX files built in this run.
    pub files: Vec<PexFile>,
    /// Code locations of the deployment that the project file does not name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub also_deployed: Vec<String>,
    /// The same in a sentence.
    #[serde(skip)]
    pub also_deployed_note: Option<String>,
    /// What loading the files here showed, if that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verified: Option<Vec<Verified>>,
    /// The deployment that the run went to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deployment: Option<DeploymentReport>,
    /// The stages, in the order in which they began.
    pub stages: Vec<Stage>,
    /// The whole run, in seconds.
    pub seconds: f64,
    /// What the user should know, with places.
    #[serde(skip)]
    pub warnings: Vec<Problem>,
    /// The errors that ended the run.
    #[serde(skip)]
    pub problems: Vec<Problem>,
    /// What it is for.
    #[serde(skip)]
    pub goal: Goal,
    /// Whether something had begun to change when the run was interrupted.
    #[serde(skip)]
    pub changed_when_interrupted: bool,
}

impl Report {
    /// What it came to, in a sentence: `Deployed 2 code locations`.
    pub fn sentence(&self) -> String {
        match self.result {
            RunResult::Closed => "The branch deployment is closed".into(),
            RunResult::Cancelled => match &self.reason {
                Some(reason) => format!("Cancelled: {reason}"),
                None => "Cancelled".into(),
            },
            RunResult::Skipped => self.reason.clone().unwrap_or_else(|| "Nothing was deployed".into()),
            RunResult::Failure if self.locations.iter().all(|location| location.errors.is_empty()) => self
                .problems
                .first()
                .map_or_else(|| self.goal.failure().into(), |problem| problem.title.clone()),
            _ => rows::headline(&rows::from_report(self)).1,
        }
    }

    /// The same, with the inputs of the action where its errors and warnings say flags.
    #[must_use]
    pub fn with_input_names(self) -> Report {
        self.with_texts(for_flags)
    }

    /// The same without these secrets, which what others wrote may repeat.
    #[must_use]
    pub fn without_secrets(self, secrets: &[Secret]) -> Report {
        let erased = |text: &str| redact::without(secrets, text);
        let mut report = self.with_texts(erased);
        for verified in report.verified.iter_mut().flatten() {
            if let Outcome::Failed { error, traceback, not_here, hint, .. } = &mut verified.outcome {
                (*error, *traceback) = (erased(error), erased(traceback));
                *not_here = not_here.as_deref().map(erased);
                *hint = hint.as_deref().map(erased);
            }
        }
        report.reason = report.reason.as_deref().map(erased);
        report
    }

    /// The same with each text of an error or a warning put through this.
    fn with_texts(mut self, change: impl Fn(&str) -> String) -> Report {
        let of_locations = self.locations.iter_mut().flat_map(|location| &mut location.problems);
        for problem in self.problems.iter_mut().chain(&mut self.warnings).chain(of_locations) {
            problem.title = change(&problem.title);
            problem.text = change(&problem.text);
        }
        for error in self.locations.iter_mut().flat_map(|location| &mut location.errors) {
            *error = change(error);
        }
        self
    }

    /// The same, with paths below `directory` relative to it.
    #[must_use]
    pub fn with_short_paths(self, directory: &Path) -> Report {
        let short = |text: &str| shortened(text, directory);
        let mut report = self.with_texts(short);
        let of_locations = report.locations.iter_mut().flat_map(|location| &mut location.problems);
        let problems = report.problems.iter_mut().chain(&mut report.warnings).chain(of_locations);
        for place in problems.filter_map(|problem| problem.place.as_mut()) {
            if let Ok(below) = place.file.strip_prefix(directory) {
                place.file = below.to_path_buf();
            }
        }
        report.reason = report.reason.as_deref().map(short);
        report
    }

    /// Whether a file was sent or a code location changed.
    pub fn changed(&self) -> bool {
        let sent = |location: &LocationReport| {
            location.sent.as_ref().is_some_and(|sent| {
                sent.source == UploadOutcome::Uploaded || sent.deps == UploadOutcome::Uploaded
            })
        };
        self.changed_when_interrupted
            || self
                .locations
                .iter()
                .any(|location| sent(location) || location.state.is_some_and(State::is_updated))
    }
}

/// `Also in prod, and not in dagster_cloud.yaml: …`. Whose they are is not known: several repositories may share a
/// deployment.
pub fn others(names: &[String], deployment: &str, file: &str) -> String {
    const MOST: usize = 10;
    let mut shown = names.iter().take(MOST).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > MOST {
        shown += &format!(" and {} more", names.len() - MOST);
    }
    format!("Also in {deployment}, and not in {file}: {shown}. They stay as they are.")
}

/// What a run is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Goal {
    /// To build and deploy.
    #[default]
    Deploy,
    /// Only to build.
    Build,
    /// Only to read the project.
    Check,
}

impl Goal {
    /// What is said of a run that failed: `Not deployed`.
    pub fn failure(self) -> &'static str {
        match self {
            Goal::Deploy => "Not deployed",
            Goal::Build => "Not built",
            Goal::Check => "Check failed",
        }
    }
}

/// What a run came to as a whole.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunResult {
    /// It has not ended.
    #[default]
    Running,
    /// All that was asked for is done.
    Success,
    /// Something is not done.
    Failure,
    /// There was nothing to deploy, or no leave to.
    Skipped,
    /// A branch deployment was closed.
    Closed,
    /// A signal ended it.
    Cancelled,
}

/// A deployment in a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeploymentReport {
    /// Its name.
    pub name: String,
    /// Whether it is a branch deployment.
    pub is_branch: bool,
    /// Page with its code locations.
    pub url: String,
    /// The commit deployed.
    pub commit_hash: Option<String>,
}

impl DeploymentReport {
    /// Markdown that leads there: a full deployment by its name, a branch deployment by its branch's.
    pub fn link(&self, branch: Option<&str>) -> String {
        match branch.filter(|_| self.is_branch) {
            Some(branch) => {
                format!("the branch deployment of {}", markdown::link(&markdown::code(branch), &self.url))
            }
            None => markdown::link(&markdown::code(&self.name), &self.url),
        }
    }
}

/// A code location in a report.
#[derive(Debug, Clone, Default, Serialize)]
pub struct LocationReport {
    /// `location_name`.
    pub name: String,
    /// The build directory.
    pub directory: PathBuf,
    /// Why it is not as asked, a text each.
    pub errors: Vec<String>,
    /// `source-HASH.pex`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_pex: Option<String>,
    /// `deps-HASH.pex`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deps_pex: Option<String>,
    /// Both, as the location document names them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pex_tag: Option<String>,
    /// Version of dagster in the deps PEX.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dagster_version: Option<String>,
    /// Version of dagster-cloud in the deps PEX.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dagster_cloud_version: Option<String>,
    /// How far it came at Dagster+; absent in a run that only builds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
    /// How its files came to be in the registry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sent: Option<SentFiles>,
    /// What changes in its dependencies; absent where nothing does, or it is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dependencies: Option<DependencyChanges>,
    /// The same as `errors`, with places.
    #[serde(skip)]
    pub problems: Vec<Problem>,
    /// Whose fault it is that it is not deployed.
    #[serde(skip)]
    pub failed_online: Option<Fault>,
    /// Where the project file names it.
    #[serde(skip)]
    pub place: Option<Place>,
    /// Whether a check warns of it.
    #[serde(skip)]
    pub is_doubtful: bool,
}

impl LocationReport {
    /// A code location of which nothing is known yet but what its file says.
    pub fn new(location: &Location) -> LocationReport {
        LocationReport {
            name: location.name.clone(),
            directory: location.directory.clone(),
            place: Some(location.place.clone()),
            ..LocationReport::default()
        }
    }

    /// Whether anything became of it.
    pub fn is_decided(&self) -> bool {
        self.pex_tag.is_some() || self.state.is_some() || !self.errors.is_empty()
    }

    /// Put down why it is not as asked.
    pub fn fail(&mut self, problem: Problem) {
        self.errors.push(problem.text.clone());
        self.problems.push(problem);
    }
}

/// How far a code location came at Dagster+.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// The run has not come to it.
    Pending,
    /// It is as it was before.
    NotDeployed,
    /// Its files are stored.
    Published,
    /// Its files are not stored.
    NotPublished,
    /// Dagster+ refused the update.
    NotUpdated,
    /// Dagster+ took the update, and nobody waited for the load.
    Updated,
    /// It runs the new files.
    Loaded,
    /// It runs just these files already, and was left alone.
    Unchanged,
    /// It was updated and does not load.
    FailedToLoad,
    /// It was updated and had not loaded when the time was up.
    Loading,
    /// It was updated and no agent was there to load it.
    NoAgent,
    /// It was updated, and then somebody else updated or removed it.
    Overtaken,
    /// Whether it was updated, or whether it then loaded, could not be seen.
    Unknown,
}

impl State {
    /// What came of an update.
    pub fn from_outcome(outcome: &update::Outcome) -> State {
        match &outcome.result {
            Ok(Updated::Published) => State::Published,
            Ok(Updated::Unchanged) => State::Unchanged,
            Ok(Updated::Loaded) => State::Loaded,
            Ok(Updated::NotAwaited) => State::Updated,
            Err(UpdateError::NotPublished { .. }) => State::NotPublished,
            Err(UpdateError::Refused { .. }) => State::NotUpdated,
            Err(UpdateError::Load { .. }) => State::FailedToLoad,
            Err(UpdateError::LoadTimeout { .. }) => State::Loading,
            Err(UpdateError::NoAgent { .. }) => State::NoAgent,
            Err(UpdateError::Overtaken { .. }) => State::Overtaken,
            Err(UpdateError::Uncertain { .. } | UpdateError::Unseen { .. }) => State::Unknown,
        }
    }

    /// In words: `failed to load`.
    pub fn words(self) -> &'static str {
        match self {
            State::Pending => "pending",
            State::NotDeployed => "not deployed",
            State::Published => "published",
            State::NotPublished => "not published",
            State::NotUpdated => "not updated",
            State::Updated => "updated",
            State::Loaded => "loaded",
            State::Unchanged => "unchanged",
            State::FailedToLoad => "failed to load",
            State::Loading => "loading",
            State::NoAgent => "no agent",
            State::Overtaken => "overtaken",
            State::Unknown => "unknown",
        }
    }

    /// As in JSON: `failed_to_load`.
    pub fn name(self) -> String {
        self.words().replace(' ', "_")
    }

    /// Whether Dagster+ took an update.
    pub fn is_updated(self) -> bool {
        use State::{FailedToLoad, Loaded, Loading, NoAgent, Overtaken, Unknown, Updated};
        matches!(self, Updated | Loaded | FailedToLoad | Loading | NoAgent | Overtaken | Unknown)
    }

    /// Whether it is as asked, as far as known.
    pub fn is_good(self) -> bool {
        matches!(self, State::Loaded | State::Updated | State::Unchanged | State::Published)
    }
}

/// A stage of a run and when it was at work, in seconds since the run began.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Stage {
    /// `build`, `load` …
    pub name: &'static str,
    /// When it began.
    pub start: f64,
    /// How long it took; up to now, if it is still at work.
    pub seconds: f64,
}

/// An error or a warning, as text and with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Its first sentence.
    pub title: String,
    /// All of it: causes, place and hint too.
    pub text: String,
    /// Where in the user's files.
    pub place: Option<Place>,
}

impl Problem {
    /// Put an error down.
    pub fn from_error(error: &(impl Explain + ?Sized)) -> Problem {
        Problem { title: error.to_string(), text: error_text(error, false), place: error.place() }
    }

    /// Put a warning down.
    pub fn from_warning(warning: &Warning) -> Problem {
        let (title, text) = (warning.message.clone(), warning.message.clone());
        Problem { title, text, place: warning.place.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_of_a_report_repeats_a_secret() {
        let says = |text: &str| format!("{text} ghs_canary_of_a_job");
        let problem = |text: &str| Problem { title: says(text), text: says(text), place: None };
        let failed = Outcome::Failed {
            error: says("e"),
            traceback: says("t"),
            not_here: Some(says("n")),
            library: None,
            place: None,
            hint: Some(says("h")),
        };
        let report = Report {
            reason: Some(says("reason")),
            problems: vec![problem("p")],
            warnings: vec![problem("w")],
            locations: vec![LocationReport {
                errors: vec![says("l")],
                problems: vec![problem("lp")],
                ..LocationReport::default()
            }],
            verified: Some(vec![Verified::new("a", failed, false)]),
            ..Report::default()
        };
        let report = report.without_secrets(&[Secret::new("ghs_canary_of_a_job")]);
        let said = format!("{report:?}");
        assert!(!said.contains("canary") && said.matches("***").count() == 12, "{said}");
    }
}
