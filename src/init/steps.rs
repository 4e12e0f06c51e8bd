//! The steps of old deploy jobs that stay, before and after the new deploy step.

use super::choose::{self, Branches};
use super::condition::{self, Left, Scope};
use super::keep;
use super::old::{DeployJob, Role, Step, Style, installs_only};
use super::outcome::{Lines, Outcome};
use super::script;
use super::vendor::{self, Kind};
use super::workflow::entry;
use super::write::{NewWorkflow, STEP_ID};
use serde_json::{Map, Value};

/// Words of scripts that need what a setup step installs.
const NEEDS_SETUP: [&str; 12] =
    ["python", "pip", "uv ", "dbt", "dagster", "poetry", "pdm", "hatch", "make", ".sh", "pytest", "dg "];

/// First words of lines that do nothing by themselves.
const FRAMES: [&str; 15] = [
    ":", "cd", "set", "export", "echo", "mkdir", "for", "while", "do", "done", "if", "then", "else", "elif",
    "fi",
];

/// A step that stays.
struct Kept<'j, 'w> {
    job: &'j DeployJob<'w>,
    index: usize,
    /// Its mapping, with the new condition.
    value: Map<String, Value>,
    own_condition: Option<String>,
    scope: Scope,
    /// The branches whose pushes it is for; `None` if it is not for pushes.
    branches: Option<Branches>,
    is_after: bool,
}

/// What is decided about a step.
enum Decision {
    Keep(Map<String, Value>, Option<String>),
    Drop(String),
    /// Told elsewhere.
    Silent,
}

/// Set the steps of `new`, and tell what became of each. `drops` says why a step goes whatever else it is for. Returns notes.
pub fn settle(
    jobs: &[DeployJob<'_>],
    style: Style,
    drops: &dyn Fn(&Step<'_>, &DeployJob<'_>) -> Option<String>,
    new: &mut NewWorkflow,
    lines: &mut Lines,
) -> Vec<String> {
    let whole = jobs.iter().map(|job| job.scope).reduce(Scope::or).unwrap_or(Scope {
        push: true,
        pull: true,
        closed: true,
    });
    let whole = Scope { closed: whole.pull, ..whole };
    let branches_of = |job: &DeployJob<'_>| job.scope.push.then(|| job.branches.clone());
    let all_branches: Vec<Branches> = jobs.iter().filter_map(branches_of).collect();
    let needs = Needs::of(jobs);
    let mut kept: Vec<Kept<'_, '_>> = Vec::new();
    let mut notes = Vec::new();
    for job in jobs {
        let ids = session_ids(job);
        let boundary = boundary(job);
        let mut at = 0;
        for step in &job.steps {
            let dropped = drops(step, job).map(Decision::Drop);
            let (outcome, detail) = match dropped.unwrap_or_else(|| decide(step, job, style, &needs, &ids)) {
                Decision::Silent => continue,
                Decision::Drop(why) => (Outcome::Dropped, why),
                Decision::Keep(value, own_condition) => {
                    let is_after = boundary.is_some_and(|boundary| step.index > boundary);
                    let branches = branches_of(job);
                    let scope = job.scope;
                    let step =
                        Kept { job, index: step.index, value, own_condition, scope, branches, is_after };
                    at = merge(&mut kept, at, step);
                    (
                        Outcome::Kept,
                        if is_after { "after the deploy step" } else { "before the deploy step" }.to_string(),
                    )
                }
            };
            let path = ["jobs", job.id, "steps", &step.index.to_string()];
            lines.add(job.workflow, &path, &name(step.step), outcome, detail);
        }
    }
    for kept in kept {
        let gone = gone_ids(kept.job);
        let only = kept.only(&all_branches).unwrap_or_else(|branches| {
            notes.push(format!(
                "{} was only for pushes to {branches}, and is for those to other branches too now: add a condition",
                name(&kept.value)
            ));
            None
        });
        let text = kept.text(whole, only);
        notes.extend(dangling(&text, &gone, kept.job));
        notes.extend(still_calls(&text));
        if kept.is_after { &mut new.after } else { &mut new.before }.push(text);
    }
    notes
}

/// `step "NAME"`, or what it uses or runs.
pub fn name(step: &Map<String, Value>) -> String {
    let name = entry(step, "name").or_else(|| entry(step, "uses"));
    let script = || entry(step, "run").and_then(|run| run.lines().next().map(without_flags));
    format!("step \"{}\"", name.or_else(script).unwrap_or_default())
}

/// A command up to its first flag: the value of one may be a token.
fn without_flags(line: &str) -> String {
    line.split(" --").next().unwrap_or_default().trim_end_matches([' ', '\\']).to_string()
}

/// What the job's own steps need.
struct Needs {
    setup: bool,
    docker: bool,
}

impl Needs {
    fn of(jobs: &[DeployJob<'_>]) -> Needs {
        let steps = || jobs.iter().flat_map(|job| &job.steps);
        let own = || {
            steps().filter_map(|step| match &step.role {
                Role::Own => entry(step.step, "run"),
                Role::Vendor(_) => rest_of_script(step.step),
                _ => None,
            })
        };
        Needs {
            setup: own().any(|script| NEEDS_SETUP.iter().any(|word| script.contains(word))),
            docker: own().any(|script| script.contains("docker")),
        }
    }
}

fn decide(step: &Step<'_>, job: &DeployJob<'_>, style: Style, needs: &Needs, ids: &[String]) -> Decision {
    let is_pex = style != Style::Images;
    let mut value = step.step.clone();
    match &step.role {
        Role::Checkout => return Decision::Silent,
        Role::Setup if !needs.setup => {
            return Decision::Drop("pexpress needs neither, and brings its own uv".into());
        }
        Role::DockerTool if is_pex && !needs.docker => {
            return Decision::Drop("PEX files are built without Docker".into());
        }
        Role::Vendor(calls) => {
            let why =
                calls.iter().map(|call| reason(call.kind, &call.name, style)).next().unwrap_or_default();
            match rest_of_script(step.step) {
                Some(rest) => value.insert("run".to_string(), rest.into()),
                None => return Decision::Drop(why),
            };
        }
        _ => {}
    }
    let condition = entry(step.step, "if").map(|condition| condition::of_step(&condition, ids));
    match condition {
        Some(Left::Never) => Decision::Drop("it is only for Docker builds".into()),
        Some(Left::Run(condition)) => Decision::Keep(renamed(value, job), condition),
        None => Decision::Keep(renamed(value, job), None),
    }
}

/// Why a step of Dagster+ is not needed.
fn reason(kind: Kind, name: &str, style: Style) -> String {
    match kind {
        Kind::Session if name.ends_with("prerun") => {
            "pexpress closes branch deployments itself, and skips what has nothing to do".into()
        }
        Kind::Session if name.ends_with("notify") => "pexpress writes the comment itself".into(),
        Kind::Session if name.ends_with("status") => "pexpress writes the job summary itself".into(),
        Kind::Session if name.ends_with("check") => "pexpress checks the project before it builds".into(),
        Kind::Session if name.ends_with("parse_workspace") => {
            "it lists code locations for Docker builds".into()
        }
        Kind::DefsState if style == Style::Images => "a note says what takes its place".into(),
        Kind::DefsState => "`refresh_defs_state: true` does it".into(),
        Kind::ImageOutput => "the deploy step of pexpress has the image".into(),
        _ => "the deploy step of pexpress does it".into(),
    }
}

/// A script without the commands of Dagster+, if something is left besides installations.
fn rest_of_script(step: &Map<String, Value>) -> Option<String> {
    let script = entry(step, "run")?;
    let lines = script::lines(&script);
    let is_replaced =
        |line: &&script::LogicalLine| line.commands.iter().any(|words| vendor::is_replaced(words));
    // A loop or branch has to have a command: `:` does nothing.
    let without = |line: &script::LogicalLine| match is_replaced(&line) {
        false => Some(line.written.clone()),
        true if line.written.starts_with([' ', '\t']) => {
            let margin = line.written.len() - line.written.trim_start().len();
            Some(format!("{}:", &line.written[..margin]))
        }
        true => None,
    };
    let rest: Vec<String> = lines.iter().filter_map(without).collect();
    let text = rest.join("\n");
    let is_frame = |line: &String| {
        let first = line.split_whitespace().next().unwrap_or(":");
        FRAMES.contains(&first.trim_end_matches(';'))
    };
    let does_something = !rest.iter().all(is_frame) && !installs_only(&text);
    does_something.then_some(text)
}

/// The ids of `prerun` steps.
pub fn session_ids(job: &DeployJob<'_>) -> Vec<String> {
    let is_prerun = |step: &&Step<'_>| match &step.role {
        Role::Vendor(calls) => calls.iter().any(|call| call.name.ends_with("utils/prerun")),
        _ => false,
    };
    job.steps.iter().filter(is_prerun).filter_map(|step| entry(step.step, "id")).collect()
}

/// The ids of all steps of Dagster+.
fn gone_ids(job: &DeployJob<'_>) -> Vec<String> {
    let gone = job.steps.iter().filter(|step| matches!(step.role, Role::Vendor(_)));
    gone.filter_map(|step| entry(step.step, "id")).collect()
}

/// The step that deploys: what comes after it stays after it.
fn boundary(job: &DeployJob<'_>) -> Option<usize> {
    let deploys = |call: &vendor::Call| match call.kind {
        Kind::Pex | Kind::Docker | Kind::Hybrid => true,
        Kind::Build => !call.name.contains("build"),
        Kind::ImageOutput => call.name.ends_with("deploy"),
        _ => false,
    };
    let is_deploy = |step: &&Step<'_>| matches!(&step.role, Role::Vendor(calls) if calls.iter().any(deploys));
    job.steps.iter().rfind(is_deploy).map(|step| step.index)
}

/// The output `deployment` of an old deploy step is one of pexpress too.
fn renamed(mut value: Map<String, Value>, job: &DeployJob<'_>) -> Map<String, Value> {
    let gone = gone_ids(job);
    value.values_mut().for_each(|value| rename(value, &gone));
    value
}

fn rename(value: &mut Value, gone: &[String]) {
    match value {
        Value::String(text) => {
            for id in gone {
                *text = text.replace(
                    &format!("steps.{id}.outputs.deployment"),
                    &format!("steps.{STEP_ID}.outputs.deployment"),
                );
            }
        }
        Value::Object(map) => map.values_mut().for_each(|value| rename(value, gone)),
        Value::Array(items) => items.iter_mut().for_each(|value| rename(value, gone)),
        _ => {}
    }
}

/// Add a step, or widen the scope of an equal one at or after `at`. Returns the place after it.
fn merge<'j, 'w>(kept: &mut Vec<Kept<'j, 'w>>, at: usize, step: Kept<'j, 'w>) -> usize {
    let is_equal = |other: &Kept<'_, '_>| {
        let without_if = |value: &Map<String, Value>| {
            let mut value = value.clone();
            value.remove("if");
            value
        };
        other.own_condition == step.own_condition
            && other.is_after == step.is_after
            && without_if(&other.value) == without_if(&step.value)
    };
    match kept.iter().enumerate().skip(at).find(|(_, other)| is_equal(other)).map(|(place, _)| place) {
        Some(place) => {
            if let Some(other) = kept.get_mut(place) {
                other.scope = other.scope.or(step.scope);
                other.branches = match (other.branches.take(), step.branches) {
                    (Some(own), Some(more)) if own.is_empty() || more.is_empty() => Some(Vec::new()),
                    (Some(own), Some(more)) => Some(own.into_iter().chain(more).collect()),
                    (own, more) => own.or(more),
                };
            }
            place + 1
        }
        None => {
            kept.insert(at, step);
            at + 1
        }
    }
}

impl Kept<'_, '_> {
    /// The condition for its branches, with the events that have none.
    ///
    /// # Errors
    /// The branches, if only patterns tell them apart.
    fn only(&self, all: &[Branches]) -> Result<Option<String>, String> {
        let Some(own) = &self.branches else { return Ok(None) };
        let only = choose::only(own, all)?;
        Ok(only.map(|only| match self.scope.pull {
            true => format!("(github.event_name == 'pull_request' || {only})"),
            false => only,
        }))
    }

    fn text(&self, whole: Scope, only: Option<String>) -> String {
        let mut value = Map::new();
        let events = condition::both(self.scope.condition(whole), only);
        let condition = condition::both(events.as_deref(), self.own_condition.clone());
        for (key, given) in self.value.iter().filter(|(key, _)| *key != "if") {
            value.insert(key.clone(), given.clone());
            if let Some(condition) = condition.as_ref().filter(|_| value.len() == 1) {
                value.insert("if".to_string(), condition.as_str().into());
            }
        }
        keep::step(self.job.workflow, self.job.id, self.index, &value)
    }
}

/// Whether a text calls a tool of Dagster+.
pub fn calls_dagster(text: &str) -> bool {
    ["dagster-io/dagster-cloud-action", "dagster-cloud ", "dg plus ", "dg api "]
        .iter()
        .any(|name| text.contains(name))
}

/// A note about a script that stays and still calls a tool of Dagster+.
fn still_calls(text: &str) -> Option<String> {
    if text.contains("dagster-cloud-action/actions/launch_job") {
        return Some(format!(
            "{} stays as it is; `command: launch` of pexpress does the same",
            first_line(text)
        ));
    }
    let deploys = ["dagster-cloud ci ", "dg plus deploy"].iter().find(|command| text.contains(**command))?;
    Some(format!("{} still has `{}`: look at what it is for", first_line(text), deploys.trim()))
}

fn first_line(text: &str) -> String {
    let first = text.lines().find(|line| !line.trim_start().starts_with('#')).unwrap_or_default();
    format!("the step `{}`", first.trim_start_matches("- "))
}

/// Notes about references to steps that are gone.
fn dangling(text: &str, gone: &[String], job: &DeployJob<'_>) -> Vec<String> {
    let used = gone.iter().filter(|id| text.contains(&format!("steps.{id}.")));
    let note = |id: &String| {
        format!(
            "{} uses `steps.{id}` of {}, which is gone: change it by hand",
            first_line(text),
            job.workflow.file.path
        )
    };
    used.map(note).collect()
}
