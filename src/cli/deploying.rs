//! Flags of the commands that speak with Dagster+.

use crate::context::args::{DagsterArgs, seconds, secret};
use crate::deployment::args::BranchArgs;
use crate::redact::Secret;
use clap::Args;
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

/// Arguments of `redeploy`.
#[derive(Debug, Args)]
pub struct RedeployArgs {
    /// The code locations.
    #[arg(value_name = "LOCATION", required = true)]
    pub locations: Vec<String>,
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
    #[command(flatten)]
    #[allow(missing_docs)]
    pub dagster: DagsterArgs,
}

impl LaunchArgs {
    /// Time between two questions while waiting.
    pub const INTERVAL_SECONDS: u64 = 10;
}
