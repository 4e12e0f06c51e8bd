//! Runs Dagster+'s own Python tools: a script of `tests/consumer/` reads JSON from stdin and writes its answer to
//! stdout.

use super::environments::{environment, helper_version};
use super::repository;
use serde_json::Value;
use std::io::Write;
use std::process::{Command, Stdio};

/// The answers of `script`, one for each item of the list `question`, with `requirements` installed.
pub fn ask(requirements: &[&str], script: &str, question: &Value) -> Vec<Value> {
    let mut child = Command::new(environment(helper_version(), requirements).join("bin/python"))
        .arg(repository().join("tests/consumer").join(script))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(question.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{script} ended with {}", output.status);
    let answers: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(question.as_array().map(Vec::len), Some(answers.len()));
    answers
}
