//! The final output of the process: an error, a panic, or clap's answer; and its exit code.

use crate::error::{Explain, error_text};
use crate::foreign_text::{neutral, without_commands};
use crate::host::Host;
use crate::redact::Secret;
use crate::redact::without;

/// An exit code of this program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit(pub u8);

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        std::process::ExitCode::from(exit.0)
    }
}

/// Print an error with its causes and hint. Returns its exit code.
pub fn failure(host: &Host, error: &impl Explain) -> Exit {
    host.say(&error_text(error, host.color()));
    Exit(error.fault().exit_code())
}

/// The text for a panic: a bug of ours that the user should report. It hides `tokens`, because such a report is public.
pub fn panic_text(panic: &std::panic::PanicHookInfo<'_>, tokens: &[Secret]) -> String {
    let payload = panic.payload();
    let message =
        payload.downcast_ref::<&str>().copied().or(payload.downcast_ref::<String>().map(String::as_str));
    let message = without(tokens, message.unwrap_or("a panic without a message"));
    bug_text(&message, panic.location().map(ToString::to_string).as_deref())
}

fn bug_text(message: &str, place: Option<&str>) -> String {
    let place = place.map(|place| format!("\n  at: {place}")).unwrap_or_default();
    let hint = format!(
        "this is a bug of pexpress {}; please report it with the lines above",
        env!("CARGO_PKG_VERSION")
    );
    without_commands(&format!("error: {}{place}\nhint: {hint}", neutral(message))) + "\n"
}

/// Print clap's answer: help and version on stdout, a usage error on stderr, and also as JSON on stdout if requested.
pub fn clap_answer(host: &Host, answer: &clap::Error, json: bool) -> std::process::ExitCode {
    let text = answer.render();
    let text = if host.color() { text.ansi().to_string() } else { text.to_string() };
    if answer.use_stderr() {
        host.say(&text);
        let plain = answer.render().to_string();
        let message = plain.lines().next().unwrap_or_default();
        let message = message.strip_prefix("error: ").unwrap_or(message);
        let document = serde_json::json!({"error": {
            "message": message, "causes": [], "hint": "`pexpress --help` lists commands and flags", "file": null,
            "line": null, "column": null, "exit_code": answer.exit_code(),
        }});
        if json && host.data(&format!("{document:#}")).is_err() {
            return std::process::ExitCode::FAILURE;
        }
    } else if host.data(&text).is_err() {
        return std::process::ExitCode::FAILURE;
    }
    // 2 for usage errors and 0 for `--help`, as clap defines them.
    std::process::ExitCode::from(u8::try_from(answer.exit_code()).unwrap_or(2))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[test]
    fn a_panic_is_reported_as_a_bug() {
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(
            bug_text("index 3 is out of range\n::warning::not ours", Some("src/a.rs:1:2")),
            format!(
                "error: index 3 is out of range\n| ::warning::not ours\n  at: src/a.rs:1:2\n\
                 hint: this is a bug of pexpress {version}; please report it with the lines above\n"
            )
        );
    }

    #[test]
    fn the_text_of_a_panic_has_no_token() {
        let tokens = [Secret::new("user:canary"), Secret::new("ghs_canary")];
        let shown = move |panic: &std::panic::PanicHookInfo<'_>| panic_text(panic, &tokens);
        let said = Arc::new(Mutex::new(String::new()));
        let heard = Arc::clone(&said);
        let of_this = std::thread::current().id();
        let before = Arc::new(std::panic::take_hook());
        let others = Arc::clone(&before);
        // Other tests may panic meanwhile, each in its own thread.
        std::panic::set_hook(Box::new(move |panic| {
            if std::thread::current().id() == of_this {
                *heard.lock().unwrap() = shown(panic);
            } else {
                others(panic);
            }
        }));
        let caught = std::panic::catch_unwind(|| panic!("no header for user:canary and ghs_canary"));
        std::panic::set_hook(Box::new(move |panic| before(panic)));
        assert!(caught.is_err());
        let said = said.lock().unwrap().clone();
        assert!(said.starts_with("error: no header for *** and ***\n  at: src/render.rs:"), "{said}");
    }
}
