//! Logins to the registries of three clouds with the identity of a job, against stand-ins that check each call.

use crate::support::clouds::{ACCOUNT, ACR, CLIENT, Clouds, ECR, PROVIDER, ROLE, SECRETS, TENANT};
use crate::support::recording_clock::host_in;
use pexpress::cloud_login::{AzureIdentity, CloudIdentities, CloudLogins, GoogleIdentity, RegistryLogin};
use pexpress::error::error_text;
use pexpress::net::Agent;

const ARTIFACT_REGISTRY: &str = "europe-west1-docker.pkg.dev";

fn identities() -> CloudIdentities {
    CloudIdentities {
        aws_role: Some(ROLE.into()),
        google: Some(GoogleIdentity { provider: PROVIDER.into(), service_account: Some(ACCOUNT.into()) }),
        azure: Some(AzureIdentity { client_id: CLIENT.into(), tenant_id: TENANT.into() }),
    }
}

/// Log in to this registry, in an environment; the error as text without colours.
fn login(
    clouds: &Clouds,
    environment: &[(String, String)],
    registry: &str,
    identities: &CloudIdentities,
) -> Result<Option<RegistryLogin>, String> {
    let pairs: Vec<(&str, &str)> =
        environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let (host, ..) = host_in(&clouds.dir, &pairs);
    let login = CloudLogins::new(&host, &Agent::new(&host), identities).login(registry);
    login.map_err(|error| {
        let text = error_text(&error, false);
        clouds.assert_no_secret(&text);
        text
    })
}

fn failed(clouds: &Clouds, registry: &str) -> String {
    login(clouds, &clouds.environment(), registry, &identities()).unwrap_err()
}

#[test]
fn each_cloud_gives_a_login_for_its_registry() {
    let dir = tempfile::tempdir().unwrap();
    let clouds = Clouds::start(dir.path());
    for (registry, username, password, is_identity_token) in [
        (ECR, "AWS", "pass:word-canary", false),
        (ARTIFACT_REGISTRY, "oauth2accesstoken", "google-canary-password", false),
        (ACR, "00000000-0000-0000-0000-000000000000", "acr-canary-refresh", true),
    ] {
        let login = login(&clouds, &clouds.environment(), registry, &identities()).unwrap().unwrap();
        let read = (login.username.as_str(), login.password.reveal(), login.is_identity_token);
        assert_eq!(read, (username, password, is_identity_token), "{registry}");
        clouds.assert_no_secret(&format!("{login:?}"));
    }
    // GitHub is asked once for each cloud, with an audience of its own.
    let audiences = clouds.seen().into_iter().filter(|seen| seen.host == "token.example").count();
    assert_eq!((audiences, clouds.seen().len()), (3, 9));
}

#[test]
fn a_job_without_a_service_account_acts_as_itself() {
    let dir = tempfile::tempdir().unwrap();
    let clouds = Clouds::start(dir.path());
    let google = Some(GoogleIdentity { provider: PROVIDER.into(), service_account: None });
    let identities = CloudIdentities { google, ..CloudIdentities::default() };
    let login = login(&clouds, &clouds.environment(), "gcr.io", &identities).unwrap().unwrap();
    assert_eq!(login.password.reveal(), SECRETS[3]);
}

#[test]
fn nothing_is_asked_for_other_registries_or_without_an_identity() {
    let dir = tempfile::tempdir().unwrap();
    let clouds = Clouds::start(dir.path());
    for (registry, identities) in [
        ("ghcr.io", identities()),
        ("registry.example:5000", identities()),
        (ECR, CloudIdentities { aws_role: None, ..identities() }),
        (ARTIFACT_REGISTRY, CloudIdentities { google: None, ..identities() }),
        (ACR, CloudIdentities::default()),
    ] {
        assert_eq!(login(&clouds, &clouds.environment(), registry, &identities), Ok(None), "{registry}");
    }
    assert!(clouds.seen().is_empty());
}

#[test]
fn transient_failures_are_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let clouds = Clouds::start(dir.path());
    let busy = "<ErrorResponse><Error><Code>IDPCommunicationError</Code><Message>busy</Message></Error></ErrorResponse>";
    for (host, status, body) in [
        ("token.example", 503, ""),
        ("sts.eu-west-1.amazonaws.com", 400, busy),
        ("api.ecr.eu-west-1.amazonaws.com", 500, ""),
        ("sts.googleapis.com", 429, ""),
        ("login.microsoftonline.com", 502, "<html>"),
        (ACR, 503, ""),
    ] {
        clouds.fault(host, status, body);
    }
    for registry in [ECR, ARTIFACT_REGISTRY, ACR] {
        assert!(
            login(&clouds, &clouds.environment(), registry, &identities()).unwrap().is_some(),
            "{registry}"
        );
    }
}

#[test]
fn an_untrusted_job_is_told_which_setting_refuses_it() {
    let dir = tempfile::tempdir().unwrap();
    let clouds = Clouds::start(dir.path());
    clouds.subject("repo:me/app:pull_request");
    insta::assert_snapshot!(failed(&clouds, ECR));
    insta::assert_snapshot!(failed(&clouds, ARTIFACT_REGISTRY));
    insta::assert_snapshot!(failed(&clouds, ACR));
}

#[test]
fn a_refusal_of_the_second_step_names_the_missing_right() {
    let dir = tempfile::tempdir().unwrap();
    let clouds = Clouds::start(dir.path());
    let denied = format!("User: x is not authorized to perform: ecr:GetAuthorizationToken ({})", SECRETS[2]);
    let body = serde_json::json!({"__type": "AccessDeniedException", "message": denied}).to_string();
    clouds.fault("api.ecr.eu-west-1.amazonaws.com", 400, &body);
    insta::assert_snapshot!(failed(&clouds, ECR));
    clouds.fault("iamcredentials.googleapis.com", 403, r#"{"error": {"message": "Permission denied"}}"#);
    insta::assert_snapshot!(failed(&clouds, ARTIFACT_REGISTRY));
    clouds.fault(ACR, 401, r#"{"errors": [{"code": "UNAUTHORIZED", "message": "authentication required"}]}"#);
    insta::assert_snapshot!(failed(&clouds, ACR));
}

#[test]
fn answers_without_what_they_should_have_are_errors() {
    let dir = tempfile::tempdir().unwrap();
    let clouds = Clouds::start(dir.path());
    let mut texts = Vec::new();
    for (host, body, registry) in [
        ("token.example", "{}", ECR),
        ("token.example", "<html>", ECR),
        ("sts.eu-west-1.amazonaws.com", "{}", ECR),
        ("api.ecr.eu-west-1.amazonaws.com", r#"{"authorizationData": [{"authorizationToken": "AWS"}]}"#, ECR),
        ("sts.googleapis.com", r#"{"access_token": ""}"#, ARTIFACT_REGISTRY),
        ("iamcredentials.googleapis.com", "[]", ARTIFACT_REGISTRY),
        ("login.microsoftonline.com", r#"{"access_token": 1}"#, ACR),
        (ACR, "{}", ACR),
    ] {
        clouds.fault(host, 200, body);
        texts.push(failed(&clouds, registry));
    }
    insta::assert_snapshot!(texts.join("\n"));
}

#[test]
fn a_job_without_the_permission_is_told_how_to_get_it() {
    let dir = tempfile::tempdir().unwrap();
    let clouds = Clouds::start(dir.path());
    let runner = [clouds.network(), vec![("GITHUB_ACTIONS".into(), "true".into())]].concat();
    let on_runner = login(&clouds, &runner, ECR, &identities()).unwrap_err();
    let elsewhere = login(&clouds, &clouds.network(), ACR, &identities()).unwrap_err();
    insta::assert_snapshot!(format!("{on_runner}\n{elsewhere}"));
}

#[test]
fn inputs_that_cannot_be_right_are_refused_before_anything_is_asked() {
    let dir = tempfile::tempdir().unwrap();
    let clouds = Clouds::start(dir.path());
    let google = |provider: &str, account: &str| {
        Some(GoogleIdentity { provider: provider.into(), service_account: Some(account.into()) })
    };
    let azure = |client: &str, tenant: &str| {
        Some(AzureIdentity { client_id: client.into(), tenant_id: tenant.into() })
    };
    let mut texts = Vec::new();
    for (registry, identities) in [
        (ECR, CloudIdentities { aws_role: Some("push".into()), ..identities() }),
        (ARTIFACT_REGISTRY, CloudIdentities { google: google("github", ACCOUNT), ..identities() }),
        (ACR, CloudIdentities { azure: azure("me", TENANT), ..identities() }),
        (ACR, CloudIdentities { azure: azure(CLIENT, "../x"), ..identities() }),
    ] {
        texts.push(login(&clouds, &clouds.environment(), registry, &identities).unwrap_err());
    }
    assert!(clouds.seen().is_empty());
    let account = CloudIdentities { google: google(PROVIDER, "me"), ..identities() };
    texts.push(login(&clouds, &clouds.environment(), ARTIFACT_REGISTRY, &account).unwrap_err());
    insta::assert_snapshot!(texts.join("\n"));
}
