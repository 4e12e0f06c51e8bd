//! How many blobs are sent at a time.

use crate::threads::lock;
use std::sync::{Condvar, Mutex, PoisonError};

/// Uploads at a time, as many as Docker has by default with one more: enough to fill a line, and few enough for the
/// memory of their buffers.
const UPLOADS: usize = 6;

/// Places for uploads.
#[derive(Default)]
pub struct Slots {
    taken: Mutex<usize>,
    freed: Condvar,
}

/// A place that is taken until it is dropped.
pub struct Slot<'a>(&'a Slots);

impl Slots {
    /// Wait for a place.
    pub fn take(&self) -> Slot<'_> {
        let taken = lock(&self.taken);
        let waited = self.freed.wait_while(taken, |taken| *taken >= UPLOADS);
        *waited.unwrap_or_else(PoisonError::into_inner) += 1;
        Slot(self)
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        *lock(&self.0.taken) -= 1;
        self.0.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn no_more_than_the_limit_are_at_work() {
        let (slots, now, most) = (Slots::default(), AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 * UPLOADS {
                scope.spawn(|| {
                    let _slot = slots.take();
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    std::thread::sleep(std::time::Duration::from_millis(2));
                    now.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        assert!((2..=UPLOADS).contains(&most.into_inner()));
    }
}
