//! One file a command; each calls the stages in order and decides nothing.

pub mod action;
pub mod branch_deployment;
mod building;
mod cache;
pub mod check;
mod defs_state;
mod deploy;
mod deps;
mod error;
mod here;
mod image;
mod init;
pub mod interrupt;
pub mod launch;
pub mod plan;
mod progress;
pub mod python;
pub mod selftest;
pub mod prune;
pub mod redeploy;
mod source;
pub mod status;
mod verify;

use crate::cli::{Command, Format, Invocation};
use crate::error::error_json;
use crate::host::Host;
use crate::render::{self, Exit};
use crate::tools::Tools;
pub use error::Error;
use interrupt::guard;
use progress::Progress;
use serde_json::json;

/// Run one invocation and print its failure: on stderr, and with `--format json` on stdout as `{"error": …}` unless
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

/// Run it so that a signal ends it with a message, the exit code of the signal, and with `--format json` a document.
fn interruptible(invocation: Invocation, host: &Host) -> Result<Exit, Error> {
    match &invocation.command {
        // These report in more detail what was reached.
        Command::Action | Command::Launch(_) => return dispatch(invocation, host, &Progress::default()),
        Command::Deploy(args) if !args.build.dry_run => {
            return dispatch(invocation, host, &Progress::default());
        }
        // A Python module gets the signals itself once it runs.
        Command::Module(_) => {
            interrupt::end_with_children();
            return dispatch(invocation, host, &Progress::default());
        }
        _ => {}
    }
    let format = invocation.global.format;
    let progress = Progress::default();
    let own_progress = progress.clone();
    match guard(host, &progress, move |host| dispatch(invocation, &host, &own_progress)) {
        Ok(result) => result,
        Err(stopped) => {
            let what = stopped.begun.as_ref().map(|begun| stopped.run.left_behind(begun));
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

fn dispatch(invocation: Invocation, host: &Host, progress: &Progress) -> Result<Exit, Error> {
    match invocation.command {
        Command::Completions { shell } => {
            host.data(&crate::cli::completions(shell)).map_err(Error::Stdout)?;
            Ok(Exit(0))
        }
        Command::Man { command } => {
            // The name was checked when it was parsed.
            let page = crate::cli::manual(command.as_deref()).unwrap_or_default();
            host.data(&page).map_err(Error::Stdout)?;
            Ok(Exit(0))
        }
        Command::Cache { command } => cache::run(&command, invocation.global.format, host),
        Command::Deploy(args) => deploy::run(args, invocation.global.format, host),
        Command::Deps(args) => deps::run(&args, invocation.global.format, host),
        Command::Image(args) => image::run(&args, invocation.global.format, host, progress),
        Command::Plan(args) => plan::run(&args, host),
        Command::Source(args) => source::run(&args, invocation.global.format, host),
        Command::Verify(args) => verify::run(&args, invocation.global.format, host),
        Command::Check(args) => check::run(&args, invocation.global.format, host),
        Command::Init(args) => init::run(&args, invocation.global.format, host),
        Command::Action => action::run(host),
        Command::Selftest => selftest::run(&Tools::new(host), invocation.global.format, host),
        Command::Status(args) => status::run(&args, invocation.global.format, host),
        Command::BranchDeployment(args) => {
            branch_deployment::run(&args, invocation.global.format, host, progress)
        }
        Command::Prune(args) => prune::run(&args, invocation.global.format, host, progress),
        Command::Redeploy(args) => redeploy::run(&args, invocation.global.format, host, progress),
        Command::DefsState(args) => defs_state::run(&args, host, progress),
        Command::Launch(args) => launch::run(&args, invocation.global.format, host),
        Command::Module(args) => python::run(&args, &Tools::new(host), host),
    }
}

/// Print one JSON document on stdout.
fn print_json(host: &Host, document: &serde_json::Value) -> Result<(), Error> {
    host.data(&format!("{document:#}")).map_err(Error::Stdout)
}
