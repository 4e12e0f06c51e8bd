//! The deploy job around its steps: where it runs, what it may do, its variables, its checkout.

use super::inputs::Inputs;
use super::old::{DeployJob, Role, Style, deploy_ids};
use super::outcome::{Lines, Outcome};
use super::variables;
use super::workflow::{Workflow, entry, list, mapping, text};
use super::write::NewWorkflow;
use serde_json::{Value, json};

/// Keys of a job that are kept as they are.
const KEPT_KEYS: [&str; 6] =
    ["container", "services", "defaults", "timeout-minutes", "strategy", "continue-on-error"];
/// GitHub's runners that the templates name.
const TEMPLATE_RUNNERS: [&str; 3] = ["ubuntu-20.04", "ubuntu-22.04", "ubuntu-latest"];

/// Set everything about the deploy job except its steps, which `new` has already.
pub fn settle(
    jobs: &[DeployJob<'_>],
    style: Style,
    inputs: &Inputs<'_, '_>,
    new: &mut NewWorkflow,
    lines: &mut Lines,
) -> Vec<String> {
    let Some(first) = jobs.first() else { return Vec::new() };
    let names: Vec<String> = jobs.iter().filter_map(|job| entry(job.job, "name")).collect();
    if let Some(name) =
        names.first().filter(|name| names.len() == jobs.len() && names.iter().all(|each| each == *name))
    {
        new.job_name = name.clone();
    }
    // The job that deploys rather than one that only prepares or closes.
    let first = jobs.iter().find(|job| job.style != Style::Session).unwrap_or(first);
    runner(first, new, lines);
    new.job.extend(environments(jobs));
    for job in jobs {
        keys(job, std::ptr::eq(job, first), new, lines);
        permissions(job, style, new, lines);
    }
    close_always(jobs, new);
    let workflows = super::events::workflows(jobs);
    for workflow in &workflows {
        top_keys(workflow, new, lines);
    }
    variables::settle(jobs, inputs, new, lines);
    conditions_of_some(jobs)
}

/// Notes about conditions of jobs that other deploy jobs did not have: the new job has them for all deployments.
fn conditions_of_some(jobs: &[DeployJob<'_>]) -> Vec<String> {
    let deploys = || jobs.iter().filter(|job| job.style != Style::Session);
    let others = |job: &DeployJob<'_>| deploys().any(|other| other.condition != job.condition);
    let own = deploys().filter(|job| others(job));
    let note = |job: &DeployJob<'_>| {
        let ids = deploy_ids(job.workflow);
        let condition = job.condition.as_ref()?;
        let is_about_others = ids.iter().any(|id| condition.contains(&format!("needs.{id}.")));
        (!is_about_others).then(|| {
            format!(
                "the condition of the job `{}`, `{condition}`, is for all deployments now: look at the `if` of the new job",
                job.id
            )
        })
    };
    own.filter_map(note).collect()
}

fn runner(job: &DeployJob<'_>, new: &mut NewWorkflow, lines: &mut Lines) {
    let runner = job.job.get("runs-on").cloned().unwrap_or_else(|| json!("ubuntu-latest"));
    let is_template = runner.as_str().is_some_and(|name| TEMPLATE_RUNNERS.contains(&name));
    let path = ["jobs", job.id, "runs-on"];
    let what = format!("runs-on of the job `{}`", job.id);
    let has_scripts = new.before.iter().chain(&new.after).any(|step| step.contains("run:"));
    if is_template && has_scripts {
        // Scripts may rely on what the runner has. GitHub has no runners with Ubuntu 20.04 any more.
        let kept = if runner == "ubuntu-20.04" { json!("ubuntu-22.04") } else { runner };
        let detail = format!("`{}`, for the scripts that stay", text(&kept));
        new.job.insert("runs-on".into(), kept);
        lines.add(job.workflow, &path, &what, Outcome::Taken, detail);
    } else if is_template {
        new.job.insert("runs-on".into(), "ubuntu-latest".into());
        lines.add(
            job.workflow,
            &path,
            &what,
            Outcome::Taken,
            "`ubuntu-latest`: the build does not depend on the runner",
        );
    } else {
        new.job.insert("runs-on".into(), runner);
        lines.add(job.workflow, &path, &what, Outcome::Kept, "");
    }
}

fn keys(job: &DeployJob<'_>, is_first: bool, new: &mut NewWorkflow, lines: &mut Lines) {
    let uses_matrix = new.before.iter().chain(&new.after).any(|step| step.contains("matrix."))
        || new.inputs.values().any(|value| text(value).contains("matrix."));
    for key in job.job.keys() {
        let path = ["jobs", job.id, key.as_str()];
        let what = format!("{key} of the job `{}`", job.id);
        match key.as_str() {
            "steps" | "permissions" | "env" => {}
            "runs-on" if is_first => {}
            "environment" => environment(job, &path, &what, new, lines),
            "name" if text(&job.job[key]) == new.job_name => {
                lines.add(job.workflow, &path, &what, Outcome::Kept, "")
            }
            "name" => {
                let detail = format!(
                    "the job is called `{}`; a rule that requires the old check has to name that",
                    new.job_name
                );
                lines.add(job.workflow, &path, &what, Outcome::Dropped, detail);
            }
            "runs-on" => {
                let detail = format!("`{}`, for all deployments", list(&new.job, "runs-on").join(", "));
                lines.add(job.workflow, &path, &what, Outcome::Taken, detail);
            }
            "if" => condition(job, &path, &what, new, lines),
            "needs" => needs(job, &path, &what, new, lines),
            "outputs" => {
                lines.add(job.workflow, &path, &what, Outcome::Dropped, "no other job uses them now")
            }
            "concurrency" => {
                lines.add(job.workflow, &path, &what, Outcome::Dropped, "the workflow has a group")
            }
            "strategy" if !uses_matrix => {
                lines.add(job.workflow, &path, &what, Outcome::Dropped, "one job deploys all code locations");
            }
            kept if KEPT_KEYS.contains(&kept) && (is_first || !new.job.contains_key(kept)) => {
                new.job.insert(key.clone(), job.job[key].clone());
                lines.add(job.workflow, &path, &what, Outcome::Kept, "");
            }
            kept if KEPT_KEYS.contains(&kept) => {
                let (outcome, detail) = match new.job.get(kept) == Some(&job.job[key]) {
                    true => (Outcome::Kept, ""),
                    false => (Outcome::Dropped, "another deploy job has another value, which is kept"),
                };
                lines.add(job.workflow, &path, &what, outcome, detail);
            }
            _ => lines.add(job.workflow, &path, &what, Outcome::Dropped, "the new job has no use for it"),
        }
    }
}

/// `environment:` for the jobs that have one: by branch or event, if not all do.
fn environments(jobs: &[DeployJob<'_>]) -> Option<(String, Value)> {
    let jobs: Vec<&DeployJob<'_>> = jobs.iter().filter(|job| job.style != Style::Session).collect();
    let given: Vec<(&DeployJob<'_>, &Value)> =
        jobs.iter().filter_map(|job| Some((*job, job.job.get("environment")?))).collect();
    let (_, first) = *given.first()?;
    let key = "environment".to_string();
    if given.len() == jobs.len() && given.iter().all(|(_, value)| *value == first) {
        return Some((key, first.clone()));
    }
    let mut terms = Vec::new();
    for (job, value) in given {
        let name = value.get("name").unwrap_or(value);
        let pushes = match job.branches.as_slice() {
            [branch] => format!("github.ref_name == '{branch}'"),
            _ => "github.event_name != 'pull_request'".to_string(),
        };
        let when = match (job.scope.push, job.scope.pull) {
            (true, true) => format!("(github.event_name == 'pull_request' || {pushes})"),
            (false, true) => "github.event_name == 'pull_request'".to_string(),
            (_, false) => pushes,
        };
        let term = format!("{when} && {}", super::expand::term(&text(name))?);
        if !terms.contains(&term) {
            terms.push(term);
        }
    }
    Some((key, format!("${{{{ {} || '' }}}}", terms.join(" || ")).into()))
}

fn environment(job: &DeployJob<'_>, path: &[&str], what: &str, new: &NewWorkflow, lines: &mut Lines) {
    let (outcome, detail) = match new.job.get("environment") {
        Some(kept) if *kept == job.job["environment"] => (Outcome::Kept, String::new()),
        Some(kept) => (Outcome::Taken, format!("`{}`", text(kept))),
        None => (Outcome::Dropped, "nothing is deployed in it".to_string()),
    };
    lines.add(job.workflow, path, what, outcome, detail);
}

fn condition(job: &DeployJob<'_>, path: &[&str], what: &str, new: &mut NewWorkflow, lines: &mut Lines) {
    let ids = deploy_ids(job.workflow);
    let is_about_others = |text: &&String| ids.iter().any(|id| text.contains(&format!("needs.{id}.")));
    let (outcome, detail) = match job.condition.as_ref() {
        Some(condition) if is_about_others(&condition) => (Outcome::Dropped, "there is one deploy job"),
        None => (Outcome::Taken, "the events of the workflow and conditions of steps"),
        Some(condition) => {
            let condition = Value::from(condition.as_str());
            match new.job.get("if") {
                Some(other) if *other != condition => {
                    (Outcome::Dropped, "another deploy job has another condition, which is kept: check both")
                }
                _ => {
                    new.job.insert("if".into(), condition);
                    (Outcome::Kept, "")
                }
            }
        }
    };
    lines.add(job.workflow, path, what, outcome, detail);
}

/// A job that waits for others closes branch deployments even if these fail or do not run.
fn close_always(jobs: &[DeployJob<'_>], new: &mut NewWorkflow) {
    if new.job.contains_key("needs") && jobs.iter().any(|job| job.scope.pull) {
        let ready = "success() || github.event.action == 'closed'";
        let condition = match new.job.get("if").map(text) {
            Some(own) => format!("({ready}) && ({own})"),
            None => ready.to_string(),
        };
        new.job.insert("if".into(), condition.into());
    }
}

fn needs(job: &DeployJob<'_>, path: &[&str], what: &str, new: &mut NewWorkflow, lines: &mut Lines) {
    let others = deploy_ids(job.workflow);
    let needs: Vec<String> = list(job.job, "needs").into_iter().filter(|id| !others.contains(id)).collect();
    if needs.is_empty() {
        lines.add(job.workflow, path, what, Outcome::Dropped, "there is one deploy job");
        return;
    }
    let mut all = new.job.get("needs").map(|_| list(&new.job, "needs")).unwrap_or_default();
    all.extend(needs.into_iter().filter(|id| !all.contains(id)).collect::<Vec<_>>());
    new.job.insert("needs".into(), json!(all));
    lines.add(job.workflow, path, what, Outcome::Kept, "");
}

/// Scopes beyond those of the new job are kept if there are steps that may need them.
fn permissions(job: &DeployJob<'_>, style: Style, new: &mut NewWorkflow, lines: &mut Lines) {
    let has_own = !new.before.is_empty() || !new.after.is_empty() || style == Style::Images;
    let of_job = job.job.get("permissions").map(|given| (given, vec!["jobs", job.id, "permissions"]));
    let given = of_job.or_else(|| Some((job.workflow.root.get("permissions")?, vec!["permissions"])));
    let Some((given, path)) = given else { return default_permissions(new) };
    let Some(scopes) = given.as_object() else {
        let detail = "`contents: read` and `pull-requests: write`, which is all that pexpress needs";
        lines.add(job.workflow, &path, "permissions", Outcome::Taken, detail);
        return default_permissions(new);
    };
    for (name, access) in scopes {
        let path: Vec<&str> = path.iter().copied().chain([name.as_str()]).collect();
        let what = format!("permissions.{name}");
        match (name.as_str(), text(access).as_str()) {
            (own, _) if new.own_permissions.contains_key(own) => {
                lines.add(job.workflow, &path, &what, Outcome::Kept, "")
            }
            ("contents", "read") | ("pull-requests", _) => {
                lines.add(job.workflow, &path, &what, Outcome::Kept, "")
            }
            ("contents", _) if !has_own => {
                lines.add(job.workflow, &path, &what, Outcome::Taken, "`contents: read`")
            }
            (_, "none") => lines.add(job.workflow, &path, &what, Outcome::Kept, ""),
            _ if has_own => {
                new.permissions.insert(name.clone(), access.clone());
                lines.add(job.workflow, &path, &what, Outcome::Kept, "the steps that stay may need it");
            }
            _ => lines.add(job.workflow, &path, &what, Outcome::Dropped, "pexpress does not need it"),
        }
    }
}

/// An old workflow without `permissions` had those of the repository's settings: what its steps are seen to need.
fn default_permissions(new: &mut NewWorkflow) {
    let steps: String = new.before.iter().chain(&new.after).map(String::as_str).collect();
    for (sign, scope) in [("ghcr.io", "packages"), ("git push", "contents")] {
        if steps.contains(sign) && !new.own_permissions.contains_key(scope) {
            new.permissions.insert(scope.into(), "write".into());
        }
    }
}

/// Keys of the workflow that are not jobs or events.
fn top_keys(workflow: &Workflow, new: &mut NewWorkflow, lines: &mut Lines) {
    for key in workflow.root.keys() {
        match key.as_str() {
            "name" | "on" | "jobs" | "env" | "permissions" | "concurrency" => {}
            "defaults" if new.before.is_empty() && new.after.is_empty() => {
                lines.add(workflow, &[key], key, Outcome::Dropped, "no step with a script is left");
            }
            "defaults" => {
                new.top.insert(key.clone(), workflow.root[key].clone());
                lines.add(workflow, &[key], key, Outcome::Kept, "");
            }
            // `run-name` may use inputs of an event.
            _ => lines.add(workflow, &[key], key, Outcome::Dropped, "the new workflow has its own"),
        }
    }
}

/// Set the checkout of `new`. Returns the directory of the checkout if paths of steps need it.
pub fn checkout(jobs: &[DeployJob<'_>], new: &mut NewWorkflow, lines: &mut Lines) -> Option<String> {
    let steps: String = new.before.iter().chain(&new.after).map(String::as_str).collect();
    let path = jobs.iter().find_map(DeployJob::checkout_path).filter(|path| steps.contains(path.as_str()));
    let uses_git =
        ["git push", "git fetch", "git pull", "git commit"].iter().any(|command| steps.contains(command));
    for job in jobs {
        for step in job.steps.iter().filter(|step| step.role == Role::Checkout) {
            let index = step.index.to_string();
            let at = ["jobs", job.id, "steps", &index];
            lines.add(job.workflow, &at, &super::steps::name(step.step), Outcome::Kept, "pinned to a commit");
            for (name, value) in mapping(step.step, "with") {
                let path_of = ["jobs", job.id, "steps", &index, "with", name.as_str()];
                let what = format!("{name} of the checkout");
                let given = text(value);
                let (is_kept, why) = match name.as_str() {
                    "ref" if given.contains("head_ref") || given.contains("github.sha") => {
                        (false, "the event names the commit")
                    }
                    "path" if path.is_none() => (false, "no step that stays needs it"),
                    "fetch-depth" if !steps.contains("git ") => (false, "pexpress needs one commit"),
                    _ => (true, ""),
                };
                if is_kept {
                    new.checkout.insert(name.clone(), value.clone());
                }
                lines.add(
                    job.workflow,
                    &path_of,
                    &what,
                    if is_kept { Outcome::Kept } else { Outcome::Dropped },
                    why,
                );
            }
        }
    }
    if !uses_git && !new.checkout.contains_key("persist-credentials") {
        new.checkout.insert("persist-credentials".into(), false.into());
    }
    path
}
