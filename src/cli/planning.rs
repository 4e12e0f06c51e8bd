//! Arguments of `plan`.

use super::{BuildArgs, DagsterArgs, DeployArgs, ImageOptions, PublishArgs};
use crate::plan::shards::MOST_SHARDS;
use crate::publish::registry_login::RegistryArgs;
use clap::Args;
use std::path::PathBuf;

/// Arguments of `plan`. It accepts the flags of `deploy`, so that both can be called in the same way. Flags for finished
/// files have no effect.
#[derive(Debug, Clone, Default, Args)]
pub struct PlanArgs {
    /// `dagster_cloud.yaml`, or a directory with one or with a dg project or workspace. Default: the nearest one from
    /// the working directory upwards.
    #[arg(value_name = "DAGSTER_CLOUD_YAML")]
    pub file: Option<PathBuf>,
    /// Maximum number of jobs to spread the code locations over. Fewer are used if there is not enough to do.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = shards)]
    pub shards: usize,
    /// Include all code locations, changed or not.
    #[arg(long)]
    pub all: bool,
    /// Only use these code locations (repeatable, or separated by commas).
    #[arg(long = "location", value_name = "NAME", value_delimiter = ',')]
    pub locations: Vec<String>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub build: BuildArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub publish: PublishArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub dagster: DagsterArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub image_options: ImageOptions,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub registry: RegistryArgs,
}

impl PlanArgs {
    /// The settings of the planned deploy, without confirmation.
    pub fn deploy(&self) -> DeployArgs {
        let publish = PublishArgs { update_code_location: true, yes: true, ..self.publish.clone() };
        DeployArgs {
            file: self.file.clone(),
            out_dir: None,
            locations: self.locations.clone(),
            verify: super::VerifyWhen::Never,
            build: BuildArgs { dry_run: false, ..self.build.clone() },
            publish,
            dagster: self.dagster.clone(),
            image_options: self.image_options.clone(),
            registry: self.registry.clone(),
        }
    }
}

impl From<DeployArgs> for PlanArgs {
    /// The plan for a deploy, of one job.
    fn from(deploy: DeployArgs) -> PlanArgs {
        let DeployArgs {
            file,
            out_dir: _,
            locations,
            verify: _,
            build,
            publish,
            dagster,
            image_options,
            registry,
        } = deploy;
        PlanArgs { file, shards: 1, all: false, locations, build, publish, dagster, image_options, registry }
    }
}

pub(super) fn shards(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number @ 1..=MOST_SHARDS) => Ok(number),
        _ => Err(format!("a matrix has 1 to {MOST_SHARDS} jobs")),
    }
}
