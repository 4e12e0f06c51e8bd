//! `[tool.poetry]`: its dependencies as PEP 508 lines, its groups, extras and package sources.
//!
//! Source: Poetry's documentation, "The pyproject.toml file", "Dependency specification", "Repositories".

use super::super::error::CollectError;
use super::super::poetry_constraint as constraint;
use super::super::requirement::{file_url, git_url};
use super::super::toml_file::Node;
use super::{Asks, PyProject, Raw, RequiresPython, group_name};
use crate::project::{Index, Warning};
use pep508_rs::PackageName;
use std::collections::BTreeMap;
use std::path::Path;

/// What `[tool.poetry]` says.
#[derive(Debug, Clone, Default)]
pub struct Poetry {
    /// Name, dependencies, extras and groups. `python` may be missing where it cannot be read and `[project]` decides.
    pub asks: Asks,
    /// `package-mode`.
    pub package_mode: Option<bool>,
    /// Whether there are `dependencies`.
    pub has_dependencies: bool,
    /// Lines that replace those of `[project]` with the same name (Poetry's enrichment).
    pub replacements: BTreeMap<PackageName, Vec<Raw>>,
    /// Package → index, from `source`.
    pub index_pins: BTreeMap<String, String>,
    /// The primary source.
    pub default_index: Option<Index>,
    /// The other sources.
    pub indexes: Vec<Index>,
    /// Warnings.
    pub warnings: Vec<Warning>,
}

/// Read `[tool.poetry]` in addition to `project`; its `[project]` takes precedence.
///
/// Where `[project]` says the dependencies, Poetry's table only says where they come from (Poetry 2).
///
/// # Errors
/// A constraint or a dependency that Poetry would refuse.
pub(super) fn read(poetry: &Node<'_>, project: &PyProject) -> Result<Poetry, CollectError> {
    let mut read = Poetry::default();
    if let Some(name) = poetry.get("name").filter(|_| project.name.is_none()) {
        read.asks.name = Some(package_name(name.string()?, &name)?);
    }
    read.package_mode = poetry.get("package-mode").and_then(|mode| mode.as_bool());
    read_sources(poetry, &mut read)?;
    if let Some(dependencies) = poetry.get("dependencies") {
        read.has_dependencies = true;
        read_main(poetry, &dependencies, project, &mut read)?;
    }
    if let Some(dependencies) = poetry.get("dev-dependencies") {
        read_group("dev", &dependencies, &mut read)?;
    }
    let groups = poetry.get("group").map(|groups| groups.table()).transpose()?.unwrap_or_default();
    for (name, group) in groups {
        if let Some(dependencies) = group.get("dependencies") {
            read_group(name, &dependencies, &mut read)?;
        }
        if let Some(includes) = group.get("include-groups") {
            let include = |item: &Node<'_>| Ok((group_name(item.string()?, item)?, item.place()));
            let includes = includes.list()?.iter().map(include).collect::<Result<Vec<_>, CollectError>>()?;
            read.asks.groups.entry(group_name(name, &group)?).or_default().includes.extend(includes);
        }
    }
    Ok(read)
}

fn read_main(
    poetry: &Node<'_>,
    dependencies: &Node<'_>,
    project: &PyProject,
    read: &mut Poetry,
) -> Result<(), CollectError> {
    let mut optional: BTreeMap<PackageName, Vec<Raw>> = BTreeMap::new();
    for (name, value) in dependencies.table()? {
        if name == "python" {
            read.asks.requires_python = python(&value, project)?;
            continue;
        }
        let name = package_name(name, &value)?;
        let items = items(&name, &value, read)?;
        if project.static_dependencies {
            read.enrich(&name, items);
            continue;
        }
        for item in items {
            if item.optional {
                optional.entry(name.clone()).or_default().push(item.raw);
            } else {
                read.asks.requires.push(item.raw);
            }
        }
    }
    if project.static_dependencies {
        return Ok(());
    }
    let extras = poetry.get("extras").map(|extras| extras.table()).transpose()?.unwrap_or_default();
    for (extra, members) in extras {
        let mut lines = Vec::new();
        for member in members.list()? {
            let name = member.string()?.split(['[', ' ', '>', '=', '<', '(']).next().unwrap_or_default();
            lines.extend(optional.get(&package_name(name, &member)?).cloned().unwrap_or_default());
        }
        read.asks.extras.entry(group_name(extra, &members)?).or_default().extend(lines);
    }
    Ok(())
}

/// `python = "^3.9"`. With a `requires-python` it has no effect, so it may be anything.
fn python(node: &Node<'_>, project: &PyProject) -> Result<Option<RequiresPython>, CollectError> {
    let Some(text) = node.as_str() else { return Ok(None) };
    let read = constraint::python_specifiers(text).map(|alternatives| RequiresPython {
        setting: format!("python = \"{text}\""),
        place: node.place(),
        alternatives,
    });
    match project.requires_python {
        Some(_) => Ok(read.ok()),
        None => read.map(Some).map_err(|problem| node.invalid(problem)),
    }
}

fn read_group(name: &str, dependencies: &Node<'_>, read: &mut Poetry) -> Result<(), CollectError> {
    let mut lines = Vec::new();
    for (package, value) in dependencies.table()? {
        if package != "python" {
            let package = package_name(package, &value)?;
            lines.extend(items(&package, &value, read)?.into_iter().map(|item| item.raw));
        }
    }
    read.asks.groups.entry(group_name(name, dependencies)?).or_default().requires.extend(lines);
    Ok(())
}

fn package_name(name: &str, node: &Node<'_>) -> Result<PackageName, CollectError> {
    PackageName::new(name.to_string()).map_err(|error| node.invalid(error))
}

/// One alternative of a dependency.
pub(super) struct Item {
    /// The PEP 508 line.
    pub raw: Raw,
    /// Whether it is only for extras.
    pub optional: bool,
    /// Whether it says more than a version: a path, URL or repository.
    pub direct: bool,
}

/// A dependency's value: a constraint, a table, or a list of those.
fn items(name: &PackageName, value: &Node<'_>, read: &mut Poetry) -> Result<Vec<Item>, CollectError> {
    let values = value.as_list().unwrap_or_else(|| vec![value.clone()]);
    values.iter().map(|value| item(name, value, read)).collect()
}

fn item(name: &PackageName, value: &Node<'_>, read: &mut Poetry) -> Result<Item, CollectError> {
    let raw = |text: String| Raw { text, place: value.place() };
    if let Some(version) = value.as_str() {
        let specifiers = specifiers(name, version, value, read)?;
        return Ok(Item { raw: raw(format!("{name}{specifiers}")), optional: false, direct: false });
    }
    if !value.is_table() {
        return Err(value.expected("a version constraint or a table"));
    }
    let extras = value.get("extras").map(|extras| extras.strings()).transpose()?.unwrap_or_default();
    let extras = if extras.is_empty() { String::new() } else { format!("[{}]", extras.join(",")) };
    let link = link(value)?;
    let requirement = match &link {
        Some(link) => format!("{name}{extras} @ {link}"),
        None => {
            let version = value.get("version").map(|version| version.string()).transpose()?.unwrap_or("*");
            format!("{name}{extras}{}", specifiers(name, version, value, read)?)
        }
    };
    if value.get("allow-prereleases").and_then(|flag| flag.as_bool()) == Some(true) {
        read.warn(
            value,
            format!(
                "`allow-prereleases` of `{name}` counts only if its version constraint names a pre-release"
            ),
        );
    }
    if let Some(source) = value.get("source") {
        read.pin(name, &source)?;
    }
    let marker = marker(value)?.map(|marker| format!(" ; {marker}")).unwrap_or_default();
    Ok(Item {
        raw: raw(format!("{requirement}{marker}")),
        optional: value.get("optional").and_then(|flag| flag.as_bool()).unwrap_or(false),
        direct: link.is_some(),
    })
}

fn specifiers(
    name: &PackageName,
    version: &str,
    value: &Node<'_>,
    read: &mut Poetry,
) -> Result<String, CollectError> {
    let converted = constraint::specifiers(version).map_err(|problem| value.invalid(problem))?;
    if converted.narrowed {
        read.warn(
            value,
            format!(
                "no version specifier can express `{version}`; using `{name}{}`, its newest part",
                converted.specifiers
            ),
        );
    }
    Ok(converted.specifiers)
}

/// The origin of a dependency that is not from an index.
fn link(value: &Node<'_>) -> Result<Option<String>, CollectError> {
    let subdirectory = value.get("subdirectory").map(|at| at.string()).transpose()?;
    let fragment = subdirectory.map(|at| format!("#subdirectory={at}")).unwrap_or_default();
    // `file` is what the first releases called a `path` to an archive.
    if let Some(path) = value.get("path").or_else(|| value.get("file")) {
        return Ok(Some(format!("{}{fragment}", file_url(Path::new(path.string()?)))));
    }
    if let Some(url) = value.get("url") {
        return Ok(Some(format!("{}{fragment}", url.string()?)));
    }
    let Some(git) = value.get("git") else { return Ok(None) };
    let reference = ["rev", "tag", "branch"].into_iter().find_map(|key| value.get(key));
    let reference = reference.map(|node| node.string().map(|text| format!("@{text}"))).transpose()?;
    let url = git_url(git.string()?);
    Ok(Some(format!("{url}{}{fragment}", reference.unwrap_or_default())))
}

/// `markers`, `python` and `platform` of a dependency, as one marker.
fn marker(value: &Node<'_>) -> Result<Option<String>, CollectError> {
    let mut parts = Vec::new();
    if let Some(python) = value.get("python") {
        parts.extend(constraint::python_marker(python.string()?).map_err(|problem| python.invalid(problem))?);
    }
    if let Some(platform) = value.get("platform") {
        parts.push(format!("sys_platform == \"{}\"", platform.string()?));
    }
    if let Some(markers) = value.get("markers") {
        parts.push(markers.string()?.to_string());
    }
    if parts.len() > 1 {
        for part in parts.iter_mut().filter(|part| part.contains(" or ")) {
            *part = format!("({part})");
        }
    }
    Ok((!parts.is_empty()).then(|| parts.join(" and ")))
}

/// `[[tool.poetry.source]]`: explicit ones serve only what is pinned to them; the first primary (or `default`) one
/// takes the place of the public index, unless that is named as a source itself.
fn read_sources(poetry: &Node<'_>, read: &mut Poetry) -> Result<(), CollectError> {
    let Some(sources) = poetry.get("source") else { return Ok(()) };
    let mut indexes = Vec::new();
    let mut public = false;
    for source in sources.list()? {
        let name = source.get("name").ok_or_else(|| source.invalid("has no name"))?.string()?;
        let priority = source.get("priority").map(|priority| priority.string()).transpose()?;
        let flag = |key: &str| source.get(key).and_then(|flag| flag.as_bool()).unwrap_or(false);
        let rank = match priority.map(str::to_lowercase).as_deref() {
            Some("default") => 0,
            Some("supplemental" | "secondary") => 2,
            Some("explicit") => 3,
            Some("primary") => 1,
            Some(other) => {
                let problem = format!("`{other}` is not primary, supplemental or explicit");
                return Err(source.invalid(problem));
            }
            None if flag("default") => 0,
            None if flag("secondary") => 2,
            None => 1,
        };
        match source.get("url") {
            Some(url) => {
                let index = Index {
                    name: Some(name.to_string()),
                    url: url.string()?.to_string(),
                    explicit: rank == 3,
                };
                indexes.push((rank, index));
            }
            None if name.eq_ignore_ascii_case("pypi") => public |= rank < 3,
            None => return Err(source.invalid(format!("the source `{name}` has no url"))),
        }
    }
    indexes.sort_by_key(|(rank, _)| *rank);
    if !public && indexes.first().is_some_and(|(rank, _)| *rank < 2) {
        let (_, index) = indexes.remove(0);
        read.default_index = Some(index);
    }
    read.indexes.extend(indexes.into_iter().map(|(_, index)| index));
    Ok(())
}

impl Poetry {
    fn warn(&mut self, node: &Node<'_>, message: String) {
        self.warnings.push(Warning { message, place: Some(node.place()) });
    }

    /// A dependency comes from the source of that name; `PyPI` needs no declaration.
    fn pin(&mut self, package: &PackageName, source: &Node<'_>) -> Result<(), CollectError> {
        let name = source.string()?;
        let is = |index: &&Index| index.name.as_deref() == Some(name);
        if self.indexes.iter().chain(&self.default_index).any(|index| is(&index)) {
            self.index_pins.insert(package.to_string(), name.to_string());
            return Ok(());
        }
        if !name.eq_ignore_ascii_case("pypi") {
            return Err(CollectError::invalid_with(
                source.place(),
                format!("`{package}` should come from the source `{name}`, which is not declared"),
                format!("add [[tool.poetry.source]] with name = \"{name}\" and its url"),
            ));
        }
        if self.default_index.is_some() {
            let message = format!("`{package}` is looked up on all indexes, not on {name} alone");
            self.warn(source, message);
        }
        Ok(())
    }

    /// Take from Poetry where a dependency of `[project]` comes from.
    fn enrich(&mut self, name: &PackageName, items: Vec<Item>) {
        let direct: Vec<Raw> = items.into_iter().filter(|item| item.direct).map(|item| item.raw).collect();
        if !direct.is_empty() {
            self.replacements.insert(name.clone(), direct);
        }
    }
}
