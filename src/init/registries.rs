//! Where a workflow pushes images, and what its step and job need for that: inputs and permissions by the registry's
//! host name. `examples/workflows/images-*.yml` have the same.

use super::write::NewWorkflow;
use crate::cloud_login::{self, Cloud};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// A registry, by who runs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Registry {
    /// Amazon ECR.
    Amazon,
    /// Artifact Registry.
    Google,
    /// Azure Container Registry.
    Azure,
    /// ghcr.io.
    Github,
    /// Any other.
    Other,
}

impl Registry {
    /// The registry of `HOST/REPOSITORY`.
    pub fn of(repository: &str) -> Registry {
        let host = repository.split('/').next().unwrap_or_default();
        match cloud_login::cloud(host) {
            Some(Cloud::Amazon) => Registry::Amazon,
            Some(Cloud::Google) => Registry::Google,
            Some(Cloud::Azure) => Registry::Azure,
            None if host == "ghcr.io" => Registry::Github,
            None => Registry::Other,
        }
    }

    /// Inputs that say who the job is there, with the variable or secret of the repository that has each.
    fn inputs(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Registry::Amazon => &[("aws_role", "${{ vars.AWS_ROLE }}")],
            Registry::Google => &[
                ("gcp_workload_identity_provider", "${{ vars.GCP_WORKLOAD_IDENTITY_PROVIDER }}"),
                ("gcp_service_account", "${{ vars.GCP_SERVICE_ACCOUNT }}"),
            ],
            Registry::Azure => &[
                ("azure_client_id", "${{ vars.AZURE_CLIENT_ID }}"),
                ("azure_tenant_id", "${{ vars.AZURE_TENANT_ID }}"),
            ],
            Registry::Github => &[],
            Registry::Other => &[
                ("registry_username", "${{ vars.REGISTRY_USERNAME }}"),
                ("registry_password", "${{ secrets.REGISTRY_PASSWORD }}"),
            ],
        }
    }

    /// What the job may do besides, and why.
    fn permission(self) -> Option<(&'static str, &'static str)> {
        match self {
            Registry::Amazon | Registry::Google | Registry::Azure => {
                Some(("id-token", "to log in to the registry"))
            }
            Registry::Github => Some(("packages", "to push images")),
            Registry::Other => None,
        }
    }
}

/// Set the inputs and permissions for pushing to `registries`, each with a repository of it. `known` are inputs that old
/// steps have; with `has_logins` steps that stay log in wherever no identity is known. Returns what is left to do.
pub fn settle(
    registries: &BTreeMap<Registry, String>,
    known: &Map<String, Value>,
    has_logins: bool,
    inputs: &mut Map<String, Value>,
    new: &mut NewWorkflow,
) -> Vec<String> {
    let mut next = Vec::new();
    for (registry, repository) in registries {
        let wanted = registry.inputs();
        let is_known = wanted.iter().any(|(name, _)| known.contains_key(*name));
        if has_logins && !is_known && *registry != Registry::Github {
            continue;
        }
        let mut to_set = Vec::new();
        for (name, variable) in wanted {
            match known.get(*name) {
                Some(value) => drop(inputs.insert((*name).to_string(), value.clone())),
                None if is_known => {}
                None => {
                    to_set.push(variable.trim_start_matches("${{ ").trim_end_matches(" }}"));
                    inputs.insert((*name).to_string(), (*variable).into());
                }
            }
        }
        if let Some((scope, why)) = registry.permission() {
            new.permissions.shift_remove(scope);
            new.own_permissions.insert(scope, why);
        }
        if !to_set.is_empty() {
            let host = repository.split('/').next().unwrap_or_default();
            next.push(format!(
                "for pushing to {host}, set {} of the repository (Settings → Secrets and variables → Actions): \
                 docs/images.md, \"Registries\", says what they are",
                to_set.join(" and ")
            ));
        }
    }
    next
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_tells_its_registry() {
        for (repository, want) in [
            ("123456789012.dkr.ecr.eu-west-1.amazonaws.com/etl", Registry::Amazon),
            ("europe-west1-docker.pkg.dev/project/images/etl", Registry::Google),
            ("acme.azurecr.io/etl", Registry::Azure),
            ("ghcr.io/acme/etl", Registry::Github),
            ("registry.example.com/etl", Registry::Other),
            ("acme/etl", Registry::Other),
        ] {
            assert_eq!(Registry::of(repository), want, "{repository}");
        }
    }
}
