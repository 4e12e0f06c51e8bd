//! State-backed components of dg projects → their state refreshed, here in the project's files or at Dagster+.
//!
//! A Python program refreshes them where the project's dependencies are installed, with the environment variables that
//! Dagster+ has for the code location, and without a token. What it leaves is sent from here.
//! Source: `dg plus deploy refresh-defs-state` of dagster-dg-cli 1.13.27.

mod error;

pub use error::DefsStateError;

use crate::child_env::Purpose;
use crate::dagster::Client;
use crate::dagster::defs_state::Variable;
use crate::display::Display;
use crate::github::runner::Runner;
use crate::scratch::Scratch;
use crate::tools::{Process, Tools};
use crate::verify::environment::{self, Environment};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The program that refreshes states.
const REFRESH: &str = include_str!("defs_state/refresh.py");

/// A dg project whose components are to be refreshed.
#[derive(Debug)]
pub struct Project<'a> {
    /// Its code location.
    pub location: &'a str,
    /// Its directory.
    pub root: &'a Path,
    /// Directories from which its own packages are imported.
    pub sources: Vec<PathBuf>,
    /// An environment with its dependencies.
    pub dependencies: Environment,
}

/// What the program left.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Answer {
    /// Why this dagster has no such components.
    unsupported: Option<String>,
    /// Why the project's components could not be loaded.
    error: Option<String>,
    traceback: Option<String>,
    components: Vec<Component>,
    uploads: Vec<Upload>,
    /// The latest version of each key; null to remove it.
    versions: Vec<(String, Option<String>)>,
}

#[derive(Debug, Deserialize)]
struct Component {
    key: String,
    error: Option<String>,
    traceback: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Upload {
    artifact: String,
    path: PathBuf,
}

/// Refresh the projects one after another, and return the `defs_state_info` for their location documents; `None` if the
/// deployment has no state.
///
/// # Errors
/// A component that cannot be refreshed, and Dagster+'s refusal. Nothing of a project with a failure is sent.
pub fn refresh(
    projects: &[Project<'_>],
    client: &Client,
    of_branch: bool,
    tools: &Tools,
    display: &Display,
) -> Result<Option<Value>, DefsStateError> {
    let host = tools.host();
    let variables = client.environment_variables(of_branch).unwrap_or_else(|error| {
        host.warn(format!("{error}; refreshing the state of definitions without them"));
        Vec::new()
    });
    // What the user's code prints may be shown.
    let runner = Runner::new(host);
    variables.iter().for_each(|one| runner.mask(&one.value));
    for project in projects {
        let known = client.defs_state_info()?;
        let temp_dir = host.temp_dir();
        let scratch =
            Scratch::shared(&temp_dir).map_err(|source| DefsStateError::File { path: temp_dir, source })?;
        let phase = display.phase(format!("Refreshing the state of {}", project.location));
        let answer = run(project, &known, &variables, scratch.path(), tools)?;
        drop(phase);
        let answer = judged(project, answer, &variables)?;
        if let Some(reason) = &answer.unsupported {
            host.note(format!("{}: its dagster has no state-backed components ({reason})", project.location));
            continue;
        }
        for upload in &answer.uploads {
            client.upload_defs_state(&upload.artifact, &upload.path)?;
        }
        for (key, version) in &answer.versions {
            client.set_defs_state_version(key, version.as_deref())?;
        }
        let keys: Vec<&str> = answer.components.iter().map(|component| component.key.as_str()).collect();
        host.note(match keys.is_empty() {
            true => format!("{}: no state-backed components", project.location),
            false => format!("{}: refreshed the state of {}", project.location, keys.join(", ")),
        });
    }
    Ok(client.defs_state_info()?)
}

fn run(
    project: &Project<'_>,
    known: &Option<Value>,
    variables: &[Variable],
    scratch: &Path,
    tools: &Tools,
) -> Result<Answer, DefsStateError> {
    let (states, latest, answer) =
        (scratch.join("states"), scratch.join("latest.json"), scratch.join("answer.json"));
    let failed = |path: &Path| {
        let path = path.to_path_buf();
        move |source| DefsStateError::File { path, source }
    };
    std::fs::create_dir(&states).map_err(failed(&states))?;
    let text = serde_json::to_string(known).unwrap_or_default();
    std::fs::write(&latest, text).map_err(failed(&latest))?;
    let visible = variables
        .iter()
        .filter(|one| one.locations.is_empty() || one.locations.iter().any(|name| name == project.location));
    let visible: BTreeMap<OsString, OsString> =
        visible.map(|one| (one.name.clone().into(), one.value.reveal().into())).collect();
    let dependencies = &project.dependencies;
    let paths = project.sources.iter().chain([&dependencies.site_packages]);
    let output = Process::new(tools.host(), Purpose::Code, dependencies.directory.join("bin/python"))
        .args(["-c", REFRESH])
        .args([project.root, &states, &latest, &answer])
        .envs(visible)
        .env("PYTHONPATH", environment::joined(paths))
        .env("PATH", environment::search_path([dependencies], tools.host()))
        .cwd(project.root)
        .output(tools.host());
    let location = project.location.to_string();
    let output = output.map_err(|source| DefsStateError::NoResult { location: location.clone(), source })?;
    match std::fs::read_to_string(&answer).ok().and_then(|text| serde_json::from_str(&text).ok()) {
        Some(answer) => Ok(answer),
        None => Err(DefsStateError::NoResult { location, source: output.into_error() }),
    }
}

/// An error if anything of the project could not be refreshed.
fn judged(project: &Project<'_>, answer: Answer, variables: &[Variable]) -> Result<Answer, DefsStateError> {
    let location = project.location.to_string();
    let clean = |text: String| {
        let bytes = variables.iter().fold(text.into_bytes(), |bytes, one| one.value.erased_from(bytes));
        String::from_utf8_lossy(&bytes).into_owned()
    };
    if let Some(error) = answer.error {
        let traceback = clean(indented(answer.traceback.as_deref()));
        return Err(DefsStateError::NotLoaded { location, error: clean(error), traceback });
    }
    let failed = answer.components.iter().find_map(|one| Some((one, one.error.as_ref()?)));
    match failed {
        None => Ok(answer),
        Some((component, error)) => Err(DefsStateError::Component {
            key: component.key.clone(),
            error: clean(error.clone()),
            traceback: clean(indented(component.traceback.as_deref())),
            location,
        }),
    }
}

fn indented(traceback: Option<&str>) -> String {
    let lines = traceback.unwrap_or_default().trim_end().lines();
    lines.map(|line| format!("\n    {line}")).collect()
}
