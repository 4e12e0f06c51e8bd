//! Flags of the commands that speak with Dagster+.

use crate::context::args::DagsterArgs;
use crate::deployment::args::{BranchArgs, CodeLocationDetails};
use clap::Args;
use std::path::PathBuf;

/// What happens to built PEX files at Dagster+.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Deploying")]
pub struct PublishArgs {
    /// Upload the PEX files to the registry of the organization.
    #[arg(long)]
    pub upload_pex: bool,
    /// Update the code locations to the PEX files, and wait until they have loaded.
    #[arg(long)]
    pub update_code_location: bool,
    /// Skip code locations that already run exactly these PEX files, loaded without an error.
    #[arg(long)]
    pub changed_only: bool,
    /// Take deps PEX files from cache entries with this tag, such as the repository, `owner/name` (repeatable: the first
    /// entry found counts).
    #[arg(long, alias = "deps-cache-tag-read", value_name = "TAG")]
    pub deps_cache_from: Vec<String>,
    /// Record deps PEX files in cache entries with this tag.
    #[arg(long, alias = "deps-cache-tag-write", value_name = "TAG")]
    pub deps_cache_to: Option<String>,
    /// Build the deps PEX files even where there is a cache entry.
    #[arg(long)]
    pub force_rebuild_deps: bool,
    /// Deploy to just this deployment, as just this commit: `deployment=NAME,commit_hash=HASH`. By default both come
    /// from the event that started the run, or from the work tree.
    #[arg(long, value_name = "DETAILS", value_parser = CodeLocationDetails::parse)]
    pub code_location_details: Option<CodeLocationDetails>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub branch: BranchArgs,
    /// Deploy to a full deployment without asking.
    #[arg(long, short = 'y')]
    pub yes: bool,
    /// File with the `defs_state_info` value (JSON) for the location documents.
    #[arg(long, value_name = "FILE")]
    pub defs_state_info: Option<PathBuf>,
    /// Image to run the PEX files on, instead of Dagster+'s own for the Python version.
    #[arg(long, value_name = "IMAGE")]
    pub image: Option<String>,
    /// Tag of the base image in the organization's registry to run the PEX files on.
    #[arg(long, value_name = "TAG", conflicts_with = "image")]
    pub base_image_tag: Option<String>,
}

impl PublishArgs {
    /// Whether Dagster+ has no part in the run.
    pub fn is_build_only(&self) -> bool {
        !(self.upload_pex || self.update_code_location)
    }
}

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
    /// Directory of the work tree that names the branch.
    #[arg(value_name = "DIRECTORY", default_value = ".")]
    pub directory: PathBuf,
    /// Create it, or bring it up to date.
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
