//! `[tool.uv]` and `uv.toml`: how the user wants requirements resolved.
//!
//! Source: uv's documentation, "Settings". uv reads them from the workspace root only, and from `uv.toml` instead of
//! `[tool.uv]` when both are in that directory.

use super::error::CollectError;
use super::requirement::{self, file_url, scheme};
use super::toml_file::{Node, TomlFile};
use crate::env_vars;
use crate::host::Host;
use crate::paths::resolved;
use crate::project::{Index, Origin, ResolveSettings};
use crate::tools::is_true;
use crate::wheel::filename::normalized_name;
use pep508_rs::PackageName;
use std::path::Path;

/// Keys that bear on resolving or building and have no place of their own in [`ResolveSettings`].
const PASSED_ON: &[&str] = &[
    "allow-insecure-host",
    "config-settings",
    "config-settings-package",
    "conflicts",
    "dependency-metadata",
    "environments",
    "exclude-newer-package",
    "extra-build-dependencies",
    "extra-build-variables",
    "fork-strategy",
    "keyring-provider",
    "native-tls",
    "no-build-isolation",
    "no-build-isolation-package",
    "offline",
    "required-environments",
    "system-certs",
];

/// Read the settings that hold for a project whose workspace root (or own directory) is `directory`.
///
/// # Errors
/// A file that is not TOML, or a value of the wrong type.
pub(super) fn read(directory: &Path) -> Result<ResolveSettings, CollectError> {
    with_table(directory, settings)
}

/// What `read` makes of the table of settings in `directory`; nothing if there is none.
fn with_table<T: Default>(
    directory: &Path,
    read: impl FnOnce(&Node<'_>) -> Result<T, CollectError>,
) -> Result<T, CollectError> {
    let (path, keys): (_, &[&str]) = match directory.join("uv.toml") {
        path if path.is_file() => (path, &[]),
        _ => (directory.join("pyproject.toml"), &["tool", "uv"]),
    };
    if !path.is_file() {
        return Ok(T::default());
    }
    let file = TomlFile::read(&path)?;
    let document = file.parse()?;
    match Node::root(&file, &document).at(keys) {
        Some(table) => read(&table),
        None => Ok(T::default()),
    }
}

/// Packages whose `tool.uv.sources` do not count (`no-sources`, `no-sources-package`).
#[derive(Debug, Default)]
pub(super) struct IgnoredSources {
    all: bool,
    names: Vec<String>,
}

impl IgnoredSources {
    /// Whether those of this package do not.
    pub(super) fn covers(&self, name: &PackageName) -> bool {
        self.all || self.names.iter().any(|listed| normalized_name(listed) == name.as_ref())
    }
}

/// The settings in `directory` and uv's variables about sources.
///
/// # Errors
/// As for [`read`].
pub(super) fn ignored_sources(directory: &Path, host: &Host) -> Result<IgnoredSources, CollectError> {
    let mut ignored = with_table(directory, |table| {
        Ok(IgnoredSources { all: flag(table, "no-sources"), names: strings(table, "no-sources-package")? })
    })?;
    ignored.all |= host.var(env_vars::UV_NO_SOURCES).is_some_and(is_true);
    let named = host.var(env_vars::UV_NO_SOURCES_PACKAGE).unwrap_or_default();
    ignored.names.extend(named.split_whitespace().map(str::to_string));
    Ok(ignored)
}

fn settings(table: &Node<'_>) -> Result<ResolveSettings, CollectError> {
    let mut settings = ResolveSettings {
        constraints: strings(table, "constraint-dependencies")?,
        overrides: strings(table, "override-dependencies")?,
        build_constraints: strings(table, "build-constraint-dependencies")?,
        excludes: strings(table, "exclude-dependencies")?,
        no_index: flag(table, "no-index"),
        prerelease: string(table, "prerelease")?,
        exclude_newer: string(table, "exclude-newer")?,
        index_strategy: string(table, "index-strategy")?,
        resolution: string(table, "resolution")?,
        ..ResolveSettings::default()
    };
    for (key, kind) in [
        ("constraint-dependencies", "constraint"),
        ("override-dependencies", "override"),
        ("exclude-dependencies", "excluded"),
    ] {
        settings.origins.extend(origins(table, key, kind)?);
    }
    settings.no_binary = names(table, "no-binary")?;
    settings.only_binary = names(table, "no-build")?;
    for link in strings(table, "find-links")? {
        settings.find_links.push(path_or_url(&link, table));
    }
    read_indexes(table, &mut settings)?;
    for key in PASSED_ON {
        if let Some(value) = table.get(key) {
            settings.uv.insert((*key).to_string(), value.plain());
        }
    }
    Ok(settings)
}

fn read_indexes(table: &Node<'_>, settings: &mut ResolveSettings) -> Result<(), CollectError> {
    for index in named_indexes(table)? {
        match index {
            Declared::Default(index) => {
                settings.default_index = Some(index.url);
                settings.default_index_name = index.name;
            }
            Declared::Other(index) => settings.indexes.push(index),
            Declared::Flat { link, .. } => settings.find_links.push(link),
        }
    }
    if settings.default_index.is_none() {
        settings.default_index = string(table, "index-url")?.map(|url| index_url(&url, table));
    }
    for url in strings(table, "extra-index-url")? {
        let url = index_url(&url, table);
        settings.indexes.push(Index { name: None, url, explicit: false });
    }
    Ok(())
}

/// An entry of `[[tool.uv.index]]`.
pub(super) enum Declared {
    /// Takes the place of the public index.
    Default(Index),
    /// Asked in addition to the public index.
    Other(Index),
    /// A page or directory of files (`format = "flat"`).
    Flat {
        /// URL or absolute path.
        link: String,
        /// Its name.
        name: Option<String>,
    },
}

impl Declared {
    /// The index's name.
    pub(super) fn name(&self) -> Option<&str> {
        match self {
            Declared::Default(index) | Declared::Other(index) => index.name.as_deref(),
            Declared::Flat { name, .. } => name.as_deref(),
        }
    }
}

/// The indexes that the uv.toml or pyproject.toml in `directory` declares.
pub(super) fn indexes_of(directory: &Path) -> Result<Vec<Declared>, CollectError> {
    let mut found = Vec::new();
    for (name, keys) in [("uv.toml", [].as_slice()), ("pyproject.toml", &["tool", "uv"])] {
        let path = directory.join(name);
        if path.is_file() {
            let file = TomlFile::read(&path)?;
            let document = file.parse()?;
            if let Some(table) = Node::root(&file, &document).at(keys) {
                found.extend(named_indexes(&table)?);
            }
        }
    }
    Ok(found)
}

/// `[[tool.uv.index]]` of a `[tool.uv]` table.
fn named_indexes(table: &Node<'_>) -> Result<Vec<Declared>, CollectError> {
    let Some(list) = table.get("index") else { return Ok(Vec::new()) };
    list.list()?
        .iter()
        .map(|entry| {
            let url = entry.get("url").ok_or_else(|| entry.invalid("an index without `url`"))?.string()?;
            if entry.get("format").and_then(|format| format.as_str()) == Some("flat") {
                let name = string(entry, "name")?;
                return Ok(Declared::Flat { link: path_or_url(url, table), name });
            }
            let index = Index {
                name: string(entry, "name")?,
                url: index_url(url, table),
                explicit: flag(entry, "explicit"),
            };
            Ok(if flag(entry, "default") { Declared::Default(index) } else { Declared::Other(index) })
        })
        .collect()
}

fn flag(table: &Node<'_>, key: &str) -> bool {
    table.get(key).and_then(|value| value.as_bool()).unwrap_or(false)
}

fn string(table: &Node<'_>, key: &str) -> Result<Option<String>, CollectError> {
    table.get(key).map(|value| value.string().map(str::to_string)).transpose()
}

fn strings(table: &Node<'_>, key: &str) -> Result<Vec<String>, CollectError> {
    let values = table.get(key).map(|value| value.strings()).transpose()?;
    Ok(values.unwrap_or_default().into_iter().map(str::to_string).collect())
}

/// Where the requirements of a list are written. One that cannot be read is for uv to refuse.
fn origins(table: &Node<'_>, key: &str, kind: &'static str) -> Result<Vec<Origin>, CollectError> {
    let items = table.get(key).map(|value| value.list()).transpose()?.unwrap_or_default();
    let origin = |item: &Node<'_>| {
        let text = item.as_str()?;
        let name = requirement::parse(text, &item.place()).ok()?.name.to_string();
        Some(Origin { text: text.to_string(), name, kind, place: item.place() })
    };
    Ok(items.iter().filter_map(origin).collect())
}

/// `no-binary = true` and `no-binary-package = […]`.
fn names(table: &Node<'_>, key: &str) -> Result<Vec<String>, CollectError> {
    if flag(table, key) { Ok(vec![":all:".into()]) } else { strings(table, &format!("{key}-package")) }
}

fn path_or_url(text: &str, table: &Node<'_>) -> String {
    if scheme(text).is_some() {
        return text.to_string();
    }
    let base = table.file().parent().unwrap_or(Path::new("."));
    resolved(base, text).to_string_lossy().into_owned()
}

fn index_url(text: &str, table: &Node<'_>) -> String {
    match scheme(text) {
        Some(_) => text.to_string(),
        None => file_url(Path::new(&path_or_url(text, table))),
    }
}
