//! A commit of a Git repository → a directory, with the user's own git.
//!
//! So credential helpers, `insteadOf` rewrites and SSH keys work as for the user. History and tags are fetched, because
//! tools that derive versions need both; file contents of other commits are not (a blobless clone).

use crate::child_env::Purpose;
use crate::env_vars;
use crate::error::{Explain, Fault};
use crate::host::Host;
use crate::net::SafeUrl;
use crate::tools::git_words::GitServer;
use crate::tools::{Process, ProcessError};
use std::path::Path;

/// A commit is not available.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // the field names say it
pub enum GitError {
    /// The repository cannot be read.
    #[error("could not clone {url}")]
    Clone {
        url: SafeUrl,
        #[source]
        source: ProcessError,
    },
    /// The repository does not have the commit, or not all of its files.
    #[error("could not check out commit {commit} of {url}")]
    CheckOut {
        url: SafeUrl,
        commit: String,
        #[source]
        source: ProcessError,
    },
    /// Not the id of a commit.
    #[error("`{commit}` is not the full id of a Git commit")]
    Commit { commit: String },
}

impl Explain for GitError {
    fn fault(&self) -> Fault {
        match self {
            GitError::Clone { source: ProcessError::Start { .. }, .. } => Fault::Tool,
            GitError::Clone { .. } | GitError::CheckOut { .. } => Fault::Remote,
            GitError::Commit { .. } => Fault::Project,
        }
    }

    fn hint(&self) -> Option<String> {
        if let GitError::Clone { source, .. } | GitError::CheckOut { source, .. } = self
            && let ProcessError::Failed { stderr: Some(said), .. } = source
            && let Some(server) = GitServer::read(&said.0)
        {
            return Some(server.hint());
        }
        Some(
            match self {
                GitError::Clone { source: ProcessError::Start { .. }, .. } => "install git",
                GitError::Clone { .. } => {
                    "try `git ls-remote` with this URL on this machine; a private repository needs a credential helper or a key here"
                }
                GitError::CheckOut { .. } => "push the commit, or lock again if it was replaced",
                GitError::Commit { .. } => "lock again to get the full commit id",
            }
            .into(),
        )
    }
}

/// Check out `commit` of the repository at `url` into `directory`, which must not exist, with its submodules.
///
/// # Errors
/// When git is missing, the repository cannot be read, or has no such commit.
pub fn check_out(host: &Host, url: &str, commit: &str, directory: &Path) -> Result<(), GitError> {
    // Only full ids: a name could move, or be read as an option of git.
    if !matches!(commit.len(), 40 | 64) || !commit.chars().all(|c| c.is_ascii_hexdigit()) {
        return Err(GitError::Commit { commit: commit.to_string() });
    }
    let shown = || SafeUrl::parse(url);
    git(host, "clone")
        .args(["--quiet", "--no-checkout", "--filter=blob:none", "--", url])
        .arg(directory)
        .run(host)
        .map_err(|source| GitError::Clone { url: shown(), source })?;
    let missing = |source| GitError::CheckOut { url: shown(), commit: commit.to_string(), source };
    let there = git(host, "cat-file")
        .args(["-e", &format!("{commit}^{{commit}}")])
        .cwd(directory)
        // Without it, `cat-file` in a blobless clone asks the server for each missing object.
        .env("GIT_NO_LAZY_FETCH", "1")
        .output(host)
        .map_err(missing)?;
    if !there.status.success() {
        // No branch or tag reaches the commit, as with pull requests, so the clone does not have it.
        let fetch = git(host, "fetch").args(["--quiet", "--filter=blob:none", "origin", commit]);
        fetch.cwd(directory).run(host).map_err(missing)?;
    }
    let check_out = git(host, "checkout").args(["--quiet", "--force", "--detach", commit]);
    check_out.cwd(directory).run(host).map_err(missing)?;
    // Backends may need files of submodules; pip checks them out too.
    if directory.join(".gitmodules").exists() {
        let update = git(host, "submodule").args(["--quiet", "update", "--init", "--recursive"]);
        update.cwd(directory).run(host).map_err(missing)?;
    }
    Ok(())
}

/// Variables that the credential helper of the GitHub CLI reads. Source: its manual, "gh help environment".
const HELPER_TOKENS: [&str; 4] = [
    env_vars::GH_TOKEN,
    env_vars::GITHUB_TOKEN,
    env_vars::GH_ENTERPRISE_TOKEN,
    env_vars::GITHUB_ENTERPRISE_TOKEN,
];

/// A git process that never prompts, ignores the repository that it is started in, and gets the tokens that GitHub's
/// credential helper reads.
fn git(host: &Host, subcommand: &str) -> Process {
    let mut git =
        Process::new(host, Purpose::Fetch, "git").subcommand(&[subcommand]).env("GIT_TERMINAL_PROMPT", "0");
    for variable in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY"] {
        // They are set inside git hooks, and would make git use the user's repository.
        git = git.env_remove(variable);
    }
    for variable in HELPER_TOKENS {
        if let Some(token) = host.var(variable) {
            // A credential helper such as `gh auth git-credential` reads the token from these.
            git = git.env(variable, token);
        }
    }
    git
}
