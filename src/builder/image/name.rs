//! Names that are made of a code location's name: of a directory, a repository and a tag.

use crate::hex::hex;
use crate::image::{Digest as BlobDigest, Tag};
use sha2::{Digest, Sha256};

/// Digits of a digest in a tag: enough that two images of one location never share one.
const DIGITS: usize = 16;
/// Digits that tell apart names that are spelt alike.
const SHORT_DIGITS: usize = 6;
/// The longest tag. Source: OCI distribution specification, "Pulling manifests".
const TAG_LENGTH: usize = 128;
/// The longest part of a repository's name that registries take without asking; Docker Hub and ECR have 255 for all.
const COMPONENT_LENGTH: usize = 100;

/// The name as a component of a repository, and as a directory: lower-case letters and digits, with `-`, `_` or `.`
/// between them. A name that has to change gets some digits of its SHA-256, so that no two names become one; so does one
/// that ends like a file that is written beside image layouts.
pub fn component(name: &str) -> String {
    let letter = |letter: char| match letter.to_ascii_lowercase() {
        letter if letter.is_ascii_alphanumeric() => letter,
        letter @ ('.' | '_' | '-') => letter,
        _ => '-',
    };
    let mut text = String::new();
    for letter in name.chars().map(letter) {
        // Between two words there is one `.`, one or two `_`, or any number of `-`.
        let before = text.chars().next_back().unwrap_or('.');
        match letter.is_ascii_alphanumeric() || before.is_ascii_alphanumeric() {
            true => text.push(letter),
            false if letter == '-' && before == '-' => text.push(letter),
            false => {}
        }
    }
    text.truncate(COMPONENT_LENGTH);
    let text = text.trim_end_matches(|letter: char| !letter.is_ascii_alphanumeric());
    match [".json", ".pex"].into_iter().find(|end| text.ends_with(end)) {
        Some(end) => format!("{}-{}", text.trim_end_matches(end), digits(name)),
        None => distinct(name, text),
    }
}

/// The tag that follows from the content of an image: `NAME-` and 16 digits of its digest.
pub fn content_tag(name: &str, digest: &BlobDigest) -> Tag {
    tag(name, &digest.hex()[..DIGITS])
}

/// Whether a tag has the form of [`content_tag`] for this code location.
pub fn is_content_tag(name: &str, tag: &Tag) -> bool {
    let of_nothing = content_tag(name, &BlobDigest::of(""));
    let start = &of_nothing.as_str()[..of_nothing.as_str().len() - DIGITS];
    let digits = tag.as_str().strip_prefix(start);
    digits.is_some_and(|digits| digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// The tag for people: `NAME-COMMIT`.
pub fn commit_tag(name: &str, commit: &str) -> Tag {
    tag(name, commit)
}

fn tag(name: &str, end: &str) -> Tag {
    let fits = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '_' | '-');
    let mut text: String = name.chars().map(|letter| if fits(letter) { letter } else { '-' }).collect();
    text.truncate(TAG_LENGTH - end.len().min(64) - SHORT_DIGITS - 2);
    let text = distinct(name, text.trim_start_matches(['.', '-']));
    let end: String = end.chars().filter(|letter| fits(*letter)).take(64).collect();
    let tag = format!("{text}-{end}");
    // Everything in it fits, and it is not too long.
    tag.parse().expect("the text is a tag")
}

/// `text`, with digits of the name's SHA-256 if it differs from the name.
fn distinct(name: &str, text: &str) -> String {
    let digits = digits(name);
    match (text == name, text.is_empty()) {
        (true, false) => text.to_string(),
        (_, true) => format!("location-{digits}"),
        (false, false) => format!("{text}-{digits}"),
    }
}

fn digits(name: &str) -> String {
    hex(Sha256::digest(name))[..SHORT_DIGITS].to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Repository;
    use proptest::prelude::*;

    #[test]
    fn names_that_fit_stay_and_others_can_be_told_apart() {
        for (name, want) in [
            ("quickstart_etl", "quickstart_etl"),
            ("a.b--c", "a.b--c"),
            ("My Location", "my-location-9f8c06"),
            ("my-location", "my-location"),
            ("-a..b___c-", "a.b_c-7e6dde"),
            ("日本", "location-e37f83"),
        ] {
            let component = component(name);
            let (start, want) = (component.split('-').next(), want.split('-').next());
            assert_eq!(start, want, "{name}: {component}");
        }
        for file in ["pexpress.json", "deps-0.pex"] {
            assert!(!component(file).ends_with(&file[file.find('.').unwrap()..]), "{file}");
        }
        assert_ne!(component("My Location"), component("my location"));
        let digest = BlobDigest::of("");
        assert_eq!(content_tag("shop", &digest).as_str(), "shop-e3b0c44298fc1c14");
        assert_eq!(commit_tag("shop", "0123abc").as_str(), "shop-0123abc");
        assert_ne!(content_tag("a b", &digest), content_tag("a-b", &digest));
    }

    proptest! {
        #[test]
        fn every_name_becomes_a_component_and_a_tag(name in "\\PC{1,300}") {
            let repository = format!("example.com/{}", component(&name));
            prop_assert!(repository.parse::<Repository>().is_ok(), "{}", repository);
            let _ = content_tag(&name, &BlobDigest::of(&name));
            let _ = commit_tag(&name, "0123456789012345678901234567890123456789");
        }
    }
}
