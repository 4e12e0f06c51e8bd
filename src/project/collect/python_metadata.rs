//! Metadata that only Python can tell: of a `setup.py`, or of a build backend with dynamic fields.
//!
//! Whatever runs is run by the target Python in the project's own directory, writes into a temporary directory, and is
//! read from files, so that what it prints does not matter.
//! Sources: setuptools' documentation of `egg_info` and `build`; PEP 517, `prepare_metadata_for_build_wheel`.

use super::core_metadata::{self, CoreMetadata};
use super::error::CollectError;
use super::pyproject::BuildSystem;
use crate::child_env::Purpose;
use crate::scratch::Scratch;
use crate::target::Target;
use crate::tools::{Leftovers, Output, Process, ProcessError, Tools};
use std::path::{Path, PathBuf};

/// Run the `setup.py` in `directory` (or setuptools without one) with the target Python: `egg_info`, and `build` too if
/// asked. Nothing is written in `directory` by setuptools itself.
///
/// A Python that has setuptools is used as it is, unless the project requires something else for its build; then, or
/// if setuptools is missing, uv makes an environment.
///
/// # Errors
/// There is no such Python, or it fails; with the last lines of what it printed.
fn run_setup_py(
    directory: &Path,
    build_requires: &[String],
    target: &Target,
    tools: &Tools,
) -> Result<Vec<u8>, CollectError> {
    let temp_dir = tools.host().temp_dir();
    let scratch = Scratch::shared(&temp_dir).map_err(CollectError::read(&temp_dir))?;
    let mut arguments: Vec<String> = match directory.join("setup.py").is_file() {
        true => vec!["setup.py".into()],
        false => vec!["-c".into(), "import setuptools; setuptools.setup()".into()],
    };
    let inside = |name: &str| scratch.path().join(name).to_string_lossy().into_owned();
    std::fs::create_dir(inside("egg")).map_err(CollectError::read(scratch.path()))?;
    arguments.extend(["egg_info".into(), "--egg-base".into(), inside("egg")]);
    let further = setup_requires(directory, build_requires, scratch.path(), target, tools)?;
    let build_requires: Vec<String> = build_requires.iter().cloned().chain(further).collect();
    let output = run_in_environment(directory, &build_requires, &arguments, target, tools)?;
    if !output.status.success() {
        let file =
            directory.join(if directory.join("setup.py").is_file() { "setup.py" } else { "pyproject.toml" });
        return Err(failed("setup.py egg_info", directory, &file, &output));
    }
    let metadata = find(&scratch.path().join("egg"), ".egg-info", "PKG-INFO")
        .ok_or_else(|| failed("setup.py egg_info", directory, &directory.join("setup.py"), &output))?;
    let requires_txt = metadata.with_file_name("requires.txt");
    let metadata = std::fs::read(&metadata).map_err(CollectError::read(&metadata))?;
    if !requires_txt.is_file() {
        return Ok(metadata);
    }
    let text = std::fs::read_to_string(&requires_txt).map_err(CollectError::read(&requires_txt))?;
    Ok(core_metadata::with_requires_txt(metadata, &text))
}

/// The metadata that a setup.py gives.
pub(super) fn of_setup_py(
    directory: &Path,
    build_requires: &[String],
    target: &Target,
    tools: &Tools,
) -> Result<CoreMetadata, CollectError> {
    let metadata = run_setup_py(directory, build_requires, target, tools)?;
    core_metadata::read(&metadata, &directory.join("setup.py"), &target.marker_environment())
}

/// Runs a setup.py as far as its `setup_requires`: writes them to a file, exit status 3.
const SETUP_REQUIRES: &str = r#"
import runpy, sys
import setuptools.dist
out, *sys.argv = sys.argv[1:]
def fetch_build_eggs(self, requires):
    lines = [requires] if isinstance(requires, str) else map(str, requires)
    with open(out, "w", encoding="utf-8") as file:
        file.write("\n".join(lines))
    sys.exit(3)
setuptools.dist.Distribution.fetch_build_eggs = fetch_build_eggs
runpy.run_path(sys.argv[0], run_name="__main__")
"#;

/// What a setup.py asks for by `setup_requires`; setuptools itself would install it into `.eggs` of the project.
/// Source: setuptools' documentation of the keyword, which calls it deprecated.
fn setup_requires(
    directory: &Path,
    build_requires: &[String],
    scratch: &Path,
    target: &Target,
    tools: &Tools,
) -> Result<Vec<String>, CollectError> {
    let names = ["setup.py", "setup.cfg"].map(|name| std::fs::read(directory.join(name)).unwrap_or_default());
    let is_named = |text: &Vec<u8>| String::from_utf8_lossy(text).contains("setup_requires");
    // Most projects do not use the keyword, and each run of setup.py costs time.
    if !directory.join("setup.py").is_file() || !names.iter().any(is_named) {
        return Ok(Vec::new());
    }
    let out = scratch.join("setup-requires.txt");
    let mut arguments = vec!["-c".into(), SETUP_REQUIRES.into(), out.to_string_lossy().into_owned()];
    arguments.extend(["setup.py", "--name"].map(String::from));
    let output = run_in_environment(directory, build_requires, &arguments, target, tools)?;
    // Any other failure is that of the setup.py, and is reported when it runs for the build.
    if output.status.code() != Some(3) || !out.is_file() {
        return Ok(Vec::new());
    }
    let text = std::fs::read_to_string(&out).map_err(CollectError::read(&out))?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_string);
    let own = build_requires.is_empty().then(|| "setuptools".to_string());
    Ok(own.into_iter().chain(lines).collect())
}

/// Whether an environment has to be made: the project requires something that is not just some setuptools.
fn needs_environment(build_requires: &[String]) -> bool {
    build_requires.iter().any(|line| !["setuptools", "wheel"].contains(&line.trim()))
}

fn run_in_environment(
    directory: &Path,
    build_requires: &[String],
    arguments: &[String],
    target: &Target,
    tools: &Tools,
) -> Result<Output, CollectError> {
    let python = tools.python(target.python).map_err(tool)?;
    if !needs_environment(build_requires) {
        let output = quiet(Process::new(tools.host(), Purpose::Code, &python)).args(arguments).cwd(directory);
        let output = output.output(tools.host()).map_err(process)?;
        // Python 3.12 has neither setuptools nor distutils by default. Source: "What's New In Python 3.12".
        let lacks_setuptools = ["setuptools", "distutils", "pkg_resources"]
            .iter()
            .any(|module| output.stderr.contains(&format!("No module named '{module}'")));
        if output.status.success() || !lacks_setuptools {
            return Ok(output);
        }
    }
    let mut with: Vec<&str> = build_requires.iter().map(String::as_str).collect();
    if with.is_empty() {
        with.extend(["setuptools", "wheel"]);
    }
    run_with(directory, &with, arguments, &python, tools)
}

fn quiet(process: Process) -> Process {
    process.env("PYTHONDONTWRITEBYTECODE", "1").env("PYTHONUNBUFFERED", "1")
}

/// `uv run --with … python ARGUMENTS` in an environment of its own.
fn run_with(
    directory: &Path,
    requires: &[&str],
    arguments: &[String],
    python: &Path,
    tools: &Tools,
) -> Result<Output, CollectError> {
    let process = tools.uv().map_err(tool)?.process(&["run"]);
    quiet(process)
        .args(["--no-project", "--isolated", "--python"])
        .arg(python)
        .args(requires.iter().flat_map(|line| ["--with", line]))
        .args(["--", "python"])
        .args(arguments)
        .cwd(directory)
        .output(tools.host())
        .map_err(self::process)
}

/// What the hook runner leaves: metadata in `out`, or in `requires` what it needs besides (exit status 3).
const HOOK_RUNNER: &str = r#"
import importlib, importlib.metadata, os, re, sys
backend, out, requires, *path = sys.argv[1:]
sys.path[:0] = path
module, _, attributes = backend.partition(":")
hooks = importlib.import_module(module)
for attribute in filter(None, attributes.split(".")):
    hooks = getattr(hooks, attribute)
def missing(line):
    try:
        importlib.metadata.version(re.match(r"[A-Za-z0-9._-]+", line).group())
    except importlib.metadata.PackageNotFoundError:
        return True
needed = getattr(hooks, "get_requires_for_build_wheel", lambda: [])()
needed = [line for line in needed if missing(line)]
if needed:
    open(requires, "w", encoding="utf-8").write("\n".join(needed))
    sys.exit(3)
if hasattr(hooks, "prepare_metadata_for_build_wheel"):
    hooks.prepare_metadata_for_build_wheel(out)
else:
    import zipfile
    wheel = os.path.join(out, hooks.build_wheel(out))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(out, [n for n in archive.namelist() if n.endswith(".dist-info/METADATA")])
"#;

/// The metadata that the build backend of the project in `directory` gives.
///
/// setuptools is asked through `egg_info`, since its own hook writes into the project.
pub(super) fn of_backend(
    directory: &Path,
    system: &BuildSystem,
    target: &Target,
    tools: &Tools,
) -> Result<CoreMetadata, CollectError> {
    let file = directory.join("pyproject.toml");
    let backend = system.backend.as_deref().unwrap_or("setuptools.build_meta");
    let _leftovers = Leftovers::in_tree(directory);
    if backend.starts_with("setuptools.") {
        let metadata = run_setup_py(directory, &system.requires, target, tools)?;
        return core_metadata::read(&metadata, &file, &target.marker_environment());
    }
    let temp_dir = tools.host().temp_dir();
    let scratch = Scratch::shared(&temp_dir).map_err(CollectError::read(&temp_dir))?;
    let further = scratch.path().join("requires.txt");
    let out = scratch.path().join("out");
    std::fs::create_dir(&out).map_err(CollectError::read(&out))?;
    let mut arguments = vec!["-c".to_string(), HOOK_RUNNER.to_string(), backend.to_string()];
    arguments.extend([&out, &further].map(|path| path.to_string_lossy().into_owned()));
    arguments
        .extend(system.backend_path.iter().map(|path| directory.join(path).to_string_lossy().into_owned()));
    let python = tools.python(target.python).map_err(tool)?;
    let mut requires: Vec<String> = system.requires.clone();
    let mut output = None;
    for _ in 0..2 {
        let with: Vec<&str> = requires.iter().map(String::as_str).collect();
        let run = run_with(directory, &with, &arguments, &python, tools)?;
        let asks_for_more = run.status.code() == Some(3) && further.is_file();
        output = Some(run);
        if !asks_for_more {
            break;
        }
        let more = std::fs::read_to_string(&further).map_err(CollectError::read(&further))?;
        requires.extend(more.lines().map(str::to_string));
    }
    let metadata = find(&out, ".dist-info", "METADATA");
    match (output, metadata) {
        (Some(output), Some(metadata)) if output.status.success() => {
            let bytes = std::fs::read(&metadata).map_err(CollectError::read(&metadata))?;
            core_metadata::read(&bytes, &file, &target.marker_environment())
        }
        (Some(output), _) => {
            Err(failed(&format!("the build backend `{backend}`"), directory, &file, &output))
        }
        (None, _) => Err(CollectError::invalid(super::error::whole(&file), "the build backend was not run")),
    }
}

/// `NAME` in the directory below `base` that ends in `suffix`.
fn find(base: &Path, suffix: &str, name: &str) -> Option<PathBuf> {
    let entries = std::fs::read_dir(base).ok()?;
    let mut found: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.to_string_lossy().ends_with(suffix))
        .map(|path| path.join(name))
        .filter(|path| path.is_file())
        .collect();
    found.sort();
    found.into_iter().next()
}

/// How many lines of a failure are shown.
const LINES_SHOWN: usize = 15;

fn failed(what: &str, directory: &Path, file: &Path, output: &Output) -> CollectError {
    let text = match output.stderr.trim() {
        "" => crate::foreign_text::neutral(String::from_utf8_lossy(&output.stdout).trim()),
        text => text.to_string(),
    };
    let lines: Vec<&str> = text.lines().collect();
    let shown = lines[lines.len().saturating_sub(LINES_SHOWN)..].join("\n");
    CollectError::Python {
        what: what.to_string(),
        directory: directory.to_path_buf(),
        output: if shown.is_empty() { "it printed nothing and left no metadata".into() } else { shown },
        file: file.to_path_buf(),
    }
}

fn tool(error: crate::tools::Error) -> CollectError {
    CollectError::Tool(Box::new(error))
}

fn process(error: ProcessError) -> CollectError {
    tool(error.into())
}
