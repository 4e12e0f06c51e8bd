//! Tables for people, and numbers in words. Returns text and writes nothing.

use crate::builder::{Built, PexFile};
use crate::hex::{short_hash, short_name};
use crate::plan::Plan;
use std::time::Duration;

/// Rows for people, the header first.
pub struct Table<const N: usize> {
    /// The cells.
    pub rows: Vec<[String; N]>,
    /// Which columns are aligned to the right.
    pub right: [bool; N],
    /// Columns to leave out on a narrow terminal, the least important first.
    pub spare: &'static [usize],
}

impl<const N: usize> Table<N> {
    /// Narrower columns are not cut.
    const LEAST: usize = 8;

    /// A table of texts.
    pub fn of_texts(rows: Vec<[String; N]>) -> Table<N> {
        Table { rows, right: [false; N], spare: &[] }
    }

    /// Its lines, each column as wide as its widest cell, without columns that are empty but for `-`. With `columns`, the width of a terminal, columns are left out
    /// and then cells cut until a line fits.
    pub fn text(&self, columns: Option<usize>) -> String {
        let has_cells =
            |column: &usize| self.rows.iter().skip(1).any(|row| !["", "-"].contains(&row[*column].as_str()));
        let mut shown: Vec<usize> = (0..N).filter(has_cells).collect();
        let width =
            |column: usize| self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let mut widths: [usize; N] = std::array::from_fn(width);
        let columns = columns.unwrap_or(usize::MAX);
        for spare in self.spare {
            if total(&shown, &widths) > columns {
                shown.retain(|column| column != spare);
            }
        }
        while total(&shown, &widths) > columns {
            let texts = shown.iter().filter(|column| !self.right[**column] && widths[**column] > Self::LEAST);
            let Some(widest) = texts.max_by_key(|column| widths[**column]) else { break };
            widths[*widest] -= 1;
        }
        let cell = |row: &[String; N], column: usize| {
            let (text, width) = (cut(&row[column], widths[column]), widths[column]);
            if self.right[column] { format!("{text:>width$}") } else { format!("{text:<width$}") }
        };
        let line = |row| shown.iter().map(|column| cell(row, *column)).collect::<Vec<_>>().join("  ");
        self.rows.iter().map(|row| line(row).trim_end().to_string()).collect::<Vec<_>>().join("\n")
    }
}

fn total<const N: usize>(shown: &[usize], widths: &[usize; N]) -> usize {
    shown.iter().map(|column| widths[*column] + 2).sum::<usize>().saturating_sub(2)
}

/// `text`, or its start and `…` if it is longer than `width`.
fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_string();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

/// `file  size  packages  time  state` of one file.
pub fn file(file: &PexFile) -> Table<5> {
    let header = ["file", "size", "packages", "time", ""].map(String::from);
    let state = if file.unchanged { "unchanged" } else { "built" };
    let row = [
        short_name(&file.name),
        size(file.size_bytes),
        file.packages.to_string(),
        time(file.elapsed),
        state.to_string(),
    ];
    Table { rows: vec![header, row], right: [false, true, true, true, false], spare: &[3, 2] }
}

/// The files of each code location: hash and size, and of how many packages the deps PEX is made.
pub fn built(plan: &Plan, built: &Built) -> Table<7> {
    let header = ["code location", "source PEX", "size", "deps PEX", "size", "packages", ""];
    let mut rows = vec![header.map(String::from)];
    rows.extend(plan.locations.iter().map(|planned| {
        let source = built.sources[planned.source].as_ref().ok();
        let deps = built.deps[planned.deps].as_ref().ok();
        let failed = || ["failed".to_string(), "-".to_string()];
        let sized = |file: &PexFile| [short_hash(&file.name).to_string(), size(file.size_bytes)];
        let [source_name, source_size] = source.map_or_else(failed, sized);
        let [deps_name, deps_size] = deps.map_or_else(failed, |deps| match deps.file() {
            Some(file) => sized(file),
            None => [short_hash(deps.name()).to_string(), "cached".to_string()],
        });
        let packages = deps.map_or("-".to_string(), |deps| deps.resolution().distributions.len().to_string());
        let is_unchanged = |file: Option<&PexFile>| file.is_none_or(|file| file.unchanged);
        let state = match (source, deps) {
            (Some(source), Some(deps)) if is_unchanged(Some(source)) && is_unchanged(deps.file()) => {
                "unchanged"
            }
            (Some(_), Some(_)) => "built",
            _ => "",
        };
        let name = planned.location.name.clone();
        [name, source_name, source_size, deps_name, deps_size, packages, state.to_string()]
    }));
    Table { rows, right: [false, false, true, false, true, true, false], spare: &[5, 6] }
}

/// `1 code location`, `2 code locations`.
pub fn count(number: usize, what: &str) -> String {
    plural(number, what, &format!("{what}s"))
}

/// `1 dependency`, `2 dependencies`.
pub fn plural(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// Bytes in a readable unit: `912 B`, `41.3 kB`, `67.6 MB`.
pub fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.2} GB", bytes as f64 / 1e9),
    }
}

/// A time as people read it: `45 ms`, `3.2 s`, `2 min 05 s`.
pub fn time(time: Duration) -> String {
    match time.as_secs_f64() {
        seconds if seconds < 1.0 => format!("{} ms", time.as_millis()),
        seconds if seconds < 60.0 => format!("{seconds:.1} s"),
        seconds => format!("{} min {:02} s", seconds as u64 / 60, seconds as u64 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let deps = PexFile {
            name: "deps-988a13675f6d2aeefbff99cc0e1c8e54fa289213.pex".into(),
            path: "x".into(),
            size_bytes: 67_660_013,
            packages: 3,
            unchanged: true,
            elapsed: Duration::from_millis(1234),
        };
        insta::assert_snapshot!(file(&deps).text(None), @r"
        file              size  packages   time
        deps-988a1367  67.7 MB         3  1.2 s  unchanged
        ");
    }

    #[test]
    fn a_table_fits_the_terminal() {
        let row = |cells: [&str; 4]| cells.map(String::from);
        let table = Table {
            rows: vec![
                row(["code location", "source", "size", "note"]),
                row(["customer_analytics_reporting", "988a1367", "938.8 kB", "unchanged"]),
            ],
            right: [false, false, true, false],
            spare: &[3],
        };
        insta::assert_snapshot!(table.text(None), @r"
        code location                 source        size  note
        customer_analytics_reporting  988a1367  938.8 kB  unchanged
        ");
        insta::assert_snapshot!(table.text(Some(50)), @r"
        code location                 source        size
        customer_analytics_reporting  988a1367  938.8 kB
        ");
        insta::assert_snapshot!(table.text(Some(40)), @r"
        code location         source        size
        customer_analytics_…  988a1367  938.8 kB
        ");
        for columns in 30..100 {
            let text = table.text(Some(columns));
            assert!(text.lines().all(|line| line.chars().count() <= columns), "{columns}: {text}");
        }
    }

    #[test]
    fn times_and_sizes_have_units() {
        assert_eq!(
            [time(Duration::from_millis(45)), time(Duration::from_secs(125))],
            ["45 ms", "2 min 05 s"]
        );
        assert_eq!([size(0), size(1_000), size(2_500_000_000)], ["0 B", "1.0 kB", "2.50 GB"]);
    }
}
