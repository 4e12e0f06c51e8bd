//! Arguments of `init`.

use crate::init::{ACTION, WORKFLOW};
use clap::Args;
use std::path::PathBuf;

/// Arguments of `init`.
#[derive(Debug, Clone, Args)]
pub struct InitArgs {
    /// Directory of the project, in a git repository.
    #[arg(value_name = "DIRECTORY", default_value = ".")]
    pub directory: PathBuf,
    /// Print the diff and write nothing. The exit code is 1 if something would be written.
    #[arg(long, conflicts_with = "overwrite")]
    pub check: bool,
    /// Move the old workflows to names that GitHub does not run (`deploy.yml.before-pexpress`).
    #[arg(long)]
    pub replace: bool,
    /// Overwrite files that exist and differ.
    #[arg(long)]
    pub overwrite: bool,
    /// Name of the organization: `acme` for `https://acme.dagster.cloud`. Default: from old workflows, or
    /// DAGSTER_CLOUD_ORGANIZATION.
    #[arg(long, value_name = "NAME")]
    pub organization: Option<String>,
    /// Address of the organization, for another region than the US: `https://acme.eu.dagster.cloud`. Default: from old
    /// workflows, or DAGSTER_CLOUD_URL.
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// Name of the full deployment. Default: from old workflows, or `prod`.
    #[arg(long, value_name = "NAME")]
    pub deployment: Option<String>,
    /// Do not read Dockerfiles: images are built without what they ask for, and the workflow has `ignore_dockerfile`. Default:
    /// as a workflow with pexpress says.
    #[arg(long)]
    pub ignore_dockerfile: bool,
    /// Name of the workflow file in `.github/workflows`.
    #[arg(long, value_name = "FILE", default_value = WORKFLOW, value_parser = workflow_name)]
    pub workflow: String,
    /// The action for `uses:`, with its tag or commit.
    #[arg(long, value_name = "OWNER/NAME@REF", default_value = ACTION, value_parser = action)]
    pub action: String,
}

/// A file name that GitHub takes for a workflow.
fn workflow_name(text: &str) -> Result<String, String> {
    let is_workflow = text.ends_with(".yml") || text.ends_with(".yaml");
    match is_workflow && !text.contains(['/', '\\']) && !text.starts_with('.') {
        true => Ok(text.to_string()),
        false => Err("it must be a file name that ends in .yml or .yaml".into()),
    }
}

/// `OWNER/NAME@REF`.
fn action(text: &str) -> Result<String, String> {
    let (name, reference) = text.split_once('@').unwrap_or((text, ""));
    let is_part = |part: &str| {
        !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c))
    };
    match name.contains('/') && is_part(name) && is_part(reference) {
        true => Ok(text.to_string()),
        false => Err("write OWNER/NAME@REF, such as acme/pexpress@v1".into()),
    }
}
