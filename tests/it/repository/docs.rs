//! What the documents refer to: tests by name, files, headings.

use crate::support::repository;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Documents for people, with their texts.
fn documents() -> Vec<(PathBuf, String)> {
    let root = repository();
    let mut files: Vec<PathBuf> =
        ["README.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md"].map(|name| root.join(name)).into();
    let docs = std::fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
    files.extend(docs.filter(|path| path.extension().is_some_and(|ending| ending == "md")));
    files.into_iter().map(|file| (file.clone(), std::fs::read_to_string(file).unwrap())).collect()
}

/// What stands between backticks, outside of code blocks.
fn quoted(text: &str) -> Vec<&str> {
    let prose = text.split("```").step_by(2);
    prose.flat_map(|part| part.split('`').skip(1).step_by(2)).collect()
}

/// Tests are renamed more often than documents are read again.
#[test]
fn every_test_that_a_document_names_exists() {
    let mut missing = Vec::new();
    let mut found = 0;
    for (document, text) in documents() {
        let mut file = String::new();
        for name in quoted(&text) {
            let Some((place, item)) = name.rsplit_once("::") else { continue };
            if place != "…" && !place.ends_with(".rs") {
                continue;
            }
            if place != "…" {
                file = place.to_string();
            }
            let source = std::fs::read_to_string(repository().join(&file)).unwrap_or_default();
            let is_there = ["fn ", "const ", "static "].iter().any(|kind| {
                source.match_indices(&format!("{kind}{item}")).any(|(at, text)| {
                    !source[at + text.len()..].starts_with(|next: char| next.is_alphanumeric() || next == '_')
                })
            });
            match is_there {
                true => found += 1,
                false => missing.push(format!("{}: {file}::{item}", document.display())),
            }
        }
    }
    assert!(found > 60, "only {found} names were found");
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

#[test]
fn every_link_of_a_document_leads_somewhere() {
    let mut broken = Vec::new();
    let mut found = 0;
    for (document, text) in documents() {
        for (at, _) in text.match_indices("](") {
            let target = &text[at + 2..];
            let target = &target[..target.find(')').unwrap()];
            if target.contains("://") {
                continue;
            }
            let (path, heading) = target.split_once('#').unwrap_or((target, ""));
            let file = if path.is_empty() { document.clone() } else { document.parent().unwrap().join(path) };
            let is_there = file.exists() && (heading.is_empty() || headings(&file).contains(heading));
            match is_there {
                true => found += 1,
                false => broken.push(format!("{}: {target}", document.display())),
            }
        }
    }
    assert!(found > 40, "only {found} links were found");
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// The anchors that GitHub gives the headings of a document.
fn headings(file: &Path) -> BTreeSet<String> {
    let text = std::fs::read_to_string(file).unwrap();
    let titles =
        text.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    let anchor = |title: &str| {
        let kept = title.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.collect::<String>().to_lowercase().replace(' ', "-")
    };
    titles.map(anchor).collect()
}
