//! Inputs of the commands that neither build nor deploy.

use super::{ActionInputs, InputError, Inputs};
use crate::cli::{BranchDeploymentArgs, LaunchArgs, RedeployArgs, StatusArgs};
use crate::net::Secret;
use std::path::PathBuf;

/// What these commands take, apart from what all do.
#[derive(Debug, Clone, Default)]
pub struct VerbInputs {
    /// `job`, for `launch`.
    job: Option<String>,
    /// `repository`, for `launch`.
    repository: Option<String>,
    /// `run_config`, for `launch`.
    run_config: Option<Secret>,
    /// `run_tags`, for `launch`.
    run_tags: Option<Secret>,
    /// `wait`, for `launch`.
    wait: bool,
    /// `cancel_run`, for `launch`.
    cancel_run: bool,
    /// `create`, for `branch-deployment`.
    create: bool,
    /// `close`, for `branch-deployment`.
    close: bool,
}

impl VerbInputs {
    pub(super) fn read(inputs: &Inputs<'_>) -> Result<VerbInputs, InputError> {
        let text = |name: &str| inputs.text(name).map(String::from);
        let verbs = VerbInputs {
            job: text("job"),
            repository: text("repository"),
            run_config: inputs.text("run_config").map(Secret::new),
            run_tags: inputs.text("run_tags").map(Secret::new),
            wait: inputs.flag("wait", false)?,
            cancel_run: inputs.flag("cancel_run", false)?,
            create: inputs.flag("create", false)?,
            close: inputs.flag("close", false)?,
        };
        match verbs.create && verbs.close {
            true => Err(inputs.bad("close", "it cannot be set together with `create`".into())),
            false => Ok(verbs),
        }
    }
}

impl ActionInputs {
    /// For `launch`.
    ///
    /// # Errors
    /// Without a job, or without exactly one code location.
    pub fn launch(&self) -> Result<LaunchArgs, InputError> {
        let VerbInputs { job, repository, run_config, run_tags, wait, cancel_run, .. } = self.verbs.clone();
        let job = job.ok_or_else(|| missing("job", "the command `launch` needs the name of a job"))?;
        Ok(LaunchArgs {
            job,
            location: self.only_location("launch")?,
            repository,
            config: run_config,
            tags: run_tags,
            asset_keys: Vec::new(),
            wait,
            interval: LaunchArgs::INTERVAL_SECONDS,
            cancel: cancel_run && wait,
            yes: true,
            dagster: self.deploy.dagster.clone(),
        })
    }

    /// For `status`.
    pub fn status(&self) -> StatusArgs {
        let branch = self.deploy.publish.branch.deployment_for_branch;
        StatusArgs { branch, dagster: self.deploy.dagster.clone() }
    }

    /// For `redeploy`.
    ///
    /// # Errors
    /// Without a code location.
    pub fn redeploy(&self) -> Result<RedeployArgs, InputError> {
        let (locations, dagster) = (self.deploy.locations.clone(), self.deploy.dagster.clone());
        match locations.is_empty() {
            true => Err(missing("locations", "the command `redeploy` needs the names of code locations")),
            false => Ok(RedeployArgs { locations, yes: true, dagster }),
        }
    }

    /// For `branch-deployment`.
    pub fn branch_deployment(&self) -> BranchDeploymentArgs {
        BranchDeploymentArgs {
            directory: PathBuf::from("."),
            create: self.verbs.create,
            close: self.verbs.close,
            branch: self.deploy.publish.branch.clone(),
            dagster: self.deploy.dagster.clone(),
        }
    }

    /// The code location of a command that is about one.
    fn only_location(&self, command: &str) -> Result<String, InputError> {
        let problem = format!("the command `{command}` needs the name of one code location");
        match &self.deploy.locations[..] {
            [one] => Ok(one.clone()),
            [] => Err(missing("locations", &problem)),
            several => Err(InputError { name: "locations", value: Some(several.join(", ")), problem }),
        }
    }
}

fn missing(name: &'static str, problem: &str) -> InputError {
    InputError { name, value: None, problem: problem.into() }
}
