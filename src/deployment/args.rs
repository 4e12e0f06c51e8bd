//! Flags that say which deployment a run goes to, and what it does there.

use super::images::ImageArgs;
use crate::image::Repository;
use clap::{Args, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;

/// How the code of a code location gets to its agent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Strategy {
    /// An image where `build.registry` names a registry for it or PEX files cannot run, otherwise PEX files.
    #[default]
    Auto,
    /// PEX files.
    Pex,
    /// An image.
    Image,
}

/// What happens to built PEX files and images at Dagster+.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Deploying")]
pub struct PublishArgs {
    /// Upload the PEX files to the registry of the organization, and push the images.
    #[arg(long = "upload", visible_alias = "upload-pex")]
    pub upload_pex: bool,
    /// Update the code locations to the PEX files or images, and wait until they have loaded.
    #[arg(long = "update", visible_alias = "update-code-location")]
    pub update_code_location: bool,
    /// Skip code locations that already run exactly these PEX files or this image, loaded without an error.
    #[arg(long)]
    pub changed_only: bool,
    /// After a deploy that succeeds, remove code locations of this repository that the project file does not name any more,
    /// and no other project file of it either.
    #[arg(long)]
    pub prune: bool,
    /// Use deps PEX files from cache entries with this tag, such as `owner/name` of the repository (repeatable; the first
    /// entry found is used).
    #[arg(long, alias = "deps-cache-tag-read", value_name = "TAG")]
    pub deps_cache_from: Vec<String>,
    /// Record deps PEX files in cache entries with this tag.
    #[arg(long, alias = "deps-cache-tag-write", value_name = "TAG")]
    pub deps_cache_to: Option<String>,
    /// How long requirements stay resolved: within that time, unchanged requirements get the versions that the deps cache
    /// has on record, and no index is asked. Seconds, or `30m`, `12h`, `7d`; `0` resolves in each run. A lock file needs
    /// no limit, and scheduled runs resolve anyway.
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "1d")]
    pub resolve_max_age: Duration,
    /// Build the deps PEX files even if there is a cache entry.
    #[arg(long)]
    pub force_rebuild_deps: bool,
    /// Deploy to exactly this deployment, as this commit: `deployment=NAME,commit_hash=HASH`. Default: from the event
    /// that started the run, or from the work tree.
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
    /// Refresh the state of dg projects' state-backed components before the build, as `dg plus deploy refresh-defs-state`
    /// does, and deploy with it. Runs the projects' code here, with the environment variables that Dagster+ has for them.
    #[arg(long, conflicts_with_all = ["defs_state_info", "image_of", "image_tag", "dry_run"])]
    pub refresh_defs_state: bool,
    /// Image to run the PEX files on, instead of Dagster+'s image for the Python version.
    #[arg(long, value_name = "IMAGE")]
    pub image: Option<String>,
    /// Tag of the base image in the organization's registry to run the PEX files on.
    #[arg(long, value_name = "TAG", conflicts_with = "image")]
    pub base_image_tag: Option<String>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub images: ImageArgs,
    /// PEX files or images.
    #[arg(long, value_enum, default_value_t, value_name = "STRATEGY", conflicts_with_all = ["image_of", "image_tag"])]
    pub strategy: Strategy,
    /// Push images to this repository, instead of `build.registry` of each code location or the organization's registry.
    #[arg(long, value_name = "HOST/REPOSITORY", conflicts_with_all = ["image_of", "image_tag"])]
    pub image_registry: Option<Repository>,
}

/// How long requirements stay resolved, unless something else is asked for.
pub const RESOLVE_MAX_AGE: Duration = Duration::from_secs(86_400);

/// Seconds, or a whole number of minutes, hours or days: `90`, `30m`, `12h`, `7d`.
///
/// # Errors
/// What is wrong with it.
pub fn duration(text: &str) -> Result<Duration, String> {
    let (digits, unit) = match text.strip_suffix(['s', 'm', 'h', 'd']) {
        Some(digits) => (digits, &text[digits.len()..]),
        None => (text, "s"),
    };
    let seconds = match unit {
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => 1_u64,
    };
    let number = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(seconds));
    number.map(Duration::from_secs).ok_or_else(|| "it must be a time such as `12h`, `7d` or `0`".to_string())
}

impl PublishArgs {
    /// Whether Dagster+ has no part in the run.
    pub fn is_build_only(&self) -> bool {
        !(self.upload_pex || self.updates())
    }

    /// Whether code locations are updated. Images are deployed without being asked twice: there is nothing else to do
    /// with them.
    pub fn updates(&self) -> bool {
        self.update_code_location || self.images.are_given()
    }
}

/// Which branch deployment, and from what it starts.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Deploying")]
pub struct BranchArgs {
    /// Deploy to the branch deployment of the branch that is checked out.
    #[arg(long, conflicts_with = "full_deployment")]
    pub deployment_for_branch: bool,
    /// Deploy to the full deployment, even from a manually started run on another branch than the default one.
    #[arg(long)]
    pub full_deployment: bool,
    /// Build and deploy the code of pull requests in runs that have this repository's secrets (`pull_request_target`,
    /// `workflow_run`, `issue_comment`). Anyone who opens a pull request can then run code with those secrets.
    #[arg(long)]
    pub allow_untrusted_code: bool,
    /// Full deployment that a branch deployment is based on. Default: --deployment, otherwise Dagster+'s default.
    #[arg(long, value_name = "NAME")]
    pub base_deployment: Option<String>,
    /// When a branch deployment copies the state of its base deployment.
    #[arg(long, value_name = "WHEN")]
    pub snapshot_base: Option<SnapshotBase>,
}

/// When a branch deployment copies the state of its base deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SnapshotBase {
    /// When it is created.
    OnCreate,
    /// Each time it is updated.
    OnUpdate,
}

/// `deployment=NAME,commit_hash=HASH`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodeLocationDetails {
    /// The deployment, full or branch.
    pub deployment: String,
    /// The commit to report.
    pub commit_hash: String,
}

impl CodeLocationDetails {
    /// Read both keys, in any order.
    ///
    /// # Errors
    /// A sentence on what is wrong with it.
    pub fn parse(text: &str) -> Result<CodeLocationDetails, String> {
        let (mut deployment, mut commit_hash) = (None, None);
        for item in text.split(',') {
            let (key, value) = item.split_once('=').ok_or_else(|| format!("`{item}` is not KEY=VALUE"))?;
            let place = match key.trim() {
                "deployment" => &mut deployment,
                "commit_hash" => &mut commit_hash,
                other => {
                    return Err(format!(
                        "unknown key `{other}`; the keys are `deployment` and `commit_hash`"
                    ));
                }
            };
            if value.trim().is_empty() || place.replace(value.trim().to_string()).is_some() {
                return Err(format!("`{}` needs one value", key.trim()));
            }
        }
        if let Some(hash) = &commit_hash
            && (!(4..=64).contains(&hash.len()) || !hash.bytes().all(|byte| byte.is_ascii_hexdigit()))
        {
            return Err(format!("`{hash}` is not the hash of a commit"));
        }
        let missing = |key: &str| format!("`{key}` is missing; write deployment=NAME,commit_hash=HASH");
        Ok(CodeLocationDetails {
            deployment: deployment.ok_or_else(|| missing("deployment"))?,
            commit_hash: commit_hash.ok_or_else(|| missing("commit_hash"))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        let seconds = |text: &str| duration(text).map(|time| time.as_secs());
        for (text, want) in
            [("0", 0), ("90", 90), ("90s", 90), ("30m", 1_800), ("12h", 43_200), ("1d", 86_400)]
        {
            assert_eq!(seconds(text), Ok(want), "{text}");
        }
        for text in ["", "d", "-1", "1.5h", "1w", "one day", "99999999999999999d"] {
            assert_eq!(seconds(text).unwrap_err(), "it must be a time such as `12h`, `7d` or `0`", "{text}");
        }
        assert_eq!(duration("1d"), Ok(RESOLVE_MAX_AGE));
    }

    #[test]
    fn code_location_details_are_exactly_two_keys() {
        let parse = CodeLocationDetails::parse;
        let good = CodeLocationDetails { deployment: "prod".into(), commit_hash: "ab12".into() };
        assert_eq!(parse("deployment=prod,commit_hash=ab12"), Ok(good.clone()));
        assert_eq!(parse(" commit_hash = ab12 , deployment=prod"), Ok(good));
        for (text, says) in [
            ("deployment=prod", "`commit_hash` is missing"),
            ("commit_hash=ab12", "`deployment` is missing"),
            ("deployment=prod,commit_hash=a,branch=b", "unknown key `branch`"),
            ("deployment=,commit_hash=a", "`deployment` needs one value"),
            ("deployment=a,deployment=b,commit_hash=c", "`deployment` needs one value"),
            ("prod", "`prod` is not KEY=VALUE"),
        ] {
            assert!(
                parse(text).as_ref().is_err_and(|error| error.contains(says)),
                "{text}: {:?}",
                parse(text)
            );
        }
    }
}
