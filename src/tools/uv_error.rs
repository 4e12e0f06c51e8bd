//! A failed call of uv: classifies it by uv's own messages, and says what to do next.

use super::git_words::GitServer;
use super::process::ProcessError;
use crate::env_vars;
use crate::error::{Explain, Fault};
use crate::host::Host;
use crate::net::SafeUrl;
use std::path::PathBuf;

/// A call of uv failed.
#[derive(Debug, thiserror::Error)]
pub enum UvError {
    /// An index, a file server or a Git host refused or did not answer. The cause is uv's own text.
    #[error("could not {task}: {} refused or did not answer{}", server(source), through(proxy))]
    Remote {
        /// The task: `resolve the requirements`.
        task: String,
        /// The variable with a proxy, and the proxy without its credentials, if there is one.
        proxy: Option<(String, String)>,
        #[source]
        #[allow(missing_docs)]
        source: ProcessError,
    },
    /// The task is not possible with these requirements or this project. The cause is uv's own text.
    #[error("could not {task}")]
    Project {
        /// What was asked.
        task: String,
        #[source]
        #[allow(missing_docs)]
        source: ProcessError,
    },
    /// uv itself did not run, or crashed.
    #[error("could not {task}")]
    Tool {
        /// What was asked.
        task: String,
        #[source]
        #[allow(missing_docs)]
        source: ProcessError,
    },
    /// A problem of this machine: no space, no write permission, no file handles. The cause is uv's own text.
    #[error("could not {task}: this machine does not allow it")]
    Machine {
        /// What was asked.
        task: String,
        #[source]
        #[allow(missing_docs)]
        source: ProcessError,
    },
    /// A file for uv could not be written, or one of its files could not be moved.
    #[error("could not {action} `{path}` for uv")]
    File {
        /// `write`, `create`, `rename`.
        action: &'static str,
        /// Which.
        path: PathBuf,
        #[source]
        #[allow(missing_docs)]
        source: std::io::Error,
    },
    /// uv's answer is not a `pylock.toml`.
    #[error("uv's resolution is not valid TOML")]
    Lock {
        #[source]
        #[allow(missing_docs)]
        reason: Box<toml::de::Error>,
    },
    /// A call succeeded without making its file.
    #[error("uv built no wheel from `{of}`")]
    NoWheel {
        /// Source directory or archive.
        of: PathBuf,
    },
}

impl Explain for UvError {
    fn fault(&self) -> Fault {
        match self {
            UvError::Remote { .. } => Fault::Remote,
            UvError::Project { .. } | UvError::NoWheel { .. } => Fault::Project,
            UvError::Machine { .. } | UvError::Tool { .. } => Fault::Tool,
            UvError::File { .. } | UvError::Lock { .. } => Fault::Tool,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            UvError::Remote { source, .. } if git_server(source).is_some() => {
                git_server(source).map(|server| server.hint())
            }
            UvError::Remote { .. } if self.says("invalid peer certificate") => Some(format!(
                "set {} to the file with your certificate authority; `pexpress selftest` shows those in use",
                env_vars::SSL_CERT_FILE
            )),
            UvError::Remote { .. } if self.says("401 Unauthorized") || self.says("403 Forbidden") => Some(
                "the index requires credentials: in its URL, in UV_INDEX_NAME_USERNAME and UV_INDEX_NAME_PASSWORD, in a netrc file, or in a keyring".into(),
            ),
            UvError::Remote { .. } => Some(
                "`pexpress selftest` shows the index, proxy and certificates in use; a private index is set with UV_DEFAULT_INDEX or PIP_INDEX_URL".into(),
            ),
            _ if self.says("Required uv version") => Some(format!(
                "a uv.toml of this machine pins uv itself: set {} to a uv of that version",
                env_vars::PEXPRESS_UV
            )),
            UvError::Tool { .. } => Some("`pexpress selftest` shows which uv is used".into()),
            UvError::Machine { .. } if self.says("Too many open files") => {
                Some("too many files are open at once: raise the limit (`ulimit -n 1024`)".into())
            }
            UvError::Machine { .. } | UvError::File { .. } => Some(format!(
                "use writable directories with free space: {} for this program's cache, UV_CACHE_DIR for uv's, TMPDIR for temporary files",
                env_vars::PEXPRESS_CACHE_DIR
            )),
            _ => None,
        }
    }
}

/// The Git server that uv's git could not read from.
fn git_server(source: &ProcessError) -> Option<GitServer> {
    match source {
        ProcessError::Failed { stderr: Some(said), .. } => GitServer::read(&said.0),
        _ => None,
    }
}

fn server(source: &ProcessError) -> String {
    match git_server(source) {
        None => "the package index or another server".into(),
        Some(GitServer { host: None, .. }) => "the Git host".into(),
        Some(GitServer { host: Some(host), .. }) => format!("the Git host `{host}`"),
    }
}

fn through(proxy: &Option<(String, String)>) -> String {
    let said = |(name, url): &(String, String)| format!(" ({name} sends requests to {url})");
    proxy.as_ref().map(said).unwrap_or_default()
}

/// Messages of uv 0.13 and 0.9 about a server that refused or did not answer, collected by running uv against such
/// servers. Those of Git are in [`GitServer`]. A `404` is not in the list: it means that the requirement names
/// something that does not exist.
const REMOTE_WORDS: [&str; 8] = [
    "error sending request",            // no connection, no TLS, no name
    "HTTP status server error",         // 5xx
    "429 Too Many Requests",            // also after retries
    "401 Unauthorized",                 // a hint below "No solution found"
    "403 Forbidden",                    // likewise
    "network was disabled",             // UV_OFFLINE, below "No solution found"
    "network connectivity is disabled", // UV_OFFLINE, a file not cached
    "operation timed out",              // a stalled download
];

/// Messages of uv, or of its children, about a problem of the machine. The first is uv's (0.13, with a home directory
/// that cannot be written), the others are the system's (`strerror`).
const MACHINE_WORDS: [&str; 5] = [
    "Failed to initialize cache",
    "No space left on device",
    "Disk quota exceeded",
    "Read-only file system",
    "Too many open files",
];

impl UvError {
    /// Whether uv's text contains this.
    pub(super) fn says(&self, words: &str) -> bool {
        matches!(self.process(), Some(ProcessError::Failed { stderr: Some(said), .. }) if said.0.contains(words))
    }

    /// The same, with the proxy if a request got no answer.
    pub(super) fn with_proxy(mut self, host: &Host) -> UvError {
        let has_no_answer = self.says("error sending request");
        if let UvError::Remote { proxy, .. } = &mut self
            && has_no_answer
        {
            let names = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
            let found = names.into_iter().find_map(|name| Some((name, host.var(name)?)));
            *proxy = found.map(|(name, url)| (name.to_string(), SafeUrl::parse(url).to_string()));
        }
        self
    }

    /// The same with uv's text changed by `words`.
    pub(super) fn with_words(mut self, words: impl Fn(&str) -> String) -> UvError {
        if let UvError::Remote { source, .. }
        | UvError::Project { source, .. }
        | UvError::Machine { source, .. }
        | UvError::Tool { source, .. } = &mut self
            && let ProcessError::Failed { stderr: Some(said), .. } = source
        {
            said.0 = words(&said.0);
        }
        self
    }

    /// The exit status and text of uv itself, if it ran.
    pub fn process(&self) -> Option<&ProcessError> {
        match self {
            UvError::Remote { source, .. }
            | UvError::Project { source, .. }
            | UvError::Machine { source, .. }
            | UvError::Tool { source, .. } => Some(source),
            UvError::File { .. } | UvError::NoWheel { .. } | UvError::Lock { .. } => None,
        }
    }

    /// Classify a failed call by uv's text ([`MACHINE_WORDS`], [`REMOTE_WORDS`]). If uv crashed or did not start, it is
    /// the tool's fault.
    pub(super) fn judge(task: impl Into<String>, source: ProcessError) -> UvError {
        let task = task.into();
        let ProcessError::Failed { status, stderr, .. } = &source else {
            return UvError::Tool { task, source };
        };
        let text = stderr.as_ref().map_or("", |said| said.0.as_str());
        let text_lower = text.to_lowercase();
        // First: a full disk also makes downloads fail.
        if MACHINE_WORDS.iter().any(|words| text.contains(words)) {
            UvError::Machine { task, source }
        } else if REMOTE_WORDS.iter().any(|words| text_lower.contains(&words.to_lowercase()))
            || GitServer::read(text).is_some()
        {
            UvError::Remote { task, proxy: None, source }
        // A signal, or a flag that this uv does not have: not the project's fault.
        } else if status.code().is_none() || text_lower.contains("error: unexpected argument") {
            UvError::Tool { task, source }
        } else {
            UvError::Project { task, source }
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::tools::process::Said;
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;

    /// Each text is the output of uv 0.13.9 for such an answer of the index.
    #[test]
    fn failures_are_classified_by_uvs_text() {
        let no_solution =
            "error: No solution found when resolving dependencies\n  cause: Because a was not found";
        let fetch = "error: Failed to fetch: https://h/simple/a/\n  cause: ";
        for (said, code, want) in [
            (format!("{fetch}error sending request for url (https://h/)"), 2, Fault::Remote),
            (
                format!("{fetch}HTTP status server error (503 Service Unavailable) for url (x)"),
                2,
                Fault::Remote,
            ),
            (
                format!("{fetch}HTTP status client error (429 Too Many Requests) for url (x)"),
                2,
                Fault::Remote,
            ),
            (format!("{fetch}HTTP status client error (404 Not Found) for url (x)"), 2, Fault::Project),
            (
                format!("{no_solution}\n\nhint: … valid authentication credentials (401 Unauthorized)"),
                1,
                Fault::Remote,
            ),
            (
                format!("{no_solution}\n\nhint: An index (x) returned a 403 Forbidden error."),
                1,
                Fault::Remote,
            ),
            (
                format!("{no_solution}\n\nhint: Packages were unavailable because the network was disabled."),
                1,
                Fault::Remote,
            ),
            (no_solution.into(), 1, Fault::Project),
            (
                "cause: Git operation failed\nssh: Could not resolve hostname h: Name or service not known"
                    .into(),
                1,
                Fault::Remote,
            ),
            (
                "cause: Git operation failed\nfatal: unable to access 'https://h/x': Failed".into(),
                1,
                Fault::Remote,
            ),
            ("error: unexpected argument '--x' found".into(), 2, Fault::Tool),
            ("error: Failed to initialize cache at `/x/uv`\n  cause: …".into(), 2, Fault::Tool),
            ("error: Failed to write\n  cause: No space left on device (os error 28)".into(), 2, Fault::Tool),
        ] {
            let (status, stderr) = (ExitStatus::from_raw(code << 8), Some(Said(said.clone())));
            let error = UvError::judge("x", ProcessError::Failed { name: "uv".into(), status, stderr });
            assert_eq!(error.fault(), want, "{said}");
        }
        let killed =
            ProcessError::Failed { name: "uv".into(), status: ExitStatus::from_raw(9), stderr: None };
        assert_eq!(UvError::judge("x", killed).fault(), Fault::Tool);
    }
}
