//! Temporary files and directories, and the removal of those from killed runs.
//!
//! Each has a name that starts with [`PREFIX`] and the pid of its process, and is locked (`flock`) as long as that
//! process lives: the kernel releases the lock however it ends. A later run removes unlocked ones ([`sweep`]). So
//! leftovers of killed runs are removed and running processes lose nothing, even if clocks are wrong. On a file system
//! without locks, nothing is swept.

use crate::file_lock;
use crate::threads::lock;
use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, SystemTime};
use tempfile::{NamedTempFile, TempDir};

/// Prefix of temporary names next to final ones. Such a file is never complete.
const PREFIX: &str = ".partial-";
/// Prefix in the system's directory for temporary files, which other programs use too.
const SHARED_PREFIX: &str = "pexpress-";
/// Newer ones are skipped, as they may not be locked yet.
const NEW: Duration = Duration::from_secs(60);
/// How often to retry making one that another run swept immediately, or removing one that is still written to.
const TRIES: usize = 20;

/// Directories and prefixes that this process has used.
static USED: Mutex<BTreeSet<(PathBuf, &str)>> = Mutex::new(BTreeSet::new());

/// Whether a file or directory of this name is unfinished, in any run.
pub fn is_unfinished(name: &str) -> bool {
    name.starts_with(PREFIX)
}

/// A temporary directory, removed when dropped.
#[derive(Debug)]
pub struct Scratch {
    dir: TempDir,
    /// Held, not read. `None` if a directory cannot be locked.
    _lock: Option<File>,
}

impl Scratch {
    /// A temporary directory below `parent`, which must exist.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn below(parent: &Path) -> io::Result<Scratch> {
        Scratch::new(PREFIX, parent)
    }

    /// One in `temp_dir`, where others make temporary files too.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn shared(temp_dir: &Path) -> io::Result<Scratch> {
        Scratch::new(SHARED_PREFIX, temp_dir)
    }

    fn new(prefix: &'static str, parent: &Path) -> io::Result<Scratch> {
        lock(&USED).insert((parent.into(), prefix));
        claimed(|| {
            let dir = tempfile::Builder::new().prefix(&own(prefix)).tempdir_in(parent)?;
            // A sweep of another process may have removed the new directory before it is locked.
            let lock = match File::open(dir.path()) {
                Ok(file) if !claim(&file, dir.path()) => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                opened => opened.ok(),
            };
            Ok(Some(Scratch { dir, _lock: lock }))
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }
}

/// A temporary file in `dir`, which must exist. Removed when dropped.
///
/// # Errors
/// Those of the file system.
pub fn file_in(dir: &Path) -> io::Result<NamedTempFile> {
    lock(&USED).insert((dir.into(), PREFIX));
    claimed(|| {
        let file = tempfile::Builder::new().prefix(&own(PREFIX)).tempfile_in(dir)?;
        Ok(claim(file.as_file(), file.path()).then_some(file))
    })
}

/// Make one until it is ours: a sweeping run with a clock ahead may have removed it before it was locked.
fn claimed<T>(mut make: impl FnMut() -> io::Result<Option<T>>) -> io::Result<T> {
    for _ in 0..TRIES {
        if let Some(made) = make()? {
            return Ok(made);
        }
    }
    Err(io::Error::other("other processes keep removing what is made there"))
}

/// Lock a new file at `path`. Returns whether it still exists and no other process holds it; `true` on systems without
/// locks.
fn claim(file: &File, path: &Path) -> bool {
    match file_lock::try_exclusive(file) {
        Ok(()) => is_at(file, path),
        // Some file systems have no locks. There, only the age protects the file.
        Err(error) => error.kind() != io::ErrorKind::WouldBlock,
    }
}

#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let place = |data: &std::fs::Metadata| (data.dev(), data.ino());
    matches!((file.metadata(), path.symlink_metadata()), (Ok(ours), Ok(there)) if place(&ours) == place(&there))
}

#[cfg(not(unix))]
fn is_at(_: &File, path: &Path) -> bool {
    path.exists()
}

/// Remove what killed runs left in `temp_dir`, of what [`Scratch::shared`] makes.
pub fn sweep_shared(temp_dir: &Path, now: SystemTime) {
    sweep_named(temp_dir, SHARED_PREFIX, now);
}

/// Remove leftovers of killed runs in `dir`. Best effort: remaining ones do no harm.
pub fn sweep(dir: &Path, now: SystemTime) {
    sweep_named(dir, PREFIX, now);
}

/// Remove all unfinished files and temporary directories of this process, which is about to exit, and of no other.
pub fn remove_own() {
    let used = lock(&USED).clone();
    used.iter().for_each(|(dir, prefix)| remove_own_in(dir, prefix));
}

fn remove_own_in(dir: &Path, prefix: &str) {
    named(dir, &own(prefix)).for_each(|path| remove(&path));
}

fn sweep_named(dir: &Path, prefix: &str, now: SystemTime) {
    for path in named(dir, prefix) {
        // The lock is held until the file is removed, so that no other process claims it meanwhile.
        if let Some(_lock) = abandoned(&path, now) {
            remove(&path);
        }
    }
}

fn own(prefix: &str) -> String {
    format!("{prefix}{}-", std::process::id())
}

fn named(dir: &Path, prefix: &str) -> impl Iterator<Item = PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let named = move |entry: &std::fs::DirEntry| entry.file_name().to_string_lossy().starts_with(prefix);
    entries.filter(named).map(|entry| entry.path())
}

/// The lock of one that is not held and not new. One from the future (after a clock was set back) is not new either.
fn abandoned(path: &Path, now: SystemTime) -> Option<File> {
    let modified = path.symlink_metadata().and_then(|data| data.modified()).ok()?;
    // A time in the future counts too: the clock of another machine may differ.
    let distance = now.duration_since(modified).unwrap_or_else(|error| error.duration());
    // A new file may not be locked yet.
    let file = (distance > NEW).then(|| File::open(path).ok()).flatten()?;
    file_lock::try_exclusive(&file).is_ok().then_some(file)
}

fn remove(path: &Path) {
    for _ in 0..TRIES {
        let removed = if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
        // Another run may be removing the same one, and a thread of this run may still write to it.
        if !matches!(removed, Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATER: Duration = Duration::from_secs(3600);

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<_> = named(dir, "").map(|path| path.display().to_string()).collect();
        names.sort();
        names
    }

    #[test]
    fn only_unlocked_leftovers_are_swept() {
        let dir = tempfile::tempdir().unwrap();
        let (held_file, held_dir) = (file_in(dir.path()).unwrap(), Scratch::below(dir.path()).unwrap());
        std::fs::write(held_dir.path().join("within"), "x").unwrap();
        std::fs::write(dir.path().join("deps-1.pex"), "whole").unwrap();
        let kept = names(dir.path());
        std::fs::write(dir.path().join(".partial-1-a"), "half").unwrap();
        std::fs::create_dir_all(dir.path().join(".partial-1-b/wheel")).unwrap();
        let now = SystemTime::now();
        sweep(dir.path(), now);
        assert_eq!(names(dir.path()).len(), 5, "new ones may belong to a run that has not locked them yet");
        sweep(dir.path(), now + LATER);
        assert_eq!(names(dir.path()), kept);
        drop((held_file, held_dir));
        assert_eq!(names(dir.path()).len(), 1);
    }

    #[test]
    fn leftovers_from_the_future_are_swept_too() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(".partial-1-a"), "half").unwrap();
        sweep(dir.path(), SystemTime::now() - LATER);
        assert!(names(dir.path()).is_empty());
    }

    #[test]
    fn one_that_is_swept_before_it_is_locked_is_made_again() {
        let dir = tempfile::tempdir().unwrap();
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            // The clocks of these are an hour ahead.
            let sweep_on = || {
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    sweep(dir.path(), SystemTime::now() + LATER);
                }
            };
            scope.spawn(sweep_on);
            scope.spawn(sweep_on);
            let mut made = 0;
            let mut lost = 0;
            for _ in 0..2000 {
                // On a busy machine the sweepers can win every try. A panic here would let them run for ever.
                let (Ok(scratch), Ok(file)) = (Scratch::below(dir.path()), file_in(dir.path())) else {
                    continue;
                };
                made += 1;
                let is_kept =
                    std::fs::write(scratch.path().join("within"), "x").is_ok() && file.path().exists();
                lost += usize::from(!is_kept);
            }
            done.store(true, std::sync::atomic::Ordering::Relaxed);
            assert!(made > 0 && lost == 0, "{lost} of {made} were lost");
        });
    }

    #[test]
    fn an_interrupted_run_removes_its_own_files_only() {
        let dir = tempfile::tempdir().unwrap();
        let _own = file_in(dir.path()).unwrap();
        std::fs::write(dir.path().join(".partial-1-of-another"), "").unwrap();
        remove_own_in(dir.path(), PREFIX);
        assert!(matches!(&names(dir.path())[..], [one] if one.ends_with("of-another")));
    }
}
