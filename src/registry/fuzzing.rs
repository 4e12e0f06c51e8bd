//! Parsers of this room, for tests and fuzzing alone.

use super::auth_file::{AuthFile, Entry};
use super::challenge::{self, Challenge};

/// What is asked of whom, by a value of `WWW-Authenticate`: scheme, and realm and scopes of a token.
pub fn challenge(value: &str) {
    if let Some(Challenge::Bearer { realm, scopes, .. }) = challenge::choose([value]) {
        assert!(!realm.is_empty());
        assert!(scopes.iter().all(|scope| !scope.is_empty() && !scope.contains(char::is_whitespace)));
    }
}

/// A file of credentials, read for some repositories. No error shows a value that could be a password.
pub fn auth_file(bytes: &[u8]) {
    let Ok(file) = AuthFile::parse(bytes) else { return };
    for repository in ["r.example/a/b", "localhost:5000/a", "docker.io/library/python", "ghcr.io/x"] {
        let repository = repository.parse().expect("it is one");
        match file.entries(&repository) {
            Ok(entries) => {
                assert!(entries.len() <= 3);
                let last =
                    entries.iter().position(|entry| matches!(entry, Entry::Helper { is_general: true, .. }));
                assert!(last.is_none_or(|at| at + 1 == entries.len()), "the helper for all comes last");
            }
            Err(error) => assert!(!error.to_string().contains("hunter2"), "{error}"),
        }
    }
}
