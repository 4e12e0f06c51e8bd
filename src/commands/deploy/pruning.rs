//! `deploy --prune`: after a deploy that succeeded, the code locations that left the project file.

use crate::cli::DeployArgs;
use crate::commands::progress::Progress;
use crate::commands::{Error, prune as prune_command};
use crate::deployment::DeploySession;
use crate::deployment::args::PublishArgs;
use crate::host::Host;
use crate::update::Online;
use crate::update::prune::{self, PruneError};
use std::collections::BTreeSet;

/// Code locations of the deployment that the project file does not name, and that stay. `names` are those of the file.
pub(super) fn staying(online: &Online, names: &BTreeSet<String>, publish: &PublishArgs) -> Vec<String> {
    if publish.prune { online.leftovers(names).kept } else { online.others(names) }
}

/// Code locations that other project files of the repository name, if leftovers are to be removed.
///
/// # Errors
/// A project file that cannot be read.
pub(super) fn named_elsewhere(
    args: &DeployArgs,
    session: &DeploySession,
    host: &Host,
) -> Result<BTreeSet<String>, Error> {
    match args.publish.prune {
        true => prune_command::named_elsewhere(&session.context, &host.absolute(args.project()), host),
        false => Ok(BTreeSet::new()),
    }
}

/// Remove the others. `names` are all code locations of the project file.
///
/// # Errors
/// If some could not be removed.
pub(super) fn run(
    online: &Online,
    names: &BTreeSet<String>,
    publish: &PublishArgs,
    progress: &Progress,
    host: &Host,
) -> Result<(), Error> {
    let removable = online.leftovers(names).removable;
    if !publish.prune || removable.is_empty() {
        return Ok(());
    }
    match prune::confirm(&online.client, &removable, publish.yes, host) {
        Err(declined @ PruneError::Declined { .. }) => {
            host.note(declined.to_string());
            progress.put(|run| run.others = online.others(names));
            return Ok(());
        }
        confirmed => confirmed?,
    }
    progress.stage("prune");
    let (gone, result) = prune::remove(&removable, host, |name| online.client.delete_location(name));
    progress.put(|run| run.removed = gone);
    progress.reached().removed_note().into_iter().for_each(|note| host.note(note));
    Ok(result?)
}
