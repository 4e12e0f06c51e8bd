//! Lock files: which one counts for a build directory, and what it pins on the target.
//!
//! `uv.lock` of the project or its workspace comes first (see `uv_lock_export`), then `pylock.toml`, then
//! `poetry.lock`. Nothing here judges whether a lock is up to date; see `locked`.
//! Sources: uv's documentation, "Locking and syncing"; the PyPA specification "pylock.toml"; for poetry.lock, files
//! written by Poetry 1.1 to 2.2.

use super::compiled;
use super::error::{CollectError, whole};
use super::package::Package;
use super::pin::Pin;
use super::poetry_lock;
use super::pylock;
use super::uv_lock_marker::Unsure;
use super::uv_lock_reach::Selection;
use super::{uv_lock_export, uv_lock_file};
use crate::bounded_file::{self, TEXT_LIMIT_BYTES};
use crate::env_vars;
use crate::error::{Explain, Fault};
use crate::project::CollectOptions;
use crate::tools::{ExportRequest, Tools};
use pep508_rs::PackageName;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use toml::Table;

/// A lock file, read for the target.
#[derive(Debug)]
pub(super) struct LockFile {
    /// Absolute path.
    pub(super) file: PathBuf,
    /// What it pins.
    pub(super) pins: Vec<Pin>,
    /// Packages that are in it several times, with nothing to choose between them on the target.
    pub(super) repeated: BTreeSet<PackageName>,
    /// The lock as a `pylock.toml`, reduced to what the target needs; `None` for a poetry.lock.
    pub(super) pylock: Option<String>,
    /// Whether it says which files each version has.
    pub(super) has_files: bool,
    /// Whether it locks the project's pyproject.toml and nothing else.
    pub(super) is_of_project: bool,
    /// The command that brings it up to date.
    pub(super) remedy: String,
}

impl LockFile {
    /// `uv.lock`.
    pub(super) fn file_name(&self) -> String {
        self.file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// The command that exports a requirements.txt from it, if there is one.
    pub(super) fn export_command(&self) -> &'static str {
        match self.remedy.as_str() {
            "poetry lock" => "poetry export --output requirements.txt",
            _ => "uv export --output-file requirements.txt",
        }
    }
}

/// Read the lock file that counts for the project in `directory`, if there is one.
///
/// # Errors
/// It cannot be understood, or is not for the target.
pub(super) fn read(
    directory: &Path,
    package: &Package,
    options: &CollectOptions,
    tools: &Tools,
) -> Result<Option<LockFile>, CollectError> {
    match uv_lock(directory, package) {
        Some(file) => read_uv_lock(file, package, options, tools).map(Some),
        None => read_other(directory, options),
    }
}

/// The same as far as the text of the file tells, without uv: of a uv.lock every package that it has.
///
/// # Errors
/// It is not TOML.
pub(super) fn foresee(
    directory: &Path,
    package: &Package,
    options: &CollectOptions,
) -> Result<Option<LockFile>, CollectError> {
    let Some(file) = uv_lock(directory, package) else {
        // The error may apply only to this target, which the command line can change.
        return Ok(read_other(directory, options).ok().flatten());
    };
    let pins = uv_lock_file::packages(&uv_lock_file::read(&file)?);
    Ok(Some(LockFile {
        file,
        pins,
        repeated: BTreeSet::new(),
        pylock: Some(String::new()),
        has_files: true,
        is_of_project: true,
        remedy: "uv lock".into(),
    }))
}

fn read_other(directory: &Path, options: &CollectOptions) -> Result<Option<LockFile>, CollectError> {
    if let Some(file) = pylock_file(directory)? {
        let text = bounded_file::read_text(&file, TEXT_LIMIT_BYTES).map_err(CollectError::read(&file))?;
        let read = pylock::read(&text, &file, options)?;
        return Ok(Some(LockFile {
            remedy: pylock_command(&text, &file),
            file,
            pins: read.pins,
            repeated: BTreeSet::new(),
            pylock: Some(read.text),
            has_files: read.has_files,
            is_of_project: false,
        }));
    }
    let file = directory.join("poetry.lock");
    if file.is_file() {
        let read = poetry_lock::read(&file, options)?;
        return Ok(Some(LockFile {
            file,
            pins: read.pins,
            repeated: read.repeated,
            pylock: None,
            has_files: false,
            is_of_project: true,
            remedy: "poetry lock".into(),
        }));
    }
    Ok(None)
}

/// uv.lock of the workspace that the project is in, or next to its own `[project]`.
fn uv_lock(directory: &Path, package: &Package) -> Option<PathBuf> {
    let root = package.workspace.as_ref().map(|workspace| workspace.root.as_path());
    let root = root.or_else(|| package.has_project.then_some(directory))?;
    Some(root.join("uv.lock")).filter(|file| file.is_file())
}

fn read_uv_lock(
    file: PathBuf,
    package: &Package,
    options: &CollectOptions,
    tools: &Tools,
) -> Result<LockFile, CollectError> {
    // A conflict that git left in it is reported with its line, as `check` does.
    let document = uv_lock_file::read(&file)?;
    let name = package.name.as_ref().filter(|_| package.has_project);
    let read = match read_here(&document, &file, name, options, tools) {
        Ok(exported) => {
            // It is large, and the export has what is needed of it.
            drop(document);
            pylock::reduce(exported, &file, options)?
        }
        Err(Unsure(reason)) => {
            tools.host().detail(format!("uv reads {}: {reason}", file.display()));
            pylock::read(&ask_uv(&file, name, options, tools)?, &file, options)?
        }
    };
    Ok(LockFile {
        file,
        pins: read.pins,
        repeated: BTreeSet::new(),
        pylock: Some(read.text),
        has_files: read.has_files,
        is_of_project: true,
        remedy: "uv lock".into(),
    })
}

/// The lock without uv, as a pylock.toml for the target.
fn read_here(
    document: &Table,
    file: &Path,
    name: Option<&PackageName>,
    options: &CollectOptions,
    tools: &Tools,
) -> Result<Table, Unsure> {
    let variables = [env_vars::UV_DEV, env_vars::UV_NO_DEV, env_vars::UV_NO_GROUP];
    if let Some(set) = variables.into_iter().find(|name| tools.host().var(name).is_some()) {
        return Unsure::because(format!("{set} is set"));
    }
    let root = file.parent().unwrap_or(Path::new(".")).canonicalize();
    let root = root.map_err(|error| Unsure(error.to_string()))?;
    let selection = Selection::new(name, options)?;
    uv_lock_export::export(document, &root, &selection, &options.target.marker_environment())
}

/// The lock as a pylock.toml for all environments, from uv.
fn ask_uv(
    file: &Path,
    name: Option<&PackageName>,
    options: &CollectOptions,
    tools: &Tools,
) -> Result<String, CollectError> {
    let tool = |error: crate::tools::Error| CollectError::Tool(Box::new(error));
    let name = name.map(ToString::to_string);
    let python = tools.python(options.target.python).map_err(tool)?;
    let request = ExportRequest {
        package: name.as_deref(),
        all_packages: name.is_none(),
        extras: &options.extras,
        all_extras: options.all_extras,
        groups: &options.groups,
        frozen: true,
        python: Some(&python),
    };
    let uv = tools.uv().map_err(tool)?;
    let root = file.parent().unwrap_or(Path::new("."));
    uv.export_lock(root, &request).map_err(|error| match error.fault() {
        Fault::Project => CollectError::Lock { file: file.to_path_buf(), source: Box::new(error.into()) },
        _ => tool(error.into()),
    })
}

/// The command that made a pylock.toml, as far as that says it.
///
/// Source: uv 0.13 writes its command line, less credentials, into the comment at the top; pip 25.1 writes
/// `created-by = "pip"` alone.
fn pylock_command(text: &str, file: &Path) -> String {
    if let Some(command) = compiled::command(text) {
        return command;
    }
    let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let is_of_pip = text.lines().any(|line| line.replace([' ', '\'', '"'], "") == "created-by=pip");
    let listed = file.with_file_name("requirements.txt").is_file();
    match (is_of_pip, listed) {
        (true, true) => format!("pip lock --output {name} --requirement requirements.txt"),
        (true, false) => format!("pip lock --output {name} ."),
        (false, true) => format!("uv pip compile requirements.txt --format pylock.toml --output-file {name}"),
        (false, false) => format!("uv pip compile pyproject.toml --format pylock.toml --output-file {name}"),
    }
}

/// `pylock.toml`, else the only `pylock.NAME.toml`.
fn pylock_file(directory: &Path) -> Result<Option<PathBuf>, CollectError> {
    let plain = directory.join("pylock.toml");
    if plain.is_file() {
        return Ok(Some(plain));
    }
    let entries = std::fs::read_dir(directory).map_err(CollectError::read(directory))?;
    let mut named: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            name.strip_prefix("pylock.")
                .and_then(|rest| rest.strip_suffix(".toml"))
                .is_some_and(|middle| !middle.is_empty() && !middle.contains('.'))
        })
        .collect();
    named.sort();
    match named.as_slice() {
        [] => Ok(None),
        [only] => Ok(Some(only.clone())),
        [first, ..] => Err(CollectError::invalid_with(
            whole(first),
            format!("`{}` has several lock files, and none is named pylock.toml", directory.display()),
            "keep one, rename the right one to pylock.toml, or build with --no-locked",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::{Host, SystemClock};
    use crate::project::LockUse;
    use crate::target::{PythonVersion, Target};
    use std::sync::Arc;

    /// The lock in `directory`, on a machine without uv and Python.
    fn read_alone(directory: &Path, variables: &[(&str, &str)]) -> Result<LockFile, CollectError> {
        let more = [("PEXPRESS_UV", "/nowhere/uv"), ("PEXPRESS_CACHE_DIR", "/nowhere/cache")];
        let env = more.iter().chain(variables).map(|(name, value)| (name.into(), value.into())).collect();
        let sink = || Box::new(std::io::sink());
        let tools = Tools::new(&Host::for_test(env, directory, sink(), sink(), Arc::new(SystemClock)));
        let options = CollectOptions {
            target: Target::serverless(PythonVersion::DEFAULT),
            lock_use: LockUse::Automatic,
            extras: Vec::new(),
            all_extras: false,
            reads_dockerfiles: false,
            workspaces: Default::default(),
            groups: Vec::new(),
        };
        let name = PackageName::new("proj".into()).ok();
        let package = Package { name, has_project: true, ..Package::default() };
        Ok(read(directory, &package, &options, &tools)?.unwrap())
    }

    #[test]
    fn a_uv_lock_is_read_without_uv_and_python() {
        let dir = tempfile::tempdir().unwrap();
        let text = "version = 1\nrequires-python = '>=3.9'\n[[package]]\nname = 'proj'\nsource = { virtual = '.' }\n\
            dependencies = [{ name = 'six' }]\n[[package]]\nname = 'six'\nversion = '1.17.0'\n\
            source = { registry = 'https://index.example.com' }\n\
            wheels = [{ url = 'https://files.example.com/six-1.17.0-py3-none-any.whl', hash = 'sha256:01' }]\n";
        let file = dir.path().join("uv.lock");
        std::fs::write(&file, text).unwrap();
        let lock = read_alone(dir.path(), &[]).unwrap();
        assert_eq!(lock.pins.iter().filter_map(|pin| pin.line("")).collect::<Vec<_>>(), ["six==1.17.0"]);
        assert!(lock.has_files && lock.pylock.unwrap().contains("six-1.17.0-py3-none-any.whl"));
        // uv has to answer.
        let fault = |variables| read_alone(dir.path(), variables).unwrap_err().fault();
        assert_eq!(fault(&[("UV_NO_GROUP", "dev")]), Fault::Tool);
        std::fs::write(&file, text.replace("version = 1\n", "version = 2\n")).unwrap();
        assert_eq!(fault(&[]), Fault::Tool);
        std::fs::write(&file, "<<<<<<< ours\n").unwrap();
        assert_eq!(fault(&[]), Fault::Project);
    }

    #[test]
    fn a_pylock_says_what_made_it() {
        let dir = tempfile::tempdir().unwrap();
        let said = |text: &str| pylock_command(text, &dir.path().join("pylock.toml"));
        let header = "# This file was autogenerated by uv via the following command:\n#    uv export --format pylock.toml -o pylock.toml\nlock-version = \"1.0\"\n";
        assert_eq!(said(header), "uv export --format pylock.toml -o pylock.toml");
        assert_eq!(said("created-by = 'pip'\n"), "pip lock --output pylock.toml .");
        let plain = "uv pip compile pyproject.toml --format pylock.toml --output-file pylock.toml";
        assert_eq!(said("# ours\n"), plain);
        std::fs::write(dir.path().join("requirements.txt"), "").unwrap();
        assert_eq!(
            said("created-by = \"pip\"\n"),
            "pip lock --output pylock.toml --requirement requirements.txt"
        );
    }
}
