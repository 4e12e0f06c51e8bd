//! Runs that are killed at any moment, and parallel runs, leave complete files or none.

use crate::support::timed::timed;
use crate::support::{files_named, pexpress_with_uv, quickstart, run};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const KILLS: u32 = 20;

/// `pexpress deploy` of the quickstart into `out`, with a cache of its own.
fn deploy(out: &Path, cache: &Path) -> Command {
    let mut command = pexpress_with_uv();
    command.arg("deploy").args([&quickstart(), out]).env("PEXPRESS_CACHE_DIR", cache);
    command.stdin(Stdio::null());
    command
}

/// Name and content of each PEX in `dir`; empty if there is no such directory yet.
fn pex_files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    if !dir.exists() {
        return BTreeMap::new();
    }
    let read = |path: std::path::PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        (name, std::fs::read(&path).unwrap())
    };
    files_named(dir, "").into_iter().map(read).collect()
}

#[test]
#[ignore = "a minute, and a package index"]
fn a_kill_at_any_moment_leaves_no_partial_pex_and_the_next_run_works() {
    let _timed = timed();
    let scratch = tempfile::tempdir().unwrap();
    let whole = scratch.path().join("whole");
    run(&mut deploy(&whole, &scratch.path().join("other-cache")));
    let whole = pex_files(&whole);
    assert_eq!(whole.len(), 2);

    // Both directories start empty and are used by every killed run, so kills hit downloads first and writing later.
    let (out, cache) = (scratch.path().join("out"), scratch.path().join("cache"));
    let mut usual = Duration::from_secs(2);
    let mut killed = 0;
    for attempt in 0..KILLS {
        let started = Instant::now();
        let mut child = deploy(&out, &cache).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // Moments over a whole run in a mixed order: 7 and 20 have no common factor.
        std::thread::sleep(usual * (attempt * 7 % KILLS + 1) / KILLS);
        match child.try_wait().unwrap() {
            Some(status) => {
                assert!(status.success(), "a run that was not killed failed");
                usual = started.elapsed().min(usual);
            }
            None => {
                child.kill().unwrap();
                child.wait().unwrap();
                killed += 1;
            }
        }
        for (name, content) in pex_files(&out) {
            assert!(whole.get(&name) == Some(&content), "{name} is not whole after kill {attempt}");
        }
    }
    assert!(killed > KILLS / 2, "only {killed} of {KILLS} runs were there to be killed");
    run(&mut deploy(&out, &cache));
    assert!(pex_files(&out) == whole, "other bytes after the kills");
}

#[test]
#[ignore = "half a minute, and a package index"]
fn runs_at_the_same_time_share_a_cache_and_a_directory() {
    let _timed = timed();
    let scratch = tempfile::tempdir().unwrap();
    let (out, cache) = (scratch.path().join("out"), scratch.path().join("cache"));
    let children: Vec<_> = (0..4)
        .map(|_| deploy(&out, &cache).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
        .collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let together = pex_files(&out);
    assert_eq!(together.len(), 2);
    let alone = scratch.path().join("alone");
    run(&mut deploy(&alone, &cache));
    assert!(pex_files(&alone) == together, "other bytes when built alone");
}
