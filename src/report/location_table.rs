//! Code locations as a Markdown table, for the comment and for the summary: what needs a reader first, the exception of
//! a failure without a click.

use super::rows::Row;
use super::{DeploymentReport, LocationState, cut, markdown, table};

/// Longest exception in a cell.
const LONGEST_GIST_BYTES: usize = 160;
/// A longer table folds away the code locations that got nothing new.
const MOST_ROWS: usize = 10;
/// So many of them are worth folding away.
const LEAST_FOLDED: usize = 3;

/// The version of dagster, if all rows that have one have the same.
pub fn shared_dagster(rows: &[Row]) -> Option<&str> {
    let mut versions = rows.iter().filter_map(|row| row.dagster.as_deref());
    let first = versions.next()?;
    versions.all(|version| version == first).then_some(first)
}

/// How to show a table.
pub struct View<'a> {
    /// The deployment, for links to the pages of its code locations.
    pub deployment: Option<&'a DeploymentReport>,
    /// Length that errors were cut to.
    pub error_bytes: usize,
    /// Whether both files and the version of dagster have a column each, or one together, without a version that all
    /// rows share.
    pub has_file_columns: bool,
}

/// The rows as a table: failed and open ones, then those with new files, then the others, which a long table folds
/// away. Columns that would be empty are left out.
pub fn table(rows: &[Row], view: &View<'_>) -> String {
    let mut ordered: Vec<&Row> = rows.iter().collect();
    ordered.sort_by_key(|row| rank(row));
    let others = ordered.partition_point(|row| rank(row) < Rank::Nothing);
    let folded = match rows.len() > MOST_ROWS && rows.len() - others >= LEAST_FOLDED {
        true => ordered.split_off(others),
        false => Vec::new(),
    };
    let shared = shared_dagster(rows);
    let mut parts = Vec::new();
    if !ordered.is_empty() {
        parts.push(view.lines(&ordered, shared));
    }
    if !folded.is_empty() {
        parts.push(markdown::folded(&fold_title(&folded), &view.lines(&folded, shared)));
    }
    parts.join("\n\n")
}

/// In which part of the table a row is.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Failed,
    Open,
    New,
    Nothing,
}

fn rank(row: &Row) -> Rank {
    match row.state.is_good() {
        Some(false) => Rank::Failed,
        None => Rank::Open,
        Some(true) if row.state == LocationState::Unchanged => Rank::Nothing,
        // A row without files, of a check or of an image, has something to tell too.
        Some(true) if row.source.is_empty() || !(is_reused(&row.source) && is_reused(&row.deps)) => Rank::New,
        Some(true) => Rank::Nothing,
    }
}

/// Whether a file was in the registry before the run. The text is that of a [`Row`].
fn is_reused(file: &str) -> bool {
    file.starts_with("cached") || file.starts_with("already there")
}

fn fold_title(rows: &[&Row]) -> String {
    let locations = table::count(rows.len(), "code location");
    match rows.iter().all(|row| row.state == LocationState::Unchanged) {
        true => format!("➖ {locations} unchanged"),
        false => format!("✅ {locations} without new files"),
    }
}

impl View<'_> {
    fn lines(&self, rows: &[&Row], shared: Option<&str>) -> String {
        let has_files = rows.iter().any(|row| !row.source.is_empty() || !row.deps.is_empty());
        let has_images = rows.iter().any(|row| row.image.is_some());
        let head = match (has_files, self.has_file_columns) {
            _ if has_images && has_files => {
                "| | Code location | State | Image or PEX files |\n|---|---|---|---|"
            }
            _ if has_images => "| | Code location | State | Image |\n|---|---|---|---|",
            (true, true) => {
                "| | Code location | State | Source PEX | Deps PEX | dagster |\n|---|---|---|---|---|---|"
            }
            (true, false) => "| | Code location | State | Build |\n|---|---|---|---|",
            (false, _) => "| | Code location | State |\n|---|---|---|",
        };
        let some = |text: &str| if text.is_empty() { "–".to_string() } else { markdown::text(text) };
        let line = |row: &&Row| {
            let start = format!("| {} | {} | {} |", row.state.sign(), self.name(row), self.state(row));
            let dagster = row.dagster.as_deref().unwrap_or_default();
            match (has_files, self.has_file_columns) {
                _ if has_images && row.image.is_some() => format!("{start} {} |", self.image(row, shared)),
                _ if has_images => format!("{start} {} |", some(&build(row, shared))),
                (true, true) => {
                    format!("{start} {} | {} | {} |", some(&row.source), some(&row.deps), some(dagster))
                }
                (true, false) => format!("{start} {} |", some(&build(row, shared))),
                (false, _) => start,
            }
        };
        std::iter::once(head.to_string()).chain(rows.iter().map(line)).collect::<Vec<_>>().join("\n")
    }

    /// Its image, what was sent of it, and the version of dagster in it, unless the comment says it for all rows.
    fn image(&self, row: &Row, shared: Option<&str>) -> String {
        let dagster =
            row.dagster.as_deref().filter(|version| self.has_file_columns || shared != Some(version));
        let dagster = dagster.map(|version| format!("dagster {version}"));
        let notes: Vec<String> = row.image_note.clone().into_iter().chain(dagster).collect();
        let notes = if notes.is_empty() { String::new() } else { format!("<br>{}", notes.join(", ")) };
        format!("{}{notes}", markdown::cell(row.image.as_deref().unwrap_or_default()))
    }

    /// Its name, as a link to its page where Dagster+ has one.
    fn name(&self, row: &Row) -> String {
        let is_there =
            row.state.is_updated() || row.state == LocationState::Unchanged || row.previous.is_some();
        let name = markdown::cell(&row.name);
        match self.deployment.filter(|_| is_there) {
            Some(deployment) => markdown::link(&name, &deployment.location_page(&row.name)),
            None => name,
        }
    }

    /// Its state, the exception if it failed, and what runs now.
    fn state(&self, row: &Row) -> String {
        let gist = row.error.as_deref().and_then(cut::gist).map(cut::without_module);
        let gist = gist.map(|gist| cut::within(gist, LONGEST_GIST_BYTES.min(self.error_bytes)));
        let gist = gist.map(|gist| format!("<br>{}", markdown::cell(&gist))).unwrap_or_default();
        let log = row.log.as_deref().filter(|_| row.state.is_good() == Some(false));
        let log = log.map(|log| format!(" ({})", markdown::link("log", log))).unwrap_or_default();
        let previous = row.previous.map(|previous| format!("<br>{}", previous.words())).unwrap_or_default();
        format!("{}{log}{gist}{previous}", row.state.words())
    }
}

/// Both files, and the version of dagster if it is not `shared`: `source 936 B, deps reused, dagster 1.13.27`.
fn build(row: &Row, shared: Option<&str>) -> String {
    let file = |what: &str, text: &str| match text {
        "" => None,
        text if is_reused(text) => Some(format!("{what} reused")),
        text => {
            let size = text.trim_start_matches("uploaded, ").split(", built in ").next().unwrap_or_default();
            Some(format!("{what} {size}"))
        }
    };
    let files = match is_reused(&row.source) && is_reused(&row.deps) {
        true => vec!["files reused".to_string()],
        false => [file("source", &row.source), file("deps", &row.deps)].into_iter().flatten().collect(),
    };
    let dagster = row.dagster.as_deref().filter(|version| shared != Some(version));
    let dagster = dagster.map(|version| format!("dagster {version}"));
    files.into_iter().chain(dagster).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::PreviousVersion;

    fn row(name: &str, state: LocationState, source: &str, deps: &str) -> Row {
        let dagster = (!deps.is_empty()).then(|| "1.13.27".to_string());
        let (name, source, deps) = (name.into(), source.into(), deps.into());
        Row {
            name,
            state,
            source,
            deps,
            image: None,
            image_note: None,
            dagster,
            changes: None,
            error: None,
            previous: None,
            log: None,
        }
    }

    fn shown(rows: &[Row]) -> String {
        let deployment = DeploymentReport {
            name: "prod".into(),
            is_branch: false,
            url: "https://acme.dagster.cloud/prod/locations".into(),
            commit_hash: None,
        };
        table(rows, &View { deployment: Some(&deployment), error_bytes: 1_000, has_file_columns: false })
    }

    #[test]
    fn a_row_says_what_failed_and_what_runs_now() {
        let new = "uploaded, 12.0 kB, built in 45 ms";
        let failed = Row {
            error: Some("error: it failed to load:\nproj.errors.KeyError: 'a|b'\nhint: look".into()),
            previous: Some(PreviousVersion::Stopped),
            log: Some("https://git.example/job/1".into()),
            ..row("so so|", LocationState::FailedToLoad, new, "uploaded, 67.7 MB, built in 3.2 s")
        };
        let kept = Row {
            error: Some("error: no such file".into()),
            previous: Some(PreviousVersion::Running),
            ..row("kept", LocationState::NotBuilt, "", "")
        };
        let rows = [
            row("same", LocationState::Loaded, "already there, 12.0 kB, built in 45 ms", "cached"),
            row("new", LocationState::Loaded, new, "cached"),
            row("open", LocationState::Pending, "", ""),
            kept,
            Row { dagster: Some("1.12.0".into()), ..failed },
        ];
        insta::assert_snapshot!(shown(&rows), @r#"
        | | Code location | State | Build |
        |---|---|---|---|
        | ❌ | [`kept`](https://acme.dagster.cloud/prod/locations/kept) | failed<br>`no such file`<br>the previous version still runs | – |
        | ❌ | [`so so\|`](https://acme.dagster.cloud/prod/locations/so%20so%7C) | failed to load ([log](https://git.example/job/1))<br>`KeyError: 'a\|b'`<br>the previous version was stopped | source 12.0 kB, deps 67.7 MB, dagster 1.12.0 |
        | ⏳ | `open` | pending | – |
        | ✅ | [`new`](https://acme.dagster.cloud/prod/locations/new) | loaded | source 12.0 kB, deps reused, dagster 1.13.27 |
        | ✅ | [`same`](https://acme.dagster.cloud/prod/locations/same) | loaded | files reused, dagster 1.13.27 |
        "#);
    }

    #[test]
    fn images_have_a_column_of_their_own() {
        let image =
            Row { image: Some("ghcr.io/acme/app:1".into()), ..row("one", LocationState::Loaded, "", "") };
        insta::assert_snapshot!(shown(&[image]), @r#"
        | | Code location | State | Image |
        |---|---|---|---|
        | ✅ | [`one`](https://acme.dagster.cloud/prod/locations/one) | loaded | `ghcr.io/acme/app:1` |
        "#);
    }

    /// Of a workspace of twenty, those that a reader looks for would be anywhere.
    #[test]
    fn a_long_table_folds_what_got_nothing_new() {
        let (new, same) = ("uploaded, 1.0 kB", "already there, 1.0 kB");
        let all = |count: usize, state, same| {
            let rows = (0..count).map(|at| row(&format!("s{at:02}"), state, same, "cached"));
            [row("new", LocationState::Loaded, new, "cached")].into_iter().chain(rows).collect::<Vec<_>>()
        };
        let text = shown(&all(19, LocationState::Unchanged, same));
        let (open, folded) = text.split_once("<details><summary>").unwrap();
        assert!(open.contains("`new`") && !open.contains("`s00`"), "{open}");
        assert!(
            folded.starts_with("➖ 19 code locations unchanged</summary>\n\n| | Code location"),
            "{folded}"
        );
        assert_eq!(folded.matches("unchanged |").count(), 19);
        let text = shown(&all(19, LocationState::Loaded, same));
        assert!(text.contains("<summary>✅ 19 code locations without new files</summary>"), "{text}");
        // Short tables, and long ones in which everything is new, stay as they are.
        for rows in [all(9, LocationState::Unchanged, same), all(19, LocationState::Loaded, new)] {
            assert!(!shown(&rows).contains("<details>"));
        }
        assert!(shown(&all(9, LocationState::Unchanged, same)).lines().nth(2).unwrap().contains("`new`"));
    }
}
