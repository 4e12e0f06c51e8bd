//! Authentication: challenges, tokens, and what is said when it does not work.

use super::{Client, Sample, anonymous, blob, client_in, identified_to, known_to, two_tags};
use crate::support::fault_registry::{Auth, FaultRegistry, Mount, Trouble, USER, Ways};
use crate::support::scripted_server::{Reply, ScriptedServer};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pexpress::error::error_text;
use pexpress::image::manifest::media_type;
use pexpress::registry::{Push, Pushed, RegistryError};

/// Push an image with a mount source; what became of its blobs.
fn push(client: &Client, registry: &FaultRegistry, from: &str) -> Result<Vec<Pushed>, RegistryError> {
    let (to, tags, sample) = (registry.repository("team/app"), two_tags(), Sample::new("a", &[100, 200]));
    let from = [registry.repository(from)];
    let push = Push {
        repository: &to,
        media_type: media_type::MANIFEST,
        manifest: &sample.manifest,
        tags: &tags,
        mount_from: &from,
    };
    client.registries.push_image(&push, sample.blobs()).map(|pushed| pushed.blobs)
}

/// No secret of the tests is in a text.
fn assert_no_canary(text: &str) {
    assert!(!text.contains("canary"), "{text}");
    let basic = STANDARD.encode(format!("{}:{}", USER.0, USER.1));
    assert!(!text.contains(&basic), "{text}");
}

#[test]
fn every_way_of_authentication_pushes_and_mounts() {
    for (auth, requests) in [(Auth::Open, 13), (Auth::Basic, 14), (Auth::Token, 16), (Auth::Identity, 16)] {
        let registry = FaultRegistry::new(Ways { auth, ..Ways::default() });
        registry.put_blob("other/base", &Sample::new("a", &[100]).contents[0]);
        let client = match auth {
            Auth::Open => anonymous(),
            Auth::Identity => identified_to(&registry),
            _ => known_to(&registry),
        };
        let mut blobs = push(&client, &registry, "other/base")
            .unwrap_or_else(|error| panic!("{auth:?}: {}", error_text(&error, false)));
        blobs.sort_by_key(|one| format!("{one:?}"));
        assert_eq!(blobs, [Pushed::Mounted, Pushed::Sent, Pushed::Sent], "{auth:?}");
        assert_eq!(registry.problems(), [""; 0], "{auth:?}");
        // One more to be asked for credentials, and one for each token: to read, to push, and to push and mount.
        let others = registry.requests().len();
        assert!(others <= requests + 1, "{auth:?}: {others}\n{:#?}", registry.requests());
        assert_no_canary(&client.heard.text());
    }
}

#[test]
fn what_is_public_is_read_with_a_token_for_nobody() {
    let registry = FaultRegistry::new(Ways { auth: Auth::Token, ..Ways::default() });
    let digest = registry.put_blob("public/base", b"layer");
    let layer = blob(b"layer").descriptor;
    assert_eq!(layer.digest, digest);
    let client = anonymous();
    assert_eq!(client.registries.small_blob(&registry.repository("public/base"), &layer).unwrap(), b"layer");
    assert_eq!(registry.requests().iter().filter(|one| one.contains("/token")).count(), 1);
}

#[test]
fn one_repository_that_must_not_be_read_does_not_stop_the_push() {
    let registry = FaultRegistry::new(Ways { auth: Auth::Token, mount: Mount::NoToken, ..Ways::default() });
    registry.put_blob("other/base", &Sample::new("a", &[100]).contents[0]);
    let client = known_to(&registry);
    assert_eq!(push(&client, &registry, "other/base").unwrap(), [Pushed::Sent; 3]);
    assert_eq!(registry.problems(), [""; 0]);
}

#[test]
fn a_token_that_ends_in_the_middle_is_fetched_again_once() {
    for auth in [Auth::Token, Auth::Identity] {
        let mut puts = 0;
        let registry = FaultRegistry::with_faults(Ways { auth, ..Ways::default() }, move |request| {
            puts += usize::from(request.method == "PUT");
            // Before the second blob is taken, and before the manifest is.
            (request.method == "PUT" && [2, 7].contains(&puts)).then_some(Trouble::ExpireTokens)
        });
        let client = if auth == Auth::Token { known_to(&registry) } else { identified_to(&registry) };
        push(&client, &registry, "public/base").unwrap();
        assert!(registry.tags().iter().all(|(_, is_whole)| *is_whole) && registry.tags().len() == 2);
        assert!(client.clock.slept().is_empty());
    }
}

#[test]
fn a_refusal_says_which_credentials_were_used_and_never_their_value() {
    let registry = FaultRegistry::new(Ways { auth: Auth::Token, ..Ways::default() });
    let home = |text: String, client: &Client| {
        let host = text.replace(&registry.host(), "[HOST]");
        let dir = client._dir.path().display().to_string();
        host.replace(&dir, "[HOME]")
    };
    // Nobody.
    let client = anonymous();
    let error = push(&client, &registry, "public/base").unwrap_err();
    insta::assert_snapshot!(home(error_text(&error, false), &client), @r"
    error: could not look for `[HOST]/team/app:app-0123456789abcdef`: [HOST] answered 401
    hint: no credentials for [HOST] were found in `[HOME]/.config/containers/auth.json` (the home directory), `[HOME]/.docker/config.json` (the home directory): run `docker login [HOST]`, or set PEXPRESS_REGISTRY_USERNAME and PEXPRESS_REGISTRY_PASSWORD for the registry that is pushed to
    ");
    // A wrong password.
    let env = [("PEXPRESS_REGISTRY_USERNAME", "me"), ("PEXPRESS_REGISTRY_PASSWORD", "canary-wrong-password")];
    let client = client_in(|_| (), &env, Some(&format!("{}/any", registry.host())));
    let error = push(&client, &registry, "public/base").unwrap_err();
    let text = home(error_text(&error, false), &client);
    insta::assert_snapshot!(text, @r"
    error: could not get a token for `[HOST]/team/app`: [HOST] answered 401 (UNAUTHORIZED: authentication required)
    hint: the credentials are those of PEXPRESS_REGISTRY_USERNAME and PEXPRESS_REGISTRY_PASSWORD: check that they are valid, and that `team/app` exists and may be used with them
    ");
    assert_no_canary(&text);
    // The same with Basic.
    registry.set(|ways| ways.auth = Auth::Basic);
    let client = client_in(|_| (), &env, Some(&format!("{}/any", registry.host())));
    let error = push(&client, &registry, "public/base").unwrap_err();
    insta::assert_snapshot!(home(error_text(&error, false), &client), @r"
    error: could not look for `[HOST]/team/app:app-0123456789abcdef`: [HOST] answered 401
    hint: the credentials are those of PEXPRESS_REGISTRY_USERNAME and PEXPRESS_REGISTRY_PASSWORD: check that they are valid, and that `team/app` exists and may be used with them
    ");
    assert_no_canary(&format!("{error:?}"));
}

#[test]
fn what_a_registry_repeats_of_a_password_is_hidden() {
    let server = ScriptedServer::answering(|request| match request.header("authorization") {
        None => Reply::new(401, "").header("WWW-Authenticate", "Basic realm=\"x\""),
        Some(given) => {
            let body = format!(
                r#"{{"errors": [{{"code": "DENIED", "message": "::error::no {} and {given} \u001b[31m"}}]}}"#,
                USER.1
            );
            Reply::new(403, body).header("Content-Type", "application/json")
        }
    });
    let host = server.url("").replace("http://", "");
    let env = [("PEXPRESS_REGISTRY_USERNAME", USER.0), ("PEXPRESS_REGISTRY_PASSWORD", USER.1)];
    let client = client_in(|_| (), &env, Some(&format!("{host}/any")));
    let error = client.registries.head_manifest(&format!("{host}/a:1").parse().unwrap());
    // An answer to HEAD has no words; one to GET does.
    assert!(matches!(error, Err(RegistryError::Denied { .. })));
    let error = client.registries.manifest(&format!("{host}/a:1").parse().unwrap()).unwrap_err();
    let text = error_text(&error, false).replace(&host, "[HOST]");
    assert_no_canary(&text);
    insta::assert_snapshot!(text.lines().next().unwrap(), @"error: could not read `[HOST]/a:1`: [HOST] answered 403 (DENIED: ::error::no *** and Basic *** )");
}

/// Only the password as it is was hidden, and the header as a whole.
#[test]
fn other_spellings_of_a_password_are_hidden_too() {
    const PASSWORD: &str = "canary/t+pw&x ü";
    let spelt = ["canary/t%2Bpw%26x%20%C3%BC", "canary%2Ft%2Bpw%26x%20%C3%BC", "Y2FuYXJ5L3QrcHcmeCDDvA=="];
    let server = ScriptedServer::answering(move |request| match request.header("authorization") {
        None => Reply::new(401, "").header("WWW-Authenticate", "Basic realm=\"x\""),
        Some(_) => {
            let message = spelt.join(" and ");
            let body = format!(r#"{{"errors": [{{"code": "DENIED", "message": "{message}"}}]}}"#);
            Reply::new(403, body).header("Content-Type", "application/json")
        }
    });
    let host = server.url("").replace("http://", "");
    let env = [("PEXPRESS_REGISTRY_USERNAME", USER.0), ("PEXPRESS_REGISTRY_PASSWORD", PASSWORD)];
    let client = client_in(|_| (), &env, Some(&format!("{host}/any")));
    let error = client.registries.manifest(&format!("{host}/a:1").parse().unwrap()).unwrap_err();
    let text = error_text(&error, false);
    assert!(text.contains("(DENIED: *** and *** and ***)"), "{text}");
}

#[test]
fn a_password_is_not_sent_to_a_token_server_without_encryption() {
    for (challenge, want) in [
        ("Bearer realm=\"http://auth.example/token\"", "Realm"),
        ("Bearer realm=\"ftp://x/\"", "Realm"),
        ("Negotiate", "Challenge"),
        ("", "Denied"),
    ] {
        let server = ScriptedServer::answering(move |_| {
            let reply = Reply::new(401, "");
            if challenge.is_empty() { reply } else { reply.header("WWW-Authenticate", challenge) }
        });
        let host = server.url("").replace("http://", "");
        let env = [("PEXPRESS_REGISTRY_USERNAME", USER.0), ("PEXPRESS_REGISTRY_PASSWORD", USER.1)];
        let client = client_in(|_| (), &env, Some(&format!("{host}/any")));
        let error = client.registries.manifest(&format!("{host}/a:1").parse().unwrap()).unwrap_err();
        assert!(format!("{error:?}").starts_with(want), "{challenge}: {error:?}");
        assert_eq!(server.requests().len(), 1, "{challenge}");
        assert!(server.requests().iter().all(|one| one.header("authorization").is_none()));
    }
}

#[test]
fn the_pair_in_the_environment_is_for_the_destination_alone() {
    let [destination, base] =
        [0, 1].map(|_| FaultRegistry::new(Ways { auth: Auth::Basic, ..Ways::default() }));
    base.put_blob("base/python", b"layer");
    let client = known_to(&destination);
    let layer = blob(b"layer").descriptor;
    let error = client.registries.copy_blob(
        &base.repository("base/python"),
        &destination.repository("team/app"),
        &layer,
    );
    let text = error_text(&error.unwrap_err(), false);
    assert!(text.contains("no credentials for"), "{text}");
    assert_eq!(base.requests().len(), 1, "asked once, and not again with the pair");
}
