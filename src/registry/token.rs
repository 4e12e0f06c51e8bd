//! Tokens: asked for at the server that a challenge names, and kept until they expire.
//!
//! Source: distribution project, "Token Authentication Specification" and "OAuth2 Token Authentication".

use super::access::Access;
use super::challenge::{Challenge, subject};
use super::client::{Registries, authority, safe};
use super::credential::Credential;
use super::credentials::Lookup;
use super::endpoint::{Endpoint, Issued};
use super::error::RegistryError;
use crate::foreign_json;
use crate::image::Repository;
use crate::net::retry::Again;
use crate::net::{Request, Response, Secret, Transience, is_loopback};
use crate::threads::lock;
use serde_json::Value;
use std::io::Read;
use std::time::Duration;
use ureq::http::header::AUTHORIZATION;
use url::Url;
use url::form_urlencoded::Serializer;

/// Validity of a token whose server does not say it. Source: "Token Authentication Specification", `expires_in`.
const DEFAULT_SECONDS: u64 = 60;
/// A token is not used in its last seconds: it could expire on the way.
const MARGIN: Duration = Duration::from_secs(5);
/// Limit for an answer.
const LIMIT_BYTES: u64 = 1 << 20;
/// Transient statuses of a token server.
const TRANSIENT: [u16; 6] = [408, 429, 500, 502, 503, 504];

/// What a token server is asked.
struct Question<'a> {
    registry: &'a str,
    repository: Repository,
    realm: Url,
    service: Option<&'a str>,
    scopes: Vec<String>,
    lookup: &'a Lookup,
}

impl Registries {
    /// The value of `Authorization` with a token for these rights. Fetched unless there is one.
    pub(super) fn token(
        &self,
        endpoint: &Endpoint,
        challenge: &Challenge,
        access: &Access,
        lookup: &Lookup,
    ) -> Result<Secret, RegistryError> {
        let mut tokens = lock(&endpoint.tokens);
        let now = self.host().clock.elapsed();
        tokens.retain(|issued| issued.until > now);
        if let Some(issued) = tokens.iter().find(|issued| issued.access.covers(access)) {
            return Ok(issued.header.clone());
        }
        let asked = self.fetch(challenge, access, lookup);
        // A server may refuse all because of one repository that must not be read. Then it cannot be mounted from.
        let (token, seconds) = match (asked, access.without_sources()) {
            (Err(RegistryError::Denied { .. }), Some(less)) => self.fetch(challenge, &less, lookup)?,
            (asked, _) => asked?,
        };
        self.hide(token.clone());
        let header = Secret::new(format!("Bearer {}", token.reveal()));
        let valid = Duration::from_secs(seconds);
        let until = now.saturating_add(valid.saturating_sub(MARGIN.min(valid / 4)));
        tokens.push(Issued { access: access.clone(), header: header.clone(), until });
        Ok(header)
    }

    fn fetch(
        &self,
        challenge: &Challenge,
        access: &Access,
        lookup: &Lookup,
    ) -> Result<(Secret, u64), RegistryError> {
        let Challenge::Bearer { realm, service, scopes } = challenge else {
            return Err(RegistryError::Challenge { host: access.host.clone(), offered: "Basic".into() });
        };
        let question = Question {
            registry: &access.host,
            repository: access.repository(),
            realm: realm_url(&access.host, realm)?,
            service: service.as_deref(),
            scopes: with_named(access.scopes(), scopes),
            lookup,
        };
        let doing = format!("get a token for `{}`", question.repository);
        self.retried(|number| {
            let response = question.send(self).map_err(|source| {
                let is_transient = source.transience() != Transience::Lasting;
                let error = RegistryError::Net { doing: doing.clone(), attempts: number, source };
                if is_transient { Again::After { error, retry_after: None } } else { Again::No(error) }
            })?;
            self.judge(&question, &doing, response, number)
        })
    }

    fn judge(
        &self,
        question: &Question<'_>,
        doing: &str,
        response: Response,
        attempts: u32,
    ) -> Result<(Secret, u64), Again<RegistryError>> {
        let status = response.status;
        let host = authority(&response.url);
        let doing = doing.to_string();
        match status {
            200 => question.token(response).map_err(Again::No),
            // 400 is what OAuth2 servers answer to a refresh token that is not valid. Source: RFC 6749, section 5.2.
            400 | 401 | 403 => {
                let repository = question.repository.clone();
                let tried = self.tried(&repository).map_err(Again::No)?;
                let said = self.said(response);
                Err(Again::No(RegistryError::Denied { doing, repository, host, status, said, tried }))
            }
            _ => {
                let retry_after = response.retry_after(self.host().clock.now());
                let said = self.said(response);
                let error = RegistryError::Refused { doing, host, status, said, attempts };
                match TRANSIENT.contains(&status) {
                    true => Err(Again::After { error, retry_after }),
                    false => Err(Again::No(error)),
                }
            }
        }
    }
}

impl Question<'_> {
    fn send(&self, client: &Registries) -> Result<Response, crate::net::Error> {
        match self.lookup.found.as_ref().map(|(credential, _)| credential) {
            Some(Credential::IdentityToken(token)) => {
                let form = self.form(token);
                let request = Request::post(&self.realm, form.as_bytes())
                    .header("Content-Type", "application/x-www-form-urlencoded")
                    .confidential();
                client.add_sent(form.len() as u64);
                client.counted(request)
            }
            Some(Credential::Login(login)) => client
                .counted(Request::get(&self.url()).secret_header(AUTHORIZATION.as_str(), login.header())),
            _ => client.counted(Request::get(&self.url())),
        }
    }

    fn url(&self) -> Url {
        let mut url = self.realm.clone();
        {
            let mut query = url.query_pairs_mut();
            self.service.iter().for_each(|service| {
                query.append_pair("service", service);
            });
            self.scopes.iter().for_each(|scope| {
                query.append_pair("scope", scope);
            });
        }
        url
    }

    fn form(&self, token: &Secret) -> String {
        let mut form = Serializer::new(String::new());
        form.append_pair("grant_type", "refresh_token");
        form.append_pair("service", self.service.unwrap_or_default());
        form.append_pair("client_id", "pexpress");
        form.append_pair("scope", &self.scopes.join(" "));
        form.append_pair("refresh_token", token.reveal());
        form.finish()
    }

    /// The token in an answer, and for how many seconds it is valid.
    fn token(&self, response: Response) -> Result<(Secret, u64), RegistryError> {
        let unusable = |problem| RegistryError::Token {
            host: self.registry.to_string(),
            realm: safe(&self.realm),
            problem,
        };
        // Not `into_bytes`, which would hide a token that the request had in it.
        let mut bytes = Vec::new();
        let read = response.into_reader().take(LIMIT_BYTES + 1).read_to_end(&mut bytes);
        read.map_err(|_| unusable("it broke off"))?;
        if bytes.len() as u64 > LIMIT_BYTES {
            return Err(unusable("it is too long"));
        }
        let answer = foreign_json::read(&bytes).map_err(|_| unusable("it is not JSON"))?;
        token_in(&answer).ok_or_else(|| unusable("it has no `token`"))
    }
}

fn token_in(answer: &Value) -> Option<(Secret, u64)> {
    let text = |name: &str| answer[name].as_str().filter(|text| !text.is_empty());
    let token = text("token").or_else(|| text("access_token"))?;
    // It goes into a header.
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return None;
    }
    let seconds = answer["expires_in"].as_u64().filter(|seconds| *seconds > 0);
    Some((Secret::new(token), seconds.unwrap_or(DEFAULT_SECONDS)))
}

/// The address of a token server, which gets a password.
fn realm_url(host: &str, realm: &str) -> Result<Url, RegistryError> {
    let refuse = || RegistryError::Realm { host: host.to_string(), realm: crate::net::SafeUrl::parse(realm) };
    let url = Url::parse(realm).map_err(|_| refuse())?;
    let is_fine = url.scheme() == "https" || (url.scheme() == "http" && is_loopback(&url));
    if is_fine && url.username().is_empty() && url.password().is_none() { Ok(url) } else { Err(refuse()) }
}

/// Our scopes, and those that the challenge names, such as `aws` of Amazon's public registry.
fn with_named(mut scopes: Vec<String>, named: &[String]) -> Vec<String> {
    let is_missing = |scope: &&String| !scopes.iter().any(|own| subject(own) == subject(scope));
    let missing: Vec<String> = named.iter().filter(is_missing).cloned().collect();
    scopes.extend(missing);
    scopes
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_token_has_two_names_and_a_time() {
        for (answer, want) in [
            (json!({"token": "t"}), Some(("t", 60))),
            (json!({"access_token": "a", "expires_in": 300}), Some(("a", 300))),
            (json!({"token": "t", "access_token": "a", "expires_in": 0}), Some(("t", 60))),
            (json!({"token": "", "access_token": "a"}), Some(("a", 60))),
            (json!({"token": "a\nb"}), None),
            (json!({"token": 1}), None),
            (json!([]), None),
        ] {
            let got = token_in(&answer);
            let got = got.as_ref().map(|(token, seconds)| (token.reveal(), *seconds));
            assert_eq!(got, want, "{answer}");
        }
    }

    #[test]
    fn a_password_goes_to_encrypted_servers_only() {
        for (realm, fine) in [
            ("https://auth.example/token", true),
            ("http://127.0.0.1:5001/token", true),
            ("http://localhost/token", true),
            ("http://auth.example/token", false),
            ("file:///etc/passwd", false),
            ("https://me:pw@auth.example/", false),
            ("token", false),
        ] {
            assert_eq!(realm_url("r.example", realm).is_ok(), fine, "{realm}");
        }
    }

    #[test]
    fn scopes_of_the_challenge_are_added_unless_ours_are_for_the_same() {
        let own = vec!["repository:a:pull,push".to_string(), "repository:b:pull".into()];
        let named = ["repository:a:pull", "aws", "repository:c:pull"].map(String::from);
        assert_eq!(
            with_named(own, &named),
            ["repository:a:pull,push", "repository:b:pull", "aws", "repository:c:pull"]
        );
    }
}
