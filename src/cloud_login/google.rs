//! Artifact Registry: workload identity federation.
//!
//! Sources: "Workload Identity Federation", method `v1.token` of the Security Token Service (Google Cloud);
//! `projects.serviceAccounts.generateAccessToken` of the IAM Service Account Credentials API; "Configure authentication
//! to Artifact Registry for Docker" for the user `oauth2accesstoken`.

use super::request::Call;
use super::{CloudLoginError, CloudLogins, GoogleIdentity, RegistryLogin, id_token};
use crate::net::{Request, Secret};
use serde_json::json;
use url::Url;

const CLOUD: &str = "Google Artifact Registry";
const STS: &str = "https://sts.googleapis.com/v1/token";
const CREDENTIALS: &str = "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/";
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
const EXCHANGE: Call = Call {
    doing: "exchange the identity of this job at Google Cloud",
    whom: "Google's Security Token Service",
    hint: "check `gcp_workload_identity_provider`: its issuer is `https://token.actions.githubusercontent.com`, and its \
           attribute condition must accept this repository",
};
const IMPERSONATE: Call = Call {
    doing: "act as the service account of `gcp_service_account`",
    whom: "Google Cloud",
    hint: "give this repository's identity the role Workload Identity User on that service account, and the service \
           account the role Artifact Registry Writer",
};

/// Log in with this identity.
pub(super) fn login(
    logins: &CloudLogins<'_>,
    identity: &GoogleIdentity,
) -> Result<RegistryLogin, CloudLoginError> {
    let provider = identity.provider.trim_start_matches("//iam.googleapis.com/");
    if !is_provider(provider) {
        let form = "`projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER`";
        let (input, value) = ("gcp_workload_identity_provider", identity.provider.clone());
        return Err(CloudLoginError::Input { input, value, form });
    }
    // The audience that a provider accepts unless it lists others.
    let token = id_token::request(logins, CLOUD, &format!("https://iam.googleapis.com/{provider}"))?;
    let federated = exchange(logins, provider, &token)?;
    let password = match &identity.service_account {
        Some(account) => impersonate(logins, account, &federated)?,
        None => federated,
    };
    Ok(RegistryLogin { username: "oauth2accesstoken".into(), password, is_identity_token: false })
}

fn is_provider(name: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let parts: Vec<&str> = name.split('/').collect();
    let named = parts.iter().all(|part| !part.is_empty() && part.bytes().all(word));
    named && matches!(parts[..], ["projects", _, "locations", _, "workloadIdentityPools", _, "providers", _])
}

fn exchange(logins: &CloudLogins<'_>, provider: &str, token: &Secret) -> Result<Secret, CloudLoginError> {
    let body = json!({
        "audience": format!("//iam.googleapis.com/{provider}"),
        "grantType": "urn:ietf:params:oauth:grant-type:token-exchange",
        "requestedTokenType": "urn:ietf:params:oauth:token-type:access_token",
        "scope": SCOPE,
        "subjectTokenType": "urn:ietf:params:oauth:token-type:jwt",
        "subjectToken": token.reveal(),
    });
    let (url, body) = (address(STS), body.to_string());
    let answer = EXCHANGE.json(logins, &[token], || post(&url, &body))?;
    let token = answer["access_token"].as_str().filter(|token| !token.is_empty());
    token.map(Secret::new).ok_or_else(|| EXCHANGE.lacks("`access_token`"))
}

fn impersonate(logins: &CloudLogins<'_>, account: &str, token: &Secret) -> Result<Secret, CloudLoginError> {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.@:".contains(&byte);
    if !account.contains('@') || !account.bytes().all(word) {
        let form = "the e-mail address of a service account";
        return Err(CloudLoginError::Input { input: "gcp_service_account", value: account.into(), form });
    }
    let url = address(&format!("{CREDENTIALS}{account}:generateAccessToken"));
    let body = json!({"scope": [SCOPE], "lifetime": "3600s"}).to_string();
    let bearer = Secret::new(format!("Bearer {}", token.reveal()));
    let answer = IMPERSONATE
        .json(logins, &[token], || post(&url, &body).secret_header("Authorization", bearer.clone()))?;
    let token = answer["accessToken"].as_str().filter(|token| !token.is_empty());
    token.map(Secret::new).ok_or_else(|| IMPERSONATE.lacks("`accessToken`"))
}

fn post<'a>(url: &Url, body: &'a str) -> Request<'a> {
    Request::post(url, body.as_bytes()).header("Content-Type", "application/json").confidential()
}

fn address(text: &str) -> Url {
    Url::parse(text).expect("its parts were checked")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_name_of_a_provider_is_taken() {
        for (name, want) in [
            ("projects/12/locations/global/workloadIdentityPools/pool/providers/my-repo", true),
            ("projects/12/locations/global/workloadIdentityPools/pool", false),
            ("projects/12/locations/global/workloadIdentityPools/pool/providers/", false),
            ("projects/../locations/global/workloadIdentityPools/pool/providers/x?y", false),
            ("my-repo", false),
        ] {
            assert_eq!(is_provider(name), want, "{name}");
        }
    }
}
