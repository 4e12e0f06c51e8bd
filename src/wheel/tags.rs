//! Which wheels a target can use, and which of them is best.

use super::WheelName;
use crate::target::{Arch, Libc, Platform, Target};
use std::cmp::Reverse;
use std::collections::HashMap;

/// The tags that a target accepts, each with its rank from 0 (best).
///
/// Source: "Platform compatibility tags" (PyPA); for x86-64 the lists are those that dagster-cloud-cli 1.13.27 sends
/// to its resolver as `compatible_tags`.
#[derive(Debug, Clone)]
pub struct Tags {
    rank: HashMap<String, usize>,
}

/// The preference of a target for a wheel. The greatest is the best.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Preference {
    rank: Reverse<usize>,
    build: Option<(u64, String)>,
}

impl Tags {
    /// The tags of a target.
    pub fn for_target(target: &Target) -> Tags {
        let ordered = compatible_tags(target).into_iter().enumerate();
        Tags { rank: ordered.map(|(rank, tag)| (tag, rank)).collect() }
    }

    /// Rank of the best tag of a wheel, from 0 (best); `None` if the target cannot use it.
    pub fn rank(&self, wheel: &WheelName) -> Option<usize> {
        wheel
            .tags()
            .filter_map(|(python, abi, platform)| self.rank.get(&format!("{python}-{abi}-{platform}")))
            .min()
            .copied()
    }

    /// Sort key for the usable wheels of one release: best tag, then highest build tag.
    pub fn preference(&self, wheel: &WheelName) -> Option<Preference> {
        let rank = Reverse(self.rank(wheel)?);
        Some(Preference { rank, build: wheel.build().map(|(number, rest)| (number, rest.to_string())) })
    }
}

fn compatible_tags(target: &Target) -> Vec<String> {
    let platforms = platforms(target.platform);
    let minor = target.python.minor();
    let interpreter = format!("cp3{minor}");
    let generic: Vec<String> = [format!("py3{minor}"), "py3".to_string()]
        .into_iter()
        .chain((0..minor).rev().map(|older| format!("py3{older}")))
        .collect();
    let mut tags = Vec::new();
    let mut on_each_platform = |python: &str, abi: &str| {
        tags.extend(platforms.iter().map(|platform| format!("{python}-{abi}-{platform}")));
    };
    for abi in [interpreter.as_str(), "abi3", "none"] {
        on_each_platform(&interpreter, abi);
    }
    // abi3 exists since Python 3.2, and extensions built for an older one load in newer ones.
    for older in (2..minor).rev() {
        on_each_platform(&format!("cp3{older}"), "abi3");
    }
    for python in &generic {
        on_each_platform(python, "none");
    }
    // Tags without a platform come last, as in `packaging.tags`.
    tags.push(format!("{interpreter}-none-any"));
    tags.extend(generic.iter().map(|python| format!("{python}-none-any")));
    tags
}

/// The platform tags of a platform, newest first. Each legacy name, such as
/// `manylinux2014`, follows the PEP 600 name that it stands for.
fn platforms(platform: Platform) -> Vec<String> {
    let arch = platform.arch;
    let glibc_minor = match platform.libc {
        Libc::Glibc(minor) => minor,
        // Source: PEP 656.
        Libc::Musl(minor) => {
            let names = (0..=minor).rev().map(|minor| format!("musllinux_1_{minor}_{arch}"));
            return names.chain([format!("linux_{arch}")]).collect();
        }
    };
    // glibc 2.5 is the oldest for x86-64 (manylinux1). The policies for ARM start at 2.17.
    let oldest = match arch {
        Arch::X86_64 => 5,
        Arch::Aarch64 => 17,
    };
    let mut names = Vec::new();
    for minor in (oldest..=glibc_minor).rev() {
        names.push(format!("manylinux_2_{minor}_{arch}"));
        let legacy = match minor {
            17 => Some("manylinux2014"),
            12 => Some("manylinux2010"),
            5 => Some("manylinux1"),
            _ => None,
        };
        names.extend(legacy.map(|legacy| format!("{legacy}_{arch}")));
    }
    names.push(format!("linux_{arch}"));
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(python: &str) -> Tags {
        Tags::for_target(&Target::serverless(python.parse().unwrap()))
    }

    #[test]
    fn serverless_targets_have_as_many_tags_as_dagster_cloud_lists() {
        for (python, count) in
            [("3.9", 768), ("3.10", 841), ("3.11", 914), ("3.12", 987), ("3.13", 1205), ("3.14", 1288)]
        {
            assert_eq!(tags(python).rank.len(), count, "{python}");
        }
    }

    #[test]
    fn tags_are_distinct_and_in_order() {
        let tags = tags("3.11");
        let last = tags.rank.len() - 1;
        let wanted = [
            "cp311-cp311-manylinux_2_36_x86_64",
            "cp311-cp311-manylinux_2_17_x86_64",
            "cp311-cp311-manylinux2014_x86_64",
            "cp311-cp311-manylinux1_x86_64",
            "cp311-cp311-linux_x86_64",
            "cp311-abi3-manylinux_2_36_x86_64",
            "cp311-none-linux_x86_64",
            "cp310-abi3-manylinux_2_36_x86_64",
            "cp32-abi3-linux_x86_64",
            "py311-none-manylinux_2_36_x86_64",
            "py3-none-linux_x86_64",
            "py310-none-linux_x86_64",
            "py30-none-linux_x86_64",
            "cp311-none-any",
            "py311-none-any",
            "py3-none-any",
            "py30-none-any",
        ];
        let places: Vec<usize> = wanted.iter().map(|tag| tags.rank[*tag]).collect();
        assert!(places.is_sorted(), "{places:?}");
        assert_eq!((places[0], *places.last().unwrap()), (0, last));
    }

    #[test]
    fn musl_takes_only_its_own_wheels() {
        let target =
            Target { python: "3.12".parse().unwrap(), platform: "musllinux_1_2_x86_64".parse().unwrap() };
        let tags = Tags::for_target(&target);
        assert_eq!(tags.rank["cp312-cp312-musllinux_1_2_x86_64"], 0);
        assert!(tags.rank.contains_key("cp312-abi3-musllinux_1_1_x86_64"));
        assert!(tags.rank.contains_key("py3-none-any"));
        assert!(!tags.rank.keys().any(|tag| tag.contains("manylinux") || tag.contains("musllinux_1_3")));
    }

    #[test]
    fn arm_starts_at_manylinux2014() {
        let target =
            Target { python: "3.12".parse().unwrap(), platform: "manylinux_2_28_aarch64".parse().unwrap() };
        let tags = Tags::for_target(&target);
        assert_eq!(tags.rank["cp312-cp312-manylinux_2_28_aarch64"], 0);
        assert!(tags.rank.contains_key("cp312-cp312-manylinux2014_aarch64"));
        assert!(!tags.rank.keys().any(|tag| tag.contains("x86_64") || tag.contains("2_16")));
    }

    #[test]
    fn the_best_wheel_has_the_best_tag_then_the_highest_build() {
        let tags = tags("3.11");
        let wheels = [
            "a-1-py3-none-any.whl",
            "a-1-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
            "a-1-cp311-cp311-manylinux_2_40_x86_64.whl",
            "a-1-10-cp311-cp311-manylinux_2_28_x86_64.whl",
            "a-1-9-cp311-cp311-manylinux_2_28_x86_64.whl",
            "a-1-cp310-abi3-manylinux_2_36_x86_64.whl",
            "a-1-cp312-cp312-linux_x86_64.whl",
            "a-1-cp311-cp311-win_amd64.whl",
            "a-1-cp311-cp311-musllinux_1_2_x86_64.whl",
        ]
        .map(|name| name.parse::<WheelName>().unwrap());
        let best = wheels
            .iter()
            .filter_map(|wheel| Some((tags.preference(wheel)?, wheel)))
            .max_by_key(|(p, _)| p.clone());
        assert_eq!(best.unwrap().1.to_string(), "a-1-10-cp311-cp311-manylinux_2_28_x86_64.whl");
        let unusable = wheels.iter().filter(|wheel| tags.rank(wheel).is_none()).count();
        assert_eq!(unusable, 4);
    }
}
