//! Digests of content: `sha256:` and 64 hexadecimal digits.

use crate::hex::hex;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::str::FromStr;

/// The SHA-256 of some content.
///
/// Only this algorithm is read: registries may offer `sha512`, but no image in use has it. Because the text is checked
/// before a value exists, a digest can be put into a path or an address.
/// Source: OCI image specification, descriptor.md, "Digests".
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest([u8; 32]);

/// Why a text is not a digest.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("invalid digest {0:?}: it must be `sha256:` and 64 digits of 0-9 and a-f")]
pub struct DigestError(String);

impl Digest {
    /// Hash content.
    pub fn of(content: impl AsRef<[u8]>) -> Digest {
        Digest(Sha256::digest(content).into())
    }

    /// The value that a hasher came to.
    pub fn from_hasher(hasher: Sha256) -> Digest {
        Digest(hasher.finalize().into())
    }

    /// 64 hexadecimal digits, without the algorithm.
    pub fn hex(&self) -> String {
        hex(self.0)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Digest, DigestError> {
        let wrong = || DigestError(text.chars().take(100).collect());
        let digits = text.strip_prefix("sha256:").ok_or_else(wrong)?;
        if digits.len() != 64 || !digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(wrong());
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| wrong())?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| wrong())?;
        }
        Ok(Digest(bytes))
    }
}

impl TryFrom<String> for Digest {
    type Error = DigestError;

    fn try_from(text: String) -> Result<Digest, DigestError> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> String {
        digest.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn a_digest_is_printed_as_it_was_read() {
        assert_eq!(EMPTY.parse::<Digest>().unwrap().to_string(), EMPTY);
        assert_eq!(Digest::of(b"").to_string(), EMPTY);
    }

    #[test]
    fn nothing_else_is_a_digest() {
        let upper = EMPTY.to_uppercase();
        for wrong in [
            "",
            "sha256:",
            "sha256:../../x",
            &EMPTY[..70],
            &format!("{EMPTY}0"),
            &upper,
            &EMPTY.replace("256", "512"),
        ] {
            assert!(wrong.parse::<Digest>().is_err(), "{wrong}");
        }
        // A sign is a number to `from_str_radix`.
        assert!(format!("sha256:{}", "+1".repeat(32)).parse::<Digest>().is_err());
    }
}
