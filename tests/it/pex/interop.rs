//! Our PEX files read by many releases of pex, on many Pythons, and by several minor releases of Dagster+'s agent.
//!
//! `PEXPRESS_NIGHTLY=1` runs all of it: a sample of pex's releases since 2.1.132 on each Python, and agents back to
//! 1.9. Without it, a small part of each.

use crate::pex::agent::{quickstart_definitions, serve};
use crate::pex::oracle::write_synthetic;
use crate::pex::tools::{KeptModes, differences, unpacking};
use crate::support::environments::{is_here, python, uv};
use crate::support::small_project::write_wheels;
use crate::support::timed::timed;
use crate::support::{BuiltPair, build_pair, project_tree, quickstart};
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;

/// pex 2.1.132 is the oldest that an agent may have: dagster-cloud 1.9 and newer ask for it or a newer one.
const OLDEST: &str = "2.1.132";
/// Minor releases from the first to the newest when the matrix was last run in full; 59 is the newest that dagster-cloud
/// 1.13.27 takes.
const MINORS: [u32; 12] = [8, 16, 24, 32, 40, 48, 56, 59, 64, 80, 96, 105];
const PYTHONS: [&str; 5] = ["3.9", "3.10", "3.12", "3.13", "3.11"];
/// The Python for tests of agents.
const MAIN_PYTHON: &str = "3.11";
/// From this minor release on pex treats PEX files made before it in its own way: it keeps the executable bits of entry
/// points only, and leaves files of `.data/data` and `.data/headers` in `site-packages/.prefix`. It does so to files that
/// pex 2.59.5 made of the same wheels. dagster-cloud 1.13.27 asks for `pex<2.60.0`.
const OWN_WAY_SINCE: u32 = 60;

fn is_nightly() -> bool {
    std::env::var_os("PEXPRESS_NIGHTLY").is_some()
}

/// One release of pex: what to install, and its minor number.
type Release = (String, u32);

fn latest_of(minor: u32) -> Release {
    (format!("pex==2.{minor}.*"), minor)
}

/// The sample: the first and last releases of 2.1, then some of each age.
fn sample() -> Vec<Release> {
    let ends = [(format!("pex=={OLDEST}"), 1), ("pex==2.1.164".to_string(), 1)];
    ends.into_iter().chain(MINORS.map(latest_of)).collect()
}

/// [`PYTHONS`] that are here.
fn pythons() -> Vec<&'static str> {
    PYTHONS.into_iter().filter(|version| is_here(version)).collect()
}

fn cells(pythons: &[&'static str]) -> Vec<(Release, &'static str)> {
    if !is_nightly() {
        let mut cells =
            vec![((format!("pex=={OLDEST}"), 1), "3.11"), (latest_of(32), "3.12"), (latest_of(105), "3.13")];
        cells.retain(|(_, python)| pythons.contains(python));
        return cells;
    }
    pythons.iter().flat_map(|python| sample().into_iter().map(move |release| (release, *python))).collect()
}

/// A project with a wheel that has something in every category of the `.data` directory.
fn small_pair(python: &str, out: &Path) -> BuiltPair {
    let project = project_tree(&[
        ("requirements.txt", "--no-index\n--find-links wheels\ndagster\ndagster-cloud\nall-data\n"),
        ("defs.py", "import all_data\n"),
        ("data/ünï.csv", "1,2\n"),
    ]);
    write_wheels(project.path(), 0);
    write_synthetic(&project.path().join("wheels"));
    build_pair(project.path(), python, out)
}

/// The result for a release of pex on a Python: read, not installable, or why it failed.
#[derive(Debug, PartialEq)]
enum Outcome {
    Read,
    NotForThisPython,
    Failed(String),
}

fn attempt(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| error.to_string())?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_string();
    match output.status.success() {
        true => Ok(text(&output.stdout)),
        false => Err(text(&output.stderr).lines().rev().take(3).collect::<Vec<_>>().join(" | ")),
    }
}

/// A difference that [`OWN_WAY_SINCE`] explains.
fn is_own_way(difference: &str) -> bool {
    let misplaced = difference.starts_with("share/") || difference.starts_with("include/");
    misplaced
        || difference.contains("/site-packages/.prefix/")
        || difference.starts_with("bin/shell-part: mode 644")
}

fn read_by(release: &Release, version: &str, pair: &BuiltPair) -> Outcome {
    let dir = tempfile::tempdir().unwrap();
    let environment = dir.path().join("pex");
    let made = attempt(
        Command::new(uv()).args(["venv", "--quiet", "--python"]).arg(python(version)).arg(&environment),
    );
    if let Err(error) = made {
        return Outcome::Failed(error);
    }
    let mut install = Command::new(uv());
    install.args(["pip", "install", "--quiet", "--python"]).arg(environment.join("bin/python"));
    if let Err(error) = attempt(install.arg(&release.0)) {
        // An agent cannot use a pex that it cannot install.
        let excluded = error.contains("Python") || error.contains("requirements are unsatisfiable");
        return if excluded { Outcome::NotForThisPython } else { Outcome::Failed(error) };
    }
    // pex 2.1.132 allows any Python, but its own modules cannot be imported on 3.12 and newer.
    if attempt(Command::new(environment.join("bin/python")).args(["-m", "pex", "--version"])).is_err() {
        return Outcome::NotForThisPython;
    }
    let own_way = release.1 >= OWN_WAY_SINCE;
    let kept = if own_way { KeptModes::Scripts } else { KeptModes::All };
    let deps = "import dagster, dagster_cloud, all_data, pure_part, plat_part; print(dagster.version)";
    let source = "import pathlib, working_directory as w; d = pathlib.Path(w.__file__).parent / 'root'; \
                  print((d / 'data/ünï.csv').read_text().strip(), (d / 'defs.py').exists())";
    for (file, code, want) in [(&pair.deps, deps, "1.13.27"), (&pair.source, source, "1,2 True")] {
        let into = tempfile::tempdir().unwrap();
        let (mut unpack, unpacked) = unpacking(&environment, file, into.path());
        let wrong = attempt(&mut unpack).map(|_| {
            let mut wrong = differences(file, &unpacked, kept, version);
            wrong.retain(|each| !(own_way && is_own_way(each)));
            wrong
        });
        let loaded = attempt(
            Command::new(unpacked.join("pex")).args(["-c", code]).env_clear().env("HOME", into.path()),
        );
        match (wrong, loaded) {
            (Ok(wrong), Ok(said)) if wrong.is_empty() && said == want => {}
            (wrong, said) => return Outcome::Failed(format!("{wrong:?}; {said:?}")),
        }
    }
    Outcome::Read
}

#[test]
#[ignore = "minutes, and a package index"]
fn every_pex_reads_what_we_build() {
    let _timed = timed();
    let out = tempfile::tempdir().unwrap();
    let pythons = pythons();
    let pair_of = |version: &&'static str| {
        let dir = out.path().join(version);
        std::fs::create_dir(&dir).unwrap();
        (*version, small_pair(version, &dir))
    };
    let pairs: Vec<_> = pythons.iter().map(pair_of).collect();
    let cells = cells(&pythons);
    let fewest = cells.len().min(3);
    let cells = Mutex::new(cells);
    let outcomes = Mutex::new(Vec::new());
    let work = || {
        while let Some((release, version)) = { cells.lock().unwrap().pop() } {
            let (_, pair) = pairs.iter().find(|(python, _)| *python == version).unwrap();
            let outcome = read_by(&release, version, pair);
            eprintln!("{} on {version}: {outcome:?}", release.0);
            outcomes.lock().unwrap().push((release, version, outcome));
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(work);
        scope.spawn(work);
    });
    let outcomes = outcomes.into_inner().unwrap();
    let failed: Vec<_> =
        outcomes.iter().filter(|(.., outcome)| matches!(outcome, Outcome::Failed(_))).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    let read = |version: &str| {
        outcomes.iter().filter(|(_, python, outcome)| *python == version && *outcome == Outcome::Read).count()
    };
    let counts: Vec<_> = pythons.iter().map(|version| (*version, read(version))).collect();
    eprintln!("read: {counts:?} of {}", outcomes.len());
    let wanted = if is_nightly() { 12 } else { 0 };
    assert!(counts.iter().all(|(_, count)| *count >= wanted), "{counts:?}");
    assert!(counts.iter().map(|(_, count)| count).sum::<usize>() >= fewest, "{counts:?}");
}

#[test]
#[ignore = "minutes, and a package index"]
fn agents_of_several_minor_releases_load_what_we_build() {
    let _timed = timed();
    if !is_here(MAIN_PYTHON) {
        return;
    }
    let out = tempfile::tempdir().unwrap();
    let pair = build_pair(&quickstart(), MAIN_PYTHON, out.path());
    let minors: &[&str] = if is_nightly() { &["1.9", "1.10", "1.11", "1.12", "1.13"] } else { &["1.12"] };
    for minor in minors {
        let agent = format!("dagster-cloud=={minor}.*");
        let answer = serve(&pair, MAIN_PYTHON, &[&agent], "quickstart.definitions", &[]);
        eprintln!("{agent}: {answer}");
        assert_eq!(answer, quickstart_definitions(), "{agent}");
    }
}
