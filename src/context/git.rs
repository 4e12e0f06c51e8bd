//! Reads the work tree: branch, remote, and the metadata of a commit. Every answer may be missing: no git, no
//! repository, or (after a shallow checkout) no such commit.

use super::git_directory::GitDirectory;
use crate::child_env::{self, Purpose};
use crate::env_vars;
use crate::hex::short_hash;
use crate::host::Host;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where git stops looking for a repository. Source: git's manual, `GIT_CEILING_DIRECTORIES`.
const CEILING: &str = "GIT_CEILING_DIRECTORIES";

/// A directory in a work tree.
#[derive(Debug, Clone)]
pub struct WorkTree {
    directory: PathBuf,
    /// The directory above those that are searched.
    ceiling: Option<PathBuf>,
    env: BTreeMap<OsString, OsString>,
}

/// Metadata of one commit.
#[derive(Debug, Clone, PartialEq)]
pub struct Commit {
    /// Full hash.
    pub hash: String,
    /// Committer date, seconds since the epoch.
    pub timestamp: f64,
    /// First line of the message.
    pub subject: String,
    /// Author's name.
    pub author_name: String,
    /// Author's address.
    pub author_email: String,
}

/// The host of a repository, from its remote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    /// Host name.
    pub host: String,
    /// The part of the path before the name.
    pub owner: String,
    /// The last part of the path, without `.git`.
    pub name: String,
}

impl Remote {
    /// `owner/name`.
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.owner, self.name)
    }

    /// `https://HOST/OWNER/NAME`, for hosts with a name that suggests GitHub's URLs.
    pub fn web_url(&self) -> Option<String> {
        self.host.contains("github").then(|| format!("https://{}/{}/{}", self.host, self.owner, self.name))
    }

    /// Read `https://h/o/n.git`, `ssh://git@h:22/o/n` or `git@h:o/n.git`.
    pub fn parse(url: &str) -> Option<Remote> {
        let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
        let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
        let (host, path) = match (rest.find('/'), rest.find(':')) {
            // A colon before the first slash: the scp-like form, or a port.
            (slash, Some(colon)) if slash.is_none_or(|slash| colon < slash) => {
                let (host, path) = (&rest[..colon], &rest[colon + 1..]);
                // `host:22/owner/name` has a port, `host:owner/name` does not.
                match path.split_once('/') {
                    Some((port, path)) if port.bytes().all(|byte| byte.is_ascii_digit()) => (host, path),
                    _ => (host, path),
                }
            }
            (Some(slash), _) => (&rest[..slash], &rest[slash + 1..]),
            (None, _) => return None,
        };
        let mut parts = path.trim_matches('/').rsplit('/').filter(|part| !part.is_empty());
        let name = parts.next()?;
        let name = name.strip_suffix(".git").unwrap_or(name).to_string();
        let owner = parts.next()?.to_string();
        (!host.is_empty() && !name.is_empty()).then(|| Remote { host: host.to_string(), owner, name })
    }
}

impl WorkTree {
    /// The work tree of `directory`, if there is one.
    ///
    /// On a runner, only directories below the workspace are searched: a repository that contains the runner itself is
    /// unrelated to the code.
    pub fn at(directory: &Path, host: &Host) -> WorkTree {
        let mut env = child_env::for_child(host, Purpose::Git);
        let workspace = host.path_var(env_vars::GITHUB_WORKSPACE).filter(|path| directory.starts_with(path));
        let ceiling = workspace.as_deref().and_then(Path::parent).map(Path::to_path_buf);
        if let Some(above) = &ceiling {
            let ceiling = env.entry(CEILING.into()).or_default();
            if !ceiling.is_empty() {
                ceiling.push(":");
            }
            // A ceiling excludes the directory itself, so it is the parent of the workspace.
            ceiling.push(above);
        }
        WorkTree { directory: directory.to_path_buf(), ceiling, env }
    }

    /// Full hash of the checked-out commit.
    pub fn head(&self) -> Option<String> {
        let read = self.repository().and_then(|repository| repository.head());
        read.or_else(|| self.git(&["rev-parse", "--verify", "--quiet", "HEAD"]))
    }

    fn repository(&self) -> Option<GitDirectory> {
        // A ceiling of the user's is left to git.
        let has_ceiling = self.env.get(OsStr::new(CEILING)).is_some_and(|value| {
            self.ceiling.as_ref().is_none_or(|own| value.as_os_str() != own.as_os_str())
        });
        if has_ceiling {
            return None;
        }
        GitDirectory::of(&self.directory, self.ceiling.as_deref(), &self.env)
    }

    /// The checked-out branch; `None` when the head is detached or there is no repository.
    pub fn branch(&self) -> Option<String> {
        self.git(&["symbolic-ref", "--quiet", "--short", "HEAD"])
    }

    /// Branch, commit and whether files have changed since, in words; `None` without a commit.
    pub fn state(&self) -> Option<String> {
        let hash = self.head()?;
        let branch = self.branch().unwrap_or_else(|| "no branch".into());
        let changes =
            if self.git(&["status", "--porcelain"]).is_some() { ", with uncommitted changes" } else { "" };
        Some(format!("{branch} at {}{changes}", short_hash(&hash)))
    }

    /// Whether there is a repository at all.
    pub fn exists(&self) -> bool {
        self.git(&["rev-parse", "--git-dir"]).is_some()
    }

    /// The top directory of the work tree.
    pub fn root(&self) -> Option<PathBuf> {
        let read = self.repository().map(|repository| repository.top);
        read.or_else(|| self.git(&["rev-parse", "--show-toplevel"]).map(PathBuf::from))
    }

    /// The files of the repository with one of these names, as far as git knows them or could add them; those that a sparse
    /// checkout leaves out are among them. Absolute.
    pub fn files(&self, names: &[&str]) -> Vec<PathBuf> {
        let patterns: Vec<String> = names.iter().map(|name| format!(":(top,glob)**/{name}")).collect();
        let mut args =
            vec!["ls-files", "-z", "--full-name", "--cached", "--others", "--exclude-standard", "--"];
        args.extend(patterns.iter().map(String::as_str));
        let (root, list) = (self.root().unwrap_or_default(), self.git(&args).unwrap_or_default());
        let paths: std::collections::BTreeSet<PathBuf> =
            list.split('\0').filter(|path| !path.is_empty()).map(|path| root.join(path)).collect();
        paths.into_iter().collect()
    }

    /// The remote `origin`.
    pub fn origin(&self) -> Option<Remote> {
        Remote::parse(&self.git(&["remote", "get-url", "origin"])?)
    }

    /// The default branch of `origin`.
    pub fn default_branch(&self) -> Option<String> {
        let name = self.git(&["symbolic-ref", "--quiet", "--short", "refs/remotes/origin/HEAD"])?;
        Some(name.strip_prefix("origin/").unwrap_or(&name).to_string())
    }

    /// Metadata of a commit (a hash, or `HEAD`); `None` when this clone does not have it.
    pub fn commit(&self, revision: &str) -> Option<Commit> {
        // Fields are separated by NUL, which no field can contain.
        let format = "--format=%H%x00%ct%x00%s%x00%an%x00%ae";
        let text = self.git(&["log", "-1", "--no-show-signature", "--no-color", format, revision, "--"])?;
        let mut fields = text.split('\0');
        Some(Commit {
            hash: fields.next()?.to_string(),
            timestamp: fields.next()?.parse().ok()?,
            subject: fields.next()?.to_string(),
            author_name: fields.next()?.to_string(),
            author_email: fields.next()?.to_string(),
        })
    }

    /// Whether the checked-out commit is this one, or a merge of it into another. The first parent of a merge is its
    /// base, which does not count. Parents are read from the commit itself, because a shallow clone does not have them.
    pub fn holds(&self, hash: &str) -> bool {
        let is_head = self.head().is_some_and(|head| head == hash);
        let head = self.git(&["cat-file", "commit", "HEAD"]).unwrap_or_default();
        let parents =
            head.lines().take_while(|line| !line.is_empty()).filter_map(|line| line.strip_prefix("parent "));
        is_head || parents.skip(1).any(|parent| parent == hash)
    }

    /// Number of the pull request that is checked out by its reference. A checkout step with `ref: refs/pull/7/merge`
    /// creates `refs/remotes/pull/7/merge`.
    pub fn pull_request(&self) -> Option<u64> {
        let names = self.names_of_head(&["refs/remotes/pull", "refs/pull"])?;
        names.lines().find_map(|name| name.split("pull/").nth(1)?.split('/').next()?.parse().ok())
    }

    /// The branches of `origin` with the checked-out commit as their newest, unless that commit is also in `base`.
    pub fn branches_beyond(&self, base: &str) -> Vec<String> {
        let names = self.names_of_head(&["refs/remotes/origin"]).unwrap_or_default();
        let names = names.lines().filter_map(|name| name.strip_prefix("refs/remotes/origin/"));
        // `origin/HEAD` is only a symbolic reference to the default branch.
        let names: Vec<String> = names.filter(|name| *name != "HEAD").map(String::from).collect();
        let is_in_base = |base: &str| {
            self.git(&["for-each-ref", "--contains", "HEAD", "--format=%(refname)", base]).is_some()
        };
        if names.is_empty() || is_in_base(&format!("refs/remotes/origin/{base}")) {
            Vec::new()
        } else {
            names
        }
    }

    /// The references below these to the checked-out commit, one per line.
    fn names_of_head(&self, below: &[&str]) -> Option<String> {
        let question = ["for-each-ref", "--points-at", "HEAD", "--format=%(refname)"];
        self.git(&[&question, below].concat())
    }

    /// Run git and return its output, if it succeeds with some. In a container the checkout often belongs to another
    /// user, hence `safe.directory`; all commands here only read.
    fn git(&self, args: &[&str]) -> Option<String> {
        let output = Command::new("git")
            .args(["-c", "safe.directory=*"])
            .args(args)
            .current_dir(&self.directory)
            .env_clear()
            .envs(&self.env)
            // No command here needs a login. A prompt would block the run.
            .env("GIT_TERMINAL_PROMPT", "0")
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .output()
            .ok()?;
        let text = String::from_utf8_lossy(&output.stdout).trim_end_matches(['\n', '\r']).to_string();
        (output.status.success() && !text.is_empty()).then_some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::tests::host;

    #[test]
    fn remotes_parse_in_each_spelling() {
        for (url, want) in [
            ("https://github.com/acme/proj.git", Some(("github.com", "acme/proj"))),
            ("https://user:pass@github.com/acme/proj", Some(("github.com", "acme/proj"))),
            ("git@github.com:acme/proj.git", Some(("github.com", "acme/proj"))),
            ("ssh://git@git.example:2222/group/acme/proj.git", Some(("git.example", "acme/proj"))),
            ("git.example:acme/proj/", Some(("git.example", "acme/proj"))),
            ("proj", None),
            ("", None),
        ] {
            let remote = Remote::parse(url);
            let got = remote.as_ref().map(|remote| (remote.host.as_str(), remote.full_name()));
            assert_eq!(got, want.map(|(host, name)| (host, name.to_string())), "{url}");
        }
    }

    #[test]
    fn commit_metadata_is_of_the_given_commit() {
        let dir = tempfile::tempdir().unwrap();
        let path = std::env::var("PATH").unwrap();
        let tree = WorkTree::at(dir.path(), &host(&[("PATH", &path), ("HOME", "/nonexistent")]));
        assert!(!tree.exists() && tree.commit("HEAD").is_none() && tree.branch().is_none());
        let git = |args: &[&str]| {
            let status = Command::new("git")
                .args(["-c", "user.name=Ann Émile", "-c", "user.email=ann@example.test"])
                .args(args)
                .current_dir(dir.path())
                .env("GIT_COMMITTER_DATE", "1700000000 +0000")
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status();
            assert!(status.unwrap().success(), "{args:?}");
        };
        git(&["init", "-q", "-b", "feature/x"]);
        git(&["commit", "-q", "--allow-empty", "-m", "First line\n\nbody"]);
        git(&["remote", "add", "origin", "git@github.com:acme/proj.git"]);
        let first = tree.commit("HEAD").unwrap();
        git(&["commit", "-q", "--allow-empty", "-m", "Second"]);
        assert_eq!(tree.branch().as_deref(), Some("feature/x"));
        assert_eq!(tree.origin().unwrap().full_name(), "acme/proj");
        let again = tree.commit(&first.hash).unwrap();
        assert_eq!(
            (again.subject.as_str(), again.author_name.as_str(), again.timestamp),
            ("First line", "Ann Émile", 1_700_000_000.0)
        );
        assert_eq!(tree.commit(&"0".repeat(40)), None);
        let second = tree.commit("HEAD").unwrap().hash;
        git(&["checkout", "-q", "-b", "side", &first.hash]);
        git(&["commit", "-q", "--allow-empty", "-m", "Side"]);
        let side = tree.commit("HEAD").unwrap().hash;
        git(&["merge", "-q", "--no-ff", "-m", &format!("parent {}", "0".repeat(40)), &second]);
        assert!(tree.holds(&tree.head().unwrap()) && tree.holds(&second));
        assert!(!tree.holds(&side), "a later commit of the same branch is not that commit");
        assert!(!tree.holds(&first.hash) && !tree.holds(&"0".repeat(40)));
    }
}
