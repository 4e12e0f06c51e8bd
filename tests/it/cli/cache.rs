//! `cache`: its directory, its size, and what is removed.

use crate::support::said::plain;
use crate::support::{json, pexpress, run};
use std::path::Path;
use std::process::Output;
use std::time::{Duration, SystemTime};

fn cache(dir: &Path, args: &[&str]) -> Output {
    pexpress().arg("cache").args(args).env("PEXPRESS_CACHE_DIR", dir).output().unwrap()
}

/// Entries of 1000 bytes, each unused for so many days.
fn filled(entries: &[(&str, u64)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, days) in entries {
        let entry = dir.path().join(name);
        std::fs::create_dir_all(&entry).unwrap();
        std::fs::write(entry.join("file"), [0; 1000]).unwrap();
        let used = SystemTime::now() - Duration::from_secs(days * 86_400 + 60);
        std::fs::File::open(&entry).unwrap().set_modified(used).unwrap();
    }
    dir
}

#[test]
fn the_size_is_that_of_its_parts() {
    let dir = filled(&[("wheels/ab/abc", 1), ("wheels/cd/cde", 1), ("environments/verify-3.12/deps-1", 1)]);
    let text = |args: &[&str]| String::from_utf8(cache(dir.path(), args).stdout).unwrap();
    assert_eq!(text(&["dir"]).trim(), dir.path().display().to_string());
    insta::assert_snapshot!(text(&["size"]).replace(dir.path().to_str().unwrap(), "[DIR]"), @r"
    part            size  entries
    wheels        2.0 kB        2  wheels, downloaded or built
    environments  1.0 kB        1  Python environments
    all           3.0 kB        3  [DIR]
    ");
    let document = json(&cache(dir.path(), &["size", "--format", "json"]));
    assert_eq!(document["size_bytes"], 3000);
    assert_eq!(document["parts"][1]["name"], "environments");
}

#[test]
fn a_prune_removes_what_is_old_and_then_what_is_too_much() {
    let dir =
        filled(&[("wheels/ab/abc", 40), ("wheels/cd/cde", 3), ("environments/dagster-1", 2), ("uv/1.0", 0)]);
    let said = |args: &[&str]| {
        let output = cache(dir.path(), &[&["prune"], args].concat());
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap().trim().to_string()
    };
    assert_eq!(said(&["--dry-run"]), "would remove 1 entry, 1.0 kB; 3.0 kB left");
    assert_eq!(said(&[]), "removed 1 entry, 1.0 kB; 3.0 kB left");
    assert_eq!(said(&["--max-size", "2kB"]), "removed 1 entry, 1.0 kB; 2.0 kB left");
    assert!(!dir.path().join("wheels/cd/cde").exists() && dir.path().join("environments/dagster-1").exists());
    // What was used within a day stays.
    assert_eq!(said(&["--max-size", "0"]), "removed 1 entry, 1.0 kB; 1.0 kB left");
    assert_eq!(cache(dir.path(), &["prune", "--unused-for", "0"]).status.code(), Some(2));
}

#[test]
fn only_an_unused_cache_is_cleaned() {
    let dir = filled(&[("wheels/ab/abc", 1)]);
    let in_use = std::fs::File::create(dir.path().join(".in-use")).unwrap();
    rustix::fs::flock(&in_use, rustix::fs::FlockOperation::LockShared).unwrap();
    let refused = cache(dir.path(), &["clean"]);
    assert_eq!(refused.status.code(), Some(4));
    insta::assert_snapshot!(plain(&String::from_utf8(refused.stderr).unwrap()), @r"
    error: the cache `[TMP]` is in use by another run of pexpress
    hint: wait for it; or use `pexpress cache prune`, which removes only what is not in use
    ");
    drop(in_use);
    assert_eq!(cache(dir.path(), &["clean"]).stdout, b"removed 1.0 kB\n");
    assert!(!dir.path().join("wheels").exists());
    run(pexpress().args(["cache", "size"]).env("PEXPRESS_CACHE_DIR", dir.path().join("missing")));
}
