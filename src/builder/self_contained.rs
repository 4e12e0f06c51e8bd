//! Finds local packages that build to the same wheel as long as certain things are the same, so that the wheel need not
//! be built again.
//!
//! A build backend may run anything: read a parent directory, the clock, Git. What it made is used again only if these
//! conditions hold. Otherwise the package is built each time, because an outdated wheel would deploy the wrong code:
//!
//! 1. every setting for the backend is known to stay within the package's directory ([`rules`]);
//! 2. all files and links of the directory were read, including those that a `.pexignore` or our list of names
//!    excludes, because backends know neither ([`files`]);
//! 3. each file in the wheel is one of them ([`super::recipe`]).
//!
//! Known backends copy code and data as they are. So the content of such a file does not count, unless a setting names
//! the file (`version = { path = "shop/__init__.py" }`).

mod files;
mod rules;

use crate::child_env::Purpose;
use crate::hex::hex;
use crate::pex::is_bytecode;
use crate::project::{LocalPackage, ResolveSettings};
use crate::redact::without_userinfo;
use crate::resolve::machine;
use crate::target::Target;
use crate::tools::{Process, Tools};
use files::Files;
use rules::Configuration;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Prefixes of the variables that the backends in [`rules`] read.
const BACKEND_VARS: [&str; 8] =
    ["HATCH_", "PDM_", "POETRY_", "FLIT_", "SETUPTOOLS_", "DISTUTILS_", "PYTHON", "SOURCE_DATE_EPOCH"];

/// Directories with further modules, for the backend too.
const PYTHONPATH: &str = "PYTHONPATH";
/// Stands for the backend of a `setup.py`: setuptools, of any release.
pub const SETUP_PY: &str = "setup.py";

/// Endings of files that backends copy without reading them, unless a setting names one.
const COPIED: [&str; 23] = [
    "css", "csv", "duckdb", "gpickle", "graphql", "html", "ipynb", "j2", "jinja", "jinja2", "js", "json",
    "jsonl", "log", "msgpack", "parquet", "pkl", "py", "pyi", "sql", "tsv", "yaml", "yml",
];

/// A package with a wheel that depends only on the files of its directory, as read at one moment.
#[derive(Debug, Clone)]
pub struct SelfContained {
    /// Key of its recipe: lower-case hex SHA-256 of everything that it depends on.
    pub key: String,
    /// Whether the key is the same on other machines, and contents of files that are only copied do not count in it.
    pub is_shared: bool,
    /// The real path of its directory.
    pub(super) directory: PathBuf,
    /// Its normalised name, if known.
    pub(super) name: Option<String>,
    pub(super) files: Files,
    configuration: Configuration,
}

/// Read a package. `None` when its build is not known to be self-contained, or its directory is too large.
pub fn read(
    package: &LocalPackage,
    backend: &str,
    target: Target,
    settings: &ResolveSettings,
    tools: &Tools,
) -> Option<SelfContained> {
    // Whatever is there can change a build.
    if tools.host().var(PYTHONPATH).is_some_and(|path| !path.is_empty()) {
        return None;
    }
    let directory = package.directory.canonicalize().ok()?;
    let configuration = rules::read(&directory, backend, settings)?;
    let files = Files::read(&directory)?;
    // The content of local directories with distributions is not read.
    let is_shared = configuration.keeps_paths && settings.find_links.is_empty();
    let name = package.name.clone();
    let mut read = SelfContained { key: String::new(), is_shared, directory, name, files, configuration };
    let digest = read.digest(package, backend, target, settings, tools)?;
    read.key = hex(digest.finalize());
    Some(read)
}

impl SelfContained {
    /// The same package under a key in which the contents of all files count, for a recipe that stays on this machine;
    /// `None` if they count already.
    pub(super) fn with_all_contents(&self) -> Option<SelfContained> {
        self.is_shared.then(|| {
            let mut digest = Sha256::new();
            digest.update(&self.key);
            self.files.update(&mut digest, false, |_, _| false);
            SelfContained { key: hex(digest.finalize()), is_shared: false, ..self.clone() }
        })
    }

    /// Whether the content of a file does not count: it may be in the wheel, but nothing in `.dist-info` depends on it.
    pub(super) fn is_free(&self, path: &str, executable: bool) -> bool {
        let name = path.rsplit('/').next().unwrap_or(path);
        let ending = name.rsplit_once('.').map(|(_, ending)| ending);
        // Executable files may be compiled, which is checked only after a build.
        self.is_shared
            && !executable
            && ending.is_some_and(|ending| COPIED.contains(&ending))
            && !rules::CODE_FILES.contains(&name)
            && !self.configuration.mentions(name)
    }

    fn digest(
        &self,
        package: &LocalPackage,
        backend: &str,
        target: Target,
        settings: &ResolveSettings,
        tools: &Tools,
    ) -> Option<Sha256> {
        let mut digest = Sha256::new();
        let name = self.name.as_deref().unwrap_or_default();
        // Raise the number when this module reads more or less of a package, or when a recipe gives other files.
        digest.update(format!("local package 3\n{backend}\n{} {}\n{name}\n", target.python, target.platform));
        let host = tools.host();
        if self.is_shared {
            digest.update(shared_settings(settings));
            digest.update(machine::settings(host));
        } else {
            // Backends may write the path of the directory into the wheel.
            for path in [&package.directory, &self.directory] {
                digest.update(path.as_os_str().as_encoded_bytes());
                digest.update("\n");
            }
            // Maps, lists and strings can always be written as JSON.
            digest.update(serde_json::to_string(settings).unwrap_or_default());
        }
        for (name, value) in host.full_env() {
            let text = name.to_string_lossy();
            if BACKEND_VARS.iter().any(|start| text.starts_with(start)) {
                digest.update(format!("\n{text}={}", value.to_string_lossy()));
            }
        }
        let is_setuptools = backend == SETUP_PY || backend.starts_with("setuptools.");
        if is_setuptools && let Some(home) = host.path_var("HOME") {
            digest.update(std::fs::read(Path::new(&home).join(".pydistutils.cfg")).unwrap_or_default());
        }
        digest.update(ignored_by_version_control(&self.directory, backend, tools)?);
        // setuptools takes every directory for a package.
        self.files.update(&mut digest, is_setuptools, |path, seen| {
            path.to_str().is_some_and(|path| self.is_free(path, seen.executable))
        });
        Some(digest)
    }
}

/// The settings that matter to a build, without credentials, which differ in every job.
fn shared_settings(settings: &ResolveSettings) -> String {
    let ResolveSettings { build_constraints, default_index, indexes, no_index, index_strategy, uv, .. } =
        settings;
    let mut text = format!("{build_constraints:?} {no_index} {index_strategy:?}\n{uv}\n");
    for url in default_index.iter().chain(indexes.iter().map(|index| &index.url)) {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}", without_userinfo(url));
    }
    text
}

/// The files that decide what version control ignores, as far as backends respect it.
///
/// Hatchling reads the nearest `.gitignore` or `.hgignore` up to the top of the repository; Poetry asks git. `None`
/// when git fails. Sources: hatchling's `builders/config.py`; poetry-core's `vcs/__init__.py`.
fn ignored_by_version_control(directory: &Path, backend: &str, tools: &Tools) -> Option<Vec<u8>> {
    let mut said = Vec::new();
    for (level, above) in directory.ancestors().enumerate() {
        for name in [".gitignore", ".hgignore", ".git", ".hg"] {
            let path = above.join(name);
            if path.exists() {
                said.extend(format!("\n{level} {name} ").bytes());
                // Patterns match paths from there.
                said.extend(directory.strip_prefix(above).ok()?.as_os_str().as_encoded_bytes());
                said.push(b'\n');
            }
            // Those in the directory itself are among its files.
            if level > 0 && path.is_file() {
                said.extend(std::fs::read(&path).ok()?);
            }
        }
    }
    if backend.starts_with("poetry.") {
        // Poetry asks Mercurial here, which this function does not do.
        if directory.ancestors().any(|above| above.join(".hg").exists()) {
            return None;
        }
        if directory.ancestors().any(|above| above.join(".git").exists()) {
            let git = Process::new(tools.host(), Purpose::Git, "git").cwd(directory).args([
                "ls-files",
                "--others",
                "--ignored",
                "--exclude-standard",
                "-z",
            ]);
            let ignored = git.run(tools.host()).ok()?.stdout;
            // Bytecode appears whenever the package is imported, and is in no wheel.
            let counts = |path: &&[u8]| !is_bytecode(&String::from_utf8_lossy(path));
            said.extend(
                ignored.split(|byte| *byte == 0).filter(counts).flat_map(|path| [path, b"\0"]).flatten(),
            );
        }
    }
    Some(said)
}

#[cfg(test)]
#[cfg(unix)]
mod tests;
