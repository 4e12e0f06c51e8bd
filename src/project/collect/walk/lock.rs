//! The lock file's part in the walk: what is local in it is visited, its pins take the place of lines.

use super::super::environment;
use super::super::error::{CollectError, whole};
use super::super::foreseen::ForeseenLock;
use super::super::locked::{self, Verdict};
use super::super::locks::{self, LockFile};
use super::super::pin::{Pin, Pinned};
use super::super::poetry_lock_export;
use super::super::uv_lock_marker::Unsure;
use super::{Line, Visited, Walk};
use crate::bounded_file::{self, TEXT_LIMIT_BYTES};
use crate::project::{LocalDistribution, Lock, LockContent, LockUse, Origin, RequirementLine};
use crate::tools::PackageSources;
use std::collections::BTreeSet;
use std::path::Path;
use toml::{Table, Value};

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
        let verdict = locked::judge(self.lines.values(), &lock, &self.environment);
        if required {
            self.require_current(&lock, &verdict)?;
        }
        let (lock, verdict) = self.with_files(lock, verdict);
        self.obey(lock, verdict);
        Ok(())
    }

    /// A poetry.lock that decides everything by itself becomes one with files, so that uv is not needed.
    fn with_files(&self, mut lock: LockFile, mut verdict: Verdict) -> (LockFile, Verdict) {
        if lock.file.file_name().is_none_or(|name| name != "poetry.lock") {
            return (lock, verdict);
        }
        match self.export_poetry(&lock, &verdict) {
            Ok((document, pinned)) => {
                (lock.pylock, lock.has_files) = (Some(document.to_string()), true);
                verdict.pinned = pinned;
            }
            Err(Unsure(reason)) => {
                self.host.detail(format!("uv resolves with the pins of {}: {reason}", lock.file.display()));
            }
        }
        (lock, verdict)
    }

    /// The poetry.lock as a pylock.toml for the target, and its pins.
    fn export_poetry(
        &self,
        lock: &LockFile,
        verdict: &Verdict,
    ) -> Result<(Table, Vec<RequirementLine>), Unsure> {
        let settings = &self.found.settings;
        let is_limited = !settings.constraints.is_empty()
            || !settings.overrides.is_empty()
            || !settings.excludes.is_empty()
            || settings.exclude_newer.is_some();
        let is_elsewhere = settings.no_index || !settings.find_links.is_empty() || !settings.uv.is_empty();
        if !verdict.loose.is_empty() || !self.found.local_distributions.is_empty() {
            return Unsure::because("it does not decide everything");
        }
        if is_limited || is_elsewhere {
            return Unsure::because("other settings have a say");
        }
        let index = settings.default_index.clone().unwrap_or_default();
        if index.is_empty() && PackageSources::read(self.host).default_index().is_none() {
            return Unsure::because("no default package index is known");
        }
        let asked_for = self.lines.values().map(|line| &line.asked);
        let asked_for = asked_for.filter(|asked| asked.applies(&self.environment));
        let local = self.visited.iter().filter_map(|visited| visited.package.as_ref()?.name.clone());
        let asked = poetry_lock_export::Asked {
            lines: asked_for.filter_map(|asked| Some((asked.name.clone()?, asked.extras.clone()))).collect(),
            local: local.collect(),
            environment: &self.environment,
            index: &index,
        };
        let text = bounded_file::read_text(&lock.file, TEXT_LIMIT_BYTES);
        let text = text.map_err(|error| Unsure(error.to_string()))?;
        let document = text.parse().map_err(|error: toml::de::Error| Unsure(error.to_string()))?;
        let exported = poetry_lock_export::export(&document, &asked)?;
        let packages = exported.get("packages").and_then(Value::as_array).into_iter().flatten();
        let pinned = packages.filter_map(|package| {
            let (name, version) = (package.get("name")?.as_str()?, package.get("version")?.as_str()?);
            Some(RequirementLine {
                text: format!("{name}=={version}"),
                name: Some(name.to_string()),
                is_link: false,
                places: vec![whole(&lock.file)],
            })
        });
        let pinned = pinned.collect();
        Ok((exported, pinned))
    }

    /// Say what a build would say of the lock file, as far as its text tells.
    pub(super) fn foresee_lock(&mut self) -> Result<Option<ForeseenLock>, CollectError> {
        let Some(Visited { directory, package: Some(package), .. }) = self.visited.first() else {
            return Ok(None);
        };
        let Some(lock) = locks::foresee(directory, package, self.options)? else { return Ok(None) };
        // Of several versions of a package the markers decide, and what is asked for.
        let mut names = BTreeSet::new();
        let forked: BTreeSet<_> =
            lock.pins.iter().map(|pin| &pin.name).filter(|name| !names.insert(*name)).collect();
        let is_forked = |line: &&Line| line.asked.name.as_ref().is_some_and(|name| forked.contains(name));
        let verdict =
            locked::judge(self.lines.values().filter(|line| !is_forked(line)), &lock, &self.environment);
        self.warn_of_lock(&lock, &verdict);
        let version = |pin: &Pin| (pin.name.to_string(), pin.version.clone());
        Ok(Some(ForeseenLock {
            versions: lock.pins.iter().map(version).collect(),
            open: verdict.loose,
            lock: Lock { file: lock.file, content: LockContent::Constraints, remedy: lock.remedy },
        }))
    }

    fn has_distribution(&self, path: &Path) -> bool {
        self.found.local_distributions.iter().any(|known| known.path == path)
    }

    /// `--locked`: nothing may be left to choose, and uv has to agree that its lock is up to date.
    fn require_current(&self, lock: &LockFile, verdict: &Verdict) -> Result<(), CollectError> {
        if let Some(lagging) = verdict.lagging.first() {
            return Err(CollectError::invalid_with(
                lagging.place.clone(),
                lagging.message.clone(),
                format!(
                    "export this file from the lock again (`{}`), or remove the line, or leave --locked out",
                    lock.export_command()
                ),
            ));
        }
        let stale = |reason: String| CollectError::StaleLock {
            file: lock.file.clone(),
            reason,
            remedy: lock.remedy.to_string(),
        };
        if let Some(reason) = verdict.stale.first() {
            return Err(stale(reason.clone()));
        }
        if let Some(line) = verdict.loose.first() {
            let Some(place) = line.places.first().filter(|_| lock.is_of_project) else {
                return Err(stale(format!("it does not decide `{}`", line.text)));
            };
            return Err(CollectError::invalid_with(
                place.clone(),
                format!(
                    "`{}` is not in {}, and --locked leaves nothing to choose",
                    line.text,
                    lock.file_name()
                ),
                format!(
                    "add it to the dependencies in pyproject.toml and run `{}`, or leave --locked out",
                    lock.remedy
                ),
            ));
        }
        if lock.file.file_name().is_some_and(|name| name == "uv.lock") {
            let uv = self.tools.uv().map_err(|error| CollectError::Tool(Box::new(error)))?;
            let root = lock.file.parent().unwrap_or(Path::new("."));
            let python = self.tools.python(self.options.target.python);
            let python = python.map_err(|error| CollectError::Tool(Box::new(error)))?;
            let is_current = uv
                .lock_is_current(root, &python)
                .map_err(|error| CollectError::Tool(Box::new(error.into())))?;
            if !is_current {
                return Err(stale("uv would change it".into()));
            }
        }
        Ok(())
    }

    /// Warn of a lock that is out of date, and of lines of a requirements.txt that are.
    fn warn_of_lock(&mut self, lock: &LockFile, verdict: &Verdict) {
        if let [first, rest @ ..] = verdict.lagging.as_slice() {
            let more = match rest.len() {
                0 => String::new(),
                1 => " (1 more line does)".to_string(),
                more => format!(" ({more} more lines do)"),
            };
            self.warn(
                format!(
                    "{}{more}, and is used; if this file is an export of the lock, regenerate it (`{}`), else remove the line",
                    first.message,
                    lock.export_command()
                ),
                Some(first.place.clone()),
            );
        }
        if !verdict.stale.is_empty() {
            self.warn(
                format!(
                    "the lock file is out of date ({}); run `{}`. What it does not decide is resolved again",
                    verdict.stale.join("; "),
                    lock.remedy
                ),
                Some(whole(&lock.file)),
            );
        }
    }

    /// Put the pins of a lock in the place of the lines that they meet.
    fn obey(&mut self, lock: LockFile, verdict: Verdict) {
        self.warn_of_lock(&lock, &verdict);
        let name = lock.file_name();
        self.host.note(format!("versions are those of {name} (--no-locked ignores it)"));
        for file in environment::constraints(self.host) {
            self.warn(format!("{} does not change what {name} decides", file.setting), None);
        }
        // A lock that names versions without their files leaves finding the files to uv.
        let complete = verdict.loose.is_empty() && lock.has_files;
        let kept = |pin: &&Pin| !verdict.overruled.contains(&pin.name);
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
        self.found.lines.sort_by(|one, other| one.text.cmp(&other.text));
        self.found.lines.dedup_by(|one, other| one.text == other.text);
        self.keep_origins();
        self.lines.retain(|_, line| !line.asked.hashes.is_empty());
        let content = match lock.pylock {
            Some(text) => LockContent::Pylock { text, complete },
            None => LockContent::Constraints,
        };
        self.found.lock = Some(Lock { file: lock.file, content, remedy: lock.remedy });
    }

    /// Messages name the user's lines, not the pins that replace them.
    fn keep_origins(&mut self) {
        for line in self.lines.values().filter(|line| line.asked.applies(&self.environment)) {
            let written = line.places.iter().filter_map(|place| {
                let origin = line.asked.origin("")?;
                Some(Origin { place: place.clone(), ..origin })
            });
            self.found.settings.origins.extend(written);
        }
    }
}
