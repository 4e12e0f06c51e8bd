//! Default tags of the deps cache, by repository and branch. A branch can use entries of the branch it will be merged
//! into, but never the other way round.

use crate::context::event::{CommitEvent, PullRequest, Trigger};

/// The tags of deps cache entries to read and write.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CacheTags {
    /// Entries with these tags are read, in this order.
    pub from: Vec<String>,
    /// Entries with this tag are written.
    pub to: Option<String>,
}

/// The tags of a run without tags in its inputs.
///
/// A commit reads and writes `owner/name@branch` (`owner/name` without a branch: tags, releases), and also reads that
/// of the default branch. A pull request reads that of its base branch, then its own, `owner/name#NUMBER`, and writes
/// only its own: no branch has such a tag, so a branch never deploys what a pull request built. Other runs, and runs in
/// an unknown repository, have no tags.
pub fn default_cache_tags(trigger: &Trigger) -> CacheTags {
    match trigger {
        Trigger::Commit(commit) => commit_tags(commit).unwrap_or_default(),
        Trigger::PullRequest(request) => pull_request_tags(request),
        _ => CacheTags::default(),
    }
}

fn commit_tags(commit: &CommitEvent) -> Option<CacheTags> {
    let repository = commit.repository.as_deref()?;
    let own = match &commit.branch {
        Some(branch) => branch_tag(repository, branch),
        None => repository.to_lowercase(),
    };
    let default = commit.default_branch.as_ref().map(|branch| branch_tag(repository, branch));
    let mut from = Vec::from_iter([own.clone()].into_iter().chain(default));
    // On the default branch, both are the same.
    from.dedup();
    Some(CacheTags { from, to: Some(own) })
}

fn pull_request_tags(request: &PullRequest) -> CacheTags {
    let own = format!("{}#{}", request.repository.to_lowercase(), request.number);
    // The base first: most pull requests do not change dependencies, so its entry usually hits.
    let base = request.base_branch.as_ref().map(|branch| branch_tag(&request.repository, branch));
    CacheTags { from: base.into_iter().chain([own.clone()]).collect(), to: Some(own) }
}

/// Repository names are case-insensitive on GitHub, so they are written in lower case. Branch names are case-sensitive.
fn branch_tag(repository: &str, branch: &str) -> String {
    format!("{}@{branch}", repository.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit(branch: Option<&str>) -> Trigger {
        Trigger::Commit(CommitEvent {
            event: "push".into(),
            sha: None,
            repository: Some("Acme/proj".into()),
            tag: None,
            branch: branch.map(String::from),
            default_branch: Some("main".into()),
            about_pull_request: None,
            head: None,
        })
    }

    fn pull_request(number: u64, base: &str) -> Trigger {
        Trigger::PullRequest(PullRequest {
            number,
            branch: "feature".into(),
            head_sha: "ab".into(),
            repository: "Acme/proj".into(),
            head_repository: None,
            url: None,
            base_branch: Some(base.into()),
            merged: false,
            open: true,
            author: None,
            avatar_url: None,
        })
    }

    #[test]
    fn tags_follow_repository_and_branch() {
        for (trigger, from, to) in [
            (commit(Some("main")), &["acme/proj@main"][..], Some("acme/proj@main")),
            (commit(Some("Dev")), &["acme/proj@Dev", "acme/proj@main"], Some("acme/proj@Dev")),
            (commit(None), &["acme/proj", "acme/proj@main"], Some("acme/proj")),
            (pull_request(7, "main"), &["acme/proj@main", "acme/proj#7"], Some("acme/proj#7")),
            (pull_request(8, "release/1"), &["acme/proj@release/1", "acme/proj#8"], Some("acme/proj#8")),
            (Trigger::Person, &[], None),
            (Trigger::OtherCi, &[], None),
        ] {
            let tags = default_cache_tags(&trigger);
            assert_eq!((tags.from, tags.to.as_deref()), (from.iter().map(ToString::to_string).collect(), to));
        }
    }

    #[test]
    fn a_pull_request_never_writes_what_a_branch_reads() {
        let written = default_cache_tags(&pull_request(7, "main")).to.unwrap();
        for branch in ["main", "7", "#7", "pull/7", "feature", ""] {
            for trigger in [commit(Some(branch)), pull_request(8, branch), commit(None)] {
                assert!(!default_cache_tags(&trigger).from.contains(&written), "{branch}");
            }
        }
    }
}
