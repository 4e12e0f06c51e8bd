//! The messages that users meet most, whole. `docs/errors.md` shows each of them; `document.rs` compares the two.

mod deploy;
mod document;
mod project;
mod requirements;
mod settings;

use crate::support::project_tree;
use std::path::Path;
use std::process::{Command, Stdio};

/// A `dagster_cloud.yaml` with one code location, whose code and requirements are next to it.
const ONE: &str =
    "locations:\n  - location_name: shop\n    code_source:\n      module_name: shop.definitions\n";
/// Requirements that any command accepts.
const BOTH: &str = "dagster\ndagster-cloud\n";

/// A project of one code location, with these files in place of the usual ones.
fn project(files: &[(&str, &str)]) -> tempfile::TempDir {
    let usual = [
        ("dagster_cloud.yaml", ONE),
        ("requirements.txt", BOTH),
        ("shop/__init__.py", ""),
        ("shop/definitions.py", "import dagster\n\ndefs = dagster.Definitions()\n"),
    ];
    let is_replaced = |path: &str| files.iter().any(|(other, _)| *other == path);
    let mut all: Vec<(&str, &str)> = usual.into_iter().filter(|(path, _)| !is_replaced(path)).collect();
    all.extend(files.iter().filter(|(_, text)| *text != GONE));
    project_tree(&all)
}

/// Instead of a text: the file is not there.
const GONE: &str = "\0";

/// The errors and warnings that a command prints, without the log around them.
fn said(command: &mut Command, dir: &Path) -> String {
    let output = command.current_dir(dir).stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    let text = text.replace(&dir.display().to_string(), "[PROJECT]");
    let mut kept: Vec<&str> = Vec::new();
    // A message that ends with a colon is followed by foreign text, up to the hint.
    let (mut is_message, mut is_quoting) = (false, false);
    for line in text.lines() {
        let is_hint = line.starts_with("hint: ");
        if line.starts_with("error: ") || line.starts_with("warning: ") {
            // What all code locations came to follows what is wrong with each.
            is_message = !line.contains(" code locations could not be ");
            is_quoting = is_message && line.ends_with(':');
        } else {
            is_message &= is_quoting || is_hint || line.starts_with(' ');
            is_quoting &= !is_hint;
        }
        if is_message {
            kept.push(line);
        }
    }
    kept.join("\n")
}

/// What `check` says of this project.
fn checked(files: &[(&str, &str)]) -> String {
    let dir = project(files);
    said(crate::support::pexpress().args(["check", "."]), dir.path())
}
