//! The events of the new workflow, from those of the old ones.

use super::old::DeployJob;
use super::outcome::{Lines, Outcome};
use super::workflow::{Workflow, list};
use super::write::NewWorkflow;
use serde_json::{Map, Value, json};

/// Filters that narrow an event; where one workflow does not have them, the new one does not either.
const FILTERS: [&str; 6] = ["branches", "branches-ignore", "tags", "tags-ignore", "paths", "paths-ignore"];
/// Events that this takes apart.
const KNOWN: [&str; 3] = ["push", "pull_request", "pull_request_target"];

/// Set the events of `new`.
pub fn settle(
    jobs: &[DeployJob<'_>],
    default_branch: Option<&str>,
    own_path: &str,
    new: &mut NewWorkflow,
    lines: &mut Lines,
) {
    let workflows = workflows(jobs);
    let path_of_old: Vec<&str> = workflows.iter().map(|workflow| workflow.file.path.as_str()).collect();
    let pushes = || workflows.iter().copied().filter(|workflow| workflow.event("push").is_some());
    let pulls = || {
        workflows
            .iter()
            .copied()
            .filter(|workflow| KNOWN[1..].iter().any(|name| workflow.event(name).is_some()))
    };
    let filters = |name: &str, of: Vec<&Workflow>| {
        let events: Vec<_> = of.iter().map(|workflow| event(workflow, name)).collect();
        merged(&events, &path_of_old, own_path)
    };
    if pushes().next().is_some() {
        new.push = Some(filters("push", pushes().collect()));
    }
    if pulls().next().is_some() {
        new.pull = Some(filters("pull_request", pulls().collect()));
    }
    if let Some(push) = &mut new.push {
        template_branches(push, default_branch, &workflows, lines);
    }
    for workflow in &workflows {
        tell(workflow, new, lines);
        for name in workflow.events().into_iter().filter(|name| !KNOWN.contains(name)) {
            let event = workflow.root.get("on").and_then(|on| on.get(name)).cloned().unwrap_or_default();
            new.other_events.entry(name.to_string()).or_insert(event);
        }
    }
}

/// The workflows of these jobs, each once.
pub fn workflows<'a>(jobs: &[DeployJob<'a>]) -> Vec<&'a Workflow> {
    let mut workflows: Vec<&Workflow> = Vec::new();
    for job in jobs {
        if !workflows.iter().any(|known| known.file.path == job.workflow.file.path) {
            workflows.push(job.workflow);
        }
    }
    workflows
}

fn event<'a>(workflow: &'a Workflow, name: &str) -> Option<&'a Map<String, Value>> {
    let found = workflow.event(name).flatten();
    found.or_else(|| workflow.event("pull_request_target").flatten().filter(|_| name == "pull_request"))
}

/// The filters that all events have, with the values of all. The old file's own path becomes that of the new one.
fn merged(events: &[Option<&Map<String, Value>>], old: &[&str], own_path: &str) -> Map<String, Value> {
    let mut filters = Map::new();
    for name in FILTERS {
        let lists: Vec<Vec<String>> =
            events.iter().map(|event| event.map(|event| list(event, name)).unwrap_or_default()).collect();
        if lists.iter().any(Vec::is_empty) {
            continue;
        }
        let mut values: Vec<String> = Vec::new();
        for value in lists.into_iter().flatten() {
            let value = if old.contains(&value.as_str()) { own_path.to_string() } else { value };
            if !values.contains(&value) {
                values.push(value);
            }
        }
        filters.insert(name.to_string(), json!(values));
    }
    filters
}

/// Dagster+'s templates name `main` and `master`; the one that the repository does not have is dropped.
fn template_branches(
    push: &mut Map<String, Value>,
    default: Option<&str>,
    workflows: &[&Workflow],
    lines: &mut Lines,
) {
    let branches = list(push, "branches");
    let is_template =
        branches.len() == 2 && ["main", "master"].iter().all(|name| branches.iter().any(|each| each == name));
    let Some(default) = default.filter(|default| is_template && branches.iter().any(|each| each == default))
    else {
        return;
    };
    push.insert("branches".to_string(), json!([default]));
    for workflow in workflows.iter().filter(|workflow| workflow.event("push").is_some()) {
        let why = format!("`[{default}]`: it is the default branch of this repository");
        lines.add(workflow, &["on", "push", "branches"], "branches of `push`", Outcome::Taken, why);
    }
}

fn tell(workflow: &Workflow, new: &NewWorkflow, lines: &mut Lines) {
    for name in workflow.events() {
        let (outcome, detail) = match name {
            "pull_request_target" => {
                (Outcome::Taken, "`pull_request`, which does not give secrets to code of forks")
            }
            "pull_request" => (Outcome::Kept, "with `closed`, so that branch deployments are closed"),
            _ => (Outcome::Kept, ""),
        };
        lines.add(workflow, &["on", name], &format!("event `{name}`"), outcome, detail);
        if let Some(event) = workflow.event(name).flatten() {
            for filter in FILTERS.iter().filter(|filter| event.contains_key(**filter)) {
                let told = lines.0.iter().any(|line| {
                    line.file == workflow.file.path && line.what == format!("{filter} of `{name}`")
                });
                let of_new = if name == "push" { new.push.as_ref() } else { new.pull.as_ref() };
                let (outcome, detail) = match !KNOWN.contains(&name)
                    || of_new.is_some_and(|of_new| of_new.contains_key(*filter))
                {
                    true => (Outcome::Kept, ""),
                    false => (Outcome::Dropped, "another workflow deploys without it"),
                };
                if !told {
                    let what = format!("{filter} of `{name}`");
                    lines.add(workflow, &["on", name, filter], &what, outcome, detail);
                }
            }
        }
    }
    if workflow.root.contains_key("concurrency") {
        let detail = "a group for each pull request and branch; runs of pull requests are cancelled by newer ones, deployments to a full deployment are not";
        lines.add(workflow, &["concurrency"], "concurrency", Outcome::Taken, detail);
    }
    if workflow.root.contains_key("name") {
        let detail = format!("the new workflow is called `{}`", new.name);
        lines.add(workflow, &["name"], "name", Outcome::Dropped, detail);
    }
}
