//! Short texts in the cache. Each is stored with a SHA-256 of its text and name, which is checked on every read.
//!
//! The first line of a file is the digest, the rest is the text. A damaged file, or one that was moved to another name,
//! counts as missing: the caller makes it again and overwrites it.

use super::{Cache, CacheError, write_by_way_of};
use crate::hex::hex;
use sha2::{Digest, Sha256};
use std::io::Write;
use std::path::Path;

impl Cache {
    /// The text stored under `name`, a path below the cache directory. `None` if it is missing or damaged.
    pub fn recall(&self, name: impl AsRef<Path>) -> Option<String> {
        let content = std::fs::read_to_string(self.root.join(&name)).ok()?;
        let (digest, text) = content.split_once('\n')?;
        (digest == seal(name.as_ref(), text)).then(|| text.to_string())
    }

    /// Store a text under `name`, a path below the cache directory, for later runs.
    ///
    /// # Errors
    /// When the cache cannot be written.
    pub fn keep(&self, name: impl AsRef<Path>, text: &str) -> Result<(), CacheError> {
        let path = self.root.join(&name);
        // Of the part of the cache that it is in: deeper directories are not searched for leftovers.
        let part =
            name.as_ref().components().next().filter(|_| name.as_ref().parent() != Some(Path::new("")));
        let directory = part.map_or_else(|| self.root.clone(), |part| self.root.join(part));
        write_by_way_of(&directory, &path, |file| {
            let written = write!(file, "{}\n{text}", seal(name.as_ref(), text));
            written.map_err(|source| CacheError { action: "write", path: path.clone(), source })
        })
    }
}

/// Digest of a text and its name, lower-case hex.
fn seal(name: &Path, text: &str) -> String {
    let mut digest = Sha256::new();
    // With the name in it, a file that was copied to another key is not taken for that key.
    digest.update(name.as_os_str().as_encoded_bytes());
    digest.update(b"\n");
    digest.update(text);
    hex(digest.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_with_any_bit_flipped_counts_as_missing() {
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
