//! Whether a step may deploy: what it asks for, what started it, and which settings are there.

use crate::cli::action::{ActionCommand, ActionInputs};
use crate::context::ContextError;
use crate::context::address::Endpoint;
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
    /// No: GitHub withheld the credentials, or nothing is set up.
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
        Some("without `require_deploy: true` such a run does not fail".into())
    }
}

/// The notice for a repository that is not set up.
const NOT_SET_UP: &str = "Neither a token nor an address of Dagster+ is set in this repository, so there was nothing to \
    do. To deploy from it, add the secret DAGSTER_CLOUD_API_TOKEN (Settings → Secrets and variables → Actions), give it to \
    this step as `dagster_cloud_api_token`, and name the organization with `organization`.";

/// Whether the step may deploy. A missing token is forgiven where GitHub withholds secrets, in pull requests of forks
/// and of Dependabot, and where nothing at all is set up, as in a fork of a template. Anywhere else it is an error, which
/// the deploy itself will raise.
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
    let dagster = &inputs.deploy.dagster;
    // An invalid token was not withheld by GitHub: the deploy reports what is wrong with it.
    if !matches!(inputs::token(dagster, host), Err(ContextError::NoToken { .. })) {
        return DeployPermission::Given;
    }
    let is_set_up = !matches!(Endpoint::read(dagster, host), Err(ContextError::NoUrl { .. }));
    let otherwise = match is_set_up {
        true => DeployPermission::Given,
        false => DeployPermission::Refused { why: NOT_SET_UP.into(), build: false },
    };
    let (request, closed) = match trigger {
        Some(Trigger::PullRequest(request)) => (request, false),
        Some(Trigger::PullRequestClosed(request)) => (request, true),
        _ => return otherwise,
    };
    let whose = match request.author.as_deref() {
        _ if request.from_fork() => "comes from a fork",
        Some("dependabot[bot]") => "is Dependabot's",
        _ => return otherwise,
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

    /// A fork of a template was red with its first push.
    #[test]
    fn a_repository_without_any_settings_is_skipped_and_a_half_configured_one_is_not() {
        for (env, is_given) in [
            (&[][..], false),
            (&[("INPUT_DAGSTER_CLOUD_API_TOKEN", ""), ("INPUT_ORGANIZATION", "")], false),
            (&[("DAGSTER_CLOUD_DEPLOYMENT", "prod")], false),
            (&[("INPUT_ORGANIZATION", "acme")], true),
            (&[("DAGSTER_CLOUD_URL", "https://acme.dagster.cloud")], true),
            (&[("ORGANIZATION_ID", "acme")], true),
            (&[("DAGSTER_CLOUD_API_TOKEN", "user:abc")], true),
            (&[("INPUT_DAGSTER_CLOUD_API_TOKEN", "Bearer abc")], true),
            (&[("INPUT_DAGSTER_CLOUD_URL", "htp//acme")], true),
        ] {
            let host = host(env);
            let inputs = ActionInputs::read(&host).unwrap();
            assert_eq!(of_run(&inputs, None, &host) == DeployPermission::Given, is_given, "{env:?}");
        }
    }
}
