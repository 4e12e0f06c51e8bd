//! Threads of a scope.

use std::panic::resume_unwind;
use std::thread::ScopedJoinHandle;

/// What a thread of a scope gives. A panic of it goes on here, so that no bug is lost.
pub fn joined<T>(thread: ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| resume_unwind(panic))
}
