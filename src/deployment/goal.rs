//! What a run is to do at Dagster+, known before anything is read or built.

use super::args::PublishArgs;
use super::{Act, Branch, Choice, DeploymentError, Destination, Question};
use crate::context::Context;
use crate::context::args::DagsterArgs;
use crate::context::event::Trigger;
use crate::dagster::{Client, Session, Settings};
use crate::host::Host;
use crate::net::Agent;
use crate::target::PythonVersion;
use std::path::{Path, PathBuf};

/// What a run is to do at Dagster+.
pub enum Goal {
    /// Nothing: only build.
    Build,
    /// Nothing at all, for this reason.
    Nothing(String),
    /// Close a branch deployment, and build nothing.
    Close(Box<DeploySession>, Box<Branch>),
    /// Publish, and maybe update.
    Deploy(Box<DeploySession>, Destination),
}

/// Access to Dagster+ for a run that changes something there.
pub struct DeploySession {
    /// Settings, event and credentials.
    pub context: Context,
    /// A client that is not for a particular deployment.
    pub client: Client,
}

/// The client for a context, not for a particular deployment.
pub fn client(context: &Context, host: &Host, python: PythonVersion) -> Client {
    let settings =
        Settings { address: context.endpoint.setting.clone(), token: context.token.setting.clone() };
    let (address, token) = (&context.endpoint.organization_url, context.token.secret.clone());
    Client::new(host, &Agent::new(host), address, token, python).called(settings)
}

/// The request of the user.
pub struct Request<'a> {
    /// The project file, or the project itself.
    pub file: &'a Path,
    /// What to do with the PEX files.
    pub publish: &'a PublishArgs,
    /// Where Dagster+ is.
    pub dagster: &'a DagsterArgs,
    /// Python of the code locations.
    pub python: PythonVersion,
    /// Whether nothing is built.
    pub dry_run: bool,
    /// Names of the code locations, for a question.
    pub locations: Box<dyn Fn() -> Vec<String> + 'a>,
}

/// Decide what a run is for.
///
/// # Errors
/// If a setting is missing, the event cannot be read, or the user answered no.
pub fn decide(request: &Request<'_>, session: &Session, host: &Host) -> Result<Goal, DeploymentError> {
    let publish = request.publish;
    if request.dry_run || publish.is_build_only() {
        if let Some(flag) = idle_flag(request) {
            host.warn(format!("{flag} has no effect without --upload or --update"));
        }
        return Ok(Goal::Build);
    }
    let mut context = Context::read(request.dagster, &directory_of(&host.absolute(request.file)), host)?;
    if let Trigger::Untrusted(code) = &context.trigger
        && publish.branch.allow_untrusted_code
    {
        context.trigger = super::admit(code, &context)?;
    }
    let details = publish.code_location_details.as_ref();
    let named_by_flag = request.dagster.deployment.is_some();
    let choice = super::decide(&context, details, &publish.branch, named_by_flag, host)?;
    if let Choice::Deploy(destination) = &choice {
        if let Destination::Named { name, ask: true, .. } = destination {
            let question = Question {
                act: Act::Deploy,
                name,
                organization_url: &context.endpoint.organization_url,
                locations: if publish.yes { Vec::new() } else { (request.locations)() },
                work_tree: context.work_tree.state(),
            };
            super::confirm(&question, publish.yes, host)?;
        }
        if details.is_none() {
            let built = context.built(host);
            built.surprise().into_iter().for_each(|line| host.note(line));
        }
    }
    let stays = || super::reason_to_stay(&context.trigger, context.github.as_ref());
    if let Some(reason) = matches!(choice, Choice::Close(_)).then(stays).flatten() {
        return Ok(Goal::Nothing(reason));
    }
    let client = client(&context, host, request.python).in_session(session);
    let session = Box::new(DeploySession { context, client });
    Ok(match choice {
        Choice::Nothing(reason) => Goal::Nothing(reason),
        Choice::Close(branch) => Goal::Close(session, branch),
        Choice::Deploy(destination) => Goal::Deploy(session, destination),
    })
}

/// A flag that was given and that has no effect on a run that only builds.
fn idle_flag(request: &Request<'_>) -> Option<&'static str> {
    let publish = request.publish;
    let given = [
        ("--changed-only", publish.changed_only),
        ("--prune", publish.prune),
        ("--deps-cache-from", !publish.deps_cache_from.is_empty()),
        ("--deps-cache-to", publish.deps_cache_to.is_some()),
        ("--code-location-details", publish.code_location_details.is_some()),
        ("--deployment-for-branch", publish.branch.deployment_for_branch),
        ("--base-deployment", publish.branch.base_deployment.is_some()),
        ("--defs-state-info", publish.defs_state_info.is_some()),
        ("--refresh-defs-state", publish.refresh_defs_state),
        ("--image", publish.image.is_some()),
        ("--base-image-tag", publish.base_image_tag.is_some()),
    ];
    let dry = request.dry_run && !publish.is_build_only();
    given.into_iter().find(|(_, given)| *given && !dry).map(|(flag, _)| flag)
}

/// The directory to ask git about: that of the project file, or the project itself.
pub fn directory_of(file: &Path) -> PathBuf {
    match file.parent() {
        Some(parent) if !file.is_dir() => parent.to_path_buf(),
        _ => file.to_path_buf(),
    }
}
