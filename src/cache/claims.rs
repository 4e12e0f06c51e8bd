//! Which entries of the cache are in use, so that none is removed while a run reads it.
//!
//! A run claims an entry before it looks whether it exists: this sets the entry's time to now. [`Cache::prune`] removes
//! only what no run has claimed for a day, which no run lasts. Both happen under a lock (`.lock`, shared to claim, alone
//! to remove), so an entry is either claimed in time or seen to be missing. Runs also hold `.in-use` until they end, for
//! [`Cache::clean`].

use super::Cache;
use crate::file_lock;
use crate::threads::lock;
use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::SystemTime;

const LOCK: &str = ".lock";
const IN_USE: &str = ".in-use";

/// Held until the process ends: `.in-use` of each cache directory, and entries of other users, whose time cannot be set.
static HELD: Mutex<BTreeMap<PathBuf, File>> = Mutex::new(BTreeMap::new());

impl Cache {
    /// Keep an entry, if it exists, from being removed for the next day. Returns whether it exists.
    pub fn claim(&self, entry: &Path) -> bool {
        self.mark_in_use();
        // Without locks nothing is removed either.
        let guard = self.open(LOCK);
        let _guard = guard.filter(|file| file_lock::shared(file).is_ok());
        let Ok(file) = File::open(entry) else { return false };
        if file.set_modified(SystemTime::now()).is_err() && file_lock::shared(&file).is_ok() {
            lock(&HELD).insert(entry.to_path_buf(), file);
        }
        true
    }

    /// Wait until no other process makes what `name` stands for; others wait as long as the file is held. `None` where
    /// nothing can be locked: then several may make it at once, and the last one to finish wins.
    pub fn turn(&self, name: &str) -> Option<File> {
        std::fs::create_dir_all(&self.root).ok()?;
        let file = File::create(self.root.join(format!(".making-{name}"))).ok()?;
        file_lock::exclusive(&file).is_ok().then_some(file)
    }

    /// Let other processes see that this one uses the cache, until it ends.
    pub(super) fn mark_in_use(&self) {
        let mut held = lock(&HELD);
        let path = self.root.join(IN_USE);
        if held.contains_key(&path) {
            return;
        }
        if let Some(file) = self.open(IN_USE).filter(|file| file_lock::shared(file).is_ok()) {
            held.insert(path, file);
        }
    }

    /// Alone in the cache, as long as the file is held; `None` if another process uses it.
    ///
    /// # Errors
    /// Those of the file system.
    pub(super) fn alone(&self) -> std::io::Result<Option<File>> {
        // Taken again at the next use.
        lock(&HELD).remove(&self.root.join(IN_USE));
        let file = File::create(self.root.join(IN_USE))?;
        match file_lock::try_exclusive(&file) {
            Ok(()) => Ok(Some(file)),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The lock under which an entry may be removed, as long as the file is held.
    ///
    /// # Errors
    /// When the file system has no locks.
    pub(super) fn removing(&self) -> std::io::Result<File> {
        let file = File::create(self.root.join(LOCK))?;
        file_lock::exclusive(&file)?;
        Ok(file)
    }

    /// A lock file. In a directory of another user it can only be read, which is enough for a shared lock.
    fn open(&self, name: &str) -> Option<File> {
        let path = self.root.join(name);
        let made = || self.root.is_dir().then(|| File::create(&path).ok()).flatten();
        File::open(&path).ok().or_else(made)
    }
}
