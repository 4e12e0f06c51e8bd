//! Answers about the organization, and what `deploy` does with them: existing deployments, their type, what else runs
//! there, and the token's permissions.

use crate::deploy::whole::{Ran, TO_PROD, deploy, ran};
use crate::support::said::messages;
use crate::support::small_project::write_project;
use crate::support::standin::Standin;
use serde_json::{Value, json};

/// A deploy of two code locations there.
fn deployed(standin: &Standin, args: &[&str]) -> Ran {
    let dir = tempfile::tempdir().unwrap();
    write_project(dir.path(), &[("one", "extra==1"), ("two", "extra==2")]);
    let git = ["init", "-q", "-b", "main"];
    crate::support::run(std::process::Command::new("git").args(git).current_dir(dir.path()));
    let ran = ran(deploy(standin, dir.path()).args(args));
    Ran {
        stderr: ran.stderr.replace(&dir.path().display().to_string(), "[DIR]").replace(&standin.url, "[URL]"),
        ..ran
    }
}

fn built(ran: &Ran) -> bool {
    ran.stderr.contains("Building")
}

#[test]
fn a_hybrid_deployment_is_refused_before_anything_is_built() {
    let standin = Standin::start(json!({"deployments": [{"name": "prod", "agent_type": "HYBRID"}]}));
    let full = deployed(&standin, &TO_PROD);
    assert_eq!(full.code, Some(1), "{}", full.stderr);
    insta::assert_snapshot!(full.stderr, @r#"
    Deploying to the deployment prod ([URL]/prod/locations)
    error: `one` needs an image on a Hybrid deployment, and no registry is given to push it to
      at: dagster_cloud.yaml:2:5
    hint: name a repository with --image-registry, or as `build: {registry: …}` in the entry of the code location; an image that exists already is named by --image-of
    "#);
    standin.control("journal", &Value::Null);
    let dir = tempfile::tempdir().unwrap();
    write_project(dir.path(), &[("one", "")]);
    let mut command = deploy(&standin, dir.path());
    command.args(["--deployment-for-branch"]).env("CI", "");
    let git = |args: &[&str]| {
        let mut git = std::process::Command::new("git");
        git.args(["-c", "user.name=A", "-c", "user.email=a@b.c"]).args(args).current_dir(dir.path());
        crate::support::run(&mut git);
    };
    git(&["init", "-q", "-b", "feature"]);
    git(&["remote", "add", "origin", "https://github.example/acme/proj.git"]);
    git(&["commit", "-q", "--allow-empty", "-m", "x"]);
    let branch = ran(&mut command);
    assert_eq!(branch.code, Some(1), "{}", branch.stderr);
    assert_eq!(standin.journal().calls(), ["currentDeployment"]);
}

#[test]
fn a_deployment_that_does_not_exist_is_named_with_those_that_do() {
    let two = json!({"deployments": [{"name": "production"}, {"name": "staging"}]});
    let standin = Standin::start(two);
    for args in [&["--deployment", "prod", "--yes"][..], &["--yes"]] {
        let ran = deployed(&standin, args);
        assert!(ran.code == Some(2) && !built(&ran), "{}", ran.stderr);
        insta::allow_duplicates! {
            insta::assert_snapshot!(ran.stderr, @r"
            Deploying to the deployment prod ([URL]/prod/locations)
            error: there is no deployment `prod`; the full deployments of this organization are `production`, `staging`
            hint: name one with --deployment; for a branch deployment's base it is --base-deployment
            ");
        }
    }
}

#[test]
fn the_only_deployment_is_the_default() {
    let standin = Standin::start(json!({"deployments": [{"name": "production"}]}));
    let ran = deployed(&standin, &["--yes"]);
    assert_eq!(
        (ran.code, &ran.document["deployment"]["name"]),
        (Some(0), &json!("production")),
        "{}",
        ran.stderr
    );
    let named = deployed(&standin, &["--deployment", "prod", "--yes"]);
    assert_eq!(named.code, Some(2), "{}", named.stderr);
}

#[test]
fn code_locations_that_left_the_file_are_named() {
    let document = |name: &str| json!({"location_name": name, "code_source": {"package_name": "p"}});
    let there: Vec<Value> = ["one", "two", "old", "other"].map(document).to_vec();
    let standin = Standin::start(json!({"deployments": [{"name": "prod", "locations": there}]}));
    // One that the file lists is not reported as removed, selected or not.
    for args in [&[][..], &["--location", "one"]] {
        let ran = deployed(&standin, &[&TO_PROD[..], args].concat());
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        let line = "Also in prod, and not in dagster_cloud.yaml: old, other. They are not changed.";
        assert!(ran.stderr.contains(line), "{}", ran.stderr);
        assert_eq!(ran.document["also_deployed"], json!(["old", "other"]));
    }
    let none = Standin::start(json!({}));
    assert!(!deployed(&none, &TO_PROD).stderr.contains("Also in"));
}

/// Users saw seven more requests and a complete build after the token was refused.
#[test]
fn a_token_refused_during_a_run_ends_it() {
    for status in [401, 403] {
        let refuse = json!({"operation": "generateServerlessPexUrl", "times": 0, "status": status});
        let standin = Standin::start(json!({"faults": [refuse]}));
        let ran = deployed(&standin, &TO_PROD);
        assert_eq!(ran.code, Some(3), "{}", ran.stderr);
        let journal = standin.journal();
        let asked = journal.count("generateServerlessPexUrl");
        // Other requests may have been on their way.
        assert!(asked <= 3 && journal.count("deployLocations") == 0, "{:#?}", journal.calls());
        assert_eq!(ran.stderr.matches("refused the token").count(), 1, "{}", ran.stderr);
    }
}

/// Users waited half a minute for 28 requests that all failed.
#[test]
fn an_unreachable_registry_is_not_retried_for_each_file() {
    let fail = json!({"operation": "generateServerlessPexUrl", "times": 0, "status": 503});
    let standin = Standin::start(json!({"faults": [fail]}));
    let ran = deployed(&standin, &TO_PROD);
    assert_eq!(ran.code, Some(3), "{}", ran.stderr);
    let asked = standin.journal().count("generateServerlessPexUrl");
    assert!(asked <= 16, "{asked}");
    assert_eq!(ran.stderr.matches("error:").count(), 1, "{}", ran.stderr);
}

#[test]
fn a_refusal_for_all_is_printed_once_with_its_reason() {
    let standin = Standin::start(json!({"unauthorized_deployments": ["prod"]}));
    let ran = deployed(&standin, &TO_PROD);
    assert_eq!(ran.code, Some(3), "{}", ran.stderr);
    let reason = "the token may not change this deployment";
    assert_eq!(ran.stderr.matches(reason).count(), 1, "{}", ran.stderr);
    insta::assert_snapshot!(messages(&ran.stderr), @r#"
    error: the code location `one` was not updated
      caused by: could not update the code locations: UnauthorizedError: the token may not change this deployment
    hint: the token is known but may not change this deployment; use one with that right
      the same for: two
    error: 2 of 2 code locations could not be deployed: one, two
    "#);
}
