//! Properties, tested with random values: `PEXPRESS_SEED=N` draws others, `PEXPRESS_NIGHTLY=1` draws more.

use crate::support::seed::{Random, seed, sized};
use pexpress::net::{SafeUrl, Secret};
use pexpress::plan::shards::Matrix;
use std::collections::BTreeSet;

/// Each round has its own numbers, so that its seed is enough to repeat it.
fn rounds(everyday: u64, law: impl Fn(&mut Random)) {
    for round in 0..sized(everyday, everyday * 50) {
        let seed = seed().wrapping_add(round);
        eprintln!("PEXPRESS_SEED={seed}");
        law(&mut Random::new(seed));
    }
}

/// Up to `most` characters of `alphabet`.
fn text(random: &mut Random, alphabet: &str, most: u64) -> String {
    let letters: Vec<char> = alphabet.chars().collect();
    (0..random.below(most + 1)).map(|_| *random.pick(&letters)).collect()
}

#[test]
fn each_code_location_is_in_one_job_in_the_order_given() {
    rounds(300, |random| {
        let names: Vec<String> = (0..random.below(120)).map(|number| format!("l{number}")).collect();
        let sets = 1 + random.below(9);
        let given: Vec<(&str, usize)> =
            names.iter().map(|name| (name.as_str(), usize::try_from(random.below(sets)).unwrap())).collect();
        let shards = usize::try_from(random.below(20)).unwrap();
        let matrix = Matrix::spread(&given, shards);
        assert!(matrix.include.len() <= shards.max(1));
        let mut planned = BTreeSet::new();
        for (number, job) in (1..).zip(&matrix.include) {
            assert_eq!((job.shard, job.locations.clone()), (number, job.names.join("\n")));
            let places: Vec<usize> =
                job.names.iter().map(|name| names.iter().position(|each| each == name).unwrap()).collect();
            assert!(!places.is_empty() && places.is_sorted(), "{places:?}");
            assert!(job.names.iter().all(|name| planned.insert(name.clone())), "{matrix:?}");
        }
        assert_eq!(planned, names.iter().cloned().collect());
        assert_eq!(matrix, Matrix::spread(&given, shards), "not the same twice");
    });
}

#[test]
fn an_erased_secret_is_nowhere_in_the_text() {
    rounds(1000, |random| {
        // Few letters, so that secrets overlap with themselves and with the text.
        let secret = format!("{}abcdefgh", text(random, "ab", 6));
        let mut given = text(random, "abcdefgh ", 30);
        for _ in 0..random.below(5) {
            given += &secret[..usize::try_from(random.below(secret.len() as u64 + 1)).unwrap()];
            given += &secret;
            given += &text(random, "ab", 4);
        }
        let held = given.matches(&secret).count();
        let erased = Secret::new(format!("Bearer {secret}")).erased_from(given.clone().into_bytes());
        let erased = String::from_utf8(erased).unwrap();
        assert!(!erased.contains(&secret), "{secret} of {given}: {erased}");
        assert_eq!(erased.matches("***").count(), held);
    });
}

#[test]
fn a_url_that_is_shown_has_no_secret_and_shows_as_itself() {
    const CANARY: &str = "canary";
    rounds(1000, |random| {
        let user = random.pick(&["", "canary@", "ann:canary@", ":canary@", "canary:canary@"]);
        let scheme = random.pick(&["https://", "http://", "git+ssh://", "s3://", "HTTPS://", ""]);
        let host = random.pick(&["index.example", "127.0.0.1:8080", "[::1]:9", "münchen.example"]);
        let path = text(random, "ab/%é ~", 12);
        let end = random.pick(&["", "?canary", "?a=canary&b", "#canary", "?x=canary#canary"]);
        let given = format!("{scheme}{user}{host}/{path}{end}");
        let shown = SafeUrl::parse(&given).to_string();
        assert!(!shown.contains(CANARY), "{given}: {shown}");
        assert_eq!(SafeUrl::parse(&shown).to_string(), shown, "{given}");
    });
}
