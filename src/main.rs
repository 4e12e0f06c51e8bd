//! argv and environment in, exit code out. Everything else is in the library, where tests reach it.

use pexpress::{cli, commands, error::Fault, host::Host, render};
use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    let host = Host::from_process();
    let tokens = host.tokens();
    std::panic::set_hook(Box::new(move |panic| end(&render::panic_text(panic, &tokens))));
    let argv: Vec<_> = std::env::args_os().collect();
    let invocation = match cli::parse(&argv) {
        Ok(invocation) => invocation,
        Err(answer) => return render::clap_answer(&host, &answer, cli::wants_json(&argv)),
    };
    let host = host.with_log(invocation.global.log());
    commands::run(invocation, &host).into()
}

/// End the process, from whichever thread: shipped binaries do not unwind, so that this is the last that runs. Straight
/// to stderr, since the panic may have come while the host was writing to it.
#[allow(clippy::exit)]
fn end(text: &str) {
    // With stderr closed there is nobody to tell.
    let _ = std::io::stderr().write_all(text.as_bytes());
    std::process::exit(Fault::Bug.exit_code().into());
}
