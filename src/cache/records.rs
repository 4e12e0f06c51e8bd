//! Short texts in the cache: each with a SHA-256 of itself and its name, checked whenever it is read.
//!
//! The first line of a file is the digest, the rest the text. What is damaged, or lies under another name than it was
//! written for, is as good as absent: whoever asked makes it anew and writes over it.

use super::{Cache, CacheError, write_atomically};
use crate::hex::hex;
use sha2::{Digest, Sha256};
use std::io::Write;
use std::path::Path;

impl Cache {
    /// The text that was kept under `name`, a path below the cache directory; `None` if there is none, or no whole one.
    pub fn recall(&self, name: impl AsRef<Path>) -> Option<String> {
        let content = std::fs::read_to_string(self.root.join(&name)).ok()?;
        let (digest, text) = content.split_once('\n')?;
        (digest == seal(name.as_ref(), text)).then(|| text.to_string())
    }

    /// Keep a text under `name`, a path below the cache directory, for later runs.
    ///
    /// # Errors
    /// When the cache cannot be written.
    pub fn keep(&self, name: impl AsRef<Path>, text: &str) -> Result<(), CacheError> {
        let path = self.root.join(&name);
        write_atomically(&path, |file| {
            let written = write!(file, "{}\n{text}", seal(name.as_ref(), text));
            written.map_err(|source| CacheError { action: "write", path: path.clone(), source })
        })
    }
}

/// The digest of a text and the name that it is kept under, lower-case hex.
fn seal(name: &Path, text: &str) -> String {
    let mut digest = Sha256::new();
    digest.update(name.as_os_str().as_encoded_bytes());
    digest.update(b"\n");
    digest.update(text);
    hex(digest.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_with_any_bit_flipped_is_as_good_as_absent() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache { root: dir.path().join("cache") };
        assert_eq!(cache.recall("a/b"), None);
        cache.keep("a/b", "two\nlines").unwrap();
        assert_eq!(cache.recall("a/b").as_deref(), Some("two\nlines"));
        let path = cache.root().join("a/b");
        let whole = std::fs::read(&path).unwrap();
        for bit in 0..8 * whole.len() {
            let mut damaged = whole.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(&path, damaged).unwrap();
            assert_eq!(cache.recall("a/b"), None, "bit {bit}");
        }
        for length in 0..whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            assert_eq!(cache.recall("a/b"), None, "the first {length} bytes");
        }
        std::fs::write(cache.root().join("a/other"), &whole).unwrap();
        assert_eq!(cache.recall("a/other"), None, "under another name");
    }
}
