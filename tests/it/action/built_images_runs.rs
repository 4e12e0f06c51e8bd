//! Images as a workflow builds and pushes them: `act` runs a workflow of `examples/`, the registry is Debian's
//! `docker-registry` with each kind of authentication.

use crate::deploy::images::hybrid;
use crate::image::base::{Base, digest};
use crate::support::act::{Finished, Run, Workspace};
use crate::support::docker_registry::{Kind, PASSWORD, Registry, USER, is_equipped};
use crate::support::github_standin::{GithubStandin, WRITE};
use crate::support::small_project::write_project;
use crate::support::standin::{Standin, TOKEN};
use serde_json::{Value, json};

const EXAMPLE: &str = "images-ghcr.yml";
const OF_EXAMPLE: &str = "image_registry: ghcr.io/my-organization/my-images";

/// A project with a base image at its top, which is in no build directory.
fn workspace(locations: &[(&str, &str)]) -> Workspace {
    Workspace::with(|path| {
        write_project(path, locations);
        Base::official("3.11").write(&path.join("base"));
    })
}

/// The inputs for images in this registry.
fn inputs(registry: &Registry, kind: Kind) -> String {
    let login = match kind {
        Kind::Open => String::new(),
        Kind::Basic | Kind::Token => format!(
            "\n          registry_username: {USER}\n          registry_password: ${{{{ secrets.REGISTRY_PASSWORD }}}}"
        ),
    };
    format!(
        "image_registry: {}/team/app\n          base_image: oci:base\n          python_version: '3.11'{login}",
        registry.host
    )
}

fn deploying<'a>(run: Run<'a>, standin: &Standin, github: &GithubStandin) -> Run<'a> {
    run.organization(&standin.url, TOKEN).github(github, WRITE).secret("REGISTRY_PASSWORD", PASSWORD)
}

/// The image that the outputs, the document of Dagster+ and the registry agree on.
fn image(finished: &Finished, job: &str, standin: &Standin, registry: &Registry, kind: Kind) -> Value {
    let image = finished.json_output(job, "images")["one"].clone();
    let reference = image["reference"].as_str().unwrap();
    let state = standin.state();
    let document = &state["deployments"][&finished.output(job, "deployment")]["locations"]["one"];
    assert_eq!(document["image"], image["reference"], "{document:#}");
    let manifest = registry.skopeo("inspect", kind, &["--raw", &format!("docker://{reference}")]);
    assert_eq!(image["digest"], digest(&manifest));
    image
}

#[test]
#[ignore = "act comes from a package index, docker-registry, skopeo, htpasswd and openssl from Debian"]
fn images_reach_every_kind_of_registry_through_the_events_of_a_repository() {
    if !is_equipped() {
        return;
    }
    for kind in [Kind::Open, Kind::Basic, Kind::Token] {
        let registry = Registry::start(kind);
        let workspace = workspace(&[("one", "extra==1")]);
        let (standin, github) = (Standin::start(hybrid()), GithubStandin::start(json!({})));
        let start = |run: Run<'_>| {
            let finished =
                deploying(run, &standin, &github).edit(OF_EXAMPLE, &inputs(&registry, kind)).start();
            finished.assert_success();
            finished
        };
        let pushed = start(workspace.push(EXAMPLE, "main"));
        assert_eq!(pushed.output("deploy", "deployment"), "prod", "{kind:?}");
        let main = image(&pushed, "deploy", &standin, &registry, kind);

        let opened = start(workspace.pull_request(EXAMPLE, "opened"));
        assert_eq!(opened.output("deploy", "is_branch_deployment"), "true");
        assert_eq!(image(&opened, "deploy", &standin, &registry, kind), main, "the same bytes");
        std::fs::write(workspace.path().join("one/defs.py"), "name = 'changed'\n").unwrap();
        let synchronized = start(workspace.pull_request(EXAMPLE, "synchronize"));
        assert_ne!(image(&synchronized, "deploy", &standin, &registry, kind), main);
        let [comment] = &github.bodies()[..] else { panic!("{:#?}", github.bodies()) };
        assert!(comment.contains("sent, 4 of 5 layers reused"), "{comment}");

        let closed = start(workspace.pull_request(EXAMPLE, "closed"));
        assert_eq!(closed.output("deploy", "result"), "closed");
        standin.journal().assert_clean();
        github.journal().assert_clean();
        for said in [pushed.log(), opened.log(), synchronized.log(), closed.log(), github.bodies().join("\n")]
        {
            assert!(!said.contains("canary"), "{said}");
        }
    }
}

#[test]
#[ignore = "act comes from a package index, docker-registry, skopeo, htpasswd and openssl from Debian"]
fn a_matrix_of_jobs_pushes_images_and_shares_a_comment() {
    if !is_equipped() {
        return;
    }
    let registry = Registry::start(Kind::Token);
    let workspace = workspace(&[("one", ""), ("two", "extra==1"), ("three", "extra==2")]);
    let (standin, github) = (Standin::start(hybrid()), GithubStandin::start(json!({})));
    let run = workspace.pull_request("monorepo.yml", "opened");
    let token = "dagster_cloud_api_token: ${{ secrets.DAGSTER_CLOUD_API_TOKEN }}";
    let with = format!("{token}\n          {}", inputs(&registry, Kind::Token));
    let finished =
        deploying(run.edit("shards: 4", "shards: 2").edit(token, &with), &standin, &github).start();
    finished.assert_success();
    let state = standin.state();
    let branch = finished.output("deploy", "deployment");
    for name in ["one", "two", "three"] {
        let reference = state["deployments"][&branch]["locations"][name]["image"].as_str().unwrap();
        registry.skopeo("inspect", Kind::Token, &["--raw", &format!("docker://{reference}")]);
    }
    let [comment] = &github.bodies()[..] else { panic!("{:#?}", github.bodies()) };
    assert!(comment.contains("Deployed 3 code locations"), "{comment}");
    assert!(!comment.contains("canary") && !finished.log().contains("canary"));
    standin.journal().assert_clean();
    github.journal().assert_clean();
}
