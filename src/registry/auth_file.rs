//! Files with credentials for registries: Docker's `config.json` and podman's `auth.json`.
//!
//! Sources: docker/cli, `cli/config/configfile`; containers-auth.json(5).

use super::credential::Credential;
use crate::foreign_json;
use crate::image::Repository;
use crate::image::reference::DOCKER_HUB;
use crate::net::Secret;
use crate::net::login::Login;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

/// The key of Docker Hub. Source: docker/cli, `registry.IndexServer`.
const HUB_KEY: &str = "https://index.docker.io/v1/";
/// Hosts that mean Docker Hub in keys.
const HUB_HOSTS: [&str; 3] = ["docker.io", "index.docker.io", "registry-1.docker.io"];

/// A file, parsed.
#[derive(Debug, Clone, PartialEq)]
pub struct AuthFile {
    members: Map<String, Value>,
}

/// What a file says about a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// The credential itself; and where it is: `auths."KEY"`.
    Credential(Credential, String),
    /// A helper to ask, for this server; and where that is.
    Helper {
        /// `NAME` of `docker-credential-NAME`.
        name: String,
        /// What to ask it for.
        server: String,
        /// `credHelpers."HOST"` or `credsStore`.
        place: String,
        /// Whether it is for all registries, and so may know nothing of this one.
        is_general: bool,
    },
}

/// A file that cannot be used. Never has a value of the file, only keys and positions.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthFileError {
    /// Not JSON.
    #[error("it is not JSON (line {line}, column {column})")]
    Json {
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
    },
    /// A member with another form.
    #[error("{key} {problem}")]
    Key {
        /// The member.
        key: String,
        /// What is wrong with it.
        problem: &'static str,
    },
}

impl AuthFile {
    /// Parse a file.
    ///
    /// # Errors
    /// When it is not a JSON object.
    pub fn parse(bytes: &[u8]) -> Result<AuthFile, AuthFileError> {
        // An empty file is what some tools leave behind for no credentials.
        if bytes.trim_ascii().is_empty() {
            return Ok(AuthFile { members: Map::new() });
        }
        match foreign_json::read(bytes) {
            Ok(Value::Object(members)) => Ok(AuthFile { members }),
            Ok(_) => Err(AuthFileError::Json { line: 1, column: 1 }),
            Err(foreign_json::JsonError::Syntax(error)) => {
                Err(AuthFileError::Json { line: error.line(), column: error.column() })
            }
            Err(foreign_json::JsonError::TooMany) => Err(AuthFileError::Json { line: 1, column: 1 }),
        }
    }

    /// What to try for a repository, in this order: the helper of its host, an entry with a credential, the helper for
    /// all.
    ///
    /// # Errors
    /// When a member that is for the repository has another form.
    pub fn entries(&self, repository: &Repository) -> Result<Vec<Entry>, AuthFileError> {
        let mut entries = Vec::new();
        entries.extend(self.host_helper(&repository.host)?);
        entries.extend(self.stored(repository)?);
        if let Some(value) = self.members.get("credsStore") {
            let name = text("credsStore", value)?;
            let server = if repository.host == DOCKER_HUB { HUB_KEY.into() } else { repository.host.clone() };
            let place = "credsStore".to_string();
            if !name.is_empty() {
                entries.push(Entry::Helper { name: name.into(), server, place, is_general: true });
            }
        }
        Ok(entries)
    }

    fn host_helper(&self, host: &str) -> Result<Option<Entry>, AuthFileError> {
        let Some(helpers) = self.object("credHelpers")? else { return Ok(None) };
        let Some((key, value)) = helpers.iter().find(|(key, _)| is_key_of_host(key, host)) else {
            return Ok(None);
        };
        let place = place("credHelpers", key);
        let name = text(&place, value)?.to_string();
        // Docker asks with the key, and podman too.
        let entry = Entry::Helper { name, server: key.clone(), place, is_general: false };
        Ok(Some(entry))
    }

    /// The entry of `auths` for the repository, or the nearest one above it.
    fn stored(&self, repository: &Repository) -> Result<Option<Entry>, AuthFileError> {
        let Some(auths) = self.object("auths")? else { return Ok(None) };
        let whole = repository.to_string();
        let mut prefixes = vec![whole.as_str()];
        while let Some((above, _)) = prefixes[prefixes.len() - 1].rsplit_once('/') {
            prefixes.push(above);
        }
        let exact = prefixes.iter().find_map(|prefix| auths.get_key_value(*prefix));
        let found = exact.or_else(|| auths.iter().find(|(key, _)| is_key_of_host(key, &repository.host)));
        let Some((key, value)) = found else { return Ok(None) };
        let place = place("auths", key);
        let credential = credential(&place, value)?;
        Ok(credential.map(|credential| Entry::Credential(credential, place)))
    }

    fn object(&self, name: &'static str) -> Result<Option<&Map<String, Value>>, AuthFileError> {
        match self.members.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Object(members)) => Ok(Some(members)),
            Some(_) => Err(wrong(name, "is not an object")),
        }
    }
}

/// The credential of an entry; `None` for an empty one, which Docker writes if a helper has the password.
fn credential(place: &str, value: &Value) -> Result<Option<Credential>, AuthFileError> {
    let Value::Object(entry) = value else { return Err(wrong(place, "is not an object")) };
    let member = |name: &str| match entry.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => {
            text(&format!("{place}.{name}"), value).map(|text| Some(text).filter(|text| !text.is_empty()))
        }
    };
    if let Some(token) = member("identitytoken")? {
        return Ok(Some(Credential::IdentityToken(Secret::new(token))));
    }
    if let Some(token) = member("registrytoken")? {
        return Ok(Some(Credential::RegistryToken(Secret::new(token))));
    }
    let login = |username: &str, password: &str| {
        Some(Credential::Login(Login { username: username.into(), password: Secret::new(password) }))
    };
    if let Some(encoded) = member("auth")? {
        let broken = || wrong(format!("{place}.auth"), "is not the base64 of USER:PASSWORD");
        let decoded = STANDARD.decode(encoded).map_err(|_| broken())?;
        let decoded = String::from_utf8(decoded).map_err(|_| broken())?;
        let (username, password) = decoded.split_once(':').ok_or_else(broken)?;
        // Old versions of Docker padded with NUL. Source: docker/cli, `decodeAuth`.
        return Ok(login(username, password.trim_matches('\0')));
    }
    Ok(match (member("username")?, member("password")?) {
        (Some(username), Some(password)) => login(username, password),
        _ => None,
    })
}

/// Whether a key means this host, however it is written: `host`, `https://host`, `https://host/v1/`.
fn is_key_of_host(key: &str, host: &str) -> bool {
    let bare = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://"));
    // Without a scheme, a path belongs to the key: `host/path` is not for all of the host.
    let name = match bare {
        Some(rest) => rest.split('/').next().unwrap_or_default(),
        None => key.trim_end_matches('/'),
    };
    let name = name.strip_suffix("/v1").or_else(|| name.strip_suffix("/v2")).unwrap_or(name);
    name.eq_ignore_ascii_case(host) || (host == DOCKER_HUB && HUB_HOSTS.contains(&name))
}

fn place(member: &str, key: &str) -> String {
    format!("{member}.{key:?}")
}

fn text<'a>(key: &str, value: &'a Value) -> Result<&'a str, AuthFileError> {
    value.as_str().ok_or_else(|| wrong(key, "is not a text"))
}

fn wrong(key: impl Into<String>, problem: &'static str) -> AuthFileError {
    AuthFileError::Key { key: key.into(), problem }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a file has for a repository, each as one word.
    fn entries(file: &str, repository: &str) -> Result<Vec<String>, String> {
        let file = AuthFile::parse(file.as_bytes()).map_err(|error| error.to_string())?;
        let entries = file.entries(&repository.parse().unwrap()).map_err(|error| error.to_string())?;
        Ok(entries.into_iter().map(shown).collect())
    }

    fn shown(entry: Entry) -> String {
        match entry {
            Entry::Credential(Credential::Login(login), place) => {
                format!("{}:{} in {place}", login.username, login.password.reveal())
            }
            Entry::Credential(Credential::IdentityToken(token), place) => {
                format!("identity {} in {place}", token.reveal())
            }
            Entry::Credential(Credential::RegistryToken(token), place) => {
                format!("token {} in {place}", token.reveal())
            }
            Entry::Helper { name, server, place, is_general } => {
                format!("ask {name} for {server} by {place}{}", if is_general { ", general" } else { "" })
            }
        }
    }

    // me:pw, me:p:w, hub:pw
    const AUTHS: &str = r#"{"auths": {
        "ghcr.io": {"auth": "bWU6cHc="},
        "https://slash.example/": {"auth": "bWU6cDp3"},
        "https://v1.example/v1/": {"auth": "bWU6cHc="},
        "https://index.docker.io/v1/": {"auth": "aHViOnB3"},
        "quay.io/team": {"username": "robot", "password": "team"},
        "quay.io/team/app": {"username": "robot", "password": "app"},
        "quay.io": {"username": "robot", "password": "all"},
        "path.example/only": {"auth": "bWU6cHc="},
        "acr.example": {"auth": "bWU6", "identitytoken": "it"},
        "token.example": {"registrytoken": "rt"},
        "empty.example": {},
        "nul.example": {"auth": "bWU6cHcA"},
        "LOCALHOST:5000": {"auth": "bWU6cHc="}
    }}"#;

    #[test]
    fn keys_are_matched_however_they_are_written() {
        for (repository, want) in [
            ("ghcr.io/a/b", Some("me:pw in auths.\"ghcr.io\"")),
            ("slash.example/a", Some("me:p:w in auths.\"https://slash.example/\"")),
            ("v1.example/a", Some("me:pw in auths.\"https://v1.example/v1/\"")),
            ("python:3", Some("hub:pw in auths.\"https://index.docker.io/v1/\"")),
            ("quay.io/team/app", Some("robot:app in auths.\"quay.io/team/app\"")),
            ("quay.io/team/app/x", Some("robot:app in auths.\"quay.io/team/app\"")),
            ("quay.io/team/other", Some("robot:team in auths.\"quay.io/team\"")),
            ("quay.io/teams", Some("robot:all in auths.\"quay.io\"")),
            ("path.example/only/x", Some("me:pw in auths.\"path.example/only\"")),
            ("path.example/other", None),
            ("acr.example/a", Some("identity it in auths.\"acr.example\"")),
            ("token.example/a", Some("token rt in auths.\"token.example\"")),
            ("empty.example/a", None),
            ("nul.example/a", Some("me:pw in auths.\"nul.example\"")),
            ("localhost:5000/a", Some("me:pw in auths.\"LOCALHOST:5000\"")),
            ("other.example/a", None),
        ] {
            let repository = repository.strip_suffix(":3").unwrap_or(repository);
            let want: Vec<String> = want.into_iter().map(String::from).collect();
            assert_eq!(entries(AUTHS, repository), Ok(want), "{repository}");
        }
    }

    #[test]
    fn helpers_of_a_host_come_first_and_those_for_all_last() {
        let file = r#"{"credHelpers": {"ghcr.io": "gh"}, "credsStore": "desktop", "auths": {"ghcr.io": {"auth": "bWU6cHc="}}}"#;
        assert_eq!(
            entries(file, "ghcr.io/a").unwrap(),
            [
                "ask gh for ghcr.io by credHelpers.\"ghcr.io\"",
                "me:pw in auths.\"ghcr.io\"",
                "ask desktop for ghcr.io by credsStore, general"
            ]
        );
        assert_eq!(
            entries(file, "python").unwrap(),
            ["ask desktop for https://index.docker.io/v1/ by credsStore, general"]
        );
    }

    #[test]
    fn a_broken_file_is_described_by_key_and_never_by_value() {
        for (file, want) in [
            ("{\n\"auths\": hunter2}", "it is not JSON (line 2, column 10)"),
            ("[\"hunter2\"]", "it is not JSON (line 1, column 1)"),
            (r#"{"auths": "hunter2"}"#, "auths is not an object"),
            (r#"{"auths": {"a.b": "hunter2"}}"#, "auths.\"a.b\" is not an object"),
            (
                r#"{"auths": {"a.b": {"auth": "hunter2"}}}"#,
                "auths.\"a.b\".auth is not the base64 of USER:PASSWORD",
            ),
            (
                r#"{"auths": {"a.b": {"auth": "aHVudGVyMg=="}}}"#,
                "auths.\"a.b\".auth is not the base64 of USER:PASSWORD",
            ),
            (r#"{"auths": {"a.b": {"password": ["hunter2"]}}}"#, "auths.\"a.b\".password is not a text"),
            (r#"{"credHelpers": {"a.b": ["x"]}}"#, "credHelpers.\"a.b\" is not a text"),
            (r#"{"credsStore": 1}"#, "credsStore is not a text"),
        ] {
            assert_eq!(entries(file, "a.b/c").unwrap_err(), want);
        }
        assert_eq!(entries("", "a.b/c"), Ok(vec![]));
        assert_eq!(entries(r#"{"auths": null, "detachKeys": "x"}"#, "a.b/c"), Ok(vec![]));
        let other = r#"{"auths": {"x.y": {"auth": "hunter2"}}}"#;
        assert_eq!(entries(other, "a.b/c"), Ok(vec![]), "an entry of another host is not looked at");
    }
}
