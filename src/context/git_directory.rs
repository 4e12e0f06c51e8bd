//! The checked-out commit, read from the files of a repository: a run asks for it several times, and a process takes as
//! long as building a source PEX.
//!
//! Source: git's manual, gitrepository-layout. Whatever is not as described here is left to git itself.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Variables that say where a repository is, or what its references are called.
const ELSEWHERE: [&str; 5] =
    ["GIT_DIR", "GIT_WORK_TREE", "GIT_COMMON_DIR", "GIT_NAMESPACE", "GIT_DISCOVERY_ACROSS_FILESYSTEM"];
/// Longer text files are left to git, except packed references.
const LIMIT_BYTES: u64 = 64 * 1024;
/// Packed references of more bytes are left to git.
const PACKED_LIMIT_BYTES: u64 = 16 * 1024 * 1024;

/// A repository with a work tree.
#[derive(Debug)]
pub(super) struct GitDirectory {
    /// The top of the work tree, without symbolic links.
    pub(super) top: PathBuf,
    /// What belongs to this work tree alone.
    own: PathBuf,
    /// What it shares with other work trees of the repository.
    common: PathBuf,
}

impl GitDirectory {
    /// The repository of a directory. Directories above `ceiling` are not searched. `None` without a repository, or if it
    /// is not a plain one.
    pub(super) fn of(
        directory: &Path,
        ceiling: Option<&Path>,
        env: &BTreeMap<OsString, OsString>,
    ) -> Option<GitDirectory> {
        if ELSEWHERE.iter().any(|name| env.contains_key(std::ffi::OsStr::new(name))) {
            return None;
        }
        let directory = directory.canonicalize().ok()?;
        let ceiling = ceiling.and_then(|path| path.canonicalize().ok());
        let candidates = directory.ancestors().take_while(|path| Some(*path) != ceiling.as_deref());
        let top = candidates.into_iter().find(|path| path.join(".git").exists())?;
        let link = top.join(".git");
        let own = match link.is_dir() {
            true => link,
            // A work tree of its own, or a submodule.
            false => top.join(text(&link, LIMIT_BYTES)?.strip_prefix("gitdir: ")?.trim_end()),
        };
        let common = match text(&own.join("commondir"), LIMIT_BYTES) {
            Some(path) => own.join(path.trim_end()),
            None => own.clone(),
        };
        let config = text(&common.join("config"), LIMIT_BYTES)?.to_ascii_lowercase();
        // Another place for the files, or another format of references.
        let is_plain = !config.contains("worktree") && !config.contains("extensions");
        is_plain.then(|| GitDirectory { top: top.to_path_buf(), own, common })
    }

    /// Full hash of the checked-out commit.
    pub(super) fn head(&self) -> Option<String> {
        let mut text = text(&self.own.join("HEAD"), LIMIT_BYTES)?;
        // A reference may lead to another one; git follows five.
        for _ in 0..5 {
            match text.trim_end().strip_prefix("ref: ") {
                None => return hash(&text),
                Some(name) => text = self.reference(name)?,
            }
        }
        None
    }

    fn reference(&self, name: &str) -> Option<String> {
        if !name.starts_with("refs/") || name.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return None;
        }
        text(&self.common.join(name), LIMIT_BYTES).or_else(|| {
            let packed = text(&self.common.join("packed-refs"), PACKED_LIMIT_BYTES)?;
            let mut lines = packed.lines().filter_map(|line| line.split_once(' '));
            lines.find(|(_, packed)| *packed == name).map(|(hash, _)| hash.to_string())
        })
    }
}

fn hash(text: &str) -> Option<String> {
    let hash = text.trim_end();
    let is_hash = matches!(hash.len(), 40 | 64) && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hash.then(|| hash.to_ascii_lowercase())
}

/// The text of a file that is not longer than `limit`.
fn text(path: &Path, limit: u64) -> Option<String> {
    let metadata = path.metadata().ok()?;
    (metadata.is_file() && metadata.len() <= limit).then(|| std::fs::read_to_string(path).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    fn git(directory: &Path, args: &[&str]) -> String {
        let output = Command::new("git")
            .args(["-c", "user.name=a", "-c", "user.email=a@b", "-c", "protocol.file.allow=always"])
            .args(args)
            .current_dir(directory)
            .output()
            .unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim_end().to_string()
    }

    /// Asserts that a directory is read as git reads it.
    fn assert_like_git(directory: &Path) {
        let found = GitDirectory::of(directory, None, &BTreeMap::new()).unwrap();
        assert_eq!(found.head().unwrap(), git(directory, &["rev-parse", "HEAD"]), "{}", directory.display());
        let top = PathBuf::from(git(directory, &["rev-parse", "--show-toplevel"]));
        assert_eq!(found.top, top.canonicalize().unwrap());
    }

    #[test]
    fn the_head_is_that_of_git_in_branches_work_trees_submodules_and_packed() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::create_dir_all(at("one/below")).unwrap();
        git(&at("one"), &["init", "-q", "-b", "feature/x"]);
        git(&at("one"), &["commit", "-q", "--allow-empty", "-m", "1"]);
        assert_like_git(&at("one"));
        assert_like_git(&at("one/below"));
        git(&at("one"), &["worktree", "add", "-q", "../two", "-b", "other"]);
        git(&at("two"), &["commit", "-q", "--allow-empty", "-m", "2"]);
        assert_like_git(&at("two"));
        git(&at("one"), &["pack-refs", "--all"]);
        assert_like_git(&at("one"));
        assert_like_git(&at("two"));
        git(&at("one"), &["checkout", "-q", "--detach"]);
        assert_like_git(&at("one"));
        std::fs::create_dir(at("host")).unwrap();
        git(&at("host"), &["init", "-q"]);
        git(&at("host"), &["submodule", "add", "-q", at("two").to_str().unwrap(), "sub"]);
        git(&at("host"), &["commit", "-q", "-m", "3"]);
        assert_like_git(&at("host"));
    }

    #[test]
    fn what_is_not_plain_is_left_to_git() {
        let dir = tempfile::tempdir().unwrap();
        let none = BTreeMap::new();
        let found = |env| GitDirectory::of(dir.path(), None, env);
        assert!(found(&none).is_none(), "no repository");
        git(dir.path(), &["init", "-q"]);
        assert_eq!(found(&none).unwrap().head(), None, "no commit");
        git(dir.path(), &["commit", "-q", "--allow-empty", "-m", "1"]);
        assert!(found(&none).unwrap().head().is_some());
        let elsewhere = BTreeMap::from([(OsString::from("GIT_DIR"), OsString::from("/x"))]);
        assert!(found(&elsewhere).is_none());
        assert!(GitDirectory::of(dir.path(), Some(dir.path()), &none).is_none(), "at the ceiling");
        git(dir.path(), &["config", "extensions.worktreeConfig", "true"]);
        assert!(found(&none).is_none());
    }
}
