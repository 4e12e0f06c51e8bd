//! The summary of the action's step, as Markdown.

use super::facts::{Facts, utc};
use super::{Goal, Problem, Report, RunResult, cut, markdown, rows, table};
use std::path::Path;
use std::time::{Duration, SystemTime};

/// How much of each error is shown; the whole summary may have a mebibyte.
const LONGEST_ERROR_BYTES: usize = 20_000;

/// A run that is over sooner has no stages worth a chart.
const SHORTEST_CHART_SECONDS: f64 = 1.0;

/// A run whose chart has marks between seconds.
const SHORT_RUN_SECONDS: f64 = 15.0;

/// How many changed dependencies of a code location are listed.
const MOST_CHANGES: usize = 500;

/// The summary of a run. Places are told relative to `workspace`.
pub fn from_report(report: &Report, facts: &Facts, workspace: &Path, now: SystemTime) -> String {
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
    let told = rows.iter().any(|row| row.error.is_some());
    let is_told = |problem: &&Problem| match report.goal {
        Goal::Check => report.locations.iter().any(|location| location.problems.contains(problem)),
        // They count what the rows tell.
        Goal::Build | Goal::Deploy => told,
    };
    let problems = report.problems.iter().filter(|problem| !is_told(problem));
    parts.extend(problems.map(|problem| markdown::block(&cut::cut(&problem.text, LONGEST_ERROR_BYTES))));
    let errors = rows::errors(&rows, LONGEST_ERROR_BYTES);
    let changes = rows::dependency_changes(&rows, MOST_CHANGES);
    parts.extend([errors, changes].into_iter().filter(|part| !part.is_empty()));
    if !report.warnings.is_empty() {
        let lines = report.warnings.iter().map(|warning| warning_line(warning, workspace));
        let lines = lines.collect::<Vec<_>>().join("\n");
        let title = format!("⚠️ {}", table::count(report.warnings.len(), "warning"));
        // They are what a check is for.
        parts.push(match report.goal {
            Goal::Check => format!("{title}\n\n{lines}"),
            Goal::Build | Goal::Deploy => markdown::folded(&title, &lines),
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
    let is_failed_check = report.goal == Goal::Check && report.result == RunResult::Failure;
    match report.result {
        RunResult::Closed => format!("🔒 Closed {to}"),
        RunResult::Skipped => "➖ Nothing was deployed".to_string(),
        RunResult::Cancelled => "⚠️ Cancelled".to_string(),
        RunResult::Failure if sign != "❌" || rows::none_reached(rows) => {
            format!("❌ {}", report.goal.failure())
        }
        _ if is_failed_check => format!("❌ {}", report.goal.failure()),
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
