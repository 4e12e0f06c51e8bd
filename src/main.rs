//! argv and environment in, exit code out. Everything else is in the library, which tests can use.

use pexpress::{cli, commands, error::Fault, host::Host, render};
use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    let host = Host::from_process();
    // Before anything can panic: the hook must not show a token.
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

/// End the process from any thread: shipped binaries do not unwind. Writes directly to stderr, because the panic may
/// have happened while the host held its lock.
#[allow(clippy::exit)]
fn end(text: &str) {
    // With a closed stderr there is no place to report to.
    let _ = std::io::stderr().write_all(text.as_bytes());
    std::process::exit(Fault::Bug.exit_code().into());
}
