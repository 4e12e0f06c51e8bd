//! Chooses an image from an index.

use super::{Descriptor, Index, Platform};
use std::collections::BTreeSet;

/// Marks manifests that say something about an image, such as its provenance. Source: BuildKit, "Attestation storage".
const REFERENCE_TYPE: &str = "vnd.docker.reference.type";

/// The image for a platform. An error has the platforms that there are, for people.
pub fn choose<'a>(index: &'a Index, want: &Platform) -> Result<&'a Descriptor, Vec<String>> {
    let images = || index.manifests.iter().filter(|entry| is_image(entry));
    let fits = |entry: &&Descriptor| entry.platform.as_ref().is_some_and(|platform| is_for(platform, want));
    let exact = |entry: &&Descriptor| {
        entry.platform.as_ref().is_some_and(|platform| platform.variant == want.variant)
    };
    if let Some(found) = images().filter(fits).find(exact).or_else(|| images().find(fits)) {
        return Ok(found);
    }
    let mut untold = images().filter(|entry| entry.platform.is_none());
    // An index with one image and no platform: its config says what it is for.
    if let (Some(only), None, 1) = (untold.next(), untold.next(), images().count()) {
        return Ok(only);
    }
    let platforms: BTreeSet<String> =
        images().filter_map(|entry| entry.platform.as_ref()).map(Platform::to_string).collect();
    Err(platforms.into_iter().collect())
}

fn is_image(entry: &Descriptor) -> bool {
    let unknown = entry.platform.as_ref().is_some_and(|platform| platform.os == "unknown");
    !unknown && !entry.annotations.contains_key(REFERENCE_TYPE) && entry.artifact_type.is_none()
}

/// Whether an image for `platform` runs on `want`. Variants of amd64 above the first need newer processors; of arm64
/// there is only `v8`, which is mostly left out.
fn is_for(platform: &Platform, want: &Platform) -> bool {
    let usual = match want.architecture.as_str() {
        "arm64" => Some("v8"),
        "amd64" => Some("v1"),
        _ => None,
    };
    let variant = |platform: &Platform| {
        platform.variant.clone().filter(|variant| !variant.is_empty() && Some(variant.as_str()) != usual)
    };
    platform.os == want.os
        && platform.architecture == want.architecture
        && (variant(platform) == variant(want))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::manifest::media_type;
    use std::collections::BTreeMap;

    fn entry(name: &str, platform: Option<&str>) -> Descriptor {
        let platform = platform.map(|text| {
            let mut parts = text.split('/').map(String::from);
            let (os, architecture) = (parts.next().unwrap(), parts.next().unwrap());
            Platform { os, architecture, variant: parts.next() }
        });
        Descriptor { platform, ..Descriptor::of(media_type::MANIFEST, name.as_bytes()) }
    }

    fn index(entries: &[(&str, Option<&str>)]) -> Index {
        let manifests = entries.iter().map(|(name, platform)| entry(name, *platform)).collect();
        let media_type = media_type::INDEX.into();
        Index { schema_version: 2, media_type, manifests, annotations: BTreeMap::new() }
    }

    fn linux(architecture: &str) -> Platform {
        Platform { os: "linux".into(), architecture: architecture.into(), variant: None }
    }

    #[test]
    fn the_image_of_the_platform_is_chosen() {
        let several = index(&[
            ("attestation", Some("unknown/unknown")),
            ("newer", Some("linux/amd64/v3")),
            ("windows", Some("windows/amd64")),
            ("amd", Some("linux/amd64")),
            ("arm", Some("linux/arm64/v8")),
        ]);
        for (index, architecture, want) in [
            (&several, "amd64", Ok("amd")),
            (&several, "arm64", Ok("arm")),
            (
                &several,
                "s390x",
                Err(vec!["linux/amd64", "linux/amd64/v3", "linux/arm64/v8", "windows/amd64"]),
            ),
            (&index(&[("only", None)]), "amd64", Ok("only")),
            (&index(&[("one", None), ("two", None)]), "amd64", Err(vec![])),
            (&index(&[]), "amd64", Err(vec![])),
        ] {
            let want = want.map(|name| Descriptor::of(media_type::MANIFEST, name.as_bytes()).digest);
            let got = choose(index, &linux(architecture)).map(|entry| entry.digest);
            assert_eq!(
                got,
                want.map_err(|all| all.into_iter().map(String::from).collect()),
                "{architecture}"
            );
        }
    }

    #[test]
    fn an_attestation_of_the_same_platform_is_no_image() {
        let mut index = index(&[("attestation", Some("linux/amd64")), ("image", Some("linux/amd64"))]);
        index.manifests[0].annotations.insert(REFERENCE_TYPE.into(), "attestation-manifest".into());
        assert_eq!(choose(&index, &linux("amd64")).unwrap().digest, index.manifests[1].digest);
    }
}
