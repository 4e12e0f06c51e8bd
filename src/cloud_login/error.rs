//! Why a login with a cloud identity failed.

use crate::error::{Explain, Fault};
use crate::net;

/// A login with a cloud identity failed.
#[derive(Debug, thiserror::Error)]
pub enum CloudLoginError {
    /// The job may not ask GitHub for a token, or this is not a job of GitHub Actions.
    #[error("could not log in to {cloud}: GitHub gives this job no identity token")]
    NoIdToken {
        /// Name of the cloud.
        cloud: &'static str,
        /// Whether this runs on a runner of GitHub Actions.
        on_runner: bool,
    },
    /// A value of an input that cannot be what it stands for.
    #[error("invalid `{input}` `{value}`: it must be {form}")]
    Input {
        /// Name of the input.
        input: &'static str,
        /// Its value; none of these is a secret.
        value: String,
        /// What is expected.
        form: &'static str,
    },
    /// No answer.
    #[error("could not {doing}")]
    Network {
        /// What was asked for.
        doing: &'static str,
        /// Why no answer came.
        #[source]
        source: net::Error,
    },
    /// An answer with an error.
    #[error("could not {doing}: {whom} answered {status}{}", said(message))]
    Refused {
        /// What was asked for.
        doing: &'static str,
        /// Who was asked.
        whom: &'static str,
        /// HTTP status.
        status: u16,
        /// The service's own words, without the request's secrets.
        message: String,
        /// The next step.
        hint: &'static str,
    },
    /// An answer that does not have what its documentation says.
    #[error("could not {doing}: the answer of {whom} has no {what}")]
    Unexpected {
        /// What was asked for.
        doing: &'static str,
        /// Who was asked.
        whom: &'static str,
        /// The missing member.
        what: &'static str,
    },
}

fn said(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(": {message}") }
}

impl Explain for CloudLoginError {
    fn fault(&self) -> Fault {
        match self {
            CloudLoginError::NoIdToken { .. } | CloudLoginError::Input { .. } => Fault::Usage,
            _ => Fault::Remote,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            CloudLoginError::NoIdToken { on_runner: true, .. } => Some(
                "add `id-token: write` to the job's `permissions`, next to `contents: read`; pull requests from forks \
                 never get this right"
                    .into(),
            ),
            CloudLoginError::NoIdToken { .. } => Some(
                "such a token exists only in a job of GitHub Actions; elsewhere log in with docker, podman or a \
                 credential helper, or set PEXPRESS_REGISTRY_USERNAME and PEXPRESS_REGISTRY_PASSWORD"
                    .into(),
            ),
            CloudLoginError::Refused { hint, .. } => Some((*hint).into()),
            CloudLoginError::Input { .. }
            | CloudLoginError::Network { .. }
            | CloudLoginError::Unexpected { .. } => None,
        }
    }
}
