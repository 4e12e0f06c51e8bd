//! `action.yml` compared with its step's variables, the tables in the documents, and the examples.
//!
//! `PEXPRESS_WRITE_DOCS=1 cargo test action::yml` updates tables and copies.

use crate::support::repository;
use serde_json::{Map, Value};
use std::path::Path;

/// Set to write the documents instead of comparing them.
const WRITE: &str = "PEXPRESS_WRITE_DOCS";
/// How the examples name this action.
const OURS: &str = "OWNER/pexpress@v1";

fn text(path: &str) -> String {
    std::fs::read_to_string(repository().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn yaml(path: &str) -> Value {
    serde_yaml::from_str(&text(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn mapping<'a>(value: &'a Value, key: &str) -> &'a Map<String, Value> {
    value[key].as_object().unwrap_or_else(|| panic!("`{key}` is no mapping"))
}

fn step() -> Value {
    let action = yaml("action.yml");
    let steps = action["runs"]["steps"].as_array().unwrap();
    assert_eq!(steps.len(), 1, "one step, so that nothing has to travel between steps");
    steps[0].clone()
}

/// `(file name, text)` of each example.
fn examples() -> Vec<(String, String)> {
    let entries = std::fs::read_dir(repository().join("examples/workflows")).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names.into_iter().map(|name| (name.clone(), text(&format!("examples/workflows/{name}")))).collect()
}

#[test]
fn each_input_reaches_the_binary_as_its_variable() {
    let inputs: Vec<_> = mapping(&yaml("action.yml"), "inputs")
        .keys()
        .map(|name| (format!("INPUT_{}", name.to_uppercase()), format!("${{{{ inputs.{name} }}}}")))
        .collect();
    let step = step();
    let env: Vec<_> = mapping(&step, "env")
        .iter()
        .map(|(name, value)| (name.clone(), value.as_str().unwrap().to_string()))
        .collect();
    // The runner has no variables for these.
    let strategy = [
        ("PEXPRESS_JOB_INDEX", "strategy.job-index"),
        ("PEXPRESS_JOB_TOTAL", "strategy.job-total"),
        ("PEXPRESS_JOB_ID", "job.check_run_id"),
    ];
    let strategy = strategy.map(|(name, key)| (name.to_string(), format!("${{{{ {key} }}}}")));
    assert_eq!(env, strategy.into_iter().chain(inputs).collect::<Vec<_>>());
}

#[test]
fn each_output_is_one_of_the_step() {
    let (action, step) = (yaml("action.yml"), step());
    for (name, output) in mapping(&action, "outputs") {
        let want = format!("${{{{ steps.{}.outputs.{name} }}}}", step["id"].as_str().unwrap());
        assert_eq!(output["value"], want, "{name}");
    }
}

#[test]
fn no_expression_is_pasted_into_the_script() {
    let step = step();
    assert_eq!(step["shell"], "sh");
    assert!(!step["run"].as_str().unwrap().contains("${{"), "{step}");
}

#[test]
fn every_input_and_output_fits_into_a_table() {
    let action = yaml("action.yml");
    for (name, entry) in mapping(&action, "inputs").iter().chain(mapping(&action, "outputs")) {
        let description = entry["description"].as_str().unwrap_or_default();
        assert!(!description.is_empty() && !description.contains(['|', '\n']), "{name}: {description}");
        assert!(!description.ends_with('.'), "{name}: a phrase, without a full stop");
        assert!(entry.get("default").is_none_or(Value::is_string), "{name}: an input is text");
    }
}

#[test]
fn the_examples_use_existing_inputs_and_outputs() {
    let action = yaml("action.yml");
    let (inputs, outputs) = (mapping(&action, "inputs"), mapping(&action, "outputs"));
    let mut uses = 0;
    for (name, text) in examples() {
        let workflow = yaml(&format!("examples/workflows/{name}"));
        for step in mapping(&workflow, "jobs").values().flat_map(|job| job["steps"].as_array().unwrap()) {
            if step["uses"] != OURS {
                continue;
            }
            uses += 1;
            for key in step["with"].as_object().into_iter().flat_map(Map::keys) {
                assert!(inputs.contains_key(key), "{name}: no input `{key}`");
            }
        }
        for part in text.split("steps.plan.outputs.").skip(1) {
            let output = part.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap();
            assert!(outputs.contains_key(output), "{name}: no output `{output}`");
        }
    }
    assert!(uses >= examples().len(), "each example runs the action");
}

fn table(header: &str, rows: impl Iterator<Item = String>) -> String {
    let columns = header.matches('|').count() - 1;
    format!("{header}\n|{}\n{}", "---|".repeat(columns), rows.collect::<String>())
}

fn inputs_table() -> String {
    let action = yaml("action.yml");
    let rows = mapping(&action, "inputs").iter().map(|(name, input)| {
        let default = input["default"].as_str().map(|text| format!("`{text}`")).unwrap_or_default();
        format!("| `{name}` | {default} | {} |\n", input["description"].as_str().unwrap())
    });
    table("| input | default | |", rows)
}

fn outputs_table() -> String {
    let action = yaml("action.yml");
    let rows = mapping(&action, "outputs")
        .iter()
        .map(|(name, output)| format!("| `{name}` | {} |\n", output["description"].as_str().unwrap()));
    table("| output | |", rows)
}

/// The examples, each with the first sentence of its first comment.
fn examples_list() -> String {
    let item = |(name, text): &(String, String)| {
        let lines = text.lines().map_while(|line| line.strip_prefix("# "));
        let comment = lines.collect::<Vec<_>>().join(" ");
        let end = comment.find(". ").map_or(comment.len(), |end| end + 1);
        format!("- [{name}](../examples/workflows/{name}): {}\n", &comment[..end])
    };
    examples().iter().map(item).collect()
}

/// `file` with the part between `<!-- NAME, from FILE -->` and `<!-- end -->` replaced.
fn with_part(document: &str, name: &str, part: &str) -> String {
    let begin = document.find(&format!("<!-- {name}, from ")).unwrap_or_else(|| panic!("no part `{name}`"));
    let begin = begin + document[begin..].find("-->\n").unwrap() + "-->\n".len();
    let end = begin + document[begin..].find("<!-- end -->").unwrap_or_else(|| panic!("no end of `{name}`"));
    format!("{}{part}{}", &document[..begin], &document[end..])
}

fn compare(path: &str, parts: &[(&str, String)]) {
    let found = text(path);
    let wanted = parts.iter().fold(found.clone(), |document, (name, part)| with_part(&document, name, part));
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(repository().join(Path::new(path)), wanted).unwrap();
    } else {
        assert!(
            found == wanted,
            "{path} is not what action.yml says: run `{WRITE}=1 cargo test action::yml`"
        );
    }
}

#[test]
fn the_documents_have_current_tables_and_examples() {
    compare(
        "docs/action.md",
        &[("inputs", inputs_table()), ("outputs", outputs_table()), ("examples", examples_list())],
    );
    let (_, workflow) = examples().into_iter().find(|(name, _)| name == "deploy.yml").unwrap();
    compare("README.md", &[("workflow", format!("```yaml\n{workflow}```\n"))]);
}
