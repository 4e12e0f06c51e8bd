//! Locks of files that other processes respect (`flock`). The kernel releases one when its file is closed, however the
//! process ends. Some file systems have none, which is an error of each function.

use std::fs::File;
use std::io;

/// Take the lock alone; wait for those who have it.
///
/// # Errors
/// Those of the file system.
pub fn exclusive(file: &File) -> io::Result<()> {
    system::lock(file, system::Kind::Exclusive)
}

/// Take the lock alone, if no one has it.
///
/// # Errors
/// `WouldBlock` if another process has it; otherwise those of the file system.
pub fn try_exclusive(file: &File) -> io::Result<()> {
    system::lock(file, system::Kind::ExclusiveNow)
}

/// Take the lock together with others; wait for one who has it alone.
///
/// # Errors
/// Those of the file system.
pub fn shared(file: &File) -> io::Result<()> {
    system::lock(file, system::Kind::Shared)
}

#[cfg(unix)]
mod system {
    use rustix::fs::{FlockOperation, flock};
    use std::fs::File;
    use std::io;

    pub enum Kind {
        Exclusive,
        ExclusiveNow,
        Shared,
    }

    pub fn lock(file: &File, kind: Kind) -> io::Result<()> {
        let operation = match kind {
            Kind::Exclusive => FlockOperation::LockExclusive,
            Kind::ExclusiveNow => FlockOperation::NonBlockingLockExclusive,
            Kind::Shared => FlockOperation::LockShared,
        };
        loop {
            match flock(file, operation) {
                // A signal that this process handles.
                Err(rustix::io::Errno::INTR) => {}
                locked => return Ok(locked?),
            }
        }
    }
}

#[cfg(not(unix))]
mod system {
    use std::fs::File;
    use std::io;

    pub enum Kind {
        Exclusive,
        ExclusiveNow,
        Shared,
    }

    pub fn lock(_: &File, _: Kind) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
