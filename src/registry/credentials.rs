//! Finds the credentials for a repository, in the order of Docker and podman.

use super::auth_file::{AuthFile, AuthFileError, Entry};
use super::credential::Credential;
use super::helper::{self, HelperError, HelperRunner};
use crate::bounded_file;
use crate::env_vars;
use crate::error::{Explain, Fault};
use crate::host::Host;
use crate::image::Repository;
use crate::net::Secret;
use crate::net::login::Login;
use crate::threads::lock;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::{Arc, Mutex};

/// Files of credentials are small.
const FILE_LIMIT_BYTES: u64 = 4 << 20;

/// The outcome of a search.
#[derive(Debug, Clone, Default)]
pub struct Lookup {
    /// The credential, and where it was found, in words.
    pub found: Option<(Credential, String)>,
    /// The places that were looked at, in words.
    pub looked: Vec<String>,
}

/// All credentials of this run for registries.
pub struct Credentials {
    host: Host,
    helper: Arc<HelperRunner>,
    /// Hosts that the pair in the environment is for.
    destinations: BTreeSet<String>,
    /// Found before any file: by host.
    given: BTreeMap<String, (Credential, String)>,
    /// Used if nothing else is found: by host.
    fallbacks: BTreeMap<String, (Login, String)>,
    places: Vec<(String, PathBuf)>,
    /// Helpers take up to seconds, so each is asked once per server.
    asked: Mutex<BTreeMap<(String, String), Answer>>,
}

type Answer = Result<Option<Credential>, Arc<HelperError>>;

/// Credentials that exist and cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// A file that cannot be read.
    #[error("could not read the registry credentials in `{path}`")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file with an error.
    #[error("could not use the registry credentials in `{path}`")]
    File {
        /// The file.
        path: PathBuf,
        /// Which part.
        #[source]
        source: AuthFileError,
    },
    /// A helper that the file names for this host.
    #[error("could not get the credentials for `{server}` that {place} in `{path}` names")]
    Helper {
        /// The registry.
        server: String,
        /// The key in the file.
        place: String,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Arc<HelperError>,
    },
    /// Half of the pair.
    #[error("{set} is set and {missing} is not")]
    Half {
        /// The variable that is set.
        set: &'static str,
        /// The variable that is not.
        missing: &'static str,
    },
}

impl Explain for CredentialsError {
    fn fault(&self) -> Fault {
        match self {
            CredentialsError::Helper { .. } => Fault::Tool,
            _ => Fault::Usage,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            CredentialsError::Read { .. } => "check its permissions".into(),
            CredentialsError::File { .. } => {
                "repair or remove it; `docker login HOST` writes it again".into()
            }
            CredentialsError::Helper { .. } => format!(
                "install the helper or log in with it; {} and {} are used instead if they are set",
                env_vars::PEXPRESS_REGISTRY_USERNAME,
                env_vars::PEXPRESS_REGISTRY_PASSWORD
            ),
            CredentialsError::Half { missing, .. } => format!("set {missing} too"),
        })
    }
}

impl Credentials {
    /// Those in the environment and files of `host`. Nothing is read yet. `helper` runs credential helpers: a program,
    /// its subcommand, and its stdin.
    pub fn new(
        host: &Host,
        helper: impl Fn(&str, &str, &[u8]) -> io::Result<Output> + Send + Sync + 'static,
    ) -> Credentials {
        Credentials {
            host: host.clone(),
            helper: Arc::new(helper),
            destinations: BTreeSet::new(),
            given: BTreeMap::new(),
            fallbacks: BTreeMap::new(),
            places: places(host),
            asked: Mutex::default(),
        }
    }

    /// The pair in the environment is for the host of this repository.
    pub fn add_destination(&mut self, repository: &Repository) {
        self.destinations.insert(repository.host.clone());
    }

    /// A credential that the user asked for, for a host. Only the pair in the environment comes before it; `origin` says
    /// where it is from, in words.
    pub fn add_given(&mut self, registry: &str, credential: Credential, origin: &str) {
        self.given.insert(registry.to_string(), (credential, origin.to_string()));
    }

    /// A login for a host, if nothing else is found; `origin` says where it is from, in words.
    pub fn add_fallback(&mut self, registry: &str, login: Login, origin: &str) {
        self.fallbacks.insert(registry.to_string(), (login, origin.to_string()));
    }

    /// The credentials for a repository.
    ///
    /// # Errors
    /// When a file or a helper for this host is broken.
    pub fn find(&self, repository: &Repository) -> Result<Lookup, CredentialsError> {
        let mut lookup = Lookup::default();
        if self.destinations.contains(&repository.host) {
            let variables = format!(
                "{} and {}",
                env_vars::PEXPRESS_REGISTRY_USERNAME,
                env_vars::PEXPRESS_REGISTRY_PASSWORD
            );
            if let Some(login) = self.pair()? {
                lookup.found = Some((Credential::Login(login), variables));
                return Ok(lookup);
            }
            lookup.looked.push(variables);
        }
        if let Some(given) = self.given.get(&repository.host) {
            lookup.found = Some(given.clone());
            return Ok(lookup);
        }
        for (name, path) in &self.places {
            if let Some(found) = self.in_file(path, repository, &mut lookup)? {
                lookup.found = Some(found);
                return Ok(lookup);
            }
            lookup.looked.push(format!("`{}` ({name})", path.display()));
        }
        let fallback = self.fallbacks.get(&repository.host).cloned();
        lookup.found = fallback.map(|(login, origin)| (Credential::Login(login), origin));
        Ok(lookup)
    }

    fn pair(&self) -> Result<Option<Login>, CredentialsError> {
        let (user, password) = (env_vars::PEXPRESS_REGISTRY_USERNAME, env_vars::PEXPRESS_REGISTRY_PASSWORD);
        match (self.host.var(user), self.host.var(password)) {
            (None, None) => Ok(None),
            (Some(_), None) => Err(CredentialsError::Half { set: user, missing: password }),
            (None, Some(_)) => Err(CredentialsError::Half { set: password, missing: user }),
            (Some(username), Some(password)) => {
                Ok(Some(Login { username: username.trim().into(), password: Secret::new(password) }))
            }
        }
    }

    fn in_file(
        &self,
        path: &Path,
        repository: &Repository,
        lookup: &mut Lookup,
    ) -> Result<Option<(Credential, String)>, CredentialsError> {
        let bytes = match bounded_file::read(path, FILE_LIMIT_BYTES) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(CredentialsError::Read { path: path.to_path_buf(), source }),
        };
        let broken = |source| CredentialsError::File { path: path.to_path_buf(), source };
        let file = AuthFile::parse(&bytes).map_err(broken)?;
        for entry in file.entries(repository).map_err(broken)? {
            let (name, server, place, is_general) = match entry {
                Entry::Credential(credential, place) => {
                    return Ok(Some((credential, format!("{place} in `{}`", path.display()))));
                }
                Entry::Helper { name, server, place, is_general } => (name, server, place, is_general),
            };
            match self.ask(&name, &server) {
                Ok(Some(credential)) => {
                    let origin = format!("`docker-credential-{name}` ({place} in `{}`)", path.display());
                    return Ok(Some((credential, origin)));
                }
                Ok(None) => lookup.looked.push(format!("`docker-credential-{name}`")),
                // A store for everything, such as Docker Desktop's on a machine without it, must not stop a run that
                // needs no credentials. If the registry refuses, the error says it.
                Err(error) if is_general => {
                    lookup
                        .looked
                        .push(format!("`docker-credential-{name}`, which does not work ({})", whole(&error)));
                }
                Err(source) => {
                    let path = path.to_path_buf();
                    return Err(CredentialsError::Helper { server, place, path, source });
                }
            }
        }
        Ok(None)
    }

    fn ask(&self, name: &str, server: &str) -> Answer {
        // Held while it runs: a second thread waits for the answer and does not ask again.
        let mut asked = lock(&self.asked);
        let key = (name.to_string(), server.to_string());
        let run = || helper::ask(&*self.helper, name, server).map_err(Arc::new);
        asked.entry(key).or_insert_with(run).clone()
    }
}

/// An error and its cause in one line.
fn whole(error: &HelperError) -> String {
    let cause = std::error::Error::source(error);
    cause.map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
}

/// The files, in order, with what names each. Source of the order: containers-auth.json(5), docker/cli.
fn places(host: &Host) -> Vec<(String, PathBuf)> {
    let home = host.path_var(env_vars::HOME);
    let below = |variable: &str, rest: &str| {
        host.path_var(variable).map(|dir| (variable.to_string(), host.absolute(&dir).join(rest)))
    };
    let at_home = |rest: &str| home.as_ref().map(|home| ("the home directory".to_string(), home.join(rest)));
    let named = host
        .path_var(env_vars::REGISTRY_AUTH_FILE)
        .map(|path| (env_vars::REGISTRY_AUTH_FILE.to_string(), host.absolute(&path)));
    let config = below(env_vars::XDG_CONFIG_HOME, "containers/auth.json");
    let mut places: Vec<(String, PathBuf)> = [
        named,
        below(env_vars::XDG_RUNTIME_DIR, "containers/auth.json"),
        config.or_else(|| at_home(".config/containers/auth.json")),
        below(env_vars::DOCKER_CONFIG, "config.json"),
        at_home(".docker/config.json"),
    ]
    .into_iter()
    .flatten()
    .collect();
    let mut seen = BTreeSet::new();
    places.retain(|(_, path)| seen.insert(path.clone()));
    places
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::tests::host;

    fn nothing(program: &str, _: &str, _: &[u8]) -> io::Result<Output> {
        Err(io::Error::new(io::ErrorKind::NotFound, program.to_string()))
    }

    fn file(dir: &Path, name: &str, password: &str) {
        let path = dir.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let entry =
            format!(r#"{{"auths": {{"r.example": {{"username": "me", "password": "{password}"}}}}}}"#);
        std::fs::write(path, entry).unwrap();
    }

    fn found(credentials: &Credentials, repository: &str) -> Option<String> {
        let lookup = credentials.find(&repository.parse().unwrap()).unwrap();
        lookup.found.map(|(credential, origin)| match credential {
            Credential::Login(login) => format!("{} from {origin}", login.password.reveal()),
            Credential::IdentityToken(token) | Credential::RegistryToken(token) => {
                format!("{} from {origin}", token.reveal())
            }
        })
    }

    #[test]
    fn places_are_searched_in_the_order_of_podman_and_docker() {
        let dir = tempfile::tempdir().unwrap();
        let env = |rest: &[(&'static str, &'static str)]| {
            let vars = [
                ("HOME", "home"),
                ("DOCKER_CONFIG", "docker"),
                ("XDG_CONFIG_HOME", "config"),
                ("XDG_RUNTIME_DIR", "run"),
                ("REGISTRY_AUTH_FILE", "named.json"),
            ];
            let paths = vars.map(|(name, value)| (name, dir.path().join(value).display().to_string()));
            let mut all: Vec<(&str, String)> = paths.to_vec();
            all.extend(rest.iter().map(|(name, value)| (*name, value.to_string())));
            let all: Vec<(&str, &str)> = all.iter().map(|(name, value)| (*name, value.as_str())).collect();
            host(dir.path(), &all)
        };
        let credentials = Credentials::new(&env(&[]), nothing);
        assert_eq!(found(&credentials, "r.example/a"), None);
        assert_eq!(credentials.find(&"r.example/a".parse().unwrap()).unwrap().looked.len(), 5);
        for name in [
            "home/.docker/config.json",
            "docker/config.json",
            "config/containers/auth.json",
            "run/containers/auth.json",
            "named.json",
        ] {
            file(dir.path(), name, name);
            let want = format!("{name} from auths.\"r.example\" in `{}`", dir.path().join(name).display());
            assert_eq!(found(&credentials, "r.example/a"), Some(want));
        }
        let pair = [("PEXPRESS_REGISTRY_USERNAME", "u"), ("PEXPRESS_REGISTRY_PASSWORD", "pair")];
        let mut credentials = Credentials::new(&env(&pair), nothing);
        credentials.add_destination(&"other.example/a".parse().unwrap());
        assert!(found(&credentials, "r.example/a").unwrap().starts_with("named.json"), "not the destination");
        credentials.add_destination(&"r.example/a".parse().unwrap());
        assert_eq!(
            found(&credentials, "r.example/b").unwrap(),
            "pair from PEXPRESS_REGISTRY_USERNAME and PEXPRESS_REGISTRY_PASSWORD"
        );
    }

    #[test]
    fn half_of_the_pair_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let mut credentials =
            Credentials::new(&host(dir.path(), &[("PEXPRESS_REGISTRY_PASSWORD", "hunter2")]), nothing);
        let repository = "r.example/a".parse().unwrap();
        credentials.add_destination(&repository);
        let error = credentials.find(&repository).unwrap_err();
        insta::assert_snapshot!(crate::error::error_text(&error, false), @r"
        error: PEXPRESS_REGISTRY_PASSWORD is set and PEXPRESS_REGISTRY_USERNAME is not
        hint: set PEXPRESS_REGISTRY_USERNAME too
        ");
    }

    #[test]
    fn a_login_from_elsewhere_comes_before_the_files_or_after_them() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().display().to_string();
        let mut credentials = Credentials::new(&host(dir.path(), &[("HOME", &home)]), nothing);
        let login = Login { username: "AWS".into(), password: Secret::new("given") };
        credentials.add_fallback("r.example", login, "Dagster+");
        assert_eq!(found(&credentials, "r.example/a").unwrap(), "given from Dagster+");
        assert_eq!(found(&credentials, "other.example/a"), None);
        file(dir.path(), ".docker/config.json", "own");
        assert!(found(&credentials, "r.example/a").unwrap().starts_with("own from"));
        // What the user asked for comes before any file.
        let token = Credential::IdentityToken(Secret::new("asked"));
        credentials.add_given("r.example", token, "the identity of this job");
        assert_eq!(found(&credentials, "r.example/a").unwrap(), "asked from the identity of this job");
    }

    #[test]
    fn the_helper_of_the_host_must_work_and_the_one_for_all_need_not() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().display().to_string();
        let credentials = Credentials::new(&host(dir.path(), &[("HOME", &home)]), nothing);
        let repository = "r.example/a".parse().unwrap();
        let config = dir.path().join(".docker/config.json");
        std::fs::create_dir(dir.path().join(".docker")).unwrap();
        std::fs::write(&config, r#"{"credsStore": "desktop"}"#).unwrap();
        let lookup = credentials.find(&repository).unwrap();
        assert_eq!(lookup.found, None);
        assert_eq!(
            lookup.looked[1],
            "`docker-credential-desktop`, which does not work (could not run `docker-credential-desktop`: docker-credential-desktop)"
        );
        std::fs::write(&config, r#"{"credHelpers": {"r.example": "ecr-login"}}"#).unwrap();
        let error = credentials.find(&repository).unwrap_err();
        let text = crate::error::error_text(&error, false).replace(&home, "[HOME]");
        insta::assert_snapshot!(text, @r#"
        error: could not get the credentials for `r.example` that credHelpers."r.example" in `[HOME]/.docker/config.json` names
          caused by: could not run `docker-credential-ecr-login`
          caused by: docker-credential-ecr-login
        hint: install the helper or log in with it; PEXPRESS_REGISTRY_USERNAME and PEXPRESS_REGISTRY_PASSWORD are used instead if they are set
        "#);
        std::fs::write(&config, r#"{"auths": {"r.example": {"auth": "hunter2"}}}"#).unwrap();
        let error = credentials.find(&repository).unwrap_err();
        let text = crate::error::error_text(&error, false).replace(&home, "[HOME]");
        insta::assert_snapshot!(text, @r#"
        error: could not use the registry credentials in `[HOME]/.docker/config.json`
          caused by: auths."r.example".auth is not the base64 of USER:PASSWORD
        hint: repair or remove it; `docker login HOST` writes it again
        "#);
    }
}
