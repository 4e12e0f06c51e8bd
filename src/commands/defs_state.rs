//! `defs-state refresh`: the state of the definitions of dg projects, refreshed without a deploy.

use super::deploy::{Planned, check_defs_state, prepare, refresh_defs_state};
use super::progress::Progress;
use super::{Error, here};
use crate::cli::{DefsStateArgs, DefsStateCommand, DeployArgs};
use crate::dagster::DagsterError;
use crate::defs_state::DefsStateError;
use crate::deployment::{self, DeploySession, DeploymentError, Destination, Goal, instead_of};
use crate::host::Host;
use crate::render::Exit;
use crate::scratch::Scratch;
use serde_json::Value;

/// Run the command. The `defs_state_info` goes alone to stdout.
///
/// # Errors
/// If the project cannot be read, a component cannot be refreshed, or Dagster+ refuses.
pub fn run(args: &DefsStateArgs, host: &Host, progress: &Progress) -> Result<Exit, Error> {
    let DefsStateCommand::Refresh(args) = &args.command;
    let deploy = args.deploy(here::project(args.file.as_deref(), host));
    let (session, destination) = match deployment::goal::decide(&deploy.goal(), progress.session(), host)? {
        Goal::Deploy(session, destination) => (session, destination),
        Goal::Close(..) => return Ok(nothing("the pull request is closed", host)),
        Goal::Nothing(reason) => return Ok(nothing(&reason, host)),
        Goal::Build => return Ok(nothing("nothing is deployed", host)),
    };
    let info = refreshed(&deploy, &session, &destination, host, progress)?;
    host.data(&format!("{:#}", info.unwrap_or(Value::Null))).map_err(Error::Stdout)?;
    Ok(Exit(0))
}

fn refreshed(
    deploy: &DeployArgs,
    session: &DeploySession,
    destination: &Destination,
    host: &Host,
    progress: &Progress,
) -> Result<Option<Value>, Error> {
    let mut planned = prepare(deploy, host, progress)?;
    planned.check_all_files()?;
    let Planned { building, plan, .. } = planned;
    check_defs_state(&plan).map_err(|error| match error {
        // The command itself asks for the refresh, and no flag.
        DefsStateError::NoProjects { .. } => DefsStateError::NoProjects { by_flag: false },
        error => error,
    })?;
    let (name, is_branch) = match destination {
        Destination::Branch(branch) => {
            (deployment::put(branch, &session.context, &session.client)?.name, true)
        }
        Destination::Named { name, is_default, .. } => {
            (existing(name, *is_default, session)?, deployment::is_branch_name(name))
        }
    };
    host.note(format!("Refreshing the state of definitions of {name}"));
    let out_dir = Scratch::shared(&host.temp_dir()).map_err(Error::Temporary)?;
    refresh_defs_state(&building, &plan, &session.client.at(&name), is_branch, out_dir.path())
}

/// The deployment of this name, or the only one of the organization if none was named.
fn existing(name: &str, is_default: bool, session: &DeploySession) -> Result<String, DeploymentError> {
    match session.client.at(name).deployment_info() {
        Err(error @ DagsterError::NotFound { .. }) => {
            instead_of(name, is_default, error, &session.client, session.context.by_inputs)
        }
        Err(error) => Err(error.into()),
        Ok(_) => Ok(name.into()),
    }
}

fn nothing(reason: &str, host: &Host) -> Exit {
    host.note(format!("Nothing to refresh: {reason}"));
    Exit(0)
}
