//! Kills and signals at random moments of `pexpress image`.
//!
//! A directory that looks like a layout is a whole one at every moment: its index names an image of this or of the run
//! before, and everything that this needs is there. The next run makes what a run without a kill makes.

use crate::image::base::{Base, digest};
use crate::image::build::project;
use crate::support::pexpress_with_uv;
use crate::support::seed::{Random, seed, sized};
use crate::support::timed::timed;
use rustix::process::{Pid, Signal, kill_process, kill_process_group, test_kill_process_group};
use serde_json::Value;
use std::collections::BTreeSet;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

/// Leftovers have to be older than this to be swept.
const OLD: Duration = Duration::from_secs(120);

/// A project with two code locations of one build directory, whose images differ in nothing but their names.
fn scene() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    project(dir.path());
    let path = dir.path().join("dagster_cloud.yaml");
    let text = std::fs::read_to_string(&path).unwrap();
    let entry = text.split_once("locations:\n").unwrap().1.to_string();
    std::fs::write(path, text + &entry.replace("location_name: shop", "location_name: other")).unwrap();
    let bases = ["amd64", "arm64"].map(|processor| Base::official("3.11").on(processor));
    Base::write_all(&bases, &dir.path().join("base"));
    dir
}

fn command(dir: &Path) -> Command {
    let mut command = pexpress_with_uv();
    command
        .current_dir(dir)
        .args(["image", "dagster_cloud.yaml", "out", "--no-image-bytecode", "--python-version", "3.11"])
        .args(["--base-image", "oci:base", "--image-platform", "linux/amd64,linux/arm64", "--sbom"])
        .env("PEXPRESS_CACHE_DIR", dir.join("cache"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0);
    command
}

/// Change the source. Returns what was there.
fn change(dir: &Path, text: &str) {
    std::fs::write(dir.join("shop/data.txt"), text).unwrap();
}

/// The digest that each layout names; all of it is there.
fn whole(dir: &Path, what: &str) -> BTreeSet<(String, String)> {
    let mut named = BTreeSet::new();
    for name in ["shop", "other"] {
        let layout = dir.join("out").join(name);
        if !layout.join("oci-layout").exists() {
            continue;
        }
        let index = std::fs::read(layout.join("index.json")).unwrap_or_else(|_| panic!("{what}: no index"));
        let index: Value = serde_json::from_slice(&index).unwrap_or_else(|_| panic!("{what}: half an index"));
        let mut open = index["manifests"].as_array().unwrap().clone();
        named.insert((name.to_string(), open[0]["digest"].as_str().unwrap().to_string()));
        while let Some(descriptor) = open.pop() {
            let wanted = descriptor["digest"].as_str().unwrap();
            let path = layout.join("blobs/sha256").join(&wanted[7..]);
            let content = std::fs::read(&path).unwrap_or_else(|_| panic!("{what}: {name} lacks {wanted}"));
            assert_eq!(digest(&content), wanted, "{what}: {name}");
            if descriptor["mediaType"].as_str().unwrap().ends_with("+json") {
                let value: Value = serde_json::from_slice(&content).unwrap();
                open.extend(
                    ["manifests", "layers"].iter().filter_map(|key| value[key].as_array()).flatten().cloned(),
                );
                open.extend(value.get("config").filter(|config| config["digest"].is_string()).cloned());
            }
        }
    }
    named
}

/// Unfinished files and directories of ours.
fn leftovers(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![dir.join("out"), dir.join("cache")];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(&directory).into_iter().flatten().flatten() {
            let path = entry.path();
            if entry.file_name().to_string_lossy().starts_with(".partial-") {
                found.push(path);
            } else if path.is_dir() {
                open.push(path);
            }
        }
    }
    found
}

fn run(dir: &Path) {
    let status = command(dir).status().unwrap();
    assert!(status.success(), "{status}");
}

#[test]
#[ignore = "minutes"]
fn a_layout_is_whole_whenever_a_run_is_killed_and_the_next_run_gives_the_same() {
    let _timed = timed();
    let mut random = Random::new(seed());
    eprintln!("PEXPRESS_SEED={}", seed());
    let scene = scene();
    let dir = scene.path();
    let wipe = || ["out", "cache"].iter().for_each(|name| drop(std::fs::remove_dir_all(dir.join(name))));
    // Both states of the source, built without a kill.
    let texts = ["data\n", "changed\n"];
    let mut longest = Duration::ZERO;
    let wanted = texts.map(|text| {
        wipe();
        change(dir, text);
        let began = Instant::now();
        run(dir);
        longest = longest.max(began.elapsed());
        whole(dir, "without a kill")
    });
    assert!(wanted[0].len() == 2 && wanted[0].is_disjoint(&wanted[1]));
    let (mut early, mut late) = (0, 0);
    for round in 0..sized(16, 400) {
        // From nothing, or over the images of the other state.
        let target = usize::try_from(random.below(2)).unwrap();
        let is_fresh = random.chance(40);
        wipe();
        if !is_fresh {
            change(dir, texts[1 - target]);
            run(dir);
        }
        change(dir, texts[target]);
        let mut child = command(dir).spawn().unwrap();
        let after = longest.mul_f64(random.below(1000) as f64 / 1000.0);
        std::thread::sleep(after);
        let is_there = child.try_wait().unwrap().is_none();
        let _ = kill_process_group(Pid::from_child(&child), Signal::KILL);
        child.wait().unwrap();
        let what = format!("round {round}, killed after {after:?}, fresh: {is_fresh}, running: {is_there}");
        let named = whole(dir, &what);
        let known: BTreeSet<_> =
            wanted[target].iter().chain(wanted[1 - target].iter().filter(|_| !is_fresh)).collect();
        assert!(named.iter().all(|one| known.contains(one)), "{what}: {named:?}");
        assert!(is_fresh || named.len() == 2, "{what}: a layout is gone");
        if named.is_subset(&wanted[target]) && named.len() == 2 {
            late += 1
        } else {
            early += 1
        }
        for path in leftovers(dir) {
            std::fs::File::open(path).unwrap().set_modified(SystemTime::now() - OLD).unwrap();
        }
        run(dir);
        assert_eq!(whole(dir, &what), wanted[target], "{what}: other images");
        assert_eq!(leftovers(dir), [] as [PathBuf; 0], "{what}: not swept");
    }
    eprintln!("{early} kills before the images were there, {late} after");
    assert!(early > 0);
}

/// A child of the test, in which a local package is being built.
fn building(dir: &Path) -> Child {
    let path = dir.join("shop/backend.py");
    let backend = std::fs::read_to_string(&path).unwrap();
    let started = dir.join("started");
    let slow =
        format!("    import time\n    open({started:?}, 'w').close()\n    time.sleep(120)\n    files = {{");
    std::fs::write(path, backend.replacen("    files = {", &slow, 1)).unwrap();
    let mut child = command(dir)
        .stdout(std::fs::File::create(dir.join("stdout")).unwrap())
        .arg("--format=json")
        .spawn()
        .unwrap();
    while !started.exists() {
        assert!(child.try_wait().unwrap().is_none(), "it ended first");
        std::thread::sleep(Duration::from_millis(5));
    }
    child
}

#[test]
fn a_signal_ends_the_build_with_its_number_and_nothing_is_left() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let scene = scene();
        let dir = scene.path();
        let mut child = building(dir);
        kill_process(Pid::from_child(&child), signal).unwrap();
        let status = child.wait().unwrap();
        assert_eq!(status.code(), Some(code));
        // Nobody of its group is left, such as the build backend.
        let ended = Instant::now() + Duration::from_secs(10);
        while test_kill_process_group(Pid::from_child(&child)).is_ok() && Instant::now() < ended {
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(Instant::now() < ended, "a child runs on");
        assert_eq!(leftovers(dir), [] as [PathBuf; 0]);
        assert_eq!(whole(dir, "interrupted").len(), 0);
        let document: Value = serde_json::from_slice(&std::fs::read(dir.join("stdout")).unwrap()).unwrap();
        assert_eq!(document["error"]["exit_code"], code);
        // The next run is not held up by it.
        project(dir);
        run(dir);
        assert!(!whole(dir, "the run after").is_empty());
    }
}
