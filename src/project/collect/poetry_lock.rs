//! `poetry.lock`: the versions it pins on the target.
//!
//! Source: lock files written by Poetry 1.1 (`category`, `[metadata.files]`), 1.5 (`files`) and 2.x (`groups`,
//! `markers`).

use super::error::CollectError;
use super::pin::{Pin, Pinned};
use super::requirement::Link;
use super::requirement::git_url;
use super::toml_file::{Node, TomlFile};
use crate::paths::resolved;
use crate::project::{CollectOptions, Index};
use pep508_rs::{MarkerTree, PackageName};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// What a poetry.lock pins.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) pins: Vec<Pin>,
    /// Packages that are there several times, with nothing to choose between them on the target.
    pub(super) repeated: BTreeSet<PackageName>,
}

/// Read a poetry.lock.
///
/// Packages that are there in several versions, with nothing in the lock to choose between them on the target, are left
/// out: the resolver chooses.
///
/// # Errors
/// It is not TOML, or not a lock of Poetry's.
pub(super) fn read(file: &Path, options: &CollectOptions) -> Result<Read, CollectError> {
    parse(file, options).map_err(|error| match error {
        CollectError::Invalid { place, problem, hint: None } => {
            let problem = format!("the lock file cannot be used: {problem}");
            CollectError::invalid_with(
                place,
                problem,
                "regenerate it with `poetry lock`, or build with --no-locked",
            )
        }
        error => error,
    })
}

fn parse(file: &Path, options: &CollectOptions) -> Result<Read, CollectError> {
    let toml = TomlFile::read(file)?;
    let document = toml.parse()?;
    let root = Node::root(&toml, &document);
    let packages = root.get("package").map(|packages| packages.list()).transpose()?.unwrap_or_default();
    let mut pins: BTreeMap<PackageName, Vec<Pin>> = BTreeMap::new();
    for package in packages {
        if is_asked_for(&package, options) && holds(&package, options)? {
            let pin = pin(&package, &root)?;
            pins.entry(pin.name.clone()).or_default().push(pin);
        }
    }
    let repeated = pins.iter().filter(|(_, same)| same.len() > 1).map(|(name, _)| name.clone()).collect();
    let pins = pins.into_values().filter(|same| same.len() == 1).flatten().collect();
    Ok(Read { pins, repeated })
}

/// Whether a package belongs to the main group or one that is asked for; older locks do not say and count as main,
/// but for their category.
fn is_asked_for(package: &Node<'_>, options: &CollectOptions) -> bool {
    let wanted = |group: &str| group == "main" || options.groups.iter().any(|asked| asked == group);
    match (package.get("groups"), package.get("category")) {
        (Some(groups), _) => groups.strings().unwrap_or_default().into_iter().any(wanted),
        (None, Some(category)) => category.as_str().is_none_or(wanted),
        (None, None) => true,
    }
}

/// `markers`: a string, or a table by group.
fn holds(package: &Node<'_>, options: &CollectOptions) -> Result<bool, CollectError> {
    let Some(markers) = package.get("markers") else { return Ok(true) };
    let texts = match markers.as_str() {
        Some(text) => vec![text],
        None => {
            let wanted = |group: &str| group == "main" || options.groups.iter().any(|asked| asked == group);
            let by_group = markers.table()?;
            by_group.iter().filter(|(group, _)| wanted(group)).filter_map(|(_, text)| text.as_str()).collect()
        }
    };
    let extras: Vec<_> =
        options.extras.iter().filter_map(|name| pep508_rs::ExtraName::new(name.clone()).ok()).collect();
    for text in texts {
        super::requirement::check_marker(text, &markers.place())?;
        let tree = MarkerTree::parse_str::<Link>(text)
            .map_err(|error| markers.invalid(format!("`{text}` is not a marker: {}", error.message)))?;
        if tree.evaluate(&options.target.marker_environment(), &extras) {
            return Ok(true);
        }
        if options.all_extras
            && tree.simplify_extras_with(|_| true).evaluate(&options.target.marker_environment(), &[])
        {
            return Ok(true);
        }
    }
    Ok(false)
}

fn pin(package: &Node<'_>, root: &Node<'_>) -> Result<Pin, CollectError> {
    let text =
        |node: &Node<'_>, key: &str| node.get(key).and_then(|value| value.as_str()).map(str::to_string);
    let name = text(package, "name").ok_or_else(|| package.invalid("a package without name"))?;
    let files = package.get("files").or_else(|| root.at(&["metadata", "files", &name]));
    let name = PackageName::new(name).map_err(|error| package.invalid(error))?;
    let source = package.get("source");
    let field = |key: &str| source.as_ref().and_then(|source| text(source, key));
    let url = field("url").unwrap_or_default();
    let base = package.file().parent().unwrap_or(Path::new("."));
    let local = || resolved(base, &url);
    let fragment = field("subdirectory").map(|at| format!("#subdirectory={at}")).unwrap_or_default();
    let mut index = None;
    let what = match field("type").as_deref() {
        Some("git") => {
            let commit = field("resolved_reference").or_else(|| field("reference")).unwrap_or_default();
            Pinned::Link(format!("{}@{commit}{fragment}", git_url(&url)))
        }
        Some("url") => Pinned::Link(format!("{url}{fragment}")),
        Some("directory") => Pinned::Directory(local()),
        Some("file") => Pinned::Distribution(local()),
        Some("legacy") => {
            index =
                field("reference").map(|name| Index { name: Some(name), url: url.clone(), explicit: true });
            Pinned::Version
        }
        _ => Pinned::Version,
    };
    let files = files.and_then(|files| files.as_list()).unwrap_or_default();
    let hashes =
        files.iter().filter_map(|file| text(file, "hash")).filter(|hash| hash.starts_with("sha256:"));
    Ok(Pin { name, version: text(package, "version"), what, hashes: hashes.collect(), index })
}
