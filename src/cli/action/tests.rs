//! Tests of `action.rs`.

use super::*;
use crate::context::tests::host;
use std::path::Path;

#[test]
fn blank_inputs_are_not_given() {
    let env = [("INPUT_DEPLOYMENT", " "), ("INPUT_COMMENT", ""), ("INPUT_DEPLOY", ""), ("RUNNER_TEMP", "/t")];
    let inputs = ActionInputs::read(&host(&env)).unwrap();
    assert_eq!(inputs.command, ActionCommand::Deploy);
    assert_eq!(
        (inputs.deploy.file.as_deref().unwrap(), inputs.deploy.dagster.deployment),
        (Path::new("."), None)
    );
    assert_eq!(inputs.deploy.out_dir.as_deref(), Some(Path::new("/t/pexpress")));
    assert!(inputs.wants_deploy && inputs.reporting.comment && inputs.cache && !inputs.require_deploy);
    assert!(
        !inputs.deploy.publish.branch.deployment_for_branch && !inputs.deploy.publish.branch.full_deployment
    );
}

#[test]
fn inputs_become_typed() {
    let env = [
        ("INPUT_COMMAND", "Plan"),
        ("INPUT_WORKING_DIRECTORY", "apps"),
        ("INPUT_DAGSTER_CLOUD_FILE", "cloud.yaml"),
        ("INPUT_LOCATIONS", "one, two\nthree\n"),
        ("INPUT_PYTHON_VERSION", "3.12"),
        ("INPUT_BRANCH_DEPLOYMENT", "false"),
        ("INPUT_LOCKED", "true"),
        ("INPUT_EXTRAS", "*"),
        ("INPUT_VERIFY", "TRUE"),
        ("INPUT_CHANGED_ONLY", "true"),
        ("INPUT_SHARDS", "4"),
        ("INPUT_SNAPSHOT_BASE", "on-create"),
    ];
    let inputs = ActionInputs::read(&host(&env)).unwrap();
    assert_eq!(
        (inputs.command, inputs.shards, inputs.deploy.verify),
        (ActionCommand::Plan, 4, VerifyWhen::Always)
    );
    assert_eq!(inputs.deploy.file.as_deref(), Some(Path::new("apps/cloud.yaml")));
    assert_eq!(inputs.deploy.locations, ["one", "two", "three"]);
    assert_eq!(inputs.deploy.build.python_version, Some("3.12".parse().unwrap()));
    assert!(
        inputs.deploy.build.locked && inputs.deploy.build.all_extras && inputs.deploy.build.extras.is_empty()
    );
    assert!(inputs.deploy.publish.branch.full_deployment && inputs.deploy.publish.changed_only);
    assert_eq!(inputs.deploy.publish.branch.snapshot_base, Some(SnapshotBase::OnCreate));
}

#[test]
fn a_list_may_be_json() {
    for (value, want) in [
        (r#"["one", "two, three"]"#, &["one", "two, three"][..]),
        ("[\n  \"one\"\n]", &["one"]),
        ("one,two", &["one", "two"]),
        ("[one]", &["[one]"]),
    ] {
        let inputs = ActionInputs::read(&host(&[("INPUT_LOCATIONS", value)])).unwrap();
        assert_eq!(inputs.deploy.locations, want, "{value}");
    }
}

#[test]
fn an_empty_list_of_locations_does_not_mean_all() {
    for value in ["[]", "[ ]", ","] {
        let error = ActionInputs::read(&host(&[("INPUT_LOCATIONS", value)])).unwrap_err();
        let says = "it names no code location; leave the input out to deploy all of them, or skip the step";
        assert_eq!(error.to_string(), format!("the input `locations` is `{value}`: {says}"));
    }
    for value in ["", " \n"] {
        assert!(
            ActionInputs::read(&host(&[("INPUT_LOCATIONS", value)])).unwrap().deploy.locations.is_empty()
        );
    }
}

#[test]
fn variables_are_filled_in_where_an_input_is_a_path_and_only_there() {
    let env = [
        ("GITHUB_WORKSPACE", "/ws"),
        ("FILE", "cloud.yaml"),
        ("HOME", "/home/me"),
        ("INPUT_WORKING_DIRECTORY", "$GITHUB_WORKSPACE/apps"),
        ("INPUT_DAGSTER_CLOUD_FILE", "one/${FILE}"),
        ("INPUT_BUILD_OUTPUT_DIR", "~/out"),
        ("INPUT_LOCATIONS", "$FILE"),
        ("INPUT_COMMENT_KEY", "$FILE"),
    ];
    let inputs = ActionInputs::read(&host(&env)).unwrap();
    assert_eq!(inputs.deploy.file.as_deref(), Some(Path::new("/ws/apps/one/cloud.yaml")));
    assert_eq!(inputs.deploy.out_dir.as_deref(), Some(Path::new("/home/me/out")));
    assert_eq!(inputs.deploy.locations, ["$FILE"]);
    assert_eq!(inputs.reporting.comment_key.as_deref(), Some("$FILE"));

    let error = ActionInputs::read(&host(&[("INPUT_BUILD_OUTPUT_DIR", "$OUT/x")])).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the input `build_output_dir` is `$OUT/x`: the variable `OUT` is not set in the environment of this step"
    );
}

#[test]
fn an_input_that_cannot_be_understood_is_named_with_what_it_can_be() {
    for (name, value, says) in [
        ("INPUT_DEPLOY", "yes", "the input `deploy` is `yes`: it can be `true`, `false`"),
        ("INPUT_VERIFY", "maybe", "it can be `auto`, `true`, `false`"),
        ("INPUT_COMMAND", "destroy", "it can be `deploy`, `build`, `check`, `plan`"),
        ("INPUT_SHARDS", "many", "the input `shards` is `many`: a matrix has 1 to 256 jobs"),
        ("INPUT_SHARDS", "0", "the input `shards` is `0`: a matrix has 1 to 256 jobs"),
        ("INPUT_SHARDS", "257", "the input `shards` is `257`: a matrix has 1 to 256 jobs"),
        (
            "INPUT_LOCATION_LOAD_TIMEOUT",
            "10m",
            "the input `location_load_timeout` is `10m`: it must be seconds as a whole number, such as 600",
        ),
        ("INPUT_AGENT_HEARTBEAT_TIMEOUT", "1.5", "seconds as a whole number, such as 600"),
        (
            "INPUT_PYTHON_VERSION",
            "3.1",
            "the input `python_version` is `3.1`: YAML reads 3.10 without quotes as 3.1: write '3.10'",
        ),
        ("INPUT_EXTRAS", "[dev]", "the input `extras` is `[dev]`: write `dev`, without brackets"),
        ("INPUT_EXTRAS", "[dev, test]", "write `dev, test`, without brackets"),
        ("INPUT_EXTRAS", "a, .[dev]", "the input `extras` is `a, .[dev]`: write `dev`, without brackets"),
        ("INPUT_GROUPS", "a b", "`a b` is not a name: it may have letters, digits, `-`, `_` and `.`"),
        ("INPUT_PYTHON_VERSION", "2.7", "the input `python_version` is `2.7`"),
    ] {
        let error = ActionInputs::read(&host(&[(name, value)])).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}

#[test]
fn a_token_of_the_environment_is_not_shown() {
    let inputs = ActionInputs::read(&host(&[("GITHUB_TOKEN", "ghs_x")])).unwrap();
    assert!(inputs.github_token.is_some() && !format!("{inputs:?}").contains("ghs_x"));
}

#[test]
fn inputs_about_images_become_what_the_flags_are() {
    let env = [
        ("HOME", "/home/me"),
        ("INPUT_WORKING_DIRECTORY", "apps"),
        ("INPUT_IMAGE_INCLUDE", "dbt\n\n ~/models:/srv/models \n"),
        ("INPUT_IMAGE_ENV", "A=1\nB=x=y z"),
        ("INPUT_IMAGE_LABELS", "org.example.team=data"),
        ("INPUT_IMAGE_OWNER", "1000"),
        ("INPUT_IMAGE_PYTHON", "/usr/bin/python3.12"),
        ("INPUT_IMAGE_COMPRESSION", "gzip-single"),
        ("INPUT_IMAGE_BYTECODE", "false"),
        ("INPUT_SBOM", "true"),
        ("INPUT_IGNORE_DOCKERFILE", "true"),
    ];
    let images = ActionInputs::read(&host(&env)).unwrap().deploy.image_options;
    assert_eq!(images.includes, ["apps/dbt", "/home/me/models:/srv/models"]);
    let pair = |name: &str, value: &str| (name.to_string(), value.to_string());
    assert_eq!(images.env, [pair("A", "1"), pair("B", "x=y z")]);
    assert_eq!(images.labels, [pair("org.example.team", "data")]);
    let owner = images.owner.unwrap();
    assert_eq!((owner.uid, owner.gid, images.python.as_deref()), (1000, 1000, Some("/usr/bin/python3.12")));
    assert!(images.no_bytecode && images.sbom && images.ignore_dockerfile);
    for (name, value, says) in [
        (
            "INPUT_IMAGE_ENV",
            "A=1\ncanary",
            "the input `image_env` is `***`: line 2: write it like `NAME=VALUE`",
        ),
        ("INPUT_IMAGE_OWNER", "me", "the input `image_owner` is `me`: an owner is a number"),
        ("INPUT_IMAGE_PYTHON", "python", "it is an absolute path in the image"),
        ("INPUT_IMAGE_COMPRESSION", "zstd", "it can be `gzip`, `gzip-single`"),
    ] {
        let error = ActionInputs::read(&host(&[(name, value)])).unwrap_err().to_string();
        assert!(error.contains(says) && !error.contains("canary"), "{error}");
    }
}
