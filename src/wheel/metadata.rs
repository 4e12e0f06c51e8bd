//! METADATA and WHEEL, the two header files of a dist-info directory.

use super::WheelError;
use super::filename::normalized_name;
use super::legacy::{self, Correction};
use super::requirement::{self, Link};
use pep440_rs::{Version, VersionSpecifiers, VersionSpecifiersParseError};
use pep508_rs::Requirement;
use std::error::Error;
use std::str::FromStr;

/// More dependencies than any distribution has.
const MAX_REQUIREMENTS: usize = 10_000;
/// Characters of a malformed line that are shown.
const SHOWN_CHARACTERS: usize = 300;

/// The fields of METADATA that matter for combining distributions.
///
/// Source: "Core metadata specifications" (PyPA).
#[derive(Debug, Clone)]
pub struct Metadata {
    /// `Name`, not normalised.
    pub name: String,
    /// `Version`.
    pub version: Version,
    /// `Requires-Dist`, in order.
    pub requires_dist: Vec<Requirement<Link>>,
    /// `Requires-Python`.
    pub requires_python: Option<VersionSpecifiers>,
    /// Headers that the agent would refuse, with their corrected values.
    pub corrections: Vec<Correction>,
}

impl Metadata {
    /// Read the headers of a METADATA file of `wheel` (a name for messages).
    ///
    /// # Errors
    /// When name or version are missing or malformed, or a `Requires-Dist` or `Requires-Python` does not parse.
    pub fn parse(wheel: &str, bytes: &[u8]) -> Result<Metadata, WheelError> {
        let headers = Headers::parse(bytes);
        let missing = |name: &str| WheelError::metadata(wheel, format!("METADATA has no `{name}`"));
        let version = headers.first("Version").ok_or_else(|| missing("Version"))?;
        let version = Version::from_str(version)
            .map_err(|error| WheelError::metadata(wheel, format!("`Version: {version}`: {error}")))?;
        let mut corrections = Vec::new();
        let requires_python = match headers.first("Requires-Python").filter(|text| !text.is_empty()) {
            Some(text) => Some(python_versions(text, &mut corrections).map_err(|error| {
                let error = error.to_string();
                let first = error.lines().next().unwrap_or_default();
                WheelError::metadata(wheel, format!("`Requires-Python: {text}`: {first}"))
            })?),
            None => None,
        };
        // Parsing more would take unreasonably long.
        if headers.all("Requires-Dist").nth(MAX_REQUIREMENTS).is_some() {
            let reason = format!("METADATA has more than {MAX_REQUIREMENTS} `Requires-Dist`");
            return Err(WheelError::metadata(wheel, reason));
        }
        let requires_dist = headers
            .all("Requires-Dist")
            .map(|line| {
                corrected_dependency(line, &mut corrections).map_err(|source| WheelError::RequiresDist {
                    wheel: wheel.to_string(),
                    line: line.chars().take(SHOWN_CHARACTERS).collect(),
                    source,
                })
            })
            .collect::<Result<_, _>>()?;
        Ok(Metadata {
            name: headers.first("Name").ok_or_else(|| missing("Name"))?.to_string(),
            version,
            requires_dist,
            requires_python,
            corrections,
        })
    }

    /// [`Metadata::name`] in its normal form.
    pub fn normalized_name(&self) -> String {
        normalized_name(&self.name)
    }
}

/// `Requires-Python`, legacy specifiers corrected.
fn python_versions(
    text: &str,
    corrections: &mut Vec<Correction>,
) -> Result<VersionSpecifiers, VersionSpecifiersParseError> {
    VersionSpecifiers::from_str(text).or_else(|error| {
        let read_as = legacy::specifiers(text).ok_or(error)?;
        let versions = VersionSpecifiers::from_str(&read_as)?;
        corrections.push(Correction { header: "Requires-Python", written: text.to_string(), read_as });
        Ok(versions)
    })
}

/// `Requires-Dist`, legacy specifiers corrected.
fn corrected_dependency(
    line: &str,
    corrections: &mut Vec<Correction>,
) -> Result<Requirement<Link>, Box<dyn Error + Send + Sync>> {
    dependency(line).or_else(|error| {
        let read_as = legacy::requirement(line).ok_or(error)?;
        let requirement = dependency(&read_as)?;
        corrections.push(Correction { header: "Requires-Dist", written: line.to_string(), read_as });
        Ok(requirement)
    })
}

/// A requirement. As in the agent, its versions may end in a comma (`a>=1,`), which older `setup.py` files have.
fn dependency(line: &str) -> Result<Requirement<Link>, Box<dyn Error + Send + Sync>> {
    // Before parsing: `pep508_rs` can panic or take hours on a hostile line.
    requirement::check(line)?;
    Requirement::from_str(line).or_else(|error| {
        let (versions, marker) = line.split_once(';').unwrap_or((line, ""));
        let (versions, closing) = match versions.trim_end().strip_suffix(')') {
            Some(inside) => (inside.trim_end(), ")"),
            None => (versions.trim_end(), ""),
        };
        let is_versioned = |text: &&str| text.contains(['<', '>', '=']);
        let versions = versions.strip_suffix(',').filter(is_versioned).ok_or(error)?;
        let marker = if marker.is_empty() { String::new() } else { format!(" ;{marker}") };
        Ok(Requirement::from_str(&format!("{versions}{closing}{marker}"))?)
    })
}

/// Headers of an e-mail-like file. Names are case-insensitive.
///
/// Source: RFC 822, read as Python's `email` reads it: the first line that is neither a header nor its continuation
/// ends them.
#[derive(Debug, Default)]
pub struct Headers(Vec<(String, String)>);

impl Headers {
    /// Read the headers at the beginning of `bytes`.
    pub fn parse(bytes: &[u8]) -> Headers {
        let mut headers: Vec<(String, String)> = Vec::new();
        for line in bytes.split(|byte| *byte == b'\n') {
            // Old wheels have names of authors in other encodings, which must not be an error.
            let line = String::from_utf8_lossy(line);
            let line = line.trim_end_matches('\r');
            if let (true, Some((_, value))) = (line.starts_with([' ', '\t']), headers.last_mut()) {
                value.push('\n');
                value.push_str(line.trim());
                continue;
            }
            match line.split_once(':') {
                Some((name, value))
                    if !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic()) =>
                {
                    headers.push((name.to_string(), value.trim().to_string()));
                }
                // The description follows, which may look like headers.
                _ => break,
            }
        }
        Headers(headers)
    }

    /// The first header of this name.
    pub fn first(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// Every header of this name, in order.
    pub fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_end_at_the_first_line_that_is_not_a_header() {
        for (text, want) in [
            ("A: 1\n\nA: 2\n", vec!["1"]),
            ("A: 1\r\nb: x\r\n  y: z\r\na: 2\r\n\r\nbody", vec!["1", "2"]),
            ("A: 1\nThis is text: with a colon\nA: 2\n", vec!["1"]),
            ("A:1\nB: one\n        two\n\tA: 3\nA: \n", vec!["1", ""]),
        ] {
            let headers = Headers::parse(text.as_bytes());
            assert_eq!(headers.all("a").collect::<Vec<_>>(), want, "{text:?}");
        }
    }

    #[test]
    fn metadata_is_read() {
        let text = "Metadata-Version: 2.1\nName: All.Data\nVersion: 1.0RC1\nRequires-Python: >=3.8, !=3.9.*\n\
                    Provides-Extra: x\nRequires-Dist: a>=1; extra == 'x'\nRequires-Dist: b[c] (<2)\n\
                    Requires-Dist: d @ https://host/d-1.0-py3-none-any.whl\n\nRequires-Dist: text\n";
        let metadata = Metadata::parse("w", text.as_bytes()).unwrap();
        assert_eq!(metadata.name, "All.Data");
        assert_eq!(metadata.normalized_name(), "all-data");
        assert_eq!(metadata.version.to_string(), "1.0rc1");
        assert!(metadata.requires_python.unwrap().contains(&"3.11.4".parse().unwrap()));
        let names: Vec<String> = metadata.requires_dist.iter().map(|dist| dist.name.to_string()).collect();
        assert_eq!(names, ["a", "b", "d"]);
    }

    /// Which lines count as malformed was compared with `packaging` 25, which the agent's pex uses.
    #[test]
    fn a_comma_after_the_last_version_is_ignored() {
        for (line, want) in [
            ("a>=1,", Some("a>=1")),
            ("a (>=1, <2,) ; extra == 'x'", Some("a>=1,<2 ; extra == 'x'")),
            ("a>=1,;python_version>'3'", Some("a>=1 ; python_full_version >= '3.1'")),
            ("a>=1,,", None),
            ("a,", None),
            ("a>=1.*", None),
        ] {
            assert_eq!(dependency(line).ok().map(|found| found.to_string()).as_deref(), want, "{line}");
        }
    }

    #[test]
    fn dependencies_that_would_take_forever_are_refused_at_once() {
        let head = "Name: a\nVersion: 1\n";
        let tangle = (0..40).map(|at| format!("(extra == 'a{at:02}' and extra == 'b{at:02}')"));
        let tangle = tangle.collect::<Vec<_>>().join(" or ");
        for (lines, reason) in [
            (format!("Requires-Dist: b; {}\n", "(".repeat(10_000)), "malformed dependency"),
            (format!("Requires-Dist: b; {tangle}\n"), "malformed dependency"),
            ("Requires-Dist: b\n".repeat(10_001), "more than 10000"),
        ] {
            let message =
                Metadata::parse("w.whl", format!("{head}{lines}").as_bytes()).unwrap_err().to_string();
            assert!(
                message.contains(reason) && message.contains("w.whl") && message.len() < 1000,
                "{message}"
            );
        }
    }

    #[test]
    fn malformed_metadata_is_refused_with_the_line() {
        for (text, reason) in [
            ("Version: 1\n", "no `Name`"),
            ("Name: a\n", "no `Version`"),
            ("Name: a\nVersion: one\n", "`Version: one`"),
            ("Name: a\nVersion: 1\nRequires-Python: 3\n", "`Requires-Python: 3`"),
            ("Name: a\nVersion: 1\nRequires-Dist: b >>1\n", "`Requires-Dist: b >>1`"),
        ] {
            let message = Metadata::parse("w.whl", text.as_bytes()).unwrap_err().to_string();
            assert!(message.contains(reason) && message.contains("w.whl"), "{message}");
        }
    }
}
