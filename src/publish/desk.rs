//! Presigned URLs, for many objects in one call.
//!
//! At its start a run knows who is about to ask: the objects that are read before the build ([`Party::Ahead`]) and the
//! first PEX file that is finished ([`Party::Files`]). Whoever comes first waits a moment for the others, and all of them
//! are asked for in one call. If it fails, each asks by itself, so that one bad name does not fail the others.

use crate::dagster::operations::PresignedUrl;
use crate::dagster::{Client, DagsterError};
use crate::threads::lock;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long to wait for the others. A party that takes longer is building something, which takes much longer.
const LONGEST_WAIT: Duration = Duration::from_millis(250);

/// URLs to read objects, and to write objects.
pub type Urls = (Vec<PresignedUrl>, Vec<PresignedUrl>);

/// Who is about to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Party {
    /// What is read before the build.
    Ahead,
    /// Finished PEX files.
    Files,
}

/// Asks for URLs.
pub struct UrlDesk {
    client: Client,
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    expected: BTreeSet<Party>,
    next: u64,
    asks: BTreeMap<u64, Ask>,
    /// `None` if the common call failed.
    answers: BTreeMap<u64, Option<Urls>>,
}

struct Ask {
    get: Vec<String>,
    put: Vec<String>,
}

impl UrlDesk {
    /// At the deployment of `client`.
    pub fn new(client: &Client) -> UrlDesk {
        UrlDesk { client: client.clone(), queue: Mutex::default(), changed: Condvar::new() }
    }

    /// The client.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// This party is about to ask. It has to [`UrlDesk::ask`], or to [`UrlDesk::leave`] as soon as it is known not to.
    pub fn expect(&self, party: Party) {
        lock(&self.queue).expected.insert(party);
    }

    /// This party will not ask.
    pub fn leave(&self, party: Party) {
        if lock(&self.queue).expected.remove(&party) {
            self.changed.notify_all();
        }
    }

    /// A URL for each object of `get` to read it, and of `put` to write it, in their order.
    ///
    /// # Errors
    /// Those of the call.
    pub fn ask(&self, party: Party, get: &[&str], put: &[&str]) -> Result<Urls, DagsterError> {
        self.together(party, get, put).map_or_else(|| self.client.urls(get, put), Ok)
    }

    /// The URLs from a call that is also for others; `None` if there are no others, or that call failed.
    fn together(&self, party: Party, get: &[&str], put: &[&str]) -> Option<Urls> {
        let mut queue = lock(&self.queue);
        queue.expected.remove(&party);
        if queue.expected.is_empty() && queue.asks.is_empty() {
            return None;
        }
        let number = queue.next;
        queue.next += 1;
        let owned = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        queue.asks.insert(number, Ask { get: owned(get), put: owned(put) });
        self.changed.notify_all();
        let waits = |queue: &mut Queue| !queue.expected.is_empty() && queue.asks.contains_key(&number);
        let waited = self.changed.wait_timeout_while(queue, LONGEST_WAIT, waits);
        let mut queue = waited.unwrap_or_else(PoisonError::into_inner).0;
        if queue.asks.contains_key(&number) {
            // Whoever is late asks alone, so that nobody waits a second time.
            queue.expected.clear();
            let asks = std::mem::take(&mut queue.asks);
            drop(queue);
            let answers = self.call(asks);
            queue = lock(&self.queue);
            queue.answers.extend(answers);
            self.changed.notify_all();
        }
        self.answer(queue, number)
    }

    fn answer(&self, queue: MutexGuard<'_, Queue>, number: u64) -> Option<Urls> {
        let queue = self.changed.wait_while(queue, |queue| !queue.answers.contains_key(&number));
        queue.unwrap_or_else(PoisonError::into_inner).answers.remove(&number)?
    }

    /// One call for all of them.
    fn call(&self, asks: BTreeMap<u64, Ask>) -> BTreeMap<u64, Option<Urls>> {
        let all =
            |names: fn(&Ask) -> &Vec<String>| asks.values().flat_map(names).map(String::as_str).collect();
        let (get, put): (Vec<&str>, Vec<&str>) = (all(|ask| &ask.get), all(|ask| &ask.put));
        // Alone, it is asked again with its own error.
        let urls = match asks.len() {
            1 => None,
            _ => self
                .client
                .urls(&get, &put)
                .inspect_err(|error| self.client.host().detail(error.to_string()))
                .ok(),
        };
        let Some((reads, writes)) = urls else {
            return asks.into_keys().map(|number| (number, None)).collect();
        };
        let (mut reads, mut writes) = (reads.into_iter(), writes.into_iter());
        let mut share = |ask: &Ask| {
            (reads.by_ref().take(ask.get.len()).collect(), writes.by_ref().take(ask.put.len()).collect())
        };
        asks.iter().map(|(number, ask)| (*number, Some(share(ask)))).collect()
    }
}
