//! The deployed commit, and the `git` values of a location document for it.
//!
//! Source: `git` of the location document as dagster-cloud-cli sends it (`ci` sends all keys). In a pull request it is
//! the head commit here; that client reports the runner's temporary merge commit.

use super::Context;
use super::built::BuiltCommit;
use super::event::Trigger;
use crate::host::Host;
use serde::Serialize;

/// The deployed commit, and its page.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Revision {
    /// Full hash.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit_hash: Option<String>,
    /// Page with the files of the commit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// `github`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<&'static str>,
    /// Owner of the repository.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repo_owner: Option<String>,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repo_name: Option<String>,
    /// The branch that pull requests are merged into.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_branch: Option<String>,
}

impl Context {
    /// The commit that is built.
    pub fn built(&self, host: &Host) -> BuiltCommit {
        BuiltCommit::read(&self.trigger, &self.work_tree, host)
    }

    /// The deployed commit; `commit_hash` if the user set one.
    pub fn revision(&self, commit_hash: Option<&str>, host: &Host) -> Revision {
        let built = self.built(host);
        let (repository, base_branch) = match &self.trigger {
            _ if built.is_elsewhere => (None, None),
            Trigger::PullRequest(request) | Trigger::PullRequestClosed(request) => {
                (Some(request.repository.clone()), request.base_branch.clone())
            }
            Trigger::Commit(commit) => {
                let on_default = commit.branch.is_some() && commit.branch == commit.default_branch;
                (commit.repository.clone(), commit.branch.clone().filter(|_| on_default))
            }
            Trigger::Untrusted(_) | Trigger::Nothing(_) | Trigger::OtherCi | Trigger::Person => (None, None),
        };
        let sha = commit_hash.map(String::from).or(built.hash);
        let (named, web) = (repository.or(built.repository), built.web);
        let (repo_owner, repo_name) = match named.as_deref().and_then(|name| name.rsplit_once('/')) {
            Some((owner, name)) => (Some(owner.to_string()), Some(name.to_string())),
            None => (None, None),
        };
        Revision {
            url: web.as_ref().zip(sha.as_ref()).map(|(web, sha)| format!("{web}/tree/{sha}")),
            provider: web.is_some().then_some("github"),
            commit_hash: sha,
            repo_owner,
            repo_name,
            base_branch: base_branch.or_else(|| self.work_tree.default_branch()),
        }
    }
}

/// A branch name for a URL, with each segment percent-encoded.
pub fn url_path(branch: &str) -> String {
    use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
    const KEPT: &AsciiSet =
        &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/');
    utf8_percent_encode(branch, KEPT).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn branch_names_are_escaped_segment_by_segment() {
        for (branch, want) in
            [("main", "main"), ("feature/x-1_2.3", "feature/x-1_2.3"), ("a b#1%/é", "a%20b%231%25/%C3%A9")]
        {
            assert_eq!(url_path(branch), want);
        }
    }
}
