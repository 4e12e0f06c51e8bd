//! SIGKILL at random moments of a step, from its first write to its last report.
//!
//! A run is killed some time after the wanted phase has started, according to its log and files, which also show how
//! far it came. Afterwards no visible file is partial, and the next run succeeds with the same bytes and removes the
//! leftovers.

use crate::support::github_standin::GithubStandin;
use crate::support::pex_runtime;
use crate::support::seed::{Random, seed, sized};
use crate::support::small_project::write_project;
use crate::support::standin::Standin;
use crate::support::step::{Ran, Step, pull_request};
use crate::support::timed::timed;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

const PHASES: [&str; 5] = ["build", "cache", "upload", "update", "report"];
const LANES: u64 = 4;
/// Longest time from the start of a phase to the kill, in milliseconds.
const LONGEST_MS: u64 = 200;
/// Leftovers have to be older than this to be swept, in seconds.
const NEW: u64 = 60;

/// A project, its directories and its two servers, not shared with other lanes.
struct Lane {
    dir: tempfile::TempDir,
    dagster: Standin,
    github: GithubStandin,
}

/// The files of a complete run.
struct Reference {
    digests: BTreeMap<String, String>,
    serving: Value,
}

impl Lane {
    fn new() -> Lane {
        let dir = tempfile::tempdir().unwrap();
        let project = dir.path().join("project");
        std::fs::create_dir(&project).unwrap();
        write_project(&project, &[("one", "extra==1"), ("two", "extra==2")]);
        std::fs::create_dir(dir.path().join("tmp")).unwrap();
        let lane = Lane { dir, dagster: Standin::start(json!({})), github: GithubStandin::start(json!({})) };
        lane.reset();
        lane
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn step(&self) -> Step<'_> {
        let text = |name: &str| self.path(name).to_str().unwrap().to_string();
        // The step runs in the project; the lifetime of its path is the lane's.
        let project: &Path = Box::leak(self.path("project").into_boxed_path());
        Step::new(project, &self.dagster, &self.github)
            .with("PEXPRESS_CACHE_DIR", &text("cache"))
            .with("INPUT_BUILD_OUTPUT_DIR", &text("out"))
            .with("TMPDIR", &text("tmp"))
            .event("pull_request", &pull_request("synchronize"))
    }

    /// Nothing built and nothing deployed; of the cache, only what comes from a package index.
    fn reset(&self) {
        for name in ["cache", "out", "tmp"] {
            let _ = std::fs::remove_dir_all(self.path(name));
        }
        std::fs::create_dir(self.path("tmp")).unwrap();
        let runtime = pexpress::pex::WHEEL_SHA256;
        let wheel =
            Path::new("wheels").join(&runtime[..2]).join(runtime).join(pexpress::pex::WHEEL_FILE_NAME);
        let target = self.path("cache").join(wheel);
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        std::fs::copy(pex_runtime(), target).unwrap();
        self.dagster.control("reset", &json!({"latency_seconds": 0.02, "load": {"*": {"loading_polls": 2}}}));
        self.github.control("journal", &Value::Null);
    }

    /// A run without a kill, from an empty state.
    fn reference(&self) -> Reference {
        let ran = self.step().run();
        assert_success(&ran);
        Reference { digests: digests(&self.path("out")), serving: self.serving() }
    }

    /// How far a run with this log came; `None` if it has not started to write.
    fn phase(&self, log: &str) -> Option<&'static str> {
        let named = |prefix: &str| {
            let entries = std::fs::read_dir(self.path("out")).into_iter().flatten().flatten();
            entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix)).count()
        };
        // Source PEX files are written while wheels still go to the cache, and sent at once.
        match () {
            () if log.contains("code location  state") => Some("report"),
            () if log.contains("::group::Update") => Some("update"),
            () if named("deps-") == 2 => Some("upload"),
            () if files(&self.path("cache/wheels")).len() > 1 => Some("cache"),
            () if named("") > 0 => Some("build"),
            () => None,
        }
    }

    /// Kill a run some time after `wanted` started. Returns how far it came, unless it finished earlier.
    fn kill_in(&self, wanted: &str, after: Duration) -> Option<Option<&'static str>> {
        let place = |phase: Option<&str>| PHASES.iter().position(|name| Some(*name) == phase);
        let mut running = self.step().start();
        while running.is_there() && place(self.phase(&running.log())) < place(Some(wanted)) {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(after);
        let log = running.kill();
        self.dagster.settle();
        self.github.settle();
        log.map(|log| self.phase(&log))
    }

    fn serving(&self) -> Value {
        let state = self.dagster.state();
        let branch = state["deployments"].as_object().unwrap().iter().find(|(name, _)| *name != "prod");
        branch.map_or(Value::Null, |(_, deployment)| deployment["serving"].clone())
    }

    /// Check that no visible file is partial.
    fn assert_whole(&self, whole: &Reference, what: &str) {
        for (name, digest) in digests(&self.path("out")) {
            assert_eq!(whole.digests.get(&name), Some(&digest), "{what}: {name} is not whole");
        }
        for wheel in files(&self.path("cache/wheels")) {
            let directory = wheel.parent().unwrap().file_name().unwrap().to_str().unwrap().to_string();
            assert_eq!(directory, digest(&wheel), "{what}: {} is not whole", wheel.display());
        }
        let state = self.dagster.state();
        for (name, digest) in state["digests"].as_object().unwrap() {
            if name.ends_with(".pex") {
                assert_eq!(
                    whole.digests.get(name).map(String::as_str),
                    digest.as_str(),
                    "{what}: {name} in the store"
                );
            }
        }
        // This includes a location or cache entry that refers to missing files.
        self.dagster.journal().assert_clean();
    }

    /// Check that the next run ends as usual, and nothing is left of the killed one.
    fn assert_recovers(&self, whole: &Reference, what: &str) {
        let old = SystemTime::now() - Duration::from_secs(2 * NEW);
        let leftovers = self.leftovers();
        for path in &leftovers {
            std::fs::File::open(path).unwrap().set_modified(old).unwrap();
        }
        // The killed run's last request to GitHub may have been incomplete.
        self.github.control("journal", &Value::Null);
        let ran = self.step().run();
        assert!(ran.code == Some(0) && ran.output("result") == "success", "{what}: {}", ran.log);
        assert_eq!(digests(&self.path("out")), whole.digests, "{what}: other bytes");
        assert_eq!(self.serving(), whole.serving, "{what}: {}", ran.log);
        assert_eq!(self.leftovers(), Vec::<PathBuf>::new(), "{what}: not swept");
        assert_eq!(self.github.bodies().len(), 1, "{what}: one comment");
        self.dagster.journal().assert_clean();
        self.github.journal().assert_clean();
    }

    /// Unfinished files and directories of ours.
    fn leftovers(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for top in ["cache", "out", "tmp"] {
            walk(&self.path(top), &mut |path| {
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                let ours = name.starts_with(".partial-") || name.starts_with("pexpress-");
                if ours {
                    found.push(path.to_path_buf());
                }
                !ours
            });
        }
        found
    }
}

fn assert_success(ran: &Ran) {
    assert_eq!((ran.code, ran.output("result")), (Some(0), "success"), "{}", ran.log);
}

/// All paths below `dir`; `enter` says whether to look into a directory.
fn walk(dir: &Path, enter: &mut dyn FnMut(&Path) -> bool) {
    for entry in std::fs::read_dir(dir).into_iter().flatten() {
        let path = entry.unwrap().path();
        if enter(&path) && path.is_dir() {
            walk(&path, enter);
        }
    }
}

/// Finished files below `dir`.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    walk(dir, &mut |path| {
        let partial = path.file_name().unwrap().to_string_lossy().starts_with(".partial-");
        if path.is_file() && !partial {
            found.push(path.to_path_buf());
        }
        !partial
    });
    found
}

fn digest(path: &Path) -> String {
    Sha256::digest(std::fs::read(path).unwrap()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// SHA-256 by name of the PEX files in `dir`.
fn digests(dir: &Path) -> BTreeMap<String, String> {
    let pex =
        files(dir).into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "pex"));
    pex.map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), digest(&path))).collect()
}

/// Kill runs of one lane until each phase was hit `wanted` times; the hits, and how many kills there were.
fn kill_many(wanted: u64, mut random: Random) -> (BTreeMap<&'static str, u64>, u64) {
    let lane = Lane::new();
    lane.reference(); // fetches what comes from a package index, and makes the comment
    lane.reset();
    let whole = lane.reference();
    assert_eq!(whole.digests.len(), 4);
    let mut hits: BTreeMap<_, _> = PHASES.map(|phase| (phase, 0)).into();
    let mut kills = 0;
    while let Some((phase, _)) =
        hits.iter().find(|(_, count)| **count < wanted).map(|(phase, count)| (*phase, *count))
    {
        assert!(kills < 6 * wanted * PHASES.len() as u64, "too few hits: {hits:?}");
        let after = Duration::from_millis(random.below(LONGEST_MS));
        lane.reset();
        let Some(reached) = lane.kill_in(phase, after) else { continue };
        kills += 1;
        if kills % 25 == 0 {
            eprintln!("{kills} kills, by phase {hits:?} so far");
        }
        let what = format!("killed {after:?} into `{phase}`, in {reached:?}");
        lane.assert_whole(&whole, &what);
        if let Some(reached) = reached {
            if hits[reached] >= wanted {
                continue;
            }
            *hits.get_mut(reached).unwrap() += 1;
        }
        lane.assert_recovers(&whole, &what);
    }
    (hits, kills)
}

#[test]
#[ignore = "a minute"]
fn a_kill_at_any_moment_leaves_nothing_partial_and_the_next_run_gives_the_same() {
    let _timed = timed();
    let (seed, wanted) = (seed(), sized(20, 200).div_ceil(LANES));
    eprintln!("PEXPRESS_SEED={seed}");
    let began = Instant::now();
    let lanes: Vec<_> = (0..LANES)
        .map(|lane| std::thread::spawn(move || kill_many(wanted, Random::new(seed + lane))))
        .collect();
    for lane in lanes {
        let (hits, kills) = lane.join().unwrap();
        eprintln!("{kills} kills, by phase {hits:?}, {:.0} s", began.elapsed().as_secs_f64());
    }
}
