//! Layers → registries while other layers are still written.
//!
//! Only blobs are sent here. [`super::images::push`] finds them there, sends what is missing, and writes the tags. So what
//! fails here is tried again and reported there.

use crate::builder::image::base::Base;
use crate::builder::image::observer::{LayerObserver, LayerSource};
use crate::host::Host;
use crate::image::{Descriptor, Digest, Repository};
use crate::registry::{Blob, Registries};
use crate::threads::{joined, lock};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Condvar, Mutex, PoisonError};

/// As many as are sent at a time.
const THREADS: usize = 6;

/// Sends the layers of a build.
pub struct EarlyLayers<'a> {
    /// By code location.
    targets: BTreeMap<String, Target>,
    /// Repository of the base, if it is in a registry.
    base: Vec<Repository>,
    queue: Mutex<Queue>,
    changed: Condvar,
    /// Called with a code location before something is sent for it.
    begun: &'a (dyn Fn(&str) + Sync),
    host: &'a Host,
}

/// Where the image of a code location goes.
struct Target {
    repositories: Vec<Repository>,
    /// With counters of its own.
    registries: Registries,
}

/// A blob for repositories, each with the code location that it is counted for.
struct Job {
    descriptor: Descriptor,
    source: LayerSource,
    to: Vec<(String, Repository)>,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    /// What was taken up, so that nothing is sent twice at the same time.
    known: BTreeSet<(Repository, Digest)>,
    is_closed: bool,
}

/// Closes the queue also when the build panics: its threads would wait for ever.
struct Closing<'a, 'h>(&'a EarlyLayers<'h>);

impl Drop for Closing<'_, '_> {
    fn drop(&mut self) {
        lock(&self.0.queue).is_closed = true;
        self.0.changed.notify_all();
    }
}

impl<'a> EarlyLayers<'a> {
    /// For images over this base, which go to these repositories by code location. `begun` is called with each of them
    /// before something is sent for it.
    pub fn new(
        targets: impl IntoIterator<Item = (String, Vec<Repository>)>,
        base: &Base,
        registries: &Registries,
        begun: &'a (dyn Fn(&str) + Sync),
        host: &'a Host,
    ) -> EarlyLayers<'a> {
        let target = |(name, repositories): (String, Vec<Repository>)| {
            (name, Target { repositories, registries: registries.counted_apart() })
        };
        let is_wanted = |(_, repositories): &(String, Vec<Repository>)| !repositories.is_empty();
        EarlyLayers {
            targets: targets.into_iter().filter(is_wanted).map(target).collect(),
            base: base.reference().map(|reference| reference.repository.clone()).into_iter().collect(),
            queue: Mutex::default(),
            changed: Condvar::new(),
            begun,
            host,
        }
    }

    /// Send layers while `work` makes them. Returns when all of them are sent, or `work` has failed.
    ///
    /// # Errors
    /// Those of `work`.
    pub fn during<T, E>(&self, work: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        if self.targets.is_empty() {
            return work();
        }
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(|| self.send_all())).collect();
            let closing = Closing(self);
            let result = work();
            if result.is_err() {
                self.stop();
            }
            drop(closing);
            threads.into_iter().for_each(joined);
            result
        })
    }

    /// Requests and bytes of request bodies for a code location.
    pub fn counts(&self, location: &str) -> (u64, u64) {
        let target = self.targets.get(location);
        target.map_or((0, 0), |target| (target.registries.requests(), target.registries.sent_bytes()))
    }

    fn send_all(&self) {
        while let Some(job) = self.next() {
            for (location, repository) in &job.to {
                let Some(Target { registries, .. }) = self.targets.get(location) else { continue };
                let blob = match (&job.source, self.base.first()) {
                    (LayerSource::File(path), _) => Blob::of_file(job.descriptor.clone(), path),
                    (LayerSource::BaseRegistry, Some(base)) => Blob {
                        open: registries.content_of(base, &job.descriptor),
                        descriptor: job.descriptor.clone(),
                    },
                    (LayerSource::BaseRegistry, None) => continue,
                };
                (self.begun)(location);
                // One after the other: what the first repository has can be mounted by the next.
                let sent = registries.push_blob(repository, &blob.descriptor, &*blob.open, &self.base);
                if let Err(error) = sent {
                    self.host.detail(format!("layers are sent when all are written: {error}"));
                    return self.stop();
                }
            }
        }
    }

    /// The next job; `None` when there will be no more.
    fn next(&self) -> Option<Job> {
        let queue = lock(&self.queue);
        let waits = |queue: &mut Queue| queue.jobs.is_empty() && !queue.is_closed;
        let mut queue = self.changed.wait_while(queue, waits).unwrap_or_else(PoisonError::into_inner);
        queue.jobs.pop_front()
    }

    /// Send nothing more.
    fn stop(&self) {
        let mut queue = lock(&self.queue);
        queue.jobs.clear();
        queue.is_closed = true;
        self.changed.notify_all();
    }
}

impl LayerObserver for EarlyLayers<'_> {
    fn finished(&self, layer: &Descriptor, source: LayerSource, locations: &[&str]) {
        let named = locations.iter().filter_map(|name| Some((*name, self.targets.get(*name)?)));
        let all = named.flat_map(|(name, target)| {
            target.repositories.iter().map(move |repository| (name.to_string(), repository.clone()))
        });
        let mut queue = lock(&self.queue);
        if queue.is_closed {
            return;
        }
        let to: Vec<(String, Repository)> =
            all.filter(|(_, repository)| queue.known.insert((repository.clone(), layer.digest))).collect();
        if !to.is_empty() {
            queue.jobs.push_back(Job { descriptor: layer.clone(), source, to });
            self.changed.notify_one();
        }
    }
}
