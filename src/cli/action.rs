//! The inputs of `action.yml`, which reach this program as `INPUT_*` variables → typed arguments.
//!
//! A blank input is one that was not given. Names and meanings: `action.yml`.

mod images;
mod variables;
mod verbs;

use super::{BranchArgs, BuildArgs, DagsterArgs, DeployArgs, PublishArgs, SnapshotBase, VerifyWhen};
use crate::context::event;
use crate::deployment::args::Strategy;
use crate::deployment::images::{ImageArgs, NamedImage};
use crate::env_vars;
use crate::error::{Explain, Fault};
use crate::host::Host;
use crate::image::Repository;
use crate::net::Secret;
use crate::target::PythonVersion;
use std::path::{Path, PathBuf};
use std::str::FromStr;
pub use verbs::VerbInputs;

/// What a step of a workflow asks for.
#[derive(Debug)]
pub struct ActionInputs {
    /// `command`.
    pub command: ActionCommand,
    /// What a deploy takes, less the tags of the deps cache, which the event decides.
    pub deploy: DeployArgs,
    /// `deploy`: whether to deploy at all, rather than only to build.
    pub wants_deploy: bool,
    /// `cache`: whether to use Dagster+'s deps cache.
    pub cache: bool,
    /// `require_deploy`: whether a run that has no leave to deploy fails.
    pub require_deploy: bool,
    /// `comment`, `comment_key`, `github_deployment`, `commit_status`.
    pub reporting: Reporting,
    /// `github_token`.
    pub github_token: Option<Secret>,
    /// `registry_username`.
    pub registry_username: Option<String>,
    /// `registry_password`.
    pub registry_password: Option<Secret>,
    /// `shards`: how many jobs `plan` may make.
    pub shards: usize,
    /// Inputs of the commands that neither build nor deploy.
    pub verbs: VerbInputs,
}

/// `command`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActionCommand {
    /// Build, and deploy if the run may.
    Deploy,
    /// Build and load here; never deploy.
    Build,
    /// Read the project and stop.
    Check,
    /// Say which code locations are to be deployed, as a matrix.
    Plan,
    /// Launch a run of a job.
    Launch,
    /// Show the code locations of a deployment.
    Status,
    /// Name the branch deployment; create or close it.
    BranchDeployment,
    /// Load code locations again as they are deployed.
    Redeploy,
}

/// Where to report besides log, summary and outputs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reporting {
    /// A comment on the pull request.
    pub comment: bool,
    /// What distinguishes the comments of different jobs; by default organization and workflow.
    pub comment_key: Option<String>,
    /// A deployment of GitHub's.
    pub github_deployment: bool,
    /// A status of the commit.
    pub commit_status: bool,
}

/// An input that cannot be understood.
#[derive(Debug, thiserror::Error)]
#[error("the input `{name}` is {}: {problem}", given(value.as_deref()))]
pub struct InputError {
    name: &'static str,
    /// `None` if it is missing.
    value: Option<String>,
    problem: String,
}

fn given(value: Option<&str>) -> String {
    value.map_or("missing".into(), |value| format!("`{value}`"))
}

impl Explain for InputError {
    fn fault(&self) -> Fault {
        Fault::Usage
    }

    fn hint(&self) -> Option<String> {
        Some("set inputs under `with:` of the step; docs/action.md lists them".into())
    }
}

impl ActionInputs {
    /// Read them all.
    ///
    /// # Errors
    /// The first that cannot be understood.
    pub fn read(host: &Host) -> Result<ActionInputs, InputError> {
        let inputs = Inputs { host };
        let base = inputs.path("working_directory")?.unwrap_or_default();
        let file = inputs.path("dagster_cloud_file")?.unwrap_or(".".into());
        let command = inputs.word(
            "command",
            &[
                ("deploy", ActionCommand::Deploy),
                ("build", ActionCommand::Build),
                ("check", ActionCommand::Check),
                ("plan", ActionCommand::Plan),
                ("launch", ActionCommand::Launch),
                ("status", ActionCommand::Status),
                ("branch-deployment", ActionCommand::BranchDeployment),
                ("redeploy", ActionCommand::Redeploy),
            ],
        )?;
        let force_rebuild_deps = inputs.flag("force_rebuild_deps", false)?;
        let deploy = DeployArgs {
            file: Some(base.join(file)),
            out_dir: Some(match inputs.path("build_output_dir")? {
                Some(directory) => base.join(directory),
                None => default_out_dir(host),
            }),
            locations: inputs.locations()?,
            verify: match inputs.automatic("verify")? {
                None => VerifyWhen::Auto,
                Some(true) => VerifyWhen::Always,
                Some(false) => VerifyWhen::Never,
            },
            build: inputs.build()?,
            publish: inputs.publish(force_rebuild_deps, &base)?,
            dagster: inputs.dagster()?,
            image_options: inputs.image_options(&base)?,
            registry: inputs.registry(),
        };
        Ok(ActionInputs {
            command: command.unwrap_or(ActionCommand::Deploy),
            deploy,
            wants_deploy: inputs.flag("deploy", true)?,
            cache: inputs.flag("cache", true)?,
            require_deploy: inputs.flag("require_deploy", false)?,
            reporting: Reporting {
                comment: inputs.flag("comment", true)?,
                comment_key: inputs.text("comment_key").map(String::from),
                github_deployment: inputs.flag("github_deployment", false)?,
                commit_status: inputs.flag("commit_status", false)?,
            },
            github_token: inputs.secret("github_token", env_vars::GITHUB_TOKEN),
            registry_username: inputs.text("registry_username").map(String::from),
            registry_password: inputs.secret("registry_password", env_vars::PEXPRESS_REGISTRY_PASSWORD),
            shards: inputs.read_by("shards", super::planning::shards)?.unwrap_or(1),
            verbs: VerbInputs::read(&inputs)?,
        })
    }
}

/// Below the runner's own temporary directory, so that nothing is left in the work tree.
fn default_out_dir(host: &Host) -> PathBuf {
    host.path_var(env_vars::RUNNER_TEMP).unwrap_or_else(|| host.temp_dir()).join("pexpress")
}

struct Inputs<'a> {
    host: &'a Host,
}

impl Inputs<'_> {
    /// Source: "Metadata syntax for GitHub Actions", `inputs`: upper case, blanks as underscores.
    fn text(&self, name: &str) -> Option<&str> {
        let value = self.host.var(&format!("INPUT_{}", name.to_ascii_uppercase()))?;
        Some(value.trim())
    }

    /// A path, with `$NAME`, `${NAME}` and a leading `~` filled in from the environment: the predecessor's inputs went
    /// through a shell, and workflows say `$GITHUB_WORKSPACE/…`.
    fn path(&self, name: &'static str) -> Result<Option<PathBuf>, InputError> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let path = variables::fill_in(text, self.host).map_err(|problem| self.bad(name, problem))?;
        Ok(Some(PathBuf::from(path)))
    }

    fn secret(&self, name: &str, variable: &str) -> Option<Secret> {
        self.text(name).or_else(|| self.host.var(variable)).map(Secret::new)
    }

    /// A boolean as YAML 1.2 and the runner's own toolkit write it.
    fn flag(&self, name: &'static str, default: bool) -> Result<bool, InputError> {
        let words = [("true", true), ("false", false)];
        Ok(self.word(name, &words)?.unwrap_or(default))
    }

    /// `auto`, `true` or `false`.
    fn automatic(&self, name: &'static str) -> Result<Option<bool>, InputError> {
        let words = [("auto", None), ("true", Some(true)), ("false", Some(false))];
        Ok(self.word(name, &words)?.flatten())
    }

    fn word<T: Copy>(&self, name: &'static str, words: &[(&str, T)]) -> Result<Option<T>, InputError> {
        let Some(value) = self.text(name) else { return Ok(None) };
        let found = words.iter().find(|(word, _)| value.eq_ignore_ascii_case(word));
        let all = || words.iter().map(|(word, _)| format!("`{word}`")).collect::<Vec<_>>().join(", ");
        match found {
            Some((_, meaning)) => Ok(Some(*meaning)),
            None => Err(self.bad(name, format!("it can be {}", all()))),
        }
    }

    fn parsed<T: FromStr<Err: std::fmt::Display>>(
        &self,
        name: &'static str,
    ) -> Result<Option<T>, InputError> {
        let parse = |text: &str| text.parse().map_err(|error: T::Err| self.bad(name, error.to_string()));
        self.text(name).map(parse).transpose()
    }

    /// As the flag of the command line reads it.
    fn read_by<T>(
        &self,
        name: &'static str,
        read: fn(&str) -> Result<T, String>,
    ) -> Result<Option<T>, InputError> {
        self.text(name).map(|text| read(text).map_err(|problem| self.bad(name, problem))).transpose()
    }

    fn python_version(&self) -> Result<Option<PythonVersion>, InputError> {
        const NAME: &str = "python_version";
        let parse = |text: &str| {
            super::python_version(text).map_err(|problem| match text {
                "3.1" => self.bad(NAME, "YAML reads 3.10 without quotes as 3.1: write '3.10'".into()),
                _ => self.bad(NAME, problem),
            })
        };
        self.text(NAME).map(parse).transpose()
    }

    /// Items on lines of their own or separated by commas, or a JSON list of strings.
    fn list(&self, name: &str) -> Vec<String> {
        let text = self.text(name).unwrap_or_default();
        if let Ok(items) = serde_json::from_str(text) {
            return items;
        }
        let items = text.split(['\n', ',']).map(str::trim);
        items.filter(|item| !item.is_empty()).map(String::from).collect()
    }

    /// The code locations that are named; none where the input is not given, which means all of them. A list that is
    /// given and empty, as `toJSON` makes of an empty one, must not mean all.
    fn locations(&self) -> Result<Vec<String>, InputError> {
        let names = self.list("locations");
        if names.is_empty() && self.text("locations").is_some_and(|text| !text.is_empty()) {
            let problem =
                "it names no code location; leave the input out to deploy all of them, or skip the step";
            return Err(self.bad("locations", problem.into()));
        }
        Ok(names)
    }

    /// Names of extras or dependency groups.
    fn names(&self, name: &'static str) -> Result<Vec<String>, InputError> {
        let is_all = |item: &String| name == "extras" && item == "*";
        let check = |item: String| match is_all(&item) {
            true => Ok(item),
            false => super::extra_name(&item).map_err(|problem| self.bad(name, problem)),
        };
        // `[dev, test]` is one text with brackets around it, and no JSON.
        match self.text(name).unwrap_or_default() {
            text if text.starts_with('[') && serde_json::from_str::<Vec<String>>(text).is_err() => {
                super::extra_name(text).map(|name| vec![name]).map_err(|problem| self.bad(name, problem))
            }
            _ => self.list(name).into_iter().map(check).collect(),
        }
    }

    fn bad(&self, name: &'static str, problem: String) -> InputError {
        InputError { name, value: Some(self.text(name).unwrap_or_default().to_string()), problem }
    }

    fn build(&self) -> Result<BuildArgs, InputError> {
        let locked = self.automatic("locked")?;
        let extras = self.names("extras")?;
        Ok(BuildArgs {
            reads_dockerfiles: false,
            python_version: self.python_version()?,
            platform: self.parsed("platform")?,
            dry_run: false,
            locked: locked == Some(true),
            no_locked: locked == Some(false),
            all_extras: extras.iter().any(|extra| extra == "*"),
            extras: extras.into_iter().filter(|extra| extra != "*").collect(),
            groups: self.names("groups")?,
        })
    }

    fn publish(&self, force_rebuild_deps: bool, base: &Path) -> Result<PublishArgs, InputError> {
        let branch_deployment = self.automatic("branch_deployment")?;
        let snapshot = self.word(
            "snapshot_base",
            &[("on-create", SnapshotBase::OnCreate), ("on-update", SnapshotBase::OnUpdate)],
        )?;
        Ok(PublishArgs {
            upload_pex: true,
            update_code_location: true,
            changed_only: self.flag("changed_only", false)?,
            prune: self.flag("prune", false)?,
            force_rebuild_deps,
            resolve_max_age: self
                .read_by("resolve_max_age", crate::deployment::args::duration)?
                .unwrap_or(crate::deployment::args::RESOLVE_MAX_AGE),
            branch: BranchArgs {
                deployment_for_branch: branch_deployment == Some(true),
                full_deployment: branch_deployment == Some(false),
                allow_untrusted_code: self.flag("allow_untrusted_code", false)?,
                base_deployment: self.text("base_deployment").map(String::from),
                snapshot_base: snapshot,
            },
            yes: true,
            image: self.text("image").map(String::from),
            base_image_tag: self.text("base_image_tag").map(String::from),
            images: self.images()?,
            strategy: self.strategy()?,
            image_registry: self.parsed::<Repository>("image_registry")?,
            defs_state_info: self.path("defs_state_info")?.map(|file| base.join(file)),
            refresh_defs_state: self.refresh_defs_state()?,
            ..PublishArgs::default()
        })
    }

    /// `refresh_defs_state`, which other inputs may contradict.
    fn refresh_defs_state(&self) -> Result<bool, InputError> {
        const NAME: &str = "refresh_defs_state";
        let refresh = self.flag(NAME, false)?;
        let is_given = |name: &&str| self.text(name).is_some();
        let other = ["defs_state_info", "images", "image_tag"].into_iter().find(is_given);
        match other.filter(|_| refresh) {
            Some(other) => Err(self.bad(NAME, format!("it cannot be used together with `{other}`"))),
            None => Ok(refresh),
        }
    }

    /// `images` and `image_tag`. With them, an input about PEX files is a mistake and not to be ignored.
    fn images(&self) -> Result<ImageArgs, InputError> {
        // Steps that build images are skipped for a closed pull request, so their tag may be half: `-etl`. A branch
        // deployment is closed without an image.
        if matches!(event::read(self.host), Ok(event::Trigger::PullRequestClosed(_))) {
            return Ok(ImageArgs::default());
        }
        let parse = |text| NamedImage::parse_all(text).map_err(|problem| self.bad("images", problem));
        let images = ImageArgs {
            image_of: self.text("images").map(parse).transpose()?.unwrap_or_default(),
            image_tag: self.read_by("image_tag", crate::deployment::images::tag)?,
        };
        let is_given = |name: &&str| self.text(name).is_some();
        match ["image", "base_image_tag"].into_iter().find(is_given).filter(|_| images.are_given()) {
            Some(name) => {
                let problem =
                    "it is an image to run PEX files on; with `images` or `image_tag`, leave it out".into();
                Err(self.bad(name, problem))
            }
            None => Ok(images),
        }
    }

    /// `strategy`, which the images that are named contradict.
    fn strategy(&self) -> Result<Strategy, InputError> {
        let words = [("auto", Strategy::Auto), ("pex", Strategy::Pex), ("image", Strategy::Image)];
        let strategy = self.word("strategy", &words)?.unwrap_or_default();
        let named = ["images", "image_tag"].into_iter().find(|name| self.text(name).is_some());
        match named.filter(|_| strategy != Strategy::Auto) {
            Some(named) => Err(self
                .bad("strategy", format!("`{named}` names images that exist already, so nothing is built"))),
            None => Ok(strategy),
        }
    }

    fn dagster(&self) -> Result<DagsterArgs, InputError> {
        Ok(DagsterArgs {
            url: self.text("dagster_cloud_url").map(String::from),
            organization: self.text("organization").map(String::from),
            deployment: self.text("deployment").map(String::from),
            api_token: self.text("dagster_cloud_api_token").map(Secret::new),
            api_token_file: None,
            agent_heartbeat_timeout: self
                .read_by("agent_heartbeat_timeout", crate::context::args::seconds)?,
            location_load_timeout: self.read_by("location_load_timeout", crate::context::args::seconds)?,
            by_inputs: true,
        })
    }
}

#[cfg(test)]
mod tests;
