//! `docs/commands.md` has the `--help` of each command.
//!
//! `PEXPRESS_WRITE_DOCS=1 cargo test commands_doc` updates it.

use crate::support::repository;
use std::fmt::Write as _;

const COLUMNS: usize = 100;

fn document() -> String {
    let mut document = String::from(
        "# The commands\n\nWhat `pexpress COMMAND --help` prints; `tests/it/cli/commands_doc.rs` writes and compares this file.\n",
    );
    let mut program = pexpress::cli::command().term_width(COLUMNS);
    program.build();
    for command in program.get_subcommands().filter(|command| !command.is_hide_set()) {
        if command.get_name() == "help" {
            continue;
        }
        section(command, command.get_name(), &mut document);
    }
    document
}

/// The help of a command, and of those below it.
fn section(command: &clap::Command, name: &str, document: &mut String) {
    let help = command.clone().term_width(COLUMNS).render_long_help().to_string();
    let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
    write!(document, "\n## {name}\n\n```text\n{}\n```\n", lines.join("\n").trim_end()).unwrap();
    // Those without arguments of their own are in the list of the command above.
    let is_own =
        |arg: &&clap::Arg| !arg.is_global_set() && !["help", "version"].contains(&arg.get_id().as_str());
    for below in command.get_subcommands().filter(|below| below.get_arguments().any(|arg| is_own(&arg))) {
        if below.get_name() != "help" {
            section(below, &format!("{name} {}", below.get_name()), document);
        }
    }
}

#[test]
fn the_document_says_what_help_says() {
    let path = repository().join("docs/commands.md");
    let document = document();
    if std::env::var_os("PEXPRESS_WRITE_DOCS").is_some() {
        std::fs::write(&path, document).unwrap();
        return;
    }
    let present = std::fs::read_to_string(&path).unwrap();
    assert!(
        present == document,
        "docs/commands.md is out of date; PEXPRESS_WRITE_DOCS=1 cargo test commands_doc"
    );
}
