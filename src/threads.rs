//! Helpers for scoped threads and mutexes.
//!
//! Poisoned mutexes are used like others: their values are consistent after every statement, and the panic itself ends
//! the run.

use std::cell::{Cell, OnceCell};
use std::panic::resume_unwind;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::ScopedJoinHandle;

/// The result of a scoped thread. Its panic continues here, so that no bug is lost.
pub fn joined<T>(thread: ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| resume_unwind(panic))
}

/// What a scoped thread computes, waited for when it is first needed.
pub struct Later<'scope, T> {
    thread: Cell<Option<ScopedJoinHandle<'scope, T>>>,
    value: OnceCell<T>,
}

impl<'scope, T: Default> Later<'scope, T> {
    /// The value of this thread.
    pub fn new(thread: ScopedJoinHandle<'scope, T>) -> Later<'scope, T> {
        Later { thread: Cell::new(Some(thread)), value: OnceCell::new() }
    }

    /// The value, once it is there.
    pub fn get(&self) -> &T {
        self.value.get_or_init(|| self.thread.take().map(joined).unwrap_or_default())
    }

    /// The same for good.
    pub fn into_inner(self) -> T {
        self.get();
        self.value.into_inner().unwrap_or_default()
    }
}

/// The value of a mutex.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The value of a mutex that is no longer shared.
pub fn into_inner<T>(mutex: Mutex<T>) -> T {
    mutex.into_inner().unwrap_or_else(PoisonError::into_inner)
}
