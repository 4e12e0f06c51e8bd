//! The plan → PEX files in the output directory.
//!
//! Source PEXes are written while dependencies still resolve, and different requirement sets are built in parallel. A
//! file gets its final name only when it is complete.

mod built_wheel;
mod compiled;
pub mod deps;
mod dist_info;
pub mod doubtful;
pub mod elf;
mod error;
pub mod fetch;
pub mod fetch_error;
pub mod fetch_job;
mod from_source;
pub mod git_source;
pub mod image;
pub mod left_out;
pub mod local_packages;
pub mod manifest;
pub mod observer;
mod on_index;
pub mod package_files;
mod package_settings;
pub mod recipe;
pub mod secrets;
mod self_contained;
pub mod shadowed;
pub mod source;
pub mod submodules;
mod tree_error;
pub mod working_directory;

pub use deps::{BuiltDeps, DepsPexFile};
pub use error::BuildError;

use crate::cache::{CacheError, write_atomically};
use crate::display::Display;
use crate::executable::make_executable;
use crate::pex::{PexError, Runtime, Written};
use crate::plan::{Plan, PlannedLocation, SourceJob};
use crate::scratch;
use crate::target::Target;
use crate::threads::{into_inner, joined, lock};
use crate::tools::Tools;
use fetch::Fetcher;
use local_packages::{Packages, Prepared};
use observer::{NoObserver, Observer};
use serde::Serialize;
use shadowed::Modules;
use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

/// How old a recipe may be by default: then a build could use a newer release of its backend.
const RECIPE_MAX_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// A finished PEX file.
#[derive(Debug, Clone, Serialize)]
pub struct PexFile {
    /// File name, `deps-HASH.pex` or `source-HASH.pex`.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// Size in bytes.
    pub size_bytes: u64,
    /// How many distributions (deps) or local packages (source) it was made of.
    pub packages: usize,
    /// Whether a file of this name, and so with this content, existed before.
    pub unchanged: bool,
    /// How long it took.
    #[serde(rename = "seconds", serialize_with = "seconds")]
    pub elapsed: Duration,
}

fn seconds<S: serde::Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((time.as_secs_f64() * 1000.0).round() / 1000.0)
}

/// What the jobs of one build share.
pub struct Context<'a> {
    /// Target of the plan.
    pub target: Target,
    /// Where the files go. It exists.
    pub out_dir: &'a Path,
    /// uv and Pythons.
    pub tools: &'a Tools,
    /// Shows progress.
    pub display: &'a Display,
    /// Is called for each finished file.
    pub observer: &'a dyn Observer,
    /// How old a recipe may be.
    recipe_max_age: Duration,
    fetcher: Fetcher<'a>,
    runtime: OnceLock<Runtime>,
    opening: Mutex<()>,
    warnings: Mutex<Vec<String>>,
    /// The modules at the top of the search path, by build directory.
    modules: Mutex<BTreeMap<PathBuf, Modules>>,
}

impl<'a> Context<'a> {
    /// The context of a build into `out_dir`, which is created if missing.
    ///
    /// # Errors
    /// When it cannot be created.
    pub fn new(
        target: Target,
        out_dir: &'a Path,
        tools: &'a Tools,
        display: &'a Display,
    ) -> Result<Self, BuildError> {
        std::fs::create_dir_all(out_dir)
            .map_err(|source| BuildError::OutDir { directory: out_dir.to_path_buf(), source })?;
        sweep(out_dir, tools);
        left_out::hide_from_git(out_dir);
        let fetcher = Fetcher::new(tools);
        Ok(Context {
            target,
            out_dir,
            tools,
            display,
            observer: &NoObserver,
            recipe_max_age: RECIPE_MAX_AGE,
            fetcher,
            runtime: OnceLock::new(),
            opening: Mutex::new(()),
            warnings: Mutex::default(),
            modules: Mutex::default(),
        })
    }

    /// The same with an observer.
    pub fn observed_by(mut self, observer: &'a dyn Observer) -> Self {
        self.observer = observer;
        self
    }

    /// The same with recipes of at most this age.
    pub fn trusting_recipes(mut self, max_age: Duration) -> Self {
        self.recipe_max_age = max_age;
        self
    }

    /// An error if the run is over, so that nothing built now could be used.
    fn go_on(&self) -> Result<(), BuildError> {
        if self.observer.is_over() { Err(BuildError::Over) } else { Ok(()) }
    }

    /// The PEX runtime, downloaded and opened at first use.
    fn runtime(&self) -> Result<&Runtime, BuildError> {
        // Without the lock, jobs that need it at the same time would each download it.
        let _one_at_a_time = lock(&self.opening);
        match self.runtime.get() {
            Some(runtime) => Ok(runtime),
            None => {
                let runtime = Runtime::open(&self.tools.pex_runtime_archive()?).map_err(PexError::from)?;
                Ok(self.runtime.get_or_init(|| runtime))
            }
        }
    }

    /// Write one PEX under its final name, executable.
    fn write(
        &self,
        name: &str,
        packages: usize,
        started: Instant,
        write: impl FnOnce(&mut File) -> Result<Written, BuildError>,
    ) -> Result<PexFile, BuildError> {
        let path = self.out_dir.join(name);
        // The name has the hash of the content, so an existing file is the same file. It is written again all the same:
        // it may be damaged.
        let unchanged = path.is_file();
        let mut zip64 = false;
        write_atomically(&path, |file| {
            zip64 = write(file)?.zip64;
            make_executable(file).map_err(|source| BuildError::Write { path: path.clone(), source })
        })
        .map_err(|error| output_error(error, &path))?;
        if zip64 {
            self.warn(format!(
                "`{name}` is so large that Python before 3.13 cannot run it directly; Dagster+ can"
            ));
        }
        let size_bytes =
            path.metadata().map_err(|source| BuildError::Read { path: path.clone(), source })?.len();
        Ok(PexFile {
            name: name.to_string(),
            path,
            size_bytes,
            packages,
            unchanged,
            elapsed: started.elapsed(),
        })
    }

    /// Warn the user once, and keep the warning for the report.
    fn warn(&self, message: impl Into<String>) {
        let message = message.into();
        let mut warnings = lock(&self.warnings);
        // Several jobs may have the same build directory or dependency.
        if !warnings.contains(&message) {
            self.tools.host().warn(&message);
            warnings.push(message);
        }
    }

    /// Warn about modules that hide others. Needs both PEX files of a code location.
    fn warn_of_shadows(&self, plan: &Plan, built: &Built) {
        let modules = lock(&self.modules);
        for location in &plan.locations {
            let own = modules.get(&plan.sources[location.source].directory);
            if let (Some(own), Ok(deps)) = (own, &built.deps[location.deps]) {
                shadowed::warnings(own, &deps.modules()).into_iter().for_each(|message| self.warn(message));
            }
        }
    }

    /// The warnings so far, in an order that does not depend on which job was faster.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = lock(&self.warnings).clone();
        // Threads add them in any order, and reports must not differ between runs.
        warnings.sort();
        warnings
    }
}

/// Turn a cache error about a file in the output directory into one that names the file.
fn output_error(error: BuildError, path: &Path) -> BuildError {
    match error {
        BuildError::Cache(CacheError { source, .. }) | BuildError::Pex(PexError::Write(source)) => {
            BuildError::Write { path: path.to_path_buf(), source }
        }
        error => error,
    }
}

/// Remove leftovers of killed runs where this run will write.
fn sweep(out_dir: &Path, tools: &Tools) {
    let now = tools.host().clock.now();
    scratch::sweep(out_dir, now);
    scratch::sweep_shared(&tools.host().temp_dir(), now);
    tools.cache().sweep(now);
}

/// How many threads to work with.
pub fn parallelism() -> usize {
    // At least two, so that one waiting for a disk or a process does not stop all work.
    std::thread::available_parallelism().map_or(2, usize::from).max(2)
}

/// All files of a plan, in the order of its jobs. A failed job has its error.
#[derive(Debug)]
pub struct Built {
    /// By index of [`Plan::sources`].
    pub sources: Vec<Result<PexFile, BuildError>>,
    /// By index of [`Plan::deps`].
    pub deps: Vec<Result<DepsPexFile, BuildError>>,
}

/// Build everything in a plan, with its local packages. One job's failure does not stop the others.
pub fn run(plan: &Plan, packages: Packages, context: &Context<'_>) -> Built {
    let built = std::thread::scope(|scope| {
        let sources = scope.spawn(|| {
            let jobs: Vec<_> =
                plan.sources.iter().zip(packages.complete(context.observer, context)).collect();
            // One at a time: building a source PEX uses all processors by itself.
            in_parallel(&jobs, 1, |(job, packages)| built_source(job, packages, context))
        });
        // Two at once: while one waits for the resolver, the other can download.
        let deps = in_parallel(&plan.deps, 2, |job| deps::obtain(job, context));
        Built { sources: joined(sources), deps }
    })
    .check_still_there();
    context.warn_of_shadows(plan, &built);
    built
}

impl Built {
    /// Both files of a code location, where it was built.
    pub fn pair(&self, planned: &PlannedLocation) -> Option<(&PexFile, &DepsPexFile)> {
        Some((self.sources[planned.source].as_ref().ok()?, self.deps[planned.deps].as_ref().ok()?))
    }

    /// What the user should know of what is in the deps PEX files.
    pub fn warnings(&self) -> impl Iterator<Item = &String> {
        self.deps.iter().flatten().filter_map(DepsPexFile::built).flat_map(|deps| &deps.warnings)
    }

    /// The PEX files that are here, deps PEX files first.
    pub fn files(&self) -> Vec<&PexFile> {
        let deps = self.deps.iter().flatten().filter_map(DepsPexFile::file);
        deps.chain(self.sources.iter().flatten()).collect()
    }

    /// The same, with an error for each file that was removed or replaced after it was written.
    fn check_still_there(self) -> Built {
        let there = |file: &PexFile| match file.path.metadata() {
            Ok(found) if found.len() == file.size_bytes => Ok(()),
            Ok(_) => Err(BuildError::Replaced { path: file.path.clone(), source: None }),
            Err(source) => Err(BuildError::Replaced { path: file.path.clone(), source: Some(source) }),
        };
        let source = |built: Result<PexFile, _>| built.and_then(|file| there(&file).map(|()| file));
        let deps = |built: Result<DepsPexFile, _>| {
            built.and_then(|deps| deps.file().map_or(Ok(()), there).map(|()| deps))
        };
        Built {
            sources: self.sources.into_iter().map(source).collect(),
            deps: self.deps.into_iter().map(deps).collect(),
        }
    }
}

fn built_source(
    job: &SourceJob,
    packages: &[Prepared],
    context: &Context<'_>,
) -> Result<PexFile, BuildError> {
    context.go_on()?;
    let file = source::build_with(job, packages, context)?;
    context.observer.source_built(&file);
    Ok(file)
}

/// Do `work` on each item with this many threads. Returns the results in the order of the items.
pub fn in_parallel<T: Sync, R: Send>(items: &[T], threads: usize, work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = std::sync::atomic::AtomicUsize::new(0);
    let done = Mutex::new(Vec::with_capacity(items.len()));
    let run = || loop {
        let index = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let Some(item) = items.get(index) else { break };
        let result = work(item);
        lock(&done).push((index, result));
    };
    std::thread::scope(|scope| {
        for _ in 1..threads.min(items.len()) {
            scope.spawn(run);
        }
        run();
    });
    let mut done = into_inner(done);
    // Back in the order of the items.
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parallel_results_keep_the_order_of_the_items() {
        let items: Vec<u32> = (0..50).collect();
        assert_eq!(
            in_parallel(&items, 4, |item| item * 2),
            items.iter().map(|item| item * 2).collect::<Vec<_>>()
        );
    }
}
