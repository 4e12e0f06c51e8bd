//! What to build for each code location: (project, requirements) → [`Plan`]. Pure, and printable as JSON.
//!
//! Code locations of one build directory share a source PEX, and those with equal requirements share a deps PEX. So the
//! cost depends on the number of different files, not of code locations.

pub mod images;
pub mod shards;
pub mod strategy;

use crate::hex::hex;
use crate::paths::relative;
use crate::project::{LocalPackage, Location, Requirements, ResolveSettings};
use crate::target::Target;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Everything to build, each file once.
#[derive(Debug)]
pub struct Plan {
    /// Target Python and platform of all of it.
    pub target: Target,
    /// One source PEX each.
    pub sources: Vec<SourceJob>,
    /// One deps PEX each.
    pub deps: Vec<DepsJob>,
    /// The code locations, in the order of the project file.
    pub locations: Vec<PlannedLocation>,
}

/// One source PEX to build.
#[derive(Debug)]
pub struct SourceJob {
    /// The build directory, shipped as the working directory.
    pub directory: PathBuf,
    /// Its own package first, if it is one, then the local packages that it requires.
    pub local_packages: Vec<LocalPackage>,
    /// Package sources for their builds.
    pub settings: ResolveSettings,
}

/// One deps PEX to build.
#[derive(Debug)]
pub struct DepsJob {
    /// Its requirements.
    pub requirements: Arc<Requirements>,
    /// The name of the requirement set ([`requirements_hash`]).
    pub requirements_hash: String,
    /// A build directory with these requirements, for messages.
    pub directory: PathBuf,
}

/// A code location and its files.
#[derive(Debug)]
pub struct PlannedLocation {
    /// The code location.
    pub location: Location,
    /// Index into [`Plan::sources`].
    pub source: usize,
    /// Index into [`Plan::deps`].
    pub deps: usize,
}

impl Plan {
    /// Decide what to build for these code locations. `requirements` are by build directory.
    ///
    /// # Panics
    /// When `requirements` lacks the build directory of a location; the caller collects for each.
    pub fn decide(
        target: Target,
        locations: Vec<Location>,
        requirements: &BTreeMap<PathBuf, Arc<Requirements>>,
    ) -> Plan {
        let mut plan = Plan { target, sources: Vec::new(), deps: Vec::new(), locations: Vec::new() };
        let mut sources: HashMap<PathBuf, usize> = HashMap::new();
        for location in locations {
            let asked = &requirements[&location.directory];
            let source = sources.entry(location.directory.clone());
            let source = *source.or_insert_with_key(|directory| plan.source_job(directory, asked));
            let deps = plan.deps_job(&location.directory, asked);
            plan.locations.push(PlannedLocation { location, source, deps });
        }
        plan
    }

    /// The same for some of its code locations, with the files that they need.
    #[must_use]
    pub fn only(mut self, wanted: impl Fn(&Location) -> bool) -> Plan {
        self.locations.retain(|planned| wanted(&planned.location));
        let (sources, deps) =
            (self.locations.iter().map(|one| one.source), self.locations.iter().map(|one| one.deps));
        let (sources, deps): (Vec<usize>, Vec<usize>) = (kept(sources), kept(deps));
        for planned in &mut self.locations {
            planned.source = place(&sources, planned.source);
            planned.deps = place(&deps, planned.deps);
        }
        self.sources = chosen(self.sources, &sources);
        self.deps = chosen(self.deps, &deps);
        self
    }

    fn source_job(&mut self, directory: &Path, requirements: &Requirements) -> usize {
        self.sources.push(SourceJob {
            directory: directory.to_path_buf(),
            local_packages: requirements.local_packages.clone(),
            settings: requirements.settings.clone(),
        });
        self.sources.len() - 1
    }

    fn deps_job(&mut self, directory: &Path, requirements: &Arc<Requirements>) -> usize {
        let hash = requirements_hash(requirements, directory, self.target);
        // The hash has paths relative to the build directory, so two build directories may have equal hashes and
        // different files.
        let same_files = |other: &Requirements| {
            other.local_distributions == requirements.local_distributions
                && other.settings.find_links == requirements.settings.find_links
        };
        position_or_push(
            &mut self.deps,
            |job| job.requirements_hash == hash && same_files(&job.requirements),
            || DepsJob {
                requirements: Arc::clone(requirements),
                requirements_hash: hash.clone(),
                directory: directory.to_path_buf(),
            },
        )
    }
}

/// These numbers, each once, in order.
fn kept(numbers: impl Iterator<Item = usize>) -> Vec<usize> {
    numbers.collect::<BTreeSet<usize>>().into_iter().collect()
}

/// The place that a number has after the others are gone.
fn place(kept: &[usize], number: usize) -> usize {
    kept.iter().take_while(|other| **other < number).count()
}

/// The jobs with these numbers.
fn chosen<T>(jobs: Vec<T>, kept: &[usize]) -> Vec<T> {
    let numbered = jobs.into_iter().enumerate();
    numbered.filter(|(number, _)| kept.contains(number)).map(|(_, job)| job).collect()
}

fn position_or_push<T>(list: &mut Vec<T>, is_it: impl Fn(&T) -> bool, make: impl FnOnce() -> T) -> usize {
    list.iter().position(is_it).unwrap_or_else(|| {
        list.push(make());
        list.len() - 1
    })
}

/// Everything that decides the files of a requirement set; hashed as JSON.
#[derive(Serialize)]
struct HashedSet<'a> {
    format: &'static str,
    target: String,
    lines: Vec<String>,
    distributions: &'a [crate::project::LocalDistribution],
    hashes: &'a BTreeMap<String, Vec<String>>,
    settings: &'a ResolveSettings,
}

/// Name of a requirement set: lower-case hex SHA-256 of its lines, its settings and the target.
///
/// Two sets with the same hash resolve to the same files at the same time. With a lock file the lines are exact pins,
/// so the hash is exact too; without one an index may answer differently tomorrow.
///
/// Local files count by their path relative to the build `directory`, so that the hash does not depend on the path of
/// the project. Their content does not count.
pub fn requirements_hash(requirements: &Requirements, directory: &Path, target: Target) -> String {
    let place = |text: &str| match Path::new(text).is_absolute() {
        true => relative(Path::new(text), directory).display().to_string(),
        false => text.to_string(),
    };
    let mut settings = requirements.settings.clone();
    settings.find_links.iter_mut().for_each(|link| *link = place(link));
    let mut distributions = requirements.local_distributions.clone();
    distributions.iter_mut().for_each(|file| file.path = relative(&file.path, directory));
    let asked = HashedSet {
        // Raise the number when the same requirements have to get another hash.
        format: "pexpress requirements 1",
        target: format!("{} {}", target.python, target.platform),
        lines: requirements.texts(),
        distributions: &distributions,
        hashes: &requirements.hashes,
        settings: &settings,
    };
    // Strings, lists and maps with string keys can always be written as JSON.
    let text = serde_json::to_string(&asked).unwrap_or_default();
    hex(Sha256::digest(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Place;
    use crate::project::RequirementLine;

    fn location(name: &str, directory: &str) -> Location {
        let place = Place { file: "dagster_cloud.yaml".into(), line: None, column: None };
        Location {
            name: name.into(),
            directory: directory.into(),
            document: serde_json::Map::new(),
            dg: None,
            place,
            places: BTreeMap::new(),
        }
    }

    fn line(text: &str) -> RequirementLine {
        RequirementLine { text: text.into(), name: None, is_link: false, places: Vec::new() }
    }

    fn asking(lines: &[&str]) -> Arc<Requirements> {
        Arc::new(Requirements { lines: lines.iter().copied().map(line).collect(), ..Requirements::default() })
    }

    #[test]
    fn equal_directories_share_a_source_and_equal_requirements_a_deps_pex() {
        let requirements = BTreeMap::from([
            (PathBuf::from("/a"), asking(&["dagster"])),
            (PathBuf::from("/b"), asking(&["dagster"])),
            (PathBuf::from("/c"), asking(&["dagster", "six"])),
        ]);
        let locations =
            vec![location("1", "/a"), location("2", "/a"), location("3", "/b"), location("4", "/c")];
        let plan = Plan::decide(Target::serverless("3.11".parse().unwrap()), locations, &requirements);
        let chosen: Vec<_> = plan.locations.iter().map(|planned| (planned.source, planned.deps)).collect();
        assert_eq!(chosen, [(0, 0), (0, 0), (1, 0), (2, 1)]);
        assert_eq!((plan.sources.len(), plan.deps.len()), (3, 2));
    }

    #[test]
    fn some_code_locations_keep_the_files_that_they_need() {
        let requirements = BTreeMap::from([
            (PathBuf::from("/a"), asking(&["dagster"])),
            (PathBuf::from("/b"), asking(&["six"])),
            (PathBuf::from("/c"), asking(&["dagster"])),
        ]);
        let locations = vec![location("1", "/a"), location("2", "/b"), location("3", "/c")];
        let plan = Plan::decide(Target::serverless("3.11".parse().unwrap()), locations, &requirements);
        let plan = plan.only(|location| location.name != "1");
        let left: Vec<_> =
            plan.locations.iter().map(|one| (&*one.location.name, one.source, one.deps)).collect();
        assert_eq!(left, [("2", 0, 1), ("3", 1, 0)]);
        let directories: Vec<_> =
            plan.sources.iter().map(|job| job.directory.display().to_string()).collect();
        assert_eq!((directories, plan.deps.len()), (vec!["/b".to_string(), "/c".to_string()], 2));
    }

    #[test]
    fn the_hash_follows_lines_settings_and_target() {
        let target = Target::serverless("3.11".parse().unwrap());
        let plain = requirements_hash(&asking(&["six"]), Path::new("/a"), target);
        assert_eq!(plain, requirements_hash(&asking(&["six"]), Path::new("/a"), target));
        assert_ne!(plain, requirements_hash(&asking(&["six>1"]), Path::new("/a"), target));
        assert_ne!(
            plain,
            requirements_hash(
                &asking(&["six"]),
                Path::new("/a"),
                Target::serverless("3.12".parse().unwrap())
            )
        );
        let mut limited = Requirements { lines: vec![line("six")], ..Requirements::default() };
        limited.settings.constraints.push("six<2".into());
        assert_ne!(plain, requirements_hash(&limited, Path::new("/a"), target));
    }

    #[test]
    fn the_hash_is_the_same_wherever_the_project_lies() {
        let target = Target::serverless("3.11".parse().unwrap());
        let linked = |at: &str| {
            let mut requirements = Requirements { lines: vec![line("six")], ..Requirements::default() };
            requirements.settings.find_links = vec![format!("{at}/wheels"), "https://e.example/w".into()];
            Arc::new(requirements)
        };
        let hash = |at: &str| requirements_hash(&linked(at), Path::new(at), target);
        assert_eq!(hash("/a"), hash("/b"));
        let requirements =
            BTreeMap::from([(PathBuf::from("/a"), linked("/a")), (PathBuf::from("/b"), linked("/b"))]);
        let plan = Plan::decide(target, vec![location("1", "/a"), location("2", "/b")], &requirements);
        assert_eq!(plan.deps.len(), 2);
    }
}
