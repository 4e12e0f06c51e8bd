//! The list of what is in an image.

use super::base::Base;
use super::build::{image, project};
use crate::support::{environments, run};
use serde_json::Value;
use std::path::Path;
use std::process::Command;

fn list(dir: &Path) -> String {
    project(dir);
    Base::official("3.11").write(&dir.join("base"));
    image(dir, &["--base-image", "oci:base", "--sbom"]);
    std::fs::read_to_string(dir.join("out/shop.cdx.json")).unwrap()
}

#[test]
fn it_names_what_is_installed_and_is_the_same_everywhere() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let text = list(one.path());
    assert_eq!(text, list(other.path()));
    let document: Value = serde_json::from_str(&text).unwrap();
    let components = document["components"].as_array().unwrap();
    let names: Vec<&str> = components.iter().filter_map(|one| one["purl"].as_str()).collect();
    assert_eq!(names, ["pkg:pypi/dagster@1.13.27", "pkg:pypi/dagster-cloud@1.13.27", "pkg:pypi/large@1"]);
    assert!(
        components
            .iter()
            .all(|one| one["hashes"][0]["content"].as_str().is_some_and(|hash| hash.len() == 64))
    );
    assert_eq!(document["dependencies"][0]["ref"], "location:shop");
    // A list of an earlier build must not be taken for one of this image.
    image(one.path(), &["--base-image", "oci:base"]);
    assert!(!one.path().join("out/shop.cdx.json").exists());
}

#[test]
#[ignore = "the schema of CycloneDX comes from a package index"]
fn it_follows_the_official_schema() {
    let dir = tempfile::tempdir().unwrap();
    list(dir.path());
    let requirement = "cyclonedx-python-lib[json-validation]==11.12.0";
    let environment = environments::environment(environments::helper_version(), &[requirement]);
    let code = "import sys\nfrom cyclonedx.schema import SchemaVersion\n\
        from cyclonedx.validation.json import JsonStrictValidator\n\
        error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(open(sys.argv[1]).read())\n\
        sys.exit(repr(error) if error else 0)\n";
    run(Command::new(environment.join("bin/python"))
        .args(["-c", code])
        .arg(dir.path().join("out/shop.cdx.json")));
}
