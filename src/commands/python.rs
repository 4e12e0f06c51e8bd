//! `pexpress -m MODULE ARGS`: a Python module of dagster's command-line programs, in a managed environment.
//!
//! This process becomes Python, which thus has our terminal, stdin, signals and exit code. As if started from the
//! user's shell, it gets the whole environment, secrets included.

use super::Error;
use crate::cli::ModuleArgs;
use crate::host::Host;
use crate::render::Exit;
use crate::tools::Tools;
use std::process::Command;

/// Run the module. On Unix this does not return unless it fails.
///
/// # Errors
/// If the environment cannot be created or its Python cannot be started.
pub fn run(args: &ModuleArgs, tools: &Tools, host: &Host) -> Result<Exit, Error> {
    let python = tools.dagster_environment()?;
    let mut command = Command::new(&python);
    command.arg("-m").arg(&args.module).args(&args.args);
    command.env_clear().envs(host.full_env()).current_dir(host.cwd());
    become_it(&mut command).map_err(|source| Error::Module { python, source })
}

#[cfg(unix)]
fn become_it(command: &mut Command) -> std::io::Result<Exit> {
    Err(std::os::unix::process::CommandExt::exec(command))
}

#[cfg(not(unix))]
fn become_it(command: &mut Command) -> std::io::Result<Exit> {
    let status = command.status()?;
    Ok(Exit(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)))
}
