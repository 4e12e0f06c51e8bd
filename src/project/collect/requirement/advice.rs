//! What is probably meant by a line that is not a requirement.

use super::link::direct_link;
use crate::wheel::requirement::{self, Link};
use pep508_rs::Requirement;
use std::str::FromStr;

/// Operators as other tools and habits have them, and as they are written here.
const OPERATORS: [(&str, &str); 9] = [
    ("=>", ">="),
    ("=<", "<="),
    ("=!", "!="),
    ("<>", "!="),
    ("~>", "~="),
    ("=~", "~="),
    ("====", "=="),
    ("~", "~="),
    ("=", "=="),
];

/// One thing to do about `text`.
pub(super) fn advice(text: &str) -> String {
    if ["<<<<<<<", "=======", ">>>>>>>"].iter().any(|mark| text.starts_with(mark)) {
        "a merge conflict is left in the file: resolve it".into()
    } else if text.contains('\\') {
        "write paths with `/`".into()
    } else if text.contains('^') {
        "`^` is Poetry's notation: write a range such as `>=1.2,<2`".into()
    } else if let Some(corrected) = corrected(text) {
        format!("write `{corrected}`")
    } else {
        "see \"Dependency specifiers\" in the Python packaging guide for the syntax".into()
    }
}

/// The line with its operators and commas put right, if that makes it a requirement.
fn corrected(text: &str) -> Option<String> {
    if direct_link(text).is_some() {
        return None;
    }
    let (body, marker) = text.split_once(';').map_or((text, ""), |(body, marker)| (body, marker.trim()));
    let is_operator = |each: char| "<>=!~".contains(each);
    let name_end = body.find(|each: char| is_operator(each) || each == '(' || each.is_whitespace())?;
    let (name, versions) = body.split_at(name_end);
    let mut specifiers = Vec::new();
    let mut rest = versions.trim().trim_start_matches('(').trim_end_matches(')').trim();
    while !rest.is_empty() {
        let (operator, after) = rest.split_at(rest.find(|each| !is_operator(each))?);
        let (version, next) =
            after.split_at(after.find(|each| is_operator(each) || each == ',').unwrap_or(after.len()));
        let operator = match operator {
            // `pandas 2.0`
            "" => "==",
            operator => {
                OPERATORS.iter().find(|(wrong, _)| *wrong == operator).map_or(operator, |(_, right)| right)
            }
        };
        let version: String = version.chars().filter(|each| !each.is_whitespace()).collect();
        let version = version.trim_start_matches('v').trim_matches(['"', '\'']);
        let version = if operator.contains(['<', '>']) { version.trim_end_matches(".*") } else { version };
        specifiers.push(format!("{operator}{version}"));
        rest = next.trim_start_matches([',', ' ']);
    }
    let marker = if marker.is_empty() { String::new() } else { format!(" ; {marker}") };
    let line = format!("{name}{}{marker}", specifiers.join(","));
    requirement::check(&line).ok()?;
    Requirement::<Link>::from_str(&line).ok().map(|_| line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_that_is_meant_is_proposed() {
        for (text, want) in [
            ("pandas=>2", "write `pandas>=2`"),
            ("pandas =< 2", "write `pandas<=2`"),
            ("pandas[a]=2.0", "write `pandas[a]==2.0`"),
            ("pandas~>2.0", "write `pandas~=2.0`"),
            ("pandas=!2", "write `pandas!=2`"),
            ("pandas<>2", "write `pandas!=2`"),
            ("pandas>2 <3", "write `pandas>2,<3`"),
            ("pandas>=2=<3", "write `pandas>=2,<=3`"),
            ("pandas 2.0", "write `pandas==2.0`"),
            ("pandas >= 2 . 1", "write `pandas>=2.1`"),
            ("pandas>=2.*", "write `pandas>=2`"),
            ("pandas=>2 ; os_name == 'a@b'", "write `pandas>=2 ; os_name == 'a@b'`"),
            ("pandas^2", "`^` is Poetry's notation: write a range such as `>=1.2,<2`"),
            ("two words", "see \"Dependency specifiers\" in the Python packaging guide for the syntax"),
        ] {
            assert_eq!(advice(text), want, "{text}");
        }
    }
}
