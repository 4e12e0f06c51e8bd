//! Programs on `PATH`.

use crate::env_vars;
use crate::executable::is_executable;
use crate::host::Host;
use std::path::{Path, PathBuf};

/// Every executable file of this name on `PATH`, in its order.
pub(crate) fn which(host: &Host, name: &str) -> impl Iterator<Item = PathBuf> + use<> {
    let name = name.to_string();
    path_dirs(host).into_iter().map(move |dir| dir.join(&name)).filter(|path| is_program(path))
}

/// The directories of `PATH`, without relative ones, because children run in other directories.
pub(super) fn path_dirs(host: &Host) -> Vec<PathBuf> {
    let path = host.path_var(env_vars::PATH).unwrap_or_default();
    // A relative directory would depend on the working directory of each child.
    std::env::split_paths(&path).filter(|dir| dir.is_absolute()).collect()
}

/// Whether there is a program at this path.
pub(super) fn is_program(path: &Path) -> bool {
    path.metadata().is_ok_and(|data| data.is_file() && (cfg!(not(unix)) || is_executable(&data)))
}
