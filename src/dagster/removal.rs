//! Removal of code locations and branch deployments.
//!
//! Source: `dagster-cloud workspace delete-location` and `branch-deployment delete` of dagster-cloud-cli 1.13.27.

use super::client::{Client, Operation};
use super::error::DagsterError;
use super::operations::{lacks, member, operation};
use serde_json::{Value, json};

const DELETE_LOCATION: Operation =
    operation!("remove the code location", "deleteLocation", "delete_location");
const DEPLOYMENT_IDENTITY: Operation =
    operation!("look for the branch deployment", "deploymentByName", "deployment_identity");
const DELETE_DEPLOYMENT: Operation =
    operation!("remove the branch deployment", "deleteDeployment", "delete_deployment");

impl Client {
    /// Remove a code location from the deployment. Also succeeds if it is gone already: the answer to an earlier attempt
    /// may have been lost.
    ///
    /// # Errors
    /// Those of the call, and the server's refusal.
    pub fn delete_location(&self, name: &str) -> Result<(), DagsterError> {
        let answer = self.call(DELETE_LOCATION, json!({"locationName": name}))?;
        match member(DELETE_LOCATION, answer, "DeleteLocationSuccess") {
            Err(error) if self.workspace_entries().is_ok_and(|there| !there.contains_key(name)) => {
                self.host().detail(format!("{error}; {name} is not there any more"));
                Ok(())
            }
            answer => answer.map(drop),
        }
    }

    /// The number of the branch deployment of this name; `None` if it does not exist, or is a full deployment.
    ///
    /// # Errors
    /// Those of the call, and an unknown answer.
    pub fn branch_deployment_id(&self, name: &str) -> Result<Option<i64>, DagsterError> {
        let answer = self.at_default().call(DEPLOYMENT_IDENTITY, json!({"name": name}))?;
        if answer["__typename"].as_str().is_some_and(|type_name| type_name.contains("NotFound")) {
            return Ok(None);
        }
        let answer = member(DEPLOYMENT_IDENTITY, answer, "DagsterCloudDeployment")?;
        let is_this_branch = answer["deploymentType"] == "BRANCH" && answer["deploymentName"] == name;
        match (is_this_branch, &answer["deploymentId"]) {
            (false, _) => Ok(None),
            (true, Value::Number(number)) if number.as_i64().is_some() => Ok(number.as_i64()),
            (true, _) => Err(lacks(DEPLOYMENT_IDENTITY, "deploymentId")),
        }
    }

    /// Remove a branch deployment. Also succeeds if it is gone already.
    ///
    /// # Errors
    /// Those of the calls, and the server's refusal.
    pub fn delete_branch_deployment(&self, name: &str) -> Result<(), DagsterError> {
        // Asked for again, so that no other deployment can have this number.
        let Some(id) = self.branch_deployment_id(name)? else { return Ok(()) };
        let answer = self.at_default().call(DELETE_DEPLOYMENT, json!({"deploymentId": id}))?;
        match member(DELETE_DEPLOYMENT, answer, "DagsterCloudDeployment") {
            Err(error) if matches!(self.branch_deployment_id(name), Ok(None)) => {
                self.host().detail(format!("{error}; {name} is not there any more"));
                Ok(())
            }
            answer => answer.map(drop),
        }
    }
}
