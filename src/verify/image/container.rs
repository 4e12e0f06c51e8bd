//! Loads a code location with the image's own Python: as root in the unpacked image, in a mount namespace; for others by
//! docker or podman.

use super::engine::Engine;
use super::{Image, entry, note, unpack::Root, variables};
use crate::child_env::Purpose;
use crate::host::Host;
use crate::tools::{Process, which};
use crate::verify::{LOAD, Outcome, VerifyError, answer_of};
use serde_json::Value;
use std::path::Path;

/// Makes the namespace.
const UNSHARE: &str = "unshare";
/// Where the answer is in the image.
const ANSWER: &str = "pexpress-answer.json";
/// Mounts what a process expects, in a namespace that ends with it, and starts the command in the image. Arguments: the
/// directory of the image; then variables and the command.
const START: &str = r#"
set -e
root=$1 change=$(command -v chroot)
shift
for part in proc dev; do
    mkdir -p "$root/$part"
    mount --rbind "/$part" "$root/$part"
done
exec env -i LOAD_ROOT=/opt/dagster/ "$@" "$change" "$root" /opt/venv/bin/python -c "$CODE" "$ANSWER" "$DOCUMENT"
"#;

/// Unpack the image below `scratch`, and load its code location there.
pub(super) fn load(image: &Image, scratch: &Path, host: &Host) -> Result<Outcome, VerifyError> {
    if !is_root() || which(host, UNSHARE).next().is_none() {
        return match Engine::find(host) {
            Some(engine) => engine.load(image, scratch, host),
            None => Err(VerifyError::NoContainer),
        };
    }
    let root = scratch.join("image");
    std::fs::create_dir(&root).map_err(|source| VerifyError::File {
        action: "create",
        path: root.clone(),
        source,
    })?;
    let place = |path: &str| Some(path.to_string());
    image.unpack(&mut Root::new(&root, &place), |_| true)?;
    note(host, "the whole image is unpacked; its own Python loads the code location");
    let directory = image.config.config.working_dir.clone().unwrap_or_else(|| "/".into());
    let code = format!("import os\nos.chdir({})\n{LOAD}", Value::String(directory));
    let mut process = Process::new(host, Purpose::Own, UNSHARE)
        .args(["--mount", "--propagation", "private", "sh", "-c", START, "sh"])
        .arg(&root)
        .env("CODE", code)
        .env("ANSWER", format!("/{ANSWER}"))
        .env("DOCUMENT", Value::Object(image.loading.document.clone()).to_string());
    let path = image.config.env("PATH").unwrap_or("/usr/local/bin:/usr/bin:/bin");
    for (name, value) in variables(image).chain([("PATH", path)]) {
        process = process.arg(format!("{name}={value}"));
    }
    answer_of(process, Some(&root.join(ANSWER)), &entry(image), host)
}

#[cfg(unix)]
fn is_root() -> bool {
    cfg!(target_os = "linux") && rustix::process::geteuid().is_root()
}

#[cfg(not(unix))]
fn is_root() -> bool {
    false
}
