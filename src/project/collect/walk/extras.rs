//! The extras and groups that are asked for, on the command line and by requirements.

use super::super::error::{CollectError, whole};
use super::super::package::{self, Request};
use super::super::requirement::Scope;
use super::super::uv_sources::Origin;
use super::Walk;
use crate::error::Place;
use pep508_rs::ExtraName;

impl Walk<'_> {
    /// Extras and groups from the command line.
    pub(super) fn take_asked_for(&mut self) -> Result<(), CollectError> {
        let options = self.options;
        let Some(package) = self.visited[0].package.as_ref() else { return Ok(()) };
        let all: Vec<ExtraName> = package.extras.keys().cloned().collect();
        let directory = self.visited[0].directory.clone();
        let named = |name: &String| {
            ExtraName::new(name.clone())
                .map_err(|error| CollectError::invalid(whole(&directory), error.to_string()))
        };
        let mut extras = options.extras.iter().map(named).collect::<Result<Vec<_>, _>>()?;
        if let Some(missing) = extras.iter().find(|extra| !all.contains(extra)) {
            return Err(package::unknown("extra", missing, all.iter(), &directory));
        }
        if options.all_extras {
            extras.extend(all);
        }
        let mut groups = Vec::new();
        for name in &options.groups {
            let name = named(name)?;
            groups.push((package.group(&name, &directory)?, name));
        }
        self.visited[0].extras.extend(extras);
        for (lines, name) in groups {
            self.consider_raws(0, &lines, Origin::Group(&name))?;
        }
        Ok(())
    }

    /// Further extras of a directory that is known already.
    pub(super) fn take_extras(
        &mut self,
        index: usize,
        extras: &[ExtraName],
        asked_by: Option<&Place>,
    ) -> Result<(), CollectError> {
        for extra in extras {
            let is_new = self.visited[index].extras.insert(extra.clone());
            if is_new && self.visited[index].package.is_some() {
                self.load_dynamic_extras(index, asked_by)?;
                self.take_extra(index, extra, asked_by)?;
            }
        }
        Ok(())
    }

    /// Extras that only the build backend knows were not asked of it before.
    pub(super) fn load_dynamic_extras(
        &mut self,
        index: usize,
        asked_by: Option<&Place>,
    ) -> Result<(), CollectError> {
        let visited = &self.visited[index];
        let is_missing = visited.package.as_ref().is_some_and(|package| package.extras.is_empty());
        if !is_missing {
            return Ok(());
        }
        let scope = Scope::at(&visited.directory, &self.environment);
        let is_static = self.is_static;
        let (target, workspaces) = (&self.options.target, &self.options.workspaces);
        let request = Request { target, workspaces, asked_by, with_extras: true, is_static };
        let read = package::read(scope, request, self.tools, self.host)?;
        if let Some(package) = self.visited[index].package.as_mut() {
            package.extras = read.extras;
        }
        Ok(())
    }

    pub(super) fn take_extra(
        &mut self,
        index: usize,
        extra: &ExtraName,
        asked_by: Option<&Place>,
    ) -> Result<(), CollectError> {
        let visited = &self.visited[index];
        let lines = visited.package.as_ref().and_then(|package| package.extras.get(extra)).cloned();
        match lines {
            Some(lines) => self.consider_raws(index, &lines, Origin::Extra(extra)),
            None => {
                // As pip and uv do: a warning, no error.
                let name = visited.package.as_ref().and_then(|package| package.name.as_ref());
                let name = name.map_or_else(|| visited.directory.display().to_string(), ToString::to_string);
                let message = format!("`{name}` has no extra `{extra}`");
                if !self.found.warnings.iter().any(|known| known.message == message) {
                    self.warn(message, asked_by.cloned());
                }
                Ok(())
            }
        }
    }
}
