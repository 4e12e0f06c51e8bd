//! Code locations → jobs of a workflow, as evenly as possible without building one requirement set in many jobs.
//!
//! Source of the format: GitHub's `strategy.matrix` with `include`, one entry for each job, at most 256 jobs.

use serde::Serialize;
use std::collections::BTreeMap;

/// Jobs that one matrix may have.
pub const MOST_SHARDS: usize = 256;
/// Cost of a deps PEX, where a code location costs 1: it is resolved, built and uploaded in seconds to minutes, a
/// source PEX in milliseconds.
const SET_COST: usize = 20;

/// A matrix of jobs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Matrix {
    /// The jobs; none when there is nothing to deploy.
    pub include: Vec<Shard>,
}

/// One job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Shard {
    /// Its number, from 1.
    pub shard: usize,
    /// The names, one on each line, for the input `locations`.
    pub locations: String,
    /// The names.
    pub names: Vec<String>,
}

/// The jobs of a workflow, and why each code location is deployed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PlannedJobs {
    /// The jobs.
    pub matrix: Matrix,
    /// Code locations of the project.
    pub total: usize,
    /// Why all of them, or none, are deployed, if they were not compared with what runs.
    pub reason: Option<String>,
    /// Why each is deployed, if they were compared.
    pub reasons: BTreeMap<String, String>,
}

impl PlannedJobs {
    /// `2 of 3 code locations to deploy, in 1 job`.
    pub fn sentence(&self) -> String {
        let named: usize = self.matrix.include.iter().map(|job| job.names.len()).sum();
        let count =
            |number: usize, what: &str| format!("{number} {what}{}", if number == 1 { "" } else { "s" });
        match (self.total, self.matrix.include.len()) {
            (0, _) => "Nothing to deploy".to_string(),
            (total, 0) => format!("0 of {} to deploy", count(total, "code location")),
            (total, jobs) => {
                format!("{named} of {} to deploy, in {}", count(total, "code location"), count(jobs, "job"))
            }
        }
    }
}

/// A job while code locations are added.
#[derive(Debug, Clone, Default)]
struct Load {
    sets: Vec<usize>,
    /// Indexes of code locations.
    locations: Vec<usize>,
}

impl Load {
    /// The cost with this many more code locations of a set.
    fn with(&self, set: usize, locations: usize) -> usize {
        let sets = self.sets.len() + usize::from(!self.sets.contains(&set));
        // A code location that shares its deps PEX costs 1, a new deps PEX as much as 20 of them.
        sets * SET_COST + self.locations.len() + locations
    }
}

impl Matrix {
    /// Distribute code locations, each with the number of its requirement set, over at most `shards` jobs. Each is in
    /// one job, in the given order, and no job is empty.
    ///
    /// The largest sets go first, each to the job that finishes it first. A set stays in one job unless its code
    /// locations cost more than building its deps PEX again.
    pub fn spread(locations: &[(&str, usize)], shards: usize) -> Matrix {
        // GitHub refuses a larger matrix.
        let shards = shards.clamp(1, MOST_SHARDS);
        let mut sets: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (index, (_, set)) in locations.iter().enumerate() {
            sets.entry(*set).or_default().push(index);
        }
        let mut pieces: Vec<(usize, &[usize])> = Vec::new();
        for (set, members) in &sets {
            let parts = (members.len() / SET_COST).clamp(1, shards);
            pieces.extend(members.chunks(members.len().div_ceil(parts)).map(|part| (*set, part)));
        }
        // A stable sort: pieces of one size keep the order of the project.
        pieces.sort_by_key(|(_, part)| std::cmp::Reverse(part.len()));
        let mut loads = vec![Load::default(); shards];
        for (set, part) in pieces {
            let soonest = loads.iter_mut().min_by_key(|load| load.with(set, part.len()));
            let Some(load) = soonest else { continue };
            if !load.sets.contains(&set) {
                load.sets.push(set);
            }
            load.locations.extend(part);
        }
        // With few code locations, some shards have nothing to do, and a job for them would be a waste.
        let loads = loads.into_iter().filter(|load| !load.locations.is_empty());
        Matrix { include: loads.enumerate().map(|(at, load)| shard(at + 1, load, locations)).collect() }
    }

    /// One line of JSON, for a step output.
    pub fn json(&self) -> String {
        // Strings, numbers and lists can always be written as JSON.
        serde_json::to_string(self).unwrap_or_default()
    }
}

fn shard(number: usize, mut load: Load, locations: &[(&str, usize)]) -> Shard {
    load.locations.sort_unstable();
    let names: Vec<String> = load.locations.iter().map(|index| locations[*index].0.to_string()).collect();
    Shard { shard: number, locations: names.join("\n"), names }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn names(locations: &[(&str, usize)], shards: usize) -> Vec<Vec<String>> {
        Matrix::spread(locations, shards).include.into_iter().map(|shard| shard.names).collect()
    }

    #[test]
    fn code_locations_of_one_set_stay_together() {
        let locations = [("a", 0), ("b", 1), ("c", 0), ("d", 2), ("e", 1)];
        assert_eq!(names(&locations, 9), [["a", "c"].as_slice(), &["b", "e"], &["d"]]);
        assert_eq!(names(&locations, 2), [["a", "c", "d"].as_slice(), &["b", "e"]]);
        assert_eq!(names(&locations, 1), [["a", "b", "c", "d", "e"]]);
        assert_eq!(names(&[], 4), Vec::<Vec<String>>::new());
    }

    #[test]
    fn a_set_is_split_when_its_code_locations_cost_more_than_its_deps_pex() {
        let named: Vec<String> = (0..100).map(|n| format!("l{n}")).collect();
        let locations: Vec<_> = named.iter().map(|name| (name.as_str(), 0)).collect();
        let sizes: Vec<usize> = names(&locations, 4).iter().map(Vec::len).collect();
        assert_eq!(sizes, [25; 4]);
        assert_eq!(names(&locations[..19], 4).len(), 1);
    }

    #[test]
    fn a_matrix_is_one_line_that_fits_the_input() {
        let matrix = Matrix::spread(&[("a", 0), ("b \"c\"", 0)], 3);
        let want = r#"{"include":[{"shard":1,"locations":"a\nb \"c\"","names":["a","b \"c\""]}]}"#;
        assert_eq!(matrix.json(), want);
        assert_eq!(Matrix::default().json(), r#"{"include":[]}"#);
    }

    proptest! {
        #[test]
        fn each_code_location_is_in_one_job_and_no_job_is_empty(
            sets in prop::collection::vec(0_usize..12, 0..120), shards in 0_usize..40,
        ) {
            let named: Vec<(String, usize)> =
                sets.iter().enumerate().map(|(at, set)| (format!("l{at}"), *set)).collect();
            let locations: Vec<_> = named.iter().map(|(name, set)| (name.as_str(), *set)).collect();
            let matrix = Matrix::spread(&locations, shards);
            prop_assert_eq!(&matrix, &Matrix::spread(&locations, shards));
            prop_assert!(matrix.include.len() <= shards.max(1));
            prop_assert!(matrix.include.iter().all(|shard| !shard.names.is_empty()));
            let numbers: Vec<usize> = matrix.include.iter().map(|shard| shard.shard).collect();
            prop_assert_eq!(numbers, (1..=matrix.include.len()).collect::<Vec<_>>());
            let mut all: Vec<&String> = matrix.include.iter().flat_map(|shard| &shard.names).collect();
            all.sort();
            let mut want: Vec<&String> = named.iter().map(|(name, _)| name).collect();
            want.sort();
            prop_assert_eq!(all, want);
        }

        #[test]
        fn no_job_is_far_behind_the_others(
            sizes in prop::collection::vec(1_usize..60, 1..20), shards in 1_usize..10,
        ) {
            let named: Vec<(String, usize)> = sizes
                .iter()
                .enumerate()
                .flat_map(|(set, size)| (0..*size).map(move |at| (format!("{set}-{at}"), set)))
                .collect();
            let locations: Vec<_> = named.iter().map(|(name, set)| (name.as_str(), *set)).collect();
            let matrix = Matrix::spread(&locations, shards);
            let cost = |shard: &Shard| {
                let sets: std::collections::BTreeSet<_> =
                    shard.names.iter().map(|name| name.split('-').next()).collect();
                sets.len() * SET_COST + shard.names.len()
            };
            let costs: Vec<usize> = matrix.include.iter().map(cost).collect();
            let idle = shards - costs.len();
            let (most, least) = (costs.iter().max().unwrap(), costs.iter().min().unwrap());
            // The difference is at most the largest piece that is never split.
            prop_assert!(idle > 0 || most - least <= 4 * SET_COST, "{costs:?}");
        }
    }
}
