//! The deps PEX: a resolution → wheels → one file.

use super::fetch_job::FetchedWheel;
use super::observer::StoredDeps;
use super::{BuildError, Context, PexFile, shadowed};
use crate::hex::short_name;
use crate::pex::{Chroot, Completeness, DepsPex, FORMAT_REVISION, collisions, script_stub};
use crate::plan::DepsJob;
use crate::project::{RequirementLine, ResolveSettings};
use crate::resolve::{self, Allowed, Resolution, old_picks};
use crate::target::Target;
use crate::threads::joined;
use crate::wheel::filename::normalized_name;
use crate::wheel::legacy::Correction;
use crate::wheel::requirement::Link;
use pep508_rs::{Requirement, VersionOrUrl};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::time::Instant;

/// A deps PEX and its contents.
#[derive(Debug)]
pub struct BuiltDeps {
    /// The file.
    pub file: PexFile,
    /// The exact distributions.
    pub resolution: Resolution,
    /// Version of dagster in it.
    pub dagster_version: Option<String>,
    /// Modules that can be imported from it → the distribution that has them.
    pub modules: BTreeMap<String, String>,
    /// Warnings about its contents.
    pub warnings: Vec<String>,
}

/// The deps PEX of a job: a file built here, or one that is already stored.
#[derive(Debug)]
pub enum DepsPexFile {
    /// Built in this run.
    Built(BuiltDeps),
    /// Already in the PEX registry, so not built.
    Stored {
        /// Its name there.
        stored: StoredDeps,
        /// The exact distributions.
        resolution: Resolution,
    },
}

impl DepsPexFile {
    /// `deps-HASH.pex`.
    pub fn name(&self) -> &str {
        match self {
            DepsPexFile::Built(built) => &built.file.name,
            DepsPexFile::Stored { stored, .. } => &stored.name,
        }
    }

    /// The exact distributions.
    pub fn resolution(&self) -> &Resolution {
        match self {
            DepsPexFile::Built(built) => &built.resolution,
            DepsPexFile::Stored { resolution, .. } => resolution,
        }
    }

    /// Version of dagster in it.
    pub fn dagster_version(&self) -> Option<&str> {
        match self {
            DepsPexFile::Built(built) => built.dagster_version.as_deref(),
            DepsPexFile::Stored { stored, .. } => Some(&stored.dagster_version),
        }
    }

    /// Modules that can be imported from it → the distribution that has them. For a stored one only the names of the
    /// distributions are known, which are mostly also the names of their modules.
    pub fn modules(&self) -> BTreeMap<String, String> {
        match self {
            DepsPexFile::Built(built) => built.modules.clone(),
            DepsPexFile::Stored { resolution, .. } => {
                let names = resolution.distributions.iter().map(|one| one.name.clone());
                names.map(|name| (name.replace('-', "_"), name)).collect()
            }
        }
    }

    /// The built PEX, if it was built.
    pub fn built(&self) -> Option<&BuiltDeps> {
        match self {
            DepsPexFile::Built(built) => Some(built),
            DepsPexFile::Stored { .. } => None,
        }
    }

    /// The file, if it was built.
    pub fn file(&self) -> Option<&PexFile> {
        match self {
            DepsPexFile::Built(built) => Some(&built.file),
            DepsPexFile::Stored { .. } => None,
        }
    }
}

/// Build one deps PEX into the output directory, unless the observer finds a stored one.
///
/// # Errors
/// Those of [`build`].
pub fn obtain(job: &DepsJob, context: &Context<'_>) -> Result<DepsPexFile, BuildError> {
    let started = Instant::now();
    context.go_on()?;
    if let Some((stored, resolution)) = context.observer.recorded_deps(job) {
        return Ok(DepsPexFile::Stored { stored, resolution });
    }
    context.go_on()?;
    let resolution = resolve(job, context)?;
    context.observer.resolved(job);
    if let Some(stored) = context.observer.stored_deps(job, &resolution) {
        return Ok(DepsPexFile::Stored { stored, resolution });
    }
    context.go_on()?;
    let built = assemble(job, resolution, started, context)?;
    context.observer.deps_built(job, &built);
    Ok(DepsPexFile::Built(built))
}

/// Build one deps PEX into the output directory.
///
/// # Errors
/// When the requirements cannot be resolved or lack dagster, a distribution cannot be fetched or built, or the PEX
/// cannot be written.
pub fn build(job: &DepsJob, context: &Context<'_>) -> Result<BuiltDeps, BuildError> {
    let started = Instant::now();
    assemble(job, resolve(job, context)?, started, context)
}

/// A resolution → wheels → one file.
fn assemble(
    job: &DepsJob,
    resolution: Resolution,
    started: Instant,
    context: &Context<'_>,
) -> Result<BuiltDeps, BuildError> {
    let settings = &job.requirements.settings;
    let wheels = context.fetcher.fetch(&resolution, context.target, settings, context.display)?;
    let chroots = {
        let _phase = context.display.phase(format!("Reading {} wheels", wheels.len()));
        chroots(&wheels, context)?
    };
    for chroot in &chroots {
        for Correction { header, written, read_as } in &chroot.metadata().corrections {
            context.tools.host().warn(format!(
                "`{}` says `{header}: {written}`, which Dagster+ would refuse; it is read as `{read_as}`, as uv does",
                chroot.file_name()
            ));
        }
    }
    // Overrides combine versions whose metadata excludes each other, so gaps are expected.
    let overridden = !settings.overrides.is_empty() || !settings.excludes.is_empty();
    let restated = restated(settings);
    let completeness = match overridden {
        true => Completeness::Lenient,
        false => Completeness::LenientFor(&restated),
    };
    let pex = DepsPex::plan(&chroots, &context.target, completeness)?;
    for gap in pex.gaps() {
        context.warn(gap.to_string());
    }
    let dagster = wheels.iter().find(|wheel| wheel.name == "dagster").map(|wheel| wheel.version.clone());
    let modules = modules(&chroots);
    let (file, warnings) = std::thread::scope(|scope| {
        // Some of them are uv's to find, which need not hold up the file.
        let warnings = scope.spawn(|| warnings(job, &resolution, &chroots, context));
        let _phase = context.display.phase(format!("Writing {}", short_name(&pex.file_name())));
        let write = |file: &mut File| Ok(pex.write(file, context.runtime()?)?);
        let file = context.write(&pex.file_name(), wheels.len(), started, write);
        (file, joined(warnings))
    });
    warnings.iter().for_each(|warning| context.tools.host().warn(warning));
    let file = file?;
    Ok(BuiltDeps { file, resolution, dagster_version: dagster, modules, warnings })
}

/// Problems of a set of wheels that are no errors: modules that hide each other, and versions far below the allowed
/// ones.
fn warnings(
    job: &DepsJob,
    resolution: &Resolution,
    chroots: &[Chroot],
    context: &Context<'_>,
) -> Vec<String> {
    let mut warnings: Vec<String> = collisions(chroots).iter().map(ToString::to_string).collect();
    // Versions in a lock file were chosen by the user; nothing here could pick others.
    if job.requirements.lock.is_none() {
        let picks = old_picks(
            resolution,
            &allowed(chroots, &job.requirements.lines, &context.target),
            &job.requirements,
            context.target,
            context.tools,
        );
        warnings.extend(picks.iter().map(ToString::to_string));
    }
    warnings.extend(behind(job, resolution, context));
    warnings
}

/// A warning if dagster itself is far behind its newest version.
pub fn behind(job: &DepsJob, resolution: &Resolution, context: &Context<'_>) -> Option<String> {
    let found = resolve::behind(resolution, &job.requirements, context.target, context.tools)?;
    Some(found.to_string())
}

/// The versions that each distribution and the project's own lines allow for the others.
fn allowed(chroots: &[Chroot], lines: &[RequirementLine], target: &Target) -> Allowed {
    let environment = target.marker_environment();
    let mut allowed = Allowed::new();
    // Every line was resolved by uv, so it parses; a URL does not limit versions.
    let own: Vec<Requirement<Link>> = lines.iter().filter_map(|line| line.text.parse().ok()).collect();
    for requirement in chroots.iter().flat_map(|chroot| &chroot.metadata().requires_dist).chain(&own) {
        // Without extras: a requirement of an extra need not apply here.
        if requirement.marker.evaluate(&environment, &[]) {
            let versions = allowed.entry(requirement.name.to_string()).or_default();
            if let Some(VersionOrUrl::VersionSpecifier(specifiers)) = &requirement.version_or_url {
                versions.extend((!specifiers.is_empty()).then(|| specifiers.to_string()));
            }
        }
    }
    allowed
}

/// Normalised names of the distributions with metadata replaced by the user (`dependency-metadata`).
fn restated(settings: &ResolveSettings) -> BTreeSet<String> {
    let entries = settings.uv.get("dependency-metadata").and_then(toml::Value::as_array);
    let names = entries.into_iter().flatten().filter_map(|entry| entry.get("name")?.as_str());
    names.map(normalized_name).collect()
}

/// Resolve, and check for the packages that Dagster+ needs.
///
/// # Errors
/// When no set of versions fits, or dagster or dagster-cloud is not in it.
pub fn resolve(job: &DepsJob, context: &Context<'_>) -> Result<Resolution, BuildError> {
    let _phase = context.display.phase(format!("Resolving the requirements of {}", job.directory.display()));
    Ok(resolve::run(&job.requirements, &job.directory, context.target, context.tools)?)
}

/// The top-level modules of these wheels → the first distribution that has each.
fn modules(chroots: &[Chroot]) -> BTreeMap<String, String> {
    let mut modules = BTreeMap::new();
    for chroot in chroots {
        for module in chroot.paths().filter_map(shadowed::top_level) {
            if !modules.contains_key(module) {
                modules.insert(module.to_string(), chroot.metadata().name.clone());
            }
        }
    }
    modules
}

/// Open all wheels and get their fingerprints, hashing with one thread per processor.
fn chroots(wheels: &[FetchedWheel], context: &Context<'_>) -> Result<Vec<Chroot>, BuildError> {
    super::in_parallel(wheels, super::parallelism(), |wheel| chroot(wheel, context)).into_iter().collect()
}

/// One wheel with its fingerprint, which is cached by the digest of the wheel.
fn chroot(wheel: &FetchedWheel, context: &Context<'_>) -> Result<Chroot, BuildError> {
    let chroot = Chroot::open(&wheel.path, &wheel.file_name, &script_stub)?;
    let name = format!("fingerprints/{}-{FORMAT_REVISION}", wheel.sha256);
    if let Some(fingerprint) = context.tools.cache().recall(&name) {
        return Ok(chroot.with_fingerprint(fingerprint));
    }
    context.tools.keep(&name, chroot.fingerprint()?);
    Ok(chroot)
}
