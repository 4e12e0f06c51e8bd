//! The text of the new workflow.

use super::keep::{indented, written};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The checkout action, pinned; `examples/workflows/` has the same.
pub const CHECKOUT: &str = "actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1";
/// The id of the deploy step, for steps after it.
pub const STEP_ID: &str = "pexpress";

/// What the first lines of a workflow say that was made from old ones.
pub const TAKEN_OVER: &str = "# Written by `pexpress init` from ";

/// The new workflow.
#[derive(Debug, Default)]
pub struct NewWorkflow {
    /// Names of the files that it was made from.
    pub sources: Vec<String>,
    /// `name:`.
    pub name: String,
    /// Start of the names of concurrency groups. Groups are of the whole repository, so each workflow needs its own.
    pub group: String,
    /// Branches, paths … of `push`; `None` without that event.
    pub push: Option<Map<String, Value>>,
    /// The same of `pull_request`, without `types`.
    pub pull: Option<Map<String, Value>>,
    /// Other events, with their filters.
    pub other_events: Map<String, Value>,
    /// Keys of the workflow that are kept.
    pub top: Map<String, Value>,
    /// `permissions` of the deploy job besides its own.
    pub permissions: Map<String, Value>,
    /// Scopes that the deploy step writes with, and why.
    pub own_permissions: BTreeMap<&'static str, &'static str>,
    /// Other keys of the deploy job, in order.
    pub job: Map<String, Value>,
    /// The name of the deploy job.
    pub job_name: String,
    /// `with:` of the checkout.
    pub checkout: Map<String, Value>,
    /// Kept steps before the deploy step, each a list item.
    pub before: Vec<String>,
    /// The action, as in `uses:`.
    pub action: String,
    /// Its inputs.
    pub inputs: Map<String, Value>,
    /// Its variables.
    pub step_env: Map<String, Value>,
    /// Kept steps after it.
    pub after: Vec<String>,
    /// Kept jobs, each a mapping with one key.
    pub other_jobs: Vec<String>,
}

impl NewWorkflow {
    /// Whether it deploys pull requests.
    pub fn has_pull_requests(&self) -> bool {
        self.pull.is_some()
    }

    /// The text.
    pub fn text(&self) -> String {
        let mut text = self.head();
        text += &self.events();
        if !self.top.is_empty() {
            text += &format!("\n{}", written(&Value::Object(self.top.clone())));
        }
        text += "\n# The jobs say what they may do.\npermissions: {}\n";
        text += &self.concurrency();
        text += "\njobs:\n  deploy:\n";
        text += &indented(&self.deploy_job(), 4);
        for job in &self.other_jobs {
            text += "\n";
            text += &indented(job, 2);
        }
        text
    }

    fn head(&self) -> String {
        let what = match (&self.push, &self.pull) {
            (Some(_), Some(_)) => {
                "# Pushes go to the full deployment, pull requests to a branch deployment each, which is closed with them.\n"
            }
            (None, Some(_)) => "# Each pull request has a branch deployment, which is closed with it.\n",
            _ => "# Deploys to the full deployment.\n",
        };
        let from = match self.sources.as_slice() {
            [] => "# Written by `pexpress init`".to_string(),
            sources => format!("{TAKEN_OVER}{}", sources.join(", ")),
        };
        format!("{what}{from}.\nname: {}\n", written(&json!(self.name)).trim_end())
    }

    fn events(&self) -> String {
        let mut text = "on:\n".to_string();
        if let Some(push) = &self.push {
            text += &event("push", "", push);
        }
        if let Some(pull) = &self.pull {
            text += &event("pull_request", "    types: [opened, synchronize, reopened, closed]\n", pull);
        }
        for (name, filters) in &self.other_events {
            text += &match filters {
                Value::Null => format!("  {name}:\n"),
                filters => indented(&written(&json!({ name: filters })), 2),
            };
        }
        text
    }

    fn concurrency(&self) -> String {
        let (why, of, cancel) = match self.has_pull_requests() {
            true => (
                "A newer commit of a pull request, or its end, stops the run before it; other deployments wait for each other.",
                "github.event.pull_request.number || github.ref",
                "${{ github.event_name == 'pull_request' }}",
            ),
            false => ("Deployments of a branch wait for each other.", "github.ref", "false"),
        };
        let group = &self.group;
        format!("\n# {why}\nconcurrency:\n  group: {group}-${{{{ {of} }}}}\n  cancel-in-progress: {cancel}\n")
    }

    fn deploy_job(&self) -> String {
        let mut text = written(&json!({ "name": self.job_name }));
        self.job.iter().for_each(|(key, value)| text += &entry(key, value));
        text += &self.permissions_text();
        text += "steps:\n";
        let mut steps = format!("- uses: {CHECKOUT}\n");
        if !self.checkout.is_empty() {
            steps += &indented(&written(&json!({ "with": self.checkout })), 2);
        }
        self.before.iter().for_each(|step| steps += step);
        steps += &self.deploy_step();
        self.after.iter().for_each(|step| steps += step);
        text + &indented(&steps, 2)
    }

    fn permissions_text(&self) -> String {
        let mut text = "permissions:\n".to_string();
        if !self.permissions.contains_key("contents") {
            text += "  contents: read # to check out\n";
        }
        if self.has_pull_requests() {
            text += "  pull-requests: write # for the comment\n";
        }
        for (name, why) in &self.own_permissions {
            text += &format!("  {name}: write # {why}\n");
        }
        for (name, access) in &self.permissions {
            text += &format!("  {name}: {} # for the steps that were kept\n", super::workflow::text(access));
        }
        text
    }

    fn deploy_step(&self) -> String {
        let is_used = self.after.iter().any(|step| step.contains(&format!("steps.{STEP_ID}.")));
        let id = if is_used { format!("id: {STEP_ID}\n") } else { String::new() };
        let mut step = id + &format!("uses: {}\n", self.action);
        step += &written(&json!({ "with": self.inputs }));
        if !self.step_env.is_empty() {
            step += &written(&json!({ "env": self.step_env }));
        }
        indented(&step, 2).replacen("  ", "- ", 1)
    }
}

/// One event with its filters; lists of plain names in one line.
fn event(name: &str, types: &str, filters: &Map<String, Value>) -> String {
    let mut text = format!("  {name}:\n{types}");
    filters.iter().for_each(|(key, value)| text += &indented(&entry(key, value), 4));
    text
}

/// `key: value`; a list of plain names in one line.
fn entry(key: &str, value: &Value) -> String {
    let names = value.as_array().filter(|items| items.iter().all(|item| item.as_str().is_some_and(is_plain)));
    match names {
        Some(items) => {
            let names: Vec<&str> = items.iter().filter_map(Value::as_str).collect();
            format!("{key}: [{}]\n", names.join(", "))
        }
        None => written(&json!({ key: value })),
    }
}

/// Whether a name means the same without quotes in a flow list.
fn is_plain(name: &str) -> bool {
    let starts = name.starts_with(|c: char| c.is_ascii_alphabetic());
    let is_word = !["true", "false", "null", "yes", "no", "on", "off", "y", "n"]
        .contains(&name.to_lowercase().as_str());
    starts && is_word && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c))
}
