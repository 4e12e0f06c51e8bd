//! Passwords of registries, searched in everything that a run with images leaves behind.

use super::secrets::{contents, has, spying_uv};
use crate::deploy::images::hybrid;
use crate::image::base::Base;
use crate::support::fault_registry::{Auth, FaultRegistry, Trouble, USER, Ways};
use crate::support::scene::Scene;
use crate::support::step::pull_request;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

/// Where the password comes from.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Login {
    Inputs,
    DockerConfig,
    /// A wrong one.
    Wrong,
}

#[test]
fn no_file_of_a_run_with_images_has_the_password_of_its_registry() {
    for (what, auth, refuses, from, code) in [
        ("a push by password", Auth::Basic, false, Login::Inputs, 0),
        ("a push by token", Auth::Token, false, Login::Inputs, 0),
        ("a login of docker", Auth::Token, false, Login::DockerConfig, 0),
        ("a push that is refused", Auth::Basic, true, Login::Inputs, 3),
        ("a password that is refused", Auth::Basic, false, Login::Wrong, 3),
    ] {
        let registry = FaultRegistry::with_faults(Ways { auth, ..Ways::default() }, move |request| {
            (refuses && request.method == "PUT").then_some(Trouble::Status(403, None))
        });
        let scene = Scene::new(&[("one", "")], hybrid());
        let base = scene.dir.path().join("base");
        Base::official("3.11").write(&base);
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).to_str().unwrap().to_string();
        let step = scene
            .step()
            .with("PEXPRESS_UV", spying_uv(dir.path()).to_str().unwrap())
            .with("PEXPRESS_CACHE_DIR", &path("cache"))
            .with("INPUT_BUILD_OUTPUT_DIR", &path("out"))
            .with("TMPDIR", dir.path().to_str().unwrap())
            .with("RUNNER_DEBUG", "1")
            .with("INPUT_SBOM", "true")
            .with("INPUT_IMAGE_REGISTRY", &format!("{}/acme/app", registry.host()))
            .with("INPUT_BASE_IMAGE", &format!("oci:{}", base.display()))
            .with("INPUT_PYTHON_VERSION", "3.11")
            .with("INPUT_IMAGE_BYTECODE", "false");
        let login = STANDARD.encode(format!("{}:{}", USER.0, USER.1));
        let config = tempfile::tempdir().unwrap();
        let step = match from {
            Login::Inputs => {
                step.with("INPUT_REGISTRY_USERNAME", USER.0).with("INPUT_REGISTRY_PASSWORD", USER.1)
            }
            Login::Wrong => {
                step.with("INPUT_REGISTRY_USERNAME", USER.0).with("INPUT_REGISTRY_PASSWORD", "canary-wrong")
            }
            Login::DockerConfig => {
                let auths = json!({"auths": {registry.host(): {"auth": login}}});
                std::fs::write(config.path().join("config.json"), auths.to_string()).unwrap();
                step.with("DOCKER_CONFIG", config.path().to_str().unwrap())
            }
        };
        let ran = step.event("pull_request", &pull_request("opened")).run();
        assert_eq!(ran.code, Some(code), "{what}: {}", ran.log);
        let unmasked: Vec<&str> = ran.log.lines().filter(|line| !line.starts_with("::add-mask::")).collect();
        let mut places = contents(dir.path());
        assert!(places.iter().any(|(path, _)| path.ends_with("children")), "{what}: no child was seen");
        assert!(places.iter().any(|(path, _)| path.to_string_lossy().ends_with(".cdx.json")), "{what}");
        places.push(("log".into(), unmasked.join("\n").into_bytes()));
        places.push(("summary".into(), ran.summary.clone().into_bytes()));
        places.push(("outputs".into(), format!("{:?}", ran.outputs).into_bytes()));
        places.push(("comment".into(), scene.github.bodies().join("\n").into_bytes()));
        places.push(("GitHub's journal".into(), scene.github.journal().0.to_string().into_bytes()));
        places.push(("Dagster+'s journal".into(), scene.dagster.journal().0.to_string().into_bytes()));
        for (place, bytes) in &places {
            for secret in ["canary", &login] {
                assert!(!has(bytes, secret), "{what}: `{secret}` is in {}\n{}", place.display(), ran.log);
            }
        }
        assert_eq!(registry.problems(), [] as [String; 0], "{what}");
    }
}
