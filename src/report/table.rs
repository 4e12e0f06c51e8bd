//! The files of a build, as a table for people. Returns text and writes nothing.

use crate::builder::PexFile;
use std::time::Duration;

/// `file  size  packages  seconds  state`, a line a file, columns aligned; empty without files.
pub fn files(files: &[&PexFile]) -> String {
    if files.is_empty() {
        return String::new();
    }
    let mut rows = vec![["file", "size", "packages", "time", ""].map(String::from)];
    rows.extend(files.iter().map(|file| {
        let state = if file.unchanged { "unchanged" } else { "built" };
        [
            file.name.clone(),
            size(file.size_bytes),
            file.packages.to_string(),
            time(file.elapsed),
            state.to_string(),
        ]
    }));
    aligned(&rows, &[false, true, true, true, false])
}

/// Rows as lines, each column as wide as its widest cell; `right` says which are aligned to the right.
pub fn aligned<const N: usize>(rows: &[[String; N]], right: &[bool; N]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(width).collect();
    let cell = |row: &[String; N], column: usize| match right[column] {
        true => format!("{:>1$}", row[column], widths[column]),
        false => format!("{:<1$}", row[column], widths[column]),
    };
    let line = |row: &[String; N]| (0..N).map(|column| cell(row, column)).collect::<Vec<_>>().join("  ");
    rows.iter().map(|row| line(row).trim_end().to_string()).collect::<Vec<_>>().join("\n")
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
        let file = |name: &str, size_bytes, unchanged| PexFile {
            name: name.into(),
            path: name.into(),
            size_bytes,
            packages: 3,
            unchanged,
            elapsed: Duration::from_millis(1234),
        };
        assert_eq!(files(&[]), "");
        let (deps, source) = (file("deps-1.pex", 67_660_013, true), file("source-22.pex", 936, false));
        insta::assert_snapshot!(files(&[&deps, &source]), @r"
        file              size  packages   time
        deps-1.pex     67.7 MB         3  1.2 s  unchanged
        source-22.pex    936 B         3  1.2 s  built
        ");
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
