//! Removes entries that were not used for some time, or that make the cache too large. Safe next to running builds:
//! [`super::claims`] says why.

use super::contents::{Entry, PARTS};
use super::{Cache, CacheError};
use crate::file_lock;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// One day: no run lasts longer, so nothing that was claimed since is removed.
pub const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What to keep.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Entries that were not used for this long are removed. At least [`DAY`].
    pub unused_for: Duration,
    /// Then those that were not used for the longest time, until the others have this size, if they are older than
    /// [`DAY`].
    pub size_bytes: u64,
}

impl Limits {
    /// The limits unless others are set: 30 days, 10 GB.
    pub const DEFAULT: Limits =
        Limits { unused_for: Duration::from_secs(30 * 86_400), size_bytes: 10_000_000_000 };
}

/// What a prune removed, or would remove.
#[derive(Debug, Default)]
pub struct Pruned {
    /// The entries.
    pub removed: Vec<Entry>,
    /// Size of the others.
    pub left_bytes: u64,
}

impl Pruned {
    /// Size of what was removed.
    pub fn removed_bytes(&self) -> u64 {
        self.removed.iter().map(|entry| entry.size_bytes).sum()
    }
}

impl Cache {
    /// Remove what the limits do not keep. With `dry_run` nothing is removed.
    ///
    /// # Errors
    /// When the cache cannot be written, or its file system has no locks.
    pub fn prune(&self, limits: &Limits, now: SystemTime, dry_run: bool) -> Result<Pruned, CacheError> {
        if !self.root.is_dir() {
            return Ok(Pruned::default());
        }
        let (candidates, kept) = choose(self.entries(), limits, now);
        let mut pruned = Pruned { left_bytes: total(&kept), ..Pruned::default() };
        if dry_run {
            return Ok(Pruned { removed: candidates, ..pruned });
        }
        self.sweep(now);
        // Entries are moved here, which takes no time under the lock, and removed with it.
        let trash = self.scratch("building")?;
        for (number, entry) in candidates.into_iter().enumerate() {
            match self.take(&entry, &trash.path().join(number.to_string()), now)? {
                true => pruned.removed.push(entry),
                false => pruned.left_bytes += entry.size_bytes,
            }
        }
        Ok(pruned)
    }

    /// Move an entry away, unless a run has claimed it since it was chosen.
    fn take(&self, entry: &Entry, to: &Path, now: SystemTime) -> Result<bool, CacheError> {
        let fail = |action: &'static str, path: PathBuf| move |source| CacheError { action, path, source };
        let _alone = self.removing().map_err(fail("lock", self.root.clone()))?;
        let used = entry.path.symlink_metadata().and_then(|data| data.modified());
        if used.is_ok_and(|used| age(used, now) < DAY) {
            return Ok(false);
        }
        // One of another user is locked instead.
        if File::open(&entry.path).is_ok_and(|file| file_lock::try_exclusive(&file).is_err()) {
            return Ok(false);
        }
        match std::fs::rename(&entry.path, to) {
            // Another process was faster, or it is not ours.
            Err(_) => Ok(false),
            Ok(()) => Ok(true),
        }
    }

    /// Remove everything. `None` if another process uses the cache, and then nothing is removed. Only directories of
    /// this program are removed, whatever the cache directory is.
    ///
    /// # Errors
    /// When something cannot be removed.
    pub fn clean(&self) -> Result<Option<u64>, CacheError> {
        if !self.root.is_dir() {
            return Ok(Some(0));
        }
        let fail = |action: &'static str, path: PathBuf| move |source| CacheError { action, path, source };
        let Some(_alone) = self.alone().map_err(fail("lock", self.root.clone()))? else { return Ok(None) };
        let removed = total(&self.entries());
        for path in PARTS.iter().map(|part| self.root.join(part.name)).filter(|path| path.exists()) {
            std::fs::remove_dir_all(&path).map_err(fail("remove", path.clone()))?;
        }
        Ok(Some(removed))
    }
}

/// Entries to remove, and those to keep.
fn choose(mut entries: Vec<Entry>, limits: &Limits, now: SystemTime) -> (Vec<Entry>, Vec<Entry>) {
    entries.sort_by_key(|entry| entry.used);
    let mut size_bytes = total(&entries);
    let unused_for = limits.unused_for.max(DAY);
    entries.into_iter().partition(|entry| {
        let age = age(entry.used, now);
        let goes = age >= unused_for || (size_bytes > limits.size_bytes && age >= DAY);
        size_bytes -= if goes { entry.size_bytes } else { 0 };
        goes
    })
}

fn total(entries: &[Entry]) -> u64 {
    entries.iter().map(|entry| entry.size_bytes).sum()
}

/// A time in the future (a changed clock) is now.
fn age(used: SystemTime, now: SystemTime) -> Duration {
    now.duration_since(used).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};

    const WEEK: Duration = Duration::from_secs(7 * 86_400);

    /// Make an entry with a file of this size in it that was last used so long ago.
    fn make(cache: &Cache, name: &str, size: usize, ago: Duration) -> PathBuf {
        let directory = cache.root().join(name);
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join("file"), vec![0; size]).unwrap();
        File::open(&directory).unwrap().set_modified(SystemTime::now() - ago).unwrap();
        directory
    }

    fn pruned(cache: &Cache, limits: &Limits) -> Vec<String> {
        let pruned = cache.prune(limits, SystemTime::now(), false).unwrap();
        let name = |entry: &Entry| entry.path.strip_prefix(cache.root()).unwrap().display().to_string();
        let mut names: Vec<String> = pruned.removed.iter().map(name).collect();
        names.sort();
        names
    }

    #[test]
    fn the_age_decides_and_then_the_size() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache { root: dir.path().join("cache") };
        make(&cache, "environments/verify-3.12/deps-1", 10, 5 * WEEK);
        make(&cache, "environments/dagster-1.13-0", 10, WEEK);
        make(&cache, "wheels/ab/abc", 10, 2 * WEEK);
        make(&cache, "wheels/cd/cde", 10, Duration::ZERO);
        std::fs::write(cache.root().join("environments/verify-3.12/deps-1.lock"), "").unwrap();
        let limits = Limits { size_bytes: 20, ..Limits::DEFAULT };
        assert_eq!(pruned(&cache, &limits), ["environments/verify-3.12/deps-1", "wheels/ab/abc"]);
        // What was used today stays, however small the limit.
        let none = Limits { unused_for: Duration::ZERO, size_bytes: 0 };
        assert_eq!(pruned(&cache, &none), ["environments/dagster-1.13-0"]);
        assert!(cache.root().join("wheels/cd/cde/file").exists());
        assert!(cache.root().join("environments/verify-3.12/deps-1.lock").exists());
        assert_eq!(std::fs::read_dir(cache.root().join("building")).unwrap().count(), 0);
    }

    #[test]
    fn of_a_builds_directory_old_files_go_first() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache { root: dir.path().join("cache") };
        let builds = make(&cache, "builds/shop-1", 0, Duration::ZERO);
        for (name, ago) in [("deps-1.pex", WEEK), ("deps-2.pex", WEEK), ("source-3.pex", Duration::ZERO)] {
            std::fs::write(builds.join(name), "x").unwrap();
            File::open(builds.join(name)).unwrap().set_modified(SystemTime::now() - ago).unwrap();
        }
        std::fs::write(builds.join("pexpress.json"), "{\"deps_pex\": \"deps-2.pex\"}").unwrap();
        assert_eq!(
            pruned(&cache, &Limits { size_bytes: 0, ..Limits::DEFAULT }),
            ["builds/shop-1/deps-1.pex"]
        );
    }

    #[test]
    fn an_entry_that_a_run_has_claimed_is_not_removed() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache { root: dir.path().join("cache") };
        let limits = Limits { unused_for: DAY, size_bytes: 0 };
        let names: Vec<String> = (0..40).map(|n| format!("wheels/ab/{n}")).collect();
        names.iter().for_each(|name| drop(make(&cache, name, 1, WEEK)));
        let (done, lost) = (AtomicBool::new(false), std::sync::atomic::AtomicUsize::new(0));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let _ = cache.prune(&limits, SystemTime::now(), false);
                }
            });
            let mut claimed = 0;
            for round in 0..10 {
                for name in &names {
                    let entry = cache.root().join(name);
                    if cache.claim(&entry) {
                        claimed += 1;
                        // Long enough for a prune that had chosen it before.
                        std::thread::yield_now();
                        lost.fetch_add(usize::from(!entry.join("file").exists()), Ordering::Relaxed);
                    }
                    // Whole and old at once, as an entry of an earlier run is.
                    let made = make(&cache, &format!("made-{round}"), 1, WEEK);
                    if std::fs::rename(&made, &entry).is_err() {
                        let old =
                            File::open(&entry).and_then(|dir| dir.set_modified(SystemTime::now() - WEEK));
                        drop(old);
                    }
                }
            }
            done.store(true, Ordering::Relaxed);
            assert!(claimed > 0);
        });
        assert_eq!(lost.into_inner(), 0);
    }

    #[test]
    fn a_cache_in_use_is_not_cleaned_and_nothing_else_is() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache { root: dir.path().join("cache") };
        make(&cache, "wheels/ab/abc", 10, WEEK);
        std::fs::write(cache.root().join("own"), "x").unwrap();
        let other = File::create(cache.root().join(".in-use")).unwrap();
        file_lock::shared(&other).unwrap();
        assert_eq!(cache.clean().unwrap(), None);
        drop(other);
        assert_eq!(cache.clean().unwrap(), Some(10));
        assert!(!cache.root().join("wheels").exists() && cache.root().join("own").exists());
    }
}
