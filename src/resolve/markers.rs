//! Evaluates markers: which packages of a lock are for the target.
//!
//! Markers are those of PEP 508, which `pep508_rs` evaluates, and two of PEP 751 that it does not know: `'x' in extras`
//! and `'x' in dependency_groups`. A lock is installed here without extras and groups, so each such test is replaced by
//! its result for empty sets before the rest is evaluated.

use crate::wheel::requirement;
use pep508_rs::{MarkerEnvironment, MarkerTree};
use std::str::FromStr;

/// Always true, as a PEP 508 marker.
const TRUE: &str = "python_version >= '0'";
/// Never true.
const FALSE: &str = "python_version < '0'";

/// Whether `marker` holds in `environment`.
///
/// # Errors
/// A text that says what is wrong with the marker.
pub fn holds(marker: &str, environment: &MarkerEnvironment) -> Result<bool, String> {
    requirement::check_marker(marker).map_err(|error| error.to_string())?;
    let marker = without_set_tests(marker);
    let tree = MarkerTree::from_str(&marker).map_err(|error| error.to_string())?;
    Ok(tree.evaluate(environment, &[]))
}

/// Replace `'x' in extras`, `'x' not in extras` and the same for `dependency_groups` by their results for empty sets.
fn without_set_tests(marker: &str) -> String {
    let mut output = String::with_capacity(marker.len());
    let mut rest = marker;
    while let Some(start) = rest.find(['\'', '"']) {
        let quote = &rest[start..=start];
        let Some(length) = rest[start + 1..].find(quote) else { break };
        let end = start + 1 + length + 1;
        output.push_str(&rest[..start]);
        match set_test(&rest[end..]) {
            Some((negated, consumed)) => {
                output.push_str(if negated { TRUE } else { FALSE });
                rest = &rest[end + consumed..];
            }
            None => {
                output.push_str(&rest[start..end]);
                rest = &rest[end..];
            }
        }
    }
    output + rest
}

/// If `text` starts with ` in extras` or similar: whether it is negated, and its length in bytes.
fn set_test(text: &str) -> Option<(bool, usize)> {
    let mut words = text.split_whitespace();
    let first = words.next()?;
    let (negated, set) = match first {
        "in" => (false, words.next()?),
        "not" if words.next()? == "in" => (true, words.next()?),
        _ => return None,
    };
    let set = set.trim_end_matches(')');
    let known = matches!(set, "extras" | "dependency_groups");
    known.then(|| (negated, text.find(set).unwrap_or(0) + set.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::Target;

    #[test]
    fn markers_are_evaluated_for_the_target() {
        let environment = Target::serverless("3.11".parse().unwrap()).marker_environment();
        for (marker, want) in [
            ("python_version >= '3.11'", true),
            ("python_full_version < '3.11'", false),
            ("sys_platform == 'win32'", false),
            ("platform_machine == 'x86_64' and sys_platform == 'linux'", true),
            ("'dev' in dependency_groups", false),
            ("python_version >= '3.8' and ('x' in extras or 'y' not in extras)", true),
            ("(\"x\" in extras)", false),
        ] {
            assert_eq!(holds(marker, &environment), Ok(want), "{marker}");
        }
        assert!(holds("python_version >>> 3", &environment).is_err());
    }
}
