//! Helpers of the tests: the program in a clean environment, sample projects, and tools from PyPI.

pub mod act;
pub mod clouds;
pub mod docker_registry;
pub mod environments;
pub mod fake_uv;
pub mod fault_registry;
pub mod github_rows;
pub mod github_standin;
pub mod graphql;
pub mod hosts;
pub mod npm;
pub mod pex_file;
pub mod recording_clock;
pub mod reference;
pub mod said;
pub mod scene;
pub mod scripted_server;
pub mod seed;
pub mod small_project;
pub mod standin;
pub mod step;
pub mod timed;

use pexpress::pex::{PEX_VERSION, WHEEL_FILE_NAME, WHEEL_SHA256};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};
use std::sync::LazyLock;

/// The top of the repository.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The sample project that the README builds.
pub fn quickstart() -> PathBuf {
    repository().join("examples/quickstart")
}

/// A directory below `target/` that outlives the run: caches and environments of the tests.
pub fn kept_dir(name: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    dir
}

/// The program, with the environment of the test run without variables that affect it (`PEXPRESS_*`, `DAGSTER_*`,
/// `GITHUB_*`, …), and with the test suite's own cache and uv.
pub fn pexpress() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pexpress"));
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let steers =
            ["PEXPRESS_", "DAGSTER_", "GITHUB_", "CI", "RUNNER_", "NO_COLOR", "FORCE_COLOR", "VIRTUAL_ENV"];
        if steers.iter().any(|prefix| text.starts_with(prefix)) {
            command.env_remove(&name);
        }
    }
    command.env("PEXPRESS_CACHE_DIR", kept_cache());
    command
}

/// The test suite's cache. The PEX runtime is in it, so that building needs no network after the first run.
pub fn kept_cache() -> PathBuf {
    static CACHE: LazyLock<PathBuf> = LazyLock::new(|| {
        let cache = kept_dir("cache");
        let dir = cache.join("wheels").join(&WHEEL_SHA256[..2]).join(WHEEL_SHA256);
        std::fs::create_dir_all(&dir).unwrap();
        // Other test programs may read the one that is there.
        let copy = dir.join(format!("{}.part", std::process::id()));
        std::fs::copy(pex_runtime(), &copy).unwrap();
        std::fs::rename(copy, dir.join(WHEEL_FILE_NAME)).unwrap();
        cache
    });
    CACHE.clone()
}

/// The pinned wheel of pex, fetched once and kept below `target/`.
pub fn pex_runtime() -> PathBuf {
    static WHEEL: LazyLock<PathBuf> = LazyLock::new(|| {
        let dir = kept_dir("runtime");
        let wheel = dir.join(WHEEL_FILE_NAME);
        if !wheel.exists() {
            let part = dir.join(format!("{}.part", std::process::id()));
            let download =
                ["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:", "--dest"];
            run(Command::new("python3").args(download).arg(&part).arg(format!("pex=={PEX_VERSION}")));
            std::fs::rename(part.join(WHEEL_FILE_NAME), &wheel).unwrap();
            std::fs::remove_dir_all(part).unwrap();
        }
        wheel
    });
    WHEEL.clone()
}

/// Like [`pexpress`], with the uv of the tests, so that none is downloaded.
pub fn pexpress_with_uv() -> Command {
    let mut command = pexpress();
    command.env("PEXPRESS_UV", environments::uv());
    command
}

/// Run `command`. Returns its output, or panics with all its output if it failed.
pub fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert_no_secret(&String::from_utf8_lossy(&output.stdout));
    assert_no_secret(&String::from_utf8_lossy(&output.stderr));
    assert!(
        output.status.success(),
        "{command:?} ended with {}\n--- stdout\n{}\n--- stderr\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    output
}

/// A run's output holds no token of the tests and no presigned signature, except in the command that masks it.
///
/// Every helper that runs the program asks this, so that the whole suite looks for leaks.
pub fn assert_no_secret(said: &str) {
    let tokens = [standin::TOKEN, github_standin::WRITE, "X-Signature="];
    for line in said.lines().filter(|line| !line.starts_with("::add-mask::")) {
        for token in tokens {
            assert!(!line.contains(token), "`{token}` was said: {line}");
        }
    }
}

/// The JSON document that a command printed on stdout.
pub fn json(output: &Output) -> serde_json::Value {
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("not one JSON document ({error}): {text}"))
}

/// A temporary directory with these files: path below it, and content.
pub fn project_tree(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    dir
}

/// Source and deps PEX of one project for one Python.
#[derive(Debug, Clone)]
pub struct BuiltPair {
    /// Directory with both files.
    pub dir: PathBuf,
    /// `source-HASH.pex`.
    pub source: PathBuf,
    /// `deps-HASH.pex`.
    pub deps: PathBuf,
}

impl BuiltPair {
    /// The pair in `dir`: exactly one of each kind.
    pub fn in_dir(dir: &Path) -> BuiltPair {
        let only = |prefix: &str| {
            let found = files_named(dir, prefix);
            assert_eq!(found.len(), 1, "one {prefix}*.pex wanted in {}: {found:?}", dir.display());
            found[0].clone()
        };
        BuiltPair { dir: dir.to_path_buf(), source: only("source-"), deps: only("deps-") }
    }

    /// `files=NAME:NAME`, as a location document names them. Source: the `pex_tag` of dagster-cloud-cli.
    pub fn tag(&self) -> String {
        let name = |path: &Path| {
            path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
        };
        format!("files={}:{}", name(&self.deps), name(&self.source))
    }
}

/// Build `project` for Python `python` into `dir`, with the two commands that build one PEX each.
pub fn build_pair(project: &Path, python: &str, dir: &Path) -> BuiltPair {
    for command in ["source", "deps"] {
        run(pexpress_with_uv().arg(command).arg(project).arg(dir).args(["--python-version", python]));
    }
    BuiltPair::in_dir(dir)
}

/// The `*.pex` files in `dir` whose names start with `prefix`, sorted.
pub fn files_named(dir: &Path, prefix: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let mut found: Vec<_> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with(prefix) && name.ends_with(".pex")
        })
        .collect();
    found.sort();
    found
}

/// A child process that ends with the test, also if that fails. Otherwise it would keep the output of the test program
/// open, and its readers would wait for ever.
pub struct Running(pub Child);

impl Running {
    /// Send a signal; no program `kill` is needed.
    pub fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.0), signal).unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Write a script that can be run.
pub fn write_executable(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}
