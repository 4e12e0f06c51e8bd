//! Recognises steps of Dagster+'s own actions and command lines, and what they ask for.
//!
//! Sources: the inputs of the actions in `dagster-io/dagster-cloud-action`, and the flags of `dagster-cloud` and `dg`
//! (dagster-cloud-cli and dagster-dg-cli 1.13.27).

use super::script::{self, Arguments};
use super::workflow::{entry, mapping, text};
use serde_json::{Map, Value};

/// What a step of Dagster+ is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It prepares, checks or reports; one step of pexpress does that too.
    Session,
    /// It builds or deploys PEX files.
    Pex,
    /// It builds a Docker image for Dagster+ Serverless.
    Docker,
    /// It builds a Docker image for an agent of the user and deploys it.
    Hybrid,
    /// It names an image that an earlier step has built.
    ImageOutput,
    /// It builds what `build-strategy` says, or deploys what was built before.
    Build,
    /// It refreshes the state of components.
    DefsState,
    /// It launches a job.
    Launch,
    /// Something else of Dagster+, which stays as it is.
    Other,
}

/// A setting that a step has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Setting {
    Organization,
    Url,
    Token,
    Deployment,
    PythonVersion,
    /// A project file or directory, relative to the workspace.
    Project,
    /// A project file, relative to [`Setting::Project`].
    ProjectFile,
    Location,
    ForceRebuild,
    Deploy,
    ImageTag,
    Image,
    BuildStrategy,
    AgentType,
}

/// One call of an action or of a command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// What it is for.
    pub kind: Kind,
    /// What it is, for the reader: `ci init`, `actions/utils/prerun`.
    pub name: String,
    /// Its settings, unresolved: the setting, its name there, its value.
    pub asks: Vec<(Setting, String, String)>,
    /// Inputs and flags that have no place in pexpress, with the reason.
    pub ignored: Vec<(String, &'static str)>,
}

/// The repository of Dagster+'s actions.
const ACTIONS: &str = "dagster-io/dagster-cloud-action/";

/// Actions by the end of their path.
const KINDS: &[(&str, Kind)] = &[
    ("utils/prerun", Kind::Session),
    ("utils/parse_workspace", Kind::Session),
    ("parse_workspace", Kind::Session),
    ("utils/ci-init", Kind::Session),
    ("utils/dg-deploy-init", Kind::Session),
    ("utils/ci-deploy", Kind::Session),
    ("utils/notify", Kind::Session),
    ("utils/registry_info", Kind::Session),
    ("utils/copy_template", Kind::Session),
    ("utils/cleanup_closed_pr", Kind::Session),
    ("utils/get_branch_deployment", Kind::Session),
    ("utils/ci-set-build-output", Kind::ImageOutput),
    ("utils/deploy", Kind::ImageOutput),
    ("deploy", Kind::ImageOutput),
    ("build_deploy_python_executable", Kind::Pex),
    ("build_deploy_python_executable_docker", Kind::Pex),
    ("build_deploy_pex", Kind::Pex),
    ("utils/deploy_pex_from_docker", Kind::Pex),
    ("serverless_prod_deploy", Kind::Docker),
    ("serverless_branch_deploy", Kind::Docker),
    ("hybrid_prod_deploy", Kind::Hybrid),
    ("hybrid_branch_deploy", Kind::Hybrid),
    ("launch_job", Kind::Launch),
];

/// Inputs of the actions.
const INPUTS: &[(&str, Setting)] = &[
    ("organization_id", Setting::Organization),
    ("organization", Setting::Organization),
    ("dagster_cloud_url", Setting::Url),
    ("dagster_cloud_api_token", Setting::Token),
    ("deployment", Setting::Deployment),
    ("python_version", Setting::PythonVersion),
    ("dagster_cloud_file", Setting::Project),
    ("project_dir", Setting::Project),
    ("dagster_cloud_yaml_path", Setting::ProjectFile),
    ("location_name", Setting::Location),
    ("force_rebuild_deps", Setting::ForceRebuild),
    ("deploy", Setting::Deploy),
    ("image_tag", Setting::ImageTag),
];

/// Flags of the command lines.
const FLAGS: &[(&str, Setting)] = &[
    ("organization", Setting::Organization),
    ("url", Setting::Url),
    ("dagster-cloud-url", Setting::Url),
    ("api-token", Setting::Token),
    ("user-token", Setting::Token),
    ("deployment", Setting::Deployment),
    ("python-version", Setting::PythonVersion),
    ("project-dir", Setting::Project),
    ("target-path", Setting::Project),
    ("path", Setting::Project),
    ("dagster-cloud-yaml-path", Setting::ProjectFile),
    ("location-name", Setting::Location),
    ("image-tag", Setting::ImageTag),
    ("image", Setting::Image),
    ("build-strategy", Setting::BuildStrategy),
    ("agent-type", Setting::AgentType),
];

/// Inputs and flags without a counterpart.
const WITHOUT: &[(&str, &str)] = &[
    ("build_output_dir", "a temporary directory is used"),
    ("env_vars", "set environment variables in Dagster+ (deployment → environment variables)"),
    ("base_image", "PEX files run on Dagster+'s own image"),
    ("base-image", "PEX files run on Dagster+'s own image"),
    ("dockerfile-path", "PEX files need no Dockerfile"),
    ("location", "every code location of the project is deployed"),
    ("checkout_repo", "the checkout is a step of its own"),
    ("statedir", "there is no state between steps"),
    ("pex-deps-cache-from", "deps PEX files are shared between runs by default"),
    ("pex-deps-cache-to", "deps PEX files are shared between runs by default"),
];

/// Subcommands of `dagster-cloud ci` and `dg plus deploy`.
const CI: &[(&str, Kind)] = &[
    ("check", Kind::Session),
    ("init", Kind::Session),
    ("start", Kind::Session),
    ("configure", Kind::Session),
    ("build", Kind::Build),
    ("build-and-push", Kind::Build),
    ("set-build-output", Kind::ImageOutput),
    ("deploy", Kind::Build),
    ("finish", Kind::Build),
    ("notify", Kind::Session),
    ("status", Kind::Session),
    ("template", Kind::Session),
    ("locations-select", Kind::Session),
    ("locations-deselect", Kind::Session),
    ("branch-deployment", Kind::Session),
    ("refresh-defs-state", Kind::DefsState),
];

/// The calls of Dagster+'s tools in a step; empty if it has none.
pub fn calls(step: &Map<String, Value>) -> Vec<Call> {
    if let Some(action) = entry(step, "uses").as_deref().and_then(action_name) {
        return vec![of_action(&action, step)];
    }
    let script = entry(step, "run").unwrap_or_default();
    let lines = script::lines(&script);
    lines.iter().flat_map(|line| &line.commands).filter_map(|words| of_command(words)).collect()
}

/// Whether a command is one of Dagster+ that pexpress does itself.
pub fn is_replaced(words: &[String]) -> bool {
    of_command(words).is_some_and(|call| !matches!(call.kind, Kind::Other | Kind::Launch))
}

/// The path of one of Dagster+'s actions below `actions/`.
fn action_name(uses: &str) -> Option<String> {
    let path = uses.split('@').next()?.strip_prefix(ACTIONS)?;
    Some(path.strip_prefix("actions/").unwrap_or(path).trim_end_matches('/').to_string())
}

fn of_action(name: &str, step: &Map<String, Value>) -> Call {
    let command = step.get("with").and_then(Value::as_object).and_then(|with| entry(with, "command"));
    let program = match name {
        "utils/dg-cli" => Some("dg"),
        "utils/dagster-cloud-cli" | "utils/run" | "utils/ci" => Some("dagster-cloud"),
        _ => None,
    };
    if let (Some(program), Some(command)) = (program, command) {
        let lines = script::lines(&format!("{program} {command}"));
        let words = lines.first().and_then(|line| line.commands.first());
        if let Some(call) = words.and_then(|words| of_command(words)) {
            return call;
        }
    }
    let known = KINDS.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind);
    // There were more of these, and some workflows have names that never were.
    let by_prefix = || match name.split('_').next() {
        Some("serverless") => Kind::Docker,
        Some("hybrid") => Kind::Hybrid,
        _ => Kind::Other,
    };
    let mut call = Call {
        kind: known.unwrap_or_else(by_prefix),
        name: format!("actions/{name}"),
        asks: Vec::new(),
        ignored: Vec::new(),
    };
    for (input, value) in mapping(step, "with") {
        match INPUTS.iter().find(|(known, _)| known == input) {
            Some((_, setting)) => call.asks.push((*setting, input.clone(), text(value))),
            None => call.ignore(input),
        }
    }
    call
}

impl Call {
    fn ignore(&mut self, name: &str) {
        let why = WITHOUT
            .iter()
            .find(|(known, _)| *known == name)
            .map_or("pexpress has no such setting", |(_, why)| why);
        self.ignored.push((name.to_string(), why));
    }

    /// The value of a setting.
    pub fn ask(&self, setting: Setting) -> Option<&str> {
        self.asks.iter().find(|(known, ..)| *known == setting).map(|(.., value)| value.as_str())
    }

    fn read(&mut self, arguments: Arguments) {
        for (flag, value) in arguments.flags {
            match FLAGS.iter().find(|(known, _)| *known == flag) {
                Some((_, setting)) => self.asks.push((*setting, format!("--{flag}"), value)),
                None => self.ignore(&flag),
            }
        }
        // `serverless deploy-python-executable DIRECTORY`, `builder.deploy FILE OUT_DIR`.
        if let Some(first) = arguments.positional.first().filter(|_| self.kind == Kind::Pex) {
            self.asks.push((Setting::Project, "the first argument".to_string(), first.clone()));
        }
    }
}

/// The call in a command, if its program is one of Dagster+'s.
fn of_command(words: &[String]) -> Option<Call> {
    let words: Vec<String> = words.iter().map(|word| word.trim_matches(['(', ')']).to_string()).collect();
    let at = words.iter().enumerate().position(|(at, word)| {
        let next = words.get(at + 1).map_or("", String::as_str);
        match word.rsplit('/').next().unwrap_or_default() {
            "dagster-cloud" | "dagster-cloud.pex" | "dagster_cloud_cli.entrypoint" => {
                ["ci", "serverless", "deployment", "branch-deployment", "workspace", "job", "run"]
                    .contains(&next)
            }
            "dg" => next == "plus",
            "builder.deploy" => true,
            _ => false,
        }
    })?;
    let words = words.get(at..)?;
    let (kind, name, rest) = subcommand(words);
    let mut call = Call { kind, name, asks: Vec::new(), ignored: Vec::new() };
    call.read(script::arguments(rest));
    Some(call)
}

/// What a command line does, its name, and its arguments.
fn subcommand(words: &[String]) -> (Kind, String, &[String]) {
    let word = |at: usize| words.get(at).map_or("", String::as_str);
    let after = |count: usize| words.get(count..).unwrap_or_default();
    let ci = |name: &str| CI.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind);
    if word(0).ends_with("builder.deploy") {
        return (Kind::Pex, "builder.deploy".to_string(), after(1));
    }
    match (word(0).rsplit('/').next().unwrap_or_default(), word(1), word(2)) {
        ("dg", "plus", "deploy") => match ci(word(3)) {
            Some(kind) => (kind, format!("dg plus deploy {}", word(3)), after(4)),
            None => (Kind::Build, "dg plus deploy".to_string(), after(3)),
        },
        (_, "ci", name) => (ci(name).unwrap_or(Kind::Other), format!("dagster-cloud ci {name}"), after(3)),
        (_, "serverless", name) if name.contains("python-executable") || name.contains("pex") => {
            (Kind::Pex, format!("dagster-cloud serverless {name}"), after(3))
        }
        (_, "serverless", name) => (Kind::Docker, format!("dagster-cloud serverless {name}"), after(3)),
        (_, "job", name) => (Kind::Launch, format!("dagster-cloud job {name}"), after(3)),
        (_, group, name) => (Kind::Other, format!("dagster-cloud {group} {name}"), after(3)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn kinds(step: &Value) -> Vec<(Kind, String)> {
        calls(step.as_object().unwrap()).into_iter().map(|call| (call.kind, call.name)).collect()
    }

    #[test]
    fn steps_of_every_style_are_recognised() {
        let uses = |path: &str| json!({"uses": format!("dagster-io/dagster-cloud-action/{path}@v1.2.3")});
        let cli = |path: &str, command: &str| json!({"uses": format!("dagster-io/dagster-cloud-action/actions/utils/{path}@v1"), "with": {"command": command}});
        for (step, want) in [
            (uses("actions/utils/prerun"), Kind::Session),
            (uses("actions/build_deploy_python_executable"), Kind::Pex),
            (uses("actions/serverless_branch_deploy"), Kind::Docker),
            (uses("actions/hybrid_prod_deploy"), Kind::Hybrid),
            (uses("hybrid_prod_deploy"), Kind::Hybrid),
            (uses("actions/serverless_branch_deployments"), Kind::Docker),
            (uses("actions/launch_job"), Kind::Launch),
            (uses("actions/something_new"), Kind::Other),
            (
                cli("dagster-cloud-cli", "ci set-build-output --location-name=a --image-tag=$T"),
                Kind::ImageOutput,
            ),
            (cli("dagster-cloud-cli", "ci status >> $GITHUB_STEP_SUMMARY"), Kind::Session),
            (cli("dg-cli", "plus deploy build-and-push --agent-type=serverless"), Kind::Build),
            (cli("dg-cli", "plus deploy refresh-defs-state --target-path=."), Kind::DefsState),
            (json!({"run": "uv run dg plus deploy --yes"}), Kind::Build),
            (
                json!({"run": "python -m pip install x\npython -m dagster_cloud_cli.entrypoint ci init"}),
                Kind::Session,
            ),
            (
                json!({"run": "dagster-cloud serverless deploy-python-executable . --location-name a"}),
                Kind::Pex,
            ),
            (json!({"run": "./builder.pex -m builder.deploy dagster_cloud.yaml out"}), Kind::Pex),
            (json!({"run": "dagster-cloud workspace sync -w w.yaml"}), Kind::Other),
            (json!({"run": "dagster-cloud ci dagster-dbt project manage-state --file a.py"}), Kind::Other),
        ] {
            let found = kinds(&step);
            assert_eq!(found.first().map(|(kind, _)| *kind), Some(want), "{step}: {found:?}");
        }
        for step in
            [json!({"run": "pip install dagster-cloud && dbt build"}), json!({"uses": "actions/checkout@v4"})]
        {
            assert_eq!(kinds(&step), [], "{step}");
        }
    }

    #[test]
    fn settings_are_read_from_inputs_and_flags() {
        let step = json!({"run": "dagster-cloud ci init \\\n --organization acme --deployment=prod --statedir /tmp/x"});
        let found = calls(step.as_object().unwrap());
        assert_eq!(found[0].ask(Setting::Organization), Some("acme"));
        assert_eq!(found[0].ask(Setting::Deployment), Some("prod"));
        assert_eq!(found[0].ignored, [("statedir".to_string(), "there is no state between steps")]);
    }
}
