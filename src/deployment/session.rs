//! Access to Dagster+ for one run that changes something there.

use super::{Branch, Deployment, DeploymentError};
use crate::context::Context;
use crate::dagster::{Client, DagsterError, Settings};
use crate::host::Host;
use crate::net::Agent;
use crate::target::PythonVersion;

/// The client that a context gives, at no deployment in particular.
pub fn client(context: &Context, host: &Host, python: PythonVersion) -> Client {
    client_by(context, &Agent::new(host), host, python)
}

/// The same by this agent.
pub(super) fn client_by(context: &Context, agent: &Agent, host: &Host, python: PythonVersion) -> Client {
    let settings =
        Settings { address: context.endpoint.setting.clone(), token: context.token.setting.clone() };
    Client::new(host, agent, &context.endpoint.organization_url, context.token.secret.clone(), python)
        .called(settings)
}

/// What is known before the first call.
pub struct DeploySession {
    /// Facts at hand.
    pub context: Context,
    /// A client at no deployment in particular.
    pub client: Client,
}

impl DeploySession {
    /// Mark the branch deployment of a closed pull request as closed; `None` where there never was one.
    ///
    /// # Errors
    /// Dagster+'s refusal.
    pub fn close(&self, branch: &Branch) -> Result<Option<Deployment>, DeploymentError> {
        super::close(branch, &self.context, &self.client)
    }

    /// The deployment to go to after `error` at the one called `name`.
    ///
    /// # Errors
    /// Those of [`super::instead_of`].
    pub fn instead_of(
        &self,
        name: &str,
        is_default: bool,
        error: DagsterError,
    ) -> Result<String, DeploymentError> {
        super::instead_of(name, is_default, error, &self.client, self.context.by_inputs)
    }
}

impl Branch {
    /// A client at the deployment that the branch deployment is based on.
    pub fn at_base(&self, client: &Client) -> Client {
        match &self.base {
            Some(base) => client.at(base),
            None => client.at_default(),
        }
    }
}
