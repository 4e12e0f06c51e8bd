//! Compares the reading of poetry.lock files with `poetry export` of the same files.
//!
//! The projects are made and locked here, with the poetry and poetry-plugin-export that `uv tool run` fetches.
//! `PEXPRESS_POETRY_LOCKS` names a directory with others, one a directory and locked already, to compare instead.

use super::collect;
use crate::host::Host;
use crate::project::{CollectOptions, LockContent, LockUse};
use crate::target::{PythonVersion, Target};
use crate::tools::{PackageSources, Tools};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Name and `pyproject.toml` after its `[tool.poetry]`.
const PROJECTS: [(&str, &str); 9] = [
    ("plain", "[tool.poetry.dependencies]\npython = '>=3.10,<4'\nrequests = '^2.31'\n"),
    (
        "extras",
        "[tool.poetry.dependencies]\npython = '>=3.10,<4'\nrequests = {version = '*', extras = ['socks']}\n\
         uvicorn = {version = '*', extras = ['standard']}\n",
    ),
    (
        "own_extras",
        "[tool.poetry.dependencies]\npython = '>=3.10,<4'\nsix = '*'\nrich = {version = '*', optional = true}\n\
         [tool.poetry.extras]\npretty = ['rich']\n",
    ),
    (
        "markers",
        "[tool.poetry.dependencies]\npython = '>=3.10,<4'\ncolorama = {version = '*', markers = \"sys_platform == 'win32'\"}\n\
         tomli = {version = '*', python = '<3.11'}\nexceptiongroup = {version = '*', python = '<3.12'}\nclick = '*'\n",
    ),
    (
        "forks",
        "[tool.poetry.dependencies]\npython = '>=3.10,<3.13'\n\
         numpy = [{version = '<2', python = '<3.12'}, {version = '>=2', python = '>=3.12'}]\npandas = '*'\n",
    ),
    (
        "groups",
        "[tool.poetry.dependencies]\npython = '>=3.10,<4'\nsix = '*'\n[tool.poetry.group.dev.dependencies]\npytest = '*'\n\
         [tool.poetry.group.lint.dependencies]\nruff = '*'\n",
    ),
    (
        "dagster",
        "[tool.poetry.dependencies]\npython = '>=3.10,<3.13'\ndagster = '*'\ndagster-cloud = {version = '*', extras = ['serverless']}\n",
    ),
    (
        "project",
        "[project]\nname = 'p'\nversion = '1'\nrequires-python = '>=3.10,<4'\ndependencies = ['httpx[http2]>=0.27', 'sqlalchemy[asyncio]']\n\
         [project.optional-dependencies]\nmore = ['attrs']\n",
    ),
    (
        "self_extras",
        "[tool.poetry.dependencies]\npython = '>=3.10,<3.13'\nfsspec = {version = '*', extras = ['http']}\n\
         pydantic = {version = '*', extras = ['email', 'timezone']}\n",
    ),
];

/// Extras and groups.
type Choice<'a> = (&'a [&'a str], &'a [&'a str]);

fn options(target: Target, extras: &[&str], groups: &[&str]) -> CollectOptions {
    let owned = |names: &[&str]| names.iter().map(ToString::to_string).collect();
    let (extras, groups) = (owned(extras), owned(groups));
    CollectOptions {
        target,
        lock_use: LockUse::Automatic,
        extras,
        all_extras: false,
        groups,
        reads_dockerfiles: false,
        workspaces: Default::default(),
    }
}

fn poetry(tools: &Tools, directory: &Path, words: &[&str]) -> Result<String, String> {
    let uv = tools.uv().unwrap();
    let process =
        uv.process(&["tool", "run"]).args(["--from", "poetry==2.2.1", "--with", "poetry-plugin-export"]);
    let output = process.arg("poetry").args(words).cwd(directory).run(tools.host());
    output
        .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
        .map_err(|error| error.to_string())
}

fn write_projects(root: &Path, tools: &Tools) -> Vec<PathBuf> {
    let index = PackageSources::read(tools.host()).default_index().unwrap();
    let write = |(name, text): &(&str, &str)| {
        let directory = root.join(name);
        std::fs::create_dir_all(&directory).unwrap();
        let head = match text.starts_with("[project]") {
            true => "[tool.poetry]\npackage-mode = false\n",
            false => {
                "[tool.poetry]\nname = 'p'\nversion = '1'\ndescription = ''\nauthors = []\npackage-mode = false\n"
            }
        };
        // Without a source, Poetry asks an interface of the public index that mirrors do not have.
        let source =
            format!("[[tool.poetry.source]]\nname = 'main'\nurl = '{index}'\npriority = 'primary'\n");
        std::fs::write(directory.join("pyproject.toml"), format!("{head}{text}{source}")).unwrap();
        poetry(tools, &directory, &["lock"]).unwrap_or_else(|error| panic!("{name}: {error}"));
        directory
    };
    in_parallel(&PROJECTS, write)
}

/// Each package with its digests, from `poetry export`; markers are evaluated for the target.
fn exported(text: &str, target: Target) -> BTreeMap<String, BTreeSet<String>> {
    let text = text.replace("\\\n", " ");
    let lines = text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with(['#', '-']));
    let read = |line: &str| {
        let (requirement, hashes) = line.split_once(" --hash=").unwrap_or((line, ""));
        let requirement: pep508_rs::Requirement = requirement.trim().parse().unwrap();
        let digests = format!("--hash={hashes}");
        let digests = digests.split("--hash=").map(str::trim).filter(|it| !it.is_empty()).map(str::to_string);
        let pep508_rs::Requirement { name, version_or_url, marker, .. } = requirement;
        let Some(pep508_rs::VersionOrUrl::VersionSpecifier(version)) = version_or_url else {
            panic!("{line}")
        };
        let version = version.to_string();
        marker
            .evaluate(&target.marker_environment(), &[])
            .then(|| (format!("{name}{version}"), digests.collect()))
    };
    lines.filter_map(read).collect()
}

/// The same of our reading; `None` if it is left to uv.
fn ours(
    directory: &Path,
    options: &CollectOptions,
    tools: &Tools,
) -> Option<BTreeMap<String, BTreeSet<String>>> {
    let found = collect(directory, options, tools, tools.host()).unwrap();
    let LockContent::Pylock { text, complete: true } = found.lock.unwrap().content else { return None };
    let document: toml::Table = text.parse().unwrap();
    let read = |package: &toml::Value| {
        let (name, version) = (package["name"].as_str().unwrap(), package["version"].as_str().unwrap());
        let files = package["wheels"].as_array().unwrap().iter().chain(package.get("sdist"));
        let digests = files.map(|file| format!("sha256:{}", file["hashes"]["sha256"].as_str().unwrap()));
        (format!("{name}=={version}"), digests.collect())
    };
    Some(document["packages"].as_array().unwrap().iter().map(read).collect())
}

/// A thread for each item: Poetry mostly waits for the index.
fn in_parallel<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = items.iter().map(|item| scope.spawn(|| work(item))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

#[derive(Default)]
struct Tally {
    same: usize,
    unsure: usize,
    differences: Vec<String>,
}

/// Compare both readings of a lock, for each choice of extras and groups that it has.
fn compare(directory: &Path, choices: &[Choice<'_>], tools: &Tools) -> Tally {
    let pyproject = std::fs::read_to_string(directory.join("pyproject.toml")).unwrap();
    let mut tally = Tally::default();
    for (extras, groups) in choices {
        if !extras.iter().all(|name| pyproject.contains(&format!("\n{name} = [")))
            || !groups.iter().all(|name| pyproject.contains(&format!("group.{name}.")))
        {
            continue;
        }
        let mut words = vec!["export", "--format", "requirements.txt"];
        extras.iter().for_each(|name| words.extend(["--extras", name]));
        groups.iter().for_each(|name| words.extend(["--with", name]));
        let text = poetry(tools, directory, &words).unwrap();
        for python in ["3.10", "3.11", "3.12"] {
            let target = Target::serverless(python.parse::<PythonVersion>().unwrap());
            let title = format!("{} {extras:?} {groups:?} {python}", directory.display());
            match ours(directory, &options(target, extras, groups), tools) {
                None => tally.unsure += 1,
                Some(ours) if ours == exported(&text, target) => tally.same += 1,
                Some(ours) => {
                    let poetrys = exported(&text, target);
                    tally.differences.push(format!("{title}:\n ours {ours:#?}\n poetry {poetrys:#?}"));
                }
            }
        }
    }
    tally
}

#[test]
#[ignore = "needs uv and a package index"]
fn every_lock_is_read_as_poetry_exports_it() {
    let tools = Tools::new(&Host::from_process());
    let root = tempfile::tempdir().unwrap();
    let directories: Vec<PathBuf> = match std::env::var_os("PEXPRESS_POETRY_LOCKS") {
        Some(there) => std::fs::read_dir(there).unwrap().map(|entry| entry.unwrap().path()).collect(),
        None => write_projects(&root.path().canonicalize().unwrap(), &tools),
    };
    let choices: [Choice<'_>; 5] =
        [(&[], &[]), (&["pretty"], &[]), (&["more"], &[]), (&[], &["dev"]), (&[], &["dev", "lint"])];
    let tallies = in_parallel(&directories, |directory| compare(directory, &choices, &tools));
    let same: usize = tallies.iter().map(|tally| tally.same).sum();
    let unsure: usize = tallies.iter().map(|tally| tally.unsure).sum();
    let differences: Vec<String> = tallies.into_iter().flat_map(|tally| tally.differences).collect();
    let report = format!("{same} the same, {unsure} left to uv\n{}", differences.join("\n"));
    assert!(differences.is_empty() && same >= directories.len(), "{report}");
    // Straight to stderr, which libtest does not capture.
    let _ = writeln!(std::io::stderr(), "{report}");
}
