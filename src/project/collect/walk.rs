//! From the build directory through its local packages: each directory once, cycles included.

mod extras;
mod finish;
mod lock;
mod named;

use super::environment;
use super::error::{CollectError, whole};
use super::foreseen::Foreseen;
use super::package::{self, Package, Request};
use super::pyproject::Raw;
use super::requirement::{self, ParsedRequirement, Scope, What};
use super::requirements_txt;
use super::uv_settings::{self, IgnoredSources};
use super::uv_sources::Origin;
use crate::error::Place;
use crate::host::Host;
use crate::project::{CollectOptions, LocalDistribution, RequirementLine, Requirements, Warning};
use crate::tools::Tools;
use pep508_rs::{ExtraName, MarkerEnvironment, PackageName};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// A directory that is part of the build.
struct Visited {
    directory: PathBuf,
    identity: PathBuf,
    asked_by: Option<Place>,
    /// Only its dependencies count (`package = false` of a source).
    is_virtual: bool,
    extras: BTreeSet<ExtraName>,
    package: Option<Package>,
}

/// A line for the resolver.
#[derive(Debug)]
pub(super) struct Line {
    /// The first that was read.
    pub(super) asked: ParsedRequirement,
    /// Where it is written, that place included.
    pub(super) places: Vec<Place>,
    /// Whether only requirements files ask for it, and no pyproject.toml or setup.py.
    pub(super) only_listed: bool,
}

impl Line {
    /// `pyproject.toml:7`, without its directory.
    pub(super) fn shown_place(&self) -> String {
        let Place { file, line, .. } = &self.asked.place;
        let file = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        line.map_or_else(|| file.clone(), |line| format!("{file}:{line}"))
    }

    /// For the resolver.
    pub(super) fn requirement(&self) -> RequirementLine {
        RequirementLine {
            text: self.asked.text.clone(),
            name: self.asked.name.as_ref().map(ToString::to_string),
            is_link: matches!(self.asked.what, What::Link(_)),
            places: self.places.clone(),
        }
    }
}

struct Walk<'a> {
    options: &'a CollectOptions,
    tools: &'a Tools,
    host: &'a Host,
    /// Whether nothing may be run or fetched.
    is_static: bool,
    environment: MarkerEnvironment,
    visited: Vec<Visited>,
    pending: Vec<usize>,
    /// By [`ParsedRequirement::text`].
    lines: BTreeMap<String, Line>,
    /// Packages whose `tool.uv.sources` do not count.
    no_sources: IgnoredSources,
    found: Requirements,
}

/// Walk from `directory` (absolute).
pub(super) fn walk(
    directory: &Path,
    options: &CollectOptions,
    tools: &Tools,
    host: &Host,
) -> Result<Requirements, CollectError> {
    let mut walk = Walk::new(options, tools, host, false);
    walk.visit(directory, &[], None, false)?;
    walk.settle()?;
    walk.lock()?;
    Ok(walk.finish())
}

/// Walk as far as files alone lead: nothing is run or fetched.
pub(super) fn walk_statically(
    directory: &Path,
    options: &CollectOptions,
    tools: &Tools,
    host: &Host,
) -> Result<Foreseen, CollectError> {
    let mut walk = Walk::new(options, tools, host, true);
    walk.visit(directory, &[], None, false)?;
    walk.settle()?;
    let lock = walk.foresee_lock()?;
    let is_partial = |visited: &Visited| visited.package.as_ref().is_none_or(|package| package.is_partial);
    let is_whole = !walk.visited.iter().any(is_partial);
    Ok(Foreseen { is_whole, lock, requirements: walk.finish() })
}

impl<'a> Walk<'a> {
    fn new(options: &'a CollectOptions, tools: &'a Tools, host: &'a Host, is_static: bool) -> Walk<'a> {
        Walk {
            options,
            tools,
            host,
            is_static,
            environment: options.target.marker_environment(),
            visited: Vec::new(),
            pending: Vec::new(),
            lines: BTreeMap::new(),
            no_sources: IgnoredSources::default(),
            found: Requirements::default(),
        }
    }
}

impl Walk<'_> {
    /// Read all that is pending, and all that follows from it.
    fn settle(&mut self) -> Result<(), CollectError> {
        self.run()?;
        while self.take_local_names()? {
            self.run()?;
        }
        Ok(())
    }

    fn run(&mut self) -> Result<(), CollectError> {
        // The last named directory first, as the predecessor does.
        while let Some(index) = self.pending.pop() {
            self.read(index)?;
        }
        Ok(())
    }

    /// A directory is asked for, with extras.
    fn visit(
        &mut self,
        directory: &Path,
        extras: &[ExtraName],
        asked_by: Option<&Place>,
        is_virtual: bool,
    ) -> Result<(), CollectError> {
        let identity = directory.canonicalize().map_err(CollectError::read(directory))?;
        if let Some(index) = self.visited.iter().position(|known| known.identity == identity) {
            return self.take_extras(index, extras, asked_by);
        }
        self.pending.push(self.visited.len());
        self.visited.push(Visited {
            directory: directory.to_path_buf(),
            identity,
            asked_by: asked_by.cloned(),
            is_virtual,
            extras: extras.iter().cloned().collect(),
            package: None,
        });
        Ok(())
    }

    fn read(&mut self, index: usize) -> Result<(), CollectError> {
        let is_root = index == 0;
        let visited = &self.visited[index];
        let directory = visited.directory.clone();
        let asked_by = visited.asked_by.clone();
        let wants = !visited.extras.is_empty()
            || (is_root && (self.options.all_extras || !self.options.extras.is_empty()));
        let environment = self.environment.clone();
        let scope = Scope::at(&directory, &environment);
        let request = Request {
            target: &self.options.target,
            workspaces: &self.options.workspaces,
            asked_by: asked_by.as_ref(),
            with_extras: wants,
            is_static: self.is_static,
        };
        let mut package = package::read(scope, request, self.tools, self.host)?;
        self.found.warnings.append(&mut package.warnings);
        if is_root {
            let root = package.workspace.as_ref().map_or(&*directory, |workspace| &*workspace.root);
            self.found.settings.absorb(uv_settings::read(root)?);
            self.found.settings.absorb(environment::read(self.host));
            self.no_sources = uv_settings::ignored_sources(root, self.host)?;
        }
        // What this machine is set to is not the project's.
        if is_root && !self.is_static {
            for file in environment::constraints(self.host) {
                let contents = requirements_txt::read_constraints(&file, scope, self.host)?;
                self.found.settings.absorb(contents.settings);
                self.found.warnings.extend(contents.warnings);
            }
            for file in environment::overrides(self.host) {
                let contents = requirements_txt::read_constraints(&file, scope, self.host)?;
                self.found.settings.absorb(contents.settings.into_overrides());
                self.found.warnings.extend(contents.warnings);
            }
        }
        self.found.settings.absorb(std::mem::take(&mut package.settings));
        let asked = std::mem::take(&mut package.asked);
        let requires = std::mem::take(&mut package.requires);
        let members = self.members_of_virtual_root(is_root, &package, &asked, &requires, &directory);
        self.visited[index].package = Some(package);
        for asked in asked {
            self.consider(index, asked, Origin::Listed)?;
        }
        self.consider_raws(index, &requires, Origin::Main)?;
        for (member, place) in members {
            self.visit(&member, &[], Some(&place), false)?;
        }
        if is_root {
            self.take_asked_for()?;
        }
        let extras: Vec<ExtraName> = self.visited[index].extras.iter().cloned().collect();
        for extra in extras {
            self.take_extra(index, &extra, asked_by.as_ref())?;
        }
        Ok(())
    }

    /// A workspace root without `[project]` asks for nothing itself; as build directory it stands for its members.
    fn members_of_virtual_root(
        &mut self,
        is_root: bool,
        package: &Package,
        asked: &[ParsedRequirement],
        requires: &[Raw],
        directory: &Path,
    ) -> Vec<(PathBuf, Place)> {
        let workspace = package.workspace.as_ref().filter(|workspace| {
            is_root
                && workspace.is_virtual
                && workspace.root == directory
                && asked.is_empty()
                && requires.is_empty()
        });
        let Some(workspace) = workspace else { return Vec::new() };
        let place = whole(&directory.join("pyproject.toml"));
        self.warn(
            "the build directory is a workspace root without [project]: all of its members are taken".into(),
            Some(place.clone()),
        );
        workspace.members.values().map(|member| (member.clone(), place.clone())).collect()
    }

    fn consider_raws(&mut self, index: usize, lines: &[Raw], origin: Origin<'_>) -> Result<(), CollectError> {
        let directory = self.visited[index].directory.clone();
        let environment = self.environment.clone();
        let scope = Scope::at(&directory, &environment);
        for raw in lines {
            let parsed = requirement::read(&raw.text, scope, &raw.place)?;
            let Some(asked) = parsed else { continue };
            let replacement = asked
                .name
                .as_ref()
                .and_then(|name| self.visited[index].package.as_ref()?.replacements.get(name).cloned());
            match replacement {
                Some(lines) => {
                    for line in lines {
                        if let Some(asked) = requirement::read(&line.text, scope, &line.place)? {
                            self.consider(index, asked, origin)?;
                        }
                    }
                }
                None => self.consider(index, asked, origin)?,
            }
        }
        Ok(())
    }

    /// Put a requirement where it belongs.
    fn consider(
        &mut self,
        index: usize,
        asked: ParsedRequirement,
        origin: Origin<'_>,
    ) -> Result<(), CollectError> {
        match &asked.what {
            What::Directory(directory) => {
                self.visit(&directory.clone(), &asked.extras, Some(&asked.place), false)
            }
            What::Distribution(path) => {
                self.add_distribution(path.clone(), &asked);
                Ok(())
            }
            What::Versions(_) => self.consider_named(index, asked, origin),
            What::Link(_) => {
                self.add_line(asked, origin);
                Ok(())
            }
        }
    }

    fn add_distribution(&mut self, path: PathBuf, asked: &ParsedRequirement) {
        let extras = asked.extras.iter().map(ToString::to_string);
        self.found.settings.origins.extend(asked.origin(""));
        let list = &mut self.found.local_distributions;
        match list.iter_mut().find(|known| known.path == path) {
            Some(known) => known.extras.extend(extras),
            None => list.push(LocalDistribution {
                path,
                name: asked.name.as_ref().map(ToString::to_string),
                extras: extras.collect(),
            }),
        }
    }

    fn add_line(&mut self, asked: ParsedRequirement, origin: Origin<'_>) {
        let is_listed = origin == Origin::Listed;
        match self.lines.get_mut(&asked.text) {
            Some(line) => {
                line.only_listed &= is_listed;
                line.asked.hashes.extend(asked.hashes);
                if !line.places.contains(&asked.place) {
                    line.places.push(asked.place);
                }
            }
            None => {
                let places = vec![asked.place.clone()];
                self.lines.insert(asked.text.clone(), Line { asked, places, only_listed: is_listed });
            }
        }
    }

    /// Lines that ask for a local package by its name are met by it, wherever they are. Whether there were any.
    fn take_local_names(&mut self) -> Result<bool, CollectError> {
        let by_name: BTreeMap<PackageName, usize> = self
            .visited
            .iter()
            .enumerate()
            .filter_map(|(index, visited)| Some((visited.package.as_ref()?.name.clone()?, index)))
            .collect();
        let met: Vec<String> = self
            .lines
            .iter()
            .filter(|(_, line)| line.asked.name.as_ref().is_some_and(|name| by_name.contains_key(name)))
            .map(|(text, _)| text.clone())
            .collect();
        for text in &met {
            let Some(Line { asked: line, .. }) = self.lines.remove(text) else { continue };
            let Some(index) = line.name.as_ref().and_then(|name| by_name.get(name)).copied() else {
                continue;
            };
            let directory = self.visited[index].directory.display().to_string();
            self.host.detail(format!("`{text}` is the local package `{directory}`"));
            self.take_extras(index, &line.extras, Some(&line.place))?;
        }
        Ok(!met.is_empty())
    }

    fn warn(&mut self, message: String, place: Option<Place>) {
        let warning = Warning { message, place };
        if !self.found.warnings.contains(&warning) {
            self.found.warnings.push(warning);
        }
    }
}
