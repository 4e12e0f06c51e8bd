//! Messages of git and ssh about a server that did not answer or refused → which server, and the next step.
//!
//! uv repeats these messages when it resolves a Git requirement, so both ways of reading a repository share this.

/// A Git server that did not answer, or refused.
#[derive(Debug, PartialEq, Eq)]
pub struct GitServer {
    /// Its host name, if the message has it.
    pub host: Option<String>,
    problem: Problem,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Problem {
    NoSuchHost,
    NoAnswer,
    UnknownKey,
    Refused,
}

/// Start of each message; the host follows. Messages about ssh are OpenSSH's, those about https are git's and
/// libcurl's.
const WORDS: [(&str, Problem); 11] = [
    ("Could not resolve hostname ", Problem::NoSuchHost),
    ("Could not resolve host: ", Problem::NoSuchHost),
    ("ssh: connect to host ", Problem::NoAnswer),
    ("Connection closed by ", Problem::NoAnswer),
    ("kex_exchange_identification: ", Problem::NoAnswer),
    ("Host key verification failed", Problem::UnknownKey),
    ("Permission denied (", Problem::Refused),
    ("could not read Username for ", Problem::Refused),
    ("could not read Password for ", Problem::Refused),
    ("Authentication failed for ", Problem::Refused),
    ("unable to access ", Problem::NoAnswer),
];

impl GitServer {
    /// Read a message of git or ssh, or of uv that repeats it; `None` if it is not about a server.
    pub fn read(said: &str) -> Option<GitServer> {
        let (rest, problem) = WORDS.iter().find_map(|(words, problem)| {
            // The output of a package's build may have the same words.
            let from_git = said.contains("fatal: ") || said.contains("Git operation failed");
            let (_, rest) = said.split_once(words).filter(|_| from_git)?;
            Some((rest, *problem))
        })?;
        // After the URL, curl names the status of the server.
        let answered =
            ["returned error: 401", "returned error: 403"].iter().any(|words| rest.contains(words));
        let problem = if answered { Problem::Refused } else { problem };
        let host = match problem {
            // ssh does not name the host on this line.
            Problem::UnknownKey => None,
            Problem::Refused => url_host(rest),
            Problem::NoSuchHost => first_word(rest),
            Problem::NoAnswer => url_host(rest).or_else(|| {
                let (_, rest) = said.split_once("ssh: connect to host ")?;
                first_word(rest)
            }),
        };
        Some(GitServer { host, problem })
    }

    /// The next step.
    pub fn hint(&self) -> String {
        let host = self.host.as_ref().map(|host| format!(" `{host}`")).unwrap_or_default();
        match self.problem {
            Problem::NoSuchHost => format!(
                "no address was found for the Git host{host}: check its name in the requirement or the lock file, and the DNS of this machine"
            ),
            Problem::NoAnswer => format!(
                "check that this machine reaches the Git host{host}: try `git ls-remote` with the requirement's URL"
            ),
            Problem::UnknownKey => {
                "add the Git host's key to known_hosts on this machine (`ssh-keyscan HOST`), or use an https URL".into()
            }
            Problem::Refused => format!(
                "the Git host{host} requires credentials: set up a credential helper or an SSH key on this machine, and try `git ls-remote` with the requirement's URL"
            ),
        }
    }
}

/// `host` of `host: …` and `host port 22: …`; an IPv6 address keeps its colons.
fn first_word(text: &str) -> Option<String> {
    let word = text.split_whitespace().next()?.trim_end_matches(':');
    (!word.is_empty()).then(|| word.to_string())
}

/// `host` of `'https://user@host:443/path': …`.
fn url_host(text: &str) -> Option<String> {
    let text = text.strip_prefix('\'')?;
    let url = url::Url::parse(text.split_once('\'')?.0).ok()?;
    url.host_str().map(String::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The texts are those of git 2.47 and OpenSSH 9.2, which uv 0.13.9 repeats.
    #[test]
    fn the_words_of_git_and_ssh_name_the_server() {
        let fatal = "\nfatal: Could not read from remote repository.";
        for (said, want) in [
            (
                format!("ssh: Could not resolve hostname git.invalid: Name or service not known{fatal}"),
                Some((Some("git.invalid"), Problem::NoSuchHost)),
            ),
            (
                "fatal: unable to access 'https://git.invalid/x/': Could not resolve host: git.invalid"
                    .into(),
                Some((Some("git.invalid"), Problem::NoSuchHost)),
            ),
            (
                format!("ssh: connect to host git.test port 22: Connection refused{fatal}"),
                Some((Some("git.test"), Problem::NoAnswer)),
            ),
            (
                "fatal: unable to access 'https://git.test:9/x/': Failed to connect".into(),
                Some((Some("git.test"), Problem::NoAnswer)),
            ),
            (format!("Host key verification failed.{fatal}"), Some((None, Problem::UnknownKey))),
            (format!("git@git.test: Permission denied (publickey).{fatal}"), Some((None, Problem::Refused))),
            (
                "fatal: unable to access 'https://git.test/x/': The requested URL returned error: 403".into(),
                Some((Some("git.test"), Problem::Refused)),
            ),
            (
                "fatal: could not read Username for 'https://git.test': terminal prompts disabled".into(),
                Some((Some("git.test"), Problem::Refused)),
            ),
            ("fatal: couldn't find remote ref refs/heads/none".into(), None),
            ("setup.py: Could not resolve host: h".into(), None),
            ("error: No solution found".into(), None),
        ] {
            let read = GitServer::read(&said);
            let got = read.as_ref().map(|server| (server.host.as_deref(), server.problem));
            assert_eq!(got, want, "{said}");
        }
    }
}
