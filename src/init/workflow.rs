//! A GitHub workflow of the user: its values as GitHub reads them, and the lines that they are on.
//!
//! Values are read as YAML 1.2, as GitHub reads them. Lines come from `crate::yaml`, which keeps places; its values are
//! not used, since YAML 1.1 reads some of them otherwise. Where it refuses a file, lines are unknown and all else works.

use crate::yaml::{self, Node};
use serde_json::{Map, Value};
use std::rc::Rc;

/// A file of the repository, its path relative to the top, with `/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextFile {
    /// Its path.
    pub path: String,
    /// Its text.
    pub text: String,
}

/// A workflow.
#[derive(Debug)]
pub struct Workflow {
    /// The file.
    pub file: TextFile,
    /// Its top mapping.
    pub root: Map<String, Value>,
    places: Option<Rc<Node>>,
}

impl Workflow {
    /// Read a workflow; the problem if it is not a YAML mapping.
    ///
    /// # Errors
    /// A sentence of the YAML reader.
    pub fn read(file: TextFile) -> Result<Workflow, String> {
        let root: Value = serde_yaml::from_str(&file.text).map_err(|error| error.to_string())?;
        let Value::Object(root) = root else { return Err("it is not a mapping".to_string()) };
        let places = yaml::read(file.text.as_bytes()).ok().and_then(|document| document.root);
        Ok(Workflow { file, root, places })
    }

    /// The line of a key or list item, from 1.
    pub fn line(&self, path: &[&str]) -> Option<usize> {
        let mut node = Rc::clone(self.places.as_ref()?);
        let mut line = node.mark.line;
        for part in path {
            let next = match (part.parse::<usize>(), &node.content) {
                (Ok(index), yaml::Content::Sequence(items)) => {
                    let item = items.get(index)?;
                    line = item.mark.line;
                    Rc::clone(item)
                }
                _ => {
                    // YAML 1.1 reads the key `on` as true.
                    let entry =
                        node.entry(part).or_else(|| node.entry(if *part == "on" { "true" } else { part }));
                    let entry = entry?;
                    line = entry.key.mark.line;
                    Rc::clone(&entry.value)
                }
            };
            node = next;
        }
        Some(line)
    }

    /// The jobs, in the order of the file.
    pub fn jobs(&self) -> impl Iterator<Item = (&String, &Map<String, Value>)> {
        let jobs = self.root.get("jobs").and_then(Value::as_object).into_iter().flatten();
        jobs.filter_map(|(id, job)| Some((id, job.as_object()?)))
    }

    /// The event `name` with its filters: `Some(None)` if it has none, `None` if the workflow does not have it.
    pub fn event(&self, name: &str) -> Option<Option<&Map<String, Value>>> {
        match self.root.get("on")? {
            Value::String(only) => (only == name).then_some(None),
            Value::Array(several) => several.iter().any(|each| each == name).then_some(None),
            Value::Object(events) => events.get(name).map(Value::as_object),
            _ => None,
        }
    }

    /// The names of all events.
    pub fn events(&self) -> Vec<&str> {
        match self.root.get("on") {
            Some(Value::String(only)) => vec![only],
            Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
            Some(Value::Object(events)) => events.keys().map(String::as_str).collect(),
            _ => Vec::new(),
        }
    }
}

/// The steps of a job.
pub fn steps(job: &Map<String, Value>) -> impl Iterator<Item = (usize, &Map<String, Value>)> {
    let steps = job.get("steps").and_then(Value::as_array).into_iter().flatten();
    steps.enumerate().filter_map(|(index, step)| Some((index, step.as_object()?)))
}

/// The text of a scalar as GitHub passes it on; empty for nothing.
pub fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// The entry `key` as text, if it is not empty.
pub fn entry(map: &Map<String, Value>, key: &str) -> Option<String> {
    let value = map.get(key).filter(|value| !value.is_object() && !value.is_array())?;
    Some(text(value)).filter(|text| !text.trim().is_empty())
}

/// The mapping under `key`.
pub fn mapping<'a>(map: &'a Map<String, Value>, key: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    map.get(key).and_then(Value::as_object).into_iter().flatten()
}

/// The texts under `key`: one, or a list of them.
pub fn list(map: &Map<String, Value>, key: &str) -> Vec<String> {
    match map.get(key) {
        Some(Value::Array(items)) => items.iter().map(text).collect(),
        Some(Value::Null) | None => Vec::new(),
        Some(value) => vec![text(value)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Workflow {
        Workflow::read(TextFile { path: "w.yml".into(), text: text.into() }).unwrap()
    }

    #[test]
    fn values_are_those_of_yaml_1_2_and_lines_are_known() {
        let workflow = read(
            "name: no\non:\n  push:\n    branches: [main]\njobs:\n  a:\n    steps:\n    - uses: x\n\n    - run: |\n        y\n",
        );
        assert_eq!(workflow.root["name"], "no");
        assert_eq!(workflow.line(&["on", "push"]), Some(3));
        assert_eq!(workflow.line(&["jobs", "a", "steps", "1"]), Some(10));
        assert_eq!(workflow.line(&["jobs", "b"]), None);
        assert!(workflow.event("push").unwrap().is_some() && workflow.event("pull_request").is_none());
    }

    #[test]
    fn events_may_be_a_word_a_list_or_a_mapping() {
        for (on, want) in [
            ("push", &["push"][..]),
            ("[push, pull_request]", &["push", "pull_request"]),
            ("{push: }", &["push"]),
        ] {
            assert_eq!(read(&format!("on: {on}\njobs: {{}}\n")).events(), want, "{on}");
        }
    }
}
