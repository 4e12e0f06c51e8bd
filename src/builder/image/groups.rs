//! Which distributions share a layer.
//!
//! The place of a distribution depends on its name and size alone, never on its neighbours, so that a changed version
//! changes one layer, and two projects share the layers of what they have in common. The sizes were chosen with the
//! histories of real lock files: `docs/images.md`.

use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// A wheel of this size has a layer of its own.
const LARGE_BYTES: u64 = 1_000_000;
/// The others are spread over this many layers.
const BUCKETS: u8 = 16;
/// Above it, larger wheels share layers too: Docker ends at 127 layers, and some tools earlier.
pub const MOST_LAYERS: usize = 100;

/// The layers of distributions, each given by its normalised name and the size of its wheel: lists of indexes into
/// `wheels`. `others` is the number of layers that the image has besides.
///
/// Large ones come first, by name, then the buckets.
pub fn groups(wheels: &[(&str, u64)], others: usize) -> Vec<Vec<usize>> {
    let mut threshold = LARGE_BYTES;
    loop {
        let groups = groups_above(wheels, threshold);
        let has_large = wheels.iter().any(|(_, size)| *size >= threshold);
        if groups.len() + others <= MOST_LAYERS || !has_large {
            return groups;
        }
        threshold = threshold.saturating_mul(2);
    }
}

fn groups_above(wheels: &[(&str, u64)], threshold: u64) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..wheels.len()).collect();
    order.sort_by_key(|at| wheels[*at].0);
    let (large, small): (Vec<usize>, Vec<usize>) =
        order.into_iter().partition(|at| wheels[*at].1 >= threshold);
    let mut buckets: BTreeMap<u8, Vec<usize>> = BTreeMap::new();
    for at in small {
        buckets.entry(bucket(wheels[at].0)).or_default().push(at);
    }
    large.into_iter().map(|at| vec![at]).chain(buckets.into_values()).collect()
}

/// SHA-256 of the name, modulo the number of buckets. The last byte is enough for a power of two.
fn bucket(name: &str) -> u8 {
    Sha256::digest(name).last().copied().unwrap_or(0) % BUCKETS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_wheels_have_their_own_layer_and_small_ones_share() {
        let wheels = [("zlib", 10), ("pandas", 1_000_000), ("attrs", 999_999), ("numpy", 20_000_000)];
        let groups = groups(&wheels, 5);
        assert_eq!(groups[..2], [vec![3], vec![1]], "by name");
        assert_eq!(groups.iter().flatten().count(), 4);
        let (zlib, attrs) = (bucket("zlib"), bucket("attrs"));
        assert_eq!(groups.len(), if zlib == attrs { 3 } else { 4 });
    }

    #[test]
    fn the_place_of_a_package_does_not_depend_on_the_others() {
        let names: Vec<String> = (0..60).map(|number| format!("package-{number}")).collect();
        let all: Vec<(&str, u64)> = names.iter().map(|name| (name.as_str(), 10)).collect();
        let together = |wheels: &[(&str, u64)]| -> Vec<Vec<String>> {
            let groups = groups(wheels, 5).into_iter();
            groups.map(|group| group.into_iter().map(|at| wheels[at].0.to_string()).collect()).collect()
        };
        let whole = together(&all);
        assert_eq!(whole.len(), 16);
        for half in [&all[..30], &all[30..]] {
            for group in together(half) {
                let whole = whole.iter().find(|whole| whole.contains(&group[0])).unwrap();
                let kept: Vec<_> =
                    whole.iter().filter(|name| half.iter().any(|(one, _)| one == name)).collect();
                assert_eq!(kept, group.iter().collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn an_image_never_has_more_than_a_hundred_layers() {
        let names: Vec<String> = (0..300).map(|number| format!("package-{number}")).collect();
        let sizes = (0..300_u64).map(|number| (number + 1) * 1_000_000);
        let wheels: Vec<(&str, u64)> = names.iter().map(String::as_str).zip(sizes).collect();
        for others in [2, 50, 80] {
            let groups = groups(&wheels, others);
            assert!(groups.len() + others <= MOST_LAYERS, "{} and {others}", groups.len());
            assert_eq!(groups.iter().flatten().count(), 300);
        }
        assert_eq!(groups(&wheels, 200).len(), 16, "a base of 200 layers cannot be made smaller");
    }
}
