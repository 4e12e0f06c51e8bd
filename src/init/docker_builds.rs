//! Docker builds of old workflows that pexpress takes over: which they are, and what is left of their steps.
//!
//! Only builds that do no more than pexpress does: of a build directory, without arguments, secrets or stages that are
//! asked for by name, in every run. What the Dockerfiles themselves do is among the facts. Everything else stays Docker's.

use super::condition::{Left, NOT_CLOSED, of_step};
use super::facts::Facts;
use super::images::{named, pushed};
use super::old::{DeployJob, Role, Step, Style};
use super::registries::{self, Registry};
use super::script;
use super::steps::{self, session_ids};
use super::workflow::{entry, mapping, text};
use super::write::NewWorkflow;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Inputs of `docker/build-push-action` that change nothing about what is in the image.
const PLAIN_INPUTS: [&str; 9] =
    ["context", "push", "tags", "cache-from", "cache-to", "file", "platforms", "provenance", "builder"];
/// Flags of `docker build` that do.
const OTHER_FLAGS: [&str; 8] =
    ["--build-arg", "--target", "--secret", "--ssh", "-f ", "--file", "--platform", "buildx bake"];

/// Commands of `docker` that build and push, or only look.
const BUILD_VERBS: [&str; 10] =
    ["build", "buildx", "image", "images", "info", "inspect", "pull", "push", "tag", "version"];

/// What takes the place of Docker builds.
#[derive(Debug, Default)]
pub struct Replaced {
    /// Where images are pushed, if the project file does not say it.
    pub image_registry: Option<String>,
    /// The code locations to deploy, if not all.
    pub locations: Option<Vec<String>>,
    /// Inputs that say who the job is at the registries.
    pub identities: Map<String, Value>,
    /// Repositories that are pushed to, one of each registry.
    pub registries: BTreeMap<Registry, String>,
}

/// What takes the place of the Docker builds of these jobs; `None` if they stay.
///
/// # Errors
/// Why they stay, in a sentence, if the reader can change that.
pub fn replaced(jobs: &[DeployJob<'_>], facts: &Facts) -> Result<Option<Replaced>, String> {
    let locations = facts.project.as_ref().map(|project| project.locations.as_slice()).unwrap_or_default();
    if locations.is_empty() || !jobs.iter().all(|job| matches!(job.style, Style::Images | Style::Session)) {
        return Ok(None);
    }
    if let Some(why) = jobs.iter().find_map(obstacle) {
        return Err(format!(
            "images are still built with Docker: {why}. Where the image can do without it, remove it and run this again: pexpress then builds and pushes the image itself"
        ));
    }
    if !facts.image_obstacles.is_empty() {
        let obstacles = facts.image_obstacles.join(", ");
        return Err(format!(
            "images are still built with Docker. pexpress can build and push them itself, but not these steps: {obstacles}. docs/images.md says where they belong; then run this again, or with --ignore-dockerfile to build without them"
        ));
    }
    let images = named(jobs);
    let names_all = images.is_empty() || images.iter().any(|image| image.location.is_none());
    let is_deployed =
        |name: &String| names_all || images.iter().any(|image| image.location.as_ref() == Some(name));
    let (chosen, others): (Vec<_>, Vec<_>) =
        locations.iter().partition(|location| is_deployed(&location.name));
    let pushed = pushed(jobs);
    let own: Option<Vec<&String>> = chosen.iter().map(|location| location.registry.as_ref()).collect();
    let (image_registry, repositories) = match own {
        Some(own) if !own.is_empty() => (None, own.into_iter().cloned().collect()),
        _ => {
            let Some(common) = common_repository(&pushed) else {
                return if jobs.iter().flat_map(|job| &job.steps).any(is_build) {
                    Err("images are still built with Docker: the workflow does not name one repository that they are pushed to. Set `build.registry` of each code location and run this again: pexpress then builds and pushes the images itself".into())
                } else {
                    Ok(None)
                };
            };
            (Some(common.clone()), vec![common])
        }
    };
    let names = || chosen.iter().map(|location| location.name.clone()).collect();
    Ok(Some(Replaced {
        image_registry,
        locations: (!others.is_empty()).then(names),
        identities: identities(jobs),
        registries: repositories.into_iter().map(|one| (Registry::of(&one), one)).collect(),
    }))
}

/// The repository of all these references, if it is one that a workflow can name.
fn common_repository(references: &[String]) -> Option<String> {
    let repository = |reference: &String| {
        let (repository, tag) = reference.rsplit_once(':')?;
        (!tag.contains('/')).then(|| repository.to_string())
    };
    let mut all = references.iter().map(repository);
    let first = all.next()??;
    let is_named = first.contains('/') && !first.contains("${{");
    (is_named && all.all(|other| other.as_ref() == Some(&first))).then_some(first)
}

/// The first step of a job that pexpress does not take over although it has to do with Docker, and why.
fn obstacle(job: &DeployJob<'_>) -> Option<String> {
    let ids = session_ids(job);
    job.steps.iter().find_map(|step| {
        let is_own = step.role == Role::Own;
        let script = entry(step.step, "run").unwrap_or_default();
        let why = match is_build(step) {
            true if is_conditional(step, &ids) => "is only for some runs".to_string(),
            true => more_than_plain(step)?,
            // What else is done with Docker may be part of the build, and outputs of a build may be used.
            false if is_own && script.contains("docker ") => "uses Docker too".to_string(),
            false if is_own && uses_output_of_build(step, job) => "uses an output of the build".to_string(),
            false => return None,
        };
        Some(format!("the {} {why}", steps::name(step.step)))
    })
}

/// Whether a step is for some runs only, as far as pull requests that are closed do not matter.
fn is_conditional(step: &Step<'_>, ids: &[String]) -> bool {
    let left = entry(step.step, "if").map(|condition| of_step(&condition, ids));
    match left {
        Some(Left::Run(rest)) => rest.is_some_and(|rest| rest != NOT_CLOSED),
        Some(Left::Never) => true,
        None => false,
    }
}

fn uses_action(step: &Step<'_>, action: &str) -> bool {
    entry(step.step, "uses").is_some_and(|uses| uses.split('@').next() == Some(action))
}

/// Whether a step builds or pushes an image, or prepares that.
fn is_build(step: &Step<'_>) -> bool {
    let is_login = uses_action(step, "docker/login-action")
        || uses_action(step, "aws-actions/amazon-ecr-login")
        || is_login_script(step);
    step.role == Role::DockerTool && !is_login
}

/// Whether a script does nothing else with Docker than log in and out.
fn is_login_script(step: &Step<'_>) -> bool {
    let verbs = docker_verbs(step);
    !verbs.is_empty() && verbs.iter().all(|verb| verb == "login" || verb == "logout")
}

/// The first argument of each `docker` in the script of a step.
fn docker_verbs(step: &Step<'_>) -> Vec<String> {
    let lines = script::lines(&entry(step.step, "run").unwrap_or_default());
    let commands = lines.into_iter().flat_map(|line| line.commands);
    let docker = commands.filter(|words| words.first().is_some_and(|word| word == "docker"));
    docker.map(|words| words.into_iter().nth(1).unwrap_or_default()).collect()
}

/// What a build does that pexpress does not, as the end of a sentence.
fn more_than_plain(step: &Step<'_>) -> Option<String> {
    if uses_action(step, "docker/build-push-action") {
        let is_plain = |name: &str, value: &Value| match name {
            "platforms" => text(value) == "linux/amd64",
            "file" => text(value).rsplit('/').next() == Some("Dockerfile"),
            name => PLAIN_INPUTS.contains(&name),
        };
        let other = mapping(step.step, "with").find(|(name, value)| !is_plain(name, value));
        return other.map(|(name, _)| format!("has `{name}`"));
    }
    let script = entry(step.step, "run")?;
    let is_other = |verb: &&String| !BUILD_VERBS.contains(&verb.as_str());
    let verb = docker_verbs(step).iter().find(is_other).map(|verb| format!("runs `docker {verb}`"));
    let flag = || OTHER_FLAGS.iter().find(|flag| script.contains(**flag));
    verb.or_else(|| flag().map(|flag| format!("has `{}`", flag.trim())))
}

/// Whether a step uses an output of a step that builds.
fn uses_output_of_build(step: &Step<'_>, job: &DeployJob<'_>) -> bool {
    let text = json!(step.step).to_string();
    let ids = job.steps.iter().filter(|other| is_build(other)).filter_map(|other| entry(other.step, "id"));
    ids.into_iter().any(|id| text.contains(&format!("steps.{id}.")))
}

/// Who the jobs are at the clouds, from the steps that log in there: the inputs of pexpress.
fn identities(jobs: &[DeployJob<'_>]) -> Map<String, Value> {
    let mut inputs = Map::new();
    for job in jobs {
        for step in &job.steps {
            let given = |name: &str| {
                let with = mapping(step.step, "with").find(|(key, _)| *key == name)?.1;
                Some(job.env.with(step.step).resolve(&text(with))).filter(|value| !value.is_empty())
            };
            for (action, input, name) in IDENTITIES {
                if uses_action(step, action)
                    && let Some(value) = given(input)
                {
                    inputs.entry(*name).or_insert(value.into());
                }
            }
        }
    }
    // A cloud needs both inputs of an identity.
    let has = |inputs: &Map<String, Value>, name: &str| inputs.contains_key(name);
    if !has(&inputs, "gcp_workload_identity_provider") {
        inputs.shift_remove("gcp_service_account");
    }
    if !(has(&inputs, "azure_client_id") && has(&inputs, "azure_tenant_id")) {
        inputs.shift_remove("azure_client_id");
        inputs.shift_remove("azure_tenant_id");
    }
    inputs
}

/// Actions that log in to a cloud by the job's identity: an input of theirs, and that of pexpress.
const IDENTITIES: &[(&str, &str, &str)] = &[
    ("aws-actions/configure-aws-credentials", "role-to-assume", "aws_role"),
    ("google-github-actions/auth", "workload_identity_provider", "gcp_workload_identity_provider"),
    ("google-github-actions/auth", "service_account", "gcp_service_account"),
    ("azure/login", "client-id", "azure_client_id"),
    ("azure/login", "tenant-id", "azure_tenant_id"),
];

impl Replaced {
    /// Set the inputs and permissions of `new`. Returns what is left to do.
    pub fn settle(
        &self,
        jobs: &[DeployJob<'_>],
        inputs: &mut Map<String, Value>,
        new: &mut NewWorkflow,
    ) -> Vec<String> {
        if let Some(registry) = &self.image_registry {
            inputs.insert("image_registry".into(), registry.as_str().into());
        }
        if let Some(locations) = &self.locations {
            inputs.insert("locations".into(), locations.join("\n").into());
        }
        registries::settle(&self.registries, &self.identities, self.keeps_logins(jobs), inputs, new)
    }

    /// Why a step is not needed any more; `None` if it stays or Docker has no part in it.
    pub fn drops(&self, step: &Step<'_>, job: &DeployJob<'_>) -> Option<String> {
        if is_build(step) {
            return Some("pexpress builds and pushes the image, without Docker".into());
        }
        if is_only_a_tag(step) {
            return Some("the tag of an image follows from what is in it".into());
        }
        if uses_action(step, "docker/login-action") && self.takes_job_token(step) {
            return Some("pexpress pushes with the token of the job".into());
        }
        let registry = Registry::of_login(step, job)?;
        let is_identity = self.registries.contains_key(&registry) && self.has_identity(registry);
        (is_identity && !is_cloud_used(registry, job))
            .then(|| "pexpress logs in by the identity of the job".to_string())
    }

    /// Whether steps that stay log in to a registry.
    fn keeps_logins(&self, jobs: &[DeployJob<'_>]) -> bool {
        jobs.iter().any(|job| {
            job.steps.iter().any(|step| {
                let is_login = uses_action(step, "docker/login-action")
                    || is_login_script(step)
                    || Registry::of_login(step, job).is_some();
                is_login && self.drops(step, job).is_none()
            })
        })
    }

    fn has_identity(&self, registry: Registry) -> bool {
        let name = match registry {
            Registry::Amazon => "aws_role",
            Registry::Google => "gcp_workload_identity_provider",
            Registry::Azure => "azure_client_id",
            Registry::Github | Registry::Other => return false,
        };
        self.identities.contains_key(name)
    }

    /// Whether a login to ghcr.io is with the token of the job.
    fn takes_job_token(&self, step: &Step<'_>) -> bool {
        let with = |name: &str| {
            mapping(step.step, "with")
                .find(|(key, _)| *key == name)
                .map(|(_, value)| text(value))
                .unwrap_or_default()
        };
        let password = with("password");
        let is_own = password.contains("secrets.GITHUB_TOKEN") || password.contains("github.token");
        with("registry") == "ghcr.io" && is_own && self.registries.contains_key(&Registry::Github)
    }
}

impl Registry {
    /// The registry that a step logs in to, if it is one of a cloud.
    fn of_login(step: &Step<'_>, job: &DeployJob<'_>) -> Option<Registry> {
        let script = entry(step.step, "run").unwrap_or_default();
        let is_line = |start: &str| script.lines().count() == 1 && script.trim_start().starts_with(start);
        let starts = [
            ("aws-actions/configure-aws-credentials", Registry::Amazon),
            ("aws-actions/amazon-ecr-login", Registry::Amazon),
            ("google-github-actions/auth", Registry::Google),
            ("google-github-actions/setup-gcloud", Registry::Google),
            ("azure/login", Registry::Azure),
        ];
        let by_action =
            starts.iter().find(|(action, _)| uses_action(step, action)).map(|(_, registry)| *registry);
        let by_script = || match () {
            () if is_line("gcloud auth configure-docker") => Some(Registry::Google),
            () if is_line("az acr login") => Some(Registry::Azure),
            () => None,
        };
        let by_docker = || {
            let with = mapping(step.step, "with").find(|(key, _)| *key == "registry")?.1;
            let host = job.env.with(step.step).resolve(&text(with));
            let registry = Registry::of(&host);
            (uses_action(step, "docker/login-action") && registry < Registry::Github).then_some(registry)
        };
        by_action.or_else(by_script).or_else(by_docker)
    }
}

/// Whether a step of the job's own uses a cloud for something else than its registry.
fn is_cloud_used(registry: Registry, job: &DeployJob<'_>) -> bool {
    let words: &[&str] = match registry {
        Registry::Amazon => &["aws", "AWS", "boto", "terraform"],
        Registry::Google => &["gcloud", "gsutil", "google", "GOOGLE", "bq ", "terraform"],
        Registry::Azure => &["az ", "azure", "AZURE", "terraform"],
        Registry::Github | Registry::Other => &[],
    };
    let others = job.steps.iter().filter(|step| {
        let is_vendor = matches!(step.role, Role::Vendor(_) | Role::Checkout | Role::Setup);
        !is_vendor && !is_build(step) && !is_only_a_tag(step) && Registry::of_login(step, job).is_none()
    });
    others.into_iter().any(|step| {
        let text = json!(step.step).to_string();
        words.iter().any(|word| text.contains(word))
    })
}

/// Whether a step does no more than choose the tag of an image.
fn is_only_a_tag(step: &Step<'_>) -> bool {
    let Some(script) = entry(step.step, "run") else { return false };
    let lines: Vec<&str> = script.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let is_tag = |line: &&str| {
        let target = ["GITHUB_ENV", "GITHUB_OUTPUT"].iter().any(|file| line.contains(file));
        line.starts_with("echo") && target && line.to_ascii_uppercase().contains("IMAGE_TAG=")
    };
    step.role == Role::Own && !lines.is_empty() && lines.iter().all(is_tag)
}
