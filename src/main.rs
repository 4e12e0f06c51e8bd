//! argv and environment in, exit code out. Everything else is in the library, where tests reach it.

use pexpress::{cli, commands, host::Host, render};
use std::process::ExitCode;

fn main() -> ExitCode {
    let host = Host::from_process();
    let argv: Vec<_> = std::env::args_os().collect();
    let invocation = match cli::parse(&argv) {
        Ok(invocation) => invocation,
        Err(answer) => return render::clap_answer(&host, &answer),
    };
    let host = host.configured(&invocation.global);
    commands::run(invocation, &host).into()
}
