//! `RECORD`: the list of the files of an installed distribution.
//!
//! Source: "Recording installed projects" (PyPA specification): `path,sha256=DIGEST,SIZE` by CSV, digests as unpadded
//! URL-safe base64, no digest for RECORD itself.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// Algorithms whose digests are kept as the wheel has them. Source: `hashlib.algorithms_guaranteed` without the ones
/// that the specification forbids.
const ALGORITHMS: [&str; 3] = ["sha256", "sha384", "sha512"];

/// Digest and size of a file, as in RECORD.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    digest: String,
    size_bytes: u64,
}

impl Row {
    /// The row of a content that is in memory.
    pub fn of(content: &[u8]) -> Row {
        Row::from_hasher(Sha256::new_with_prefix(content), content.len() as u64)
    }

    /// The row of a content that was hashed.
    pub fn from_hasher(hasher: Sha256, size_bytes: u64) -> Row {
        let digest = BASE64_URL_SAFE_NO_PAD.encode(hasher.finalize());
        Row { digest: format!("sha256={digest}"), size_bytes }
    }

    /// Whether it is for a content of this size.
    pub fn has_size(&self, size_bytes: u64) -> bool {
        self.size_bytes == size_bytes
    }
}

/// The rows of a wheel's RECORD by path, without those that have no digest.
pub fn parse(text: &str) -> BTreeMap<String, Row> {
    let row = |line: &str| {
        let [path, digest, size] = <[String; 3]>::try_from(fields(line)).ok()?;
        let known = digest.split_once('=').is_some_and(|(name, value)| {
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'=');
            ALGORITHMS.contains(&name) && !value.is_empty() && value.bytes().all(is_plain)
        });
        known.then_some(())?;
        Some((path, Row { digest, size_bytes: size.trim().parse().ok()? }))
    };
    text.lines().filter_map(row).collect()
}

/// The text of a RECORD, sorted by path. `own` is the path of RECORD itself.
pub fn text(rows: &BTreeMap<String, Row>, own: &str) -> String {
    let mut lines: BTreeMap<&str, String> = BTreeMap::new();
    for (path, Row { digest, size_bytes }) in rows {
        lines.insert(path, format!("{},{digest},{size_bytes}\n", quoted(path)));
    }
    lines.insert(own, format!("{},,\n", quoted(own)));
    lines.into_values().collect()
}

fn quoted(path: &str) -> String {
    match path.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", path.replace('"', "\"\"")),
        false => path.to_string(),
    }
}

/// The fields of a CSV line. Paths of wheels have no line breaks.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut is_quoted = false;
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if is_quoted && letters.peek() == Some(&'"') => {
                letters.next();
                fields.last_mut().map(|field| field.push('"')).unwrap_or_default();
            }
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => fields.push(String::new()),
            letter => fields.last_mut().map(|field| field.push(letter)).unwrap_or_default(),
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_and_written_in_the_order_of_paths() {
        let text_of = "b.py,sha256=abc,1\n\"a,\"\"x\"\".py\",sha512=d-_,22\nx-1.dist-info/RECORD,,\n";
        let rows = parse(text_of);
        let written = text(&rows, "x-1.dist-info/RECORD");
        insta::assert_snapshot!(written, @r#"
        "a,""x"".py",sha512=d-_,22
        b.py,sha256=abc,1
        x-1.dist-info/RECORD,,
        "#);
        assert_eq!(parse(&written), rows);
    }

    #[test]
    fn rows_without_a_usable_digest_are_left_out() {
        for line in
            ["a,,", "a,md5=x,1", "a,sha256=,1", "a,sha256=x,", "a,sha256=x,y", "a", "a,sha256=x y,1", ""]
        {
            assert!(parse(line).is_empty(), "{line}");
        }
    }

    #[test]
    fn the_digest_is_that_of_pip() {
        let rows = BTreeMap::from([("a".to_string(), Row::of(b"pip\n"))]);
        let text = text(&rows, "RECORD");
        assert!(text.contains("a,sha256=zuuue4knoyJ-UwPPXg8fezS7VCrXJQrAP7zeNuwvFQg,4\n"), "{text}");
    }
}
