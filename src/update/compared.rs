//! What a plan compares code locations with. Nothing at Dagster+ is created or changed.

use super::{Before, ConnectError};
use crate::dagster::{Client, DagsterError};
use crate::deployment::{Branch, DeploySession, Destination, instead_of};
use crate::threads::joined;

/// What runs in the deployment of this run; for a branch deployment that does not exist yet, or lacks a code location,
/// what runs in the deployment that it is based on.
pub struct Running {
    /// At a deployment that exists.
    pub client: Client,
    own: Option<Before>,
    base: Option<Before>,
}

impl Running {
    /// Look there.
    ///
    /// # Errors
    /// A deployment that does not exist, or Dagster+'s refusal.
    pub fn look(session: &DeploySession, destination: &Destination) -> Result<Running, ConnectError> {
        match destination {
            Destination::Branch(branch) => Ok(Running::of_branch(branch, &session.client.patient())?),
            Destination::Named { name, is_default, .. } => {
                let mut client = session.client.at(name);
                let own = match Before::look(&client) {
                    Err(error) => {
                        let by_inputs = session.context.by_inputs;
                        client =
                            client.at(&instead_of(name, *is_default, error, &session.client, by_inputs)?);
                        Before::look(&client)?
                    }
                    own => own?,
                };
                Ok(Running { own: Some(own), base: None, client })
            }
        }
    }

    fn of_branch(branch: &Branch, client: &Client) -> Result<Running, DagsterError> {
        let name = client.branch_deployment_name(&branch.data.repo_name, &branch.data.branch_name)?;
        let base = branch.at_base(client);
        let own = client.at(&name);
        // At once, although the base may not be needed: `plan` runs before all other jobs of the workflow.
        let (looked, looked_at_base) = std::thread::scope(|scope| {
            let base = scope.spawn(|| Before::look(&base));
            let own = Before::look(&own);
            (own, joined(base))
        });
        match looked {
            Ok(before) => {
                let log_error = |error: &DagsterError| client.host().detail(error.to_string());
                Ok(Running {
                    client: own,
                    own: Some(before),
                    base: looked_at_base.inspect_err(log_error).ok(),
                })
            }
            // Dagster+ may refuse a deployment that does not exist; a bad token fails at the base too.
            Err(DagsterError::NotFound { .. } | DagsterError::Unauthorized { .. }) => {
                Ok(Running { client: base, own: None, base: Some(looked_at_base?) })
            }
            Err(error) => Err(error),
        }
    }

    /// The deployment to compare a code location with.
    pub fn before(&self, name: &str) -> Option<&Before> {
        self.own.as_ref().filter(|own| own.has(name)).or(self.base.as_ref()).or(self.own.as_ref())
    }

    /// Deps PEX files of these code locations, which an entry of the deps cache may name.
    pub fn deps_files<'a>(&self, names: impl Iterator<Item = &'a str>) -> Vec<String> {
        let before = self.own.as_ref().or(self.base.as_ref());
        before.map(|before| before.deps_files(names)).unwrap_or_default()
    }
}
