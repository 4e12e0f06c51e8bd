//! Whether a step may deploy: what it asks for, what started it, and which credentials are there.

use crate::cli::action::{ActionCommand, ActionInputs};
use crate::context::ContextError;
use crate::context::event::Trigger;
use crate::context::inputs;
use crate::error::{Explain, Fault};
use crate::host::Host;

/// Whether a step may deploy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeployPermission {
    /// Yes.
    Given,
    /// No: it was only asked to build.
    OnlyBuild,
    /// No: GitHub withheld the credentials.
    Refused {
        /// One or two sentences.
        why: String,
        /// Whether there is still code to build.
        build: bool,
    },
}

/// A step that must deploy or fail, and cannot deploy.
#[derive(Debug, thiserror::Error)]
#[error("{why}")]
pub struct PermissionDenied {
    /// Why not.
    pub why: String,
}

impl Explain for PermissionDenied {
    fn fault(&self) -> Fault {
        Fault::Usage
    }

    fn hint(&self) -> Option<String> {
        Some("without `require_deploy: true` such a run builds and verifies, and does not fail".into())
    }
}

/// Whether the step may deploy. A missing token is forgiven only where GitHub withholds secrets: in pull requests of
/// forks and of Dependabot. Anywhere else it is an error, which the deploy itself will raise.
pub fn of_run(inputs: &ActionInputs, trigger: Option<&Trigger>, host: &Host) -> DeployPermission {
    let builds = !inputs.deploy.publish.images.are_given();
    if inputs.command == ActionCommand::Build || !inputs.wants_deploy {
        return match builds {
            true => DeployPermission::OnlyBuild,
            false => DeployPermission::Refused {
                why: "The images are built already, and this step was asked not to deploy.".into(),
                build: false,
            },
        };
    }
    let (request, closed) = match trigger {
        Some(Trigger::PullRequest(request)) => (request, false),
        Some(Trigger::PullRequestClosed(request)) => (request, true),
        _ => return DeployPermission::Given,
    };
    // An invalid token was not withheld by GitHub: the deploy reports what is wrong with it.
    if !matches!(inputs::token(&inputs.deploy.dagster, host), Err(ContextError::NoToken { .. })) {
        return DeployPermission::Given;
    }
    let whose = match request.author.as_deref() {
        _ if request.from_fork() => "comes from a fork",
        Some("dependabot[bot]") => "is Dependabot's",
        _ => return DeployPermission::Given,
    };
    let why = match closed {
        true => format!("The pull request {whose}, so it has no branch deployment to close."),
        false => format!(
            "The pull request {whose}, and GitHub gives such runs no secrets: without a token for Dagster+ nothing was deployed."
        ),
    };
    DeployPermission::Refused { why, build: !closed && builds }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::tests::host;

    #[test]
    fn only_a_token_that_is_missing_is_forgiven_in_a_pull_request_of_a_fork() {
        let dir = tempfile::tempdir().unwrap();
        let payload = dir.path().join("event.json");
        let head = r#"{"ref": "x", "sha": "2222222222222222222222222222222222222222", "repo": {"full_name": "evil/proj"}}"#;
        let text = format!(
            r#"{{"action": "opened", "repository": {{"full_name": "acme/proj", "default_branch": "main"}}, "pull_request":
            {{"number": 7, "state": "open", "merged": false, "html_url": "https://github.example/acme/proj/pull/7",
            "user": {{"login": "eve"}}, "head": {head}, "base": {{"ref": "main"}}}}}}"#
        );
        std::fs::write(&payload, text).unwrap();
        for (token, is_given) in [("", false), ("user:abc", true), ("Bearer abc", true)] {
            let host = host(&[
                ("GITHUB_ACTIONS", "true"),
                ("GITHUB_REPOSITORY", "acme/proj"),
                ("GITHUB_EVENT_NAME", "pull_request"),
                ("GITHUB_EVENT_PATH", payload.to_str().unwrap()),
                ("INPUT_DAGSTER_CLOUD_API_TOKEN", token),
            ]);
            let trigger = crate::context::event::read(&host).unwrap();
            let inputs = ActionInputs::read(&host).unwrap();
            assert_eq!(
                of_run(&inputs, Some(&trigger), &host) == DeployPermission::Given,
                is_given,
                "{token}"
            );
        }
    }
}
