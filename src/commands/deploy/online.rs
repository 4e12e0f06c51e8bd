//! The part of `deploy` that is at Dagster+: which deployment, what is there, and what came of it.

mod finish;
mod registry;

use crate::cli::DeployArgs;
use crate::commands::Error;
use crate::commands::interrupt::Reached;
use crate::commands::status::client_by;
use crate::context::Context;
use crate::context::event::Trigger;
use crate::dagster::operations::Registry;
use crate::dagster::{Client, DagsterError, Session};
use crate::deployment::{self, Branch, Choice, Deployment};
use crate::host::Host;
use crate::net::Agent;
use crate::pex::{FORMAT_REVISION, PEX_VERSION};
use crate::report::DeploymentReport;
use crate::target::PythonVersion;
use crate::threads::joined;
use crate::update::Before;
use crate::update::document::Additions;
pub use finish::Deployed;
use registry::{ask_registry, base_image_tag, image, judged_registry, look_at_registry};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// What a deploy has to do at Dagster+, known before anything is read or built.
pub enum Intent {
    /// Nothing: only build.
    BuildOnly,
    /// Nothing at all, for this reason.
    Nothing(String),
    /// Close a branch deployment, and build nothing.
    Close(Box<DeploySession>, Branch),
    /// Publish, and maybe update.
    Deploy(Box<DeploySession>, Choice),
}

/// What is known before the first call.
pub struct DeploySession {
    context: Context,
    client: Client,
}

/// A deployment that was looked at and is ready for PEX files.
pub struct Online {
    deployment: Deployment,
    client: Client,
    /// At the deployment that a branch deployment is compared with.
    base: Option<Client>,
    before: Option<Before>,
    /// `SERVERLESS`, where the server tells.
    agent_type: Option<String>,
    changed_only: bool,
    additions: Additions,
    context: Context,
}

/// Read what the run is for.
///
/// # Errors
/// A setting that is missing, an event that cannot be read, or a question that was answered with no.
pub fn intent(args: &DeployArgs, session: &Session, host: &Host) -> Result<Intent, Error> {
    let publish = &args.publish;
    if args.build.dry_run || publish.is_build_only() {
        if let Some(flag) = idle_flag(args) {
            host.warn(format!("{flag} has no effect without --upload-pex or --update-code-location"));
        }
        return Ok(Intent::BuildOnly);
    }
    let mut context = Context::read(&args.dagster, &directory_of(&host.absolute(&args.file)), host)?;
    let agent = Agent::new(host);
    if let Trigger::Untrusted(code) = &context.trigger
        && publish.branch.allow_untrusted_code
    {
        context.trigger = deployment::admit(code, &context)?;
    }
    let details = publish.code_location_details.as_ref();
    let named_by_flag = args.dagster.deployment.is_some();
    let choice = deployment::decide(&context, details, &publish.branch, named_by_flag, host)?;
    if let Choice::Named { name, ask: true, .. } = &choice {
        deployment::confirm(name, publish.yes, host)?;
    }
    if details.is_none() && matches!(choice, Choice::Named { .. } | Choice::Branch(_)) {
        let built = context.built(host);
        built.surprise().into_iter().for_each(|line| host.note(line));
    }
    let choice = match choice {
        Choice::Close(branch) => {
            match deployment::reason_to_stay(&context.trigger, context.github.as_ref()) {
                Some(reason) => Choice::Nothing(reason),
                None => Choice::Close(branch),
            }
        }
        choice => choice,
    };
    let python = args.build.python_version.unwrap_or(PythonVersion::DEFAULT);
    let client = client_by(&context, &agent, host, python).in_session(session);
    let session = Box::new(DeploySession { context, client });
    Ok(match choice {
        Choice::Nothing(reason) => Intent::Nothing(reason),
        Choice::Close(branch) => Intent::Close(session, branch),
        choice => Intent::Deploy(session, choice),
    })
}

/// A flag that was given and that a mere build does not heed.
fn idle_flag(args: &DeployArgs) -> Option<&'static str> {
    let publish = &args.publish;
    let given = [
        ("--changed-only", publish.changed_only),
        ("--deps-cache-from", !publish.deps_cache_from.is_empty()),
        ("--deps-cache-to", publish.deps_cache_to.is_some()),
        ("--code-location-details", publish.code_location_details.is_some()),
        ("--deployment-for-branch", publish.branch.deployment_for_branch),
        ("--base-deployment", publish.branch.base_deployment.is_some()),
        ("--defs-state-info", publish.defs_state_info.is_some()),
        ("--image", publish.image.is_some()),
        ("--base-image-tag", publish.base_image_tag.is_some()),
    ];
    let dry = args.build.dry_run && (publish.upload_pex || publish.update_code_location);
    given.into_iter().find(|(_, given)| *given && !dry).map(|(flag, _)| flag)
}

/// The directory to ask git about: that of the project file, or the project itself.
pub fn directory_of(file: &Path) -> PathBuf {
    match file.parent() {
        Some(parent) if !file.is_dir() => parent.to_path_buf(),
        _ => file.to_path_buf(),
    }
}

impl DeploySession {
    /// A client at no deployment in particular.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// What the run adds to documents, as far as it may tell them from those that are there: all but the commit.
    /// `client` is at a deployment that exists.
    ///
    /// # Errors
    /// A file or setting that cannot be read.
    pub fn lasting_additions(
        &self,
        client: &Client,
        args: &DeployArgs,
        host: &Host,
    ) -> Result<Additions, Error> {
        let tagged = base_image_tag(args, host).is_some();
        let registry = if tagged { look_at_registry(client, args, host)? } else { None };
        let info = args.publish.defs_state_info.as_deref().map(|file| read_json(file, host)).transpose()?;
        let image = image(args, registry.as_ref(), host)?;
        Ok(Additions { image, defs_state_info: info, ..Additions::default() })
    }

    /// Mark the branch deployment of a closed pull request as closed; `None` where there never was one.
    ///
    /// # Errors
    /// Dagster+'s refusal.
    pub fn close(&self, branch: &Branch) -> Result<Option<DeploymentReport>, Error> {
        let closed = deployment::close(branch, &self.context, &self.client)?;
        Ok(closed.map(|deployment| {
            let url = self.client.at(&deployment.name).locations_page();
            let commit_hash = branch.head_sha.clone();
            DeploymentReport { name: deployment.name, is_branch: true, url, commit_hash }
        }))
    }

    /// The deployment to go to after `error` at the one called `name`.
    ///
    /// # Errors
    /// Those of [`deployment::instead_of`].
    pub fn instead_of(&self, name: &str, is_default: bool, error: DagsterError) -> Result<String, Error> {
        Ok(deployment::instead_of(name, is_default, error, &self.client, self.context.by_inputs)?)
    }

    /// An error if PEX files cannot run in the deployment that `client` is at.
    ///
    /// # Errors
    /// Hybrid agents, or Dagster+'s refusal.
    pub fn runs_pex(&self, client: &Client, choice: &Choice, host: &Host) -> Result<(), Error> {
        let name = match choice {
            Choice::Named { name, .. } => Some(name.as_str()),
            _ => None,
        };
        runs_pex(agent_type(client, host)?.as_deref(), name)
    }

    /// Make the deployment ready, and look at what is there.
    ///
    /// # Errors
    /// A bad token, a deployment that does not exist, agents or a registry that cannot run PEX files.
    pub fn connect(
        self,
        choice: &Choice,
        args: &DeployArgs,
        reached: &Reached,
        host: &Host,
    ) -> Result<Online, Error> {
        let defs_state_info =
            args.publish.defs_state_info.as_deref().map(|file| read_json(file, host)).transpose()?;
        let (deployment, looked) = match choice {
            Choice::Branch(branch) => {
                // Before anything is created.
                self.at_base(branch, host)?;
                let made = deployment::put(branch, &self.context, &self.client)?;
                reached.set_branch_deployment(&made.name);
                self.announce(&made, Some(&branch.data.branch_name), host);
                let looked = self.look(&made.name, args, host)?;
                (made, looked)
            }
            Choice::Named { name, ask, is_default } => self.named(name, *ask, *is_default, args, host)?,
            Choice::Close(_) | Choice::Nothing(_) => return Err(Error::NothingToDeploy),
        };
        let client = self.client.at(&deployment.name);
        let commit = args.publish.code_location_details.as_ref().map(|details| details.commit_hash.as_str());
        let additions = Additions {
            revision: self.context.revision(commit, host),
            image: image(args, looked.registry.as_ref(), host)?,
            defs_state_info,
        };
        let base = match choice {
            Choice::Branch(Branch { base: Some(base), .. }) => Some(self.client.at(base)),
            _ if deployment.is_branch => Some(self.client.at_default()),
            _ => None,
        };
        Ok(Online {
            deployment,
            client,
            base,
            before: looked.before,
            agent_type: looked.agent_type,
            changed_only: args.publish.changed_only,
            additions,
            context: self.context,
        })
    }

    fn announce(&self, deployment: &Deployment, branch: Option<&str>, host: &Host) {
        let kind = if deployment.is_branch { "branch deployment" } else { "deployment" };
        let branch = branch.map(|branch| format!(" of the branch {branch}")).unwrap_or_default();
        let page = self.client.at(&deployment.name).locations_page();
        host.note(format!("Deploying to the {kind} {}{branch} ({page})", deployment.name));
    }

    /// A deployment that exists already.
    fn named(
        &self,
        name: &str,
        ask: bool,
        is_default: bool,
        args: &DeployArgs,
        host: &Host,
    ) -> Result<(Deployment, Looked), Error> {
        let of = |name: &str| Deployment { name: name.into(), is_branch: deployment::is_branch_name(name) };
        self.announce(&of(name), None, host);
        match self.look(name, args, host) {
            Err(Error::Dagster(error @ DagsterError::NotFound { .. })) => {
                let name = self.instead_of(name, is_default, error)?;
                if ask {
                    deployment::confirm(&name, args.publish.yes, host)?;
                }
                self.announce(&of(&name), None, host);
                Ok((of(&name), self.look(&name, args, host)?))
            }
            looked => Ok((of(name), looked?)),
        }
    }

    /// An error if PEX files cannot run where a branch deployment would be, or the deployment that it is to be based on
    /// does not exist.
    fn at_base(&self, branch: &Branch, host: &Host) -> Result<(), Error> {
        let client = match &branch.base {
            Some(base) => self.client.at(base),
            None => self.client.at_default(),
        };
        match (agent_type(&client, host), &branch.base) {
            (Ok(agent_type), base) => runs_pex(agent_type.as_deref(), base.as_deref()),
            (Err(error @ DagsterError::NotFound { .. }), Some(base)) => {
                self.instead_of(base, false, error).map(drop)
            }
            (Err(error), _) => Err(error.into()),
        }
    }

    /// Ask what has to be known before anything is built, all at once.
    fn look(&self, name: &str, args: &DeployArgs, host: &Host) -> Result<Looked, Error> {
        let client = self.client.at(name);
        let (agent_type, registry, before) = std::thread::scope(|scope| {
            let agent_type = scope.spawn(|| agent_type(&client, host));
            let registry = scope.spawn(|| ask_registry(&client, args, host));
            let before = args.publish.update_code_location.then(|| Before::look(&client)).transpose();
            (joined(agent_type), joined(registry), before)
        });
        let agent_type = agent_type?;
        runs_pex(agent_type.as_deref(), Some(name))?;
        Ok(Looked { agent_type, registry: judged_registry(registry, host)?, before: before? })
    }
}

/// What was asked before anything is built.
struct Looked {
    agent_type: Option<String>,
    registry: Option<Registry>,
    before: Option<Before>,
}

/// `SERVERLESS` or `HYBRID`; `None` where the server does not tell.
fn agent_type(client: &Client, host: &Host) -> Result<Option<String>, DagsterError> {
    match client.deployment_info() {
        Ok(info) => Ok(info.agent_type),
        Err(error @ (DagsterError::GraphQl { .. } | DagsterError::Unexpected { .. })) => {
            host.detail(format!("{error}; of which kind the agents are is not known"));
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Hybrid agents have no registry for PEX files. Source: `agentType`, as dagster-cloud-cli asks for it.
fn runs_pex(agent_type: Option<&str>, deployment: Option<&str>) -> Result<(), Error> {
    match agent_type {
        Some("HYBRID") => Err(Error::Hybrid { deployment: deployment.map(String::from) }),
        _ => Ok(()),
    }
}

/// The version of what goes into every deps PEX.
pub fn runtime() -> String {
    format!("pex {PEX_VERSION} format {FORMAT_REVISION}")
}

fn read_json(file: &Path, host: &Host) -> Result<Value, Error> {
    let path = host.absolute(file);
    let text = std::fs::read(&path).map_err(|error| (error.into(), path.clone()));
    let value = text.and_then(|text| serde_json::from_slice(&text).map_err(|error| (error.into(), path)));
    value.map_err(|(source, path)| Error::DefsStateInfo { path, source })
}
