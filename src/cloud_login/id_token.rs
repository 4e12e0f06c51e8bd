//! The token by which GitHub says which job this is.
//!
//! Source: "OpenID Connect reference" (GitHub's manual), "Methods for requesting the OIDC token": a GET of
//! `ACTIONS_ID_TOKEN_REQUEST_URL` with the audience, and `ACTIONS_ID_TOKEN_REQUEST_TOKEN` as bearer token. Both are
//! set only in jobs with the permission `id-token: write`.

use super::request::Call;
use super::{CloudLoginError, CloudLogins};
use crate::env_vars;
use crate::host::Host;
use crate::net::{Request, Secret};
use url::Url;

const CALL: Call = Call {
    doing: "ask GitHub for the identity token of this job",
    whom: "GitHub",
    hint: "run the job again; if it fails again, see whether GitHub has an incident",
};

/// Whether GitHub gives this job such tokens.
pub(super) fn is_given(host: &Host) -> bool {
    given(host, env_vars::ACTIONS_ID_TOKEN_REQUEST_URL).is_some()
}

fn given<'a>(host: &'a Host, name: &str) -> Option<&'a str> {
    host.var(name).filter(|value| !value.trim().is_empty())
}

/// A token for `audience`. It is valid for some minutes, and at no other cloud.
pub(super) fn request(
    logins: &CloudLogins<'_>,
    cloud: &'static str,
    audience: &str,
) -> Result<Secret, CloudLoginError> {
    let given = |name| given(logins.host, name);
    let none = || CloudLoginError::NoIdToken { cloud, on_runner: logins.host.on_runner() };
    let url = given(env_vars::ACTIONS_ID_TOKEN_REQUEST_URL).and_then(|url| Url::parse(url).ok());
    let (Some(mut url), Some(token)) = (url, given(env_vars::ACTIONS_ID_TOKEN_REQUEST_TOKEN)) else {
        return Err(none());
    };
    url.query_pairs_mut().append_pair("audience", audience);
    let bearer = Secret::new(format!("Bearer {token}"));
    let answer = CALL.json(logins, &[], || {
        Request::get(&url).header("Accept", "application/json").secret_header("Authorization", bearer.clone())
    })?;
    let value = answer["value"].as_str().filter(|value| !value.is_empty());
    value.map(Secret::new).ok_or_else(|| CALL.lacks("`value`"))
}
