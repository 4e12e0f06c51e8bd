//! Logs in to a cloud's image registry with the identity of a GitHub Actions job, without a cloud's command line.
//!
//! GitHub signs a token that says which repository, branch and workflow the job is of. A cloud that trusts GitHub as
//! an identity provider exchanges it for a short-lived credential; nothing long-lived is stored anywhere:
//!
//! | registry | exchange | user and password |
//! | --- | --- | --- |
//! | Amazon ECR | `AssumeRoleWithWebIdentity`, then `GetAuthorizationToken` | `AWS`, from the answer |
//! | Artifact Registry | workload identity federation, then a service account's access token | `oauth2accesstoken` |
//! | Azure Container Registry | federated credential of an app, then the registry's `/oauth2/exchange` | an identity token |
//!
//! Each file names the documentation that it follows. A token is only sent to the cloud it was made for: its audience
//! says which, and the address follows from the name of the registry.

mod aws;
mod azure;
mod error;
mod google;
mod id_token;
mod request;
mod sigv4;

pub use aws::EcrRegistry;
pub use error::CloudLoginError;

use crate::host::Host;
use crate::net::{Agent, Secret};

/// The identities that a job may use at each cloud, from the action's inputs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CloudIdentities {
    /// ARN of the role for ECR: `arn:aws:iam::ACCOUNT:role/NAME`. Input `aws_role`.
    pub aws_role: Option<String>,
    /// For Artifact Registry.
    pub google: Option<GoogleIdentity>,
    /// For Azure Container Registry.
    pub azure: Option<AzureIdentity>,
}

/// Whom a job is at Google Cloud.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GoogleIdentity {
    /// `projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER`. Input
    /// `gcp_workload_identity_provider`.
    pub provider: String,
    /// E-mail address of the service account to act as; without one the job acts as itself. Input
    /// `gcp_service_account`.
    pub service_account: Option<String>,
}

/// Whom a job is at Azure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AzureIdentity {
    /// Id of the app registration or managed identity. Input `azure_client_id`.
    pub client_id: String,
    /// Id of the directory. Input `azure_tenant_id`.
    pub tenant_id: String,
}

/// What a registry takes after an exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryLogin {
    /// User name.
    pub username: String,
    /// Password, or the token that is exchanged for access tokens.
    pub password: Secret,
    /// The password is an OAuth2 refresh token, which registries call an identity token.
    pub is_identity_token: bool,
}

/// The kinds of registries that a cloud identity is for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum CloudRegistry {
    Ecr(EcrRegistry),
    Google,
    Azure,
}

impl CloudRegistry {
    /// By host name; none for registries of others.
    fn of(host: &str) -> Option<CloudRegistry> {
        let ends = |suffixes: &[&str]| suffixes.iter().any(|suffix| host.ends_with(suffix));
        if let Some(ecr) = EcrRegistry::of(host) {
            return Some(CloudRegistry::Ecr(ecr));
        }
        if host == "gcr.io" || ends(&[".gcr.io", "-docker.pkg.dev"]) {
            return Some(CloudRegistry::Google);
        }
        ends(&[".azurecr.io", ".azurecr.cn", ".azurecr.us"]).then_some(CloudRegistry::Azure)
    }
}

/// A cloud with image registries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cloud {
    /// Amazon ECR.
    Amazon,
    /// Artifact Registry.
    Google,
    /// Azure Container Registry.
    Azure,
}

/// The cloud that a registry is of, by its host name.
pub fn cloud(registry_host: &str) -> Option<Cloud> {
    CloudRegistry::of(registry_host).map(|registry| match registry {
        CloudRegistry::Ecr(_) => Cloud::Amazon,
        CloudRegistry::Google => Cloud::Google,
        CloudRegistry::Azure => Cloud::Azure,
    })
}

/// Whether this job has an identity to show: a job of a fork, and one without `id-token: write`, has none.
pub fn has_identity(host: &Host) -> bool {
    id_token::is_given(host)
}

/// Logs in to registries with cloud identities.
pub struct CloudLogins<'a> {
    host: &'a Host,
    agent: &'a Agent,
    identities: &'a CloudIdentities,
}

impl<'a> CloudLogins<'a> {
    /// For these identities. Nothing is asked yet.
    pub fn new(host: &'a Host, agent: &'a Agent, identities: &'a CloudIdentities) -> CloudLogins<'a> {
        CloudLogins { host, agent, identities }
    }

    /// The login for a registry by its host name: none when no identity is given for its cloud.
    ///
    /// # Errors
    /// When GitHub gives no token, or the cloud refuses it.
    pub fn login(&self, registry_host: &str) -> Result<Option<RegistryLogin>, CloudLoginError> {
        let identities = self.identities;
        match CloudRegistry::of(registry_host) {
            Some(CloudRegistry::Ecr(registry)) => {
                identities.aws_role.as_ref().map(|role| aws::login(self, &registry, role)).transpose()
            }
            Some(CloudRegistry::Google) => {
                identities.google.as_ref().map(|identity| google::login(self, identity)).transpose()
            }
            Some(CloudRegistry::Azure) => {
                let identity = identities.azure.as_ref();
                identity.map(|identity| azure::login(self, registry_host, identity)).transpose()
            }
            None => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_name_tells_the_cloud() {
        let ecr = |account: &str, region: &str| {
            Some(CloudRegistry::Ecr(EcrRegistry { account: account.into(), region: region.into() }))
        };
        for (host, want) in [
            ("123456789012.dkr.ecr.eu-west-1.amazonaws.com", ecr("123456789012", "eu-west-1")),
            ("123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com", ecr("123456789012", "us-gov-west-1")),
            ("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn", ecr("123456789012", "cn-north-1")),
            ("123456789012.dkr-ecr.us-east-2.on.aws", ecr("123456789012", "us-east-2")),
            ("europe-west1-docker.pkg.dev", Some(CloudRegistry::Google)),
            ("eu.gcr.io", Some(CloudRegistry::Google)),
            ("gcr.io", Some(CloudRegistry::Google)),
            ("me.azurecr.io", Some(CloudRegistry::Azure)),
            ("ghcr.io", None),
            ("public.ecr.aws", None),
            ("docker.pkg.dev.evil.example", None),
            ("123456789012.dkr.ecr.eu-west-1.amazonaws.com.evil.example", None),
            ("12345678901.dkr.ecr.eu-west-1.amazonaws.com", None),
            ("123456789012.dkr.ecr.eu-west-1/x.amazonaws.com", None),
            ("evilgcr.io", None),
        ] {
            assert_eq!(CloudRegistry::of(host), want, "{host}");
        }
    }
}
