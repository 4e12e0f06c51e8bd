//! Jobs of old workflows that do not deploy, such as tests: they move to the new workflow.
//!
//! There they run for the same events as before, and with the permissions that their workflow gave them.

use super::condition::{self, Scope};
use super::expand;
use super::keep;
use super::old::{self, DeployJob};
use super::outcome::{Lines, Outcome};
use super::workflow::{Workflow, entry, list};
use super::write::NewWorkflow;
use serde_json::{Map, Value, json};

/// The id of the new deploy job.
const DEPLOY: &str = "deploy";

/// A job that stays.
struct Other<'w> {
    workflow: &'w Workflow,
    id: &'w str,
    value: Map<String, Value>,
    scope: Scope,
}

/// Add all of them to `new`. Returns notes.
pub fn settle(
    workflows: &[&Workflow],
    jobs: &[&[DeployJob<'_>]],
    new: &mut NewWorkflow,
    lines: &mut Lines,
) -> Vec<String> {
    let mut others: Vec<Other<'_>> = Vec::new();
    let mut notes = Vec::new();
    let whole = workflows.iter().map(|workflow| old::scope(workflow)).reduce(Scope::or);
    let Some(whole) = whole.map(|whole| Scope { closed: whole.pull, ..whole }) else { return notes };
    for workflow in workflows {
        let of_this =
            jobs.iter().copied().flatten().filter(|job| job.workflow.file.path == workflow.file.path);
        let gone: Vec<&str> = of_this.map(|job| job.id).collect();
        for (id, value) in workflow.jobs().filter(|(id, _)| !gone.contains(&id.as_str())) {
            let value = with_new_needs(value, &gone);
            if gone
                .iter()
                .any(|gone| Value::Object(value.clone()).to_string().contains(&format!("needs.{gone}.")))
            {
                notes.push(format!("the job `{id}` uses an output of a job that is gone: change it by hand"));
            }
            lines.add(workflow, &["jobs", id], &format!("job `{id}`"), Outcome::Kept, "");
            let scope = old::scope(workflow);
            match others.iter_mut().find(|other| other.id == id && other.value == value) {
                Some(other) => other.scope = other.scope.or(scope),
                None => others.push(Other { workflow, id, value, scope }),
            }
        }
    }
    let mut ids = vec![DEPLOY.to_string()];
    for other in &others {
        let id = free_id(other.id, &ids);
        if id != other.id {
            notes.push(format!(
                "the job `{}` of {} is called `{id}` now: change `needs` that name it",
                other.id, other.workflow.file.path
            ));
        }
        new.other_jobs.push(other.text(&id, whole, &mut notes));
        ids.push(id);
    }
    notes
}

/// `id`, or with a number if there is another job with that id.
fn free_id(id: &str, taken: &[String]) -> String {
    let numbered = (2..).map(|number| format!("{id}-{number}"));
    let mut ids = std::iter::once(id.to_string()).chain(numbered);
    ids.find(|id| !taken.contains(id)).unwrap_or_default()
}

/// What waited for an old deploy job waits for the new one.
fn with_new_needs(job: &Map<String, Value>, gone: &[&str]) -> Map<String, Value> {
    let mut job = job.clone();
    let needs = list(&job, "needs");
    if needs.iter().any(|id| gone.contains(&id.as_str())) {
        let mut renamed: Vec<String> = needs.into_iter().filter(|id| !gone.contains(&id.as_str())).collect();
        renamed.push(DEPLOY.to_string());
        job.insert("needs".into(), json!(renamed));
    }
    job
}

impl Other<'_> {
    fn text(&self, id: &str, whole: Scope, notes: &mut Vec<String>) -> String {
        let mut value = self.value.clone();
        if !value.contains_key("permissions") && !value.contains_key("uses") {
            let given = self.workflow.root.get("permissions").cloned();
            if given.is_none() {
                notes.push(format!(
                    "the job `{id}` had the default permissions of the repository and may only read its code now: add what else it needs under its `permissions`"
                ));
            }
            value.insert("permissions".into(), given.unwrap_or_else(|| json!({ "contents": "read" })));
        }
        let own = entry(&self.value, "if");
        let own = own.map(|own| expand::expression(&own).map_or(own.clone(), String::from));
        if let Some(condition) = self.scope.condition(whole) {
            let both = condition::both(Some(condition), own).unwrap_or_default();
            value.insert("if".into(), both.into());
        }
        keep::job(self.workflow, self.id, id, &value)
    }
}
