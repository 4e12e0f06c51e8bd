//! The version of the program, which identifies the source of a binary.

use crate::support::{pexpress, repository, run};
use std::process::Command;

#[test]
fn the_long_version_names_the_source_and_the_target() {
    let script = run(Command::new("sh").arg("scripts/source-hash").current_dir(repository()));
    let hash = String::from_utf8(script.stdout).unwrap();
    let version = run(pexpress().arg("--version"));
    let version = String::from_utf8(version.stdout).unwrap();
    let lines: Vec<_> = version.lines().collect();
    assert_eq!(lines.len(), 3, "{version}");
    assert_eq!(lines[0], concat!("pexpress ", env!("CARGO_PKG_VERSION")));
    assert_eq!(lines[1], format!("source {}", hash.trim()));
    assert!(lines[2].starts_with("target ") && lines[2].contains(std::env::consts::ARCH), "{version}");
}

#[test]
fn the_short_version_is_one_line() {
    let version = run(pexpress().arg("-V"));
    assert_eq!(
        String::from_utf8(version.stdout).unwrap(),
        concat!("pexpress ", env!("CARGO_PKG_VERSION"), "\n")
    );
}
