//! `branch-deployment`: the name of the branch deployment for this pull request or branch; made or closed on demand.

use super::Error;
use super::progress::Progress;
use crate::cli::{BranchDeploymentArgs, Format};
use crate::context::Context;
use crate::dagster::operations::PullRequestStatus;
use crate::deployment::{self, Branch, Choice, DeploymentError, Destination};
use crate::host::Host;
use crate::render::Exit;
use crate::target::PythonVersion;
use serde_json::json;

/// Run the command. The name goes alone to stdout.
///
/// # Errors
/// If the branch cannot be determined, Dagster+ refuses, or stdout cannot be written.
pub fn run(
    args: &BranchDeploymentArgs,
    format: Format,
    host: &Host,
    progress: &Progress,
) -> Result<Exit, Error> {
    let found = match perform(args, host, progress)? {
        Found::Branch(found) => found,
        Found::Full { name } => return Err(DeploymentError::Full { name }.into()),
        Found::Nothing(_) => {
            return Err(
                DeploymentError::NoBranch { why: "this run is not for a pull request or a branch" }.into()
            );
        }
    };
    if args.close {
        host.note(format!(
            "Closed the branch deployment {} of the branch {}",
            found.name, found.branch.data.branch_name
        ));
    }
    let text = match format {
        Format::Text => found.name.clone(),
        Format::Json => format!(
            "{:#}",
            json!({
                "deployment": found.name,
                "url": found.url,
                "changed": found.changed,
                "closed": found.closed,
                "branch": found.branch.data,
                "base_deployment": found.branch.base,
            })
        ),
    };
    host.data(&text).map_err(Error::Stdout)?;
    Ok(Exit(0))
}

/// What a run is for.
pub enum Found {
    /// A branch deployment.
    Branch(Box<Named>),
    /// This full deployment.
    Full {
        /// Its name.
        name: String,
    },
    /// None, for this reason.
    Nothing(String),
}

/// A branch deployment, and what was done with it.
pub struct Named {
    /// Its name.
    pub name: String,
    /// Its page.
    pub url: String,
    /// Its branch.
    pub branch: Branch,
    /// Whether it was created, updated or closed.
    pub changed: bool,
    /// Whether it was closed.
    pub closed: bool,
}

/// Name the branch deployment of this run; create or close it on demand.
///
/// # Errors
/// If the branch cannot be determined, or Dagster+ refuses.
pub fn perform(args: &BranchDeploymentArgs, host: &Host, progress: &Progress) -> Result<Found, Error> {
    let context = Context::read(&args.dagster, &host.absolute(&args.directory), host)?;
    let (branch, closed_by_event) = match deployment::decide(&context, None, &args.branch, false, host)? {
        Choice::Deploy(Destination::Branch(branch)) => (*branch, false),
        Choice::Close(branch) => (*branch, true),
        Choice::Deploy(Destination::Named { name, .. }) => return Ok(Found::Full { name }),
        Choice::Nothing(why) => return Ok(Found::Nothing(why)),
    };
    let client = deployment::client(&context, host, PythonVersion::DEFAULT).in_session(progress.session());
    if args.close || closed_by_event {
        progress.put(|run| run.is_closing = true);
    }
    let branch = if args.close { closed(branch) } else { branch };
    let name = match (args.close, args.create) {
        (true, _) => match deployment::close(&branch, &context, &client)? {
            Some(deployment) => deployment.name,
            None => {
                return Err(DeploymentError::NeverThere { branch: branch.data.branch_name }.into());
            }
        },
        (false, true) => deployment::put(&branch, &context, &client)?.name,
        (false, false) => client.branch_deployment_name(&branch.data.repo_name, &branch.data.branch_name)?,
    };
    let closed = args.close || (args.create && closed_by_event);
    let url = client.at(&name).locations_page();
    Ok(Found::Branch(Box::new(Named { name, url, branch, changed: args.close || args.create, closed })))
}

/// The same branch, closed; a merged pull request stays merged.
fn closed(mut branch: Branch) -> Branch {
    branch.base = None;
    if branch.data.pull_request_status != Some(PullRequestStatus::Merged) {
        branch.data.pull_request_status = Some(PullRequestStatus::Closed);
    }
    branch
}
