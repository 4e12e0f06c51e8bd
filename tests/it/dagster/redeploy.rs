//! `redeploy` against the stand-in: what is sent, and when a code location counts as loaded again.

use crate::support::pexpress;
use crate::support::said::messages;
use crate::support::standin::Standin;
use serde_json::{Value, json};
use std::process::Output;

fn document(name: &str) -> Value {
    json!({
        "location_name": name, "code_source": {"package_name": "p"}, "image": "registry.example.test/acme:1",
        "git": {"commit_hash": "ab12"}, "container_context": {"k8s": {"env_vars": ["A=b"]}},
    })
}

fn standin(load: &Value) -> Standin {
    let locations = [document("one"), document("two")];
    Standin::start(json!({"deployments": [{"name": "prod", "locations": locations}], "load": load}))
}

fn redeploy(standin: &Standin, args: &[&str]) -> Output {
    let (dir, mut command) = (tempfile::tempdir().unwrap(), pexpress());
    standin.point(&mut command).args(["redeploy", "--yes"]).args(args);
    command.current_dir(dir.path()).output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn the_same_document_is_sent_and_its_new_load_is_awaited() {
    // Two looks still show the load from before.
    for plan in [json!({"stale_polls": 2}), json!({"stale_polls": 2, "keeps_stamp": true})] {
        let standin = standin(&json!({"*": plan}));
        let output = redeploy(&standin, &["one"]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert_eq!(String::from_utf8(output.stdout).unwrap(), "one\tloaded\n");
        let journal = standin.journal();
        journal.assert_clean();
        let sent = journal.variables("addOrUpdateLocationFromDocument");
        assert_eq!(sent, [json!({"document": document("one")})]);
        // Before the update, twice the old load, once loading, and loaded.
        assert_eq!(journal.count("workspaceOrError"), 5, "{plan}");
    }
}

#[test]
fn several_are_sent_at_once_and_a_failure_is_that_of_its_code_location() {
    let standin = standin(&json!({"two": {"error": {"message": "ValueError: no", "stack": ["  File x\n"]}}}));
    // A name given twice is one code location.
    let output = redeploy(&standin, &["one", "two", "one", "--format", "json"]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&answer["deployment"], &answer["locations"][0]["state"]), (&json!("prod"), &json!("loaded")));
    assert_eq!(answer["locations"][1]["state"], "failed_to_load");
    assert_eq!(answer["locations"].as_array().unwrap().len(), 2);
    insta::assert_snapshot!(messages(&stderr(&output)), @r#"
    error: the code location `two` was updated and failed to load:
    hint: `pexpress verify OUT_DIR` shows the same error without a deploy
    error: 1 of 2 code locations could not be deployed: two
    "#);
    assert_eq!(standin.journal().count("deployLocations"), 1);
    standin.journal().assert_clean();
}

#[test]
fn an_unknown_code_location_is_answered_with_those_that_exist() {
    let standin = standin(&json!({}));
    let output = redeploy(&standin, &["one", "tow"]);
    assert_eq!(output.status.code(), Some(2));
    insta::assert_snapshot!(messages(&stderr(&output)), @r#"
    error: the deployment `prod` has no code location `tow`; it has one, two
    hint: did you mean `two`?
    "#);
    assert_eq!(standin.journal().count("addOrUpdateLocationFromDocument"), 0);
}
