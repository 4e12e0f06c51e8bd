//! Errors for a missing project: which setting has the path, and which path may be meant.

use super::error::ProjectError;
use crate::env_vars;
use crate::host::Host;
use crate::near_names::closest_path;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};

/// Files that list code locations. (A pyproject.toml need not.)
const NAMES: [&str; 3] = ["dagster_cloud.yaml", "dagster_cloud.yml", "dg.toml"];
/// Directories with other people's projects.
const FOREIGN: [&str; 5] = ["node_modules", "site-packages", "venv", "vendor", "__pycache__"];
/// Limits of the search: levels, directories, and files in a message.
const MOST_LEVELS: usize = 4;
const MOST_DIRECTORIES: usize = 2_000;
const MOST_NAMED: usize = 3;

/// The error for a path that does not exist.
pub(super) fn path_error(path: PathBuf, host: &Host) -> ProjectError {
    if let Some(error) = empty_workspace(host) {
        return error;
    }
    let is_project_file = path.file_name().is_some_and(|name| NAMES.iter().any(|known| name == *known));
    let above = || file_above(path.parent()?).filter(|_| is_project_file);
    let near = closest_path(&path, Path::exists).or_else(above).or_else(|| the_only_file(path.parent()?));
    ProjectError::NotFound { setting: setting(&path, host), path, near }
}

/// The error for a directory without any of the files.
pub(super) fn no_project(directory: &Path, host: &Host) -> ProjectError {
    empty_workspace(host).unwrap_or_else(|| ProjectError::NoProject {
        directory: directory.to_path_buf(),
        hint: hint(directory, host.names_inputs()),
    })
}

/// The error for a job without a checkout.
fn empty_workspace(host: &Host) -> Option<ProjectError> {
    let workspace = host.path_var(env_vars::GITHUB_WORKSPACE).filter(|_| host.names_inputs())?;
    let is_empty = std::fs::read_dir(&workspace).is_ok_and(|mut entries| entries.next().is_none());
    is_empty.then_some(ProjectError::EmptyWorkspace(workspace))
}

/// The input with the missing part of `path`.
fn setting(path: &Path, host: &Host) -> Option<&'static str> {
    if !host.names_inputs() {
        return None;
    }
    let file = host.var("INPUT_DAGSTER_CLOUD_FILE").map(str::trim).map(Path::new);
    let is_given = host.var("INPUT_WORKING_DIRECTORY").is_some();
    let below = file.map_or(0, |file| {
        file.components().filter(|part| !matches!(part, std::path::Component::CurDir)).count()
    });
    let base_is_missing = path.ancestors().nth(below).is_some_and(|base| !base.exists());
    match file {
        Some(_) if !(is_given && base_is_missing) => Some("dagster_cloud_file"),
        _ => is_given.then_some("working_directory"),
    }
}

/// The nearest file above `directory` that lists code locations, within its repository.
fn file_above(directory: &Path) -> Option<PathBuf> {
    for above in directory.ancestors().skip(1).take(MOST_LEVELS) {
        if let Some(file) = NAMES.iter().map(|name| above.join(name)).find(|file| file.is_file()) {
            return Some(file);
        }
        if above.join(".git").exists() {
            break;
        }
    }
    None
}

/// The file in `directory` that lists code locations, or the only one below it.
fn the_only_file(directory: &Path) -> Option<PathBuf> {
    let mut below = files_below(directory);
    let is_in_it = below.first()?.parent() == Some(directory);
    (is_in_it || below.len() == 1).then(|| below.remove(0))
}

/// Files below `directory` that list code locations, the nearest first.
fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut waiting = VecDeque::from([(directory.to_path_buf(), 0)]);
    let mut left = MOST_DIRECTORIES;
    while let Some((directory, level)) = waiting.pop_front() {
        found.extend(NAMES.iter().map(|name| directory.join(name)).find(|file| file.is_file()));
        if level == MOST_LEVELS || found.len() >= MOST_NAMED || left == 0 {
            continue;
        }
        left -= 1;
        let entries = std::fs::read_dir(&directory).into_iter().flatten().flatten();
        let is_own = |entry: &std::fs::DirEntry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            entry.file_type().is_ok_and(|kind| kind.is_dir())
                && !name.starts_with('.')
                && !FOREIGN.contains(&name.as_str())
        };
        let mut below: Vec<PathBuf> = entries.filter(is_own).map(|entry| entry.path()).collect();
        below.sort();
        waiting.extend(below.into_iter().map(|path| (path, level + 1)));
    }
    found.truncate(MOST_NAMED);
    found
}

/// The hint for a `directory` without code locations.
fn hint(directory: &Path, by_inputs: bool) -> String {
    let how = if by_inputs { " with the input `dagster_cloud_file`" } else { "" };
    let shown = |file: &PathBuf| {
        let file = if by_inputs { file.strip_prefix(directory).unwrap_or(file) } else { file };
        format!("`{}`", file.display())
    };
    let below = files_below(directory);
    let below: Vec<String> = below.iter().map(shown).collect();
    match (below.as_slice(), file_above(directory)) {
        ([only], _) => format!("there is a {only}: use that{how}"),
        ([], Some(file)) => format!("there is a `{}`: use that", file.display()),
        ([], None) => "use the path of the file, or of its directory; `pexpress init` writes one".to_string(),
        (several, _) => format!("there are {}: use one of them{how}", several.join(", ")),
    }
}
