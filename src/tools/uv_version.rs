//! A release of uv, as `uv --version` prints it.

use std::fmt;

/// A release of uv: `0.13.9`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct UvVersion(pub u32, pub u32, pub u32);

impl UvVersion {
    /// From the output of `uv --version`: `uv 0.13.9 (x86_64-unknown-linux-gnu)`.
    pub(super) fn parse(text: &str) -> Option<UvVersion> {
        let mut numbers = text.strip_prefix("uv ")?.split_whitespace().next()?.splitn(3, '.');
        let major = numbers.next()?.parse().ok()?;
        let minor = numbers.next()?.parse().ok()?;
        let patch = numbers.next()?;
        let digits = patch.find(|c: char| !c.is_ascii_digit()).unwrap_or(patch.len());
        Some(UvVersion(major, minor, patch[..digits].parse().ok()?))
    }
}

impl fmt::Display for UvVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_uvs_output() {
        for (text, want) in [
            ("uv 0.13.9 (x86_64-unknown-linux-gnu)\n", Some(UvVersion(0, 13, 9))),
            ("uv 0.9.8\n", Some(UvVersion(0, 9, 8))),
            ("uv 1.0.0-rc.1 (abc 2027-01-01)", Some(UvVersion(1, 0, 0))),
            ("uvicorn 0.30.0", None),
            ("", None),
        ] {
            assert_eq!(UvVersion::parse(text), want, "{text}");
        }
        assert!(UvVersion(0, 13, 9) > UvVersion(0, 9, 30));
    }
}
