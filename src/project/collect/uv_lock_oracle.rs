//! Compares the reading of uv.lock files with `uv export` of the same files.
//!
//! The projects are made and locked here. `PEXPRESS_UV_LOCKS` names a directory with others, one a directory and locked
//! already, to compare instead.

mod projects;

use super::pylock::{self, Pylock};
use super::uv_lock_graph::Lock;
use super::uv_lock_marker::Unsure;
use super::uv_lock_reach::Selection;
use super::{uv_lock_export, uv_lock_file};
use crate::host::Host;
use crate::project::{CollectOptions, LockUse};
use crate::target::{PythonVersion, Target};
use crate::tools::{ExportRequest, Tools};
use pep508_rs::PackageName;
use projects::{PROJECTS, pyproject, random_project};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use toml::Table;

/// A wheel with nothing in it.
fn write_wheel(path: &Path, name: &str) {
    let mut archive = zip::ZipWriter::new(std::fs::File::create(path).unwrap());
    let info = format!("{name}-1.0.dist-info");
    for (file, text) in [
        ("METADATA", format!("Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")),
        ("WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n".into()),
        ("RECORD", format!("{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")),
    ] {
        archive.start_file(format!("{info}/{file}"), zip::write::SimpleFileOptions::default()).unwrap();
        archive.write_all(text.as_bytes()).unwrap();
    }
    archive.finish().unwrap();
}

fn run(program: &str, arguments: &[&str], directory: &Path) {
    let output = std::process::Command::new(program).args(arguments).current_dir(directory).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// What the projects refer to: files, and a repository.
fn write_sources(root: &Path) {
    let files = root.join("files");
    std::fs::create_dir_all(&files).unwrap();
    write_wheel(&files.join("thing-1.0-py3-none-any.whl"), "thing");
    write_wheel(&files.join("flat-1.0-py3-none-any.whl"), "flat");
    let build = "[build-system]\nrequires = ['setuptools']\nbuild-backend = 'setuptools.build_meta'\n";
    let write = |directory: &str, name: &str| {
        let directory = root.join(directory);
        std::fs::create_dir_all(&directory).unwrap();
        let text = pyproject(&format!("name={name}\n{build}[tool.setuptools]\npackages = []\n"));
        std::fs::write(directory.join("pyproject.toml"), text).unwrap();
    };
    write("archive-1.0", "archive");
    let metadata = "Metadata-Version: 2.1\nName: archive\nVersion: 1.0\n";
    std::fs::write(root.join("archive-1.0/PKG-INFO"), metadata).unwrap();
    run("tar", &["czf", "files/archive-1.0.tar.gz", "archive-1.0"], root);
    write("repo", "repo");
    write("repo/part", "part");
    let repository = root.join("repo");
    run("git", &["init", "--quiet"], &repository);
    run("git", &["add", "."], &repository);
    let identity = ["-c", "user.name=x", "-c", "user.email=x@example.com"];
    run("git", &[&identity[..], &["commit", "--quiet", "-m", "x"]].concat(), &repository);
    run("git", &["tag", "v1"], &repository);
}

/// Write and lock all projects below `root`.
fn write_projects(root: &Path, tools: &Tools) -> Vec<PathBuf> {
    write_sources(root);
    let lock = |directory: &Path| {
        tools.uv().unwrap().process(&["lock"]).cwd(directory).run(tools.host()).unwrap();
    };
    let write = |name: &str, files: &[(&str, String)]| {
        let directory = root.join(name);
        for (file, text) in files {
            let file = directory.join(file);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, text).unwrap();
        }
        lock(&directory);
        directory
    };
    let six = write("six", &[("pyproject.toml", pyproject("dependencies = ['six']"))]);
    let document = uv_lock_file::read(&six.join("uv.lock")).unwrap();
    let package =
        document["package"].as_array().unwrap().iter().find(|it| it["name"].as_str() == Some("six"));
    let package = package.unwrap();
    let address = |file: &toml::Value| file["url"].as_str().unwrap().to_string();
    let (wheel, sdist) = (address(&package["wheels"][0]), address(&package["sdist"]));
    let filled = |file: &str, text: &str| {
        let text = text.replace("{ROOT}", root.to_str().unwrap());
        let text = text.replace("{WHEEL}", &wheel).replace("{SDIST}", &sdist);
        if file.ends_with("pyproject.toml") { pyproject(&text) } else { text }
    };
    let mut directories = vec![six.clone()];
    for (name, files) in PROJECTS {
        let files: Vec<_> = files.iter().map(|(file, text)| (*file, filled(file, text))).collect();
        directories.push(write(name, &files));
    }
    for seed in 1..=12 {
        let text = filled("pyproject.toml", &random_project(seed));
        directories.push(write(&format!("random_{seed}"), &[("pyproject.toml", text)]));
    }
    directories
}

/// Counts, and the differences in words.
#[derive(Default)]
struct Tally {
    combinations: usize,
    same: usize,
    unsure: BTreeMap<String, usize>,
    differences: Vec<String>,
}

fn options(target: Target, extras: &[&str], all_extras: bool, groups: &[&str]) -> CollectOptions {
    let owned = |names: &[&str]| names.iter().map(ToString::to_string).collect();
    let (extras, groups) = (owned(extras), owned(groups));
    CollectOptions {
        target,
        lock_use: LockUse::Automatic,
        extras,
        all_extras,
        groups,
        reads_dockerfiles: false,
        workspaces: Default::default(),
    }
}

/// What a lock offers: `None` for a root that is no project, and members, each with its extras and groups.
fn choices(document: &Table, directory: &Path) -> Vec<(Option<PackageName>, Vec<Vec<String>>)> {
    let Ok(lock) = Lock::read(document) else { return vec![(None, vec![Vec::new(); 2])] };
    let own = std::fs::read_to_string(directory.join("pyproject.toml")).unwrap().contains("[project]");
    let mut names: Vec<Option<PackageName>> = lock.members.iter().cloned().map(Some).collect();
    if names.is_empty() {
        let is_root = |kind: &toml::Value| kind.as_str() == Some(".");
        let root = lock.packages.iter().find(|package| package.source.values().any(is_root));
        names.extend(root.map(|root| Some(root.name.clone())));
    }
    if !own {
        names.push(None);
    }
    let choice = |name: Option<PackageName>| {
        let roots = lock.packages.iter().filter(|package| match &name {
            Some(name) => package.name == *name,
            None => lock.members.contains(&package.name),
        });
        let (mut extras, mut groups) = (BTreeSet::new(), BTreeSet::new());
        for package in roots {
            extras.extend(package.declared_extras.iter().map(ToString::to_string));
            groups.extend(package.declared_groups.iter().map(ToString::to_string));
        }
        groups.extend(lock.root_groups.iter().map(ToString::to_string));
        (name, vec![extras.into_iter().take(8).collect(), groups.into_iter().take(5).collect()])
    };
    names.into_iter().take(12).map(choice).collect()
}

/// Extras, all of them, groups.
type Asked<'a> = (Vec<&'a str>, bool, Vec<&'a str>);

fn asked<'a>(extras: &'a [String], groups: &'a [String]) -> Vec<Asked<'a>> {
    let mut asked: Vec<Asked<'a>> = vec![(vec![], false, vec![]), (vec![], true, vec![])];
    asked.extend(extras.iter().map(|extra| (vec![extra.as_str()], false, vec![])));
    asked.extend(groups.iter().map(|group| (vec![], false, vec![group.as_str()])));
    if let (Some(extra), Some(group)) = (extras.last(), groups.first()) {
        asked.push((vec![extra], false, vec![group]));
    }
    if let [first, .., last] = extras {
        asked.push((vec![first, last], false, vec![]));
    }
    asked.push((vec!["not-there"], false, vec![]));
    asked.push((vec![], false, vec!["not-there"]));
    asked
}

fn shown(read: &Pylock) -> String {
    let pins: Vec<String> = read.pins.iter().map(|pin| format!("{pin:?}")).collect();
    format!("{}\n{}\n{}", pins.join("\n"), read.has_files, read.text)
}

/// The first line that differs.
fn difference(uv: &str, ours: &str) -> String {
    let (mut uv, mut ours) = (uv.lines(), ours.lines());
    loop {
        match (uv.next(), ours.next()) {
            (None, None) => return "none".into(),
            (one, other) if one != other => return format!("\n    uv   {one:?}\n    ours {other:?}"),
            _ => {}
        }
    }
}

impl Tally {
    fn compare(&mut self, directory: &Path, tools: &Tools) {
        let file = directory.join("uv.lock");
        let document = uv_lock_file::read(&file).unwrap();
        for (name, offered) in choices(&document, directory) {
            for (extras, all_extras, groups) in asked(&offered[0], &offered[1]) {
                let any = options(Target::serverless(PythonVersion::DEFAULT), &extras, all_extras, &groups);
                let package = name.as_ref().map(ToString::to_string);
                let request = ExportRequest {
                    package: package.as_deref(),
                    all_packages: name.is_none(),
                    extras: &any.extras,
                    all_extras,
                    groups: &any.groups,
                    frozen: true,
                    python: None,
                };
                let uv =
                    tools.uv().unwrap().export_lock(directory, &request).map_err(|error| error.to_string());
                for python in ["3.9", "3.11", "3.12", "3.14"] {
                    let target = Target::serverless(python.parse().unwrap());
                    let options = CollectOptions { target, ..any.clone() };
                    let title = format!(
                        "{} {name:?} {extras:?} {all_extras} {groups:?} {python}",
                        directory.display()
                    );
                    self.add(&title, uv.as_deref(), &document, &file, name.as_ref(), &options);
                }
            }
        }
    }

    fn add(
        &mut self,
        title: &str,
        uv: Result<&str, &String>,
        document: &Table,
        file: &Path,
        name: Option<&PackageName>,
        options: &CollectOptions,
    ) {
        self.combinations += 1;
        let root = file.parent().unwrap().canonicalize().unwrap();
        let environment = options.target.marker_environment();
        let ours = Selection::new(name, options)
            .and_then(|selection| uv_lock_export::export(document, &root, &selection, &environment));
        let ours = match ours {
            Ok(ours) => ours,
            Err(Unsure(reason)) => {
                let uvs = if uv.is_ok() { "uv answers" } else { "uv refuses" };
                *self.unsure.entry(format!("{reason}; {uvs}")).or_default() += 1;
                return;
            }
        };
        let text = |read: Result<Pylock, super::CollectError>| {
            read.map_or_else(|error| error.to_string(), |read| shown(&read))
        };
        let ours = text(pylock::reduce(ours, file, options));
        match uv.map(|uv| text(pylock::read(uv, file, options))) {
            Ok(uv) if uv == ours => self.same += 1,
            Ok(uv) => self.differences.push(format!("{title}: {}", difference(&uv, &ours))),
            Err(error) => self.differences.push(format!("{title}: uv refuses: {error}")),
        }
    }
}

#[test]
#[ignore = "needs uv and a package index"]
fn every_lock_is_read_as_uv_exports_it() {
    let tools = Tools::new(&Host::from_process());
    let root = tempfile::tempdir().unwrap();
    let (directories, least_same): (Vec<PathBuf>, usize) = match std::env::var_os("PEXPRESS_UV_LOCKS") {
        Some(there) => (std::fs::read_dir(there).unwrap().map(|entry| entry.unwrap().path()).collect(), 1),
        None => (write_projects(&root.path().canonicalize().unwrap(), &tools), 500),
    };
    let mut tally = Tally::default();
    for directory in &directories {
        tally.compare(directory, &tools);
    }
    let report = format!(
        "{} combinations, {} the same, left to uv: {:#?}\n{}",
        tally.combinations,
        tally.same,
        tally.unsure,
        tally.differences.join("\n")
    );
    assert!(tally.differences.is_empty() && tally.same >= least_same, "{report}");
    // Straight to stderr, which libtest does not capture.
    let _ = writeln!(std::io::stderr(), "{report}");
}
