//! Whether a step may deploy: what it asks for, what started it, and which credentials are there.

use crate::cli::action::{ActionCommand, ActionInputs};
use crate::context::event::Trigger;
use crate::context::inputs;
use crate::error::{Explain, Fault};
use crate::host::Host;

/// Whether a step may deploy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leave {
    /// It may.
    Given,
    /// It was asked only to build.
    OnlyBuild,
    /// It has no credentials, and for a reason that is not its fault.
    Refused {
        /// One or two sentences.
        why: String,
        /// Whether there is code to be built all the same.
        build: bool,
    },
}

/// A step that was told to deploy or fail, and cannot.
#[derive(Debug, thiserror::Error)]
#[error("{why}")]
pub struct NoLeave {
    /// Why not.
    pub why: String,
}

impl Explain for NoLeave {
    fn fault(&self) -> Fault {
        Fault::Usage
    }

    fn hint(&self) -> Option<String> {
        Some("without `require_deploy: true` such a run builds and verifies, and is no failure".into())
    }
}

/// Whether the step may deploy. A missing token is forgiven only where GitHub withholds secrets: in pull requests of
/// forks and of Dependabot. Anywhere else it is an error, which the deploy itself will raise.
pub fn of(inputs: &ActionInputs, trigger: Option<&Trigger>, host: &Host) -> Leave {
    if inputs.command == ActionCommand::Build || !inputs.wants_deploy {
        return Leave::OnlyBuild;
    }
    let (request, closed) = match trigger {
        Some(Trigger::PullRequest(request)) => (request, false),
        Some(Trigger::PullRequestClosed(request)) => (request, true),
        _ => return Leave::Given,
    };
    if inputs::token(&inputs.deploy.dagster, host).is_ok() {
        return Leave::Given;
    }
    let whose = match request.author.as_deref() {
        _ if request.from_fork() => "comes from a fork",
        Some("dependabot[bot]") => "is Dependabot's",
        _ => return Leave::Given,
    };
    let why = match closed {
        true => format!("The pull request {whose}, so it has no branch deployment to close."),
        false => format!(
            "The pull request {whose}, and GitHub gives such runs no secrets: without a token for Dagster+ nothing was deployed."
        ),
    };
    Leave::Refused { why, build: !closed }
}
