//! What a command works on if no argument names it: the project that the working directory is in, and a directory for
//! its PEX files.

use crate::cache::Cache;
use crate::hex::hex;
use crate::host::Host;
use crate::paths::relative;
use crate::project;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

/// The named project. Otherwise the nearest one from the working directory upwards, which is reported; without one, the
/// working directory, so that the error names it.
pub fn project(named: Option<&Path>, host: &Host) -> PathBuf {
    if let Some(named) = named {
        return host.absolute(named);
    }
    let Some(file) = project::find(host.cwd()) else { return host.cwd().to_path_buf() };
    host.note(format!("Project: {}", relative(&file, host.cwd()).display()));
    file
}

/// The named directory for PEX files. Otherwise one in the cache, the same for each run of this project.
pub fn out_dir(named: Option<&Path>, project: &Path, host: &Host) -> PathBuf {
    match named {
        Some(named) => host.absolute(named),
        None => {
            let cache = Cache::new(host);
            let directory = cache.root().join("builds").join(directory_name(project));
            cache.claim(&directory);
            directory
        }
    }
}

/// The name of the project's directory, and a part of the hash of its whole path. `project` is the directory or a file
/// in it.
fn directory_name(project: &Path) -> String {
    let root = if project.is_dir() { project } else { project.parent().unwrap_or(project) };
    let root = root.canonicalize().unwrap_or_else(|_| root.to_path_buf());
    let name = root.file_name().unwrap_or_default().to_string_lossy();
    let name: String =
        name.chars().filter(|each| each.is_ascii_alphanumeric() || "-_".contains(*each)).collect();
    let digest = hex(Sha256::digest(root.as_os_str().as_encoded_bytes()));
    format!("{name}-{}", &digest[..8])
}
