//! Parallel runs, and machines that lack something: space, permissions, file handles, directories, a correct clock.
//!
//! Each run succeeds with the usual bytes, or ends with exit code 4 and a message about what is missing and what to do.
//! All visible files are complete afterwards, and the next run on a working machine makes the usual bytes.

use super::small_runs::{Runs, files};
use crate::support::seed::sized;
use crate::support::write_executable;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, SystemTime};

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn digest(path: &Path) -> String {
    Sha256::digest(std::fs::read(path).unwrap()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// SHA-256 by name of the PEX files in `dir`.
fn digests(dir: &Path) -> BTreeMap<String, String> {
    let pex = files(dir).into_iter().filter(|path| path.extension().is_some_and(|end| end == "pex"));
    pex.map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), digest(&path))).collect()
}

/// A project and its files on a working machine.
struct Machine {
    runs: Runs,
    whole: BTreeMap<String, String>,
}

impl Machine {
    /// With nothing in its cache and its output directory.
    fn new() -> Machine {
        let runs = Runs::new();
        runs.succeed();
        let whole = digests(&runs.path("out"));
        assert_eq!(whole.len(), 4, "{whole:?}");
        let machine = Machine { runs, whole };
        machine.empty(&["cache", "out", "tmp"]);
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.runs.path(name)
    }

    fn empty(&self, names: &[&str]) {
        for name in names {
            let path = self.path(name);
            let _ = if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
            std::fs::create_dir(path).unwrap();
        }
    }

    /// Check that it succeeded with the usual bytes.
    fn assert_built(&self, output: &Output, what: &str) {
        assert!(output.status.success(), "{what}: {}", said(output));
        assert_eq!(digests(&self.path("out")), self.whole, "{what}: {}", said(output));
    }

    /// Check that it ended with exit code 4 and all of these words.
    fn assert_refused(&self, output: &Output, words: &[&str], what: &str) {
        let said = said(output);
        assert_eq!(output.status.code(), Some(4), "{what}: {said}");
        // Paths below the working directory are shown without it.
        let top = format!("{}/", self.path("").display()).replace("//", "/");
        for words in words {
            let short = words.strip_prefix(&top).unwrap_or(words);
            assert!(said.contains(short), "{what}: no `{short}` in: {said}");
        }
    }

    /// Check that no file with a final name is partial.
    fn assert_whole(&self, what: &str) {
        for (name, digest) in digests(&self.path("out")) {
            assert_eq!(self.whole.get(&name), Some(&digest), "{what}: {name} is not whole");
        }
        for wheel in files(&self.path("cache/wheels")) {
            let directory = wheel.parent().unwrap().file_name().unwrap().to_string_lossy().into_owned();
            assert_eq!(directory, digest(&wheel), "{what}: {} is not whole", wheel.display());
        }
        for top in ["cache", "out", "tmp"] {
            let left =
                files(&self.path(top)).into_iter().find(|path| path.to_string_lossy().contains(".partial-"));
            assert_eq!(left, None, "{what}: left behind");
        }
    }

    /// Check that the next run on a working machine, with the leftovers of the last one, makes the usual bytes.
    fn assert_recovers(&self, what: &str) {
        let output = self.runs.deploy().output().unwrap();
        self.assert_built(&output, &format!("after {what}"));
    }

    /// `deploy` in a name space of its own, after `mounts` (shell commands; `$1` is the directory of the test). What it
    /// leaves in `name` outlasts the mount. `None`, with a message, if this machine does not allow such a name space.
    fn deploy_with(&self, mounts: &str, name: &str) -> Option<Output> {
        let probe = Command::new("unshare").args(["-rm", "mount", "-t", "tmpfs", "none", "/mnt"]).output();
        if !probe.as_ref().is_ok_and(|probe| probe.status.success()) {
            // Directly to stderr: the test harness hides the output of passing tests.
            let words = format!("NOT RUN, as `unshare -rm` may not mount here: {mounts} ({probe:?})\n");
            std::io::stderr().write_all(words.as_bytes()).unwrap();
            return None;
        }
        let deploy = self.runs.deploy();
        let script = format!(
            "{{ {mounts}; }} || exit 99; top=$1; shift; \"$@\"; code=$?; cp -a \"$top/{name}\" \"$top/kept\" || exit 98; exit $code"
        );
        let mut command = Command::new("unshare");
        command.args(["-rm", "sh", "-c", &script, "sh"]).arg(self.path("")).arg(deploy.get_program());
        command.args(deploy.get_args()).current_dir(self.path(""));
        for (name, value) in deploy.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let output = command.stdin(Stdio::null()).output().unwrap();
        assert!(!matches!(output.status.code(), Some(98 | 99)), "{mounts}: {}", said(&output));
        std::fs::remove_dir_all(self.path(name)).unwrap();
        std::fs::rename(self.path("kept"), self.path(name)).unwrap();
        Some(output)
    }
}

#[test]
fn eight_runs_at_once_share_a_cache_and_an_output_directory() {
    let machine = Machine::new();
    for round in 0..sized(1, 20) {
        machine.empty(&["cache", "out", "other", "tmp"].map(|name| name));
        // Half of them into one directory and half into another, all from the same empty cache.
        let started: Vec<_> = (0..8)
            .map(|number| {
                let mut command = machine.runs.deploy_into(["out", "other"][number / 4]);
                command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
            })
            .collect();
        for run in started {
            let output = run.wait_with_output().unwrap();
            assert!(output.status.success(), "round {round}: {}", said(&output));
        }
        for out in ["out", "other"] {
            assert_eq!(digests(&machine.path(out)), machine.whole, "round {round}: {out}");
        }
        machine.assert_whole(&format!("round {round}"));
        machine.assert_recovers("runs side by side");
    }
}

#[test]
fn different_projects_built_at_once_share_a_cache() {
    let projects: Vec<_> = (0..3).map(|_| Runs::new()).collect();
    for (number, project) in projects.iter().enumerate() {
        std::fs::write(project.path("project/two/defs.py"), format!("name = 'two of {number}'\n")).unwrap();
    }
    let started: Vec<_> = (0..8)
        .map(|number| {
            let mut command = projects[number % projects.len()].deploy();
            command.env("PEXPRESS_CACHE_DIR", projects[0].path("cache"));
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    for run in started {
        let output = run.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
    }
    let together: Vec<_> = projects.iter().map(|project| digests(&project.path("out"))).collect();
    assert!(together[0] != together[1] && together[1] != together[2], "the projects are one");
    for (project, together) in projects.iter().zip(together) {
        for used in ["out", "cache"] {
            let _ = std::fs::remove_dir_all(project.path(used));
        }
        project.succeed();
        assert_eq!(digests(&project.path("out")), together, "other bytes when built alone");
    }
}

/// Options of small file systems on which space runs out at different moments; all are too small.
fn too_small(name: &str) -> Vec<String> {
    let (everyday, step, end): (&[u64], _, _) = match name {
        "cache" => (&[4, 24, 2000], 92, 3700),
        "out" => (&[4, 1400, 3000], 92, 3600),
        // Of what goes there most is gone again at once, so that some runs do with one page; none does without a name.
        _ => return vec!["nr_inodes=1".into()],
    };
    let nightly = (8..end).step_by(step).take(usize::try_from(sized(0, 1000)).unwrap());
    everyday.iter().copied().chain(nightly).map(|size| format!("size={size}k")).collect()
}

#[test]
fn a_full_disk_is_reported_and_leaves_nothing_partial() {
    let machine = Machine::new();
    for name in ["cache", "out", "tmp"] {
        for size in too_small(name) {
            machine.empty(&["cache", "out", "tmp"]);
            let what = format!("{size} for {name}");
            let mount = format!("mount -t tmpfs -o {size} none \"$1/{name}\"");
            let Some(output) = machine.deploy_with(&mount, name) else { return };
            machine.assert_refused(&output, &["No space left on device", "free space"], &what);
            let text = said(&output);
            let places =
                if name == "out" { &["`out/"][..] } else { &["`cache/", "`tmp", "`project/", "`out/"] };
            assert!(places.iter().any(|place| text.contains(place)), "{what}: no file is named: {text}");
            machine.assert_whole(&what);
            machine.assert_recovers(&what);
        }
    }
}

#[test]
fn read_only_directories_are_reported_or_not_needed() {
    let machine = Machine::new();
    let read_only = |name: &str| {
        let mount =
            format!("mount --bind \"$1/{name}\" \"$1/{name}\" && mount -o remount,bind,ro \"$1/{name}\"");
        machine.deploy_with(&mount, name)
    };
    for (name, words) in [
        ("cache", ["PEXPRESS_CACHE_DIR to a writable directory", "`cache/"]),
        ("out", ["hint: choose a writable directory", "`out/"]),
        ("tmp", ["hint: set TMPDIR to a writable directory", "`tmp`"]),
    ] {
        machine.empty(&["cache", "out", "tmp"]);
        let Some(output) = read_only(name) else { return };
        machine.assert_refused(&output, &["Read-only file system", words[0], words[1]], name);
        machine.assert_whole(name);
        machine.assert_recovers(name);
    }
    // A cache that has it all needs no writing, and what is damaged in its records is worked out again.
    machine.empty(&["out"]);
    let output = read_only("cache").unwrap();
    machine.assert_built(&output, "a read-only cache");
    for record in files(&machine.path("cache/fingerprints")) {
        std::fs::write(record, "damaged").unwrap();
    }
    machine.empty(&["out"]);
    let output = read_only("cache").unwrap();
    machine.assert_built(&output, "a read-only cache with damaged records");
}

#[test]
fn an_impossible_cache_directory_is_reported() {
    let machine = Machine::new();
    std::fs::write(machine.path("file"), "").unwrap();
    for cache in ["file", "file/below"] {
        let output = machine.runs.deploy().env("PEXPRESS_CACHE_DIR", machine.path(cache)).output().unwrap();
        machine.assert_refused(&output, &["Not a directory", "hint: set PEXPRESS_CACHE_DIR"], cache);
        assert!(!said(&output).contains("path in the requirement"), "{}", said(&output));
    }
    machine.assert_whole("no cache");
    machine.assert_recovers("no cache");
}

#[test]
fn without_a_home_the_cache_is_with_the_temporary_files() {
    let machine = Machine::new();
    let homeless = |command: &mut Command| {
        for name in ["HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "PEXPRESS_CACHE_DIR"] {
            command.env_remove(name);
        }
    };
    let mut command = machine.runs.deploy();
    homeless(&mut command);
    machine.assert_built(&command.output().unwrap(), "no home");
    assert!(machine.path("tmp/pexpress-cache/wheels").is_dir());
    // A directory below a file cannot be created, not even by root.
    std::fs::write(machine.path("file"), "").unwrap();
    let mut command = machine.runs.deploy();
    homeless(&mut command);
    let output = command.env("HOME", machine.path("file/home")).output().unwrap();
    machine.assert_refused(&output, &["PEXPRESS_CACHE_DIR", "UV_CACHE_DIR"], "a home that cannot be written");
    machine.assert_whole("a home that cannot be written");
}

#[test]
fn a_missing_temporary_directory_is_reported() {
    let machine = Machine::new();
    std::fs::write(machine.path("file"), "").unwrap();
    for directory in ["missing", "file"] {
        let output = machine.runs.deploy().env("TMPDIR", machine.path(directory)).output().unwrap();
        machine.assert_refused(&output, &["hint: set TMPDIR", directory], directory);
        assert!(!said(&output).contains(".pexignore"), "{}", said(&output));
    }
    machine.assert_recovers("no temporary files");
}

#[test]
fn few_file_handles_are_enough_or_reported() {
    let machine = Machine::new();
    // With 8 not even a child can be started. In between, what fails first is chance: it may be uv, in its own words.
    let (enough, too_few) = (64, 8);
    for handles in [enough, 20, 12, too_few] {
        machine.empty(&["cache", "out", "tmp"]);
        let deploy = machine.runs.deploy();
        let mut command = Command::new("sh");
        command.args(["-c", &format!("ulimit -n {handles} && exec \"$@\""), "sh"]).arg(deploy.get_program());
        command
            .args(deploy.get_args())
            .envs(deploy.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let output = command.stdin(Stdio::null()).output().unwrap();
        let what = format!("{handles} file handles");
        if handles == enough || output.status.success() {
            machine.assert_built(&output, &what);
        } else {
            assert!(matches!(output.status.code(), Some(1 | 4)), "{what}: {}", said(&output));
        }
        if handles == too_few {
            assert!(said(&output).contains("raise the limit (`ulimit"), "{what}: {}", said(&output));
        }
        machine.assert_whole(&what);
        machine.assert_recovers(&what);
    }
}

#[test]
fn an_output_directory_removed_during_a_run_is_an_error() {
    let machine = Machine::new();
    machine.runs.succeed();
    let uv = crate::support::environments::uv();
    for (what, then) in [("removed", ""), ("replaced", "echo > \"$OUT\";")] {
        machine.empty(&["out"]);
        // The location without a local package is there before uv resolves anything: its wheels and the runtime are cached.
        let script = format!(
            "#!/bin/sh\nOUT='{}'\ncase \"$*\" in *pip*compile*) if mkdir \"$OUT.gone\" 2>/dev/null; then\n\
             tries=0; until ls \"$OUT\"/source-*.pex >/dev/null 2>&1 || [ $tries = 3000 ]; do sleep 0.1; tries=$((tries + 1)); done\n\
             rm -rf \"$OUT\"; {then} fi;; esac\nexec '{}' \"$@\"\n",
            machine.path("out").display(),
            uv.display()
        );
        let program = machine.path("uv");
        write_executable(&program, &script);
        let mut command = machine.runs.deploy();
        let output = command.env("PEXPRESS_UV", &program).output().unwrap();
        let out = machine.path("out").to_string_lossy().into_owned();
        machine.assert_refused(&output, &[&out, "hint: "], what);
        std::fs::remove_dir(machine.path("out.gone")).unwrap();
        machine.empty(&["out"]);
        machine.assert_recovers(what);
    }
}

#[test]
fn clocks_that_jump_change_nothing_that_is_built() {
    let machine = Machine::new();
    machine.runs.succeed();
    let day = Duration::from_secs(24 * 3600);
    for time in [SystemTime::UNIX_EPOCH + day, SystemTime::now() + 36_500 * day] {
        for top in ["cache", "out", "project"] {
            for path in files(&machine.path(top)) {
                std::fs::File::open(path).unwrap().set_modified(time).unwrap();
            }
        }
        for top in ["cache/wheels", "out"] {
            let left = std::fs::File::create(machine.path(top).join(".partial-1-left")).unwrap();
            left.set_modified(time).unwrap();
        }
        let output = machine.runs.deploy().output().unwrap();
        machine.assert_built(&output, &format!("files of {time:?}"));
        machine.assert_whole(&format!("files of {time:?}"));
    }
}
