//! What a request is allowed to do, as scopes of a token.

use crate::image::Repository;

/// The rights that a request needs: those on its repository, and to read the repositories that a blob may be mounted
/// from. All are asked for in one token.
///
/// Source: distribution project, "Token Scope Documentation": `repository:PATH:pull,push`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// Host of the registry.
    pub host: String,
    path: String,
    may_push: bool,
    /// Paths on the same host.
    sources: Vec<String>,
}

impl Access {
    /// To read a repository.
    pub fn pull(repository: &Repository) -> Access {
        Access::new(repository, false)
    }

    /// To read and write a repository.
    pub fn push(repository: &Repository) -> Access {
        Access::new(repository, true)
    }

    fn new(repository: &Repository, may_push: bool) -> Access {
        let Repository { host, path } = repository.clone();
        Access { host, path, may_push, sources: Vec::new() }
    }

    /// The same, and to read these repositories if they are on the same host.
    pub fn with_sources(mut self, sources: &[Repository]) -> Access {
        let here = sources.iter().filter(|source| source.host == self.host && source.path != self.path);
        self.sources = here.map(|source| source.path.clone()).collect();
        self.sources.sort();
        self.sources.dedup();
        self
    }

    /// The same without the sources; `None` if there are none.
    pub fn without_sources(&self) -> Option<Access> {
        (!self.sources.is_empty()).then(|| Access { sources: Vec::new(), ..self.clone() })
    }

    /// The repository.
    pub fn repository(&self) -> Repository {
        Repository { host: self.host.clone(), path: self.path.clone() }
    }

    /// Whether a token for this also does for `other`.
    pub fn covers(&self, other: &Access) -> bool {
        let own = self.path == other.path && (self.may_push || !other.may_push);
        own && other.sources.iter().all(|source| self.sources.contains(source))
    }

    /// The values of `scope`.
    pub fn scopes(&self) -> Vec<String> {
        let actions = if self.may_push { "pull,push" } else { "pull" };
        let own = format!("repository:{}:{actions}", self.path);
        let sources = self.sources.iter().map(|source| format!("repository:{source}:pull"));
        std::iter::once(own).chain(sources).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repository(text: &str) -> Repository {
        text.parse().unwrap()
    }

    #[test]
    fn the_destination_and_the_sources_on_its_host_are_asked_for_together() {
        let sources =
            ["r.example/b", "other.example/c", "r.example/a", "r.example/b", "r.example/d"].map(repository);
        let access = Access::push(&repository("r.example/a")).with_sources(&sources);
        assert_eq!(access.scopes(), ["repository:a:pull,push", "repository:b:pull", "repository:d:pull"]);
        assert_eq!(access.without_sources().unwrap().scopes(), ["repository:a:pull,push"]);
    }

    #[test]
    fn a_token_also_does_for_less() {
        let (pull, push) = (Access::pull(&repository("h.x/a")), Access::push(&repository("h.x/a")));
        let mount = push.clone().with_sources(&[repository("h.x/b")]);
        let other = Access::pull(&repository("h.x/b"));
        for (own, wanted, does) in [
            (&push, &pull, true),
            (&pull, &push, false),
            (&mount, &push, true),
            (&push, &mount, false),
            (&mount, &mount, true),
            (&push, &other, false),
        ] {
            assert_eq!(own.covers(wanted), does, "{own:?} {wanted:?}");
        }
    }
}
