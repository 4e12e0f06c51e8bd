//! Branch deployments that outlived their pull requests.
//!
//! Dagster+ has no question for all branch deployments that a client of its own asks, so they are found from the other
//! side: for each branch with a closed pull request and no open one, its deployment. Any other branch is left alone.

use super::DeploymentError;
use crate::dagster::{Client, DagsterError};
use crate::github::{Github, pull_request};
use crate::threads::joined;
use serde::Serialize;
use std::collections::BTreeMap;

/// How many branches Dagster+ is asked about at once.
const AT_ONCE: usize = 8;

/// A branch deployment whose pull request is closed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Outlived {
    /// Its name.
    pub deployment: String,
    /// The branch.
    pub branch: String,
    /// The last pull request of the branch.
    pub pull_request: u64,
}

/// The branch deployments of `repository` (`owner/name`) whose pull requests are closed, as far as the hundred pull
/// requests that were changed last tell.
///
/// # Errors
/// If GitHub or Dagster+ does not answer.
pub fn outlived(
    client: &Client,
    github: &Github,
    repository: &str,
) -> Result<Vec<Outlived>, DeploymentError> {
    let Some(open) = pull_request::open_branches(github, repository)? else {
        github
            .host()
            .note("There are too many open pull requests to tell which are closed: branch deployments stay");
        return Ok(Vec::new());
    };
    let mut branches: BTreeMap<String, pull_request::PullRequest> = BTreeMap::new();
    for request in pull_request::closed_of(github, repository)? {
        if !open.contains(&request.head_ref) {
            branches.entry(request.head_ref.clone()).or_insert(request);
        }
    }
    let branches: Vec<_> = branches.into_values().collect();
    let mut found = Vec::new();
    for some in branches.chunks(AT_ONCE) {
        let asked: Vec<Result<Option<String>, DagsterError>> = std::thread::scope(|scope| {
            let ask = |request: &pull_request::PullRequest| existing(client, repository, &request.head_ref);
            let threads: Vec<_> = some.iter().map(|request| scope.spawn(move || ask(request))).collect();
            threads.into_iter().map(joined).collect()
        });
        for (request, name) in some.iter().zip(asked) {
            let Some(deployment) = name? else { continue };
            let (branch, pull_request) = (request.head_ref.clone(), request.number);
            found.push(Outlived { deployment, branch, pull_request });
        }
    }
    Ok(found)
}

/// The name of the branch deployment of a branch, if it exists.
fn existing(client: &Client, repository: &str, branch: &str) -> Result<Option<String>, DagsterError> {
    let name = client.branch_deployment_name(repository, branch)?;
    Ok(client.branch_deployment_id(&name)?.map(|_| name))
}
