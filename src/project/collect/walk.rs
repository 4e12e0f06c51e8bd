//! From the build directory through its local packages: each directory once, cycles included.

mod lock;
mod named;

use super::environment;
use super::error::{CollectError, whole};
use super::package::{self, Package, Request};
use super::pyproject::Raw;
use super::requirement::{self, Asked, Scope, What};
use super::requirements_txt;
use super::uv_settings::{self, IgnoredSources};
use super::uv_sources::Origin;
use crate::error::Place;
use crate::host::Host;
use crate::project::{
    CollectOptions, LocalDistribution, LocalPackage, NotTaken, PackageBuild, RequirementLine, Requirements,
    Warning,
};
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
    pub(super) asked: Asked,
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
    /// By [`Asked::text`].
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

/// Walk as far as files alone lead: nothing is run or fetched, and no lock file is read.
pub(super) fn walk_statically(
    directory: &Path,
    options: &CollectOptions,
    tools: &Tools,
    host: &Host,
) -> Result<(), CollectError> {
    let mut walk = Walk::new(options, tools, host, true);
    walk.visit(directory, &[], None, false)?;
    walk.settle()
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
        let scope = Scope::of(&directory, &environment);
        let request = Request {
            target: &self.options.target,
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
        asked: &[Asked],
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

    /// Extras and groups from the command line.
    fn take_asked_for(&mut self) -> Result<(), CollectError> {
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
    fn take_extras(
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
    fn load_dynamic_extras(&mut self, index: usize, asked_by: Option<&Place>) -> Result<(), CollectError> {
        let visited = &self.visited[index];
        let is_missing = visited.package.as_ref().is_some_and(|package| package.extras.is_empty());
        if !is_missing {
            return Ok(());
        }
        let scope = Scope::of(&visited.directory, &self.environment);
        let is_static = self.is_static;
        let request = Request { target: &self.options.target, asked_by, with_extras: true, is_static };
        let read = package::read(scope, request, self.tools, self.host)?;
        if let Some(package) = self.visited[index].package.as_mut() {
            package.extras = read.extras;
        }
        Ok(())
    }

    fn take_extra(
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

    fn consider_raws(&mut self, index: usize, lines: &[Raw], origin: Origin<'_>) -> Result<(), CollectError> {
        let directory = self.visited[index].directory.clone();
        let environment = self.environment.clone();
        let scope = Scope::of(&directory, &environment);
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
    fn consider(&mut self, index: usize, asked: Asked, origin: Origin<'_>) -> Result<(), CollectError> {
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

    fn add_distribution(&mut self, path: PathBuf, asked: &Asked) {
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

    fn add_line(&mut self, asked: Asked, origin: Origin<'_>) {
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

    /// Of two local packages of one name only one can be imported.
    fn warn_of_namesakes(&mut self) {
        let mut known: BTreeMap<PackageName, PathBuf> = BTreeMap::new();
        let mut twice = Vec::new();
        for visited in &self.visited {
            let Some(name) = visited.package.as_ref().and_then(|package| package.name.clone()) else {
                continue;
            };
            if let Some(other) = known.insert(name.clone(), visited.directory.clone()) {
                let message =
                    format!("this local package is called `{name}`, and so is `{}`", other.display());
                twice.push((message, whole(&visited.directory)));
            }
        }
        for (message, place) in twice {
            self.warn(message, Some(place));
        }
    }

    fn finish(mut self) -> Requirements {
        for line in std::mem::take(&mut self.lines).into_values() {
            if let Some(name) = line.asked.name.as_ref().filter(|_| !line.asked.hashes.is_empty()) {
                let hashes = self.found.hashes.entry(name.to_string()).or_default();
                hashes.extend(line.asked.hashes.iter().cloned());
                hashes.sort();
                hashes.dedup();
            }
            if self.found.lock.is_none() {
                self.found.lines.push(line.requirement());
            }
        }
        self.warn_of_namesakes();
        for visited in &self.visited {
            let Some(package) = &visited.package else { continue };
            self.found.left_out.extend(left_out(visited, package, self.options));
            if visited.asked_by.is_none() {
                self.found.not_taken = not_taken(visited, package, self.options);
            }
            self.found.local_packages.push(LocalPackage {
                directory: visited.directory.clone(),
                name: package.name.as_ref().map(ToString::to_string),
                build: match &package.build {
                    Some(build) if !visited.is_virtual => build.clone(),
                    _ => PackageBuild::None,
                },
            });
        }
        self.found
    }
}

/// The extras and groups of the build directory that were not asked for.
fn not_taken(visited: &Visited, package: &Package, options: &CollectOptions) -> Vec<NotTaken> {
    let packages = |lines: &[Raw]| lines.iter().map(|raw| package::named(&raw.text)).collect();
    let extras = package.extras.iter().filter(|(extra, _)| !visited.extras.contains(*extra));
    let extras = extras.map(|(extra, lines)| NotTaken {
        kind: "extra",
        flag: "--extra",
        name: extra.to_string(),
        packages: packages(lines),
    });
    let is_asked_for = |name: &str| options.groups.iter().any(|group| package::named(group) == name);
    let groups = package.groups.keys().filter_map(|group| {
        let lines = package.group(group, &visited.directory).ok()?;
        let name = group.to_string();
        let (kind, flag) = ("dependency group", "--group");
        (!is_asked_for(&name)).then(|| NotTaken { kind, flag, name, packages: packages(&lines) })
    });
    extras.chain(groups).collect()
}

/// What exists and was not asked for, in a sentence.
fn left_out(visited: &Visited, package: &Package, options: &CollectOptions) -> Option<String> {
    let is_root = visited.asked_by.is_none();
    let list = |what: &str, names: &[String]| {
        format!("the {what}{} {}", if names.len() == 1 { "" } else { "s" }, names.join(", "))
    };
    let extras: Vec<String> = package
        .extras
        .keys()
        .filter(|extra| !visited.extras.contains(*extra))
        .map(ToString::to_string)
        .collect();
    let asked: Vec<ExtraName> =
        options.groups.iter().filter_map(|group| ExtraName::new(group.clone()).ok()).collect();
    let groups: Vec<String> = package
        .groups
        .keys()
        .filter(|group| is_root && !asked.contains(group))
        .map(ToString::to_string)
        .collect();
    let mut parts = Vec::new();
    if !extras.is_empty() {
        parts.push(format!("{} (--extra)", list("extra", &extras)));
    }
    if !groups.is_empty() {
        parts.push(format!("{} (--group)", list("dependency group", &groups)));
    }
    let name =
        package.name.as_ref().map_or_else(|| visited.directory.display().to_string(), ToString::to_string);
    (is_root && !parts.is_empty())
        .then(|| format!("`{name}` also has {}, not asked for", parts.join(" and ")))
}
