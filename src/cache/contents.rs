//! What is in the cache: entries, each with its size and the time of its last use.

use super::Cache;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// A directory of the cache, and how deep its entries are in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Name of the directory.
    pub name: &'static str,
    /// What is in it, for people.
    pub what: &'static str,
    depth: usize,
}

/// All parts. Entries of the last ones are small records, which are read at once and made again if missing.
pub const PARTS: [Part; 12] = [
    Part { name: "wheels", what: "wheels, downloaded or built", depth: 2 },
    Part { name: "layers", what: "layers of images", depth: 2 },
    Part { name: "blobs", what: "layers of base images", depth: 2 },
    Part { name: "environments", what: "Python environments", depth: 1 },
    Part { name: "builds", what: "PEX files of projects without OUT_DIR", depth: 1 },
    Part { name: "uv", what: "uv", depth: 1 },
    Part { name: "building", what: "builds that are running", depth: 1 },
    Part { name: "bytecode", what: "bytecode of wheels for images", depth: 1 },
    Part { name: "bases", what: "records of base images", depth: 1 },
    Part { name: "built", what: "records and recipes of built wheels", depth: 1 },
    Part { name: "fingerprints", what: "digests of files in wheels", depth: 1 },
    Part { name: "resolutions", what: "answers of package indexes", depth: 1 },
];

/// Directories of environments that hold environments themselves: those that `verify` unpacks, by Python version.
const NESTED: &str = "verify-";

/// Something that is used or removed as a whole.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The part that it is in.
    pub part: Part,
    /// A file or directory.
    pub path: PathBuf,
    /// When it was made or last claimed.
    pub used: SystemTime,
    /// Size of all its files.
    pub size_bytes: u64,
}

impl Cache {
    /// All entries, without temporary ones of running builds. Of `builds`, files that no manifest names are entries too.
    pub fn entries(&self) -> Vec<Entry> {
        PARTS.iter().flat_map(|part| self.entries_of(*part)).collect()
    }

    fn entries_of(&self, part: Part) -> Vec<Entry> {
        let mut paths = vec![self.root.join(part.name)];
        for _ in 0..part.depth {
            paths = paths.iter().flat_map(|path| below(path)).collect();
        }
        let is_nested = |path: &PathBuf| part.name == "environments" && name(path).starts_with(NESTED);
        let paths =
            paths.into_iter().flat_map(|path| if is_nested(&path) { below(&path) } else { vec![path] });
        let paths =
            paths.flat_map(|path| if part.name == "builds" { with_old_files(path) } else { vec![path] });
        // A lock file stays: a process may be waiting for it.
        let is_entry = |path: &PathBuf| !name(path).starts_with('.') && !name(path).ends_with(".lock");
        let entry = |path: PathBuf| {
            let used = path.symlink_metadata().and_then(|data| data.modified()).ok()?;
            let others: u64 =
                if part.name == "builds" { old_files(&path).iter().map(|path| size(path)).sum() } else { 0 };
            Some(Entry { part, size_bytes: size(&path).saturating_sub(others), used, path })
        };
        paths.filter(is_entry).filter_map(entry).collect()
    }
}

fn with_old_files(directory: PathBuf) -> Vec<PathBuf> {
    let mut paths = old_files(&directory);
    paths.push(directory);
    paths
}

/// PEX files in a directory of `builds` that its manifest does not name: those of earlier builds.
fn old_files(directory: &Path) -> Vec<PathBuf> {
    let manifest = std::fs::read_to_string(directory.join("pexpress.json")).unwrap_or_default();
    let is_old = |path: &PathBuf| name(path).ends_with(".pex") && !manifest.contains(&name(path));
    below(directory).into_iter().filter(is_old).collect()
}

fn below(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Size of a file, or of all files below a directory. Links are not followed. What vanishes meanwhile has none.
fn size(path: &Path) -> u64 {
    match path.symlink_metadata() {
        Ok(data) if data.is_dir() => below(path).iter().map(|path| size(path)).sum(),
        Ok(data) => data.len(),
        Err(_) => 0,
    }
}
