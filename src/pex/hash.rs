//! The digests of the PEX format. They are cache keys: readers compare them and never recompute them.

use crate::hex::hex;
use sha2::digest::Digest;

/// SHA-1 or SHA-256 of a set of files: all names joined with nothing between them, then all contents, both in the
/// order of the names. Source: pex 2.59.5 stores these values; reproduced for its own files.
pub(super) struct TreeHash<D>(D);

impl<D: Digest> TreeHash<D> {
    /// Start with the names, which must be sorted as bytes.
    pub(super) fn from_names<'a>(names: impl Iterator<Item = &'a str>) -> TreeHash<D> {
        let mut digest = D::new();
        for name in names {
            digest.update(name);
        }
        TreeHash(digest)
    }

    /// Add a piece of the next content.
    pub(super) fn content(&mut self, piece: &[u8]) {
        self.0.update(piece);
    }

    /// Lower-case hex.
    pub(super) fn finish(self) -> String {
        hex(self.0.finalize())
    }
}

/// Whether a path (with `/`) is compiled Python: in a `__pycache__`, `*.pyc`, `*.pyo` or `*.pyc.DIGITS`.
///
/// No PEX has such files: they depend on the machine, and Python compiles again.
pub fn is_bytecode(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    // CPython writes `x.pyc.NUMBER` first and renames it, so a killed process leaves one behind.
    let unfinished = name
        .rsplit_once(".pyc.")
        .is_some_and(|(_, digits)| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()));
    unfinished
        || name.ends_with(".pyc")
        || name.ends_with(".pyo")
        || path.split('/').any(|part| part == "__pycache__")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_of_no_files_is_that_of_nothing() {
        let nothing = TreeHash::<sha1::Sha1>::from_names(std::iter::empty());
        assert_eq!(nothing.finish(), "da39a3ee5e6b4b0d3255bfef95601890afd80709");
        let nothing = TreeHash::<sha2::Sha256>::from_names(std::iter::empty());
        assert_eq!(nothing.finish(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }

    #[test]
    fn names_come_first_and_then_contents() {
        let mut tree = TreeHash::<sha1::Sha1>::from_names(["a", "b/c"].into_iter());
        tree.content(b"on");
        tree.content(b"e");
        let mut flat = TreeHash::<sha1::Sha1>::from_names(std::iter::empty());
        flat.content(b"ab/cone");
        assert_eq!(tree.finish(), flat.finish());
    }

    #[test]
    fn bytecode_is_recognised_by_its_name() {
        for (path, want) in [
            ("a.pyc", true),
            ("a/b.pyo", true),
            ("a.pyc.140", true),
            ("__pycache__/a.py", true),
            ("x/__pycache__/y/a.txt", true),
            ("a.py", false),
            ("a.pyc.", false),
            ("a.pyc.1x", false),
            ("pyc", false),
            ("my__pycache__/a", false),
        ] {
            assert_eq!(is_bytecode(path), want, "{path}");
        }
    }
}
