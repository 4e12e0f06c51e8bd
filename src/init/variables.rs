//! The variables of old workflows: which of them stay, where, and with which value.

use super::choose::{Choice, Given, choose};
use super::inputs::{Inputs, VARIABLES};
use super::old::{DeployJob, Role, deploy_ids};
use super::outcome::{Line, Lines, Outcome};
use super::workflow::{Workflow, entry, mapping, text};
use super::write::NewWorkflow;
use serde_json::{Map, Value, json};

/// Variables of Dagster+'s templates that only its own steps use.
const TEMPLATE_VARIABLES: [(&str, &str); 9] = [
    ("ENABLE_FAST_DEPLOYS", "there is one way to deploy"),
    ("PYTHON_VERSION", "its value is used where it was meant"),
    ("DAGSTER_CLOUD_FILE", "its value is used where it was meant"),
    ("DAGSTER_CLOUD_YAML_PATH", "its value is used where it was meant"),
    ("DAGSTER_PROJECT_DIR", "its value is used where it was meant"),
    ("DAGSTER_PROJECT_NAME", "only the old steps use it"),
    ("DAGSTER_BUILD_STATEDIR", "there is no state between steps"),
    ("IMAGE_REGISTRY", "only the old steps use it"),
    ("GITHUB_TOKEN", "the action has it by default"),
];

/// Set the variables of the new workflow, its deploy job and its deploy step.
pub fn settle(jobs: &[DeployJob<'_>], inputs: &Inputs<'_, '_>, new: &mut NewWorkflow, lines: &mut Lines) {
    for workflow in super::events::workflows(jobs) {
        variables(workflow, &["env"], &workflow.root, inputs, new, lines);
    }
    for job in jobs {
        variables(job.workflow, &["jobs", job.id, "env"], job.job, inputs, new, lines);
        step_variables(job, new, lines);
    }
    by_deployment(jobs, new, lines);
}

/// Variables whose values differ between deploy jobs: chosen by branch and event.
fn by_deployment(jobs: &[DeployJob<'_>], new: &mut NewWorkflow, lines: &mut Lines) {
    let of_job = |job: &DeployJob<'_>, name: &str| {
        let mut owners = [job.job, &job.workflow.root].into_iter();
        owners.find_map(|owner| {
            mapping(owner, "env").find(|(own, _)| *own == name).map(|(_, value)| text(value))
        })
    };
    let of_steps = |job: &DeployJob<'_>, name: &str| {
        let vendor = |step: &&super::old::Step<'_>| matches!(step.role, Role::Vendor(_));
        let mut owners = job.steps.iter().filter(vendor).map(|step| step.step);
        owners.find_map(|owner| {
            mapping(owner, "env").find(|(own, _)| *own == name).map(|(_, value)| text(value))
        })
    };
    for env in [new.job.get_mut("env"), new.top.get_mut("env")].into_iter().flatten() {
        env.as_object_mut().into_iter().for_each(|env| choose_all(env, jobs, of_job, lines));
    }
    choose_all(&mut new.step_env, jobs, of_steps, lines);
}

fn choose_all(
    env: &mut Map<String, Value>,
    jobs: &[DeployJob<'_>],
    value_of: impl Fn(&DeployJob<'_>, &str) -> Option<String>,
    lines: &mut Lines,
) {
    for (name, value) in env {
        let given = |job: &DeployJob<'_>| {
            let value = value_of(job, name)?;
            Some(Given { value, scope: job.scope, branches: job.branches.clone() })
        };
        let given: Vec<Given> = jobs.iter().filter_map(given).collect();
        if given.iter().all(|given| given.value == text(value)) {
            continue;
        }
        let what = format!("env.{name}");
        let (outcome, detail) = match choose(&given) {
            Choice::One(chosen) => {
                *value = chosen.clone().into();
                (Outcome::Taken, format!("`{chosen}`"))
            }
            _ => {
                let detail = format!(
                    "`{}` for all deployments: the old values differ, and nothing tells them apart",
                    text(value)
                );
                (Outcome::Taken, detail)
            }
        };
        let is_told = |line: &&mut Line| line.what == what || line.what.starts_with(&format!("{what} of "));
        for line in lines.0.iter_mut().filter(is_told) {
            line.outcome = outcome;
            line.detail.clone_from(&detail);
        }
    }
}

/// The `env` of a workflow or job.
fn variables(
    workflow: &Workflow,
    path: &[&str],
    owner: &Map<String, Value>,
    inputs: &Inputs<'_, '_>,
    new: &mut NewWorkflow,
    lines: &mut Lines,
) {
    for (name, value) in mapping(owner, "env") {
        let path: Vec<&str> = path.iter().copied().chain([name.as_str()]).collect();
        let what = format!("env.{name}");
        let is_used_by_others = new.other_jobs.iter().any(|job| uses(job, name));
        let is_used = new.before.iter().chain(&new.after).any(|step| uses(step, name))
            || new.inputs.values().any(|value| mentions(&text(value), name));
        let setting = VARIABLES.iter().find(|(known, _)| known == name).map(|(_, setting)| *setting);
        let template = TEMPLATE_VARIABLES.iter().find(|(known, _)| known == name);
        let may_be_used_by_others = template.is_none() && path.len() == 2 && has_other_scripts(workflow);
        if is_used_by_others && path.len() == 2 {
            new.top_env(name, value);
            lines.add(workflow, &path, &what, Outcome::Kept, "another job uses it");
        } else if may_be_used_by_others {
            new.top_env(name, value);
            lines.add(workflow, &path, &what, Outcome::Kept, "a script of another job may use it");
        } else if is_used || (setting.is_none() && template.is_none()) {
            new.job_env(name, value);
            let detail = if is_used { "a step that stays uses it" } else { "a build or step may use it" };
            lines.add(workflow, &path, &what, Outcome::Kept, detail);
        } else if let Some(setting) = setting {
            let (outcome, detail) = inputs.told(setting);
            lines.add(workflow, &path, &what, outcome, detail);
        } else if let Some((_, why)) = template {
            lines.add(workflow, &path, &what, Outcome::Dropped, *why);
        }
    }
}

/// The `env` of Dagster+'s steps: what is not a setting goes to the new deploy step.
fn step_variables(job: &DeployJob<'_>, new: &mut NewWorkflow, lines: &mut Lines) {
    for step in job.steps.iter().filter(|step| matches!(step.role, Role::Vendor(_))) {
        for (name, value) in mapping(step.step, "env") {
            let path = ["jobs", job.id, "steps", &step.index.to_string(), "env", name];
            let what = format!("env.{name} of {}", super::steps::name(step.step));
            let is_setting = VARIABLES.iter().any(|(known, _)| known == name);
            let template = TEMPLATE_VARIABLES.iter().find(|(known, _)| known == name);
            match template {
                Some((_, why)) => lines.add(job.workflow, &path, &what, Outcome::Dropped, *why),
                None if is_setting => lines.add(job.workflow, &path, &what, Outcome::Taken, "an input"),
                None => {
                    new.step_env.insert(name.clone(), value.clone());
                    lines.add(job.workflow, &path, &what, Outcome::Kept, "on the deploy step");
                }
            }
        }
    }
}

/// Whether a step or job uses a variable: by its name, or because a tool of Dagster+ or GitHub in it reads it.
fn uses(text: &str, name: &str) -> bool {
    let is_setting = VARIABLES.iter().any(|(known, _)| *known == name) || name == "GITHUB_TOKEN";
    let calls_github =
        || ["gh pr ", "gh api ", "gh run ", "gh release "].iter().any(|call| text.contains(call));
    mentions(text, name)
        || is_setting && super::steps::calls_dagster(text)
        || name == "GITHUB_TOKEN" && calls_github()
}

/// Whether a job that stays runs a script of the repository, which may read any variable.
fn has_other_scripts(workflow: &Workflow) -> bool {
    let gone = deploy_ids(workflow);
    let others = workflow.jobs().filter(|(id, _)| !gone.contains(id));
    let scripts =
        others.flat_map(|(_, job)| super::workflow::steps(job)).filter_map(|(_, step)| entry(step, "run"));
    let calls_file = |script: String| [".py", ".sh", "./", "make "].iter().any(|word| script.contains(word));
    scripts.into_iter().any(calls_file)
}

impl NewWorkflow {
    fn top_env(&mut self, name: &str, value: &Value) {
        let env = self.top.entry("env").or_insert_with(|| json!({}));
        if let Some(env) = env.as_object_mut() {
            env.insert(name.to_string(), value.clone());
        }
    }

    fn job_env(&mut self, name: &str, value: &Value) {
        let env = self.job.entry("env").or_insert_with(|| json!({}));
        if let Some(env) = env.as_object_mut() {
            env.insert(name.to_string(), value.clone());
        }
    }
}

/// Whether a text uses a variable.
fn mentions(text: &str, name: &str) -> bool {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    ["env.", "$", "${"].iter().any(|before| {
        let wanted = format!("{before}{name}");
        text.match_indices(&wanted).any(|(at, _)| !text[at + wanted.len()..].starts_with(is_name))
    })
}
