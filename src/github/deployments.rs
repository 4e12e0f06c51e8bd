//! Optional extras: GitHub's own Deployments (the button "View deployment" of a pull request) and the commit status.
//!
//! Source: GitHub REST API, "Deployments", "Deployment statuses", "Commit statuses".

use super::api::{Answer, Call, Github};
use super::error::GithubError;
use serde::Deserialize;
use serde_json::{Value, json};
use ureq::http::Method;

/// Longer descriptions are refused.
const LONGEST_DESCRIPTION_CHARS: usize = 140;
/// So many deployments of an environment are looked at when it is closed; the newest come first.
const MOST_DEPLOYMENTS: &str = "100";

/// A deployment to be announced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDeployment {
    /// The commit: the head of a pull request, not the merge of it.
    pub sha: String,
    /// The environment's name.
    pub environment: String,
    /// A few words; cut to 140 characters.
    pub description: String,
    /// Whether the environment ends with the pull request.
    pub transient: bool,
    /// Whether users rely on it.
    pub production: bool,
}

/// State of a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeploymentState {
    /// It has begun.
    InProgress,
    /// It is there.
    Success,
    /// It is not.
    Failure,
    /// Something else broke.
    Error,
    /// It was taken down, or a newer one is in its place.
    Inactive,
}

impl DeploymentState {
    fn name(self) -> &'static str {
        match self {
            DeploymentState::InProgress => "in_progress",
            DeploymentState::Success => "success",
            DeploymentState::Failure => "failure",
            DeploymentState::Error => "error",
            DeploymentState::Inactive => "inactive",
        }
    }
}

/// What is known of a deployment besides its state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeploymentDetails {
    /// Where it can be seen.
    pub environment_url: Option<String>,
    /// The run that makes it.
    pub log_url: Option<String>,
    /// A few words; cut to 140 characters.
    pub description: String,
}

#[derive(Deserialize)]
struct Created {
    id: u64,
}

fn call(
    github: &Github,
    repository: &str,
    doing: &str,
    method: Method,
    (segments, query): (&[&str], &[(&str, &str)]),
    body: Option<Value>,
    permission: &'static str,
) -> Result<Answer, GithubError> {
    let url = github.repository_url(doing, repository, segments, query)?;
    // A status said twice is the same status; a second deployment would be another.
    let idempotent = segments != ["deployments"] || method == Method::GET;
    github.call(&Call { doing, permission, idempotent, method, url, body })
}

/// Announce a deployment; its id.
///
/// `auto_merge` is off and no checks are required: GitHub would otherwise merge the base into the branch, or refuse
/// because the very check that deploys is still pending. Where the answer is lost, it looks before it asks again.
///
/// # Errors
/// When GitHub refuses, or does not answer.
pub fn create(github: &Github, repository: &str, new: &NewDeployment) -> Result<u64, GithubError> {
    match create_once(github, repository, new) {
        Err(error) if error.is_uncertain() => {
            let present = list(github, repository, &[("environment", &new.environment), ("sha", &new.sha)])?;
            match present.first() {
                Some(deployment) => Ok(deployment.id),
                None => create_once(github, repository, new),
            }
        }
        outcome => outcome,
    }
}

fn create_once(github: &Github, repository: &str, new: &NewDeployment) -> Result<u64, GithubError> {
    let doing = format!("create a GitHub deployment for `{}`", new.environment);
    let body = json!({
        "ref": new.sha,
        "task": "deploy",
        "auto_merge": false,
        "required_contexts": [],
        "environment": new.environment,
        "description": cut(&new.description),
        "transient_environment": new.transient,
        "production_environment": new.production,
    });
    let place: (&[&str], &[(&str, &str)]) = (&["deployments"], &[]);
    let answer = call(github, repository, &doing, Method::POST, place, Some(body), "deployments: write")?;
    if answer.status == 202 {
        let message = "it merged another branch instead".to_string();
        return Err(GithubError::Invalid { doing, status: 202, message });
    }
    Ok(answer.parse::<Created>(&doing, "a deployment")?.id)
}

/// Deployments, newest first.
fn list(github: &Github, repository: &str, query: &[(&str, &str)]) -> Result<Vec<Created>, GithubError> {
    let doing = "list the GitHub deployments";
    let query = [query, &[("per_page", MOST_DEPLOYMENTS)]].concat();
    let place: (&[&str], &[(&str, &str)]) = (&["deployments"], &query);
    call(github, repository, doing, Method::GET, place, None, "deployments: read")?
        .parse(doing, "a list of deployments")
}

/// Say how deployment `id` stands.
///
/// # Errors
/// When GitHub refuses, or does not answer.
pub fn set_state(
    github: &Github,
    repository: &str,
    id: u64,
    state: DeploymentState,
    details: &DeploymentDetails,
) -> Result<(), GithubError> {
    let doing = format!("set the GitHub deployment {id} to {}", state.name());
    let mut body = json!({"state": state.name(), "description": cut(&details.description)});
    for (name, value) in [("environment_url", &details.environment_url), ("log_url", &details.log_url)] {
        if let Some(value) = value {
            body[name] = json!(value);
        }
    }
    let id = id.to_string();
    let segments = ["deployments", &id, "statuses"];
    call(github, repository, &doing, Method::POST, (&segments, &[]), Some(body), "deployments: write")?;
    Ok(())
}

/// Set all deployments of an environment to inactive: the branch deployment is closed. How many there were.
///
/// # Errors
/// The first refusal, or that there was no answer.
pub fn deactivate(github: &Github, repository: &str, environment: &str) -> Result<usize, GithubError> {
    let deployments = list(github, repository, &[("environment", environment)])?;
    for deployment in &deployments {
        let details = DeploymentDetails { description: "closed".into(), ..DeploymentDetails::default() };
        set_state(github, repository, deployment.id, DeploymentState::Inactive, &details)?;
    }
    Ok(deployments.len())
}

/// State of a commit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitState {
    /// Under way.
    Pending,
    /// Done.
    Success,
    /// Something in the project.
    Failure,
    /// Something else.
    Error,
}

impl CommitState {
    fn name(self) -> &'static str {
        match self {
            CommitState::Pending => "pending",
            CommitState::Success => "success",
            CommitState::Failure => "failure",
            CommitState::Error => "error",
        }
    }
}

/// The status of a commit, replacing the earlier one of the same `context`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitStatus {
    /// The head commit.
    pub sha: String,
    /// How it stands.
    pub state: CommitState,
    /// Name of the check: the same for every run, different for each target.
    pub context: String,
    /// A few words; cut to 140 characters.
    pub description: String,
    /// The run, or the deployment.
    pub target_url: Option<String>,
}

/// Set the status of a commit.
///
/// # Errors
/// When GitHub refuses, or does not answer.
pub fn set_commit_status(
    github: &Github,
    repository: &str,
    status: &CommitStatus,
) -> Result<(), GithubError> {
    let doing = format!("set the status of commit {}", status.sha);
    let mut body = json!({
        "state": status.state.name(),
        "context": status.context,
        "description": cut(&status.description),
    });
    if let Some(target) = &status.target_url {
        body["target_url"] = json!(target);
    }
    let segments = ["statuses", &status.sha];
    call(github, repository, &doing, Method::POST, (&segments, &[]), Some(body), "statuses: write")?;
    Ok(())
}

/// `text` in at most 140 characters, on one line.
fn cut(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= LONGEST_DESCRIPTION_CHARS {
        return line;
    }
    line.chars().take(LONGEST_DESCRIPTION_CHARS - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptions_keep_the_limit_in_characters() {
        assert_eq!(cut("built\n  and deployed"), "built and deployed");
        let long = cut(&"ä".repeat(200));
        assert_eq!((long.chars().count(), long.ends_with("ä…")), (140, true));
        assert_eq!(cut(&"ä".repeat(140)).chars().filter(|c| *c == 'ä').count(), 140);
    }
}
