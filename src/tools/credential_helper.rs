//! Runs the credential helpers of registries.

use super::path_search::which;
use super::process::{Process, ProcessError};
use crate::child_env::Purpose;
use crate::host::Host;
use std::io;
use std::process::Output;
use std::time::Duration;

/// How long a helper may take: it may ask a cloud, but nobody is there to type a password.
const LIMIT: Duration = Duration::from_secs(10);

/// What runs helpers for the registry client: program, subcommand, and stdin.
///
/// They are found on `PATH` and run without a shell. A helper that does not end in time is killed.
pub fn credential_helpers(host: &Host) -> impl Fn(&str, &str, &[u8]) -> io::Result<Output> + use<> {
    let host = host.clone();
    move |program, subcommand, stdin| {
        // Not by the search of the system, which would use the `PATH` of this process and relative directories.
        let Some(path) = which(&host, program).next() else { return Err(io::ErrorKind::NotFound.into()) };
        let process = Process::new(&host, Purpose::Credentials, path).subcommand(&[subcommand]).stdin(stdin);
        match process.limit(LIMIT).output(&host) {
            Ok(output) => Ok(Output {
                status: output.status,
                stdout: output.stdout,
                stderr: output.stderr.into_bytes(),
            }),
            Err(ProcessError::Start { source, .. }) => Err(source),
            Err(error) => Err(io::Error::other(error)),
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::tools::testing::host;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_helper_is_found_on_the_path_and_gets_the_server() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("docker-credential-test");
        std::fs::write(&path, "#!/bin/sh\necho \"$1 $(cat) $AWS_PROFILE$SECRET\"\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let search = format!("{}:/usr/bin:/bin", dir.path().display());
        let (host, _, _) = host(&[("PATH", &search), ("AWS_PROFILE", "me"), ("SECRET", "no")]);
        let run = credential_helpers(&host);
        let output = run("docker-credential-test", "get", b"r.example").unwrap();
        assert!(output.status.success());
        assert_eq!(String::from_utf8(output.stdout).unwrap(), "get r.example me\n");
        let error = run("docker-credential-absent", "get", b"").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
