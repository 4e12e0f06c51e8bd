//! Checks on foreign requirements before `pep508_rs` parses them.
//!
//! That crate parses brackets by recursion (a thousand of them overflow the stack) and turns markers into decision
//! diagrams, whose size can double with each `(extra == 'a1' and extra == 'b1') or …`. Real requirements come nowhere
//! near these limits; anything above is refused, because it could take hours. Texts that make the crate panic (found by
//! fuzzing) are refused here too.

use pep508_rs::Pep508Url;
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

/// The longest requirement that is read. Real ones rarely reach a kilobyte.
const MAX_BYTES: usize = 16 * 1024;
/// The deepest nesting of brackets. The deepest on PyPI are 10, in SQLAlchemy's markers.
const MAX_DEPTH: usize = 64;
/// The most nodes that the diagram of a marker may need, by the estimate of [`Shape::states`].
const MAX_STATES: u64 = 200_000;
/// The most variables of a marker. The diagram is as deep as their number.
const MAX_VARIABLES: usize = 400;

/// `pep508_rs` counts characters where it needs bytes, and panics inside a multi-byte one.
const NOT_ASCII: TooComplex = TooComplex("has a marker with non-ASCII characters");

/// A requirement or marker that is too large or too complex to be read. Completes "it …".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it {0}")]
pub struct TooComplex(&'static str);

/// The text after the `@` of a direct reference. Unlike the URL type of `pep508_rs`, it reads neither the environment
/// (its tokens would then appear in messages) nor the file system.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Link(pub String);

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Pep508Url for Link {
    type Err = std::convert::Infallible;
    fn parse_url(url: &str, _working_dir: Option<&Path>) -> Result<Self, Self::Err> {
        Ok(Link(url.to_string()))
    }
}

/// Check that `pep508_rs` can parse a requirement without a panic and without too much stack, memory or time.
///
/// # Errors
/// When it is longer than 16 KiB, has brackets deeper than 64, a marker of too many alternatives or not in ASCII, or
/// names that end in punctuation.
pub fn check(text: &str) -> Result<(), TooComplex> {
    check_names(text)?;
    if text.split_once(';').is_some_and(|(_, marker)| !marker.is_ascii()) {
        return Err(NOT_ASCII);
    }
    check_size(text)
}

/// The same for a marker alone.
///
/// # Errors
/// As for [`check`].
pub fn check_marker(text: &str) -> Result<(), TooComplex> {
    if !text.is_ascii() {
        return Err(NOT_ASCII);
    }
    check_size(text)
}

/// `pep508_rs` panics on names such as `a-` and `a[b-]`.
fn check_names(text: &str) -> Result<(), TooComplex> {
    let text = text.trim_start();
    let is_name = |each: char| each.is_ascii_alphanumeric() || ".-_".contains(each);
    let (name, rest) = text.split_at(text.find(|each| !is_name(each)).unwrap_or(text.len()));
    let extras =
        rest.trim_start().strip_prefix('[').and_then(|rest| rest.split(']').next()).unwrap_or_default();
    let mut names = extras.split(|each: char| each == ',' || each.is_whitespace()).chain([name]);
    match names.any(|name| name.ends_with(['.', '-', '_'])) {
        true => Err(TooComplex("has a name that ends in punctuation")),
        false => Ok(()),
    }
}

fn check_size(text: &str) -> Result<(), TooComplex> {
    if text.len() > MAX_BYTES {
        return Err(TooComplex("is longer than 16384 bytes"));
    }
    let mut shape = Shape::default();
    shape.read(text)?;
    if shape.states() > MAX_STATES || shape.values.len() > MAX_VARIABLES {
        return Err(TooComplex("has a marker with too many alternatives"));
    }
    Ok(())
}

/// The properties of a text that decide how large the diagram of its marker can become.
#[derive(Default)]
struct Shape {
    /// Changes between `and` and `or`, brackets included: groups that can be open at once in a diagram.
    groups: u32,
    /// Number of values that each variable is compared with. Each `extra`, each `in` and each value without a variable
    /// right before it counts as a variable of its own.
    values: BTreeMap<String, u64>,
}

impl Shape {
    fn read(&mut self, text: &str) -> Result<(), TooComplex> {
        // The last operator of each open bracket.
        let mut operators: Vec<Option<&str>> = vec![None];
        let mut variable = String::new();
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let length = match first {
                '(' | '[' => {
                    operators.push(None);
                    1
                }
                ')' | ']' => {
                    // The parser reports unbalanced brackets.
                    if operators.len() > 1 {
                        operators.pop();
                    }
                    1
                }
                '\'' | '"' => {
                    let length = rest[1..].find(first).map_or(rest.len(), |end| end + 2);
                    self.value(&std::mem::take(&mut variable), &rest[..length]);
                    length
                }
                first if is_word(first) => {
                    let length = rest.find(|each| !is_word(each)).unwrap_or(rest.len());
                    match &rest[..length] {
                        word @ ("and" | "or") => {
                            variable.clear();
                            self.operator(word, &mut operators);
                        }
                        // `in` compares with substrings, which have no order; so each such value is a variable of its
                        // own.
                        "in" | "not" => variable += " in",
                        word => variable = word.to_string(),
                    }
                    length
                }
                other => other.len_utf8(),
            };
            rest = &rest[length..];
            if operators.len() > MAX_DEPTH {
                return Err(TooComplex("has more than 64 nested brackets"));
            }
        }
        Ok(())
    }

    fn operator<'t>(&mut self, word: &'t str, operators: &mut [Option<&'t str>]) {
        if let Some(last) = operators.last_mut()
            && *last != Some(word)
        {
            *last = Some(word);
            self.groups += 1;
        }
    }

    fn value(&mut self, variable: &str, quoted: &str) {
        let own = variable.is_empty() || variable == "extra" || variable.ends_with(" in");
        let name = if own { format!("{variable} {quoted}") } else { variable.to_string() };
        // `python_version in '3.8 3.9'` has several values.
        let values = quoted.split([' ', ',', '|']).count() as u64;
        *self.values.entry(name).or_default() += values;
    }

    /// An upper bound of the nodes of the diagram: at each variable, a node stands for the state that every group is
    /// in (true, false, open), and for the interval that each variable before is in.
    fn states(&self) -> u64 {
        let by_groups = 3_u64.saturating_pow(self.groups);
        let by_values = self.values.values().fold(1_u64, |all, values| all.saturating_mul(2 * values + 1));
        by_groups.min(by_values)
    }
}

fn is_word(each: char) -> bool {
    each.is_alphanumeric() || matches!(each, '_' | '-' | '.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_requirement_that_would_overflow_stack_or_memory_is_refused() {
        let pairs = |count: usize| {
            let pair = |at: usize| format!("(extra == 'a{at:02}' and extra == 'b{at:02}')");
            (0..count).map(pair).collect::<Vec<_>>().join(" or ")
        };
        for (text, reason) in [
            (format!("a; {}os_name == 'a'{}", "(".repeat(100), ")".repeat(100)), "nested brackets"),
            (format!("a; {}", "(".repeat(10_000)), "nested brackets"),
            (format!("a; {}", pairs(30)), "too many alternatives"),
            (format!("a; {}", pairs(30).replace("extra ==", "platform_version in")), "too many alternatives"),
            (
                format!("a; {}", pairs(30).replace("extra == 'a", "'a").replace("' and", "' == extra and")),
                "too many alternatives",
            ),
            (
                format!("a; {}", (0..600).map(|at| format!("extra=='{at}' or ")).collect::<String>()),
                "too many alternatives",
            ),
            (format!("a{}", " ".repeat(20_000)), "longer than 16384 bytes"),
        ] {
            assert!(check(&text).unwrap_err().to_string().contains(reason), "{text:.100}");
        }
    }

    /// Found by fuzzing; each ended the program.
    #[test]
    fn a_requirement_that_makes_the_parser_panic_is_refused() {
        for text in [
            "a-",
            "extra-*-",
            "a. b",
            " a_[x]",
            "a[x-]",
            "a [ x , y_ z]",
            "a; os_name == 'x' '€'",
            "a; os_name == 'x' €€",
        ] {
            assert!(check(text).is_err(), "{text}");
        }
        assert!(check_marker("os_name == 'x' '€'").is_err());
        for text in ["a-b[c-d]>=1.*", "a @ https://h/€ ; os_name == 'x'", "a", "a[]"] {
            assert_eq!(check(text), Ok(()), "{text}");
        }
    }

    #[test]
    fn requirements_of_real_packages_pass() {
        let machines = ["aarch64", "ppc64le", "x86_64", "amd64", "AMD64", "win32", "WIN32"];
        // SQLAlchemy 2.0's own form.
        let nested = machines.map(|name| format!("platform_machine == \"{name}\" or (")).join("");
        let nested = format!("{nested}os_name == 'x'{}", ")".repeat(machines.len()));
        // What Poetry writes for a dependency of many extras.
        let extras = (0..60).map(|at| format!("extra == \"extra-{at}\"")).collect::<Vec<_>>().join(" or ");
        // What uv writes for forks.
        let fork = |minor: usize| {
            format!(
                "(python_full_version == '3.{minor}.*' and platform_machine == 'arm64' and sys_platform == 'darwin') or (python_full_version >= '3.{minor}' and sys_platform != 'win32')"
            )
        };
        let forks = (8..14).map(fork).collect::<Vec<_>>().join(" or ");
        for marker in [
            format!("python_version < \"3.14\" and ({nested})"),
            format!("(python_version >= \"3.8\" and python_version < \"4.0\") and ({extras})"),
            forks,
        ] {
            let text = format!("greenlet[a,b]!=0.4.17,>=1 ; {marker}");
            assert_eq!(check(&text), Ok(()), "{text}");
            text.parse::<pep508_rs::Requirement>().unwrap();
        }
    }

    proptest::proptest! {
        /// An accepted requirement is parsed fast, whatever its form: the estimate is an upper bound.
        #[test]
        fn an_accepted_requirement_is_parsed_fast(
            tests in proptest::collection::vec((0_usize..5, 0_usize..8, 0_usize..4), 1..40),
        ) {
            let variables = ["extra", "os_name", "sys_platform", "platform_machine", "platform_system"];
            let joints = [" and ", " or ", ") and (", ") or ("];
            let mut marker = String::from("(");
            for (at, (variable, value, joint)) in tests.iter().enumerate() {
                let joint = if at == 0 { "" } else { joints[*joint] };
                marker += &format!("{joint}{} == 'v{value}'", variables[*variable]);
            }
            let text = format!("a ; {marker})");
            if check(&text).is_ok() {
                proptest::prop_assert!(text.parse::<pep508_rs::Requirement>().is_ok());
            }
        }
    }
}
