//! Objects of the registry that are read before the build, all at once: entries and records of the deps cache, and
//! whether the deps PEX files that they may name are stored.
//!
//! [`Lookups::begin`] asks for all their URLs in one call (which is also for the first PEX file that is finished, see
//! `desk.rs`) and reads them side by side, while the build begins. Whoever needs one takes it with [`Lookups::text`] or
//! [`Lookups::stored`], and waits if it is still on its way.
//!
//! So one more object costs neither a call nor a round trip: name it in [`Wanted`] (`wanted.rs` lists what a plan needs),
//! and take it where it is needed. Only what cannot be named before something is built or resolved is asked for later:
//! taking an object that was not wanted asks for it then.

use super::desk::{Party, UrlDesk};
use crate::dagster::artifacts::Stored;
use crate::dagster::operations::{Method, PresignedUrl};
use crate::dagster::{Client, DagsterError};
use crate::dependencies::{self, Distributions};
use crate::threads::lock;
use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Objects that are read at the same time.
const WORKERS: usize = 8;

/// What to read before the build.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Names of texts, in groups: the first of a group is read, the others only if it turns out to be useless, but their
    /// URLs are asked for in the same call.
    pub texts: Vec<Vec<String>>,
    /// Names of PEX files that may turn out to be needed.
    pub files: Vec<String>,
}

/// The result for an object.
type Found<T> = Result<T, Arc<DagsterError>>;

/// Objects of the registry that are being read.
pub struct Lookups {
    desk: Arc<UrlDesk>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Whether the names are not known yet.
    is_open: bool,
    urls: BTreeMap<String, PresignedUrl>,
    /// `None` while an object is being read.
    texts: BTreeMap<String, Option<Found<Option<String>>>>,
    files: BTreeMap<String, Option<Found<Stored>>>,
}

/// One object to read.
enum Item {
    Text(String),
    File(String),
}

impl Lookups {
    /// Nothing is read before it is taken.
    pub fn none(desk: Arc<UrlDesk>) -> Lookups {
        Lookups { desk, shared: Arc::default() }
    }

    /// Read what is wanted in another thread, where `wanted` is called too.
    pub fn begin(desk: Arc<UrlDesk>, wanted: impl FnOnce() -> Wanted + Send + 'static) -> Lookups {
        let lookups = Lookups::none(desk);
        lock(&lookups.shared.state).is_open = true;
        let (desk, shared) = (Arc::clone(&lookups.desk), Arc::clone(&lookups.shared));
        std::thread::spawn(move || {
            // Also when a bug ends this thread, so that nobody waits for it.
            let _ended = Ended { desk: &desk, shared: &shared };
            shared.read(&desk, wanted());
        });
        lookups
    }

    /// The client.
    pub fn client(&self) -> &Client {
        self.desk.client()
    }

    /// A short text; `None` if there is no such object.
    ///
    /// # Errors
    /// Those of the call for its URL, and of reading it.
    pub fn text(&self, name: &str) -> Found<Option<String>> {
        match self.taken(name, |state| &mut state.texts) {
            Some(found) => found,
            None => Ok(self.client().download_text(name, &self.url(name)?)?),
        }
    }

    /// Whether a PEX file is stored.
    ///
    /// # Errors
    /// The same.
    pub fn stored(&self, name: &str) -> Found<Stored> {
        match self.taken(name, |state| &mut state.files) {
            Some(found) => found,
            None => {
                let found = self.url(name).and_then(|url| Ok(self.client().stored(name, &url)?));
                // A file may be named by several entries.
                lock(&self.shared.state).files.insert(name.into(), Some(found.clone()));
                found
            }
        }
    }

    /// Names and versions of what a stored deps PEX holds; `None` if they cannot be read.
    pub fn distributions(&self, name: &str) -> Option<Distributions> {
        dependencies::stored(self.client(), name, &self.url(name).ok()?)
    }

    /// Ask for the URLs of these objects in one call, unless they are known.
    ///
    /// # Errors
    /// Those of the call.
    pub fn prepare(&self, names: &[String]) -> Result<(), DagsterError> {
        let missing: Vec<&str> = {
            let state = self.shared.named();
            let is_known = |name: &str| state.urls.contains_key(name) || state.texts.contains_key(name);
            names.iter().map(String::as_str).filter(|name| !is_known(name)).collect()
        };
        if missing.is_empty() {
            return Ok(());
        }
        let urls = self.client().urls(&missing, &[])?.0;
        let urls = missing.iter().map(ToString::to_string).zip(urls);
        lock(&self.shared.state).urls.extend(urls);
        Ok(())
    }

    /// The result for an object that was wanted; waits for it.
    fn taken<T: Clone>(
        &self,
        name: &str,
        kind: impl Fn(&mut State) -> &mut BTreeMap<String, Option<Found<T>>>,
    ) -> Option<Found<T>> {
        let state = self.shared.named();
        let is_on_its_way = |state: &mut State| matches!(kind(state).get(name), Some(None));
        let state = self.shared.changed.wait_while(state, is_on_its_way);
        kind(&mut state.unwrap_or_else(PoisonError::into_inner)).get(name).cloned().flatten()
    }

    fn url(&self, name: &str) -> Found<PresignedUrl> {
        self.prepare(&[name.to_string()])?;
        let known = lock(&self.shared.state).urls.get(name).cloned();
        known.map_or_else(|| Ok(self.client().presigned_url(name, Method::Get)?), Ok)
    }
}

impl Shared {
    /// The state, when all names are known.
    fn named(&self) -> MutexGuard<'_, State> {
        let state = self.changed.wait_while(lock(&self.state), |state| state.is_open);
        state.unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self, desk: &UrlDesk, wanted: Wanted) {
        let Wanted { texts, files } = wanted;
        let firsts: Vec<String> = texts.iter().filter_map(|group| group.first().cloned()).collect();
        let names: Vec<&str> = texts.iter().flatten().chain(&files).map(String::as_str).collect();
        let mut state = lock(&self.state);
        state.texts.extend(firsts.iter().map(|name| (name.clone(), None)));
        state.files.extend(files.iter().map(|name| (name.clone(), None)));
        state.is_open = false;
        drop(state);
        self.changed.notify_all();
        if names.is_empty() {
            return;
        }
        match desk.ask(Party::Ahead, &names, &[]) {
            Ok((urls, _)) => lock(&self.state).urls.extend(names.iter().map(ToString::to_string).zip(urls)),
            Err(error) => return self.fail(&Arc::new(error), texts.into_iter().flatten(), files),
        }
        let items = firsts.into_iter().map(Item::Text).chain(files.iter().cloned().map(Item::File));
        let items = Mutex::new(items.collect::<Vec<_>>().into_iter());
        std::thread::scope(|scope| {
            let work = || {
                while let Some(item) = next(&items) {
                    self.read_one(desk.client(), item);
                }
            };
            (1..WORKERS.min(lock(&items).len())).for_each(|_| drop(scope.spawn(work)));
            work();
        });
    }

    fn read_one(&self, client: &Client, item: Item) {
        let url = |name: &str| lock(&self.state).urls.get(name).cloned();
        match item {
            Item::Text(name) => {
                let Some(url) = url(&name) else { return };
                let found = client.download_text(&name, &url).map_err(Arc::new);
                lock(&self.state).texts.insert(name, Some(found));
            }
            Item::File(name) => {
                let Some(url) = url(&name) else { return };
                let found = client.stored(&name, &url).map_err(Arc::new);
                lock(&self.state).files.insert(name, Some(found));
            }
        }
        self.changed.notify_all();
    }

    /// None of them can be read, for this reason.
    fn fail(&self, error: &Arc<DagsterError>, texts: impl Iterator<Item = String>, files: Vec<String>) {
        let mut state = lock(&self.state);
        state.texts.extend(texts.map(|name| (name, Some(Err(Arc::clone(error))))));
        state.files.extend(files.into_iter().map(|name| (name, Some(Err(Arc::clone(error))))));
    }
}

fn next(items: &Mutex<std::vec::IntoIter<Item>>) -> Option<Item> {
    lock(items).next()
}

/// The end of the thread: what is still on its way will not come.
struct Ended<'a> {
    desk: &'a UrlDesk,
    shared: &'a Shared,
}

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.desk.leave(Party::Ahead);
        let mut state = lock(&self.shared.state);
        state.is_open = false;
        state.texts.retain(|_, found| found.is_some());
        state.files.retain(|_, found| found.is_some());
        drop(state);
        self.shared.changed.notify_all();
    }
}
