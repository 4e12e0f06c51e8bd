//! Messages about what came of a deploy.

use super::said;
use crate::deploy::whole::{TO_PROD, deploy};
use crate::support::small_project::write_project;
use crate::support::standin::Standin;
use serde_json::{Value, json};

#[test]
fn failed_to_load() {
    let error = json!({"message": "ModuleNotFoundError: No module named 'boto3'\n", "stack": ["  File \"/venvs/1/root/defs.py\", line 1, in <module>\n    import boto3\n"]});
    insta::assert_snapshot!(deployed(json!({"load": {"one": {"error": error}}}), &[]), @r#"
    error: the code location `one` was updated and failed to load:
    ModuleNotFoundError: No module named 'boto3'
      File "/venvs/1/root/defs.py", line 1, in <module>
        import boto3
    hint: add the distribution that has the module `boto3` to one/requirements.txt
    "#);
}

#[test]
fn no_agent() {
    insta::assert_snapshot!(deployed(json!({"agents": {"absent": true}}), &["--agent-heartbeat-timeout", "1"]), @r#"
    error: the code location `one` was updated, but no agent was running within 1 s
    hint: start the agent, or wait longer with --agent-heartbeat-timeout; the update is kept for it
    "#);
}

#[test]
fn still_loading() {
    let never = json!({"load": {"one": {"never": true}}});
    insta::assert_snapshot!(deployed(never, &["--location-load-timeout", "1"]), @r#"
    error: the code location `one` was updated and had not loaded after 1 s
    hint: it may still load: `pexpress status` shows it; to wait longer, set --location-load-timeout
    "#);
}

#[test]
fn may_not_update() {
    insta::assert_snapshot!(deployed(json!({"unauthorized_deployments": ["prod"]}), &[]), @r#"
    error: the code location `one` was not updated
      caused by: could not update the code location: UnauthorizedError: the token may not change this deployment
    hint: the token is known but may not change this deployment; use one with that right
    "#);
}

#[test]
fn upload_refused() {
    let refused = json!({"faults": [{"operation": "PUT", "times": 0, "status": 403}]});
    insta::assert_snapshot!(deployed(refused, &[]), @r#"
    error: the code location `one` was not updated, since its files are not stored
      caused by: could not upload `source-3e46315b21931434a2303323ce17c3be934bbf37.pex`: the object store answered 403 Forbidden
    hint: the object store refuses the address that Dagster+ gave for the upload: check that the clock of this machine is right and that no proxy changes requests; if this persists, contact Dagster+ support
    "#);
}

/// What a deploy of one code location to such an organization says.
fn deployed(config: Value, args: &[&str]) -> String {
    let dir = tempfile::tempdir().unwrap();
    write_project(dir.path(), &[("one", "")]);
    let standin = Standin::start(config);
    let text = said(deploy(&standin, dir.path()).args(TO_PROD).args(args), dir.path());
    text.replace(&standin.url, "https://acme.dagster.cloud")
}
