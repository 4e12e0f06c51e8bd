//! `init`: look at the repository, decide what to write, write it or print the difference.

mod look;
mod put;

pub use put::InitError;

use super::{Error, print_json};
use crate::cli::{Format, InitArgs};
use crate::host::Host;
use crate::init::{self, Facts, Plan, diff};
use crate::render::Exit;
use serde_json::{Value, json};
use std::fmt::Write as _;

/// Run the command.
///
/// # Errors
/// When there are no Dagster definitions, a file would be overwritten, or one cannot be read or written.
pub fn run(args: &InitArgs, format: Format, host: &Host) -> Result<Exit, Error> {
    let repository = look::Repository::find(&host.absolute(&args.directory));
    let mut facts = look::facts(&repository, args, host);
    let mut plan = init::plan(&facts);
    if plan.lacks_organization
        && !args.check
        && let Some(name) = ask_organization(host)
    {
        facts.organization = Some(name);
        plan = init::plan(&facts);
    }
    if let Some(file) = plan.only_reusable {
        return Err(InitError::Reusable { path: repository.top.join(file) }.into());
    }
    if plan.lacks_project {
        return Err(InitError::NoProject { directory: host.absolute(&args.directory) }.into());
    }
    let changes = changes(&plan, &facts);
    if !args.check {
        put::write(&repository.top, &plan, args)?;
    }
    match format {
        Format::Json => print_json(host, &document(&plan, &changes, args))?,
        Format::Text => host.data(&text(&plan, &changes, args)).map_err(Error::Stdout)?,
    }
    let is_done = changes.iter().all(|change| change.action == Action::Unchanged)
        && (plan.moves.is_empty() || !args.replace);
    Ok(Exit(u8::from(args.check && !is_done)))
}

fn ask_organization(host: &Host) -> Option<String> {
    let answer = host.ask("Name of the organization (acme for https://acme.dagster.cloud): ")?;
    let name = answer.trim();
    (!name.is_empty()).then(|| name.to_string())
}

/// What happens to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
enum Action {
    Create,
    Overwrite,
    Unchanged,
}

/// A file to write, and how it differs from what is there.
struct Change<'a> {
    path: &'a str,
    action: Action,
    diff: String,
}

fn changes<'a>(plan: &'a Plan, facts: &Facts) -> Vec<Change<'a>> {
    let change = |file: &'a init::TextFile| {
        let moved = facts.replace && plan.moves.iter().any(|moved| moved.from == file.path);
        let old = facts.present.get(&file.path).filter(|_| !moved);
        let action = match old {
            None => Action::Create,
            Some(old) if *old == file.text => Action::Unchanged,
            Some(_) => Action::Overwrite,
        };
        Change {
            path: &file.path,
            action,
            diff: diff::unified(&file.path, old.map(String::as_str), &file.text),
        }
    };
    plan.files.iter().map(change).collect()
}

fn text(plan: &Plan, changes: &[Change<'_>], args: &InitArgs) -> String {
    let mut text = String::new();
    if args.check {
        changes.iter().for_each(|change| text += &change.diff);
    }
    for change in changes {
        let word = match (change.action, args.check) {
            (Action::Unchanged, _) => "unchanged",
            (Action::Create, false) => "wrote",
            (Action::Overwrite, false) => "overwrote",
            (Action::Create, true) => "would write",
            (Action::Overwrite, true) => "would need --overwrite for",
        };
        let _ = writeln!(text, "{word} {}", change.path);
    }
    for moved in plan.moves.iter().filter(|_| args.replace) {
        let word = if args.check { "would move" } else { "moved" };
        let _ = writeln!(text, "{word} {} to {}", moved.from, moved.to);
    }
    if !plan.lines.is_empty() {
        text += "\nWhat became of each line:\n";
        plan.lines.iter().for_each(|line| {
            let _ = writeln!(text, "  {line}");
        });
    }
    for (title, items) in [("Note", &plan.notes), ("Next", &plan.next)] {
        if !items.is_empty() {
            let _ = writeln!(text, "\n{title}:");
            items.iter().for_each(|item| {
                let _ = writeln!(text, "  - {item}");
            });
        }
    }
    text
}

fn document(plan: &Plan, changes: &[Change<'_>], args: &InitArgs) -> Value {
    let file =
        |change: &Change<'_>| json!({ "path": change.path, "action": change.action, "diff": change.diff });
    json!({
        "written": !args.check,
        "files": changes.iter().map(file).collect::<Vec<_>>(),
        "old_workflows": plan.moves,
        "moved": args.replace && !args.check,
        "lines": plan.lines,
        "notes": plan.notes,
        "next": plan.next,
    })
}
