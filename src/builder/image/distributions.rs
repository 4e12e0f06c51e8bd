//! The layers of a requirement set: those that are known are taken as they are, the others are written.

use super::base::{Base, BaseFacts};
use super::bytecode::Compiler;
use super::files::LayerFiles;
use super::groups::{MOST_LAYERS, groups};
use super::install::Install;
use super::known::Shared;
use super::observer::{LayerObserver, LayerSource};
use super::options::Options;
use super::recorded::{NamedWheel, Recorded, RequirementSet};
use super::sbom::Packages;
use super::stored::{self, ImageLayer};
use super::venv::Venv;
use super::wheels::Wheels;
use super::{ImageError, collisions, contents, key};
use crate::builder::fetch_job::FetchedWheel;
use crate::builder::{BuildError, Context, deps, in_parallel, parallelism};
use crate::plan::Plan;
use crate::project::{LockContent, Requirements};
use crate::wheel::Archive;
use std::collections::BTreeMap;

/// The layers of a requirement set, and what is in them.
#[derive(Debug, Clone)]
pub struct Distributions {
    /// From the lowest to the highest.
    pub layers: Vec<ImageLayer>,
    /// `None` if no list of them is wanted.
    pub packages: Option<Packages>,
}

/// Makes the layers of distributions.
#[derive(Clone, Copy)]
pub struct Layers<'a> {
    /// The base.
    pub base: &'a Base,
    /// Its Python.
    pub facts: &'a BaseFacts,
    /// What the images are to be like.
    pub options: &'a Options,
    /// The surroundings.
    pub context: &'a Context<'a>,
    /// Learns of finished layers.
    pub observer: &'a dyn LayerObserver,
}

impl Layers<'_> {
    fn venv(&self) -> Venv {
        Venv { python: self.facts.version }
    }

    /// The layers of the requirement set of this number, the environment first. What the repositories of its code
    /// locations have is taken as it is, and not fetched. If an earlier run has resolved the requirements, its resolution
    /// is used, unless a file of it cannot be fetched.
    ///
    /// # Errors
    /// When the requirements cannot be resolved, or a distribution cannot be fetched, built or written.
    pub fn distributions(&self, plan: &Plan, number: usize) -> Result<Distributions, BuildError> {
        let (context, job) = (self.context, &plan.deps[number]);
        let users = plan.locations.iter().filter(|one| one.deps == number);
        let locations: Vec<&str> = users.map(|one| one.location.name.as_str()).collect();
        let set = RequirementSet { job, target: context.target, locations: &locations };
        if let Some(recorded) = context.observer.recorded_resolution(&set) {
            match self.of_resolution(&set, &recorded, false) {
                Err(BuildError::Fetch(error)) => {
                    let (names, again) = (locations.join(", "), "the requirements are resolved again");
                    context.tools.host().note(format!("{names}: {error}; {again}"));
                }
                made => return made,
            }
        }
        let resolution = deps::resolve(job, context)?;
        let resolved_at = context.tools.host().clock.now();
        self.of_resolution(&set, &Recorded { resolved_at, resolution, built: BTreeMap::new() }, true)
    }

    /// The layers of a resolution, which is of this run or of an earlier one.
    fn of_resolution(
        &self,
        set: &RequirementSet<'_>,
        recorded: &Recorded,
        is_of_this_run: bool,
    ) -> Result<Distributions, BuildError> {
        let (RequirementSet { job, locations, .. }, resolution) = (*set, &recorded.resolution);
        let context = self.context;
        // A list of what is in the image needs the metadata of all wheels.
        let mut known = match self.options.sbom {
            true => Shared::default(),
            false => self.options.known.of(locations.iter().copied()),
        };
        let (settings, only_known) = (&job.requirements.settings, self.options.only_known);
        let how = (only_known || !known.is_empty(), only_known);
        let mut wheels = Wheels::of(recorded, settings, context, how)?;
        let (groups, found) = loop {
            let (groups, found) = self.taken_over(&wheels, &mut known, is_decided(&job.requirements));
            let missing = groups.iter().zip(&found).filter(|(_, found)| found.is_none());
            let missing = missing.flat_map(|(group, _)| group.iter().copied()).filter(|_| !only_known);
            // Those that were built may belong to other groups.
            if !wheels.build_claimed(missing)? {
                break (groups, found);
            }
        };
        let now = wheels.recorded(recorded.resolved_at);
        if is_of_this_run || now.built != recorded.built {
            context.observer.resolution_found(set, now);
        }
        let missing: Vec<&Vec<usize>> =
            groups.iter().zip(&found).filter(|(_, found)| found.is_none()).map(|(group, _)| group).collect();
        if only_known && let Some(first) = missing.first() {
            return Err(ImageError::NewLayer { what: what(&chosen(&wheels, first)) }.into());
        }
        wheels.fetch(missing.iter().flat_map(|group| group.iter().copied()).collect())?;
        let packages = match self.options.sbom {
            true => {
                let (all, lines) = (wheels.all_fetched(), &job.requirements.lines);
                Some(Packages::read(resolution, &all, lines, &context.target)?)
            }
            false => None,
        };
        let order: Vec<&FetchedWheel> =
            missing.iter().copied().flatten().filter_map(|at| wheels.fetched(*at)).collect();
        collisions::warnings(&order, context).into_iter().for_each(|warning| context.warn(warning));
        let written = match missing.is_empty() {
            true => Vec::new(),
            false => {
                // The run that resolved has said it, and uv finds it.
                let behind = is_of_this_run.then(|| deps::behind(job, resolution, context));
                behind.flatten().into_iter().for_each(|behind| context.warn(behind));
                self.write_groups(&wheels, &missing, locations)?
            }
        };
        let mut written = written.into_iter();
        let layers = found.into_iter().filter_map(|found| found.or_else(|| written.next()));
        Ok(Distributions {
            layers: std::iter::once(self.skeleton(&known)?).chain(layers).collect(),
            packages,
        })
    }

    /// Which distributions share a layer, and the layers that are known. None are if some are new and all have to be made
    /// then.
    fn taken_over(
        &self,
        wheels: &Wheels<'_>,
        known: &mut Shared<'_>,
        is_decided: bool,
    ) -> (Vec<Vec<usize>>, Vec<Option<ImageLayer>>) {
        let named: Vec<(&str, u64)> =
            wheels.named().iter().map(|wheel| (wheel.name.as_str(), wheel.size_bytes)).collect();
        let groups = self.groups(&named);
        let mut found: Vec<Option<ImageLayer>> =
            groups.iter().map(|group| self.known_layer(known, &chosen(wheels, group))).collect();
        if found.iter().any(Option::is_none) && self.options.whole_if_new && !is_decided {
            *known = Shared::default();
            found.fill(None);
        }
        (groups, found)
    }

    /// Which distributions share a layer, from their names and sizes.
    fn groups(&self, named: &[(&str, u64)]) -> Vec<Vec<usize>> {
        // The environment and the source are there besides, and one local package may be.
        let of_base = self.base.manifest.layers.len();
        let groups = groups(named, of_base + 3);
        let total = groups.len() + of_base + 3;
        if total > MOST_LAYERS && !self.options.only_known {
            self.context.warn(format!(
                "the image has up to {total} layers, {of_base} of them from its base; Docker runs at most 127: use a base with fewer layers"
            ));
        }
        groups
    }

    /// The layers of these groups, of wheels that were fetched, for these code locations.
    fn write_groups(
        &self,
        wheels: &Wheels<'_>,
        groups: &[&Vec<usize>],
        users: &[&str],
    ) -> Result<Vec<ImageLayer>, BuildError> {
        let (context, count) = (self.context, groups.iter().map(|group| group.len()).sum::<usize>());
        let _phase = context.display.phase(format!("Writing the layers of {count} distributions"));
        let compiler = match self.options.bytecode {
            true => {
                let site_packages = format!("/{}", self.venv().site_packages());
                Some(Compiler::new(context.tools, self.venv().python, &site_packages)?)
            }
            false => None,
        };
        let write = |group: &&Vec<usize>| {
            let fetched: Vec<&FetchedWheel> = group.iter().filter_map(|at| wheels.fetched(*at)).collect();
            let layer = self.layer_of_wheels(&chosen(wheels, group), &fetched, compiler.as_ref())?;
            if let Some(path) = layer.path.clone() {
                let source = LayerSource::File(path);
                self.observer.finished(&stored::descriptor(&layer.written), source, users);
            }
            Ok(layer)
        };
        in_parallel(groups, parallelism(), write).into_iter().collect()
    }

    fn skeleton(&self, known: &Shared<'_>) -> Result<ImageLayer, BuildError> {
        let (packing, python) = (self.options.packing, &self.facts.python);
        let (key, what) = (key::of_skeleton(self.venv(), packing, python), "venv".to_string());
        match known.layer(&key) {
            Some(written) => Ok(ImageLayer { key, what, reused: true, written, path: None }),
            None => self.layer(key, what, || Ok(self.venv().skeleton(python))),
        }
    }

    /// The layer of these wheels, if it is known.
    fn known_layer(&self, known: &Shared<'_>, wheels: &[&NamedWheel]) -> Option<ImageLayer> {
        if known.is_empty() {
            return None;
        }
        let found = |bytecode: Option<String>| {
            let key = self.key(wheels, bytecode.as_deref());
            known.layer(&key).map(|written| (key, written))
        };
        let (key, written) = match self.options.bytecode {
            true => Compiler::possible_keys(self.venv().python).find_map(|key| found(Some(key)))?,
            false => found(None)?,
        };
        Some(ImageLayer { key, what: what(wheels), reused: true, written, path: None })
    }

    fn key(&self, wheels: &[&NamedWheel], bytecode: Option<&str>) -> String {
        let digests = wheels.iter().map(|wheel| wheel.sha256.as_str());
        key::of_wheels(self.venv(), self.options.packing, bytecode, digests)
    }

    fn layer_of_wheels(
        &self,
        named: &[&NamedWheel],
        wheels: &[&FetchedWheel],
        compiler: Option<&Compiler<'_>>,
    ) -> Result<ImageLayer, BuildError> {
        let key = self.key(named, compiler.map(Compiler::key).as_deref());
        self.layer(key, what(named), || {
            let mut files = LayerFiles::default();
            let site_packages = self.venv().site_packages();
            // Of two files with one path the later stays, here and in the layers above.
            for wheel in wheels {
                let archive = Archive::open(&wheel.path)?;
                let extra =
                    compiler.map(|compiler| compiler.bytecode(&archive, &wheel.sha256)).transpose()?;
                let install = Install {
                    file_name: &wheel.file_name,
                    archive: &archive,
                    extra: extra.as_ref(),
                    venv: self.venv(),
                    replaced: BTreeMap::new(),
                    is_editable: false,
                };
                for path in files.extend(install.files()?) {
                    let host = self.context.tools.host();
                    host.detail(format!("`/{path}` of {} replaces that of another distribution", wheel.name));
                }
                if let (Some(compiler), Some(extra)) = (compiler, &extra) {
                    let made = extra.members().iter().map(|member| &member.name);
                    made.for_each(|pyc| files.kept(&format!("{site_packages}/{pyc}")));
                    let lacking = compiler.lacking(&archive, extra);
                    lacking.iter().for_each(|pyc| files.removed(&format!("{site_packages}/{pyc}")));
                }
            }
            Ok(files)
        })
    }

    /// The layer of this key, from the cache or written now.
    fn layer(
        &self,
        key: String,
        what: String,
        files: impl FnOnce() -> Result<LayerFiles, BuildError>,
    ) -> Result<ImageLayer, BuildError> {
        let cache = self.context.tools.cache();
        if let Some(stored) = stored::recall(cache, &key) {
            return Ok(ImageLayer::new(key, what, true, stored));
        }
        let files = files()?;
        let stored = stored::keep(cache, &key, |output| files.write(output, self.options.packing))?;
        Ok(ImageLayer::new(key, what, false, stored))
    }
}

/// Whether a lock file decided the versions.
fn is_decided(requirements: &Requirements) -> bool {
    let lock = requirements.lock.as_ref();
    lock.is_some_and(|lock| !matches!(lock.content, LockContent::Pylock { complete: false, .. }))
}

/// The wheels at these positions.
fn chosen<'w>(wheels: &'w Wheels<'_>, positions: &[usize]) -> Vec<&'w NamedWheel> {
    positions.iter().map(|at| &wheels.named()[*at]).collect()
}

/// What their layer holds.
fn what(wheels: &[&NamedWheel]) -> String {
    contents::of_distributions(wheels.iter().map(|wheel| (wheel.name.as_str(), wheel.version.as_str())))
}
