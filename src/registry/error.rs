//! What can go wrong with a registry, and what to do about it.

use super::checked::ContentError;
use super::credentials::CredentialsError;
use super::location::LocationError;
use crate::env_vars;
use crate::error::{Explain, Fault};
use crate::image::config::ConfigError;
use crate::image::layout::MADE_WRONG;
use crate::image::manifest::ManifestError;
use crate::image::{Digest, Platform, Reference, Repository, Tag};
use crate::net::{self, SafeUrl};
use std::io;

/// A registry did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// No usable answer.
    #[error("could not {doing}{}", after(*attempts))]
    Net {
        /// What was asked for.
        doing: String,
        /// Number of attempts, including the first.
        attempts: u32,
        /// Why it failed.
        #[source]
        source: net::Error,
    },
    /// An answer with a status that says no.
    #[error("could not {doing}{}: {host} answered {status}{}", after(*attempts), of(said))]
    Refused {
        /// What was asked for.
        doing: String,
        /// The registry.
        host: String,
        /// HTTP status.
        status: u16,
        /// The registry's own words, made safe to print.
        said: String,
        /// Number of attempts, including the first.
        attempts: u32,
    },
    /// 401 or 403.
    #[error("could not {doing}: {host} answered {status}{}", of(said))]
    Denied {
        /// What was asked for.
        doing: String,
        /// The repository.
        repository: Repository,
        /// The registry, or the server that gives its tokens.
        host: String,
        /// HTTP status.
        status: u16,
        /// The registry's own words, made safe to print.
        said: String,
        /// With which credentials.
        tried: Tried,
    },
    /// A challenge that cannot be met.
    #[error("{host} asks for credentials in a way that is not supported{}", of(offered))]
    Challenge {
        /// The registry.
        host: String,
        /// The schemes that it offers.
        offered: String,
    },
    /// A token server to which no password is sent.
    #[error("{host} names `{realm}` as its token server, which is not encrypted")]
    Realm {
        /// The registry.
        host: String,
        /// The token server.
        realm: SafeUrl,
    },
    /// An answer of a token server without a token.
    #[error("`{realm}`, the token server of {host}, gave an unusable answer: {problem}")]
    Token {
        /// The registry.
        host: String,
        /// The token server.
        realm: SafeUrl,
        /// What is wrong.
        problem: &'static str,
    },
    /// Credentials that exist and cannot be used.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// There is no such image.
    #[error("there is no image `{reference}`")]
    Absent {
        /// Its name.
        reference: Reference,
    },
    /// An index that leads to others.
    #[error("`{reference}` is an index that leads to others, and no image was found {depth} levels deep")]
    Nested {
        /// Its name.
        reference: Reference,
        /// How far it was followed.
        depth: usize,
    },
    /// A manifest that cannot be read.
    #[error("`{reference}` cannot be used as an image")]
    Manifest {
        /// Its name.
        reference: Reference,
        /// What is wrong.
        #[source]
        source: ManifestError,
    },
    /// A config that cannot be read.
    #[error("the config {digest} of `{repository}` cannot be used")]
    Config {
        /// Where it is from.
        repository: Repository,
        /// Its digest.
        digest: Digest,
        /// What is wrong.
        #[source]
        source: ConfigError,
    },
    /// An index without the platform.
    #[error("`{reference}` has no image for {want}; it has {}", list(have, "none that names its platform"))]
    Platform {
        /// Its name.
        reference: Reference,
        /// Platform asked for.
        want: Platform,
        /// Platforms that there are.
        have: Vec<String>,
    },
    /// Content or an answer with another digest.
    #[error("{host} gave {what} the digest {got}, and it has {want}")]
    Digest {
        /// The registry.
        host: String,
        /// Of what.
        what: String,
        /// What it should be.
        want: Digest,
        /// What the registry said, made safe to print.
        got: String,
    },
    /// Content that could not be read, or is not what its descriptor says.
    #[error("could not read the content of {digest}")]
    Content {
        /// Its digest.
        digest: Digest,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Downloaded content that is not what its descriptor says.
    #[error("{digest} of `{repository}` is damaged")]
    Damaged {
        /// Its digest.
        digest: Digest,
        /// Where it is from.
        repository: Repository,
        /// How.
        #[source]
        source: ContentError,
    },
    /// An upload that is to go on somewhere else.
    #[error("could not {doing}")]
    Location {
        /// What was asked for.
        doing: String,
        /// Where.
        #[source]
        source: LocationError,
    },
    /// An answer that lacks something.
    #[error("could not {doing}: the answer of {host} {problem}")]
    Answer {
        /// What was asked for.
        doing: String,
        /// The registry.
        host: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Content that an image there names, and that is not there.
    #[error("`{repository}` lacks {digest}, which an image in it names")]
    Gone {
        /// Its digest.
        digest: Digest,
        /// The repository.
        repository: Repository,
    },
    /// A content tag that means something else.
    #[error("the tag `{tag}` of `{repository}` is taken by {digest}, and tags are not moved")]
    TagTaken {
        /// The repository.
        repository: Repository,
        /// The tag.
        tag: Tag,
        /// What it means.
        digest: Digest,
    },
}

/// With which credentials a registry was asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tried {
    /// Where they were found, in words; `None` if nowhere.
    pub origin: Option<String>,
    /// The places that were looked at, in words.
    pub looked: Vec<String>,
}

fn after(attempts: u32) -> String {
    if attempts > 1 { format!(" after {attempts} attempts") } else { String::new() }
}

/// ` (SAID)` if anything was said.
fn of(said: &str) -> String {
    if said.is_empty() { String::new() } else { format!(" ({said})") }
}

fn list(items: &[String], none: &str) -> String {
    if items.is_empty() { none.to_string() } else { items.join(", ") }
}

/// Whether it is a private registry of AWS, where repositories are not made by pushing. Source: Amazon ECR user guide,
/// "Private registry endpoints".
fn is_ecr(host: &str) -> bool {
    let name = host.split(':').next().unwrap_or_default();
    name.contains(".dkr.ecr") && (name.ends_with(".amazonaws.com") || name.ends_with(".amazonaws.com.cn"))
}

impl Explain for RegistryError {
    fn fault(&self) -> Fault {
        match self {
            RegistryError::Net { source, .. } => source.fault(),
            RegistryError::Credentials(error) => error.fault(),
            RegistryError::Absent { .. }
            | RegistryError::Nested { .. }
            | RegistryError::Platform { .. }
            | RegistryError::Manifest { .. }
            | RegistryError::Config { .. } => Fault::Project,
            // Content of ours that changed under us, or a disk that fails.
            RegistryError::Content { .. } => Fault::Tool,
            _ => Fault::Remote,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            // The hint of the network is about package indexes where it is about a status, which is not one of these.
            RegistryError::Net { source, .. } => source.hint(),
            RegistryError::Credentials(error) => error.hint(),
            RegistryError::Denied { repository, tried, .. } => Some(credentials_hint(repository, tried)),
            RegistryError::Refused { status, said, host, .. } => refusal_hint(*status, said, host),
            RegistryError::Absent { reference } => Some(format!(
                "check the name and the tag; the registry asked is {}",
                reference.repository.host
            )),
            RegistryError::Platform { .. } => {
                Some("choose a base image that has this platform, or the platform with --image-platform".into())
            }
            RegistryError::Nested { .. } | RegistryError::Manifest { .. } | RegistryError::Config { .. } => {
                Some(MADE_WRONG.into())
            }
            RegistryError::Realm { .. } | RegistryError::Challenge { .. } => {
                Some("check the host of the image: this may not be a registry, or a proxy answers for it".into())
            }
            RegistryError::Digest { .. } | RegistryError::Damaged { .. } => Some(
                "nothing was tagged; try again, and if it stays, the registry or a proxy before it changes content"
                    .into(),
            ),
            RegistryError::TagTaken { .. } => {
                Some("this tag follows from the content, so something else was pushed under it: remove it".into())
            }
            _ => None,
        }
    }
}

fn credentials_hint(repository: &Repository, tried: &Tried) -> String {
    let host = &repository.host;
    let set =
        format!("set {} and {}", env_vars::PEXPRESS_REGISTRY_USERNAME, env_vars::PEXPRESS_REGISTRY_PASSWORD);
    match &tried.origin {
        Some(origin) => format!(
            "the credentials are those of {origin}: check that they are valid, and that `{}` exists and may be used with them",
            repository.path
        ),
        None if tried.looked.is_empty() => {
            format!("no credentials for {host} were found: run `docker login {host}`, or {set}")
        }
        None => format!(
            "no credentials for {host} were found in {}: run `docker login {host}`, or {set} for the registry that is pushed to",
            tried.looked.join(", ")
        ),
    }
}

fn refusal_hint(status: u16, said: &str, host: &str) -> Option<String> {
    let has = |code: &str| said.contains(code);
    Some(match status {
        404 if has("NAME_UNKNOWN") && is_ecr(host) => {
            "create the repository first: `aws ecr create-repository --repository-name NAME`, or let Amazon ECR do it with a repository creation template".into()
        }
        404 if has("NAME_UNKNOWN") => "create the repository, or check its name".into(),
        404 => format!("check the name of the image: {host} may not be a registry, or has no such repository"),
        413 => "a proxy before the registry limits the size of requests: allow at least 4 MiB there (nginx: `client_max_body_size`)".into(),
        405 | 416 => "the content is too large for one request, and the registry does not take it in chunks either: raise the limit there, or of a proxy before it".into(),
        429 => "the registry limits how much is asked: try again later, or log in to have a higher limit".into(),
        400 | 409 | 412 if ["IMMUTABLE", "ImageTagAlreadyExists", "immutable"].iter().any(|word| has(word)) => {
            "the repository does not let tags be moved".into()
        }
        500.. => "the registry has a problem of its own: run the job again".into(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::error_text;

    fn refused(host: &str, status: u16, said: &str) -> RegistryError {
        let (doing, host, said) = ("push a layer".to_string(), host.to_string(), said.to_string());
        RegistryError::Refused { doing, host, status, said, attempts: 1 }
    }

    #[test]
    fn a_missing_repository_of_ecr_is_to_be_created() {
        let error = refused(
            "123.dkr.ecr.us-west-2.amazonaws.com",
            404,
            "NAME_UNKNOWN: The repository with name 'a' does not exist",
        );
        insta::assert_snapshot!(error_text(&error, false), @r"
        error: could not push a layer: 123.dkr.ecr.us-west-2.amazonaws.com answered 404 (NAME_UNKNOWN: The repository with name 'a' does not exist)
        hint: create the repository first: `aws ecr create-repository --repository-name NAME`, or let Amazon ECR do it with a repository creation template
        ");
    }

    #[test]
    fn hints_follow_status_and_code() {
        for (host, status, said, want) in [
            ("r.example", 404, "NAME_UNKNOWN: x", "create the repository, or check its name"),
            (
                "r.example",
                400,
                "TAG_INVALID: The image tag 'v1' already exists, ImageTagAlreadyExists",
                "the repository does not let tags be moved",
            ),
            ("r.example", 503, "", "the registry has a problem of its own: run the job again"),
        ] {
            assert_eq!(refused(host, status, said).hint().as_deref(), Some(want));
        }
        assert_eq!(refused("r.example", 400, "MANIFEST_INVALID").hint(), None);
        assert!(is_ecr("1.dkr.ecr-fips.us-east-1.amazonaws.com") && !is_ecr("public.ecr.aws"));
    }

    #[test]
    fn a_denial_names_where_the_credentials_are_from() {
        let repository: Repository = "ghcr.io/me/app".parse().unwrap();
        let denied = |tried| RegistryError::Denied {
            doing: "push to `ghcr.io/me/app`".into(),
            repository: repository.clone(),
            host: "ghcr.io".into(),
            status: 403,
            said: "DENIED: permission_denied: write_package".into(),
            tried,
        };
        let origin = Some("auths.\"ghcr.io\" in `/home/me/.docker/config.json`".to_string());
        insta::assert_snapshot!(error_text(&denied(Tried { origin, looked: vec![] }), false), @r#"
        error: could not push to `ghcr.io/me/app`: ghcr.io answered 403 (DENIED: permission_denied: write_package)
        hint: the credentials are those of auths."ghcr.io" in `/home/me/.docker/config.json`: check that they are valid, and that `me/app` exists and may be used with them
        "#);
        let looked = vec!["`/home/me/.docker/config.json` (the home directory)".to_string()];
        insta::assert_snapshot!(denied(Tried { origin: None, looked }).hint().unwrap(), @"no credentials for ghcr.io were found in `/home/me/.docker/config.json` (the home directory): run `docker login ghcr.io`, or set PEXPRESS_REGISTRY_USERNAME and PEXPRESS_REGISTRY_PASSWORD for the registry that is pushed to");
    }
}
