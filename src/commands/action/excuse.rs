//! Runs that GitHub gives no secrets: what cannot load here only for want of one, or of a service that needs one, is a
//! warning. A fork's contributor can do nothing about it.

use crate::commands::Error;
use crate::host::Host;
use crate::render::Exit;
use crate::report::{LocationReport, Problem, Report};
use crate::verify::Outcome;

/// The result of a run without secrets: what only a missing secret explains becomes a warning.
///
/// # Errors
/// The run's, where anything else is wrong too.
pub fn for_want_of_secrets(
    report: &mut Report,
    result: Result<Exit, Error>,
    host: &Host,
) -> Result<Exit, Error> {
    let Err(error) = result else { return result };
    let mut excused = Vec::new();
    for verified in report.verified.iter().flatten() {
        if let Outcome::Failed { error, traceback, not_here, .. } = &verified.outcome
            && let Some(reason) = reason(not_here.as_deref(), traceback, host)
        {
            excused.push((verified.name.clone(), reason, error.clone()));
        }
    }
    for (name, reason, error) in &excused {
        for location in report.locations.iter_mut().filter(|one| one.name == *name) {
            location.errors.clear();
            location.problems.clear();
        }
        let place = report.locations.iter().find(|one| one.name == *name).and_then(|one| one.place.clone());
        let title = format!(
            "the code location `{name}` was not loaded here, since {reason}, and GitHub gives this run no secrets"
        );
        host.warn(&title);
        let text = format!("{title}\n{error}");
        report.warnings.push(Problem { title, text, place });
    }
    if let Some(verified) = &mut report.verified {
        verified.retain(|verified| !excused.iter().any(|(name, ..)| *name == verified.name));
    }
    let others = report.verified.iter().flatten().any(|verified| !verified.passes());
    let unbuilt = report.locations.iter().any(|location| !location.errors.is_empty());
    if unbuilt
        && !others
        && let Some(why) = no_access_to_packages(&report.locations)
    {
        report.problems.clear();
        let title =
            format!("not everything could be built here, since {why}, and GitHub gives this run no secrets");
        host.warn(&title);
        for location in &mut report.locations {
            location.errors.clear();
            location.problems.clear();
        }
        report.warnings.push(Problem { text: title.clone(), title, place: None });
        return Ok(Exit(0));
    }
    if excused.is_empty() || others || unbuilt {
        return Err(error);
    }
    report.problems.clear();
    Ok(Exit(0))
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

/// Why packages are not available, if an index or repository wants credentials for all that is not built.
fn no_access_to_packages(locations: &[LocationReport]) -> Option<String> {
    let refused = |error: &String| NO_CREDENTIALS.iter().any(|sign| error.contains(sign));
    let mut errors = locations.iter().flat_map(|location| &location.errors).peekable();
    errors.peek()?;
    errors
        .all(refused)
        .then(|| "an index or repository that packages come from wants credentials".to_string())
}

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
