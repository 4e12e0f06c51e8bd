//! `docs/variables.md` has the environment variables of `src/env_vars.rs`.
//!
//! `PEXPRESS_WRITE_DOCS=1 cargo test variables_doc` updates it.

use crate::support::repository;
use regex::Regex;
use std::collections::BTreeSet;
use std::path::Path;

/// Names in the source that are set when the program is built or tested, and not read when it runs.
const OF_BUILDS: [&str; 6] = [
    "PEXPRESS_SOURCE_HASH",
    "PEXPRESS_TARGET",
    "PEXPRESS_PEX_RUNTIME",
    "PEXPRESS_NIGHTLY",
    "PEXPRESS_POETRY_LOCKS",
    "PEXPRESS_UV_LOCKS",
];

/// Headings, introductions, and the starts of the names below them; the last has all others.
const SECTIONS: [(&str, &str, &[&str]); 3] = [
    ("pexpress", "Its own settings.", &["PEXPRESS_"]),
    (
        "Dagster+",
        "A flag or an input wins over its variable ([deploying.md](deploying.md#where-to)).",
        &["DAGSTER_", "SERVERLESS_", "ORGANIZATION_ID"],
    ),
    (
        "Others",
        "Settings of uv, pip, the network and the system, and what the runner of a workflow sets.",
        &[""],
    ),
];

/// Name and description of each variable, in the order of the file.
fn variables() -> Vec<(String, String)> {
    let text = std::fs::read_to_string(repository().join("src/env_vars.rs")).unwrap();
    let pattern = Regex::new(r#"(?m)((?:^/// .*\n)+)pub const \w+: &str = "(\w+)";"#).unwrap();
    let found = pattern.captures_iter(&text).map(|found| {
        let lines: Vec<&str> = found[1].lines().map(|line| line.trim_start_matches("/// ")).collect();
        (found[2].to_string(), lines.join(" "))
    });
    found.collect()
}

fn document() -> String {
    let mut document = String::from(
        "# Environment variables\n\nThose that `pexpress` reads, each with what it is for.\nVariables of the installer: [install.md](install.md).\n\n<!-- Written by tests/it/cli/variables_doc.rs from src/env_vars.rs. -->\n",
    );
    let mut left = variables();
    for (heading, introduction, starts) in SECTIONS {
        document += &format!("\n## {heading}\n\n{introduction}\n\n| variable | |\n|---|---|\n");
        let (here, others): (Vec<_>, Vec<_>) =
            left.into_iter().partition(|(name, _)| starts.iter().any(|start| name.starts_with(start)));
        here.iter().for_each(|(name, what)| document += &format!("| `{name}` | {what} |\n"));
        left = others;
    }
    document
}

#[test]
fn the_document_has_every_variable() {
    let path = repository().join("docs/variables.md");
    let document = document();
    if std::env::var_os("PEXPRESS_WRITE_DOCS").is_some() {
        std::fs::write(&path, document).unwrap();
        return;
    }
    let present = std::fs::read_to_string(&path).unwrap();
    assert!(
        present == document,
        "docs/variables.md is out of date; PEXPRESS_WRITE_DOCS=1 cargo test variables_doc"
    );
}

#[test]
fn no_variable_of_ours_is_read_elsewhere() {
    let known: BTreeSet<String> = variables().into_iter().map(|(name, _)| name).collect();
    assert!(known.contains("PEXPRESS_CACHE_DIR"));
    let pattern = Regex::new(r"PEXPRESS_[A-Z_]*[A-Z]").unwrap();
    let mut named = BTreeSet::new();
    let mut waiting = vec![repository().join("src"), repository().join("action.yml")];
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            waiting.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|end| end == "rs") || path.ends_with(Path::new("action.yml")) {
            let text = std::fs::read_to_string(&path).unwrap();
            named.extend(pattern.find_iter(&text).map(|found| found.as_str().to_string()));
        }
    }
    let unknown: Vec<_> =
        named.iter().filter(|name| !known.contains(*name) && !OF_BUILDS.contains(&name.as_str())).collect();
    assert!(unknown.is_empty(), "not in src/env_vars.rs: {unknown:?}");
}
