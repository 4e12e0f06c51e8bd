//! PEX files → objects of the registry. Existing files are not sent again; others are uploaded while more are being
//! built.
//!
//! The rule of this stage: nothing refers to an object before it is stored. A location is updated, and a deps cache
//! entry is written, only for files that this stage found in the registry or uploaded itself.

pub mod cache_tags;
pub mod deps_cache;
mod publisher;
pub mod record;
pub mod registry_login;

pub use cache_tags::{CacheTags, default_cache_tags};
pub use publisher::{Published, Publisher, Recording};

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

/// Uploads files while others are still being built: call [`Uploads::send`] at any time, from any thread, and
/// [`Uploads::finish`] once.
pub struct Uploads {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
}

struct Shared {
    client: Client,
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
        let shared = Arc::new(Shared {
            client: client.clone(),
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
        let mut outcomes = Vec::new();
        let mut missing = Vec::new();
        for (file, (there, url)) in files.iter().zip(self.check(files)) {
            match there {
                Ok(true) => outcomes.push((file.name.clone(), Ok(UploadOutcome::AlreadyThere))),
                // Upload even after a failed check: a needless upload only costs time.
                Ok(false) | Err(_) if self.upload => missing.push((file, url)),
                Ok(false) => outcomes.push((file.name.clone(), Err(not_stored(&file.name)))),
                Err(error) => outcomes.push((file.name.clone(), Err(error))),
            }
        }
        outcomes.extend(self.upload_all(&missing));
        outcomes
    }

    /// For each file, whether the registry has it completely, and the URL to check it.
    fn check(&self, files: &[Artifact]) -> Vec<(Result<bool, DagsterError>, Option<PresignedUrl>)> {
        let names: Vec<_> = files.iter().map(|file| file.name.as_str()).collect();
        let urls = match self.client.presigned_urls(&names, Method::Get) {
            Ok(urls) => urls,
            Err(error) if self.upload => {
                self.client.host().detail(format!("{error}; sending the files without looking for them"));
                return names.iter().map(|_| (Ok(false), None)).collect();
            }
            Err(error) => {
                let error = error.to_string();
                return names.iter().map(|name| (Err(cannot_look(name, &error)), None)).collect();
            }
        };
        let look = |(file, url): (&Artifact, PresignedUrl)| {
            let stored = self.client.stored(&file.name, &url);
            (stored.map(|stored| matches!(fits(stored, file), Some(true))), Some(url))
        };
        files.iter().zip(urls).map(look).collect()
    }

    fn upload_all(
        &self,
        files: &[(&Artifact, Option<PresignedUrl>)],
    ) -> Vec<(String, Result<UploadOutcome, DagsterError>)> {
        if files.is_empty() {
            return Vec::new();
        }
        let names: Vec<_> = files.iter().map(|(file, _)| file.name.as_str()).collect();
        let urls = match self.client.presigned_urls(&names, Method::Put) {
            Ok(urls) => urls.into_iter().map(Some).collect(),
            // Other calls would fail too, and nothing can be deployed without these files.
            Err(error) if error.is_out_of_reach() => {
                self.client.end_run(error);
                vec![None; names.len()]
            }
            // Without a URL, each file asks for its own below, so that one bad file does not fail the others.
            Err(_) => vec![None; names.len()],
        };
        let upload = |(file, check_url): &(&Artifact, Option<PresignedUrl>), url| {
            let outcome = self.upload_whole(file, url, check_url.as_ref());
            self.progress.finish(&file.name);
            (file.name.clone(), outcome.map(|()| UploadOutcome::Uploaded))
        };
        files.iter().zip(urls).map(|(file, url)| upload(file, url)).collect()
    }

    /// Upload a file, a second time if it arrives truncated: a store or proxy may report success anyway.
    fn upload_whole(
        &self,
        file: &Artifact,
        mut url: Option<PresignedUrl>,
        check_url: Option<&PresignedUrl>,
    ) -> Result<(), DagsterError> {
        // Twice in a row is not an accident of the network.
        for _ in 0..2 {
            let url = match url.take() {
                Some(url) => url,
                None => self.client.presigned_url(&file.name, Method::Put)?,
            };
            self.client.upload(&file.name, Content::File(&file.path), url, self.progress.as_ref())?;
            if !self.is_damaged(file, check_url) {
                return Ok(());
            }
            self.client.host().detail(format!("{}: did not arrive intact", file.name));
        }
        Err(DagsterError::Damaged { name: file.name.clone() })
    }

    /// Whether the store has truncated a file that was just uploaded. `false` if it cannot be checked. `check_url` is
    /// the URL from the first check, which may have expired.
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
