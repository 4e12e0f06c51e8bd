//! One fault at a time: what is tried again, after which pause, and what is not.

use super::{Sample, anonymous, blob, two_tags};
use crate::support::fault_registry::{FaultRegistry, Trouble, Ways};
use pexpress::error::error_text;
use pexpress::image::manifest::media_type;
use pexpress::registry::{Push, Pushed, Tagged};

/// A registry that fails the first `times` requests of a method in this way.
fn failing(method: &'static str, times: usize, trouble: Trouble) -> FaultRegistry {
    let mut count = 0;
    FaultRegistry::with_faults(Ways::default(), move |request| {
        count += usize::from(request.method == method);
        (request.method == method && count <= times).then_some(trouble)
    })
}

#[test]
fn transient_faults_are_tried_again() {
    for method in ["HEAD", "POST", "PUT"] {
        for (trouble, pauses) in [
            (Trouble::Status(503, None), &[0.5, 1.0][..]),
            (Trouble::Status(429, Some(7)), &[7.0, 7.0]),
            (Trouble::CutBefore, &[0.5, 1.0]),
            (Trouble::CutAfter, &[0.5, 1.0]),
        ] {
            let registry = failing(method, 2, trouble);
            let (client, layer) = (anonymous(), blob(b"layer"));
            let to = registry.repository("team/app");
            let outcome = client.registries.push_blob(&to, &layer.descriptor, &*layer.open, &[]);
            let outcome =
                outcome.unwrap_or_else(|error| panic!("{method} {trouble:?}: {}", error_text(&error, false)));
            assert_eq!(outcome, Pushed::Sent, "{method} {trouble:?}");
            assert_eq!(registry.blob("team/app", &layer.descriptor.digest).unwrap(), b"layer");
            assert_eq!(registry.problems(), [""; 0], "{method} {trouble:?}");
            let slept = client.clock.slept();
            // The answer to a PUT that got lost is found by asking whether the blob is there, after one pause.
            let most = if method == "PUT" && trouble == Trouble::CutAfter { 1 } else { 2 };
            assert_eq!(slept.len(), most, "{method} {trouble:?}: {slept:?}");
            for (slept, pause) in slept.iter().zip(pauses) {
                assert!((*pause..=pause * 1.25).contains(slept), "{method} {trouble:?}: {slept} for {pause}");
            }
        }
    }
}

#[test]
fn a_session_that_is_gone_is_begun_again() {
    let registry = failing("PUT", 1, Trouble::ForgetSessions);
    let (client, layer) = (anonymous(), blob(b"layer"));
    let to = registry.repository("team/app");
    client.registries.push_blob(&to, &layer.descriptor, &*layer.open, &[]).unwrap();
    assert_eq!(registry.requests().iter().filter(|one| one.starts_with("POST")).count(), 2);
}

#[test]
fn chunks_go_on_after_faults() {
    let content: Vec<u8> = (0..9_000_000_u32).map(|at| (at / 3 % 251) as u8).collect();
    for trouble in
        [Trouble::Status(503, None), Trouble::CutBefore, Trouble::CutAfter, Trouble::ForgetSessions]
    {
        let mut patches = 0;
        let ways = Ways { largest_put: Some((1000, 413)), ..Ways::default() };
        let registry = FaultRegistry::with_faults(ways, move |request| {
            patches += usize::from(request.method == "PATCH");
            (request.method == "PATCH" && patches == 2).then_some(trouble)
        });
        let (client, layer) = (anonymous(), blob(&content));
        let to = registry.repository("team/app");
        let outcome = client.registries.push_blob(&to, &layer.descriptor, &*layer.open, &[]);
        assert_eq!(
            outcome.unwrap_or_else(|error| panic!("{trouble:?}: {}", error_text(&error, false))),
            Pushed::Sent
        );
        assert_eq!(registry.blob("team/app", &layer.descriptor.digest).unwrap(), content, "{trouble:?}");
        assert_eq!(registry.problems(), [""; 0], "{trouble:?}");
    }
}

#[test]
fn what_lasts_is_given_up_after_the_retries_with_the_words_of_the_registry() {
    let registry = failing("POST", 100, Trouble::Status(503, Some(3)));
    let (client, layer) = (anonymous(), blob(b"layer"));
    let to = registry.repository("team/app");
    let error = client.registries.push_blob(&to, &layer.descriptor, &*layer.open, &[]).unwrap_err();
    assert_eq!(client.clock.slept(), [3.0; 6]);
    let text = error_text(&error, false).replace(&registry.host(), "[HOST]");
    insta::assert_snapshot!(text, @r"
    error: could not send sha256:dac1d7cfa95021764849fd102524e141488c5e3a90f861dbb5a12d9ac8584f85 to `[HOST]/team/app` after 7 attempts: [HOST] answered 503 (TOOMANYREQUESTS: later)
    hint: the registry has a problem of its own: run the job again
    ");
    // A status that is not transient is not tried again.
    let registry = failing("POST", 100, Trouble::Status(400, None));
    let to = registry.repository("team/app");
    let client = anonymous();
    client.registries.push_blob(&to, &layer.descriptor, &*layer.open, &[]).unwrap_err();
    assert_eq!((client.clock.slept().len(), registry.requests().len()), (0, 2));
}

/// A proxy that drops each answer to a manifest, after the registry has stored it.
#[test]
fn a_tag_that_is_written_without_an_answer_is_seen() {
    let is_manifest = |path: &str| path.contains("/manifests/");
    for trouble in [Trouble::CutAfter, Trouble::Status(502, None)] {
        let registry = FaultRegistry::with_faults(Ways::default(), move |request| {
            (request.method == "PUT" && is_manifest(&request.path)).then_some(trouble)
        });
        let (client, repository, tags) = (anonymous(), registry.repository("team/app"), two_tags());
        let sample = Sample::new("a", &[1000]);
        let push = Push {
            repository: &repository,
            media_type: media_type::MANIFEST,
            manifest: &sample.manifest,
            tags: &tags,
            mount_from: &[],
        };
        let pushed = client.registries.push_image(&push, sample.blobs());
        match trouble {
            Trouble::CutAfter => assert_eq!(pushed.unwrap().tags, [Tagged::Written; 2]),
            // Nothing was stored: the first error stays.
            _ => {
                let text = error_text(&pushed.unwrap_err(), false).replace(&registry.host(), "[HOST]");
                insta::assert_snapshot!(text, @r"
                error: could not write `[HOST]/team/app:app-0123456789abcdef` after 7 attempts: [HOST] answered 502 (TOOMANYREQUESTS: later)
                hint: the registry has a problem of its own: run the job again
                ");
            }
        }
        assert_eq!(registry.problems(), [""; 0], "{trouble:?}");
    }
}
