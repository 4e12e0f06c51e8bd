//! The results of the stages of a run, and how it ended: the data for a report.

use super::images::ImageFacts;
use super::{DeploymentReport, LocationState, Problem, Purpose, table};
use crate::builder::Built;
use crate::dagster::session::Begun;
use crate::dependencies::DependencyChanges;
use crate::plan::Plan;
use crate::project::{Location, Warning};
use crate::target::Target;
use crate::update::{Outcome, Phase};
use crate::verify::{Excuse, Verified};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

/// The results of the stages of a run. Each stage records its value once; nothing is removed.
#[derive(Debug, Clone, Default)]
pub struct Run {
    /// The purpose of the run.
    pub purpose: Purpose,
    /// The file that names the code locations.
    pub project_file: PathBuf,
    /// The code locations, in the order of that file.
    pub locations: Vec<Location>,
    /// Warnings, in the order in which they were found.
    pub warnings: Vec<Warning>,
    /// The build target.
    pub target: Option<Target>,
    /// Local directory with the PEX files.
    pub out_dir: Option<PathBuf>,
    /// The deployment that the run goes to, or has closed.
    pub deployment: Option<DeploymentReport>,
    /// Code locations of the deployment that the project file does not name.
    pub others: Vec<String>,
    /// Code locations that left the project file and were removed.
    pub removed: Vec<String>,
    /// The image of each code location, in a run that deploys images.
    pub images: BTreeMap<String, String>,
    /// The images that were built here, or why they were not, by code location.
    pub image_builds: BTreeMap<String, Result<ImageFacts, Problem>>,
    /// Code locations whose images were begun to be pushed.
    pub pushing: BTreeSet<String>,
    /// Code locations of the deployment that had loaded before the run.
    pub serving: BTreeSet<String>,
    /// What was to be built, for these code locations in this order, and the results.
    pub built: Option<(Arc<Plan>, Arc<Built>)>,
    /// The results of loading the files here, if requested.
    pub verified: Option<Vec<Verified>>,
    /// Failures that do not count in this run.
    pub excuses: Vec<Excuse>,
    /// The outcomes of the updates.
    pub outcomes: Option<Arc<Vec<Outcome>>>,
    /// What changes in the dependencies, by code location.
    pub changes: BTreeMap<String, DependencyChanges>,
    /// The stages, each with its start in seconds since the start of the run.
    pub stages: Vec<(&'static str, f64)>,
    /// The branch deployment that was created or updated.
    pub branch_deployment: Option<String>,
    /// Whether the branch deployment is only to be closed.
    pub is_closing: bool,
    /// The run of a job that was launched, and what becomes of it, in words.
    pub launched: Option<String>,
    /// How far the update of each code location has come.
    pub updating: BTreeMap<String, LocationState>,
}

impl Run {
    /// What the errors of images that were not built say.
    pub fn images_not_built(&self) -> Vec<&str> {
        let errors = self.image_builds.values().filter_map(|image| image.as_ref().err());
        errors.map(|problem| problem.text.as_str()).collect()
    }

    /// Record the progress of an update.
    pub fn reach(&mut self, phase: Phase) {
        let (names, state) = match phase {
            Phase::Updating(names) => (names, LocationState::Unknown),
            Phase::Waiting(names) => (names, LocationState::Loading),
            Phase::Settled(name, true) => (vec![name], LocationState::Loaded),
            Phase::Settled(name, false) => (vec![name], LocationState::FailedToLoad),
        };
        self.updating.extend(names.into_iter().map(|name| (name, state)));
    }

    /// `Also in prod, and not in dagster_cloud.yaml: …`. They may belong to another repository that shares the
    /// deployment.
    pub fn others_note(&self) -> Option<String> {
        const MOST: usize = 10;
        let deployment = self.deployment.as_ref().filter(|_| !self.others.is_empty())?;
        let file = self.project_file.file_name().unwrap_or_default().to_string_lossy();
        let mut shown = self.others.iter().take(MOST).cloned().collect::<Vec<_>>().join(", ");
        if self.others.len() > MOST {
            shown += &format!(" and {} more", self.others.len() - MOST);
        }
        Some(format!("Also in {}, and not in {file}: {shown}. They are not changed.", deployment.name))
    }

    /// `Removed from prod, since dagster_cloud.yaml does not name them any more: …`
    pub fn removed_note(&self) -> Option<String> {
        let deployment = self.deployment.as_ref().filter(|_| !self.removed.is_empty())?;
        let file = self.project_file.file_name().unwrap_or_default().to_string_lossy();
        let names = self.removed.join(", ");
        Some(format!("Removed from {}, since {file} does not name them any more: {names}.", deployment.name))
    }

    /// What an interrupt left at Dagster+, in a sentence; `begun` is what had started there.
    pub fn left_behind(&self, begun: &Begun) -> String {
        if begun.launch {
            return self.launched.clone().unwrap_or_else(|| "the run may have been launched".into());
        }
        if self.is_closing && begun.branch_deployment {
            return "the branch deployment may or may not have been closed".into();
        }
        let names = |wanted: LocationState| -> Vec<&str> {
            let locations = self.updating.iter().filter(|(_, state)| begun.update && **state == wanted);
            locations.map(|(name, _)| name.as_str()).collect()
        };
        let updated: Vec<String> = [
            ("may or may not have been updated", names(LocationState::Unknown)),
            ("had been updated but not seen to load", names(LocationState::Loading)),
            ("had loaded", names(LocationState::Loaded)),
            ("had failed to load", names(LocationState::FailedToLoad)),
        ]
        .into_iter()
        .filter(|(_, names)| !names.is_empty())
        .map(|(what, names)| format!("{} {what}", some(&names)))
        .collect();
        let branch = match (&self.branch_deployment, begun.branch_deployment) {
            (Some(name), _) => Some(format!("the branch deployment {name} was updated")),
            (None, true) => Some("the branch deployment may have been created or changed".into()),
            (None, false) => None,
        };
        let sent = |what, done, all| match (done, all) {
            (_, 0) => None,
            (done, all) if done == all => Some(format!("{} had been uploaded", table::count(all, what))),
            (0, all) => Some(format!("the upload of {} had begun", table::count(all, what))),
            (done, all) => Some(format!("{done} of {} had been uploaded whole", table::count(all, what))),
        };
        let uploads = sent("PEX file", begun.uploaded.len(), begun.uploads.len());
        let pushed = self.pushing.iter().filter(|name| self.images.contains_key(*name)).count();
        let pushed = sent("image", pushed, self.pushing.len()).filter(|_| updated.is_empty());
        let state = begun.defs_state.then(|| "the state of definitions may have been changed".to_string());
        let said = match (updated.is_empty(), uploads.or(state).or(branch)) {
            (false, _) if begun.removal => format!(
                "{}; code locations that left the project file may have been removed; `pexpress status` shows it",
                updated.join("; ")
            ),
            (false, _) => format!("{}; `pexpress status` shows it", updated.join("; ")),
            (true, _) if begun.removal => {
                "something may have been removed; `pexpress prune` lists what is left".into()
            }
            (true, Some(what)) => format!("{what}, and no code location was changed"),
            (true, None) => "nothing was changed at Dagster+".into(),
        };
        match pushed {
            Some(pushed) => format!("{said}; {pushed}"),
            None => said,
        }
    }
}

fn some(names: &[&str]) -> String {
    match names {
        [one, two, three, _, ..] => format!("{one}, {two}, {three} and {} more", names.len() - 3),
        few => few.join(", "),
    }
}

/// How a run ended.
#[derive(Debug, Clone)]
pub enum Ended {
    /// It has not ended.
    Running,
    /// Everything requested is done.
    Success,
    /// Something is not done, for these errors.
    Failure(Vec<Problem>),
    /// There was nothing to deploy, or no permission to, for this reason.
    Skipped(String),
    /// Its branch deployment was closed.
    Closed,
    /// A signal ended it when this had started at Dagster+; `None` if the run could not even start.
    Cancelled(Option<Begun>),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_reached_is_said_in_a_sentence() {
        let names = |count: usize| (0..count).map(|n| format!("l{n}")).collect::<Vec<String>>();
        let files = |count: usize| names(count).into_iter().collect();
        let said = |begun: Begun, set: &dyn Fn(&mut Run)| {
            let mut run = Run::default();
            set(&mut run);
            run.left_behind(&begun)
        };
        let branch = || Begun { branch_deployment: true, ..Begun::default() };
        let update = || Begun { update: true, uploads: files(2), uploaded: files(2), ..Begun::default() };
        let all = [
            said(Begun::default(), &|_| {}),
            // Announced, and stopped before its request began.
            said(Begun::default(), &|run| run.reach(Phase::Updating(names(1)))),
            said(branch(), &|_| {}),
            said(branch(), &|run| run.branch_deployment = Some("79afebd".into())),
            said(branch(), &|run| run.is_closing = true),
            said(Begun::default(), &|run| run.is_closing = true),
            said(Begun { defs_state: true, branch_deployment: true, ..Begun::default() }, &|_| {}),
            said(Begun::default(), &|run| run.pushing = files(1)),
            said(Begun { uploads: files(2), uploaded: files(2), ..Begun::default() }, &|run| {
                run.pushing = files(2);
                run.images.insert("l0".into(), "host/app:l0-1".into());
            }),
            said(Begun { uploads: files(2), ..Begun::default() }, &|_| {}),
            said(Begun { uploads: files(2), uploaded: files(1), ..Begun::default() }, &|_| {}),
            said(Begun { uploads: files(1), uploaded: files(1), ..Begun::default() }, &|_| {}),
            said(update(), &|run| run.reach(Phase::Updating(names(5)))),
            said(update(), &|run| {
                run.reach(Phase::Updating(names(3)));
                run.reach(Phase::Waiting(names(2)));
                run.reach(Phase::Settled("l0".into(), true));
            }),
            said(Begun { removal: true, ..update() }, &|run| {
                run.reach(Phase::Updating(names(1)));
                run.reach(Phase::Settled("l0".into(), true));
            }),
            said(Begun { removal: true, ..Begun::default() }, &|_| {}),
            said(Begun { launch: true, ..Begun::default() }, &|_| {}),
        ];
        insta::assert_snapshot!(all.join("\n"), @r#"
        nothing was changed at Dagster+
        nothing was changed at Dagster+
        the branch deployment may have been created or changed, and no code location was changed
        the branch deployment 79afebd was updated, and no code location was changed
        the branch deployment may or may not have been closed
        nothing was changed at Dagster+
        the state of definitions may have been changed, and no code location was changed
        nothing was changed at Dagster+; the upload of 1 image had begun
        2 PEX files had been uploaded, and no code location was changed; 1 of 2 images had been uploaded whole
        the upload of 2 PEX files had begun, and no code location was changed
        1 of 2 PEX files had been uploaded whole, and no code location was changed
        1 PEX file had been uploaded, and no code location was changed
        l0, l1, l2 and 2 more may or may not have been updated; `pexpress status` shows it
        l2 may or may not have been updated; l1 had been updated but not seen to load; l0 had loaded; `pexpress status` shows it
        l0 had loaded; code locations that left the project file may have been removed; `pexpress status` shows it
        something may have been removed; `pexpress prune` lists what is left
        the run may have been launched
        "#);
    }
}
