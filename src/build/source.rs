//! The source PEX: built local packages at the top, the project under `working_directory/root`.

use super::working_directory::{self, Tree};
use super::{BuildError, Context, PexFile, compiled, local_packages};
use crate::pex::{Content, SourceEntry, SourcePex};
use crate::plan::SourceJob;
use crate::scratch::Scratch;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Where the working directory lies in a source PEX. Source: the agent looks for `working_directory` and its `root`.
const ROOT: &str = "working_directory/root/";
const PACKAGE_FILE: &str = "working_directory/__init__.py";
const PACKAGE_TEXT: &[u8] =
    b"# Makes this directory importable, so that the agent can find root/ beside this file.\n";

/// Build one source PEX into the output directory.
///
/// # Errors
/// When a local package does not build, a file cannot be read, or the PEX cannot be written.
pub fn build(job: &SourceJob, context: &Context<'_>) -> Result<PexFile, BuildError> {
    let started = Instant::now();
    let _phase = context.display.phase(format!("Building the source PEX of {}", job.directory.display()));
    let scratch = scratch()?;
    let (members, tree) = members(job, scratch.path(), context)?;
    context.tell(&tree, members.replaced);
    tell_of_links(job, &tree, context)?;
    let pex = SourcePex::plan(in_order(members.entries), &context.target)?;
    let packages = job.local_packages.len();
    context.write(&pex.file_name(), packages, started, |file| Ok(pex.write(file, context.runtime()?)?))
}

/// The file name that a source PEX would have; nothing is written.
///
/// # Errors
/// Those of [`build`], less those of writing.
pub fn name(job: &SourceJob, context: &Context<'_>) -> Result<String, BuildError> {
    let scratch = scratch()?;
    let (members, _) = members(job, scratch.path(), context)?;
    Ok(SourcePex::plan(in_order(members.entries), &context.target)?.file_name())
}

fn scratch() -> Result<Scratch, BuildError> {
    Scratch::anywhere().map_err(|source| BuildError::Temporary { directory: std::env::temp_dir(), source })
}

/// What goes into the PEX; wheels of local packages are built below `scratch`.
fn members(job: &SourceJob, scratch: &Path, context: &Context<'_>) -> Result<(Members, Tree), BuildError> {
    let mut members = Members::default();
    for (package, wheel) in job.local_packages.iter().zip(wheels(job, scratch, context)) {
        let Some(wheel) = wheel? else { continue };
        compiled::check(&wheel, &wheel_name(&wheel), context.target)?;
        for entry in local_packages::entries(&wheel)? {
            members.add(entry, &package.directory.display().to_string());
        }
    }
    let tree = working_directory::list(&job.directory, &[context.out_dir.to_path_buf()])?;
    members.add_tree(&tree);
    Ok((members, tree))
}

fn in_order(entries: BTreeMap<String, (SourceEntry, String)>) -> Vec<SourceEntry> {
    entries.into_values().map(|(entry, _)| entry).collect()
}

fn wheel_name(wheel: &Path) -> String {
    wheel.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Links by which the build of a local package may have taken files from elsewhere, but for those told of already.
fn tell_of_links(job: &SourceJob, told: &Tree, context: &Context<'_>) -> Result<(), BuildError> {
    for package in &job.local_packages {
        let links = working_directory::links_outside(&package.directory)?;
        let is_told = |link: &&String| package.directory == job.directory && told.outside.contains(link);
        for link in links.iter().filter(|link| !is_told(link)) {
            context.tools.host().warn(format!(
                "`{}` is a link to something outside its package; what the build took of it is shipped",
                package.directory.join(link).display()
            ));
        }
    }
    Ok(())
}

/// The wheels of the local packages, in their order, built side by side; `None` where there is nothing to build.
fn wheels(
    job: &SourceJob,
    scratch: &Path,
    context: &Context<'_>,
) -> Vec<Result<Option<PathBuf>, BuildError>> {
    let numbered: Vec<_> = job.local_packages.iter().enumerate().collect();
    super::in_parallel(&numbered, super::parallelism(), |(number, package)| {
        let scratch = scratch.join(number.to_string());
        local_packages::wheel(package, context.target.python, &job.settings, &scratch, context.tools)
    })
}

/// The members of the PEX by path. The first to come wins, so the build directory's own package goes first.
#[derive(Default)]
struct Members {
    entries: BTreeMap<String, (SourceEntry, String)>,
    replaced: Vec<String>,
}

impl Members {
    fn add(&mut self, entry: SourceEntry, origin: &str) {
        if let Some((_, before)) = self.entries.get(&entry.path) {
            self.replaced.push(format!(
                "`{}` comes from {before} and from {origin}; the first is shipped",
                entry.path
            ));
            return;
        }
        self.entries.insert(entry.path.clone(), (entry, origin.to_string()));
    }

    fn add_tree(&mut self, tree: &Tree) {
        let origin = "the working directory";
        let init = Content::Bytes(PACKAGE_TEXT.to_vec());
        self.add(SourceEntry { path: PACKAGE_FILE.into(), executable: false, content: init }, origin);
        for (relative, shipped) in &tree.files {
            let content = Content::File(shipped.source.clone());
            self.add(
                SourceEntry { path: format!("{ROOT}{relative}"), executable: shipped.executable, content },
                origin,
            );
        }
    }
}
