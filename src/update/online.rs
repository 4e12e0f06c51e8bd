//! A deployment that was checked and is ready for PEX files or images: whether they can run there, and what runs there
//! already.

use super::document::Additions;
use super::prune::Leftovers;
use super::registry::{
    ask_registry, base_image_tag, has_pex, image, judged_registry, trusts, trusts_registry,
};
use super::{Before, ConnectError, Early, ways};
use crate::context::Context;
use crate::context::inputs::{SERVERLESS_AGENT_LIMIT, WaitLimits};
use crate::dagster::operations::{DeploymentInfo, Registry};
use crate::dagster::together::Opening;
use crate::dagster::{Client, DagsterError};
use crate::deployment::args::PublishArgs;
use crate::deployment::{self, Branch, DeploySession, Deployment, Destination, Question, instead_of};
use crate::host::Host;
use crate::plan::strategy::Decision;
use crate::project::Location;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;

/// A deployment that was checked and is ready for PEX files, or for images.
pub struct Online {
    /// The deployment.
    pub deployment: Deployment,
    /// Client for the deployment.
    pub client: Client,
    /// Client for the deployment that a branch deployment is compared with.
    pub base: Option<Client>,
    /// What runs there; `None` if nothing is to be updated.
    pub before: Option<Before>,
    /// What the run adds to each document.
    pub additions: Additions,
    /// Code locations that other project files of the repository name; known if leftovers are to be removed.
    pub named_elsewhere: BTreeSet<String>,
    /// How each code location gets to its agent, in the order of `locations`; none in a run whose images are named.
    pub ways: Vec<Decision>,
    /// `SERVERLESS`, if the server reports it.
    agent_type: Option<String>,
    pub(super) changed_only: bool,
    limits: WaitLimits,
    agent_limit_is_given: bool,
}

impl Online {
    /// Prepare the deployment for `locations`, and look at what is there. `early` has what was asked about this destination already.
    /// `made` is called with the name of a branch deployment that was created or updated.
    ///
    /// # Errors
    /// If the token is bad, the deployment does not exist, or a code location cannot be deployed there as asked for.
    pub fn connect(
        session: DeploySession,
        destination: &Destination,
        locations: &[Location],
        publish: &PublishArgs,
        early: Option<Early>,
        made: &dyn Fn(&str),
        host: &Host,
    ) -> Result<Online, ConnectError> {
        let defs_state_info =
            publish.defs_state_info.as_deref().map(|file| read_json(file, host)).transpose()?;
        let (deployment, looked) = match destination {
            Destination::Branch(branch) => {
                // Checked before anything is created.
                check_base(&session, branch, locations, publish, early, host)?;
                let deployment = deployment::put(branch, &session.context, &session.client)?;
                made(&deployment.name);
                announce(&session, &deployment, Some(&branch.data.branch_name), host);
                let looked = Looked::look(&session, &deployment.name, publish, host)?;
                (deployment, looked)
            }
            Destination::Named { name, ask, is_default } => {
                let opening = early.and_then(Early::opening);
                let opening = opening.unwrap_or_else(|| opening_of(&session, name, publish, host));
                announce(&session, &called(name), None, host);
                match Looked::from_opening(opening, publish, host) {
                    Err(ConnectError::Dagster(error @ DagsterError::NotFound { .. })) => {
                        instead(&session, (name, *ask, *is_default), error, publish, host)?
                    }
                    looked => (called(name), looked?),
                }
            }
        };
        let facts = ways::facts(looked.agent_type.as_deref(), looked.registry.as_ref(), trusts(host));
        let ways = ways::decide(locations, publish, &facts)?;
        let client = session.client.at(&deployment.name);
        let commit = publish.code_location_details.as_ref().map(|details| details.commit_hash.as_str());
        let additions = Additions {
            revision: session.context.revision(commit, host),
            image: image(publish, &ways, looked.registry.as_ref(), host)?,
            defs_state_info,
            repository_root: session.context.work_tree.root(),
        };
        let base = match destination {
            Destination::Branch(branch) => Some(branch.at_base(&session.client)),
            Destination::Named { .. } => deployment.is_branch.then(|| session.client.at_default()),
        };
        Ok(Online {
            deployment,
            client,
            base,
            before: looked.before,
            ways,
            agent_type: looked.agent_type,
            changed_only: publish.changed_only,
            additions,
            named_elsewhere: BTreeSet::new(),
            limits: session.context.limits,
            agent_limit_is_given: session.context.agent_limit_is_given,
        })
    }

    /// Code locations of the deployment that are not among `names`, those of the project file.
    pub fn others(&self, names: &BTreeSet<String>) -> Vec<String> {
        let there = self.before.iter().flat_map(Before::names).filter(|name| !names.contains(*name));
        there.collect::<BTreeSet<_>>().into_iter().map(String::from).collect()
    }

    /// Those of them that can be removed, since they came from the same repository and no other project file of it names
    /// them, and the others.
    pub fn leftovers(&self, names: &BTreeSet<String>) -> Leftovers {
        let leftovers =
            |before: &Before| before.leftovers(names, &self.named_elsewhere, &self.additions.revision);
        self.before.as_ref().map(leftovers).unwrap_or_default()
    }

    /// Code locations of the deployment that had loaded before this run.
    pub fn serving(&self) -> BTreeSet<String> {
        let names =
            self.before.iter().flat_map(|before| before.names().filter(|name| before.is_serving(name)));
        names.map(String::from).collect()
    }

    /// Whether the code location runs this deps PEX already.
    pub fn runs(&self, location: &str, deps_pex: &str) -> bool {
        let running = self.before.as_ref().and_then(|before| before.deps_file(location));
        running.is_some_and(|name| name == deps_pex)
    }

    /// Whether the code location runs this image already.
    pub fn runs_image(&self, location: &str, reference: &str) -> bool {
        self.before.as_ref().and_then(|before| before.image(location)).is_some_and(|image| image == reference)
    }

    /// How long to wait.
    pub(super) fn limits(&self, is_queued: bool) -> WaitLimits {
        agent_limit(self.limits, self.agent_limit_is_given, self.agent_type.as_deref(), is_queued)
    }
}

/// How long to wait for code locations of a deployment with agents of this type. `is_queued` is whether one of them has
/// an agent queue.
pub(super) fn agent_limits(context: &Context, agent_type: Option<&str>, is_queued: bool) -> WaitLimits {
    agent_limit(context.limits, context.agent_limit_is_given, agent_type, is_queued)
}

/// Serverless agents may be asleep, and need minutes to start. Source: the wait of dagster-cloud-cli.
fn agent_limit(limits: WaitLimits, is_given: bool, agent_type: Option<&str>, is_queued: bool) -> WaitLimits {
    match limits.agent {
        Some(_) if agent_type == Some("SERVERLESS") && !is_queued && !is_given => {
            WaitLimits { agent: Some(SERVERLESS_AGENT_LIMIT), ..limits }
        }
        _ => limits,
    }
}

/// What a run adds to documents, as far as it may tell them from those that are there: all but the commit. `client` is
/// at a deployment that exists, and `ways` are those of the run's code locations.
///
/// # Errors
/// A file or setting that cannot be read.
pub fn lasting_additions(
    context: &Context,
    client: &Client,
    publish: &PublishArgs,
    ways: &[Decision],
    host: &Host,
) -> Result<Additions, ConnectError> {
    let tagged = has_pex(publish, ways) && base_image_tag(publish, host).is_some();
    let asked = if tagged { ask_registry(client, publish, host) } else { None };
    let registry = judged_registry(asked, publish.strategy, host)?;
    let info = publish.defs_state_info.as_deref().map(|file| read_json(file, host)).transpose()?;
    let image = image(publish, ways, registry.as_ref(), host)?;
    let repository_root = context.work_tree.root();
    Ok(Additions { image, defs_state_info: info, repository_root, ..Additions::default() })
}

/// How each of `locations` would get to its agent in the deployment of `client`, in their order.
///
/// # Errors
/// When one cannot be deployed there as asked for, or Dagster+ refuses.
pub fn ways_of(
    locations: &[Location],
    client: &Client,
    publish: &PublishArgs,
    host: &Host,
) -> Result<Vec<Decision>, ConnectError> {
    let agent_type = agent_type(client, host)?;
    let is_hybrid = agent_type.as_deref() == Some("HYBRID");
    let asked = if is_hybrid { None } else { ask_registry(client, publish, host) };
    let registry = judged_registry(asked, publish.strategy, host)?;
    ways::decide(locations, publish, &ways::facts(agent_type.as_deref(), registry.as_ref(), trusts(host)))
}

fn announce(session: &DeploySession, deployment: &Deployment, branch: Option<&str>, host: &Host) {
    let kind = if deployment.is_branch { "branch deployment" } else { "deployment" };
    let branch = branch.map(|branch| format!(" of the branch {branch}")).unwrap_or_default();
    let page = session.client.at(&deployment.name).locations_page();
    host.note(format!("Deploying to the {kind} {}{branch} ({page})", deployment.name));
}

fn called(name: &str) -> Deployment {
    Deployment { name: name.into(), is_branch: deployment::is_branch_name(name) }
}

/// The deployment to use if there is none of this name; `ask` and `is_default` are those of the destination.
fn instead(
    session: &DeploySession,
    (name, ask, is_default): (&str, bool, bool),
    error: DagsterError,
    publish: &PublishArgs,
    host: &Host,
) -> Result<(Deployment, Looked), ConnectError> {
    let name = instead_of(name, is_default, error, &session.client, session.context.by_inputs)?;
    // The question before the run was about the other name.
    if ask {
        let organization_url = &session.context.endpoint.organization_url;
        let question = Question { name: &name, organization_url, ..Question::default() };
        deployment::confirm(&question, publish.yes, host)?;
    }
    announce(session, &called(&name), None, host);
    Ok((called(&name), Looked::look(session, &name, publish, host)?))
}

/// An error if the code locations cannot be deployed where a branch deployment would be, or the deployment that it is to be based on
/// does not exist.
fn check_base(
    session: &DeploySession,
    branch: &Branch,
    locations: &[Location],
    publish: &PublishArgs,
    early: Option<Early>,
    host: &Host,
) -> Result<(), ConnectError> {
    let info = early.and_then(Early::base);
    let info = info.unwrap_or_else(|| branch.at_base(&session.client).deployment_info());
    match (judged_agent_type(info, host), &branch.base) {
        (Ok(agent_type), _) => ways::check_agents(locations, publish, agent_type.as_deref()),
        (Err(error @ DagsterError::NotFound { .. }), Some(base)) => {
            let by_inputs = session.context.by_inputs;
            Ok(instead_of(base, false, error, &session.client, by_inputs).map(drop)?)
        }
        (Err(error), _) => Err(error.into()),
    }
}

/// Answers of Dagster+ from before the build.
struct Looked {
    agent_type: Option<String>,
    registry: Option<Registry>,
    before: Option<Before>,
}

impl Looked {
    /// Ask for all that has to be known before the build.
    fn look(
        session: &DeploySession,
        name: &str,
        publish: &PublishArgs,
        host: &Host,
    ) -> Result<Looked, ConnectError> {
        Looked::from_opening(opening_of(session, name, publish, host), publish, host)
    }

    fn from_opening(
        opening: Result<Opening, DagsterError>,
        publish: &PublishArgs,
        host: &Host,
    ) -> Result<Looked, ConnectError> {
        let opening = opening?;
        let agent_type = judged_agent_type(opening.info, host)?;
        let asked = opening.registry.zip(trusts_registry(publish, host));
        // What a Hybrid organization answers does not matter: it has no registry of its own.
        let asked = asked.filter(|_| agent_type.as_deref() != Some("HYBRID"));
        let registry = judged_registry(asked, publish.strategy, host)?;
        let before = || Before::from_answers(opening.states, opening.metadata, host);
        let before = publish.updates().then(before).transpose()?;
        Ok(Looked { agent_type, registry, before })
    }
}

fn opening_of(
    session: &DeploySession,
    name: &str,
    publish: &PublishArgs,
    host: &Host,
) -> Result<Opening, DagsterError> {
    session.client.at(name).opening(trusts_registry(publish, host).is_some())
}

/// `SERVERLESS` or `HYBRID`; `None` if the server does not report it.
pub(super) fn agent_type(client: &Client, host: &Host) -> Result<Option<String>, DagsterError> {
    judged_agent_type(client.deployment_info(), host)
}

fn judged_agent_type(
    info: Result<DeploymentInfo, DagsterError>,
    host: &Host,
) -> Result<Option<String>, DagsterError> {
    match info {
        Ok(info) => Ok(info.agent_type),
        Err(error @ (DagsterError::GraphQl { .. } | DagsterError::Unexpected { .. })) => {
            host.detail(format!("{error}; the type of the agents is not known"));
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn read_json(file: &Path, host: &Host) -> Result<Value, ConnectError> {
    let path = host.absolute(file);
    let text = std::fs::read(&path).map_err(|error| (error.into(), path.clone()));
    let value = text.and_then(|text| serde_json::from_slice(&text).map_err(|error| (error.into(), path)));
    value.map_err(|(source, path)| ConnectError::DefsStateInfo { path, source })
}
