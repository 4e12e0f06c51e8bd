//! Pushing: what is sent, in how many requests, and what is refused.

use super::{Sample, anonymous, blob, two_tags};
use crate::support::fault_registry::{Auth, DigestHeader, FaultRegistry, Location, Mount, Ways};
use pexpress::error::error_text;
use pexpress::image::manifest::media_type;
use pexpress::image::{Digest, Repository};
use pexpress::registry::{Blob, Push, Pushed, RegistryError, Tagged};
use std::io::Read;

const MIB: usize = 1 << 20;

fn push<'a>(
    repository: &'a Repository,
    sample: &'a Sample,
    tags: &'a [(pexpress::image::Tag, pexpress::registry::TagKind)],
    from: &'a [Repository],
) -> Push<'a> {
    Push { repository, media_type: media_type::MANIFEST, manifest: &sample.manifest, tags, mount_from: from }
}

#[test]
fn an_image_is_sent_once_and_then_not_asked_about() {
    let registry = FaultRegistry::new(Ways::default());
    let (client, repository, tags) = (anonymous(), registry.repository("team/app"), two_tags());
    let sample = Sample::new("a", &[1000, 2000]);
    let pushed =
        client.registries.push_image(&push(&repository, &sample, &tags, &[]), sample.blobs()).unwrap();
    assert_eq!(pushed.blobs, [Pushed::Sent; 3]);
    assert_eq!(pushed.tags, [Tagged::Written; 2]);
    let mut requests = registry.requests();
    requests.sort();
    // HEAD, POST and PUT of three blobs; HEAD and PUT of two tags.
    assert_eq!(requests.len(), 13, "{requests:#?}");
    assert_eq!(client.registries.requests(), 13);
    let bodies: usize = sample.contents.iter().map(Vec::len).sum::<usize>() + 2 * sample.manifest.len();
    assert_eq!((client.registries.sent_bytes(), registry.received_bytes()), (bodies as u64, bodies as u64));

    let other = anonymous();
    let again = other.registries.push_image(&push(&repository, &sample, &tags, &[]), sample.blobs()).unwrap();
    assert_eq!((again.blobs.len(), again.tags.as_slice()), (0, &[Tagged::Existing; 2][..]));
    assert_eq!((other.registries.requests(), other.registries.sent_bytes()), (2, 0));

    // A changed layer: the others are there.
    let changed = Sample { contents: sample.contents.clone(), ..Sample::new("b", &[1000]) };
    let tags = [("app-2".parse().unwrap(), pexpress::registry::TagKind::Content)];
    let blobs = Sample::new("b", &[1000]).blobs().into_iter().chain(changed.blobs());
    let pushed = other.registries.push_image(&push(&repository, &changed, &tags, &[]), blobs).unwrap();
    assert_eq!(
        pushed.blobs,
        [Pushed::Sent, Pushed::Sent, Pushed::Existing, Pushed::Existing, Pushed::Existing]
    );
    assert_eq!(registry.problems(), [""; 0]);
    assert!(registry.tags().iter().all(|(_, is_whole)| *is_whole));
}

#[test]
fn a_blob_that_is_being_sent_is_waited_for() {
    let registry = FaultRegistry::new(Ways::default());
    let (client, to, layer) = (anonymous(), registry.repository("team/app"), blob(&vec![7; MIB]));
    let outcomes: Vec<Pushed> = std::thread::scope(|scope| {
        let push = || client.registries.push_blob(&to, &layer.descriptor, &*layer.open, &[]).unwrap();
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(push)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == Pushed::Sent).count(), 1, "{outcomes:?}");
    // One HEAD, POST and PUT: that it is there then is known.
    assert_eq!((registry.received_bytes(), registry.requests().len()), (MIB as u64, 3));
}

#[test]
fn what_another_repository_has_is_mounted() {
    let registry = FaultRegistry::new(Ways::default());
    let (client, base) = (anonymous(), registry.repository("base/python"));
    let content = b"a layer of the base";
    registry.put_blob("base/python", content);
    let destination = registry.repository("team/app");
    let layer = blob(content);
    let outcome = client.registries.push_blob(
        &destination,
        &layer.descriptor,
        &*layer.open,
        std::slice::from_ref(&base),
    );
    assert_eq!(outcome.unwrap(), Pushed::Mounted);
    // A third repository: the client knows where the blob is, and one that lacks it is passed over.
    let third = registry.repository("team/other");
    let sources = [registry.repository("team/nothing"), destination];
    let outcome = client.registries.push_blob(&third, &layer.descriptor, &*layer.open, &sources);
    assert_eq!(outcome.unwrap(), Pushed::Mounted);
    let fresh = anonymous();
    let fourth = registry.repository("team/fourth");
    let outcome = fresh.registries.push_blob(&fourth, &layer.descriptor, &*layer.open, &sources);
    assert_eq!(outcome.unwrap(), Pushed::Mounted);
    assert_eq!((client.registries.sent_bytes(), registry.received_bytes()), (0, 0));
    assert_eq!(registry.problems(), [""; 0]);
}

#[test]
fn a_mount_that_is_refused_becomes_an_upload() {
    for mount in [Mount::Refused, Mount::Forbidden] {
        let registry = FaultRegistry::new(Ways { mount, ..Ways::default() });
        registry.put_blob("base/python", b"layer");
        let (client, layer) = (anonymous(), blob(b"layer"));
        let (from, to) = ([registry.repository("base/python")], registry.repository("team/app"));
        let outcome = client.registries.push_blob(&to, &layer.descriptor, &*layer.open, &from);
        assert_eq!(outcome.unwrap(), Pushed::Sent, "{mount:?}");
        assert_eq!(registry.blob("team/app", &layer.descriptor.digest).unwrap(), b"layer");
        assert_eq!(registry.problems(), [""; 0]);
    }
}

#[test]
fn chunks_are_sent_only_after_one_request_was_too_large() {
    for (ways, requests) in [
        (Ways { largest_put: Some((5 * MIB, 413)), ..Ways::default() }, "PATCH, PATCH, PATCH"),
        (
            Ways { largest_put: Some((5 * MIB, 416)), largest_patch: Some(4 * MIB - 1), ..Ways::default() },
            "PATCH, PATCH, PATCH",
        ),
        (Ways { largest_put: Some((5 * MIB, 400)), ..Ways::default() }, "PATCH, PATCH, PATCH"),
        (
            Ways { largest_put: Some((5 * MIB, 413)), least_chunk: Some(6 * MIB), ..Ways::default() },
            "PATCH, PATCH",
        ),
        // The answer is lost when the connection is closed, and asked for before the content is sent again.
        (
            Ways { largest_put: Some((5 * MIB, 413)), is_abrupt: true, ..Ways::default() },
            "PATCH, PATCH, PATCH",
        ),
        (
            Ways { largest_put: Some((5 * MIB, 413)), keeps_of_patch: Some(3 * MIB), ..Ways::default() },
            "PATCH, PATCH, PATCH, PATCH, PATCH",
        ),
    ] {
        let registry = FaultRegistry::new(ways.clone());
        let (client, to) = (anonymous(), registry.repository("team/app"));
        let content: Vec<u8> = (0..10 * MIB).map(|at| (at / 7 % 251) as u8).collect();
        let (large, small) = (blob(&content), blob(&content[..MIB]));
        for layer in [&large, &small] {
            let outcome = client.registries.push_blob(&to, &layer.descriptor, &*layer.open, &[]);
            assert_eq!(
                outcome.unwrap_or_else(|error| panic!("{ways:?}: {}", error_text(&error, false))),
                Pushed::Sent
            );
            assert!(registry.blob("team/app", &layer.descriptor.digest).is_some());
        }
        let patches: Vec<String> = registry
            .requests()
            .iter()
            .filter(|one| one.starts_with("PATCH"))
            .map(|_| "PATCH".into())
            .collect();
        assert_eq!(patches.join(", "), requests, "{ways:?}\n{:#?}", registry.requests());
        assert_eq!(registry.problems(), [""; 0], "{ways:?}");
        // The next large one goes in chunks at once.
        let before = registry.requests().len();
        let next = blob(&content[1..]);
        client.registries.push_blob(&to, &next.descriptor, &*next.open, &[]).unwrap();
        let puts = registry.requests()[before..].iter().filter(|one| one.starts_with("PUT")).count();
        assert_eq!(puts, 1, "{ways:?}");
    }
}

#[test]
fn a_registry_that_takes_neither_is_an_error_that_says_what_to_do() {
    let ways = Ways { largest_put: Some((MIB, 413)), has_patch: false, ..Ways::default() };
    let registry = FaultRegistry::new(ways);
    let (client, layer) = (anonymous(), blob(&vec![7; 2 * MIB]));
    let error = client
        .registries
        .push_blob(&registry.repository("team/app"), &layer.descriptor, &*layer.open, &[])
        .unwrap_err();
    let text = error_text(&error, false).replace(&registry.host(), "[HOST]");
    insta::assert_snapshot!(text, @r"
    error: could not send sha256:c406296b30d433e27c08e2989ad557c7e9ae7825d1bea14c42aa4ef53c9e8a9d to `[HOST]/team/app`: [HOST] answered 405 (UNSUPPORTED: no PATCH)
    hint: the content is too large for one request, and the registry does not take it in chunks either: raise the limit there, or of a proxy before it
    ");
}

#[test]
fn an_upload_goes_on_where_the_registry_says() {
    for location in [Location::Relative, Location::Absolute, Location::OtherHost] {
        for auth in [Auth::Open, Auth::Basic] {
            let registry = FaultRegistry::new(Ways { location, auth, ..Ways::default() });
            let client = if auth == Auth::Open { anonymous() } else { super::known_to(&registry) };
            let layer = blob(b"layer");
            let to = registry.repository("team/app");
            client.registries.push_blob(&to, &layer.descriptor, &*layer.open, &[]).unwrap();
            assert_eq!(registry.problems(), [""; 0], "{location:?}");
            let others = registry.requests().iter().filter(|one| one.starts_with("other")).count();
            assert_eq!(others, usize::from(location == Location::OtherHost));
        }
    }
    let registry = FaultRegistry::new(Ways { location: Location::Unencrypted, ..Ways::default() });
    let layer = blob(b"layer");
    let to = registry.repository("team/app");
    let error = anonymous().registries.push_blob(&to, &layer.descriptor, &*layer.open, &[]).unwrap_err();
    assert!(matches!(error, RegistryError::Location { .. }), "{error:?}");
    assert_eq!(registry.received_bytes(), 0);
}

#[test]
fn content_that_is_not_what_it_should_be_is_not_pushed() {
    let registry = FaultRegistry::new(Ways::default());
    let client = anonymous();
    let to = registry.repository("team/app");
    let descriptor = blob(b"as promised").descriptor;
    for content in [&b"as promiseD"[..], b"as promised and more", b"short"] {
        let open = move || Ok(Box::new(content) as Box<dyn Read + Send>);
        let error = client.registries.push_blob(&to, &descriptor, &open, &[]).unwrap_err();
        assert!(matches!(error, RegistryError::Content { .. }), "{error:?}");
    }
    let unreadable = || Err(std::io::ErrorKind::PermissionDenied.into());
    let error = client.registries.push_blob(&to, &descriptor, &unreadable, &[]).unwrap_err();
    insta::assert_snapshot!(error_text(&error, false), @r"
    error: could not read the content of sha256:a6940cfd4e0f8ec63dccde3ca885dc8696111b5006ce2fd14a3221ccf025d744
      caused by: permission denied
    ");
    assert_eq!(registry.blob("team/app", &descriptor.digest), None);
    // The last byte was held back, so the registry never saw wrong content.
    assert_eq!(registry.problems(), [""; 0]);
}

#[test]
fn a_registry_that_stores_something_else_is_an_error() {
    let registry = FaultRegistry::new(Ways { digest_header: DigestHeader::Wrong, ..Ways::default() });
    let (client, to, tags) = (anonymous(), registry.repository("team/app"), two_tags());
    let sample = Sample::new("a", &[100]);
    let error = client.registries.push_image(&push(&to, &sample, &tags, &[]), sample.blobs()).unwrap_err();
    assert!(matches!(error, RegistryError::Digest { .. }), "{error:?}");
    assert!(registry.tags().is_empty());
    // Without the header, the registry is asked what it has.
    registry.set(|ways| ways.digest_header = DigestHeader::Absent);
    let client = anonymous();
    client.registries.push_image(&push(&to, &sample, &tags, &[]), sample.blobs()).unwrap();
    assert_eq!(registry.tag("team/app", "app-commit"), Some(Digest::of(&sample.manifest).to_string()));
}

#[test]
fn tags_are_never_moved() {
    for is_immutable in [false, true] {
        let registry = FaultRegistry::new(Ways { is_immutable, ..Ways::default() });
        let (client, to, tags) = (anonymous(), registry.repository("team/app"), two_tags());
        let (first, second) = (Sample::new("a", &[100]), Sample::new("b", &[100]));
        client.registries.push_image(&push(&to, &first, &tags, &[]), first.blobs()).unwrap();
        let first_digest = Digest::of(&first.manifest);
        // The commit's tag stays with the first image, and the second has its own content tag.
        let mut others = two_tags();
        others[0].0 = "app-fedcba9876543210".parse().unwrap();
        let pushed = client.registries.push_image(&push(&to, &second, &others, &[]), second.blobs()).unwrap();
        assert_eq!(pushed.tags, [Tagged::Written, Tagged::KeptOther(first_digest)]);
        assert_eq!(registry.tag("team/app", "app-commit"), Some(first_digest.to_string()));
        // A content tag with other content.
        let error =
            client.registries.push_image(&push(&to, &second, &tags, &[]), second.blobs()).unwrap_err();
        let text = error_text(&error, false).replace(&registry.host(), "[HOST]");
        insta::allow_duplicates! {
            insta::assert_snapshot!(text, @r"
            error: the tag `app-0123456789abcdef` of `[HOST]/team/app` is taken by sha256:aeda5775d840de0c5c5b016b77f7fecee8a3bc5babf68cc0e38c40dcf0af2841, and tags are not moved
            hint: this tag follows from the content, so something else was pushed under it: remove it
            ");
        }
        // Only the commit's tag, which is taken: the image is there by its digest.
        let third = Sample::new("c", &[100]);
        let pushed =
            client.registries.push_image(&push(&to, &third, &tags[1..], &[]), third.blobs()).unwrap();
        assert_eq!(pushed.tags, [Tagged::KeptOther(first_digest)]);
        let by_digest = pexpress::image::Reference::by_digest(to.clone(), pushed.digest);
        assert!(client.registries.head_manifest(&by_digest).unwrap().is_some());
        assert_eq!(registry.problems(), [""; 0]);
    }
}

#[test]
fn a_missing_repository_is_an_error_that_says_it() {
    let registry = FaultRegistry::new(Ways { wants_repositories: true, ..Ways::default() });
    let (client, layer) = (anonymous(), blob(b"layer"));
    let error = client
        .registries
        .push_blob(&registry.repository("team/app"), &layer.descriptor, &*layer.open, &[])
        .unwrap_err();
    let text = error_text(&error, false).replace(&registry.host(), "[HOST]");
    insta::assert_snapshot!(text, @r"
    error: could not send sha256:dac1d7cfa95021764849fd102524e141488c5e3a90f861dbb5a12d9ac8584f85 to `[HOST]/team/app`: [HOST] answered 404 (NAME_UNKNOWN: The repository does not exist in the registry)
    hint: create the repository, or check its name
    ");
}

#[test]
fn a_registry_without_head_is_asked_with_get() {
    let registry = FaultRegistry::new(Ways { has_head: false, ..Ways::default() });
    let (client, to, tags) = (anonymous(), registry.repository("team/app"), two_tags());
    let sample = Sample::new("a", &[100]);
    client.registries.push_image(&push(&to, &sample, &tags, &[]), sample.blobs()).unwrap();
    let again = anonymous();
    let pushed = again.registries.push_image(&push(&to, &sample, &tags, &[]), sample.blobs()).unwrap();
    assert_eq!((pushed.tags.as_slice(), again.registries.sent_bytes()), (&[Tagged::Existing; 2][..], 0));
    assert_eq!(registry.problems(), [""; 0]);
}

#[test]
fn blobs_come_from_an_iterator_that_waits_and_keep_their_order() {
    let registry = FaultRegistry::new(Ways::default());
    let (client, to) = (anonymous(), registry.repository("team/app"));
    registry.put_blob("team/app", b"layer 3");
    let (sender, receiver) = std::sync::mpsc::channel::<Blob<'static>>();
    let writer = std::thread::spawn(move || {
        for number in 0..20 {
            std::thread::sleep(std::time::Duration::from_millis(2));
            sender.send(blob(format!("layer {number}").as_bytes())).unwrap();
        }
    });
    let pushed = client.registries.push_all(&to, receiver, &[]).unwrap();
    writer.join().unwrap();
    let want: Vec<Pushed> =
        (0..20).map(|number| if number == 3 { Pushed::Existing } else { Pushed::Sent }).collect();
    assert_eq!(pushed, want);
}

#[test]
fn an_artifact_is_listed_with_its_image() {
    for has_referrers in [false, true] {
        let registry = FaultRegistry::new(Ways { has_referrers, ..Ways::default() });
        let (client, to, tags) = (anonymous(), registry.repository("team/app"), two_tags());
        let sample = Sample::new("a", &[100]);
        client.registries.push_image(&push(&to, &sample, &tags, &[]), sample.blobs()).unwrap();
        let subject = pexpress::image::Descriptor::of(media_type::MANIFEST, &sample.manifest);
        let artifact = |content: &'static [u8]| pexpress::registry::Artifact {
            artifact_type: "application/spdx+json",
            media_type: "application/spdx+json",
            content,
            annotations: std::collections::BTreeMap::new(),
        };
        let mut digests = Vec::new();
        for content in [&b"{\"one\": 1}"[..], b"{\"two\": 2}", b"{\"one\": 1}"] {
            digests.push(client.registries.put_referrer(&to, &subject, &artifact(content)).unwrap());
        }
        assert_eq!(digests[0], digests[2]);
        let listed = client.registries.referrers(&to, subject.digest).unwrap();
        let mut listed: Vec<Digest> = listed.iter().map(|entry| entry.digest).collect();
        listed.sort();
        digests.pop();
        digests.sort();
        assert_eq!(listed, digests, "{has_referrers}");
        assert_eq!(registry.problems(), [""; 0]);
    }
}
