//! Random fault schedules: whatever goes wrong on the way, what is said is so.
//!
//! A schedule is drawn from a number alone, so `PEXPRESS_SEED=N PEXPRESS_SCHEDULES=1` plays one again. It says how the
//! code locations load, what was there before, what goes wrong at which call of Dagster+, its store and GitHub. The
//! clock passes by sleeping only, so that retries and time-outs take no time; everything else is real.
//!
//! The law: `loaded` is said of a code location if and only if it runs the new PEX tag and the store has both files
//! whole; the exit code is 0 if and only if `loaded` is said of all. What is not known is said to be unknown, and only
//! where something kept going wrong for longer than the retries.

use crate::support::environments::uv;
use crate::support::github_standin::GithubStandin;
use crate::support::recording_clock::Heard;
use crate::support::seed::{Random, seed, sized};
use crate::support::small_project::write_project;
use crate::support::standin::{PassingClock, Standin, TOKEN};
use crate::support::step::{Ran, Step, pull_request};
use pexpress::host::{Clock, Host};
use pexpress::{cli, commands};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

const LANES: usize = 4;
const NAMES: [&str; 2] = ["one", "two"];
/// What the retries of every kind of call outlast: failures in a row of one call.
const OUTLASTED: u64 = 2;

struct Lane {
    dir: tempfile::TempDir,
    dagster: Standin,
    github: GithubStandin,
    /// By code location.
    tags: BTreeMap<String, String>,
    /// By name of a PEX file.
    digests: Map<String, Value>,
}

#[derive(Debug)]
struct Schedule {
    number: u64,
    dagster: Value,
    github: Value,
    /// A step of a workflow, and its event; else `deploy` from a command line.
    event: Option<&'static str>,
    /// Whether nothing goes wrong that the retries do not outlast.
    passing: bool,
}

/// What a run said.
struct Said {
    code: u8,
    /// By code location; empty where it came to none.
    states: BTreeMap<String, String>,
    log: String,
}

impl Schedule {
    fn draw(number: u64, tags: &BTreeMap<String, String>) -> Schedule {
        let mut random = Random::new(number);
        let event = *random.pick(&[None, None, None, Some("push"), Some("pull_request")]);
        let mut passing = true;
        let faults: Vec<Value> =
            (0..random.below(6)).map(|_| dagster_fault(&mut random, &mut passing)).collect();
        let github = (0..random.below(4)).map(|_| github_fault(&mut random)).collect();
        let agents = match random.below(8) {
            0 => {
                passing = false;
                json!({"absent": true})
            }
            1 | 2 => json!({"appears_after_polls": random.below(6)}),
            _ => json!({}),
        };
        let mut load = Map::new();
        for name in NAMES {
            load.insert(name.into(), how_it_loads(&mut random, &mut passing));
        }
        let before: Vec<Value> = match random.below(3) {
            0 => vec![],
            1 => NAMES.map(|name| before(name, "files=deps-old.pex:source-old.pex")).to_vec(),
            _ => NAMES.map(|name| before(name, &tags[name])).to_vec(),
        };
        let dagster = json!({
            "token": TOKEN, "faults": faults, "agents": agents, "load": load,
            "deployments": [{"name": "prod", "locations": before}],
        });
        Schedule { number, dagster, github, event, passing }
    }
}

fn before(name: &str, tag: &str) -> Value {
    json!({
        "location_name": name, "code_source": {"python_file": "defs.py"},
        "pex_metadata": {"pex_tag": tag, "python_version": "3.11"},
    })
}

fn how_it_loads(random: &mut Random, passing: &mut bool) -> Value {
    match random.below(10) {
        0 => {
            *passing = false;
            json!({"never": true})
        }
        1 => {
            *passing = false;
            json!({"error": {"message": "ImportError: no\n", "stack": ["  File \"defs.py\"\n"], "chain": []}})
        }
        2 => {
            *passing = false;
            json!({"never_flips": true, "stale_polls": 1})
        }
        3 => json!({"stale_polls": random.below(4) + 1, "loading_polls": random.below(3)}),
        _ => json!({"loading_polls": random.below(5)}),
    }
}

fn dagster_fault(random: &mut Random, passing: &mut bool) -> Value {
    let operation = *random.pick(&[
        "generateServerlessPexUrl",
        "serverless",
        "createOrUpdateBranchDeployment",
        "deployLocations",
        "deployLocations",
        "addOrUpdateLocationFromDocument",
        "workspaceOrError",
        "workspaceOrError",
        "workspace",
        "agents",
        "PUT",
        "PUT",
        "GET",
        "*",
    ]);
    let times = *random.pick(&[1, 1, 1, 2, 2, 3, 5, 9, 0]);
    let store = matches!(operation, "PUT" | "GET" | "*");
    let mut fault = match random.below(13) {
        0..3 => json!({"status": random.pick(&[408, 429, 500, 502, 503, 504])}),
        3 => json!({"status": random.pick(&[400, 401, 403, 404, 409])}),
        4 => json!({"reset": true}),
        5 => json!({"reset_upload_after": random.below(5000)}),
        6 => json!({"truncate": true}),
        7 => json!({"reset_mid_body": true}),
        8 => json!({"html": true}),
        9 => json!({"delay_seconds": 0.05}),
        10 => json!({"maintenance": {"message": "back soon", "timeout": 300, "retry_interval": 5}}),
        11 => json!({"errors": [{"message": "internal"}]}),
        _ => json!({"duplicate": true}),
    };
    if store && ["maintenance", "errors"].iter().any(|key| fault.get(key).is_some()) {
        fault = json!({"status": 503});
    }
    if fault.get("reset_upload_after").is_some() && operation != "PUT" {
        fault = json!({"reset": true});
    }
    let status = fault["status"].as_u64().unwrap_or_default();
    let refused = [400, 401, 403, 404, 409].contains(&status);
    // What is not tried again: refusals, and of the API the statuses that dagster-cloud-cli does not repeat either.
    let lasting = refused
        || (!matches!(operation, "PUT" | "GET") && [408, 500].contains(&status))
        || fault.get("html").is_some()
        || fault.get("errors").is_some();
    let harmless = fault.get("delay_seconds").is_some() || fault.get("duplicate").is_some();
    *passing &= harmless || (!lasting && (1..=OUTLASTED).contains(&times) && operation != "*");
    fault["operation"] = json!(operation);
    fault["times"] = json!(times);
    fault["call"] = json!(random.below(4) + 1);
    // Who refuses does not do it.
    fault["apply"] = json!(random.chance(50) && !refused);
    fault
}

fn github_fault(random: &mut Random) -> Value {
    let mut fault = match random.below(5) {
        0 => json!({"status": random.pick(&[403, 404, 422, 500, 502, 503])}),
        1 => json!({"reset": true}),
        2 => json!({"truncate": true}),
        3 => json!({"html": true}),
        _ => json!({"delay_seconds": 0.05}),
    };
    fault["operation"] = json!("*");
    fault["times"] = json!(random.pick(&[1, 2, 0]));
    fault["call"] = json!(random.below(4) + 1);
    fault
}

impl Lane {
    fn new() -> Lane {
        let dir = tempfile::tempdir().unwrap();
        let project = dir.path().join("project");
        std::fs::create_dir(&project).unwrap();
        write_project(&project, &NAMES.map(|name| (name, "")));
        let (dagster, github) = (Standin::start(json!({})), GithubStandin::start(json!({})));
        let mut lane = Lane { dir, dagster, github, tags: BTreeMap::new(), digests: Map::new() };
        let calm = Schedule { number: 0, dagster: json!({}), github: json!([]), event: None, passing: true };
        let said = lane.play(&calm);
        assert_eq!(said.code, 0, "{}", said.log);
        let state = lane.dagster.state();
        lane.digests = state["digests"].as_object().unwrap().clone();
        let serving = state["deployments"]["prod"]["serving"].as_object().unwrap().clone();
        lane.tags =
            serving.into_iter().map(|(name, tag)| (name, tag.as_str().unwrap().to_string())).collect();
        lane
    }

    fn play(&self, schedule: &Schedule) -> Said {
        self.dagster.control("reset", &schedule.dagster);
        self.github.control("faults", &schedule.github);
        match schedule.event {
            None => self.deploy(),
            Some(event) => self.step(event),
        }
    }

    /// Run these arguments in this process.
    fn run(&self, arguments: &[&str], variables: BTreeMap<String, String>) -> (u8, String, String) {
        let mut env: BTreeMap<OsString, OsString> =
            variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        for name in ["PATH", "HOME"] {
            env.insert(name.into(), std::env::var_os(name).unwrap());
        }
        env.insert("PEXPRESS_UV".into(), uv().into());
        env.insert("PEXPRESS_CACHE_DIR".into(), crate::support::kept_dir("cache").into());
        let (stdout, stderr) = (Heard::default(), Heard::default());
        let clock: Arc<dyn Clock> = Arc::new(PassingClock::default());
        let invocation = cli::parse(&[&["pexpress"], arguments].concat().map_os()).unwrap();
        let project = self.dir.path().join("project");
        let host = Host::for_test(env, &project, Box::new(stdout.clone()), Box::new(stderr.clone()), clock);
        let host = host.configured(&invocation.global);
        let exit = commands::run(invocation, &host);
        (exit.0, stdout.text(), stderr.text())
    }

    fn deploy(&self) -> Said {
        let out = self.dir.path().join("out");
        let arguments = ["deploy", ".", out.to_str().unwrap(), "--upload-pex", "--update-code-location"];
        let further = ["--deployment", "prod", "--yes", "--format", "json", "--deps-cache-from", "t"];
        let last =
            ["--deps-cache-to", "t", "--location-load-timeout", "60", "--agent-heartbeat-timeout", "30"];
        let variables =
            [("DAGSTER_CLOUD_URL", self.dagster.url.as_str()), ("DAGSTER_CLOUD_API_TOKEN", TOKEN)];
        let variables = variables.map(|(name, value)| (name.to_string(), value.to_string())).into();
        let (code, stdout, log) = self.run(&[&arguments[..], &further, &last].concat(), variables);
        let document: Value = serde_json::from_str(&stdout).unwrap_or_default();
        Said { code, states: states(&document["locations"]), log }
    }

    fn step(&self, event: &str) -> Said {
        let project = self.dir.path().join("project");
        let files = tempfile::tempdir().unwrap();
        let file = |name: &str| files.path().join(name).to_str().unwrap().to_string();
        let payload = match event {
            "push" => json!({"repository": {"full_name": "acme/proj", "default_branch": "main"}}),
            _ => pull_request("synchronize"),
        };
        let step = Step::new(&project, &self.dagster, &self.github)
            .with("INPUT_GITHUB_DEPLOYMENT", "true")
            .with("INPUT_COMMIT_STATUS", "true")
            .with("INPUT_LOCATION_LOAD_TIMEOUT", "60")
            .with("INPUT_AGENT_HEARTBEAT_TIMEOUT", "30")
            .with("GITHUB_OUTPUT", &file("output"))
            .with("GITHUB_STEP_SUMMARY", &file("summary"))
            .with("RUNNER_TEMP", files.path().to_str().unwrap())
            .event(event, &payload);
        let (code, _, log) = self.run(&["action"], step.variables().clone());
        let ran = Ran::read(Some(code.into()), files.path());
        let locations = ran.outputs.get("locations").and_then(|text| serde_json::from_str(text).ok());
        let states = states(&locations.unwrap_or_default());
        let success = ran.outputs.get("result").is_some_and(|result| result == "success");
        assert_eq!(success, code == 0, "the output `result` differs from the exit code\n{log}");
        Said { code, states, log }
    }

    /// What of the law the run broke.
    fn judge(&self, schedule: &Schedule, said: &Said) -> Vec<String> {
        let state = self.dagster.state();
        let deployments = state["deployments"].as_object().unwrap();
        let branch = deployments.keys().find(|name| *name != "prod").cloned();
        let deployment = match schedule.event {
            Some("pull_request") => branch.map_or(&Value::Null, |name| &deployments[&name]),
            _ => &deployments["prod"],
        };
        let mut broken = Vec::new();
        let all_loaded =
            NAMES.iter().all(|name| said.states.get(*name).is_some_and(|state| state == "loaded"));
        if (said.code == 0) != all_loaded {
            broken.push(format!("exit code {} and {:?}", said.code, said.states));
        }
        for name in NAMES {
            let tag = &self.tags[name];
            let names = tag.trim_start_matches("files=").split(':');
            let whole = names.into_iter().all(|file| state["digests"].get(file) == self.digests.get(file));
            let runs = whole && deployment["serving"][name] == json!(tag);
            let document = &deployment["locations"][name];
            // The document alone does not tell an update from what was there before it.
            let updated = document["pex_metadata"]["pex_tag"] == json!(tag) && document.get("git").is_some();
            let word = said.states.get(name).map_or("nothing", String::as_str);
            let truth = match word {
                "loaded" => runs,
                "not_updated" | "not_published" | "not_deployed" | "nothing" => !updated,
                "failed_to_load" => updated && deployment["serving"][name].is_null(),
                "unknown" | "loading" | "no_agent" => !(schedule.passing && runs),
                _ => false,
            };
            if !truth {
                broken
                    .push(format!("said `{word}` of {name}: runs {runs}, updated {updated}, whole {whole}"));
            }
            if schedule.passing && word != "loaded" {
                broken.push(format!("said `{word}` of {name} though all faults pass"));
            }
        }
        for violation in self.dagster.journal().0["violations"].as_array().unwrap() {
            broken.push(format!("violation {violation}"));
        }
        broken
    }
}

fn states(locations: &Value) -> BTreeMap<String, String> {
    let text = |value: &Value| value.as_str().unwrap_or("nothing").to_string();
    let all = locations.as_array().into_iter().flatten();
    all.map(|location| (text(&location["name"]), text(&location["state"]))).collect()
}

trait MapOs {
    fn map_os(self) -> Vec<OsString>;
}

impl MapOs for Vec<&str> {
    fn map_os(self) -> Vec<OsString> {
        self.into_iter().map(OsString::from).collect()
    }
}

#[test]
#[ignore = "a minute, and the stand-ins come from package indexes"]
fn loaded_is_said_if_and_only_if_it_is_so() {
    let first = seed();
    let count = std::env::var("PEXPRESS_SCHEDULES").map_or(sized(100, 2000), |text| text.parse().unwrap());
    eprintln!("PEXPRESS_SEED={first}");
    let (next, began) = (AtomicU64::new(0), Instant::now());
    let results = std::thread::scope(|scope| {
        let lanes: Vec<_> = (0..LANES).map(|_| scope.spawn(|| play_all(first, count, &next))).collect();
        lanes.into_iter().flat_map(|lane| lane.join().unwrap()).collect::<Vec<_>>()
    });
    let mut words = BTreeMap::new();
    let mut broken = Vec::new();
    for (schedule, said, failures) in results {
        for word in said.states.values() {
            *words.entry(word.clone()).or_insert(0) += 1;
        }
        if !failures.is_empty() {
            eprintln!("PEXPRESS_SEED={} PEXPRESS_SCHEDULES=1: {failures:#?}", schedule.number);
            if count == 1 {
                eprintln!("{schedule:#?}\n{}", said.log);
            }
            broken.push(schedule.number);
        }
    }
    eprintln!("{count} schedules, said {words:?}, {:.0} s", began.elapsed().as_secs_f64());
    assert_eq!(broken, Vec::<u64>::new(), "schedules under which something was said that is not so");
    assert!(count == 1 || (words["loaded"] > 0 && words["failed_to_load"] > 0), "{words:?}");
}

fn play_all(first: u64, count: u64, next: &AtomicU64) -> Vec<(Schedule, Said, Vec<String>)> {
    let lane = Lane::new();
    let mut results = Vec::new();
    loop {
        let index = next.fetch_add(1, Ordering::Relaxed);
        if index >= count {
            return results;
        }
        let schedule = Schedule::draw(first + index, &lane.tags);
        let said = lane.play(&schedule);
        let broken = lane.judge(&schedule, &said);
        results.push((schedule, said, broken));
    }
}
