//! A poetry.lock as a pylock.toml for one target: what the lines that are asked for need, with the names and digests of
//! its files. The lock has no URLs; a file is looked for on an index when it is downloaded.
//!
//! Without markers: packages that the target does not need are left out. What is not known well enough is [`Unsure`],
//! and uv resolves with the pins of the lock. Source: lock files written by Poetry 1.1 to 2.2, and
//! `poetry-plugin-export`, with which `poetry_lock_oracle` compares.

use super::poetry_constraint;
use super::uv_lock_marker::{self, Names, Unsure};
use crate::cache::is_sha256;
use crate::simple_index::ON_INDEX;
use pep440_rs::{Version, VersionSpecifiers};
use pep508_rs::{ExtraName, MarkerEnvironment, PackageName};
use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;
use toml::{Table, Value};

/// What is asked for, and where.
pub(super) struct Asked<'a> {
    /// Names with extras: lines that the lock meets.
    pub(super) lines: Vec<(PackageName, Vec<ExtraName>)>,
    /// Packages that the project itself has; what they need is asked for by other lines.
    pub(super) local: BTreeSet<PackageName>,
    /// The environment of the target.
    pub(super) environment: &'a MarkerEnvironment,
    /// The index of packages for which the lock names none; empty for the default of the machine.
    pub(super) index: &'a str,
}

/// What `document` pins for these lines.
///
/// # Errors
/// Why uv has to resolve.
pub(super) fn export(document: &Table, asked: &Asked<'_>) -> Result<Table, Unsure> {
    let mut lock = Lock::read(document, asked)?;
    let mut pending: Vec<_> = asked.lines.iter().map(|(name, extras)| Need::new(name, extras)).collect();
    while let Some(need) = pending.pop() {
        pending.extend(lock.take(&need)?);
    }
    let mut packages = Vec::new();
    for (name, (index, _)) in &lock.taken {
        packages.push(Value::Table(lock.write(name, &lock.packages[*index])?));
    }
    let mut written = Table::new();
    written.insert("lock-version".into(), "1.0".into());
    written.insert("created-by".into(), "poetry".into());
    written.insert("packages".into(), Value::Array(packages));
    Ok(written)
}

/// A package that is needed, with extras, in a version that this allows.
struct Need {
    name: PackageName,
    extras: Vec<ExtraName>,
    versions: Option<VersionSpecifiers>,
}

impl Need {
    fn new(name: &PackageName, extras: &[ExtraName]) -> Need {
        Need { name: name.clone(), extras: extras.to_vec(), versions: None }
    }
}

struct Lock<'l> {
    packages: Vec<Package<'l>>,
    /// `[metadata.files]` of older locks.
    files: Option<&'l Table>,
    asked: &'l Asked<'l>,
    /// Index in `packages` of what is needed, and the extras that it is needed with.
    taken: BTreeMap<PackageName, (usize, BTreeSet<ExtraName>)>,
}

struct Package<'l> {
    name: PackageName,
    version: Version,
    table: &'l Table,
}

impl<'l> Lock<'l> {
    fn read(document: &'l Table, asked: &'l Asked<'l>) -> Result<Lock<'l>, Unsure> {
        let metadata = document.get("metadata").and_then(Value::as_table);
        let version =
            metadata.and_then(|metadata| metadata.get("lock-version")?.as_str()).unwrap_or_default();
        if !["1.0", "1.1", "2.0", "2.1"].contains(&version) {
            return Unsure::because(format!("its lock-version is `{version}`"));
        }
        let packages = document.get("package").and_then(Value::as_array).into_iter().flatten();
        let read = |package: &'l Value| {
            let table = package.as_table().ok_or_else(|| Unsure("a package is not a table".into()))?;
            let name =
                PackageName::from_str(text(table, "name")?).map_err(|error| Unsure(error.to_string()))?;
            let version =
                Version::from_str(text(table, "version")?).map_err(|error| Unsure(error.to_string()))?;
            Ok(Package { name, version, table })
        };
        Ok(Lock {
            packages: packages.map(read).collect::<Result<_, _>>()?,
            files: metadata.and_then(|metadata| metadata.get("files")?.as_table()),
            asked,
            taken: BTreeMap::new(),
        })
    }

    /// Take a package, and say what it needs itself.
    fn take(&mut self, need: &Need) -> Result<Vec<Need>, Unsure> {
        let Need { name, extras, .. } = need;
        if self.asked.local.contains(name) {
            return Ok(Vec::new());
        }
        let index = self.choose(need)?;
        let (known, active) = match self.taken.get(name) {
            Some((known, active)) => (Some(*known), active.clone()),
            None => (None, BTreeSet::new()),
        };
        if known.is_some_and(|known| known != index) {
            return Unsure::because(format!("`{name}` is needed in two versions"));
        }
        let more: BTreeSet<ExtraName> = active.iter().chain(extras).cloned().collect();
        if known.is_some() && more == active {
            return Ok(Vec::new());
        }
        let package = &self.packages[index];
        let needs = self.needs(package, &more)?;
        self.taken.insert(name.clone(), (index, more));
        Ok(needs)
    }

    /// The only package of this name for the target.
    fn choose(&self, need: &Need) -> Result<usize, Unsure> {
        let of_name: Vec<usize> =
            (0..self.packages.len()).filter(|index| self.packages[*index].name == need.name).collect();
        let fits = |index: &&usize| {
            let package = &self.packages[**index];
            need.versions.as_ref().is_none_or(|versions| versions.contains(&package.version))
        };
        let candidates: Vec<usize> = match of_name.as_slice() {
            [only] => vec![*only],
            _ => of_name.iter().filter(fits).copied().collect(),
        };
        let mut found = Vec::new();
        for index in candidates {
            if self.is_for_target(&self.packages[index])? {
                found.push(index);
            }
        }
        match found.as_slice() {
            [only] => Ok(*only),
            [] => Unsure::because(format!("it does not have `{}` for this target", need.name)),
            _ => Unsure::because(format!("it has several versions of `{}` for this target", need.name)),
        }
    }

    /// Whether the markers of a package (since Poetry 2.0; a text, or one by group) hold for any group and extra.
    fn is_for_target(&self, package: &Package<'_>) -> Result<bool, Unsure> {
        let holds = |marker: &Value| {
            let marker = marker.as_str().ok_or_else(|| Unsure("a marker is not a text".into()))?;
            uv_lock_marker::holds(marker, self.asked.environment, Names::Any)
        };
        match package.table.get("markers") {
            None => Ok(true),
            Some(Value::Table(by_group)) => {
                for marker in by_group.values() {
                    if holds(marker)? {
                        return Ok(true);
                    }
                }
                // A group without an entry has no marker.
                let groups = package.table.get("groups").and_then(Value::as_array).into_iter().flatten();
                let mut named = groups.filter_map(Value::as_str);
                Ok(named.any(|group| !by_group.contains_key(group)))
            }
            Some(marker) => holds(marker),
        }
    }

    /// What a package with these extras needs on the target.
    fn needs(&self, package: &Package<'_>, extras: &BTreeSet<ExtraName>) -> Result<Vec<Need>, Unsure> {
        let Extras { optional, own } = self.extras(package, extras)?;
        let mut needs = Vec::new();
        if !own.is_subset(extras) {
            let all: Vec<_> = own.union(extras).cloned().collect();
            needs.push(Need { name: package.name.clone(), extras: all, versions: None });
        }
        let mut met = BTreeSet::new();
        let active: Vec<ExtraName> = extras.iter().cloned().collect();
        let table = package.table.get("dependencies").and_then(Value::as_table).into_iter().flatten();
        for (name, value) in table {
            let name = PackageName::from_str(name).map_err(|error| Unsure(error.to_string()))?;
            let alternatives = match value {
                Value::Array(list) => list.iter().collect(),
                value => vec![value],
            };
            for alternative in alternatives {
                let edge = Edge::read(alternative)?;
                let is_asked = !edge.is_optional || optional.contains(&name);
                if is_asked && edge.holds(self.asked.environment, &active)? {
                    met.insert(name.clone());
                    needs.push(Need { name: name.clone(), extras: edge.extras, versions: edge.versions });
                }
            }
            // Without a marker that holds, it is not needed on the target.
            met.insert(name);
        }
        match optional.iter().find(|name| !met.contains(*name)) {
            None => Ok(needs),
            Some(missing) => Unsure::because(format!(
                "an extra of `{}` needs `{missing}`, which is not locked",
                package.name
            )),
        }
    }

    /// What the extras of a package stand for: `[package.extras]` has lists of requirements.
    fn extras(&self, package: &Package<'_>, extras: &BTreeSet<ExtraName>) -> Result<Extras, Unsure> {
        let mut found = Extras::default();
        let declared = package.table.get("extras").and_then(Value::as_table).into_iter().flatten();
        for (extra, list) in declared {
            let extra = ExtraName::from_str(extra).map_err(|error| Unsure(error.to_string()))?;
            if !extras.contains(&extra) {
                continue;
            }
            for item in list.as_array().into_iter().flatten().filter_map(Value::as_str) {
                let (what, marker) = item.split_once(';').unwrap_or((item, ""));
                let names = Names::Only(std::slice::from_ref(&extra));
                if !marker.trim().is_empty()
                    && !uv_lock_marker::holds(marker.trim(), self.asked.environment, names)?
                {
                    continue;
                }
                let (name, own) = name_and_extras(what)?;
                match name == package.name {
                    true => found.own.extend(own),
                    false => drop(found.optional.insert(name)),
                }
            }
        }
        Ok(found)
    }

    /// A package as a pylock.toml has it.
    fn write(&self, name: &PackageName, package: &Package<'_>) -> Result<Table, Unsure> {
        let mut written = Table::new();
        written.insert("name".into(), name.to_string().into());
        written.insert("version".into(), package.version.to_string().into());
        let python = package.table.get("python-versions").and_then(Value::as_str).unwrap_or_default();
        if let Ok(python) = VersionSpecifiers::from_str(python) {
            written.insert("requires-python".into(), python.to_string().into());
        }
        let source = package.table.get("source").and_then(Value::as_table);
        let index = match source {
            None => self.asked.index,
            Some(source) if text(source, "type")? == "legacy" => text(source, "url")?,
            Some(source) => {
                return Unsure::because(format!("`{name}` is of the type `{}`", text(source, "type")?));
            }
        };
        let (mut wheels, mut sdist) = (Vec::new(), None);
        for file in self.files(package)? {
            let file = file.as_table().ok_or_else(|| Unsure("a file is not a table".into()))?;
            let (file_name, digest) = (text(file, "file")?, text(file, "hash")?);
            let Some(digest) = digest.strip_prefix("sha256:").filter(|digest| is_sha256(digest)) else {
                return Unsure::because(format!("`{file_name}` has no SHA-256"));
            };
            let mut hashes = Table::new();
            hashes.insert("sha256".into(), digest.into());
            let mut entry = Table::new();
            entry.insert("name".into(), file_name.into());
            entry.insert("url".into(), format!("{ON_INDEX}{index}").into());
            entry.insert("hashes".into(), hashes.into());
            if file_name.ends_with(".whl") {
                wheels.push(Value::Table(entry));
            } else if file_name.ends_with(".tar.gz") || (file_name.ends_with(".zip") && sdist.is_none()) {
                sdist = Some(entry);
            }
        }
        if wheels.is_empty() && sdist.is_none() {
            return Unsure::because(format!("`{name}` has no files"));
        }
        written.extend(sdist.map(|sdist| ("sdist".to_string(), Value::Table(sdist))));
        written.insert("wheels".into(), Value::Array(wheels));
        Ok(written)
    }

    fn files(&self, package: &Package<'l>) -> Result<&'l [Value], Unsure> {
        let own = package.table.get("files");
        let listed = || self.files?.get(text(package.table, "name").ok()?);
        let files = own.or_else(listed).and_then(Value::as_array);
        files.map(Vec::as_slice).ok_or_else(|| Unsure(format!("`{}` has no files", package.name)))
    }
}

/// What extras stand for.
#[derive(Default)]
struct Extras {
    /// Dependencies that are optional otherwise.
    optional: BTreeSet<PackageName>,
    /// Further extras of the package itself.
    own: BTreeSet<ExtraName>,
}

/// A dependency: a constraint, or a table with it.
#[derive(Default)]
struct Edge<'l> {
    versions: Option<VersionSpecifiers>,
    marker: Option<&'l str>,
    extras: Vec<ExtraName>,
    is_optional: bool,
}

impl<'l> Edge<'l> {
    fn read(value: &'l Value) -> Result<Edge<'l>, Unsure> {
        let table = match value {
            Value::String(constraint) => {
                return Ok(Edge { versions: versions(constraint)?, ..Edge::default() });
            }
            Value::Table(table) => table,
            _ => return Unsure::because("a dependency is neither a text nor a table"),
        };
        let extras = table.get("extras").and_then(Value::as_array).into_iter().flatten();
        let extras = extras.filter_map(Value::as_str).map(ExtraName::from_str);
        let constraint = table.get("version").and_then(Value::as_str);
        Ok(Edge {
            versions: constraint.map(versions).transpose()?.flatten(),
            marker: table.get("markers").and_then(Value::as_str),
            extras: extras.collect::<Result<_, _>>().map_err(|error| Unsure(error.to_string()))?,
            is_optional: table.get("optional").and_then(Value::as_bool).unwrap_or_default(),
        })
    }

    fn holds(&self, environment: &MarkerEnvironment, extras: &[ExtraName]) -> Result<bool, Unsure> {
        self.marker.map_or(Ok(true), |marker| uv_lock_marker::holds(marker, environment, Names::Only(extras)))
    }
}

/// A constraint of Poetry's; `None` for any version, and where PEP 440 cannot say it.
fn versions(constraint: &str) -> Result<Option<VersionSpecifiers>, Unsure> {
    let converted = poetry_constraint::specifiers(constraint).map_err(Unsure)?;
    if converted.narrowed || converted.specifiers.is_empty() {
        return Ok(None);
    }
    VersionSpecifiers::from_str(&converted.specifiers).map(Some).map_err(|error| Unsure(error.to_string()))
}

/// Name and extras at the start of `name[extra] (>=1)`.
fn name_and_extras(text: &str) -> Result<(PackageName, Vec<ExtraName>), Unsure> {
    let text = text.trim();
    let end =
        text.find(|char: char| !char.is_ascii_alphanumeric() && !"-_.".contains(char)).unwrap_or(text.len());
    let name = PackageName::from_str(&text[..end]).map_err(|error| Unsure(error.to_string()))?;
    let listed = text[end..].trim_start().strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let extras =
        listed.map_or("", |(extras, _)| extras).split(',').map(str::trim).filter(|it| !it.is_empty());
    let extras = extras.map(ExtraName::from_str).collect::<Result<_, _>>();
    Ok((name, extras.map_err(|error| Unsure(error.to_string()))?))
}

fn text<'l>(table: &'l Table, key: &str) -> Result<&'l str, Unsure> {
    table.get(key).and_then(Value::as_str).ok_or_else(|| Unsure(format!("a table has no `{key}`")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::{PythonVersion, Target};

    /// A lock with these packages: name, version, and further lines.
    fn lock(packages: &[(&str, &str, &str)]) -> Table {
        let mut text = String::new();
        for (name, version, more) in packages {
            let digest = "ab".repeat(32);
            text += &format!(
                "[[package]]\nname = '{name}'\nversion = '{version}'\nfiles = [{{ file = '{name}-{version}-py3-none-any.whl', hash = 'sha256:{digest}' }}]\n{more}\n"
            );
        }
        format!("{text}[metadata]\nlock-version = '2.1'\n").parse().unwrap()
    }

    /// Names and versions for a line, or why uv has to resolve.
    fn read(lock: &Table, name: &str, extras: &[&str]) -> Result<String, String> {
        let extras = extras.iter().map(|extra| ExtraName::from_str(extra).unwrap()).collect();
        let environment = Target::serverless("3.11".parse::<PythonVersion>().unwrap()).marker_environment();
        let asked = Asked {
            lines: vec![(PackageName::from_str(name).unwrap(), extras)],
            local: BTreeSet::from([PackageName::from_str("own").unwrap()]),
            environment: &environment,
            index: "https://h.example/simple",
        };
        let exported = export(lock, &asked).map_err(|Unsure(reason)| reason)?;
        let shown = |package: &Value| {
            format!("{} {}", package["name"].as_str().unwrap(), package["version"].as_str().unwrap())
        };
        Ok(exported["packages"].as_array().unwrap().iter().map(shown).collect::<Vec<_>>().join(", "))
    }

    #[test]
    fn only_what_is_needed_on_the_target_is_there() {
        let with = |dependencies: &str| format!("[package.dependencies]\n{dependencies}");
        let all = |edges: &str, more: &[(&str, &str, &str)]| lock(&[&[("a", "1", edges)], more].concat());
        let b = ("b", "2", "");
        for (edges, more, extras, want) in [
            (with("b = '>=1'"), &[b][..], &[][..], "a 1, b 2"),
            (with("b = { version = '*', markers = \"python_version < '3.9'\" }"), &[b], &[], "a 1"),
            (with("own = '*'"), &[], &[], "a 1"),
            (
                with(
                    "b = { version = '*', optional = true, markers = \"extra == 'x'\" }\n[package.extras]\nx = ['B (>=1)']",
                ),
                &[b],
                &["x"],
                "a 1, b 2",
            ),
            (with("b = { version = '*', optional = true }\n[package.extras]\nx = ['b']"), &[b], &[], "a 1"),
            (
                with("b = { version = '*', optional = true }\n[package.extras]\nx = ['b']\nall = ['a[x]']"),
                &[b],
                &["all"],
                "a 1, b 2",
            ),
            (
                with(
                    "b = [{ version = '<2', markers = \"python_version < '3.10'\" }, { version = '>=2', markers = \"python_version >= '3.10'\" }]",
                ),
                &[("b", "1", ""), b],
                &[],
                "a 1, b 2",
            ),
            (with("b = '*'"), &[("b", "1", "markers = \"python_version < '3.10'\""), b], &[], "a 1, b 2"),
        ] {
            assert_eq!(read(&all(&edges, more), "a", extras).as_deref(), Ok(want), "{edges}");
        }
    }

    #[test]
    fn what_is_not_certain_is_left_to_uv() {
        for (packages, extras, want) in [
            (
                &[("a", "1", "[package.dependencies]\nb = '*'")][..],
                &[][..],
                "it does not have `b` for this target",
            ),
            (&[("a", "1", ""), ("a", "2", "")], &[], "it has several versions of `a` for this target"),
            (
                &[("a", "1", "[package.extras]\nx = ['b']")],
                &["x"],
                "an extra of `a` needs `b`, which is not locked",
            ),
            (&[("a", "1", "[package.source]\ntype = 'git'\nurl = 'x'")], &[], "`a` is of the type `git`"),
            (
                &[("a", "1", "markers = 'what'")],
                &[],
                "`what`: Expected a quoted string or a valid marker name, found `what`",
            ),
        ] {
            let said = read(&lock(packages), "a", extras).unwrap_err();
            assert_eq!(said, want);
        }
        let mut old = lock(&[("a", "1", "")]);
        old["metadata"]["lock-version"] = "3.0".into();
        assert_eq!(read(&old, "a", &[]).unwrap_err(), "its lock-version is `3.0`");
        let text = lock(&[("a", "1", "")]).to_string().replace("sha256:", "md5:");
        assert_eq!(
            read(&text.parse().unwrap(), "a", &[]).unwrap_err(),
            "`a-1-py3-none-any.whl` has no SHA-256"
        );
    }
}
