//! PEX files → objects of the registry. Existing files are not sent again; others are uploaded while more are being
//! built.
//!
//! The rule of this stage: nothing refers to an object before it is stored. A location is updated, and a deps cache
//! entry is written, only for files that this stage found in the registry or uploaded itself.

mod blob_sources;
pub mod cache_tags;
pub mod deps_cache;
pub mod desk;
pub mod early_layers;
mod image_parts;
pub mod image_records;
pub mod images;
mod in_use;
pub mod known_layers;
pub mod lookups;
pub mod named_images;
mod publisher;
pub mod recipes;
pub mod record;
pub mod registry_login;
pub mod wanted;

pub use cache_tags::{CacheTags, default_cache_tags};
pub use in_use::InUse;
pub use publisher::{Published, Publisher, Recording, Settings};

use desk::{Party, UrlDesk};

use crate::dagster::artifacts::{Content, Stored};
use crate::dagster::operations::{Method, PresignedUrl};
use crate::dagster::{Client, DagsterError};
use crate::net::Progress;
use crate::threads::lock;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;

/// Files that a worker takes from the queue at once. One call gets their URLs.
const MOST_FILES_A_CALL: usize = 25;
/// Parallel uploads.
pub const WORKERS: usize = 6;
/// Up to this size, a file that is probably new is sent at once: to look first would take as long.
const SMALL_BYTES: u64 = 8 << 20;

/// A PEX file to upload, named by its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// `deps-HASH.pex` or `source-HASH.pex`.
    pub name: String,
    /// Its local path.
    pub path: PathBuf,
}

/// How a PEX file got into the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UploadOutcome {
    /// A deps cache entry named it, and it was not even built.
    Cached,
    /// It was built, and was there.
    AlreadyThere,
    /// It was uploaded in this run.
    Uploaded,
}

impl UploadOutcome {
    /// In words: `already there`.
    pub fn words(self) -> &'static str {
        match self {
            UploadOutcome::Cached => "cached",
            UploadOutcome::AlreadyThere => "already there",
            UploadOutcome::Uploaded => "uploaded",
        }
    }
}

/// How both files of a code location came to be in the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentFiles {
    /// The source PEX.
    pub source: UploadOutcome,
    /// The deps PEX.
    pub deps: UploadOutcome,
}

/// The result for each file, by name.
pub type Outcomes = BTreeMap<String, Result<UploadOutcome, Arc<DagsterError>>>;

/// URLs for one file, as far as they are known.
#[derive(Clone)]
struct FileUrls {
    get: Option<PresignedUrl>,
    put: Option<PresignedUrl>,
}

/// Uploads files while others are still being built: call [`Uploads::send`] at any time, from any thread, and
/// [`Uploads::finish`] once.
pub struct Uploads {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
}

struct Shared {
    client: Client,
    desk: Arc<UrlDesk>,
    in_use: InUse,
    upload: bool,
    progress: Arc<dyn Progress>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Artifact>,
    seen: BTreeSet<String>,
    closed: bool,
    outcomes: Outcomes,
}

impl Uploads {
    /// Start the workers. Without `upload`, files are only checked.
    pub fn start(client: &Client, upload: bool, progress: Arc<dyn Progress>) -> Uploads {
        Uploads::start_at(Arc::new(UrlDesk::new(client)), InUse::default(), upload, progress)
    }

    /// The same with URLs from this desk, and with what code locations use already.
    pub fn start_at(desk: Arc<UrlDesk>, in_use: InUse, upload: bool, progress: Arc<dyn Progress>) -> Uploads {
        let shared = Arc::new(Shared {
            client: desk.client().clone(),
            desk,
            in_use,
            upload,
            progress,
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let worker = || {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || shared.work())
        };
        Uploads { workers: (0..WORKERS).map(|_| worker()).collect(), shared }
    }

    /// Upload a file. One with the same name is only uploaded once.
    pub fn send(&self, file: Artifact) {
        let mut state = self.shared.lock();
        // Names have the hash of the content, so an equal name is the same file.
        if state.seen.insert(file.name.clone()) {
            state.waiting.push_back(file);
            drop(state);
            self.shared.changed.notify_one();
        }
    }

    /// Wait until all files are stored or have failed.
    pub fn finish(mut self) -> Outcomes {
        self.close();
        std::mem::take(&mut self.shared.lock().outcomes)
    }

    fn close(&mut self) {
        self.shared.lock().closed = true;
        self.shared.changed.notify_all();
        for worker in self.workers.drain(..) {
            if let Err(panic) = worker.join() {
                // A bug in a worker must end the run like any other bug.
                std::panic::resume_unwind(panic);
            }
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn work(&self) {
        while let Some(files) = self.take_share() {
            for (name, outcome) in self.publish(&files) {
                self.lock().outcomes.insert(name, outcome.map_err(Arc::new));
            }
        }
    }

    /// This worker's share of the queue; `None` when no more files will come.
    fn take_share(&self) -> Option<Vec<Artifact>> {
        let mut state = self.lock();
        while state.waiting.is_empty() {
            if state.closed {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(|poisoned| poisoned.into_inner());
        }
        // Not all at once: the other workers should get files too.
        let share = state.waiting.len().div_ceil(WORKERS).min(MOST_FILES_A_CALL);
        Some(state.waiting.drain(..share).collect())
    }

    /// Check the files, and upload the missing ones. A file that cannot be checked is uploaded too.
    fn publish(&self, files: &[Artifact]) -> Vec<(String, Result<UploadOutcome, DagsterError>)> {
        let (served, files): (Vec<&Artifact>, Vec<&Artifact>) =
            files.iter().partition(|file| self.in_use.is_trusted(&file.name));
        let mut outcomes: Vec<_> =
            served.iter().map(|file| (file.name.clone(), Ok(UploadOutcome::AlreadyThere))).collect();
        if files.is_empty() {
            self.desk.leave(Party::Files);
            return outcomes;
        }
        for (file, urls) in files.iter().zip(self.urls(&files)) {
            let urls = match urls {
                Ok(urls) => urls,
                Err(error) => {
                    outcomes.push((file.name.clone(), Err(error)));
                    continue;
                }
            };
            let outcome = match self.is_there(file, urls.get.as_ref()) {
                Ok(true) => Ok(UploadOutcome::AlreadyThere),
                // Upload even after a failed check: a needless upload only costs time.
                Ok(false) | Err(_) if self.upload => {
                    let sent = self.upload_whole(file, urls);
                    self.progress.finish(&file.name);
                    sent.map(|()| UploadOutcome::Uploaded)
                }
                Ok(false) => Err(not_stored(&file.name)),
                Err(error) => Err(error),
            };
            outcomes.push((file.name.clone(), outcome));
        }
        outcomes
    }

    /// Whether the registry has a file completely. One that is small and probably new is not looked for.
    fn is_there(&self, file: &Artifact, url: Option<&PresignedUrl>) -> Result<bool, DagsterError> {
        let is_small = local_size(file).is_some_and(|bytes| bytes <= SMALL_BYTES);
        match url {
            Some(url) if !(self.upload && is_small && self.in_use.is_new(&file.name)) => {
                let stored = self.client.stored(&file.name, url)?;
                Ok(fits(stored, file) == Some(true))
            }
            _ => Ok(false),
        }
    }

    /// For each file, the URLs to look for it and to upload it.
    fn urls(&self, files: &[&Artifact]) -> Vec<Result<FileUrls, DagsterError>> {
        let names: Vec<&str> = files.iter().map(|file| file.name.as_str()).collect();
        let put: &[&str] = if self.upload { &names } else { &[] };
        match self.desk.ask(Party::Files, &names, put) {
            Ok((get, put)) => {
                let put = put.into_iter().map(Some).chain(std::iter::repeat_with(|| None));
                get.into_iter().zip(put).map(|(get, put)| Ok(FileUrls { get: Some(get), put })).collect()
            }
            Err(error) if self.upload => {
                self.client.host().detail(format!("{error}; sending the files without looking for them"));
                self.upload_urls(&names).into_iter().map(|put| Ok(FileUrls { get: None, put })).collect()
            }
            Err(error) => {
                let error = error.to_string();
                names.iter().map(|name| Err(cannot_look(name, &error))).collect()
            }
        }
    }

    fn upload_urls(&self, names: &[&str]) -> Vec<Option<PresignedUrl>> {
        match self.client.presigned_urls(names, Method::Put) {
            Ok(urls) => urls.into_iter().map(Some).collect(),
            // Other calls would fail too, and nothing can be deployed without these files.
            Err(error) if error.is_out_of_reach() => {
                self.client.end_run(error);
                vec![None; names.len()]
            }
            // Without a URL, each file asks for its own below, so that one bad file does not fail the others.
            Err(_) => vec![None; names.len()],
        }
    }

    /// Upload a file, a second time if it arrives truncated: a store or proxy may report success anyway.
    fn upload_whole(&self, file: &Artifact, urls: FileUrls) -> Result<(), DagsterError> {
        let FileUrls { get, put: mut url } = urls;
        // Twice in a row is not an accident of the network.
        for _ in 0..2 {
            let url = match url.take() {
                Some(url) => url,
                None => self.client.presigned_url(&file.name, Method::Put)?,
            };
            let receipt =
                self.client.upload(&file.name, Content::File(&file.path), url, self.progress.as_ref())?;
            if receipt.proves_content || !self.is_damaged(file, get.as_ref()) {
                return Ok(());
            }
            self.client.host().detail(format!("{}: did not arrive intact", file.name));
        }
        Err(DagsterError::Damaged { name: file.name.clone() })
    }

    /// Whether the store has truncated a file that was just uploaded. `false` if it cannot be checked. `check_url` may
    /// have expired.
    fn is_damaged(&self, file: &Artifact, check_url: Option<&PresignedUrl>) -> bool {
        let look = |url: &PresignedUrl| {
            self.client.stored(&file.name, url).ok().and_then(|stored| fits(stored, file))
        };
        let by_known = check_url.and_then(look);
        let fits = by_known.or_else(|| look(&self.client.presigned_url(&file.name, Method::Get).ok()?));
        fits == Some(false)
    }
}

/// Whether the stored object is this complete file; `None` if nothing is stored.
fn fits(stored: Stored, file: &Artifact) -> Option<bool> {
    match stored {
        Stored::Whole { size_bytes } => Some(size_bytes.is_none_or(|size| Some(size) == local_size(file))),
        Stored::Broken => Some(false),
        Stored::Absent => None,
    }
}

fn local_size(file: &Artifact) -> Option<u64> {
    std::fs::metadata(&file.path).ok().map(|metadata| metadata.len())
}

fn not_stored(name: &str) -> DagsterError {
    DagsterError::NotStored { name: name.into() }
}

fn cannot_look(name: &str, why: &str) -> DagsterError {
    DagsterError::Unexpected { doing: format!("look for `{name}`"), what: format!("a URL ({why})") }
}
