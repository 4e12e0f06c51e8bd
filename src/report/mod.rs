//! The result of a run, as data, and as text for each reader: terminal, pull request, step summary, other programs.
//!
//! Everything here returns values and writes nothing. [`of_run()`] makes the [`Report`] of a run from the results of its
//! stages; it is also the JSON document of `deploy`.

pub mod comment;
pub mod cut;
pub mod facts;
pub mod images;
mod location_table;
pub mod markdown;
mod of_run;
pub mod outputs;
pub mod rows;
mod run;
mod state;
pub mod summary;
pub mod table;
mod wording;

pub use of_run::of_run;
pub use run::{Ended, Run};
pub use state::{LocationState, PreviousVersion};

use images::ImageFacts;

use crate::builder::PexFile;
use crate::dependencies::DependencyChanges;
use crate::deployment::Deployment;
use crate::error::{Explain, Place, error_text};
use crate::project::Warning;
use crate::publish::{SentFiles, UploadOutcome};
use crate::update::Online;
use crate::verify::Verified;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The characters of a path segment that are encoded: all but the unreserved ones of RFC 3986.
const PATH_SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The result of a run so far.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// The overall result.
    pub result: RunResult,
    /// Why nothing was deployed, if that is not a failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Local directory with the PEX files.
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
    /// Code locations that left the project file and were removed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<String>,
    /// Both in sentences.
    #[serde(skip)]
    pub also_deployed_note: Option<String>,
    /// The results of loading the files here, if requested.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verified: Option<Vec<Verified>>,
    /// The deployment that the run went to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deployment: Option<DeploymentReport>,
    /// The stages, in the order in which they began.
    pub stages: Vec<Stage>,
    /// The whole run, in seconds.
    pub seconds: f64,
    /// Warnings, with places.
    #[serde(skip)]
    pub warnings: Vec<Problem>,
    /// The errors that ended the run.
    #[serde(skip)]
    pub problems: Vec<Problem>,
    /// The purpose of the run.
    #[serde(skip)]
    pub purpose: Purpose,
    /// Whether something had begun to change when the run was interrupted.
    #[serde(skip)]
    pub changed_when_interrupted: bool,
}

impl Report {
    /// The result in a sentence: `Deployed 2 code locations`.
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
                .map_or_else(|| self.purpose.failure().into(), |problem| problem.title.clone()),
            _ => rows::headline(&rows::from_report(self)).1,
        }
    }

    /// Whether a file was sent or a code location changed.
    pub fn changed(&self) -> bool {
        let sent = |location: &LocationReport| {
            location.sent.as_ref().is_some_and(|sent| {
                sent.source == UploadOutcome::Uploaded || sent.deps == UploadOutcome::Uploaded
            })
        };
        self.changed_when_interrupted
            || self.locations.iter().any(|location| sent(location) || location.state.is_updated())
    }
}

/// The purpose of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Purpose {
    /// To build and deploy.
    #[default]
    Deploy,
    /// Only to build.
    Build,
    /// Only to read the project.
    Check,
    /// Something that neither builds nor deploys.
    Other,
}

impl Purpose {
    /// The text for a run that failed: `Not deployed`.
    pub fn failure(self) -> &'static str {
        match self {
            Purpose::Deploy => "Not deployed",
            Purpose::Build => "Not built",
            Purpose::Check => "Check failed",
            Purpose::Other => "Failed",
        }
    }
}

/// The overall result of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunResult {
    /// It has not ended.
    #[default]
    Running,
    /// Everything requested is done.
    Success,
    /// Something is not done.
    Failure,
    /// There was nothing to deploy, or no permission to.
    Skipped,
    /// A branch deployment was closed.
    Closed,
    /// A signal ended it.
    Cancelled,
}

impl RunResult {
    /// The word for it in outputs and JSON.
    pub fn name(self) -> &'static str {
        match self {
            RunResult::Running => "running",
            RunResult::Success => "success",
            RunResult::Failure => "failure",
            RunResult::Skipped => "skipped",
            RunResult::Closed => "closed",
            RunResult::Cancelled => "cancelled",
        }
    }
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
    /// A deployment that is deployed to.
    pub fn from_online(online: &Online) -> DeploymentReport {
        let Deployment { name, is_branch } = online.deployment.clone();
        let commit_hash = online.additions.revision.commit_hash.clone();
        DeploymentReport { name, is_branch, url: online.client.locations_page(), commit_hash }
    }

    /// As Markdown: a full deployment by its name, a branch deployment by the name of its branch.
    pub fn title(&self, branch: Option<&str>) -> String {
        match branch.filter(|_| self.is_branch) {
            Some(branch) => format!("the branch deployment of {}", markdown::code(branch)),
            None => markdown::code(&self.name),
        }
    }

    /// ` · [Open in Dagster+](…)`, to follow a heading; empty if the URL is not one.
    pub fn open(&self) -> String {
        match markdown::link("Open in Dagster+", &self.url) {
            link if link.starts_with('[') => format!(" · {link}"),
            _ => String::new(),
        }
    }

    /// Page of a code location, which shows its definitions or why it does not load.
    ///
    /// Source: the routes of dagster-webserver 1.13.27, `/locations/:repoPath`, where the path of a repository without
    /// a name of its own, as `Definitions` makes it, is the name of the code location.
    pub fn location_page(&self, name: &str) -> String {
        format!("{}/{}", self.url, utf8_percent_encode(name, PATH_SEGMENT))
    }
}

/// A code location in a report.
#[derive(Debug, Clone, Default, Serialize)]
pub struct LocationReport {
    /// `location_name`.
    pub name: String,
    /// The build directory.
    pub directory: PathBuf,
    /// Why it is not as requested, one text per error.
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
    /// The image that it is updated to, in a run that deploys images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// The image that was built here.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub built_image: Option<ImageFacts>,
    /// Version of dagster in the deps PEX.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dagster_version: Option<String>,
    /// Version of dagster-cloud in the deps PEX.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dagster_cloud_version: Option<String>,
    /// Its state; in JSON only states at Dagster+.
    #[serde(skip_serializing_if = "LocationState::is_untold")]
    pub state: LocationState,
    /// What became of the version that ran before this run, if the run did not replace it with one that loads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous_version: Option<PreviousVersion>,
    /// How its files got into the registry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sent: Option<SentFiles>,
    /// What changes in its dependencies; absent if nothing changes, or it is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dependencies: Option<DependencyChanges>,
    /// The same as `errors`, with places.
    #[serde(skip)]
    pub problems: Vec<Problem>,
    /// Where the project file names it.
    #[serde(skip)]
    pub place: Option<Place>,
}

impl LocationReport {
    /// Whether it has any result.
    pub fn is_decided(&self) -> bool {
        self.pex_tag.is_some()
            || self.built_image.is_some()
            || self.state.is_at_dagster()
            || !self.errors.is_empty()
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
    /// The whole text, with causes, place and hint.
    pub text: String,
    /// Where in the user's files.
    pub place: Option<Place>,
}

impl Problem {
    /// Record an error.
    pub fn from_error(error: &(impl Explain + ?Sized)) -> Problem {
        Problem { title: error.to_string(), text: error_text(error, false), place: error.place() }
    }

    /// Record a warning.
    pub fn from_warning(warning: &Warning) -> Problem {
        let (title, text) = (warning.message.clone(), warning.message.clone());
        Problem { title, text, place: warning.place.clone() }
    }
}
