//! Runs that GitHub gives no secrets: what cannot load here only for want of one, or of a service that needs one, is a
//! warning. A fork's contributor can do nothing about it.

use super::{Outcome, Verified};
use crate::builder::Built;
use crate::error::error_text;
use crate::host::Host;

/// A failure that only a missing secret explains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Excuse {
    /// A code location does not load here.
    NotLoaded {
        /// `location_name`.
        location: String,
        /// What is missing, in a clause.
        reason: String,
        /// Type and message of its exception.
        error: String,
    },
    /// An index or repository that packages come from wants credentials.
    NotBuilt,
}

impl Excuse {
    /// The code location that is excused; `None` for all of them.
    pub fn location(&self) -> Option<&String> {
        match self {
            Excuse::NotLoaded { location, .. } => Some(location),
            Excuse::NotBuilt => None,
        }
    }

    /// In a sentence.
    pub fn title(&self) -> String {
        let what = match self {
            Excuse::NotLoaded { location, reason, .. } => {
                format!("the code location `{location}` was not loaded here because {reason}")
            }
            Excuse::NotBuilt => "not everything could be built here because a package index or repository requires credentials".into(),
        };
        format!("{what}, and GitHub gives this run no secrets")
    }

    /// The same with the error.
    pub fn text(&self) -> String {
        match self {
            Excuse::NotLoaded { error, .. } => format!("{}\n{error}", self.title()),
            Excuse::NotBuilt => self.title(),
        }
    }
}

/// What only a missing secret explains of what was not built or does not load, and whether that is all of it.
/// `images` are the texts of errors of images that were not built.
pub fn for_want_of_secrets(
    built: Option<&Built>,
    images: &[&str],
    verified: &[Verified],
    host: &Host,
) -> (Vec<Excuse>, bool) {
    let mut excuses = Vec::new();
    let mut others = false;
    for Verified { name, outcome, .. } in verified {
        let Outcome::Failed { error, traceback, not_here, .. } = outcome else { continue };
        match reason(not_here.as_deref(), traceback, host) {
            Some(reason) => {
                excuses.push(Excuse::NotLoaded { location: name.clone(), reason, error: error.clone() })
            }
            None => others = true,
        }
    }
    let sources = built.iter().flat_map(|built| built.sources.iter().filter_map(|file| file.as_ref().err()));
    let deps = built.iter().flat_map(|built| built.deps.iter().filter_map(|file| file.as_ref().err()));
    let errors = sources.chain(deps).map(|error| error_text(error, false));
    let errors: Vec<String> = errors.chain(images.iter().map(|text| (*text).to_string())).collect();
    let wants_credentials = |error: &String| NO_CREDENTIALS.iter().any(|sign| error.contains(sign));
    if !others && !errors.is_empty() && errors.iter().all(wants_credentials) {
        excuses.push(Excuse::NotBuilt);
        return (excuses, true);
    }
    let is_all = !excuses.is_empty() && !others && errors.is_empty();
    (excuses, is_all)
}

/// Why a code location does not load, if that is for want of a secret.
fn reason(not_here: Option<&str>, traceback: &str, host: &Host) -> Option<String> {
    let empty =
        || Some(format!("the environment variable {} is empty here", empty_variable(traceback, host)?));
    not_here.map(String::from).or_else(empty)
}

fn is_variable(word: &str) -> bool {
    let plain = |char: char| char.is_ascii_alphanumeric() || char == '_';
    word.starts_with(|char: char| char.is_ascii_alphabetic() || char == '_') && word.chars().all(plain)
}

/// A variable that is set to nothing, as a secret that is withheld is, and that the failing code names.
fn empty_variable(traceback: &str, host: &Host) -> Option<String> {
    let empty = host.full_env().filter(|(_, value)| value.is_empty());
    let names = empty.filter_map(|(name, _)| name.to_str().map(String::from));
    let is_named = |name: &String| {
        let mut words = traceback.split(|char: char| !(char.is_ascii_alphanumeric() || char == '_'));
        name.len() > 2 && is_variable(name) && !name.starts_with("INPUT_") && words.any(|word| word == name)
    };
    names.into_iter().find(is_named)
}

/// What an index or repository says that wants credentials. Source: messages of uv, git and of this program.
const NO_CREDENTIALS: [&str; 9] = [
    "401 Unauthorized",
    "403 Forbidden",
    "answered 401",
    "answered 403",
    "HTTP error 401",
    "HTTP error 403",
    "could not read Username",
    "Authentication failed for",
    "Permission denied (publickey)",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::tests::host;

    #[test]
    fn a_secret_that_is_withheld_may_also_be_empty() {
        let traceback = |name: &str| format!("    client(os.environ[\"{name}\"])\nValueError: bad token");
        let host = host(&[("EMPTY", ""), ("FULL", "x")]);
        for (not_here, name, want) in [
            (None, "EMPTY", Some("the environment variable EMPTY is empty here")),
            (None, "FULL", None),
            (None, "EMPTY_TOO", None),
            (Some("a setting is missing here"), "FULL", Some("a setting is missing here")),
        ] {
            assert_eq!(reason(not_here, &traceback(name), &host).as_deref(), want, "{name}");
        }
    }
}
