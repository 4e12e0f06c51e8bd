//! Code locations as rows, the same for comment and summary, with errors folded below. Their table is
//! `location_table`'s.

use super::images::ImageFacts;
use super::{LocationReport, LocationState, PreviousVersion, Report, cut, markdown, table};
use crate::dependencies::DependencyChanges;
use crate::publish::UploadOutcome;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// A code location as a row. Serialisable, since the jobs of a run merge their rows in one comment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// `location_name`.
    #[serde(rename = "n")]
    pub name: String,
    /// Its state.
    #[serde(rename = "s", with = "super::state::wire")]
    pub state: LocationState,
    /// The source PEX: size and where it came from.
    #[serde(rename = "p", default, skip_serializing_if = "String::is_empty")]
    pub source: String,
    /// The deps PEX.
    #[serde(rename = "d", default, skip_serializing_if = "String::is_empty")]
    pub deps: String,
    /// The image that it is updated to, in a run that deploys images.
    #[serde(rename = "i", default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// What was sent of it, and how many of its layers were made.
    #[serde(rename = "in", default, skip_serializing_if = "Option::is_none")]
    pub image_note: Option<String>,
    /// Version of dagster.
    #[serde(rename = "v", default, skip_serializing_if = "Option::is_none")]
    pub dagster: Option<String>,
    /// What changes in its dependencies.
    #[serde(rename = "c", default, skip_serializing_if = "Option::is_none")]
    pub changes: Option<DependencyChanges>,
    /// Why it is not as requested.
    #[serde(rename = "e", default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What became of the version that ran before.
    #[serde(rename = "b", default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<PreviousVersion>,
    /// The log of its job, where a table has the rows of several jobs.
    #[serde(skip)]
    pub log: Option<String>,
}

/// A row for each code location of a report.
pub fn from_report(report: &Report) -> Vec<Row> {
    report.locations.iter().map(|location| row(location, report)).collect()
}

fn row(location: &LocationReport, report: &Report) -> Row {
    let file = |name: &Option<String>, sent: Option<UploadOutcome>| {
        let built = report.files.iter().find(|file| Some(&file.name) == name.as_ref());
        let size = built.map(|file| table::size(file.size_bytes));
        let time = built.filter(|file| !file.unchanged).map(|file| table::time(file.elapsed));
        let time = time.map(|time| format!("built in {time}"));
        let parts = [sent.map(|sent| sent.words().to_string()), size, time];
        parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
    };
    Row {
        name: location.name.clone(),
        state: location.state,
        source: file(&location.source_pex, location.sent.map(|sent| sent.source)),
        deps: file(&location.deps_pex, location.sent.map(|sent| sent.deps)),
        image: location.image.clone(),
        // Nothing was sent of an image that no registry has.
        image_note: location.image.as_ref().and(location.built_image.as_ref()).map(ImageFacts::sent),
        dagster: versions(location),
        changes: location.dependencies.clone(),
        error: (!location.errors.is_empty()).then(|| location.errors.join("\n\n")),
        previous: location.previous_version,
        log: None,
    }
}

/// The version of dagster, and that of dagster-cloud where it differs.
fn versions(location: &LocationReport) -> Option<String> {
    let dagster = location.dagster_version.clone()?;
    let cloud = location.dagster_cloud_version.as_ref().filter(|version| **version != dagster);
    let cloud = cloud.map(|version| format!(" (dagster-cloud {version})"));
    Some(dagster + &cloud.unwrap_or_default())
}

/// How many code locations that share an error are named.
const MOST_NAMES: usize = 5;

/// The errors, a folded part for each, cut to `limit` bytes. Code locations with the same error share it. With hardly
/// any room there are none: the table has the exceptions.
pub fn errors(rows: &[Row], limit: usize) -> String {
    if limit <= cut::SHORT_BYTES {
        return String::new();
    }
    groups(rows).into_iter().map(|of| fold(&of, limit)).collect::<Vec<_>>().join("\n\n")
}

/// The length of each error that [`errors`] shows, in bytes.
pub fn error_bytes(rows: &[Row]) -> Vec<usize> {
    groups(rows).iter().filter_map(|of| of[0].error.as_ref().map(String::len)).collect()
}

/// The code locations that have an error, grouped by error.
fn groups(rows: &[Row]) -> Vec<Vec<&Row>> {
    let mut groups: Vec<Vec<&Row>> = Vec::new();
    let mut known: HashMap<(String, LocationState), usize> = HashMap::new();
    for row in rows {
        let Some(error) = &row.error else { continue };
        let at = *known.entry((without_name(error, &row.name), row.state)).or_insert(groups.len());
        match groups.get_mut(at) {
            Some(of) => of.push(row),
            None => groups.push(vec![row]),
        }
    }
    groups
}

fn fold(of: &[&Row], limit: usize) -> String {
    let (first, error) = (of[0], of[0].error.as_deref().unwrap_or_default());
    let summary = format!("{} {}: {}", first.state.sign(), names(of, markdown::html), first.state.words());
    markdown::folded(&summary, &markdown::block(&cut::cut(error, limit)))
}

/// An error without its code location: two that differ only in names of PEX files are the same error.
pub fn without_name(error: &str, name: &str) -> String {
    let error = error.replace(&format!("`{name}`"), "`…`");
    let quoted = error.split('`').enumerate();
    let nameless = quoted.map(|(at, part)| match at % 2 == 1 && part.ends_with(".pex") {
        true => "…",
        false => part,
    });
    nameless.collect::<Vec<_>>().join("`")
}

/// The names of code locations, the first few of many.
fn names(of: &[&Row], markup: impl Fn(&str) -> String) -> String {
    let shown: Vec<String> = of.iter().take(MOST_NAMES).map(|row| markup(&row.name)).collect();
    match of.len() - shown.len() {
        0 => shown.join(", "),
        rest => format!("{} and {rest} more", shown.join(", ")),
    }
}

/// What changed in the dependencies, a folded part for each set of changes, `limit` lines of each at most.
pub fn dependency_changes(rows: &[Row], limit: usize) -> String {
    let mut sets: Vec<(&DependencyChanges, Vec<&Row>)> = Vec::new();
    for row in rows {
        let Some(changes) = &row.changes else { continue };
        match sets.iter_mut().find(|(known, _)| known.is_alike(changes)) {
            Some((_, of)) => of.push(row),
            None => sets.push((changes, vec![row])),
        }
    }
    let parts = sets.iter().map(|(changes, of)| {
        let title = format!("📦 {}: {}", names(of, markdown::html), counts(changes));
        markdown::folded(&title, &change_lines(changes, limit))
    });
    parts.collect::<Vec<_>>().join("\n\n")
}

/// `3 dependencies changed, 1 added`.
fn counts(changes: &DependencyChanges) -> String {
    let kinds = [
        (changes.changed.len(), "changed"),
        (changes.added.len(), "added"),
        (changes.removed.len(), "removed"),
    ];
    let mut some = kinds.iter().filter(|(count, _)| *count > 0);
    let first = some
        .next()
        .map(|(count, what)| format!("{} {what}", table::plural(*count, "dependency", "dependencies")));
    first
        .into_iter()
        .chain(some.map(|(count, what)| format!("{count} {what}")))
        .collect::<Vec<_>>()
        .join(", ")
}

fn change_lines(changes: &DependencyChanges, limit: usize) -> String {
    let changed = changes.changed.iter().map(|(name, before, now)| format!("{name} {before} → {now}"));
    let added = changes.added.iter().map(|(name, version)| format!("{name} {version} added"));
    let removed = changes.removed.iter().map(|(name, version)| format!("{name} {version} removed"));
    let mut lines: Vec<String> =
        changed.chain(added).chain(removed).map(|line| format!("- {}", markdown::text(&line))).collect();
    if lines.len() > limit {
        let rest = lines.len() - limit;
        lines.truncate(limit);
        lines.push(format!("- and {rest} more"));
    }
    lines.join("\n")
}

/// Whether no code location was reached, so that none of them shows the cause.
pub fn none_reached(rows: &[Row]) -> bool {
    rows.iter().all(|row| {
        matches!(row.state, LocationState::NotDeployed | LocationState::NotReached) && row.error.is_none()
    })
}

/// One line on all of them: `Deploying 2 code locations`, `1 of 2 code locations failed`.
pub fn headline(rows: &[Row]) -> (&'static str, String) {
    let total = rows.len();
    let locations = |count: usize| table::count(count, "code location");
    let failed = rows.iter().filter(|row| row.state.is_good() == Some(false)).count();
    let open = rows.iter().filter(|row| row.state.is_good().is_none()).count();
    let any = |is: &dyn Fn(LocationState) -> bool| rows.iter().any(|row| is(row.state));
    let built = any(&LocationState::is_of_build) && !any(&LocationState::is_updated);
    match (failed, open) {
        (0, 0) if any(&|state| state == LocationState::Doubtful) => {
            ("⚠️", format!("Read {}, with warnings", locations(total)))
        }
        (0, 0) if any(&|state| state == LocationState::Read) => ("✅", format!("Read {}", locations(total))),
        (0, 0) if built => ("✅", format!("Built {}", locations(total))),
        (0, 0) => ("✅", format!("Deployed {}", locations(total))),
        (0, _) => ("⏳", format!("Deploying {}", locations(total))),
        (failed, _) if failed == total => ("❌", format!("{} failed", locations(total))),
        (failed, _) => ("❌", format!("{failed} of {} failed", locations(total))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Users saw the same refusal of the object store once for each code location.
    #[test]
    fn errors_that_differ_in_names_only_are_one() {
        let error = |name: &str, hash: &str| {
            without_name(
                &format!("`{name}` was not updated: could not upload `source-{hash}.pex`: 403"),
                name,
            )
        };
        assert_eq!(error("one", "1a"), error("two", "2b"));
        assert_ne!(
            error("one", "1a"),
            without_name("`one` was not updated: could not upload it: 403", "one")
        );
    }
}
