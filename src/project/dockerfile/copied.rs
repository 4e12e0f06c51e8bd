//! What becomes of files that a Dockerfile copies.

use super::said::Said;
use super::{APP, Facts};

/// Files that say how a project is installed: they may be copied anywhere.
const PROJECT_FILES: [&str; 12] = [
    "pyproject.toml",
    "setup.py",
    "setup.cfg",
    "uv.lock",
    "poetry.lock",
    "pdm.lock",
    "pylock.toml",
    "Pipfile",
    "Pipfile.lock",
    "MANIFEST.in",
    ".python-version",
    "dagster_cloud_pre_install.sh",
];
/// Their beginnings.
const PROJECT_PREFIXES: [&str; 4] = ["requirements", "README", "LICENSE", "constraints"];
/// Where packages are installed, or wheels are kept: names of directories.
const INSTALLED: [&str; 4] = ["site-packages", ".local", "wheels", "install"];
/// Beginnings of paths.
const INSTALLED_PREFIXES: [&str; 2] = ["/usr/local/bin", "/usr/local/lib/python"];
/// Files of a Dagster instance, which Dagster+ and its agents provide.
const INSTANCE_FILES: [&str; 2] = ["dagster.yaml", "workspace.yaml"];

/// Where the files of a stage go.
#[derive(Debug, Clone)]
pub(super) struct Places {
    current: String,
    /// All working directories.
    visited: Vec<String>,
    /// And those that are entered later.
    later: Vec<String>,
    /// For quoted blanks.
    pub(super) escape: char,
}

impl Default for Places {
    fn default() -> Self {
        Places { current: "/".into(), visited: Vec::new(), later: Vec::new(), escape: '\\' }
    }
}

impl Places {
    /// `WORKDIR`; `None` for one that is not known.
    pub(super) fn enter(&mut self, path: Option<&str>) {
        let Some(path) = path else { return };
        self.current = self.absolute(path);
        self.visited.push(self.current.clone());
    }

    /// The working directories of `whole` are entered sooner or later.
    pub(super) fn expect(&mut self, whole: &Places) {
        self.later.clone_from(&whole.visited);
    }

    pub(super) fn working_directory(&self) -> &str {
        &self.current
    }

    pub(super) fn absolute(&self, path: &str) -> String {
        let path = path.trim_matches(['"', '\'']);
        let joined =
            if path.starts_with('/') { path.to_string() } else { format!("{}/{path}", self.current) };
        let mut parts: Vec<&str> = Vec::new();
        for part in joined.split('/') {
            match part {
                "" | "." => {}
                ".." => {
                    parts.pop();
                }
                part => parts.push(part),
            }
        }
        format!("/{}", parts.join("/"))
    }

    /// Whether an absolute path was a working directory so far.
    pub(super) fn is_working(&self, path: &str) -> bool {
        self.visited.iter().any(|directory| directory == path)
    }

    /// Whether a path is in a working directory, or where Dagster+ Serverless keeps the project.
    pub(super) fn holds(&self, path: &str) -> bool {
        let path = self.absolute(path);
        let mut directories = self.visited.iter().chain(&self.later).map(String::as_str).chain([APP]);
        // The root directory is a place for the project only in the templates, before `WORKDIR`.
        directories.any(|directory| directory != "/" && is_below(&path, directory))
    }

    /// Whether a value names a path that is elsewhere in an image of pexpress.
    pub(super) fn moves(&self, value: &str) -> bool {
        moved(value, &self.visited) != value
    }

    /// Whether a value does so by a working directory that is entered later.
    pub(super) fn moves_later(&self, value: &str) -> bool {
        self.moved(value) != value
    }

    /// A value such as `PYTHONPATH` with its paths as they are in an image of pexpress.
    pub(super) fn moved(&self, value: &str) -> String {
        moved(&moved(value, &self.visited), &self.later)
    }
}

fn moved(value: &str, directories: &[String]) -> String {
    let moved = value.split(':').map(|path| {
        let directory = directories.iter().find(|directory| *directory != "/" && is_below(path, directory));
        match directory {
            Some(directory) if directory != APP && !is_below(path, APP) => {
                format!("{APP}{}", &path[directory.len()..])
            }
            _ => path.to_string(),
        }
    });
    moved.collect::<Vec<_>>().join(":")
}

fn is_below(path: &str, directory: &str) -> bool {
    path.strip_prefix(directory).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// An instruction `COPY` or `ADD` that copies from no other stage, variables replaced.
#[derive(Default)]
pub(super) struct Copied<'a> {
    pub(super) sources: &'a [String],
    pub(super) to: &'a str,
    /// Of `--from`.
    pub(super) from: Option<&'a str>,
    /// `ADD`: unpacks archives and downloads.
    pub(super) unpacks: bool,
    /// The content is in the Dockerfile.
    pub(super) is_written_here: bool,
}

/// What becomes of it; `None` if pexpress does the same.
pub(super) fn judge(copied: &Copied<'_>, places: &Places, facts: &Facts<'_>) -> Option<Said> {
    if copied.is_written_here {
        return Some(Said::needed(
            "write the file in the build directory, and add it by --image-include PATH:DEST",
        ));
    }
    match copied.from {
        Some(image) => from_image(image, copied.sources),
        None => copied.sources.iter().find_map(|source| from_context(source, copied, places, facts)),
    }
}

/// Whether packages are installed at a path of a stage: they come from their wheels here.
pub(super) fn is_installed(path: &str) -> bool {
    path.split('/').any(|part| part.ends_with("venv") || INSTALLED.contains(&part))
        || INSTALLED_PREFIXES.iter().any(|prefix| path.starts_with(prefix))
}

/// Whether `ADD` does more with a source than to copy it.
pub(super) fn unpacks_or_downloads(source: &str) -> bool {
    is_address(source) || is_archive(source)
}

fn is_address(source: &str) -> bool {
    source.contains("://") || source.starts_with("git@")
}

fn is_archive(source: &str) -> bool {
    [".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz"].iter().any(|end| source.ends_with(end))
}

/// Whether a source only says how the project is installed.
pub(super) fn is_project_file(source: &str) -> bool {
    let name = file_name(source).trim_start_matches('*');
    PROJECT_FILES.contains(&name) || PROJECT_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// The last part of a path.
pub(super) fn file_name(path: &str) -> &str {
    let path = path.trim_end_matches('/');
    path.rsplit('/').next().unwrap_or(path)
}

/// A source as a path in Docker's context.
pub(super) fn relative(source: &str) -> String {
    match source.trim_start_matches("./").trim_matches('/') {
        "" => ".".into(),
        relative => relative.into(),
    }
}

/// Where a file is whose directory is the destination.
pub(super) fn below(directory: &str, source: &str) -> String {
    format!("{}/{}", directory.trim_end_matches('/'), file_name(source))
}

/// From another image. uv is only needed to install packages.
pub(super) fn from_image(image: &str, sources: &[String]) -> Option<Said> {
    let repository = image.split(['@', ':']).next().unwrap_or(image);
    if repository.ends_with("/uv")
        || sources.iter().all(|source| source.ends_with("/uv") || source.ends_with("/uvx"))
    {
        return None;
    }
    Some(Said::needed("files of another image: put them into a base image of your own"))
}

/// From Docker's context.
pub(super) fn from_context(
    source: &str,
    copied: &Copied<'_>,
    places: &Places,
    facts: &Facts<'_>,
) -> Option<Said> {
    if copied.unpacks && is_address(source) {
        return Some(Said::needed(
            "download it before pexpress runs, and add it by --image-include PATH:DEST, or put it into a base image",
        ));
    }
    if copied.unpacks && is_archive(source) {
        return Some(Said::needed("unpack it before pexpress runs: archives are not unpacked here"));
    }
    if is_project_file(source) {
        return None;
    }
    let name = file_name(source).trim_start_matches('*');
    if INSTANCE_FILES.contains(&name) {
        return Some(Said::told("Dagster+ and its agents provide the instance"));
    }
    let relative = relative(source);
    let to = places.absolute(copied.to);
    let below = below(&to, &relative);
    if (facts.adds)(&to) || (facts.adds)(&below) {
        return None;
    }
    let Some(found) = (facts.find)(&relative) else {
        return Some(Said::needed(format!(
            "`{relative}` is not in the build directory: --image-include PATH[:DEST] adds it"
        )));
    };
    let is_in_place = places.holds(copied.to) || (to == "/" && places.working_directory() == "/");
    // Wherever it is copied to: it is installed from its own directory.
    if found.is_installed || (found.is_inside && is_in_place) {
        return None;
    }
    // The content of a directory goes into the one that is named, and a file below it.
    let to = if found.is_file && copied.to.ends_with(['/', '.']) { below } else { to };
    Some(Said::needed(match found.is_inside {
        true => format!("--image-include {}:{to} adds it there", found.path),
        false => format!("it is outside the build directory: --image-include {}:{to} adds it", found.path),
    }))
}
