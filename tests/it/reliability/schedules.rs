//! Random fault schedules: whatever goes wrong, the reports are true.
//!
//! A schedule is drawn from a number alone, so `PEXPRESS_SEED=N PEXPRESS_SCHEDULES=1` plays one again. It decides how
//! the code locations load, what ran before, what goes wrong at which call of Dagster+, its store and GitHub, and what
//! others do meanwhile. The clock passes by sleeping only, so that retries and time-outs take no time; everything else
//! is real. One schedule in ten runs the program itself, by the real clock; another one does, and gets SIGINT or
//! SIGTERM at a drawn moment.
//!
//! The law: `loaded` is said of a code location if and only if it runs the new PEX tag and the store has both files
//! whole; the exit code is 0 if and only if `loaded` is said of all. `unknown` is only reported if something went wrong
//! for longer than the retries. Summary, comment, statuses and outputs say the same words, and nothing that GitHub does
//! changes them. After a signal no call of Dagster+ or its store starts, the exit code is that of the signal, and the
//! report of each code location is true for what had started by then.

use super::cancelling::{self, Cancel, Ended};
use crate::support::environments::uv;
use crate::support::github_standin::GithubStandin;
use crate::support::recording_clock::Heard;
use crate::support::seed::{Random, seed, sized};
use crate::support::small_project::write_project;
use crate::support::standin::{PassingClock, Standin, TOKEN};
use crate::support::step::{Ran, Step, pull_request};
use crate::support::timed::timed;
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
const OUTLASTED: u64 = 3;
/// What the looks of a wait outlast, whatever the failure.
const WAITED_OUT: u64 = 5;
/// What runs after an update by others.
const OTHER_TAG: &str = "files=other.pex";

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
    /// A step of a workflow and its event; otherwise `deploy` from a command line.
    event: Option<&'static str>,
    /// Whether nothing goes wrong that the retries do not outlast.
    passing: bool,
    /// Whether all faults end soon and nothing else changes anything.
    bounded: bool,
    /// The program itself runs, by the real clock.
    built: bool,
    /// And gets a signal.
    cancel: Option<Cancel>,
}

/// The reports of a run.
struct Said {
    code: u8,
    /// By code location; empty where it came to none.
    states: BTreeMap<String, String>,
    log: String,
    /// Step summary, where there is one.
    summary: Option<String>,
    /// Calls that started after a signal.
    late: Vec<String>,
}

impl Schedule {
    fn draw(number: u64, tags: &BTreeMap<String, String>) -> Schedule {
        let mut random = Random::new(number);
        let event = *random.pick(&[None, None, None, Some("push"), Some("pull_request")]);
        let cancelled = number % 10 == 3;
        let built = cancelled || number % 10 == 7;
        let most = if built { 3 } else { 6 };
        let faults: Vec<Value> = (0..random.below(most)).map(|_| dagster_fault(&mut random, built)).collect();
        let github = (0..random.below(4)).map(|_| github_fault(&mut random)).collect();
        let agents = match random.below(8) {
            0 if !built => json!({"absent": true}),
            1 | 2 => json!({"appears_after_polls": random.below(6)}),
            _ => json!({}),
        };
        let mut load = Map::new();
        for name in NAMES {
            load.insert(name.into(), how_it_loads(&mut random, built));
        }
        let before: Vec<Value> = match random.below(3) {
            0 => vec![],
            1 => NAMES.map(|name| before(name, "files=deps-old.pex:source-old.pex")).to_vec(),
            _ => NAMES.map(|name| before(name, &tags[name])).to_vec(),
        };
        let without = |keys: &[&str]| load.values().all(|plan| keys.iter().all(|key| plan[*key].is_null()));
        let come = agents["absent"].is_null() && without(&["never", "never_flips"]);
        let passing = come && without(&["error"]) && pass(&faults);
        let bounded = come && faults.iter().all(is_bounded);
        let dagster = json!({
            "token": TOKEN, "faults": faults, "agents": agents, "load": load,
            "deployments": [{"name": "prod", "locations": before}],
        });
        let cancel = cancelled.then(|| Cancel::draw(&mut random));
        Schedule { number, dagster, github, event, passing, bounded, built, cancel }
    }

    fn faults(&self) -> &Vec<Value> {
        self.dagster["faults"].as_array().unwrap()
    }

    /// Whether this is an action of others during the run.
    fn meddles(&self, what: &str) -> bool {
        self.faults().iter().any(|fault| !fault["before"][what].is_null())
    }

    /// Whether the result does not depend on the order of threads.
    fn is_repeatable(&self) -> bool {
        let shared = ["PUT", "GET", "*", "generateServerlessPexUrl"];
        !self.built && self.faults().iter().all(|fault| !shared.contains(&operation(fault)))
    }
}

fn operation(fault: &Value) -> &str {
    fault["operation"].as_str().unwrap()
}

/// Whether the faults are such that all code locations load in the end.
fn pass(faults: &[Value]) -> bool {
    let mut failures: BTreeMap<&str, u64> = BTreeMap::new();
    for fault in faults.iter().filter(|fault| fault["kind"] != "harmless") {
        let times = fault["times"].as_u64().unwrap();
        let (operation, call) = (operation(fault), fault["call"].as_u64().unwrap());
        // Its first call is made before there is anything to wait for.
        let awaited = match operation {
            "workspaceOrError" => {
                call > 1 && faults.iter().filter(|other| other["operation"] == operation).count() == 1
            }
            other => ["agents", "workspace"].contains(&other),
        };
        match fault["kind"].as_str() {
            Some("passing") if operation != "*" && (1..=OUTLASTED).contains(&times) => {}
            Some("passing" | "answer") if awaited && (1..=WAITED_OUT).contains(&times) => {}
            _ => return false,
        }
        *failures.entry(operation).or_default() += times;
    }
    let most = |operation: &str| match operation {
        "workspaceOrError" | "agents" | "workspace" => WAITED_OUT,
        _ => OUTLASTED,
    };
    !faults.iter().any(|fault| fault["operation"] == "*" && fault["kind"] != "harmless")
        && failures.into_iter().all(|(operation, times)| times <= most(operation))
}

/// Whether a fault ends soon and is not an action of others.
fn is_bounded(fault: &Value) -> bool {
    let soon = (1..=2).contains(&fault["times"].as_u64().unwrap());
    fault["kind"] == "harmless" || (soon && ["passing", "answer"].iter().any(|kind| fault["kind"] == *kind))
}

fn before(name: &str, tag: &str) -> Value {
    json!({
        "location_name": name, "code_source": {"python_file": "defs.py"},
        "pex_metadata": {"pex_tag": tag, "python_version": "3.11"},
    })
}

fn how_it_loads(random: &mut Random, built: bool) -> Value {
    match random.below(10) {
        0 if !built => json!({"never": true}),
        1 => {
            json!({"error": {"message": "ImportError: no\n", "stack": ["  File \"defs.py\"\n"], "chain": []}})
        }
        2 if !built => json!({"never_flips": true, "stale_polls": 1}),
        3 => json!({"stale_polls": random.below(4) + 1, "loading_polls": random.below(3)}),
        _ => json!({"loading_polls": random.below(5)}),
    }
}

/// A fault with its kind: `harmless`, `passing` (every call is repeated), `answer` (an answer that only looks of a wait
/// are repeated after), `long` (the server asks for a pause beyond the time-outs), `lasting`, or `meddling`.
fn dagster_fault(random: &mut Random, quick: bool) -> Value {
    let operation = *random.pick(&[
        "generateServerlessPexUrl",
        "serverless",
        "createOrUpdateBranchDeployment",
        "deployLocations",
        "deployLocations",
        "addOrUpdateLocationFromDocument",
        "workspaceOrError",
        "workspaceOrError",
        "workspaceOrError",
        "workspace",
        "agents",
        "PUT",
        "PUT",
        "GET",
        "*",
    ]);
    let store = matches!(operation, "PUT" | "GET" | "*");
    let times = if quick { 1 } else { *random.pick(&[1, 1, 1, 2, 2, 3, 5, 9, 0]) };
    let (kind, mut fault) = match random.below(if store { 12 } else { 22 }) {
        0..3 => ("passing", json!({"status": random.pick(&[408, 429, 500, 502, 503, 504])})),
        3 => ("answer", json!({"status": random.pick(&[400, 401, 403, 404, 418])})),
        4 => ("passing", json!({"reset": true})),
        5 if operation == "PUT" => ("passing", json!({"reset_upload_after": random.below(5000)})),
        5 => ("passing", json!({"length": random.below(9) + 1})),
        6 => ("passing", json!({"truncate": true})),
        7 => ("passing", json!({"reset_mid_body": true})),
        8 => ("passing", json!({"html": true, "status": random.pick(&[200, 502])})),
        9 => ("harmless", json!({"delay_seconds": 0.05})),
        10 => ("harmless", json!({"drip": {"pieces": random.below(9) + 1}})),
        // It answers another question of the store, too, which has nothing to tell questions apart by.
        11 => (if store { "lasting" } else { "harmless" }, json!({"duplicate": true})),
        12 => {
            let asked = if quick {
                "0"
            } else {
                *random.pick(&["-1", "0", "1", "3", "soon", "99999999999999999999"])
            };
            let date = "Sun, 06 Nov 1994 08:49:37 GMT";
            let asked = if random.chance(20) { date } else { asked };
            ("passing", json!({"status": 429, "headers": {"Retry-After": asked}}))
        }
        13 => ("long", json!({"status": 503, "headers": {"Retry-After": if quick { "1" } else { "86400" }}})),
        14 => {
            let pause = if quick { 1 } else { 5 };
            (
                "passing",
                json!({"maintenance": {"message": "back soon", "timeout": 300, "retry_interval": pause}}),
            )
        }
        15 => ("answer", json!({"errors": [{"message": "internal"}]})),
        16 => ("answer", json!({"beside": {"errors": [{"message": "half of it"}]}})),
        17 => ("answer", json!({"data": {operation: null}})),
        18 => ("answer", json!({"data": {operation: {"__typename": "Novelty", "message": "?"}}})),
        19 => ("passing", json!({"redirect": random.pick(&[302, 307, 308])})),
        20 => ("harmless", json!({"early": 103})),
        _ if operation == "workspaceOrError" => meddling(random),
        _ => ("passing", json!({"length": -3})),
    };
    let refused = kind == "answer" && !fault["status"].is_null();
    fault["kind"] = json!(kind);
    fault["operation"] = json!(operation);
    fault["times"] = json!(times);
    fault["call"] = json!(random.below(4) + 1);
    // Who refuses does not do it.
    fault["apply"] = json!(random.chance(50) && !refused && kind != "meddling");
    fault
}

/// An action of others while this run waits, or an unknown state of code locations.
fn meddling(random: &mut Random) -> (&'static str, Value) {
    let name = *random.pick(&NAMES);
    let mut other = before(name, OTHER_TAG);
    other["agent_queue"] = json!("q");
    match random.below(5) {
        0 => ("meddling", json!({"before": {"overwrite": other}})),
        1 => ("meddling", json!({"before": {"remove-location": name}})),
        2 => ("meddling", json!({"before": {"remove-deployment": null}})),
        3 => ("answer", json!({"replace": ["LOADED", "REPAIRED"]})),
        _ => ("answer", json!({"replace": ["RepositoryLocation", "Novelty"]})),
    }
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
        let calm = Schedule {
            number: 0,
            dagster: json!({"faults": []}),
            github: json!([]),
            event: None,
            passing: true,
            bounded: true,
            built: false,
            cancel: None,
        };
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
        self.github.control("faults", &json!([]));
        self.github.control("clear", &Value::Null);
        self.github.control("faults", &schedule.github);
        match schedule.event {
            None => self.deploy(schedule),
            Some(event) => self.step(event, schedule),
        }
    }

    /// Run these arguments in this process, or as one of their own.
    fn run(&self, schedule: &Schedule, arguments: &[&str], variables: BTreeMap<String, String>) -> Ended {
        let project = self.dir.path().join("project");
        if schedule.built {
            let cancel = schedule.cancel.map(|cancel| (cancel, &self.dagster));
            return cancelling::run(arguments, variables, &project, cancel);
        }
        let mut env: BTreeMap<OsString, OsString> =
            variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        for name in ["PATH", "HOME"] {
            env.insert(name.into(), std::env::var_os(name).unwrap());
        }
        env.insert("PEXPRESS_UV".into(), uv().into());
        env.insert("PEXPRESS_CACHE_DIR".into(), crate::support::kept_cache().into());
        let (stdout, stderr) = (Heard::default(), Heard::default());
        let clock: Arc<dyn Clock> = Arc::new(PassingClock::default());
        let invocation = cli::parse(&[&["pexpress"], arguments].concat().map_os()).unwrap();
        let host = Host::for_test(env, &project, Box::new(stdout.clone()), Box::new(stderr.clone()), clock);
        let host = host.with_log(invocation.global.log());
        let exit = commands::run(invocation, &host);
        Ended { code: exit.0, stdout: stdout.text(), stderr: stderr.text(), late: Vec::new() }
    }

    fn deploy(&self, schedule: &Schedule) -> Said {
        let out = self.dir.path().join("out");
        let arguments = ["deploy", ".", out.to_str().unwrap(), "--upload-pex", "--update-code-location"];
        let further = ["--deployment", "prod", "--yes", "--format", "json", "--deps-cache-from", "t"];
        let last =
            ["--deps-cache-to", "t", "--location-load-timeout", "60", "--agent-heartbeat-timeout", "30"];
        let variables =
            [("DAGSTER_CLOUD_URL", self.dagster.url.as_str()), ("DAGSTER_CLOUD_API_TOKEN", TOKEN)];
        let variables = variables.map(|(name, value)| (name.to_string(), value.to_string())).into();
        let ended = self.run(schedule, &[&arguments[..], &further, &last].concat(), variables);
        let document: Value = serde_json::from_str(&ended.stdout).unwrap_or_default();
        let states = states(&document["locations"]);
        Said { code: ended.code, states, log: ended.stderr, summary: None, late: ended.late }
    }

    fn step(&self, event: &str, schedule: &Schedule) -> Said {
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
        let Ended { code, stderr: log, late, .. } = self.run(schedule, &["action"], step.variables().clone());
        let ran = Ran::read(Some(code.into()), files.path());
        let locations = ran.outputs.get("locations").and_then(|text| serde_json::from_str(text).ok());
        let states = states(&locations.unwrap_or_default());
        let is = |word: &str| ran.outputs.get("result").is_some_and(|result| result == word);
        assert_eq!(is("success"), code == 0, "the output `result` differs from the exit code\n{log}");
        let cancelled = cancelling::sentence(&log).is_some();
        assert_eq!(is("cancelled"), cancelled, "the output `result` differs from the log\n{log}");
        Said { code, states, log, summary: Some(ran.summary), late }
    }

    /// Violations of the rule by a run.
    fn judge(&self, schedule: &Schedule, said: &Said) -> Vec<String> {
        let state = self.dagster.state();
        let deployments = state["deployments"].as_object().unwrap();
        let branch = deployments.keys().find(|name| *name != "prod").cloned();
        let deployment = match schedule.event {
            Some("pull_request") => branch.map_or(&Value::Null, |name| &deployments[&name]),
            _ => deployments.get("prod").unwrap_or(&Value::Null),
        };
        let mut broken = Vec::new();
        let all_loaded =
            NAMES.iter().all(|name| said.states.get(*name).is_some_and(|state| state == "loaded"));
        let cancelled = cancelling::sentence(&said.log).is_some();
        if cancelled {
            broken.extend(self.judge_cancelled(schedule, said));
        } else if (said.code == 0) != all_loaded {
            broken.push(format!("exit code {} and {:?}", said.code, said.states));
        }
        let mut reached = true;
        for name in NAMES {
            let tag = &self.tags[name];
            let names = tag.trim_start_matches("files=").split(':');
            let whole = names.into_iter().all(|file| state["digests"].get(file) == self.digests.get(file));
            let runs = whole && deployment["serving"][name] == json!(tag);
            let document = &deployment["locations"][name];
            let has_tag = document["pex_metadata"]["pex_tag"] == json!(tag);
            // The document alone does not tell an update from what was there before it.
            let updated = has_tag && document.get("git").is_some();
            reached &= runs && updated;
            let meddled = ["overwrite", "remove-location", "remove-deployment"]
                .iter()
                .any(|what| schedule.meddles(what));
            let word = said.states.get(name).map_or("nothing", String::as_str);
            let truth = match word {
                "loaded" => runs,
                "not_updated" | "not_published" | "nothing" => !updated,
                "not_deployed" => cancelled && !updated,
                "failed_to_load" => updated && deployment["serving"][name].is_null(),
                "overtaken" => !has_tag && meddled,
                // An update to what was there already is as good as none.
                "loading" | "no_agent" => has_tag || meddled,
                "unknown" => true,
                _ => false,
            };
            if !truth {
                broken
                    .push(format!("said `{word}` of {name}: runs {runs}, updated {updated}, whole {whole}"));
            }
            if schedule.passing && !cancelled && word != "loaded" {
                broken.push(format!("said `{word}` of {name} though all faults pass"));
            }
        }
        if reached && schedule.bounded && !cancelled && said.code != 0 {
            broken.push(format!("all run what was asked for, and exit code {}", said.code));
        }
        let vanished = |violation: &Value| {
            violation["what"] == "update refers to missing objects" && schedule.meddles("delete-object")
        };
        for violation in self.dagster.journal().0["violations"].as_array().unwrap() {
            if !vanished(violation) {
                broken.push(format!("violation {violation}"));
            }
        }
        broken.extend(self.judge_reports(schedule, said));
        broken
    }

    /// Violations of the rule for cancelled runs.
    fn judge_cancelled(&self, schedule: &Schedule, said: &Said) -> Vec<String> {
        let sentence = cancelling::sentence(&said.log).unwrap();
        let mut reports: Vec<(&str, String)> =
            said.summary.iter().map(|summary| ("summary", summary.clone())).collect();
        if schedule.github.as_array().unwrap().is_empty() && said.summary.is_some() {
            reports.extend(self.github.bodies().into_iter().map(|body| ("comment", body)));
        }
        let mut broken = cancelling::judge(sentence, &said.states, &reports);
        let wanted = schedule.cancel.map(|cancel| cancel.code());
        if wanted != Some(said.code) {
            broken.push(format!("exit code {}, not {wanted:?}", said.code));
        }
        if !said.late.is_empty() {
            broken.push(format!("begun after the signal: {:?}", said.late));
        }
        broken
    }

    /// Contradictions between reports and outputs.
    fn judge_reports(&self, schedule: &Schedule, said: &Said) -> Vec<String> {
        let Some(summary) = &said.summary else { return Vec::new() };
        let mut broken = Vec::new();
        let calm = schedule.github.as_array().unwrap().is_empty();
        let bodies = self.github.bodies();
        let comments = bodies.iter().map(|body| ("comment", body, !calm));
        for (report, text, may_be_old) in std::iter::once(("summary", summary, false)).chain(comments) {
            let rows = rows(text);
            for (name, state) in &said.states {
                let word = rows.get(name).map_or("nothing", String::as_str);
                // A run that failed before it came to them has deployed none.
                let none = if said.code == 0 { "pending" } else { "not_deployed" };
                let state = if state == "nothing" { none } else { state };
                // A comment that could not be updated still has its first text.
                if word != state.replace('_', " ") && !(may_be_old && word == "pending") {
                    broken.push(format!("the {report} says `{word}` of {name}, the outputs `{state}`"));
                }
            }
        }
        let asked = schedule.event == Some("pull_request") && !said.states.is_empty();
        if calm && asked && bodies.len() != 1 {
            broken.push(format!("{} comments", bodies.len()));
        }
        let state = self.github.state();
        let deployments = state["deployments"].as_array().unwrap().iter();
        let last = deployments.filter_map(|deployment| deployment["states"].as_array().unwrap().last());
        for status in state["statuses"].as_array().unwrap().last().into_iter().chain(last) {
            let wanted = if said.code == 0 { ["success", "success"] } else { ["failure", "error"] };
            let word = status["state"].as_str().unwrap();
            let open = !calm && ["pending", "in_progress", "queued"].contains(&word);
            if !wanted.contains(&word) && !open {
                broken.push(format!("GitHub got `{word}`, and the exit code is {}", said.code));
            }
        }
        broken
    }

    /// Whether the same schedule has another result without faults of GitHub.
    fn compare_without_github(&self, schedule: &Schedule, said: &Said) -> Option<String> {
        self.github.control("faults", &json!([]));
        let calm = Schedule { github: json!([]), dagster: schedule.dagster.clone(), ..*schedule };
        let other = self.play(&calm);
        let same = (other.code, &other.states) == (said.code, &said.states);
        (!same).then(|| {
            format!(
                "without GitHub's faults {} {:?}, with them {} {:?}",
                other.code, other.states, said.code, said.states
            )
        })
    }
}

/// The word for each code location in the table of a report: `| SIGN | `NAME` | WORD | …`, where a name may be a link,
/// and a word may be followed by a link and lines of its own.
fn rows(text: &str) -> BTreeMap<String, String> {
    let cells = text.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| ")?.split(" | ").skip(1);
        let name = cells.next()?.trim_start_matches('[').strip_prefix('`')?.split('`').next()?;
        let state = cells.next()?.trim_end_matches(" |");
        Some((name.to_string(), state.split(['<', '(']).next()?.trim_end().to_string()))
    });
    cells.collect()
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
#[ignore = "a minute"]
fn loaded_is_reported_if_and_only_if_it_is_true() {
    let _timed = timed();
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
    let mut cancelled = 0;
    for (schedule, said, failures) in results {
        cancelled += u32::from(cancelling::sentence(&said.log).is_some());
        for word in said.states.values() {
            *words.entry(word.clone()).or_insert(0) += 1;
        }
        if !failures.is_empty() {
            eprintln!("PEXPRESS_SEED={} PEXPRESS_SCHEDULES=1: {failures:#?}", schedule.number);
            if broken.len() < 3 {
                eprintln!("{schedule:#?}\n{}", said.log);
            }
            broken.push(schedule.number);
        }
    }
    eprintln!(
        "{count} schedules, {cancelled} cancelled, said {words:?}, {:.0} s",
        began.elapsed().as_secs_f64()
    );
    assert_eq!(broken, Vec::<u64>::new(), "schedules under which something was said that is not so");
    assert!(count < 100 || cancelled > 0, "no run was cancelled");
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
        let mut broken = lane.judge(&schedule, &said);
        let disturbed = schedule.event.is_some() && !schedule.github.as_array().unwrap().is_empty();
        if index.is_multiple_of(4) && disturbed && schedule.is_repeatable() {
            broken.extend(lane.compare_without_github(&schedule, &said));
        }
        results.push((schedule, said, broken));
    }
}
