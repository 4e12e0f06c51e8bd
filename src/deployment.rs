//! Which deployment a run is for: a full one, or the branch deployment of a pull request or branch.
//!
//! [`decide`] is pure. Its most important rule: code that is or may be a pull request's never reaches a full
//! deployment.

pub mod args;
mod closed;
mod error;
mod existing;
pub mod goal;
pub mod images;
mod question;
mod same_branch;
mod untrusted;

pub use closed::{Outlived, outlived};
pub use error::DeploymentError;
pub use existing::{Change, existing, of_branch, to_change};
pub use goal::{DeploySession, Goal, client};
pub use question::{Act, Question, confirm};
pub use same_branch::reason_to_stay;
pub use untrusted::{admit, with_request};

use crate::context::event::{CommitEvent, HeadCommit, PullRequest, Trigger};
use crate::context::revision::url_path;
use crate::context::{Context, ContextError, inputs};
use crate::dagster::operations::{BranchData, CommitData, PullRequestStatus};
use crate::dagster::{Client, DagsterError};
use crate::env_vars;
use crate::foreign_text::neutral;
use crate::github::{self, Github};
use crate::host::Host;
use args::{BranchArgs, CodeLocationDetails, SnapshotBase};
use serde::Serialize;

/// The full deployment if none is named. Source: the predecessor's default. If the organization does not have one of
/// this name, [`instead_of`] takes its only one.
pub const DEFAULT_DEPLOYMENT: &str = "prod";

/// What a run is for.
#[derive(Debug, Clone, PartialEq)]
pub enum Choice {
    /// To deploy there.
    Deploy(Destination),
    /// The branch deployment of a branch, to be marked as closed; nothing is built.
    Close(Box<Branch>),
    /// Nothing to deploy, for this reason.
    Nothing(String),
}

/// The deployment that a run deploys to.
#[derive(Debug, Clone, PartialEq)]
pub enum Destination {
    /// This one; ask first if `ask`.
    Named {
        /// Its name.
        name: String,
        /// Whether a person should confirm it.
        ask: bool,
        /// Whether it was not named, and is thus [`DEFAULT_DEPLOYMENT`].
        is_default: bool,
    },
    /// The branch deployment of a branch, created or brought up to date first.
    Branch(Box<Branch>),
}

/// A branch that has a branch deployment.
#[derive(Debug, Clone, PartialEq)]
pub struct Branch {
    /// What is sent to Dagster+ about it.
    pub data: BranchData,
    /// The commit at its head, if known before git is asked.
    pub head_sha: Option<String>,
    /// What the event says about that commit.
    pub head: Option<HeadCommit>,
    /// Picture of the user who opened the pull request, used if the author's is unknown.
    pub avatar_url: Option<String>,
    /// The repository that has the commit.
    pub head_repository: String,
    /// The full deployment that it is based on, if one was named; otherwise Dagster+'s default.
    pub base: Option<String>,
    /// When it copies the state of that deployment.
    pub snapshot: Option<SnapshotBase>,
}

impl Branch {
    /// A client at the deployment that the branch deployment is based on.
    pub fn at_base(&self, client: &Client) -> Client {
        self.base.as_ref().map_or_else(|| client.at_default(), |base| client.at(base))
    }
}

/// The deployment that a run goes to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Deployment {
    /// Its name.
    pub name: String,
    /// Whether it is a branch deployment.
    pub is_branch: bool,
}

/// Decide which deployment a run is for.
///
/// # Errors
/// If it follows neither from the command line nor from the event nor from the work tree.
pub fn decide(
    context: &Context,
    details: Option<&CodeLocationDetails>,
    args: &BranchArgs,
    deployment_flag: bool,
    host: &Host,
) -> Result<Choice, DeploymentError> {
    if let Some(details) = details {
        let name = inputs::deployment_name("--code-location-details", &details.deployment)?;
        if let Some(flag) =
            context.endpoint.deployment.as_ref().filter(|flag| deployment_flag && **flag != name)
        {
            return Err(DeploymentError::Contradiction { flag: flag.clone(), details: name });
        }
        return Ok(Choice::Deploy(Destination::Named { name, ask: false, is_default: false }));
    }
    let named = |ask| {
        let name = context.endpoint.deployment.clone().unwrap_or_else(|| DEFAULT_DEPLOYMENT.into());
        Choice::Deploy(Destination::Named { name, ask, is_default: context.endpoint.deployment.is_none() })
    };
    let branch = |branch| Choice::Deploy(Destination::Branch(Box::new(branch)));
    match &context.trigger {
        Trigger::PullRequest(request) => Ok(branch(of_pull_request(request, context, args, host))),
        Trigger::PullRequestClosed(request) => {
            Ok(Choice::Close(Box::new(of_pull_request(request, context, args, host))))
        }
        Trigger::Nothing(reason) => Ok(Choice::Nothing(reason.clone())),
        Trigger::Untrusted(code) => Err(ContextError::Untrusted { event: code.event.clone() }.into()),
        Trigger::Commit(commit)
            if commit.follows_a_workflow() && untested(commit, context, host).is_some() =>
        {
            let held = untested(commit, context, host).unwrap_or_default();
            Err(DeploymentError::Untested { head: commit.sha.clone().unwrap_or_default(), held })
        }
        _ if args.deployment_for_branch => Ok(branch(of_work_tree(context, args, host)?)),
        Trigger::Commit(commit) if commit.needs_choice() && !args.full_deployment => {
            Err(ContextError::NotChosen { what: run_of(commit) }.into())
        }
        Trigger::Commit(commit) if !args.full_deployment => match foreign_checkout(commit, context, host) {
            Some(what) => Err(ContextError::NotChosen { what }.into()),
            None => Ok(named(false)),
        },
        Trigger::Commit(_) => Ok(named(false)),
        Trigger::OtherCi if context.endpoint.deployment.is_some() => Ok(named(false)),
        Trigger::OtherCi => {
            let system = host.ci_system().unwrap_or("a CI system");
            Err(DeploymentError::NotNamed {
                why: format!("the event of this CI run is not known ({system})"),
            })
        }
        Trigger::Person if deployment_flag || args.full_deployment => Ok(named(true)),
        Trigger::Person if !context.work_tree.exists() => {
            Err(DeploymentError::NotNamed { why: "there is no git work tree".into() })
        }
        Trigger::Person => match context.work_tree.branch().as_deref() {
            None | Some("main" | "master") => Ok(named(true)),
            Some(_) => Ok(branch(of_work_tree(context, args, host)?)),
        },
    }
}

/// What a run that needs a choice is, in words.
fn run_of(commit: &CommitEvent) -> String {
    let branch = match &commit.branch {
        Some(branch) => format!("`{}`", neutral(branch)),
        None => "an unknown branch".into(),
    };
    match commit.follows_a_workflow() {
        true => format!("the workflow run that started this one was on {branch}"),
        false => format!("this run was started manually on {branch}"),
    }
}

/// The commit that is checked out instead of the one whose workflow succeeded. A checkout of another repository has a
/// separate history. If git gives no answer, the checkout is assumed to be at `GITHUB_SHA`, its default.
fn untested(commit: &CommitEvent, context: &Context, host: &Host) -> Option<String> {
    if context.work_tree.head().is_none() {
        let fetched = host.var(env_vars::GITHUB_SHA);
        return fetched.filter(|hash| commit.sha.as_deref() != Some(hash)).map(String::from);
    }
    let built = context.built(host);
    (built.differs() && !built.is_elsewhere).then_some(built.hash).flatten()
}

/// What is checked out instead of the run's own commit and may be from a pull request or any other user, in words:
/// `ref:` of the checkout can come from a comment or from the user who dispatched the run. An older commit of the
/// default branch is trusted.
fn foreign_checkout(commit: &CommitEvent, context: &Context, host: &Host) -> Option<String> {
    let built = context.built(host);
    if !built.differs() || built.is_elsewhere {
        return None;
    }
    let request = context.work_tree.pull_request().or(commit.about_pull_request);
    if let Some(number) = request {
        return Some(format!("the work tree holds pull request {number}"));
    }
    if !commit.event.ends_with("_dispatch") {
        return None;
    }
    let known = [commit.branch.as_deref(), commit.default_branch.as_deref()];
    let base = commit.default_branch.as_deref().or(commit.branch.as_deref()).unwrap_or("main");
    let by_commit = || context.work_tree.branches_beyond(base).into_iter();
    let mut branches = built.branch.clone().into_iter().chain(by_commit());
    let branch = branches.find(|branch| !known.contains(&Some(branch)))?;
    Some(format!("the work tree holds the branch `{}`, but this run is for another one", neutral(&branch)))
}

/// The full deployment that branch deployments are based on, if one is named.
fn base(context: &Context, args: &BranchArgs) -> Option<String> {
    args.base_deployment.clone().or_else(|| context.endpoint.deployment.clone())
}

fn of_pull_request(request: &PullRequest, context: &Context, args: &BranchArgs, host: &Host) -> Branch {
    let built = context.built(host);
    let head_repository = request.head_repository.clone().unwrap_or_else(|| request.repository.clone());
    let server = host.var(env_vars::GITHUB_SERVER_URL).map(|url| url.trim_end_matches('/'));
    let status = match (&context.trigger, request.merged) {
        (Trigger::PullRequestClosed(_), true) => PullRequestStatus::Merged,
        (Trigger::PullRequestClosed(_), false) => PullRequestStatus::Closed,
        _ => PullRequestStatus::Open,
    };
    let page = |path: String| server.map(|server| format!("{server}/{path}"));
    Branch {
        data: BranchData {
            repo_name: request.repository.clone(),
            branch_name: request.branch.clone(),
            branch_url: page(format!("{head_repository}/tree/{}", url_path(&request.branch))),
            pull_request_url: request
                .url
                .clone()
                .or_else(|| page(format!("{}/pull/{}", request.repository, request.number))),
            pull_request_status: Some(status),
            pull_request_number: Some(request.number.to_string()),
        },
        avatar_url: request.avatar_url.clone().filter(|_| !built.differs()),
        head_sha: built.hash,
        head: None,
        head_repository: built.repository.unwrap_or(head_repository),
        // Closing needs no base deployment, and the base may be deleted already.
        base: base(context, args).filter(|_| status == PullRequestStatus::Open),
        snapshot: args.snapshot_base,
    }
}

fn of_work_tree(context: &Context, args: &BranchArgs, host: &Host) -> Result<Branch, DeploymentError> {
    let built = context.built(host);
    let origin = context.work_tree.origin();
    let event = match &context.trigger {
        Trigger::Commit(event) => Some(event),
        _ => None,
    };
    if let Some(tag) = event.and_then(|event| event.tag.clone()) {
        return Err(DeploymentError::Tag { tag: neutral(&tag) });
    }
    let branch = match event {
        // A checkout of another branch than the event's, made on purpose.
        Some(_) if built.differs() && !built.is_elsewhere && built.branch.is_some() => built.branch.clone(),
        Some(event) => event.branch.clone(),
        None => context.work_tree.branch(),
    };
    let branch = branch.ok_or(DeploymentError::NoBranch { why: "no branch is checked out" })?;
    let repository = event
        .and_then(|event| event.repository.clone())
        .or_else(|| origin.as_ref().map(crate::context::git::Remote::full_name))
        .ok_or(DeploymentError::NoBranch {
            why: "the work tree has no remote `origin` that names a repository",
        })?;
    let server = host.var(env_vars::GITHUB_SERVER_URL).filter(|_| event.is_some());
    let web = match server.map(|url| url.trim_end_matches('/')) {
        Some(server) => Some(format!("{server}/{repository}")),
        None => origin.as_ref().and_then(crate::context::git::Remote::web_url),
    };
    Ok(Branch {
        data: BranchData {
            repo_name: repository.clone(),
            branch_url: web.map(|web| format!("{web}/tree/{}", url_path(&branch))),
            branch_name: branch,
            pull_request_url: None,
            pull_request_status: Some(PullRequestStatus::Open),
            pull_request_number: None,
        },
        head: event.and_then(|event| event.head.clone()).filter(|_| !built.differs()),
        head_sha: built.hash,
        avatar_url: None,
        head_repository: built.repository.unwrap_or(repository),
        base: base(context, args),
        snapshot: args.snapshot_base,
    })
}

/// Create the chosen branch deployment, or update it; returns its name.
///
/// # Errors
/// If the commit cannot be determined, or Dagster+ refuses.
pub fn put(branch: &Branch, context: &Context, client: &Client) -> Result<Deployment, DeploymentError> {
    let commit = commit_data(branch, context, client.host())?;
    let snapshot = branch.snapshot.map(|when| match when {
        SnapshotBase::OnCreate => "ON_CREATE",
        SnapshotBase::OnUpdate => "ON_UPDATE",
    });
    let base = branch.base.as_deref();
    let name = client.put_branch_deployment(&branch.data, &commit, base, snapshot)?;
    Ok(Deployment { name, is_branch: true })
}

/// Mark the branch deployment as closed; `None` if it does not exist, so that it is not created just to be closed.
///
/// # Errors
/// Those of [`put`].
pub fn close(
    branch: &Branch,
    context: &Context,
    client: &Client,
) -> Result<Option<Deployment>, DeploymentError> {
    let looked = client
        .branch_deployment_name(&branch.data.repo_name, &branch.data.branch_name)
        .and_then(|name| client.has_deployment(&name));
    match looked {
        Ok(false) => Ok(None),
        Ok(true) => put(branch, context, client).map(Some),
        Err(error @ (DagsterError::Unauthorized { .. } | DagsterError::Network { .. })) => Err(error.into()),
        Err(error) => {
            client.host().detail(format!("{error}; closing it even if it does not exist"));
            put(branch, context, client).map(Some)
        }
    }
}

/// Whether a name is that of a branch deployment: 40 hex digits. Source: what Dagster+ calls them.
pub fn is_branch_name(name: &str) -> bool {
    name.len() == 40 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The deployment to use if there is no deployment `name`: the only one of the organization, if none was named.
///
/// # Errors
/// An error with the existing names, if the server lists them; any other `error` unchanged.
pub fn instead_of(
    name: &str,
    is_default: bool,
    error: DagsterError,
    client: &Client,
    by_inputs: bool,
) -> Result<String, DeploymentError> {
    if !matches!(error, DagsterError::NotFound { .. }) {
        return Err(error.into());
    }
    if is_branch_name(name) {
        return Err(DeploymentError::NoBranchDeployment { name: name.into(), by_inputs });
    }
    match client.full_deployments() {
        // The list may fail too, because the organization itself does not exist.
        Err(asked) => {
            client.host().detail(asked.to_string());
            Err(error.into())
        }
        Ok(known) => match &*known {
            [only] if is_default && only != name => {
                client.host().note(format!(
                    "No deployment is set, and `{name}` does not exist; using `{only}`, the only one"
                ));
                Ok(only.clone())
            }
            _ => Err(DeploymentError::Unknown { name: name.into(), known, by_inputs }),
        },
    }
}

/// Metadata of the commit at the branch's head: from the event, the clone, GitHub, or only its hash. Never that of
/// another commit, such as the merge commit that a runner checks out.
fn commit_data(branch: &Branch, context: &Context, host: &Host) -> Result<CommitData, DeploymentError> {
    let local = context.work_tree.commit(branch.head_sha.as_deref().unwrap_or("HEAD"));
    let hash = branch.head_sha.clone().or_else(|| local.as_ref().map(|commit| commit.hash.clone()));
    let hash = hash.ok_or(DeploymentError::NoBranch { why: "the branch has no commit" })?;
    let head = branch.head.as_ref();
    let known = head.map(|head| (head.timestamp, &head.subject, &head.author_name, &head.author_email));
    let known = known
        .or_else(|| local.as_ref().map(|it| (it.timestamp, &it.subject, &it.author_name, &it.author_email)));
    let pictured = head.and_then(|head| head.avatar_url.clone());
    let remote = match known.is_some() && pictured.is_some() {
        true => None,
        false => github_commit(context.github.as_ref(), &branch.head_repository, &hash),
    };
    let known = known
        .or_else(|| remote.as_ref().map(|it| (it.timestamp, &it.subject, &it.author_name, &it.author_email)));
    let author_avatar_url = pictured
        .or_else(|| remote.as_ref().and_then(|commit| commit.avatar_url.clone()))
        .or_else(|| branch.avatar_url.clone());
    let (timestamp, subject, name, email) = match known {
        Some((timestamp, subject, name, email)) => {
            (timestamp, Some(subject.clone()), Some(name.clone()), Some(email.clone()))
        }
        None => (epoch_seconds(host), None, None, None),
    };
    Ok(CommitData {
        commit_hash: hash,
        timestamp,
        commit_message: subject,
        commit_url: None,
        author_name: name,
        author_email: email,
        author_avatar_url,
    })
}

/// Now, in whole seconds since the epoch.
fn epoch_seconds(host: &Host) -> f64 {
    let now = host.clock.now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    now.as_secs_f64().trunc()
}

fn github_commit(
    github: Option<&Github>,
    repository: &str,
    sha: &str,
) -> Option<github::commit::GithubCommit> {
    let github = github?;
    github::commit::fetch(github, repository, sha)
        .map_err(|error| github.host().detail(format!("{error}; continuing without the author's picture")))
        .ok()
}
