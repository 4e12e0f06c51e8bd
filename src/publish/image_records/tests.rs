use super::*;
use crate::context::tests::host;
use crate::plan::DepsJob;
use crate::project::{RequirementLine, Requirements};
use crate::resolve::testing::resolution_with;
use crate::target::Target;
use proptest::prelude::*;
use std::sync::Arc;

const DAY: Duration = Duration::from_secs(86_400);

fn job(lines: &[&str]) -> DepsJob {
    let line = |text: &&str| RequirementLine {
        text: text.to_string(),
        name: text.split(['=', '<', '>', ' ']).next().map(String::from),
        is_link: false,
        places: Vec::new(),
    };
    let lines = lines.iter().map(line).collect();
    DepsJob {
        requirements: Arc::new(Requirements { lines, ..Requirements::default() }),
        requirements_hash: String::new(),
        directory: "/p".into(),
    }
}

fn target(platform: &str) -> Target {
    Target { python: "3.11".parse().unwrap(), platform: platform.parse().unwrap() }
}

fn asked<'a>(job: &'a DepsJob, platform: &str) -> Asked<'a> {
    Asked::of(job, target(platform), RUNTIME, &host(&[])).unwrap()
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn recorded(pins: &str, seconds: u64) -> Recorded {
    Recorded { resolved_at: at(seconds), resolution: resolution_with(pins), built: BTreeMap::new() }
}

const X86: &str = "manylinux_2_36_x86_64";

proptest! {
    /// Branches may have any letters.
    #[test]
    fn every_tag_of_the_deps_cache_makes_a_valid_tag_of_its_own(one in ".{0,300}", other in ".{0,300}") {
        let hash = "ab".repeat(32);
        for (kind, start) in [(Kind::Resolution, "pexpress-resolution-"), (Kind::Recipe, "pexpress-recipe-")] {
            let [of_one, of_other] = [&one, &other].map(|tag| kind.tag(&hash, tag).unwrap());
            prop_assert_eq!(of_one == of_other, one == other);
            let start = start.to_string() + &hash + "-";
            prop_assert!(of_one.to_string().starts_with(&start));
        }
    }

    #[test]
    fn a_record_is_read_as_it_was_written(version in "[0-9]{1,3}(\\.[0-9]{1,3}){0,2}", seconds in 0..4_000_000_000u64) {
        let job = job(&["dagster"]);
        let asked = asked(&job, X86);
        let mut recorded = recorded(&format!("dagster {version}"), seconds);
        let (name, sha256) = ("dagster".to_string(), "ab".repeat(32));
        let wheel = NamedWheel { name: name.clone(), version: version.clone(), sha256, size_bytes: seconds };
        recorded.built.insert(name, wheel);
        let text = text(&asked, &recorded).unwrap();
        prop_assert!(!text.contains("https://"), "{}", text);
        let found = usable(&asked, text.as_bytes(), at(seconds + 60), DAY).unwrap();
        prop_assert_eq!((found.resolved_at, found.built), (at(seconds), recorded.built));
        prop_assert_eq!(found.resolution.version_of("dagster"), Some(version.as_str()));
        prop_assert_eq!(recorded.resolution.digest(target(X86)), found.resolution.digest(target(X86)));
    }
}

#[test]
fn a_record_is_of_one_platform_and_not_of_a_pex_file() {
    let job = job(&["dagster"]);
    let hashes = [
        asked(&job, X86).hash,
        asked(&job, "manylinux_2_36_aarch64").hash,
        asked(&job, "manylinux_2_28_x86_64").hash,
        Asked::of(&job, target(X86), &crate::publish::deps_cache::runtime(), &host(&[])).unwrap().hash,
    ];
    let different: BTreeSet<&String> = hashes.iter().collect();
    assert_eq!(different.len(), hashes.len(), "{hashes:?}");
}

#[test]
fn a_record_that_is_old_or_changed_or_of_other_requirements_is_not_used() {
    let job = job(&["dagster>=1"]);
    let own = asked(&job, X86);
    let text = text(&own, &recorded("dagster 1.13.27", 1_000_000)).unwrap();
    let usable = |text: &str, now: u64| usable(&own, text.as_bytes(), at(now), DAY).map(drop);
    assert_eq!(usable(&text, 1_000_000 + 86_400), Ok(()));
    for (text, now, says) in [
        (text.clone(), 1_090_001, "it is 25 h old; the requirements are resolved again (--resolve-max-age)"),
        (text.clone(), 900_000, "it is from the future"),
        (text.replace("1000000", "1000060"), 1_000_060, NOT_OF_THESE),
        (text.replace("1.13.27", "1.13.26"), 1_000_060, NOT_OF_THESE),
        (text[..text.len() / 2].to_string(), 1_000_060, NOT_OF_THESE),
        ("{}".into(), 1_000_060, NOT_OF_THESE),
    ] {
        assert_eq!(usable(&text, now), Err(says.to_string()), "{text}");
    }
    let wrong = super::text(&own, &recorded("dagster 0.9", 1_000_000)).unwrap();
    assert_eq!(
        usable(&wrong, 1_000_060),
        Err("it has `dagster` 0.9, which `dagster>=1` excludes".to_string())
    );
}

#[test]
fn a_resolution_with_a_file_of_unknown_digest_is_not_recorded() {
    let job = job(&["dagster"]);
    let mut recorded = recorded("dagster 1", 1_000_000);
    let Artifact::Wheel(download) = &mut recorded.resolution.distributions[0].artifact else { panic!() };
    download.sha256 = None;
    assert_eq!(text(&asked(&job, X86), &recorded), None);
}
