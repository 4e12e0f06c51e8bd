//! Bytes as hexadecimal digits, for digests.

use std::fmt::Write;

/// Two lower-case digits for each byte.
pub fn hex(bytes: impl AsRef<[u8]>) -> String {
    bytes.as_ref().iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// `deps-HASH.pex` with the first eight digits of the hash: enough to tell files apart, and to find one.
pub fn short_name(file: &str) -> String {
    let (kind, rest) = file.split_once('-').unwrap_or(("", file));
    let hash = short_hash(rest);
    if kind.is_empty() { hash.to_string() } else { format!("{kind}-{hash}") }
}

/// The first eight digits of the hash in `deps-HASH.pex`, `HASH.pex` or a commit.
pub fn short_hash(name: &str) -> &str {
    let hash = name.rsplit_once('-').map_or(name, |(_, hash)| hash);
    let digits = hash.find(|each: char| !each.is_ascii_hexdigit()).unwrap_or(hash.len());
    &hash[..digits.min(8)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_byte_has_two_digits() {
        assert_eq!(hex([0, 10, 255]), "000aff");
    }

    #[test]
    fn hashes_have_eight_digits() {
        for (name, want) in [
            ("deps-988a13675f6d2aeefbff99cc0e1c8e54fa289213.pex", "988a1367"),
            ("0123456789abcdef", "01234567"),
            ("ab12", "ab12"),
            ("-", ""),
        ] {
            assert_eq!(short_hash(name), want);
        }
    }
}
