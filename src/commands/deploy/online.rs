//! The part of `deploy` that is at Dagster+: which deployment, what is there, and what came of it.

use crate::build::manifest::pex_tag;
use crate::build::{Built, DepsPexFile};
use crate::cli::{DeployArgs, VerifyWhen};
use crate::commands::Error;
use crate::commands::interrupt::Reached;
use crate::commands::status::client_by;
use crate::context::Context;
use crate::context::event::Trigger;
use crate::context::inputs::{SERVERLESS_AGENT_LIMIT, WaitLimits};
use crate::dagster::operations::Registry;
use crate::dagster::{Client, DagsterError, Session};
use crate::dependencies::{self, DependencyChanges, Exchange, Listed};
use crate::deployment::{self, Branch, Choice, Deployment};
use crate::display::Display;
use crate::env_vars;
use crate::error::Explain;
use crate::host::Host;
use crate::net::Agent;
use crate::pex::{FORMAT_REVISION, PEX_VERSION};
use crate::plan::{Plan, PlannedLocation};
use crate::publish::{self, CacheTags, Published, Publisher};
use crate::report::{DeploymentReport, Sent, SentFiles, State};
use crate::target::{PythonVersion, Target};
use crate::update::document::{Additions, location_document};
use crate::update::{self, Before, Outcome, Update, UpdateError, Updated};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Duration;

/// What a deploy has to do at Dagster+, known before anything is read or built.
pub enum Intent {
    /// Nothing: only build.
    BuildOnly,
    /// Nothing at all, for this reason.
    Nothing(String),
    /// Close a branch deployment, and build nothing.
    Close(Box<Going>, Branch),
    /// Publish, and maybe update.
    Deploy(Box<Going>, Choice),
}

/// What is known before the first call.
pub struct Going {
    context: Context,
    agent: Agent,
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

/// What came of a deploy.
pub struct Deployed {
    /// How far each code location came, by name.
    pub locations: BTreeMap<String, (State, Option<SentFiles>)>,
    /// Why code locations do not run the new files, by name.
    pub failures: Vec<(String, Box<dyn Explain + Send + Sync>)>,
}

/// Read what the run is for.
///
/// # Errors
/// A setting that is missing, an event that cannot be read, or a question that was answered with no.
pub fn intent(args: &DeployArgs, session: &Session, host: &Host) -> Result<Intent, Error> {
    let publish = &args.publish;
    if args.build.dry_run || !(publish.upload_pex || publish.update_code_location) {
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
        context.trigger = deployment::admit(code, &context, &agent, host)?;
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
        if let Trigger::Commit(commit) = &context.trigger
            && commit.follows_a_workflow()
            && context.work_tree.head().is_none()
            && commit.sha.as_deref() != host.var(env_vars::GITHUB_SHA)
        {
            host.warn("there is no git work tree to tell whether the commit that was tested is checked out");
        }
    }
    let choice = match choice {
        Choice::Close(branch) => match deployment::reason_to_stay(&context.trigger, &agent, host) {
            Some(reason) => Choice::Nothing(reason),
            None => Choice::Close(branch),
        },
        choice => choice,
    };
    let python = args.build.python_version.unwrap_or(PythonVersion::DEFAULT);
    let client = client_by(&context, &agent, host, python).in_session(session);
    let going = Box::new(Going { context, agent, client });
    Ok(match choice {
        Choice::Nothing(reason) => Intent::Nothing(reason),
        Choice::Close(branch) => Intent::Close(going, branch),
        choice => Intent::Deploy(going, choice),
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

impl Going {
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
        let closed = deployment::close(branch, &self.context, &self.client, &self.agent)?;
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
                let made = deployment::put(branch, &self.context, &self.client, &self.agent)?;
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

fn joined<T>(thread: std::thread::ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
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

/// The registry, asked before anything is built for it; an error if PEX files cannot run there.
fn look_at_registry(client: &Client, args: &DeployArgs, host: &Host) -> Result<Option<Registry>, Error> {
    judged_registry(ask_registry(client, args, host), host)
}

/// What the registry is, and whether it is trusted to run PEX files whatever it says; `None` where nobody needs to know.
fn ask_registry(
    client: &Client,
    args: &DeployArgs,
    host: &Host,
) -> Option<(Result<Registry, DagsterError>, bool)> {
    let trusted = host.var(env_vars::DAGSTER_CLOUD_DISABLE_PEX_DOCKER_REDIRECT).is_some();
    let needed = !trusted || base_image_tag(args, host).is_some();
    needed.then(|| (client.registry(), trusted))
}

/// A registry that does not answer the question is taken for one that runs PEX files, with a warning, as
/// dagster-cloud-cli does it.
fn judged_registry(
    asked: Option<(Result<Registry, DagsterError>, bool)>,
    host: &Host,
) -> Result<Option<Registry>, Error> {
    match asked {
        None => Ok(None),
        Some((Ok(registry), trusted)) if registry.is_harbor && !trusted => Err(Error::NoPexRuntime),
        Some((Ok(registry), _)) => Ok(Some(registry)),
        Some((
            Err(
                error @ (DagsterError::Unauthorized { .. }
                | DagsterError::NotFound { .. }
                | DagsterError::NotTheApi { .. }
                | DagsterError::Interrupted { .. }
                | DagsterError::Over(_)
                | DagsterError::Network { .. }),
            ),
            _,
        )) => Err(error.into()),
        Some((Err(error), _)) => {
            host.warn(format!("{error}; going on as if PEX files can run there"));
            Ok(None)
        }
    }
}

fn base_image_tag(args: &DeployArgs, host: &Host) -> Option<String> {
    let variable = || host.var(env_vars::SERVERLESS_BASE_IMAGE_TAG).map(String::from);
    args.publish.base_image_tag.clone().or_else(variable)
}

/// The image that replaces what the project file says: a flag, a variable, or a tag in the organization's registry.
/// Source: the order of dagster-cloud-cli.
fn image(args: &DeployArgs, registry: Option<&Registry>, host: &Host) -> Result<Option<String>, Error> {
    let whole = args.publish.image.clone();
    let whole = whole.or_else(|| host.var(env_vars::SERVERLESS_BASE_IMAGE).map(String::from));
    match (whole, base_image_tag(args, host)) {
        (Some(image), _) => Ok(Some(image)),
        (None, None) => Ok(None),
        (None, Some(tag)) => match registry.and_then(|registry| registry.url.as_ref()) {
            Some(url) => Ok(Some(format!("{url}:{tag}"))),
            None => Err(Error::NoRegistry { tag }),
        },
    }
}

fn read_json(file: &Path, host: &Host) -> Result<Value, Error> {
    let path = host.absolute(file);
    let text = std::fs::read(&path).map_err(|error| (error.into(), path.clone()));
    let value = text.and_then(|text| serde_json::from_slice(&text).map_err(|error| (error.into(), path)));
    value.map_err(|(source, path)| Error::DefsStateInfo { path, source })
}

impl Online {
    /// Follow a build from here.
    pub fn publisher(&self, args: &DeployArgs, target: Target, host: &Host) -> Publisher {
        let publish = &args.publish;
        // A deps PEX that is to be loaded here has to be here.
        let read = !publish.force_rebuild_deps && args.verify != VerifyWhen::Always;
        let from = if read { publish.deps_cache_from.clone() } else { Vec::new() };
        let tags = CacheTags { from, to: publish.deps_cache_to.clone() };
        let progress = Arc::new(Display::new(host));
        let likely = self.before.as_ref().map(Before::deps_files).unwrap_or_default();
        Publisher::start(&self.client, tags, target, &runtime(), publish.upload_pex, progress)
            .expecting(likely)
    }

    /// Update the code locations whose files are stored, and wait for them. `unfit` are those not to be updated.
    pub fn finish(
        &self,
        published: &Published,
        plan: &Plan,
        built: &Built,
        unfit: &BTreeSet<String>,
        reached: &Reached,
    ) -> Deployed {
        let mut deployed = Deployed { locations: BTreeMap::new(), failures: Vec::new() };
        let mut updates = Vec::new();
        for planned in plan.locations.iter().filter(|planned| !unfit.contains(&planned.location.name)) {
            let Some((source, deps)) = files(planned, built) else { continue };
            match stored(published, source, deps) {
                Ok(sent) => {
                    let update = self.update(planned, source, deps, plan.target);
                    let leave = self.is_left_alone(&update);
                    let state = if leave { State::Unchanged } else { State::Published };
                    deployed.locations.insert(update.name.clone(), (state, Some(sent)));
                    updates.extend((!leave).then_some(update));
                }
                Err(error) => {
                    let location = planned.location.name.clone();
                    deployed.locations.insert(location.clone(), (State::NotPublished, None));
                    let error = UpdateError::NotPublished { location: location.clone(), source: error };
                    deployed.failures.push((location, Box::new(error)));
                }
            }
        }
        if let Some(before) = &self.before
            && !updates.is_empty()
        {
            let tell = |phase| reached.set_phase(phase);
            let limits = self.limits(&updates);
            let outcomes = update::run(&self.client.patient(), updates, before, limits, &tell);
            outcomes.into_iter().for_each(|outcome| deployed.take(outcome));
        }
        deployed
    }

    /// Serverless agents may be asleep, and need minutes to be there. Source: what dagster-cloud-cli waits for them.
    fn limits(&self, updates: &[Update]) -> WaitLimits {
        let limits = self.context.limits;
        let queued = updates.iter().any(|update| update.document.contains_key("agent_queue"));
        let serverless = self.agent_type.as_deref() == Some("SERVERLESS") && !queued;
        match limits.agent {
            Some(_) if serverless && !self.context.agent_limit_is_given => {
                WaitLimits { agent: Some(SERVERLESS_AGENT_LIMIT), ..limits }
            }
            _ => limits,
        }
    }

    /// Code locations of the deployment that are not among `names`, those of the project file.
    pub fn others(&self, names: &BTreeSet<String>) -> Vec<String> {
        let there = self.before.iter().flat_map(Before::names);
        there
            .filter(|name| !names.contains(*name))
            .map(String::from)
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect()
    }

    fn update(&self, planned: &PlannedLocation, source: &str, deps: &DepsPexFile, target: Target) -> Update {
        let tag = pex_tag(&[source, deps.name()]);
        let location = &planned.location;
        let document = location_document(&location.document, &tag, target.python, &self.additions);
        Update { name: location.name.clone(), document }
    }

    /// Begin to find out what changes in the dependencies of each code location: against what it ran before, or for a
    /// branch deployment against what the deployment runs that it is based on. Goes on beside the deploy.
    pub fn dependency_changes(&self, plan: &Plan, built: &Built) -> Changes {
        let files: Vec<_> = plan
            .locations
            .iter()
            .filter_map(|planned| Some((&planned.location.name, files(planned, built)?.1)))
            .map(|(location, deps)| (location.clone(), deps.name().to_string(), listed(deps)))
            .collect();
        let (client, before) = (self.client.patient(), self.before.clone());
        let base = self.base.as_ref().map(Client::patient);
        let (sender, receiver) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let before = match base {
                Some(base) => Some(Before::look_at_metadata(&base)),
                None => before,
            };
            let exchanges = before.iter().flat_map(|before| {
                files.iter().filter_map(|(location, after, listed)| {
                    let before = before.deps_file(location).filter(|before| before != after)?;
                    let (location, after, listed) = (location.clone(), after.clone(), listed.clone());
                    Some(Exchange { location, before, after, listed })
                })
            });
            let changes = dependencies::changes(&client, &exchanges.collect::<Vec<_>>());
            // A deploy that did not wait for it does not miss it.
            let _ = sender.send(changes);
        });
        Changes(receiver)
    }

    /// Whether the code location runs this deps PEX already.
    pub fn runs(&self, location: &str, deps_pex: &str) -> bool {
        self.before
            .as_ref()
            .and_then(|before| before.deps_file(location))
            .is_some_and(|name| name == deps_pex)
    }

    /// Whether the code location is just what the update would make it, and only changes are asked for.
    fn is_left_alone(&self, update: &Update) -> bool {
        let Some(before) = self.before.as_ref().filter(|_| self.changed_only) else { return false };
        let host = self.client.host();
        match before.difference(&update.name, &update.document) {
            None => {
                host.note(format!("{}: unchanged, left alone", update.name));
                true
            }
            Some(difference) => {
                host.detail(format!("{}: updated, since {difference}", update.name));
                false
            }
        }
    }

    /// The deployment, for the report.
    pub fn report(&self) -> DeploymentReport {
        DeploymentReport {
            name: self.deployment.name.clone(),
            is_branch: self.deployment.is_branch,
            url: self.client.locations_page(),
            commit_hash: self.additions.revision.commit_hash.clone(),
        }
    }
}

/// Changes of dependencies that are still being looked for.
pub struct Changes(Receiver<BTreeMap<String, DependencyChanges>>);

/// A finished deploy waits so long for a list that is only nice to have.
const PATIENCE: Duration = Duration::from_secs(10);

impl Changes {
    /// What was found, by code location.
    pub fn found(self, host: &Host) -> BTreeMap<String, DependencyChanges> {
        self.0.recv_timeout(PATIENCE).unwrap_or_else(|error| {
            host.detail(format!("which dependencies changed is not told: {error}"));
            BTreeMap::new()
        })
    }
}

/// Where the distributions of a deps PEX can be read.
fn listed(deps: &DepsPexFile) -> Listed {
    Listed::of(deps.resolution()).unwrap_or_else(|| match deps.file() {
        Some(file) => Listed::Local(file.path.clone()),
        None => Listed::Stored,
    })
}

fn files<'a>(planned: &PlannedLocation, built: &'a Built) -> Option<(&'a str, &'a DepsPexFile)> {
    let source = built.sources[planned.source].as_ref().ok()?;
    Some((&source.name, built.deps[planned.deps].as_ref().ok()?))
}

/// How both files came to be stored.
fn stored(published: &Published, source: &str, deps: &DepsPexFile) -> Result<SentFiles, Arc<DagsterError>> {
    let how = |name: &str, sent| match sent {
        _ if published.is_cached(name) => Sent::Cached,
        publish::Sent::AlreadyThere => Sent::AlreadyThere,
        publish::Sent::Uploaded => Sent::Uploaded,
    };
    let (of_source, of_deps) = (published.file(source)?, published.file(deps.name())?);
    Ok(SentFiles { source: how(source, of_source), deps: how(deps.name(), of_deps) })
}

impl Deployed {
    fn take(&mut self, outcome: Outcome) {
        let state = match &outcome.result {
            Ok(Updated::Loaded) => State::Loaded,
            Ok(Updated::NotAwaited) => State::Updated,
            Err(UpdateError::Refused { .. } | UpdateError::NotPublished { .. }) => State::NotUpdated,
            Err(UpdateError::Load { .. }) => State::FailedToLoad,
            Err(UpdateError::LoadTimeout { .. }) => State::Loading,
            Err(UpdateError::NoAgent { .. }) => State::NoAgent,
            Err(UpdateError::Overtaken { .. }) => State::Overtaken,
            Err(UpdateError::Uncertain { .. } | UpdateError::Unseen { .. }) => State::Unknown,
        };
        if let Some((known, _)) = self.locations.get_mut(&outcome.name) {
            *known = state;
        }
        if let Err(error) = outcome.result {
            self.failures.push((outcome.name, Box::new(error)));
        }
    }
}
