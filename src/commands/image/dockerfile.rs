//! The Dockerfiles of the build directories: what they decide about the images, and what they stop.

use crate::builder::BuildError;
use crate::builder::image::base::BaseName;
use crate::builder::image::build::FromDockerfile;
use crate::cli::{BuildArgs, ImageOptions};
use crate::commands::Error;
use crate::commands::deploy::Planned;
use crate::host::Host;
use crate::image::Reference;
use crate::paths::lexically_normal;
use crate::project::dockerfile::{self, Base, Facts, Found, Recipe, RecipeError};
use crate::project::{Location, Requirements};
use crate::report::table::count;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Patterns of files that Docker leaves out of its context.
const IGNORE_FILE: &str = ".dockerignore";

/// The base that the Dockerfiles of the build directories name, if there are any and they agree.
///
/// # Errors
/// When the project or a Dockerfile cannot be read, or they name different bases.
pub(in crate::commands) fn base<'l>(
    options: &ImageOptions,
    locations: impl IntoIterator<Item = &'l Location>,
    host: &Host,
) -> Result<Option<BaseName>, Error> {
    if options.ignore_dockerfile || options.base_image.is_some() {
        return Ok(None);
    }
    let mut bases: Vec<(PathBuf, Base)> = Vec::new();
    for (directory, named) in dockerfile::named(locations)? {
        // What they require is known only after the base is.
        let recipe = read(&directory, named.as_deref(), &Facts::permissive(), host)?;
        bases.extend(recipe.file.zip(recipe.base));
    }
    let Some((file, base)) = bases.first() else { return Ok(None) };
    if bases.iter().any(|(_, other)| other.reference != base.reference) {
        let bases = bases.into_iter().map(|(file, base)| (file, base.line, base.reference)).collect();
        return Err(RecipeError::Bases { bases }.into());
    }
    let platforms: Vec<String> = options.platforms().iter().map(ToString::to_string).collect();
    if let Some(other) = base.platform.as_ref().filter(|other| !platforms.contains(other)) {
        let place = format!("{}:{}", file.display(), base.line);
        let platforms = platforms.join(" and ");
        host.warn(format!("{place} is for {other}; the image is for {platforms} (--image-platform)"));
    }
    let reference: Reference = base.reference.parse().map_err(|source| RecipeError::Reference {
        file: file.clone(),
        line: base.line,
        source,
    })?;
    Ok(Some(BaseName::Registry(reference)))
}

/// Check what `--image-include` adds to the images of these build directories, before anything is fetched.
///
/// # Errors
/// When something does not exist, or has no place.
pub(in crate::commands) fn check_included<'d>(
    options: &ImageOptions,
    directories: impl IntoIterator<Item = &'d Path>,
    host: &Host,
) -> Result<(), Error> {
    let includes = options.options(host).includes;
    let check = |directory: &Path| includes.iter().try_for_each(|include| include.check(directory));
    directories.into_iter().try_for_each(check).map_err(|error| BuildError::from(error).into())
}

/// Variables and labels of the Dockerfile of each build directory.
///
/// `insists` builds in spite of steps that cannot be done without Docker, and names them.
///
/// # Errors
/// When a Dockerfile has such steps, or cannot be read.
pub(in crate::commands) fn settings(
    options: &ImageOptions,
    build: &BuildArgs,
    insists: bool,
    planned: &Planned<'_>,
    host: &Host,
) -> Result<BTreeMap<PathBuf, FromDockerfile>, Error> {
    let mut settings = BTreeMap::new();
    let locations = planned.plan.locations.iter().map(|planned| &planned.location);
    let named = if options.ignore_dockerfile { BTreeMap::new() } else { dockerfile::named(locations)? };
    for (directory, requirements) in &planned.requirements {
        let shown = shown(directory, host);
        if directory.join(IGNORE_FILE).is_file() {
            let file = shown.join(IGNORE_FILE);
            host.note(format!("{} is not used: .pexignore says what is left out", file.display()));
        }
        if options.ignore_dockerfile {
            continue;
        }
        let named = named.get(directory).and_then(Option::as_deref);
        let recipe = judged(options, build, (directory, named), (requirements, true), host)?;
        if !insists {
            recipe.check()?;
        }
        tell(&recipe, options.base_image.is_none(), host);
        settings.insert(directory.clone(), FromDockerfile { env: recipe.env, labels: recipe.labels });
    }
    Ok(settings)
}

/// What [`base`] and [`settings`] would refuse of these code locations. `requirements` are those of a build directory,
/// and whether they are all; without them, a Dockerfile may install what it wants.
pub(in crate::commands) fn refused<'r>(
    (options, build, insists): (&ImageOptions, &BuildArgs, bool),
    locations: &[&Location],
    requirements: &dyn Fn(&Path) -> Option<(&'r Requirements, bool)>,
    host: &Host,
) -> Vec<Error> {
    let mut errors = Vec::from_iter(base(options, locations.iter().copied(), host).err());
    // A file that cannot be read is among the errors already.
    if options.ignore_dockerfile || insists || !errors.is_empty() && options.base_image.is_none() {
        return errors;
    }
    let named = match dockerfile::named(locations.iter().copied()) {
        Ok(named) => named,
        Err(error) => return vec![error.into()],
    };
    for (directory, named) in named {
        let nothing = Requirements::default();
        let asked = requirements(&directory).unwrap_or((&nothing, false));
        let recipe = judged(options, build, (&directory, named.as_deref()), asked, host);
        errors.extend(recipe.and_then(|recipe| recipe.check()).err().map(Error::from));
    }
    errors
}

/// The Dockerfile of a build directory, judged by what is known of its project. `is_whole` is whether its requirements
/// are all known.
fn judged(
    options: &ImageOptions,
    build: &BuildArgs,
    (directory, named): (&Path, Option<&Path>),
    (requirements, is_whole): (&Requirements, bool),
    host: &Host,
) -> Result<Recipe, RecipeError> {
    let included = included(options, directory, host);
    let requires = |name: &str| requirements.lines.iter().any(|line| line.name.as_deref() == Some(name));
    let facts = Facts {
        find: &|path| find(directory, path, requirements, host),
        adds: &|path| included.iter().any(|place| Path::new(path).starts_with(place)),
        requires: &|name| !is_whole || requires(name),
        chooses: build.all_extras || !build.extras.is_empty() || !build.groups.is_empty(),
    };
    read(directory, named, &facts, host)
}

/// Say what became of a Dockerfile. `has_base` is whether its base is that of the image.
fn tell(recipe: &Recipe, has_base: bool, host: &Host) {
    let Some(file) = &recipe.file else { return };
    let counted = |number: usize, what: &str| (number > 0).then(|| count(number, what));
    let base = has_base.then(|| "its base".to_string());
    let used = [base, counted(recipe.env.len(), "variable"), counted(recipe.labels.len(), "label")];
    let mut used: Vec<String> = used.into_iter().flatten().collect();
    if used.is_empty() {
        used.push("nothing".to_string());
    }
    let instead = if has_base { "" } else { "; --base-image takes the place of its base" };
    host.note(format!("{} is read, not run; used: {}{instead}", file.display(), used.join(", ")));
    for step in &recipe.steps {
        host.note(format!("  {}:{}: {}: {}", step.file.display(), step.line, step.text, step.becomes));
    }
}

/// The Dockerfile and the scripts of a build directory.
fn read(
    directory: &Path,
    named: Option<&Path>,
    facts: &Facts<'_>,
    host: &Host,
) -> Result<Recipe, RecipeError> {
    let named = named.map(|file| (file, shown(file, host)));
    let named = named.as_ref().map(|(file, shown)| (*file, shown.as_path()));
    Recipe::read(directory, &shown(directory, host), named, facts)
}

/// How messages name a directory or file.
fn shown(directory: &Path, host: &Host) -> PathBuf {
    directory.strip_prefix(host.cwd()).map_or_else(|_| directory.to_path_buf(), Path::to_path_buf)
}

/// Absolute paths in the image of what `--image-include` adds; the build says what is wrong with one.
fn included(options: &ImageOptions, directory: &Path, host: &Host) -> Vec<PathBuf> {
    let includes = options.options(host).includes;
    includes.iter().filter_map(|one| Some(Path::new("/").join(one.place(directory).ok()?))).collect()
}

/// What a relative path, which may have wildcards, is in the build directory or in one above it, up to the top of the
/// repository, or else the working directory: Docker's context is one of them.
fn find(directory: &Path, path: &str, requirements: &Requirements, host: &Host) -> Option<Found> {
    let position = |is_top: &dyn Fn(&Path) -> bool| directory.ancestors().position(is_top);
    let top =
        position(&|above| above.join(".git").exists()).or_else(|| position(&|above| above == host.cwd()));
    let height = top.unwrap_or(0);
    let found = directory.ancestors().take(height + 1).find_map(|context| first(context, path))?;
    Some(Found {
        path: shown(&found, host).display().to_string(),
        is_file: found.is_file(),
        is_inside: found.starts_with(directory),
        is_installed: requirements
            .local_packages
            .iter()
            .any(|package| package.directory != directory && found.starts_with(&package.directory)),
    })
}

fn first(context: &Path, path: &str) -> Option<PathBuf> {
    let found = if path.contains(['*', '?', '[']) {
        let pattern = format!("{}/{path}", glob::Pattern::escape(&context.display().to_string()));
        glob::glob(&pattern).ok()?.next()?.ok()?
    } else {
        context.join(path)
    };
    let found = lexically_normal(&found);
    (found.starts_with(context) && found.exists()).then_some(found)
}
