//! Who this run is at the registries of images: inputs → credentials.
//!
//! What comes first is found by the registry client ([`Credentials`]): the pair in the environment, a login with the
//! identity of the job at a cloud, the files of docker and podman, and last what the job has anyway: its GitHub token
//! for ghcr.io, and for the organization's own registry the login that Dagster+ gives.

use crate::cloud_login::{
    AzureIdentity, CloudIdentities, CloudLoginError, CloudLogins, GoogleIdentity, RegistryLogin,
};
use crate::dagster::{Client, DagsterError};
use crate::env_vars;
use crate::error::{Explain, Fault};
use crate::github::runner::Runner;
use crate::host::Host;
use crate::net::login::Login;
use crate::net::{Agent, Secret};
use crate::plan::strategy::Destination;
use crate::registry::{Credential, Credentials};
use crate::tools::credential_helpers;
use clap::Args;
use std::collections::BTreeSet;

/// GitHub's own registry, for which a job's token is a password.
const GHCR: &str = "ghcr.io";

/// Logins with the identity of a GitHub Actions job, without a cloud's command line.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Registries")]
pub struct RegistryArgs {
    /// Role for Amazon ECR that trusts this repository's jobs: `arn:aws:iam::ACCOUNT:role/NAME`.
    #[arg(long, value_name = "ARN")]
    pub aws_role: Option<String>,
    /// Workload identity provider for Google Artifact Registry:
    /// `projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER`.
    #[arg(long, value_name = "NAME")]
    pub gcp_workload_identity_provider: Option<String>,
    /// Service account to act as at Google Cloud. Default: the job itself.
    #[arg(long, value_name = "EMAIL")]
    pub gcp_service_account: Option<String>,
    /// Client id of the app or managed identity for Azure Container Registry.
    #[arg(long, value_name = "ID")]
    pub azure_client_id: Option<String>,
    /// Id of its tenant.
    #[arg(long, value_name = "ID")]
    pub azure_tenant_id: Option<String>,
}

/// Credentials for a registry could not be obtained.
#[derive(Debug, thiserror::Error)]
pub enum RegistryLoginError {
    /// The cloud refused.
    #[error(transparent)]
    Cloud(#[from] CloudLoginError),
    /// Dagster+ refused.
    #[error(transparent)]
    Dagster(#[from] DagsterError),
    /// A setting that is useless without another.
    #[error("{given} is given, and {missing} is not")]
    Half {
        /// The flag that is there.
        given: &'static str,
        /// The flag that is not.
        missing: &'static str,
    },
}

impl Explain for RegistryLoginError {
    fn fault(&self) -> Fault {
        match self {
            RegistryLoginError::Cloud(error) => error.fault(),
            RegistryLoginError::Dagster(error) => error.fault(),
            RegistryLoginError::Half { .. } => Fault::Usage,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            RegistryLoginError::Cloud(error) => error.hint(),
            RegistryLoginError::Dagster(error) => error.hint(),
            RegistryLoginError::Half { missing, .. } => Some(format!("set {missing} too")),
        }
    }
}

impl RegistryArgs {
    /// The identities that are given.
    ///
    /// # Errors
    /// When half of one is missing.
    pub fn identities(&self) -> Result<CloudIdentities, RegistryLoginError> {
        let half = |given, missing| Err(RegistryLoginError::Half { given, missing });
        let google = match (&self.gcp_workload_identity_provider, &self.gcp_service_account) {
            (Some(provider), service_account) => {
                Some(GoogleIdentity { provider: provider.clone(), service_account: service_account.clone() })
            }
            (None, Some(_)) => return half("--gcp-service-account", "--gcp-workload-identity-provider"),
            (None, None) => None,
        };
        let azure = match (&self.azure_client_id, &self.azure_tenant_id) {
            (Some(client), Some(tenant)) => {
                Some(AzureIdentity { client_id: client.clone(), tenant_id: tenant.clone() })
            }
            (Some(_), None) => return half("--azure-client-id", "--azure-tenant-id"),
            (None, Some(_)) => return half("--azure-tenant-id", "--azure-client-id"),
            (None, None) => None,
        };
        Ok(CloudIdentities { aws_role: self.aws_role.clone(), google, azure })
    }
}

/// The credentials of a run that pushes to `destinations`. `dagster` is asked for the login of the organization's own
/// registry if that is among them.
///
/// # Errors
/// When a cloud or Dagster+ refuses a login.
pub fn credentials(
    destinations: &[Destination],
    args: &RegistryArgs,
    dagster: Option<&Client>,
    agent: &Agent,
    host: &Host,
) -> Result<Credentials, RegistryLoginError> {
    let identities = args.identities()?;
    let runner = Runner::new(host);
    let mut credentials = Credentials::new(host, credential_helpers(host));
    let mut seen = BTreeSet::new();
    for destination in destinations {
        let registry = destination.repository.host.as_str();
        credentials.add_destination(&destination.repository);
        if !seen.insert(registry) {
            continue;
        }
        if let Some(login) = CloudLogins::new(host, agent, &identities).login(registry)? {
            runner.mask(&login.password);
            credentials.add_given(registry, credential(login), "the identity of this job");
        }
        if registry == GHCR
            && let Some(login) = job_login(host)
        {
            credentials.add_fallback(registry, login, "the token of this job");
        }
        // Another code location may push elsewhere on the same registry, and come first.
        let is_organization =
            destinations.iter().any(|one| one.is_organization && one.repository.host == registry);
        if let Some(client) = dagster.filter(|_| is_organization) {
            let login = client.image_login()?;
            runner.mask(&login.password);
            let login = Login { username: login.username, password: login.password };
            credentials.add_fallback(registry, login, "the login that Dagster+ gives");
        }
    }
    Ok(credentials)
}

fn credential(login: RegistryLogin) -> Credential {
    match login.is_identity_token {
        true => Credential::IdentityToken(login.password),
        false => Credential::Login(Login { username: login.username, password: login.password }),
    }
}

/// The token of a job with `packages: write`, and whoever started it.
fn job_login(host: &Host) -> Option<Login> {
    let given = |name: &str| host.var(name).map(str::trim).filter(|value| !value.is_empty());
    let token = given("INPUT_GITHUB_TOKEN").or_else(|| given("GITHUB_TOKEN"))?;
    let username = given(env_vars::GITHUB_ACTOR)?;
    Some(Login { username: username.into(), password: Secret::new(token) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::error_text;

    #[test]
    fn half_of_an_identity_is_an_error() {
        let some = || Some("x".to_string());
        let wrong = [
            RegistryArgs { gcp_service_account: some(), ..RegistryArgs::default() },
            RegistryArgs { azure_client_id: some(), ..RegistryArgs::default() },
            RegistryArgs { azure_tenant_id: some(), ..RegistryArgs::default() },
        ];
        let texts = wrong.map(|args| error_text(&args.identities().unwrap_err(), false));
        insta::assert_snapshot!(texts.join("\n"), @r"
        error: --gcp-service-account is given, and --gcp-workload-identity-provider is not
        hint: set --gcp-workload-identity-provider too
        error: --azure-client-id is given, and --azure-tenant-id is not
        hint: set --azure-tenant-id too
        error: --azure-tenant-id is given, and --azure-client-id is not
        hint: set --azure-client-id too
        ");
        let google = RegistryArgs { gcp_workload_identity_provider: some(), ..RegistryArgs::default() };
        assert!(google.identities().unwrap().google.is_some());
        assert_eq!(RegistryArgs::default().identities().unwrap(), CloudIdentities::default());
    }
}
