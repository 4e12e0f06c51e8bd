//! Command lines that are not understood: what may be meant, and in which form to say so.

use std::ffi::OsString;

/// Commands that other programs have, and what they are called here. By letters alone, clap would propose another.
const CALLED_ELSEWHERE: [(&str, &str); 5] = [
    ("version", "pexpress --version"),
    ("upload", "pexpress deploy --upload"),
    ("publish", "pexpress deploy --upload"),
    ("build", "pexpress deploy"),
    ("update", "pexpress deploy --upload --update"),
];

/// The same answer, with what the command is called here.
pub(super) fn with_better_name(mut error: clap::Error) -> clap::Error {
    use clap::error::{ContextKind, ContextValue};
    let Some(ContextValue::String(given)) = error.get(ContextKind::InvalidSubcommand) else { return error };
    let known = CALLED_ELSEWHERE.iter().find(|(name, _)| name == given);
    if let Some((name, here)) = known {
        error.remove(ContextKind::SuggestedSubcommand);
        let note = if *name == "build" { " It only builds unless --upload or --update is given" } else { "" };
        let tip = format!("did you mean `{here}`?{note}").into();
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip]));
    }
    error
}

/// Whether a command line asks for JSON, as far as one can tell that is not understood.
pub fn wants_json(argv: &[OsString]) -> bool {
    let words: Vec<_> = argv.iter().skip(1).map(|word| word.to_string_lossy()).collect();
    let own = words.iter().take_while(|word| *word != "-m" && *word != "--").count();
    let own = words.get(..own).unwrap_or_default();
    own.iter().any(|word| word == "--format=json")
        || own.windows(2).any(|pair| matches!(pair, [flag, value] if flag == "--format" && value == "json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_of_other_programs_are_known_by_their_name_here() {
        for (word, says) in [
            ("version", "tip: did you mean `pexpress --version`?"),
            ("upload", "tip: did you mean `pexpress deploy --upload`?"),
            (
                "build",
                "tip: did you mean `pexpress deploy`? It only builds unless --upload or --update is given",
            ),
            ("deplyo", "tip: some similar subcommands exist: "),
        ] {
            let words = [OsString::from("pexpress"), OsString::from(word)];
            let said = super::super::parse(&words).unwrap_err().to_string();
            assert!(said.contains(says) && said.matches("tip:").count() == 1, "{word}: {said}");
        }
    }

    #[test]
    fn json_is_wanted_also_by_a_command_line_that_is_wrong() {
        for (words, want) in [
            (&["deploy", "--format", "json"][..], true),
            (&["--format=json", "nope"], true),
            (&["deploy", "--format", "text"], false),
            (&["-m", "dagster", "--format", "json"], false),
            (&[], false),
        ] {
            let words: Vec<_> = ["pexpress"].iter().chain(words).map(OsString::from).collect();
            assert_eq!(wants_json(&words), want, "{words:?}");
        }
    }
}
