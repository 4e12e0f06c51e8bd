//! One file a command; each calls the stages in order and decides nothing.

pub mod branch_deployment;
pub mod check;
pub mod deps;
pub mod python;
pub mod status;

use crate::cache::CacheError;
use crate::cli::{Command, Invocation};
use crate::context::ContextError;
use crate::dagster::DagsterError;
use crate::deployment::DeploymentError;
use crate::error::{Explain, Fault, Place};
use crate::host::Host;
use crate::project::CollectError;
use crate::render::Exit;
use crate::tools::{self, Tools};
use std::path::PathBuf;

/// Anything that can end a run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    #[allow(missing_docs)]
    Cache(#[from] CacheError),
    #[error(transparent)]
    #[allow(missing_docs)]
    Tools(#[from] tools::Error),
    #[error(transparent)]
    #[allow(missing_docs)]
    Collect(#[from] CollectError),
    #[error(transparent)]
    #[allow(missing_docs)]
    Context(#[from] ContextError),
    #[error(transparent)]
    #[allow(missing_docs)]
    Deployment(#[from] DeploymentError),
    #[error(transparent)]
    #[allow(missing_docs)]
    Dagster(#[from] DagsterError),
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
            Error::Collect(error) => Some(error),
            Error::Context(error) => Some(error),
            Error::Deployment(error) => Some(error),
            Error::Dagster(error) => Some(error),
            Error::Stdout(_) | Error::Module { .. } => None,
        }
    }
}

impl Explain for Error {
    fn fault(&self) -> Fault {
        self.inner().map_or(Fault::Tool, Explain::fault)
    }
    fn hint(&self) -> Option<String> {
        self.inner().and_then(Explain::hint)
    }
    fn place(&self) -> Option<Place> {
        self.inner().and_then(Explain::place)
    }
}

/// Run one invocation.
///
/// # Errors
/// Whatever its stages raise.
pub fn run(invocation: Invocation, host: &Host) -> Result<Exit, Error> {
    match invocation.command {
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut crate::cli::command(), "pexpress", &mut script);
            host.data(&String::from_utf8_lossy(&script)).map_err(Error::Stdout)?;
            Ok(Exit(0))
        }
        Command::Check(args) => check::run(&args, invocation.global.format, host),
        Command::Deps(args) if args.build.dry_run => deps::dry_run(&args, invocation.global.format, host),
        Command::Status(args) => status::run(&args, invocation.global.format, host),
        Command::BranchDeployment(args) => branch_deployment::run(&args, invocation.global.format, host),
        Command::Module(args) => python::run(&args, &Tools::new(host), host),
        _ => Ok(Exit(0)),
    }
}
