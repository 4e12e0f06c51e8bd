//! How many blobs are sent at a time, and that none is sent twice at once.

use crate::image::{Digest, Repository};
use crate::threads::lock;
use std::collections::BTreeSet;
use std::sync::{Condvar, Mutex, PoisonError};

/// Uploads at a time, as many as Docker has by default with one more: enough to fill a line, and few enough for the
/// memory of their buffers.
const UPLOADS: usize = 6;

/// Places for uploads.
#[derive(Default)]
pub struct Slots {
    taken: Mutex<Taken>,
    freed: Condvar,
}

#[derive(Default)]
struct Taken {
    count: usize,
    /// What is being sent.
    blobs: BTreeSet<(Repository, Digest)>,
}

/// A place that is taken until it is dropped.
pub struct Slot<'a> {
    slots: &'a Slots,
    blob: (Repository, Digest),
}

impl Slots {
    /// Wait for a place, and until nobody else sends this blob: it is there then.
    pub fn take(&self, repository: &Repository, digest: Digest) -> Slot<'_> {
        let blob = (repository.clone(), digest);
        let waits = |taken: &mut Taken| taken.count >= UPLOADS || taken.blobs.contains(&blob);
        let waited = self.freed.wait_while(lock(&self.taken), waits);
        let mut taken = waited.unwrap_or_else(PoisonError::into_inner);
        taken.count += 1;
        taken.blobs.insert(blob.clone());
        drop(taken);
        Slot { slots: self, blob }
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        let mut taken = lock(&self.slots.taken);
        taken.count -= 1;
        taken.blobs.remove(&self.blob);
        self.slots.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn no_more_than_the_limit_are_at_work_and_each_blob_once() {
        let (slots, now, most) = (Slots::default(), AtomicUsize::new(0), AtomicUsize::new(0));
        let repository: Repository = "registry.example/app".parse().unwrap();
        std::thread::scope(|scope| {
            for number in 0..4 * UPLOADS {
                let (slots, now, most, repository) = (&slots, &now, &most, &repository);
                scope.spawn(move || {
                    let _slot = slots.take(repository, Digest::of(number.to_string()));
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    std::thread::sleep(std::time::Duration::from_millis(2));
                    now.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        assert!((2..=UPLOADS).contains(&most.into_inner()));
        let most = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let _slot = slots.take(&repository, Digest::of("one"));
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    std::thread::sleep(std::time::Duration::from_millis(2));
                    now.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        assert_eq!(most.into_inner(), 1);
    }
}
