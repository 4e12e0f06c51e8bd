//! Flags of the commands that speak with Dagster+.

use super::{BuildArgs, DeployArgs, ImageOptions, PublishArgs, VerifyWhen};
use crate::context::args::{DagsterArgs, seconds, secret};
use crate::deployment::args::BranchArgs;
use crate::publish::registry_login::RegistryArgs;
use crate::redact::Secret;
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// Arguments of `status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Show the branch deployment of the branch that is checked out.
    #[arg(long, conflicts_with = "deployment")]
    pub branch: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub dagster: DagsterArgs,
}

/// Arguments of `branch-deployment`.
#[derive(Debug, Args)]
pub struct BranchDeploymentArgs {
    /// Directory in the git work tree of the branch.
    #[arg(value_name = "DIRECTORY", default_value = ".")]
    pub directory: PathBuf,
    /// Create or update it.
    #[arg(long, conflicts_with = "close")]
    pub create: bool,
    /// Mark it as closed.
    #[arg(long)]
    pub close: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub branch: BranchArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub dagster: DagsterArgs,
}

/// Arguments of `prune`.
#[derive(Debug, Args)]
pub struct PruneDeploymentArgs {
    /// `dagster_cloud.yaml`, or a directory with one or with a dg project or workspace. Default: found from here upwards.
    #[arg(value_name = "DAGSTER_CLOUD_YAML")]
    pub file: Option<PathBuf>,
    /// Remove them. Default: only list them.
    #[arg(long)]
    pub apply: bool,
    /// Remove from a full deployment without asking.
    #[arg(long, short = 'y')]
    pub yes: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub dagster: DagsterArgs,
}

/// Arguments of `redeploy`.
#[derive(Debug, Args)]
pub struct RedeployArgs {
    /// The code locations.
    #[arg(value_name = "LOCATION", required = true)]
    pub locations: Vec<String>,
    /// Redeploy in a full deployment without asking.
    #[arg(long, short = 'y')]
    pub yes: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub dagster: DagsterArgs,
}

/// Arguments of `launch`.
#[derive(Debug, Clone, Args)]
pub struct LaunchArgs {
    /// The job.
    #[arg(value_name = "JOB")]
    pub job: String,
    /// The code location that has it.
    #[arg(short, long, value_name = "NAME")]
    pub location: String,
    /// The repository in the code location. Default: the only one that has the job.
    #[arg(long, value_name = "NAME")]
    pub repository: Option<String>,
    /// Run config, a JSON object. It is never printed.
    #[arg(long, alias = "config-json", value_name = "JSON", value_parser = secret)]
    pub config: Option<Secret>,
    /// Tags of the run, a JSON object of texts. They are never printed.
    #[arg(long, value_name = "JSON", value_parser = secret)]
    pub tags: Option<Secret>,
    /// Only materialize this asset of the job, such as `warehouse/orders` (repeatable).
    #[arg(long = "asset-key", value_name = "KEY")]
    pub asset_keys: Vec<String>,
    /// Wait until the run has ended; exit code 1 if it did not succeed.
    #[arg(short, long)]
    pub wait: bool,
    /// Seconds between two questions while waiting; the first ones come sooner.
    #[arg(long, value_name = "SECONDS", default_value_t = LaunchArgs::INTERVAL_SECONDS, value_parser = seconds)]
    pub interval: u64,
    /// Cancel the run if this command is interrupted while it waits. Default: the run goes on.
    #[arg(long, requires = "wait")]
    pub cancel: bool,
    /// Launch in a full deployment without asking.
    #[arg(long, short = 'y')]
    pub yes: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub dagster: DagsterArgs,
}

impl LaunchArgs {
    /// Time between two questions while waiting.
    pub const INTERVAL_SECONDS: u64 = 10;
}

/// Arguments of `defs-state`.
#[derive(Debug, Args)]
pub struct DefsStateArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: DefsStateCommand,
}

/// Subcommands of `defs-state`.
#[derive(Debug, Subcommand)]
pub enum DefsStateCommand {
    /// Refresh it, as `dg plus deploy refresh-defs-state` does, and print the JSON for `deploy --defs-state-info`.
    ///
    /// States that are kept in files are written into the projects, so this comes before a build. Others are sent to
    /// Dagster+. Runs the projects' code here, with the environment variables that Dagster+ has for them. In a pull
    /// request's workflow the branch deployment is created first.
    Refresh(RefreshArgs),
}

/// Arguments of `defs-state refresh`.
#[derive(Debug, Args)]
pub struct RefreshArgs {
    /// The dg project or workspace. Default: the nearest one from the working directory upwards.
    #[arg(value_name = "PROJECT")]
    pub file: Option<PathBuf>,
    /// Only use this code location (repeatable, or separated by commas).
    #[arg(long = "location", value_name = "NAME", value_delimiter = ',')]
    pub locations: Vec<String>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub build: BuildArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub branch: BranchArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub dagster: DagsterArgs,
}

impl RefreshArgs {
    /// The settings of the deploy that it is for. dg asks no question before a refresh: deployed code does not use a new
    /// state before it is deployed again.
    pub fn deploy(&self, file: PathBuf) -> DeployArgs {
        DeployArgs {
            file: Some(file),
            out_dir: None,
            locations: self.locations.clone(),
            verify: VerifyWhen::Never,
            build: BuildArgs { dry_run: false, ..self.build.clone() },
            publish: PublishArgs {
                update_code_location: true,
                yes: true,
                branch: self.branch.clone(),
                ..PublishArgs::default()
            },
            dagster: self.dagster.clone(),
            image_options: ImageOptions::default(),
            registry: RegistryArgs::default(),
        }
    }
}
