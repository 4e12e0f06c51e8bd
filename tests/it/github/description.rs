//! What the stand-in knows of GitHub's API is what GitHub publishes.

use crate::support::environments::{helper_version, python};
use crate::support::github_standin::description_of_api;
use crate::support::{repository, run};
use std::process::Command;

/// `tests/standin/github/operations.json`, which serves where no package index is at hand.
#[test]
#[ignore = "GitHub's description of its API comes from a package index"]
fn the_operations_that_need_no_package_index_are_those_that_github_describes() {
    let standin = repository().join("tests/standin/github");
    let mut command = Command::new(python(helper_version()));
    command.arg("-B").arg(standin.join("extract.py")).arg(description_of_api("api.github.com.json"));
    let extracted = String::from_utf8(run(&mut command).stdout).unwrap();
    let kept = std::fs::read_to_string(standin.join("operations.json")).unwrap();
    assert!(extracted == kept, "write it again: tests/standin/github/extract.py says how");
}
