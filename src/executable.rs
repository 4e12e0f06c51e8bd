//! The permission to execute a file, on systems that have it.

use std::fs::{File, Metadata};
use std::io;

/// Whether the file may be executed.
#[cfg(unix)]
pub fn is_executable(metadata: &Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    metadata.permissions().mode() & 0o111 != 0
}

/// Whether the file may be executed. Not known on this system.
#[cfg(not(unix))]
pub fn is_executable(_: &Metadata) -> bool {
    false
}

/// Make a file executable for everyone.
///
/// # Errors
/// When its permissions cannot be changed.
#[cfg(unix)]
pub fn make_executable(file: &File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(std::fs::Permissions::from_mode(0o755))
}

/// Make a file executable. Not needed on this system.
///
/// # Errors
/// None.
#[cfg(not(unix))]
pub fn make_executable(_: &File) -> io::Result<()> {
    Ok(())
}
