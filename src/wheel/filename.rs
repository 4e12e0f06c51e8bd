//! The file name of a wheel.

use super::WheelError;
use pep440_rs::Version;
use std::fmt;
use std::str::FromStr;

/// The parts of `NAME-VERSION(-BUILD)?-PYTHON-ABI-PLATFORM.whl`. `Display` prints exactly what was parsed.
///
/// Source: "Binary distribution format" (PyPA), section on the file name convention.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WheelName {
    name: String,
    version_text: String,
    version: Version,
    build: Option<String>,
    python: String,
    abi: String,
    platform: String,
}

impl WheelName {
    /// The name of the distribution, normalised: lower case, runs of `-`, `_`, `.` as one `-`.
    pub fn name(&self) -> String {
        normalized_name(&self.name)
    }

    /// The version.
    pub fn version(&self) -> &Version {
        &self.version
    }

    /// The build tag as a sort key: its leading number, then the rest. `None` sorts first.
    pub fn build(&self) -> Option<(u64, &str)> {
        let build = self.build.as_deref()?;
        let digits = build.find(|c: char| !c.is_ascii_digit()).unwrap_or(build.len());
        // More digits than a u64 has sort last.
        Some((build[..digits].parse().unwrap_or(u64::MAX), &build[digits..]))
    }

    /// Every `(python, abi, platform)` that the compressed tag set stands for.
    pub fn tags(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        self.python.split('.').flat_map(move |python| {
            self.abi
                .split('.')
                .flat_map(move |abi| self.platform.split('.').map(move |platform| (python, abi, platform)))
        })
    }
}

impl FromStr for WheelName {
    type Err = WheelError;

    fn from_str(file_name: &str) -> Result<Self, WheelError> {
        let refuse = |reason: &str| WheelError::FileName {
            file_name: file_name.escape_debug().to_string(),
            reason: reason.to_string(),
        };
        let stem = file_name.strip_suffix(".whl").ok_or_else(|| refuse("it does not end in `.whl`"))?;
        let parts: Vec<&str> = stem.split('-').collect();
        let (build, [python, abi, platform]) = match parts[..] {
            [_, _, python, abi, platform] => (None, [python, abi, platform]),
            [_, _, build, python, abi, platform] => (Some(build), [python, abi, platform]),
            _ => return Err(refuse("it does not have five or six parts between dashes")),
        };
        let is_word = |part: &str| {
            part.split('.')
                .all(|word| !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'))
        };
        if !is_word(parts[0]) {
            return Err(refuse("the name of the distribution may have only letters, digits, `_` and `.`"));
        }
        if ![python, abi, platform].into_iter().all(is_word) {
            return Err(refuse("its tags may have only letters, digits, `_` and `.`"));
        }
        if build.is_some_and(|build| !build.starts_with(|c: char| c.is_ascii_digit()) || !is_word(build)) {
            return Err(refuse("the build tag (third of six parts) does not start with a digit"));
        }
        let version = Version::from_str(parts[1])
            // Wheel names escape the `+` of a local version as `_`.
            .or_else(|_| Version::from_str(&parts[1].replace('_', "+")))
            .map_err(|_| refuse(&format!("`{}` is not a version", parts[1])))?;
        Ok(WheelName {
            name: parts[0].to_string(),
            version_text: parts[1].to_string(),
            version,
            build: build.map(str::to_string),
            python: python.to_string(),
            abi: abi.to_string(),
            platform: platform.to_string(),
        })
    }
}

impl fmt::Display for WheelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.name, self.version_text)?;
        if let Some(build) = &self.build {
            write!(f, "-{build}")?;
        }
        write!(f, "-{}-{}-{}.whl", self.python, self.abi, self.platform)
    }
}

/// The normalised name of a distribution. Source: "Names and normalization" (PyPA).
pub fn normalized_name(name: &str) -> String {
    let mut normal = String::with_capacity(name.len());
    for c in name.chars() {
        if !matches!(c, '-' | '_' | '.') {
            normal.push(c.to_ascii_lowercase());
        // A run of separators counts as one. Source: PEP 503.
        } else if !normal.ends_with('-') {
            normal.push('-');
        }
    }
    normal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printing_gives_back_what_was_parsed() {
        for text in [
            "pandas-2.2.3-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
            "six-1.16.0-py2.py3-none-any.whl",
            "a-1.0-2b-py3-none-any.whl",
            "zope.interface-5.0-py3-none-any.whl",
            "torch-2.0rc1+cu12.1-cp311-cp311-linux_x86_64.whl",
            "X_y-1!2.0.post1.dev3-py3-none-any.whl",
        ] {
            assert_eq!(text.parse::<WheelName>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn the_parts_of_a_name_are_read() {
        let wheel: WheelName = "Zope.Interface-5.0-12a-cp39.cp310-abi3-linux_x86_64.whl".parse().unwrap();
        assert_eq!(wheel.name(), "zope-interface");
        assert_eq!(wheel.version().to_string(), "5.0");
        assert_eq!(wheel.build(), Some((12, "a")));
        assert_eq!(
            wheel.tags().collect::<Vec<_>>(),
            [("cp39", "abi3", "linux_x86_64"), ("cp310", "abi3", "linux_x86_64")]
        );
    }

    #[test]
    fn other_names_are_refused_with_the_reason() {
        for (text, reason) in [
            ("a-1.0.tar.gz", "does not end in `.whl`"),
            ("a-1.0-py3-any.whl", "five or six parts"),
            ("a-1.0-1-2-py3-none-any.whl", "five or six parts"),
            ("../a-1.0-py3-none-any.whl", "letters, digits"),
            ("-1.0-py3-none-any.whl", "letters, digits"),
            ("a-x-py3-none-any.whl", "`x` is not a version"),
            ("a-1.0-b1-py3-none-any.whl", "does not start with a digit"),
            ("a-1.0-py3-no/ne-any.whl", "tags may have"),
            ("a-1.0-py3-none-any .whl", "tags may have"),
        ] {
            let message = text.parse::<WheelName>().unwrap_err().to_string();
            assert!(message.contains(reason), "{text}: {message}");
        }
    }

    #[test]
    fn names_normalize() {
        for (name, want) in [("A", "a"), ("a_-.b", "a-b"), ("Zope.Interface", "zope-interface")] {
            assert_eq!(normalized_name(name), want);
        }
    }
}
