//! What GitHub publishes as npm packages, fetched at first use and kept below `target/`.

use super::{kept_dir, run};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;

/// GitHub's description of its REST API.
pub const OPENAPI: &str = "@octokit/openapi@23.0.2";
/// Payloads of every webhook, as GitHub's own people collected them.
pub const WEBHOOKS: &str = "@octokit/webhooks-examples@7.6.1";

/// The directory of an unpacked package (`@scope/name@version`). Needs npm, which `scripts/setup tests` sees to.
pub fn package(name: &str) -> PathBuf {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let short = name.replace(|c: char| !c.is_ascii_alphanumeric() && c != '.', "-");
    let dir = kept_dir("npm").join(short.trim_matches('-'));
    let complete = dir.join("complete");
    if !complete.exists() {
        std::fs::create_dir_all(&dir).unwrap();
        let packed = run(Command::new("npm").args(["pack", "--silent", name]).current_dir(&dir));
        let archive = String::from_utf8(packed.stdout).unwrap();
        let archive = dir.join(archive.trim().lines().last().unwrap_or_default());
        run(Command::new("tar").arg("xzf").arg(&archive).arg("-C").arg(&dir));
        std::fs::remove_file(&archive).unwrap();
        std::fs::write(&complete, name).unwrap();
    }
    dir.join("package")
}
