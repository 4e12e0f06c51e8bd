//! The summary of the action's step, as Markdown.

use super::facts::{Facts, utc};
use super::{Problem, Purpose, Report, RunResult, cut, markdown, rows, table};
use std::path::Path;
use std::time::{Duration, SystemTime};

/// How much of each error is shown at most; less if all of them together are too long.
const LONGEST_ERROR_BYTES: usize = 20_000;
/// How much of each error is shown at least: its exception.
const SHORTEST_ERROR_BYTES: usize = 80;
/// Errors that are shorter than this are more important than what changed in the dependencies.
const SHORT_ERROR_BYTES: usize = 1_500;

/// A shorter run gets no chart.
const SHORTEST_CHART_SECONDS: f64 = 1.0;

/// Up to this duration, the chart has marks between seconds.
const SHORT_RUN_SECONDS: f64 = 15.0;

/// How many changed dependencies of a code location are listed.
const MOST_CHANGES: usize = 500;
/// How many if there is less room.
const FEW_CHANGES: usize = 40;

/// The summary of a run in less than `budget` bytes: errors are cut so that each code location keeps its row and its
/// exception. It is longer only if not even these fit. Places are relative to `workspace`.
pub fn from_report(
    report: &Report,
    facts: &Facts,
    workspace: &Path,
    now: SystemTime,
    budget: usize,
) -> String {
    let (mut limit, mut most_changes) = (LONGEST_ERROR_BYTES, MOST_CHANGES);
    // Skip limits that cannot fit.
    let lengths = rows::error_bytes(&rows::from_report(report));
    while lengths.iter().map(|length| length.min(&limit)).sum::<usize>() > budget
        && limit > SHORTEST_ERROR_BYTES
    {
        (limit, most_changes) = shorter(limit);
    }
    loop {
        let text = text(report, facts, workspace, now, Limits { error_bytes: limit, changes: most_changes });
        if text.len() < budget || limit == SHORTEST_ERROR_BYTES {
            return text;
        }
        (limit, most_changes) = match most_changes {
            // Shorten the list of changed dependencies first: errors matter more.
            MOST_CHANGES => (limit, FEW_CHANGES),
            _ => shorter(limit),
        };
    }
}

/// The next limit for an error, and that for the changes of dependencies next to it.
fn shorter(limit: usize) -> (usize, usize) {
    let limit = (limit / 4 * 3).max(SHORTEST_ERROR_BYTES);
    (limit, if limit < SHORT_ERROR_BYTES { 0 } else { FEW_CHANGES })
}

/// How much is shown.
#[derive(Clone, Copy)]
struct Limits {
    /// Of each error.
    error_bytes: usize,
    /// Of the dependencies of a code location that changed; with 0, nothing at all.
    changes: usize,
}

fn text(report: &Report, facts: &Facts, workspace: &Path, now: SystemTime, limits: Limits) -> String {
    let rows = rows::from_report(report);
    let mut parts = vec![format!("### {}", heading(report, facts, &rows))];
    if let Some(reason) = &report.reason {
        parts.push(markdown::text(reason));
    }
    if !rows.is_empty() {
        parts.push(rows::table(&rows));
    }
    if let Some(note) = &report.also_deployed_note {
        parts.push(markdown::text(note));
    }
    let has_error = rows.iter().any(|row| row.error.is_some());
    let is_told = |problem: &&Problem| match report.purpose {
        Purpose::Check => report.locations.iter().any(|location| location.problems.contains(problem)),
        // They count what the rows show.
        Purpose::Build | Purpose::Deploy => has_error,
    };
    let problems = report.problems.iter().filter(|problem| !is_told(problem));
    let block = |problem: &Problem| markdown::block(&cut::shortened(&problem.text, limits.error_bytes));
    parts.extend(problems.map(block));
    let errors = rows::errors(&rows, limits.error_bytes);
    let changes = match limits.changes {
        0 => String::new(),
        most => rows::dependency_changes(&rows, most),
    };
    parts.extend([errors, changes].into_iter().filter(|part| !part.is_empty()));
    if !report.warnings.is_empty() {
        let lines = report.warnings.iter().map(|warning| warning_line(warning, workspace));
        let lines = lines.collect::<Vec<_>>().join("\n");
        let title = format!("⚠️ {}", table::count(report.warnings.len(), "warning"));
        // They are what a check is for.
        parts.push(match report.purpose {
            Purpose::Check => format!("{title}\n\n{lines}"),
            Purpose::Build | Purpose::Deploy => markdown::folded(&title, &lines),
        });
    }
    if report.seconds >= SHORTEST_CHART_SECONDS && !report.stages.is_empty() {
        let title = format!("⏱️ {}", table::time(Duration::from_secs_f64(report.seconds)));
        parts.push(markdown::folded(&title, &chart(report)));
    }
    parts.push(footer(report, facts, now));
    parts.join("\n\n") + "\n"
}

fn heading(report: &Report, facts: &Facts, rows: &[rows::Row]) -> String {
    let to = report
        .deployment
        .as_ref()
        .map(|deployment| deployment.link(facts.branch.as_deref()))
        .unwrap_or_default();
    let (sign, text) = rows::headline(rows);
    let is_failed_check = report.purpose == Purpose::Check && report.result == RunResult::Failure;
    match report.result {
        RunResult::Closed => format!("🔒 Closed {to}"),
        RunResult::Skipped => "➖ Nothing was deployed".to_string(),
        RunResult::Cancelled => "⚠️ Cancelled".to_string(),
        RunResult::Failure if sign != "❌" || rows::none_reached(rows) => {
            format!("❌ {}", report.purpose.failure())
        }
        _ if is_failed_check => format!("❌ {}", report.purpose.failure()),
        _ if to.is_empty() => format!("{sign} {text}"),
        _ if sign == "❌" => format!("{sign} {text} on {to}"),
        _ => format!("{sign} {text} to {to}"),
    }
}

fn warning_line(warning: &Problem, workspace: &Path) -> String {
    let place = warning.place.as_ref().map(|place| {
        let file = place.file.strip_prefix(workspace).unwrap_or(&place.file).display().to_string();
        let line = place.line.map(|line| format!(":{line}")).unwrap_or_default();
        format!("{}: ", markdown::code(&format!("{file}{line}")))
    });
    format!("- {}{}", place.unwrap_or_default(), markdown::text(&warning.title))
}

/// The stages as a Gantt chart, in milliseconds since the run began. Source: Mermaid's manual, "Gantt diagrams".
fn chart(report: &Report) -> String {
    let milliseconds = |seconds: f64| Duration::from_secs_f64(seconds.max(0.0)).as_millis();
    let bars = report.stages.iter().map(|stage| {
        let (start, end) = (milliseconds(stage.start), milliseconds(stage.start + stage.seconds));
        let time = table::time(Duration::from_secs_f64(stage.seconds.max(0.0)));
        format!("    {} ({time}) :{start}, {}", stage.name, end.max(start + 1))
    });
    let bars: Vec<String> = bars.collect();
    // Whole seconds would be the same text at each mark of a short axis.
    let axis = if report.seconds < SHORT_RUN_SECONDS { "%S.%L s" } else { "%M:%S" };
    format!("```mermaid\ngantt\n    dateFormat x\n    axisFormat {axis}\n{}\n```", bars.join("\n"))
}

fn footer(report: &Report, facts: &Facts, now: SystemTime) -> String {
    let commit = facts.commit_of(report).map(|sha| facts.commit_link(&sha));
    let branch = facts.branch.as_ref().map(|branch| markdown::code(branch));
    let target = report.python_version.as_ref().zip(report.platform.as_ref());
    let target = target.map(|(python, platform)| format!("Python {python}, {}", markdown::code(platform)));
    let parts = [branch, commit, target, Some(utc(now))];
    format!("<sub>{}</sub>", parts.into_iter().flatten().collect::<Vec<_>>().join(" · "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dependencies::DependencyChanges;
    use crate::report::{LocationReport, LocationState};
    use std::time::UNIX_EPOCH;

    const BUDGET: usize = 900 * 1024;

    /// A run of which each code location failed with an error of its own, that of many frames.
    fn summary(count: usize, frames: usize) -> String {
        let frames = "  File \"/x/defs.py\", line 1, in f\n    x\n".repeat(frames);
        let location = |at: usize| LocationReport {
            name: format!("loc_{at}"),
            state: LocationState::FailedToLoad,
            errors: vec![format!(
                "error: the code location `loc_{at}` failed to load:\nRuntimeError: outer\n{frames}ValueError: root-{at}-\n{frames}"
            )],
            dependencies: Some(DependencyChanges {
                added: (0..10_000 / count).map(|n| (format!("package-{at}-{n}"), "1".into())).collect(),
                ..DependencyChanges::default()
            }),
            ..LocationReport::default()
        };
        let locations = (0..count).map(location).collect();
        let report = Report { result: RunResult::Failure, locations, ..Report::default() };
        from_report(&report, &Facts::default(), Path::new("/"), UNIX_EPOCH, BUDGET)
    }

    /// Users saw 52 of 100 errors, the first ones with all their text.
    #[test]
    fn each_code_location_keeps_its_row_and_its_exception() {
        for (count, frames, text_bytes) in
            [(3, 400, 19_000), (100, 400, 4_000), (250, 200, 1_500), (1_000, 20, 300), (4_000, 5, 0)]
        {
            let summary = summary(count, frames);
            assert!(summary.len() <= BUDGET, "{count}: {}", summary.len());
            // Most of the room is used, where there is more text than that.
            assert!(
                count < 100 || count == 4_000 || summary.len() > BUDGET / 2,
                "{count}: {}",
                summary.len()
            );
            let folds: Vec<&str> = summary.split("<details><summary>❌").skip(1).collect();
            for at in 0..count {
                assert!(summary.contains(&format!("| `loc_{at}` | failed to load |")), "{count}: row {at}");
                let exception = format!("ValueError: root-{at}-");
                match text_bytes {
                    0 => {
                        let line = format!("- ❌ loc\\_{at}: failed to load: `{exception}`\n");
                        assert!(summary.contains(&line), "{count}: {line}");
                    }
                    least => {
                        let fold = folds.get(at).copied().unwrap_or_default();
                        let title = format!(" loc_{at}: failed to load: <code>{exception}</code></summary>");
                        assert!(fold.starts_with(&title), "{count}: {}", fold);
                        assert!(fold.matches(&exception).count() == 2, "{count}: {}", fold);
                        assert!(fold.len() > least, "{count}: {}", fold.len());
                    }
                }
            }
        }
    }
}
