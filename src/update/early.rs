//! The first questions to Dagster+, sent while the project is still being read. They change nothing, so a project that
//! cannot be read leaves nothing behind.

use super::registry::trusts_registry;
use crate::dagster::operations::DeploymentInfo;
use crate::dagster::together::Opening;
use crate::dagster::{Client, DagsterError};
use crate::deployment::args::PublishArgs;
use crate::deployment::{DeploySession, Destination};
use crate::host::Host;
use std::panic::resume_unwind;
use std::thread::JoinHandle;

/// An answer that is on its way.
struct Asked<T>(JoinHandle<Result<T, DagsterError>>);

impl<T: Send + 'static> Asked<T> {
    fn ask(
        client: Client,
        ask: impl FnOnce(&Client) -> Result<T, DagsterError> + Send + 'static,
    ) -> Asked<T> {
        Asked(std::thread::spawn(move || ask(&client)))
    }

    fn answer(self) -> Result<T, DagsterError> {
        self.0.join().unwrap_or_else(|panic| resume_unwind(panic))
    }
}

/// The first questions, and their answers as soon as they are needed.
pub struct Early(Questions);

enum Questions {
    /// About the deployment.
    Opening(Asked<Opening>),
    /// About the deployment that a branch deployment is based on.
    Base(Asked<DeploymentInfo>),
}

impl Early {
    /// Ask about the destination.
    pub fn ask(
        session: &DeploySession,
        destination: &Destination,
        publish: &PublishArgs,
        host: &Host,
    ) -> Early {
        Early(match destination {
            Destination::Branch(branch) => {
                Questions::Base(Asked::ask(branch.at_base(&session.client), Client::deployment_info))
            }
            Destination::Named { name, .. } => {
                let needs_registry = trusts_registry(publish, host).is_some();
                let ask = move |client: &Client| client.opening(needs_registry);
                Questions::Opening(Asked::ask(session.client.at(name), ask))
            }
        })
    }

    /// What is to be known of a deployment that exists already.
    pub(super) fn opening(self) -> Option<Result<Opening, DagsterError>> {
        match self.0 {
            Questions::Opening(asked) => Some(asked.answer()),
            Questions::Base(_) => None,
        }
    }

    /// What is to be known of the deployment that a branch deployment is based on.
    pub(super) fn base(self) -> Option<Result<DeploymentInfo, DagsterError>> {
        match self.0 {
            Questions::Base(asked) => Some(asked.answer()),
            Questions::Opening(_) => None,
        }
    }
}
