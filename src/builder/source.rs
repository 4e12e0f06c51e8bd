//! The source PEX: built local packages at the top, the project under `working_directory/root`.

use super::doubtful::{self, Candidate};
use super::left_out::LeftOut;
use super::local_packages::{Packages, Prepared};
use super::shadowed::{self, Modules};
use super::working_directory::{self, Tree};
use super::{BuildError, Context, PexFile, compiled, local_packages, submodules};
use crate::pex::{Content, SourceEntry, SourcePex};
use crate::plan::SourceJob;
use crate::scratch::Scratch;
use crate::threads::lock;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Path of the working directory in a source PEX. Source: the agent looks for `working_directory` and its `root`.
const ROOT: &str = "working_directory/root/";
const PACKAGE_FILE: &str = "working_directory/__init__.py";
const PACKAGE_TEXT: &[u8] =
    b"# Makes this directory importable, so that the agent can find root/ beside this file.\n";

/// Build one source PEX into the output directory.
///
/// # Errors
/// When a local package does not build, a file cannot be read, or the PEX cannot be written.
pub fn build(job: &SourceJob, context: &Context<'_>) -> Result<PexFile, BuildError> {
    build_with(job, &Packages::of(job, context), context)
}

/// The same, with the local packages of the job.
pub(super) fn build_with(
    job: &SourceJob,
    packages: &[Prepared],
    context: &Context<'_>,
) -> Result<PexFile, BuildError> {
    let started = Instant::now();
    let _phase = context.display.phase(format!("Building the source PEX of {}", job.directory.display()));
    let scratch = scratch(context)?;
    let Gathered { members, tree, .. } = members(job, packages, scratch.path(), context)?;
    warn(job, &members, &tree, context)?;
    let pex = SourcePex::plan(in_order(members.entries), &context.target)?;
    let packages = job.local_packages.len();
    context.write(&pex.file_name(), packages, started, |file| Ok(pex.write(file, context.runtime()?)?))
}

/// The file names that the source PEX files of these jobs would have, with their local packages. Nothing is written.
///
/// # Errors
/// For each, those of [`build`], without those of writing.
pub fn names(
    jobs: &[SourceJob],
    packages: Vec<Vec<Prepared>>,
    context: &Context<'_>,
) -> Vec<Result<String, BuildError>> {
    let jobs: Vec<_> = jobs.iter().zip(packages).collect();
    super::in_parallel(&jobs, 1, |(job, packages)| {
        let scratch = scratch(context)?;
        let Gathered { members, .. } = members(job, packages, scratch.path(), context)?;
        Ok(SourcePex::plan(in_order(members.entries), &context.target)?.file_name())
    })
}

/// What an image takes of a build directory: its files, and the wheels of its local packages in their order (`None` where
/// there is nothing to build), which are valid as long as `scratch`. Warns as for a source PEX.
///
/// # Errors
/// When a local package does not build, or a file cannot be read.
pub(super) fn files(
    job: &SourceJob,
    scratch: &Path,
    context: &Context<'_>,
) -> Result<(Tree, Vec<Option<PathBuf>>), BuildError> {
    let packages = Packages::of(job, context);
    let Gathered { members, tree, wheels } = members(job, &packages, scratch, context)?;
    warn(job, &members, &tree, context)?;
    Ok((tree, wheels))
}

/// Everything of a build directory and its local packages.
struct Gathered {
    members: Members,
    tree: Tree,
    /// By index of [`SourceJob::local_packages`].
    wheels: Vec<Option<PathBuf>>,
}

pub(super) fn scratch(context: &Context<'_>) -> Result<Scratch, BuildError> {
    let directory = context.tools.host().temp_dir();
    Scratch::shared(&directory).map_err(|source| BuildError::Temporary { directory, source })
}

/// The members of the PEX. Wheels of local packages are built below `scratch`.
fn members(
    job: &SourceJob,
    packages: &[Prepared],
    scratch: &Path,
    context: &Context<'_>,
) -> Result<Gathered, BuildError> {
    let mut members = Members::default();
    let rules = LeftOut::read(&job.directory)?;
    // In order: the first file at a path wins.
    let wheels = wheels(job, packages, scratch, context).into_iter();
    let wheels: Vec<Option<PathBuf>> = wheels.collect::<Result<_, _>>()?;
    for (package, wheel) in job.local_packages.iter().zip(&wheels) {
        let Some(wheel) = wheel else { continue };
        // Local packages with compiled modules are built on this machine too.
        compiled::check(wheel, &wheel_name(wheel), context.target)?;
        // The project's `.pexignore` is for its own files. For other packages it counts only for files that are not
        // modules.
        let is_own = package.directory == job.directory;
        let their_rules = LeftOut::read(&package.directory)?;
        for entry in local_packages::entries(wheel)? {
            let content = match &entry.content {
                // Size and CRC are in the archive's directory, so nothing is read to compare.
                Content::Member { member, .. } => Some((member.data.size_bytes, member.data.crc32)),
                _ => None,
            };
            let is_left_out = their_rules.in_package(&entry.path, content)
                || (!is_own && rules.in_other_package(&entry.path));
            match is_left_out {
                true => members.left_out.push(package.directory.join(&entry.path).display().to_string()),
                false => members.add(entry, Origin::Package(package.directory.clone())),
            }
        }
    }
    let packages = job.local_packages.iter().map(|package| &*package.directory);
    let mut tree = working_directory::list(&job.directory, packages)?;
    members.add_tree(&tree);
    members.left_out.append(&mut tree.left_out);
    Ok(Gathered { members, tree, wheels })
}

fn in_order(entries: BTreeMap<String, (SourceEntry, Origin)>) -> Vec<SourceEntry> {
    entries.into_values().map(|(entry, _)| entry).collect()
}

fn wheel_name(wheel: &Path) -> String {
    wheel.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Report what was left out, and warn about files that should perhaps not be shipped.
fn warn(job: &SourceJob, members: &Members, tree: &Tree, context: &Context<'_>) -> Result<(), BuildError> {
    for path in &members.left_out {
        context.tools.host().detail(format!("left out: {path}"));
    }
    let doubtful = doubtful::warnings(members.candidates(&job.directory), &job.directory);
    let directories = job.local_packages.iter().map(|package| &*package.directory).chain([&*job.directory]);
    let submodules = submodules::warnings(directories);
    let modules = members.modules(&job.directory);
    let shadows = shadowed::warnings(&modules, &BTreeMap::new());
    let all = [&tree.warnings, &members.replaced, &doubtful, &submodules, &shadows];
    all.into_iter().flatten().for_each(|warning| context.warn(warning));
    lock(&context.modules).insert(job.directory.clone(), modules);
    warn_of_links(job, tree, context)
}

/// Warn about links through which the build of a local package may have taken files from outside, except those reported
/// already.
fn warn_of_links(job: &SourceJob, reported: &Tree, context: &Context<'_>) -> Result<(), BuildError> {
    for package in &job.local_packages {
        let links = working_directory::links_outside(&package.directory)?;
        let is_reported =
            |link: &&String| package.directory == job.directory && reported.outside.contains(link);
        for link in links.iter().filter(|link| !is_reported(link)) {
            context.warn(format!(
                "`{}` is a link out of its package; files that the build took from there are shipped",
                package.directory.join(link).display()
            ));
        }
    }
    Ok(())
}

/// The wheels of the local packages, in their order, built in parallel; `None` where there is nothing to build.
fn wheels(
    job: &SourceJob,
    packages: &[Prepared],
    scratch: &Path,
    context: &Context<'_>,
) -> Vec<Result<Option<PathBuf>, BuildError>> {
    let numbered: Vec<_> = job.local_packages.iter().zip(packages).enumerate().collect();
    super::in_parallel(&numbered, super::parallelism(), |(number, (package, prepared))| {
        let scratch = scratch.join(number.to_string());
        local_packages::wheel(package, prepared, &job.settings, &scratch, context)
    })
}

/// Where a member comes from.
#[derive(Debug, Clone)]
enum Origin {
    /// The local package in this directory.
    Package(PathBuf),
    /// The build directory.
    WorkingDirectory,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Package(directory) => write!(f, "{}", directory.display()),
            Origin::WorkingDirectory => f.write_str("the working directory"),
        }
    }
}

/// The members of the PEX by path. The first one added wins, so the build directory's own package must be added first.
#[derive(Default)]
struct Members {
    entries: BTreeMap<String, (SourceEntry, Origin)>,
    replaced: Vec<String>,
    left_out: Vec<String>,
}

impl Members {
    fn add(&mut self, entry: SourceEntry, origin: Origin) {
        if let Some((first, before)) = self.entries.get(&entry.path) {
            if !is_same(first, &entry) {
                self.replaced.push(format!(
                    "`{}` comes from {before} and, with different content, from {origin}; the first is shipped",
                    entry.path
                ));
            }
            return;
        }
        self.entries.insert(entry.path.clone(), (entry, origin));
    }

    fn add_tree(&mut self, tree: &Tree) {
        let init = Content::Bytes(PACKAGE_TEXT.to_vec());
        let init = SourceEntry { path: PACKAGE_FILE.into(), executable: false, content: init };
        self.add(init, Origin::WorkingDirectory);
        for (relative, shipped) in &tree.files {
            let (path, executable) = (format!("{ROOT}{relative}"), shipped.executable);
            let content = Content::File(shipped.source.clone());
            self.add(SourceEntry { path, executable, content }, Origin::WorkingDirectory);
        }
    }

    /// The modules that can be imported from the working directory and from the top of the PEX.
    fn modules(&self, build_directory: &Path) -> Modules {
        let mut modules = Modules::new();
        for (path, (_, origin)) in &self.entries {
            let shown = path.strip_prefix(ROOT).unwrap_or(path);
            let Some(module) = shadowed::module(shown) else { continue };
            let file = match origin {
                Origin::Package(directory) if directory != build_directory => {
                    format!("`{shown}` of the local package `{}`", directory.display())
                }
                _ => format!("`{shown}`"),
            };
            modules.insert(module.to_string(), file);
        }
        modules
    }

    /// The files with their paths for messages.
    fn candidates<'a>(&'a self, build_directory: &'a Path) -> impl Iterator<Item = Candidate<'a>> {
        self.entries.values().map(move |(entry, origin)| {
            let directory = match origin {
                Origin::Package(directory) => directory,
                Origin::WorkingDirectory => build_directory,
            };
            let shown = entry.path.strip_prefix(ROOT).unwrap_or(&entry.path).to_string();
            Candidate { shown, directory, entry }
        })
    }
}

/// Whether two members of wheels have the same content. `false` for other files.
fn is_same(one: &SourceEntry, other: &SourceEntry) -> bool {
    match (&one.content, &other.content) {
        (Content::Member { member: one, .. }, Content::Member { member: other, .. }) => {
            (one.data.size_bytes, one.data.crc32) == (other.data.size_bytes, other.data.crc32)
        }
        _ => false,
    }
}
