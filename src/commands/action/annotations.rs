//! A report as annotations: what the page of the run and the changed files show.

use crate::error::Place;
use crate::github::runner::{Annotation, Level};
use crate::report::{Problem, Report, RunResult, cut, rows};
use std::path::Path;

/// GitHub shows 4,096 UTF-16 units of a message, and none of these bytes is more than one of them.
const LONGEST_MESSAGE_BYTES: usize = 4_000;

/// Errors at their places, one each, then warnings, then why nothing was deployed. Code locations with the same error
/// share an annotation, since GitHub shows ten.
pub fn from_report(report: &Report, workspace: &Path) -> Vec<Annotation> {
    let mut annotations: Vec<Annotation> = Vec::new();
    let mut add = |level, title: &str, problem: &Problem, place: Option<&Place>| {
        let message = cut::cut(problem.text.trim_start_matches("error: "), LONGEST_MESSAGE_BYTES);
        let annotation = Annotation::new(level, message).titled(title);
        let annotation = match problem.place.as_ref().or(place) {
            Some(place) => annotation.at(place, workspace),
            None => annotation,
        };
        if !annotations.iter().any(|known| known.message == annotation.message) {
            annotations.push(annotation);
        }
    };
    for group in groups(report) {
        add(Level::Error, &title(&group.names), group.problem, group.place);
    }
    for problem in &report.problems {
        add(Level::Error, "pexpress", problem, None);
    }
    for warning in &report.warnings {
        add(Level::Warning, "pexpress", warning, None);
    }
    if report.result == RunResult::Skipped
        && let Some(reason) = &report.reason
    {
        annotations.push(Annotation::new(Level::Notice, reason).titled("Nothing was deployed"));
    }
    annotations
}

/// An error, and the code locations that have it.
struct Group<'a> {
    names: Vec<&'a str>,
    nameless: String,
    problem: &'a Problem,
    place: Option<&'a Place>,
}

fn groups(report: &Report) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for location in &report.locations {
        for problem in &location.problems {
            let nameless = rows::without_name(&problem.text, &location.name);
            match groups.iter_mut().find(|known| known.nameless == nameless) {
                Some(known) if known.names.contains(&location.name.as_str()) => {}
                Some(known) => known.names.push(&location.name),
                None => groups.push(Group {
                    names: vec![&location.name],
                    nameless,
                    problem,
                    place: location.place.as_ref(),
                }),
            }
        }
    }
    groups
}

/// `Code location a`, `Code locations a, b, c and 4 more`.
fn title(names: &[&str]) -> String {
    match names {
        [one] => format!("Code location {one}"),
        [a, b, c, _, ..] => format!("Code locations {a}, {b}, {c} and {} more", names.len() - 3),
        few => format!("Code locations {}", few.join(", ")),
    }
}
