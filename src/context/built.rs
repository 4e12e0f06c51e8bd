//! The commit that is built: the one in the work tree, even if the event names another one.
//!
//! They differ when the checkout step has its own `ref:` or `repository:`, and when a newer commit was pushed
//! meanwhile. Without an answer of git (no work tree, no git), the event's commit counts.

use super::event::{PullRequest, Trigger};
use super::git::{Remote, WorkTree};
use crate::env_vars;
use crate::host::Host;

/// The commit that is built.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BuiltCommit {
    /// Full hash.
    pub hash: Option<String>,
    /// `owner/name` of its repository.
    pub repository: Option<String>,
    /// Page of the repository.
    pub web: Option<String>,
    /// The checked-out branch, if its commit is not the event's.
    pub branch: Option<String>,
    /// The event's commit.
    pub event_hash: Option<String>,
    /// Whether the repository is not the run's.
    pub is_elsewhere: bool,
}

impl BuiltCommit {
    /// The commit that a run with this trigger builds in this work tree.
    pub fn read(trigger: &Trigger, work_tree: &WorkTree, host: &Host) -> BuiltCommit {
        let server = host.var(env_vars::GITHUB_SERVER_URL).map(|url| url.trim_end_matches('/'));
        let page = |repository: &str| server.map(|server| format!("{server}/{repository}"));
        let event = EventCommit::from_trigger(trigger);
        let from_event = BuiltCommit {
            web: event.repositories.first().and_then(|repository| page(repository)),
            repository: event.repositories.first().map(|name| (*name).to_string()),
            hash: event.hash.map(String::from),
            event_hash: event.hash.map(String::from),
            ..BuiltCommit::default()
        };
        // Nothing is built when a pull request is closed.
        if matches!(trigger, Trigger::PullRequestClosed(_)) {
            return from_event;
        }
        let Some(head) = work_tree.head() else { return from_event };
        // In a pull request, GITHUB_SHA is GitHub's own merge of the event's commit.
        let is_merge = host.var(env_vars::GITHUB_EVENT_NAME) == Some("pull_request")
            && host.var(env_vars::GITHUB_SHA) == Some(&head);
        // The second parent of a merge only counts for a pull request, which GitHub or the user merged into its base. A
        // branch that was merged into another one is a different branch.
        let is_from_event = |hash: &str| match trigger {
            Trigger::PullRequest(_) => work_tree.holds(hash),
            _ => head == hash,
        };
        if is_merge || event.hash.is_some_and(is_from_event) {
            return from_event;
        }
        let origin = work_tree.origin();
        let name = origin.as_ref().map(Remote::full_name);
        let known = |name: &String| event.repositories.iter().any(|known| known.eq_ignore_ascii_case(name));
        let is_elsewhere = !event.repositories.is_empty() && name.as_ref().is_some_and(|name| !known(name));
        // The last one is the base repository, which exists even if the fork was deleted.
        let repository = name.or_else(|| event.repositories.last().map(|name| (*name).to_string()));
        // A repository on another host has no page on the run's server.
        let on_server =
            origin.as_ref().is_none_or(|origin| server.is_some_and(|url| is_at(url, &origin.host)));
        let web = match on_server || !is_elsewhere {
            true => repository.as_deref().and_then(page),
            false => None,
        };
        BuiltCommit {
            web: web.or_else(|| origin.as_ref().and_then(Remote::web_url)),
            repository,
            hash: Some(head),
            branch: work_tree.branch(),
            event_hash: from_event.event_hash,
            is_elsewhere,
        }
    }

    /// Whether the work tree has another commit than the event.
    pub fn differs(&self) -> bool {
        self.event_hash.is_some() && self.hash != self.event_hash
    }

    /// A line for the log if the commit is not the expected one.
    pub fn surprise(&self) -> Option<String> {
        let (hash, event_hash) =
            self.hash.as_ref().zip(self.event_hash.as_ref()).filter(|_| self.differs())?;
        let place = match &self.repository {
            Some(repository) if self.is_elsewhere => format!("a checkout of {repository}"),
            _ => "the work tree".to_string(),
        };
        Some(format!(
            "The event of this run names the commit {event_hash}, but {place} holds {hash}: the latter is built and reported"
        ))
    }
}

/// The commit in an event, and the repositories that may have it. The last one is the run's.
struct EventCommit<'a> {
    hash: Option<&'a str>,
    repositories: Vec<&'a str>,
}

impl<'a> EventCommit<'a> {
    fn from_trigger(trigger: &'a Trigger) -> EventCommit<'a> {
        match trigger {
            Trigger::PullRequest(request) | Trigger::PullRequestClosed(request) => {
                EventCommit { hash: Some(&request.head_sha), repositories: repositories(request) }
            }
            Trigger::Commit(commit) => EventCommit {
                hash: commit.sha.as_deref(),
                repositories: commit.repository.as_deref().into_iter().collect(),
            },
            Trigger::Untrusted(_) | Trigger::Nothing(_) | Trigger::OtherCi | Trigger::Person => {
                EventCommit { hash: None, repositories: Vec::new() }
            }
        }
    }
}

/// The repository of the branch, then the one it will be merged into.
fn repositories(request: &PullRequest) -> Vec<&str> {
    request.head_repository.as_deref().into_iter().chain([request.repository.as_str()]).collect()
}

/// Whether the address of a server has this host name.
fn is_at(url: &str, host: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let name = rest.split(['/', ':']).next().unwrap_or_default();
    name.eq_ignore_ascii_case(host)
}
