//! The summary of the action's step, as Markdown.

use super::facts::{Facts, utc};
use super::location_table::{self, View};
use super::{DeploymentReport, Problem, Purpose, Report, RunResult, cut, markdown, rows, table};
use crate::plan::shards::PlannedJobs;
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
        let deployment = report.deployment.as_ref();
        let view = View { deployment, error_bytes: limits.error_bytes, has_file_columns: true };
        parts.push(location_table::table(&rows, &view));
    }
    if let Some(note) = &report.also_deployed_note {
        parts.push(markdown::text(note));
    }
    let has_error = rows.iter().any(|row| row.error.is_some());
    let is_told = |problem: &&Problem| match report.purpose {
        Purpose::Check => report.locations.iter().any(|location| location.problems.contains(problem)),
        // They count what the rows show.
        Purpose::Build | Purpose::Deploy | Purpose::Other => has_error,
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
            Purpose::Build | Purpose::Deploy | Purpose::Other => markdown::folded(&title, &lines),
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
        .map(|deployment| deployment.title(facts.branch.as_deref()))
        .unwrap_or_default();
    let open = report.deployment.as_ref().map(DeploymentReport::open).unwrap_or_default();
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
        _ if sign == "❌" => format!("{sign} {text} on {to}{open}"),
        _ => format!("{sign} {text} to {to}{open}"),
    }
}

/// The summary of a plan: the jobs, each with its code locations and why they are deployed.
pub fn of_plan(planned: &PlannedJobs) -> String {
    let mut parts = vec![format!("### 📋 {}", planned.sentence())];
    parts.extend(planned.reason.as_deref().map(markdown::text));
    if !planned.matrix.include.is_empty() {
        let mut lines = vec!["| Job | Code location | Why |\n|---|---|---|".to_string()];
        for job in &planned.matrix.include {
            lines.extend(job.names.iter().map(|name| {
                let why = planned.reasons.get(name).map(|why| markdown::text(why));
                format!(
                    "| {} | {} | {} |",
                    job.shard,
                    markdown::cell(name),
                    why.unwrap_or_else(|| "–".into())
                )
            }));
        }
        parts.push(lines.join("\n"));
    }
    parts.join("\n\n") + "\n"
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
    use crate::plan::shards::Matrix;
    use crate::report::{LocationReport, LocationState};
    use std::time::UNIX_EPOCH;

    const BUDGET: usize = 900 * 1024;

    #[test]
    fn a_plan_says_why_each_code_location_is_deployed() {
        let planned = PlannedJobs {
            matrix: Matrix::spread(&[("a|b", 0), ("two", 1)], 2),
            total: 3,
            reason: None,
            reasons: [("a|b".to_string(), "its source PEX differs".to_string())].into(),
        };
        insta::assert_snapshot!(of_plan(&planned), @r#"
        ### 📋 2 of 3 code locations to deploy, in 2 jobs

        | Job | Code location | Why |
        |---|---|---|
        | 1 | `a\|b` | its source PEX differs |
        | 2 | `two` | – |
        "#);
        let nothing =
            PlannedJobs { reason: Some("the pull request is closed".into()), ..PlannedJobs::default() };
        insta::assert_snapshot!(of_plan(&nothing), @r#"
        ### 📋 Nothing to deploy

        the pull request is closed
        "#);
        insta::assert_snapshot!(of_plan(&PlannedJobs { total: 3, ..PlannedJobs::default() }), @"### 📋 0 of 3 code locations to deploy");
    }

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
                let exception = format!("ValueError: root-{at}-");
                let row = format!("| `loc_{at}` | failed to load<br>`{exception}` |");
                assert!(summary.contains(&row), "{count}: row {at}");
                if text_bytes > 0 {
                    let fold = folds.get(at).copied().unwrap_or_default();
                    let title = format!(" loc_{at}: failed to load</summary>");
                    assert!(fold.starts_with(&title), "{count}: {}", fold);
                    assert!(fold.contains(&exception), "{count}: {}", fold);
                    assert!(fold.len() > text_bytes, "{count}: {}", fold.len());
                }
            }
        }
    }
}
