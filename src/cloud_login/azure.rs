//! Azure Container Registry: a federated credential of an app registration or a managed identity.
//!
//! Sources: "Microsoft identity platform and the OAuth 2.0 client credentials flow", "Third case: Access token request
//! with a federated credential"; "Azure Container Registry AAD integration" (the registry's own documentation),
//! `POST /oauth2/exchange`, whose refresh token is valid for three hours; "Configuring OpenID Connect in Azure" (GitHub's
//! manual) for the audience.

use super::request::Call;
use super::{AzureIdentity, CloudLoginError, CloudLogins, RegistryLogin, id_token};
use crate::net::{Request, Secret};
use url::Url;
use url::form_urlencoded::Serializer;

const CLOUD: &str = "Azure Container Registry";
const AUDIENCE: &str = "api://AzureADTokenExchange";
/// Tokens for registries. The one for Azure's management API is refused where an administrator wants so.
const SCOPE: &str = "https://containerregistry.azure.net/.default";
/// The user name that goes with a refresh token.
const USERNAME: &str = "00000000-0000-0000-0000-000000000000";
const SIGN_IN: Call = Call {
    doing: "sign in to Azure as the app of `azure_client_id`",
    whom: "Microsoft Entra ID",
    hint: "the app needs a federated credential for GitHub Actions with this repository and branch, environment or \
           `pull_request` as its subject; check `azure_client_id` and `azure_tenant_id` too",
};
const EXCHANGE: Call = Call {
    doing: "log in to the registry with the app of `azure_client_id`",
    whom: "the registry",
    hint: "give the app the role AcrPush on this registry",
};

/// Log in to the registry `host` with this identity.
pub(super) fn login(
    logins: &CloudLogins<'_>,
    host: &str,
    identity: &AzureIdentity,
) -> Result<RegistryLogin, CloudLoginError> {
    for (input, value) in [("azure_client_id", &identity.client_id), ("azure_tenant_id", &identity.tenant_id)]
    {
        if !is_id(value) {
            let form = "an id such as `01234567-89ab-cdef-0123-456789abcdef`";
            return Err(CloudLoginError::Input { input, value: value.clone(), form });
        }
    }
    let token = id_token::request(logins, CLOUD, AUDIENCE)?;
    let access = sign_in(logins, host, identity, &token)?;
    let password = exchange(logins, host, identity, &access)?;
    Ok(RegistryLogin { username: USERNAME.into(), password, is_identity_token: true })
}

/// 8-4-4-4-12 hexadecimal digits.
fn is_id(text: &str) -> bool {
    let lengths: Vec<usize> = text.split('-').map(str::len).collect();
    lengths == [8, 4, 4, 4, 12] && text.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit())
}

/// Where one signs in, which differs between Azure's clouds.
fn authority(registry_host: &str) -> &'static str {
    match registry_host.rsplit('.').next() {
        Some("cn") => "login.partner.microsoftonline.cn",
        Some("us") => "login.microsoftonline.us",
        _ => "login.microsoftonline.com",
    }
}

fn sign_in(
    logins: &CloudLogins<'_>,
    host: &str,
    identity: &AzureIdentity,
    token: &Secret,
) -> Result<Secret, CloudLoginError> {
    let body = Serializer::new(String::new())
        .append_pair("client_id", &identity.client_id)
        .append_pair("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
        .append_pair("client_assertion", token.reveal())
        .append_pair("grant_type", "client_credentials")
        .append_pair("scope", SCOPE)
        .finish();
    let url = address(&format!("https://{}/{}/oauth2/v2.0/token", authority(host), identity.tenant_id));
    let answer = SIGN_IN.json(logins, &[token], || form(&url, &body))?;
    let token = answer["access_token"].as_str().filter(|token| !token.is_empty());
    token.map(Secret::new).ok_or_else(|| SIGN_IN.lacks("`access_token`"))
}

fn exchange(
    logins: &CloudLogins<'_>,
    host: &str,
    identity: &AzureIdentity,
    access: &Secret,
) -> Result<Secret, CloudLoginError> {
    let body = Serializer::new(String::new())
        .append_pair("grant_type", "access_token")
        .append_pair("service", host)
        .append_pair("tenant", &identity.tenant_id)
        .append_pair("access_token", access.reveal())
        .finish();
    let url = address(&format!("https://{host}/oauth2/exchange"));
    let answer = EXCHANGE.json(logins, &[access], || form(&url, &body))?;
    let token = answer["refresh_token"].as_str().filter(|token| !token.is_empty());
    token.map(Secret::new).ok_or_else(|| EXCHANGE.lacks("`refresh_token`"))
}

fn form<'a>(url: &Url, body: &'a str) -> Request<'a> {
    Request::post(url, body.as_bytes())
        .header("Content-Type", "application/x-www-form-urlencoded")
        .confidential()
}

fn address(text: &str) -> Url {
    Url::parse(text).expect("its parts were checked")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_those_of_azure() {
        for (text, want) in [
            ("01234567-89ab-cdef-0123-456789abcdef", true),
            ("01234567-89AB-cdef-0123-456789abcdef", true),
            ("01234567-89ab-cdef-0123-456789abcdeg", false),
            ("0123456789abcdef0123456789abcdef", false),
            ("../../x", false),
            ("", false),
        ] {
            assert_eq!(is_id(text), want, "{text}");
        }
    }
}
