//! `[tool.uv.sources]`: where uv takes a dependency from, instead of an index.
//!
//! Source: uv's documentation, "Managing dependencies", section on dependency sources: a source may be limited by a
//! marker, an extra or a group; the workspace root's sources hold for members that do not name the package
//! themselves; paths are relative to the file.

use super::error::CollectError;
use super::requirement::Scope;
use super::requirement::git_url;
use super::toml_file::Node;
use crate::error::Place;
use crate::paths::resolved;
use pep508_rs::{ExtraName, PackageName};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Sources by package name.
#[derive(Debug, Clone, Default)]
pub(super) struct Sources {
    entries: BTreeMap<PackageName, Vec<Source>>,
    /// Those of the workspace root, for packages that are not in these.
    root: Option<Arc<Sources>>,
}

/// One source.
#[derive(Debug, Clone)]
pub(super) struct Source {
    /// Where from.
    pub(super) from: From,
    /// Where it is written.
    pub(super) place: Place,
    marker: Option<String>,
    extra: Option<ExtraName>,
    group: Option<ExtraName>,
}

/// Where a dependency is taken from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum From {
    /// A directory, wheel or sdist; absolute. `package = false`: only its dependencies.
    Path {
        /// Where.
        path: PathBuf,
        /// As written.
        written: String,
        /// `package`.
        package: Option<bool>,
    },
    /// A member of the workspace.
    Workspace,
    /// A URL as a direct reference has it.
    Link(String),
    /// An index of that name.
    Index(String),
}

/// Which list a requirement is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin<'o> {
    /// A requirements file.
    Listed,
    /// The project's own dependencies.
    Main,
    /// An extra's.
    Extra(&'o ExtraName),
    /// A dependency group's.
    Group(&'o ExtraName),
}

impl Sources {
    /// Read the table.
    pub(super) fn read(table: &Node<'_>) -> Result<Sources, CollectError> {
        let mut entries = BTreeMap::new();
        for (name, value) in table.table()? {
            let name = PackageName::new(name.to_string()).map_err(|error| value.invalid(error))?;
            let values = value.as_list().unwrap_or_else(|| vec![value.clone()]);
            let sources = values.iter().map(Source::read).collect::<Result<_, _>>()?;
            entries.insert(name, sources);
        }
        Ok(Sources { entries, root: None })
    }

    /// These, and those of the workspace root for packages that are not in these.
    pub(super) fn inherit(&mut self, root: &Arc<Sources>) {
        self.root = Some(Arc::clone(root));
    }

    /// The source that applies to a requirement of that name on the target.
    pub(super) fn source_for(
        &self,
        name: &PackageName,
        origin: Origin<'_>,
        scope: Scope<'_>,
    ) -> Result<Option<&Source>, CollectError> {
        let entry = self.entries.get(name).or_else(|| self.root.as_ref()?.entries.get(name));
        for source in entry.into_iter().flatten() {
            let in_extra = source.extra.as_ref().is_none_or(|extra| origin == Origin::Extra(extra));
            let in_group = source.group.as_ref().is_none_or(|group| origin == Origin::Group(group));
            if in_extra
                && in_group
                && super::requirement::holds(source.marker.as_deref(), scope, &source.place)?
            {
                return Ok(Some(source));
            }
        }
        Ok(None)
    }
}

impl Source {
    fn read(node: &Node<'_>) -> Result<Source, CollectError> {
        if !node.is_table() {
            return Err(node.expected("a table such as `{ path = \"…\" }` or `{ workspace = true }`"));
        }
        let text = |key: &str| node.get(key).map(|value| value.string().map(str::to_string)).transpose();
        let name = |key: &str| -> Result<Option<ExtraName>, CollectError> {
            let Some(value) = node.get(key) else { return Ok(None) };
            ExtraName::new(value.string()?.to_string()).map(Some).map_err(|error| value.invalid(error))
        };
        Ok(Source {
            from: From::read(node)?,
            place: node.place(),
            marker: text("marker")?,
            extra: name("extra")?,
            group: name("group")?,
        })
    }
}

impl From {
    fn read(node: &Node<'_>) -> Result<From, CollectError> {
        let text = |key: &str| node.get(key).map(|value| value.string()).transpose();
        if let Some(path) = text("path")? {
            let base = node.file().parent().unwrap_or(Path::new("."));
            return Ok(From::Path {
                path: resolved(base, path),
                written: path.to_string(),
                package: node.get("package").and_then(|package| package.as_bool()),
            });
        }
        if let Some(workspace) = node.get("workspace") {
            return match workspace.as_bool() {
                Some(true) => Ok(From::Workspace),
                _ => Err(workspace.expected("`true`")),
            };
        }
        if let Some(index) = text("index")? {
            return Ok(From::Index(index.to_string()));
        }
        let subdirectory = text("subdirectory")?.map(|at| format!("#subdirectory={at}")).unwrap_or_default();
        if let Some(git) = text("git")? {
            let reference = ["rev", "tag", "branch"].into_iter().find_map(|key| node.get(key));
            let reference =
                reference.map(|value| value.string().map(|text| format!("@{text}"))).transpose()?;
            let lfs = node.get("lfs").and_then(|lfs| lfs.as_bool()) == Some(true);
            let lfs = match (lfs, subdirectory.is_empty()) {
                (false, _) => "",
                (true, true) => "#lfs=true",
                (true, false) => "&lfs=true",
            };
            let url = git_url(git);
            return Ok(From::Link(format!("{url}{}{subdirectory}{lfs}", reference.unwrap_or_default())));
        }
        if let Some(url) = text("url")? {
            return Ok(From::Link(format!("{url}{subdirectory}")));
        }
        Err(node.invalid("has none of path, workspace, git, url and index"))
    }
}
