//! The outputs of the action's step: names as in `action.yml`, values as text.

use super::facts::Facts;
use super::{LocationReport, Report, cut};
use serde_json::{Map, Value, json};

/// How much of each error goes into an output: all outputs of a job together may have 1 MB.
const LONGEST_ERROR_BYTES: usize = 2_000;

/// How much of an error is in `reason`.
const LONGEST_REASON_BYTES: usize = 500;

/// Name and value of each output except `comment_url`, which is known last.
pub fn from_report(report: &Report, facts: &Facts) -> Vec<(&'static str, String)> {
    let deployment = report.deployment.as_ref();
    let text = |text: Option<&str>| text.unwrap_or_default().to_string();
    let reason = problem(report).or_else(|| report.reason.clone());
    vec![
        ("result", report.result.name().to_string()),
        ("reason", reason.unwrap_or_default()),
        ("deployment", text(deployment.map(|deployment| deployment.name.as_str()))),
        ("deployment_url", text(deployment.map(|deployment| deployment.url.as_str()))),
        ("is_branch_deployment", deployment.is_some_and(|deployment| deployment.is_branch).to_string()),
        ("commit", facts.commit_of(report).unwrap_or_default()),
        ("locations", locations(report).to_string()),
        ("pex_tags", pex_tags(report).to_string()),
        ("images", images(report).to_string()),
        ("changed", report.changed().to_string()),
        ("timings", timings(report).to_string()),
        (
            "build_output_dir",
            report.out_dir.as_ref().map(|path| path.display().to_string()).unwrap_or_default(),
        ),
    ]
}

/// What ended the run: the first code location's error (`NAME: headline (file:line)`), or else that of the run.
fn problem(report: &Report) -> Option<String> {
    let title = &report.problems.first()?.title;
    let mut failed = report.locations.iter().filter(|location| !location.errors.is_empty());
    let Some(first) = failed.next().filter(|_| report.problems.len() == 1) else {
        return Some(title.clone());
    };
    let headline = format!("{}: {}", first.name, cut::headline(&first.errors[0], &first.name));
    let place = first.problems.first().and_then(|problem| problem.place.as_ref());
    let place = place.map(|place| format!(" ({place})")).unwrap_or_default();
    let others = match failed.count() {
        0 => String::new(),
        others => format!("; {others} more failed"),
    };
    Some(cut::within(&headline, LONGEST_REASON_BYTES) + &place + &others)
}

fn locations(report: &Report) -> Value {
    let cut = |errors: &mut Value| {
        for error in errors.as_array_mut().into_iter().flatten() {
            *error = json!(cut::cut(error.as_str().unwrap_or_default(), LONGEST_ERROR_BYTES));
        }
    };
    let mut locations = json!(report.locations);
    for location in locations.as_array_mut().into_iter().flatten() {
        cut(&mut location["errors"]);
        // Long, and the same for every code location of a requirement set.
        location.as_object_mut().map(|location| location.shift_remove("dependencies"));
    }
    locations
}

fn pex_tags(report: &Report) -> Value {
    let tags = report
        .locations
        .iter()
        .filter_map(|location| Some((location.name.clone(), Value::from(location.pex_tag.clone()?))));
    Value::Object(tags.collect::<Map<_, _>>())
}

/// The image of each code location that has one; `digest` where it was built here.
fn images(report: &Report) -> Value {
    let image = |location: &LocationReport| {
        let digest = location.built_image.as_ref().map(|image| image.digest.clone());
        let reference = location.image.clone();
        let known = reference.is_some() || digest.is_some();
        known.then(|| (location.name.clone(), json!({"reference": reference, "digest": digest})))
    };
    Value::Object(report.locations.iter().filter_map(image).collect::<Map<_, _>>())
}

/// Seconds by stage, and `total`.
fn timings(report: &Report) -> Value {
    let mut timings = Map::new();
    for stage in &report.stages {
        timings.insert(stage.name.into(), json!(stage.seconds));
    }
    timings.insert("total".into(), json!(report.seconds));
    Value::Object(timings)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{LocationReport, Problem, RunResult};

    #[test]
    fn the_reason_has_the_first_error_and_no_error_is_cut_to_nothing() {
        let keys = vec!["AssetKey(['warehouse', 'table'])"; 90].join(", ");
        let error =
            format!("error: the code location `a` was updated and failed to load:\nInvalidError: {keys}");
        let location = LocationReport { name: "a".into(), errors: vec![error], ..LocationReport::default() };
        let title = "1 of 1 code locations could not be deployed";
        let problem = Problem { title: title.into(), text: title.into(), place: None };
        let report = Report {
            result: RunResult::Failure,
            locations: vec![location],
            problems: vec![problem],
            ..Report::default()
        };
        let outputs = from_report(&report, &Facts::default());
        let output = |name: &str| outputs.iter().find(|(known, _)| *known == name).unwrap().1.clone();
        let start = "a: updated and failed to load: InvalidError: AssetKey(['warehouse'";
        assert!(output("reason").starts_with(start), "{}", output("reason"));
        assert!(output("reason").len() < 600, "{}", output("reason"));
        let locations: Value = serde_json::from_str(&output("locations")).unwrap();
        let shown = locations[0]["errors"][0].as_str().unwrap();
        assert!(shown.contains("InvalidError: AssetKey") && shown.len() <= LONGEST_ERROR_BYTES, "{shown}");
    }
}
