//! A pull request from the API, for events that have only its number (`issue_comment`).

use super::api::{Call, Github, Repeat, owner_and_name};
use super::error::GithubError;
use serde::Deserialize;
use std::collections::BTreeSet;

/// A pull request. What may be null in the API may be missing here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullRequest {
    /// Its number.
    pub number: u64,
    /// The head commit.
    pub head_sha: String,
    /// The branch.
    pub head_ref: String,
    /// `owner/name` of the repository that the branch lives in; `None` when that fork was deleted.
    pub head_repository: Option<String>,
    /// The branch it is to be merged into.
    pub base_ref: String,
    /// `state` is not `closed`.
    pub open: bool,
    /// Whether it was merged.
    pub merged: bool,
    /// Its page.
    pub url: Option<String>,
}

/// The fields that are read. octocrab's own model fails on an unknown state, association or merge state, so a newer API
/// would hide the pull request.
#[derive(Deserialize)]
struct Raw {
    number: u64,
    state: String,
    #[serde(default)]
    merged: Option<bool>,
    #[serde(default)]
    html_url: Option<String>,
    head: Side,
    base: Side,
}

#[derive(Deserialize)]
struct Side {
    r#ref: String,
    sha: String,
    #[serde(default)]
    repo: Option<Repository>,
}

#[derive(Deserialize)]
struct Repository {
    full_name: String,
}

impl From<Raw> for PullRequest {
    fn from(raw: Raw) -> PullRequest {
        PullRequest {
            number: raw.number,
            head_sha: raw.head.sha,
            head_ref: raw.head.r#ref,
            head_repository: raw.head.repo.map(|repository| repository.full_name),
            base_ref: raw.base.r#ref,
            open: raw.state != "closed",
            merged: raw.merged == Some(true),
            url: raw.html_url,
        }
    }
}

/// Ask for pull request `number` of `repository` (`owner/name`).
///
/// # Errors
/// If there is no such pull request, or no answer.
pub fn fetch(github: &Github, repository: &str, number: u64) -> Result<PullRequest, GithubError> {
    let doing = format!("ask GitHub for pull request {number}");
    let (owner, name) = owner_and_name(&doing, repository)?;
    let route = format!("/repos/{owner}/{name}/pulls/{number}");
    let raw: Raw =
        github.call(&reading(&doing, "a pull request"), async |crab| crab.get(&route, None::<&()>).await)?;
    Ok(raw.into())
}

/// The open pull requests of `repository` (`owner/name`) whose branch is `head` (`owner:branch`).
///
/// # Errors
/// When GitHub refuses or does not answer.
pub fn open_of(github: &Github, repository: &str, head: &str) -> Result<Vec<PullRequest>, GithubError> {
    let doing = "ask GitHub for the open pull requests of this branch";
    let (owner, name) = owner_and_name(doing, repository)?;
    let route = format!("/repos/{owner}/{name}/pulls");
    let query = [("state", "open"), ("head", head), ("per_page", "100")];
    let raw: Vec<Raw> =
        github.call(&reading(doing, "pull requests"), async |crab| crab.get(&route, Some(&query)).await)?;
    let (_, branch) = head.split_once(':').unwrap_or_default();
    Ok(raw.into_iter().filter(|raw| raw.head.r#ref == branch).map(PullRequest::from).collect())
}

/// The hundred closed pull requests of `repository` (`owner/name`) that were changed last, the newest first, without those
/// of forks: the name of a fork's branch may be that of another branch here.
///
/// # Errors
/// When GitHub refuses or does not answer.
pub fn closed_of(github: &Github, repository: &str) -> Result<Vec<PullRequest>, GithubError> {
    let doing = "ask GitHub for the closed pull requests";
    let (owner, name) = owner_and_name(doing, repository)?;
    let route = format!("/repos/{owner}/{name}/pulls");
    let query = [("state", "closed"), ("sort", "updated"), ("direction", "desc"), ("per_page", "100")];
    let raw: Vec<Raw> =
        github.call(&reading(doing, "pull requests"), async |crab| crab.get(&route, Some(&query)).await)?;
    let is_own = |request: &PullRequest| {
        request.head_repository.as_ref().is_some_and(|head| head.eq_ignore_ascii_case(repository))
    };
    let all = raw.into_iter().map(PullRequest::from);
    Ok(all.filter(|request| !request.open && is_own(request)).collect())
}

/// The branches with an open pull request in `repository` (`owner/name`), whoever owns them; `None` if there are too many
/// to be sure of all.
///
/// # Errors
/// When GitHub refuses or does not answer.
pub fn open_branches(github: &Github, repository: &str) -> Result<Option<BTreeSet<String>>, GithubError> {
    const MOST_PAGES: usize = 11;
    let doing = "ask GitHub for the open pull requests";
    let (owner, name) = owner_and_name(doing, repository)?;
    let route = format!("/repos/{owner}/{name}/pulls");
    let mut branches = BTreeSet::new();
    for page in 1..=MOST_PAGES {
        let page = page.to_string();
        let query = [("state", "open"), ("per_page", "100"), ("page", page.as_str())];
        let raw: Vec<Raw> = github
            .call(&reading(doing, "pull requests"), async |crab| crab.get(&route, Some(&query)).await)?;
        // GitHub Enterprise Server may give fewer than a hundred on a page that is not the last one.
        let is_last = raw.is_empty();
        branches.extend(raw.into_iter().map(|raw| raw.head.r#ref));
        if is_last {
            return Ok(Some(branches));
        }
    }
    Ok(None)
}

fn reading<'a>(doing: &'a str, wanted: &'static str) -> Call<'a> {
    Call { doing, permission: "pull-requests: read", wanted, repeat: Repeat::Always }
}
