//! Finds the user name and password for a download.
//!
//! Files are often not below their index's URL, so credentials are matched by realm (scheme, host and port), as in uv.
//! If one realm has several, those of the index with the longest common path win. Source: uv's documentation, "HTTP
//! credentials" and "Package indexes".

use super::login::Login;
use super::netrc::Netrc;
use super::{SafeUrl, Secret};
use crate::env_vars;
use crate::host::Host;
use percent_encoding::percent_decode_str;
use url::Url;

/// A package index that may have credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexUrl {
    /// Its name, for `UV_INDEX_NAME_USERNAME` and `UV_INDEX_NAME_PASSWORD`.
    pub name: Option<String>,
    /// Its URL, perhaps with user information.
    pub url: String,
}

/// All credentials of this run for package indexes.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    /// Index URLs without user information, and their logins.
    logins: Vec<(Url, Login)>,
    netrc: Netrc,
}

/// Variables with one or several index URLs, in order of priority. uv's may be written `NAME=URL`.
const INDEX_VARIABLES: [&str; 8] = [
    env_vars::UV_INDEX,
    env_vars::UV_DEFAULT_INDEX,
    env_vars::UV_INDEX_URL,
    env_vars::UV_EXTRA_INDEX_URL,
    env_vars::UV_FIND_LINKS,
    env_vars::PIP_INDEX_URL,
    env_vars::PIP_EXTRA_INDEX_URL,
    env_vars::PIP_FIND_LINKS,
];

impl Credentials {
    /// Collect from `indexes` (the project's settings), the environment, and a netrc file.
    ///
    /// A file that cannot be read leads to a warning and is ignored, as in pip.
    pub fn new(host: &Host, indexes: &[IndexUrl]) -> Credentials {
        let named_by_environment = INDEX_VARIABLES.iter().filter_map(|variable| host.var(variable));
        let from_environment = named_by_environment.flat_map(split_indexes);
        let logins =
            indexes.iter().cloned().chain(from_environment).filter_map(|index| index_login(host, &index));
        Credentials { logins: logins.collect(), netrc: read_netrc(host) }
    }

    /// The login for a URL: from its own user information, an index of its realm, or the netrc file.
    pub fn for_url(&self, url: &Url) -> Option<Login> {
        let (url, own) = split(url);
        let complete = |login: &Login| !login.password.reveal().is_empty();
        let index = self
            .logins
            .iter()
            // A login is sent only to the scheme, host and port that it was given for.
            .filter(|(index, _)| index.origin() == url.origin())
            .map(|(index, login)| (shared_segments(index, &url), login))
            .rev() // `max_by_key` returns the last of equals, and the first has priority
            .max_by_key(|(shared, _)| *shared)
            .map(|(_, login)| login.clone());
        let own = own.or(index);
        if own.as_ref().is_some_and(complete) {
            return own;
        }
        let netrc = url.host_str().and_then(|name| self.netrc.login(name));
        // A user name in the URL chooses the entry. A password for another user would not fit.
        let netrc = netrc.filter(|login| own.as_ref().is_none_or(|own| own.username == login.username));
        netrc.cloned().or(own)
    }
}

/// `url` without user information, and that user information, percent-decoded.
pub fn split(url: &Url) -> (Url, Option<Login>) {
    let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    if url.username().is_empty() && url.password().is_none() {
        return (url.clone(), None);
    }
    let login = Login {
        username: decode(url.username()),
        password: Secret::new(decode(url.password().unwrap_or_default())),
    };
    let mut bare = url.clone();
    // Both fail only for URLs that cannot have user information.
    let _ = bare.set_username("");
    let _ = bare.set_password(None);
    (bare, Some(login))
}

/// The index URLs in a variable, which may be written `NAME=URL`.
pub fn split_indexes(value: &str) -> impl Iterator<Item = IndexUrl> + '_ {
    value.split([' ', '\t', '\n', ',']).filter(|text| !text.is_empty()).map(|text| {
        match text.split_once('=') {
            Some((name, url)) if !name.contains([':', '/']) => {
                IndexUrl { name: Some(name.into()), url: url.into() }
            }
            _ => IndexUrl { name: None, url: text.into() },
        }
    })
}

/// The login of an index: from its URL, or from the variables that uv reads for its name.
fn index_login(host: &Host, index: &IndexUrl) -> Option<(Url, Login)> {
    let (url, login) = split(&Url::parse(&index.url).ok()?);
    let login = login.or_else(|| {
        let name = index.name.as_ref()?.to_uppercase().replace(|c: char| !c.is_ascii_alphanumeric(), "_");
        let variable = |part: &str| host.var(&format!("{}{name}_{part}", env_vars::UV_INDEX_PREFIX));
        let (username, password) = (variable("USERNAME"), variable("PASSWORD"));
        username.or(password)?;
        Some(Login {
            username: username.unwrap_or_default().into(),
            password: Secret::new(password.unwrap_or_default()),
        })
    })?;
    Some((url, login))
}

/// How many leading path segments two URLs share.
fn shared_segments(a: &Url, b: &Url) -> usize {
    let segments = |url: &Url| -> Vec<String> { url.path().split('/').skip(1).map(String::from).collect() };
    segments(a).iter().zip(&segments(b)).take_while(|(a, b)| a == b).count()
}

fn read_netrc(host: &Host) -> Netrc {
    let named = host.path_var(env_vars::NETRC).map(|path| host.absolute(&path));
    let is_named = named.is_some();
    let Some(path) = named.or_else(|| host.path_var(env_vars::HOME).map(|home| home.join(".netrc"))) else {
        return Netrc::default();
    };
    let parsed = match std::fs::read_to_string(&path) {
        Ok(text) => Netrc::parse(&text).map_err(|error| error.to_string()),
        // `~/.netrc` is optional. A file that `NETRC` names is not.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !is_named => return Netrc::default(),
        Err(error) => Err(error.to_string()),
    };
    parsed.unwrap_or_else(|problem| {
        host.say(&format!("warning: the credentials in `{}` are ignored: {problem}", path.display()));
        Netrc::default()
    })
}

/// Never shows user information.
impl std::fmt::Display for IndexUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        SafeUrl::parse(&self.url).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::tests::host;

    fn pair(credentials: &Credentials, url: &str) -> Option<(String, String)> {
        let login = credentials.for_url(&Url::parse(url).unwrap())?;
        Some((login.username, login.password.reveal().to_string()))
    }

    #[test]
    fn credentials_follow_the_realm_and_the_nearest_index() {
        let dir = tempfile::tempdir().unwrap();
        let env = [
            ("UV_INDEX", "mine=https://named.example/simple two=https://u2:p2@two.example/simple"),
            ("UV_INDEX_MINE_USERNAME", "named"),
            ("UV_INDEX_MINE_PASSWORD", "secret"),
            ("PIP_EXTRA_INDEX_URL", "https://pip:p%40ss@pip.example:8443/simple https://x:y@pip.example/"),
            ("PIP_INDEX_URL", "https://first:1@same.example/a/simple"),
            ("UV_INDEX_TEAM_PKGS_PASSWORD", "only"),
        ];
        let settings = [
            IndexUrl { name: None, url: "https://b:2@same.example/b/simple".into() },
            IndexUrl { name: Some("team-pkgs".into()), url: "https://team.example/simple".into() },
        ];
        let credentials = Credentials::new(&host(dir.path(), &env), &settings);
        for (url, want) in [
            ("https://named.example/files/x.whl", Some(("named", "secret"))),
            ("https://two.example/x.whl", Some(("u2", "p2"))),
            ("https://pip.example:8443/x.whl", Some(("pip", "p@ss"))),
            ("https://pip.example/x.whl", Some(("x", "y"))),
            ("http://pip.example/x.whl", None),
            ("https://pip.example:9/x.whl", None),
            ("https://same.example/a/files/x.whl", Some(("first", "1"))),
            ("https://same.example/b/files/x.whl", Some(("b", "2"))),
            ("https://same.example/files/x.whl", Some(("b", "2"))),
            ("https://team.example/files/x.whl", Some(("", "only"))),
            ("https://own:pw@same.example/files/x.whl", Some(("own", "pw"))),
            ("https://files.example/x.whl", None),
        ] {
            let want = want.map(|(user, password): (&str, &str)| (user.to_string(), password.to_string()));
            assert_eq!(pair(&credentials, url), want, "{url}");
        }
    }

    #[test]
    fn netrc_completes_a_url_with_the_same_user_name_or_none() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(".netrc"), "machine i.example login me password pw").unwrap();
        let home = dir.path().to_str().unwrap();
        let credentials = Credentials::new(&host(dir.path(), &[("HOME", home)]), &[]);
        for (url, want) in [
            ("https://i.example/x", Some(("me", "pw"))),
            ("https://me@i.example/x", Some(("me", "pw"))),
            ("https://you@i.example/x", Some(("you", ""))),
            ("https://you:own@i.example/x", Some(("you", "own"))),
            ("https://j.example/x", None),
        ] {
            let want = want.map(|(user, password): (&str, &str)| (user.to_string(), password.to_string()));
            assert_eq!(pair(&credentials, url), want, "{url}");
        }
    }

    #[test]
    fn a_login_is_sent_as_rfc_7617_says() {
        let login = Login { username: "Aladdin".into(), password: Secret::new("open sesame") };
        assert_eq!(login.header().reveal(), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
    }
}
