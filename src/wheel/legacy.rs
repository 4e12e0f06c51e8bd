//! Version specifiers that older releases of setuptools accepted, read as uv reads them.
//!
//! `packaging`, and with it the agent, refuses `>=5.1.*`. uv reads it as `>=5.1`, so such wheels work for everyone who
//! develops with uv. Each rule was checked against uv 0.13.9.

use pep440_rs::VersionSpecifiers;
use std::str::FromStr;

/// Operators. The longer ones come first, so that `>=` is not read as `>`.
const OPERATORS: [&str; 8] = ["===", "==", "!=", "~=", "<=", ">=", "<", ">"];

/// A header that was corrected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Correction {
    /// `Requires-Dist` or `Requires-Python`.
    pub header: &'static str,
    /// Its value in the file.
    pub written: String,
    /// The corrected value.
    pub read_as: String,
}

/// A `Requires-Dist` with its versions corrected; `None` if they are not of a known kind.
pub fn requirement(line: &str) -> Option<String> {
    let (head, marker) = line.split_once(';').map_or((line, ""), |(head, marker)| (head, marker.trim()));
    let at = head.find(['(', '<', '>', '=', '!', '~'])?;
    let (name, versions) = head.split_at(at);
    let versions =
        versions.trim().strip_prefix('(').map_or(versions, |inside| inside.trim_end().trim_end_matches(')'));
    let marker = if marker.is_empty() { String::new() } else { format!(" ; {marker}") };
    Some(format!("{}{}{marker}", name.trim_end(), specifiers(versions)?))
}

/// Version specifiers, corrected.
pub fn specifiers(text: &str) -> Option<String> {
    let mut corrected = Vec::new();
    let plain: String =
        text.chars().filter(|each| !matches!(each, '"' | '\'') && !each.is_whitespace()).collect();
    let mut rest = plain.as_str();
    while !rest.is_empty() {
        let operator = OPERATORS.iter().find(|operator| rest.starts_with(**operator))?;
        let version = &rest[operator.len()..];
        // The comma may be missing: the next operator starts the next specifier.
        let end = version.find([',', '<', '>', '=', '!']).unwrap_or(version.len());
        let tilde = version.starts_with('~');
        let (version, next) = version.split_at(end);
        corrected.push(specifier(operator, version.trim_start_matches('~'), tilde)?);
        rest = next.trim_start_matches(',');
    }
    let corrected = corrected.join(",");
    VersionSpecifiers::from_str(&corrected).ok().map(|_| corrected)
}

fn specifier(operator: &str, version: &str, tilde: bool) -> Option<String> {
    // `>=9.0.0a1.0` is read as `>=9.0.0a1`, and `>dev` as newer than the lowest version.
    let version = match version {
        "dev" => "0.0.0dev",
        version => match version.strip_suffix(".0") {
            Some(short) if pre_release(short) => short,
            _ => version,
        },
    };
    let stem = version.strip_suffix('*').map(|stem| stem.strip_suffix('.').unwrap_or(stem));
    Some(match (operator, stem) {
        ("!=", None) if tilde => format!("!={version}.*"),
        ("==" | "!=", Some(stem)) => format!("{operator}{stem}.*"),
        ("<" | "<=" | ">" | ">=" | "~=", Some(stem)) => format!("{operator}{stem}"),
        (_, None) if !tilde => format!("{operator}{version}"),
        _ => return None,
    })
}

fn pre_release(version: &str) -> bool {
    let digits = version.trim_end_matches(|each: char| each.is_ascii_digit());
    digits.len() < version.len() && digits.ends_with(['a', 'b', 'c'])
}

/// The bytes of a METADATA file with the corrected values.
pub fn corrected(bytes: &[u8], corrections: &[Correction]) -> Vec<u8> {
    let mut lines: Vec<Vec<u8>> = Vec::new();
    let mut in_headers = true;
    let mut replaced = false;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let text = String::from_utf8_lossy(line);
        in_headers &= !text.trim().is_empty();
        // Continuation lines of a replaced header are part of its old value.
        if replaced && in_headers && text.starts_with([' ', '\t']) {
            continue;
        }
        let is_it = |correction: &&Correction| {
            let value = text.split_once(':').filter(|(name, _)| name.eq_ignore_ascii_case(correction.header));
            value.is_some_and(|(_, value)| correction.written.lines().next() == Some(value.trim()))
        };
        let found = corrections.iter().find(is_it).filter(|_| in_headers);
        replaced = found.is_some();
        lines.push(match found {
            Some(Correction { header, read_as, .. }) => format!("{header}: {read_as}\n").into_bytes(),
            None => line.to_vec(),
        });
    }
    lines.concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn legacy_specifiers_are_read_as_uv_reads_them() {
        for (line, want) in [
            ("idna (>=2.*)", Some("idna>=2")),
            ("PyYAML (>=5.1.*)", Some("PyYAML>=5.1")),
            ("six (>=1.0.*) ; extra == 'x'", Some("six>=1.0 ; extra == 'x'")),
            ("a[x,y]>2.*,<3.*", Some("a[x,y]>2,<3")),
            ("a>=7.2.0<8.0.0", Some("a>=7.2.0,<8.0.0")),
            ("a (>=1,!=3.0*)", Some("a>=1,!=3.0.*")),
            ("a!=~5.0", Some("a!=5.0.*")),
            ("a>dev", Some("a>0.0.0dev")),
            ("a>=9.0.0a1.0", Some("a>=9.0.0a1")),
            ("a>='2.7'", Some("a>=2.7")),
            ("a==1.*", Some("a==1.*")),
            ("a>>1", None),
            ("a", None),
            ("a (nonsense)", None),
        ] {
            assert_eq!(requirement(line).as_deref(), want, "{line}");
        }
        assert_eq!(specifiers(">=3.6.*, !=3.9.*").as_deref(), Some(">=3.6,!=3.9.*"));
        assert_eq!(specifiers("3"), None);
    }

    #[test]
    fn only_the_corrected_headers_change() {
        let text = b"Name: a\r\nRequires-Dist: idna (>=2.*)\r\n\tfolded\r\nRequires-Dist: six\r\n\r\nRequires-Dist: idna (>=2.*)\r\n";
        let corrections = [Correction {
            header: "Requires-Dist",
            written: "idna (>=2.*)\nfolded".into(),
            read_as: "idna>=2".into(),
        }];
        assert_eq!(
            String::from_utf8(corrected(text, &corrections)).unwrap(),
            "Name: a\r\nRequires-Dist: idna>=2\nRequires-Dist: six\r\n\r\nRequires-Dist: idna (>=2.*)\r\n"
        );
    }
}
