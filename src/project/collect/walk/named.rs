//! A requirement by name: the project itself, something with a `tool.uv.sources` entry, a workspace member, or a line
//! for the resolver.

use super::super::error::CollectError;
use super::super::requirement::{self, ParsedRequirement, Scope, What};
use super::super::uv_settings::{self, Declared};
use super::super::uv_sources::{From, Origin, Source};
use super::super::uv_workspace::Workspace;
use super::Walk;
use crate::error::Place;
use std::path::{Path, PathBuf};

impl Walk<'_> {
    /// A name with a version: the project itself, one with a source, a workspace member, or a line for the resolver.
    pub(super) fn consider_named(
        &mut self,
        index: usize,
        asked: ParsedRequirement,
        origin: Origin<'_>,
    ) -> Result<(), CollectError> {
        let (Some(name), Some(package)) = (asked.name.clone(), self.visited[index].package.as_ref()) else {
            self.add_line(asked, origin);
            return Ok(());
        };
        if package.name.as_ref() == Some(&name) {
            let directory = self.visited[index].directory.clone();
            return self.visit(&directory, &asked.extras, Some(&asked.place), false);
        }
        let directory = self.visited[index].directory.clone();
        let environment = self.environment.clone();
        let scope = Scope::at(&directory, &environment);
        let source = package.sources.source_for(&name, origin, scope)?.cloned();
        let workspace = package.workspace.clone();
        if let Some(source) = source.filter(|_| !self.no_sources.covers(&name)) {
            return self.follow(source, asked, origin, workspace.as_deref());
        }
        if let Some(member) = workspace.and_then(|workspace| workspace.members.get(&name).cloned()) {
            if asked.applies(&environment) {
                self.warn(
                    format!("`{name}` is a member of the workspace and is taken from there, although tool.uv.sources does not declare it"),
                    Some(asked.place.clone()),
                );
                return self.visit(&member, &asked.extras, Some(&asked.place), false);
            }
            return Ok(());
        }
        self.add_line(asked, origin);
        Ok(())
    }

    /// Take a requirement from its `tool.uv.sources` entry.
    fn follow(
        &mut self,
        source: Source,
        asked: ParsedRequirement,
        origin: Origin<'_>,
        workspace: Option<&Workspace>,
    ) -> Result<(), CollectError> {
        let name = asked.name.clone().map(|name| name.to_string()).unwrap_or_default();
        match source.from {
            From::Path { .. } | From::Workspace if !asked.applies(&self.environment) => Ok(()),
            From::Path { path, written, package } => {
                let local = requirement::local(
                    &written,
                    &path,
                    asked.name.clone(),
                    asked.extras.clone(),
                    &source.place,
                )?;
                match local.what {
                    What::Distribution(path) => self.add_distribution(path, &asked),
                    _ => self.visit(&path, &asked.extras, Some(&source.place), package == Some(false))?,
                }
                Ok(())
            }
            From::Workspace => {
                let member = member(&asked, workspace, &source.place)?;
                self.visit(&member, &asked.extras, Some(&source.place), false)
            }
            From::Link(link) => {
                self.add_line(asked.linked(link), origin);
                Ok(())
            }
            From::Index(index) => {
                self.pin(&name, &index, &source.place, workspace)?;
                self.add_line(asked, origin);
                Ok(())
            }
        }
    }

    /// A package has to come from the index of that name, which the same file or the workspace root declares.
    fn pin(
        &mut self,
        package: &str,
        index: &str,
        place: &Place,
        workspace: Option<&Workspace>,
    ) -> Result<(), CollectError> {
        if self.found.settings.index(index).is_none() {
            let own = uv_settings::indexes_of(place.file.parent().unwrap_or(Path::new(".")))?;
            let root = workspace.map(|workspace| uv_settings::indexes_of(&workspace.root)).transpose()?;
            let mut declared = own.into_iter().chain(root.unwrap_or_default());
            match declared.find(|declared| declared.name() == Some(index)) {
                Some(Declared::Default(found) | Declared::Other(found)) => {
                    self.found.settings.add_index(crate::project::Index { explicit: true, ..found });
                }
                // Files of a directory or page cannot be kept for one package; they are looked at for all.
                Some(Declared::Flat { link, .. }) => {
                    let links = &mut self.found.settings.find_links;
                    if !links.contains(&link) {
                        links.push(link);
                    }
                    return Ok(());
                }
                None => {
                    return Err(CollectError::invalid_with(
                        place.clone(),
                        format!("`{package}` should come from the index `{index}`, which is not declared"),
                        format!("add [[tool.uv.index]] with name = \"{index}\" and its url"),
                    ));
                }
            }
        }
        let known = self.found.settings.index_pins.insert(package.to_string(), index.to_string());
        if let Some(known) = known.filter(|known| known != index) {
            self.warn(
                format!("`{package}` is pinned to the index `{known}` and to `{index}`; the latter is used"),
                Some(place.clone()),
            );
        }
        Ok(())
    }
}

/// The directory of the workspace member that a requirement names.
fn member(
    asked: &ParsedRequirement,
    workspace: Option<&Workspace>,
    place: &Place,
) -> Result<PathBuf, CollectError> {
    let name = asked.name.as_ref().map(ToString::to_string).unwrap_or_default();
    let Some(workspace) = workspace else {
        return Err(CollectError::invalid_with(
            place.clone(),
            format!("`{name}` should come from a workspace, but the project is not in one"),
            "add [tool.uv.workspace] with members to the pyproject.toml of the root, or name a path",
        ));
    };
    let found = asked.name.as_ref().and_then(|name| workspace.members.get(name));
    found.cloned().ok_or_else(|| {
        let known: Vec<String> = workspace.members.keys().map(ToString::to_string).collect();
        CollectError::invalid_with(
            place.clone(),
            format!("the workspace in `{}` has no member `{name}`", workspace.root.display()),
            format!("its members are {}; see tool.uv.workspace.members", known.join(", ")),
        )
    })
}
