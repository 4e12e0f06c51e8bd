//! `plan` of images that are pushed already: a code location has changed if it runs another image, or its document
//! differs.

use super::Scope;
use crate::cli::DeployArgs;
use crate::commands::Error;
use crate::commands::deploy::{Chosen, choose};
use crate::commands::progress::Progress;
use crate::deployment::images::is_moving;
use crate::host::Host;
use crate::plan::images::ImageLocation;
use crate::plan::shards::PlannedJobs;
use crate::update::document::{Additions, Code, location_document};
use crate::update::{Difference, Running, online};
use serde_json::{Map, Value};

/// The jobs that deploy what has changed.
///
/// # Errors
/// When the project or the images cannot be used, or Dagster+ cannot be asked what runs.
pub(super) fn jobs(
    shards: usize,
    scope: Scope,
    deploy: &DeployArgs,
    host: &Host,
) -> Result<PlannedJobs, Error> {
    let mut jobs = PlannedJobs::default();
    let Chosen { images, .. } = choose(deploy, &Progress::default(), host)?;
    let changed: Vec<&ImageLocation> = match scope {
        Scope::Compared(session, destination) => {
            let running = Running::look(&session, &destination)?;
            let additions =
                online::lasting_additions(&session.context, &running.client, &deploy.publish, &[], host)?;
            let differs = |one: &&ImageLocation| {
                let reason = difference(one, &running, &additions);
                reason.as_ref().inspect(|reason| host.note(format!("{}: {reason}", one.location.name)));
                reason.map(|reason| jobs.reasons.insert(one.location.name.clone(), reason)).is_some()
            };
            images.iter().filter(differs).collect()
        }
        Scope::All(reason) => {
            host.note(format!("All code locations are planned: {reason}"));
            jobs.reason = Some(reason);
            images.iter().collect()
        }
        Scope::Nothing(_) => Vec::new(),
    };
    // Nothing is built, so no two of them belong in one job.
    let named = changed.iter().enumerate().map(|(at, one)| (one.location.name.as_str(), at));
    Ok(super::spread(jobs, &named.collect::<Vec<_>>(), images.len(), shards, host))
}

fn difference(one: &ImageLocation, running: &Running, additions: &Additions) -> Option<String> {
    let name = &one.location.name;
    if is_moving(&one.image) && running.before(name).is_some_and(|before| before.has(name)) {
        return Some("its image has no tag that stays".into());
    }
    let document = location_document(&one.location, Code::Image(&one.image), additions);
    document_difference(name, &document, running)
}

/// Why a code location with this document is to be deployed; `None` if it runs that already.
pub(super) fn document_difference(
    name: &str,
    document: &Map<String, Value>,
    running: &Running,
) -> Option<String> {
    let Some(before) = running.before(name).filter(|before| before.has(name)) else {
        return Some(Difference::Absent.to_string());
    };
    before.difference(name, document).map(|difference| difference.to_string())
}
