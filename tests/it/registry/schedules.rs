//! Random faults in random places: a tag exists only if everything that it needs exists, and if the push said so.

use super::{Client, Sample, anonymous, identified_to, known_to, two_tags};
use crate::support::fault_registry::{Auth, DigestHeader, FaultRegistry, Location, Mount, Trouble, Ways};
use crate::support::seed::{Random, seed};
use pexpress::error::error_text;
use pexpress::image::manifest::media_type;
use pexpress::registry::{Blob, Push};

const CHUNK: usize = 4 << 20;

/// A registry with random ways and faults.
fn registry(random: &mut Random) -> (FaultRegistry, Ways) {
    let largest_put =
        random.chance(20).then(|| (*random.pick(&[50, 150, 900]), *random.pick(&[413, 416, 400])));
    let ways = Ways {
        auth: *random.pick(&[Auth::Open, Auth::Basic, Auth::Token, Auth::Token, Auth::Identity]),
        mount: *random.pick(&[Mount::Granted, Mount::Refused, Mount::Forbidden, Mount::NoToken]),
        location: *random.pick(&[Location::Relative, Location::Absolute, Location::OtherHost]),
        digest_header: *random.pick(&[DigestHeader::Right, DigestHeader::Right, DigestHeader::Absent]),
        largest_put,
        largest_patch: Some(CHUNK),
        is_abrupt: random.chance(30),
        has_patch: !random.chance(10),
        has_head: !random.chance(10),
        has_referrers: random.chance(50),
        redirects_blobs: random.chance(40),
        is_immutable: random.chance(50),
        checks_manifests: random.chance(50),
        corrupts_blobs: random.chance(10),
        keeps_of_patch: random.chance(20).then_some(40),
        least_chunk: None,
        wants_repositories: false,
    };
    let (mut random, rate) = (Random::new(random.next()), *random.pick(&[0, 5, 15, 30]));
    let registry = FaultRegistry::with_faults(ways.clone(), move |_| {
        random.chance(rate).then(|| match random.below(8) {
            0 => Trouble::Status(429, Some(random.below(5))),
            1 => Trouble::Status(*random.pick(&[500, 502, 503, 504]), None),
            2 | 3 => Trouble::CutBefore,
            4 => Trouble::CutAfter,
            5 => Trouble::CutBody(random.below(200) as usize),
            6 => Trouble::ExpireTokens,
            _ => Trouble::ForgetSessions,
        })
    });
    (registry, ways)
}

fn client(ways: &Ways, registry: &FaultRegistry) -> Client {
    match ways.auth {
        Auth::Open => anonymous(),
        Auth::Identity => identified_to(registry),
        Auth::Basic | Auth::Token => known_to(registry),
    }
}

/// Push two images, one after the other, some blobs of which another repository has, or another registry.
fn schedule(seed: u64) -> bool {
    let mut random = Random::new(seed);
    let (registry, ways) = registry(&mut random);
    let base = FaultRegistry::new(Ways {
        corrupts_blobs: random.chance(10),
        redirects_blobs: random.chance(50),
        ..Ways::default()
    });
    let client = client(&ways, &registry);
    let to = registry.repository("team/app");
    let mount_from = [registry.repository("other/base"), registry.repository("public/base")];
    let mount_from = &mount_from[..random.below(3) as usize];
    let mut all_went_well = true;
    for name in ["first", "second"] {
        let sizes: Vec<usize> = (0..1 + random.below(8)).map(|_| 1 + random.below(1000) as usize).collect();
        let sample = Sample::new(name, &sizes);
        let blobs: Vec<Blob<'_>> = sample
            .blobs()
            .into_iter()
            .zip(&sample.contents)
            .map(|(blob, content)| match random.below(4) {
                0 => {
                    registry.put_blob("other/base", content);
                    blob
                }
                // Of a base image on another host.
                1 => {
                    base.put_blob("base/python", content);
                    let open =
                        client.registries.content_of(&base.repository("base/python"), &blob.descriptor);
                    Blob { open, descriptor: blob.descriptor }
                }
                _ => blob,
            })
            .collect();
        let tags = two_tags().map(|(tag, kind)| (format!("{tag}-{name}").parse().unwrap(), kind));
        let push = Push {
            repository: &to,
            media_type: media_type::MANIFEST,
            manifest: &sample.manifest,
            tags: &tags,
            mount_from,
        };
        let outcome = client.registries.push_image(&push, blobs);
        let context = || format!("PEXPRESS_SEED={seed} {ways:#?}\n{:#?}", registry.requests());
        let written = |tag: &str| registry.tags().iter().any(|(name, _)| *name == format!("team/app:{tag}"));
        match outcome {
            Ok(_) => {
                for (tag, _) in &tags {
                    assert!(written(tag.as_str()), "said to be pushed: {tag}\n{}", context());
                }
            }
            Err(error) => {
                all_went_well = false;
                let text = format!("{} {error:?}", error_text(&error, false));
                assert!(!text.contains("canary"), "{text}");
            }
        }
        for (tag, is_whole) in registry.tags() {
            assert!(is_whole, "{tag} exists without what it needs\n{}", context());
        }
        let problems: Vec<String> = registry.problems().into_iter().chain(base.problems()).collect();
        assert!(problems.is_empty(), "{problems:?}\n{}", context());
    }
    assert!(!client.heard.text().contains("canary"));
    all_went_well
}

fn schedules(count: u64) {
    let first = seed();
    let well = (0..count).filter(|number| schedule(first.wrapping_add(*number))).count();
    // Most pushes survive their faults, and some do not: both halves of the law are tried.
    eprintln!("{well} of {count} went well");
    assert!(well as u64 * 10 > count * 3 && (well as u64) < count, "{well} of {count}");
}

#[test]
fn a_tag_exists_only_with_everything_that_it_needs() {
    schedules(60);
}

#[test]
#[ignore = "takes a minute"]
fn a_tag_exists_only_with_everything_that_it_needs_in_2000_schedules() {
    schedules(2000);
}
