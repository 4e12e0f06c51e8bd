//! Names of images: `HOST/REPOSITORY:TAG`, `HOST/REPOSITORY@sha256:…`.

use super::Digest;
use std::fmt;
use std::str::FromStr;

/// The registry of names without a host, as in `python:3.12-slim`.
pub const DOCKER_HUB: &str = "docker.io";

/// A repository of a registry.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Repository {
    /// Host name, with `:PORT` where it is not the usual one.
    pub host: String,
    /// Path on that host, such as `library/python`.
    pub path: String,
}

/// The name of a version in a repository: 1 to 128 characters of `A-Z a-z 0-9 _ . -`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(String);

/// The name of an image.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    /// Where it is.
    pub repository: Repository,
    /// A tag; where there is a digest too, the digest decides.
    pub tag: Option<Tag>,
    /// Exactly these bytes.
    pub digest: Option<Digest>,
}

/// Why a text is not the name of an image.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("invalid image reference `{text}`: {reason}")]
pub struct ReferenceError {
    text: String,
    reason: &'static str,
}

const REPOSITORY_RULE: &str =
    "a repository has lower-case letters and digits, with `/`, `.`, `_` or `-` between them";
const HOST_RULE: &str =
    "the host of the registry is a host name or an address, and `:PORT` where it needs one";
const TAG_RULE: &str =
    "a tag has 1 to 128 letters, digits, `_`, `.` or `-`, and does not begin with `.` or `-`";
const PLACE_RULE: &str = "it is only a host: HOST/REPOSITORY is wanted, such as `ghcr.io/acme/app`";
const NO_VERSION_RULE: &str = "HOST/REPOSITORY is wanted, without a tag or digest";
const SCHEME_RULE: &str = "it is the name of an image, without `https://` or `docker://`";

impl Tag {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Tag {
    type Err = ReferenceError;

    /// Source: OCI distribution specification, "Pulling manifests": `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`.
    fn from_str(text: &str) -> Result<Tag, ReferenceError> {
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
        let good =
            (1..=128).contains(&text.len()) && text.bytes().all(inner) && !text.starts_with(['.', '-']);
        if good { Ok(Tag(text.to_string())) } else { Err(ReferenceError::new(text, TAG_RULE)) }
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.path)
    }
}

impl FromStr for Repository {
    type Err = ReferenceError;

    /// A first part with a `.` or a `:`, or `localhost`, is a host; without one the repository is Docker Hub's, where
    /// names of one part belong to `library`. Source: the `reference` package of the distribution project. That takes
    /// `docker.io` for a repository of Docker Hub, which nobody means who is asked for a repository.
    fn from_str(text: &str) -> Result<Repository, ReferenceError> {
        match text.rsplit_once('/') {
            _ if text.contains("://") => {}
            None if is_host(text) => return Err(ReferenceError::new(text, PLACE_RULE)),
            Some((_, last)) if last.contains([':', '@']) => {
                return Err(ReferenceError::new(text, NO_VERSION_RULE));
            }
            _ => {}
        }
        Repository::of_reference(text)
    }
}

impl Repository {
    /// The repository in a reference, whose tag and digest are cut off.
    fn of_reference(text: &str) -> Result<Repository, ReferenceError> {
        if text.contains("://") {
            return Err(ReferenceError::new(text, SCHEME_RULE));
        }
        let (host, path) = match text.split_once('/') {
            Some((first, rest)) if is_host(first) => (first, rest.to_string()),
            _ if text.contains('/') => (DOCKER_HUB, text.to_string()),
            _ => (DOCKER_HUB, format!("library/{text}")),
        };
        // The old name of the same registry.
        let host = if host == "index.docker.io" { DOCKER_HUB } else { host };
        if !valid_host(host) {
            return Err(ReferenceError::new(text, HOST_RULE));
        }
        // 255 bytes with the host, the limit of the distribution project.
        if host.len() + 1 + path.len() > 255 || !path.split('/').all(valid_component) {
            return Err(ReferenceError::new(text, REPOSITORY_RULE));
        }
        Ok(Repository { host: host.to_ascii_lowercase(), path })
    }
}

impl Reference {
    /// The name of what has exactly this digest.
    pub fn by_digest(repository: Repository, digest: Digest) -> Reference {
        Reference { repository, tag: None, digest: Some(digest) }
    }

    /// The name by a tag.
    pub fn by_tag(repository: Repository, tag: Tag) -> Reference {
        Reference { repository, tag: Some(tag), digest: None }
    }

    /// What to ask the registry for: the digest, else the tag, else `latest`.
    pub fn version(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, Some(tag)) => tag.to_string(),
            (None, None) => "latest".to_string(),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        self.digest.map_or(Ok(()), |digest| write!(f, "@{digest}"))
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Reference, ReferenceError> {
        if text.contains("://") {
            return Err(ReferenceError::new(text, SCHEME_RULE));
        }
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => {
                let reason = "after `@` comes `sha256:` and 64 digits of 0-9 and a-f";
                (name, Some(digest.parse().map_err(|_| ReferenceError::new(text, reason))?))
            }
            None => (text, None),
        };
        // A colon before the last slash belongs to the port of the host.
        let (repository, tag) = match name.rsplit_once(':') {
            Some((repository, tag)) if !tag.contains('/') => (repository, Some(tag)),
            _ => (name, None),
        };
        let in_whole = |error: ReferenceError| ReferenceError { text: text.to_string(), ..error };
        let tag = tag.map(Tag::from_str).transpose().map_err(in_whole)?;
        let repository = Repository::of_reference(repository).map_err(in_whole)?;
        Ok(Reference { repository, tag, digest })
    }
}

impl ReferenceError {
    fn new(text: &str, reason: &'static str) -> ReferenceError {
        ReferenceError { text: text.to_string(), reason }
    }
}

fn is_host(first: &str) -> bool {
    first.contains(['.', ':']) || first == "localhost"
}

fn valid_host(host: &str) -> bool {
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, Some(port)),
        _ => (host, None),
    };
    let valid_port = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|number| number > 0));
    let label = |label: &str| {
        let inner = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        !label.is_empty() && inner && !label.starts_with('-') && !label.ends_with('-')
    };
    let address = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let valid_name = match address {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => name.split('.').all(label),
    };
    valid_port && valid_name
}

/// Source: OCI distribution specification, "Pulling manifests": `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`.
fn valid_component(component: &str) -> bool {
    let mut rest = component;
    loop {
        let word = rest.bytes().take_while(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()).count();
        if word == 0 {
            return false;
        }
        rest = &rest[word..];
        if rest.is_empty() {
            return true;
        }
        let separator = match rest.as_bytes() {
            [b'.', ..] => 1,
            [b'_', b'_', ..] => 2,
            [b'_', ..] => 1,
            _ => rest.bytes().take_while(|byte| *byte == b'-').count(),
        };
        if separator == 0 {
            return false;
        }
        rest = &rest[separator..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn references_are_read_as_docker_reads_them() {
        let with_digest = format!("ghcr.io/me/app:v1@{DIGEST}");
        for (text, want, version) in [
            ("python:3.12-slim", "docker.io/library/python:3.12-slim", "3.12-slim"),
            ("me/app", "docker.io/me/app", "latest"),
            ("index.docker.io/me/app", "docker.io/me/app", "latest"),
            ("localhost:5000/app", "localhost:5000/app", "latest"),
            ("localhost/app:1", "localhost/app:1", "1"),
            ("[::1]:5000/a/b__c:x_Y.z", "[::1]:5000/a/b__c:x_Y.z", "x_Y.z"),
            ("EXAMPLE.com/a", "example.com/a", "latest"),
            (&with_digest, &with_digest, DIGEST),
        ] {
            let read: Reference = text.parse().unwrap();
            assert_eq!((read.to_string().as_str(), read.version().as_str()), (want, version), "{text}");
        }
    }

    #[test]
    fn other_texts_are_refused() {
        let long = format!("example.com/{}", "a".repeat(250));
        for wrong in [
            "",
            " ",
            "a b",
            "A/b:c",
            "example.com/",
            "example.com//a",
            "example.com/../a",
            "example.com/a/",
            "example.com/A",
            "example.com/a_-b",
            "example.com/a:",
            "example.com/a:-x",
            "example.com/a@sha256:12",
            "https://example.com/a",
            "docker://a",
            "example.com:port/a",
            "example.com:0/a",
            "-x.com/a",
            "a:b:c",
            "[::1/a",
            "user@example.com/a",
            &long,
        ] {
            assert!(wrong.parse::<Reference>().is_err(), "{wrong}");
        }
    }

    /// `--image-registry docker.io` was taken for `docker.io/library/docker.io`.
    #[test]
    fn a_repository_is_neither_a_host_nor_a_version() {
        let said = |text: &str| text.parse::<Repository>().unwrap_err().to_string();
        insta::assert_snapshot!(said("docker.io"), @"invalid image reference `docker.io`: it is only a host: HOST/REPOSITORY is wanted, such as `ghcr.io/acme/app`");
        insta::assert_snapshot!(said("ghcr.io/a:v1"), @"invalid image reference `ghcr.io/a:v1`: HOST/REPOSITORY is wanted, without a tag or digest");
        for (wrong, rule) in [
            ("localhost:5000", PLACE_RULE),
            ("localhost", PLACE_RULE),
            ("ghcr.io/a@sha256:12", NO_VERSION_RULE),
            ("https://ghcr.io/a", SCHEME_RULE),
        ] {
            assert!(said(wrong).ends_with(rule), "{}", said(wrong));
        }
        for (right, want) in [("acme/app", "docker.io/acme/app"), ("r.example:5000/a", "r.example:5000/a")] {
            assert_eq!(right.parse::<Repository>().unwrap().to_string(), want);
        }
        assert_eq!("my.app:1".parse::<Reference>().unwrap().to_string(), "docker.io/library/my.app:1");
    }

    #[test]
    fn an_error_names_the_whole_reference_and_the_rule() {
        let error = "example.com/Repo:v1".parse::<Reference>().unwrap_err();
        insta::assert_snapshot!(error, @"invalid image reference `example.com/Repo:v1`: a repository has lower-case letters and digits, with `/`, `.`, `_` or `-` between them");
    }
}
