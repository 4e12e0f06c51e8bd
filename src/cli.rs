//! clap's types: argv in, [`Invocation`] out. `-m MODULE ARGS` is handled before clap.

pub mod action;
mod caching;
mod deploying;
mod imaging;
mod init;
mod planning;
mod reference;
mod refused;

pub use crate::context::args::DagsterArgs;
pub use crate::deployment::args::{BranchArgs, CodeLocationDetails, PublishArgs, SnapshotBase};
pub use crate::verify::VerifyWhen;
pub use caching::{CacheCommand, PruneArgs};
pub use deploying::{
    BranchDeploymentArgs, DefsStateArgs, DefsStateCommand, LaunchArgs, PruneDeploymentArgs, RedeployArgs,
    StatusArgs,
};
pub use imaging::{BuildImageArgs, ImageOptions, ImagePlatform};
pub use init::InitArgs;
pub use planning::PlanArgs;
pub use reference::{command, completions, manual};
pub use refused::wants_json;

use crate::deployment::goal;
use crate::host::{Color, LogSettings, Verbosity};
use crate::publish::registry_login::RegistryArgs;
use crate::target::{Platform, PythonVersion};
use clap::{Args, FromArgMatches, Parser, Subcommand, ValueEnum};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// One run of the program, according to the command line.
#[derive(Debug)]
pub struct Invocation {
    /// Flags that every command takes.
    pub global: Global,
    /// What to do.
    pub command: Command,
}

/// The output of `--version` (`-V` prints the first line). The source hash, from `scripts/source-hash`, identifies the
/// source of a binary.
const LONG_VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    "\nsource ",
    env!("PEXPRESS_SOURCE_HASH"),
    "\ntarget ",
    env!("PEXPRESS_TARGET"),
);

/// Build the PEX files or the image of each Dagster+ code location, natively and fast, and deploy them.
#[derive(Debug, Parser)]
#[command(
    name = "pexpress",
    version,
    long_version = LONG_VERSION,
    max_term_width = 110,
    propagate_version = true,
    infer_subcommands = false,
    after_help = "Also: `pexpress -m MODULE ARGS…` runs a Python module (`dagster`, `dagster_cloud_cli.entrypoint`) in a managed environment; the predecessor's `-m builder.deploy|source|deps|selftest` are the commands above."
)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Flags that every command takes.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Everywhere")]
pub struct Global {
    /// Format of stdout: lines for people, or one JSON document.
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORMAT")]
    pub format: Format,
    /// Log every decision to stderr.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Only write warnings and errors to stderr.
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// When to use colours on stderr.
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN")]
    pub color: Color,
}

impl Global {
    /// The flags about the log.
    pub fn log(&self) -> LogSettings {
        let verbosity = match (self.quiet, self.verbose) {
            (true, _) => Verbosity::Quiet,
            (false, 0) => Verbosity::Normal,
            (false, _) => Verbosity::Verbose,
        };
        LogSettings { verbosity, color: self.color }
    }
}

/// What goes to stdout.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON document.
    Json,
}

/// Parse a Python version. `3.12.4` is accepted, as in `.python-version`; the patch release is ignored.
///
/// # Errors
/// A sentence about valid versions.
pub fn python_version(text: &str) -> Result<PythonVersion, String> {
    let minor: Vec<&str> = text.trim().splitn(3, '.').collect();
    match minor.as_slice() {
        [major, minor, patch] if !patch.is_empty() && patch.bytes().all(|byte| byte.is_ascii_digit()) => {
            format!("{major}.{minor}").parse()
        }
        _ => text.parse(),
    }
}

/// The name of an extra or a dependency group. Source: PyPA specification "Names and normalization".
///
/// # Errors
/// A sentence about valid names.
pub fn extra_name(text: &str) -> Result<String, String> {
    let bare = text.strip_suffix(']').and_then(|text| text.split_once('[')).map(|(_, names)| names.trim());
    if let Some(bare) = bare.filter(|bare| !bare.is_empty()) {
        return Err(format!("write `{bare}`, without brackets"));
    }
    let is_end = |each: Option<char>| each.is_some_and(|each| each.is_ascii_alphanumeric());
    let is_name = is_end(text.chars().next())
        && is_end(text.chars().next_back())
        && text.chars().all(|each| each.is_ascii_alphanumeric() || "-_.".contains(each));
    match is_name {
        true => Ok(text.to_string()),
        false => Err(format!("`{text}` is not a name: it may have letters, digits, `-`, `_` and `.`")),
    }
}

/// What to do. There is one value of it in a run, so its size does not matter.
#[allow(clippy::large_enum_variant)]
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Build the PEX files or the image of every code location of a `dagster_cloud.yaml`, dg project or workspace.
    Deploy(DeployArgs),
    /// Build the source PEX of one project directory.
    Source(ProjectArgs),
    /// Build the deps PEX of one project directory.
    Deps(ProjectArgs),
    /// Build an OCI image layout of every code location, without Docker, and on demand push the images.
    ///
    /// An image runs on every agent of Dagster+ that runs images: Kubernetes, ECS, Docker and Serverless. Dependencies
    /// are layers of their own, so that a push sends what changed.
    Image(BuildImageArgs),
    /// Check a `dagster_cloud.yaml` (or dg project) and print its code locations with the defaults merged in.
    ///
    /// Runs no code and contacts no server. Problems that make every build fail are errors: an invalid requirement, a
    /// range of Python versions that allows none, requirements without dagster-cloud, Dagster's packages pinned to
    /// different releases. Problems that an earlier step may fix are warnings: a missing module, file, directory or
    /// attribute, Python versions that contradict each other, an outdated lock file.
    Check(CheckArgs),
    /// Write the workflow that deploys this repository, from what is in it and from the workflows of Dagster+'s tools.
    ///
    /// The workflow deploys pushes to the full deployment and pull requests to branch deployments. A repository without a
    /// `dagster_cloud.yaml` or dg project gets a `dagster_cloud.yaml`. From workflows with Dagster+'s actions or command
    /// lines it takes organization, secrets, deployments, branches, paths and the steps before and after, and prints what
    /// became of each line. Existing files are never overwritten unless --overwrite is given.
    Init(InitArgs),
    /// Print the code locations that have changed since they were deployed, as a matrix of jobs for a workflow.
    Plan(PlanArgs),
    /// Load the code locations of built PEX files or images as the Dagster+ agent does, and print what they define.
    Verify(VerifyArgs),
    /// Show the code locations of a deployment: their state and the PEX files or images they run.
    Status(StatusArgs),
    /// Print the name of the branch deployment of this pull request or branch. --create creates it, --close closes it.
    BranchDeployment(BranchDeploymentArgs),
    /// Refresh the state of definitions that dg projects' state-backed components use.
    DefsState(DefsStateArgs),
    /// Launch a run of a job, and print its id. --wait waits for its end.
    ///
    /// In a pull request's workflow the run is launched in its branch deployment, unless --deployment names another one.
    Launch(LaunchArgs),
    /// List code locations that left the project file, and branch deployments whose pull requests are closed. --apply
    /// removes them.
    ///
    /// Only code locations that were deployed from the same repository are listed. Closed pull requests are known where
    /// GITHUB_API_URL and GITHUB_TOKEN are set, as in a workflow.
    Prune(PruneDeploymentArgs),
    /// Load code locations again as they are deployed, and wait for them. Nothing is built.
    Redeploy(RedeployArgs),
    /// Run as the step of `action.yml`: read inputs from `INPUT_*` variables, report to the runner and to GitHub.
    #[command(hide = true)]
    Action,
    /// Show what a build would use (uv, Pythons, cache, certificates, proxy, index) and whether it can work.
    Selftest,
    /// Show where the cache is and how large it is, and remove what is not used.
    Cache {
        #[allow(missing_docs)]
        #[command(subcommand)]
        command: CacheCommand,
    },
    /// Print a completion script for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print the manual page of the program or of a command, for `man -l -`.
    Man {
        /// The command.
        #[arg(value_parser = reference::with_manual)]
        command: Option<String>,
    },
    /// `-m MODULE ARGS`: run a Python module in a managed environment.
    #[command(skip)]
    Module(ModuleArgs),
}

/// Build settings, the same for `deploy`, `source` and `deps`.
#[derive(Debug, Clone, Default, Args)]
pub struct BuildArgs {
    /// Python version of the code location: 3.8 to 3.14. Default: from the project's `.python-version` or
    /// `requires-python`, otherwise 3.11.
    #[arg(long, value_name = "X.Y", value_parser = python_version)]
    pub python_version: Option<PythonVersion>,
    /// Platform of the code location, such as `manylinux_2_28_x86_64`. Default: the platform of Dagster+ for that Python.
    #[arg(long, value_name = "PLATFORM")]
    pub platform: Option<Platform>,
    /// Collect and resolve requirements without building.
    #[arg(long)]
    pub dry_run: bool,
    /// Require an up-to-date lock file (uv.lock, pylock.toml, poetry.lock).
    #[arg(long, conflicts_with = "no_locked")]
    pub locked: bool,
    /// Ignore lock files.
    #[arg(long)]
    pub no_locked: bool,
    /// Also install this optional-dependencies group of the project (repeatable).
    #[arg(long = "extra", value_name = "NAME", value_parser = extra_name)]
    pub extras: Vec<String>,
    /// Install all optional-dependencies groups of the project.
    #[arg(long)]
    pub all_extras: bool,
    /// Also install this dependency group (PEP 735) of the project (repeatable).
    #[arg(long = "group", value_name = "NAME", value_parser = extra_name)]
    pub groups: Vec<String>,
    /// Whether Dockerfiles are read. PEX files cannot do what they ask for, images can do some of it.
    #[arg(skip)]
    pub reads_dockerfiles: bool,
}

/// Arguments of `deploy`.
#[derive(Debug, Clone, Args)]
pub struct DeployArgs {
    /// `dagster_cloud.yaml`, or a directory with one or with a dg project or workspace. Default: the nearest one from
    /// the working directory upwards.
    #[arg(value_name = "DAGSTER_CLOUD_YAML")]
    pub file: Option<PathBuf>,
    /// Directory for what is built, created if missing. Default: a directory for this project in the cache.
    #[arg(value_name = "OUT_DIR")]
    pub out_dir: Option<PathBuf>,
    /// Only use this code location (repeatable, or separated by commas).
    #[arg(long = "location", value_name = "NAME", value_delimiter = ',')]
    pub locations: Vec<String>,
    /// Load code locations from their PEX files or images before they are updated.
    ///
    /// `always` (also `--verify` alone) loads all of them. `auto` loads those with a new deps PEX without a lock file,
    /// and all if nothing is deployed; when it deploys, an error that may be specific to this machine (an unset
    /// variable, an unreachable server) is only a warning.
    #[arg(
        long,
        conflicts_with = "dry_run",
        value_name = "WHEN",
        num_args = 0..=1,
        require_equals = true,
        default_value = "never",
        default_missing_value = "always",
        hide_default_value = true
    )]
    pub verify: VerifyWhen,
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

impl DeployArgs {
    /// The same for these code locations.
    #[must_use]
    pub fn of_locations(&self, locations: Vec<String>) -> DeployArgs {
        DeployArgs { locations, ..self.clone() }
    }

    /// The same arguments without publishing and updating.
    #[must_use]
    pub fn only_build(mut self) -> DeployArgs {
        // What is built stays the same.
        let PublishArgs { strategy, image_registry, .. } = self.publish;
        self.publish = PublishArgs { strategy, image_registry, ..PublishArgs::default() };
        self
    }

    /// The project, or a file in it; the working directory if none is named.
    pub fn project(&self) -> &Path {
        self.file.as_deref().unwrap_or(Path::new("."))
    }

    /// Its part that says what to do at Dagster+.
    pub fn goal(&self) -> goal::Request<'_> {
        let python = self.build.python_version.unwrap_or(PythonVersion::DEFAULT);
        let Self { publish, dagster, build, .. } = self;
        let locations = Box::new(|| self.locations.clone());
        goal::Request { file: self.project(), publish, dagster, python, dry_run: build.dry_run, locations }
    }
}

/// Arguments of `source` and `deps`.
#[derive(Debug, Args)]
pub struct ProjectArgs {
    /// The project: a directory with setup.py, requirements.txt or pyproject.toml.
    pub project_dir: PathBuf,
    /// Directory for the PEX file, created if missing. Not needed with --dry-run.
    #[arg(required_unless_present = "dry_run")]
    pub out_dir: Option<PathBuf>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub build: BuildArgs,
}

/// Arguments of `check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// `dagster_cloud.yaml`, or a directory with one or with a dg project or workspace. Default: the nearest one from
    /// the working directory upwards.
    #[arg(value_name = "DAGSTER_CLOUD_YAML")]
    pub file: Option<PathBuf>,
}

/// Arguments of `verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Output directory of `pexpress deploy` or `pexpress image`, or one image layout. Default: the one that they use
    /// without OUT_DIR.
    pub out_dir: Option<PathBuf>,
    /// Only use this code location (repeatable, or separated by commas).
    #[arg(long = "location", value_name = "NAME", value_delimiter = ',')]
    pub locations: Vec<String>,
    /// How to load an image.
    #[arg(long = "verify", value_name = "HOW", value_enum, default_value_t)]
    pub how: HowVerified,
}

/// How `verify` loads the code location of an image.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum HowVerified {
    /// Unpack the layers that pexpress wrote, and load them with a Python of this machine.
    #[default]
    Environment,
    /// Start the image's own Python: as root on Linux in the unpacked image, otherwise by podman or docker.
    Container,
}

/// `-m MODULE ARGS`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleArgs {
    /// Dotted name of the module.
    pub module: String,
    /// Its arguments, passed through unchanged.
    pub args: Vec<OsString>,
}

/// Modules of the predecessor (the `builder` package of Dagster+'s action) that are commands here.
const PREDECESSOR_PREFIX: &str = "builder.";
const PREDECESSOR_COMMANDS: [&str; 4] = ["deploy", "source", "deps", "selftest"];

/// Read a command line.
///
/// # Errors
/// clap's answer: a usage error, or the text of `--help` and `--version`.
pub fn parse(argv: &[OsString]) -> Result<Invocation, clap::Error> {
    let (program, rest) =
        argv.split_first().map_or((OsString::from("pexpress"), [].as_slice()), |(p, r)| (p.clone(), r));
    // Before clap: all arguments after the module belong to it, including `--help`.
    if rest.first().is_some_and(|first| first == "-m") {
        let Some(module) = rest.get(1) else {
            return Err(clap::Error::raw(
                clap::error::ErrorKind::MissingRequiredArgument,
                "-m needs the name of a module\n",
            ));
        };
        let module = module.to_string_lossy().into_owned();
        let args = rest.get(2..).unwrap_or_default().to_vec();
        let command =
            module.strip_prefix(PREDECESSOR_PREFIX).filter(|name| PREDECESSOR_COMMANDS.contains(name));
        return match command {
            Some(name) => parse_commands([program, OsString::from(name)].into_iter().chain(args)),
            None => Ok(Invocation {
                global: Global::default(),
                command: Command::Module(ModuleArgs { module, args }),
            }),
        };
    }
    parse_commands([program].into_iter().chain(rest.iter().cloned()))
}

fn parse_commands(argv: impl Iterator<Item = OsString>) -> Result<Invocation, clap::Error> {
    let matches = command().try_get_matches_from(argv).map_err(refused::with_better_name)?;
    let cli = Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command()))?;
    Ok(Invocation { global: cli.global, command: cli.command })
}

#[cfg(test)]
mod tests;
