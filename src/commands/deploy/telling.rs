//! What a deploy says, in the log and on stdout.

use crate::builder::Built;
use crate::cli::Format;
use crate::commands::Error;
use crate::error::{Explain, Fault, error_text};
use crate::host::Host;
use crate::plan::Plan;
use crate::publish::UploadOutcome;
use crate::report::images::ImageFacts;
use crate::report::{self, LocationReport, Report, RunResult, rows};
use crate::update::Outcome;
use crate::verify::{self, Verified};
use serde_json::json;
use std::path::Path;

/// A warning about a code location that does not load here, if that is tolerated.
pub(super) fn tolerated(Verified { name, outcome, is_tolerated }: &Verified) -> Option<String> {
    let verify::Outcome::Failed { not_here: Some(reason), .. } = outcome else { return None };
    let error = outcome.error_line().unwrap_or_default();
    is_tolerated.then(|| format!("{name} does not load here, but may load elsewhere: {reason} ({error})"))
}

/// Print each failure once, with the code locations that have it if there are several.
pub fn say_failures(outcomes: &[Outcome], host: &Host) {
    let mut said: Vec<(String, String, Vec<&str>)> = Vec::new();
    for Outcome { name, result, .. } in outcomes {
        let Err(error) = result else { continue };
        let kind = rows::without_name(&error_text(error, false), name);
        match said.iter_mut().find(|(known, ..)| *known == kind) {
            Some((.., names)) => names.push(name),
            None => said.push((kind, error_text(error, host.color()), vec![name])),
        }
    }
    for (_, text, names) in said {
        match names.split_first() {
            Some((_, others)) if !others.is_empty() => {
                host.say(&format!("{text}\n  the same for: {}", others.join(", ")));
            }
            _ => host.say(&text),
        }
    }
}

/// `code location  state  source PEX  deps PEX` or `code location  state  image`, a line a code location, for a terminal
/// with this many columns; `None` if none has a result.
pub fn outcomes(report: &Report, columns: Option<usize>) -> Option<String> {
    if !report.locations.iter().any(|location| location.state.is_at_dagster()) {
        return None;
    }
    if report.locations.iter().any(|location| location.image.is_some()) {
        let mut rows = vec![["code location", "state", "image"].map(String::from)];
        rows.extend(report.locations.iter().map(|location| {
            let image = location.image.clone().unwrap_or("-".into());
            [location.name.clone(), location.state.words().to_string(), image]
        }));
        return Some(report::table::Table::of_texts(rows).text(columns));
    }
    let word = |sent: Option<UploadOutcome>| sent.map_or("-", UploadOutcome::words).to_string();
    let mut rows = vec![["code location", "state", "source PEX", "deps PEX"].map(String::from)];
    rows.extend(report.locations.iter().map(|location| {
        let (source, deps) = (location.sent.map(|sent| sent.source), location.sent.map(|sent| sent.deps));
        [location.name.clone(), location.state.words().to_string(), word(source), word(deps)]
    }));
    Some(report::table::Table::of_texts(rows).text(columns))
}

/// Print the JSON document of a run to stdout, if it has one.
pub(super) fn print(report: &Report, format: Format, host: &Host) -> Result<(), Error> {
    let deployment = report.deployment.as_ref();
    let (document, text) = match report.result {
        RunResult::Closed => (
            json!({"deployment": deployment, "closed": true}),
            deployment.map(|deployment| deployment.name.clone()),
        ),
        RunResult::Skipped => (json!({"skipped": report.reason}), None),
        _ if !report.files.is_empty() || report.locations.iter().any(|one| one.is_decided()) => {
            (json!(report), Some(lines(report)))
        }
        _ => return Ok(()),
    };
    match (format, text) {
        (Format::Json, _) => crate::commands::print_json(host, &document),
        // The tables say the same there.
        (Format::Text, Some(_)) if !report.locations.is_empty() && host.shows_notes_and_data() => Ok(()),
        (Format::Text, Some(text)) => host.data(&text).map_err(Error::Stdout),
        (Format::Text, None) => Ok(()),
    }
}

/// Name and tag or image of each code location, and its state if it was to be deployed.
fn lines(report: &Report) -> String {
    let line = |location: &LocationReport| {
        let state = location.state.is_at_dagster().then(|| location.state.name());
        let built = || location.built_image.as_ref().map(ImageFacts::place);
        let runs = location.pex_tag.clone().or(location.image.clone()).or_else(built);
        let columns = [Some(location.name.clone()), runs, state];
        columns.into_iter().flatten().collect::<Vec<_>>().join("\t")
    };
    let has_code = |location: &&LocationReport| {
        location.pex_tag.is_some() || location.image.is_some() || location.built_image.is_some()
    };
    let built = report.locations.iter().filter(has_code);
    let lines: Vec<String> = built.map(line).collect();
    let out_dir = report.out_dir.as_deref().unwrap_or(Path::new("."));
    match (lines.is_empty(), report.files.as_slice()) {
        (false, _) => lines.join("\n"),
        (true, []) => format!("nothing built in {}", out_dir.display()),
        (true, files) => {
            let names: Vec<&str> = files.iter().map(|file| file.name.as_str()).collect();
            format!(
                "no code location has both of its files in {}; built: {}",
                out_dir.display(),
                names.join(", ")
            )
        }
    }
}

/// The last line of a run that deployed nothing: what it did, and the flags that deploy.
pub(super) fn not_deployed(upload: bool, update: bool, report: &Report) -> Option<String> {
    match (upload, update) {
        (_, true) => None,
        (true, false) => Some("Uploaded, not deployed; add --update to deploy".into()),
        (false, false) => {
            let out_dir = report.out_dir.as_deref().unwrap_or(Path::new("."));
            Some(format!("Built in {}, not deployed; add --upload --update to deploy", out_dir.display()))
        }
    }
}

pub(super) fn heading(plan: &Plan, python_origin: &str) -> String {
    use crate::report::table::count;
    format!(
        "Building {} for Python {} ({python_origin}) on {}: {}, {}",
        count(plan.locations.len(), "code location"),
        plan.target.python,
        plan.target.platform,
        count(plan.sources.len(), "source PEX file"),
        count(plan.deps.len(), "deps PEX file"),
    )
}

/// Print each failure once, with the code locations that have it; returns the error that names all of them.
pub(super) fn not_built(plan: &Plan, built: &Built, host: &Host) -> Option<Error> {
    let sources =
        built.sources.iter().enumerate().filter_map(|(at, result)| Some((result.as_ref().err()?, at, true)));
    let deps =
        built.deps.iter().enumerate().filter_map(|(at, result)| Some((result.as_ref().err()?, at, false)));
    let mut failed: Vec<String> = Vec::new();
    let mut fault = Fault::Project;
    for (error, at, is_source) in sources.chain(deps) {
        let hit = plan
            .locations
            .iter()
            .filter(|planned| at == if is_source { planned.source } else { planned.deps });
        let names: Vec<String> = hit.map(|planned| planned.location.name.clone()).collect();
        host.say(&format!("{}\n  for: {}", error_text(error, host.color()), names.join(", ")));
        fault = error.fault();
        failed.extend(names);
    }
    failed.sort();
    failed.dedup();
    (!failed.is_empty()).then(|| Error::NotBuilt { total: plan.locations.len(), failed, fault })
}
