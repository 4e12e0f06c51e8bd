//! Evaluates the markers of a uv.lock one comparison at a time.
//!
//! With `tool.uv.conflicts`, uv writes markers of dozens of alternatives. As decision diagrams, which is what
//! `pep508_rs` makes of them, they can be too large; evaluated as written, their size does not matter.

use super::requirement::Link;
use crate::wheel;
use pep508_rs::{ExtraName, MarkerEnvironment, MarkerTree};

/// Why only uv can read a lock, for the log.
#[derive(Debug, PartialEq)]
pub(super) struct Unsure(pub(super) String);

impl Unsure {
    /// For a reason in words.
    pub(super) fn because<T>(reason: impl Into<String>) -> Result<T, Unsure> {
        Err(Unsure(reason.into()))
    }
}

/// The deepest nesting of brackets. uv writes two at most.
const MAX_DEPTH: usize = 64;

/// The names that `extra == '…'` is true for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Names<'a> {
    /// These.
    Only(&'a [ExtraName]),
    /// Whatever makes the marker true.
    Any,
}

/// Whether a marker holds.
pub(super) fn holds(marker: &str, environment: &MarkerEnvironment, names: Names<'_>) -> Result<bool, Unsure> {
    let mut reader = Reader { rest: marker, depth: 0, environment, names };
    let holds = reader.alternatives()?;
    match reader.rest.trim_start() {
        "" => Ok(holds),
        rest => Unsure::because(format!("`{rest}` is not a part of a marker")),
    }
}

struct Reader<'a> {
    rest: &'a str,
    depth: usize,
    environment: &'a MarkerEnvironment,
    names: Names<'a>,
}

impl<'a> Reader<'a> {
    fn alternatives(&mut self) -> Result<bool, Unsure> {
        let mut holds = self.conditions()?;
        while self.take_word("or") {
            // Without a shortcut: what follows has to be read.
            holds |= self.conditions()?;
        }
        Ok(holds)
    }

    fn conditions(&mut self) -> Result<bool, Unsure> {
        let mut hold = self.condition()?;
        while self.take_word("and") {
            hold &= self.condition()?;
        }
        Ok(hold)
    }

    fn condition(&mut self) -> Result<bool, Unsure> {
        self.rest = self.rest.trim_start();
        let Some(inner) = self.rest.strip_prefix('(') else {
            let comparison = self.take_comparison();
            return self.compare(comparison);
        };
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Unsure::because("a marker has too many brackets");
        }
        self.rest = inner;
        let holds = self.alternatives()?;
        let Some(rest) = self.rest.trim_start().strip_prefix(')') else {
            return Unsure::because("a bracket in a marker is not closed");
        };
        (self.rest, self.depth) = (rest, self.depth - 1);
        Ok(holds)
    }

    fn compare(&self, comparison: &str) -> Result<bool, Unsure> {
        wheel::requirement::check_marker(comparison).map_err(|error| Unsure(error.to_string()))?;
        let tree = MarkerTree::parse_str::<Link>(comparison)
            .map_err(|error| Unsure(format!("`{comparison}`: {}", error.message)))?;
        match self.names {
            Names::Any if is_of_extra(comparison) => Ok(true),
            Names::Any => Ok(tree.evaluate(self.environment, &[])),
            Names::Only(names) => Ok(tree.evaluate(self.environment, names)),
        }
    }

    /// The text up to the next `and`, `or` or bracket outside of quotes.
    fn take_comparison(&mut self) -> &'a str {
        let text = self.rest;
        let mut end = 0;
        while let Some(first) = text[end..].chars().next() {
            let rest = &text[end..];
            end += match first {
                '\'' | '"' => rest[1..].find(first).map_or(rest.len(), |at| at + 2),
                '(' | ')' => break,
                first if is_word(first) => {
                    let length = rest.find(|each| !is_word(each)).unwrap_or(rest.len());
                    if matches!(&rest[..length], "and" | "or") {
                        break;
                    }
                    length
                }
                other => other.len_utf8(),
            };
        }
        self.rest = &text[end..];
        text[..end].trim()
    }

    fn take_word(&mut self, word: &str) -> bool {
        let rest = self.rest.trim_start().strip_prefix(word);
        match rest.filter(|rest| !rest.starts_with(is_word)) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }
}

/// Whether a comparison is about extras, groups or projects.
pub(super) fn is_of_extra(marker: &str) -> bool {
    marker.contains("extra")
}

fn is_word(each: char) -> bool {
    each.is_ascii_alphanumeric() || "_.".contains(each)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::{PythonVersion, Target};

    fn held(marker: &str, names: Names<'_>) -> Result<bool, Unsure> {
        holds(marker, &Target::serverless(PythonVersion::DEFAULT).marker_environment(), names)
    }

    #[test]
    fn markers_hold_as_they_are_written() {
        let names = [ExtraName::new("extra-1-a-b".into()).unwrap()];
        for (marker, want) in [
            ("sys_platform == 'linux'", true),
            ("sys_platform == 'win32' or sys_platform == 'linux'", true),
            ("sys_platform == 'linux' or sys_platform == 'linux' and os_name == 'nt'", true),
            ("(sys_platform == 'linux' or sys_platform == 'linux') and os_name == 'nt'", false),
            ("((os_name=='posix'))and(python_full_version<'3.12')", true),
            ("sys_platform not in 'win32 cygwin'", true),
            ("sys_platform == \"x' and (\" or 'linux' in sys_platform", true),
            ("python_full_version == '3.11.*'", true),
            ("extra == 'extra-1-a-b'", true),
            ("extra != 'extra-1-a-b' or extra == 'extra-1-a-c'", false),
        ] {
            assert_eq!(held(marker, Names::Only(&names)), Ok(want), "{marker}");
        }
        assert_eq!(held("extra == 'a' and extra != 'b' and os_name == 'posix'", Names::Any), Ok(true));
        assert_eq!(held("extra == 'a' and os_name == 'nt'", Names::Any), Ok(false));
    }

    #[test]
    fn hundreds_of_alternatives_are_no_problem() {
        let alternative = |number: usize| {
            format!("(python_full_version >= '3.{number}' and extra == 'a{number}' and extra != 'b{number}')")
        };
        let marker = (1..400).map(alternative).collect::<Vec<_>>().join(" or ");
        assert!(wheel::requirement::check_marker(&marker).is_err());
        assert_eq!(held(&marker, Names::Only(&[])), Ok(false));
        assert_eq!(held(&marker, Names::Only(&[ExtraName::new("a7".into()).unwrap()])), Ok(true));
    }

    #[test]
    fn what_is_not_a_marker_is_left_to_uv() {
        let deep = format!("{}os_name == 'nt'{}", "(".repeat(65), ")".repeat(65));
        for marker in
            ["", "os_name", "os_name == 'nt' or", "(os_name == 'nt'", "os_name == 'nt')", "and", "é", &deep]
        {
            assert!(held(marker, Names::Any).is_err(), "{marker}");
        }
    }
}
