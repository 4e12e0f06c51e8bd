//! Local packages → their files at the top of the source PEX.
//!
//! Each is built to a wheel by its own backend (`setup.py` by setuptools), never inside the user's directory. If the
//! build reads only the package's own files ([`super::self_contained`]), a recipe is kept ([`super::recipe`]): in the
//! cache as `built/KEY`, and in the registry. Where there is one already, nothing is built.

use super::observer::Observer;
use super::package_settings::PackageSettings;
use super::recipe::{ANY, Recipe};
use super::self_contained::{self, SelfContained};
use super::{BuildError, Context, dist_info};
use crate::pex::{Content, SourceEntry};
use crate::plan::SourceJob;
use crate::project::{LocalPackage, PackageBuild, ResolveSettings};
use crate::resolve;
use crate::target::PythonVersion;
use crate::tools::{BuildRequest, Tools};
use crate::wheel::filename::normalized_name;
use crate::wheel::{Archive, Member, WheelName};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// A local package as it is before its build.
#[derive(Debug)]
pub struct Prepared {
    has_nothing_to_build: bool,
    /// If its build is known to be self-contained.
    read: Option<SelfContained>,
    recipe: Option<Recipe>,
}

/// The local packages of the source jobs of a plan, as they are before their builds.
#[derive(Debug)]
pub struct Packages(Vec<Vec<Prepared>>);

impl Packages {
    /// Read them, and the recipes that are in the cache.
    pub fn read(jobs: &[SourceJob], context: &Context<'_>) -> Packages {
        let of_job = |job: &SourceJob| {
            let packages = job.local_packages.iter();
            packages.map(|package| Prepared::read(package, &job.settings, context)).collect()
        };
        Packages(jobs.iter().map(of_job).collect())
    }

    /// The keys of the recipes that the registry may have, each once.
    pub fn missing(&self) -> Vec<String> {
        let keys: BTreeSet<&String> = self.0.iter().flatten().filter_map(Prepared::missing).collect();
        keys.into_iter().cloned().collect()
    }

    /// Whether none of them has to be built, and no recipe is missing.
    pub fn are_ready(&self) -> bool {
        self.0.iter().flatten().all(|prepared| prepared.recipe.is_some() || prepared.has_nothing_to_build)
    }

    /// Those of one job, with the recipes that the observer has.
    pub(super) fn of(job: &SourceJob, context: &Context<'_>) -> Vec<Prepared> {
        let packages = Packages::read(std::slice::from_ref(job), context);
        packages.complete(context.observer, context).into_iter().flatten().collect()
    }

    /// Ask the observer for the missing recipes. Returns the packages in the order of the jobs.
    pub fn complete(mut self, observer: &dyn Observer, context: &Context<'_>) -> Vec<Vec<Prepared>> {
        let keys = self.missing();
        let found = if keys.is_empty() { Vec::new() } else { observer.recipes(&keys) };
        let found = keys.iter().zip(found).filter_map(|(key, recipe)| Some((key, recipe?)));
        let found: BTreeMap<&String, Recipe> = found.collect();
        for (key, recipe) in &found {
            keep(key, recipe, context);
        }
        for prepared in self.0.iter_mut().flatten() {
            let recipe = prepared.missing().and_then(|key| found.get(key)).cloned();
            prepared.recipe = prepared.recipe.take().or(recipe);
        }
        self.0
    }
}

impl Prepared {
    fn read(package: &LocalPackage, settings: &ResolveSettings, context: &Context<'_>) -> Prepared {
        let read = self_contained(package, settings, context);
        let recipe = read.as_ref().and_then(|read| kept(read, context));
        Prepared { has_nothing_to_build: package.build == PackageBuild::None, read, recipe }
    }

    /// The key of its recipe, if the registry may have it.
    fn missing(&self) -> Option<&String> {
        let read = self.read.as_ref().filter(|read| read.is_shared && self.recipe.is_none())?;
        Some(&read.key)
    }
}

/// The package, if its build is known to be self-contained.
fn self_contained(
    package: &LocalPackage,
    settings: &ResolveSettings,
    context: &Context<'_>,
) -> Option<SelfContained> {
    let backend = match &package.build {
        PackageBuild::Backend { backend } => backend.as_str(),
        PackageBuild::SetupPy { build_requires } if build_requires.is_empty() => self_contained::SETUP_PY,
        PackageBuild::SetupPy { .. } | PackageBuild::None => return None,
    };
    // Build settings may name files and variables outside the package.
    PackageSettings::for_package(settings, package.name.as_deref())
        .is_default()
        .then(|| self_contained::read(package, backend, context.target, settings, context.tools))?
}

/// The recipe in the cache.
fn kept(read: &SelfContained, context: &Context<'_>) -> Option<Recipe> {
    let now = context.tools.host().clock.now();
    let with_key = |key: &str| {
        let text = context.tools.cache().recall(place(key))?;
        Recipe::read(&text, key, now, context.recipe_max_age).ok()
    };
    with_key(&read.key).or_else(|| with_key(&read.with_all_contents()?.key))
}

/// Store a recipe in the cache. Returns its text.
fn keep(key: &str, recipe: &Recipe, context: &Context<'_>) -> Option<String> {
    let text = recipe.text(key)?;
    context.tools.keep(&place(key), &text);
    Some(text)
}

/// Path of a recipe, below the cache directory.
fn place(key: &str) -> String {
    format!("built/{key}")
}

/// Build the wheel of one local package, or put it together by its recipe, in `out_dir`; `None` if it has nothing to
/// build.
///
/// # Errors
/// When the backend fails or its requirements cannot be installed, or a file changes meanwhile.
pub fn wheel(
    package: &LocalPackage,
    prepared: &Prepared,
    settings: &ResolveSettings,
    out_dir: &Path,
    context: &Context<'_>,
) -> Result<Option<PathBuf>, BuildError> {
    if package.build == PackageBuild::None {
        return Ok(None);
    }
    let host = context.tools.host();
    let Some(read) = &prepared.read else {
        return build(package, context.target.python, settings, out_dir, context.tools).map(Some);
    };
    // Another job may have built the package in the meantime.
    let recipe = prepared.recipe.clone().or_else(|| kept(read, context));
    if let Some(wheel) = recipe.map(|recipe| recipe.wheel(read, out_dir)).transpose()?.flatten() {
        host.detail(format!(
            "`{}` needs no build: at most contents of its files have changed",
            package.directory.display()
        ));
        return Ok(Some(wheel));
    }
    let wheel = build(package, context.target.python, settings, out_dir, context.tools)?;
    if !is_of(package, &wheel) {
        return Ok(Some(wheel));
    }
    let Some(recipe) = recipe_of(&wheel, read, context)? else { return Ok(Some(wheel)) };
    // So that the PEX is the same with and without a build, to the byte: backends compress in other ways.
    Ok(recipe.wheel(read, out_dir)?.or(Some(wheel)))
}

/// The recipe of a wheel that was just built; it is kept.
///
/// # Errors
/// When the wheel cannot be read.
fn recipe_of(
    wheel: &Path,
    read: &SelfContained,
    context: &Context<'_>,
) -> Result<Option<Recipe>, BuildError> {
    let now = context.tools.host().clock.now();
    if let Some(recipe) = Recipe::of(wheel, read, now)? {
        if let Some(text) = keep(&read.key, &recipe, context).filter(|_| read.is_shared) {
            context.observer.recipe_made(&read.key, text);
        }
        return Ok(Some(recipe));
    }
    // Two files are equal now, and it is not known which one was copied. That matters when one of them changes.
    let Some(whole) = read.with_all_contents() else { return Ok(None) };
    let recipe = Recipe::of(wheel, &whole, now)?;
    Ok(recipe.inspect(|recipe| drop(keep(&whole.key, recipe, context))))
}

/// Whether a wheel has the name of its package, and runs everywhere.
fn is_of(package: &LocalPackage, wheel: &Path) -> bool {
    let file_name = wheel.file_name().unwrap_or_default().to_string_lossy();
    let is_named = match (&package.name, file_name.parse::<WheelName>()) {
        (Some(name), Ok(wheel)) => wheel.name() == normalized_name(name),
        (None, Ok(_)) => true,
        (_, Err(_)) => false,
    };
    is_named && file_name.ends_with(ANY)
}

fn build(
    package: &LocalPackage,
    python: PythonVersion,
    settings: &ResolveSettings,
    out_dir: &Path,
    tools: &Tools,
) -> Result<PathBuf, BuildError> {
    let interpreter = tools.python(python)?;
    let failed =
        |source| BuildError::LocalPackage { directory: package.directory.clone(), source: Box::new(source) };
    let uv = tools.uv()?;
    let own = PackageSettings::for_package(settings, package.name.as_deref());
    let scratch = tools.cache().scratch("building")?;
    let visible = own.visible(&interpreter, None, settings, scratch.path(), uv).map_err(failed)?;
    let request = BuildRequest {
        source: &package.directory,
        out_dir,
        python: &interpreter,
        config_settings: &own.config_settings,
        variables: &own.variables,
        visible: &visible,
        build_constraints: &settings.build_constraints,
        index: &resolve::index_settings(settings),
    };
    uv.build_wheel(&request).map_err(failed)
}

/// The members of a wheel, with their paths at the top of a source PEX.
///
/// `X.data/purelib`, `platlib` and `data` go to the top, as with `pip install --target`. Scripts and headers have no
/// use there and are left out, as is everything that differs between machines ([`super::dist_info`]).
///
/// # Errors
/// When the wheel cannot be read.
pub fn entries(wheel: &Path) -> Result<Vec<SourceEntry>, BuildError> {
    let archive = Archive::open(wheel)?;
    let mut replaced = dist_info::replaced(&archive)?;
    let dist_info = archive.members().iter().find_map(|member| member.name.split_once(".dist-info/"));
    let data_directory = dist_info.map(|(stem, _)| format!("{stem}.data/")).unwrap_or_default();
    let mut entry = |member: &Member| {
        let own = Content::Member { wheel: wheel.to_path_buf(), member: member.clone() };
        let content = match replaced.remove(&member.name) {
            None => own,
            Some(content) => Content::Bytes(content?),
        };
        let path = match member.name.strip_prefix(&data_directory).filter(|_| !data_directory.is_empty()) {
            Some(rest) => match rest.split_once('/')? {
                // Scripts and headers are not needed at run time.
                ("purelib" | "platlib" | "data", path) => path.to_string(),
                _ => return None,
            },
            None => member.name.clone(),
        };
        let is_shipped = !crate::pex::is_bytecode(&path);
        is_shipped.then_some(SourceEntry { path, executable: member.executable, content })
    };
    Ok(archive.members().iter().filter_map(&mut entry).collect())
}
