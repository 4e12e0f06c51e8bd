//! `pexpress init`: the workflow, project file and `.pexignore` for a repository, from what is in it.
//!
//! Pure: [`Facts`] in, [`Plan`] out. `commands::init` gathers the facts and writes the files. Old workflows that deploy
//! with Dagster+'s tools are read (`workflow`), their steps recognised (`vendor`, `old`), and what they say goes to the
//! inputs, events, job and steps of one new workflow, with a line for each entry about what became of it.

mod choose;
mod condition;
pub mod diff;
mod docker_builds;
mod events;
mod expand;
mod facts;
mod files;
mod images;
mod inputs;
mod job;
mod keep;
mod old;
mod others;
mod outcome;
mod registries;
mod script;
mod steps;
mod variables;
mod vendor;
mod workflow;
mod write;

pub use facts::{Candidate, Facts, FoundLocation, FoundProject};
pub use outcome::{Line, Outcome};
pub use workflow::TextFile;
pub use write::{CHECKOUT, TAKEN_OVER};

use inputs::Inputs;
use old::{DeployJob, Style, deploy_jobs};
use outcome::Lines;
use registries::Registry;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use workflow::Workflow;
use write::NewWorkflow;

/// The action, as in `uses:`. `scripts/set-owner` writes the owner here too.
pub const ACTION: &str = "OWNER/pexpress@v1";
/// The workflow file, unless another name is asked for.
pub const WORKFLOW: &str = "dagster-plus.yml";
/// Directory of workflows.
pub const WORKFLOWS: &str = ".github/workflows";
/// Ending of an old workflow that was moved. GitHub only runs files that end in `.yml` or `.yaml`.
pub const MOVED_ENDING: &str = ".before-pexpress";

/// The input of the action for images without what Dockerfiles ask for.
const IGNORE_DOCKERFILE: &str = "ignore_dockerfile";
/// Start of an action that has no owner yet.
const STAND_IN: &str = "OWNER/";

/// What to do.
#[derive(Debug, Default)]
pub struct Plan {
    /// Files to write.
    pub files: Vec<TextFile>,
    /// Old workflows to move.
    pub moves: Vec<Move>,
    /// What became of each line of the old workflows.
    pub lines: Vec<Line>,
    /// What the reader should know, a sentence or two each.
    pub notes: Vec<String>,
    /// What is left to do, in order.
    pub next: Vec<String>,
    /// Whether nothing says which organization it is.
    pub lacks_organization: bool,
    /// The workflow that deploys, if it is one that only other workflows start.
    pub only_reusable: Option<String>,
    /// Whether nothing says where the definitions are.
    pub lacks_project: bool,
}

/// An old workflow that is moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Move {
    /// From.
    pub from: String,
    /// To.
    pub to: String,
}

/// The projects that old workflows deploy, as far as their text says.
pub fn named_projects(workflows: &[TextFile]) -> Vec<String> {
    let workflows: Vec<Workflow> =
        workflows.iter().filter_map(|file| Workflow::read(file.clone()).ok()).collect();
    workflows.iter().flat_map(deploy_jobs).filter_map(|job| job.project()).collect()
}

/// Whether a workflow that uses pexpress builds images without their Dockerfiles.
pub fn ignores_dockerfiles(workflows: &[TextFile]) -> bool {
    let workflows: Vec<Workflow> =
        workflows.iter().filter_map(|file| Workflow::read(file.clone()).ok()).collect();
    let jobs = workflows.iter().flat_map(|workflow| workflow.jobs().map(|(_, job)| job));
    let mut steps = jobs.flat_map(workflow::steps).map(|(_, step)| step);
    steps.any(|step| {
        let uses = workflow::entry(step, "uses").unwrap_or_default();
        let is_ours = uses.split('@').next().and_then(|name| name.rsplit('/').next()) == Some("pexpress");
        let mut inputs = workflow::mapping(step, "with");
        is_ours && inputs.any(|(name, value)| name == IGNORE_DOCKERFILE && workflow::text(value) == "true")
    })
}

/// Decide what to write.
pub fn plan(facts: &Facts) -> Plan {
    let mut plan = Plan::default();
    let workflows = read_workflows(facts, &mut plan);
    let (reusable, all): (Vec<DeployJob<'_>>, Vec<_>) =
        workflows.iter().flat_map(deploy_jobs).partition(|job| old::is_reusable(job.workflow));
    if let Some(job) = reusable.first() {
        plan.notes.push(format!(
            "{} deploys when other workflows call it, and stays as it is: docs/migrating.md shows the step to put there",
            job.workflow.file.path
        ));
        plan.only_reusable = all.is_empty().then(|| job.workflow.file.path.clone());
    }
    let (jobs, others) = of_one_project(all, facts);
    let (fallback, jobs): (Vec<_>, Vec<_>) = jobs.into_iter().partition(|job| job.is_fallback);
    let path = format!("{WORKFLOWS}/{}", facts.workflow_name);
    let mut lines = Lines::default();
    let new = if jobs.is_empty() {
        from_nothing(facts, &mut plan)
    } else {
        from_old(&jobs, &fallback, facts, &path, &mut lines, &mut plan)
    };
    plan.notes.extend(others.iter().map(|job| other_project(job, &jobs)));
    plan.lacks_organization =
        new.inputs.get("organization").is_some_and(|value| value == "${{ vars.DAGSTER_CLOUD_ORGANIZATION }}");
    let old: Vec<&Workflow> = events::workflows(&jobs);
    let stays: Vec<&Workflow> = others.iter().map(|job| job.workflow).collect();
    for workflow in
        old.iter().filter(|workflow| !stays.iter().any(|other| other.file.path == workflow.file.path))
    {
        let from = workflow.file.path.clone();
        let to = format!("{from}{MOVED_ENDING}");
        plan.moves.push(Move { from, to });
    }
    plan.notes.extend(workflows.iter().filter_map(unknown_action));
    plan.notes.extend(others_with_the_action(facts, &workflows, &path));
    plan.files.push(TextFile { path, text: new.text() });
    project(facts, &jobs, &mut plan);
    plan.notes.extend(facts.problems.iter().cloned());
    plan.notes.extend(facts.elsewhere.iter().map(|file| {
        format!("{file} mentions Dagster+'s tools too, and is not read: look at whether it deploys")
    }));
    let (ignored, notes) = files::ignore_files(facts);
    plan.files.extend(ignored);
    plan.notes.extend(notes);
    next_steps(facts, &new, &mut plan);
    plan.lines = lines.sorted();
    plan
}

/// A note about a job that deploys another project.
fn other_project(job: &DeployJob<'_>, taken: &[DeployJob<'_>]) -> String {
    let (file, id) = (&job.workflow.file.path, job.id);
    let project = job.project().unwrap_or_default();
    let shared: Vec<String> = taken
        .iter()
        .filter(|taken| taken.workflow.file.path == *file)
        .map(|taken| format!("`{}`", taken.id))
        .collect();
    let way_out = match shared.is_empty() {
        true => "stays as it is".to_string(),
        false => format!(
            "stays there: remove the job {} from the file, which the new workflow replaces",
            shared.join(" and ")
        ),
    };
    format!(
        "the job `{id}` of {file} deploys another project, `{project}`, and {way_out}; `pexpress init DIRECTORY --workflow NAME.yml` takes over that one"
    )
}

/// The workflows that can be read; notes about the others.
fn read_workflows(facts: &Facts, plan: &mut Plan) -> Vec<Workflow> {
    let mut workflows = Vec::new();
    for file in &facts.workflows {
        match Workflow::read(file.clone()) {
            Ok(workflow) => workflows.push(workflow),
            Err(problem) => plan.notes.push(format!("{} could not be read: {problem}", file.path)),
        }
    }
    workflows
}

/// The jobs that deploy the project of `facts`, or the first that is deployed; and those that deploy other projects.
fn of_one_project<'w>(jobs: Vec<DeployJob<'w>>, facts: &Facts) -> (Vec<DeployJob<'w>>, Vec<DeployJob<'w>>) {
    let named: Vec<String> = jobs.iter().filter_map(DeployJob::project_directory).collect();
    let found = facts.project.as_ref().map(|found| old::directory_of(&found.file).to_string());
    let first = || named.first().filter(|_| facts.directory == ".").cloned();
    let Some(wanted) = found.filter(|found| named.contains(found)).or_else(first) else {
        return (jobs, Vec::new());
    };
    let is_only_one = named.iter().all(|directory| *directory == wanted);
    let of_workflow = |path: &str| -> Vec<String> {
        let of_this = jobs.iter().filter(|job| job.workflow.file.path == path);
        of_this.filter_map(DeployJob::project_directory).collect()
    };
    // A job that names no project, such as one that closes branch deployments, goes with the others of its workflow.
    let is_wanted: Vec<bool> = jobs
        .iter()
        .map(|job| match job.project_directory() {
            Some(directory) => directory == wanted,
            None => is_only_one || of_workflow(&job.workflow.file.path).contains(&wanted),
        })
        .collect();
    let (wanted, others): (Vec<_>, Vec<_>) =
        jobs.into_iter().zip(is_wanted).partition(|(_, is_wanted)| *is_wanted);
    let jobs = |jobs: Vec<(DeployJob<'w>, bool)>| jobs.into_iter().map(|(job, _)| job).collect();
    (jobs(wanted), jobs(others))
}

/// The workflow that takes the place of old jobs. `fallback` are those that are only for what the others leave to Docker.
fn from_old(
    jobs: &[DeployJob<'_>],
    fallback: &[DeployJob<'_>],
    facts: &Facts,
    path: &str,
    lines: &mut Lines,
    plan: &mut Plan,
) -> NewWorkflow {
    let style = jobs.iter().map(|job| job.style).max().unwrap_or(Style::Pex);
    let mut new = start(facts);
    let workflows = events::workflows(jobs);
    new.sources = workflows.iter().map(|workflow| name_of(&workflow.file.path).to_string()).collect();
    let replaced = match style {
        Style::Images => docker_builds::replaced(jobs, facts).unwrap_or_else(|why| {
            plan.notes.push(why);
            None
        }),
        _ => None,
    };
    let drops = |step: &old::Step<'_>, job: &DeployJob<'_>| replaced.as_ref()?.drops(step, job);
    plan.notes.extend(steps::settle(jobs, style, &drops, &mut new, lines));
    let checkout_path = job::checkout(jobs, &mut new, lines);
    let mut inputs = Inputs::new(facts, jobs);
    inputs.builds_images = replaced.is_some();
    inputs.settle(style, checkout_path.as_deref());
    if facts.ignores_dockerfiles && replaced.is_some() {
        inputs.set(IGNORE_DOCKERFILE, "true");
    }
    match &replaced {
        Some(replaced) => plan.next.extend(replaced.settle(jobs, &mut inputs.map, &mut new)),
        None if style == Style::Images => new.before.extend(images::settle(jobs, facts, &mut inputs)),
        None => {}
    }
    // What is left to do then is what it is for PEX files.
    let style = if replaced.is_some() { Style::Pex } else { style };
    if jobs.iter().any(|job| job.calls().any(|(_, call, _)| call.kind == vendor::Kind::DefsState)) {
        match style {
            Style::Images => plan.notes.push("the old workflow refreshes the state of definitions before it builds images: if a component keeps one, run `pexpress defs-state refresh` in a step before that".into()),
            _ => inputs.set("refresh_defs_state", "true"),
        }
    }
    new.inputs.clone_from(&inputs.map);
    plan.notes.extend(inputs.map.iter().filter_map(|(name, value)| {
        let variable = expand::script_variable(value.as_str()?)?;
        Some(format!(
            "`{variable}` in the input `{name}` is a variable of an old script, which is gone: write what it stood for, or the new workflow fails there"
        ))
    }));
    plan.notes.extend(others::settle(&workflows, &[jobs, fallback], &mut new, lines));
    plan.notes.extend(job::settle(jobs, style, &inputs, &mut new, lines));
    events::settle(jobs, facts.default_branch.as_deref(), path, &mut new, lines);
    jobs.iter().for_each(|job| inputs.tell(job, lines));
    plan.notes.append(&mut inputs.notes);
    for job in fallback {
        let what = format!("job `{}`", job.id);
        lines.add(
            job.workflow,
            &["jobs", job.id],
            &what,
            Outcome::Dropped,
            "it builds Docker images where PEX files are not used; pexpress deploys PEX files",
        );
    }
    old_notes(facts, style, &new, plan);
    new
}

fn old_notes(facts: &Facts, style: Style, new: &NewWorkflow, plan: &mut Plan) {
    if style == Style::ServerlessDocker {
        plan.notes.push("the old workflow builds Docker images; the new one deploys PEX files, which run on Dagster+'s own image".into());
        plan.notes.extend(facts.docker.iter().cloned());
    }
    if new.pull.is_none() {
        plan.notes.push("the old workflow does not deploy pull requests, so the new one does not either; for branch deployments add `pull_request: {types: [opened, synchronize, reopened, closed]}` under `on:`, and `pull-requests: write` under `permissions:`".into());
    }
    let is_every_push = |push: &Map<String, Value>| {
        !["branches", "branches-ignore", "tags"].iter().any(|key| push.contains_key(*key))
    };
    if new.push.as_ref().is_some_and(is_every_push) {
        plan.notes.push("pushes to every branch deploy to the full deployment, as before: add `branches` under `push` unless that is meant".into());
    }
    if new.push.is_none() {
        plan.notes.push("no old workflow deploys on pushes, so the new one does not either; for the full deployment add `push: {branches: [main]}` under `on:`".into());
    }
}

/// The workflow of a repository that has none.
fn from_nothing(facts: &Facts, plan: &mut Plan) -> NewWorkflow {
    let mut new = start(facts);
    let branch = facts.default_branch.clone().unwrap_or_else(|| {
        plan.notes
            .push("git does not say what the default branch is: `branches` of `push` has `main`".into());
        "main".to_string()
    });
    new.push = Some(Map::from_iter([("branches".to_string(), json!([branch]))]));
    new.pull = Some(Map::new());
    new.checkout.insert("persist-credentials".into(), false.into());
    new.job.insert("runs-on".into(), "ubuntu-latest".into());
    new.job.insert("timeout-minutes".into(), 30.into());
    let mut inputs = Inputs::new(facts, &[]);
    inputs.settle(Style::Pex, None);
    let found = facts.project.iter().flat_map(|project| &project.locations);
    let registries = found.filter_map(|location| location.registry.clone());
    let registries: BTreeMap<Registry, String> = registries.map(|one| (Registry::of(&one), one)).collect();
    if !registries.is_empty() {
        plan.notes.push("code locations with `build.registry` are deployed as images, which pexpress builds and pushes; `strategy: pex` deploys PEX files instead".into());
        plan.next.extend(registries::settle(&registries, &Map::new(), false, &mut inputs.map, &mut new));
        if facts.ignores_dockerfiles {
            inputs.set(IGNORE_DOCKERFILE, "true");
        }
    }
    new.inputs = inputs.map;
    new
}

fn start(facts: &Facts) -> NewWorkflow {
    let stem = facts.workflow_name.rsplit_once('.').map_or("", |(stem, _)| stem);
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    // A workflow of another name is for another project.
    let (name, group) = match facts.workflow_name.as_str() {
        WORKFLOW => ("Dagster+".to_string(), "dagster".to_string()),
        _ => (format!("Dagster+ ({stem})"), format!("dagster-{}", stem.replace(|c| !is_plain(c), "-"))),
    };
    NewWorkflow {
        name,
        group,
        job_name: "Deploy to Dagster+".to_string(),
        action: facts.action.clone(),
        ..NewWorkflow::default()
    }
}

fn name_of(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// Writes a project file where it is missing.
fn project(facts: &Facts, jobs: &[DeployJob<'_>], plan: &mut Plan) {
    if facts.project.is_some() {
        return;
    }
    if let Some(named) = jobs.iter().find_map(DeployJob::project).filter(|path| path != ".") {
        plan.notes.push(format!("the old workflow deploys `{named}`, which is not here"));
        return;
    }
    if facts.candidates.is_empty() {
        plan.lacks_project = true;
        return;
    }
    plan.files.push(files::project_file(&facts.directory, &facts.candidates));
    let found: Vec<&str> = facts.candidates.iter().map(|candidate| candidate.file.as_str()).collect();
    plan.notes.push(format!(
        "the definitions were found in {}: look at dagster_cloud.yaml before you commit it",
        found.join(", ")
    ));
    plan.notes.extend(facts.own_files.iter().map(|file| {
        format!(
            "{file} is there too, and the new {} does not use it: to deploy by it, delete the new files and run `pexpress init {} --workflow NAME.yml`",
            files::below(&facts.directory, "dagster_cloud.yaml"),
            old::directory_of(file),
        )
    }));
}

/// A note about a workflow with an action of Dagster+ that is not known here.
fn unknown_action(workflow: &Workflow) -> Option<String> {
    let jobs = workflow.jobs().map(|(_, job)| job);
    let mut steps = jobs.flat_map(workflow::steps).map(|(_, step)| step);
    let is_unknown = |uses: &String| uses.starts_with("dagster-io/");
    let uses = steps.find_map(|step| {
        workflow::entry(step, "uses").filter(|uses| is_unknown(uses) && vendor::calls(step).is_empty())
    })?;
    Some(format!("{} uses {uses}, which is not known here: look at whether it deploys", workflow.file.path))
}

/// Notes about other workflows that use the action already.
fn others_with_the_action(facts: &Facts, workflows: &[Workflow], path: &str) -> Vec<String> {
    let action = facts.action.split('@').next().unwrap_or_default();
    let uses = |workflow: &&Workflow| {
        let jobs = workflow.jobs().map(|(_, job)| job);
        let mut steps = jobs.flat_map(workflow::steps).filter_map(|(_, step)| workflow::entry(step, "uses"));
        workflow.file.path != path && steps.any(|uses| uses.split('@').next() == Some(action))
    };
    let others = workflows.iter().filter(uses).map(|workflow| &workflow.file.path);
    others
        .map(|other| format!("{other} uses {action} already: with both, a commit may be deployed twice"))
        .collect()
}

fn next_steps(facts: &Facts, new: &NewWorkflow, plan: &mut Plan) {
    if facts.action.starts_with(STAND_IN) {
        plan.next.push(format!("in `uses: {}`, OWNER stands for the owner of the action: put that name there, or run again with --action NAME/pexpress@TAG", facts.action));
    }
    if plan.lacks_organization {
        plan.next.push("set the variable DAGSTER_CLOUD_ORGANIZATION of the repository (Settings → Secrets and variables → Actions → Variables), or run again with --organization NAME".into());
    }
    if plan.moves.is_empty() {
        let token = new.inputs.get("dagster_cloud_api_token").map(workflow::text).unwrap_or_default();
        let name = expand::expression(&token)
            .and_then(|inner| inner.strip_prefix("secrets."))
            .unwrap_or("DAGSTER_CLOUD_API_TOKEN");
        plan.next.push(format!(
            "add the API token as the secret {name} (Settings → Secrets and variables → Actions)"
        ));
    }
    if let Some(host) = facts.remote_host.as_deref().filter(|host| *host != "github.com") {
        plan.next.push(format!("the remote is {host}: the workflow needs GitHub, and on GitHub Enterprise Server a mirror of the action"));
    }
    if !plan.moves.is_empty() && !facts.replace {
        let old: Vec<&str> = plan.moves.iter().map(|moved| moved.from.as_str()).collect();
        plan.next.push(format!(
            "with both workflows each commit is deployed twice: run again with --replace, which moves {} to names that GitHub does not run, or delete them",
            old.join(" and ")
        ));
    }
    plan.next.push(format!(
        "commit the files on a branch and open a pull request: git add {}",
        added(facts, plan)
    ));
}

/// The files for `git add`, as a shell takes them.
fn added(facts: &Facts, plan: &Plan) -> String {
    let moves = plan.moves.iter().filter(|_| facts.replace).flat_map(|moved| [&moved.from, &moved.to]);
    let mut paths: Vec<&String> = plan.files.iter().map(|file| &file.path).chain(moves).collect();
    paths.sort();
    paths.dedup();
    // From a directory below, only `:/` means the top.
    let top = if facts.directory == "." { "" } else { ":/" };
    let is_plain = |path: &str| path.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c));
    let shown = |path: &&String| match is_plain(path) {
        true => format!("{top}{path}"),
        false => format!("'{top}{}'", path.replace('\'', r"'\''")),
    };
    paths.iter().map(shown).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
