//! The token server of the registry, at `/token` of the same listener.

use super::http::{Reply, Request};
use super::{Auth, IDENTITY, Mount, USER};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

/// Name of the registry at its token server.
pub const SERVICE: &str = "registry, of \"tests\"";

/// Rights by token: `REPOSITORY:ACTION`.
#[derive(Default)]
pub struct Tokens {
    given: u64,
    valid: BTreeMap<String, BTreeSet<String>>,
}

pub fn basic_header() -> String {
    format!("Basic {}", STANDARD.encode(format!("{}:{}", USER.0, USER.1)))
}

impl Tokens {
    pub fn expire(&mut self) {
        self.valid.clear();
    }

    /// Whether a token has a right.
    pub fn grants(&self, token: &str, right: &str) -> bool {
        self.valid.get(token).is_some_and(|rights| rights.contains(right))
    }

    /// Answer a request for a token.
    pub fn answer(&mut self, request: &Request, auth: Auth, mount: Mount) -> Reply {
        let form: Vec<(String, String)>;
        let (values, is_known) = match request.method.as_str() {
            "POST" => {
                let is_form = request.header("content-type") == Some("application/x-www-form-urlencoded");
                form = url::form_urlencoded::parse(&request.body).into_owned().collect();
                let value = |name: &str| {
                    form.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
                };
                let is_known = is_form
                    && value("grant_type") == Some("refresh_token")
                    && value("refresh_token") == Some(IDENTITY)
                    && value("client_id").is_some()
                    && request.header("authorization").is_none();
                (&form, is_known)
            }
            _ => (&request.query, request.header("authorization") == Some(&basic_header())),
        };
        let all = |wanted: &str| -> Vec<&str> {
            let found = values.iter().filter(|(name, _)| name == wanted);
            found.map(|(_, value)| value.as_str()).collect()
        };
        let is_anonymous = request.method == "GET" && request.header("authorization").is_none();
        let by_post = auth == Auth::Identity;
        if all("service") != [SERVICE] || (by_post != (request.method == "POST") && !is_anonymous) {
            return Reply::error(400, "UNSUPPORTED", "the service, or the method");
        }
        if !is_known && !is_anonymous {
            return Reply::error(401, "UNAUTHORIZED", "authentication required");
        }
        let mut rights = BTreeSet::new();
        for scope in all("scope").iter().flat_map(|scope| scope.split(' ')) {
            let parts: Vec<&str> = scope.splitn(2, ':').chain(None).collect();
            let Some((path, actions)) = parts.get(1).and_then(|rest| rest.rsplit_once(':')) else {
                return Reply::error(400, "UNSUPPORTED", "a scope");
            };
            if path.starts_with("other/") && mount == Mount::NoToken {
                return Reply::error(403, "DENIED", "one of the scopes");
            }
            for action in actions.split(',') {
                // Nobody in particular may read what is public.
                let is_public = action == "pull" && path.starts_with("public/");
                if is_known || is_public {
                    rights.insert(format!("{path}:{action}"));
                }
            }
        }
        self.given += 1;
        let token = format!("canary-token-number-{}", self.given);
        self.valid.insert(token.clone(), rights);
        let answer = match self.given % 2 {
            0 => json!({"token": token, "expires_in": 300}),
            _ => json!({"access_token": token}),
        };
        Reply::new(200).header("Content-Type", "application/json").body(answer.to_string())
    }
}
