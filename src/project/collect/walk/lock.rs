//! The lock file's part in the walk: what is local in it is visited, its pins take the place of lines.

use super::super::error::{CollectError, whole};
use super::super::locked::{self, Collected, Verdict};
use super::super::locks::{self, LockFile, Pinned};
use super::{Line, Visited, Walk};
use crate::project::{LocalDistribution, Lock, LockContent, LockUse};
use std::path::Path;

impl Line {
    fn collected(&self, text: &str) -> Collected {
        Collected {
            text: text.to_string(),
            name: self.name.clone(),
            extras: self.extras.clone(),
            place: self.place.clone(),
        }
    }
}

impl Walk<'_> {
    /// Let the lock file decide the versions, if there is one and it may.
    pub(super) fn lock(&mut self) -> Result<(), CollectError> {
        let required = self.options.lock_use == LockUse::Required;
        if self.options.lock_use == LockUse::Ignored {
            return Ok(());
        }
        let Some(Visited { directory, package: Some(package), .. }) = self.visited.first() else {
            return Ok(());
        };
        let Some(lock) = locks::read(directory, package, self.options, self.tools)? else {
            let directory = directory.clone();
            return if required { Err(CollectError::NoLock { directory }) } else { Ok(()) };
        };
        let place = whole(&lock.file);
        for pin in &lock.pins {
            match &pin.what {
                Pinned::Directory(directory) => self.visit(&directory.clone(), &[], Some(&place), false)?,
                Pinned::Distribution(path) if !self.has_distribution(path) => {
                    let name = Some(pin.name.to_string());
                    let found = LocalDistribution { path: path.clone(), name, extras: Vec::new() };
                    self.found.local_distributions.push(found);
                }
                _ => {}
            }
        }
        self.settle()?;
        let lines: Vec<Collected> = self.lines.iter().map(|(text, line)| line.collected(text)).collect();
        let verdict = locked::judge(&lines, &lock, &self.environment)?;
        if required {
            self.require_current(&lock, &verdict)?;
        }
        self.obey(lock, verdict);
        Ok(())
    }

    fn has_distribution(&self, path: &Path) -> bool {
        self.found.local_distributions.iter().any(|known| known.path == path)
    }

    /// `--locked`: nothing may be left to choose, and uv has to agree that its lock is up to date.
    fn require_current(&self, lock: &LockFile, verdict: &Verdict) -> Result<(), CollectError> {
        let stale = |reason: String| CollectError::StaleLock {
            file: lock.file.clone(),
            reason,
            remedy: lock.remedy.to_string(),
        };
        if let Some(reason) = verdict.stale.first() {
            return Err(stale(reason.clone()));
        }
        if let Some(line) = verdict.loose.first() {
            return Err(stale(format!("it does not decide `{line}`")));
        }
        if lock.file.file_name().is_some_and(|name| name == "uv.lock") {
            let uv = self.tools.uv().map_err(|error| CollectError::Tool(Box::new(error)))?;
            let root = lock.file.parent().unwrap_or(Path::new("."));
            let is_current =
                uv.lock_is_current(root).map_err(|error| CollectError::Tool(Box::new(error.into())))?;
            if !is_current {
                return Err(stale("uv would change it".into()));
            }
        }
        Ok(())
    }

    /// Put the pins of a lock in the place of the lines that they meet.
    fn obey(&mut self, lock: LockFile, verdict: Verdict) {
        let name = lock.file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if !verdict.stale.is_empty() {
            self.warn(
                format!(
                    "the lock file is out of date ({}); run `{}`. What it does not decide is resolved anew",
                    verdict.stale.join("; "),
                    lock.remedy
                ),
                Some(whole(&lock.file)),
            );
        }
        self.host.note(format!("versions are those of {name} (--no-locked leaves it aside)"));
        // A lock that names versions without their files leaves finding the files to uv.
        let complete = verdict.loose.is_empty() && lock.has_files;
        let kept = |pin: &&locks::Pin| !verdict.overruled.contains(&pin.name);
        for pin in lock.pins.iter().filter(kept) {
            if !complete || lock.pylock.is_none() {
                let known = self.found.hashes.entry(pin.name.to_string()).or_default();
                known.extend(pin.hashes.iter().cloned());
            }
            if let Some(index) = &pin.index {
                let name = index.name.clone().unwrap_or_default();
                if self.found.settings.index(&name).is_none() {
                    self.found.settings.add_index(index.clone());
                }
                self.found.settings.index_pins.entry(pin.name.to_string()).or_insert(name);
            }
            if lock.pylock.is_none() {
                self.found.settings.constraints.extend(pin.line(""));
            }
        }
        self.found.hashes.retain(|_, hashes| !hashes.is_empty());
        self.found.lines = verdict.pinned;
        self.found.lines.extend(verdict.loose);
        self.found.lines.sort();
        self.found.lines.dedup();
        self.lines.retain(|_, line| !line.hashes.is_empty());
        let content = match lock.pylock {
            Some(text) => LockContent::Pylock { text, complete },
            None => LockContent::Constraints,
        };
        self.found.lock = Some(Lock { file: lock.file, content });
    }
}
