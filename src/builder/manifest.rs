//! `pexpress.json`: the PEX files of each code location in an output directory.
//!
//! `deploy` writes it last, so it names only finished files; `verify` reads it.

use super::{BuildError, Built};
use crate::cache::{self, write_atomically};
use crate::error::Place;
use crate::plan::{Plan, PlannedLocation};
use crate::project::Location;
use crate::resolve;
use crate::target::{PythonVersion, Target};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Its file name.
pub const FILE_NAME: &str = "pexpress.json";

/// Version of the format that is written and read.
const FORMAT: u32 = 1;

/// The contents of an output directory.
#[derive(Debug, Serialize, Deserialize)]
pub struct Manifest {
    format: u32,
    /// Python of all the code locations, `3.11`.
    pub python_version: String,
    /// Platform of all the code locations.
    pub platform: String,
    /// The code locations.
    pub locations: Vec<Entry>,
}

/// One code location.
#[derive(Debug, Serialize, Deserialize)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// File name of the source PEX.
    pub source_pex: String,
    /// File name of the deps PEX.
    pub deps_pex: String,
    /// The PEX tag: the name of both files together in Dagster+.
    pub pex_tag: String,
    /// The location document, defaults merged in.
    pub document: serde_json::Map<String, serde_json::Value>,
    /// The sources of its files. Older versions did not write it.
    #[serde(default)]
    pub origin: Origin,
}

impl Entry {
    /// A code location that was built; `None` where one of its files is not here.
    fn from_built(planned: &PlannedLocation, plan: &Plan, built: &Built) -> Option<Entry> {
        let (source, deps) = built.pair(planned)?;
        let deps = deps.file()?;
        Some(Entry {
            name: planned.location.name.clone(),
            source_pex: source.name.clone(),
            deps_pex: deps.name.clone(),
            pex_tag: pex_tag(&[&deps.name, &source.name]),
            document: planned.location.document.clone(),
            origin: Origin::from_plan(planned, plan),
        })
    }

    /// The code location as in the project file, without its place there.
    pub fn location(&self) -> Location {
        Location {
            name: self.name.clone(),
            directory: self.origin.directory.clone(),
            document: self.document.clone(),
            dg: None,
            place: Place { file: self.origin.directory.clone(), line: None, column: None },
            places: BTreeMap::new(),
        }
    }
}

/// The user's files that a code location was built from. Absolute paths; empty where unknown.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The build directory, shipped as `working_directory/root`.
    pub directory: PathBuf,
    /// Directories of the local packages that are built into the source PEX.
    pub packages: Vec<PathBuf>,
    /// The file to add a dependency to.
    pub dependencies: Option<PathBuf>,
}

impl Origin {
    /// The origin of a planned code location.
    pub fn from_plan(planned: &PlannedLocation, plan: &Plan) -> Origin {
        let source = &plan.sources[planned.source];
        let requirements = &plan.deps[planned.deps].requirements;
        Origin {
            directory: source.directory.clone(),
            packages: source.local_packages.iter().map(|package| package.directory.clone()).collect(),
            dependencies: resolve::dependencies_file(requirements, &source.directory),
        }
    }
}

/// The PEX tag of a code location: `files=` and the sorted file names.
///
/// Source: `dagster_cloud_cli` 1.13.27, which splits it in its PEX registry.
pub fn pex_tag(names: &[&str]) -> String {
    let mut names = names.to_vec();
    // dagster-cloud-cli sorts them too, so equal files give equal tags.
    names.sort_unstable();
    format!("files={}", names.join(":"))
}

impl Manifest {
    /// A manifest of files for one target.
    pub fn new(target: Target, locations: Vec<Entry>) -> Manifest {
        let (python_version, platform) = (target.python.to_string(), target.platform.to_string());
        Manifest { format: FORMAT, python_version, platform, locations }
    }

    /// The code locations of a plan whose files are here.
    pub fn from_built(plan: &Plan, built: &Built) -> Manifest {
        let entries = plan.locations.iter().filter_map(|planned| Entry::from_built(planned, plan, built));
        Manifest::new(plan.target, entries.collect())
    }

    /// Write it to an output directory, replacing an older one.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn write(&self, out_dir: &Path) -> Result<(), BuildError> {
        let path = out_dir.join(FILE_NAME);
        write_atomically(&path, |file| {
            let text = serde_json::to_string_pretty(self).map_err(std::io::Error::other);
            let written = text.and_then(|text| writeln!(file, "{text}"));
            written.map_err(|source| BuildError::Write { path: path.clone(), source })
        })
        .map_err(|error| super::output_error(error, &path))
    }

    /// Read the manifest of an output directory.
    ///
    /// # Errors
    /// When there is none, or it is not of this format.
    pub fn read(out_dir: &Path) -> Result<Manifest, BuildError> {
        let path = out_dir.join(FILE_NAME);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            // A wrong directory is the more likely mistake, and has its own message.
            Err(_) if !out_dir.exists() => {
                return Err(BuildError::NoOutDir { directory: out_dir.to_path_buf() });
            }
            Err(source) => return Err(BuildError::NoManifest { directory: out_dir.to_path_buf(), source }),
        };
        match serde_json::from_str::<Manifest>(&text) {
            Ok(manifest) if manifest.format == FORMAT => manifest.checked(path),
            Ok(manifest) => Err(BuildError::ManifestFormat {
                path,
                reason: format!("format {} instead of {FORMAT}", manifest.format),
            }),
            Err(error) => Err(BuildError::ManifestFormat { path, reason: error.to_string() }),
        }
    }

    /// The manifest, if all files that it names are plain file names in its own directory.
    fn checked(self, path: PathBuf) -> Result<Manifest, BuildError> {
        let names = self.locations.iter().flat_map(|entry| [&entry.source_pex, &entry.deps_pex]);
        // The manifest may come from another job, so its names must not lead out of the directory.
        let stray = names.into_iter().find(|name| !cache::is_file_name(name)).cloned();
        match stray {
            None => Ok(self),
            Some(name) => Err(BuildError::ManifestFormat {
                path,
                reason: format!("`{name}` is not the name of a file in it"),
            }),
        }
    }

    /// The Python of its code locations.
    ///
    /// # Errors
    /// When it is not a version that Dagster+ has run.
    pub fn python(&self) -> Result<PythonVersion, BuildError> {
        self.python_version
            .parse()
            .map_err(|reason| BuildError::ManifestFormat { path: FILE_NAME.into(), reason })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tag_lists_sorted_names() {
        assert_eq!(pex_tag(&["source-b.pex", "deps-a.pex"]), "files=deps-a.pex:source-b.pex");
    }

    #[test]
    fn files_elsewhere_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let target = Target::serverless("3.12".parse().unwrap());
        let entry = |deps_pex: &str| Entry {
            name: "a".into(),
            source_pex: "source-0.pex".into(),
            deps_pex: deps_pex.into(),
            pex_tag: String::new(),
            origin: Origin::default(),
            document: serde_json::Map::new(),
        };
        for (deps_pex, is_read) in [("deps-0.pex", true), ("../deps-0.pex", false), ("/deps-0.pex", false)] {
            Manifest::new(target, vec![entry(deps_pex)]).write(dir.path()).unwrap();
            assert_eq!(Manifest::read(dir.path()).is_ok(), is_read, "{deps_pex}");
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let target = Target::serverless("3.12".parse().unwrap());
        Manifest::new(target, Vec::new()).write(dir.path()).unwrap();
        assert_eq!(Manifest::read(dir.path()).unwrap().python().unwrap(), target.python);
        std::fs::write(dir.path().join(FILE_NAME), "{}").unwrap();
        assert!(matches!(Manifest::read(dir.path()), Err(BuildError::ManifestFormat { .. })));
    }
}
