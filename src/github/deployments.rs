//! Optional extras: GitHub's own Deployments (the button "View deployment" of a pull request) and the commit status.
//!
//! Source: GitHub REST API, "Deployments", "Deployment statuses", "Commit statuses".

use super::api::{Call, Github, Repeat, owner_and_name, segment};
use super::error::GithubError;
pub use octocrab::models::StatusState as CommitState;
pub use octocrab::models::repos::DeploymentStatusState as DeploymentState;
use serde::Deserialize;
use serde_json::{Value, json};

/// A deployment in an answer. octocrab's models of deployments and statuses require members that GitHub documents as
/// nullable, so a deployment that was created would count as failed. Its builders read their answers with these models.
#[derive(Deserialize)]
struct Created {
    id: u64,
}

/// Longer descriptions are refused.
const LONGEST_DESCRIPTION_CHARS: usize = 140;
/// How many deployments of an environment are read when it is closed; the newest come first.
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

/// Details of a deployment other than its state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeploymentDetails {
    /// Where it can be seen.
    pub environment_url: Option<String>,
    /// The run that makes it.
    pub log_url: Option<String>,
    /// A few words; cut to 140 characters.
    pub description: String,
}

/// Announce a deployment; returns its id.
///
/// `auto_merge` is off and no checks are required: GitHub would otherwise merge the base into the branch, or refuse
/// because the very check that deploys is still pending. After a lost answer, it looks before it asks again.
///
/// # Errors
/// When GitHub refuses, or does not answer.
pub fn create(github: &Github, repository: &str, new: &NewDeployment) -> Result<u64, GithubError> {
    match create_once(github, repository, new) {
        Err(error) if error.is_uncertain() => {
            match list(github, repository, &new.environment, Some(&new.sha))?.first() {
                Some(present) => Ok(present.id),
                None => create_once(github, repository, new),
            }
        }
        outcome => outcome,
    }
}

fn create_once(github: &Github, repository: &str, new: &NewDeployment) -> Result<u64, GithubError> {
    let doing = format!("create a GitHub deployment for `{}`", new.environment);
    let (owner, name) = owner_and_name(&doing, repository)?;
    let wanted = "a deployment";
    let call = Call { doing: &doing, permission: "deployments: write", wanted, repeat: Repeat::IfRefused };
    let body = json!({
        // By hash and not by branch, which may have moved on since this run started.
        "ref": new.sha,
        "task": "deploy",
        "auto_merge": false,
        "required_contexts": [],
        "environment": new.environment,
        "description": cut(&new.description),
        "transient_environment": new.transient,
        "production_environment": new.production,
    });
    let route = format!("/repos/{owner}/{name}/deployments");
    let created: Created = github.call(&call, async |crab| crab.post(route.as_str(), Some(&body)).await)?;
    Ok(created.id)
}

/// Deployments of an environment (and of a commit), newest first.
fn list(
    github: &Github,
    repository: &str,
    environment: &str,
    sha: Option<&str>,
) -> Result<Vec<Created>, GithubError> {
    let doing = "list the GitHub deployments";
    let (owner, name) = owner_and_name(doing, repository)?;
    let wanted = "a list of deployments";
    let call = Call { doing, permission: "deployments: read", wanted, repeat: Repeat::Always };
    let route = format!("/repos/{owner}/{name}/deployments");
    let mut query = vec![("environment", environment), ("per_page", MOST_DEPLOYMENTS)];
    query.extend(sha.map(|sha| ("sha", sha)));
    github.call(&call, async |crab| crab.get(route.as_str(), Some(&query)).await)
}

/// Set the state of deployment `id`.
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
    let doing = format!("set the state of the GitHub deployment {id}");
    let (owner, name) = owner_and_name(&doing, repository)?;
    let wanted = "the status of a deployment";
    // Idempotent: a repeated status changes nothing.
    let call = Call { doing: &doing, permission: "deployments: write", wanted, repeat: Repeat::Always };
    let mut body = json!({"state": state, "description": cut(&details.description)});
    for (name, value) in [("environment_url", &details.environment_url), ("log_url", &details.log_url)] {
        if let Some(value) = value {
            body[name] = json!(value);
        }
    }
    let route = format!("/repos/{owner}/{name}/deployments/{id}/statuses");
    github.call(&call, async |crab| crab.post::<_, Value>(route.as_str(), Some(&body)).await).map(drop)
}

/// Set all deployments of an environment to inactive: the branch deployment is closed. Returns how many there were.
///
/// # Errors
/// The first refusal, or the lack of an answer.
pub fn deactivate(github: &Github, repository: &str, environment: &str) -> Result<usize, GithubError> {
    let deployments = list(github, repository, environment, None)?;
    for deployment in &deployments {
        let details = DeploymentDetails { description: "closed".into(), ..DeploymentDetails::default() };
        set_state(github, repository, deployment.id, DeploymentState::Inactive, &details)?;
    }
    Ok(deployments.len())
}

/// The status of a commit, replacing the earlier one of the same `context`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitStatus {
    /// The head commit.
    pub sha: String,
    /// Its state.
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
    let (owner, name) = owner_and_name(&doing, repository)?;
    let wanted = "the status of a commit";
    let call = Call { doing: &doing, permission: "statuses: write", wanted, repeat: Repeat::Always };
    let mut body = json!({
        "state": status.state,
        "context": status.context,
        "description": cut(&status.description),
    });
    if let Some(url) = &status.target_url {
        body["target_url"] = json!(url);
    }
    let route = format!("/repos/{owner}/{name}/statuses/{}", segment(&status.sha));
    github.call(&call, async |crab| crab.post::<_, Value>(route.as_str(), Some(&body)).await).map(drop)
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
