//! Credential helpers: programs `docker-credential-NAME` that keep passwords, or ask a cloud for them.
//!
//! Source of the protocol: docker-credential-helpers, README, "Development"; Docker's manual, "Credential helper
//! protocol".

use super::credential::Credential;
use crate::foreign_json;
use crate::foreign_text::neutral;
use crate::net::Secret;
use crate::net::login::Login;
use std::io;
use std::process::Output;

/// Runs a helper: program, the word `get`, and stdin. Handed in by the caller, because child processes are the
/// business of another speaker.
pub type HelperRunner = dyn Fn(&str, &str, &[u8]) -> io::Result<Output> + Send + Sync;

/// What a helper says if it has nothing. Source: docker-credential-helpers, `credentials/error.go`.
const MISSES: [&str; 2] = ["credentials not found in native keychain", "no credentials server URL"];
/// The user name that marks an identity token. Source: docker/cli, `config/credentials/native_store.go`.
const IDENTITY_TOKEN: &str = "<token>";
/// Limit for an answer. Real ones have a few kilobytes.
const LIMIT_BYTES: usize = 1 << 20;

/// A helper that cannot answer.
#[derive(Debug, thiserror::Error)]
pub enum HelperError {
    /// Its name would be a path.
    #[error("`{0}` is not the name of a credential helper")]
    Name(String),
    /// It did not run, or not in time.
    #[error("could not run `{program}`")]
    Run {
        /// The program.
        program: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It failed.
    #[error("`{program}` failed: {said}")]
    Failed {
        /// The program.
        program: String,
        /// What it said.
        said: String,
    },
    /// Its answer has another form. The text never has the answer itself.
    #[error("`{program}` gave an unusable answer: {problem}")]
    Answer {
        /// The program.
        program: String,
        /// What is wrong.
        problem: &'static str,
    },
}

/// Ask a helper for a server; `None` if it has nothing.
///
/// # Errors
/// When it does not run, fails for another reason, or answers with something else.
pub fn ask(run: &HelperRunner, name: &str, server: &str) -> Result<Option<Credential>, HelperError> {
    let is_inner = |each: char| each.is_ascii_alphanumeric() || "-_.".contains(each);
    if name.is_empty() || !name.chars().all(is_inner) {
        return Err(HelperError::Name(neutral(name)));
    }
    let program = format!("docker-credential-{name}");
    match run(&program, "get", server.as_bytes()) {
        Ok(output) => read(program, &output),
        Err(source) => Err(HelperError::Run { program, source }),
    }
}

fn read(program: String, output: &Output) -> Result<Option<Credential>, HelperError> {
    if !output.status.success() {
        let said = [output.stdout.as_slice(), output.stderr.as_slice()]
            .map(|bytes| neutral(String::from_utf8_lossy(bytes).trim()));
        if said.iter().any(|text| MISSES.iter().any(|miss| text.contains(miss))) {
            return Ok(None);
        }
        // Helpers write their errors to stdout, where an answer, with its password, would be too.
        let may_be_answer = |text: &String| text.contains(['{', '"']) || text.contains("Secret");
        let said = said.into_iter().find(|text| !text.is_empty() && !may_be_answer(text));
        let said = said.unwrap_or_else(|| "it said nothing".into()).chars().take(500).collect();
        return Err(HelperError::Failed { program, said });
    }
    let unusable = |problem| HelperError::Answer { program: program.clone(), problem };
    if output.stdout.len() > LIMIT_BYTES {
        return Err(unusable("it is too long"));
    }
    // The error of the parser could repeat a part of the answer.
    let answer = foreign_json::read(&output.stdout).map_err(|_| unusable("it is not JSON"))?;
    let text = |name: &str| answer[name].as_str().map(String::from);
    let (username, secret) = (text("Username"), text("Secret"));
    let secret = secret.filter(|secret| !secret.is_empty());
    match (username, secret) {
        (Some(username), Some(secret)) => Ok(Some(credential(username, secret))),
        // Some helpers answer with empty texts for a server that they do not know.
        (Some(username), None) if username.is_empty() => Ok(None),
        _ => Err(unusable("it lacks `Username` or `Secret`")),
    }
}

fn credential(username: String, secret: String) -> Credential {
    match username.as_str() {
        IDENTITY_TOKEN => Credential::IdentityToken(Secret::new(secret)),
        _ => Credential::Login(Login { username, password: Secret::new(secret) }),
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;

    fn asked(name: &str, code: i32, stdout: &str, stderr: &str) -> Result<Option<Credential>, String> {
        let (stdout, stderr) = (stdout.to_string(), stderr.to_string());
        let run = move |program: &str, word: &str, stdin: &[u8]| {
            assert_eq!((program, word, stdin), ("docker-credential-x", "get", &b"r.example"[..]));
            let status = ExitStatus::from_raw(code << 8);
            Ok(Output { status, stdout: stdout.clone().into(), stderr: stderr.clone().into() })
        };
        ask(&run, name, "r.example").map_err(|error| error.to_string())
    }

    #[test]
    fn answers_are_read() {
        let login = |username: &str, password: &str| {
            Ok(Some(Credential::Login(Login { username: username.into(), password: Secret::new(password) })))
        };
        for (code, stdout, want) in [
            (0, r#"{"ServerURL": "x", "Username": "AWS", "Secret": "p:w"}"#, login("AWS", "p:w")),
            (
                0,
                r#"{"Username": "<token>", "Secret": "t"}"#,
                Ok(Some(Credential::IdentityToken(Secret::new("t")))),
            ),
            (0, r#"{"Username": "", "Secret": ""}"#, Ok(None)),
            (1, "credentials not found in native keychain\n", Ok(None)),
            (0, "hunter2", Err("`docker-credential-x` gave an unusable answer: it is not JSON".to_string())),
            (
                0,
                r#"{"Secret": "hunter2"}"#,
                Err("`docker-credential-x` gave an unusable answer: it lacks `Username` or `Secret`".into()),
            ),
            (1, "::error::no session\n", Err("`docker-credential-x` failed: | ::error::no session".into())),
            (2, "", Err("`docker-credential-x` failed: it said nothing".into())),
            (
                1,
                r#"{"Username": "u", "Secret": "hunter2"}"#,
                Err("`docker-credential-x` failed: it said nothing".into()),
            ),
        ] {
            assert_eq!(asked("x", code, stdout, ""), want, "{stdout}");
        }
        assert_eq!(asked("x", 1, "", "why").unwrap_err(), "`docker-credential-x` failed: why");
    }

    #[test]
    fn a_name_that_is_a_path_is_refused() {
        for name in ["", "../x", "/bin/sh", "a b", "x;y"] {
            assert_eq!(
                asked(name, 0, "", "").unwrap_err(),
                format!("`{name}` is not the name of a credential helper")
            );
        }
    }
}
