//! The one place where an error becomes text.

use super::{Explain, Fault};
use crate::foreign_text::neutral;

/// `error: …`, its causes, its place and its hint, a line each.
pub fn error_text(error: &(impl Explain + ?Sized), color: bool) -> String {
    let paint = |code: &str, text: &str| {
        if color { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_string() }
    };
    let mut text = format!("{} {}", paint("1;31", "error:"), neutral(&error.to_string()));
    if let Some(place) = error.place() {
        text += &format!("\n  {} {place}", paint("2", "at:"));
    }
    let mut cause = error.source();
    while let Some(next) = cause {
        text += &format!(
            "\n  {} {}",
            paint("2", "caused by:"),
            neutral(&next.to_string()).replace('\n', "\n    ")
        );
        cause = next.source();
    }
    if error.fault() == Fault::Bug {
        text += "\nThis is a bug in pexpress; please report it with the command you ran.";
    }
    if let Some(hint) = hint(error) {
        text += &format!("\n{} {hint}", paint("1;36", "hint:"));
    }
    text
}

/// An error as JSON, for stdout: `message`, `causes`, `hint`, `file`, `line`, `column`, `exit_code`.
pub fn error_json(error: &(impl Explain + ?Sized)) -> serde_json::Value {
    let mut causes = Vec::new();
    let mut cause = error.source();
    while let Some(next) = cause {
        causes.push(next.to_string());
        cause = next.source();
    }
    let place = error.place();
    serde_json::json!({
        "message": error.to_string(),
        "causes": causes,
        "hint": hint(error),
        "file": place.as_ref().map(|place| &place.file),
        "line": place.as_ref().and_then(|place| place.line),
        "column": place.as_ref().and_then(|place| place.column),
        "exit_code": error.fault().exit_code(),
    })
}

/// What the reader can do next. Where file handles have run out, any step may be the one to fail, so the answer is the
/// same for all of them.
fn hint(error: &(impl Explain + ?Sized)) -> Option<String> {
    let mut cause = error.source();
    while let Some(next) = cause {
        // It can hit any operation, and the hint of that operation would mislead.
        if next.downcast_ref().is_some_and(is_out_of_handles) {
            return Some("too many files are open at once: raise the limit (`ulimit -n 1024`)".into());
        }
        cause = next.source();
    }
    error.hint()
}

#[cfg(unix)]
fn is_out_of_handles(error: &std::io::Error) -> bool {
    use rustix::io::Errno;
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}

#[cfg(not(unix))]
fn is_out_of_handles(_: &std::io::Error) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::CacheError;

    #[test]
    fn the_chain_of_causes_is_printed_once_each() {
        let error =
            CacheError { action: "create", path: "/c".into(), source: std::io::Error::other("disk full") };
        assert_eq!(
            error_text(&error, false),
            "error: could not create `/c`\n  caused by: disk full\nhint: set PEXPRESS_CACHE_DIR to a writable directory with free space"
        );
    }
}
