//! Flags that say where Dagster+ is and how long to wait for it.

use crate::redact::Secret;
use clap::Args;
use std::path::PathBuf;

/// Where Dagster+ is and how long to wait for it.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Dagster+")]
pub struct DagsterArgs {
    /// Address of the organization, with or without a deployment at the end. Default: DAGSTER_CLOUD_URL.
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// Name of the organization, if no URL is set. Default: DAGSTER_CLOUD_ORGANIZATION.
    #[arg(long, value_name = "NAME")]
    pub organization: Option<String>,
    /// Name of the full deployment. Default: the one in the URL, DAGSTER_CLOUD_DEPLOYMENT, `prod`, or the only one.
    #[arg(long, value_name = "NAME")]
    pub deployment: Option<String>,
    /// API token. Prefer DAGSTER_CLOUD_API_TOKEN: arguments are visible in process lists.
    #[arg(long, value_name = "TOKEN", value_parser = secret, conflicts_with = "api_token_file")]
    pub api_token: Option<Secret>,
    /// File with the API token.
    #[arg(long, value_name = "FILE")]
    pub api_token_file: Option<PathBuf>,
    /// Seconds to wait for a running agent; 0 means no limit. Default: 900 for Serverless agents, which may be asleep.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub agent_heartbeat_timeout: Option<u64>,
    /// Seconds to wait for the code locations to load; 0 means no limit, and both 0 means no waiting. Default: 600.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub location_load_timeout: Option<u64>,
    /// Whether these are the inputs of the action rather than flags.
    #[arg(skip)]
    pub by_inputs: bool,
}

/// A whole number of seconds.
pub fn seconds(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| "it must be seconds as a whole number, such as 600".into())
}

impl DagsterArgs {
    /// The name of a setting for the user: `--url`, or the input `dagster_cloud_url`.
    pub fn setting(&self, flag: &str, input: &str) -> String {
        if self.by_inputs { format!("the input `{input}`") } else { flag.to_string() }
    }
}

/// A text that is not shown in errors. Parser for clap, which requires a `Result`.
///
/// # Errors
/// Never.
#[allow(clippy::unnecessary_wraps)]
pub fn secret(text: &str) -> Result<Secret, String> {
    Ok(Secret::new(text))
}
