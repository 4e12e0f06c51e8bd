//! The state of definitions, refreshed before anything is built: states that belong to the project's files are shipped
//! with them.

use crate::builder::{BuildError, deps};
use crate::commands::Error;
use crate::commands::building::Building;
use crate::dagster::Client;
use crate::defs_state::{self, DefsStateError, Project};
use crate::plan::{Plan, PlannedLocation};
use crate::verify::environment;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// An error if no state can be refreshed. Called before anything is created at Dagster+.
///
/// # Errors
/// If there is no dg project, or its packages are for another machine.
pub(in crate::commands) fn check(plan: &Plan) -> Result<(), DefsStateError> {
    let mut projects = plan.locations.iter().filter(|planned| planned.location.dg.is_some());
    let Some(first) = projects.next() else { return Err(DefsStateError::NoProjects { by_flag: true }) };
    let platform = plan.target.platform;
    if cfg!(target_os = "linux") && platform.arch.to_string() == std::env::consts::ARCH {
        return Ok(());
    }
    let (location, platform) = (first.location.name.clone(), platform.to_string());
    Err(DefsStateError::OtherPlatform { location, platform })
}

/// Refresh the dg projects of a plan. Returns the `defs_state_info` for their documents. `out_dir` gets their deps PEX
/// files, which are unpacked to run the projects' code.
///
/// # Errors
/// If their dependencies cannot be built, or a component cannot be refreshed.
pub(in crate::commands) fn refresh(
    building: &Building<'_>,
    plan: &Plan,
    client: &Client,
    of_branch: bool,
    out_dir: &Path,
) -> Result<Option<Value>, Error> {
    let context = building.context(out_dir)?;
    let mut projects = Vec::new();
    for planned in &plan.locations {
        let Some(dg) = &planned.location.dg else { continue };
        let location = planned.location.name.as_str();
        let built = deps::obtain(&plan.deps[planned.deps], &context)?;
        let Some(file) = built.file() else { return Err(BuildError::Over.into()) };
        let dependencies = environment::kept(&file.path, plan.target.python, &building.tools)?;
        let sources = sources(planned, plan, &dg.root);
        projects.push(Project { location, root: &dg.root, sources, dependencies });
    }
    Ok(defs_state::refresh(&projects, client, of_branch, &building.tools, &building.display)?)
}

/// Where the packages of a project and its local packages are imported from.
fn sources(planned: &PlannedLocation, plan: &Plan, root: &Path) -> Vec<PathBuf> {
    let packages =
        plan.sources[planned.source].local_packages.iter().map(|package| package.directory.clone());
    let directories = std::iter::once(root.to_path_buf()).chain(packages);
    let mut sources: Vec<PathBuf> = Vec::new();
    for directory in directories {
        let source = directory.join("src");
        let source = if source.is_dir() { source } else { directory };
        if !sources.contains(&source) {
            sources.push(source);
        }
    }
    sources
}
