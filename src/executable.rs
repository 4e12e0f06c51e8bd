//! The permission to run a file, on systems that have one.

use std::fs::{File, Metadata};
use std::io;

/// Whether anybody may run the file.
#[cfg(unix)]
pub fn is_executable(metadata: &Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    metadata.permissions().mode() & 0o111 != 0
}

/// Whether anybody may run the file; not known here.
#[cfg(not(unix))]
pub fn is_executable(_: &Metadata) -> bool {
    false
}

/// Let everybody run the file.
///
/// # Errors
/// When its permissions cannot be changed.
#[cfg(unix)]
pub fn make_executable(file: &File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(std::fs::Permissions::from_mode(0o755))
}

/// Let everybody run the file; nothing is needed for it here.
///
/// # Errors
/// None.
#[cfg(not(unix))]
pub fn make_executable(_: &File) -> io::Result<()> {
    Ok(())
}
