//! `dagster_cloud.yaml` and `.pexignore` for a repository that has none.

use super::facts::{Candidate, Facts};
use super::keep::{indented, written};
use super::workflow::TextFile;
use serde_json::{Map, Value, json};

/// A `dagster_cloud.yaml` with these code locations.
pub fn project_file(directory: &str, candidates: &[Candidate]) -> TextFile {
    let locations: Vec<Value> =
        candidates.iter().map(|candidate| Value::Object(location(directory, candidate))).collect();
    let list = written(&Value::Array(locations));
    let text = format!(
        "# The code locations that are deployed to Dagster+. Written by `pexpress init`.\nlocations:\n{}",
        indented(&list, 2)
    );
    TextFile { path: below(directory, "dagster_cloud.yaml"), text }
}

fn location(directory: &str, candidate: &Candidate) -> Map<String, Value> {
    let mut location = Map::new();
    location.insert("location_name".into(), candidate.name.as_str().into());
    location.insert("code_source".into(), json!({ candidate.key: candidate.value }));
    if let Some(attribute) = &candidate.attribute {
        location.insert("attribute".into(), attribute.as_str().into());
    }
    if candidate.directory != directory {
        let relative = candidate.directory.strip_prefix(directory).unwrap_or(&candidate.directory);
        location.insert("build".into(), json!({ "directory": relative.trim_start_matches('/') }));
    }
    location
}

/// `name` in a directory of the repository.
pub fn below(directory: &str, name: &str) -> String {
    if directory == "." { name.to_string() } else { format!("{directory}/{name}") }
}

/// A `.pexignore` for each build directory with files that look like secrets and no `.pexignore`. Notes for those that
/// have one.
pub fn ignore_files(facts: &Facts) -> (Vec<TextFile>, Vec<String>) {
    let (mut files, mut notes) = (Vec::new(), Vec::new());
    for (directory, secrets) in &facts.secrets {
        let path = below(directory, ".pexignore");
        match facts.present.get(&path) {
            Some(_) => notes.push(format!("{} would be shipped: add it to {path}", secrets.join(", "))),
            None => {
                let lines: String = secrets.iter().map(|path| format!("/{path}\n")).collect();
                let head = "# Files that are not shipped to Dagster+, with the syntax of .gitignore. Written by `pexpress init`:\n# these look like secrets.\n";
                files.push(TextFile { path, text: format!("{head}{lines}") });
            }
        }
    }
    (files, notes)
}
