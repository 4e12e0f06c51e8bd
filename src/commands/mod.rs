//! One file a command; each calls the stages in order and decides nothing.

pub mod action;
pub mod branch_deployment;
mod building;
pub mod check;
mod deploy;
mod deps;
pub mod interrupt;
pub mod plan;
pub mod python;
pub mod selftest;
mod source;
pub mod status;
mod verify;

use crate::build::BuildError;
use crate::cache::CacheError;
use crate::cli::{Command, Format, Invocation};
use crate::context::ContextError;
use crate::dagster::DagsterError;
use crate::deployment::DeploymentError;
use crate::error::{Explain, Fault, Place, error_json};
use crate::github::runner::RunnerError;
use crate::host::Host;
use crate::project::{CollectError, ProjectErrors, PythonVersionError};
use crate::render::{self, Exit};
use crate::tools::{self, Tools};
use crate::update::ConnectError;
use crate::verify::VerifyError;
use interrupt::{Interrupted, Reached, guard};
use serde_json::json;
use std::path::PathBuf;
use std::sync::Arc;

/// Anything that can end a run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    #[allow(missing_docs)]
    Cache(#[from] CacheError),
    #[error(transparent)]
    #[allow(missing_docs)]
    Project(#[from] ProjectErrors),
    #[error(transparent)]
    #[allow(missing_docs)]
    Collect(#[from] CollectError),
    #[error(transparent)]
    #[allow(missing_docs)]
    PythonVersion(#[from] PythonVersionError),
    #[error(transparent)]
    #[allow(missing_docs)]
    Context(#[from] ContextError),
    #[error(transparent)]
    #[allow(missing_docs)]
    Deployment(#[from] DeploymentError),
    #[error(transparent)]
    #[allow(missing_docs)]
    Dagster(#[from] DagsterError),
    #[error(transparent)]
    #[allow(missing_docs)]
    Connect(#[from] ConnectError),
    #[error(transparent)]
    #[allow(missing_docs)]
    Build(#[from] BuildError),
    #[error(transparent)]
    #[allow(missing_docs)]
    Verify(#[from] VerifyError),
    #[error(transparent)]
    #[allow(missing_docs)]
    PermissionDenied(action::PermissionDenied),
    #[error(transparent)]
    #[allow(missing_docs)]
    Runner(#[from] RunnerError),
    /// `--location` names none that there is.
    #[error("`{}` has no code location `{name}`; it has {}", file.display(), known.join(", "))]
    UnknownLocation {
        /// As given.
        name: String,
        /// The file or directory looked in.
        file: PathBuf,
        /// The names that there are.
        known: Vec<String>,
    },
    /// Some code locations were not built; why was said already.
    #[error("{} of {total} code locations could not be built: {}", failed.len(), failed.join(", "))]
    NotBuilt {
        /// Their names.
        failed: Vec<String>,
        /// How many there are in all.
        total: usize,
        /// Whose fault the last failure was.
        fault: Fault,
    },
    /// Some code locations do not load; the tracebacks were printed already.
    #[error("{} of {total} code locations could not be loaded: {}", failed.len(), failed.join("; "))]
    NotLoaded {
        /// Name and exception of each.
        failed: Vec<String>,
        /// How many there are in all.
        total: usize,
        /// What to do about the only one.
        hint: Option<String>,
    },
    /// Some code locations were not deployed; why was said already.
    #[error("{} of {total} code locations could not be deployed: {}", failed.len(), failed.join(", "))]
    NotDeployed {
        /// Their names.
        failed: Vec<String>,
        /// How many there are in all.
        total: usize,
        /// Whose fault the worst failure was.
        fault: Fault,
    },
    /// What ended a run at Dagster+, and was met more than once.
    #[error(transparent)]
    Ended(Arc<DagsterError>),
    /// No room for temporary files.
    #[error("could not make a temporary directory")]
    Temporary(#[source] std::io::Error),
    #[error(transparent)]
    #[allow(missing_docs)]
    Tools(#[from] tools::Error),
    /// The Python of a managed environment does not start.
    #[error("could not start `{python}`")]
    Module {
        /// The interpreter.
        python: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// stdout is closed or full.
    #[error("could not write to standard output")]
    Stdout(#[source] std::io::Error),
}

impl Error {
    fn inner(&self) -> Option<&dyn Explain> {
        match self {
            Error::Cache(error) => Some(error),
            Error::Tools(error) => Some(error),
            Error::Project(error) => Some(error),
            Error::Collect(error) => Some(error),
            Error::PythonVersion(error) => Some(error),
            Error::Context(error) => Some(error),
            Error::Deployment(error) => Some(error),
            Error::Dagster(error) => Some(error),
            Error::Ended(error) => Some(error.as_ref()),
            Error::Connect(error) => Some(error),
            Error::Build(error) => Some(error),
            Error::Verify(error) => Some(error),
            Error::PermissionDenied(error) => Some(error),
            Error::Runner(error) => Some(error),
            _ => None,
        }
    }
}

impl Explain for Error {
    fn fault(&self) -> Fault {
        match self {
            Error::UnknownLocation { .. } => Fault::Usage,
            Error::NotBuilt { fault, .. } | Error::NotDeployed { fault, .. } => *fault,
            Error::NotLoaded { .. } => Fault::Project,
            _ => self.inner().map_or(Fault::Tool, Explain::fault),
        }
    }
    fn hint(&self) -> Option<String> {
        match self {
            Error::Temporary(_) => {
                Some("set TMPDIR to a directory that can be written and has room".to_string())
            }
            Error::NotLoaded { hint, .. } => hint.clone(),
            _ => self.inner().and_then(Explain::hint),
        }
    }
    fn place(&self) -> Option<Place> {
        self.inner().and_then(Explain::place)
    }
}

/// Run one invocation and tell of its failure: on stderr, and with `--format json` on stdout as `{"error": …}` unless
/// the command has printed its document already.
pub fn run(invocation: Invocation, host: &Host) -> Exit {
    let format = invocation.global.format;
    interruptible(invocation, host).unwrap_or_else(|error| {
        if format == Format::Json && !host.has_written_data() {
            let document = json!({ "error": error_json(&error) });
            if let Err(error) = print_json(host, &document) {
                return render::failure(host, &error);
            }
        }
        render::failure(host, &error)
    })
}

/// Run it so that a signal ends it with a word, with its exit code, and with a document where one is asked for.
fn interruptible(invocation: Invocation, host: &Host) -> Result<Exit, Error> {
    match &invocation.command {
        // These have more to say of what was reached.
        Command::Action => return dispatch(invocation, host, &Reached::default()),
        Command::Deploy(args) if !args.build.dry_run => {
            return dispatch(invocation, host, &Reached::default());
        }
        // A module gets the signals itself once it runs.
        Command::Module(_) => {
            interrupt::end_with_children();
            return dispatch(invocation, host, &Reached::default());
        }
        _ => {}
    }
    let format = invocation.global.format;
    let reached = Reached::default();
    let own_reached = reached.clone();
    match guard(host, &reached, move |host| dispatch(invocation, &host, &own_reached)) {
        Ok(result) => result,
        Err(stopped) => {
            let what = stopped.interrupted.as_ref().map(Interrupted::sentence);
            tell_interrupt(what.as_deref(), stopped.code, format, host)?;
            Ok(Exit(stopped.code))
        }
    }
}

/// With `--format json`, the document of a run that a signal ended before it printed one of its own.
fn tell_interrupt(what: Option<&str>, code: u8, format: Format, host: &Host) -> Result<(), Error> {
    if format != Format::Json || host.has_written_data() {
        return Ok(());
    }
    let message = what.map_or("interrupted".to_string(), |what| format!("interrupted: {what}"));
    let error = json!({
        "message": message, "causes": [], "hint": null, "file": null, "line": null, "column": null, "exit_code": code,
    });
    print_json(host, &json!({ "error": error }))
}

fn dispatch(invocation: Invocation, host: &Host, reached: &Reached) -> Result<Exit, Error> {
    match invocation.command {
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut crate::cli::command(), "pexpress", &mut script);
            host.data(&String::from_utf8_lossy(&script)).map_err(Error::Stdout)?;
            Ok(Exit(0))
        }
        Command::Deploy(args) => deploy::run(args, invocation.global.format, host),
        Command::Deps(args) => deps::run(&args, invocation.global.format, host),
        Command::Plan(args) => plan::run(&args, host),
        Command::Source(args) => source::run(&args, invocation.global.format, host),
        Command::Verify(args) => verify::run(&args, invocation.global.format, host),
        Command::Check(args) => check::run(&args, invocation.global.format, host),
        Command::Action => action::run(host),
        Command::Selftest => selftest::run(&Tools::new(host), invocation.global.format, host),
        Command::Status(args) => status::run(&args, invocation.global.format, host),
        Command::BranchDeployment(args) => {
            branch_deployment::run(&args, invocation.global.format, host, reached)
        }
        Command::Module(args) => python::run(&args, &Tools::new(host), host),
    }
}

/// Print one JSON document on stdout.
fn print_json(host: &Host, document: &serde_json::Value) -> Result<(), Error> {
    host.data(&format!("{document:#}")).map_err(Error::Stdout)
}
