//! Flags of the commands that speak with Dagster+.

use crate::context::args::DagsterArgs;
use crate::deployment::args::BranchArgs;
use clap::Args;
use std::path::PathBuf;

/// Arguments of `status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
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
