//! The deploy jobs of old workflows: which they are, and what each of their steps is.

use super::condition::{self, Scope};
use super::expand::Env;
use super::script;
use super::vendor::{self, Call, Kind, Setting};
use super::workflow::{Workflow, entry, list, mapping, steps, text};
use serde_json::{Map, Value};

/// How a job deploys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Style {
    /// It only prepares or reports.
    Session,
    /// PEX files.
    Pex,
    /// Docker images that Dagster+ Serverless runs.
    ServerlessDocker,
    /// Docker images that the workflow builds itself, for an agent of the user.
    Images,
}

/// What a step is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// Calls of Dagster+'s tools.
    Vendor(Vec<Call>),
    /// `actions/checkout` of this repository.
    Checkout,
    /// It installs Python, uv or packages.
    Setup,
    /// It prepares Docker or a login to a registry.
    DockerTool,
    /// Anything else.
    Own,
}

/// A step of a deploy job.
#[derive(Debug)]
pub struct Step<'a> {
    /// Its place in the job.
    pub index: usize,
    /// Its mapping.
    pub step: &'a Map<String, Value>,
    /// What it is for.
    pub role: Role,
}

/// A job that deploys with Dagster+'s tools.
#[derive(Debug)]
pub struct DeployJob<'a> {
    /// Its workflow.
    pub workflow: &'a Workflow,
    /// Its id.
    pub id: &'a str,
    /// Its mapping.
    pub job: &'a Map<String, Value>,
    /// Its variables, with those of the workflow.
    pub env: Env,
    /// The events that it runs for.
    pub scope: Scope,
    /// The branches whose pushes it deploys, as far as they are known.
    pub branches: Vec<String>,
    /// What its condition says besides.
    pub condition: Option<String>,
    /// Its steps.
    pub steps: Vec<Step<'a>>,
    /// How it deploys.
    pub style: Style,
    /// Whether it only builds what another job of its workflow leaves to Docker.
    pub is_fallback: bool,
}

impl<'a> DeployJob<'a> {
    /// All calls of Dagster+'s tools, with the variables of their steps.
    pub fn calls(&self) -> impl Iterator<Item = (&Step<'a>, &Call, Env)> {
        self.steps.iter().flat_map(move |step| {
            let calls = match &step.role {
                Role::Vendor(calls) => calls.as_slice(),
                _ => &[],
            };
            calls.iter().map(move |call| (step, call, self.env.with(step.step)))
        })
    }

    /// The directory that the repository is checked out to, below the workspace.
    pub fn checkout_path(&self) -> Option<String> {
        let checkout = self.steps.iter().find(|step| step.role == Role::Checkout)?;
        let path = entry(checkout.step.get("with")?.as_object()?, "path")?;
        let path = self.env.resolve(&path);
        Some(path.trim_start_matches("./").trim_end_matches('/').to_string())
            .filter(|path| path != "." && !path.is_empty())
    }

    /// The project, relative to the top of the repository: a file or a directory. `None` if no step names one, or the
    /// runner alone knows it.
    pub fn project(&self) -> Option<String> {
        let mut directory = None;
        for (_, call, env) in self.calls() {
            let Some(given) = call.ask(Setting::Project) else { continue };
            let path = self.below_checkout(&env.resolve(given))?;
            if path.ends_with(".yaml") || path.ends_with(".yml") {
                return Some(path);
            }
            if let Some(file) = call.ask(Setting::ProjectFile) {
                let file = env.resolve(file);
                let file = file.trim_start_matches("./");
                return (!file.contains("${{"))
                    .then(|| if path == "." { file.to_string() } else { format!("{path}/{file}") });
            }
            directory = directory.or(Some(path));
        }
        directory
    }

    /// The directory of [`DeployJob::project`].
    pub fn project_directory(&self) -> Option<String> {
        self.project().map(|project| directory_of(&project).to_string())
    }

    /// A path of the job relative to the repository.
    fn below_checkout(&self, path: &str) -> Option<String> {
        let path = path.trim_start_matches("${{ github.workspace }}").trim_start_matches('/');
        let checkout = self.checkout_path().unwrap_or_default();
        let path = match path.trim_start_matches("./").strip_prefix(&checkout) {
            Some("") => ".",
            Some(rest) if checkout.is_empty() || rest.starts_with('/') => rest.trim_start_matches('/'),
            _ => path,
        };
        let path = path.trim_start_matches("./").trim_end_matches('/');
        let path = if path.is_empty() { "." } else { path };
        (!path.contains("${{")).then(|| path.to_string())
    }
}

/// The directory of a project file, or the directory itself.
pub fn directory_of(project: &str) -> &str {
    let is_file = [".yaml", ".yml", ".toml"].iter().any(|ending| project.ends_with(ending));
    match project.rsplit_once('/') {
        Some((directory, _)) if is_file => directory,
        None if is_file => ".",
        _ => project,
    }
}

/// Whether only other workflows start this one.
pub fn is_reusable(workflow: &Workflow) -> bool {
    workflow.events() == ["workflow_call"]
}

/// The deploy jobs of a workflow.
pub fn deploy_jobs(workflow: &Workflow) -> Vec<DeployJob<'_>> {
    let top = Env::default().with(&workflow.root);
    let mut jobs: Vec<DeployJob<'_>> = Vec::new();
    for (id, job) in workflow.jobs() {
        let steps: Vec<Step<'_>> =
            steps(job).map(|(index, step)| Step { index, step, role: role(step) }).collect();
        let calls = || {
            steps
                .iter()
                .filter_map(|step| if let Role::Vendor(calls) = &step.role { Some(calls) } else { None })
                .flatten()
        };
        if !calls().any(is_of_deploy) {
            continue;
        }
        let env = top.with(job);
        let of_job = condition::of_job(entry(job, "if").as_deref(), scope(workflow));
        let style = style(calls(), &steps, &env);
        jobs.push(DeployJob {
            workflow,
            id,
            job,
            scope: of_job.scope,
            branches: if of_job.branches.is_empty() { push_branches(workflow) } else { of_job.branches },
            condition: of_job.rest,
            style,
            is_fallback: false,
            env,
            steps,
        });
    }
    let has_pex = jobs.iter().any(|job| job.style == Style::Pex);
    for job in &mut jobs {
        let needs = list(job.job, "needs");
        let is_docker = job.style == Style::ServerlessDocker;
        job.is_fallback = is_docker && has_pex && !needs.is_empty();
    }
    jobs
}

/// The ids of all deploy jobs of a workflow.
pub fn deploy_ids(workflow: &Workflow) -> Vec<String> {
    deploy_jobs(workflow).iter().map(|job| job.id.to_string()).collect()
}

/// The events of a workflow.
pub fn scope(workflow: &Workflow) -> Scope {
    let pull = workflow.event("pull_request").or_else(|| workflow.event("pull_request_target"));
    let closed = pull.flatten().is_some_and(|event| list(event, "types").iter().any(|name| name == "closed"));
    let is_pull = |name: &&str| name.starts_with("pull_request");
    Scope { push: workflow.events().iter().any(|name| !is_pull(name)), pull: pull.is_some(), closed }
}

fn push_branches(workflow: &Workflow) -> Vec<String> {
    workflow.event("push").flatten().map(|event| list(event, "branches")).unwrap_or_default()
}

fn style<'c>(calls: impl Iterator<Item = &'c Call> + Clone, steps: &[Step<'_>], env: &Env) -> Style {
    let has = |kind: Kind| calls.clone().any(|call| call.kind == kind);
    let is_fast = env.get("ENABLE_FAST_DEPLOYS").is_none_or(|value| value != "false");
    let asks = |setting: Setting| {
        calls.clone().filter_map(move |call| call.ask(setting)).map(|text| env.resolve(text))
    };
    let is_pex = asks(Setting::BuildStrategy).any(|strategy| strategy.contains("python-executable"));
    let pushes = steps.iter().any(|step| {
        entry(step.step, "uses").is_some_and(|uses| uses.starts_with("docker/build-push-action"))
    });
    if (has(Kind::Pex) || is_pex) && is_fast {
        Style::Pex
    } else if has(Kind::Hybrid)
        || has(Kind::ImageOutput)
        || pushes
        || asks(Setting::AgentType).any(|kind| kind == "hybrid")
    {
        Style::Images
    } else if has(Kind::Docker)
        || has(Kind::Pex)
        || is_pex
        || asks(Setting::BuildStrategy).any(|strategy| strategy == "docker")
    {
        Style::ServerlessDocker
    } else if has(Kind::Build) {
        Style::Pex
    } else {
        Style::Session
    }
}

/// Whether a call is part of a deploy. A check alone may be a step of tests.
fn is_of_deploy(call: &Call) -> bool {
    let only_looks = ["check", "status", "template"].iter().any(|name| call.name.ends_with(name));
    match call.kind {
        Kind::Session => !only_looks,
        Kind::Launch | Kind::Other => false,
        _ => true,
    }
}

fn role(step: &Map<String, Value>) -> Role {
    let calls = vendor::calls(step);
    if calls.iter().any(|call| !matches!(call.kind, Kind::Launch | Kind::Other)) {
        return Role::Vendor(calls);
    }
    let uses = entry(step, "uses").unwrap_or_default();
    let action = uses.split('@').next().unwrap_or_default();
    let with_repository = mapping(step, "with").any(|(name, _)| name == "repository");
    match action {
        "actions/checkout" if !with_repository => return Role::Checkout,
        "actions/setup-python" | "astral-sh/setup-uv" | "snok/install-poetry" => return Role::Setup,
        "actions/cache" if caches_packages(step) => return Role::Setup,
        "aws-actions/amazon-ecr-login" => return Role::DockerTool,
        _ if action.starts_with("docker/") => return Role::DockerTool,
        _ => {}
    }
    match entry(step, "run") {
        Some(script) if installs_only(&script) => Role::Setup,
        Some(script) if is_docker_only(&script) => Role::DockerTool,
        _ => Role::Own,
    }
}

fn caches_packages(step: &Map<String, Value>) -> bool {
    let path = mapping(step, "with").find(|(name, _)| *name == "path").map(|(_, path)| text(path));
    path.is_some_and(|path| ["pip", "uv", "poetry", "venv"].iter().any(|name| path.contains(name)))
}

/// Words of commands that install something.
const INSTALLS: [&str; 7] = [
    "pip install",
    "uv sync",
    "uv venv",
    "uv tool install",
    "poetry install",
    "pipx install",
    "astral.sh/uv",
];
/// Words of commands that change nothing by themselves.
const FRAMES: [&str; 7] = ["cd ", "for ", "done", "source ", ". ", "echo ", "set -"];

/// Whether a script does nothing but install packages.
pub fn installs_only(script: &str) -> bool {
    let lines: Vec<String> = script::lines(script).into_iter().map(|line| line.written).collect();
    let installs = |line: &String| INSTALLS.iter().any(|word| line.contains(word));
    let is_frame = |line: &String| FRAMES.iter().any(|word| line.trim_start().starts_with(word));
    // A project that is installed may be used by a later step, but nothing else is done with it here.
    let does_more =
        |line: &String| ["dagster-dbt", "dbt ", "pytest", "make "].iter().any(|word| line.contains(word));
    lines.iter().any(installs)
        && lines.iter().all(|line| (installs(line) || is_frame(line)) && !does_more(line))
}

fn is_docker_only(script: &str) -> bool {
    let lines = script::lines(script);
    let commands = || lines.iter().flat_map(|line| &line.commands);
    commands().any(|words| words.first().is_some_and(|word| word == "docker"))
        && commands()
            .all(|words| words.first().is_some_and(|word| ["docker", "echo", "aws"].contains(&word.as_str())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_that_only_install_are_recognised() {
        for (script, want) in [
            ("python -m pip install uv", true),
            ("cd x\nfor p in $(uv run dg list projects); do\n  (cd \"$p\" && uv sync)\ndone", true),
            ("${{ steps.py.outputs.python-path }} -m pip install setuptools", true),
            ("pip install .\ndagster-dbt project prepare-and-package --file p.py", false),
            ("pip install . && dbt parse", false),
            ("echo hello", false),
        ] {
            assert_eq!(installs_only(script), want, "{script}");
        }
    }
}
