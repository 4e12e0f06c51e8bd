//! The packages of a uv.lock as a graph: what each depends on, with its extras and groups.
//!
//! Only what uv itself writes is read. Anything else is [`Unsure`], and uv is asked instead.
//! Source: files written by uv 0.4 to 0.13 (lock version 1, revisions 0 to 5), and the reader in uv's source
//! (`crates/uv-resolver/src/lock`).

use super::uv_lock_marker::{self, Names, Unsure};
use pep508_rs::{ExtraName, MarkerEnvironment, PackageName};
use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;
use toml::{Table, Value};

/// The newest revision of lock version 1 that is known. uv 0.13 writes it.
const NEWEST_REVISION: i64 = 5;

const LOCK_KEYS: &[&str] = &[
    "version",
    "revision",
    "requires-python",
    "resolution-markers",
    "supported-markers",
    "required-markers",
    "conflicts",
    "options",
    "manifest",
    "package",
];
const PACKAGE_KEYS: &[&str] = &[
    "name",
    "version",
    "source",
    "resolution-markers",
    "dependencies",
    "optional-dependencies",
    "dev-dependencies",
    "sdist",
    "wheels",
    "metadata",
    "default-groups",
];
const DEPENDENCY_KEYS: &[&str] = &["name", "version", "source", "extra", "marker"];

/// Dependencies by the extra or group that asks for them.
type Sections<'l> = BTreeMap<ExtraName, Vec<Dependency<'l>>>;

/// A lock.
#[derive(Debug)]
pub(super) struct Lock<'l> {
    /// In the order of the file.
    pub(super) packages: Vec<Package<'l>>,
    /// Names of the members of the workspace; empty for a project alone.
    pub(super) members: Vec<PackageName>,
    /// Sets of extras, groups and projects that exclude each other, each encoded as in a marker.
    pub(super) conflicts: Vec<Vec<ExtraName>>,
    /// Groups of a workspace root that is not a project.
    pub(super) root_groups: BTreeSet<ExtraName>,
    /// Whether it lists all extras of its projects. Source: revision 1 and newer do.
    pub(super) has_all_extras: bool,
    /// Environments that the lock was made for; all if empty.
    environments: &'l [Value],
}

/// A version of a package, from one source.
#[derive(Debug)]
pub(super) struct Package<'l> {
    /// Normalised.
    pub(super) name: PackageName,
    /// What the file has.
    pub(super) table: &'l Table,
    /// Its `source`.
    pub(super) source: &'l Table,
    /// What it needs in any case.
    pub(super) dependencies: Vec<Dependency<'l>>,
    /// What it needs for an extra.
    pub(super) optional: Sections<'l>,
    /// What a group of it needs.
    pub(super) groups: Sections<'l>,
    /// All extras that it declares, those without packages included.
    pub(super) declared_extras: BTreeSet<ExtraName>,
    /// All groups that it declares, likewise.
    pub(super) declared_groups: BTreeSet<ExtraName>,
}

/// An edge of the graph.
#[derive(Debug)]
pub(super) struct Dependency<'l> {
    /// Index in [`Lock::packages`].
    pub(super) package: usize,
    /// Extras of that package. Those without packages are left out.
    pub(super) extras: Vec<ExtraName>,
    /// When it applies; empty for always.
    marker: &'l str,
}

impl Dependency<'_> {
    /// Whether the marker names extras, groups or projects.
    pub(super) fn has_items(&self) -> bool {
        uv_lock_marker::is_of_extra(self.marker)
    }

    /// Whether it applies where these names of extras, groups and projects count.
    pub(super) fn applies(
        &self,
        environment: &MarkerEnvironment,
        active: &[ExtraName],
    ) -> Result<bool, Unsure> {
        match self.marker {
            "" => Ok(true),
            marker => uv_lock_marker::holds(marker, environment, Names::Only(active)),
        }
    }
}

impl<'l> Lock<'l> {
    /// Read a document.
    pub(super) fn read(document: &'l Table) -> Result<Lock<'l>, Unsure> {
        only_keys(document, LOCK_KEYS, "the lock file")?;
        let revision = document.get("revision").map_or(Some(0), Value::as_integer);
        if document.get("version").and_then(Value::as_integer) != Some(1)
            || !revision.is_some_and(|revision| (0..=NEWEST_REVISION).contains(&revision))
        {
            return Unsure::because("the version of the lock file is not known");
        }
        let tables = tables(document, "package")?;
        let ids = Ids::new(&tables)?;
        let mut packages = Vec::new();
        for table in tables {
            packages.push(Package::read(table, &ids)?);
        }
        keep_existing_extras(&mut packages);
        let manifest = document.get("manifest").map(|value| table(value, "manifest")).transpose()?;
        let (members, root_groups) = manifest.map_or_else(|| Ok(Default::default()), read_manifest)?;
        Ok(Lock {
            packages,
            members,
            root_groups,
            conflicts: conflicts(document)?,
            has_all_extras: revision > Some(0),
            environments: list(document, "resolution-markers")?,
        })
    }

    /// Whether the lock was made for this environment, with some extras and groups. Otherwise no dependency applies.
    pub(super) fn has_environment(&self, environment: &MarkerEnvironment) -> Result<bool, Unsure> {
        let mut has = self.environments.is_empty();
        for marker in self.environments {
            has |= uv_lock_marker::holds(marker.as_str().unwrap_or_default(), environment, Names::Any)?;
        }
        Ok(has)
    }

    /// The only package of this name.
    pub(super) fn only(&self, name: &PackageName) -> Result<usize, Unsure> {
        let mut named = self.packages.iter().enumerate().filter(|(_, package)| package.name == *name);
        match (named.next(), named.next()) {
            (Some((index, _)), None) => Ok(index),
            _ => Unsure::because(format!("it does not have `{name}` exactly once")),
        }
    }
}

impl<'l> Package<'l> {
    fn read(table: &'l Table, ids: &Ids<'l>) -> Result<Package<'l>, Unsure> {
        only_keys(table, PACKAGE_KEYS, "a package")?;
        let read = |list: &'l [Value]| -> Result<Vec<Dependency<'l>>, Unsure> {
            list.iter().map(|item| dependency(item, ids)).collect()
        };
        let sections = |key: &str| -> Result<Sections<'l>, Unsure> {
            let Some(value) = table.get(key) else { return Ok(Sections::new()) };
            let entries = self::table(value, key)?.iter();
            entries.map(|(name, list)| Ok((extra_name(name)?, read(items(list, name)?)?))).collect()
        };
        let metadata = table.get("metadata").and_then(Value::as_table);
        let dev = metadata.and_then(|metadata| metadata.get("requires-dev")).and_then(Value::as_table);
        let provided = metadata.and_then(|metadata| metadata.get("provides-extras")?.as_array());
        let provided = provided.into_iter().flatten().filter_map(Value::as_str);
        Ok(Package {
            name: package_name(table)?,
            table,
            source: source(table)?,
            dependencies: read(list(table, "dependencies")?)?,
            optional: sections("optional-dependencies")?,
            groups: sections("dev-dependencies")?,
            declared_extras: provided.map(extra_name).collect::<Result<_, _>>()?,
            declared_groups: dev
                .into_iter()
                .flat_map(Table::keys)
                .map(|name| extra_name(name))
                .collect::<Result<_, _>>()?,
        })
    }
}

/// Packages by name.
struct Ids<'l>(BTreeMap<PackageName, Vec<Id<'l>>>);

/// What tells packages of one name apart.
#[derive(Debug, PartialEq)]
struct Id<'l> {
    index: usize,
    version: Option<&'l str>,
    source: &'l Table,
}

impl<'l> Ids<'l> {
    fn new(tables: &[&'l Table]) -> Result<Ids<'l>, Unsure> {
        let mut ids = Ids(BTreeMap::new());
        for (index, table) in tables.iter().copied().enumerate() {
            let id = Id { index, version: text(table, "version")?, source: source(table)? };
            let known = ids.0.entry(package_name(table)?).or_default();
            if known.iter().any(|other| other.version == id.version && other.source == id.source) {
                return Unsure::because("it has a package twice");
            }
            known.push(id);
        }
        Ok(ids)
    }

    /// The package that a dependency means. Version and source may be left out of it where there is one candidate.
    fn find(&self, table: &Table) -> Result<usize, Unsure> {
        let name = package_name(table)?;
        let (version, source) = (text(table, "version")?, table.get("source").and_then(Value::as_table));
        let known = self.0.get(&name).map(Vec::as_slice).unwrap_or_default();
        let is_alone = known.len() == 1;
        let mut found = known.iter().filter(|id| {
            (version == id.version || is_alone && version.is_none())
                && (source == Some(id.source) || is_alone && source.is_none())
        });
        match (found.next(), found.next()) {
            (Some(id), None) => Ok(id.index),
            _ => Unsure::because(format!("a dependency on `{name}` does not name one of its packages")),
        }
    }
}

fn dependency<'l>(item: &'l Value, ids: &Ids<'_>) -> Result<Dependency<'l>, Unsure> {
    let table = table(item, "a dependency")?;
    only_keys(table, DEPENDENCY_KEYS, "a dependency")?;
    let mut extras = BTreeSet::new();
    for extra in list(table, "extra")? {
        extras.insert(extra_name(extra.as_str().unwrap_or_default())?);
    }
    let marker = text(table, "marker")?.unwrap_or_default();
    Ok(Dependency { package: ids.find(table)?, extras: extras.into_iter().collect(), marker })
}

/// An extra that its package does not have asks for nothing.
fn keep_existing_extras(packages: &mut [Package<'_>]) {
    let existing: Vec<BTreeSet<ExtraName>> =
        packages.iter().map(|package| package.optional.keys().cloned().collect()).collect();
    for package in packages {
        let optional = package.optional.values_mut().chain(package.groups.values_mut()).flatten();
        for dependency in package.dependencies.iter_mut().chain(optional) {
            let existing = &existing[dependency.package];
            dependency.extras.retain(|extra| existing.contains(extra));
        }
    }
}

/// How markers name an extra (`extra`) or group (`group`) of a package. Source: markers that uv 0.5 to 0.13 write
/// with `tool.uv.conflicts`: `extra == 'extra-LENGTH-PACKAGE-EXTRA'`, the length being that of the package's name.
pub(super) fn encoded(kind: &str, package: &PackageName, name: &ExtraName) -> Result<ExtraName, Unsure> {
    extra_name(&format!("{kind}-{}-{package}-{name}", package.as_ref().len()))
}

/// The same of a whole project.
pub(super) fn encoded_project(package: &PackageName) -> Result<ExtraName, Unsure> {
    extra_name(&format!("project-{}-{package}", package.as_ref().len()))
}

fn conflicts(document: &Table) -> Result<Vec<Vec<ExtraName>>, Unsure> {
    let item = |value: &Value| {
        let value = table(value, "a conflict")?;
        let package = value.get("package").and_then(Value::as_str).unwrap_or_default();
        let package = PackageName::new(package.to_string()).map_err(|error| Unsure(error.to_string()))?;
        let name = |key: &str| value.get(key).and_then(Value::as_str);
        match (name("extra"), name("group")) {
            (Some(extra), None) => encoded("extra", &package, &extra_name(extra)?),
            (None, Some(group)) => encoded("group", &package, &extra_name(group)?),
            _ => encoded_project(&package),
        }
    };
    let set = |set: &Value| items(set, "conflicts")?.iter().map(item).collect();
    list(document, "conflicts")?.iter().map(set).collect()
}

fn read_manifest(manifest: &Table) -> Result<(Vec<PackageName>, BTreeSet<ExtraName>), Unsure> {
    if manifest.contains_key("requirements") {
        return Unsure::because("it is the lock file of a script");
    }
    let members = list(manifest, "members")?.iter().map(|name| {
        let name = name.as_str().unwrap_or_default().to_string();
        PackageName::new(name).map_err(|error| Unsure(error.to_string()))
    });
    let groups = manifest.get("dependency-groups").and_then(Value::as_table);
    let groups = groups.into_iter().flat_map(Table::keys).map(|name| extra_name(name));
    Ok((members.collect::<Result<_, _>>()?, groups.collect::<Result<_, _>>()?))
}

fn only_keys(table: &Table, known: &[&str], what: &str) -> Result<(), Unsure> {
    match table.keys().find(|key| !known.contains(&key.as_str())) {
        Some(key) => Unsure::because(format!("`{key}` of {what} is not known")),
        None => Ok(()),
    }
}

fn tables<'l>(table: &'l Table, key: &str) -> Result<Vec<&'l Table>, Unsure> {
    list(table, key)?.iter().map(|value| self::table(value, key)).collect()
}

pub(super) fn table<'l>(value: &'l Value, what: &str) -> Result<&'l Table, Unsure> {
    value.as_table().ok_or_else(|| Unsure(format!("`{what}` is not a table")))
}

/// The items of a list; none where there is no list.
pub(super) fn list<'l>(table: &'l Table, key: &str) -> Result<&'l [Value], Unsure> {
    let Some(value) = table.get(key) else { return Ok(&[]) };
    items(value, key)
}

fn items<'l>(value: &'l Value, what: &str) -> Result<&'l [Value], Unsure> {
    value.as_array().map(Vec::as_slice).ok_or_else(|| Unsure(format!("`{what}` is not a list")))
}

/// An optional text.
pub(super) fn text<'l>(table: &'l Table, key: &str) -> Result<Option<&'l str>, Unsure> {
    let Some(value) = table.get(key) else { return Ok(None) };
    value.as_str().map(Some).ok_or_else(|| Unsure(format!("`{key}` is not a text")))
}

fn source(table: &Table) -> Result<&Table, Unsure> {
    let source = table.get("source").and_then(Value::as_table);
    source.ok_or_else(|| Unsure("a package has no source".into()))
}

fn package_name(table: &Table) -> Result<PackageName, Unsure> {
    let name = text(table, "name")?.unwrap_or_default();
    PackageName::from_str(name).map_err(|error| Unsure(error.to_string()))
}

/// The name of an extra or a group, normalised.
pub(super) fn extra_name(name: &str) -> Result<ExtraName, Unsure> {
    ExtraName::from_str(name).map_err(|error| Unsure(error.to_string()))
}
