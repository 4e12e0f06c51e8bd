//! Messages about organization, token, deployment and event, before anything is built.

use super::{project, said};
use crate::support::scene::{Scene, commit_all};
use crate::support::standin::Standin;
use crate::support::step::Step;
use crate::support::{pexpress, pexpress_with_uv};
use serde_json::{Value, json};
use std::process::Command;

const DEPLOY: [&str; 6] = ["deploy", ".", "out", "--upload-pex", "--update-code-location", "--yes"];

#[test]
fn no_token() {
    let dir = project(&[]);
    insta::assert_snapshot!(said(pexpress().args(DEPLOY).args(["--organization", "acme"]), dir.path()), @r#"
    error: no token for Dagster+: DAGSTER_CLOUD_API_TOKEN is not set or empty
    hint: create a user or agent token in the organization settings of Dagster+ and set that variable to it, or pass --api-token-file; in CI, check that the secret exists and that this run may read it
    "#);
}

#[test]
fn no_address() {
    let dir = project(&[]);
    insta::assert_snapshot!(said(with_token(pexpress().args(DEPLOY)), dir.path()), @r#"
    error: no address of Dagster+: neither DAGSTER_CLOUD_URL nor DAGSTER_CLOUD_ORGANIZATION is set
    hint: set DAGSTER_CLOUD_URL to https://ORGANIZATION.dagster.cloud, or pass --organization
    "#);
}

#[test]
fn two_organizations() {
    let dir = project(&[]);
    let mut command = pexpress();
    command
        .args(DEPLOY)
        .args(["--organization", "beta"])
        .env("DAGSTER_CLOUD_URL", "https://acme.dagster.cloud");
    insta::assert_snapshot!(said(with_token(&mut command), dir.path()), @r#"
    error: DAGSTER_CLOUD_URL names the organization `acme`, and --organization `beta`
    hint: correct one of them, or remove it
    "#);
}

#[test]
fn no_confirmation_is_possible() {
    let dir = project(&[]);
    let mut command = pexpress();
    command.args(&DEPLOY[..5]).args(["--organization", "acme", "--deployment", "prod"]);
    insta::assert_snapshot!(said(with_token(&mut command), dir.path()), @r#"
    error: deploying to the full deployment `prod` needs a confirmation, and there is no terminal to ask in
    hint: pass --yes to go on without confirmation
    "#);
}

#[test]
fn refused_token() {
    let standin = Standin::start(json!({}));
    let dir = project(&[]);
    // A deploy asks several questions at once, and the first refusal ends it: which one that is differs.
    let mut command = pexpress();
    standin.point(&mut command).args(["status", "--deployment", "prod"]);
    command.env("DAGSTER_CLOUD_API_TOKEN", "user:another");
    insta::assert_snapshot!(said(&mut command, dir.path()).replace(&standin.url, "https://acme.dagster.cloud"), @r#"
    error: could not ask for the code locations: Dagster+ refused the token (401 Unauthorized)
    hint: check that DAGSTER_CLOUD_API_TOKEN is a current token of this organization with the right to deploy there
    "#);
}

#[test]
fn no_such_deployment() {
    insta::assert_snapshot!(of_organization(json!({"deployments": [{"name": "production"}, {"name": "staging"}]})), @r#"
    error: there is no deployment `prod`; the full deployments of this organization are `production`, `staging`
    hint: name one with --deployment; for a branch deployment's base it is --base-deployment
    "#);
}

#[test]
fn hybrid() {
    insta::assert_snapshot!(of_organization(json!({"deployments": [{"name": "prod", "agent_type": "HYBRID"}]})), @r#"
    error: `shop` needs an image on a Hybrid deployment, and no registry is given to push it to
      at: dagster_cloud.yaml:2:5
    hint: name a repository with --image-registry, or as `build: {registry: …}` in the entry of the code location; an image that exists already is named by --image-of
    "#);
}

#[test]
fn kubernetes() {
    insta::assert_snapshot!(of_organization_with(json!({"serverless": {"is_harbor": true}}), &["--strategy", "pex"]), @r#"
    error: `shop` cannot be deployed as PEX files: this organization's Serverless runs images only (its registry is Harbor)
      at: dagster_cloud.yaml:2:5
    hint: leave --strategy out, or set it to `image`
    "#);
}

#[test]
fn started_by_hand() {
    let payload = json!({"ref": "refs/heads/feature", "repository": {"default_branch": "main", "full_name": "acme/proj"}});
    insta::assert_snapshot!(of_event(|step| step.with("GITHUB_REF", "refs/heads/feature").event("workflow_dispatch", &payload)), @r#"
    this run was started manually on `feature`, which is not known to be the default branch, and no setting names its deployment
    hint: use `branch_deployment: true` for the branch deployment of that branch, or `branch_deployment: false` for the full deployment
    "#);
}

#[test]
fn untrusted_event() {
    let mut payload = crate::support::step::pull_request("opened");
    payload["pull_request"]["head"]["repo"]["full_name"] = json!("someone/proj");
    insta::assert_snapshot!(of_event(|step| step.event("pull_request_target", &payload)), @r#"
    a run started by `pull_request_target` has this repository's secrets, and anyone may have written the code of a pull request
    hint: use `pull_request` instead; if everyone who can open a pull request may have the secrets, use `allow_untrusted_code: true`
    "#);
}

fn with_token(command: &mut Command) -> &mut Command {
    command.env("DAGSTER_CLOUD_API_TOKEN", "user:token-for-tests")
}

/// What a deploy to `prod` of this organization says.
fn of_organization(config: Value) -> String {
    of_organization_with(config, &[])
}

fn of_organization_with(config: Value, args: &[&str]) -> String {
    let standin = Standin::start(config);
    let dir = project(&[]);
    let mut command = pexpress_with_uv();
    standin.point(&mut command).args(DEPLOY).args(["--deployment", "prod"]).args(args);
    said(&mut command, dir.path())
}

/// The error annotation of a step in this event, as text.
fn of_event(change: impl FnOnce(Step<'_>) -> Step<'_>) -> String {
    let scene = Scene::new(&[("one", "")], json!({}));
    commit_all(scene.dir.path());
    let ran = change(scene.step()).run();
    let line = ran.log.lines().find(|line| line.starts_with("::error")).unwrap_or(&ran.log);
    let text =
        line.split_once("::").and_then(|(_, rest)| rest.split_once("::")).map_or(line, |(_, text)| text);
    let text = text.replace("%0A", "\n").replace("%25", "%");
    text.replace(&scene.dir.path().display().to_string(), "[PROJECT]")
}
