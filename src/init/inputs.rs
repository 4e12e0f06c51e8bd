//! The inputs of the new deploy step, from what the steps of the old jobs ask for.

use super::choose::{Choice, Given, choose};
use super::facts::Facts;
use super::old::{DeployJob, Style, directory_of};
use super::outcome::{Lines, Outcome};
use super::vendor::{Kind, Setting};
use crate::target::PythonVersion;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// Variables that are settings of Dagster+.
pub const VARIABLES: [(&str, Setting); 5] = [
    ("DAGSTER_CLOUD_URL", Setting::Url),
    ("DAGSTER_CLOUD_ORGANIZATION", Setting::Organization),
    ("ORGANIZATION_ID", Setting::Organization),
    ("DAGSTER_CLOUD_API_TOKEN", Setting::Token),
    ("DAGSTER_CLOUD_DEPLOYMENT", Setting::Deployment),
];

/// The secret of the documents.
pub const TOKEN: &str = "${{ secrets.DAGSTER_CLOUD_API_TOKEN }}";
/// The deployment that Dagster+'s tools and pexpress use if none is named.
const DEFAULT_DEPLOYMENT: &str = "prod";

/// What the old jobs ask for, and the inputs so far.
pub struct Inputs<'a, 'j> {
    facts: &'a Facts,
    jobs: &'a [DeployJob<'j>],
    /// Whether pexpress builds images, rather than PEX files.
    pub builds_images: bool,
    /// The inputs.
    pub map: Map<String, Value>,
    /// For the reader.
    pub notes: Vec<String>,
}

impl<'a, 'j> Inputs<'a, 'j> {
    /// No inputs yet.
    pub fn new(facts: &'a Facts, jobs: &'a [DeployJob<'j>]) -> Self {
        Inputs { facts, jobs, builds_images: false, map: Map::new(), notes: Vec::new() }
    }

    /// Decide all of them.
    pub fn settle(&mut self, style: Style, working_directory: Option<&str>) {
        if self.jobs.iter().any(|job| {
            job.calls().any(|(_, call, env)| {
                call.ask(Setting::Deploy).is_some_and(|given| env.resolve(given) == "false")
            })
        }) {
            self.set("command", "build");
        }
        self.project(working_directory);
        self.locations();
        self.address();
        self.token();
        self.deployment();
        if style != Style::Images {
            self.python();
        }
        if let Some(force) = self.one(Setting::ForceRebuild).filter(|force| force != "false") {
            self.set("force_rebuild_deps", &force);
        }
    }

    /// Set an input.
    pub fn set(&mut self, name: &str, value: &str) {
        self.map.insert(name.to_string(), value.into());
    }

    /// The values of a setting, one a job.
    fn given(&self, setting: Setting) -> Vec<Given> {
        let of_job = |job: &DeployJob<'_>| {
            let asked = job.calls().find_map(|(_, call, env)| Some(env.resolve(call.ask(setting)?)));
            let variable = || {
                let mut known = VARIABLES.iter().filter(|(_, known)| *known == setting);
                known.find_map(|(name, _)| {
                    let own = job.calls().find_map(|(_, _, env)| env.get(name));
                    own.or_else(|| job.env.get(name))
                })
            };
            let value = asked.filter(|value| !value.is_empty()).or_else(variable)?;
            Some(Given { value, scope: job.scope, branches: job.branches.clone() })
        };
        self.jobs.iter().filter_map(of_job).collect()
    }

    /// The value of a setting for all jobs. If they differ without a reason, the first, with a note.
    fn one(&mut self, setting: Setting) -> Option<String> {
        match choose(&self.given(setting)) {
            Choice::None => None,
            Choice::One(value) => Some(value),
            Choice::Unclear(first, others) => {
                self.notes.push(format!(
                    "the old workflows have different values for {}: `{first}` is used, not {}",
                    called(setting),
                    others.iter().map(|other| format!("`{other}`")).collect::<Vec<_>>().join(", ")
                ));
                Some(first)
            }
        }
    }

    fn project(&mut self, working_directory: Option<&str>) {
        let given = |job: &DeployJob<'_>| {
            Some(Given { value: job.project()?, scope: job.scope, branches: job.branches.clone() })
        };
        let given: Vec<Given> = self.jobs.iter().filter_map(given).collect();
        let path = match choose(&given) {
            Choice::One(path) => path,
            Choice::Unclear(first, others) => {
                self.notes.push(format!(
                    "the old workflows deploy `{first}` and {}: only the former is taken",
                    others.join(", ")
                ));
                first
            }
            Choice::None => {
                let found = self.facts.project.as_ref().map(|project| project.file.clone());
                found.unwrap_or_else(|| self.facts.directory.clone())
            }
        };
        let (directory, file) = match path.contains("${{") {
            true => (".", Some(path.as_str())),
            false => match directory_of(&path) {
                // Its own name is found in the directory.
                "." if path == "dagster_cloud.yaml" || path == "dagster_cloud.yml" => (".", None),
                directory if path.ends_with(".toml") || directory == path => (directory, None),
                _ => (".", Some(path.as_str())),
            },
        };
        let directory = match (working_directory, directory) {
            (Some(top), ".") => top.to_string(),
            (Some(top), directory) => format!("{top}/{directory}"),
            (None, directory) => directory.to_string(),
        };
        self.set_directory(&directory);
        if let Some(file) = file {
            self.set("dagster_cloud_file", file);
        }
    }

    fn set_directory(&mut self, path: &str) {
        if path != "." {
            self.set("working_directory", path);
        }
    }

    fn locations(&mut self) {
        let mut names = BTreeSet::new();
        for job in self.jobs {
            for (_, call, env) in job.calls().filter(|(_, call, _)| call.kind != Kind::ImageOutput) {
                let asked = call.asks.iter().filter(|(setting, ..)| *setting == Setting::Location);
                names.extend(asked.map(|(.., name)| env.resolve(name)).filter(|name| !name.is_empty()));
            }
        }
        let all = self.facts.project.as_ref().map(|project| project.locations.len());
        if !names.is_empty() && all != Some(names.len()) {
            self.set("locations", &names.into_iter().collect::<Vec<_>>().join("\n"));
        }
    }

    /// `organization`, `dagster_cloud_url`, or both: they are checked against each other.
    fn address(&mut self) {
        let (organization, url) = match (&self.facts.organization, &self.facts.url) {
            (None, None) => (self.one(Setting::Organization), self.one(Setting::Url)),
            (organization, url) => (organization.clone(), url.clone()),
        };
        let (organization, url) = match (organization, url) {
            (None, None) => (self.facts.known_organization.clone(), self.facts.known_url.clone()),
            known => known,
        };
        let url = url.map(|url| match url.strip_prefix("http://") {
            Some(rest) => format!("https://{rest}"),
            None => url,
        });
        let is_secret = |text: &str| text.contains("${{");
        match (organization, url) {
            (None, None) => self.set("organization", "${{ vars.DAGSTER_CLOUD_ORGANIZATION }}"),
            (Some(organization), None) => self.set("organization", &organization),
            (None, Some(url)) => self.set("dagster_cloud_url", &url),
            (Some(organization), Some(url)) if is_address_of(&url, &organization) => {
                self.set("organization", &organization);
            }
            // The address says it all, also the region and the deployment.
            (Some(organization), Some(url)) if !is_secret(&url) && url.contains(&organization) => {
                self.set("dagster_cloud_url", &url);
            }
            // In the classic templates the organization is only for the Docker job, and often has no value.
            (Some(organization), Some(url)) if organization == "${{ secrets.ORGANIZATION_ID }}" => {
                self.set("dagster_cloud_url", &url);
            }
            (Some(organization), Some(url)) => {
                self.set("organization", &organization);
                self.set("dagster_cloud_url", &url);
            }
        }
    }

    fn token(&mut self) {
        let token = self.one(Setting::Token).unwrap_or_else(|| TOKEN.to_string());
        if token.contains("${{") {
            self.set("dagster_cloud_api_token", &token);
        } else {
            self.notes.push("an old workflow has an API token in its text: revoke it in Dagster+, and add a new one as the secret DAGSTER_CLOUD_API_TOKEN".into());
            self.set("dagster_cloud_api_token", TOKEN);
        }
    }

    fn deployment(&mut self) {
        if let Some(deployment) = self.facts.deployment.clone() {
            if deployment != DEFAULT_DEPLOYMENT {
                self.set("deployment", &deployment);
            }
            return;
        }
        let mut given = self.given(Setting::Deployment);
        // A job that names none deploys to the default.
        let names_one = |job: &DeployJob<'_>| {
            given.iter().any(|given| given.scope == job.scope && given.branches == job.branches)
        };
        let default: Vec<Given> = self
            .jobs
            .iter()
            .filter(|job| !names_one(job) && job.scope.push)
            .map(|job| Given {
                value: DEFAULT_DEPLOYMENT.into(),
                scope: job.scope,
                branches: job.branches.clone(),
            })
            .collect();
        given.extend(default);
        let pushes: Vec<Given> = given.iter().filter(|given| given.scope.push).cloned().collect();
        let pulls: Vec<Given> = given.iter().filter(|given| !given.scope.push).cloned().collect();
        let base = match choose(&pulls) {
            Choice::One(base) => Some(base),
            _ => None,
        };
        let full = match choose(if pushes.is_empty() { &pulls } else { &pushes }) {
            Choice::None => return,
            Choice::One(full) => full,
            Choice::Unclear(first, others) => {
                self.notes.push(format!(
                    "the old workflows deploy to `{first}` and to {}: set `deployment` by hand",
                    others.join(", ")
                ));
                first
            }
        };
        if full != DEFAULT_DEPLOYMENT {
            self.set("deployment", &full);
        }
        let base = base.or_else(|| full.contains("github.ref_name").then(|| DEFAULT_DEPLOYMENT.to_string()));
        let has_pulls = self.jobs.iter().any(|job| job.scope.pull);
        if let Some(base) = base.filter(|base| *base != full && has_pulls) {
            self.set("base_deployment", &base);
        }
    }

    fn python(&mut self) {
        let Some(version) = self.one(Setting::PythonVersion) else { return };
        if version.contains("${{") {
            // Steps and variables that set it may be gone, and then it would be empty.
            if !["env.", "steps.", "needs."].iter().any(|context| version.contains(context)) {
                self.set("python_version", &version);
            }
            return;
        }
        // `3.10` without quotes is a number.
        let version = if version == "3.1" { "3.10".to_string() } else { version };
        match &self.facts.python {
            Some((own, _)) if *own == version => {}
            Some((own, origin)) => {
                self.notes.push(format!(
                    "the old workflow builds for Python {version}, and {origin} says {own}: `python_version` keeps {version}; remove it there to use {own}"
                ));
                self.set("python_version", &version);
            }
            None if version
                .parse::<PythonVersion>()
                .is_ok_and(|version| version == PythonVersion::DEFAULT) => {}
            None => self.set("python_version", &version),
        }
    }

    /// How a setting of an old workflow appears now, for its line.
    pub fn told(&self, setting: Setting) -> (Outcome, String) {
        let taken = |name: &str| {
            let value = self.map.get(name)?.as_str()?;
            Some((Outcome::Taken, format!("`{name}: {}`", value.trim_end().replace('\n', ", "))))
        };
        let dropped = |why: &str| (Outcome::Dropped, why.to_string());
        match setting {
            Setting::Organization => {
                taken("organization").unwrap_or_else(|| dropped("the address has the organization"))
            }
            Setting::Url => taken("dagster_cloud_url")
                .or_else(|| taken("organization"))
                .unwrap_or_else(|| dropped("the organization is enough")),
            Setting::Token => {
                taken("dagster_cloud_api_token").unwrap_or_else(|| dropped("the secret is used instead"))
            }
            Setting::Deployment => taken("deployment")
                .or_else(|| taken("base_deployment"))
                .unwrap_or_else(|| dropped("`prod` is the default")),
            Setting::PythonVersion => taken("python_version").unwrap_or_else(|| match &self.facts.python {
                Some((version, origin)) => dropped(&format!("{origin} says {version}")),
                None => dropped("it is the default"),
            }),
            Setting::Project | Setting::ProjectFile => taken("dagster_cloud_file")
                .or_else(|| taken("working_directory"))
                .unwrap_or_else(|| dropped("the project at the top of the repository is the default")),
            Setting::Location => {
                taken("locations").unwrap_or_else(|| dropped("all code locations are deployed by default"))
            }
            Setting::ForceRebuild => {
                taken("force_rebuild_deps").unwrap_or_else(|| dropped("`false` is the default"))
            }
            Setting::Deploy => {
                taken("command").unwrap_or_else(|| dropped("the command `deploy` is the default"))
            }
            Setting::ImageTag | Setting::Image if self.builds_images => {
                dropped("the tag of an image follows from what is in it")
            }
            Setting::BuildStrategy if self.builds_images => dropped("images are what pexpress builds here"),
            Setting::ImageTag | Setting::Image => taken("image_tag")
                .or_else(|| taken("images"))
                .unwrap_or_else(|| dropped("PEX files need no image")),
            Setting::BuildStrategy => dropped("PEX files are what pexpress builds"),
            Setting::AgentType => dropped("Dagster+ says what kind of agent a deployment has"),
        }
    }

    /// Tell what became of every setting of a call.
    pub fn tell(&self, job: &DeployJob<'_>, lines: &mut Lines) {
        for (step, call, env) in job.calls() {
            let index = step.index.to_string();
            // What an action is asked for has a line of its own; of the command lines only what starts a session does.
            let is_line = step.step.get("with").is_some_and(|with| with.get("command").is_none());
            if call.kind == Kind::Session
                && !is_line
                && !call.name.ends_with("init")
                && !call.name.ends_with("start")
            {
                continue;
            }
            for (setting, name, value) in &call.asks {
                let (outcome, detail) = self.told(*setting);
                let path = ["jobs", job.id, "steps", &index, "with", name.as_str()];
                let path = if step.step.contains_key("uses") && !name.starts_with("--") {
                    &path[..]
                } else {
                    &path[..4]
                };
                let shown = env.resolve(value);
                // A token in the text of a workflow is not repeated.
                let shown = if *setting == Setting::Token && !shown.contains("${{") {
                    "***".to_string()
                } else {
                    shown
                };
                lines.add(job.workflow, path, &format!("{name} `{shown}` of {}", call.name), outcome, detail);
            }
            for (name, why) in &call.ignored {
                let path = ["jobs", job.id, "steps", &index, "with", name.as_str()];
                let path = if job.workflow.line(&path).is_some() { &path[..] } else { &path[..4] };
                lines.add(job.workflow, path, &format!("{name} of {}", call.name), Outcome::Dropped, *why);
            }
        }
    }
}

/// Whether an address says no more than the name of the organization.
fn is_address_of(url: &str, organization: &str) -> bool {
    let address = url.trim_end_matches('/').trim_start_matches("https://");
    [format!("{organization}.dagster.cloud"), format!("dagster.cloud/{organization}")]
        .iter()
        .any(|plain| plain == address)
}

fn called(setting: Setting) -> &'static str {
    match setting {
        Setting::Organization => "the organization",
        Setting::Url => "the address",
        Setting::Token => "the token",
        Setting::PythonVersion => "the Python version",
        Setting::ForceRebuild => "`force_rebuild_deps`",
        _ => "a setting",
    }
}
