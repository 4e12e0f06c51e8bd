//! Steps and jobs of old workflows that stay: as they are written there, comments included.
//!
//! The lines of the file are copied, with another indentation and condition. What results is read again and compared
//! with the values that are meant; where it differs (anchors, flow style), the values are written instead.

use super::workflow::{Workflow, text};
use serde_json::{Map, Value, json};

/// Most lines of a comment above a step that are copied with it.
const MOST_COMMENT_LINES: usize = 8;

/// One kept step: a list item at the left margin, one `\n` at the end of each line.
pub fn step(workflow: &Workflow, job: &str, index: usize, value: &Map<String, Value>) -> String {
    let path = ["jobs", job, "steps", &index.to_string()];
    let copied = workflow.line(&path).and_then(|line| Block::read(&workflow.file.text, line, "- "));
    let copied = copied.and_then(|mut block| {
        block.set_condition(value.get("if").map(text).as_deref())?;
        Some(block)
    });
    match copied {
        Some(block) if reads_as(&block.body, &json!([value])) => block.comments + &block.body,
        _ => written(&json!([value])),
    }
}

/// One kept job: a mapping with one key at the left margin, `id`. `old` is its id in the workflow. Keys that it did not
/// have there come first.
pub fn job(workflow: &Workflow, old: &str, id: &str, value: &Map<String, Value>) -> String {
    let had = workflow.root.get("jobs").and_then(|jobs| jobs.get(old)?.as_object());
    let is_new = |key: &&String| !had.is_some_and(|had| had.contains_key(*key));
    let added: Map<String, Value> = value
        .iter()
        .filter(|(key, _)| is_new(key))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    let added = if added.is_empty() { String::new() } else { written(&Value::Object(added)) };
    let copied = workflow.line(&["jobs", old]).and_then(|line| Block::read(&workflow.file.text, line, ""));
    let copied = copied.and_then(|block| {
        let (first, rest) = block.body.split_once('\n')?;
        let margin = rest.len() - rest.trim_start_matches(' ').len();
        let first = first.replacen(old, id, 1);
        Some((block.comments, format!("{first}\n{}{rest}", indented(&added, margin))))
    });
    match copied {
        Some((comments, body)) if reads_as(&body, &json!({ id: value })) => comments + &body,
        _ => written(&json!({ id: value })),
    }
}

/// A value as YAML, at the left margin.
pub fn written(value: &Value) -> String {
    // Text, numbers and lists of them always have a form in YAML.
    serde_yaml::to_string(value).unwrap_or_default()
}

/// `text` with every line that is not blank indented.
pub fn indented(text: &str, spaces: usize) -> String {
    let margin = " ".repeat(spaces);
    let line = |line: &str| if line.is_empty() { "\n".to_string() } else { format!("{margin}{line}\n") };
    text.lines().map(line).collect()
}

fn reads_as(text: &str, want: &Value) -> bool {
    serde_yaml::from_str::<Value>(text).is_ok_and(|read| read == *want)
}

/// Lines of a file, moved to the left margin.
struct Block {
    /// The comment above it, if it is short.
    comments: String,
    body: String,
}

impl Block {
    /// The block that begins on `line` (from 1) with `start`.
    fn read(file: &str, line: usize, start: &str) -> Option<Block> {
        let lines: Vec<&str> = file.lines().collect();
        let first = line.checked_sub(1)?;
        let indentation = |line: &str| line.len() - line.trim_start_matches(' ').len();
        let margin = indentation(lines.get(first)?);
        lines.get(first)?.get(margin..)?.strip_prefix(start)?;
        let is_in = |line: &&&str| line.trim().is_empty() || indentation(line) > margin;
        let length = 1 + lines.iter().skip(first + 1).take_while(is_in).count();
        let own = |line: &&str| line.get(margin..).unwrap_or_default().trim_end().to_string();
        let mut body: Vec<String> = lines.iter().skip(first).take(length).map(own).collect();
        while body.last().is_some_and(|line| line.trim().is_empty()) {
            body.pop();
        }
        let above: Vec<&&str> =
            lines[..first].iter().rev().take_while(|line| line.trim_start().starts_with('#')).collect();
        let is_code = |line: &&&str| line.trim_start().trim_start_matches('#').trim_start().starts_with("- ");
        let comments = match above.len() > MOST_COMMENT_LINES || above.iter().any(is_code) {
            true => String::new(),
            false => above.iter().rev().map(|line| format!("{}\n", line.trim())).collect(),
        };
        Some(Block { comments, body: body.join("\n") + "\n" })
    }

    /// Replace, add or remove the line with `if:`. `None` if that cannot be done by lines.
    fn set_condition(&mut self, condition: Option<&str>) -> Option<()> {
        let mut lines: Vec<String> = self.body.lines().map(String::from).collect();
        let first = lines.first()?;
        let column = first.len() - first.trim_start_matches(['-', ' ']).len();
        let key = |line: &String| line.get(column..).is_some_and(|rest| rest.starts_with("if:"));
        let at =
            lines.iter().position(|line| key(line) && line[..column].chars().all(|c| c == ' ' || c == '-'));
        let condition = condition.map(|text| format!("if: {}", written(&json!(text)).trim_end()));
        match (at, condition) {
            (Some(at), Some(condition)) => {
                let margin = lines[at][..column].to_string();
                lines[at] = margin + &condition;
            }
            (Some(0), None) => return None,
            (Some(at), None) => {
                lines.remove(at);
            }
            (None, Some(condition)) => lines.insert(1, " ".repeat(column) + &condition),
            (None, None) => {}
        }
        self.body = lines.join("\n") + "\n";
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::init::workflow::TextFile;

    const FILE: &str = "\
jobs:
  a:
    steps:
    - uses: x/y@abc # v1

    # Why this is here.
    - name: Build
      if: old
      run: |
        # a comment of the script
        make

      env: {A: 1}
    - {name: flow, run: z}
  b:
    runs-on: ubuntu-latest # a comment
    steps: []
";

    fn step_with(index: usize, condition: Option<&str>) -> String {
        let workflow = Workflow::read(TextFile { path: "w.yml".into(), text: FILE.into() }).unwrap();
        let mut value = workflow.root["jobs"]["a"]["steps"][index].as_object().unwrap().clone();
        match condition {
            Some(condition) => value.insert("if".into(), condition.into()),
            None => value.remove("if"),
        };
        let text = step(&workflow, "a", index, &value);
        assert_eq!(serde_yaml::from_str::<Value>(&text).unwrap(), json!([value]));
        text
    }

    #[test]
    fn steps_are_copied_with_their_comments() {
        assert_eq!(step_with(0, None), "- uses: x/y@abc # v1\n");
        assert_eq!(step_with(0, Some("a != 'b'")), "- uses: x/y@abc # v1\n  if: a != 'b'\n");
        assert_eq!(
            step_with(1, None),
            "# Why this is here.\n- name: Build\n  run: |\n    # a comment of the script\n    make\n\n  env: {A: 1}\n"
        );
        assert!(step_with(1, Some("new")).contains("- name: Build\n  if: new\n  run: |\n"));
    }

    #[test]
    fn what_cannot_be_copied_is_written() {
        assert_eq!(step_with(2, Some("c")), "- name: flow\n  run: z\n  if: c\n");
    }

    #[test]
    fn jobs_are_copied_too() {
        let workflow = Workflow::read(TextFile { path: "w.yml".into(), text: FILE.into() }).unwrap();
        let value = workflow.root["jobs"]["b"].as_object().unwrap();
        assert_eq!(
            job(&workflow, "b", "b", value),
            "b:\n  runs-on: ubuntu-latest # a comment\n  steps: []\n"
        );
    }
}
