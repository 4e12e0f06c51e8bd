//! The Dockerfiles of the build directories: what they decide about the images, and what they stop.

use crate::builder::image::base::BaseName;
use crate::builder::image::build::FromDockerfile;
use crate::cli::{BuildArgs, ImageOptions};
use crate::commands::Error;
use crate::host::Host;
use crate::image::Reference;
use crate::project::Requirements;
use crate::project::dockerfile::{Base, Facts, Recipe, RecipeError};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Patterns of files that Docker leaves out of its context.
const IGNORE_FILE: &str = ".dockerignore";

/// The base that the Dockerfiles of the build directories name, if there are any and they agree.
///
/// # Errors
/// When the project or a Dockerfile cannot be read, or they name different bases.
pub(in crate::commands) fn base<'d>(
    options: &ImageOptions,
    directories: impl IntoIterator<Item = &'d Path>,
    host: &Host,
) -> Result<Option<BaseName>, Error> {
    if options.ignore_dockerfile || options.base_image.is_some() {
        return Ok(None);
    }
    let directories: BTreeSet<&Path> = directories.into_iter().collect();
    let mut bases: Vec<(PathBuf, Base)> = Vec::new();
    for directory in directories {
        // What they require is known only after the base is.
        let recipe = Recipe::read(directory, &shown(directory, host), &Facts::permissive())?;
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
    requirements: &BTreeMap<PathBuf, Arc<Requirements>>,
    host: &Host,
) -> Result<BTreeMap<PathBuf, FromDockerfile>, Error> {
    let mut settings = BTreeMap::new();
    for (directory, requirements) in requirements {
        let shown = shown(directory, host);
        if directory.join(IGNORE_FILE).is_file() {
            let file = shown.join(IGNORE_FILE);
            host.note(format!("{} is not used: .pexignore says what is left out", file.display()));
        }
        if options.ignore_dockerfile {
            continue;
        }
        let facts = Facts {
            has: &|path| is_there(directory, path),
            requires: &|name| requirements.lines.iter().any(|line| line.name.as_deref() == Some(name)),
            chooses: build.all_extras || !build.extras.is_empty() || !build.groups.is_empty(),
        };
        let recipe = Recipe::read(directory, &shown, &facts)?;
        if !insists {
            recipe.check()?;
        }
        tell(&recipe, host);
        settings.insert(directory.clone(), FromDockerfile { env: recipe.env, labels: recipe.labels });
    }
    Ok(settings)
}

/// Say what became of a Dockerfile.
fn tell(recipe: &Recipe, host: &Host) {
    let Some(file) = &recipe.file else { return };
    let (env, labels) = (recipe.env.len(), recipe.labels.len());
    let file = file.display();
    host.note(format!("{file} is read, not run: its base, {env} variables and {labels} labels are used"));
    for step in &recipe.steps {
        host.note(format!("  {}:{}: {}: {}", step.file.display(), step.line, step.text, step.becomes));
    }
}

/// How messages name a directory.
fn shown(directory: &Path, host: &Host) -> PathBuf {
    directory.strip_prefix(host.cwd()).map_or_else(|_| directory.to_path_buf(), Path::to_path_buf)
}

/// Whether a build directory has a relative path, which may have wildcards.
fn is_there(directory: &Path, path: &str) -> bool {
    if path.contains(['*', '?', '[']) {
        let pattern = format!("{}/{path}", glob::Pattern::escape(&directory.display().to_string()));
        return glob::glob(&pattern).is_ok_and(|mut found| found.next().is_some());
    }
    directory.join(path).exists()
}
