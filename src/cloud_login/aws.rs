//! Amazon ECR: a role that trusts GitHub, then the registry's password.
//!
//! Sources: AWS Security Token Service API reference, `AssumeRoleWithWebIdentity` (an unsigned form; the answer is XML);
//! Amazon ECR API reference, `GetAuthorizationToken` (a signed JSON call; the answer is base64 of `AWS:PASSWORD`, valid
//! for twelve hours); "Configuring OpenID Connect in Amazon Web Services" (GitHub's manual) for the audience.

use super::request::{Call, element};
use super::sigv4::{Key, Unsigned, authorization};
use super::{CloudLoginError, CloudLogins, RegistryLogin, id_token};
use crate::env_vars;
use crate::net::{Request, Secret};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use url::Url;
use url::form_urlencoded::Serializer;

const CLOUD: &str = "Amazon ECR";
const AUDIENCE: &str = "sts.amazonaws.com";
/// The shortest that every role allows as its longest session is an hour, so this is never refused.
const SESSION_SECONDS: &str = "3600";
const TARGET: &str = "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken";
const ASSUME: Call = Call {
    doing: "assume the role of `aws_role`",
    whom: "AWS",
    hint: "the role's trust policy must accept the provider `token.actions.githubusercontent.com`, its audience \
           `sts.amazonaws.com` and a `sub` of this repository; see \"Registries and credentials\" in docs/images.md",
};
const PASSWORD: Call = Call {
    doing: "ask Amazon ECR for a password",
    whom: "Amazon ECR",
    hint: "the role of `aws_role` needs a policy with `ecr:GetAuthorizationToken`; see \"Registries and credentials\" in \
           docs/images.md",
};

/// A private registry of Amazon, by its host name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EcrRegistry {
    /// The owner's twelve digits.
    pub account: String,
    /// `eu-west-1` …
    pub region: String,
}

impl EcrRegistry {
    /// `ACCOUNT.dkr.ecr.REGION.amazonaws.com`, with `-fips` or for China; or `ACCOUNT.dkr-ecr.REGION.on.aws`, which also
    /// answers IPv6. None for other names.
    ///
    /// Source: "Amazon ECR endpoints and quotas" (AWS General Reference).
    pub fn of(host: &str) -> Option<EcrRegistry> {
        let (account, rest) = host.split_once('.')?;
        let service = ["dkr.ecr.", "dkr.ecr-fips.", "dkr-ecr.", "dkr-ecr-fips."];
        let rest = service.iter().find_map(|service| rest.strip_prefix(service))?;
        let suffixes = [".amazonaws.com", ".amazonaws.com.cn", ".on.aws", ".on.amazonwebservices.com.cn"];
        let region = suffixes.iter().find_map(|suffix| rest.strip_suffix(suffix))?;
        let digits = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
        let word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let named = !region.is_empty() && region.bytes().all(word);
        (digits && named).then(|| EcrRegistry { account: account.into(), region: region.into() })
    }

    /// The host of a service in the registry's region.
    fn api(&self, service: &str) -> String {
        let end = if self.region.starts_with("cn-") { ".cn" } else { "" };
        format!("{service}.{}.amazonaws.com{end}", self.region)
    }
}

/// Log in with the role of this ARN.
pub(super) fn login(
    logins: &CloudLogins<'_>,
    registry: &EcrRegistry,
    role: &str,
) -> Result<RegistryLogin, CloudLoginError> {
    if !is_role(role) {
        let form = "the ARN of a role, such as `arn:aws:iam::123456789012:role/push-images`";
        return Err(CloudLoginError::Input { input: "aws_role", value: role.into(), form });
    }
    let token = id_token::request(logins, CLOUD, AUDIENCE)?;
    let key = assume(logins, registry, role, &token)?;
    password(logins, registry, &key)
}

/// Source: IAM identifiers (AWS, IAM user guide): `arn:PARTITION:iam::ACCOUNT:role/PATH/NAME`.
fn is_role(arn: &str) -> bool {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    matches!(parts[..], ["arn", partition, "iam", "", account, name]
        if partition.starts_with("aws") && account.len() == 12 && name.starts_with("role/") && !arn.contains(char::is_whitespace))
}

fn assume(
    logins: &CloudLogins<'_>,
    registry: &EcrRegistry,
    role: &str,
    token: &Secret,
) -> Result<Key, CloudLoginError> {
    let session = logins.host.var(env_vars::GITHUB_RUN_ID).unwrap_or_default();
    let body = Serializer::new(String::new())
        .append_pair("Action", "AssumeRoleWithWebIdentity")
        .append_pair("Version", "2011-06-15")
        .append_pair("RoleArn", role)
        // Shown in CloudTrail.
        .append_pair("RoleSessionName", &session_name(session))
        .append_pair("DurationSeconds", SESSION_SECONDS)
        .append_pair("WebIdentityToken", token.reveal())
        .finish();
    let url = address(&registry.api("sts"));
    let answer = ASSUME.send(logins, &[token], || {
        Request::post(&url, body.as_bytes())
            .header("Content-Type", "application/x-www-form-urlencoded")
            .confidential()
    })?;
    let answer = String::from_utf8_lossy(&answer);
    let member = |name: &'static str| element(&answer, name).ok_or_else(|| ASSUME.lacks(name));
    Ok(Key {
        id: member("AccessKeyId")?,
        secret: Secret::new(member("SecretAccessKey")?),
        session_token: Some(Secret::new(member("SessionToken")?)),
    })
}

/// 2 to 64 of `\w+=,.@-`; a run's id is a number, and what else it may be one day is left out.
fn session_name(run: &str) -> String {
    let run: String = run.chars().filter(char::is_ascii_alphanumeric).take(40).collect();
    if run.is_empty() { "pexpress".into() } else { format!("pexpress-{run}") }
}

fn password(
    logins: &CloudLogins<'_>,
    registry: &EcrRegistry,
    key: &Key,
) -> Result<RegistryLogin, CloudLoginError> {
    let host = registry.api("api.ecr");
    let url = address(&host);
    let session_token = key.session_token.clone().unwrap_or_else(|| Secret::new(""));
    let answer = PASSWORD.json(logins, &[&session_token], || {
        // Each attempt has its own time: AWS refuses signatures that are older than some minutes.
        let now: DateTime<Utc> = logins.host.clock.now().into();
        let time = now.format("%Y%m%dT%H%M%SZ").to_string();
        let headers = [
            ("content-type", "application/x-amz-json-1.1"),
            ("host", host.as_str()),
            ("x-amz-date", time.as_str()),
            ("x-amz-security-token", session_token.reveal()),
            ("x-amz-target", TARGET),
        ];
        let (time, region) = (time.as_str(), registry.region.as_str());
        let unsigned =
            Unsigned { method: "POST", headers: &headers, body: b"{}", time, region, service: "ecr" };
        Request::post(&url, b"{}")
            .header("Content-Type", "application/x-amz-json-1.1")
            .header("X-Amz-Date", time)
            .header("X-Amz-Target", TARGET)
            .secret_header("X-Amz-Security-Token", session_token.clone())
            .secret_header("Authorization", Secret::new(authorization(&unsigned, key)))
    })?;
    let token = answer.pointer("/authorizationData/0/authorizationToken").and_then(|token| token.as_str());
    let pair = token.and_then(|token| String::from_utf8(STANDARD.decode(token).ok()?).ok());
    let (username, password) = pair
        .as_deref()
        .and_then(|pair| pair.split_once(':'))
        .ok_or_else(|| PASSWORD.lacks("`authorizationToken`"))?;
    Ok(RegistryLogin { username: username.into(), password: Secret::new(password), is_identity_token: false })
}

fn address(host: &str) -> Url {
    // The host was made of letters, digits, dots and dashes.
    Url::parse(&format!("https://{host}/")).expect("a region makes a valid host")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_arn_of_a_role_is_taken() {
        for (arn, want) in [
            ("arn:aws:iam::123456789012:role/push", true),
            ("arn:aws-cn:iam::123456789012:role/path/push", true),
            ("arn:aws-us-gov:iam::123456789012:role/push", true),
            ("arn:aws:iam::123456789012:user/me", false),
            ("arn:aws:sts::123456789012:role/push", false),
            ("push", false),
            ("", false),
            ("arn:aws:iam::123456789012:role/push ", false),
        ] {
            assert_eq!(is_role(arn), want, "{arn}");
        }
    }

    #[test]
    fn apis_are_in_the_region_of_the_registry() {
        for (host, want) in [
            ("123456789012.dkr.ecr.eu-west-1.amazonaws.com", "sts.eu-west-1.amazonaws.com"),
            ("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn", "sts.cn-north-1.amazonaws.com.cn"),
        ] {
            assert_eq!(EcrRegistry::of(host).unwrap().api("sts"), want);
        }
    }

    #[test]
    fn a_session_is_named_after_the_run() {
        for (run, want) in [("123", "pexpress-123"), ("", "pexpress"), ("a b/\u{e9}", "pexpress-ab")] {
            assert_eq!(session_name(run), want);
        }
    }
}
