//! Reading manifests and blobs, and copying between registries.

use super::{Sample, anonymous, two_tags};
use crate::support::fault_registry::{Auth, DigestHeader, FaultRegistry, Trouble, Ways};
use pexpress::error::error_text;
use pexpress::image::manifest::media_type;
use pexpress::image::{Descriptor, Digest, Platform, Reference};
use pexpress::registry::{Push, Pushed, RegistryError};
use serde_json::json;
use std::io::Read;

fn amd64() -> Platform {
    Platform { os: "linux".into(), architecture: "amd64".into(), variant: None }
}

fn reference(registry: &FaultRegistry, rest: &str) -> Reference {
    format!("{}/{rest}", registry.host()).parse().unwrap()
}

/// A registry with the image `base/python:3.12` as an index of two platforms and an attestation.
fn with_index(ways: Ways) -> (FaultRegistry, Sample) {
    let registry = FaultRegistry::new(ways);
    let sample = Sample::new("base", &[3000, 50]);
    for content in &sample.contents {
        registry.put_blob("base/python", content);
    }
    let digest = registry.put_manifest("base/python", "amd64", media_type::MANIFEST, &sample.manifest);
    let entry = |platform: &str, digest: Digest| {
        let (os, architecture) = platform.split_once('/').unwrap();
        json!({"mediaType": media_type::MANIFEST, "digest": digest.to_string(), "size": sample.manifest.len(),
            "platform": {"os": os, "architecture": architecture}})
    };
    let other = Digest::of(b"an image of another platform");
    let index = json!({"schemaVersion": 2, "mediaType": media_type::INDEX,
        "manifests": [entry("unknown/unknown", other), entry("linux/arm64", other), entry("linux/amd64", digest)]});
    registry.put_manifest("base/python", "3.12", media_type::INDEX, index.to_string().as_bytes());
    (registry, sample)
}

#[test]
fn the_image_of_a_platform_is_read_with_its_config_and_layers() {
    for redirects_blobs in [false, true] {
        for auth in [Auth::Open, Auth::Basic] {
            let (registry, sample) = with_index(Ways { redirects_blobs, auth, ..Ways::default() });
            let client = if auth == Auth::Open { anonymous() } else { super::known_to(&registry) };
            let at = reference(&registry, "base/python:3.12");
            let image = client.registries.image(&at, &amd64()).unwrap();
            assert_eq!(image.fetched.digest, Digest::of(&sample.manifest));
            assert_ne!(image.digest, image.fetched.digest);
            assert_eq!(
                client.registries.head_manifest(&at).unwrap().unwrap(),
                (image.digest, media_type::INDEX.into())
            );
            let (bytes, config) = client.registries.config(&at.repository, &image.manifest).unwrap();
            assert_eq!((bytes, config.platform()), (sample.contents[2].clone(), amd64()));
            for (layer, content) in image.manifest.layers.iter().zip(&sample.contents) {
                assert!(client.registries.has_blob(&at.repository, layer).unwrap());
                let mut read = Vec::new();
                client.registries.blob(&at.repository, layer).unwrap().read_to_end(&mut read).unwrap();
                assert_eq!(&read, content);
            }
            let others = registry.requests().iter().filter(|one| one.starts_with("other")).count();
            assert_eq!(others > 0, redirects_blobs);
            // No credentials reached the other host.
            assert_eq!(registry.problems(), [""; 0]);
        }
    }
}

#[test]
fn what_is_not_there_is_none_or_an_error_that_names_it() {
    let (registry, _) = with_index(Ways::default());
    let client = anonymous();
    for rest in ["base/python:3.9", "base/nothing:1"] {
        assert_eq!(client.registries.head_manifest(&reference(&registry, rest)).unwrap(), None);
        assert_eq!(client.registries.manifest(&reference(&registry, rest)).unwrap(), None);
    }
    let shown = |error: RegistryError| error_text(&error, false).replace(&registry.host(), "[HOST]");
    let absent = client.registries.image(&reference(&registry, "base/python:3.9"), &amd64()).unwrap_err();
    insta::assert_snapshot!(shown(absent), @r"
    error: there is no image `[HOST]/base/python:3.9`
    hint: check the name and the tag; the registry asked is [HOST]
    ");
    let s390x = Platform { architecture: "s390x".into(), ..amd64() };
    let other = client.registries.image(&reference(&registry, "base/python:3.12"), &s390x).unwrap_err();
    insta::assert_snapshot!(shown(other), @r"
    error: `[HOST]/base/python:3.12` has no image for linux/s390x; it has linux/amd64, linux/arm64
    hint: choose a base image that has this platform, or the platform with --image-platform
    ");
}

#[test]
fn hostile_manifests_are_refused() {
    let registry = FaultRegistry::new(Ways::default());
    let client = anonymous();
    let layer = |digest: &str, size: i64| json!({"mediaType": media_type::LAYER_GZIP, "digest": digest, "size": size});
    let manifest = |layer: serde_json::Value| {
        json!({"schemaVersion": 2, "config": {"mediaType": "x", "digest": Digest::of(b"{}").to_string(), "size": 2},
            "layers": [layer]})
    };
    for (name, content) in [
        ("path", manifest(layer("sha256:../../x", 1)).to_string()),
        ("short", manifest(layer("sha256:abc", 1)).to_string()),
        ("negative", manifest(layer(&Digest::of(b"").to_string(), -1)).to_string()),
        ("schema1", json!({"schemaVersion": 1, "fsLayers": []}).to_string()),
        ("html", "<html>".to_string()),
        (
            "loop",
            json!({"schemaVersion": 2, "manifests": [{"mediaType": "x", "digest": "../x", "size": 1}]})
                .to_string(),
        ),
    ] {
        registry.put_manifest("bad", name, media_type::MANIFEST, content.as_bytes());
        let error =
            client.registries.image(&reference(&registry, &format!("bad:{name}")), &amd64()).unwrap_err();
        assert!(matches!(error, RegistryError::Manifest { .. }), "{name}: {error:?}");
    }
    // One that is longer than any manifest may be.
    registry.put_manifest("bad", "long", media_type::MANIFEST, &vec![b' '; (4 << 20) + 1]);
    let error = client.registries.manifest(&reference(&registry, "bad:long")).unwrap_err();
    assert!(error_text(&error, false).contains("longer than the 4194304 bytes expected"), "{error:?}");
}

#[test]
fn wrong_digests_are_errors() {
    let (registry, sample) = with_index(Ways { digest_header: DigestHeader::Wrong, ..Ways::default() });
    let client = anonymous();
    let by_tag = reference(&registry, "base/python:3.12");
    assert!(matches!(client.registries.manifest(&by_tag), Err(RegistryError::Digest { .. })));
    let right = Digest::of(&sample.manifest);
    let by_digest = Reference::by_digest(by_tag.repository.clone(), right);
    assert!(matches!(client.registries.head_manifest(&by_digest), Err(RegistryError::Digest { .. })));
    registry.set(|ways| ways.digest_header = DigestHeader::Absent);
    assert!(client.registries.manifest(&by_digest).unwrap().is_some());
    assert_eq!(client.registries.head_manifest(&by_digest).unwrap().unwrap().0, right);

    registry.set(|ways| ways.corrupts_blobs = true);
    let layer = Descriptor::of(media_type::LAYER_GZIP, &sample.contents[0]);
    let mut read = Vec::new();
    let error =
        client.registries.blob(&by_tag.repository, &layer).unwrap().read_to_end(&mut read).unwrap_err();
    assert!(error.to_string().contains("and should have sha256:"), "{error}");
    let error = client.registries.small_blob(&by_tag.repository, &layer).unwrap_err();
    assert!(matches!(error, RegistryError::Damaged { .. }), "{error:?}");
    // Sizes are checked too.
    registry.set(|ways| ways.corrupts_blobs = false);
    for size in [layer.size - 1, layer.size + 1] {
        let wrong = Descriptor { size, ..layer.clone() };
        assert!(client.registries.small_blob(&by_tag.repository, &wrong).is_err(), "{size}");
    }
}

#[test]
fn a_blob_goes_on_where_the_connection_broke() {
    let content: Vec<u8> = (0..300_000_u32).map(|at| (at % 253) as u8).collect();
    let mut cuts = 0;
    let registry =
        FaultRegistry::with_faults(Ways { redirects_blobs: true, ..Ways::default() }, move |request| {
            let is_content = request.path.starts_with("/storage/") && request.method == "GET";
            cuts += usize::from(is_content);
            (is_content && cuts <= 3).then_some(Trouble::CutBody(70_000))
        });
    registry.put_blob("base/python", &content);
    let client = anonymous();
    let layer = Descriptor::of(media_type::LAYER_GZIP, &content);
    assert_eq!(client.registries.small_blob(&registry.repository("base/python"), &layer).unwrap(), content);
    assert_eq!(client.clock.slept().len(), 3);
}

#[test]
fn an_image_is_copied_from_one_registry_to_another_without_a_file() {
    let (source, sample) = with_index(Ways { redirects_blobs: true, ..Ways::default() });
    let destination = FaultRegistry::new(Ways { auth: Auth::Token, ..Ways::default() });
    let client = super::known_to(&destination);
    let (from, to) = (source.repository("base/python"), destination.repository("team/app"));
    let image = client.registries.image(&reference(&source, "base/python:3.12"), &amd64()).unwrap();
    let mut blobs = image.manifest.layers.clone();
    blobs.push(image.manifest.config.clone());
    for descriptor in &blobs {
        assert_eq!(client.registries.copy_blob(&from, &to, descriptor).unwrap(), Pushed::Sent);
    }
    let tags = two_tags();
    let push = Push {
        repository: &to,
        media_type: media_type::MANIFEST,
        manifest: &sample.manifest,
        tags: &tags,
        mount_from: &[],
    };
    let pushed = client.registries.push_image(&push, sample.blobs()).unwrap();
    assert_eq!(pushed.blobs, [Pushed::Existing; 3]);
    assert_eq!((source.problems(), destination.problems()), (vec![], vec![]));
    // On one registry, nothing is read.
    let (here, there) = (to, destination.repository("team/second"));
    assert_eq!(client.registries.copy_blob(&here, &there, &blobs[0]).unwrap(), Pushed::Mounted);
}

#[test]
fn no_manifest_follows_a_blob_that_was_damaged_on_the_way() {
    let (source, sample) = with_index(Ways { corrupts_blobs: true, ..Ways::default() });
    let destination = FaultRegistry::new(Ways::default());
    let (client, tags) = (anonymous(), two_tags());
    let (from, to) = (source.repository("base/python"), destination.repository("team/app"));
    let blobs = sample.blobs().into_iter().map(|one| pexpress::registry::Blob {
        open: client.registries.content_of(&from, &one.descriptor),
        descriptor: one.descriptor,
    });
    let push = Push {
        repository: &to,
        media_type: media_type::MANIFEST,
        manifest: &sample.manifest,
        tags: &tags,
        mount_from: &[],
    };
    let error = client.registries.push_image(&push, blobs).unwrap_err();
    // The one that is read from is named, not the one that is pushed to.
    assert!(matches!(&error, RegistryError::Damaged { repository, .. } if *repository == from), "{error:?}");
    assert_eq!((destination.tags(), destination.problems()), (vec![], vec![]));
}
