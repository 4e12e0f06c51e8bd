//! Docker builds for Hybrid agents: which of them pexpress takes over, and what becomes of their logins.

use super::{facts, job, workflow};
use crate::init::{Plan, plan};
use serde_json::json;

/// A workflow whose image for `a` goes to this registry, with a login and an own step.
fn images(registry: &str, login: &str, build: &str, own: &str) -> Plan {
    let name = "run: dagster-cloud ci set-build-output --location-name a --image-tag x";
    let build = build.replace("REGISTRY", registry);
    let mut facts = facts(&[("a.yml", workflow("push", "", &[login, &build, name, own]))]);
    facts.project.as_mut().unwrap().locations[0].registry = Some(registry.into());
    plan(&facts)
}

const BUILD: &str = "uses: docker/build-push-action@v6\nwith: {context: ., push: true, tags: 'REGISTRY:x', cache-from: type=gha}";

#[test]
fn a_login_by_identity_becomes_an_input() {
    let aws = "uses: aws-actions/configure-aws-credentials@v4\nwith: {role-to-assume: 'arn:aws:iam::123456789012:role/r', aws-region: x}";
    let google = "uses: google-github-actions/auth@v3\nwith: {workload_identity_provider: projects/1/p, service_account: a@b}";
    let azure =
        "uses: azure/login@v2\nwith: {client-id: '${{ secrets.C }}', tenant-id: t, subscription-id: s}";
    let github = "uses: docker/login-action@v3\nwith: {registry: ghcr.io, username: me, password: '${{ secrets.GITHUB_TOKEN }}'}";
    for (registry, login, want, scope) in [
        (
            "123456789012.dkr.ecr.eu-west-1.amazonaws.com/a",
            aws,
            json!({"aws_role": "arn:aws:iam::123456789012:role/r"}),
            "id-token",
        ),
        (
            "europe-west1-docker.pkg.dev/p/r/a",
            google,
            json!({"gcp_workload_identity_provider": "projects/1/p", "gcp_service_account": "a@b"}),
            "id-token",
        ),
        (
            "acme.azurecr.io/a",
            azure,
            json!({"azure_client_id": "${{ secrets.C }}", "azure_tenant_id": "t"}),
            "id-token",
        ),
        ("ghcr.io/acme/a", github, json!({}), "packages"),
    ] {
        let (job, inputs) = job(&images(registry, login, BUILD, "run: make test"));
        for (name, value) in want.as_object().unwrap() {
            assert_eq!(&inputs[name], value, "{registry}: {inputs}");
        }
        assert_eq!(job["permissions"], json!({"contents": "read", scope: "write"}), "{registry}");
        let steps = job["steps"].as_array().unwrap();
        assert_eq!(steps.len(), 3, "checkout, tests, deploy: {steps:#?}");
        assert_eq!((inputs.get("images"), inputs.get("image_tag")), (None, None), "{registry}");
    }
}

#[test]
fn a_login_that_other_steps_need_or_that_stores_a_password_stays() {
    let aws = "uses: aws-actions/configure-aws-credentials@v4\nwith: {role-to-assume: r, aws-region: x}";
    let (job_of_aws, inputs) = job(&images(
        "123456789012.dkr.ecr.eu-west-1.amazonaws.com/a",
        aws,
        BUILD,
        "run: aws s3 sync x s3://y",
    ));
    assert_eq!((job_of_aws["steps"].as_array().unwrap().len(), &inputs["aws_role"]), (4, &json!("r")));
    let password = "uses: docker/login-action@v3\nwith: {registry: r.example, username: me, password: '${{ secrets.P }}'}";
    let (job_of_other, inputs) = job(&images("r.example/a", password, BUILD, "run: make test"));
    assert_eq!(job_of_other["steps"][1]["uses"], "docker/login-action@v3");
    assert_eq!((inputs.get("registry_password"), inputs.get("images")), (None, None), "{inputs}");
}

#[test]
fn a_build_that_does_more_than_pexpress_stays_with_docker() {
    let registry = "ghcr.io/acme/a";
    let action = "step \"docker/build-push-action@v6\"";
    for (build, why) in [
        (BUILD.replace("push: true", "push: true, target: prod"), format!("{action} has `target`")),
        (BUILD.replace("push: true", "push: true, build-args: A=1"), format!("{action} has `build-args`")),
        (
            BUILD.replace("push: true", "push: true, platforms: 'linux/amd64,linux/arm64'"),
            format!("{action} has `platforms`"),
        ),
        (
            BUILD.replace("push: true", "push: true, file: deploy/other.Dockerfile"),
            format!("{action} has `file`"),
        ),
        (
            format!("if: steps.changed.outputs.a == 'true'\n{BUILD}"),
            format!("{action} is only for some runs"),
        ),
        (
            "run: docker build --build-arg A=1 -t REGISTRY:x .".to_string(),
            "step \"docker build\" has `--build-arg`".to_string(),
        ),
        (
            "name: Image\nrun: docker login r.example -u x && docker build -t REGISTRY:x .".to_string(),
            "step \"Image\" runs `docker login`".to_string(),
        ),
        (
            "name: Image\nrun: docker run --rm REGISTRY:x pytest".to_string(),
            "step \"Image\" runs `docker run`".to_string(),
        ),
    ] {
        let plan = images(registry, "run: make login", &build, "run: make test");
        let says_why = plan
            .notes
            .iter()
            .any(|note| note.starts_with(&format!("images are still built with Docker: the {why}. ")));
        assert!(says_why, "{why}: {:#?}", plan.notes);
        let (job, inputs) = job(&plan);
        assert_eq!(inputs.get("image_registry"), None, "{build}");
        let named = inputs.get("image_tag").or(inputs.get("images"));
        assert!(named.is_some() && job["steps"].to_string().contains("docker"), "{build}: {job:#}");
    }
    let output = format!("id: built\n{BUILD}");
    let (job_of_user, _) =
        job(&images(registry, "run: make", &output, "run: sign ${{ steps.built.outputs.digest }}"));
    assert!(job_of_user["steps"].to_string().contains("build-push-action"), "{job_of_user:#}");
    let mut facts = facts(&[(
        "a.yml",
        workflow("push", "", &["run: dagster-cloud ci set-build-output --location-name a --image-tag x"]),
    )]);
    facts.project.as_mut().unwrap().locations[0].registry = Some(registry.into());
    facts.image_obstacles =
        vec!["a/Dockerfile:3: `RUN apt-get install git`".into(), "a/Dockerfile:5: `RUN dbt deps`".into()];
    let plan = plan(&facts);
    assert_eq!(job(&plan).1["image_tag"], "x");
    // Users got only the first one.
    let both = "a/Dockerfile:3: `RUN apt-get install git`, a/Dockerfile:5: `RUN dbt deps`. docs";
    assert!(plan.notes[0].contains(both), "{:?}", plan.notes);
}

#[test]
fn builds_without_one_repository_stay_with_docker_and_say_so() {
    let build = BUILD.replace("REGISTRY", "${{ vars.REGISTRY }}");
    let name = "run: dagster-cloud ci set-build-output --location-name a --image-tag x";
    let plan = plan(&facts(&[("a.yml", workflow("push", "", &[&build, name]))]));
    let says_why = |note: &String| note.contains("does not name one repository that they are pushed to");
    assert!(plan.notes.iter().any(says_why), "{:#?}", plan.notes);
}
